"""The questions of one or more runs as the rows that the report's browser shows: plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from docrag.eval.breakdowns import NO_EVIDENCE, UNANSWERABLE
from docrag.eval.cases import Case
from docrag.eval.report.runs import Run
from docrag.eval.retrieval import DocumentPage
from docrag.types import Box, Citation

LONGEST_TEXT = 2_000  # characters; a model may have written a megabyte
RANKED_SHOWN = 10
RANKED_DRAWN = 5


@dataclass(frozen=True, slots=True)
class CitedRow:
    """A citation; `box` is in points of its page, None where the words were not found there."""

    document: str
    page: int
    label: str | None
    quote: str
    box: Box | None
    verified: bool


@dataclass(frozen=True, slots=True)
class PredictionRow:
    """What one run made of a question.

    `score` is the official one and `strict` docrag's own, both from 0 to 1, None where there is nothing to score. `ranked` are
    the best pages in the run's scope; `places` is the rank of each evidence page in it, 0 where it is not there, and `missed`
    are the evidence pages that are not among the first five; both are () in a run that searched nothing. `read_of` names the
    documents of `read` where the question names none.
    """

    prediction: str | None
    outcome: str | None
    score: float | None
    strict: float | None
    strict_outcome: str
    why: str
    confidence: float
    milliseconds: float
    ranked: tuple[DocumentPage, ...]
    places: tuple[int, ...]
    missed: tuple[int, ...]
    read: tuple[int, ...]
    read_of: tuple[str, ...]
    cited: tuple[CitedRow, ...]
    response: str


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """A question and what each run made of it; None where a run has not come to it, or is not asked it at all: `absent`."""

    id: str
    document: str
    type: str
    question: str
    answer: str
    format: str
    answerable: bool
    pages: tuple[int, ...]
    needed: str
    sources: tuple[str, ...]
    runs: tuple[PredictionRow | None, ...]
    absent: tuple[int, ...]  # places of the runs that don't have the question


def question_rows(runs: Sequence[Run]) -> tuple[QuestionRow, ...]:
    """A row for each question that any of the runs has, in the order of the first run, then of those that add to it."""
    order = dict.fromkeys(question_id for run in runs for question_id in run.cases)
    searched = [run.searched for run in runs]
    return tuple(_question_row(question_id, runs, searched) for question_id in order)


def _question_row(question_id: str, runs: Sequence[Run], searched: Sequence[bool]) -> QuestionRow:
    found = [(run, run.cases.get(question_id)) for run in runs]
    cases = [case for _, case in found if case]
    # The one that knows how long the document is, so that pages outside of it are left out.
    case = next((case for case in cases if case.document_pages), cases[0])
    question = case.question
    evidence = tuple(sorted(page for _, page in case.evidence))
    return QuestionRow(
        id=question.question_id,
        document=question.doc_id,
        type=question.doc_type,
        question=_cut(question.question),
        answer=_cut(question.answer),
        format=question.answer_format,
        answerable=question.answerable,
        pages=evidence,
        needed=_needed(case),
        sources=question.evidence_sources,
        runs=tuple(
            _prediction_row(run, case, evidence, has_searched) if case else None
            for (run, case), has_searched in zip(found, searched, strict=True)
        ),
        absent=tuple(place for place, (_, case) in enumerate(found) if case is None),
    )


def _needed(case: Case) -> str:
    """The group of the breakdown by pages needed."""
    if not case.answerable:
        return UNANSWERABLE
    pages = len(case.evidence)
    return NO_EVIDENCE if not pages else str(pages) if pages < 4 else "4+"


def _prediction_row(run: Run, case: Case, evidence: Sequence[int], searched: bool) -> PredictionRow | None:
    prediction = case.prediction
    if prediction is None:
        return None
    ranked = _ranked(run, case)
    ranks = {page: rank for rank, page in reversed(list(enumerate(ranked, 1)))}
    places = tuple(ranks.get((case.question.doc_id, page), 0) for page in evidence) if searched else ()
    return PredictionRow(
        prediction=None if prediction.answer is None else _cut(prediction.answer),
        outcome=prediction.outcome,
        score=case.score,
        strict=case.strict.credit,
        strict_outcome=case.strict.outcome,
        why=_cut(prediction.why),
        confidence=round(prediction.confidence, 4),
        milliseconds=round(prediction.milliseconds, 1),
        ranked=ranked[:RANKED_SHOWN],
        places=places,
        missed=tuple(page for page, place in zip(evidence, places, strict=searched) if not 0 < place <= RANKED_DRAWN),
        read=prediction.read_pages,
        read_of=prediction.read_documents,
        cited=tuple(_cited_row(cited, case.question.doc_id) for cited in prediction.citations),
        response=_cut(prediction.response),
    )


def _ranked(run: Run, case: Case) -> tuple[DocumentPage, ...]:
    """Best first, in the run's scope; a question that names no document is always asked of the library."""
    whole = run.record.config.get("scope") == "library" or not case.question.doc_id
    return case.ranking("library" if whole else "document").ranked


def _cited_row(cited: Citation, doc_id: str) -> CitedRow:
    """A citation names the document by its path; within a question's own document that is the doc_id."""
    return CitedRow(doc_id or cited.document, cited.page_number, cited.page_label, _cut(cited.quote), cited.box, cited.verified)


def _cut(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f"{text[:LONGEST_TEXT]} [cut here: {len(text):,} characters in all]"
