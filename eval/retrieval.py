"""How well the pages that hold the evidence were found: recall, hit and all at k, nDCG (binary gains) and MRR."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from docrag.eval.mmlongbench import Question

Scope = Literal["document", "library"]
DocumentPage = tuple[str, int]  # doc_id and 1-based page number
RECALL_DEPTHS = (1, 3, 5, 10)
METRICS = (*(f"recall@{k}" for k in RECALL_DEPTHS), "all@5", "hit@5", "ndcg@5", "mrr")
_P = TypeVar("_P", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The pages found for one question, best first, and those that hold its evidence."""

    question_id: str
    doc_id: str
    ranked: tuple[DocumentPage, ...]
    relevant: frozenset[DocumentPage]


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """`values` holds, for each metric, a value a question; `doc_ids` names the document of each, in the same order."""

    scope: Scope
    question_ids: tuple[str, ...]
    doc_ids: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]

    @property
    def questions(self) -> int:
        return len(self.question_ids)

    def mean(self, metric: str) -> float | None:
        """None where there is no question with evidence pages."""
        return sum(self.values[metric]) / self.questions if self.questions else None

    def to_json(self) -> dict[str, Any]:
        return {"scope": self.scope, "questions": self.questions, **{metric: self.mean(metric) for metric in METRICS}}


def relevant_pages(question: Question, document_pages: int | None) -> frozenset[DocumentPage]:
    """The question's evidence pages inside its document; none where it is unanswerable.

    `document_pages` None (the document could not be ingested, so its length is not known) keeps every page from 1 on.
    """
    if not question.answerable:
        return frozenset()
    last = math.inf if document_pages is None else document_pages
    return frozenset((question.doc_id, page) for page in question.evidence_pages if 1 <= page <= last)


def score_rankings(rankings: Sequence[Ranking], scope: Scope) -> RetrievalScores:
    """Every metric of every ranking that has something to find; the others don't count."""
    judged = [ranking for ranking in rankings if ranking.relevant]
    metrics = [rank_metrics(ranking.ranked, ranking.relevant) for ranking in judged]
    return RetrievalScores(
        scope=scope,
        question_ids=tuple(ranking.question_id for ranking in judged),
        doc_ids=tuple(ranking.doc_id for ranking in judged),
        values={name: tuple(values[name] for values in metrics) for name in METRICS},
    )


def rank_metrics(ranked: Sequence[_P], relevant: Set[_P]) -> dict[str, float]:
    """The metrics of one ranking, best first; a page that comes again is passed over. Raises ValueError without `relevant`.

    `recall@k` is the share of `relevant` in the top k, `all@5` whether all of it is there, `hit@5` whether any is; `mrr` is
    1 / the rank of the first one, 0 where the ranking ends before it.
    """
    if not relevant:
        raise ValueError("a ranking can't be judged without relevant pages")
    found = [page in relevant for page in dict.fromkeys(ranked)]
    first = next((rank for rank, hit in enumerate(found, 1) if hit), None)
    ideal = _dcg([True] * min(5, len(relevant)))
    return {
        **{f"recall@{k}": sum(found[:k]) / len(relevant) for k in RECALL_DEPTHS},
        "all@5": float(sum(found[:5]) == len(relevant)),
        "hit@5": float(any(found[:5])),
        "ndcg@5": _dcg(found[:5]) / ideal,
        "mrr": 1 / first if first else 0.0,
    }


def _dcg(found: Sequence[bool]) -> float:
    return sum(1 / math.log2(rank + 1) for rank, hit in enumerate(found, 1) if hit)
