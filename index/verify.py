"""Records against points against PDFs: what does not agree in an index, and making it agree again.

Repair takes away what can't be trusted, so that the next ingest brings it back: it never invents.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from docrag.errors import IndexDamaged
from docrag.index.lease import lease_id
from docrag.index.library_index import LibraryIndex
from docrag.index.pages import owes_visual, page_content, page_failure, page_fields, page_layout
from docrag.index.records import DocumentRecord, read_document, read_outline, read_source, settings_id
from docrag.index.store import PASSAGES, VISUAL, VISUAL_POOLED, StoredPoint, Where
from docrag.types import DocumentRef, PageRef, Source, page_point_id

Kind = Literal[
    "damaged_record",  # a record of a document or a source can't be read
    "missing_pages",  # a document with a record lacks points
    "damaged_page",  # a page's payload or vectors can't be trusted
    "damaged_visual",  # the visual lane of a document lacks vectors that a page or the record says are there
    "missing_blob",  # a document's PDF is gone
    "damaged_blob",  # its bytes are not those of its name
    "dangling_source",  # a name leads to a document that is not there
    "orphan_blob",  # a PDF of no document: what an interrupted ingest or delete left, no damage
    "unfinished",  # pages without a record, or a document without a name: the same
]
_LEFTOVERS: tuple[Kind, ...] = ("orphan_blob", "unfinished")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that does not agree. `what` names it for a person."""

    kind: Kind
    what: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What was looked at, what was found, how much of it was repaired, and which sources to ingest again because of it."""

    documents: int
    pages: int
    blobs: int
    findings: tuple[Finding, ...]
    repaired: int
    ingest_again: tuple[str, ...]

    @property
    def damages(self) -> tuple[Finding, ...]:
        """What was found without what an interrupted ingest left, which the next ingest takes up."""
        return tuple(finding for finding in self.findings if finding.kind not in _LEFTOVERS)

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents,
            "pages": self.pages,
            "blobs": self.blobs,
            "findings": [{"kind": finding.kind, "what": finding.what} for finding in self.findings],
            "repaired": self.repaired,
            "ingest_again": list(self.ingest_again),
        }


@dataclass(slots=True)
class _Seen:
    """What a look at the whole index gathered."""

    records: dict[str, DocumentRecord] = field(default_factory=dict[str, DocumentRecord])
    sources: list[Source] = field(default_factory=list[Source])
    pages: dict[str, set[int]] = field(default_factory=dict[str, set[int]])
    blobs: set[str] = field(default_factory=set[str])
    findings: list[Finding] = field(default_factory=list[Finding])
    # What repair does, by what can't be trusted.
    bad_records: list[str] = field(default_factory=list[str])
    bad_points: list[str] = field(default_factory=list[str])
    bad_documents: set[str] = field(default_factory=set[str])
    bad_blobs: set[str] = field(default_factory=set[str])
    bad_visual: dict[str, list[str]] = field(default_factory=dict[str, list[str]])  # by document, the points of its pages

    def found(self, kind: Kind, what: str) -> None:
        self.findings.append(Finding(kind, what))


def verify(index: LibraryIndex, repair: bool = False) -> VerifyReport:
    """Look at every record, point and PDF of `index`; with `repair`, make what does not agree go away.

    Repair deletes records that can't be read, documents with missing or damaged pages, names that lead nowhere, PDFs that are
    damaged or nobody's, and what interrupted work left. Where only the PDF is gone, the document stays, and its names are
    marked so that the next ingest reads the file again; where visual vectors are gone, it owes them again. Raises what the
    store and the blobs raise.
    """
    seen = _Seen()
    _look_at_records(index, seen)
    _look_at_pages(index, seen)
    _look_at_documents(index, seen)
    _look_at_visual(index, seen)
    _look_at_blobs(index, seen)
    if repair:
        _repair(index, seen)
    return VerifyReport(
        documents=len(seen.records),
        pages=sum(map(len, seen.pages.values())),
        blobs=len(seen.blobs),
        findings=tuple(seen.findings),
        repaired=len(seen.findings) if repair else 0,
        ingest_again=_ingest_again(seen),
    )


def _look_at_records(index: LibraryIndex, seen: _Seen) -> None:
    for point in index.store.scroll("documents"):
        try:
            _read_record(point, seen)
        except IndexDamaged as error:
            seen.found("damaged_record", error.message)
            seen.bad_records.append(point.id)


def _read_record(point: StoredPoint, seen: _Seen) -> None:
    kind = point.payload.get("kind")
    what = f"the {kind} record {point.id}"
    if kind == "document":
        record = read_document(point.payload, what)
        read_outline(point.payload, what)
        seen.records[record.document.sha256] = record
    elif kind == "source":
        seen.sources.append(read_source(point.payload, what))
    elif point.id not in (settings_id(), lease_id()):
        raise IndexDamaged(f"{what} is damaged: nothing is known of this kind")


def _look_at_pages(index: LibraryIndex, seen: _Seen) -> None:
    for point in index.store.scroll("pages", lanes=(PASSAGES.name,)):
        try:
            sha256, page_index = _check_page(point, seen.records)
            seen.pages.setdefault(sha256, set()).add(page_index)
        except IndexDamaged as error:
            seen.found("damaged_page", error.message)
            seen.bad_points.append(point.id)
            seen.bad_documents |= {str(point.payload.get("document"))} & seen.records.keys()


def _check_page(point: StoredPoint, records: Mapping[str, DocumentRecord]) -> tuple[str, int]:
    """Which page of which document a point is; raises IndexDamaged where its payload or its vectors can't be trusted."""
    fields = page_fields(point.payload)
    sha256, page_index = fields.text("document"), fields.integer("page_index")
    if point.id != page_point_id(sha256, page_index):
        fields.damaged("its point has another page's id")
    record = records.get(sha256)
    try:
        # A page whose document has no record yet is checked as the last page of one that ends there.
        page = PageRef(record.document if record else DocumentRef(sha256, page_index + 1), page_index)
    except ValueError as error:
        fields.damaged(str(error))
    if page_failure(point.payload) is not None:
        return sha256, page_index
    content = page_content(page.document, point.payload)
    vectors = point.vectors.get(PASSAGES.name)
    rows = 0 if vectors is None else np.asarray(vectors).shape[0]
    if rows != len(content.passages):
        fields.damaged(f"it has {len(content.passages)} passages and {rows} vectors for them")
    if rows and not np.isfinite(np.asarray(vectors)).all():
        fields.damaged("its vectors hold NaN or infinity")
    return sha256, page_index


