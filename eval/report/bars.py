"""Bars with 95 % intervals: the accuracy of one run, or of two side by side, by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docrag.eval.figures import Breakdown, Figure
from docrag.eval.report.drawing import WIDTH, Chart, Surface, text_width
from docrag.eval.report.parts import LEGEND_HEIGHT, RUN_COLOURS, draw_legend, whisker
from docrag.eval.report.words import NO_FIGURE, checked, count, one_or_two, percent, tell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _RIGHT = 2.0, WIDTH - 50.0  # 0 and 100 %
_BAR, _PITCH = 12.0, 17.0  # height of a bar, and from one to the next
_LABEL_LINE, _GAP = 22.0, 10.0
_SCALE = 24.0
_FEW_DOCUMENTS = 5


@dataclass(frozen=True, slots=True)
class _Row:
    label: str
    figures: tuple[Figure, ...]  # one a run

    @property
    def few(self) -> bool:
        """Whether one document more or less would change the figures much."""
        return 0 < max(figure.documents for figure in self.figures) < _FEW_DOCUMENTS

    @property
    def size(self) -> str:
        shown = f"n = {max(figure.questions for figure in self.figures):,}"
        if not self.few:
            return shown
        return f"{shown} in {count(max(figure.documents for figure in self.figures), 'doc')}"


def breakdown_chart(runs: Sequence[tuple[str, Breakdown]]) -> Chart:
    """The official accuracy by group, of one run or of two (name, breakdown); groups without questions are left out.

    Those of fewer than 5 documents are drawn pale. Raises ValueError where there is no run, more than two, no
    group with a question, or a figure that is no fraction.
    """
    one_or_two(runs, "runs")
    rows = _rows(runs)
    names = tuple(name for name, _ in runs)
    title = runs[0][1].title
    if not rows:
        raise ValueError(f"{title}: no group has a question, so there is nothing to draw")
    top = LEGEND_HEIGHT if len(runs) > 1 else 0.0
    step = _LABEL_LINE + _PITCH * len(runs) + _GAP
    described = (f"{row.label}: " + "; ".join(_told(names, row)) for row in rows)
    return Chart(
        title=title,
        description=f"Official accuracy by group. {'. '.join(described)}.",
        height=top + step * len(rows) + _SCALE,
        draw=lambda surface: _draw(surface, names, rows, top, step),
    )


def _rows(runs: Sequence[tuple[str, Breakdown]]) -> list[_Row]:
    nothing = Figure(None, None, None, 0)
    by_label = [dict(breakdown.rows) for _, breakdown in runs]
    labels = dict.fromkeys(label for found in by_label for label in found)
    rows = [_Row(label, tuple(checked(label, found.get(label, nothing)) for found in by_label)) for label in labels]
    return [row for row in rows if any(figure.questions for figure in row.figures)]


def _told(names: Sequence[str], row: _Row) -> list[str]:
    if len(names) == 1:
        return [tell(row.figures[0])]
    return [f"{name} {tell(figure)}" for name, figure in zip(names, row.figures, strict=True)]


def _draw(surface: Surface, names: Sequence[str], rows: Sequence[_Row], top: float, step: float) -> None:
    if len(names) > 1:
        draw_legend(surface, names)
    axes = surface.axes(_LEFT, top, _RIGHT - _LEFT, surface.height - top - _SCALE)
    axes.set(xlim=(0, 1), ylim=(surface.height - _SCALE, top))  # y is in pixels, as for text
    for index, row in enumerate(rows):
        _draw_row(surface, axes, row, top + index * step)
    for value in (0.0, 0.5, 1.0):
        x = _LEFT + value * (_RIGHT - _LEFT)
        label = f"{100 * value:.0f} %"
        surface.text(x, surface.height - _SCALE / 2, label, align="center" if value else "left", colour="soft")


def _draw_row(surface: Surface, axes: Axes, row: _Row, y: float) -> None:
    surface.text(_RIGHT, y + _LABEL_LINE / 2, row.size, align="right", colour="soft")
    surface.label(_LEFT, y + _LABEL_LINE / 2, row.label, _RIGHT - _LEFT - text_width(row.size) - 12)
    for run, figure in enumerate(row.figures):
        middle = y + _LABEL_LINE + _PITCH * run + _BAR / 2 + 1
        axes.barh(middle, 1, height=_BAR, color=surface.colours["grid"], alpha=0.4, linewidth=0)
        if figure.value is None:
            surface.text(_LEFT + 4, middle, NO_FIGURE, colour="soft")
            continue
        axes.barh(
            middle,
            figure.value,
            height=_BAR,
            color=surface.colours[RUN_COLOURS[run]],
            alpha=0.4 if row.few else 0.75,
            linewidth=0,
        )
        whisker(surface, axes, figure, middle)
        surface.text(WIDTH - 2, middle, percent(figure.value), align="right")
