"""The records of an index: its settings, its documents and the names that led to them, to and from plain JSON payloads."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, cast, get_args

from docrag.errors import IndexMismatch
from docrag.index.payload import RESTORE_HINT, Fields, failure_json, utf8
from docrag.index.store import VISUAL
from docrag.types import POINT_NAMESPACE, DocumentOutline, DocumentRef, Failure, Lacked, Source

SCHEMA_VERSION = 1
Status = Literal["complete", "partial"]
Setting = str | int | float | bool | None
# A document's record without its outline, which is the heavy part.
DOCUMENT_KEYS = (
    "document", "status", "failures", "unread_pages", "ocr_pages", "lacked", "fingerprint", "completed_at", "visual"
)  # fmt: skip
# The stages of what went wrong for the visual lane alone: the page's text is sound, and a rerun does not read it again.
VISUAL_STAGES = ("draw", "look")


@dataclass(frozen=True, slots=True)
class LaneFingerprint:
    """What the vectors of a lane depend on. `precision` is on record, but two precisions may share an index."""

    lane: str
    encoder: str
    revision: str
    weights_sha256: str = ""
    precision: str = ""
    settings: Mapping[str, Setting] = field(default_factory=dict[str, Setting])

    def compared(self) -> dict[str, Setting]:
        """All that two fingerprints of a lane must share."""
        return {"encoder": self.encoder, "revision": self.revision, "weights_sha256": self.weights_sha256, **self.settings}

    @property
    def digest(self) -> str:
        """16 hexadecimal digits over all that is compared."""
        return _digest([self.lane, self.compared()])


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """What the text of a page depends on: when OCR runs, in which language, at which resolution, by which code."""

    ocr: str
    lang: str
    ocr_dpi: int
    text_version: int


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """What an index was made with, stored in it. `blobs_url` is None where the PDFs lie inside the index's own folder.

    `visual_model` is the id or folder that the visual lane's model is loaded from, "" without the lane; it is not compared.
    """

    lanes: tuple[LaneFingerprint, ...]
    read: ReadSettings
    blobs_url: str | None = None
    created_at: str = ""
    schema_version: int = SCHEMA_VERSION
    visual_model: str = ""

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over what the text of a page depends on: a record says so what it was made with.

        The visual lane comes and goes without the text: a document's record has that lane's fingerprint apart.
        """
        lanes = {lane.lane: lane.compared() for lane in self.lanes if lane.lane != VISUAL}
        return _digest([self.schema_version, asdict(self.read), lanes])

    @property
    def visual(self) -> LaneFingerprint | None:
        """The visual lane's fingerprint; None where the index has no such lane."""
        return next((lane for lane in self.lanes if lane.lane == VISUAL), None)


@dataclass(frozen=True, slots=True)
class DocumentRecord:
    """A document whose every page is in the index, as content or as a failure: written last, it makes search return it.

    `unread_pages` are 1-based; `lacked` is what would help a rerun; `completed_at` is UTC, ISO 8601. `visual` is the digest
    of the visual lane with which all pages are complete (each has its vectors, or a failure), "" where it is owed.
    """

    document: DocumentRef
    status: Status
    failures: tuple[Failure, ...]
    unread_pages: tuple[int, ...]
    ocr_pages: int
    lacked: frozenset[Lacked]
    fingerprint: str
    completed_at: str
    visual: str = ""


def settings_id() -> str:
    return str(uuid.uuid5(POINT_NAMESPACE, "settings"))


def document_id(sha256: str) -> str:
    return str(uuid.uuid5(POINT_NAMESPACE, f"document/{sha256}"))


def source_id(name: str) -> str:
    return str(uuid.uuid5(POINT_NAMESPACE, f"source/{hashlib.sha256(os.fsencode(name)).hexdigest()}"))


def check_same(
    location: str, stored: IndexSettings, lanes: Sequence[LaneFingerprint] | None, read: ReadSettings | None
) -> None:
    """Raise IndexMismatch, naming both sides, unless the index was made with these lanes and read settings (None: any).

    The text lanes and the visual one are compared where `lanes` names such: who asks for text may open an index with both.
    """
    found = _read_differences(stored.read, read) if read is not None else []
    text = [lane for lane in lanes or () if lane.lane != VISUAL]
    if lanes is not None and (text or not lanes):
        found += _lane_differences([lane for lane in stored.lanes if lane.lane != VISUAL], text)
    if found:
        raise IndexMismatch(
            f"the index at {location} was made with other settings: {'; '.join(found)}",
            "use the settings that it was made with, or ingest into a new index",
        )
    for lane in lanes or ():
        if lane.lane == VISUAL:
            check_visual(location, stored.visual, lane)


def check_visual(location: str, stored: LaneFingerprint | None, wanted: LaneFingerprint) -> None:
    """Raise IndexMismatch, naming both sides, unless the index's visual lane was made by the model that is `wanted`."""
    if stored is None:
        raise IndexMismatch(
            f"the index at {location} has no visual lane, asked for was one by {wanted.encoder}",
            "`docrag ingest --visual MODEL` adds one",
        )
    found = _lane_differences([stored], [wanted])
    if found:
        raise IndexMismatch(
            f"the visual lane of the index at {location} was made with another model: {'; '.join(found)}",
            "use the model that it was made with, or remove the lane with `docrag delete --visual` and add it anew",
        )


def settings_payload(settings: IndexSettings) -> dict[str, Any]:
    return {"kind": "settings", **asdict(settings), "lanes": [asdict(lane) for lane in settings.lanes]}


