"""Two runs compared: what one gains, with its interval, and what both cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.reading import compare, main, read_run, to_markdown
from docrag.errors import UsageError
from docrag.eval.mmlongbench import Question, load_questions
from docrag.eval.predictions import Prediction

NO = "Not answerable"


def question(doc: int, number: int) -> dict[str, Any]:
    is_there = number < 2
    return {
        "doc_id": f"{doc}.pdf",
        "doc_type": "Report",
        "question": f"What is {number}?",
        "answer": str(number) if is_there else NO,
        "evidence_pages": "[3]" if is_there else "[]",
        "evidence_sources": "[]",
        "answer_format": "Int" if is_there else "None",
    }


@pytest.fixture
def questions(tmp_path: Path) -> tuple[Question, ...]:
    path = tmp_path / "samples.json"
    path.write_text(json.dumps([question(doc, number) for doc in range(4) for number in range(3)]))
    return tuple(load_questions(path))


def write_run(folder: Path, questions: tuple[Question, ...], answers: list[str], **settings: Any) -> Path:
    """A run that answers each document's questions with `answers`, and reads page 3 where it answers."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"settings": {"k": 5, "input_price": 2.0, **settings}}))
    lines: list[str] = []
    for number, asked in enumerate(questions):
        said = answers[number % 3]
        outcome = "not_answerable" if said == NO else "answered"
        pages = () if said == NO else (3,)
        usage = {"calls": 1, "input_tokens": 1000}
        made = Prediction(asked.question_id, said, outcome, 0.5, 9, (1,), None, (), 10.0, pages, usage)
        lines.append(json.dumps(made.to_json(asked)))
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_a_gain_is_told_with_its_interval(tmp_path: Path, questions: tuple[Question, ...]) -> None:
    plain = write_run(tmp_path / "plain", questions, ["0", NO, NO])
    picked = write_run(tmp_path / "picked", questions, ["0", "1", "7"], navigate=True)
    found = compare(read_run(picked), read_run(plain))
    assert (found["questions"], found["better"], found["worse"]) == (12, 4, 4)
    assert found["settings"] == {"navigate": [True, None]}
    assert found["gain"]["answerable"] == [0.5, 0.5, 0.5]
    assert found["gain"]["unanswerable"] == [-1.0, -1.0, -1.0]
    assert found["gain"]["mean"] == [-0.25, -0.25, -0.25]
    assert (found["run"]["all_evidence_read"], found["base"]["all_evidence_read"]) == (1.0, 0.5)
    assert found["run"]["usage"] == {"calls": 12, "input_tokens": 12_000}
    assert found["run"]["cost"] == pytest.approx(0.024)
    told = to_markdown(found)
    assert "- navigate: True, was None" in told
    assert "| answerable | 100.0 % | 50.0 % | +50.0 [+50.0, +50.0] |" in told


def test_the_command(
    tmp_path: Path, questions: tuple[Question, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_run(tmp_path / "run", questions, ["0", NO, NO])
    monkeypatch.setattr("sys.argv", ["reading", str(run), str(run), "--json"])
    main()
    assert json.loads(capsys.readouterr().out)["gain"]["mean"] == [0.0, 0.0, 0.0]
    monkeypatch.setattr("sys.argv", ["reading", str(run), str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="none"):
        main()


def test_runs_over_other_questions_are_not_compared(tmp_path: Path, questions: tuple[Question, ...]) -> None:
    whole = read_run(write_run(tmp_path / "whole", questions, ["0", NO, NO]))
    part = read_run(write_run(tmp_path / "part", questions[:9], ["0", NO, NO]))
    with pytest.raises(UsageError, match="other questions"):
        compare(whole, part)
