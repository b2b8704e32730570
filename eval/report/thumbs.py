"""One page drawn small. A module of its own: the guarded children that draw load it, and should load no more than that."""

from __future__ import annotations

import io
from dataclasses import dataclass

from docrag.ingest.render import render_pixels

THUMB_WIDTH_PX = 240
_LONGEST_PX = 480  # of a page that is a long strip
_QUALITY = 50


@dataclass(frozen=True, slots=True)
class ThumbTask:
    """A page to draw: `page` is (doc_id, 1-based number), `size_pt` its width and height, `path` the PDF."""

    page: tuple[str, int]
    path: str
    size_pt: tuple[float, float]
    password: str | None


def draw_thumb(task: ThumbTask) -> bytes:
    """A WebP file, as wide as a thumbnail unless that would be too long. Raises PdfError where it can't be drawn."""
    from PIL import Image

    pixels = render_pixels(task.path, task.page[1] - 1, _fit(*task.size_pt), task.password)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=_QUALITY)
    return file.getvalue()


def _fit(width_pt: float, height_pt: float) -> tuple[int, int]:
    scale = min(THUMB_WIDTH_PX / width_pt, _LONGEST_PX / height_pt)
    return max(1, round(width_pt * scale)), max(1, round(height_pt * scale))
