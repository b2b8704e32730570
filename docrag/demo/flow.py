"""`docrag demo`: make the library, ingest it, ask three questions, score a dozen, write the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docrag.benchmark import BenchmarkOptions, evaluate
from docrag.client import Library
from docrag.demo.questions import SHOWCASE, DemoQuestion, write_questions
from docrag.demo.report import DemoAnswer, describe_hit, write_report
from docrag.errors import EnvironmentFault, UsageError
from docrag.eval.scoring import score_predictions
from docrag.eval.submissions import load_items
from docrag.eval.summary import Summary
from docrag.types import Answer, IngestReport

PAGE_PX = 1_100
THUMB_PX = 260
THUMBS = 3
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
        report = out / "report.html"
        shown = [_shown(library, question, answer) for question, answer in answers]
        write_report(report, shown, _figures(summary, out / "run"), ingested.to_json())
    return DemoResult(ingested, answers, summary, report)


def _clear(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / MARKER).is_file():
        raise UsageError(f"{out} holds other things than a demo", "name a new folder with --out")
    for made in ("library", "run"):
        shutil.rmtree(out / made, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)


def _shown(library: Library, question: DemoQuestion, answer: Answer) -> DemoAnswer:
    cited = answer.citations[0] if answer.citations else None
    picture = library.page_image(cited.document, cited.page_number, long_side_px=PAGE_PX) if cited else None
    page = library.page(cited.document, cited.page_number) if cited else None
    others = [
        hit for hit in answer.hits if cited is None or (hit.name, hit.page.page_number) != (cited.document, cited.page_number)
    ]
    return DemoAnswer(
        question=question.question,
        answer=answer,
        expected=question.answer,
        page_png=picture,
        page_size_pt=(page.width_pt, page.height_pt) if page else None,
        thumbs=tuple(
            (describe_hit(hit), library.page_image(hit.name, hit.page.page_number, long_side_px=THUMB_PX))
            for hit in others[:THUMBS]
        ),
    )


def _figures(summary: Summary, run_dir: Path) -> Mapping[str, Any]:
    predictions = run_dir / "predictions.jsonl"
    lines = [json.loads(line) for line in predictions.read_text(encoding="utf-8").splitlines()]
    scored = score_predictions(load_items(predictions)).to_json()["items"]
    items = [{**line, "score": item["score"]} for line, item in zip(lines, scored, strict=True)]
    return {**summary.to_json(), "items": items}
