"""Words -> the rows that an eye sees, and those -> paragraphs, renumbering `block` and `line` to match.

MuPDF calls each cell of a table row a line of its own, and one block may hold a table between two paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from docrag.ingest.words import Word, union
from docrag.types import Box

WIDE_GAP = 1.0  # of the font size, between two words: the cells of a table; blanks are 0.25 to 0.5
_PARAGRAPH_GAP = 0.8  # of the row's height, white below it
_BLANK_LINE_GAP = 0.3  # the same where the layer has a line of blanks there
_SIZE_CHANGE = 1.15


@dataclass(frozen=True, slots=True)
class Row:
    """Words side by side on a page, in reading order."""

    words: tuple[Word, ...]
    box: Box

    @property
    def size(self) -> float:
        """The font size of most of its letters, points."""
        return max(self.words, key=lambda word: len(word.text)).size

    @property
    def bold(self) -> bool:
        """Whether all that can be bold is: bullets and dashes often are not."""
        return all(word.bold for word in self.words if any(map(str.isalnum, word.text))) and any(
            word.bold for word in self.words
        )

    @property
    def height(self) -> float:
        return self.box[3] - self.box[1]

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    def cell_count(self) -> int:
        """How many stretches of words there are with a wide gap between them."""
        return 1 + sum(_is_wide(left, right) for left, right in pairwise(self.words))


def cells_of(row: Row) -> list[tuple[Word, ...]]:
    """The words of a row, cut at its wide gaps."""
    cuts = [place for place, (left, right) in enumerate(pairwise(row.words), start=1) if _is_wide(left, right)]
    return [row.words[start:end] for start, end in pairwise([0, *cuts, len(row.words)])]


def _is_wide(left: Word, right: Word) -> bool:
    return right.box[0] - left.box[2] > WIDE_GAP * left.size


def rows_of(words: Iterable[Word]) -> list[Row]:
    """Words that are numbered by rows (`regroup`), as rows."""
    return [_row(line) for _, line in groupby(words, key=lambda word: word.line)]


def _row(line: Iterable[Word]) -> Row:
    words = tuple(line)
    return Row(words, union([word.box for word in words]))


def _rows_by_eye(words: Iterable[Word]) -> list[Row]:
    """Lines of the layer that follow each other and stand side by side, left to right, make one row."""
    rows: list[Row] = []
    for _, line in groupby(words, key=lambda word: (word.block, word.line)):
        row = _row(line)
        if rows and _beside(rows[-1].box, row.box):
            rows[-1] = Row(rows[-1].words + row.words, union((rows[-1].box, row.box)))
        else:
            rows.append(row)
    return rows


def _beside(left: Box, right: Box) -> bool:
    """Whether the lower of the two boxes has its middle beside the other one, and `right` starts where `left` ends."""
    small, large = sorted((left, right), key=lambda box: box[3] - box[1])
    middle = (small[1] + small[3]) / 2
    return large[1] < middle < large[3] and right[0] >= left[2] - (small[3] - small[1])


def regroup(words: Sequence[Word]) -> list[Word]:
    """The same words in the same order, with `line` numbered by rows and `block` by paragraphs, from 0."""
    found: list[Word] = []
    block, last = 0, None
    for number, row in enumerate(_rows_by_eye(words)):
        if last is not None and _starts_paragraph(last, row):
            block += 1
        found += [Word(word.text, word.box, block, number, word.size, word.bold) for word in row.words]
        last = row
    return found


def _starts_paragraph(above: Row, row: Row) -> bool:
    end, start = above.words[-1], row.words[0]
    if start.block != end.block:
        return True
    height = max(above.height, row.height)
    white = row.box[1] - above.box[3]
    blank_line = start.line > end.line + 1
    if white > (_BLANK_LINE_GAP if blank_line else _PARAGRAPH_GAP) * height or row.box[1] < above.box[1] - height / 2:
        return True
    sizes = sorted((above.size, row.size))
    if sizes[1] > _SIZE_CHANGE * sizes[0]:
        return True
    return above.bold != row.bold and above.cell_count() == row.cell_count() == 1
