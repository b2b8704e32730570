"""An ingest on Ray beside the local run over the same documents, and what it holds in memory as documents become many.

    python -m bench.ray_pace [DATA] [--documents N] [--repeats 2] [--many 100 10000] [--json]

Pace: with `--workers 2` readers, without OCR, into an index in a folder, each run in a process of its own and in turn. Left
out is the start: of the local run the load of the encoder; of the run on Ray all until the first write, when workers of all
kinds are there. Pages that were encoded by then are not counted, but those that were only read are, some of them read before
(their number is told). Both indexes must hold the same, and both reports tell the same.

Memory: tiny PDFs of one page, an encoder that does nothing, on Ray; what driver, desk and object store hold, at most.
Exit code 1 where the indexes or the reports differ.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import benchmark_data, documents_of, link_data, parser, python, table
from bench.ray_cluster import output_of, own_ray
from bench.same_index import compare
from bench.tiny_pdfs import write_pdfs

WORKERS = 2
COSINE = 0.9999
LEAST_RATIO = 0.85
MANY = (100, 10_000)
WATCH_S = 0.5


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--repeats", type=int, default=2, metavar="N")
    made.add_argument(
        "--many", type=int, nargs="*", default=list(MANY), metavar="N", help="numbers of documents for the memory"
    )
    arguments = made.parse_args()
    with benchmark_data(arguments.data) as data:
        result = measure(data, documents_of(data, arguments.documents), arguments.repeats, arguments.many)
    print(json.dumps(result) if arguments.json else to_markdown(result))
    sys.exit(1 if result["differences"] else 0)


def measure(data: Path, documents: Sequence[Path], repeats: int, many: Sequence[int] = MANY) -> dict[str, Any]:
    with own_ray(), tempfile.TemporaryDirectory(prefix="docrag-bench-") as made:
        place = Path(made)
        links = link_data(data, documents, place / "data") / "documents"
        pairs = [(_run(links, place / f"here{at}", "--here"), _run(links, place / f"ray{at}")) for at in range(repeats)]
        differences = compare(str(place / "here0"), str(place / "ray0"), COSINE) if repeats else []
        differences += [line for here, ray in pairs for line in _reports_differ(here, ray)]
        return {
            "documents": len(documents),
            "pages": pairs[0][0]["pages"] if pairs else {},
            "here": [_pace_here(here) for here, _ in pairs],
            "ray": [_pace_on_ray(ray) for _, ray in pairs],
            "memory": [_memory(place, number) for number in many],
            "differences": differences,
        }


def _run(folder: Path, index: Path, *options: str) -> dict[str, Any]:
    command = python("bench.ray_driver", folder, "--index", index, "--encoder", "minilm", "--workers", WORKERS, *options)
    return output_of(command)


def _reports_differ(here: dict[str, Any], ray: dict[str, Any]) -> list[str]:
    """What the two reports tell differently; failures may come in another order."""
    told = [{**run, "failures": sorted(map(json.dumps, run["failures"]))} for run in (here, ray)]
    keys = ("documents", "pages", "failures")
    return [f"the reports' {key}: {told[0][key]} here, {told[1][key]} on Ray" for key in keys if told[0][key] != told[1][key]]


def _pace_here(run: dict[str, Any]) -> dict[str, Any]:
    """Of the local run, once its encoder is loaded."""
    return {
        "pages_per_second": run["pages"]["ok"] / run["seconds"],
        "seconds": run["seconds"],
        "left_out_s": run["load_seconds"],
    }


def _pace_on_ray(run: dict[str, Any]) -> dict[str, Any]:
    """From the first write on, when workers of all kinds are there; pages that were encoded by then are not counted."""
    seconds, by_then = run["after_first_write_s"], run["pages_by_then"]
    return {
        "pages_per_second": (run["pages"]["ok"] - by_then["encoded"]) / seconds,
        "seconds": seconds,
        "left_out_s": run["seconds"] - seconds,
        "read_ahead": by_then["read"] - by_then["encoded"],
        "desk_s": run["desk_s"],
    }


def _memory(place: Path, documents: int) -> dict[str, Any]:
    """What is held while so many tiny documents are ingested, at most, and in the first third of the time."""
    folder = place / f"tiny{documents}"
    write_pdfs(folder, range(documents), pages=1)
    command = python("bench.ray_driver", folder, "--index", place / f"many{documents}", "--encoder", "null")
    run = output_of([*command, "--workers", str(WORKERS), "--watch-s", str(WATCH_S)])
    seen = {name: sizes or [0.0] for name, sizes in run["memory"].items()}
    third = {name: max(sizes[: max(1, len(sizes) // 3)]) for name, sizes in seen.items()}
    return {
        "documents": documents,
        "documents_per_second": round(documents / run["after_first_page_s"], 1),
        "most": {name: max(sizes) for name, sizes in seen.items()},
        "first_third": third,
        "desk_s": run["desk_s"],
    }


def to_markdown(result: dict[str, Any]) -> str:
    parts = [*_pace_text(result), _memory_text(result["memory"])]
    return "\n\n".join([*parts, *(f"- **{difference}**" for difference in result["differences"])])


def _pace_text(result: dict[str, Any]) -> list[str]:
    if not result["ray"]:
        return []
    ratio = statistics.median(
        ray["pages_per_second"] / here["pages_per_second"] for ray, here in zip(result["ray"], result["here"], strict=True)
    )
    told = (
        f"{result['documents']} documents, {result['pages']['ok']} pages, OCR off, {WORKERS} readers: on Ray {ratio:.2f} of "
        f"the local run's pace (asked for: {LEAST_RATIO}). Left out: here the load of the encoder; on Ray all until the first "
        f"write, when {result['ray'][-1]['read_ahead']} pages that were still to be encoded had been read."
    )
    rows = [(name, run) for name in ("here", "ray") for run in result[name]]
    columns = ("run", "pages/s", "s", "left out, s")
    paces = table(
        columns,
        ((name, f"{run['pages_per_second']:.1f}", f"{run['seconds']:.1f}", f"{run['left_out_s']:.1f}") for name, run in rows),
    )
    return [told, paces, f"The desk's seconds, last run: {_desk_text(result['ray'][-1]['desk_s'])}."]


def _memory_text(runs: Sequence[dict[str, Any]]) -> str:
    columns = ("documents of one page", "documents/s", "driver, MiB", "desk, MiB", "object store, MiB", "the desk's seconds")
    return table(columns, (_memory_row(run) for run in runs))


def _memory_row(run: dict[str, Any]) -> list[object]:
    sizes = [f"{run['first_third'][name]:.0f} to {most:.0f}" for name, most in run["most"].items()]
    return [run["documents"], run["documents_per_second"], *sizes, _desk_text(run["desk_s"])]


def _desk_text(busy: dict[str, float]) -> str:
    most = sorted(busy.items(), key=lambda item: -item[1])[:4]
    return ", ".join(f"{name} {seconds:.1f}" for name, seconds in most)


if __name__ == "__main__":
    main()
