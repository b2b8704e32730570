"""One question of a run with everything that is judged of it: what was predicted, its scores, its evidence, what was read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from docrag.eval.predictions import Prediction
from docrag.eval.questions import Question
from docrag.eval.retrieval import DocumentPage, Ranking, RetrievalScores, Scope, relevant_pages, score_rankings
from docrag.eval.scoring import Scores, score_predictions
from docrag.eval.strict import StrictScore, strict_score
from docrag.eval.submissions import to_item
from docrag.types import NOT_ANSWERABLE


@dataclass(frozen=True)
class Case:
    """`prediction` None: the run has not come to the question yet. `score` is the official one, None without an answer.

    `searched` is whether the run searches for pages at all: where its reader is handed them there is nothing to find.
    """

    question: Question
    prediction: Prediction | None
    score: float | None
    searched: bool = True

    @property
    def cluster(self) -> str:
        """The document, of which the questions are not independent; a question about the library stands for itself."""
        return self.question.doc_id or self.question.question_id

    @property
    def credit(self) -> float:
        """What it adds to an official mean: unscored counts as wrong."""
        return self.score or 0.0

    @cached_property
    def strict(self) -> StrictScore:
        answer, outcome = (self.prediction.answer, self.prediction.outcome) if self.prediction else (None, None)
        return strict_score(answer, self.question.answer, self.question.answer_format, outcome)

    @property
    def answerable(self) -> bool:
        return self.question.answerable

    @property
    def refused(self) -> bool:
        return self.prediction is not None and self.prediction.answer == NOT_ANSWERABLE

    @property
    def failed(self) -> bool:
        return self.prediction is not None and self.prediction.outcome == "failed"

    @property
    def document_pages(self) -> int | None:
        return self.prediction and self.prediction.document_pages

    @cached_property
    def evidence(self) -> frozenset[DocumentPage]:
        """The pages that hold the evidence, as `relevant_pages` has them."""
        return relevant_pages(self.question, self.document_pages)

    @property
    def read(self) -> tuple[DocumentPage, ...]:
        """The pages that the reader was shown, in their order in the context."""
        pages = self.prediction.read_pages if self.prediction else ()
        return tuple((self.question.doc_id, page) for page in pages)

    def ranking(self, scope: Scope) -> Ranking:
        """The pages found in the question's document, or in the library; without anything to find where nothing is searched."""
        question, found = self.question, self.prediction
        if not self.searched:
            return Ranking(question.question_id, question.doc_id, (), frozenset())
        inside = tuple((question.doc_id, page) for page in found.ranked_pages) if found else ()
        library = (found.ranked_library or ()) if found else ()
        ranked, tokens = (inside, found.ranked_tokens if found else ()) if scope == "document" else (library, ())
        return Ranking(question.question_id, question.doc_id, ranked, self.evidence, tokens)


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """The questions of a run with all their scores: what every figure is made of.

    `scores` are the official ones; `retrieval` has the scope "document", and "library" where that was ranked for all.
    """

    cases: tuple[Case, ...]
    scores: Scores
    retrieval: Mapping[Scope, RetrievalScores]


def judge(questions: Sequence[Question], predictions: Mapping[str, Prediction]) -> JudgedRun:
    """Judge all `questions`, in their order; `predictions` by question_id may lack some, which then are unscored."""
    found = [(question, predictions.get(question.question_id)) for question in questions]
    scores = score_predictions(to_item(question, prediction and prediction.answer) for question, prediction in found)
    searched = _searches(predictions.values())
    cases = tuple(Case(*pair, one.score, searched) for pair, one in zip(found, scores.items, strict=True))
    scopes: tuple[Scope, ...] = ("document", "library") if all(map(_has_library, predictions.values())) else ("document",)
    rankings: dict[Scope, RetrievalScores] = {
        scope: score_rankings([case.ranking(scope) for case in cases], scope) for scope in scopes
    }
    return JudgedRun(cases, scores, rankings)


def _searches(predictions: Collection[Prediction]) -> bool:
    """Of a run, not of a question: one that failed, or is not asked yet, has no pages by which to tell."""
    return any(made.was_searched for made in predictions) or not any(made.was_handed_pages for made in predictions)


def _has_library(prediction: Prediction) -> bool:
    return prediction.ranked_library is not None
