"""All benchmarks in turn, as one report: what `make bench` runs.

    python -m bench [DATA] [--documents N] [--repeats 2] [--grow 3] [--kills 10] [--visual-pages 1000] [--ray-kills 20]
                    [--ray-many 100 10000] [--ray-sink 100000] [--seed 0]

Prints the report and writes it to .bench/report.md, with all figures in .bench/report.json. Best run on a machine that does
nothing else. Exit code 1 where a benchmark failed, or the killed ingest made another index.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench import baselines, context, ingest, kill, library, machine, ray_kill, ray_pace, ray_sink, search, visual_search
from bench.common import ROOT, benchmark_data, documents_of, parser, python, questions_of
from bench.ray_cluster import output_of
from docrag.pipelines.tokens import parse_budget

OUT = ROOT / ".bench"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--repeats", type=int, default=2, metavar="N", help="pairs of ingests that are timed")
    made.add_argument("--grow", type=int, default=3, metavar="N", help="times the library is made larger (1: leave out)")
    made.add_argument("--kills", type=int, default=10, metavar="N")
    made.add_argument("--visual-pages", type=int, nargs="+", default=[1000], metavar="N", help="sizes for the visual search")
    made.add_argument("--ray-kills", type=int, default=20, metavar="N", help="on a simulated cluster (0: leave out)")
    many = "numbers of documents at which the memory of a run on Ray is looked at"
    made.add_argument("--ray-many", type=int, nargs="*", default=list(ray_pace.MANY), metavar="N", help=many)
    made.add_argument("--ray-sink", type=int, default=ray_sink.PAGES, metavar="N", help="pages through the sink (0: leave out)")
    made.add_argument("--seed", type=int, default=0)
    arguments = made.parse_args()
    OUT.mkdir(exist_ok=True)
    with benchmark_data(arguments.data) as data:
        result, report, failed = run_all(data, arguments)
    (OUT / "report.json").write_text(json.dumps(result, indent=1), encoding="utf-8")
    (OUT / "report.md").write_text(report, encoding="utf-8")
    print(json.dumps(result) if arguments.json else f"\n{OUT / 'report.md'}")
    sys.exit(1 if failed else 0)


def run_all(data: Path, arguments: Namespace) -> tuple[dict[str, Any], str, bool]:
    """All figures, the report, and whether anything went wrong; a part that fails does not stop those after it."""
    documents = documents_of(data, arguments.documents)
    result: dict[str, Any] = {"machine": machine.describe(data, documents)}
    parts = ["# docrag: benchmark", machine.to_markdown(result["machine"])]
    say = _to_stderr if arguments.json else _to_stdout
    say("\n\n".join(parts))
    failed, code = False, machine.hash_code()
    for title, measure, to_markdown in _parts(data, documents, arguments):
        begin = time.perf_counter()
        try:
            result[title] = measure()
            body = to_markdown(result[title])
            failed |= bool(result[title].get("differences"))
        except Exception:  # noqa: BLE001 -- said in the report, and in the exit code
            body = f"**It failed:**\n\n```\n{traceback.format_exc()[-3000:]}```"
            failed = True
        parts.append(f"## {title}\n\n{body}\n\n({time.perf_counter() - begin:.0f} s)")
        say(f"\n{parts[-1]}")
    if machine.hash_code() != code:
        failed = True
        parts.append("**The code changed while it was measured: these figures are of no one version.**")
        say(f"\n{parts[-1]}")
    return result, "\n\n".join(parts) + "\n", failed


Part = tuple[str, Callable[[], dict[str, Any]], Callable[[dict[str, Any]], str]]


def _parts(data: Path, documents: list[Path], arguments: Namespace) -> Iterator[Part]:
    repeats, grow, kept = arguments.repeats, arguments.grow, library.KEPT
    yield "Speed of ingest", lambda: ingest.measure(data, documents, repeats, grow=grow), ingest.to_markdown
    yield "The whole library", lambda: library.measure(data, documents, kept), library.to_markdown
    yield "Search", lambda: search.measure(data, documents, kept), search.to_markdown
    questions = questions_of(data, documents)
    yield "Quote against simple rules", lambda: baselines.measure(questions, kept), baselines.to_markdown
    budgets = {text: parse_budget(text) for text in context.BUDGETS}
    yield "Evidence in the context", lambda: context.measure(questions, kept, "mmlongbench", budgets), context.to_markdown
    yield "Visual search", lambda: _visual(data, documents, kept, arguments.visual_pages), visual_search.to_markdown
    yield "Killed and resumed", lambda: kill.measure(data, documents, arguments.kills, arguments.seed), kill.to_markdown
    yield "On Ray", lambda: ray_pace.measure(data, documents, repeats, arguments.ray_many), ray_pace.to_markdown
    if arguments.ray_sink:
        sink = python("bench.ray_sink", "--json", "--pages", arguments.ray_sink)
        yield "The sink of a run on Ray", lambda: output_of(sink), ray_sink.to_markdown
    if arguments.ray_kills:
        struck = ("--kills", arguments.ray_kills, "--seed", arguments.seed)
        kills = python("bench.ray_kill", data, "--documents", arguments.documents, "--json", *struck)
        yield "Killed on Ray", lambda: output_of(kills), ray_kill.to_markdown


def _visual(data: Path, documents: list[Path], index: Path, sizes: list[int]) -> dict[str, Any]:
    vectors = visual_search.data_file(data, documents, index, visual_search.KEPT)
    return {"sizes": [visual_search.measure(vectors, pages, visual_search.KEPT) for pages in sizes]}


def _to_stdout(text: str) -> None:
    print(text, flush=True)


def _to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
