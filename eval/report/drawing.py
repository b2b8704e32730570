"""A chart that can be had as SVG for a page in two themes and as PNG for a paper, and the surface that it is drawn on.

matplotlib is loaded when a chart is rendered, not before, and by its objects alone: no pyplot, no window, and the settings
that it reads while drawing are put back.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Literal

from docrag.eval.report.svg import finish_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Picture
    from matplotlib.typing import RcKeyType

Colour = Literal["ink", "soft", "grid", "a", "b", "good", "bad"]
Align = Literal["left", "center", "right"]
WIDTH = 400  # of every chart, in pixels of the viewBox: shown 330 px wide on a phone, the labels are 11 px high
LABEL = 13.5  # size of all text
LINE = 17.0  # from one line of text to the next
_RAISE = 0.7  # matplotlib centres a line with room for letters that hang; digits would look low
_POINTS_AN_INCH = 72  # and one pixel of the viewBox is a point

# Drawn with these, so that each can be found again and replaced by the page's variable.
_SENTINELS: Mapping[str, str] = {
    name: f"#fe01{number:02x}" for number, name in enumerate(("ink", "soft", "grid", "a", "b", "good", "bad"), start=0x10)
}
# On paper: a and b differ in lightness as well, so that they can be told apart in grey.
_PAPER: Mapping[str, str] = {
    "ink": "#111111",
    "soft": "#595959",
    "grid": "#d9d9d9",
    "a": "#1f4e9c",
    "b": "#e0912f",
    "good": "#2a7a3b",
    "bad": "#b3261e",
}
_NO_LETTER = "Glyph .* missing from font"  # what matplotlib warns of; a page has such letters
_SETTINGS: tuple[tuple[RcKeyType, object], ...] = (
    ("svg.fonttype", "none"),
    ("text.parse_math", False),
    ("font.family", ["DejaVu Sans"]),
    ("hatch.linewidth", 0.8),
    ("lines.solid_capstyle", "butt"),
)


@dataclass(frozen=True, slots=True)
class Surface:
    """Where one chart is drawn: pixels from the top left corner, colours by their names."""

    picture: Picture
    colours: Mapping[str, str]
    full_texts: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def height(self) -> float:
        return self.picture.get_figheight() * _POINTS_AN_INCH

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Bare axes: no frame, no ticks, no background."""
        box = (left / WIDTH, 1 - (top + height) / self.height, width / WIDTH, height / self.height)
        axes = self.picture.add_axes(box)
        axes.set_axis_off()
        return axes

    def text(
        self,
        x: float,
        y: float,
        text: str,
        *,
        align: Align = "left",
        colour: Colour = "ink",
        bold: bool = False,
    ) -> None:
        """One line whose middle is at height `y`."""
        self.picture.text(
            x / WIDTH,
            1 - (y - _RAISE) / self.height,
            text,
            ha=align,
            va="center_baseline",
            fontsize=LABEL,
            fontweight="bold" if bold else "normal",
            color=self.colours[colour],
        )

    def label(
        self,
        x: float,
        y: float,
        text: str,
        width: float,
        *,
        align: Align = "left",
        colour: Colour = "ink",
        bold: bool = False,
    ) -> None:
        """A line of text from the data, cut to `width`; the whole of it is shown to whoever points at it."""
        shown = elide(text, width, bold=bold)
        self.text(x, y, shown, align=align, colour=colour, bold=bold)
        if shown != plain(text):
            key = f"full-{len(self.full_texts)}"
            self.picture.texts[-1].set_gid(key)
            self.full_texts[key] = plain(text)


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of `WIDTH` by `height` pixels, with its figures in words. `draw` draws it, once for each picture asked for."""

    title: str
    description: str
    height: float
    draw: Callable[[Surface], None]

    def svg(self, id_prefix: str) -> str:
        """An `<svg>` element whose colours are the page's variables --ink, --soft, --grid, --a, --b, --good and --bad.

        `id_prefix` must be another one for each chart of a page. The same chart gives the same text.
        """
        from matplotlib.backends.backend_svg import FigureCanvasSVG

        drawn = io.BytesIO()
        with _rendering():
            surface = self._surface(_SENTINELS)
            FigureCanvasSVG(surface.picture).print_svg(drawn)
        return finish_svg(
            drawn.getvalue(),
            id_prefix,
            title=plain(self.title),
            description=plain(self.description),
            colours={drawn: f"var(--{name})" for name, drawn in _SENTINELS.items()},
            full_texts=surface.full_texts,
        )

    def png(self, dpi: int = 200) -> bytes:
        """The chart in light colours on white; `WIDTH` pixels are 5.6 inches."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        drawn = io.BytesIO()
        with _rendering():
            surface = self._surface(_PAPER)
            surface.picture.set_facecolor("white")
            surface.picture.set_dpi(dpi)
            FigureCanvasAgg(surface.picture).print_png(drawn, metadata={"Software": None})
        return drawn.getvalue()

    def _surface(self, colours: Mapping[str, str]) -> Surface:
        from matplotlib.figure import Figure as Picture

        size = (WIDTH / _POINTS_AN_INCH, self.height / _POINTS_AN_INCH)
        surface = Surface(Picture(figsize=size, dpi=_POINTS_AN_INCH, facecolor="none"), colours)
        self.draw(surface)
        return surface


@contextmanager
def _rendering() -> Generator[None]:
    """matplotlib with our settings whatever the user's are, and quiet about letters that its font lacks."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        for name, value in _SETTINGS:
            matplotlib.rcParams[name] = value
        warnings.filterwarnings("ignore", message=_NO_LETTER)
        yield


def plain(text: str) -> str:
    """`text` on one line, without what is neither a letter, a sign nor a space: XML has no place for it."""
    return " ".join("".join(letter for letter in text if letter.isprintable() or letter.isspace()).split())


@cache
def text_width(text: str, *, bold: bool = False) -> float:
    """Of a line of `LABEL` size, in pixels, in a font that is wider than those that browsers use."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(family="DejaVu Sans", size=LABEL, weight="bold" if bold else "normal")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=_NO_LETTER)
        return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def elide(text: str, width: float, *, bold: bool = False) -> str:
    """`text` as a plain line, cut at the end until it is at most `width` pixels long."""
    text = plain(text)[:200]
    if text_width(text, bold=bold) <= width:
        return text
    while text and text_width(text + "…", bold=bold) > width:
        text = text[:-1].rstrip()
    return text + "…"


def wrap(text: str, width: float, lines: int = 2, *, bold: bool = False) -> tuple[str, ...]:
    """`text` broken at spaces into at most `lines` parts; the last one holds what is left, however long."""
    words, parts = plain(text).split(" "), [""]
    for word in words:
        longer = f"{parts[-1]} {word}".strip()
        if parts[-1] and len(parts) < lines and text_width(longer, bold=bold) > width:
            parts.append(word)
        else:
            parts[-1] = longer
    return tuple(parts)
