"""The records of an open index, kept at hand: which documents are complete, and which names lead to them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence

from docrag.errors import IndexDamaged, UsageError
from docrag.index.names import resolve_names, short_names
from docrag.index.records import (
    DOCUMENT_KEYS,
    DocumentRecord,
    document_id,
    document_payload,
    read_document,
    read_outline,
    read_source,
    source_id,
    source_payload,
)
from docrag.index.store import Point, Store, Where
from docrag.types import DocumentOutline, Failure, Source

OUTLINES_KEPT = 64


class Catalogue:
    """The `documents` collection of a store. All records and names are read once, when something asks for more than those of
    one document: a process that only writes pages, one of many on a cluster, needs few of them. Of outlines a few are kept."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._forget()

    def refresh(self) -> None:
        """Forget all that is kept at hand, for another process may have written to a server's index."""
        self.store.refresh()
        self._forget()

    def _forget(self) -> None:
        self._is_read = False
        self._records: dict[str, DocumentRecord] = {}  # all of them once `_is_read`, before that those that were asked for
        self._names: dict[str, str] = {}  # empty until `_is_read`
        self._damaged: dict[str, IndexDamaged] = {}
        self._outlines: dict[str, DocumentOutline] = {}
        # Made from `_names` when they are asked for, and dropped when that changes.
        self._short: dict[str, str] | None = None
        self._names_by_document: dict[str, list[str]] | None = None

    def _read_all(self) -> None:
        if self._is_read:
            return
        self._is_read = True
        self._records = {}
        for point in self.store.scroll("documents", Where({"kind": ("document",)}), keys=DOCUMENT_KEYS):
            try:
                record = read_document(point.payload, f"the document record {point.id}")
                self._records[record.document.sha256] = record
            except IndexDamaged as error:
                self._damaged[point.id] = error
        for point in self.store.scroll("documents", Where({"kind": ("source",)})):
            try:
                source = read_source(point.payload, f"the source record {point.id}")
            except IndexDamaged as error:
                self._damaged[point.id] = error
                continue
            if source.document is not None:
                self._names[source.name] = source.document

    @property
    def damaged_records(self) -> tuple[IndexDamaged, ...]:
        """An error for each record that can't be read; everything else works, without the documents of such records."""
        self._read_all()
        return tuple(self._damaged.values())

    def documents(self) -> list[DocumentRecord]:
        """All documents with a sound record, by sha256."""
        self._read_all()
        return [self._records[sha256] for sha256 in sorted(self._records)]

    def document(self, sha256: str) -> DocumentRecord | None:
        """A document's record; None where it has none. Raises IndexDamaged where it can't be read."""
        if sha256 in self._records:
            return self._records[sha256]
        found = self.store.retrieve("documents", [document_id(sha256)], keys=DOCUMENT_KEYS)
        if not found:
            return None
        self._records[sha256] = read_document(found[0].payload, f"the record of document {sha256[:12]}")
        return self._records[sha256]

    def _have_at_hand(self, sha256s: Collection[str]) -> None:
        """Read the records of these documents in one call, as far as they have one that can be read."""
        unknown = sorted(set(sha256s) - self._records.keys())
        for point in self.store.retrieve("documents", [document_id(sha256) for sha256 in unknown], keys=DOCUMENT_KEYS):
            with contextlib.suppress(IndexDamaged):
                record = read_document(point.payload, f"the document record {point.id}")
                self._records[record.document.sha256] = record

    def is_recorded(self, sha256: str) -> bool:
        """Whether a document has a record that can be read."""
        try:
            return self.document(sha256) is not None
        except IndexDamaged:
            return False

    def outline(self, sha256: str) -> DocumentOutline:
        """What references to a document's pages are resolved against.

        Raises UsageError where it is not in the index, IndexDamaged where its record holds no outline.
        """
        if sha256 not in self._outlines:
            found = self.store.retrieve("documents", [document_id(sha256)], keys=("outline",))
            if not found:
                raise UsageError(f"document {sha256[:12]} is not in the index", "`docrag list` shows what is")
            while len(self._outlines) >= OUTLINES_KEPT:
                del self._outlines[next(iter(self._outlines))]
            self._outlines[sha256] = read_outline(found[0].payload, f"the record of document {sha256[:12]}")
        return self._outlines[sha256]

    def sources(self) -> list[Source]:
        """All names on record, sorted: those that led to a document, and those that led to a failure."""
        self._read_all()
        points = self.store.scroll("documents", Where({"kind": ("source",)}))
        sound = (point for point in points if point.id not in self._damaged)
        found = [read_source(point.payload, f"the source record {point.id}") for point in sound]
        return sorted(found, key=lambda source: source.name)

    def source(self, name: str) -> Source | None:
        """What is on record under a full name, or None. Raises IndexDamaged where it can't be read."""
        found = self.store.retrieve("documents", [source_id(name)])
        return read_source(found[0].payload, f"the record of the source {name!r}") if found else None

    def names_of(self, sha256: str) -> list[str]:
        """The full names that lead to a document, sorted."""
        if self._names_by_document is None:
            self._read_all()
            self._names_by_document = {}
            for name in sorted(self._names):
                self._names_by_document.setdefault(self._names[name], []).append(name)
        return list(self._names_by_document.get(sha256, ()))

    def _leads_to(self, name: str) -> str | None:
        """The document that a name leads to, by sha256."""
        self._read_all()
        return self._names.get(name)

    def nameless(self) -> list[str]:
        """Documents that no name leads to, by sha256: what a kill between two steps leaves."""
        self._read_all()
        return sorted(self._records.keys() - set(self._names.values()))

    def resolve_documents(self, patterns: Sequence[str]) -> list[str]:
        """The sha256 of the documents that full names, path suffixes, globs or digits of a sha256 mean, each once.

        Raises UnknownDocument, with why the file failed or with the nearest names, and AmbiguousDocument.
        """
        self._read_all()
        return resolve_names(patterns, self._names, self._records, self._failed_names)

    def name_of(self, sha256: str) -> str:
        """A document's shortest name that means no other; the first digits of its sha256 where it has none."""
        if self._short is None:
            self._read_all()
            self._short = short_names(self._names)
        return self._short.get(sha256, sha256[:12])

    def _failed_names(self) -> dict[str, Failure]:
        """Names that led to no document, each with why: read when one of them is asked for, which is seldom."""
        return {source.name: source.failure for source in self.sources() if source.failure is not None}

    def _put_record(self, record: DocumentRecord, outline: DocumentOutline) -> None:
        id_ = document_id(record.document.sha256)
        self.store.upsert("documents", [Point(id_, document_payload(record, outline))])
        self._records[record.document.sha256] = record
        self._outlines.pop(record.document.sha256, None)
        self._damaged.pop(id_, None)

    def _delete_record(self, sha256: str) -> None:
        self.store.delete("documents", [document_id(sha256)])
        self._records.pop(sha256, None)
        self._outlines.pop(sha256, None)
        self._damaged.pop(document_id(sha256), None)

    def _put_name(self, source: Source) -> None:
        self._read_all()
        self.store.upsert("documents", [Point(source_id(source.name), source_payload(source))])
        self._names.pop(source.name, None)
        if source.document is not None:
            self._names[source.name] = source.document
        self._damaged.pop(source_id(source.name), None)
        self._short = self._names_by_document = None

    def _delete_name(self, name: str) -> None:
        self._read_all()
        self.store.delete("documents", [source_id(name)])
        self._names.pop(name, None)
        self._damaged.pop(source_id(name), None)
        self._short = self._names_by_document = None
