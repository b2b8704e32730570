# pyright: basic
"""Page images to late-interaction vectors: batches by the number of vectors, padding cut off, memory that runs out survived.

ColPali: Faysse et al. 2024. Nothing here depends on the family: the processor and a `Geometry` know what is particular.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from docrag.errors import ModelFault
from docrag.index.records import LaneFingerprint
from docrag.index.visual_geometry import Geometry, Size
from docrag.index.visual_words import name_rows
from docrag.types import Lacked
from docrag.visual import PatchBlock

# Vectors in a batch, padding counted: enough to keep the device's multipliers busy. Less where memory turns out short.
BATCH_VECTORS = {"cuda": 32_768, "mps": 4_096, "cpu": 2_048}
_LANCZOS = 1
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory", "alloc_cpu")


@dataclass(frozen=True, slots=True, eq=False)
class ImageVectors:
    """An image's vectors, float16 [n, dim] of length 1, without padding; `blocks` say which are patches, and of what."""

    vectors: NDArray[np.float16]
    blocks: tuple[PatchBlock, ...]


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """Why an image has no vectors."""

    error: str
    message: str
    hint: str = ""
    lacked: Lacked = "nothing"


@dataclass(frozen=True, slots=True, eq=False)
class QuestionVectors:
    """A question's vectors, float32 [q, dim], and for each the word that it stands for, "" where it is of the prompt."""

    vectors: NDArray[np.float32]
    words: tuple[str, ...]


