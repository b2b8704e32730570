"""What several commands share: their arguments as settings, and the bars that they show while they work."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from docrag.ingest.cluster.progress import ClusterProgress, json_lines
from docrag.ingest.totals import Progress
from docrag.pipelines.tokens import parse_budget

Result = tuple[Mapping[str, Any], str, int]
"""What a command gives: its JSON, its text, its exit code."""


def visual_settings(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {"visual": arguments.visual, "device": arguments.device}


def reader_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "reader": arguments.reader,
        "base_url": arguments.base_url,
        "budget_tokens": None if arguments.budget is None else parse_budget(arguments.budget),
        "navigate": arguments.navigate,
        "samples": arguments.samples,
        "reader_cache": arguments.cache,
    }


def password(arguments: argparse.Namespace) -> str | None:
    return arguments.password or os.environ.get("DOCRAG_PASSWORD")


_DONE = {"read": "read", "look": "looked at"}
LINE_EVERY_S = 10.0
_MIB = 2**20
Show = Callable[[Progress], None]


@contextmanager
def ingest_progress(kind: str) -> Generator[Show]:
    """What an ingest tells on stderr while it runs: a bar, a line now and then where that is no terminal, or JSON lines."""
    if kind == "json":
        with json_lines(sys.stderr) as write:
            yield write
        return
    last: list[Progress] = []
    with _ingest_bar() if sys.stderr.isatty() else _ingest_lines() as show:

        def tell(progress: Progress) -> None:
            last[:] = [progress]
            show(progress)

        yield tell
    for progress in last:
        if isinstance(progress, ClusterProgress):
            sys.stderr.write(f"Ray's object stores held {progress.store_peak_bytes / _MIB:.1f} MiB at most\n")


@contextmanager
def _ingest_bar() -> Generator[Show]:
    """A bar with the time left, and below it what was done at which pace; for the visual lane the bar starts anew."""
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    bar, below, told = Bar(BarColumn(24), TextColumn("{task.description}")), Text("looking for files"), _Told()
    task = bar.add_task("", total=None)

    def show(progress: Progress) -> None:
        percent = f"{100 * progress.done / progress.total:.0f} %" if progress.total else ""
        beside = ", ".join(filter(None, (percent, told.left(progress), _stores(progress))))
        bar.update(task, description=beside, total=progress.total or None, completed=progress.done)
        below.plain = "\n".join(told.lines(progress))

    with Live(Group(bar, below), console=Console(stderr=True), transient=True):
        yield show


@contextmanager
def _ingest_lines() -> Generator[Show]:
    """A line every ten seconds: for logs, and for `ray job submit`, which shows one."""
    told, last = _Told(), [time.monotonic()]

    def show(progress: Progress) -> None:
        left = told.left(progress)
        if time.monotonic() - last[0] < LINE_EVERY_S:
            return
        last[0] = time.monotonic()
        sys.stderr.write("; ".join(filter(None, (*told.lines(progress), left, _stores(progress)))) + "\n")
        sys.stderr.flush()

    yield show


class _Told:
    """Progress in words: the pace of a run on this machine is reckoned here, that of a cluster's stages comes along."""

    def __init__(self) -> None:
        self._began: dict[str, tuple[float, Progress]] = {}

    def left(self, progress: Progress) -> str:
        """As in "0:12:34 left"; "" where it can't be told."""
        if isinstance(progress, ClusterProgress):
            seconds = progress.seconds_left
        else:
            elapsed_s, first = self._since(progress)
            done = progress.done - first.done
            seconds = (progress.total - progress.done) * elapsed_s / done if done > 0 else None
        return "" if seconds is None else f"{timedelta(seconds=round(seconds))} left"

    def lines(self, progress: Progress) -> list[str]:
        """Each fits into 80 columns, also where there are millions of pages."""
        documents = f"{progress.documents_done}/{progress.documents_total} documents"
        if isinstance(progress, ClusterProgress):
            return [f"{documents}, {_pages(progress)}" + _failures(progress.failures), _stages(progress)]
        elapsed_s, first = self._since(progress)
        pages = f"{progress.pages_done} pages {_DONE[progress.stage]}" + (progress.encoder and f" by {progress.encoder}")
        pace = f", {(progress.pages_done - first.pages_done) / elapsed_s:.1f} pages/s" if elapsed_s > 1 else ""
        return [f"{documents}, {pages}{pace}"]

    def _since(self, progress: Progress) -> tuple[float, Progress]:
        """The seconds since the stage was first told of, and what it had done then."""
        begin, first = self._began.setdefault(progress.stage, (time.monotonic(), progress))
        return time.monotonic() - begin, first


def _pages(progress: ClusterProgress) -> str:
    if progress.stage == "look":
        return f"{progress.done:.0f} of {progress.total} pages looked at by {progress.encoder}"
    return f"{progress.done:.0f} of about {progress.total} pages" if progress.total else "no pages yet"


def _failures(number: int) -> str:
    return f", {number} failure{'s' * (number > 1)}" if number else ""


def _stages(progress: ClusterProgress) -> str:
    paces = ", ".join(f"{stage.name} {_pace(stage.pages_per_second)}" for stage in progress.stages)
    waiting = {stage.name: stage.waiting for stage in progress.stages}.get(progress.slowest)
    return f"{paces} pages/s" + (f"; {waiting} wait for {progress.slowest}" if waiting else "")


def _pace(pages_per_second: float) -> str:
    return f"{pages_per_second:.0f}" if pages_per_second >= 100 else f"{pages_per_second:.1f}"


def _stores(progress: Progress) -> str:
    """What Ray holds in memory between the stages."""
    if not isinstance(progress, ClusterProgress):
        return ""
    return f"stores {progress.store_bytes / _MIB:.0f} MiB (most {progress.store_peak_bytes / _MIB:.0f})"


@contextmanager
def bar(what: str) -> Generator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
