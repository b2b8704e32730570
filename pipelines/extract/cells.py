"""Answers from tables and labelled values: a row's label and a column's head against the words of the question.

Columns are found by where the words stand: what lies above a cell and overlaps it from left to right is its head.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from docrag.pipelines.extract.candidates import Candidate, label_fit, support, terms_of
from docrag.pipelines.extract.page_view import PageView
from docrag.pipelines.extract.rows import Cell, Row, overlap
from docrag.pipelines.extract.values import find_values, is_numeric_cell, write_answer
from docrag.pipelines.question_type import Asked

_HEAD_ROWS = 3  # rows of column heads, at most
_LOOK_UP = 60  # rows above a cell in which its heads are looked for
_NUMERIC = ("count", "percent", "money", "quantity", "value", "text")
_LABELLED = re.compile(r"[^\W\d]:(?:\s|$)")
_HEADS = 0.3  # of a cell's fit, that the heads of its column have
_HEAD_GAP = 3  # heights of the row, that a head may stand beside its column
_SIGNS = frozenset("$€£¥%")
_LONG_VALUE = 6
_LONG_LABEL = 14  # words: what is longer is running text, no label


@dataclass(frozen=True, slots=True)
class _Place:
    """A value cell with its row's number, the cells that label it, the words of its column's heads, and what
    stands over the table."""

    row: int
    cell: Cell
    labels: tuple[Cell, ...]
    heads: tuple[int, ...]
    over: tuple[Cell, ...]


def cell_candidates(asked: Asked, weights: Mapping[str, float], view: PageView) -> Iterator[Candidate]:
    """Candidates from rows with a label that shares a term with the question."""
    wanted = frozenset(asked.terms)
    for number, row in enumerate(view.rows):
        if len(row.cells) < 2:
            continue
        for at in range(1, len(row.cells)):
            labels = row.cells[:at]
            if len(labels[0].words) > _LONG_LABEL:
                break
            if wanted & _terms(view, labels) and ":" not in labels[-1].text[:-1] and _answers(asked, row.cells[at]):
                place = _place(view, number, at)
                if not place.heads and len(row.cells) > 2 and not is_numeric_cell(place.cell.text):
                    continue  # a row of words without heads is itself a row of heads
                yield _candidate(asked, weights, view, place)


def _answers(asked: Asked, cell: Cell) -> bool:
    """Whether a cell's text is of the kind that the question asks for."""
    if len(cell.words) > _LONG_LABEL or "..." in cell.text or _LABELLED.search(cell.text):
        return False
    if asked.kind in _NUMERIC and is_numeric_cell(cell.text):
        return asked.kind != "percent" or "%" in cell.text or "$" not in cell.text
    if asked.kind in ("value", "text"):
        return (
            not find_values(cell.text, "year")
            and len(cell.words) <= _LONG_VALUE
            and (cell.text[0].isupper() or cell.text[0].isdigit())
        )
    if asked.kind == "person":
        return cell.text[0].isupper() and len(cell.words) <= _LONG_VALUE and not any(letter.isdigit() for letter in cell.text)
    found = find_values(cell.text, asked.kind)
    return len(found) == 1 and len(found[0].text) >= 0.6 * len(cell.text)


def _place(view: PageView, number: int, at: int) -> _Place:
    row = view.rows[number]
    labels = tuple(cell for cell in row.cells[:at] if not is_numeric_cell(cell.text))
    heads = tuple(_heads(view, number, row.cells[at]))
    over = tuple(_over(view.rows, number, row))
    return _Place(number, row.cells[at], labels, heads, over)


def _heads(view: PageView, number: int, cell: Cell) -> Iterator[int]:
    """The words above that stand over `cell`, in rows without values: the nearest few, on lines that follow on one another."""
    found = 0
    row = view.rows[number]
    edge = row.y0
    for above in reversed(view.rows[max(0, number - _LOOK_UP) : number]):
        height = above.y1 - above.y0
        if edge - above.y1 > (1.5 if found else 6) * height or found == _HEAD_ROWS or (found and len(above.cells) == 1):
            return
        edge = above.y0
        if any(is_numeric_cell(other.text) for other in above.cells) or len(above.cells) < 2:
            continue
        over = [other for other in above.cells if len(other.words) <= _LONG_LABEL and _stands_over(other, cell, row)]
        found += bool(over)
        for head in over:
            yield from _own_words(view, head, cell, row)


def _stands_over(head: Cell, cell: Cell, row: Row) -> bool:
    """Whether a head overlaps a cell, or is nearer to it than to all others of its row: heads are centred, numbers are not."""
    if overlap(head, cell):
        return True
    others = [other for other in row.cells if other.text not in _SIGNS]
    nearest = min(others, key=lambda other: abs(other.x0 + other.x1 - head.x0 - head.x1))
    gap = max(head.x0 - cell.x1, cell.x0 - head.x1)
    return nearest is cell and gap < _HEAD_GAP * (row.y1 - row.y0) and not any(overlap(head, other) for other in others)


def _own_words(view: PageView, head: Cell, cell: Cell, row: Row) -> tuple[int, ...]:
    """The words of a head that belong to `cell`'s column: all, unless several heads were set too close to be told apart.

    That is so where a head spans several columns and has as many numbers, as in 'Revenue 2024 Revenue 2023'.
    """
    spanned = [other for other in row.cells if overlap(head, other)]
    numbered = sum(any(letter.isdigit() for letter in view.words[word]) for word in head.words)
    if len(spanned) < 2 or numbered < len(spanned):
        return head.words
    boxes = view.evidence.content.word_boxes

    def column(word: int) -> Cell:
        middle = float(boxes[word, 0] + boxes[word, 2])
        return min(spanned, key=lambda other: abs(other.x0 + other.x1 - middle))

    return tuple(word for word in head.words if column(word) is cell)


def _over(rows: tuple[Row, ...], number: int, row: Row) -> Iterator[Cell]:
    """Rows of one cell above: the groups that the row stands in, and the table's own title."""
    found = 0
    for above in reversed(rows[max(0, number - _LOOK_UP) : number]):
        if len(above.cells) == 1 and len(above.cells[0].words) <= 2 * _LONG_LABEL:
            found += 1
            yield above.cells[0]
        if found == 4:
            return


def _terms(view: PageView, cells: tuple[Cell, ...]) -> frozenset[str]:
    return frozenset(term for cell in cells for word in cell.words for term in view.word_terms[word])


def _candidate(asked: Asked, weights: Mapping[str, float], view: PageView, place: _Place) -> Candidate:
    label, heads = _terms(view, place.labels), terms_of(view, place.heads)
    met = support(asked, weights, label | heads | _implied(asked, place.cell), _terms(view, place.over), view)
    words = (*(word for cell in place.labels for word in cell.words), *place.cell.words)
    return Candidate(
        answer=write_answer(place.cell.text, asked),
        view=view,
        words=words,
        value=place.cell.words,
        how="cell" if place.heads else "pair",
        support=met,
        fit=max((label_fit(asked, _terms(view, (cell,))) for cell in place.labels), default=0.0)
        * (1 - _HEADS + _HEADS * label_fit(asked, heads) if heads else 1),
    )


def _implied(asked: Asked, cell: Cell) -> frozenset[str]:
    return asked.implied if find_values(cell.text, asked.kind) or asked.kind == "value" else frozenset()
