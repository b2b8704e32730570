# pyright: basic
# pymupdf has no types
"""Page images drawn on demand, as PNG, for evidence, `show` and reports; runs in a guarded child process."""

from __future__ import annotations

from docrag.errors import PdfUnreadable
from docrag.ingest.pdf import draw, opened, page_size, rect_box, translated_errors
from docrag.types import Box


def render_page(
    path: str,
    page_index: int,
    long_side_px: int,
    clip: Box | None = None,
    password: str | None = None,
    max_pixels: int = 40_000_000,
) -> bytes:
    """A PNG of the page, or of its part `clip` (points, after rotation), whose longer side has `long_side_px` pixels.

    It is smaller where it would have more than `max_pixels`. Raises PdfPassword, PdfTooLarge, and PdfUnreadable also
    where there is no such page or nothing of it is inside `clip`.
    """
    with opened(path, password) as document, translated_errors():
        if not 0 <= page_index < document.page_count:
            raise PdfUnreadable(f"it has no page {page_index + 1}: it has {document.page_count}")
        displaylist = document.load_page(page_index).get_displaylist()
        page_size(displaylist.rect)
        area = _inside(rect_box(displaylist.rect), clip)
        scale = long_side_px / max(area[2] - area[0], area[3] - area[1])
        return draw(displaylist, area, scale, max_pixels, grey=False).tobytes("png")


def _inside(page: Box, clip: Box | None) -> Box:
    if clip is None:
        return page
    x0, y0, x1, y1 = max(page[0], clip[0]), max(page[1], clip[1]), min(page[2], clip[2]), min(page[3], clip[3])
    if x1 <= x0 or y1 <= y0:
        raise PdfUnreadable(f"nothing of the page is inside {clip}: the page is {page}")
    return (x0, y0, x1, y1)
