"""The best one-to-one matching of two lists, by what each pair is worth."""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum, inf


def best_matching(worth: Sequence[Sequence[float]]) -> float:
    """The largest sum of `worth[row][column]`, from 0, over pairs that share no row and no column.

    The Hungarian method with potentials (Kuhn 1955, Munkres 1957), in rows^2 * columns steps.
    """
    rows = [list(row) for row in worth]
    if not rows or not rows[0]:
        return 0.0
    if len(rows) > len(rows[0]):
        rows = [list(column) for column in zip(*rows, strict=True)]
    matched = [-1] * len(rows[0])  # the row of each column
    row_price, column_price = [0.0] * len(rows), [0.0] * len(rows[0])
    for row in range(len(rows)):
        _add_row(row, rows, matched, row_price, column_price)
    return fsum(rows[row][column] for column, row in enumerate(matched) if row >= 0)


def _add_row(row: int, worth: list[list[float]], matched: list[int], row_price: list[float], column_price: list[float]) -> None:
    """Match one more row along the cheapest augmenting path; the cost of a pair is minus its worth."""
    columns = range(len(matched))
    slack, came_from = [inf] * len(matched), [-1] * len(matched)
    seen: set[int] = set()
    current, last = row, -1
    while True:
        for column in columns:
            cost = -worth[current][column] - row_price[current] - column_price[column]
            if column not in seen and cost < slack[column]:
                slack[column], came_from[column] = cost, last
        nearest = min((column for column in columns if column not in seen), key=slack.__getitem__)
        step = slack[nearest]
        row_price[row] += step
        for column in columns:
            if column in seen:
                row_price[matched[column]] += step
                column_price[column] -= step
            else:
                slack[column] -= step
        seen.add(nearest)
        if matched[nearest] < 0:
            break
        current, last = matched[nearest], nearest
    while nearest >= 0:
        previous = came_from[nearest]
        matched[nearest] = matched[previous] if previous >= 0 else row
        nearest = previous
