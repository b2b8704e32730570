"""The demo as a stranger runs it, and the README that shows what it prints."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from docrag.cli import main, make_parser
from docrag.ingest.ocr import tesseract_available

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
# What depends on the machine: its speed, and in the last digits its arithmetic, which may swap pages that score alike.
UNSTABLE = re.compile(r"\d+(?:\.\d+)? s\b|confidence \d\.\d+|found: \d+ %|^  read: .*$", re.MULTILINE)


def demo(out: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "docrag.cli", "demo", "--out", str(out), *more]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    out = tmp_path_factory.mktemp("demo") / "demo-out"
    return out, demo(out)


@pytest.mark.skipif(not tesseract_available(), reason="the demo's scan needs Tesseract")
def test_readme_shows_what_the_demo_prints(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, ran = done
    assert ran.returncode == 0, ran.stderr
    shown = re.search(r"```text\n(Making three PDFs.*?)```", README, re.DOTALL)
    assert shown
    assert UNSTABLE.sub("#", ran.stdout.replace(str(out), "demo-out")) == UNSTABLE.sub("#", shown[1])


def test_demo_leaves_a_report_and_a_run(done: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out, _ = done
    html = (out / "report.html").read_text(encoding="utf-8")
    assert "Marrowby" in html
    assert html.count("<mark>") == 2  # the quoted words of the two answers; the refusal has none
    assert html.count('<svg class="boxes"') == 2  # and where they stand on their pages
    assert html.index("Asked and answered") < html.index("The same, measured")
    assert "This report has no page pictures" not in html
    assert {"report.html", "summary.md", "charts"} <= {path.name for path in out.iterdir()}
    summary = json.loads((out / "run" / "summary.json").read_text(encoding="utf-8"))
    assert (summary["questions"], summary["scored"], summary["unanswerable"]) == (14, 14, 1.0)


def test_demo_again_in_the_same_folder_as_json(
    done: tuple[Path, subprocess.CompletedProcess[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = done
    assert main(["demo", "--out", str(out), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["schema_version"] == 1
    assert result["ingest"]["documents"] == {"attempted": 3, "ok": 3, "failed": 0, "skipped": 0}
    assert [answer["outcome"] for answer in result["answers"]] == ["answered", "answered", "not_answerable"]


def test_demo_writes_nothing_into_a_folder_of_other_things(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("keep me", encoding="utf-8")
    ran = demo(tmp_path)
    assert ran.returncode == 2
    assert "holds other things than a demo" in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    "line", [line for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
)
def test_readme_commands_are_commands(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "docrag"
    make_parser().parse_args(arguments)


def test_readme_names_every_command_and_links_to_what_is_there() -> None:
    commands = make_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    for command in commands or ():
        assert re.search(rf"`(?:docrag )?{command}[ `]", README), command
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target


def test_readme_python_is_valid() -> None:
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        compile(block, "README.md", "exec")
