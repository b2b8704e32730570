"""What the benchmarks share: the data, processes of their own with the memory they take, stage times, tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from docrag.errors import UsageError
from docrag.eval.benchmarks.mmlongbench import load as load_questions
from docrag.eval.questions import Question

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_S = 1.0  # adding up the memory of five processes takes some 20 ms of a core
# The browser without a window starts in half the time of the whole one.
_BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, _BROWSERS)), None)
_SCRIPT = Path(sys.executable).with_name("docrag")
DOCRAG = [str(_SCRIPT)] if _SCRIPT.exists() else [sys.executable, "-m", "docrag.cli"]


def parser(description: str | None) -> argparse.ArgumentParser:
    """With what every benchmark takes: DATA, --documents, --json."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    told = "a folder in MMLongBench-Doc's form: documents/*.pdf and samples.json (default: the demo's library)"
    made.add_argument("data", type=Path, nargs="?", help=told)
    made.add_argument("--documents", type=int, default=0, metavar="N", help="only the first N documents (0: all)")
    made.add_argument("--json", action="store_true")
    return made


@contextlib.contextmanager
def benchmark_data(folder: Path | None) -> Generator[Path]:
    """The folder with the data, as an absolute path: the one that is named, or the demo's library made for the while."""
    if folder is not None:
        if not (folder / "samples.json").is_file():
            sys.exit(f"{folder} holds no samples.json: DATA is a folder with documents/ and samples.json")
        yield folder.absolute()
        return
    from docrag.demo.library import make_library
    from docrag.demo.questions import write_questions

    with tempfile.TemporaryDirectory(prefix="docrag-bench-") as made:
        make_library(Path(made))
        write_questions(Path(made))
        yield Path(made)


def documents_of(data: Path, limit: int = 0) -> list[Path]:
    """The PDFs of the data, sorted by name. Raises UsageError where there is none."""
    found = sorted((data / "documents").glob("*.pdf"))
    if not found:
        raise UsageError(f"{data / 'documents'} holds no PDFs")
    return found[:limit] if limit else found


def questions_of(data: Path, documents: Iterable[Path]) -> list[Question]:
    """Those about `documents`. Raises UsageError where there is none."""
    names = {path.name for path in documents}
    found = [question for question in load_questions(data) if question.doc_id in names]
    if not found:
        raise UsageError(f"no question in {data} is about these documents")
    return found


def link_data(data: Path, documents: Iterable[Path], folder: Path) -> Path:
    """`folder`, made into data of the same form that holds these documents only, as links."""
    (folder / "documents").mkdir(parents=True)
    for path in documents:
        (folder / "documents" / path.name).symlink_to(path)
    names = {path.name for path in documents}
    samples = json.loads((data / "samples.json").read_text(encoding="utf-8"))
    kept = [sample for sample in samples if sample["doc_id"] in names]
    (folder / "samples.json").write_text(json.dumps(kept), encoding="utf-8")
    return folder


@dataclass(frozen=True)
class Finished:
    """What a process of its own printed and took. Memory is the sum of the PSS of it and all below it, MiB."""

    output: dict[str, Any]
    seconds: float
    memory_mib: tuple[float, ...]

    @property
    def peak_mib(self) -> float:
        return round(max(self.memory_mib, default=0.0))

    @property
    def first_and_last_third_mib(self) -> tuple[float, float]:
        """The peaks of the first and of the last third of its time: level where memory does not grow with the library."""
        third = max(1, len(self.memory_mib) // 3)
        return round(max(self.memory_mib[:third], default=0.0)), round(max(self.memory_mib[-third:], default=0.0))


def run_alone(
    command: Sequence[str],
    env: Mapping[str, str] | None = None,
    allowed: Sequence[int] = (0,),
    sample_s: float | None = SAMPLE_S,
) -> Finished:
    """Run a command that prints one JSON object; raises RuntimeError, with its stderr, where its exit code is not allowed.

    Its memory is looked at every `sample_s`, or not at all: None is for the many processes of Ray, which it would cost pace.
    """
    memory: list[float] = []
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.perf_counter()
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=out, stderr=err)
        while True:
            try:
                process.wait(sample_s)
                break
            except subprocess.TimeoutExpired:
                memory.append(tree_pss_mib(process.pid))
        seconds = time.perf_counter() - begin
        out.seek(0)
        err.seek(0)
        if process.returncode not in allowed:
            told = err.read().decode(errors="replace")[-2000:]
            raise RuntimeError(f"{' '.join(command[:4])} ... ended with {process.returncode}:\n{told}")
        return Finished(json.loads(out.read().splitlines()[-1]), seconds, tuple(memory))


def python(module: str, *arguments: object) -> list[str]:
    return [sys.executable, "-m", module, *map(str, arguments)]


def tree_pss_mib(pid: int) -> float:
    """Proportional set size of a process and all below it: pages that several share count once in all."""
    try:
        root = psutil.Process(pid)
        pids = [pid, *(child.pid for child in root.children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(map(_pss_kib, pids)) / 1024


def _pss_kib(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it ended meanwhile
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


class Stopwatch:
    """Seconds spent in named stages, by wrapping the functions that are the stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def watch(self, owner: Any, name: str, stage: str) -> None:
        """Time `owner.name`; where it gives an iterator, the waits for its items."""
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            with self._timing(stage):
                value = inner(*arguments, **named)
            return self._items(value, stage) if isinstance(value, Iterator) else value

        setattr(owner, name, timed)

    def _items(self, items: Iterator[Any], stage: str) -> Iterator[Any]:
        while True:
            with self._timing(stage):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item

    @contextlib.contextmanager
    def _timing(self, stage: str) -> Generator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], align: str = "---:") -> str:
    """A markdown table: the first column to the left, the others to the right, or as `align` says."""
    lines = [f"| {' | '.join(columns)} |", f"|---|{f'{align}|' * (len(columns) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)])


def _cell(value: object) -> str:
    return "-" if value is None else str(value)
