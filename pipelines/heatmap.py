"""A page as the visual lane sees it for a question: colour where patches are like the question's words, and the box cited."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from docrag.errors import UsageError
from docrag.index.library_index import LibraryIndex
from docrag.index.store import VISUAL
from docrag.index.visual_encoder import VisualEncoder
from docrag.pipelines.fuse import question_text
from docrag.pipelines.patches import WordMaps, box_of, map_words
from docrag.pipelines.retrieve import QUESTION_CHARACTERS
from docrag.types import Box, PageContent

MAX_WORDS = 23  # of a longer question's words, those that some patch is most like: 24 pictures with that of all words
COLUMNS = 4  # of pictures, one a word
WORD_WIDTH_PX = 420
_COLOURS = ((255, 236, 150), (253, 141, 60), (189, 0, 38))  # the least alike, half-way, the most alike (ColorBrewer's YlOrRd)
_STRONGEST = 0.62  # so that text can be read through the colour
_BOX_COLOUR, _INK, _PAPER = (0, 82, 204), (30, 30, 30), (255, 255, 255)


@dataclass(frozen=True, slots=True, eq=False)
class Heatmap:
    """What is drawn over a page of `size_pt` (width, height): the maps of the words, and the box cited, in points."""

    question: str
    maps: WordMaps
    box: Box | None
    size_pt: tuple[float, float]


def show_heatmap(
    index: LibraryIndex, visual: VisualEncoder, content: PageContent, question: str, page_png: bytes, by_word: bool = False
) -> bytes:
    """A page's picture with its heatmap for `question`: all words together, or `by_word` as a sheet with a picture a word.

    `visual` is the encoder that the index's visual lane was made with. Raises UsageError on an empty question, or where the
    page has no visual vectors.
    """
    text = question_text(question[:QUESTION_CHARACTERS])
    if not text:
        raise UsageError("the question is empty", "ask something, as in --question 'revenue by region'")
    heatmap = make_heatmap(index, visual, content, text)
    return draw_words(page_png, heatmap) if by_word else draw_heatmap(page_png, heatmap)


def make_heatmap(index: LibraryIndex, visual: VisualEncoder, content: PageContent, question: str) -> Heatmap:
    """The maps of a page's stored visual vectors. Raises UsageError where it has none."""
    id_ = content.page.point_id
    vectors, layout = index.lane_vectors([id_], VISUAL).get(id_), index.visual_layout([id_]).get(id_)
    if vectors is None or layout is None:
        raise UsageError(
            f"page {content.page.page_number} has no visual vectors",
            "`docrag ingest --visual MODEL` makes them; `docrag show DOC` says what failed",
        )
    maps = map_words(vectors, layout, visual.encode_question(question))
    size_pt = (content.width_pt, content.height_pt)
    return Heatmap(question, maps, box_of(maps, layout, size_pt), size_pt)


def draw_heatmap(page_png: bytes, heatmap: Heatmap) -> bytes:
    """PNG: the page with all telling words' likeness together, and the box that a citation uses; the question below it."""
    page = _open(page_png)
    shares = _spread(heatmap.maps.together, heatmap.maps.together)
    picture = _outlined(_coloured(page, shares), heatmap)
    words = ", ".join(heatmap.maps.words[at] for at in heatmap.maps.telling)
    return _png(_with_caption(picture, [heatmap.question, f"words together: {words}"]))


def draw_words(page_png: bytes, heatmap: Heatmap) -> bytes:
    """PNG: a sheet with the page for all words together and for each telling word, captioned with its likeness at its best.

    The words share one scale of colour, as in colpali-engine's `plot_all_similarity_maps`: each on its own scale, a word that
    is alike everywhere would look as telling as one that is found. The box is that of all words together.
    """
    page = _open(page_png)
    small = page.resize((WORD_WIDTH_PX, max(1, round(page.height * WORD_WIDTH_PX / page.width))), Image.Resampling.LANCZOS)
    maps = heatmap.maps
    together = _spread(maps.together, maps.together)
    pictures = [_with_caption(_outlined(_coloured(small, together), heatmap), ["all words"])]
    shown = _most_alike(maps)
    for at in shown:
        coloured = _coloured(small, _spread(maps.likeness[at], maps.likeness[list(shown)]))
        pictures.append(_with_caption(coloured, [f"{maps.words[at]}  {_peak(maps.likeness[at]):.2f}"]))
    left_out = len(maps.telling) - len(shown)
    note = [f"{left_out} further words are less alike and not shown"] if left_out else []
    return _png(_with_caption(_sheet(pictures), [heatmap.question, *note]))


