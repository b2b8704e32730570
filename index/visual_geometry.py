# pyright: basic
"""How a visual model cuts a page's image into patches: the size to draw a page at, how many vectors come, where each lies.

Three ways: one grid whose shape follows the page's (Qwen), tiles and an overview (Idefics3), a fixed square (Gemma). Each
takes its numbers from the checkpoint's own image processor. Sizes in pixels are (width, height).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from docrag.errors import ModelFault
from docrag.types import Box
from docrag.visual import PatchBlock

Size = tuple[int, int]
_WIDEST = 190  # times as long as wide: Qwen's processor refuses 200
_WHOLE: Box = (0.0, 0.0, 1.0, 1.0)


class Geometry(Protocol):
    """What the encoder asks of a family's way to cut images."""

    @property
    def max_image_tokens(self) -> int: ...

    def image_size_px(self, width: float, height: float) -> Size:
        """The size at which an image of these proportions reaches the model without being scaled."""
        ...

    def takes(self, size: Size) -> bool:
        """Whether the processor leaves an image of this size as it is."""
        ...

    def count_image_tokens(self, size: Size) -> int:
        """How many tokens stand for an image that `takes` its size, those between tiles included."""
        ...

    def blocks(self, patches: NDArray[np.intp], size: Size) -> tuple[PatchBlock, ...]:
        """`patches`: the positions, rising, of the patches among a page's vectors. Raises ModelFault where they don't fit."""
        ...


