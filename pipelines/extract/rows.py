"""The visual rows of a page and the cells in them, from the words' boxes alone.

A PDF's own blocks and lines often split a table by cell or by column; where the words stand does not.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from docrag.types import PageContent

_SAME_HEIGHT = 0.4  # of a line's height, that the middles of two lines of a row may be apart
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
    boxes = content.word_boxes.tolist()
    return [_row(numbers, words, boxes) for numbers in _join_lines(_lines(content.text), boxes)]


def _lines(text: str) -> list[list[int]]:
    """The numbers of the words of each line."""
    lines: list[list[int]] = []
    number = 0
    for line in text.split("\n"):
        size = len(line.split())
        if size:
            lines.append(list(range(number, number + size)))
        number += size
    return lines


def _join_lines(lines: list[list[int]], boxes: list[list[float]]) -> list[list[int]]:
    """Lines that stand side by side, as one: a scan is never quite straight, so lines are compared, not words."""

    def middle(line: list[int]) -> float:
        return sum(boxes[number][1] + boxes[number][3] for number in line) / (2 * len(line))

    def reach(line: list[int]) -> float:
        return _SAME_HEIGHT * max(boxes[number][3] - boxes[number][1] for number in line)

    rows: list[list[int]] = []
    at = last_reach = -math.inf
    for line in sorted(lines, key=middle):
        if rows and middle(line) - at <= min(reach(line), last_reach):
            rows[-1] += line
        else:
            rows.append(list(line))
            at, last_reach = middle(line), reach(line)
    return rows


def _row(numbers: list[int], words: list[str], boxes: list[list[float]]) -> Row:
    numbers = sorted(numbers, key=lambda number: (boxes[number][0], number))
    height = median(boxes[number][3] - boxes[number][1] for number in numbers)
    cells: list[list[int]] = [[numbers[0]]]
    right = boxes[numbers[0]][2]
    for before, number in pairwise(numbers):
        if boxes[number][0] - right > _cell_gap(words[before], words[number]) * height:
            cells.append([])
        cells[-1].append(number)
        right = max(right, boxes[number][2])
    return Row(
        cells=tuple(_cell(cell, words, boxes) for cell in cells),
        y0=min(boxes[number][1] for number in numbers),
        y1=max(boxes[number][3] for number in numbers),
    )


def _cell_gap(before: str, after: str) -> float:
    """How wide a gap parts two words into cells, in heights: little between two numbers, which text seldom sets in a row."""
    if not (before[-1].isdigit() or before[-1] in ")%") or not _NUMBER_BEGINS.match(after):
        return _CELL_GAP
    return 0.5 * _CELL_GAP if after[0] == "(" else 0.25 * _CELL_GAP


def _cell(numbers: list[int], words: list[str], boxes: list[list[float]]) -> Cell:
    text = " ".join(words[number] for number in numbers)
    return Cell(tuple(numbers), text, min(boxes[number][0] for number in numbers), max(boxes[number][2] for number in numbers))


def overlap(one: Cell, other: Cell) -> bool:
    """Whether two cells stand above one another: the narrower one shares a third of its width."""
    shared = min(one.x1, other.x1) - max(one.x0, other.x0)
    return shared > 0.3 * min(one.x1 - one.x0, other.x1 - other.x0)
