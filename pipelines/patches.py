"""Which patches of a page are like which words of a question, and where on the page they lie: late interaction, looked at.

A page's score is the sum, over the words of the question, of the likeness of the patch that is most like that word (MaxSim:
Khattab and Zaharia, 2020; over image patches: Faysse et al., ColPali, 2024). The map of one word is its likeness to each patch,
as in the ColPali paper's figures and colpali-engine's `interpretability` module.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from docrag.index.visual_encoder import QuestionVectors
from docrag.pipelines.extract.terms import STOP
from docrag.types import Box
from docrag.visual import PatchBlock, PatchLayout

MAX_CELLS = 256  # a side: of a layout finer than any model's, the map is coarser
HALF_WAY = 0.5  # the best place ends where the likeness has fallen half-way from its peak to the page's median
NO_CONTRAST = 1e-6  # a page that is alike everywhere has no best place


@dataclass(frozen=True, slots=True, eq=False)
class WordMaps:
    """Likeness of words and page, in page space.

    `patches` int32 [rows, columns] has the index of the visual vector that each cell of the page shows, -1 where none does;
    `likeness` float32 [n_words, rows, columns] is each word's dot product with it, NaN where there is none. `telling` are
    the places in `words` of those that say what is looked for: no stop words.
    """

    words: tuple[str, ...]
    telling: tuple[int, ...]
    patches: NDArray[np.int32]
    likeness: NDArray[np.float32]

    @property
    def together(self) -> NDArray[np.float32]:
        """float32 [rows, columns]: the mean over the telling words. A word that is alike everywhere moves nothing."""
        return self.likeness[list(self.telling)].mean(axis=0)


def map_words(vectors: NDArray[np.float16], layout: PatchLayout, question: QuestionVectors) -> WordMaps:
    """The maps of a page's visual vectors (float16 [n, dim]) for each word of a question, the mean over the pieces of a word.

    What a model adds to a question (its prompt, padding that augments it) is no word; where there is nothing else, it is one.
    """
    patches = patch_grid(layout)
    likeness = (question.vectors @ vectors.astype(np.float32).T)[:, patches]
    likeness[:, patches < 0] = np.nan
    runs = [(word, [row for row, _ in run]) for word, run in groupby(enumerate(question.words), key=lambda pair: pair[1])]
    kept = [(word, rows) for word, rows in runs if word] or [("", list(range(len(question.words))))]
    words = tuple(word for word, _ in kept)
    telling = tuple(at for at, word in enumerate(words) if _tells(word))
    maps = np.stack([likeness[rows].mean(axis=0) for _, rows in kept])
    return WordMaps(words, telling or tuple(range(len(words))), patches, maps)


def patch_grid(layout: PatchLayout) -> NDArray[np.int32]:
    """int32 [rows, columns] over the whole page: the index of the vector that each cell shows, -1 where none does.

    Of several blocks on one place (an overview and tiles) the finest is shown, for it says most exactly where.
    """
    blocks = sorted((block for block in layout.blocks if _density(block) > 0), key=_density)
    rows = max((round(block.rows / (block.area[3] - block.area[1])) for block in blocks), default=0)
    columns = max((round(block.columns / (block.area[2] - block.area[0])) for block in blocks), default=0)
    grid = np.full((min(rows, MAX_CELLS), min(columns, MAX_CELLS)), -1, np.int32)
    for block in blocks:
        down = _steps(grid.shape[0], block.area[1], block.area[3], block.rows)
        across = _steps(grid.shape[1], block.area[0], block.area[2], block.columns)
        inside = np.ix_((down >= 0) & (down < block.rows), (across >= 0) & (across < block.columns))
        grid[inside] = (block.start + down[:, None] * block.columns + across[None, :])[inside]
    return grid


def best_box(
    vectors: NDArray[np.float16], layout: PatchLayout, question: QuestionVectors, size_pt: tuple[float, float]
) -> Box | None:
    """The box, in points, of the place on a page of `size_pt` (width, height) that is most like a question's words."""
    return box_of(map_words(vectors, layout, question), layout, size_pt)


def box_of(maps: WordMaps, layout: PatchLayout, size_pt: tuple[float, float]) -> Box | None:
    """The box around the patches that hang together with the best one, all words taken together; None where none stands out."""
    together = maps.together
    if not np.isfinite(together).any():
        return None
    peak, ground = float(np.nanmax(together)), float(np.nanmedian(together))
    if peak - ground < NO_CONTRAST:
        return None
    start = np.unravel_index(int(np.nanargmax(together)), together.shape)
    cells = _connected(together >= ground + HALF_WAY * (peak - ground), (int(start[0]), int(start[1])))
    boxes = [box for patch in {int(maps.patches[cell]) for cell in cells} if (box := layout.patch_box(patch, *size_pt))]
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


def _tells(word: str) -> bool:
    return all(part not in STOP for part in word.casefold().split())


def _density(block: PatchBlock) -> float:
    """Patches for the area of a page; 0 where the block has no area."""
    x0, y0, x1, y1 = block.area
    area = (x1 - x0) * (y1 - y0)
    return block.rows * block.columns / area if area > 0 else 0.0


def _steps(cells: int, start: float, end: float, steps: int) -> NDArray[np.int32]:
    """For the middle of each of a page side's cells, on which of the block's `steps` from `start` to `end` it lies."""
    middles = (np.arange(cells) + 0.5) / cells
    return np.floor((middles - start) / (end - start) * steps).astype(np.int32)


def _connected(inside: NDArray[np.bool_], start: tuple[int, int]) -> Sequence[tuple[int, int]]:
    """The cells that are `inside` and can be reached from `start` over cells' sides."""
    reached, front = {start}, [start]
    while front:
        row, column = front.pop()
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            on_page = 0 <= near[0] < inside.shape[0] and 0 <= near[1] < inside.shape[1]
            if on_page and near not in reached and inside[near]:
                reached.add(near)
                front.append(near)
    return sorted(reached)
