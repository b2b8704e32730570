"""`docrag eval` and what it refuses before anything is asked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docrag.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["questions", "--data", "Q", "--limit", "0"], "a limit is how many questions are asked, 1 or more, got 0"),
        (["questions", "--data", "Q", "--limit", "-1"], "a limit is how many questions are asked, 1 or more, got -1"),
        (["needles", "--limit", "3", "--data", "Q"], "eval needles takes no --data, --limit"),
        (["needles", "--retrieval-only", "--scope", "document"], "eval needles takes no --scope, --retrieval-only"),
        (
            ["needles", "--lengths", "8k,0"],
            "--lengths are numbers of tokens such as 8192, or 8k, with commas between, got '8k,0'",
        ),
        (["needles", "--lengths", ""], "--lengths are numbers of tokens such as 8192, or 8k, with commas between, got ''"),
    ],
)
def test_what_would_be_passed_over_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    out = tmp_path / "run"
    assert main(["eval", *arguments, "--index", str(tmp_path / "none"), "--out", str(out), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["message"] == message
    assert not out.exists()
