"""`docrag score` as a process: what scripts read, what people read, what bad files get, and that no model is loaded."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.libraries import cli, cli_command

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
FIGURES = ["questions", "scored", "accuracy", "f1", "answerable", "single_page", "cross_page", "unanswerable"]
GROUPS = ["by_source", "by_doc_type"]
# What no figure needs; an encoder or a PDF library would take seconds to load.
HEAVY = ("torch", "transformers", "ray", "langchain", "qdrant_client", "qdrant_edge", "pymupdf", "matplotlib", "scipy")


def write(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_json_with_gold_tells_official_strict_and_coverage(tmp_path: Path) -> None:
    gold = write(tmp_path / "gold.jsonl", LINE, {**LINE, "question": "How many rows?", "answer": "7", "answer_format": "Int"})
    path = write(tmp_path / "p.jsonl", LINE, {**LINE, "question": "What?"}, LINE)
    told = cli("score", path, "--questions", gold, "--json")
    assert (told.returncode, told.stderr) == (0, b"")
    result = json.loads(told.stdout)
    assert list(result) == ["schema_version", *FIGURES, *GROUPS, "scored_only", "strict", "coverage", "items"]
    assert (result["questions"], result["scored"], result["accuracy"]) == (2, 1, 0.5)
    assert (result["scored_only"]["accuracy"], result["strict"]["accuracy"], result["strict"]["coverage"]) == (1.0, 1.0, 0.5)
    coverage = result["coverage"]
    assert (coverage["gold"], len(coverage["missing"])) == (2, 1)
    assert [line["where"] for line in coverage["unknown"]] == [f"{path}, line 2"]
    assert [line["where"] for line in coverage["duplicates"]] == [f"{path}, line 3"]
    assert [(item["score"], item["strict"], item["outcome"]) for item in result["items"]] == [
        (1.0, 1.0, "scored"),
        (None, None, "unscored"),
    ]


def test_text_without_gold_says_that_the_coverage_is_unknown(tmp_path: Path) -> None:
    told = cli("score", write(tmp_path / "p.jsonl", LINE))
    assert told.returncode == 0
    assert b"coverage unknown: name the benchmark's questions with --questions" in told.stdout
    assert told.stdout.index(b"official") < told.stdout.index(b"strict (docrag's own)")


def test_an_answer_that_is_code_or_endless_is_only_text(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    code = f"[open({str(trap)!r}, 'w')]"
    deep = json.loads("[" * 300 + "]" * 300)
    answers = [code, "__import__('os')._exit(3)", "x" * 1_000_000, float("nan"), deep, {"a": [1]}]
    told = cli("score", write(tmp_path / "p.jsonl", *({**LINE, "prediction": one} for one in answers)), "--json")
    assert told.returncode == 0
    assert [item["score"] for item in json.loads(told.stdout)["items"]] == [0.0] * 6
    assert not trap.exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", " is empty: expected at least one entry"),
        (b'{"prediction": "a", "answer": "a", "answer_format": "Str"}\n{"pred', ", line 2: not JSON, or torn"),
        ('{"prediction": "ä"}\n'.encode("utf-16"), ", line 1: not UTF-8 text"),
        (b'{"prediction": "\xe4"}\n', ", line 1: not UTF-8 text"),
        (b'{"answer": "a"}\n', ": no line has the key prediction (or pred)"),
    ],
)
def test_a_file_that_cannot_be_scored_is_an_error_and_never_a_score(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    told = cli("score", path, "--json")
    assert told.returncode == 2
    assert f"{path}{problem}" in told.stderr.decode()
    assert b"accuracy" not in told.stdout


def test_questions_that_are_named_by_nothing_are_no_absent_questions(tmp_path: Path) -> None:
    told = cli("score", write(tmp_path / "p.jsonl", LINE), "--questions", "")
    assert told.returncode == 2
    assert b"--questions names nothing" in told.stderr


def test_how_many_responses_are_in_flight(tmp_path: Path) -> None:
    responses = write(tmp_path / "r.jsonl", {"question": "How many?", "response": "12"})
    assert cli("extract", responses, "--out", tmp_path / "out.jsonl", "--concurrency", "0").returncode == 0
    for rest in (("--out", tmp_path / "new.jsonl"), ("--compare", "rules")):
        told = cli("extract", responses, *rest, "--concurrency", "-3")
        assert told.returncode == 2
        assert b"concurrency is how many responses are in flight, 1 or more, got -3" in told.stderr


def test_no_model_is_loaded(tmp_path: Path) -> None:
    python, *command = cli_command("score", write(tmp_path / "p.jsonl", *[LINE] * 1_082))
    done = subprocess.run([python, "-X", "importtime", *command], capture_output=True, text=True, timeout=60, check=True)
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "docrag.eval.score_report" in loaded
    assert not loaded & set(HEAVY)
