"""`docrag demo`: make the library, ingest it, ask three questions, score a dozen, write the report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from docrag.benchmark import BenchmarkOptions, evaluate
from docrag.client import Library
from docrag.demo.opening import make_opening
from docrag.demo.questions import SHOWCASE, DemoQuestion, write_questions
from docrag.errors import EnvironmentFault, UsageError
from docrag.eval.summary import Summary
from docrag.ingest.guard_child import only_what_is_needed
from docrag.report import write_library_report
from docrag.types import Answer, IngestReport

MARKER = "samples.json"


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo did, and where its report is."""

    ingest: IngestReport
    answers: tuple[tuple[DemoQuestion, Answer], ...]
    summary: Summary
    report: Path


def run_demo(out: Path, say: Callable[[str], None]) -> DemoResult:
    """Run the demo in the folder `out`, which is new, empty, or an earlier demo's; `say` gets a line on each step.

    Raises UsageError where `out` holds other things, EnvironmentFault where it can't be written.
    """
    with only_what_is_needed():  # 1.7 s of CPU less
        from docrag.demo.library import DOCUMENTS, make_library

    try:
        _clear(out)
        say(f"Making three PDFs in {out / DOCUMENTS}: an annual report, a slide deck and a scanned memo.")
        make_library(out)
        write_questions(out)
    except OSError as error:
        raise EnvironmentFault(f"can't write to {out}: {error}", "name another folder with --out") from error
    with Library(str(out / "library")) as library:
        say("Reading and embedding every page.")
        ingested = library.ingest([out / DOCUMENTS])
        say(f"  {ingested.pages.ok} pages in {ingested.seconds:.1f} s, {ingested.ocr} of them by OCR\n")
        answers = tuple((question, library.ask(question.question)) for question in SHOWCASE)
        summary = evaluate(library, out, out / "run", BenchmarkOptions())
        report = write_library_report(library, out / "run", out, make_opening(library, ingested, answers))
    return DemoResult(ingested, answers, summary, report.html)


def _clear(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise UsageError(f"{out} holds other things than a demo", "name a new folder with --out")
    for made in ("library", "run", "charts"):
        shutil.rmtree(out / made, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
