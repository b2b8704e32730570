"""What is told of a run on a cluster: paces, what waits, the time left, and the lines that scripts read."""

from __future__ import annotations

import importlib
import io
import json

import pytest

from docrag.ingest.cluster import progress as lines
from docrag.ingest.cluster.progress import Pace, json_lines
from docrag.ingest.totals import Counts, Progress, Totals
from docrag.types import Failure

PASSED = {"open": 90, "read": 60, "encode": 20, "write": 10}


def reading(documents_done: int = 1, pages_total: int = 240, bytes_done: float = 250.0) -> Progress:
    return Progress("read", documents_done, 4, 60, bytes_done, 1_000, pages_total=pages_total)


def test_the_pace_of_each_stage_and_what_waits_for_what() -> None:
    pace = Pace(begin=100.0)
    pace.note(Counts(Progress("read", 0, 4, 0, 0.0, 1_000), {}, 0), 100.0)
    now = pace.note(Counts(reading(), PASSED, 3), 110.0)
    assert [(stage.name, stage.pages_per_second, stage.waiting) for stage in now.stages] == [
        ("open", 9.0, 0),
        ("read", 6.0, 30),
        ("encode", 2.0, 40),
        ("write", 1.0, 10),
    ]
    assert (now.slowest, now.failures, now.seconds, now.seconds_left) == ("encode", 3, 10.0, 230.0)
    looking = pace.note(Counts(Progress("look", 4, 4, 0, 0, 90), PASSED, 3), 111.0)
    assert [(stage.name, stage.waiting) for stage in looking.stages] == [("draw", 90), ("look", 0), ("store", 0)]
    assert looking.seconds_left is None


def test_time_is_left_while_pages_wait_that_were_read() -> None:
    """Readers run ahead: all bytes are read long before the last page is written."""
    pace = Pace(begin=0.0)
    pace.note(Counts(reading(0, 0, 0.0), {}, 0), 0.0)
    read = {"open": 100, "read": 100, "encode": 50, "write": 40}
    now = pace.note(Counts(reading(2, 100, 1_000.0), read, 0), 10.0)
    assert (now.done, now.total, now.seconds_left) == (40, 100, 15.0)
    later = pace.note(Counts(reading(2, 100, 1_000.0), {**read, "write": 50}, 0), 30.0)
    assert later.seconds_left == 30.0


def test_none_is_left_at_the_end_though_pages_were_opened_twice() -> None:
    pace = Pace(begin=0.0)
    pace.note(Counts(reading(0, 0, 0.0), {}, 0), 0.0)
    end = pace.note(Counts(reading(4, 100, 1_000.0), {"open": 120, "read": 110, "encode": 100, "write": 100}, 0), 10.0)
    assert (end.done, end.total, end.seconds_left) == (100, 100, 0.0)


def test_the_start_of_the_workers_is_not_part_of_the_pace() -> None:
    pace = Pace(begin=0.0)
    for second in range(16):
        pace.note(Counts(reading(0, 0, 0.0), {}, 0), float(second))
    now = pace.note(Counts(reading(), PASSED, 0), 25.0)
    assert (now.stages[-1].pages_per_second, now.seconds_left) == (1.0, 230.0)


def test_pages_to_come_are_reckoned_from_the_bytes_of_those_that_were_read() -> None:
    totals = Totals(documents_total=4, bytes_total=1_000)
    totals.fail(Failure("locked.pdf", "open", "PdfEncrypted", "it is locked"), 400)
    assert totals.progress().pages_total == 0
    totals.read(30, 0.5, 200)
    assert (totals.progress().pages_total, totals.progress().done) == (180, 500.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [0.0]
    monkeypatch.setattr(lines.time, "monotonic", lambda: now[0])
    return now


def test_the_last_line_is_what_was_told_last(clock: list[float]) -> None:
    told = io.StringIO()
    with json_lines(told) as tell:
        for second in (0.0, 0.4, 1.1, 1.3, 1.6):
            clock[0] = second
            tell(Progress("read", int(10 * second), 16, 0, 0.0, 0))
    assert [json.loads(line)["progress"]["documents_done"] for line in told.getvalue().splitlines()] == [0, 11, 16]


def test_a_run_that_fails_tells_how_far_it_came(clock: list[float]) -> None:
    told = io.StringIO()

    def run() -> None:
        with json_lines(told) as tell:
            tell(Progress("read", 1, 9, 0, 0.0, 0))
            tell(Progress("read", 2, 9, 0, 0.0, 0))
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run()
    assert json.loads(told.getvalue().splitlines()[-1])["progress"]["documents_done"] == 2


@pytest.mark.parametrize("error", [AssertionError("Every raylet is dead"), RuntimeError("no answer"), ValueError("no address")])
def test_what_ray_does_not_tell_of_its_memory_ends_no_run(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = importlib.import_module("docrag.ingest.cluster.watch")

    def refuse(address: str) -> None:
        raise error

    monkeypatch.setattr(watch.ray, "get_runtime_context", lambda: type("Context", (), {"gcs_address": ""}))
    monkeypatch.setattr(watch, "get_state_from_address", refuse)
    assert watch.store_bytes() == 0
