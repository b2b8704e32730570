"""Predictions made by anything, as `docrag score` takes them: one line a question, joined with the benchmark's references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from docrag.errors import UsageError
from docrag.eval.entries import Entry, read_entries
from docrag.eval.mmlongbench import Question, question_ids
from docrag.eval.scoring import Item, Value


def load_items(path: Path, gold: Sequence[Question] | None = None) -> tuple[Item, ...]:
    """What `docrag score` scores: a line (or list entry) a question, with `prediction` or `pred`.

    Without `gold` a line carries its reference as well: `answer` and `answer_format`; where `doc_id`, `question`, `doc_type`,
    `evidence_pages` or `evidence_sources` are absent the item is in no group that needs them. With `gold` the question is
    found by `question_id`, or by `doc_id` and `question`, and questions without a line follow at the end, unscored. A
    prediction that is null is unscored too. Raises UsageError that names the file, the line and the field.
    """
    entries = read_entries(path)
    if not any(entry.has("prediction") or entry.has("pred") for entry in entries):
        found = ", ".join(entries[0].fields) or "no key"
        raise UsageError(f"{path}: no line has the key prediction (or pred); the first one has {found}")
    computed = question_ids([(_optional_text(entry, "doc_id"), _optional_text(entry, "question")) for entry in entries])
    if gold is None:
        return tuple(map(_item, entries, computed))
    return _join(path, entries, computed, {question.question_id: question for question in gold})


def _item(entry: Entry, computed_id: str) -> Item:
    return Item(
        question_id=entry.text("question_id") if entry.has("question_id") else computed_id,
        doc_id=_optional_text(entry, "doc_id"),
        doc_type=_optional_text(entry, "doc_type"),
        question=_optional_text(entry, "question"),
        answer=entry.value("answer"),
        answer_format=entry.answer_format(),
        evidence_pages=entry.evidence_pages() if entry.has("evidence_pages") else None,
        evidence_sources=entry.evidence_sources() if entry.has("evidence_sources") else (),
        prediction=_predicted(entry),
    )


def _join(path: Path, entries: Sequence[Entry], computed: Sequence[str], gold: Mapping[str, Question]) -> tuple[Item, ...]:
    predicted: dict[str, Value | None] = {}
    for entry, computed_id in zip(entries, computed, strict=True):
        own_id = entry.fields.get("question_id")
        question_id = own_id if isinstance(own_id, str) and own_id in gold else computed_id
        if question_id not in gold:
            hint = "a line is matched by question_id, or by doc_id and question"
            raise UsageError(f"{entry.where}: no such question in the gold file", hint)
        if question_id in predicted:
            raise UsageError(f"{entry.where}: a second prediction for the question {question_id}")
        predicted[question_id] = _predicted(entry)
    without = [question_id for question_id in gold if question_id not in predicted]
    return tuple(to_item(gold[question_id], predicted.get(question_id)) for question_id in [*predicted, *without])


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


def _predicted(entry: Entry) -> Value | None:
    name = "prediction" if entry.has("prediction") else "pred"
    return entry.value(name) if entry.fields.get(name) is not None else None


def _optional_text(entry: Entry, name: str) -> str:
    return entry.text(name) if entry.has(name) else ""
