"""What an ingest shows while it runs: in a terminal of 80 columns, and where stderr is none."""

from __future__ import annotations

import io
import sys

import pytest
from rich.text import Text

from docrag import command_parts
from docrag.command_parts import ingest_progress
from docrag.ingest.cluster.progress import ClusterProgress, StageProgress
from docrag.ingest.totals import Progress

STAGES = tuple(
    StageProgress(name, 12_345_678, 1_234.5, waiting)
    for name, waiting in (("open", 0), ("read", 9), ("encode", 1_234_567), ("write", 8))
)
LARGE = ClusterProgress(
    stage="read",
    documents_done=999_999,
    documents_total=1_000_000,
    pages_done=12_345_678,
    done=2_345_678,
    total=23_456_789,
    stages=STAGES,
    failures=12_345,
    seconds=7.0,
    seconds_left=360_000.0,
    store_bytes=12_345 * 2**20,
    store_peak_bytes=23_456 * 2**20,
)
HERE = Progress("read", 1, 4, 60, 250.0, 1_000)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, *told: Progress, terminal: io.StringIO | None = None) -> str:
    monkeypatch.setattr(sys, "stderr", terminal or io.StringIO())
    with ingest_progress("bar") as show:
        for progress in told:
            show(progress)
    return sys.stderr.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("columns", [80, 120])
def test_nothing_is_cut_off_in_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    lines = Text.from_ansi(shown(monkeypatch, LARGE, terminal=Terminal())).plain.splitlines()
    bar = next(line for line in lines if "left" in line)
    assert bar.rstrip().endswith("10 %, 4 days, 4:00:00 left, stores 12345 MiB (most 23456)")
    assert "━" in bar
    assert "999999/1000000 documents, 2345678 of about 23456789 pages, 12345 failures" in [line.rstrip() for line in lines]
    assert "open 1234, read 1234, encode 1234, write 1234 pages/s; 1234567 wait for encode" in [line.rstrip() for line in lines]
    assert lines[-1] == "Ray's object stores held 23456.0 MiB at most"


def test_where_stderr_is_no_terminal_there_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, HERE, HERE) == ""
    monkeypatch.setattr(command_parts, "LINE_EVERY_S", 0.0)
    first, second, last = shown(monkeypatch, HERE, LARGE).splitlines()
    assert first == "1/4 documents, 60 pages read"
    assert second.startswith("999999/1000000 documents, 2345678 of about 23456789 pages, 12345 failures; open 1234, ")
    assert second.endswith("; 4 days, 4:00:00 left; stores 12345 MiB (most 23456)")
    assert last == "Ray's object stores held 23456.0 MiB at most"
