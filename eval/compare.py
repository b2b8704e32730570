"""Two runs side by side, question by question: what one gains over the other, who changed, and which settings differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from docrag.errors import UsageError
from docrag.eval.cases import Case, judge
from docrag.eval.evidence import has_all
from docrag.eval.figures import Comparison
from docrag.eval.measures import ANSWER_MEASURES, Condition, Measure, PairedSample, Sample, has_evidence, mean_of, share_of
from docrag.eval.questions import Question
from docrag.eval.record import RunRecord
from docrag.eval.retrieval import RECALL_DEPTHS, recall_at
from docrag.eval.spending import spending
from docrag.eval.summary import flatten

_COMPARED = ("accuracy", "strict_accuracy", "answerable", "unanswerable", "balanced", "f1")
# What differs there is told by the counts of questions.
_QUESTIONS = ("questions", "questions_sha256")


def compare(a: RunRecord, b: RunRecord) -> Comparison:
    """What run a has more than run b on the questions that both have a prediction for, scored by a's references.

    Raises UsageError where there is no such question.
    """
    common = [one for one in a.questions if one.question_id in a.predictions and one.question_id in b.predictions]
    if not common:
        raise UsageError(
            f"the runs {a.name} and {b.name} have no question in common",
            "compare runs over the same data, with the same --limit; of needles, over the same library, with the same --count",
        )
    ours, theirs = (judge(common, run.predictions).cases for run in (a, b))
    measures = _measures(ours, theirs)
    pairs, left, right = PairedSample(ours, theirs), Sample(ours), Sample(theirs)
    return Comparison(
        common=len(common),
        only_a=len(a.predictions) - len(common),
        only_b=len(b.predictions) - len(common),
        unasked_a=_unasked(a, b),
        unasked_b=_unasked(b, a),
        other_references=_other_references(common, b),
        a={name: left.figure(measure) for name, measure in measures.items()},
        b={name: right.figure(measure) for name, measure in measures.items()},
        gains={name: pairs.gain(measure) for name, measure in measures.items()},
        better=_ahead(ours, theirs),
        worse=_ahead(theirs, ours),
        settings=_differences(a.config, b.config),
        spending_a=spending(ours, a.config.get("settings", {})),
        spending_b=spending(theirs, b.config.get("settings", {})),
    )


def _unasked(run: RunRecord, other: RunRecord) -> int:
    """How many of the run's questions only the other one has come to."""
    return sum(one.question_id in other.predictions and one.question_id not in run.predictions for one in run.questions)


def _other_references(common: Sequence[Question], other: RunRecord) -> int:
    """How many of the questions the other run scores by something else: their question_id is not of that."""
    theirs = {one.question_id: one for one in other.questions}
    return sum(_reference(one) != _reference(theirs[one.question_id]) for one in common)


def _reference(question: Question) -> tuple[str, str, frozenset[int]]:
    return question.answer, question.answer_format, frozenset(question.evidence_pages)


def _measures(*runs: Sequence[Case]) -> dict[str, Measure]:
    """Those that every run has something to say of."""

    def known(is_so: Condition) -> bool:
        return all(any(map(is_so, cases)) for cases in runs)

    answers = {name: ANSWER_MEASURES[name] for name in _COMPARED} if known(lambda case: case.score is not None) else {}
    ranked = known(lambda case: bool(case.ranking("document").ranked))
    recalls = {f"recall@{k}": mean_of(partial(_recall, k=k), has_evidence) for k in RECALL_DEPTHS} if ranked else {}
    read = {"in_context_all": share_of(has_all, has_evidence)} if known(lambda case: bool(case.read)) else {}
    return {**answers, **recalls, **read}


def _recall(case: Case, k: int) -> float:
    return recall_at(case.ranking("document"), k)


def _ahead(ours: Sequence[Case], theirs: Sequence[Case]) -> tuple[str, ...]:
    """The questions on which the first has the higher official score, those that changed most first."""
    gains = [(mine.credit - other.credit, mine.question.question_id) for mine, other in zip(ours, theirs, strict=True)]
    return tuple(question_id for _, question_id in sorted((one for one in gains if one[0] > 0), key=lambda one: -one[0]))


def _differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    ours, theirs = dict(flatten(a)), dict(flatten(b))
    names = [name for name in {**ours, **theirs} if name not in _QUESTIONS and ours.get(name) != theirs.get(name)]
    return {name: (ours.get(name), theirs.get(name)) for name in names}
