"""How well the pages that hold the evidence were found: recall, all, hit and page F1 at k, nDCG (binary gains) and MRR.

nDCG is Järvelin and Kekäläinen's (ACM TOIS 20, 2002) in its usual form with log2(rank + 1).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, TypeVar

from docrag.eval.questions import Question
from docrag.eval.scoring import harmonic_mean

Scope = Literal["document", "library"]
DocumentPage = tuple[str, int]  # doc_id and 1-based page number
RECALL_DEPTHS = (1, 3, 5, 10)
CURVE_DEPTHS = tuple(range(1, 21))
# In the order of the JSON: first what has always been there.
METRICS = (
    *(f"recall@{k}" for k in RECALL_DEPTHS),
    *("all@5", "hit@5", "ndcg@5", "mrr"),
    *("precision@5", "f1@5", "ndcg@10", "all@1", "all@3", "all@10", "hit@1", "hit@3", "hit@10"),
)
_STEP = 1024
# Tokens of pages, from 1 k to 128 k, at every power of two and half way between.
BUDGETS = tuple(int(_STEP * budget) for budget in (1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128))
_P = TypeVar("_P", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The pages found for one question, best first, and those that hold its evidence.

    `tokens` is what each of the first of them takes in a context, () where that is not known.
    """

    question_id: str
    doc_id: str
    ranked: tuple[DocumentPage, ...]
    relevant: frozenset[DocumentPage]
    tokens: tuple[int, ...] = ()


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

    In the top k: `recall@k` is the share of `relevant` that is there, `all@k` whether all of it is, `hit@k` whether any is,
    `precision@k` the share of those pages that is relevant, `f1@k` its harmonic mean with recall. `mrr` is 1 / the rank of the
    first relevant page, 0 where the ranking ends before it.
    """
    if not relevant:
        raise ValueError("a ranking can't be judged without relevant pages")
    found = [page in relevant for page in dict.fromkeys(ranked)]
    first = next((rank for rank, hit in enumerate(found, 1) if hit), None)
    precision, recall, f1 = _overlap(sum(found[:5]), len(found[:5]), len(relevant))
    values = {"recall@5": recall, "precision@5": precision, "f1@5": f1, "mrr": 1 / first if first else 0.0}
    for k in RECALL_DEPTHS:
        values[f"recall@{k}"] = sum(found[:k]) / len(relevant)
        values[f"all@{k}"] = float(sum(found[:k]) == len(relevant))
        values[f"hit@{k}"] = float(any(found[:k]))
        values[f"ndcg@{k}"] = _dcg(found[:k]) / _dcg([True] * min(k, len(relevant)))
    return {name: values[name] for name in METRICS}


def page_overlap(read: Collection[DocumentPage], relevant: frozenset[DocumentPage]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the pages that were read, against those that hold the evidence (one at least)."""
    return _overlap(len(relevant.intersection(read)), len(set(read)), len(relevant))


def recall_at_depths(rankings: Iterable[Ranking]) -> tuple[float, ...]:
    """The mean recall at each of CURVE_DEPTHS, over the rankings that have something to find; () where there are none."""
    curves = [[recall_at(ranking, k) for k in CURVE_DEPTHS] for ranking in rankings if ranking.relevant]
    return tuple(sum(values) / len(curves) for values in zip(*curves, strict=True))


def recall_at_budgets(rankings: Iterable[Ranking]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Budgets in tokens, and the mean recall of the best pages that fit into each, over the rankings with something to find.

    Both are () where some ranking doesn't know its pages' tokens; they end where it isn't known what would come next.
    """
    judged = [ranking for ranking in rankings if ranking.relevant]
    if not judged or any(ranking.ranked and not ranking.tokens for ranking in judged):
        return (), ()
    known = [sum(ranking.tokens) for ranking in judged if len(ranking.tokens) < len(ranking.ranked)]
    budgets = tuple(budget for budget in BUDGETS if budget <= min(known, default=math.inf))
    return budgets, tuple(sum(recall_at(one, _fit(one.tokens, budget)) for one in judged) / len(judged) for budget in budgets)


def _fit(tokens: Sequence[int], budget: float) -> int:
    """How many pages fit, best first, before the first one that does not."""
    return sum(total <= budget for total in accumulate(tokens))


def recall_at(ranking: Ranking, k: int) -> float:
    """The share of the relevant pages (one at least) that is in the top k."""
    return len(ranking.relevant.intersection(ranking.ranked[:k])) / len(ranking.relevant)


def _overlap(hits: int, pages: int, relevant: int) -> tuple[float, float, float]:
    precision, recall = hits / pages if pages else 0.0, hits / relevant
    return precision, recall, harmonic_mean(recall, precision)


def _dcg(found: Sequence[bool]) -> float:
    return sum(1 / math.log2(rank + 1) for rank, hit in enumerate(found, 1) if hit)
