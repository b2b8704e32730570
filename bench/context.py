"""What the context holds: evidence pages shown, how pages are shown, and how long it takes to lay them out.

    python -m bench.context [DATA] [--budget 32k] [--reader mmlongbench] [--index .bench/library] [--processor N]
        [--draw N] [--json]

For every answerable question with evidence pages, pages are found as `docrag ask` finds them, inside the question's document. A
page counts as shown by its image with a long side of 768 pixels or more, or by its full text where all of the question's
evidence is text or tables. `--budget` may be given several times (default: 8k, 32k and 128k); `--reader` is a model whose token
rule is followed, with text counted by MiniLM's tokenizer. `--draw N` draws the images of N questions' contexts as well.
`--processor N` does something else: it holds the image tokens of N pages at several sizes against those of transformers'
Qwen2.5-VL processor. The index is made where it is missing.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.common import DOCRAG, ROOT, benchmark_data, documents_of, parser, questions_of, run_alone, table
from docrag.eval.questions import Question

if TYPE_CHECKING:
    from docrag.client import Library
    from docrag.pipelines.tokens import TokenRule
    from docrag.types import Box, Context, Evidence

KEPT = ROOT / ".bench" / "library"
BUDGETS = ("8k", "32k", "128k")
TEXT_SOURCES = {"Pure-text (Plain-text)", "Table"}
SIDES_PX = (500, 768, 1_300)


def main() -> None:
    from docrag.pipelines.tokens import parse_budget

    made = parser(__doc__)
    made.add_argument("--budget", action="append", metavar="TOKENS", help="such as 32k; may be given several times")
    made.add_argument("--reader", default="mmlongbench", metavar="MODEL")
    made.add_argument("--index", type=Path, default=KEPT)
    made.add_argument("--processor", type=int, default=0, metavar="N")
    made.add_argument("--draw", type=int, default=0, metavar="N")
    arguments = made.parse_args()
    budgets = {text: parse_budget(text) for text in arguments.budget or BUDGETS}
    with benchmark_data(arguments.data) as data:
        documents = documents_of(data, arguments.documents)
        if arguments.processor:
            result = compare_processor(documents, arguments.processor)
            print(json.dumps(result))
            sys.exit(1 if result["different"] else 0)
        index = ensure_index(documents, arguments.index.absolute())
        result = measure(questions_of(data, documents), index, arguments.reader, budgets, arguments.draw)
    print(json.dumps(result) if arguments.json else to_markdown(result))


def ensure_index(documents: Sequence[Path], index: Path) -> Path:
    if not (index / "docrag.json").exists():
        run_alone([*DOCRAG, "ingest", *map(str, documents), "--index", str(index), "--json"], allowed=(0, 1))
    return index


def measure(questions: Sequence[Question], index: Path, reader: str, budgets: dict[str, int], draw: int = 0) -> dict[str, Any]:
    from docrag.client import Library
    from docrag.pipelines.tokens import token_rule

    with Library(str(index)) as library:
        rule = token_rule(reader, library.encoder.count_tokens)
        asked = list(_asked(library, questions))
        found = {name: _measure(library, asked, rule, budget) for name, budget in budgets.items()}
        for name, budget in budgets.items():
            found[name]["drawn"] = _draw(library, asked[:: max(1, len(asked) // draw)], rule, budget) if draw else {}
    return {"questions": len(asked), "answerable": sum(q.answerable for q in questions), "reader": reader, "budgets": found}


def _asked(library: Library, questions: Sequence[Question]) -> Iterator[tuple[Question, str, set[int]]]:
    """Answerable questions, with their document and their evidence pages inside it."""
    for question in questions:
        (sha256, *_) = library.index.resolve_documents([question.doc_id])
        record = library.index.document(sha256)
        pages = {page for page in question.evidence_pages if record and 1 <= page <= record.document.pages}
        if question.answerable and pages:
            yield question, sha256, pages


def _measure(library: Library, asked: list[tuple[Question, str, set[int]]], rule: TokenRule, budget: int) -> dict[str, Any]:
    from docrag.pipelines.assemble import assemble, candidates_needed
    from docrag.pipelines.linked import with_linked

    have_all = have_any = 0
    times: list[float] = []
    shown, evidence_shown = Counter[str](), Counter[str]()
    pages_shown: list[int] = []
    used: list[float] = []
    for question, sha256, evidence in asked:
        candidates, focus = _candidates(library, question, sha256, candidates_needed(rule, budget))
        begin = time.perf_counter()
        context = assemble(with_linked(library.index, candidates), rule, budget, focus)
        times.append(1000 * (time.perf_counter() - begin))
        read = readable_pages(context, question)
        have_all += evidence <= read
        have_any += bool(evidence & read)
        ways = {item.content.page.page_number: item.shown for item in context.evidence}
        shown.update(ways.values())
        evidence_shown.update(ways.get(page, "not shown") for page in evidence)
        pages_shown.append(len(ways))
        used.append(context.tokens / budget)
    count = len(asked)
    return {
        "all": have_all / count,
        "any": have_any / count,
        "pages": float(np.mean(pages_shown)),
        "budget_used": float(np.mean(used)),
        "milliseconds": dict(zip(("median", "mean", "p95"), _statistics(times), strict=True)),
        "pages_shown_as": {name: number / count for name, number in shown.most_common()},
        "evidence_pages_shown_as": {name: number / evidence_shown.total() for name, number in evidence_shown.most_common()},
    }


def _candidates(library: Library, question: Question, sha256: str, k: int) -> tuple[list[Evidence], dict[str, Box]]:
    from docrag.pipelines.retrieve import search

    found = search(library.index, library.encoder, question.question, [sha256], k)
    return [item for _, item in found], {hit.page.point_id: hit.box for hit, _ in found if hit.box is not None}


def _draw(library: Library, asked: list[tuple[Question, str, set[int]]], rule: TokenRule, budget: int) -> dict[str, Any]:
    """Seconds, images, bytes and failures of drawing the contexts of some questions; starting the processes not counted."""
    from docrag.ingest.guard import GuardedPool
    from docrag.pipelines.assemble import assemble, candidates_needed
    from docrag.pipelines.drawing import draw_parts

    config = library.config
    needed = candidates_needed(rule, budget)
    found = [_candidates(library, question, sha256, needed) for question, sha256, _ in asked]
    contexts = [assemble(candidates, rule, budget, focus) for candidates, focus in found]
    with GuardedPool(config.workers or os.cpu_count() or 1, config.page_timeout_s, config.worker_memory_mib) as pool:
        draw_parts(library.index, contexts[0], pool, rule.count_text)
        begin = time.perf_counter()
        drawn = [draw_parts(library.index, context, pool, rule.count_text) for context in contexts]
        seconds = time.perf_counter() - begin
    images = [image for result in drawn for image in result.images if image is not None]
    return {
        "contexts": len(contexts),
        "images": len(images),
        "seconds": seconds,
        "mean_kb": float(np.mean([len(image) for image in images])) / 1000,
        "failures": sum(len(result.failures) for result in drawn),
    }


def readable_pages(context: Context, question: Question) -> set[int]:
    """The pages of a one-document context that count as shown for this question."""
    from docrag.pipelines.assemble import REDUCED_SIDE_PX

    text_counts = bool(question.evidence_sources) and set(question.evidence_sources) <= TEXT_SOURCES
    return {
        part.page_number
        for part in context.parts
        if (part.kind == "text" and text_counts)
        or (part.image_size_px is not None and part.clip is None and max(part.image_size_px) >= REDUCED_SIDE_PX)
    }


def _statistics(times: Sequence[float]) -> tuple[float, float, float]:
    return float(np.median(times)), float(np.mean(times)), float(np.percentile(times, 95))


def compare_processor(documents: Sequence[Path], pages: int) -> dict[str, Any]:
    """Image tokens by our rule and by the real processor, for random pages at several sizes, plain and fitted."""
    from PIL import Image
    from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

    from docrag.ingest.render import render_pixels
    from docrag.pipelines.tokens import QWEN2_VL

    # The grid does not depend on colours, so they are left as they are.
    limits = {"min_pixels": 3_136, "max_pixels": 12_845_056}
    processor = Qwen2VLImageProcessor(**limits, do_rescale=False, do_normalize=False)
    images = different = resized = 0
    for path, page_index, width_pt, height_pt in _random_pages(documents, pages):
        for side in SIDES_PX:
            scale = side / max(width_pt, height_pt)
            fitted = QWEN2_VL.fit(width_pt, height_pt, QWEN2_VL.tokens(*QWEN2_VL.size(width_pt, height_pt, side)))
            for size_px in {(max(1, round(width_pt * scale)), max(1, round(height_pt * scale))), fitted} - {None}:
                image = Image.fromarray(render_pixels(str(path), page_index, size_px))
                _, rows, columns = processor(images=[image])["image_grid_thw"][0].tolist()
                images += 1
                different += rows * columns // 4 != QWEN2_VL.tokens(*size_px)
                resized += size_px == fitted and (columns * 14, rows * 14) != size_px
    return {"pages": pages, "images": images, "different": different, "fitted_but_resized": resized}


def _random_pages(documents: Sequence[Path], count: int) -> Iterator[tuple[Path, int, float, float]]:
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    pages: list[tuple[Path, int, float, float]] = []
    for path in documents:
        with pymupdf.open(path) as document:
            pages += [(path, page.number, page.rect.width, page.rect.height) for page in document]
    yield from random.Random(0).sample(pages, min(count, len(pages)))


def to_markdown(result: dict[str, Any]) -> str:
    budgets = result["budgets"]
    head = f"{result['questions']} questions with evidence pages ({result['answerable']} answerable), reader {result['reader']}"
    rows = (
        (name, *(f"{100 * found[key]:.1f}" for key in ("all", "any")), f"{found['pages']:.1f}", f"{found['budget_used']:.2f}",
         *(f"{value:.1f}" for value in found["milliseconds"].values()))
        for name, found in budgets.items()
    )  # fmt: skip
    columns = ("budget", "all, %", "any, %", "pages", "of the budget used", "ms, median", "mean", "95 %")
    ways = list(dict.fromkeys(way for found in budgets.values() for way in found["evidence_pages_shown_as"]))
    shown = ((name, *(_cell(found, way) for way in ways)) for name, found in budgets.items())
    legend = "Shown as: pages a question / % of the evidence pages."
    drawn = [f"Drawn at {name}: {json.dumps(found['drawn'])}" for name, found in budgets.items() if found["drawn"]]
    return "\n\n".join([head, table(columns, rows), legend, table(("budget", *ways), shown), *drawn])


def _cell(found: dict[str, Any], way: str) -> str:
    return f"{found['pages_shown_as'].get(way, 0):.1f} / {100 * found['evidence_pages_shown_as'].get(way, 0):.0f}"


if __name__ == "__main__":
    main()
