"""Question -> evidence -> context -> answer: one pass of retrieval and one of reading."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from docrag.index.library_index import LibraryIndex
from docrag.pipelines.context import CountTokens, build_context
from docrag.pipelines.reader import Reader
from docrag.pipelines.retrieve import Ranking, best_pages
from docrag.types import Answer, Box, Citation, Evidence, Hit


@dataclass(frozen=True, slots=True)
class AskSettings:
    """How many pages are read, and within how many tokens by the encoder's own count."""

    reader: str
    k: int
    budget_tokens: int


def answer_from(
    index: LibraryIndex, ranking: Ranking, reader: Reader, settings: AskSettings, count_tokens: CountTokens
) -> Answer:
    """Answer the ranking's question from its best pages, or say that they don't; `milliseconds` include the ranking's."""
    begin = time.perf_counter() - ranking.seconds
    found = best_pages(index, ranking, settings.k)
    context = build_context([evidence for _, evidence in found], settings.budget_tokens, count_tokens)
    reading = reader.read(ranking.question, context)
    return Answer(
        text=reading.answer,
        outcome=reading.outcome,
        confidence=reading.confidence,
        citations=_with_patch_boxes(reading.citations, found),
        context=context,
        hits=tuple(hit for hit, _ in found),
        reader=settings.reader,
        milliseconds=round(1000 * (time.perf_counter() - begin), 3),
        usage=reading.usage,
        trace=reading.trace,
    )


def _with_patch_boxes(citations: Sequence[Citation], found: Sequence[tuple[Hit, Evidence]]) -> tuple[Citation, ...]:
    """Citations of pages without text, where no words can be found, get the box of the patches that match the question."""
    boxes: dict[tuple[str, int], Box | None] = {
        (hit.name, hit.page.page_number): hit.box for hit, evidence in found if not evidence.content.text
    }
    return tuple(
        citation if citation.box else replace(citation, box=boxes.get((citation.document, citation.page_number)))
        for citation in citations
    )
