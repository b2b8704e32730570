"""The nouns of the visual lane, as frozen and as checked as those of `docrag.types`: patches, where they lie, a page's look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docrag.types import Box, PageRef, check_box, check_vectors


@dataclass(frozen=True, slots=True)
class PatchBlock:
    """A rectangle of image patches: `rows` x `columns` visual vectors from the `start`-th on, row by row, that cover `area`.

    `area` is (x0, y0, x1, y1) in fractions of the page's width and height, after rotation.
    """

    start: int
    rows: int
    columns: int
    area: Box

    def __post_init__(self) -> None:
        if self.start < 0 or self.rows < 1 or self.columns < 1:
            raise ValueError(f"a block of patches starts at 0 or later and has rows and columns, got {self!r}")
        object.__setattr__(self, "area", check_box(self.area))
        if not all(0.0 <= value <= 1.0 for value in self.area):
            raise ValueError(f"the area of a block of patches is in fractions of the page, got {self.area}")

    @property
    def stop(self) -> int:
        return self.start + self.rows * self.columns


@dataclass(frozen=True, slots=True)
class PatchLayout:
    """Where a page's visual vectors lie on it. Vectors outside every block are of the prompt's tokens, not of patches.

    `image_size_px` (width, height) is that of the image which the encoder saw, `pixels_per_pt` the scale at which it was drawn.
    Models that look twice (an overview and tiles) have a block for each look: blocks may cover the same part of the page.
    """

    image_size_px: tuple[int, int]
    pixels_per_pt: float
    blocks: tuple[PatchBlock, ...]

    def patch_box(self, vector_index: int, width_pt: float, height_pt: float) -> Box | None:
        """The box, in points, of the patch whose vector is the `vector_index`-th; None where it is no patch."""
        for block in self.blocks:
            if block.start <= vector_index < block.stop:
                row, column = divmod(vector_index - block.start, block.columns)
                x0, y0, x1, y1 = block.area
                across, down = (x1 - x0) * width_pt / block.columns, (y1 - y0) * height_pt / block.rows
                left, top = x0 * width_pt + column * across, y0 * height_pt + row * down
                return (left, top, left + across, top + down)
        return None


@dataclass(frozen=True, slots=True, eq=False)
class PageVisual:
    """What a page looks like: `visual` float16 [n_vectors, dim], `pooled` float16 [n_pooled, dim], and where patches lie."""

    page: PageRef
    visual: NDArray[np.float16]
    pooled: NDArray[np.float16]
    layout: PatchLayout

    def __post_init__(self) -> None:
        check_vectors(f"visual of page {self.page.page_number}", self.visual)
        check_vectors(f"visual_pooled of page {self.page.page_number}", self.pooled)
        if any(block.stop > len(self.visual) for block in self.layout.blocks):
            raise ValueError(f"a block of patches ends after the page's {len(self.visual)} visual vectors")
