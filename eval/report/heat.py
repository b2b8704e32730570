"""A table of accuracies whose cells are tinted by them: needles by length of the context and depth of the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from docrag.eval.report.drawing import WIDTH, Chart, Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW = 34.0
_HEAD = 46.0  # the columns' title and names
_LABELS = 82.0
_MOST_COLUMNS = 8  # more would be too narrow for their numbers
_Matrix = Sequence[Sequence[float | None]]


def needles_chart(accuracy: _Matrix, rows: Sequence[str], columns: Sequence[str], titles: tuple[str, str]) -> Chart:
    """`accuracy[row][column]` from 0 to 1 as a table; None, where nothing was asked, is hatched.

    `titles` say what rows and columns are, as in ("tokens", "depth of the page"). Raises ValueError where the table is empty or
    uneven, has more than 8 columns, or a cell is no fraction.
    """
    if not rows or not 1 <= len(columns) <= _MOST_COLUMNS:
        raise ValueError(f"a table has rows and 1 to {_MOST_COLUMNS} columns, got {len(rows)} rows and {len(columns)} columns")
    if len(accuracy) != len(rows) or any(len(cells) != len(columns) for cells in accuracy):
        raise ValueError(f"the accuracies are not {len(rows)} rows of {len(columns)} columns")
    for value in (value for cells in accuracy for value in cells if value is not None):
        if not 0 <= value <= 1:  # nor is NaN
            raise ValueError(f"an accuracy is a fraction from 0 to 1, got {value}")
    told = (
        f"{titles[0]} {row}: " + ", ".join(f"{column} {_shown(value)}" for column, value in zip(columns, cells, strict=True))
        for row, cells in zip(rows, accuracy, strict=True)
    )
    return Chart(
        title=f"Accuracy by {titles[0]} and {titles[1]}",
        description=f"{'. '.join(told)}.",
        height=_HEAD + _ROW * len(rows) + 2,
        draw=lambda surface: _draw(surface, accuracy, rows, columns, titles),
    )


def _shown(value: float | None) -> str:
    return "not asked" if value is None else f"{100 * value:.0f} %"


def _draw(surface: Surface, accuracy: _Matrix, rows: Sequence[str], columns: Sequence[str], titles: tuple[str, str]) -> None:
    cell = (WIDTH - _LABELS) / len(columns)
    surface.label(2, 34, titles[0], _LABELS - 8, colour="soft")
    surface.label(_LABELS, 10, f"{titles[1]}; accuracy in %", WIDTH - _LABELS - 2, colour="soft")
    axes = surface.axes(_LABELS, _HEAD, WIDTH - _LABELS, _ROW * len(rows))
    axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    for j, column in enumerate(columns):
        surface.label(_LABELS + (j + 0.5) * cell, 34, column, cell - 2, colour="soft", align="center")
    for i, (row, cells) in enumerate(zip(rows, accuracy, strict=True)):
        y = _HEAD + (i + 0.5) * _ROW
        surface.label(2, y, row, _LABELS - 8)
        for j, value in enumerate(cells):
            _tint(surface, axes, i, j, value)
            if value is not None:
                surface.text(_LABELS + (j + 0.5) * cell, y, f"{100 * value:.0f}", align="center")


def _tint(surface: Surface, axes: Axes, i: int, j: int, value: float | None) -> None:
    """The better the deeper; never so deep that the number on it is hard to read in either theme."""
    from matplotlib.patches import Rectangle

    corner, size = (j + 0.03, i + 0.04), (0.94, 0.92)
    if value is None:
        edge = surface.colours["grid"]
        axes.add_patch(Rectangle(corner, *size, facecolor="none", edgecolor=edge, hatch="///", linewidth=0.8))
    else:
        axes.add_patch(Rectangle(corner, *size, color=surface.colours["a"], alpha=0.06 + 0.5 * value, linewidth=0))
