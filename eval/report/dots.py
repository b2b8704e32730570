"""Dots with 95 % intervals: runs among published systems, and what one run gains over another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from docrag.eval.figures import Figure
from docrag.eval.report.drawing import LINE, WIDTH, Chart, Colour, Surface, text_width, wrap
from docrag.eval.report.parts import LEGEND_HEIGHT, RUN_COLOURS, draw_legend, grid_line, whisker
from docrag.eval.report.words import NO_FIGURE, checked, measure_name, one_or_two, percent, points, tell, tell_gain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from docrag.eval.published import Beside

_LABELS = 176.0  # width of the column of names
_LEFT, _RIGHT = _LABELS + 10.0, WIDTH - 50.0
_SCALE = 26.0
_ROW_GAP = 8.0
_OTHERWISE = "not comparable"
_GAIN_BOUNDS = (0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class _Dot:
    """One row: `lines` is its name, wrapped."""

    lines: tuple[str, ...]
    figure: Figure
    value: str
    colour: Colour
    filled: bool = True
    bold: bool = False

    @property
    def height(self) -> float:
        return LINE * len(self.lines) + _ROW_GAP


def headline_chart(runs: Sequence[tuple[str, Figure]], published: Sequence[Beside]) -> Chart:
    """The official accuracy of one or two runs (name, figure) among published systems, best first.

    What may be set beside the runs has a filled dot, the rest a hollow one. Raises ValueError where there is no run, more than
    two, or a figure that is no fraction.
    """
    dots = [_dot(name, figure, RUN_COLOURS[run], bold=True) for run, (name, figure) in enumerate(one_or_two(runs, "runs"))]
    for one in published:
        figure = Figure(one.system.accuracy, None, None, 0)
        dots.append(_dot(one.system.system, figure, "ink" if one.comparable else "soft", filled=one.comparable))
    dots.sort(key=lambda dot: -1.0 if dot.figure.value is None else dot.figure.value, reverse=True)
    told = [f"{name}: {tell(figure)}" for name, figure in runs]
    told += [
        f"{one.system.system}: {percent(one.system.accuracy)} %" + ("" if one.comparable else f" ({_OTHERWISE})")
        for one in published
    ]
    bound = _round_up(max(dot.figure.high or dot.figure.value or 0.0 for dot in dots))
    return Chart(
        title="Official accuracy beside published systems",
        description=f"{'. '.join(told)}.",
        height=LEGEND_HEIGHT + sum(dot.height for dot in dots) + _SCALE,
        draw=lambda surface: _draw_headline(surface, dots, bound),
    )


def _dot(name: str, figure: Figure, colour: Colour, *, filled: bool = True, bold: bool = False) -> _Dot:
    value = NO_FIGURE if checked(name, figure).value is None else percent(figure.value or 0.0)
    return _Dot(wrap(name, _LABELS, bold=bold), figure, value, colour, filled, bold)


def _round_up(value: float) -> float:
    """The end of the scale: the next fifth, so that no dot is cut."""
    return min(1.0, max(0.2, math.ceil(round(value * 5, 6)) / 5))


def _draw_headline(surface: Surface, dots: Sequence[_Dot], bound: float) -> None:
    axes = surface.axes(0, 0, WIDTH, LEGEND_HEIGHT)
    axes.set(xlim=(0, WIDTH), ylim=(LEGEND_HEIGHT, 0))
    x = 2.0
    for filled, label in ((True, "comparable"), (False, _OTHERWISE)):
        _draw_marker(surface, axes, (x + 6, LEGEND_HEIGHT / 2 - 2), "ink" if filled else "soft", filled=filled)
        surface.text(x + 17, LEGEND_HEIGHT / 2 - 2, label, colour="soft")
        x += 17 + text_width(label) + 16
    steps = 4 if bound == 1 else round(bound * 5)  # of a fifth up to 80 %: five of them would have no room for "100 %"
    scale = [(bound * step / steps, f"{100 * bound * step / steps:.0f}") for step in range(steps)]
    scale.append((bound, f"{100 * bound:.0f} %"))
    _draw_dots(surface, dots, (0.0, bound), scale, LEGEND_HEIGHT)


def gains_chart(gains: Mapping[str, Figure], names: tuple[str, str]) -> Chart:
    """What the first of two runs gains over the second in each measure, in percentage points, with paired intervals.

    A dot is filled where the whole interval is on one side of zero. Raises ValueError where no measure has a figure, or a
    figure is not from -1 to 1.
    """
    shown = {name: checked(name, figure, lowest=-1.0) for name, figure in gains.items() if figure.value is not None}
    if not shown:
        raise ValueError("no measure has a figure in both runs, so there is nothing to compare")
    dots = [_gain(measure_name(name), figure) for name, figure in shown.items()]
    reach = max(abs(number) for f in shown.values() for number in (f.value, f.low, f.high) if number is not None)
    bound = next(bound for bound in _GAIN_BOUNDS if reach <= bound)
    told = (f"{measure_name(name)}: {tell_gain(figure)}" for name, figure in shown.items())
    return Chart(
        title="Difference in percentage points",
        description=f"{names[0]} minus {names[1]}. {'. '.join(told)}.",
        height=LEGEND_HEIGHT + sum(dot.height for dot in dots) + _SCALE,
        draw=lambda surface: _draw_gains(surface, dots, names, bound),
    )


def _gain(name: str, figure: Figure) -> _Dot:
    value = figure.value or 0.0
    low, high = (value, value) if figure.low is None or figure.high is None else (figure.low, figure.high)
    certain = figure.low is not None and (low > 0 or high < 0)
    colour: Colour = "soft" if not certain else RUN_COLOURS[0] if value > 0 else RUN_COLOURS[1]
    return _Dot(wrap(name, _LABELS), figure, points(value), colour, filled=certain)


def _draw_gains(surface: Surface, dots: Sequence[_Dot], names: tuple[str, str], bound: float) -> None:
    draw_legend(surface, [f"← better: {names[1]}", f"→ better: {names[0]}"], (RUN_COLOURS[1], RUN_COLOURS[0]))
    scale = [(value, points(value).removesuffix(".0")) for value in (-bound, 0.0, bound)]
    _draw_dots(surface, dots, (-bound, bound), scale, LEGEND_HEIGHT, zero=0.0)


def _draw_dots(
    surface: Surface,
    dots: Sequence[_Dot],
    limits: tuple[float, float],
    scale: Sequence[tuple[float, str]],
    top: float,
    zero: float | None = None,
) -> None:
    bottom = surface.height - _SCALE
    axes = surface.axes(_LEFT, top, _RIGHT - _LEFT, bottom - top)
    axes.set(xlim=limits, ylim=(bottom, top))  # y is in pixels, as for text
    for value, label in scale:
        grid_line(surface, axes, [value, value], [top, bottom], strong=value == zero)
        x = _LEFT + (value - limits[0]) / (limits[1] - limits[0]) * (_RIGHT - _LEFT)
        surface.text(x, bottom + _SCALE / 2, label, align="center", colour="soft")
    for dot in dots:
        middle = top + dot.height / 2
        for index, line in enumerate(dot.lines):
            y = middle + (index - (len(dot.lines) - 1) / 2) * LINE
            surface.label(2, y, line, _LABELS, bold=dot.bold)
        surface.text(WIDTH - 2, middle, dot.value, align="right", bold=dot.bold)
        if dot.figure.value is not None:
            whisker(surface, axes, dot.figure, middle, dot.colour)
            _draw_marker(surface, axes, (dot.figure.value, middle), dot.colour, filled=dot.filled)
        top += dot.height


def _draw_marker(surface: Surface, axes: Axes, at: tuple[float, float], colour: Colour, *, filled: bool) -> None:
    """A hollow one is a ring, through which the page is seen."""
    drawn = surface.colours[colour]
    face = drawn if filled else "none"
    axes.plot(*at, "o", markersize=8, markerfacecolor=face, markeredgecolor=drawn, markeredgewidth=1.5, clip_on=False)
