"""What `docrag score` prints: the fixed keys, figures that are told apart, and text that stays text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docrag.errors import UsageError
from docrag.eval.questions import Question
from docrag.eval.score_report import ScoreReport, plain, report_scores, score_json, score_text

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
REFUSED = {**LINE, "question": "Which is blue?", "answer": "Not answerable", "answer_format": "None", "evidence_pages": "[]"}
GOLD = (
    Question("q1", "orchard.pdf", "Guidebook", "Which apple is red?", "Gala", (2,), ("Table",), "Str"),
    Question("q2", "orchard.pdf", "Guidebook", "How many rows?", "7", (3, 4), (), "Int"),
)


def report(tmp_path: Path, *lines: dict[str, Any], gold: tuple[Question, ...] | None = None) -> ScoreReport:
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return report_scores(path, gold)


def test_the_keys_are_fixed(tmp_path: Path) -> None:
    data = score_json(report(tmp_path, LINE, {**REFUSED, "prediction": "Fail to answer"}))
    groups = ["answerable", "single_page", "cross_page", "unanswerable", "by_source", "by_doc_type"]
    assert list(data) == ["questions", "scored", "accuracy", "f1", *groups, "scored_only", "strict", "coverage", "items"]
    assert data["coverage"] is None
    assert data["scored_only"] == {"accuracy": 0.5, "f1": 2 / 3}
    strict = data["strict"]
    assert list(strict) == ["questions", "attempted", "accuracy", "coverage", "failed", "answerable", "unanswerable"]
    assert (strict["accuracy"], strict["coverage"], strict["failed"]) == (0.5, 1.0, 0.5)
    assert (strict["answerable"]["accuracy"], strict["unanswerable"]["accuracy"]) == (1.0, 0.0)
    first, second = data["items"]
    assert first == {
        "question_id": first["question_id"],
        "score": 1.0,
        "doc_id": "orchard.pdf",
        "answer_format": "Str",
        "answer": "Gala",
        "prediction": "gala",
        "strict": 1.0,
        "outcome": "scored",
    }
    assert (second["score"], second["strict"], second["outcome"]) == (0.0, 0.0, "failed")


def test_coverage_names_what_is_missing_and_what_does_not_belong(tmp_path: Path) -> None:
    scored = report(tmp_path, LINE, LINE, REFUSED, gold=GOLD)
    path = tmp_path / "p.jsonl"
    data = score_json(scored)
    assert data["coverage"] == {
        "gold": 2,
        "missing": ("q2",),
        "duplicates": ({"where": f"{path}, line 2", "question_id": "q1"},),
        "unknown": ({"where": f"{path}, line 3", "question_id": ""},),
    }
    assert (data["questions"], data["scored"], data["accuracy"], data["scored_only"]["accuracy"]) == (2, 1, 0.5, 1.0)
    assert (data["strict"]["accuracy"], data["strict"]["coverage"]) == (1.0, 0.5)
    assert [item["outcome"] for item in data["items"]] == ["scored", "unscored"]
    text = score_text(scored)
    assert "coverage: 1 of 2 questions have a line\n  missing, counted as wrong: 1 (q2)\n" in text
    assert "\n    q2  orchard.pdf  How many rows?\n" in text
    assert "a second line about a question, not counted: 1 (line 2)" in text
    assert "a line about no question of the gold file, not counted: 1 (line 3)" in text


def figures(text: str) -> dict[str, tuple[str, str]]:
    """{name: (percent, questions)} of the text's rows."""
    rows = [line.rsplit(maxsplit=2) for line in text.splitlines() if len(line) > 50 and line[41:].split()]
    return {name: (value, questions) for name, value, questions in rows}


def test_the_text_tells_both_accuracies_where_something_is_unscored(tmp_path: Path) -> None:
    text = score_text(report(tmp_path, LINE, {**REFUSED, "prediction": None}))
    assert "1 of 2 questions are unscored, and count as wrong" in text
    rows = figures(text)
    assert rows["accuracy"] == ("50.0", "2")
    assert rows["accuracy, scored questions only"] == ("100.0", "1")
    assert rows["strict accuracy"] == ("100.0", "1")
    assert rows["predicted"] == ("50.0", "2")
    assert "coverage unknown" in text


def test_a_mean_over_nothing_is_a_dash(tmp_path: Path) -> None:
    rows = figures(score_text(report(tmp_path, LINE)))
    assert rows["accuracy"] == ("100.0", "1")
    assert rows["unanswerable"] == rows["cross-page"] == rows["strict, unanswerable"] == ("-", "0")
    nothing = score_json(report(tmp_path, {**LINE, "prediction": None}, gold=GOLD))
    assert (nothing["accuracy"], nothing["f1"], nothing["strict"]["accuracy"]) == (None, None, None)
    assert (nothing["strict"]["coverage"], nothing["strict"]["failed"]) == (0.0, None)


def test_the_columns_are_aligned_whatever_a_group_is_called(tmp_path: Path) -> None:
    lines = score_text(report(tmp_path, {**LINE, "doc_type": "x" * 90, "evidence_sources": ["a\nb", ""]})).splitlines()
    assert any("source: a b" in line for line in lines)
    assert {len(line) for line in lines if line and not line.startswith("coverage")} == {60}


def test_json_of_any_prediction_is_json(tmp_path: Path) -> None:
    deep = json.loads("[" * 200 + "1e400" + "]" * 200)
    odd: list[Any] = [float("nan"), [1e400, "a"], deep, {"a": [1]}, "\ud800", "<script>", True]
    data = score_json(report(tmp_path, *({**LINE, "prediction": value} for value in odd)))
    items = json.loads(json.dumps(data, allow_nan=False))["items"]
    shown = ["nan", "[inf, 'a']", "nested too deeply to be shown", {"a": [1]}, "\ud800", "<script>", True]
    assert [item["prediction"] for item in items] == shown
    assert plain(["x" * 5000, float("nan")]) == "['" + "x" * 998


def test_an_empty_file_is_an_error_and_no_score(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"p\.jsonl is empty"):
        report(tmp_path)
