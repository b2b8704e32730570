"""Runs of a few questions, made for the figures that they must give."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docrag.eval.predictions import Prediction
from docrag.eval.questions import Question
from docrag.eval.record import RunRecord
from docrag.eval.scoring import FAIL_TO_ANSWER
from docrag.types import NOT_ANSWERABLE, Outcome

PAGES = 30  # of each document


def question(name: str, doc: str = "a.pdf", answer: str = "red", pages: tuple[int, ...] = (3,), **fields: Any) -> Question:
    is_there = answer != NOT_ANSWERABLE
    values: dict[str, Any] = {
        "doc_type": "Report",
        "question": f"{name}?",
        "evidence_pages": pages if is_there else (),
        "evidence_sources": ("Table",) if is_there else (),
        "answer_format": "Str" if is_there else "None",
    }
    return Question(question_id=name, doc_id=doc, answer=answer, **{**values, **fields})


def prediction(name: str, answer: str | None = "red", **fields: Any) -> Prediction:
    outcome: Outcome | None = (
        "not_answerable" if answer == NOT_ANSWERABLE else "failed" if answer == FAIL_TO_ANSWER else "answered"
    )
    values: dict[str, Any] = {
        "outcome": outcome if answer is not None else None,
        "confidence": 0.5,
        "document_pages": PAGES,
        "ranked_pages": (1, 3, 5),
        "ranked_library": None,
        "citations": (),
        "milliseconds": 100.0,
    }
    return Prediction(question_id=name, answer=answer, **{**values, **fields})


def record(questions: list[Question], predictions: list[Prediction], name: str = "run", **settings: Any) -> RunRecord:
    config = {"scope": "document", "settings": {"reader": "quote", **settings}}
    return RunRecord(Path(name), name, config, tuple(questions), {one.question_id: one for one in predictions})
