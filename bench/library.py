"""The whole way on the whole data: `docrag ingest` with its defaults, the same again, and `docrag eval`.

    python -m bench.library [DATA] [--documents N] [--index .bench/library] [--json]

The index is kept, for the other benchmarks to search in.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.common import DOCRAG, ROOT, benchmark_data, documents_of, link_data, parser, run_alone, table
from bench.ingest import again, again_text

KEPT = ROOT / ".bench" / "library"


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--index", type=Path, default=KEPT)
    arguments = made.parse_args()
    with benchmark_data(arguments.data) as data:
        result = measure(data, documents_of(data, arguments.documents), arguments.index.absolute())
    print(json.dumps(result) if arguments.json else to_markdown(result))


def measure(data: Path, documents: Sequence[Path], index: Path) -> dict[str, Any]:
    """Make `index` anew, with what is measured on the way; three folders beside it are of its making, too."""
    links, run_dir, ranked_dir = (index.with_name(f"{index.name}-{what}") for what in ("data", "run", "ranked"))
    for folder in (index, links, run_dir, ranked_dir):
        shutil.rmtree(folder, ignore_errors=True)
    link_data(data, documents, links)
    ingest = run_alone([*DOCRAG, "ingest", str(links / "documents"), "--index", str(index), "--json"], allowed=(0, 1))
    evaluation = [*DOCRAG, "eval", "mmlongbench-doc", "--data", str(links), "--index", str(index), "--json"]
    evaluated = run_alone([*evaluation, "--out", str(run_dir)])
    ranked = run_alone([*evaluation, "--scope", "library", "--retrieval-only", "--out", str(ranked_dir)])
    return {
        "ingest": {**ingest.output, "wall_seconds": round(ingest.seconds, 1), "peak_mib": ingest.peak_mib},
        "again": again(links / "documents", index, "auto"),
        "eval": evaluated.output,
        "eval_seconds": round(evaluated.seconds, 1),
        "library_retrieval": ranked.output["retrieval"],
        "summary": (run_dir / "summary.md").read_text(encoding="utf-8"),
    }


def to_markdown(result: dict[str, Any]) -> str:
    ingest = result["ingest"]
    keys = ("attempted", "ok", "failed", "skipped")
    counts = table(
        ("`docrag ingest`, OCR as needed", *keys, "by OCR", "unread"),
        (
            ("documents", *(ingest["documents"][key] for key in keys), "", ""),
            ("pages", *(ingest["pages"][key] for key in keys), ingest["pages"]["ocr"], ingest["pages"]["unread"]),
        ),
    )
    time = (
        f"{ingest['seconds']:.1f} s, {ingest['pages_per_second']:.1f} pages/s; {ingest['wall_seconds']:.1f} s for the whole "
        f"command; at most {ingest['peak_mib']:.0f} MiB in all processes together."
    )
    failures = [f"- {failure['stage']}: {failure['error']}: {failure['message']}" for failure in ingest["failures"]]
    evaluated = f"`docrag eval`: {result['eval_seconds']:.1f} s."
    found = (result["eval"]["retrieval"], result["library_retrieval"])
    metrics = [name for name, value in found[0].items() if isinstance(value, float)]
    recall = table(
        ("pages found, %", *metrics),
        ((scores["scope"], *(f"{100 * scores[name]:.1f}" for name in metrics)) for scores in found),
    )
    # The settings that follow are in the index and, as far as they matter, at the report's head.
    summary = result["summary"].replace("# Results", "### Results", 1).partition("| setting |")[0].strip()
    return "\n\n".join([counts, time, *failures, again_text(result["again"]), evaluated, recall, summary])


if __name__ == "__main__":
    main()
