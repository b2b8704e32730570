"""Questions in the form of MMLongBench-Doc (arXiv:2407.01523): `samples.json` beside a folder `documents/`, or a file alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath

from docrag.errors import UsageError
from docrag.eval.entries import Entry, read_entries
from docrag.eval.scoring import AnswerFormat
from docrag.types import NOT_ANSWERABLE


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one document. `evidence_pages` are 1-based and as in the data: some lie outside the document.

    `answer` is the reference as text; a list is written as Python writes it.
    """

    question_id: str
    doc_id: str
    doc_type: str
    question: str
    answer: str
    evidence_pages: tuple[int, ...]
    evidence_sources: tuple[str, ...]
    answer_format: AnswerFormat

    @property
    def answerable(self) -> bool:
        return self.answer != NOT_ANSWERABLE


def load_questions(path: Path) -> tuple[Question, ...]:
    """The questions of a folder (its samples.json), of a JSON file or of a JSON-lines file, in the file's order.

    Raises UsageError that names the file, the entry and the field.
    """
    entries = read_entries(path / "samples.json" if path.is_dir() else path)
    asked = [(entry.text("doc_id"), entry.text("question")) for entry in entries]
    return tuple(
        Question(
            question_id=question_id,
            doc_id=doc_id,
            doc_type=entry.text("doc_type"),
            question=question,
            answer=_reference(entry),
            evidence_pages=entry.evidence_pages(),
            evidence_sources=entry.evidence_sources(),
            answer_format=entry.answer_format(),
        )
        for entry, (doc_id, question), question_id in zip(entries, asked, question_ids(asked), strict=True)
    )


def question_ids(asked: Iterable[tuple[str, str]]) -> list[str]:
    """A short hash of each (doc_id, question) and its ordinal among equals."""
    seen: Counter[tuple[str, str]] = Counter()
    ids: list[str] = []
    for doc_id, question in asked:
        key = json.dumps([doc_id, question, seen[doc_id, question]])
        ids.append(hashlib.sha256(key.encode()).hexdigest()[:16])
        seen[doc_id, question] += 1
    return ids


def hash_questions(questions: Iterable[Question]) -> str:
    """The sha256 of the questions with everything that belongs to them."""
    lines = [json.dumps(asdict(question), sort_keys=True) for question in questions]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def document_path(data: Path, doc_id: str) -> Path:
    """Where the PDF of `doc_id` belongs: in `documents/` of the folder `data`, or beside it where `data` is a file.

    Whether it is there is not looked at. Raises UsageError where `doc_id` is no plain file name.
    """
    if PurePath(doc_id).name != doc_id or doc_id in ("", ".."):
        raise UsageError(f"doc_id must be a file name in documents/, got {doc_id!r}")
    return (data if data.is_dir() else data.parent) / "documents" / doc_id


def _reference(entry: Entry) -> str:
    value = entry.value("answer")
    if isinstance(value, float) and entry.answer_format() == "Int":
        value = int(value)  # the rule reads an Int reference by int(), which takes 5.0 but not "5.0"
    text = str(value)
    if not text.strip():
        raise entry.fault("answer", "is empty")
    return text
