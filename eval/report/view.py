"""What the report's template lays out: texts and numbers made ready, and nothing decided any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from docrag.eval.figures import Figure
from docrag.eval.report.words import points

DASH = "–"


@dataclass(frozen=True, slots=True)
class Tile:
    """One headline figure. `detail` is its interval; `note` is what it means in a few words."""

    name: str
    value: str
    detail: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """`detail` is small, under `text`. `kind`: "number", also with " good" or " bad"; "reason" for a sentence; "" for words."""

    text: str
    detail: str = ""
    kind: str = ""


@dataclass(frozen=True, slots=True)
class TileGroup:
    """Tiles that belong together, under a heading of their own ("" for none)."""

    title: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The first cell of each row is its head. On a phone the rows of a `stacked` one are blocks, with the heads in them."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    title: str = ""
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Drawing:
    """A chart as SVG, with what it shows as a table for those who want the numbers."""

    title: str
    svg: str
    table: Table | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter of the report: a heading, a sentence on what it shows, then tiles, drawings with tables beside them, tables."""

    key: str
    title: str
    lead: str = ""
    groups: tuple[TileGroup, ...] = ()
    drawings: tuple[Drawing, ...] = ()
    beside: tuple[Table, ...] = ()
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LargePage:
    """A page shown large: a data address of its picture, its size in points, and the boxes that are marked on it."""

    source: str
    caption: str
    width_pt: float
    height_pt: float
    boxes: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Highlight:
    """A question shown on top, with its answer and the page that it rests on. `kind` is "right", "refused" or "wrong"."""

    question: str
    answer: str
    kind: str
    verdict: str
    note: str
    quotes: tuple[tuple[str, str], ...] = ()  # the words, and where they stand
    page: LargePage | None = None
    thumbs: tuple[LargePage, ...] = ()


@dataclass(frozen=True, slots=True)
class Opening:
    """What stands above the figures: `lead` in paragraphs, and in `tiles` what was done before the questions were asked."""

    title: str
    lead: tuple[str, ...]
    tiles: tuple[Tile, ...] = ()
    highlights: tuple[Highlight, ...] = ()
    footer: str = ""


def percent(figure: Figure | None) -> str:
    """ "23.7 %" """
    return DASH if figure is None or figure.value is None else f"{100 * figure.value:.1f} %"


def interval(figure: Figure | None) -> str:
    """ "19.8 to 27.7", of the same unit as the figure; "" where there is none."""
    if figure is None or figure.low is None or figure.high is None:
        return ""
    return f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"


def figure_cell(figure: Figure | None) -> Cell:
    return Cell(percent(figure), interval(figure), "number")


def gain_cell(gain: Figure) -> Cell:
    """In percentage points, with its sign; coloured where the whole interval is on one side of 0."""
    if gain.value is None:
        return Cell(DASH, "", "number")
    if gain.low is None or gain.high is None:
        return Cell(points(gain.value), "", "number")
    kind = " good" if gain.low > 0 else " bad" if gain.high < 0 else ""
    return Cell(points(gain.value), f"{points(gain.low)} to {points(gain.high)}", f"number{kind}")


def count_cell(number: int) -> Cell:
    return Cell(f"{number:,}", "", "number")


def table(head: Sequence[str], rows: Sequence[Sequence[Cell]], title: str = "") -> Table:
    return Table(tuple(head), tuple(map(tuple, rows)), title)


def shown_value(value: object) -> str:
    """Of a setting."""
    return DASH if value is None else str(value)
