"""Results as people read them, and as the JSON that scripts depend on (its keys are stable; see the README's reference)."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from docrag.demo.flow import DemoResult
    from docrag.index.library_index import LibraryIndex
    from docrag.index.records import DocumentRecord
    from docrag.index.store import LaneQuery
    from docrag.index.verify import VerifyReport
    from docrag.pipelines.query_plan import QueryPlan
    from docrag.pipelines.retrieve import Explained
    from docrag.types import Answer, Citation, ContextPart, Evidence, Failure, Hit, IngestReport

SCHEMA_VERSION = 1
_PAGES_NAMED = 10
_FAILURES_NAMED = 100


def to_json_text(result: Mapping[str, Any]) -> str:
    """One JSON object on one line, with the version of its form; in ASCII, for names need not be UTF-8."""
    return "".join(json_pieces(result))


def json_pieces(result: Mapping[str, Any]) -> Iterator[str]:
    """The same in pieces. An iterator becomes a list, item by item: a report may name a million failures."""
    yield json.dumps({"schema_version": SCHEMA_VERSION})[:-1]
    for key, value in result.items():
        yield f", {json.dumps(key)}: "
        if not isinstance(value, Iterator):
            yield json.dumps(value)
            continue
        yield "["
        for number, item in enumerate(cast("Iterator[Any]", value)):
            yield (", " if number else "") + json.dumps(item)
        yield "]"
    yield "}"


def printable(text: str) -> str:
    """`text` for a terminal: what pages and models wrote holds no escape sequences there."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) != "Cc" else "\N{REPLACEMENT CHARACTER}" for c in text)


def report_json(report: IngestReport) -> dict[str, Any]:
    """Its failures are an iterator, for `json_pieces`."""
    return {**replace(report, failures=()).to_json(), "failures": map(failure_json, report.failures)}


def failure_json(failure: Failure) -> dict[str, Any]:
    return {
        "document": failure.document,
        "page_number": failure.page_number,
        "stage": failure.stage,
        "error": failure.error,
        "message": failure.message,
        "hint": failure.hint,
    }


def hit_json(hit: Hit) -> dict[str, Any]:
    return {
        "document": hit.name,
        "page_number": hit.page.page_number,
        "page_label": hit.page.page_label,
        "score": round(hit.score, 6),
        "lanes": {lane: {"score": round(found.score, 6), "rank": found.rank} for lane, found in hit.lanes.items()},
        "snippet": hit.snippet,
        "box": _box(hit.box),
    }


def explained_json(found: Explained) -> dict[str, Any]:
    """Hits with each lane's share of the score, and the plan. What no rank stands for is in "other_shares": a page that the
    question names ("reference"), and what a lane without vectors of the page is taken to say of it."""
    hits: list[dict[str, Any]] = []
    for hit in found.hits:
        shares = {lane: round(share, 6) for lane, share in found.shares[hit.page.point_id].items()}
        plain = hit_json(hit)
        lanes = {lane: {**score, "share": shares.pop(lane, 0.0)} for lane, score in plain["lanes"].items()}
        hits.append({**plain, "lanes": lanes, "other_shares": shares})
    return {"hits": hits, "plan": plan_json(found.plan)}


def plan_json(plan: QueryPlan) -> dict[str, Any]:
    queries = [
        {
            "lane": planned.name,
            **_stage_json(planned.query),
            "prefetch": _stage_json(planned.query.prefetch) if planned.query.prefetch else None,
            "weight": planned.weight,
            "why": planned.why,
        }
        for planned in plan.queries
    ]
    return {"pages": plan.pages, "queries": queries, "left_out": dict(plan.left_out)}


def _stage_json(query: LaneQuery) -> dict[str, Any]:
    return {"vectors": query.lane, "limit": query.limit}


def answer_json(answer: Answer) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "outcome": answer.outcome,
        "confidence": round(answer.confidence, 4),
        "reader": answer.reader,
        "citations": [_citation_json(citation) for citation in answer.citations],
        "context": {
            "tokens": answer.context.tokens,
            "budget": answer.context.budget,
            "parts": [_part_json(part) for part in answer.context.parts],
        },
        "usage": dict(answer.usage),
        "milliseconds": answer.milliseconds,
        "trace": dict(answer.trace),
    }


