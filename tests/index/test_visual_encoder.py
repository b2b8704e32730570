"""The visual encoder on real tiny models: sizes, batches, what fails alone, and where patches and words are."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from docrag.config import Precision
from docrag.index.visual_attention import NAME, attend_packed
from docrag.index.visual_encoder import ColEncoder, ImageFailure, ImageVectors
from docrag.index.visual_models import open_visual
from docrag.visual import PatchLayout

pytestmark = pytest.mark.usefixtures("one_thread")
PAGES_PT = [(595, 842), (842, 595), (612, 612), (300, 1200), (2000, 180), (1, 1), (1, 5000), (9000, 2), (841.89, 595.28)]


@pytest.fixture(scope="module", params=["colqwen", "colidefics"])
def encoder(request: pytest.FixtureRequest) -> ColEncoder:
    """Each of the two tiny models, in float32."""
    return load(request.getfixturevalue(request.param))


@pytest.fixture(scope="module")
def qwen(colqwen: Path) -> ColEncoder:
    return load(colqwen)


def load(folder: Path) -> ColEncoder:
    opened = open_visual(str(folder), device="cpu", precision="float32")
    assert isinstance(opened, ColEncoder)
    return opened


def noise(size: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
    """Coarse random colours, so that neighbouring patches differ."""
    return np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)


def pages(encoder: ColEncoder, n: int) -> list[NDArray[np.uint8]]:
    return [noise(encoder.image_size_px(*PAGES_PT[at % len(PAGES_PT)]), at) for at in range(n)]


def vectors(result: ImageVectors | ImageFailure) -> NDArray[np.float32]:
    assert isinstance(result, ImageVectors), result
    return result.vectors.astype(np.float32)


def cosines(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
    assert left.shape == right.shape
    return (left * right).sum(1) / np.linalg.norm(left, axis=1) / np.linalg.norm(right, axis=1)


@contextmanager
def each_forward(encoder: ColEncoder, look: Callable[[dict[str, Any]], None]) -> Generator[None]:
    """`look` at the inputs of each forward pass of the real model; it may raise."""
    hook = encoder._network.register_forward_pre_hook(lambda _module, _args, inputs: look(inputs), with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@pytest.mark.parametrize("page", PAGES_PT, ids=str)
def test_a_page_is_drawn_at_the_size_that_the_model_sees(encoder: ColEncoder, page: tuple[float, float]) -> None:
    size = encoder.image_size_px(*page)
    processor = encoder._processor
    pixels = processor.process_images([Image.fromarray(noise(size))])["pixel_values"]
    unscaled = processor.image_processor(images=noise(size), do_resize=False, return_tensors="pt")["pixel_values"]
    assert encoder.geometry.takes(size)
    assert torch.equal(pixels.flatten(), unscaled.flatten())


def test_tiles_hold_the_pixels_as_they_were_drawn(colidefics: Path) -> None:
    encoder = load(colidefics)
    image = noise(encoder.image_size_px(300, 290))
    tiles = encoder._processor.process_images([Image.fromarray(image)])["pixel_values"][0]
    for number, tile in enumerate(tiles[:-1]):
        row, column = divmod(number, 3)
        drawn = image[row * 32 : row * 32 + 32, column * 32 : column * 32 + 32].transpose(2, 0, 1)
        assert np.allclose(tile.numpy() * 127.5 + 127.5, drawn, atol=1e-3)


@pytest.mark.parametrize("page", PAGES_PT, ids=str)
def test_the_number_of_vectors_is_known_beforehand(encoder: ColEncoder, page: tuple[float, float]) -> None:
    size = encoder.image_size_px(*page)
    (result,) = encoder.encode_images([noise(size)])
    assert vectors(result).shape == (encoder.count_vectors(size), 128)
    assert encoder.count_vectors(size) <= encoder.max_vectors


def test_qwen_pages_use_the_budget_and_keep_their_proportions(qwen: ColEncoder) -> None:
    for page in PAGES_PT[:5]:
        width, height = qwen.image_size_px(*page)
        cells = width * height // 28**2
        assert 0.6 * 48 <= cells <= 48
        assert 0.5 < (width / height) / (page[0] / page[1]) < 2


def test_a_page_has_the_same_vectors_alone_and_among_sixteen(encoder: ColEncoder) -> None:
    images = pages(encoder, 16)
    seen: list[int] = []
    with each_forward(encoder, lambda inputs: seen.append(len(inputs["input_ids"]))):
        together = encoder.encode_images(images)
        alone = [encoder.encode_images([image])[0] for image in images]
    assert seen == [16] + [1] * 16
    for left, right in zip(together, alone, strict=True):
        assert cosines(vectors(left), vectors(right)).min() >= 0.99999
        assert np.allclose(np.linalg.norm(vectors(left), axis=1), 1, atol=2e-3)


def test_scores_are_those_of_the_processor(encoder: ColEncoder) -> None:
    found = [vectors(result) for result in encoder.encode_images(pages(encoder, 5))]
    question = encoder.encode_question("What was the total of 2019?").vectors
    plain = [(question @ page.T).max(axis=1).sum() for page in found]
    queries, passages = [torch.from_numpy(question)], [torch.from_numpy(page) for page in found]
    theirs = [encoder._processor.score_multi_vector(queries, [page], device="cpu").item() for page in passages]
    assert plain == pytest.approx(theirs, abs=1e-3)


def test_batches_are_formed_by_vectors_not_by_pages(qwen: ColEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qwen, "_batch_vectors", 300)
    seen: list[tuple[int, int]] = []
    with each_forward(qwen, lambda inputs: seen.append(tuple(inputs["input_ids"].shape))):
        results = qwen.encode_images(pages(qwen, 18))
    assert all(isinstance(result, ImageVectors) for result in results)
    assert all(rows * longest <= 300 for rows, longest in seen)
    assert [longest for _, longest in seen] == sorted((longest for _, longest in seen), reverse=True)
    assert sum(rows for rows, _ in seen) == 18
    assert len(seen) < 6


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
        MemoryError(),
    ],
    ids=["cuda", "mps", "cpu"],
)
def test_a_batch_that_does_not_fit_is_halved_and_the_size_that_fits_kept(qwen: ColEncoder, error: Exception) -> None:
    images = pages(qwen, 16)
    whole = qwen.encode_images(images)
    seen: list[int] = []

    def only_three(inputs: dict[str, Any]) -> None:
        seen.append(len(inputs["input_ids"]))
        if seen[-1] > 3:
            raise error

    before = qwen._batch_vectors
    try:
        with each_forward(qwen, only_three):
            halved = qwen.encode_images(images)
            first, seen = seen, []
            qwen.encode_images(images)
    finally:
        qwen._batch_vectors = before
    assert first[:4] == [16, 8, 4, 2]
    assert sum(rows for rows in first if rows <= 3) == 16
    assert max(seen) <= 4
    for left, right in zip(whole, halved, strict=True):
        assert cosines(vectors(left), vectors(right)).min() >= 0.99999


def test_a_page_that_does_not_fit_alone_fails_alone(qwen: ColEncoder) -> None:
    images = pages(qwen, 6)
    largest = max(qwen.count_vectors((image.shape[1], image.shape[0])) for image in images)

    def not_the_largest(inputs: dict[str, Any]) -> None:
        if inputs["input_ids"].shape[1] == largest:
            raise torch.OutOfMemoryError("CUDA out of memory")

    before = qwen._batch_vectors
    try:
        with each_forward(qwen, not_the_largest):
            results = qwen.encode_images(images)
    finally:
        qwen._batch_vectors = before
    failed = [at for at, result in enumerate(results) if isinstance(result, ImageFailure)]
    assert failed == [at for at, image in enumerate(images) if qwen.count_vectors((image.shape[1], image.shape[0])) == largest]
    failure = results[failed[0]]
    assert isinstance(failure, ImageFailure)
    assert (failure.error, failure.lacked) == ("OutOfMemory", "memory")
    assert "not enough memory for one page" in failure.message
    assert f"{largest} vectors" in failure.message
    assert failure.hint


def test_other_errors_of_the_model_are_not_taken_for_memory(qwen: ColEncoder) -> None:
    def broken(_: dict[str, Any]) -> None:
        raise RuntimeError("shapes cannot be multiplied")

    with each_forward(qwen, broken), pytest.raises(RuntimeError, match="cannot be multiplied"):
        qwen.encode_images(pages(qwen, 2))


def test_nan_fails_the_page_that_has_it(qwen: ColEncoder) -> None:
    images = pages(qwen, 4)

    def spoil(inputs: dict[str, Any]) -> None:
        # Of the four, which batching has put in order of length, the second.
        inputs["pixel_values"][1] = float("nan")

    with each_forward(qwen, spoil):
        results = qwen.encode_images(images)
    clean = qwen.encode_images(images)
    failures = [result for result in results if isinstance(result, ImageFailure)]
    assert len(failures) == 1
    assert failures[0].error == "NotFinite"
    assert "NaN" in failures[0].message
    for left, right in zip(results, clean, strict=True):
        if isinstance(left, ImageVectors):
            assert cosines(vectors(left), vectors(right)).min() >= 0.99999


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (5000, 3), (33, 47)], ids=str)
def test_an_image_of_any_size_is_taken(encoder: ColEncoder, size: tuple[int, int]) -> None:
    (result,) = encoder.encode_images([noise(size)])
    assert vectors(result).shape == (encoder.count_vectors(encoder.image_size_px(*size)), 128)


def test_white_pages_are_pages(encoder: ColEncoder) -> None:
    size = encoder.image_size_px(595, 842)
    white, other = encoder.encode_images([np.full((size[1], size[0], 3), 255, np.uint8), noise(size)])
    assert vectors(white).shape == vectors(other).shape


def test_no_images_are_no_results(encoder: ColEncoder) -> None:
    assert encoder.encode_images([]) == []


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_what_is_no_image_is_refused(qwen: ColEncoder, image: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match=r"uint8 \[height, width, 3\]"):
        qwen.encode_images([image])


@pytest.mark.parametrize("page", [(595, 842), (1200, 300)], ids=str)
def test_a_patch_lies_where_its_pixels_are(encoder: ColEncoder, page: tuple[float, float]) -> None:
    """Change the pixels of one patch: of all vectors but the overview's, which show it too, that of this patch moves most."""
    size = encoder.image_size_px(*page)
    image = np.full((size[1], size[0], 3), 128, np.uint8)
    (before,) = encoder.encode_images([image])
    assert isinstance(before, ImageVectors)
    layout = PatchLayout(size, size[0] / page[0], before.blocks)
    looked_at = before.blocks[:-1] or before.blocks
    numbers = [number for block in looked_at for number in range(block.start, block.stop)]
    changed = [image.copy() for _ in numbers]
    for one, number in zip(changed, numbers, strict=True):
        left, top, right, bottom = (round(edge) for edge in layout.patch_box(number, *size) or ())
        one[top:bottom, left:right] = noise((right - left, bottom - top), number)
    for after, number in zip(encoder.encode_images(changed), numbers, strict=True):
        moved = np.linalg.norm(vectors(after) - vectors(before), axis=1)
        assert numbers[moved[numbers].argmax()] == number


