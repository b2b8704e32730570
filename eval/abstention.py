"""What a threshold on the reader's confidence trades: right refusals for right answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from docrag.eval.cases import Case
from docrag.eval.figures import Curve


def tradeoff(cases: Sequence[Case]) -> Curve:
    """The share of unanswerable questions refused (x) and the accuracy on answerable ones (y), as a threshold rises.

    The first point is the run as it stands; each further one refuses, too, what was answered with less confidence than the
    next higher that occurs. So a constant confidence leaves the first point alone. What a reader refused stays refused: what it
    would have said is not known. No point where the run has no answers, or not both kinds of questions.
    """
    answerable = sum(case.answerable for case in cases)
    others = len(cases) - answerable
    if not answerable or not others or all(case.score is None for case in cases):
        return Curve((), ())
    refused = sum(case.refused for case in cases if not case.answerable)
    right = sum(case.credit for case in cases if case.answerable)
    points = [(refused / others, right / answerable)]
    for falling in _by_confidence(cases)[:-1]:
        refused += sum(not case.answerable for case in falling)
        right -= sum(case.credit for case in falling if case.answerable)
        points.append((refused / others, max(0.0, right) / answerable))
    return Curve(*zip(*points, strict=True))


def _by_confidence(cases: Sequence[Case]) -> list[list[Case]]:
    """The cases that were answered, those of the same confidence together, the least confident first."""
    groups: defaultdict[float, list[Case]] = defaultdict(list)
    for case in cases:
        if case.prediction is not None and case.prediction.outcome == "answered":
            groups[case.prediction.confidence].append(case)
    return [groups[confidence] for confidence in sorted(groups)]
