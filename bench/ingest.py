"""docrag's ingest beside the usual recipe, on the documents that have a text layer, with OCR off.

    python -m bench.ingest [DATA] [--documents N] [--repeats 2] [--precision auto|float32] [--grow 3] [--json]

The recipe and docrag run in turn, each in a process of its own; the ratio is the median over the pairs. Then: how much of the
text is embedded, memory as the library grows (the same documents again, `--grow` times, as documents of their own), and the
same ingest again, which has nothing to do.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import Finished, benchmark_data, documents_of, link_data, parser, python, run_alone, table
from bench.text_tokens import text_layer_documents
from docrag.errors import UsageError


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--repeats", type=int, default=2, metavar="N")
    made.add_argument("--precision", choices=("auto", "float32"), help="measure this one only")
    made.add_argument("--grow", type=int, default=3, metavar="N", help="times the library is made larger (1: leave out)")
    arguments = made.parse_args()
    precisions = (arguments.precision,) if arguments.precision else ("auto", "float32")
    with benchmark_data(arguments.data) as data:
        result = measure(data, documents_of(data, arguments.documents), arguments.repeats, precisions, arguments.grow)
    print(json.dumps(result) if arguments.json else to_markdown(result))


def measure(
    data: Path, documents: Sequence[Path], repeats: int, precisions: Sequence[str] = ("auto", "float32"), grow: int = 3
) -> dict[str, Any]:
    chosen = text_layer_documents(documents)
    if not chosen:
        raise UsageError("no document here has a text layer")
    with tempfile.TemporaryDirectory(prefix="docrag-bench-") as made:
        place = Path(made)
        links = link_data(data, chosen, place / "data")
        runs: dict[str, list[Finished]] = {"recipe": [], **{precision: [] for precision in precisions}}
        for repeat in range(repeats):
            runs["recipe"].append(run_alone(python("bench.usual_recipe", links, "--json")))
            for precision in precisions:
                runs[precision].append(_docrag(links / "documents", place / f"{precision}{repeat}", precision))
        first = place / f"{precisions[0]}0"
        return {
            "documents": len(chosen),
            "left_out": len(documents) - len(chosen),
            "recipe": _summary(runs["recipe"], runs["recipe"]),
            "docrag": {precision: _summary(runs[precision], runs["recipe"]) for precision in precisions},
            "tokens": run_alone(python("bench.text_tokens", links, "--index", first)).output,
            "grown": _grown(chosen, place, grow, precisions[0]) if grow > 1 else None,
            "again": again(links / "documents", first, "never"),
        }


def again(folder: Path, index: Path, ocr: str) -> dict[str, Any]:
    """The ingest of files that did not change since the last: what it took and what it touched."""
    run = run_alone(python("bench.docrag_ingest", folder, "--index", index, "--ocr", ocr, "--unloaded"))
    kept = ("documents", "pages", "seconds", "pdfs_opened", "processes_started", "encoder_loaded")
    return {**{key: run.output[key] for key in kept}, "wall_seconds": round(run.seconds, 2), "peak_mib": run.peak_mib}


def _docrag(folder: Path, index: Path, precision: str) -> Finished:
    return run_alone(python("bench.docrag_ingest", folder, "--index", index), {"DOCRAG_PRECISION": precision})


def _summary(runs: Sequence[Finished], recipe: Sequence[Finished]) -> dict[str, Any]:
    rates = [_rate(run) for run in runs]
    first, last = zip(*(run.first_and_last_third_mib for run in runs), strict=True)
    return {
        "precision": runs[0].output.get("precision", "float32"),
        "pages": _pages(runs[0]),
        "pages_per_second": [round(rate, 2) for rate in rates],
        "pages_per_second_with_load": [round(_rate(run, with_load=True), 2) for run in runs],
        "ratio": statistics.median(rate / _rate(other) for rate, other in zip(rates, recipe, strict=True)),
        "ratio_with_load": statistics.median(
            _rate(run, with_load=True) / _rate(other, with_load=True) for run, other in zip(runs, recipe, strict=True)
        ),
        "seconds": [run.output["seconds"] for run in runs],
        "load_seconds": [run.output["load_seconds"] for run in runs],
        "stages": runs[-1].output.get("stages", {}),
        "cpu_seconds": runs[-1].output.get("cpu_seconds", {}),
        "peak_mib": max(run.peak_mib for run in runs),
        "first_third_mib": max(first),
        "last_third_mib": max(last),
        **{key: value for key, value in runs[0].output.items() if key.startswith(("recall@", "search_ms", "failures"))},
    }


def _pages(run: Finished) -> int:
    pages = run.output["pages"]
    return pages if isinstance(pages, int) else pages["ok"]


def _rate(run: Finished, with_load: bool = False) -> float:
    return _pages(run) / (run.output["seconds"] + (run.output["load_seconds"] if with_load else 0.0))


def _grown(documents: Sequence[Path], place: Path, times: int, precision: str) -> dict[str, Any]:
    """The same documents `times` times; what is added after a PDF's end makes it another document."""
    folder = place / "grown"
    folder.mkdir()
    for path in documents:
        data = path.read_bytes()
        for number in range(times):
            (folder / f"{number} {path.name}").write_bytes(data + b"\n%" + str(number).encode())
    run = _docrag(folder, place / "grown-index", precision)
    first, last = run.first_and_last_third_mib
    figures = {"pages": _pages(run), "pages_per_second": round(_rate(run), 2), "peak_mib": run.peak_mib}
    return {"times": times, **figures, "first_third_mib": first, "last_third_mib": last}


