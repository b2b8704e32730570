# pyright: basic
# pymupdf has no usable type information.
"""Drawing on a PDF page: lines of type, paragraphs, tables, boxes and pictures, in points from the top left."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import pymupdf  # noqa: TID253 -- this module is only imported where pages are drawn

Colour = tuple[float, float, float]
Align = Literal["left", "right", "centre"]

INK: Colour = (0.13, 0.15, 0.17)
GREY: Colour = (0.42, 0.45, 0.48)
HAIR: Colour = (0.82, 0.84, 0.85)
PALE: Colour = (0.935, 0.955, 0.955)
TEAL: Colour = (0.04, 0.34, 0.39)
OCHRE: Colour = (0.80, 0.50, 0.13)
MIST: Colour = (0.56, 0.71, 0.73)
WHITE: Colour = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Style:
    """How type is set: one of MuPDF's own fonts, size and line height in points, colour."""

    font: str
    size: float
    leading: float
    colour: Colour = INK


BODY = Style("tiro", 11.3, 16)
STRONG = Style("tibo", 11.3, 16)
TITLE = Style("hebo", 25, 30, TEAL)
HEADING = Style("hebo", 13, 18, TEAL)
CAPTION = Style("hebo", 9.2, 12.5)
SMALL = Style("helv", 8.6, 12, GREY)
CELL = Style("helv", 9.4, 12.8)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, its width in points, and how its cells are set."""

    head: str
    width: float
    align: Align = "left"


@cache
def font(name: str) -> pymupdf.Font:
    return pymupdf.Font(name)


@cache
def _advance(name: str, character: str) -> float:
    return font(name).text_length(character, fontsize=1)


def measure(text: str, style: Style) -> float:
    """The width of `text` in points."""
    return style.size * sum(_advance(style.font, character) for character in text)


def wrap(text: str, width: float, style: Style) -> list[str]:
    """`text` broken into lines that are at most `width` points wide (a longer word stands alone)."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and measure(longer, style) > width:
            lines.append(line)
            line = word
        else:
            line = longer
    return [*lines, line] if line else lines


