"""Answers from labelled values: 'Date: 3 March', and a big number with what it counts below it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from docrag.pipelines.extract.candidates import Candidate, label_fit, support, terms_of
from docrag.pipelines.extract.page_view import PageView
from docrag.pipelines.extract.rows import Cell, Row, overlap
from docrag.pipelines.extract.values import find_values, is_numeric_cell, write_answer
from docrag.pipelines.question_type import Asked

_LABEL = re.compile(r"((?:[\w.'’/&()-]+\s){0,5}[\w.'’/&()-]+)\s?:\s*")
_LONGEST = 12  # words of a value
_NAME_WORDS = 5
_BELOW_GAP = 3  # of the label's height, between a label and what stands below it
_STACK_GAP = 1.2  # of the number's height, between a number and its caption


def pair_candidates(asked: Asked, weights: Mapping[str, float], view: PageView) -> Iterator[Candidate]:
    """Candidates from 'Label: value' inside one cell of the page, and from numbers with a caption."""
    for number, row in enumerate(view.rows):
        for at, cell in enumerate(row.cells):
            if ":" in cell.text:
                over = tuple(
                    other for above in view.rows[max(0, number - 6) : number] for other in above.cells if overlap(other, cell)
                )
                after = row.cells[at + 1 : at + 2] or _below(view.rows[number + 1 : number + 2], row, cell)
                yield from _labelled(asked, weights, view, cell, after, over)
            elif asked.kind in ("count", "percent", "money", "quantity") and is_numeric_cell(cell.text):
                yield from _stacked(asked, weights, view, number, cell)
            elif asked.kind in ("person", "value", "text"):
                yield from _carded(asked, weights, view, number, cell)


def _below(rows: tuple[Row, ...], row: Row, cell: Cell) -> tuple[Cell, ...]:
    """The cell under a label that ends its line, where it has the line to itself: else the label heads rows of a table."""
    if not rows or len(rows[0].cells) > 1 or rows[0].y0 - row.y1 > _BELOW_GAP * (row.y1 - row.y0):
        return ()
    return tuple(other for other in rows[0].cells if overlap(other, cell))[:1]


def _labelled(
    asked: Asked, weights: Mapping[str, float], view: PageView, cell: Cell, after: tuple[Cell, ...], over: tuple[Cell, ...]
) -> Iterator[Candidate]:
    marks = [at for at, word in enumerate(cell.words) if view.words[word].endswith(":")]
    for order, mark in enumerate(marks):
        first = marks[order - 1] + 1 if order else 0
        label = cell.words[max(first, mark - 5) : mark + 1]
        until = marks[order + 1] if order + 1 < len(marks) else len(cell.words)
        value = cell.words[mark + 1 : until] or (after[0].words if after and order + 1 == len(marks) else ())
        own = terms_of(view, label)
        if not value or not own & frozenset(asked.terms):
            continue
        text = " ".join(view.words[word] for word in value)
        several = order + 1 < len(marks)
        for answer in _typed(asked, text, several):
            met = support(asked, weights, own | asked.implied, terms_of(view, (w for c in over for w in c.words)), view)
            yield Candidate(write_answer(answer, asked), view, (*label, *value), value, "pair", met, label_fit(asked, own))


def _typed(asked: Asked, text: str, several: bool) -> list[str]:
    """The one value of the kind asked for in `text`; where another label follows in the line, the first word of it."""
    if asked.kind in ("value", "text", "person"):
        words = text.split()
        if several:
            return words[:1]
        return [text] if len(words) <= _LONGEST else []
    return [value.text for value in find_values(text, asked.kind)[:1]]


def _stacked(asked: Asked, weights: Mapping[str, float], view: PageView, number: int, cell: Cell) -> Iterator[Candidate]:
    """A number that stands alone over (or under) the words that say what it counts."""
    row = view.rows[number]
    height = row.y1 - row.y0
    for step in (1, -1):
        if not 0 <= number + step < len(view.rows):
            continue
        other = view.rows[number + step]
        gap = other.y0 - row.y1 if step > 0 else row.y0 - other.y1
        for caption in other.cells:
            own = terms_of(view, caption.words)
            near = gap < _STACK_GAP * height and len(caption.words) <= 8 and overlap(caption, cell)
            if near and own & frozenset(asked.focus) and not is_numeric_cell(caption.text):
                met = support(asked, weights, own | asked.implied, frozenset(), view)
                words = (*cell.words, *caption.words)
                yield Candidate(write_answer(cell.text, asked), view, words, cell.words, "pair", met, label_fit(asked, own))


def _carded(asked: Asked, weights: Mapping[str, float], view: PageView, number: int, cell: Cell) -> Iterator[Candidate]:
    """Name over role, as on cards and under signatures: who holds a role, or what somebody's position is."""
    rows = view.rows[number : number + 2]
    if len(rows) < 2 or len(cell.words) > _NAME_WORDS or rows[1].y0 - rows[0].y1 > rows[0].y1 - rows[0].y0:
        return
    name = terms_of(view, cell.words)
    for role in rows[1].cells:
        own = terms_of(view, role.words)
        if len(role.words) > _LONGEST or not overlap(role, cell):
            continue
        words = (*cell.words, *role.words)
        if asked.kind == "person" and own & frozenset(asked.terms) and _is_name(cell.text):
            met = support(asked, weights, own, frozenset(), view)
            yield Candidate(cell.text, view, words, cell.words, "pair", met, label_fit(asked, own))
        elif asked.asks_role and name and name <= frozenset(asked.terms):
            met = support(asked, weights, name | asked.asks_role, frozenset(), view)
            yield Candidate(role.text, view, words, role.words, "pair", met, 0.8)


def _is_name(text: str) -> bool:
    return [value.text for value in find_values(text, "person")] == [text.strip(" ,")]