class VisualEncoder(Protocol):
    """Page images and questions to vectors of the same space, compared by MaxSim."""

    @property
    def fingerprint(self) -> LaneFingerprint: ...
    @property
    def source(self) -> str:
        """What finds the same model again: "owner/name@commit", or a folder's path."""
        ...

    @property
    def dim(self) -> int: ...
    @property
    def device(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def max_vectors(self) -> int:
        """The most vectors that a page gets."""
        ...

    def image_size_px(self, width_pt: float, height_pt: float) -> Size:
        """(width, height) at which to draw a page of this size, so that the model sees it without scaling."""
        ...

    def count_vectors(self, image_size_px: Size) -> int:
        """How many vectors an image of a size that `image_size_px` gave gets."""
        ...

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> list[ImageVectors | ImageFailure]:
        """uint8 [height, width, 3] each, of any size, any number. An image's vectors don't depend on what is beside it."""
        ...

    def encode_question(self, question: str) -> QuestionVectors: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """Inputs of the model for the images at `places`; `mask` bool [n, longest]: no padding; `patches` [n, longest]: image."""

    places: tuple[int, ...]
    sizes: tuple[Size, ...]
    inputs: dict[str, Any]
    mask: NDArray[np.bool_]
    patches: NDArray[np.bool_]


class ColEncoder:
    """A colpali-engine model and its processor on one device. `fingerprint` is set by `open_visual`."""

    fingerprint: LaneFingerprint

    def __init__(self, network: Any, processor: Any, geometry: Geometry, source: str, device: str, precision: str) -> None:
        self.geometry = geometry
        self.source, self.device, self.precision = source, device, precision
        self.dim: int = network.dim
        self._network, self._processor = network, processor
        self._batch_vectors = BATCH_VECTORS[device]
        self._prompt_vectors = 0
        if device == "cuda" and processor.image_processor.resample != _LANCZOS:  # which torchvision has on the CPU alone
            processor.image_processor.device = device
        self._probe()

    @property
    def max_vectors(self) -> int:
        return self.geometry.max_image_tokens + self._prompt_vectors

    def image_size_px(self, width_pt: float, height_pt: float) -> Size:
        return self.geometry.image_size_px(width_pt, height_pt)

    def count_vectors(self, image_size_px: Size) -> int:
        return self.geometry.count_image_tokens(image_size_px) + self._prompt_vectors

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> list[ImageVectors | ImageFailure]:
        counts = [self.count_vectors(self._fitting_size(image)) for image in images]
        results: dict[int, ImageVectors | ImageFailure] = {}
        with ThreadPoolExecutor(1, thread_name_prefix="prepare-images") as executor:
            for batch in self._prepare_ahead(images, counts, executor):
                results.update(zip(batch.places, self._encode(batch, images), strict=True))
        return [results[place] for place in range(len(images))]

    def encode_question(self, question: str) -> QuestionVectors:
        inputs = dict(self._processor.process_queries([question]))
        ids = inputs["input_ids"][0].tolist()
        vectors = self._forward(inputs)[0].float().cpu().numpy()
        if not np.isfinite(vectors).all():
            raise ModelFault(f"the model gives NaN or infinity for the question {question!r}", "its weights are damaged")
        special = set(self._processor.tokenizer.all_special_ids)
        return QuestionVectors(vectors, name_rows(ids, question, self._processor.tokenizer.decode, special))

    def _probe(self) -> None:
        """Learn, from a blank page, the prompt around an image: its text and its number of vectors."""
        size = self.geometry.image_size_px(1, 1)
        batch = self._prepare([np.full((size[1], size[0], 3), 255, np.uint8)], (0,))
        ids = np.asarray(batch.inputs["input_ids"].cpu()[0])[batch.mask[0]]
        self._prompt_vectors = len(ids) - self.geometry.count_image_tokens(size)
        self.prompt: str = self._processor.tokenizer.decode(ids[~batch.patches[0][batch.mask[0]]])
        self.geometry.blocks(batch.patches[0][batch.mask[0]].nonzero()[0], size)

    def _fitting_size(self, image: NDArray[np.uint8]) -> Size:
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
            raise ValueError(f"an image is uint8 [height, width, 3], got {image.dtype} {image.shape}")
        height, width, _ = image.shape
        return (width, height) if self.geometry.takes((width, height)) else self.geometry.image_size_px(width, height)

    def _prepare_ahead(
        self, images: Sequence[NDArray[np.uint8]], counts: Sequence[int], executor: ThreadPoolExecutor
    ) -> Iterator[_Batch]:
        """Batches of images of about the same number of vectors; on a GPU the next is made ready while one is at work."""
        order = sorted(range(len(images)), key=lambda place: -counts[place])
        waiting: Future[_Batch] | None = None
        while order or waiting:
            ready, waiting = waiting, None
            if order:
                places = tuple(order[: max(1, self._batch_vectors // counts[order[0]])])
                order = order[len(places) :]
                if ready is None and self.device == "cpu":
                    yield self._prepare(images, places)
                    continue
                waiting = executor.submit(self._prepare, images, places)
            if ready is not None:
                yield ready.result()

    def _prepare(self, images: Sequence[NDArray[np.uint8]], places: tuple[int, ...]) -> _Batch:
        from PIL import Image

        drawn = [Image.fromarray(images[place]) for place in places]
        sizes = tuple(self._fitting_size(images[place]) for place in places)
        fitting = [
            image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
            for image, size in zip(drawn, sizes, strict=True)
        ]
        inputs = dict(self._processor.process_images(fitting))
        mask = inputs["attention_mask"].numpy().astype(bool)
        patches = np.isin(inputs["input_ids"].numpy(), self._processor.image_token_ids)
        if self.device == "cuda":
            inputs = {name: value if value.is_cuda else value.pin_memory() for name, value in inputs.items()}
        return _Batch(places, sizes, inputs, mask, patches)

    def _encode(self, batch: _Batch, images: Sequence[NDArray[np.uint8]]) -> list[ImageVectors | ImageFailure]:
        """Each image's vectors; where memory runs out, those of each half of the batch."""
        vectors = self._forward_or_none(batch.inputs)
        if vectors is not None:
            return self._cut(batch, vectors)
        if len(batch.places) == 1:
            return [_too_large(self.device, batch)]
        self._batch_vectors = max(1, math.prod(batch.mask.shape) // 2)
        half = (len(batch.places) + 1) // 2
        results: list[ImageVectors | ImageFailure] = []
        for places in (batch.places[:half], batch.places[half:]):
            results += self._encode(self._prepare(images, places), images)
        return results

    def _forward_or_none(self, inputs: dict[str, Any]) -> Any:
        """None where the device's memory ran out. What the failed pass held is free on return, as its frames are gone."""
        import torch

        try:
            return self._forward(inputs)
        except torch.OutOfMemoryError:
            pass
        except RuntimeError as error:
            if not any(words in str(error).lower() for words in _NO_MEMORY):
                raise
        except MemoryError:
            pass
        if self.device == "cuda":
            torch.cuda.empty_cache()
        elif self.device == "mps":
            torch.mps.empty_cache()
        return None

    def _forward(self, inputs: dict[str, Any]) -> Any:
        """Vectors [n, longest, dim] on the device."""
        import torch

        dtype = getattr(torch, self.precision)
        placed: dict[str, Any] = {}
        for name in inputs.keys() - {"labels"}:  # PaliGemma's processor makes some, for a loss that nobody wants
            moved = inputs[name].to(self.device, non_blocking=True)
            placed[name] = moved.to(dtype) if moved.is_floating_point() else moved
        with torch.inference_mode():
            return self._network(**placed)

    def _cut(self, batch: _Batch, vectors: Any) -> list[ImageVectors | ImageFailure]:
        """Each image's vectors without the padding."""
        kept = vectors.float().cpu().numpy()
        return [self._cut_one(batch, row, kept[row][batch.mask[row]]) for row in range(len(batch.places))]

    def _cut_one(self, batch: _Batch, row: int, vectors: NDArray[np.float32]) -> ImageVectors | ImageFailure:
        if not np.isfinite(vectors).all():
            bad = int((~np.isfinite(vectors).all(axis=1)).sum())
            hint = (
                f"in {self.precision} the model overflows on this page; float32 may not" if self.precision != "float32" else ""
            )
            return ImageFailure("NotFinite", f"the model gave NaN or infinity in {bad} of {len(vectors)} vectors", hint)
        patches = batch.patches[row][batch.mask[row]].nonzero()[0]
        return ImageVectors(vectors.astype(np.float16), self.geometry.blocks(patches, batch.sizes[row]))


def _too_large(device: str, batch: _Batch) -> ImageFailure:
    width, height = batch.sizes[0]
    told = f"{device} has not enough memory for one page of {width} x {height} px ({int(batch.mask.sum())} vectors)"
    hint = "free memory that others use, or take a smaller model, or one that makes fewer vectors a page"
    return ImageFailure("OutOfMemory", told, hint, "memory")
