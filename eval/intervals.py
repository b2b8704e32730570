"""95 % bootstrap intervals, resampled by document: questions about one document are not independent of each other.

The draws give the standard error, Student's t with documents - 1 degrees of freedom gives the width. The usual percentiles of
the draws are too narrow: by sqrt((n - 1) / n), and for want of t (Hesterberg, "What teachers should know about the bootstrap",
The American Statistician 69, 2015, section 3.2). For a fraction the interval is made on the logit scale, as survey statistics
do (Korn and Graubard, "Analysis of Health Surveys", 1999, section 3.2.2): it stays inside 0..1, and holds near the ends.
A few documents make it wide, as they should: with two it spans almost everything. Where all documents agree, the draws have no
spread: a fraction then gets the interval of as many trials, and a gain has none, for nothing tells how others would differ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

_DRAWS = 2_000  # a standard error needs far fewer than percentiles would: 2,000 give it to 1.6 %
_SEED = 20240701
_TAIL = 0.025
_NO_SPREAD = 1e-9
Columns = NDArray[np.float64]
Statistic = Callable[[Columns], Columns]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds of its 95 % interval."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> list[float]:
        return [self.low, self.high]


@dataclass(frozen=True, slots=True)
class Spread:
    """What the draws tell of a statistic, or of many [...]: its value on all documents, NaN where it has none, its standard
    error, and how many documents count for it.
    """

    estimate: Columns
    error: Columns
    documents: Columns

    @property
    def varies(self) -> NDArray[np.bool_]:
        """Whether the documents differ in it at all; they don't where fewer than two count."""
        return self.error > _NO_SPREAD

    @property
    def reach(self) -> Columns:
        """Half the width of the interval on the statistic's own scale; NaN where fewer than two documents count."""
        return self.error * special.stdtrit(np.where(self.documents > 1, self.documents - 1, np.nan), 1 - _TAIL)


class Resampling:
    """The draws of documents that all intervals of a run share; `clusters` [n] names the document of each question.

    Seeded: the same documents give the same draws. A statistic is computed from sums over questions: `rows` [n, m] holds what
    is summed, a row a question, zeros where it does not count; `statistic` maps sums [draws, m] to values [draws], NaN where
    a draw has none. No interval where fewer than two documents count. `parts` is of how many figures a statistic is made, each
    with as many of the columns: what has few documents for one of them is no surer than that one.
    """

    def __init__(self, clusters: Sequence[str]) -> None:
        names = {name: place for place, name in enumerate(sorted(set(clusters)))}
        self._places = np.asarray([names[name] for name in clusters], dtype=np.intp)
        self._documents = len(names)
        shares = np.full(max(1, len(names)), 1 / max(1, len(names)))
        drawn = np.random.default_rng(_SEED).multinomial(len(names), shares, size=_DRAWS)
        self._times_drawn = drawn.astype(np.float64)

    def fraction(self, rows: Columns, statistic: Statistic, parts: int = 1) -> Interval | None:
        """Of a statistic from 0 to 1, and inside 0 to 1."""
        return _interval(*fraction_bounds(self.spread(rows, statistic, parts)))

    def gain(self, rows: Columns, statistic: Statistic, parts: int = 1) -> Interval | None:
        """Of a difference of two such statistics, from -1 to 1."""
        return _interval(*gain_bounds(self.spread(rows, statistic, parts)))

    def varies(self, rows: Columns, statistic: Statistic) -> bool:
        """Whether documents differ in a statistic."""
        return bool(self.spread(rows, statistic).varies)

    def spread(self, rows: Columns, statistic: Statistic, parts: int = 1) -> Spread:
        """Of one statistic, or of many at once: `rows` [n, m, ...], and `statistic` maps [draws, m, ...] to [draws, ...]."""
        if len(rows) != len(self._places):
            raise ValueError(f"one cluster a row, got {len(rows)} rows and {len(self._places)} clusters")
        sums = np.zeros((max(1, self._documents), *rows.shape[1:]))
        np.add.at(sums, self._places, rows)
        counted = [np.count_nonzero(part.any(axis=1), axis=0) for part in np.split(sums, parts, axis=1)]
        documents = np.min(counted, axis=0).astype(np.float64)
        draws = (self._times_drawn @ sums.reshape(len(sums), -1)).reshape(_DRAWS, *sums.shape[1:])
        error = _deviation(statistic(draws))
        # The draws vary as documents of a population do, but for the one that the mean takes up.
        correction = np.sqrt(safe_divide(documents, documents - 1, np.nan))
        return Spread(statistic(sums.sum(axis=0, keepdims=True))[0], error * correction, documents)


