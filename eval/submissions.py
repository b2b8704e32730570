"""Predictions made by anything, as `docrag score` takes them: one line a question, joined with the benchmark's references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from docrag.errors import UsageError
from docrag.eval.entries import Entry, read_entries
from docrag.eval.questions import Question, question_ids
from docrag.eval.scoring import Item, Value

_SHOWN = 80  # characters of a question


@dataclass(frozen=True, slots=True)
class StrayLine:
    """A line that is not counted: `where` names file and line, `question_id` the question, or what the line says it is."""

    where: str
    question_id: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How a file of predictions fits `gold` questions. `missing` are the ids of those that no line is about.

    `duplicates` are about a question that an earlier line is about, `unknown` about none of the gold file.
    """

    gold: int
    missing: tuple[str, ...]
    duplicates: tuple[StrayLine, ...]
    unknown: tuple[StrayLine, ...]


@dataclass(frozen=True, slots=True)
class Submission:
    """What is scored, in the file's order, then the missing questions. `coverage` None: there is no gold file to tell by."""

    items: tuple[Item, ...]
    coverage: Coverage | None


def load_submission(path: Path, gold: Sequence[Question] | None = None) -> Submission:
    """The lines (or list entries) of `path`, each with a `prediction` (or `pred`): any JSON value, null where there is none.

    Without `gold` a line carries its reference as well: `answer` and `answer_format`; where `doc_id`, `question`, `doc_type`,
    `evidence_pages` or `evidence_sources` are absent the item is in no group that needs them. With `gold` the references are
    its own, and a line's question is found by `question_id`, or by `doc_id` and `question`; the first line about a question
    counts. Raises UsageError that names the file, the line and the field, also where no line is about any question.
    """
    entries = read_entries(path)
    if not any(entry.has("prediction") or entry.has("pred") for entry in entries):
        found = ", ".join(entries[0].fields) or "no key"
        raise UsageError(f"{path}: no line has the key prediction (or pred); the first one has {found}")
    return _alone(entries) if gold is None else _join(entries, gold)


def load_items(path: Path, gold: Sequence[Question] | None = None) -> tuple[Item, ...]:
    """The items of `load_submission`, for who does not ask what is missing."""
    return load_submission(path, gold).items


def to_item(question: Question, prediction: Value | None) -> Item:
    return Item(
        question_id=question.question_id,
        doc_id=question.doc_id,
        doc_type=question.doc_type,
        question=question.question,
        answer=question.answer,
        answer_format=question.answer_format,
        evidence_pages=question.evidence_pages,
        evidence_sources=question.evidence_sources,
        prediction=prediction,
    )


def _alone(entries: Sequence[Entry]) -> Submission:
    computed = question_ids([(_text(entry, "doc_id"), _text(entry, "question")) for entry in entries])
    return Submission(tuple(map(_item, entries, computed)), coverage=None)


def _item(entry: Entry, computed_id: str) -> Item:
    entry = entry.without_nulls()
    return Item(
        question_id=_own_id(entry) or computed_id,
        doc_id=_text(entry, "doc_id"),
        doc_type=_text(entry, "doc_type"),
        question=_text(entry, "question"),
        answer=entry.any_value("answer"),
        answer_format=entry.answer_format(),
        evidence_pages=entry.evidence_pages() if _is_there(entry, "evidence_pages") else None,
        evidence_sources=entry.evidence_sources() if _is_there(entry, "evidence_sources") else (),
        prediction=_predicted(entry),
    )


def _join(entries: Sequence[Entry], gold: Sequence[Question]) -> Submission:
    by_id = {question.question_id: question for question in gold}
    asked: dict[tuple[str, str], list[str]] = {}
    for question in gold:
        asked.setdefault(_key(question.doc_id, question.question), []).append(question.question_id)
    predicted: dict[str, Value | None] = {}
    duplicates: list[StrayLine] = []
    unknown: list[StrayLine] = []
    for entry in entries:
        own_id = _own_id(entry)
        # Some questions stand twice in the benchmark: the lines about them are taken in the gold file's order.
        named = [own_id] if own_id in by_id else asked.get(_key(_document(entry), _text(entry, "question")), [])
        question_id = next((name for name in named if name not in predicted), None)
        if question_id is not None:
            predicted[question_id] = _predicted(entry)
        elif named:
            duplicates.append(StrayLine(entry.where, named[-1]))
        else:
            unknown.append(StrayLine(entry.where, own_id))
    if gold and not predicted:
        raise _nothing_fits(entries[0], gold[0])
    missing = tuple(question_id for question_id in by_id if question_id not in predicted)
    items = tuple(to_item(by_id[question_id], predicted.get(question_id)) for question_id in [*predicted, *missing])
    return Submission(items, Coverage(len(by_id), missing, tuple(duplicates), tuple(unknown)))


def _nothing_fits(entry: Entry, question: Question) -> UsageError:
    line = f"question_id {_own_id(entry)!r}, doc_id {_document(entry)!r}, question {_text(entry, 'question')[:_SHOWN]!r}"
    wanted = f"question_id {question.question_id!r}, doc_id {question.doc_id!r}, question {question.question[:_SHOWN]!r}"
    return UsageError(
        f"{entry.where}: neither this line nor any other is about a question of the gold file\n"
        f"  this line: {line}\n  the first question: {wanted}",
        "a line is found by question_id, or by doc_id and question: name the questions that the predictions are about",
    )


def _key(doc_id: str, question: str) -> tuple[str, str]:
    return doc_id.strip(), " ".join(question.split())


def _predicted(entry: Entry) -> Value | None:
    return cast("Value | None", entry.fields.get("prediction" if entry.has("prediction") else "pred"))


def _own_id(entry: Entry) -> str:
    """The line's `question_id`, also where that is a number; "" where it has none."""
    value = entry.fields.get("question_id")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(entry, "question_id")


def _text(entry: Entry, name: str) -> str:
    return entry.text(name) if _is_there(entry, name) else ""


def _document(entry: Entry) -> str:
    """`doc_id`, which a library's own questions call `document`."""
    return _text(entry, "doc_id") or _text(entry, "document")


def _is_there(entry: Entry, name: str) -> bool:
    return entry.fields.get(name) not in (None, "")
