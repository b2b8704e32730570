# pyright: basic
# pymupdf has no usable type information.
"""`make_library`: the demo's three PDFs, the same bytes each time that they are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pymupdf  # noqa: TID253 -- only the demo's flow imports this module, when it runs

from docrag.demo import annual_report, deck, memo
from docrag.demo.canvas import Sheet
from docrag.demo.names import ANNUAL_REPORT, DECK, MEMO

DOCUMENTS = "documents"
_DATE = "D:20260305090000Z"


def make_library(folder: Path) -> tuple[Path, ...]:
    """Write the annual report, the slide deck and the scanned memo to `folder`/documents; returns their paths.

    Raises OSError where the folder can't be made or written.
    """
    target = folder / DOCUMENTS
    target.mkdir(parents=True, exist_ok=True)
    made = {ANNUAL_REPORT: _annual_report(), DECK: _deck(), MEMO: _memo()}
    for name, data in made.items():
        (target / name).write_bytes(data)
    return tuple(target / name for name in made)


def _annual_report() -> bytes:
    with _draw(annual_report.pages(), annual_report.SIZE) as document:
        document.set_page_labels(list(annual_report.LABELS))
        document.set_toc(annual_report.outline())
        return _bytes(document, "Nettlefoss Annual Report 2025")


def _deck() -> bytes:
    with _draw(deck.SLIDES, deck.SIZE) as document:
        return _bytes(document, "Kestrel 4: briefing for dealers")


def _memo() -> bytes:
    with _draw(memo.PAGES, memo.SIZE) as typed, pymupdf.open() as document:
        for number in range(typed.page_count):
            pixels = typed[number].get_pixmap(dpi=memo.DPI, colorspace=pymupdf.csGRAY)
            image = memo.scan(pixels.samples, (pixels.width, pixels.height), number)
            document.new_page(width=memo.SIZE[0], height=memo.SIZE[1]).insert_image(typed[number].rect, stream=image)
        return _bytes(document, "")


def _draw(pages: Sequence[Callable[[Sheet], None]], size: tuple[float, float]) -> pymupdf.Document:
    document = pymupdf.open()
    for draw in pages:
        sheet = Sheet(document.new_page(width=size[0], height=size[1]))
        draw(sheet)
        sheet.finish()
    return document


def _bytes(document: pymupdf.Document, title: str) -> bytes:
    document.set_metadata({"title": title, "creationDate": _DATE, "modDate": _DATE})
    return document.tobytes(garbage=4, deflate=True, no_new_id=True)
