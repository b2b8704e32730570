"""Predictions made by anything, read for scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docrag.errors import UsageError
from docrag.eval.mmlongbench import Question, load_questions
from docrag.eval.predictions import Prediction
from docrag.eval.scoring import score_predictions
from docrag.eval.submissions import load_items

LINE: dict[str, Any] = {
    "doc_id": "orchard.pdf",
    "doc_type": "Guidebook",
    "question": "Which apple is red?",
    "answer": "Gala",
    "evidence_pages": "[2]",
    "evidence_sources": "['Table']",
    "answer_format": "Str",
    "prediction": "gala",
}


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def without(*names: str, **changes: Any) -> dict[str, Any]:
    return {**{name: value for name, value in LINE.items() if name not in names}, **changes}


def gold(tmp_path: Path) -> tuple[Question, ...]:
    return load_questions(
        write(tmp_path / "gold.jsonl", LINE, without(question="How many rows?", answer="7", answer_format="Int"))
    )


def test_lines_are_scored_in_the_files_order(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", without(answer="Elstar", prediction="plum"), LINE, without("prediction", pred="Gala"))
    scores = score_predictions(load_items(path))
    assert [one.score for one in scores.items] == [0.0, 1.0, 1.0]
    assert [one.item.question_id for one in scores.items] == [q.question_id for q in load_questions(path)]
    assert (scores.questions, scores.scored, scores.single_page.questions) == (3, 3, 3)


def test_the_least_a_line_needs(tmp_path: Path) -> None:
    line = {"answer": 5, "answer_format": "Int", "prediction": 5.9}
    scores = score_predictions(load_items(write(tmp_path / "p.jsonl", line, {**line, "question_id": "mine"})))
    assert scores.accuracy == 1.0
    assert (scores.single_page.questions, scores.cross_page.questions) == (0, 0)
    assert scores.items[1].item.question_id == "mine"
    assert scores.items[0].item.question_id != "mine"


def test_a_null_or_absent_prediction_is_unscored_and_wrong(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", LINE, without(prediction=None), without("prediction"), without(prediction=""))
    scores = score_predictions(load_items(path))
    assert [one.score for one in scores.items] == [1.0, None, None, 0.0]
    assert (scores.questions, scores.scored, scores.accuracy) == (4, 2, 0.25)


def test_no_prediction_anywhere_is_an_error(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", without("prediction", response="Gala"))
    with pytest.raises(UsageError, match=r"no line has the key prediction \(or pred\); the first one has doc_id, .*response"):
        load_items(path)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (without("answer"), "answer is missing"),
        (without("answer_format"), "answer_format is missing"),
        (without(answer_format="Bool"), 'answer_format must be one of Str, Int, Float, List, None, got "Bool"'),
        (without(prediction={"a": 1}), 'prediction must be a string, a number or a list of such, got {"a": 1}'),
        (without(evidence_pages="open('x')"), "evidence_pages must be a list such as [3, 5], got \"open('x')\""),
        (without(doc_id=5), "doc_id must be a string, got 5"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: dict[str, Any], problem: str) -> None:
    path = write(tmp_path / "p.jsonl", LINE, line)
    with pytest.raises(UsageError) as caught:
        load_items(path)
    assert str(caught.value) == f"{path}, line 2: {problem}"


def test_a_torn_or_empty_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", LINE)
    path.write_text(path.read_text() + '{"doc_id": "orch')
    with pytest.raises(UsageError, match=r"p\.jsonl, line 2: not JSON, or torn"):
        load_items(path)
    path.write_text("")
    with pytest.raises(UsageError, match=r"p\.jsonl is empty"):
        load_items(path)


def test_gold_questions_are_the_denominator(tmp_path: Path) -> None:
    first, second = gold(tmp_path)
    path = write(tmp_path / "p.jsonl", {"question_id": second.question_id, "prediction": "7"})
    scores = score_predictions(load_items(path, (first, second)))
    assert [(one.item.question_id, one.score) for one in scores.items] == [(second.question_id, 1.0), (first.question_id, None)]
    assert (scores.questions, scores.scored, scores.accuracy) == (2, 1, 0.5)


def test_gold_questions_are_found_by_document_and_question(tmp_path: Path) -> None:
    line = {"doc_id": "orchard.pdf", "question": "Which apple is red?", "question_id": "theirs", "pred": "Gala", "answer": "no"}
    scores = score_predictions(load_items(write(tmp_path / "p.jsonl", line), gold(tmp_path)))
    assert [one.score for one in scores.items] == [1.0, None]


def test_predictions_that_do_not_fit_the_gold_file(tmp_path: Path) -> None:
    questions = gold(tmp_path)
    stranger = write(tmp_path / "p.jsonl", LINE, without(question="What?"))
    with pytest.raises(UsageError, match=r"line 2: no such question in the gold file"):
        load_items(stranger, questions)
    twice = write(tmp_path / "q.jsonl", LINE, {"question_id": questions[0].question_id, "prediction": "x"})
    with pytest.raises(UsageError, match=r"line 2: a second prediction for the question"):
        load_items(twice, questions)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"outcome": "answered", "answer": None}, "does not go without an answer"),
        ({"outcome": "not_answerable"}, "does not go with the answer 'Gala'"),
        ({"answer": "Not answerable"}, "does not go with the answer 'Not answerable'"),
        ({"confidence": 1.5}, "confidence is a fraction"),
        ({"milliseconds": float("nan")}, "milliseconds is a finite number"),
    ],
)
def test_a_prediction_is_checked_once(changes: dict[str, Any], problem: str) -> None:
    fields: dict[str, Any] = {
        "question_id": "q",
        "answer": "Gala",
        "outcome": "answered",
        "confidence": 0.5,
        "document_pages": 9,
    }
    rest: dict[str, Any] = {"ranked_pages": (1,), "ranked_library": None, "citations": (), "milliseconds": 1.0}
    with pytest.raises(ValueError, match=problem):
        Prediction(**{**fields, **rest, **changes})
