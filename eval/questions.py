"""A benchmark's question, what it is known by, and the fingerprint of a list of them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from docrag.eval.scoring import AnswerFormat
from docrag.types import NOT_ANSWERABLE


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one document, or about the whole library where `doc_id` is "".

    `evidence_pages` are 1-based and as in the data: some lie outside the document. `answer` is the reference as text; a list is
    written as Python writes it. `doc_type` "": not known.
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
