"""From the written pages of a document to its record and outline: what is on record is what stands in the points."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from docrag.errors import IndexFault
from docrag.index.pages import owes_visual, page_failure, page_fields, visual_failure
from docrag.index.records import DocumentRecord, IndexSettings
from docrag.types import DocumentOutline, DocumentRef, Failure, Lacked


def utc_now() -> str:
    """This second in UTC, ISO 8601."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def summarise(
    document: DocumentRef, payloads: Iterable[Mapping[str, Any]], settings: IndexSettings
) -> tuple[DocumentRecord, DocumentOutline]:
    """The record and the outline of `document` from its pages' payloads (`pages.LIGHT_KEYS` of them).

    Raises IndexFault unless there is one payload a page, IndexDamaged where one can't be read.
    """
    by_index = {page_fields(payload).integer("page_index"): payload for payload in payloads}
    if by_index.keys() != set(range(document.pages)):
        lacking = sorted(set(range(document.pages)) - by_index.keys())
        raise IndexFault(
            f"document {document.sha256[:12]} can't be completed: {len(by_index)} of its {document.pages} pages are written"
            + (f", page {lacking[0] + 1} is not" if lacking else ""),
            "ingest it again: it goes on where it stopped",
        )
    pages = [by_index[index] for index in range(document.pages)]
    lane = settings.visual
    failures = tuple(failure for page in pages if (failure := _failure(page, lane is not None)) is not None)
    unread = tuple(index + 1 for index, page in enumerate(pages) if page.get("unread"))
    record = DocumentRecord(
        document=document,
        status="partial" if failures else "complete",
        failures=failures,
        unread_pages=unread,
        ocr_pages=sum(page.get("text_source") == "ocr" for page in pages),
        lacked=_lacked(failures, bool(unread) and settings.read.ocr != "never"),
        fingerprint=settings.fingerprint,
        completed_at=utc_now(),
        visual="" if lane is None or any(map(owes_visual, pages)) else lane.digest,
    )
    return record, _outline(pages)


def _failure(page: Mapping[str, Any], visual: bool) -> Failure | None:
    """What went wrong with a page: with its reading or, where the index has that lane, with its visual vectors."""
    failure = page_failure(page)
    return visual_failure(page) if failure is None and visual else failure


def _lacked(failures: Sequence[Failure], tesseract: bool) -> frozenset[Lacked]:
    """What would have helped. A page is unread for want of Tesseract, unless OCR was not wanted at all."""
    lacked: list[Lacked] = [failure.lacked for failure in failures if failure.lacked != "nothing"]
    return frozenset([*lacked, "tesseract"] if tesseract else lacked)


def _outline(pages: Sequence[Mapping[str, Any]]) -> DocumentOutline:
    captions: dict[str, list[int]] = {}
    for index, page in enumerate(pages):
        for caption in page.get("captions") or ():
            captions.setdefault(caption, []).append(index)
    return DocumentOutline(
        page_labels=tuple(page.get("page_label") for page in pages),
        printed_numbers=tuple(page.get("printed_number") for page in pages),
        captions={name: tuple(dict.fromkeys(indices)) for name, indices in captions.items()},
    )
