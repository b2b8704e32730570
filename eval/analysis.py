"""What the predictions of a run mean: the figures behind its summary and its report, each computed here and once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from docrag.eval.abstention import tradeoff
from docrag.eval.breakdowns import breakdowns, titles_of
from docrag.eval.cases import Case, JudgedRun, judge
from docrag.eval.evidence import evidence_figures
from docrag.eval.figures import Analysis, Curve, Figure
from docrag.eval.measures import ANSWER_MEASURES, Sample, mean_of
from docrag.eval.record import RunRecord
from docrag.eval.retrieval import CURVE_DEPTHS, METRICS, RetrievalScores, Scope, recall_at_budgets, recall_at_depths
from docrag.eval.spending import spending

_NOTHING = Figure(None, None, None, 0)
_NO_REASON = "no reason is on record"


def analyse(record: RunRecord) -> Analysis:
    """The figures over all questions of the run; those that it has not come to yet are unscored, and count as wrong."""
    return analyse_judged(judge(record.questions, record.predictions), record.config)


def analyse_judged(judged: JudgedRun, config: Mapping[str, Any]) -> Analysis:
    """The same of a run that was judged already; `config` is the content of its config.json."""
    sample = Sample(judged.cases)
    has_answers = judged.scores.scored > 0
    return Analysis(
        counts=_counts(judged.cases),
        failures=_failures(judged.cases),
        headline=_headline(sample) if has_answers else dict.fromkeys((*ANSWER_MEASURES, "failed"), _NOTHING),
        breakdowns=breakdowns(sample, titles_of(config)) if has_answers else (),
        retrieval={scope: _retrieval(sample, scores) for scope, scores in judged.retrieval.items()},
        recall_at_k={scope: _recall_curve(judged.cases, scope) for scope in judged.retrieval},
        recall_at_tokens=_recall_at_tokens(judged.cases),
        evidence=evidence_figures(sample),
        tradeoff=tradeoff(judged.cases),
        spending=spending(judged.cases, config.get("settings", {})),
    )


def _counts(cases: Sequence[Case]) -> dict[str, int]:
    def count(is_so: Callable[[Case], bool]) -> int:
        return sum(map(is_so, cases))

    return {
        "questions": len(cases),
        "documents": len({case.question.doc_id for case in cases} - {""}),
        "scored": count(lambda case: case.score is not None),
        "answered": count(lambda case: case.score is not None and not case.refused and not case.failed),
        "refused": count(lambda case: case.refused),
        "failed": count(lambda case: case.failed),
        "unscored": count(lambda case: case.score is None),
    }


def _failures(cases: Sequence[Case]) -> dict[str, int]:
    reasons = Counter(case.prediction.why or _NO_REASON for case in cases if case.prediction and case.failed)
    return dict(reasons.most_common())


def _headline(sample: Sample) -> dict[str, Figure]:
    failed = sum(case.failed for case in sample.cases) / len(sample.cases)
    return {
        **{name: sample.figure(measure) for name, measure in ANSWER_MEASURES.items()},
        # No interval: what failed is a fact about this run, and says nothing about other documents.
        "failed": Figure(failed, None, None, len(sample.cases)),
    }


def _retrieval(sample: Sample, scores: RetrievalScores) -> dict[str, Figure]:
    ranked = frozenset(scores.question_ids)

    def figure(metric: str) -> Figure:
        values = dict(zip(scores.question_ids, scores.values[metric], strict=True))
        return sample.figure(mean_of(lambda case: values[case.question.question_id], was_ranked))

    def was_ranked(case: Case) -> bool:
        return case.question.question_id in ranked

    return {metric: figure(metric) for metric in METRICS}


def _recall_curve(cases: Sequence[Case], scope: Scope) -> Curve:
    recalls = recall_at_depths(case.ranking(scope) for case in cases)
    return Curve(tuple(map(float, CURVE_DEPTHS)) if recalls else (), recalls)


def _recall_at_tokens(cases: Sequence[Case]) -> Curve | None:
    budgets, recalls = recall_at_budgets(case.ranking("document") for case in cases)
    return Curve(budgets, recalls) if budgets else None