def _look_at_documents(index: LibraryIndex, seen: _Seen) -> None:
    named = {source.document for source in seen.sources}
    for sha256, record in seen.records.items():
        lacking = set(range(record.document.pages)) - seen.pages.get(sha256, set())
        if lacking and sha256 not in seen.bad_documents:
            seen.found("missing_pages", f"{index.name_of(sha256)} lacks {len(lacking)} of {record.document.pages} pages")
            seen.bad_documents.add(sha256)
        if sha256 not in named:
            seen.found("unfinished", f"no name leads to document {sha256[:12]}")
    for sha256 in seen.pages.keys() - seen.records.keys():
        seen.found("unfinished", f"document {sha256[:12]} has {len(seen.pages[sha256])} pages and no record")
    for source in seen.sources:
        if source.document is not None and source.document not in seen.records:
            seen.found("dangling_source", f"{source.name} leads to document {source.document[:12]}, which is not there")


def _look_at_visual(index: LibraryIndex, seen: _Seen) -> None:
    lanes = {VISUAL, VISUAL_POOLED} & index.store.lanes().keys()
    if index.visual is None and lanes:
        seen.found("unfinished", "vectors of a visual lane that was being added or removed")
    if index.visual is None:
        return
    if len(lanes) < 2:
        seen.found("damaged_visual", f"the lane {', '.join({VISUAL, VISUAL_POOLED} - lanes)} is not there")
        return
    bad = _bad_visual_pages(index, seen)
    for sha256, record in seen.records.items():
        if record.visual not in ("", index.visual_mark):
            bad.setdefault(sha256, [])
    for sha256, points in bad.items():
        seen.found("damaged_visual", f"{index.name_of(sha256)} lacks visual vectors that are on record, of {len(points)} pages")
    seen.bad_visual = bad