def read_settings(payload: Mapping[str, Any]) -> IndexSettings:
    """Raises IndexDamaged on anything `settings_payload` did not write, IndexMismatch on another schema version."""
    fields = Fields(payload, "the record of the index's settings", RESTORE_HINT)
    version = fields.integer("schema_version")
    if version != SCHEMA_VERSION:
        raise IndexMismatch(
            f"the index has schema version {version}, this docrag reads {SCHEMA_VERSION}",
            "use the docrag that made it, or ingest into a new index",
        )
    read = fields.inside("read")
    return IndexSettings(
        lanes=tuple(_read_lane(lane) for lane in fields.each("lanes")),
        read=ReadSettings(read.text("ocr"), read.text("lang"), read.integer("ocr_dpi"), read.integer("text_version")),
        blobs_url=fields.optional_text("blobs_url"),
        created_at=fields.text("created_at"),
        schema_version=version,
        visual_model=fields.optional_text("visual_model") or "",
    )


def document_payload(record: DocumentRecord, outline: DocumentOutline) -> dict[str, Any]:
    document = record.document
    return {
        "kind": "document",
        "document": {"sha256": document.sha256, "pages": document.pages, "title": utf8(document.title)},
        "status": record.status,
        "failures": [failure_json(failure) for failure in record.failures],
        "unread_pages": list(record.unread_pages),
        "ocr_pages": record.ocr_pages,
        "lacked": sorted(record.lacked),
        "fingerprint": record.fingerprint,
        "completed_at": record.completed_at,
        "visual": record.visual,
        "outline": {
            "page_labels": list(outline.page_labels),
            "printed_numbers": list(outline.printed_numbers),
            "captions": {name: list(pages) for name, pages in outline.captions.items()},
        },
    }


def read_document(payload: Mapping[str, Any], what: str) -> DocumentRecord:
    """The record in a payload; `what` names it in the IndexDamaged that a damaged one raises."""
    fields = Fields(payload, what)
    document = fields.inside("document")
    try:
        return DocumentRecord(
            document=DocumentRef(document.text("sha256"), document.integer("pages"), document.text("title")),
            status=fields.one_of("status", get_args(Status)),
            failures=tuple(failure.failure() for failure in fields.each("failures")),
            unread_pages=fields.all_of("unread_pages", int),
            ocr_pages=fields.integer("ocr_pages"),
            lacked=cast("frozenset[Lacked]", frozenset(fields.all_of("lacked", str))),
            fingerprint=fields.text("fingerprint"),
            completed_at=fields.text("completed_at"),
            visual=fields.optional_text("visual") or "",
        )
    except ValueError as error:
        fields.damaged(str(error))


def read_outline(payload: Mapping[str, Any], what: str) -> DocumentOutline:
    """The outline that `document_payload` put beside the record."""
    fields = Fields(payload, what).inside("outline")
    captions = fields.inside("captions")
    try:
        return DocumentOutline(
            page_labels=fields.texts_or_none("page_labels"),
            printed_numbers=fields.texts_or_none("printed_numbers"),
            captions={name: captions.all_of(name, int) for name in fields.mapping("captions")},
        )
    except ValueError as error:
        fields.damaged(str(error))


def source_payload(source: Source) -> dict[str, Any]:
    # A file name need not be UTF-8, a payload must be: such a name is kept by its bytes.
    odd = utf8(source.name) != source.name
    return {
        "kind": "source",
        "name": os.fsencode(source.name).hex() if odd else source.name,
        "name_is_hex": odd,
        "size": source.size,
        "version": source.version,
        "document": source.document,
        "failure": None if source.failure is None else failure_json(source.failure),
    }


def read_source(payload: Mapping[str, Any], what: str) -> Source:
    """The source in a payload; `what` names it in the IndexDamaged that a damaged one raises."""
    fields = Fields(payload, what)
    name = fields.text("name")
    try:
        return Source(
            name=os.fsdecode(bytes.fromhex(name)) if fields.flag("name_is_hex") else name,
            size=fields.integer("size"),
            version=fields.text("version"),
            document=fields.optional_text("document"),
            failure=fields.optional_failure("failure"),
        )
    except ValueError as error:
        fields.damaged(str(error))


def _digest(values: Any) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def _read_lane(fields: Fields) -> LaneFingerprint:
    return LaneFingerprint(
        lane=fields.text("lane"),
        encoder=fields.text("encoder"),
        revision=fields.text("revision"),
        weights_sha256=fields.text("weights_sha256"),
        precision=fields.text("precision"),
        settings=fields.mapping("settings"),
    )


def _lane_differences(stored: Sequence[LaneFingerprint], wanted: Sequence[LaneFingerprint]) -> list[str]:
    have = {lane.lane: lane.compared() for lane in stored}
    want = {lane.lane: lane.compared() for lane in wanted}
    if have.keys() != want.keys():
        return [f"it has the lanes {', '.join(sorted(have))}, asked for were {', '.join(sorted(want))}"]
    return [text for lane in sorted(have) for text in _differences(f"lane {lane}: ", have[lane], want[lane])]


def _read_differences(stored: ReadSettings, wanted: ReadSettings) -> list[str]:
    return _differences("", asdict(stored), asdict(wanted))


def _differences(where: str, stored: Mapping[str, Setting], wanted: Mapping[str, Setting]) -> list[str]:
    keys = [key for key in sorted(stored.keys() | wanted.keys()) if stored.get(key) != wanted.get(key)]
    return [f"{where}{key} is {stored.get(key)!r} in the index, asked for was {wanted.get(key)!r}" for key in keys]
