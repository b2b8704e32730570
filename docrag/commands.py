"""What each command of the command line does; loaded once its arguments are parsed."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from docrag import output
from docrag.client import Library
from docrag.command_parts import Result, ingest_progress, password, reader_settings, visual_settings
from docrag.commands_eval import run_eval, run_extract, run_report, run_score
from docrag.errors import UsageError
from docrag.ingest.sources import STDIN, read_names


def run(arguments: argparse.Namespace) -> int:
    """Run the parsed command, print its result, and return the exit code."""
    result, text, exit_code = COMMANDS[arguments.command](arguments)
    sys.stdout.writelines(output.json_pieces(result) if arguments.json else [output.printable(text)])
    sys.stdout.write("\n")
    sys.stdout.flush()
    return exit_code


def _ingest(arguments: argparse.Namespace) -> Result:
    sources: list[str] = []
    for source in arguments.sources:
        sources += read_names(sys.stdin.buffer) if source == STDIN else [source]
    names = ("ocr", "lang", "workers", "visual", "device", "pooling", "quantization")
    settings = {name: getattr(arguments, name) for name in names}
    with (
        Library(arguments.index, blobs=arguments.blobs, **settings) as library,
        ingest_progress(arguments.progress) as progress,
    ):
        report = library.ingest(
            sources,
            password=password(arguments),
            checksum=arguments.checksum,
            prune=arguments.prune,
            ray=arguments.ray,
            progress=progress,
        )
    failed = report.documents.failed or report.pages.failed
    return output.report_json(report), output.report_text(report), 1 if failed else 0


def _search(arguments: argparse.Namespace) -> Result:
    import time

    with Library(arguments.index, **visual_settings(arguments)) as library:
        _ = library.index, library.visual  # opened and loaded before the clock starts
        library.encoder.load()
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
    with Library(arguments.index, k=arguments.k, **reader_settings(arguments), **visual_settings(arguments)) as library:
        answer = library.ask(
            arguments.question, arguments.doc, password=password(arguments), on_text=hear if is_watched else None
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
    with Library(arguments.index, **visual_settings(arguments)) as library:
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
    place, key = (arguments.document, arguments.page), password(arguments)
    if arguments.question is None:
        return library.page_image(*place, password=key)
    return library.heatmap(*place, arguments.question, by_word=arguments.by_word, password=key)


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


def _plan(arguments: argparse.Namespace) -> Result:
    from docrag.plan.estimate import make_plan

    plan = make_plan(arguments.pages, arguments.visual, arguments.gpus, arguments.cpus, arguments.index)
    return plan.to_json(), plan.to_text(), 0


def _doctor(arguments: argparse.Namespace) -> Result:
    from docrag.doctor.examine import examine

    report = examine(arguments.index, password(arguments))
    return report.to_json(), report.to_text(), report.exit_code


def _demo(arguments: argparse.Namespace) -> Result:
    from docrag.demo.flow import run_demo

    done = run_demo(Path(arguments.out), _to_stderr if arguments.json else _to_stdout)
    ingest = output.report_json(done.ingest)
    result = {
        "ingest": {**ingest, "failures": list(ingest["failures"])},
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


COMMANDS: Mapping[str, Callable[[argparse.Namespace], Result]] = {
    "demo": _demo,
    "ingest": _ingest,
    "search": _search,
    "ask": _ask,
    "list": _list,
    "show": _show,
    "delete": _delete,
    "verify": _verify,
    "eval": run_eval,
    "score": run_score,
    "extract": run_extract,
    "report": run_report,
    "plan": _plan,
    "doctor": _doctor,
}
