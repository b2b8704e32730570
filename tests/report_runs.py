"""Small runs for the tests of the report: questions of every kind, written to a folder as `docrag eval` does."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from docrag.eval.predictions import Prediction
from docrag.eval.questions import Question
from docrag.types import NOT_ANSWERABLE, Citation

HOSTILE = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 1"><!-- \u2028 &lt;b&gt;'
BOX = (72.0, 60.0, 200.0, 90.0)


def question(number: int, doc_id: str, answer: str, pages: Sequence[int] = (), **more: str) -> Question:
    text = more.get("text", f"What is written at place {number}?")
    kind = more.get("answer_format", "None" if answer == NOT_ANSWERABLE else "Str")
    sources = (more.get("source", "Table"),) if pages else ()
    return Question(f"q{number:03}", doc_id, more.get("doc_type", "Guidebook"), text, answer, tuple(pages), sources, kind)  # type: ignore[arg-type]


def said(one: Question, answer: str | None, ranked: Sequence[int] = (1, 2, 3), **more: object) -> Prediction:
    outcome = "not_answerable" if answer == NOT_ANSWERABLE else None if answer is None else "answered"
    fields = {
        "question_id": one.question_id,
        "answer": answer,
        "outcome": outcome,
        "confidence": 0.5,
        "document_pages": 8,
        "ranked_pages": tuple(ranked),
        "ranked_library": None,
        "citations": (),
        "milliseconds": 12.0,
        "read_pages": tuple(ranked[:3]),
        **more,
    }
    return Prediction(**fields)  # type: ignore[arg-type]


def cited(page: int, quote: str) -> Citation:
    return Citation("/library/fruit.pdf", page, str(page), quote, BOX, verified=True)


def fruit_questions() -> list[Question]:
    """Eight about fruit.pdf, four about tools.pdf."""
    return [
        question(1, "fruit.pdf", "red", [1]),
        question(2, "fruit.pdf", "yellow", [2], source="Chart"),
        question(3, "fruit.pdf", "small", [3, 7]),
        question(4, "fruit.pdf", NOT_ANSWERABLE),
        question(5, "fruit.pdf", NOT_ANSWERABLE),
        question(6, "fruit.pdf", "green", [1], text=f"Is this code? {HOSTILE}"),
        question(7, "fruit.pdf", "4", [2], answer_format="Int"),
        question(8, "fruit.pdf", "five", [99]),  # no such page
        *(question(number, "tools.pdf", "hammer", [1], doc_type="Brochure") for number in (9, 10)),
        *(question(number, "tools.pdf", NOT_ANSWERABLE, doc_type="Brochure") for number in (11, 12)),
    ]


def fruit_predictions() -> list[Prediction]:
    """Of the twelve, in order: right with a citation, wrong, refused wrongly, refused rightly, answered where nothing answers,
    hostile, failed, wrong, right, refused wrongly, refused rightly twice."""
    questions = fruit_questions()
    by_number = {int(one.question_id[1:]): one for one in questions}
    answers: dict[int, Prediction] = {
        1: said(by_number[1], "red", (1, 2, 3), citations=(cited(1, "Apples are red."),), confidence=0.9),
        2: said(by_number[2], "blue", (3, 1, 2), confidence=0.4),
        3: said(by_number[3], NOT_ANSWERABLE, (1, 2, 4, 5, 6, 8, 7), why="the support is weak"),
        4: said(by_number[4], NOT_ANSWERABLE),
        5: said(by_number[5], "purple", confidence=0.2),
        6: said(by_number[6], HOSTILE, citations=(cited(1, HOSTILE),), why=HOSTILE, response=HOSTILE),
        7: said(by_number[7], "Fail to answer", outcome="failed", why="the reply can't be read"),
        8: said(by_number[8], "5"),
        9: said(by_number[9], "hammer", (1,), document_pages=1),
        10: said(by_number[10], NOT_ANSWERABLE, (1,), document_pages=1),
        11: said(by_number[11], NOT_ANSWERABLE, (1,), document_pages=1),
        12: said(by_number[12], NOT_ANSWERABLE, (1,), document_pages=1),
    }
    return [answers[int(one.question_id[1:])] for one in questions]


def write_run(folder: Path, questions: Sequence[Question], predictions: Iterable[Prediction], **config: object) -> Path:
    """A run folder; `config` goes over a plain one."""
    folder.mkdir(parents=True, exist_ok=True)
    plain = {
        "docrag": "0.1.0",
        "git_commit": "0123456789abcdef0123456789abcdef01234567",
        "questions": len(questions),
        "scope": "document",
        "retrieval_only": False,
        "settings": {"reader": "quote", "k": 5},
        "benchmark": "mmlongbench-doc",
    }
    by_id = {one.question_id: one for one in questions}
    lines = [json.dumps(prediction.to_json(by_id[prediction.question_id])) for prediction in predictions]
    (folder / "config.json").write_text(json.dumps({**plain, **config}), encoding="utf-8")
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(asdict(one))}\n" for one in questions), encoding="utf-8")
    (folder / "predictions.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return folder


def fruit_run(folder: Path, **config: object) -> Path:
    return write_run(folder, fruit_questions(), fruit_predictions(), **config)
