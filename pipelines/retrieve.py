"""Question -> ranked pages: one batched request over all lanes, fused with the pages that the question names itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docrag.errors import UsageError
from docrag.index.bm25 import encode_question
from docrag.index.encoders import TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.index.store import ANY, LaneQuery, ScoredPoint, Where
from docrag.pipelines.fuse import FusedPage, best_of, fuse, question_text
from docrag.pipelines.references import find_references, resolve
from docrag.pipelines.statements import statement_queries
from docrag.types import Evidence, Hit, PageContent, page_point_id

QUESTION_CHARACTERS = 2_000  # what comes after says nothing that an encoder with a window of 256 tokens could use
LIBRARY_CANDIDATES = 100  # pages a lane gives where the whole library is asked: 200 gain 1 point at most (noise), and cost 4 ms
DOCUMENT_CANDIDATES = 4_000  # pages a lane gives inside documents: all of them, but of the very largest
NAMED_DOCUMENTS = 20  # documents whose tables and labels a reference is looked up in, best first
SNIPPET_CHARACTERS = 400
STATEMENTS = "statements"  # the bm25 lane, asked once more for the financial statements that a ratio needs

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Ranking:
    """All candidates of one question, best first, by point id.

    `places` says where each stands (sha256, page_index), `named` which the question names itself; `vector` is the question's,
    float32 [1, 384].
    """

    pages: tuple[FusedPage, ...]
    places: Mapping[str, Place]
    named: Collection[str]
    vector: NDArray[np.float32]


def rank_pages(index: LibraryIndex, encoder: TextEncoder, question: str, documents: Sequence[str] = ()) -> Ranking:
    """The pages of `documents` (sha256; none: of the whole library) that may hold the answer.

    Raises UsageError on an empty question.
    """
    if not question.strip():
        raise UsageError("the question is empty", "ask something, as in: docrag ask 'What was the revenue in 2023?'")
    text = question_text(question[:QUESTION_CHARACTERS])
    vector = encoder.encode([text])
    where = Where({"document": tuple(documents)}) if documents else ANY
    limit = DOCUMENT_CANDIDATES if documents else LIBRARY_CANDIDATES
    asked = _lane_queries(text, vector, limit, where)
    found = index.search([query for _, query in asked])
    results: dict[str, list[dict[str, float]]] = {}
    for (lane, _), points in zip(asked, found, strict=True):
        results.setdefault(lane, []).append({point.id: point.score for point in points})
    lanes = {lane: best_of(scores) if lane == STATEMENTS else scores[0] for lane, scores in results.items()}
    places = {point.id: _place(point) for points in found for point in points}
    ranked = fuse(lanes, {})
    named = _named_pages(index, question[:QUESTION_CHARACTERS], documents or _documents_of(ranked, places))
    strengths = {page_point_id(*place): strength for place, strength in named.items()}
    places |= {page_point_id(*place): place for place in named}
    return Ranking(fuse(lanes, strengths) if named else ranked, places, strengths.keys(), vector)


def _lane_queries(text: str, vector: NDArray[np.float32], limit: int, where: Where) -> list[tuple[str, LaneQuery]]:
    """What to ask, each with the name under which `fuse` knows it; all of it goes out as one request."""
    asked = [("passages", LaneQuery("passages", vector, limit, where))]
    for name, words in (("bm25", text), *((STATEMENTS, items) for items in statement_queries(text))):
        if (terms := encode_question(words)) is not None:
            asked.append((name, LaneQuery("bm25", terms, limit, where, idf_over=where)))
    return asked


def search(
    index: LibraryIndex, encoder: TextEncoder, question: str, documents: Sequence[str] = (), k: int = 5
) -> tuple[tuple[Hit, Evidence], ...]:
    """The `k` best pages, as hits with their best passage and as evidence. Raises UsageError on an empty question or k < 1."""
    if k < 1:
        raise UsageError(f"k is the number of pages to find, 1 or more, got {k}")
    ranking = rank_pages(index, encoder, question, documents)
    # A page that is named but could not be read has no content, and the next one takes its place.
    best = {page.id: page for page in ranking.pages[: k + len(ranking.named)]}
    contents = index.page_contents(list(best))[:k]
    vectors = index.lane_vectors([content.page.point_id for content in contents])
    found: list[tuple[Hit, Evidence]] = []
    for content in contents:
        id_ = content.page.point_id
        hit = _hit(index, best[id_], content, vectors.get(id_), ranking.vector)
        reason = "referenced" if id_ in ranking.named else "retrieved"
        found.append((hit, Evidence(content, hit.name, hit.score, reason)))
    return tuple(found)


def _place(point: ScoredPoint) -> Place:
    return str(point.payload["document"]), int(point.payload["page_index"])


def _documents_of(ranked: Sequence[FusedPage], places: Mapping[str, Place]) -> list[str]:
    return list(dict.fromkeys(places[page.id][0] for page in ranked))


def _named_pages(index: LibraryIndex, question: str, documents: Sequence[str]) -> dict[Place, float]:
    references = find_references(question)
    if not references:
        return {}
    return {
        (sha256, page_index): strength
        for sha256 in documents[:NAMED_DOCUMENTS]
        for page_index, strength in resolve(references, index.outline(sha256)).items()
    }


def _hit(
    index: LibraryIndex,
    page: FusedPage,
    content: PageContent,
    vectors: NDArray[np.float16] | None,
    question: NDArray[np.float32],
) -> Hit:
    snippet, box = "", None
    if vectors is not None and content.passages:
        # MaxSim returns no argmax: the best passage is computed again, for the few pages that are shown.
        region = content.passages[int(np.argmax(vectors.astype(np.float32) @ question[0]))]
        snippet, box = content.passage_text(region)[:SNIPPET_CHARACTERS], region.box
    return Hit(content.page, index.name_of(content.page.document.sha256), page.score, page.lanes, snippet, box)