def _part_json(part: ContextPart) -> dict[str, Any]:
    return {
        "kind": part.kind,
        "document": part.document,
        "page_number": part.page_number,
        "tokens": part.tokens,
        "image_size_px": part.image_size_px,
        "clip": _box(part.clip),
        "why": part.why,
    }


def document_json(index: LibraryIndex, record: DocumentRecord) -> dict[str, Any]:
    return {
        "document": index.name_of(record.document.sha256),
        "names": index.names_of(record.document.sha256),
        "sha256": record.document.sha256,
        "title": record.document.title,
        "pages": record.document.pages,
        "status": record.status,
        "ocr_pages": record.ocr_pages,
        "unread_pages": list(record.unread_pages),
        "failures": [failure_json(failure) for failure in record.failures],
        "completed_at": record.completed_at,
    }


def report_text(report: IngestReport) -> str:
    documents, pages = report.documents, report.pages
    lines = [
        f"{documents.attempted} documents: {documents.ok} ok, {documents.failed} failed, {documents.skipped} skipped",
        f"{pages.attempted} pages: {pages.ok} ok, {pages.failed} failed, {pages.skipped} skipped; {report.ocr} read by OCR",
        f"{report.seconds:.1f} s, {report.pages_per_second:g} pages/s",
    ]
    if report.visual:
        lines.append(f"{report.visual} pages looked at by {report.encoder}")
    if report.unread:
        lines.append(f"unread pages: {report.unread} (OCR was off, or Tesseract is missing: apt-get install tesseract-ocr)")
    lines += [failure_text(failure) for failure in report.failures[:_FAILURES_NAMED]]
    more = len(report.failures) - _FAILURES_NAMED
    return "\n".join([*lines, *([f"and {more} more failed: --json names them all"] if more > 0 else [])])


def failure_text(failure: Failure) -> str:
    place = failure.document if failure.page_number is None else f"{failure.document}, page {failure.page_number}"
    return f"failed: {place}: {failure.message}" + (f" ({failure.hint})" if failure.hint else "")


def hits_text(hits: Sequence[Hit]) -> str:
    if not hits:
        return "no page found"
    return "\n".join(line for rank, hit in enumerate(hits, start=1) for line in (_hit_line(rank, hit), *_snippet_lines(hit)))


def _hit_line(rank: int, hit: Hit) -> str:
    return f"{rank}. {place_text(hit.name, hit.page.page_number, hit.page.page_label)}  score {hit.score:.3f}"


def _snippet_lines(hit: Hit) -> list[str]:
    return [f"   {' '.join(hit.snippet.split())[:200]}"] if hit.snippet else []


def explained_text(found: Explained) -> str:
    """The plan; then the hits, each with what every lane says of it and adds to its score."""
    plan = [f"plan: {len(found.plan.queries)} queries in one request, over {found.plan.pages:,} pages"]
    for planned in found.plan.queries:
        stage = planned.query.prefetch
        vectors = f"{stage.lane} ({stage.limit}), then {planned.query.lane}" if stage else planned.query.lane
        plan.append(f"  {planned.name}: {vectors}, best {planned.query.limit}, weight {planned.weight:g}; {planned.why}")
    plan += [f"  {lane}: not asked, for {why}" for lane, why in found.plan.left_out.items()]
    lines = [hits_text([])] if not found.hits else []
    for rank, hit in enumerate(found.hits, start=1):
        shares = dict(found.shares[hit.page.point_id])
        told = [
            f"{lane} {score.score:.3f} (rank {score.rank}, {100 * shares.pop(lane, 0.0):.0f} %)"
            for lane, score in hit.lanes.items()
        ]
        told += [f"{name} ({100 * share:.0f} %)" for name, share in shares.items()]
        lines += [_hit_line(rank, hit), f"   {', '.join(told)}", *_snippet_lines(hit)]
    return "\n".join([*plan, *lines])


