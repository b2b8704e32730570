# pyright: basic
# pymupdf has no types
"""PDF pages -> `PageContent`: text with word boxes from the layer, and by OCR where the layer is missing or garbage.

`open_facts` and `read_pages` are plain functions that run in the children of a `GuardedPool`; `read_chunks` drives them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from docrag.config import Config, OcrMode
from docrag.errors import PdfCrash, PdfError, PdfTooLarge, PdfUnreadable
from docrag.ingest.guard import GuardedPool
from docrag.ingest.labels import find_captions, find_printed_number
from docrag.ingest.layer import picture_boxes, read_layer
from docrag.ingest.ocr import check_tesseract, read_image, tesseract_available
from docrag.ingest.passages import make_passages
from docrag.ingest.pdf import (
    POINTS_PER_INCH,
    complaints,
    draw,
    forget_complaints,
    opened,
    page_size,
    rect_box,
    translated_errors,
)
from docrag.ingest.rows import regroup, rows_of
from docrag.ingest.words import Word, clean, is_garbage, join_hyphenated, page_text
from docrag.types import Box, DocumentRef, Failure, PageContent, PageRef, TextSource

if TYPE_CHECKING:
    import pymupdf

CHUNK_PAGES = 8
PICTURE_SHARE = 0.05  # of the page's area, from which a picture on a page that has a layer is read as well: see LOG.md
SCANT_WORDS = 20  # a layer of fewer, on a page that pictures fill, is a caption or a stamp: the page is read by OCR
_FULL_SHARE = 0.5
_OVERVIEW_PX = 100  # long side of the picture that tells whether a page without words is blank
_MIN_LONG_SIDE_INCHES = 9.0  # a smaller page is drawn as if it were so large: a slide of 5 inches has as many letters


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """How pages are read. `tesseract`: whether it is there; where not, pages that need it are left unread."""

    ocr: OcrMode
    lang: str
    dpi: int
    max_pixels: int
    tesseract: bool

    @classmethod
    def from_config(cls, config: Config) -> ReadSettings:
        """Raises EnvironmentFault where OCR is to be used always and Tesseract is missing, UsageError where it lacks `lang`."""
        there = config.ocr != "never" and tesseract_available()
        if there or config.ocr == "always":
            check_tesseract(config.lang)
        return cls(config.ocr, config.lang, config.ocr_dpi, config.max_page_pixels, there)


@dataclass(frozen=True, slots=True)
class DocumentFacts:
    """What is known of a PDF before its pages are read."""

    pages: int
    title: str
    encrypted: bool
    repaired: bool


@dataclass(frozen=True, slots=True)
class PageChunk:
    """Some pages of one document, to be read by one child."""

    path: str
    document: DocumentRef
    page_indices: tuple[int, ...]
    settings: ReadSettings
    password: str | None = None


def open_facts(pdf: str | bytes, password: str | None = None) -> DocumentFacts:
    """Raises PdfUnreadable, PdfPassword or PdfTooLarge where no page of it can be read."""
    with opened(pdf, password) as document, translated_errors():
        metadata = document.metadata or {}
        title = " ".join(clean(metadata.get("title") or "").split())
        encrypted = bool(metadata.get("encryption"))
        return DocumentFacts(document.page_count, title, encrypted, bool(document.is_repaired))


def chunks_of(
    path: str, document: DocumentRef, page_indices: Sequence[int], settings: ReadSettings, password: str | None = None
) -> Iterator[PageChunk]:
    """The pages of a document in chunks of `CHUNK_PAGES`."""
    for start in range(0, len(page_indices), CHUNK_PAGES):
        yield PageChunk(path, document, tuple(page_indices[start : start + CHUNK_PAGES]), settings, password)


def read_chunks(pool: GuardedPool, chunks: Iterable[PageChunk]) -> Iterator[tuple[PageChunk, list[PageContent | Failure]]]:
    """Read chunks, of any number of documents, as they come, in any order; each page comes out once.

    A chunk that crashes its child, or takes too long or too much, is read again page by page, so that only the page that does
    it becomes a `Failure`. A document that can't be opened gives a `Failure` for each page.
    """
    alone: deque[PageChunk] = deque()

    def tasks() -> Iterator[PageChunk]:
        for chunk in chunks:
            while alone:
                yield alone.popleft()
            yield chunk

    source = tasks()
    while True:
        for chunk, pages in pool.map(read_pages, source):
            if not isinstance(pages, PdfError):
                yield chunk, pages
            elif len(chunk.page_indices) > 1 and isinstance(pages, PdfCrash | PdfTooLarge):
                alone += [replace(chunk, page_indices=(index,)) for index in chunk.page_indices]
            else:
                yield chunk, [page_failure(chunk.document, index, pages) for index in chunk.page_indices]
        if not alone:
            return
        source = list(alone)
        alone.clear()


def page_failure(document: DocumentRef, page_index: int, error: PdfError) -> Failure:
    """What goes on record for a page that `error` was raised for."""
    return Failure(
        document=document.sha256,
        stage="read",
        error=type(error).__name__,
        message=error.message,
        hint=error.hint,
        page_number=page_index + 1,
        lacked=error.lacked,
        retriable=error.retriable,
    )


def read_pages(chunk: PageChunk) -> list[PageContent | Failure]:
    """Read each page of `chunk`; a page that can't be read is a `Failure` in its place.

    Raises PdfUnreadable, PdfPassword or PdfTooLarge where the document can't be opened.
    """
    found: list[PageContent | Failure] = []
    with opened(chunk.path, chunk.password) as pdf:
        for index in chunk.page_indices:
            try:
                with translated_errors():
                    found.append(_read_page(pdf, PageRef(chunk.document, index), chunk.settings))
            except PdfError as error:
                found.append(page_failure(chunk.document, index, error))
    return found


def _read_page(pdf: pymupdf.Document, ref: PageRef, settings: ReadSettings) -> PageContent:
    forget_complaints()
    page = pdf.load_page(ref.page_index)
    displaylist = page.get_displaylist()
    width, height = page_size(displaylist.rect)
    ref = replace(ref, page_label=" ".join(clean(page.get_label() or "").split()) or None)
    found, source, unread = _read_words(displaylist, settings)
    if not found and not unread and source == "none" and complaints():
        raise PdfUnreadable(f"nothing of the page can be shown ({complaints()})", "try to open it in a viewer")
    words = join_hyphenated(regroup(found))
    rows = rows_of(words)
    return PageContent(
        page=ref,
        width_pt=width,
        height_pt=height,
        text=page_text(words),
        word_boxes=np.array([word.box for word in words], np.float32).reshape(-1, 4),
        text_source=source,
        passages=make_passages(rows),
        captions=find_captions(rows),
        printed_number=find_printed_number(rows, height),
        unread=unread,
    )


def _read_words(displaylist: pymupdf.DisplayList, settings: ReadSettings) -> tuple[list[Word], TextSource, bool]:
    """A page's words, where they came from, and whether something is to see that was not read."""
    layer = [] if settings.ocr == "always" else read_layer(displaylist)
    if is_garbage(" ".join(word.text for word in layer)):
        layer = []
    if layer and not settings.tesseract:
        return layer, "layer", False
    regions = _regions_to_see(displaylist, layer)
    if not regions:
        return layer, "layer" if layer else "none", False
    if not settings.tesseract:
        return [], "none", True
    try:
        seen = [word for region in regions for word in _read_region(displaylist, region, settings)]
    except PdfCrash:
        if not layer:
            raise
        return layer, "layer", True
    words = _added(layer, seen)
    return words, "layer" if layer else "ocr" if words else "none", False