@dataclass(frozen=True, slots=True)
class FollowingGrid:
    """Qwen: cells of `cell_px` pixels squared, one vector each, as many as the budget of `max_cells` allows."""

    cell_px: int
    min_cells: int
    max_cells: int

    @property
    def max_image_tokens(self) -> int:
        return self.max_cells

    def image_size_px(self, width: float, height: float) -> Size:
        """As large as the budget allows, so that every page has the same chance to be read; drawing is lossless anyway."""
        scale = math.sqrt(self.max_cells / (width * height))
        shorter = max(1, int(min(width, height) * scale))
        longer = min(int(max(width, height) * scale), _WIDEST * shorter, self.max_cells // shorter) * self.cell_px
        shorter *= self.cell_px
        return (longer, shorter) if width >= height else (shorter, longer)

    def takes(self, size: Size) -> bool:
        width, height = size
        cells, left = divmod(width * height, self.cell_px**2)
        fits = not left and not width % self.cell_px and self.min_cells <= cells <= self.max_cells
        return fits and max(size) <= _WIDEST * min(size)

    def count_image_tokens(self, size: Size) -> int:
        return (size[0] // self.cell_px) * (size[1] // self.cell_px)

    def blocks(self, patches: NDArray[np.intp], size: Size) -> tuple[PatchBlock, ...]:
        columns, rows = size[0] // self.cell_px, size[1] // self.cell_px
        _check_runs(patches, [rows * columns])
        return (PatchBlock(int(patches[0]), rows, columns, _WHOLE),)


@dataclass(frozen=True, slots=True)
class Tiles:
    """Idefics3: square tiles of `tile_px`, the longer edge `longest_px`, then an overview; `side` x `side` vectors for each.

    Two tokens stand before each tile and one after each row of them; those around the overview count as the prompt's.
    """

    tile_px: int
    longest_px: int
    side: int

    @property
    def max_image_tokens(self) -> int:
        return self.count_image_tokens((self._across * self.tile_px, self._across * self.tile_px))

    def image_size_px(self, width: float, height: float) -> Size:
        edge = int(self.longest_px * min(width, height) / max(width, height))
        shorter = max(1, math.ceil((edge + edge % 2) / self.tile_px)) * self.tile_px
        longer = self._across * self.tile_px
        return (longer, shorter) if width >= height else (shorter, longer)

    def takes(self, size: Size) -> bool:
        longer, shorter = max(size), min(size)
        return longer == self._across * self.tile_px and not shorter % self.tile_px

    def count_image_tokens(self, size: Size) -> int:
        columns, rows = self._tiles(size)
        return rows * (columns * (self.side**2 + 2) + 1) + self.side**2

    def blocks(self, patches: NDArray[np.intp], size: Size) -> tuple[PatchBlock, ...]:
        columns, rows = self._tiles(size)
        step = self.side**2
        _check_runs(patches, [step] * (rows * columns + 1))
        areas: list[Box] = [
            (column / columns, row / rows, (column + 1) / columns, (row + 1) / rows)
            for row in range(rows)
            for column in range(columns)
        ]
        starts = patches[::step]
        return tuple(
            PatchBlock(int(start), self.side, self.side, area) for start, area in zip(starts, [*areas, _WHOLE], strict=True)
        )

    @property
    def _across(self) -> int:
        """Tiles along the longer edge, which the processor scales up to whole ones."""
        return math.ceil(self.longest_px / self.tile_px)

    def _tiles(self, size: Size) -> tuple[int, int]:
        """Columns and rows of tiles; none where the image fits the overview."""
        columns, rows = size[0] // self.tile_px, size[1] // self.tile_px
        return (columns, rows) if max(columns, rows) > 1 else (0, 0)


@dataclass(frozen=True, slots=True)
class Square:
    """ColPali and ColGemma: every image is drawn `width_px` x `height_px`, a square grid of `side` x `side` vectors."""

    width_px: int
    height_px: int
    side: int

    @property
    def max_image_tokens(self) -> int:
        return self.side**2

    def image_size_px(self, width: float, height: float) -> Size:
        return self.width_px, self.height_px

    def takes(self, size: Size) -> bool:
        return size == (self.width_px, self.height_px)

    def count_image_tokens(self, size: Size) -> int:
        return self.side**2

    def blocks(self, patches: NDArray[np.intp], size: Size) -> tuple[PatchBlock, ...]:
        _check_runs(patches, [self.side**2])
        return (PatchBlock(int(patches[0]), self.side, self.side, _WHOLE),)


def following_grid(processor: Any, max_cells: int) -> FollowingGrid:
    """From a Qwen2VLImageProcessor's sizes, which count pixels; at most `max_cells` vectors a page."""
    images = processor.image_processor
    cell_px = images.patch_size * images.merge_size
    least, most = _edges(images.size, "shortest_edge", "longest_edge")
    grid = FollowingGrid(cell_px, math.ceil(least / cell_px**2), min(most // cell_px**2, max_cells))
    if not 1 <= grid.min_cells <= grid.max_cells:
        raise ModelFault(f"the image processor's size makes no sense: {images.size}", "correct its configuration")
    return grid


def tiles(processor: Any, max_cells: int) -> Tiles:
    """From an Idefics3ImageProcessor's sizes; `max_cells` can't be kept but by another checkpoint."""
    images = processor.image_processor
    (longest,), (tile,) = _edges(images.size, "longest_edge"), _edges(images.max_image_size, "longest_edge")
    side = math.isqrt(processor.image_seq_len)
    if side**2 != processor.image_seq_len or not images.do_image_splitting or longest < tile:
        raise ModelFault("the image processor does not cut pages into tiles", "set do_image_splitting in its configuration")
    return Tiles(tile, longest, side)


def square(processor: Any, max_cells: int) -> Square:
    """From a SigLIP-like image processor's size and the number of tokens that an image becomes."""
    height, width = _edges(processor.image_processor.size, "height", "width")
    side = math.isqrt(processor.image_seq_length)
    if side**2 != processor.image_seq_length:
        raise ModelFault(f"{processor.image_seq_length} tokens an image are no square", "correct the processor's configuration")
    return Square(width, height, side)


def _edges(size: Any, *names: str) -> list[int]:
    found: list[Any] = [size.get(name) if hasattr(size, "get") else getattr(size, name, None) for name in names]
    if not all(isinstance(edge, int) and edge > 0 for edge in found):
        raise ModelFault(f"the image processor's size lacks {' or '.join(names)}: {size}", "correct its configuration")
    return found


def _check_runs(patches: NDArray[np.intp], lengths: Sequence[int]) -> None:
    """Raise ModelFault unless `patches` are runs of these lengths."""
    at = 0
    for length in lengths:
        run = patches[at : at + length]
        if len(run) != length or run[-1] - run[0] != length - 1:
            break
        at += length
    if at != len(patches) or at != sum(lengths):
        raise ModelFault(
            f"the processor gave {len(patches)} image tokens, not {sum(lengths)} in {len(lengths)} runs",
            "the checkpoint's processor is none that docrag knows",
        )