def test_blocks_cover_the_page_and_the_prompt_is_in_none(encoder: ColEncoder) -> None:
    size = encoder.image_size_px(595, 842)
    (result,) = encoder.encode_images([noise(size)])
    assert isinstance(result, ImageVectors)
    overview = result.blocks[-1]
    tiles = result.blocks[:-1] or result.blocks
    assert overview.area == (0, 0, 1, 1)
    assert sum((b.area[2] - b.area[0]) * (b.area[3] - b.area[1]) for b in tiles) == pytest.approx(1)
    assert all(left.stop <= right.start for left, right in pairwise(result.blocks))
    assert result.blocks[0].start > 0
    assert overview.stop < len(result.vectors)


def test_each_vector_of_a_question_has_its_word(encoder: ColEncoder) -> None:
    question = encoder.encode_question("What is the naïve total, in 東京?")
    assert len(question.words) == len(question.vectors)
    assert question.vectors.dtype == np.float32
    assert list(dict.fromkeys(word for word in question.words if word)) == [
        "What",
        "is",
        "the",
        "naïve",
        "total",
        "in",
        "東",
        "京",
    ]
    assert question.words.count("total") == 5
    assert question.words.count("the") == 1
    assert question.words[4] == ""
    assert question.words[-10:] == ("",) * 10  # the tokens that augment every question