def _bad_visual_pages(index: LibraryIndex, seen: _Seen) -> dict[str, list[str]]:
    """The points of pages, by document, whose key or record says that visual vectors are there when they are not."""
    there = {point.id for point in index.store.scroll("pages", Where(lanes=(VISUAL, VISUAL_POOLED)), keys=())}
    complete = {sha256 for sha256, record in seen.records.items() if record.visual == index.visual_mark}
    bad: dict[str, list[str]] = {}
    for point in index.store.scroll("pages", keys=("document", "page_index", "failure", "visual")):
        sha256 = str(point.payload.get("document"))
        if sha256 in seen.records and point.id not in seen.bad_points and _lacks_visual(point, there, sha256 in complete):
            bad.setdefault(sha256, []).append(point.id)
    return bad


def _lacks_visual(point: StoredPoint, there: set[str], complete: bool) -> bool:
    try:
        layout = page_layout(point.payload)
    except IndexDamaged:
        return True
    return (layout is not None and point.id not in there) or (complete and owes_visual(point.payload))


def _look_at_blobs(index: LibraryIndex, seen: _Seen) -> None:
    seen.blobs.update(index.blobs.hashes())
    for sha256 in seen.records.keys() - seen.blobs:
        seen.found("missing_blob", f"the PDF of {index.name_of(sha256)} is not at {index.blobs.url}")
    for sha256 in sorted(seen.blobs):
        if not index.blobs.is_sound(sha256):
            seen.found("damaged_blob", f"the PDF {sha256[:12]} has other bytes than its name says")
            seen.bad_blobs.add(sha256)
        elif sha256 not in seen.records and sha256 not in seen.pages:
            seen.found("orphan_blob", f"the PDF {sha256[:12]} belongs to no document")
            seen.bad_blobs.add(sha256)


def _without_pdf(seen: _Seen) -> set[str]:
    return seen.records.keys() - (seen.blobs - seen.bad_blobs)


def _ingest_again(seen: _Seen) -> tuple[str, ...]:
    lost = seen.bad_documents | _without_pdf(seen) | seen.bad_visual.keys()
    names = (source.name for source in seen.sources if source.document in lost or _dangles(source, seen))
    return tuple(sorted(names))


def _dangles(source: Source, seen: _Seen) -> bool:
    return source.document is not None and source.document not in seen.records


def _repair(index: LibraryIndex, seen: _Seen) -> None:
    index.store.delete("documents", seen.bad_records)
    index.store.delete("pages", seen.bad_points)
    for sha256 in seen.bad_blobs:
        index.blobs.delete(sha256)
    index.refresh()
    gone = _documents_to_delete(seen)
    for sha256 in sorted(gone):
        index.delete_document(sha256, force=True)
    _repair_visual(index, {sha256: points for sha256, points in seen.bad_visual.items() if sha256 not in gone})
    for source in seen.sources:
        if _dangles(source, seen):
            index.remove_source(source.name)
        elif source.document in _without_pdf(seen) - seen.bad_documents:
            index.put_source(replace(source, version=""))  # unlike the file's, so that the next ingest reads it
    index.blobs.remove_leftovers()


def _repair_visual(index: LibraryIndex, bad: Mapping[str, list[str]]) -> None:
    if index.visual is None or not {VISUAL, VISUAL_POOLED} <= index.store.lanes().keys():
        index.remove_visual()
        return
    index.forget_visual(bad)
    for points in bad.values():
        index.store.delete_payload_keys("pages", ["visual"], points)


def _documents_to_delete(seen: _Seen) -> set[str]:
    unrecorded = seen.pages.keys() - seen.records.keys()
    nameless = seen.records.keys() - {source.document for source in seen.sources}
    # A record that can't be read may have been the name of one of them: then the next ingest finds that name again.
    return seen.bad_documents | unrecorded | (set() if seen.bad_records else nameless)
