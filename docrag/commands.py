"""What each command of the command line does; loaded once its arguments are parsed."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from docrag import output
from docrag.client import Library
from docrag.errors import UsageError
from docrag.ingest.sources import STDIN, read_names
from docrag.ingest.totals import Progress
from docrag.pipelines.tokens import parse_budget

Result = tuple[Mapping[str, Any], str, int]
"""What a command gives: its JSON, its text, its exit code."""


def run(arguments: argparse.Namespace) -> int:
    """Run the parsed command, print its result, and return the exit code."""
    result, text, exit_code = COMMANDS[arguments.command](arguments)
    sys.stdout.write((output.to_json_text(result) if arguments.json else output.printable(text)) + "\n")
    sys.stdout.flush()
    return exit_code


def _ingest(arguments: argparse.Namespace) -> Result:
    sources: list[str] = []
    for source in arguments.sources:
        sources += read_names(sys.stdin.buffer) if source == STDIN else [source]
    names = ("ocr", "lang", "workers", "visual", "device", "pooling", "quantization")
    settings = {name: getattr(arguments, name) for name in names}
    with Library(arguments.index, blobs=arguments.blobs, **settings) as library, _ingest_bar() as progress:
        report = library.ingest(
            sources,
            password=_password(arguments),
            checksum=arguments.checksum,
            prune=arguments.prune,
            progress=progress,
        )
    failed = report.documents.failed or report.pages.failed
    return output.report_json(report), output.report_text(report), 1 if failed else 0


def _search(arguments: argparse.Namespace) -> Result:
    import time

    with Library(arguments.index, **_visual(arguments)) as library:
        _ = library.index, library.encoder, library.visual  # opened and loaded before the clock starts
        begin = time.perf_counter()
        found = library.explain(arguments.question, arguments.doc, arguments.k)
        milliseconds = round(1000 * (time.perf_counter() - begin), 3)
    if arguments.explain:
        return {**output.explained_json(found), "milliseconds": milliseconds}, output.explained_text(found), 0
    result = {"hits": [output.hit_json(hit) for hit in found.hits], "milliseconds": milliseconds}
    return result, output.hits_text(found.hits), 0


def _ask(arguments: argparse.Namespace) -> Result:
    heard: list[str] = []

    def hear(piece: str) -> None:
        heard.append(piece)
        sys.stdout.write(output.printable(piece))
        sys.stdout.flush()

    is_watched = sys.stdout.isatty() and not arguments.json
    with Library(arguments.index, k=arguments.k, **_reader(arguments), **_visual(arguments)) as library:
        answer = library.ask(
            arguments.question, arguments.doc, password=_password(arguments), on_text=hear if is_watched else None
        )
    text = output.answer_text(answer)
    if heard:  # the answer's text stands there already, or another one that did not last
        text = text.removeprefix(answer.text) if "".join(heard) == answer.text else f"\n{text}"
    return output.answer_json(answer), text, 1 if answer.outcome == "failed" else 0


def _list(arguments: argparse.Namespace) -> Result:
    with Library(arguments.index) as library:
        documents = [output.document_json(library.index, record) for record in library.documents()]
        for damage in library.index.damaged_records:
            _to_stderr(f"docrag: {damage}")
    documents.sort(key=lambda document: document["document"])
    lines = [f"{document['pages']:6} pages  {document['status']:8}  {document['document']}" for document in documents]
    return {"documents": documents}, "\n".join(lines) or "no documents", 0


def _show(arguments: argparse.Namespace) -> Result:
    if arguments.question and not arguments.out:
        raise UsageError("--question draws on a page", "say where to with --out FILE.png")
    with Library(arguments.index, **_visual(arguments)) as library:
        if arguments.page is None:
            if arguments.out:
                raise UsageError("--out draws one page", "say which with --page N")
            return _show_document(library, arguments.document)
        if arguments.out:
            Path(arguments.out).write_bytes(_picture(library, arguments))
        page = library.page(arguments.document, arguments.page)
    result = {
        "document": arguments.document,
        "page_number": arguments.page,
        "page_label": page.page.page_label,
        "width_pt": page.width_pt,
        "height_pt": page.height_pt,
        "text_source": page.text_source,
        "text": page.text,
        "passages": [
            {"kind": region.kind, "heading": region.heading, "box": list(region.box), "text": page.passage_text(region)}
            for region in page.passages
        ],
        "image": arguments.out,
    }
    return result, page.text, 0


def _picture(library: Library, arguments: argparse.Namespace) -> bytes:
    place, password = (arguments.document, arguments.page), _password(arguments)
    if arguments.question is None:
        return library.page_image(*place, password=password)
    return library.heatmap(*place, arguments.question, by_word=arguments.by_word, password=password)


def _show_document(library: Library, name: str) -> Result:
    record = library.document(name)
    shown = output.document_json(library.index, record)
    lines = [f"{key}: {value}" for key, value in shown.items() if key != "failures"]
    return shown, "\n".join([*lines, *(output.failure_text(failure) for failure in record.failures)]), 0


def _delete(arguments: argparse.Namespace) -> Result:
    if not arguments.documents and not arguments.visual:
        raise UsageError("nothing to delete is named", "name documents, or --visual for the visual lane")
    with Library(arguments.index) as library:
        gone = library.delete(arguments.documents) if arguments.documents else []
        if arguments.visual:
            library.delete_visual()
    lines = [f"deleted {name}" for name in gone] + (["deleted the visual lane"] if arguments.visual else [])
    return {"deleted": gone, "visual": arguments.visual}, "\n".join(lines), 0


def _verify(arguments: argparse.Namespace) -> Result:
    with Library(arguments.index) as library:
        report = library.verify(repair=arguments.repair)
    return report.to_json(), output.verify_text(report), 1 if report.damages else 0


def _eval(arguments: argparse.Namespace) -> Result:
    from docrag.benchmark import BenchmarkOptions, evaluate
    from docrag.eval.predictions import read_predictions

    password = _password(arguments)
    options = BenchmarkOptions(arguments.scope, arguments.retrieval_only, arguments.limit, arguments.resume, password)
    run_dir = Path(arguments.out)
    with Library(arguments.index, **_reader(arguments), **_visual(arguments)) as library, _bar("questions") as progress:
        summary = evaluate(library, Path(arguments.data), run_dir, options, progress)
    failed = any(prediction.outcome == "failed" for prediction in read_predictions(run_dir / "predictions.jsonl"))
    return summary.to_json(), f"{summary.to_markdown()}\n{run_dir / 'summary.md'}", 1 if failed else 0


def _score(arguments: argparse.Namespace) -> Result:
    from docrag.eval.mmlongbench import load_questions
    from docrag.eval.scoring import score_predictions
    from docrag.eval.submissions import load_items

    gold = load_questions(Path(arguments.questions)) if arguments.questions else None
    scores = score_predictions(load_items(Path(arguments.predictions), gold))
    figures = scores.to_json()
    lines = [f"{name}: {value}" for name, value in figures.items() if not isinstance(value, list | dict)]
    if gold is None:
        lines.append("coverage unknown: name the benchmark's questions with --questions to count what is missing as wrong")
    return figures, "\n".join(lines), 0


def _plan(arguments: argparse.Namespace) -> Result:
    from docrag.plan.estimate import make_plan

    plan = make_plan(arguments.pages, arguments.visual, arguments.gpus, arguments.cpus, arguments.index)
    return plan.to_json(), plan.to_text(), 0


def _doctor(arguments: argparse.Namespace) -> Result:
    from docrag.doctor.examine import examine

    report = examine(arguments.index, _password(arguments))
    return report.to_json(), report.to_text(), report.exit_code


def _demo(arguments: argparse.Namespace) -> Result:
    from docrag.demo.flow import run_demo

    done = run_demo(Path(arguments.out), _to_stderr if arguments.json else _to_stdout)
    result = {
        "ingest": output.report_json(done.ingest),
        "answers": [{"question": question.question, **output.answer_json(answer)} for question, answer in done.answers],
        "eval": done.summary.to_json(),
        "report": str(done.report),
    }
    return result, output.demo_text(done), 0


def _to_stdout(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _to_stderr(line: str) -> None:
    sys.stderr.write(line + "\n")


def _visual(arguments: argparse.Namespace) -> dict[str, str | None]:
    return {"visual": arguments.visual, "device": arguments.device}


def _reader(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "reader": arguments.reader,
        "base_url": arguments.base_url,
        "budget_tokens": None if arguments.budget is None else parse_budget(arguments.budget),
        "navigate": arguments.navigate,
        "samples": arguments.samples,
        "reader_cache": arguments.cache,
    }


def _password(arguments: argparse.Namespace) -> str | None:
    return arguments.password or os.environ.get("DOCRAG_PASSWORD")


_DONE = {"read": "read", "look": "looked at"}


@contextmanager
def _ingest_bar() -> Generator[Callable[[Progress], None]]:
    """A bar on stderr: documents, pages, pages/s, time left; for the visual lane it starts anew."""
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
            elapsed = bar.tasks[task].elapsed or 0.0
            rate = f"{progress.pages_done / elapsed:.1f} pages/s" if elapsed > 1 else ""
            documents = f"{progress.documents_done}/{progress.documents_total} documents"
            told = f"{documents}, {progress.pages_done} pages {_DONE[progress.stage]}"
            told += f" by {progress.encoder} {rate}" if progress.encoder else f" {rate}"
            bar.update(task, description=told, total=progress.total or None, completed=progress.done)

        yield show


@contextmanager
def _bar(what: str) -> Generator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


COMMANDS: Mapping[str, Callable[[argparse.Namespace], Result]] = {
    "demo": _demo,
    "ingest": _ingest,
    "search": _search,
    "ask": _ask,
    "list": _list,
    "show": _show,
    "delete": _delete,
    "verify": _verify,
    "eval": _eval,
    "score": _score,
    "plan": _plan,
    "doctor": _doctor,
}