def test_a_question_is_encoded_as_the_processor_does(encoder: ColEncoder) -> None:
    with torch.inference_mode():
        theirs = encoder._network(**encoder._processor.process_queries(texts=["how many?"]))[0].numpy()
    assert np.array_equal(encoder.encode_question("how many?").vectors, theirs)


@pytest.mark.parametrize("question", ["", "   ", "?!", "\n"])
def test_questions_without_words_have_vectors(qwen: ColEncoder, question: str) -> None:
    encoded = qwen.encode_question(question)
    assert len(encoded.vectors) >= 10
    assert set(encoded.words) == {""}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_vectors_of_the_cpu(encoder: ColEncoder) -> None:
    images = pages(encoder, 16)
    there = open_visual(encoder.source, device="cuda", precision="float32")
    low = open_visual(encoder.source, device="cuda")
    assert (there.device, low.precision) == ("cuda", "bfloat16")
    theirs = zip(there.encode_images(images), low.encode_images(images), strict=True)
    for here, (same, close) in zip(encoder.encode_images(images), theirs, strict=True):
        assert cosines(vectors(here), vectors(same)).min() >= 0.999
        assert cosines(vectors(here), vectors(close)).mean() >= 0.99


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_packed_attention_is_that_of_transformers(colqwen: Path, precision: Precision) -> None:
    """Windows cut at the page's edge are of several lengths; pages are of several sizes."""
    encoder = open_visual(str(colqwen), device="cpu", precision=precision)
    assert isinstance(encoder, ColEncoder)
    images = pages(encoder, 7)
    config = encoder._network.visual.config
    assert config._attn_implementation == NAME
    packed = encoder.encode_images(images)
    config._attn_implementation = "sdpa"
    for ours, theirs in zip(packed, encoder.encode_images(images), strict=True):
        assert cosines(vectors(ours), vectors(theirs)).min() >= (0.999999 if precision == "float32" else 0.995)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_kernel_for_packed_attention_gives_what_sdpa_gives() -> None:
    made = [torch.randn(1, 4, 200, 80, device="cuda", dtype=torch.bfloat16) for _ in range(3)]
    ends = torch.tensor([0, 64, 128, 200], device="cuda", dtype=torch.int32)
    ours, _ = attend_packed(None, *made, None, scaling=0.1, cu_seq_lens_q=ends, max_length_q=72)
    theirs, _ = attend_packed(None, *(each.float() for each in made), None, scaling=0.1, cu_seq_lens_q=ends)
    assert torch.allclose(ours.float(), theirs, atol=2e-2)
