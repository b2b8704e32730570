"""Five questions, what a scripted answerer makes of them, and runs of these."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from docrag.eval.predictions import Prediction
from docrag.eval.questions import Question, question_ids
from docrag.eval.run import RunConfig, RunOptions, run_benchmark
from docrag.eval.summary import Summary
from docrag.types import NOT_ANSWERABLE, Citation

CONFIG = RunConfig(settings={"reader": "quote", "k": 5}, fingerprints={"bm25": "b1"}, library={"documents": 3, "sha256": "a"})
FILES = ["config.json", "predictions.jsonl", "questions.jsonl", "scores.json", "summary.json", "summary.md"]


def make_questions() -> tuple[Question, ...]:
    rows = [
        ("a.pdf", "Which colour?", "red", (2,), ("Table",)),
        ("a.pdf", "Which shape?", "round", (2, 4), ("Figure",)),
        ("b.pdf", "Which size?", NOT_ANSWERABLE, (), ()),
        ("b.pdf", "Which taste?", "sweet", (1, 99), ("Table", "Chart|Map")),
        ("c.pdf", "Which price?", "cheap", (3,), ("Table",)),
    ]
    ids = question_ids([(row[0], row[1]) for row in rows])
    return tuple(
        Question(
            question_id,
            doc_id,
            f"Type {doc_id[0]}",
            text,
            answer,
            pages,
            sources,
            "None" if answer == NOT_ANSWERABLE else "Str",
        )
        for question_id, (doc_id, text, answer, pages, sources) in zip(ids, rows, strict=True)
    )


QUESTIONS = make_questions()
ANSWERS = {"Which colour?": "red", "Which shape?": NOT_ANSWERABLE, "Which size?": NOT_ANSWERABLE, "Which taste?": "sweet"}


def answer(question: Question) -> Prediction:
    """Right but for one refusal; c.pdf could not be ingested; ranks pages 1, 2, 3, 4."""
    if question.doc_id == "c.pdf":
        return Prediction.failed(question.question_id)
    text = ANSWERS[question.question]
    return Prediction(
        question_id=question.question_id,
        answer=text,
        outcome="not_answerable" if text == NOT_ANSWERABLE else "answered",
        confidence=0.5,
        document_pages=10,
        ranked_pages=(1, 2, 3, 4),
        ranked_library=(("c.pdf", 1), (question.doc_id, 2)),
        citations=(Citation(question.doc_id, 2, "ii", "it is\n“red”", (1.0, 2.0, 3.5, 4.0), True),) if text == "red" else (),
        milliseconds=12.5,
    )


def run(
    out_dir: Path, answerer: Callable[[Question], Prediction] = answer, config: RunConfig = CONFIG, **options: Any
) -> Summary:
    return run_benchmark(QUESTIONS, answerer, out_dir, config, RunOptions(**options))


def files(out_dir: Path) -> list[str]:
    """The names in a run's folder, but for its lock."""
    return sorted(path.name for path in out_dir.iterdir() if path.name != ".lock")


def unasked(question: Question) -> Prediction:
    raise AssertionError(f"asked again: {question.question}")


def scores(out_dir: Path) -> bytes:
    return (out_dir / "scores.json").read_bytes()
