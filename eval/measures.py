"""What is measured over the cases of a run: means, shares, F1, with intervals; and the gain of one run over another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from docrag.eval.cases import Case
from docrag.eval.figures import Figure
from docrag.eval.intervals import Columns, Interval, Resampling, Statistic, ratio, safe_divide

Condition = Callable[[Case], bool]
_NOTHING = Figure(None, None, None, 0)


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure from 0 to 1: `statistic` of the sums of `row` over the cases that count. Intervals need it in this form.

    `statistic` maps sums [draws, m] to values [draws], NaN where there is nothing to tell. `parts` are the measures that it is
    the mean of, whose rows its rows hold side by side: where documents don't differ in one of them, nobody knows how sure that
    one is, and so neither the mean; and it has no more documents than the one that has the fewest.
    """

    row: Callable[[Case], Sequence[float]]
    statistic: Statistic
    counts: Condition
    parts: tuple[Measure, ...] = ()


def mean_of(value: Callable[[Case], float], counts: Condition) -> Measure:
    return Measure(lambda case: (value(case), 1.0), ratio, counts)


def share_of(is_so: Condition, among: Condition) -> Measure:
    """Of the cases `among`, the share that `is_so`."""
    return mean_of(lambda case: float(is_so(case)), among)


class Sample:
    """The cases of one run; its figures share the draws of documents."""

    def __init__(self, cases: Sequence[Case]) -> None:
        self.cases = cases
        self._resampling = Resampling([case.cluster for case in cases])

    def figure(self, measure: Measure) -> Figure:
        counted = _count(self.cases, measure)
        if counted is None:
            return _NOTHING
        found = counted.figure(measure.statistic, partial(self._resampling.fraction, parts=len(measure.parts) or 1))
        return found if all(map(self._varies, measure.parts)) else replace(found, low=None, high=None)

    def _varies(self, measure: Measure) -> bool:
        counted = _count(self.cases, measure)
        return counted is not None and self._resampling.varies(counted.rows, measure.statistic)


class PairedSample:
    """The cases of two runs on the same questions, in the same order."""

    def __init__(self, a: Sequence[Case], b: Sequence[Case]) -> None:
        if [case.question.question_id for case in a] != [case.question.question_id for case in b]:
            raise ValueError("the cases of a pair are about the same questions, in the same order")
        self._a, self._b = a, b
        self._resampling = Resampling([case.cluster for case in a])

    def gain(self, measure: Measure) -> Figure:
        """What the first run has more than the second."""
        a, b = _count(self._a, measure), _count(self._b, measure)
        if a is None or b is None:
            return _NOTHING
        width = a.rows.shape[1]

        def difference(sums: Columns) -> Columns:
            return measure.statistic(sums[:, :width]) - measure.statistic(sums[:, width:])

        interval = partial(self._resampling.gain, parts=2 * len(measure.parts) or 1)
        found = _Counted(np.hstack([a.rows, b.rows]), a.questions, a.documents).figure(difference, interval)
        parts_known = all(self.gain(part).low is not None for part in measure.parts)
        return found if parts_known else replace(found, low=None, high=None)


@dataclass(frozen=True, slots=True)
class _Counted:
    """What a measure sums: `rows` [n, m], zeros where a case does not count, and how many cases and documents do."""

    rows: Columns
    questions: int
    documents: int

    def figure(self, statistic: Statistic, interval: Callable[[Columns, Statistic], Interval | None]) -> Figure:
        value = float(statistic(exact_sums(self.rows))[0])
        if np.isnan(value):
            return Figure(None, None, None, self.questions, self.documents)
        found = interval(self.rows, statistic)
        return Figure(value, found and found.low, found and found.high, self.questions, self.documents)


def _count(cases: Sequence[Case], measure: Measure) -> _Counted | None:
    """None where no case counts."""
    places = [place for place, case in enumerate(cases) if measure.counts(case)]
    if not places:
        return None
    values = np.asarray([measure.row(cases[place]) for place in places], dtype=np.float64)
    rows = np.zeros((len(cases), values.shape[1]))
    rows[places] = values
    return _Counted(rows, len(places), len({cases[place].cluster for place in places}))


def exact_sums(rows: Columns) -> Columns:
    """[1, m], added in the order of the rows as `score` adds, so that both give the same figure to the last digit."""
    return np.asarray([[sum(column) for column in rows.T.tolist()]], dtype=np.float64)


def credit(case: Case) -> float:
    return case.credit


def is_any(case: Case) -> bool:
    return True


def is_answerable(case: Case) -> bool:
    return case.answerable


def is_unanswerable(case: Case) -> bool:
    return not case.answerable


def is_refused(case: Case) -> bool:
    return case.refused


def has_evidence(case: Case) -> bool:
    return bool(case.evidence)


def _strict_credit(case: Case) -> float:
    return case.strict.credit or 0.0


def _is_attempted(case: Case) -> bool:
    return case.strict.credit is not None


def _claim_row(case: Case) -> tuple[float, float, float]:
    """Credit and number of answerable questions, and the number of those not refused."""
    return (case.credit * case.answerable, case.answerable, not case.refused)


def _f1(sums: Columns) -> Columns:
    """The official F1 from the sums of `_claim_row`, 0 where a denominator is 0."""
    recall, precision = safe_divide(sums[:, 0], sums[:, 1], 0.0), safe_divide(sums[:, 0], sums[:, 2], 0.0)
    return safe_divide(2 * recall * precision, recall + precision, 0.0)


def _part_row(case: Case) -> tuple[float, float, float, float]:
    """Credit and number of the answerable questions, then of the unanswerable ones."""
    return (case.credit, 1.0, 0.0, 0.0) if case.answerable else (0.0, 0.0, case.credit, 1.0)


def _mean_of_two(sums: Columns) -> Columns:
    """Of the ratios of columns 0 and 1, and of 2 and 3; NaN where either has none."""
    return (ratio(sums[:, :2]) + ratio(sums[:, 2:])) / 2


_BOTH_KINDS = (mean_of(credit, is_answerable), mean_of(credit, is_unanswerable))
# Of answers. Unscored counts as wrong in the official measures, and not at all in the strict ones.
ANSWER_MEASURES = {
    "accuracy": mean_of(credit, is_any),
    "f1": Measure(_claim_row, _f1, is_any),
    "answerable": _BOTH_KINDS[0],
    "unanswerable": _BOTH_KINDS[1],
    "balanced": Measure(_part_row, _mean_of_two, is_any, _BOTH_KINDS),
    "single_page": mean_of(credit, lambda case: len(case.question.evidence_pages) == 1),
    "cross_page": mean_of(credit, lambda case: len(case.question.evidence_pages) != 1 and case.answerable),
    "strict_accuracy": mean_of(_strict_credit, _is_attempted),
    "strict_answerable": mean_of(_strict_credit, lambda case: case.answerable and _is_attempted(case)),
    "abstention_precision": share_of(is_unanswerable, is_refused),
    "abstention_recall": share_of(is_refused, is_unanswerable),
    "wrongly_refused": share_of(is_refused, is_answerable),
}