def to_markdown(result: dict[str, Any]) -> str:
    runs = {"the usual recipe": result["recipe"]}
    runs |= {f"docrag, {run['precision']}": run for run in result["docrag"].values()}
    speed = table(
        ("ingest, OCR off", "pages", "pages/s", "times the recipe", "pages/s with loading", "times", "loading s", "CPU s"),
        (
            (
                name,
                run["pages"],
                " ".join(f"{rate:.1f}" for rate in run["pages_per_second"]),
                f"{run['ratio']:.2f}",
                " ".join(f"{rate:.1f}" for rate in run["pages_per_second_with_load"]),
                f"{run['ratio_with_load']:.2f}",
                " ".join(f"{seconds:.1f}" for seconds in run["load_seconds"]),
                f"{sum(run['cpu_seconds'].values()):.1f}",
            )
            for name, run in runs.items()
        ),
    )
    memory = _memory(runs, result["grown"])
    parts = [_heading(result), speed, _recipe_search(result), memory, _stages(result), _tokens(result)]
    return "\n\n".join([*parts, again_text(result["again"])])


def _heading(result: dict[str, Any]) -> str:
    return f"{result['documents']} documents with a text layer ({result['left_out']} without one left out), run in turn."


def _recipe_search(result: dict[str, Any]) -> str:
    figures = ", ".join(f"{key} {value}" for key, value in result["recipe"].items() if key.startswith(("recall@", "search_ms")))
    return f"The recipe's search on these documents, inside the question's own: {figures}."


def _memory(runs: dict[str, Any], grown: dict[str, Any] | None) -> str:
    rows = dict(runs)
    if grown:
        rows[f"docrag, the library {grown['times']} times as large"] = grown
    columns = ("memory of all processes (summed PSS), MiB", "pages", "peak", "peak in first third", "in last third")
    keys = ("pages", "peak_mib", "first_third_mib", "last_third_mib")
    return table(columns, ((name, *(row[key] for key in keys)) for name, row in rows.items()))


def _stages(result: dict[str, Any]) -> str:
    runs = list(result["docrag"].values())
    names = list(dict.fromkeys(name for run in runs for name in run["stages"]))
    rows = [(name, *(f"{run['stages'].get(name, 0):.2f}" for run in runs)) for name in names]
    rows += [(f"CPU of {name}", *(f"{run['cpu_seconds'][name]:.2f}" for run in runs)) for name in ("main", "readers")]
    return table(("seconds of the main process, last run", *(run["precision"] for run in runs)), rows)


def _tokens(result: dict[str, Any]) -> str:
    tokens = result["tokens"]
    with_dots = tokens["text_tokens"] + tokens["leader_dots"]
    return (
        f"Of {tokens['text_tokens']:,} tokens of the layers' text, {100 * tokens['share']:.2f} % are embedded "
        f"({tokens['passage_tokens']:,} tokens in passages); rows of leader dots are cut to three at ingest and in this count. "
        f"With each of their {tokens['leader_dots']:,} other dots counted as a token of the text, "
        f"{100 * tokens['embedded_tokens'] / with_dots:.2f} % of {with_dots:,} are. "
        f"{tokens['rejected_pages']} pages were not read from their layer "
        f"(garbage, or failed); they hold {tokens['rejected_tokens']:,} of the tokens. "
        f"Of the others, {100 * tokens['share_of_accepted']:.2f} % are embedded."
    )


def again_text(run: dict[str, Any]) -> str:
    documents, pages = run["documents"], run["pages"]
    return (
        f"The same ingest again: {run['seconds']:.2f} s ({run['wall_seconds']:.2f} s with the start of Python); "
        f"skipped {documents['skipped']} of {documents['attempted']} documents and "
        f"{pages['skipped']} of {pages['attempted']} pages; "
        f"{run['pdfs_opened']} PDFs opened, {run['processes_started']} processes started, "
        f"encoder {'loaded' if run['encoder_loaded'] else 'not loaded'}."
    )


if __name__ == "__main__":
    main()
