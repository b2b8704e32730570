"""Predictions made by anything, read for scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docrag.errors import UsageError
from docrag.eval.benchmarks import load_questions as load_any_questions
from docrag.eval.benchmarks.mmlongbench import load as load_questions
from docrag.eval.predictions import Prediction
from docrag.eval.questions import Question
from docrag.eval.scoring import score_predictions
from docrag.eval.submissions import Coverage, StrayLine, load_items, load_submission

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
        (without(answer=None), "answer is null"),
        (without(evidence_pages="open('x')"), "evidence_pages must be a list such as [3, 5], got \"open('x')\""),
        (without(evidence_sources="Chart"), "evidence_sources must be a list such as ['Table', 'Chart'], got \"Chart\""),
        (without(doc_id=5), "doc_id must be a string, got 5"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: dict[str, Any], problem: str) -> None:
    path = write(tmp_path / "p.jsonl", LINE, line)
    with pytest.raises(UsageError) as caught:
        load_items(path)
    assert str(caught.value) == f"{path}, line 2: {problem}"


@pytest.mark.parametrize(
    ("prediction", "score"),
    [("Gala", 1.0), (["Gala"], 0.0), ({"a": 1}, 0.0), (True, 0.0), (float("nan"), 0.0), ([[["Gala"]]], 0.0), (1e400, 0.0)],
)
def test_any_json_value_is_a_prediction_and_scores_as_its_text(tmp_path: Path, prediction: Any, score: float) -> None:
    (item,) = load_items(write(tmp_path / "p.jsonl", without(prediction=prediction)))
    assert item.prediction is not None
    assert score_predictions([item]).accuracy == pytest.approx(score)


def test_text_that_would_be_code_stays_text(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    code = f"__import__('pathlib').Path({str(trap)!r}).touch()"
    lines = [without(prediction=code), without(answer_format="List", answer="['a']", prediction=f"[{code}]")]
    assert score_predictions(load_items(write(tmp_path / "p.jsonl", *lines))).accuracy == 0.0
    assert not trap.exists()


def test_what_is_not_known_may_be_absent_null_or_empty(tmp_path: Path) -> None:
    unknown = without(doc_id=None, doc_type="", question=None, evidence_pages=None, evidence_sources=None, question_id=7)
    (item,) = load_items(write(tmp_path / "p.jsonl", unknown))
    assert (item.question_id, item.doc_id, item.doc_type, item.evidence_pages, item.evidence_sources) == ("7", "", "", None, ())


def test_a_torn_or_empty_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", LINE)
    path.write_text(path.read_text() + '{"doc_id": "orch')
    with pytest.raises(UsageError, match=r"p\.jsonl, line 2: not JSON, or torn"):
        load_items(path)
    path.write_text("")
    with pytest.raises(UsageError, match=r"p\.jsonl is empty"):
        load_items(path)


def test_a_json_file_holds_a_list(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([LINE, without(prediction="plum")], indent=1))
    assert [one.score for one in score_predictions(load_items(path)).items] == [1.0, 0.0]


def test_without_gold_the_coverage_is_unknown(tmp_path: Path) -> None:
    assert load_submission(write(tmp_path / "p.jsonl", LINE)).coverage is None


def test_gold_questions_are_the_denominator(tmp_path: Path) -> None:
    first, second = gold(tmp_path)
    path = write(tmp_path / "p.jsonl", {"question_id": second.question_id, "prediction": "7"})
    submission = load_submission(path, (first, second))
    scores = score_predictions(submission.items)
    assert [(one.item.question_id, one.score) for one in scores.items] == [(second.question_id, 1.0), (first.question_id, None)]
    assert (scores.questions, scores.scored, scores.accuracy) == (2, 1, 0.5)
    assert submission.coverage == Coverage(2, (first.question_id,), (), ())


def test_gold_questions_are_found_by_document_and_question(tmp_path: Path) -> None:
    line = {
        "doc_id": "orchard.pdf",
        "question": " Which apple\nis red?",
        "question_id": "theirs",
        "pred": "Gala",
        "answer": "no",
    }
    scores = score_predictions(load_items(write(tmp_path / "p.jsonl", line), gold(tmp_path)))
    assert [one.score for one in scores.items] == [1.0, None]


def test_lines_that_do_not_fit_the_gold_file_are_told_and_not_counted(tmp_path: Path) -> None:
    first, second = gold(tmp_path)
    lines = [without(question="What?"), LINE, {"question_id": first.question_id, "prediction": "x"}, without(prediction="y")]
    path = write(tmp_path / "p.jsonl", *lines, {"question_id": "q9", "prediction": "x"})
    submission = load_submission(path, (first, second))
    assert [item.prediction for item in submission.items] == ["gala", None]  # the first line about a question counts
    assert submission.coverage == Coverage(
        gold=2,
        missing=(second.question_id,),
        duplicates=(StrayLine(f"{path}, line 3", first.question_id), StrayLine(f"{path}, line 4", first.question_id)),
        unknown=(StrayLine(f"{path}, line 1", ""), StrayLine(f"{path}, line 5", "q9")),
    )


def test_a_question_that_stands_twice_in_the_gold_file_takes_two_lines(tmp_path: Path) -> None:
    twice = load_questions(write(tmp_path / "gold.jsonl", LINE, without(answer="Elstar")))
    submission = load_submission(write(tmp_path / "p.jsonl", LINE, without(prediction="elstar"), LINE), twice)
    assert score_predictions(submission.items).accuracy == 1.0
    assert submission.coverage is not None
    assert [line.question_id for line in submission.coverage.duplicates] == [twice[1].question_id]


def test_nothing_that_fits_is_an_error_and_no_score(tmp_path: Path) -> None:
    line = without(question="What?", doc_id="other.pdf", question_id="q9")
    path = write(tmp_path / "p.jsonl", line, without(question="?"))
    first, _ = questions = gold(tmp_path)
    with pytest.raises(UsageError) as caught:
        load_items(path, questions)
    assert str(caught.value) == (
        f"{path}, line 1: neither this line nor any other is about a question of the gold file\n"
        "  this line: question_id 'q9', doc_id 'other.pdf', question 'What?'\n"
        f"  the first question: question_id '{first.question_id}', doc_id 'orchard.pdf', question 'Which apple is red?'\n"
        "  a line is found by question_id, or by doc_id and question: name the questions that the predictions are about"
    )


@pytest.mark.parametrize("nulls", [{"answer": None}, {"answer": None, "answer_format": None}, {"answer_format": None}])
def test_nulls_of_table_tools_are_what_they_were(tmp_path: Path, nulls: dict[str, Any]) -> None:
    line = {**LINE, "answer": "Not answerable", "answer_format": "None", "prediction": "Not answerable", **nulls}
    (item,) = load_items(write(tmp_path / "p.jsonl", line))
    assert (item.answer, item.answer_format) == ("Not answerable", "None")


def test_a_librarys_own_questions_are_gold_too(tmp_path: Path) -> None:
    own = {"question": "Who signed?", "answer": "Okafor", "document": "lease.pdf"}
    questions = load_any_questions(write(tmp_path / "own.jsonl", own, {"question": "When?", "answer": "2015"}))
    for name in ("doc_id", "document"):
        first = {name: "lease.pdf", "question": "Who signed?", "prediction": "okafor"}
        items = load_items(write(tmp_path / "p.jsonl", first, {"question": "When?", "prediction": "2015"}), questions)
        assert [one.score for one in score_predictions(items).items] == [1.0, 1.0]
    assert load_any_questions(write(tmp_path / "gold.jsonl", LINE)) == load_questions(tmp_path / "gold.jsonl")


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