def answer_text(answer: Answer) -> str:
    """The answer, what it rests on, what of it could not be checked, what was done otherwise than asked, and what it took."""
    trace = answer.trace
    lines = [f"{answer.text}  (confidence {answer.confidence:.2f}, reader {answer.reader})"]
    for citation in answer.citations:
        verified = "" if citation.verified else " [not found on the page]"
        lines.append(
            f'  {place_text(citation.document, citation.page_number, citation.page_label)}: "{citation.quote}"{verified}'
        )
    lines += [f'  cites a page that it was not shown: "{claim["quote"]}"' for claim in trace.get("citations_refused", ())]
    unfound = [found["number"] for found in trace.get("numbers", ()) if not found["verified"]]
    if unfound:
        lines.append(f"  not found in the text of the pages: {', '.join(unfound)}")
    if answer.outcome == "failed":
        lines.append(f"  failed: {trace.get('failed', 'the reader gave no reason')}")
    if answer.outcome == "not_answerable":
        why = trace.get("abstained")
        lines.append(f"  refused: {why}" if why else "  refused: these pages don't say")
        lines.append(f"  read: {_pages_text(answer.context.evidence)}" if answer.context.evidence else "  nothing was read")
    lines += [f"  note: {note}" for note in trace.get("notes", ())]
    return "\n".join([*lines, *_usage_lines(answer)])


def _pages_text(evidence: Sequence[Evidence]) -> str:
    named = [place_text(item.name, item.content.page.page_number, None) for item in evidence[:_PAGES_NAMED]]
    more = len(evidence) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")


def _usage_lines(answer: Answer) -> list[str]:
    """Nothing where no model was asked."""
    used = answer.usage
    if not used.get("calls") and not used.get("cached_calls"):
        return []
    told = [_count(used.get("calls", 0), "call"), _count(used.get("images", 0), "image")]
    told += [f"{used.get('input_tokens', 0):,} tokens read", f"{used.get('output_tokens', 0):,} written"]
    if used.get("cached_calls"):
        told.append(f"{_count(used['cached_calls'], 'call')} from the cache")
    if (price := answer.trace.get("cost")) is not None:
        told.append(f"cost {price:g}")
    return [f"  {', '.join(told)}"]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def verify_text(report: VerifyReport) -> str:
    lines = [f"{report.documents} documents, {report.pages} pages, {report.blobs} PDFs looked at"]
    lines += [f"{finding.kind}: {finding.what}" for finding in report.findings]
    lines.append(f"{report.repaired} repaired" if report.repaired else f"{len(report.damages)} damaged")
    lines += [f"ingest again: {name}" for name in report.ingest_again]
    return "\n".join(lines)


def demo_text(done: DemoResult) -> str:
    """The three questions with their answers, the mini-benchmark's figures, and where to look."""
    lines: list[str] = []
    for question, answer in done.answers:
        lines += [f"? {question.question}", f"> {answer_text(answer)}", ""]
    scores = done.summary.scores
    figures = (("answerable", scores.answerable.accuracy), ("unanswerable", scores.unanswerable.accuracy), ("F1", scores.f1))
    told = ", ".join(f"{name} {100 * value:.0f} %" for name, value in figures if value is not None)
    recall = done.summary.retrieval.mean("recall@5")
    found = "" if recall is None else f"; evidence pages among the first five found: {100 * recall:.0f} %"
    lines.append(f"{scores.questions} questions with known answers: {told}{found}")
    lines.append(f"Look at {done.report}: the pages, with the words marked that the answers rest on.")
    return "\n".join(lines)


def place_text(document: str, page_number: int, page_label: str | None) -> str:
    """How a page is named to people: the scan's number first, what is printed on it where that differs."""
    printed = f" (printed {page_label})" if page_label and page_label != str(page_number) else ""
    return f"{document}, page {page_number}{printed}"


def _citation_json(citation: Citation) -> dict[str, Any]:
    return {
        "document": citation.document,
        "page_number": citation.page_number,
        "page_label": citation.page_label,
        "quote": citation.quote,
        "box": _box(citation.box),
        "verified": citation.verified,
    }


def _box(box: tuple[float, float, float, float] | None) -> list[float] | None:
    return None if box is None else [round(value, 2) for value in box]
