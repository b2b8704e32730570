"""What several charts draw: the names of the runs in their colours, intervals, and the lines of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from docrag.eval.figures import Figure
from docrag.eval.report.drawing import WIDTH, Colour, Surface

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RUN_COLOURS: tuple[Colour, Colour] = ("a", "b")
LEGEND_HEIGHT = 28.0
_SWATCH = 14.0


def draw_legend(
    surface: Surface, names: Sequence[str], colours: Sequence[Colour] = RUN_COLOURS, *, top: float = 0.0, room: float = 0.0
) -> None:
    """Names in a line, each after a sample of its colour; `room` pixels at the right are left free."""
    share = (WIDTH - 4 - room) / len(names)
    middle = LEGEND_HEIGHT / 2 - 2
    axes = surface.axes(0, top, WIDTH, LEGEND_HEIGHT)
    axes.set(xlim=(0, WIDTH), ylim=(LEGEND_HEIGHT, 0))
    for index, name in enumerate(names):
        left = 2 + index * share
        axes.barh(middle, _SWATCH, left=left, height=12, color=surface.colours[colours[index]], linewidth=0)
        surface.label(left + _SWATCH + 6, top + middle, name, share - _SWATCH - 14)


def whisker(surface: Surface, axes: Axes, figure: Figure, y: float, colour: Colour = "ink") -> None:
    """A line over the 95 % interval, with ends; nothing where there is none."""
    if figure.low is None or figure.high is None:
        return
    drawn = surface.colours[colour]
    axes.plot([figure.low, figure.high], [y, y], color=drawn, linewidth=1.5, clip_on=False)
    for end in (figure.low, figure.high):
        axes.plot([end, end], [y - 4, y + 4], color=drawn, linewidth=1.5, clip_on=False)


def grid_line(surface: Surface, axes: Axes, xs: list[float], ys: list[float], *, strong: bool = False) -> None:
    """A thin line behind everything else; a strong one marks zero."""
    colour = surface.colours["soft" if strong else "grid"]
    axes.plot(xs, ys, color=colour, linewidth=1, zorder=0, clip_on=False)
