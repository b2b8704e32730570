"""The visual rows of a page and the cells in them, from the words' boxes alone.

A PDF's own blocks and lines often split a table by cell or by column; where the words stand does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from docrag.types import PageContent

_CELL_GAP = 0.8  # of a word's height; blanks in running text are 0.2 to 0.5 of it, also when justified

_NUMBER_BEGINS = re.compile(r"[($€£¥+−–-]*\d")


@dataclass(frozen=True, slots=True)
class Cell:
    """Words of one row with no wide gap between them. `words` are their numbers on the page, from left to right."""

    words: tuple[int, ...]
    text: str
    x0: float
    x1: float


@dataclass(frozen=True, slots=True)
class Row:
    """Cells from left to right that stand at one height; `y0`, `y1` in points."""

    cells: tuple[Cell, ...]
    y0: float
    y1: float

    @property
    def text(self) -> str:
        return " ".join(cell.text for cell in self.cells)


def page_rows(content: PageContent) -> list[Row]:
    """The rows of a page from top to bottom; [] for a page without words."""
    words = content.text.split()
    if not words:
        return []
    boxes = content.word_boxes.astype(np.float64)
    return [_row(numbers, words, boxes) for numbers in _by_height(boxes)]


def _by_height(boxes: np.ndarray) -> list[list[int]]:
    """Word numbers, grouped where a word's middle lies inside the height of the row's first word."""
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    groups: list[list[int]] = []
    bottom = -np.inf
    top = -np.inf
    for number in np.argsort(middles, kind="stable").tolist():
        if not groups or not top <= middles[number] <= bottom:
            groups.append([])
            height = boxes[number, 3] - boxes[number, 1]
            # The inner 80 %: ascenders of tight lines overlap.
            top, bottom = middles[number] - 0.4 * height, middles[number] + 0.4 * height
        groups[-1].append(number)
    return groups


def _row(numbers: list[int], words: list[str], boxes: np.ndarray) -> Row:
    numbers = sorted(numbers, key=lambda number: (boxes[number, 0], number))
    height = float(np.median(boxes[numbers, 3] - boxes[numbers, 1]))
    cells: list[list[int]] = [[numbers[0]]]
    right = boxes[numbers[0], 2]
    for before, number in pairwise(numbers):
        if boxes[number, 0] - right > _cell_gap(words[before], words[number]) * height:
            cells.append([])
        cells[-1].append(number)
        right = max(right, boxes[number, 2])
    return Row(
        cells=tuple(_cell(cell, words, boxes) for cell in cells),
        y0=float(boxes[numbers, 1].min()),
        y1=float(boxes[numbers, 3].max()),
    )


def _cell_gap(before: str, after: str) -> float:
    """How wide a gap parts two words into cells, in heights: little between two numbers, which text seldom sets in a row."""
    if not (before[-1].isdigit() or before[-1] in ")%") or not _NUMBER_BEGINS.match(after):
        return _CELL_GAP
    return 0.5 * _CELL_GAP if after[0] == "(" else 0.25 * _CELL_GAP


def _cell(numbers: list[int], words: list[str], boxes: np.ndarray) -> Cell:
    text = " ".join(words[number] for number in numbers)
    return Cell(tuple(numbers), text, float(boxes[numbers, 0].min()), float(boxes[numbers, 2].max()))


def overlap(one: Cell, other: Cell) -> bool:
    """Whether two cells stand above one another: the narrower one shares a third of its width."""
    shared = min(one.x1, other.x1) - max(one.x0, other.x0)
    return shared > 0.3 * min(one.x1 - one.x0, other.x1 - other.x0)
