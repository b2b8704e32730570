"""95 % bootstrap intervals, resampled by document: questions about one document are not independent of each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_DRAWS = 5_000
_SEED = 20240701
Columns = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the bounds of its 95 % percentile interval."""

    estimate: float
    low: float
    high: float

    def to_json(self) -> list[float]:
        return [self.low, self.high]


def mean_interval(values: Sequence[float], clusters: Sequence[str]) -> Interval | None:
    """Of the mean of `values`; `clusters` names the document of each. None where there are fewer than two documents."""
    return bootstrap(np.column_stack([_floats(values), np.ones(len(values))]), clusters, _ratio)


def paired_interval(a: Sequence[float], b: Sequence[float], clusters: Sequence[str]) -> Interval | None:
    """Of the mean of `a[i] - b[i]`: a gain of `a` over `b` on the same questions where the whole interval is above 0.

    None where there are fewer than two documents. Raises ValueError where the lengths differ.
    """
    if len(a) != len(b):
        raise ValueError(f"paired values come in pairs, got {len(a)} and {len(b)}")
    return mean_interval([float(x) for x in _floats(a) - _floats(b)], clusters)


def bootstrap(rows: Columns, clusters: Sequence[str], statistic: Callable[[Columns], Columns]) -> Interval | None:
    """Of any statistic that is computed from sums over questions.

    `rows` [n, m] holds what is summed, a row a question; `statistic` maps sums [draws, m] to values [draws], NaN where a draw
    has none. None where there are fewer than two clusters. Seeded: the same input gives the same interval.
    """
    if len(rows) != len(clusters):
        raise ValueError(f"one cluster a row, got {len(rows)} rows and {len(clusters)} clusters")
    names = {name: place for place, name in enumerate(sorted(set(clusters)))}
    if len(names) < 2:
        return None
    sums = np.zeros((len(names), rows.shape[1]))
    np.add.at(sums, [names[name] for name in clusters], rows)
    random = np.random.default_rng(_SEED)
    times_drawn = random.multinomial(len(names), np.full(len(names), 1 / len(names)), size=_DRAWS)
    estimate = float(statistic(sums.sum(axis=0, keepdims=True))[0])
    if np.isnan(estimate):
        return None
    low, high = np.nanpercentile(statistic(times_drawn @ sums), [2.5, 97.5])
    return Interval(estimate, float(low), float(high))


def _floats(values: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _ratio(sums: Columns) -> Columns:
    return safe_divide(sums[:, 0], sums[:, 1], np.nan)


def safe_divide(numerator: Columns, denominator: Columns, otherwise: float) -> Columns:
    """Elementwise, `otherwise` where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, otherwise), where=denominator != 0)
