# pyright: basic
# pymupdf has no types
"""Opening PDFs and drawing pages with MuPDF, with its many ways to fail told apart. Runs in guarded child processes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from docrag.errors import PdfError, PdfPassword, PdfTooLarge, PdfUnreadable
from docrag.types import Box

if TYPE_CHECKING:
    import pymupdf

POINTS_PER_INCH = 72.0
_COMPLETE = "is it complete? try to open it in a viewer"
_HEADER_BYTES = 1024  # where readers look for "%PDF-"
_MEMORY_WORDS = ("malloc", "calloc", "realloc", "out of memory", "bad_alloc", "too large")


@contextmanager
def opened(pdf: str | bytes, password: str | None) -> Iterator[pymupdf.Document]:
    """The document at a path, or of bytes, decrypted; what MuPDF kept in memory for it is freed at the end.

    Raises PdfUnreadable where it is empty, not a PDF or has no pages, PdfPassword where `password` doesn't open it.
    """
    import pymupdf

    pymupdf.TOOLS.mupdf_display_errors(False)
    pymupdf.TOOLS.mupdf_display_warnings(False)
    _check_header(pdf)
    with translated_errors():
        document = pymupdf.open(stream=pdf, filetype="pdf") if isinstance(pdf, bytes) else pymupdf.open(pdf, filetype="pdf")
    try:
        _check(document, password)
        yield document
    finally:
        document.close()
        pymupdf.TOOLS.store_shrink(100)


def _check_header(pdf: str | bytes) -> None:
    try:
        start = pdf[:_HEADER_BYTES] if isinstance(pdf, bytes) else _first_bytes(pdf)
    except OSError as error:
        raise PdfUnreadable(f"it can't be opened ({error.strerror})") from error
    if not start:
        raise PdfUnreadable("it is empty (0 bytes)", "was its download or copy cut off?")
    if b"%PDF-" not in start:
        raise PdfUnreadable(f"it is not a PDF: it starts with {start[:8]!r}")


def _first_bytes(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(_HEADER_BYTES)


def _check(document: pymupdf.Document, password: str | None) -> None:
    if document.needs_pass and not document.authenticate(password or ""):
        reason = "it is encrypted, and the password given does not open it" if password else "it is encrypted"
        raise PdfPassword(reason, "give its password with --password or DOCRAG_PASSWORD")
    if document.page_count < 1:
        raise PdfUnreadable("it has no pages that can be read", _COMPLETE)


@contextmanager
def translated_errors() -> Iterator[None]:
    """Turn whatever MuPDF raises into the PdfError that says what to do; PdfErrors pass."""
    import pymupdf

    try:
        yield
    except PdfError:
        raise
    except MemoryError as error:
        raise _too_large() from error
    except Exception as error:
        # pymupdf raises RuntimeError, ValueError, AssertionError, IndexError, its own and MuPDF's classes, all for a bad file
        if isinstance(error, pymupdf.FileDataError):
            raise PdfUnreadable("it is damaged beyond MuPDF's repair", _COMPLETE) from error
        message = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if any(word in message for word in _MEMORY_WORDS):
            raise _too_large() from error
        raise PdfUnreadable(f"it can't be read ({message})", _COMPLETE) from error


def _too_large() -> PdfTooLarge:
    return PdfTooLarge("it needs more memory than a reader may have", "raise worker_memory_mib (DOCRAG_WORKER_MEMORY_MIB)")


def forget_complaints() -> None:
    import pymupdf

    pymupdf.TOOLS.mupdf_warnings(reset=True)  # with the counts of repeated ones, which come late; they pile up otherwise


def complaints() -> str:
    """The first of what MuPDF complained about since `forget_complaints`; "" for nothing."""
    import pymupdf

    return pymupdf.TOOLS.mupdf_warnings(reset=False).partition("\n")[0]


def page_size(rect: pymupdf.Rect) -> tuple[float, float]:
    """Width and height in points; raises PdfUnreadable where a page has none."""
    width, height = float(rect.width), float(rect.height)
    if not (math.isfinite(width) and math.isfinite(height) and width > 0 and height > 0) or max(width, height) > _MAX_SIDE:
        raise PdfUnreadable(f"the page has no size that can be shown ({width:g} x {height:g} points)")
    return width, height


def rect_box(rect: pymupdf.Rect) -> Box:
    return (float(rect.x0), float(rect.y0), float(rect.x1), float(rect.y1))


_MAX_SIDE = 1e6  # PDF's own limit is 14,400; MuPDF gives 2**31 for infinite


def draw(displaylist: pymupdf.DisplayList, clip: Box, scale: float, max_pixels: int, grey: bool) -> pymupdf.Pixmap:
    """The part `clip` (points) of a page at `scale` pixels a point, or less where it would have more than `max_pixels`."""
    import pymupdf

    area = pymupdf.Rect(clip)
    scale = min(scale, math.sqrt(max_pixels / (area.width * area.height)))
    while _pixels(area * pymupdf.Matrix(scale, scale)) > max_pixels:  # whole pixels are rounded outwards
        scale *= 0.97
    matrix = pymupdf.Matrix(scale, scale)
    colours = pymupdf.csGRAY if grey else pymupdf.csRGB
    return displaylist.get_pixmap(matrix=matrix, colorspace=colours, alpha=0, clip=area)


def _pixels(area: pymupdf.Rect) -> int:
    whole = area.irect
    return whole.width * whole.height
