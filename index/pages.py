"""A page's payload: its text, boxes and passages, or the failure that stands in its place, to and from plain JSON."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from docrag.index.payload import Fields, failure_json, utf8
from docrag.types import DocumentRef, Failure, PageContent, PageRef, Region, RegionKind, TextSource
from docrag.visual import PageVisual, PatchBlock, PatchLayout

BOX_UNITS_PER_PT = 4  # word boxes are kept in quarters of a point: 8 bytes a word, exact to 0.125 pt
# What says how a page went, without the weight of its text and boxes.
LIGHT_KEYS = (
    "document",
    "page_index",
    "page_label",
    "printed_number",
    "captions",
    "text_source",
    "unread",
    "failure",
    "visual",
)


def page_payload(content: PageContent) -> dict[str, Any]:
    page = content.page
    return {
        "document": page.document.sha256,
        "page_index": page.page_index,
        "page_label": None if page.page_label is None else utf8(page.page_label),
        "width_pt": round(float(content.width_pt), 3),
        "height_pt": round(float(content.height_pt), 3),
        "text": utf8(content.text),
        "word_boxes": _pack_boxes(content.word_boxes),
        "text_source": content.text_source,
        "unread": content.unread,
        "passages": [_region_json(region) for region in content.passages],
        "captions": [utf8(caption) for caption in content.captions],
        "printed_number": content.printed_number,
    }


def failed_page_payload(page: PageRef, failure: Failure) -> dict[str, Any]:
    return {"document": page.document.sha256, "page_index": page.page_index, "failure": failure_json(failure)}


def visual_payload(page: PageVisual) -> dict[str, Any]:
    """What a page's point gets beside its visual vectors: written after them, it says that they are there."""
    layout = page.layout
    blocks = [[block.start, block.rows, block.columns, list(block.area)] for block in layout.blocks]
    return {"visual": {"image_px": list(layout.image_size_px), "pixels_per_pt": float(layout.pixels_per_pt), "blocks": blocks}}


def visual_failure_payload(failure: Failure) -> dict[str, Any]:
    return {"visual": {"failure": failure_json(failure)}}


def visual_failure(payload: Mapping[str, Any]) -> Failure | None:
    """The failure that stands in the place of a page's visual vectors, or None. Raises IndexDamaged."""
    return None if payload.get("visual") is None else page_fields(payload).inside("visual").optional_failure("failure")


def owes_visual(payload: Mapping[str, Any]) -> bool:
    """Whether a page has neither visual vectors nor a failure of them, and was read. What was not read is not drawn."""
    return payload.get("visual") is None and payload.get("failure") is None


def page_layout(payload: Mapping[str, Any]) -> PatchLayout | None:
    """Where a page's visual vectors lie; None where it has none. Raises IndexDamaged where the payload can't be decoded."""
    if payload.get("visual") is None or visual_failure(payload) is not None:
        return None
    fields = page_fields(payload).inside("visual")
    try:
        width, height = fields.all_of("image_px", int)
        blocks = tuple(PatchBlock(start, rows, columns, tuple(area)) for start, rows, columns, area in fields.items("blocks"))
        return PatchLayout((width, height), fields.number("pixels_per_pt"), blocks)
    except (TypeError, ValueError) as error:
        fields.damaged(str(error))


def page_fields(payload: Mapping[str, Any]) -> Fields:
    """A page's payload, named in messages by document and page number, whatever state it is in."""
    index = payload.get("page_index")
    number = index + 1 if isinstance(index, int) else "?"
    return Fields(payload, f"page {number} of document {str(payload.get('document'))[:12]}")


def page_failure(payload: Mapping[str, Any]) -> Failure | None:
    """The failure that stands in a page's place, or None. Raises IndexDamaged where it can't be decoded."""
    return page_fields(payload).optional_failure("failure")


def page_content(document: DocumentRef, payload: Mapping[str, Any]) -> PageContent:
    """A page as it was read, its word boxes to 1/8 pt. Raises IndexDamaged where the payload can't be decoded."""
    fields = page_fields(payload)
    try:
        return PageContent(
            page=PageRef(document, fields.integer("page_index"), fields.optional_text("page_label")),
            width_pt=fields.number("width_pt"),
            height_pt=fields.number("height_pt"),
            text=fields.text("text"),
            word_boxes=_unpack_boxes(fields.text("word_boxes")),
            text_source=fields.one_of("text_source", get_args(TextSource)),
            passages=tuple(_read_region(region) for region in fields.items("passages")),
            captions=fields.all_of("captions", str),
            printed_number=fields.optional_text("printed_number"),
            unread=fields.flag("unread"),
        )
    except (TypeError, ValueError) as error:
        fields.damaged(str(error))


def _region_json(region: Region) -> list[Any]:
    return [region.start, region.end, region.kind, [round(value, 2) for value in region.box], utf8(region.heading)]


def _read_region(values: Any) -> Region:
    start, end, kind, box, heading = values
    if kind not in get_args(RegionKind):
        raise ValueError(f"a passage is of kind {kind!r}")
    return Region(start, end, kind, tuple(box), heading)


def _pack_boxes(boxes_pt: NDArray[np.float32]) -> str:
    quarters = np.clip(np.rint(boxes_pt * BOX_UNITS_PER_PT), 0, np.iinfo(np.uint16).max).astype("<u2")
    return base64.b64encode(quarters.tobytes()).decode("ascii")


def _unpack_boxes(text: str) -> NDArray[np.float32]:
    quarters = np.frombuffer(base64.b64decode(text, validate=True), "<u2").reshape(-1, 4)
    return quarters.astype(np.float32) / np.float32(BOX_UNITS_PER_PT)
