"""Curves: recall against the pages or tokens read, and accuracy against the share of unanswerable questions refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from docrag.eval.figures import Curve
from docrag.eval.report.drawing import WIDTH, Chart, Surface, text_width
from docrag.eval.report.parts import LEGEND_HEIGHT, RUN_COLOURS, draw_legend, grid_line
from docrag.eval.report.words import one_or_two, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEFT, _RIGHT = 40.0, WIDTH - 16.0
_PLOT = 210.0
_TITLE, _SCALE = 24.0, 46.0  # the y axis' title above the plot; numbers and title of the x axis below it
_MOST_LABELS = 5
_MOST_TICKS = 10
_ROUND_KS = (1, 5, 10, 20, 50, 100)
_MARKERS = ("o", "s")
_STYLES = ("-", "--")
_Ticks = Sequence[tuple[float, str]]
_FIFTHS: _Ticks = tuple((step / 5, f"{20 * step}") for step in range(6))


@dataclass(frozen=True, slots=True)
class _Scale:
    """The x axis: its title, its two ends, and the numbers written under it."""

    title: str
    low: float
    high: float
    ticks: _Ticks
    log: bool = False

    def share(self, x: float) -> float:
        """How far from its left end `x` is, as a fraction of its length."""
        if self.log:
            return math.log(x / self.low) / math.log(self.high / self.low)
        return (x - self.low) / (self.high - self.low)


def recall_at_k_chart(curves: Sequence[tuple[str, Curve]]) -> Chart:
    """Recall of the evidence pages against k, of one or two scopes or runs (name, curve).

    Raises ValueError where there is no curve with a point, more than two, or a point that can't be drawn.
    """
    drawn = _drawable(curves)
    ks = sorted({x for _, curve in drawn for x in curve.x})
    ticks = [(k, f"{k:g}") for k in ks if len(ks) <= _MOST_TICKS or k in (1, 3) or k % 5 == 0]
    room = 0.09 * (ks[-1] - ks[0]) or 0.5  # for the values beside the first point and the last
    scale = _Scale("k: pages, best ranked first", ks[0] - room, ks[-1] + room, ticks)
    return _recall_chart("Recall against pages", drawn, scale, lambda x: f"k = {x:g}")


def recall_at_tokens_chart(curves: Sequence[tuple[str, Curve]]) -> Chart:
    """Recall of the evidence pages against the tokens that the pages take, on a logarithmic scale; else as by pages.

    Points at no tokens are left out: the scale has no place for them.
    """
    drawn = _drawable([(name, _positive(curve)) for name, curve in curves])
    xs = [x for _, curve in drawn for x in curve.x]
    room = (max(xs) / min(xs)) ** 0.09 if max(xs) > min(xs) else 2.0
    low, high = min(xs) / room, max(xs) * room
    scale = _Scale("tokens of the pages, best ranked first", low, high, _token_ticks(low, high), log=True)
    return _recall_chart("Recall against tokens", drawn, scale, lambda x: f"{x:,.0f} tokens")


def tradeoff_chart(curves: Sequence[tuple[str, Curve]]) -> Chart:
    """Accuracy on answerable questions (y) against the share of unanswerable ones refused (x), of one or two runs.

    The first point of a curve is the run as it stands, and is marked. Raises ValueError as for the others.
    """
    drawn = _drawable(curves)
    for name, curve in drawn:
        if any(not 0 <= x <= 1 for x in curve.x):
            raise ValueError(f"{name}: the share of questions refused is a fraction from 0 to 1")
    told = (
        f"{name} refuses {percent(curve.x[0])} % of the unanswerable questions and scores {percent(curve.y[0])} % on the others"
        for name, curve in drawn
    )
    return Chart(
        title="Refusing against answering",
        description=f"{'. '.join(told)}. The curve is what a higher threshold on confidence would give.",
        height=LEGEND_HEIGHT * len(drawn) + _TITLE + _PLOT + _SCALE,
        draw=lambda surface: _draw_tradeoff(surface, drawn),
    )


def _drawable(curves: Sequence[tuple[str, Curve]]) -> list[tuple[str, Curve]]:
    """Those with a point. NaN and what is no fraction are errors, never left out in silence."""
    for name, curve in one_or_two(curves, "curves"):
        for x, y in zip(curve.x, curve.y, strict=True):
            if not (math.isfinite(x) and math.isfinite(y) and 0 <= y <= 1):
                raise ValueError(f"{name}: a point needs a finite x and a y from 0 to 1, got ({x}, {y})")
    drawn = [(name, curve) for name, curve in curves if curve.x]
    if not drawn:
        raise ValueError("no curve has a point, so there is nothing to draw")
    return drawn


def _positive(curve: Curve) -> Curve:
    """Without the points at x <= 0; NaN stays, to be complained of."""
    kept = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if not x <= 0]
    return Curve(tuple(x for x, _ in kept), tuple(y for _, y in kept))


def _token_ticks(low: float, high: float) -> _Ticks:
    """Round numbers between the limits, as dense as there is room for."""
    values: list[float] = []
    for steps in ((1, 2, 5), (1, 3), (1,)):
        values = [value for power in range(13) for step in steps if low <= (value := step * 10.0**power) <= high]
        if len(values) < _MOST_TICKS - 1:
            break
    return [(value, f"{value / 1000:g}k" if value >= 1000 else f"{value:g}") for value in values]


def _labelled(curve: Curve, scale: _Scale) -> Sequence[int]:
    """Whose values are written beside them: all of a few points; else those at round k, or some at equal steps."""
    last = len(curve.x) - 1
    if last < _MOST_LABELS:
        return range(last + 1)
    at_round = [index for index, x in enumerate(curve.x) if x in _ROUND_KS]
    return at_round if at_round and not scale.log else sorted({round(step * last / 4) for step in range(_MOST_LABELS)})


def _recall_chart(title: str, curves: list[tuple[str, Curve]], scale: _Scale, name_x: Callable[[float], str]) -> Chart:
    top = LEGEND_HEIGHT if len(curves) > 1 else 0.0
    told = (
        f"{name}: " + ", ".join(f"{percent(curve.y[i])} % at {name_x(curve.x[i])}" for i in _labelled(curve, scale))
        for name, curve in curves
    )
    return Chart(
        title=title,
        description=f"{'. '.join(told)}.",
        height=top + _TITLE + _PLOT + _SCALE,
        draw=lambda surface: _draw_recall(surface, curves, scale, top),
    )


def _draw_recall(surface: Surface, curves: Sequence[tuple[str, Curve]], scale: _Scale, top: float) -> None:
    if len(curves) > 1:
        draw_legend(surface, [name for name, _ in curves])
    axes = _plot(surface, top, "recall, %", scale)
    for run, (_, curve) in enumerate(curves):
        marker = _MARKERS[run] if len(curve.x) <= _MOST_TICKS else ""
        colour = surface.colours[RUN_COLOURS[run]]
        axes.plot(curve.x, curve.y, _STYLES[run], marker=marker, color=colour, linewidth=2, markersize=7, clip_on=False)
        for index in _labelled(curve, scale):
            x, y = curve.x[index], curve.y[index]
            below = any(_is_above(other, run < place, x, y) for place, (_, other) in enumerate(curves) if place != run)
            _write_value(surface, (_across(scale, x), _down(top, y)), percent(y), below=below and y > 0.12)


def _is_above(other: Curve, first_wins: bool, x: float, y: float) -> bool:
    """Whether `other` passes over the point: then its value goes under it, to stay clear of that curve."""
    height = float(np.interp(x, other.x, other.y))
    return height > y or (height == y and not first_wins)


def _write_value(surface: Surface, at: tuple[float, float], value: str, *, below: bool) -> None:
    """Left above the point or right below it: recall rises, so the curve goes the other way."""
    if below:
        surface.text(at[0] - 3, at[1] + 14, value)
    else:
        surface.text(at[0] + 3, at[1] - 13, value, align="right")


def _across(scale: _Scale, x: float) -> float:
    return _LEFT + scale.share(x) * (_RIGHT - _LEFT)


def _down(top: float, y: float) -> float:
    return top + _TITLE + (1 - y) * _PLOT


def _plot(surface: Surface, top: float, y_title: str, scale: _Scale) -> Axes:
    """Axes from 0 to 1 upwards with a light grid, their numbers and titles."""
    axes = surface.axes(_LEFT, top + _TITLE, _RIGHT - _LEFT, _PLOT)
    axes.set(xlim=(scale.low, scale.high), ylim=(0, 1), xscale="log" if scale.log else "linear")
    surface.text(2, top + 8, y_title, colour="soft")
    for value, label in _FIFTHS:
        grid_line(surface, axes, [scale.low, scale.high], [value, value], strong=value == 0)
        surface.text(_LEFT - 8, _down(top, value), label, align="right", colour="soft")
    for value, label in scale.ticks:
        surface.text(_across(scale, value), _down(top, 0) + 13, label, align="center", colour="soft")
    surface.text(_RIGHT, _down(top, 0) + 34, scale.title, align="right", colour="soft")
    return axes


def _draw_tradeoff(surface: Surface, curves: Sequence[tuple[str, Curve]]) -> None:
    for run, (name, curve) in enumerate(curves):
        own = f"{percent(curve.x[0])} refused, {percent(curve.y[0])} right"
        draw_legend(surface, [name], RUN_COLOURS[run:], top=LEGEND_HEIGHT * run, room=text_width(own) + 10)
        surface.text(WIDTH - 2, LEGEND_HEIGHT * (run + 0.5) - 2, own, align="right", colour="soft")
    scale = _Scale("unanswerable questions refused, %", 0.0, 1.0, _FIFTHS)
    axes = _plot(surface, LEGEND_HEIGHT * len(curves), "accuracy on answerable questions, %", scale)
    for run, (_, curve) in enumerate(curves):
        colour = surface.colours[RUN_COLOURS[run]]
        axes.plot(curve.x, curve.y, _STYLES[run], color=colour, linewidth=2, clip_on=False)
        axes.plot(curve.x[0], curve.y[0], _MARKERS[run], color=colour, markersize=11, clip_on=False)
