"""Question -> ranked pages: one batched request over all lanes, fused with the pages that the question names itself."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docrag.errors import UsageError
from docrag.index.encoders import TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.index.records import VISUAL_STAGES, DocumentRecord
from docrag.index.store import VISUAL, ScoredPoint
from docrag.index.visual_encoder import VisualEncoder
from docrag.pipelines.fuse import FusedPage, best_of, check_question, fuse, question_text
from docrag.pipelines.patches import best_box
from docrag.pipelines.query_plan import STATEMENTS, EncodedQuestion, QueryPlan, Scope, plan_queries
from docrag.pipelines.references import find_references, resolve
from docrag.types import Box, Evidence, Hit, PageContent, page_point_id

QUESTION_CHARACTERS = 2_000  # what comes after says nothing that an encoder with a window of 256 tokens could use
NAMED_DOCUMENTS = 20  # documents whose tables and labels a reference is looked up in, best first
SNIPPET_CHARACTERS = 400

Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Ranking:
    """All candidates for one question, best first, by point id.

    `places` says where each stands (sha256, page_index), `named` which the question names itself; `plan` is what was asked with
    `encoded`, and `seconds` what all of it took.
    """

    question: str
    pages: tuple[FusedPage, ...]
    places: Mapping[str, Place]
    named: Collection[str]
    encoded: EncodedQuestion
    plan: QueryPlan
    seconds: float


@dataclass(frozen=True, slots=True)
class Explained:
    """Hits, the plan by which they were found, and for each, by point id, what share of its score came from where."""

    hits: tuple[Hit, ...]
    plan: QueryPlan
    shares: Mapping[str, Mapping[str, float]]


def rank_pages(
    index: LibraryIndex,
    encoder: TextEncoder,
    question: str,
    documents: Sequence[str] = (),
    visual: VisualEncoder | None = None,
) -> Ranking:
    """The pages of `documents` (sha256; none: of the whole library) that may hold the answer.

    `visual` is the encoder that the index's visual lane was made with; without it, or without that lane, text alone is
    searched. Raises UsageError on an empty question.
    """
    begin = time.perf_counter()
    check_question(question)
    text = question_text(question[:QUESTION_CHARACTERS])
    seen = visual.encode_question(text) if visual is not None and index.visual is not None else None
    encoded = EncodedQuestion(text, encoder.encode([text]), seen)
    plan = plan_queries(encoded, Scope(tuple(documents), _count_pages(index, documents)))
    found = index.search([planned.query for planned in plan.queries])
    places = {point.id: _place(point) for points in found for point in points}
    lanes = _by_lane(plan, found)
    named = _named_pages(index, question[:QUESTION_CHARACTERS], documents, lanes, places)
    places |= {page_point_id(*place): place for place in named}
    strengths = {page_point_id(*place): strength for place, strength in named.items()}
    ranked = fuse(lanes, strengths, _without(index, lanes, places))
    return Ranking(question, ranked, places, strengths.keys(), encoded, plan, time.perf_counter() - begin)


def best_pages(index: LibraryIndex, ranking: Ranking, k: int) -> tuple[tuple[Hit, Evidence], ...]:
    """The `k` best pages of a ranking, as hits with their best place and as evidence. Raises UsageError on k < 1."""
    if k < 1:
        raise UsageError(f"k is the number of pages to find, 1 or more, got {k}")
    # A page that is named but could not be read has no content, and the next one takes its place.
    best = {page.id: page for page in ranking.pages[: k + len(ranking.named)]}
    contents = index.page_contents(list(best))[:k]
    spots = _best_passages(index, contents, ranking) | _best_patches(index, contents, ranking)
    found: list[tuple[Hit, Evidence]] = []
    for content in contents:
        id_ = content.page.point_id
        snippet, box = spots.get(id_, ("", None))
        name = index.name_of(content.page.document.sha256)
        hit = Hit(content.page, name, best[id_].score, best[id_].lanes, snippet, box)
        found.append((hit, Evidence(content, name, hit.score, "referenced" if id_ in ranking.named else "retrieved")))
    return tuple(found)


def search(
    index: LibraryIndex,
    encoder: TextEncoder,
    question: str,
    documents: Sequence[str] = (),
    k: int = 5,
    visual: VisualEncoder | None = None,
) -> tuple[tuple[Hit, Evidence], ...]:
    """`best_pages` of `rank_pages`. Raises UsageError on an empty question or k < 1."""
    return best_pages(index, rank_pages(index, encoder, question, documents, visual), k)


def explain(ranking: Ranking, hits: Sequence[Hit]) -> Explained:
    """What `docrag search --explain` shows of a ranking's best pages."""
    shown = {hit.page.point_id for hit in hits}
    return Explained(tuple(hits), ranking.plan, {page.id: page.shares for page in ranking.pages if page.id in shown})


