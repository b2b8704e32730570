# pyright: basic
# pymupdf has no types
"""Words with boxes, font sizes and weights from a PDF's text layer, and where its pictures are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from docrag.ingest.pdf import rect_box
from docrag.ingest.words import Word, split_word
from docrag.types import Box

if TYPE_CHECKING:
    import pymupdf

_BOLD_NAMES = ("bold", "black", "heavy", "semibold", "demi")


def read_layer(displaylist: pymupdf.DisplayList) -> list[Word]:
    """The words of a page in the order of its content, after the page's rotation; ligatures taken apart."""
    import pymupdf

    flags = pymupdf.TEXT_PRESERVE_WHITESPACE | pymupdf.TEXT_MEDIABOX_CLIP | pymupdf.TEXT_USE_CID_FOR_UNKNOWN_UNICODE
    textpage = pymupdf.TextPage(displaylist.get_textpage(flags))
    styles = _styles(textpage.extractDICT())
    found: list[Word] = []
    for x0, y0, x1, y1, text, block, line, _ in textpage.extractWORDS():
        size, bold = styles.get((block, line), (y1 - y0, False))
        found += split_word(Word(text, (x0, y0, x1, y1), block, line, size, bold))
    return found


def _styles(page: dict[str, Any]) -> dict[tuple[int, int], tuple[float, bool]]:
    """For each (block, line) the font size of its longest span, and whether all of its letters are bold."""
    styles: dict[tuple[int, int], tuple[float, bool]] = {}
    for block in page["blocks"]:
        for number, line in enumerate(block.get("lines", ())):
            spans = [span for span in line["spans"] if any(map(str.isalnum, span["text"]))] or line["spans"]
            if spans:
                longest = max(spans, key=lambda span: len(span["text"]))
                styles[block["number"], number] = (float(longest["size"]), all(_is_bold(span) for span in spans))
    return styles


def _is_bold(span: dict[str, Any]) -> bool:
    return bool(span["flags"] & 16) or any(name in span["font"].lower() for name in _BOLD_NAMES)


def picture_boxes(displaylist: pymupdf.DisplayList) -> list[Box]:
    """Where the page shows images, clipped to the page, points."""
    import pymupdf

    page = displaylist.rect
    textpage = pymupdf.TextPage(displaylist.get_textpage(pymupdf.TEXT_PRESERVE_IMAGES))
    boxes: list[Box] = []
    for image in textpage.extractIMGINFO():
        box = pymupdf.Rect(image["bbox"]) & page
        if not box.is_empty:
            boxes.append(rect_box(box))
    return boxes