def fraction_bounds(spread: Spread) -> tuple[Columns, Columns, Columns]:
    """Estimates and the bounds of their intervals inside 0 to 1; NaN bounds where there is none."""
    estimate = np.clip(spread.estimate, 0.0, 1.0)
    varies = spread.varies & (estimate > _NO_SPREAD) & (estimate < 1 - _NO_SPREAD)
    inner = np.where(varies, estimate, 0.5)
    centre, reach = special.logit(inner), spread.reach / (inner * (1 - inner))
    low, high = _clopper_pearson(estimate, spread.documents)
    return (
        estimate,
        np.where(varies, special.expit(centre - reach), low),
        np.where(varies, special.expit(centre + reach), high),
    )


def gain_bounds(spread: Spread) -> tuple[Columns, Columns, Columns]:
    """Estimates and the bounds of their intervals inside -1 to 1; NaN bounds where there is none, as without any spread."""
    reach = np.where(spread.varies, spread.reach, np.nan)
    return spread.estimate, np.maximum(-1.0, spread.estimate - reach), np.minimum(1.0, spread.estimate + reach)


def mean_interval(values: Sequence[float], clusters: Sequence[str]) -> Interval | None:
    """Of the mean of `values`, 0 to 1; `clusters` names the document of each. None where there are fewer than two documents."""
    return Resampling(clusters).fraction(_with_ones(_floats(values)), ratio)


def paired_interval(a: Sequence[float], b: Sequence[float], clusters: Sequence[str]) -> Interval | None:
    """Of the mean of `a[i] - b[i]`: a gain of `a` over `b` on the same questions where the whole interval is above 0.

    None where there are fewer than two documents, or all of them gain the same. Raises ValueError where the lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values come in pairs, got {len(a)} and {len(b)}")
    return Resampling(clusters).gain(_with_ones(_floats(a) - _floats(b)), ratio)


def ratio(sums: Columns) -> Columns:
    """The first column over the second, NaN where that is 0."""
    return safe_divide(sums[:, 0], sums[:, 1], np.nan)


def safe_divide(numerator: Columns, denominator: Columns, otherwise: float) -> Columns:
    """Elementwise, `otherwise` where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), otherwise), where=denominator != 0)


def _clopper_pearson(estimate: Columns, documents: Columns) -> tuple[Columns, Columns]:
    """Where all documents agree the draws have no spread: then each document counts as one trial (Biometrika 26, 1934)."""
    trials = np.where(documents > 1, documents, np.nan)
    right = estimate * trials
    low, high = special.betaincinv(right, trials - right + 1, _TAIL), special.betaincinv(right + 1, trials - right, 1 - _TAIL)
    none, every = right <= _NO_SPREAD, trials - right <= _NO_SPREAD
    return np.where(none, 0.0, low), np.where(every, 1.0, high)


def _deviation(values: Columns) -> Columns:
    """The standard deviation over the draws that have a value, NaN where none has."""
    known = ~np.isnan(values)
    count = known.sum(axis=0).astype(np.float64)
    mean = safe_divide(np.where(known, values, 0.0).sum(axis=0), count, np.nan)
    squares = np.where(known, values - mean, 0.0) ** 2
    return np.sqrt(safe_divide(squares.sum(axis=0), count, np.nan))


def _interval(estimate: Columns, low: Columns, high: Columns) -> Interval | None:
    found = Interval(float(estimate), float(low), float(high))
    return None if any(map(math.isnan, (found.estimate, found.low, found.high))) else found


def _floats(values: Sequence[float]) -> Columns:
    return np.asarray(values, dtype=np.float64)


def _with_ones(values: Columns) -> Columns:
    return np.column_stack([values, np.ones(len(values))])