class Sheet:
    """One page while it is drawn. Type lands on it in the order of the calls, over everything that is not type."""

    def __init__(self, page: pymupdf.Page) -> None:
        self.page = page
        self.width, self.height = page.rect.width, page.rect.height
        self._shape = page.new_shape()
        self._fonts: set[str] = set()

    def text(self, x: float, y: float, text: str, style: Style, align: Align = "left") -> None:
        """One line with its baseline at `y`; `x` is its left end, right end or centre."""
        if style.font not in self._fonts:
            self.page.insert_font(fontname=f"F-{style.font}", fontbuffer=font(style.font).buffer)
            self._fonts.add(style.font)
        text = text.replace("'", "’")
        shift = {"left": 0.0, "right": 1.0, "centre": 0.5}[align] * measure(text, style)
        self._shape.insert_text((x - shift, y), text, fontname=f"F-{style.font}", fontsize=style.size, color=style.colour)

    def flow(self, x: float, y: float, width: float, text: str, style: Style = BODY) -> float:
        """Paragraphs (an empty line between two) from the top edge `y`; returns the y below the last one."""
        for paragraph in text.strip().split("\n\n"):
            for line in wrap(paragraph, width, style):
                self.text(x, y + style.size * 0.8, line, style)
                y += style.leading
            y += style.leading * 0.5
        return y

    def bullets(self, x: float, y: float, width: float, items: Sequence[str], style: Style = BODY) -> float:
        """A list with a dot before each item; returns the y below it."""
        indent = style.size * 1.2
        for item in items:
            self.dot(x + style.size * 0.28, y + style.size * 0.5, style.size * 0.16, OCHRE)
            y = self.flow(x + indent, y, width - indent, item, style) - style.leading * 0.1
        return y + style.leading * 0.2

    def table(
        self, x: float, y: float, columns: Sequence[Column], rows: Sequence[Sequence[str]], bold: Sequence[int] = ()
    ) -> float:
        """A ruled table from the top edge `y`, with the rows numbered in `bold` set as totals; returns the y below it."""
        width = sum(column.width for column in columns)
        y = self._row(x, y, columns, [column.head for column in columns], replace(CELL, font="hebo", colour=TEAL))
        self.rule(x, y, width, TEAL, 1.0)
        for number, row in enumerate(rows):
            style = replace(CELL, font="hebo") if number in bold else CELL
            if number in bold:
                self.rule(x, y, width, INK, 0.6)
            y = self._row(x, y, columns, row, style)
            self.rule(x, y, width, HAIR, 0.4)
        return y + 8

    def _row(self, x: float, y: float, columns: Sequence[Column], cells: Sequence[str], style: Style) -> float:
        deepest = y
        for column, cell in zip(columns, cells, strict=True):
            edge = {"left": x, "right": x + column.width, "centre": x + column.width / 2}[column.align]
            lines = wrap(cell, column.width - (8 if column.align == "left" else 0), style)
            for number, line in enumerate(lines):
                self.text(edge, y + 4 + style.size + number * style.leading, line, style, column.align)
            deepest = max(deepest, y + 7.5 + len(lines) * style.leading)
            x += column.width
        return deepest

    def rule(self, x: float, y: float, width: float, colour: Colour = HAIR, thickness: float = 0.6) -> None:
        self._shape.draw_line((x, y), (x + width, y))
        self._shape.finish(color=colour, width=thickness)

    def box(self, x: float, y: float, width: float, height: float, fill: Colour, radius: float = 0.0) -> None:
        """A filled rectangle; `radius` of its corners is a fraction of its shorter side."""
        self._shape.draw_rect(pymupdf.Rect(x, y, x + width, y + height), radius=radius or None)
        self._shape.finish(color=None, fill=fill, width=0)

    def dot(self, x: float, y: float, radius: float, fill: Colour) -> None:
        self._shape.draw_circle((x, y), radius)
        self._shape.finish(color=None, fill=fill, width=0)

    def stroke(self, points: Sequence[tuple[float, float]], colour: Colour, thickness: float, curved: bool = False) -> None:
        """A line through `points`, or Bezier curves (start, two controls, end = next start, ...)."""
        if curved:
            for start in range(0, len(points) - 3, 3):
                self._shape.draw_bezier(*(pymupdf.Point(point) for point in points[start : start + 4]))
        else:
            self._shape.draw_polyline([pymupdf.Point(point) for point in points])
        self._shape.finish(color=colour, width=thickness, closePath=False, lineCap=1, lineJoin=1)

    def fill(self, points: Sequence[tuple[float, float]], colour: Colour) -> None:
        """A filled polygon."""
        self._shape.draw_polyline([pymupdf.Point(point) for point in points])
        self._shape.finish(color=None, fill=colour, closePath=True, width=0)

    def picture(self, x: float, y: float, width: float, height: float, image: bytes) -> None:
        """A raster image (PNG or JPEG bytes) stretched over a rectangle."""
        self.page.insert_image(pymupdf.Rect(x, y, x + width, y + height), stream=image)

    def finish(self) -> None:
        self._shape.commit()


def curve(places: str) -> tuple[tuple[float, float], ...]:
    """The points of a curve from "x,y x,y ..."."""
    pairs = (place.split(",") for place in places.split())
    return tuple((float(x), float(y)) for x, y in pairs)


def rasterise(width: float, height: float, draw: Callable[[Sheet], None], dpi: int = 170) -> bytes:
    """What `draw` puts on a sheet of `width` x `height` points, as PNG bytes: type in it is pixels."""
    with pymupdf.open() as scratch:
        sheet = Sheet(scratch.new_page(width=width, height=height))
        draw(sheet)
        sheet.finish()
        return scratch[0].get_pixmap(dpi=dpi).tobytes("png")