def _regions_to_see(displaylist: pymupdf.DisplayList, layer: Sequence[Word]) -> list[Box]:
    """What of a page OCR should look at: all of it, the pictures that fill much of it, or nothing."""
    page = rect_box(displaylist.rect)
    if not layer:
        return [] if _is_blank(displaylist, page) else [page]
    area = _area(page)
    pictures = [box for box in set(picture_boxes(displaylist)) if _area(box) >= PICTURE_SHARE * area]
    if len(layer) < SCANT_WORDS and any(_area(box) >= _FULL_SHARE * area for box in pictures):
        return [page]
    return [box for box in pictures if not _is_covered(box, layer)]


def _is_blank(displaylist: pymupdf.DisplayList, page: Box) -> bool:
    scale = _OVERVIEW_PX / max(page[2] - page[0], page[3] - page[1])
    return bool(draw(displaylist, page, scale, _OVERVIEW_PX**2, grey=True).is_unicolor)


def _is_covered(box: Box, layer: Sequence[Word]) -> bool:
    """Whether the layer's words lie on the picture: it is a background, or a scan that was read before."""
    return sum(_holds(box, word.box) for word in layer) >= SCANT_WORDS


def _holds(box: Box, inner: Box) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return box[0] <= x <= box[2] and box[1] <= y <= box[3]


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _read_region(displaylist: pymupdf.DisplayList, region: Box, settings: ReadSettings) -> list[Word]:
    from PIL import Image

    page = displaylist.rect
    scale = settings.dpi / POINTS_PER_INCH
    scale *= max(1.0, _MIN_LONG_SIDE_INCHES * POINTS_PER_INCH / max(page.width, page.height))
    picture = draw(displaylist, region, scale, settings.max_pixels, grey=True)
    image = Image.frombytes("L", (picture.width, picture.height), picture.samples)
    return read_image(image, region, settings.lang, timeout_s=0)


def _added(layer: list[Word], seen: Sequence[Word]) -> list[Word]:
    """The layer's words, then those of `seen` that stand where the layer has none, as blocks of their own."""
    first = max((word.block for word in layer), default=-1) + 1
    new = [word for word in seen if not any(_holds(word.box, known.box) or _holds(known.box, word.box) for known in layer)]
    return layer + [word._replace(block=first + word.block) for word in new]