def _most_alike(maps: WordMaps) -> tuple[int, ...]:
    """The telling words that are shown, in the question's order."""
    best = sorted(maps.telling, key=lambda at: -_peak(maps.likeness[at]))
    return tuple(sorted(best[:MAX_WORDS]))


def _peak(likeness: NDArray[np.float32]) -> float:
    return float(np.nanmax(likeness)) if np.isfinite(likeness).any() else 0.0


def _spread(likeness: NDArray[np.float32], scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """`likeness` as 0 (the median of `scale` and below, so that half of a page stays plain) to 1 (the most); 0 for no patch."""
    if not np.isfinite(scale).any():
        return np.zeros(likeness.shape, np.float32)
    ground, peak = float(np.nanmedian(scale)), float(np.nanmax(scale))
    return np.nan_to_num((likeness - ground) / (peak - ground)).clip(0, 1) if peak > ground else np.zeros_like(likeness)


def _coloured(page: Image.Image, shares: NDArray[np.float32]) -> Image.Image:
    """`page` with colour laid over it, the stronger the larger the share (0..1, float32 [rows, columns])."""
    if not shares.size:
        return page.copy()
    smooth = Image.fromarray(shares.astype(np.float32)).resize(page.size, Image.Resampling.BICUBIC)
    strength = np.clip(np.asarray(smooth, np.float32), 0.0, 1.0)[..., None]
    steps = np.linspace(0.0, 1.0, len(_COLOURS))
    colour = np.concatenate([np.interp(strength, steps, channel) for channel in zip(*_COLOURS, strict=True)], axis=2)
    opacity = _STRONGEST * strength
    return Image.fromarray(np.rint(np.asarray(page) * (1 - opacity) + colour * opacity).astype(np.uint8))


def _outlined(picture: Image.Image, heatmap: Heatmap) -> Image.Image:
    """`picture`, drawn on: the box in blue between two white lines, to be seen on any page."""
    if heatmap.box is None:
        return picture
    across, down = picture.width / heatmap.size_pt[0], picture.height / heatmap.size_pt[1]
    x0, y0, x1, y1 = heatmap.box
    line = max(2, picture.width // 250)
    draw = ImageDraw.Draw(picture)
    for colour, width in ((_PAPER, 3 * line), (_BOX_COLOUR, line)):
        half = width / 2
        edges = (x0 * across - half, y0 * down - half, x1 * across + half, y1 * down + half)
        draw.rectangle(edges, outline=colour, width=width)
    return picture


def _with_caption(picture: Image.Image, paragraphs: list[str]) -> Image.Image:
    """`picture` with text below it, broken to its width."""
    width = max(picture.width, WORD_WIDTH_PX)
    size = max(14, min(28, width // 32))
    font = ImageFont.load_default(size)
    lines = [line for text in paragraphs for line in _broken(text, font, width - size)]
    step = round(1.4 * size)
    whole = Image.new("RGB", (width, picture.height + len(lines) * step + size), _PAPER)
    whole.paste(picture)
    draw = ImageDraw.Draw(whole)
    for number, line in enumerate(lines):
        draw.text((size / 2, picture.height + size / 2 + number * step), line, fill=_INK, font=font)
    return whole


def _broken(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Lines of at most `width`; a word that is wider has a line of its own."""
    lines: list[str] = []
    for word in text.split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= width:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    return lines


def _sheet(pictures: list[Image.Image]) -> Image.Image:
    columns = min(COLUMNS, len(pictures))
    width, height = max(picture.width for picture in pictures), max(picture.height for picture in pictures)
    gap = width // 24
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * (width + gap) + gap, rows * (height + gap) + gap), _PAPER)
    for place, picture in enumerate(pictures):
        row, column = divmod(place, columns)
        sheet.paste(picture, (gap + column * (width + gap), gap + row * (height + gap)))
    return sheet


def _open(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