def _count_pages(index: LibraryIndex, documents: Sequence[str]) -> int:
    records = [index.document(sha256) for sha256 in documents] if documents else index.documents()
    return sum(record.document.pages for record in records if record is not None)


def _place(point: ScoredPoint) -> Place:
    return str(point.payload["document"]), int(point.payload["page_index"])


def _by_lane(plan: QueryPlan, found: Sequence[Sequence[ScoredPoint]]) -> dict[str, dict[str, float]]:
    """The answers under the names of their lanes, as {point id: raw score}; those of several statements put together."""
    results: dict[str, list[dict[str, float]]] = {}
    for planned, points in zip(plan.queries, found, strict=True):
        results.setdefault(planned.name, []).append({point.id: point.score for point in points})
    return {lane: best_of(scores) if lane == STATEMENTS else scores[0] for lane, scores in results.items()}


def _named_pages(
    index: LibraryIndex,
    question: str,
    documents: Sequence[str],
    lanes: Mapping[str, Mapping[str, float]],
    places: Mapping[str, Place],
) -> dict[Place, float]:
    """The pages that the question names, in the documents asked or, where these are too many, in those that seem best."""
    references = find_references(question)
    if not references:
        return {}
    if not 0 < len(documents) <= NAMED_DOCUMENTS:
        documents = list(dict.fromkeys(places[page.id][0] for page in fuse(lanes, {})))[:NAMED_DOCUMENTS]
    return {
        (sha256, page_index): strength
        for sha256 in documents
        for page_index, strength in resolve(references, index.outline(sha256)).items()
    }


def _without(
    index: LibraryIndex, lanes: Mapping[str, Mapping[str, float]], places: Mapping[str, Place]
) -> Mapping[str, Collection[str]]:
    """The candidates of which a lane holds no vectors: those that it owes, or failed at, and pages whose text is unread."""
    if not lanes.get(VISUAL):
        return {}
    records = {sha256: index.document(sha256) for sha256, _ in places.values()}
    unseen = {sha256: _unseen(record, index.visual_mark) for sha256, record in records.items() if record is not None}
    unread = {sha256: set(record.unread_pages) for sha256, record in records.items() if record is not None}
    return {
        lane: {id_ for id_, (sha256, index_) in places.items() if index_ + 1 in (unseen if lane == VISUAL else unread)[sha256]}
        for lane in lanes
    }


def _unseen(record: DocumentRecord, mark: str) -> Collection[int]:
    """The numbers of the pages that may lack visual vectors."""
    if record.visual != mark:
        return range(1, record.document.pages + 1)
    return {failure.page_number for failure in record.failures if failure.stage in VISUAL_STAGES and failure.page_number}


def _best_passages(index: LibraryIndex, contents: Sequence[PageContent], ranking: Ranking) -> dict[str, tuple[str, Box | None]]:
    """The text and box of each page's best passage. MaxSim gives no argmax: it is computed again, for the few shown."""
    vectors = index.lane_vectors([content.page.point_id for content in contents if content.passages])
    spots: dict[str, tuple[str, Box | None]] = {}
    for content in contents:
        if (rows := vectors.get(content.page.point_id)) is not None:
            region = content.passages[_most_alike(rows, ranking.encoded.passages[0])]
            spots[content.page.point_id] = (content.passage_text(region)[:SNIPPET_CHARACTERS], region.box)
    return spots


def _most_alike(rows: NDArray[np.float16], question: NDArray[np.float32]) -> int:
    return int(np.argmax(rows.astype(np.float32) @ question))


def _best_patches(index: LibraryIndex, contents: Sequence[PageContent], ranking: Ranking) -> dict[str, tuple[str, Box | None]]:
    """The box of the best patches of each page that has no passages."""
    question = ranking.encoded.visual
    textless = {content.page.point_id: content for content in contents if not content.passages}
    if question is None or not textless:
        return {}
    vectors, layouts = index.lane_vectors(list(textless), VISUAL), index.visual_layout(list(textless))
    return {
        id_: ("", best_box(vectors[id_], layouts[id_], question, (content.width_pt, content.height_pt)))
        for id_, content in textless.items()
        if id_ in vectors and id_ in layouts
    }
