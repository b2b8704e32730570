"""What several commands share: their arguments as settings, and the bars that they show while they work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
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


@contextmanager
def ingest_progress(kind: str) -> Generator[Callable[[Progress], None]]:
    """What an ingest tells on stderr while it runs: a bar, or JSON lines."""
    if kind == "json":
        yield json_lines(sys.stderr)
        return
    with _ingest_bar() as show:
        yield show


@contextmanager
def _ingest_bar() -> Generator[Callable[[Progress], None]]:
    """Documents, pages, pages/s, time left; for the visual lane it starts anew."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks = {"read": bar.add_task("looking for files", total=None)}

        def show(progress: Progress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bar.add_task("", total=None)
            task = tasks[progress.stage]
            told = _told(progress, bar.tasks[task].elapsed or 0.0)
            bar.update(task, description=told, total=progress.total or None, completed=progress.done)

        yield show


def _told(progress: Progress, elapsed_s: float) -> str:
    rate = f"{progress.pages_done / elapsed_s:.1f} pages/s" if elapsed_s > 1 else ""
    told = (
        f"{progress.documents_done}/{progress.documents_total} documents, {progress.pages_done} pages {_DONE[progress.stage]}"
    )
    told += f" by {progress.encoder} {rate}" if progress.encoder else f" {rate}"
    if isinstance(progress, ClusterProgress):
        stages = ", ".join(f"{stage.name} {stage.pages_per_second:.1f}" for stage in progress.stages)
        told += f" ({stages}" + (f"; most wait for {progress.slowest}" if progress.slowest else "") + ")"
        told += f", {progress.failures} failures" if progress.failures else ""
    return told


@contextmanager
def bar(what: str) -> Generator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
