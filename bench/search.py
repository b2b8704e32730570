"""How long a search takes, in-process and from the command line.

    python -m bench.search [DATA] --index I [--documents N] [--json]

Every question of the data is asked inside its document and of the whole library, the question's embedding included; a second
pass times the stages. The index holds the data's documents, under these or other paths.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.common import (
    DOCRAG,
    ROOT,
    Stopwatch,
    benchmark_data,
    documents_of,
    parser,
    python,
    questions_of,
    run_alone,
    table,
)
from docrag.eval.questions import Question

if TYPE_CHECKING:
    from docrag.client import Library

SCOPES = ("inside the document", "whole library")
CLI_RUNS = 5
WARM_UP = 5


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--index", type=Path, required=True)
    made.add_argument("--inside", action="store_true", help="this process searches: what the benchmark starts itself as")
    arguments = made.parse_args()
    index = arguments.index.absolute()
    with benchmark_data(arguments.data) as data:
        documents = documents_of(data, arguments.documents)
        if arguments.inside:
            print(json.dumps(search_all(questions_of(data, documents), str(index))))
            return
        result = measure(data, documents, index)
    print(json.dumps(result) if arguments.json else to_markdown(result))


def measure(data: Path, documents: Sequence[Path], index: Path) -> dict[str, Any]:
    searched = run_alone(python("bench.search", data, "--documents", len(documents), "--index", index, "--inside"))
    question = questions_of(data, documents)[0].question
    return {
        **searched.output,
        "peak_mib": searched.peak_mib,
        "cli_seconds": {
            "docrag search": _median_seconds([*DOCRAG, "search", question, "--index", str(index), "--json"]),
            "docrag --help": _median_seconds([*DOCRAG, "--help"]),
        },
    }


def search_all(questions: Sequence[Question], index: str) -> dict[str, Any]:
    """The milliseconds of all searches; each question's document is looked up before."""
    from docrag.client import Library

    with Library(index) as library:
        begin = time.perf_counter()
        pages = sum(record.document.pages for record in library.documents())
        library.encoder.load()
        load_seconds = time.perf_counter() - begin
        known = [(question.question, _name(library, question.doc_id)) for question in questions]
        asked = {SCOPES[0]: [(text, [name]) for text, name in known], SCOPES[1]: [(text, []) for text, _ in known]}
        begin = time.perf_counter()
        library.search(*asked[SCOPES[0]][0])
        first_ms = 1000 * (time.perf_counter() - begin)
        for text, names in asked[SCOPES[1]][:WARM_UP]:
            library.search(text, names)
        times = {scope: _times(library, searches) for scope, searches in asked.items()}
        watch = _watch(library)
        stages: dict[str, dict[str, float]] = {}
        for scope, searches in asked.items():
            watch.seconds.clear()
            whole = _times(library, searches)
            each = {name: 1000 * seconds / len(searches) for name, seconds in watch.seconds.items()}
            stages[scope] = {**each, "the rest": statistics.mean(whole) - sum(each.values())}
    return {
        "questions": len(questions),
        "pages": pages,
        "load_seconds": load_seconds,
        "first_ms": first_ms,
        "milliseconds": {scope: _quantiles(values) for scope, values in times.items()},
        "stages": stages,
    }


def _name(library: Library, doc_id: str) -> str:
    """A name that means one document: the path that ends in `doc_id`."""
    (sha256, *_) = library.index.resolve_documents([doc_id])
    return library.index.name_of(sha256)


def _times(library: Library, searches: Sequence[tuple[str, list[str]]]) -> list[float]:
    times: list[float] = []
    for text, names in searches:
        begin = time.perf_counter()
        library.search(text, names)
        times.append(1000 * (time.perf_counter() - begin))
    return times


def _watch(library: Library) -> Stopwatch:
    from docrag.pipelines import retrieve

    watch = Stopwatch()
    watch.watch(library.encoder, "encode", "embed the question")
    watch.watch(library.index, "search", "query the store")
    watch.watch(retrieve, "fuse", "fuse")
    watch.watch(library.index, "page_contents", "fetch pages")
    watch.watch(library.index, "lane_vectors", "fetch vectors")
    return watch


def _quantiles(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(values, [50, 95, 99, 100])
    return dict(zip(("median", "p95", "p99", "slowest"), map(float, found), strict=True))


def _median_seconds(command: Sequence[str]) -> float:
    times: list[float] = []
    for _ in range(CLI_RUNS):
        begin = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def to_markdown(result: dict[str, Any]) -> str:
    latency = table(
        (f"search, {result['questions']} questions, {result['pages']} pages, ms", "median", "p95", "p99", "slowest"),
        ((scope, *(f"{value:.1f}" for value in values.values())) for scope, values in result["milliseconds"].items()),
    )
    names = list(dict.fromkeys(name for stages in result["stages"].values() for name in stages))
    rows = ((name, *(f"{stages.get(name, 0):.2f}" for stages in result["stages"].values())) for name in names)
    stages = table(("mean ms of a stage", *result["stages"]), rows)
    commands = table(
        (f"command, median of {CLI_RUNS}", "seconds"),
        ((f"`{name}`", f"{seconds:.2f}") for name, seconds in result["cli_seconds"].items()),
    )
    loaded = (
        f"Opening the index and loading the encoder: {result['load_seconds']:.1f} s; the first search after it: "
        f"{result['first_ms']:.0f} ms; at most {result['peak_mib']:.0f} MiB."
    )
    return "\n\n".join([latency, stages, commands, loaded])


if __name__ == "__main__":
    main()
