"""The files in examples/, run as a stranger runs them after `make demo`, each in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import docrag
from docrag.demo.library import make_library
from docrag.demo.questions import write_questions
from tests.libraries import copied

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BIN = Path(sys.executable).parent
# One process at a time has a folder index open, so those that run beside the first have a copy of it. They don't ingest: to
# a copy of the PDFs that would give second names.
INGESTING = ("python_api.py", "command_line.sh")
READING = ("langchain_chain.py", "benchmark.sh")
ALONE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "OMP_NUM_THREADS": "1"}
REPORT = "nettlefoss-annual-report-2025.pdf"


def run(name: str, folder: Path) -> str:
    command = [BIN / "python" if name.endswith(".py") else "sh", EXAMPLES / name]
    env = {**os.environ, **ALONE, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_all(names: Sequence[str], folder: Path) -> dict[str, str]:
    return {name: run(name, folder) for name in names}


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    """What each example prints."""
    first = tmp_path_factory.mktemp("examples") / "first"
    make_library(first / "demo-out")
    write_questions(first / "demo-out")
    with docrag.open(first / "demo-out/library", ocr="never") as library:
        assert library.ingest([first / "demo-out/documents"]).documents.ok == 3
    second = copied(first, first.with_name("second"))
    with ThreadPoolExecutor(2) as pool:
        ran = [pool.submit(run_all, INGESTING, first), pool.submit(run_all, READING, second)]
        return {name: text for each in ran for name, text in each.result().items()}


def test_every_example_is_run_and_short() -> None:
    files = sorted(path for path in EXAMPLES.iterdir() if path.is_file())
    assert [path.name for path in files] == sorted((*INGESTING, *READING))
    assert [path.name for path in files if len(path.read_text(encoding="utf-8").splitlines()) >= 40] == []


def test_python_api(printed: Mapping[str, str]) -> None:
    lines = printed["python_api.py"].splitlines()
    assert lines[0] == "3 documents, 3 of them unchanged"
    assert re.fullmatch(rf"{REPORT}, page 8, printed 4, score 0\.\d\d", lines[1])
    assert lines[3] == "Where did Nettlefoss open its new foundry in 2025? Marrowby (answered)"
    assert re.fullmatch(rf'  {REPORT}, page 5: "[^"]*Marrowby[^"]*" in \(\d.*\)', lines[4])
    assert lines[-1] == "What was the chief executive of Nettlefoss paid in 2025? Not answerable (not_answerable)"


def test_command_line(printed: Mapping[str, str]) -> None:
    assert printed["command_line.sh"].splitlines() == [
        "documents skipped: 3",
        "answer: Marrowby [5]",
        "drawn: demo-out/page.png",
        "exit code 2: there is no index at demo-out/nowhere",
    ]


def test_langchain_chain(printed: Mapping[str, str]) -> None:
    lines = printed["langchain_chain.py"].splitlines()
    assert lines[0] == f"{REPORT} 5 image/jpeg"
    assert lines[2:] == [
        "sent: ['text', 'text', 'image', 'text', 'image', 'text']",
        "scripted model: At Marrowby (page 5).",
        "docrag: Marrowby [(5, True)]",
    ]


def test_benchmark(printed: Mapping[str, str]) -> None:
    text = printed["benchmark.sh"]
    assert "14 questions about 3 documents: 3 answered, 11 refused." in text
    scores = {line[:30].strip(): line[30:].split() for line in text[text.index("official  ") :].splitlines() if line}
    assert (scores["accuracy"][1], scores["unanswerable"]) == ("14", ["100.0", "3"])
    assert float(scores["answerable"][0]) > 0
