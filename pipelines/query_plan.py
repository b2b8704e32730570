"""What is asked of each lane for one question, and why: one batched request, which `docrag search --explain` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from docrag.index.bm25 import encode_question
from docrag.index.store import ANY, BM25, PASSAGES, VISUAL, VISUAL_POOLED, LaneQuery, Where
from docrag.index.visual_encoder import QuestionVectors
from docrag.pipelines.fuse import FUSION
from docrag.pipelines.statements import statement_queries

LIBRARY_CANDIDATES = 100  # pages a lane gives where the whole library is asked: 200 gain 1 point at most (noise), cost 4 ms
DOCUMENT_CANDIDATES = 4_000  # pages a lane gives inside documents: all of them, but of the very largest
# Measured by `bench/visual_search.py` (LOG.md). All patches of 500 pages take 75 ms, of 1,000 160. The 200 pages that pooled
# vectors choose hold 99 % of the best ten at 20,000 pages, for a twelfth of the time; 100 hold 97 %.
EXACT_PAGES = 500  # up to so many pages each is scored by all its patches; above, their pooled vectors choose
PREFETCH = 200  # how many pages the pooled vectors choose
STATEMENTS = "statements"  # the bm25 lane, asked once more for the financial statements that a ratio needs


@dataclass(frozen=True, slots=True, eq=False)
class EncodedQuestion:
    """A question in the forms that lanes are asked in: its text, float32 [1, 384] for passages, a vector a token for patches.

    `visual` is None where there is no encoder for that lane, or no such lane.
    """

    text: str
    passages: NDArray[np.float32]
    visual: QuestionVectors | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Where to look: `documents` by sha256 (none: the whole library), which have so many `pages` together."""

    documents: tuple[str, ...]
    pages: int

    @property
    def where(self) -> Where:
        return Where({"document": self.documents}) if self.documents else ANY

    @property
    def candidates(self) -> int:
        return DOCUMENT_CANDIDATES if self.documents else LIBRARY_CANDIDATES


@dataclass(frozen=True, slots=True, eq=False)
class PlannedQuery:
    """One query of the request; `name` is the lane's in `fuse`, `why` a reason in words."""

    name: str
    query: LaneQuery
    why: str

    @property
    def weight(self) -> float:
        """How much the lane counts when lanes are fused."""
        return FUSION.lanes.get(self.name, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class QueryPlan:
    """All queries of one request, the number of pages in their scope, and which lanes are left out, with the reason."""

    pages: int
    queries: tuple[PlannedQuery, ...]
    left_out: Mapping[str, str]


def plan_queries(question: EncodedQuestion, scope: Scope) -> QueryPlan:
    """The queries for one question: passages, bm25 (again for each statement that a ratio needs) and, where encoded, visual."""
    limit, where = scope.candidates, scope.where
    planned = [
        PlannedQuery(PASSAGES.name, LaneQuery(PASSAGES.name, question.passages, limit, where), "a page's best passage counts")
    ]
    left_out: dict[str, str] = {}
    texts = [(BM25.name, question.text, "words of the question")]
    texts += [(STATEMENTS, items, "lines of a statement that the ratio needs") for items in statement_queries(question.text)]
    for name, text, why in texts:
        if (terms := encode_question(text)) is None:
            left_out[name] = "the question has stop words only"
            continue
        planned.append(PlannedQuery(name, LaneQuery(BM25.name, terms, limit, where, idf_over=where), why))
    if question.visual is None:
        left_out[VISUAL] = "the index has no such lane, or its model is not loaded"
    else:
        planned.append(_visual_query(question.visual.vectors, scope))
    return QueryPlan(scope.pages, tuple(planned), left_out)


def _visual_query(vectors: NDArray[np.float32], scope: Scope) -> PlannedQuery:
    if scope.pages <= EXACT_PAGES:
        why = f"{scope.pages:,} pages, at most {EXACT_PAGES:,}: each is scored by all its patches"
        return PlannedQuery(VISUAL, LaneQuery(VISUAL, vectors, scope.candidates, scope.where), why)
    why = f"{scope.pages:,} pages, more than {EXACT_PAGES:,}: pooled vectors choose {PREFETCH}, all their patches rank these"
    prefetch = LaneQuery(VISUAL_POOLED, vectors, PREFETCH, scope.where)
    limit = min(scope.candidates, PREFETCH)
    return PlannedQuery(VISUAL, LaneQuery(VISUAL, vectors, limit, scope.where, prefetch=prefetch), why)
