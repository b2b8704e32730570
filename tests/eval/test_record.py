"""A run's folder read back: whole, unfinished, older, damaged."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from docrag.errors import UsageError
from docrag.eval.predictions import Prediction
from docrag.eval.questions import Question
from docrag.eval.record import read_run
from docrag.eval.run import RunConfig, run_benchmark
from docrag.types import Citation

TOLD = {"kind": "number", "rounds": [{"asked": "Which  colour?", "needs": ""}], "notes": ["it was cut"]}
QUESTIONS = tuple(
    Question(f"q{number}", f"{number}.pdf", "Report", f"No. {number}?", "['a', 'b']", (1, 3), ("Chart",), "List")
    for number in range(4)
)


def predict(question: Question) -> Prediction:
    return Prediction(
        question_id=question.question_id,
        answer="red  \ud800 “ink”",
        outcome="answered",
        confidence=0.25,
        document_pages=9,
        ranked_pages=(3, 1, 2),
        ranked_library=((question.doc_id, 3), ("other.pdf", 1)),
        citations=(Citation(question.doc_id, 3, None, "it is", None, False),),
        milliseconds=1.5,
        read_pages=(1, 3),
        usage={"calls": 2},
        why="",
        read_tokens=(120, 900),
        ranked_tokens=(700, 700, 650),
        context_tokens=1020,
        budget_tokens=8192,
        rounds=2,
        trace=TOLD,
        response='{"answer": "red"}\n',
    )


def make(folder: Path) -> Path:
    run_benchmark(QUESTIONS, predict, folder, RunConfig({"reader": "quote"}, {}, benchmark="b", data="/d"))
    return folder


def test_all_of_a_run_is_read_back(tmp_path: Path) -> None:
    record = read_run(make(tmp_path / "mine"))
    assert (record.name, record.folder, record.finished) == ("mine", tmp_path / "mine", True)
    assert record.questions == QUESTIONS
    assert record.predictions == {question.question_id: predict(question) for question in QUESTIONS}
    assert (record.config["benchmark"], record.config["settings"]) == ("b", {"reader": "quote"})


def test_the_folder_is_named_also_where_it_is_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path / "mine"))
    assert read_run(Path()).name == "mine"


def test_a_run_that_was_killed_is_read_as_far_as_it_got(tmp_path: Path) -> None:
    predictions = make(tmp_path) / "predictions.jsonl"
    lines = predictions.read_bytes().splitlines(keepends=True)
    predictions.write_bytes(lines[2] + lines[0] + lines[1][:-1])  # all of it but its end: another process may be writing it
    record = read_run(tmp_path)
    assert (record.finished, record.questions) == (False, QUESTIONS)
    assert list(record.predictions) == ["q2", "q0"]
    assert len(predictions.read_bytes()) == sum(map(len, lines[:3])) - 1


def test_a_run_of_a_version_that_kept_less(tmp_path: Path) -> None:
    (make(tmp_path) / "questions.jsonl").unlink()
    path = tmp_path / "predictions.jsonl"
    tokens = {"read_tokens", "ranked_tokens", "context_tokens", "budget_tokens"}
    later = {*tokens, "rounds", "trace", "response", "read_pages", "usage", "why"}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({k: v for k, v in line.items() if k not in later}) + "\n" for line in lines[::-1]))
    record = read_run(tmp_path)
    assert record.questions == QUESTIONS[::-1]
    bare = Prediction("q0", *(getattr(predict(QUESTIONS[0]), name) for name in list(Prediction.__slots__)[1:9]))
    assert record.predictions["q0"] == bare
    assert bare.trace == {}


def test_what_is_no_run_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing is no run folder: it has no config\.json"):
        read_run(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"file is no run folder"):
        read_run(tmp_path / "file")
    (make(tmp_path / "run") / "predictions.jsonl").write_bytes(b'{"question_id"')
    with pytest.raises(UsageError, match="has no prediction yet"):
        read_run(tmp_path / "run")
    (tmp_path / "run" / "predictions.jsonl").unlink()
    with pytest.raises(UsageError, match="has no prediction yet"):
        read_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("config.json", b"{", r"config\.json is damaged: Expecting"),
        ("config.json", b"\xff\xfe", r"config\.json is damaged: 'utf-8'"),
        ("config.json", b"[" * 100_000, r"config\.json is damaged"),
        ("config.json", b"[1]", r"config\.json is damaged: it holds no JSON object"),
        ("questions.jsonl", b"{}\n", r"questions\.jsonl, line 1: no question of a docrag run: KeyError\('question_id'\)"),
        ("questions.jsonl", b"7\n", r"questions\.jsonl, line 1: must be a JSON object"),
        ("predictions.jsonl", b"\x00\n", r"predictions\.jsonl, line 1: not JSON, or torn"),
        ("predictions.jsonl", b"\n\xff\n", r"predictions\.jsonl, line 2: not JSON, or torn"),
        ("predictions.jsonl", b'{"question_id": "q0"}\n', r"line 1: no prediction of a docrag run: KeyError"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (make(tmp_path) / name).write_bytes(content)
    with pytest.raises(UsageError, match=problem):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "changes", "problem"),
    [
        ("config.json", {"settings": None}, r"config\.json is damaged: settings is None"),
        ("config.json", {"scope": 5}, r"config\.json is damaged: scope is 5"),
        ("config.json", {"later_git_commits": {}}, r"config\.json is damaged: later_git_commits is \{\}"),
        ("predictions.jsonl", {"prediction": 5}, r"predictions\.jsonl, line 1: no prediction .* answer is str or null, got 5"),
        ("predictions.jsonl", {"confidence": "high"}, r"predictions\.jsonl, line 1: .* confidence is int or float, got 'high'"),
        ("predictions.jsonl", {"confidence": True}, r"predictions\.jsonl, line 1: .* confidence is int or float, got True"),
        ("predictions.jsonl", {"ranked_pages": "12"}, r"predictions\.jsonl, line 1: .* a page is int, got '1'"),
        ("predictions.jsonl", {"outcome": "won"}, r"predictions\.jsonl, line 1: .* outcome is one of .*, got 'won'"),
        ("predictions.jsonl", {"why": None}, r"predictions\.jsonl, line 1: .* why is str, got None"),
        (
            "questions.jsonl",
            {"answer": None},
            r"questions\.jsonl, line 1: no question of a docrag run: .*answer is str, got None",
        ),
        (
            "questions.jsonl",
            {"evidence_pages": ["1"]},
            r"questions\.jsonl, line 1: .* a page of evidence_pages is int, got '1'",
        ),
        ("questions.jsonl", {"answer_format": "Text"}, r"questions\.jsonl, line 1: .* answer_format is one of .*, got 'Text'"),
    ],
)
def test_a_value_of_another_kind_is_named(tmp_path: Path, name: str, changes: dict[str, object], problem: str) -> None:
    path = make(tmp_path) / name
    first, *rest = [path.read_text()] if name == "config.json" else path.read_text().splitlines(keepends=True)
    path.write_text(json.dumps({**json.loads(first), **changes}) + "\n" + "".join(rest))
    with pytest.raises(UsageError, match=problem):
        read_run(tmp_path)


def test_predictions_must_be_of_the_questions(tmp_path: Path) -> None:
    path = make(tmp_path) / "predictions.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    for wrong in (lines[0], lines[0].replace('"q0"', '"q9"')):
        path.write_text("".join(lines) + wrong)
        with pytest.raises(UsageError, match="other questions than the run's, or one twice"):
            read_run(tmp_path)


def test_read_tokens_go_with_read_pages() -> None:
    with pytest.raises(ValueError, match="3 read_tokens do not go with 2 read_pages"):
        replace(predict(QUESTIONS[0]), read_tokens=(1, 2, 3))
