"""The demo's first screen: what was read, and three questions with their answers, as highlights above the report."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import PurePath

from docrag.client import Library
from docrag.demo.questions import DemoQuestion
from docrag.eval.report.pictures import Pictures
from docrag.eval.report.view import Highlight, LargePage, Opening, Tile
from docrag.pictures import draw_pages
from docrag.types import NOT_ANSWERABLE, Answer, Box, Citation, Hit, IngestReport

_PAGE_PX = 1_100
_THUMBS = 3
_PADDING_PT = 2.0

_TITLE = "Ask a pile of long PDFs. Get the answer, and the page that proves it."
_LEAD = (
    "docrag reads every page of your documents, scans and pictures included. For a question it finds the pages that hold the "
    "evidence, answers from them and marks the words that it rests on. Where the documents don’t answer, it says so. "
    "Below is what it just did on this machine."
)
_FOOTER = (
    "The company, its people and every figure in these documents are invented: docrag drew the PDFs itself, and wrote the "
    "questions before it read them. With files of your own: docrag ingest FOLDER --index I, then docrag ask QUESTION --index I."
)


def make_opening(library: Library, ingested: IngestReport, answers: Sequence[tuple[DemoQuestion, Answer]]) -> Opening:
    """Draws the pages that the answers rest on. Raises as `Library.page_image` does."""
    looked_at = [(hit.name, hit.page.page_number) for _, answer in answers for hit in _others(answer)]
    thumbs = draw_pages(library, tuple(dict.fromkeys(looked_at)))
    highlights = tuple(_highlight(library, question, answer, thumbs) for question, answer in answers)
    return Opening(_TITLE, (_LEAD,), _tiles(ingested), highlights, _FOOTER)


def _tiles(ingested: IngestReport) -> tuple[Tile, ...]:
    documents, pages = ingested.documents, ingested.pages
    return (
        Tile("documents read", f"{documents.ok} of {documents.attempted}"),
        Tile("pages read", f"{pages.ok} of {pages.attempted}"),
        Tile("pages with OCR", str(ingested.ocr)),
        Tile("pages left unread", str(ingested.unread)),
        Tile("seconds", f"{ingested.seconds:.1f}"),
        Tile("pages a second", f"{ingested.pages_per_second:.1f}"),
    )


def _highlight(library: Library, question: DemoQuestion, answer: Answer, thumbs: Pictures) -> Highlight:
    kind, verdict = judge(answer, question.answer)
    return Highlight(
        question=question.question,
        answer=answer.text,
        kind=kind,
        verdict=verdict,
        note=f"Reader: {answer.reader}, {answer.milliseconds:.0f} ms, confidence {answer.confidence:.2f}",
        quotes=tuple((citation.quote, _place(citation)) for citation in answer.citations),
        page=_cited_page(library, answer.citations) if answer.citations else None,
        thumbs=_thumbs(thumbs, _others(answer)),
    )


def judge(answer: Answer, expected: str) -> tuple[str, str]:
    """ "right", "refused" (and rightly) or "wrong", and the same in words."""
    if answer.outcome == "failed":
        return "wrong", "The question could not be read."
    if answer.text.casefold() == expected.casefold():
        if answer.outcome == "not_answerable":
            return "refused", "Refused, and rightly: the documents don’t say. A guess would have been wrong."
        return "right", "Right."
    if expected == NOT_ANSWERABLE:
        return "wrong", "The documents don’t answer this; it should have been refused."
    refused = "Refused. " if answer.outcome == "not_answerable" else ""
    return "wrong", f"{refused}The expected answer is {expected}"


def _cited_page(library: Library, citations: Sequence[Citation]) -> LargePage:
    """The page of the first citation, with the words of all that are on it marked."""
    first = citations[0]
    content = library.page(first.document, first.page_number)
    size = content.width_pt, content.height_pt
    here = [one for one in citations if (one.document, one.page_number) == (first.document, first.page_number)]
    boxes = tuple(_padded(one.box, *size) for one in here if one.box is not None)
    caption = f"{_place(first)}{'; the quoted words are marked' if boxes else ''}"
    picture = library.page_image(first.document, first.page_number, long_side_px=_PAGE_PX)
    return LargePage(_data_address("png", picture), caption, *size, boxes)


def _padded(box: Box, width_pt: float, height_pt: float) -> Box:
    """A little wider than the words, and never off the page."""
    x0, y0, x1, y1 = box
    left, top = max(0.0, x0 - _PADDING_PT), max(0.0, y0 - _PADDING_PT)
    return left, top, max(left, min(width_pt, x1 + _PADDING_PT)), max(top, min(height_pt, y1 + _PADDING_PT))


def _others(answer: Answer) -> list[Hit]:
    """The best of the pages that were found besides the one that is shown large."""
    shown = {(cited.document, cited.page_number) for cited in answer.citations[:1]}
    return [hit for hit in answer.hits if (hit.name, hit.page.page_number) not in shown][:_THUMBS]


def _thumbs(pictures: Pictures, hits: Sequence[Hit]) -> tuple[LargePage, ...]:
    drawn = [(hit, pictures.drawn.get((hit.name, hit.page.page_number))) for hit in hits]
    return tuple(
        LargePage(_data_address("webp", picture.webp), _caption(hit), picture.width_pt, picture.height_pt)
        for hit, picture in drawn
        if picture
    )


def _caption(hit: Hit) -> str:
    return f"{_page(hit.page.page_number, hit.page.page_label)}, score {hit.score:.2f}, {PurePath(hit.name).name}"


def _place(citation: Citation) -> str:
    found = "" if citation.verified else " (these words were not found there)"
    return f"{PurePath(citation.document).name}, {_page(citation.page_number, citation.page_label)}{found}"


def _page(number: int, label: str | None) -> str:
    return f"page {number}" + (f" (printed {label})" if label and label != str(number) else "")


def _data_address(form: str, picture: bytes) -> str:
    return f"data:image/{form};base64,{base64.b64encode(picture).decode('ascii')}"
