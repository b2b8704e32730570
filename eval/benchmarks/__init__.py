"""The benchmarks that `docrag eval` knows: each is one module here, with a name, its questions, and where its PDFs lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from docrag.errors import UsageError
from docrag.eval.benchmarks import mmlongbench, own
from docrag.eval.entries import Entry, read_entries
from docrag.eval.questions import Question


class Benchmark(Protocol):
    """What a benchmark's module has."""

    @property
    def name(self) -> str: ...

    def load(self, path: Path) -> tuple[Question, ...]:
        """The questions at `path`, in their order. Raises UsageError that names the file, the entry and the field."""
        ...

    def document_path(self, path: Path, doc_id: str) -> Path | None:
        """Where the PDF of `doc_id` belongs, None where the benchmark has no PDFs of its own.

        Whether it is there is not looked at. Raises UsageError on a `doc_id` that can be none of the benchmark's.
        """
        ...

    def form(self, questions: Sequence[Question]) -> str:
        """Which form of the benchmark these questions are, as it goes on record: they may be a part, or one of several."""
        ...


_ALL: tuple[Benchmark, ...] = (mmlongbench, own)
BENCHMARKS: Mapping[str, Benchmark] = {benchmark.name: benchmark for benchmark in _ALL}


def get_benchmark(name: str) -> Benchmark:
    """The benchmark of that name. Raises UsageError that names the known ones."""
    if name not in BENCHMARKS:
        raise UsageError(f"no benchmark is called {name!r}", f"benchmarks are {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]


def load_questions(path: Path) -> tuple[Question, ...]:
    """The questions at `path`, in whichever form: a library's own name no `doc_id`. Raises UsageError as `load` does."""
    is_own = path.suffix != ".parquet" and path.is_file() and not any(map(_names_a_pdf, read_entries(path)))
    return (own if is_own else mmlongbench).load(path)


def _names_a_pdf(entry: Entry) -> bool:
    return entry.has("doc_id")
