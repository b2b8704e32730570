"""The index of a library: pages, the records that make them count, the names that led to them, and their PDFs.

What ingest, retrieval and the client use; above the `Store` protocol, so that it is the same for both adapters. The rule
behind it: a document's record is written last and deleted first, and a page whose document has no record is never returned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from docrag.errors import IndexDamaged, IndexFault, IndexMissing, UsageError
from docrag.index.blobs import BlobStore, absolute_url
from docrag.index.location import being_made, create_store, is_folder, is_index, missing, open_store
from docrag.index.pages import failed_page_payload, page_content, page_failure, page_fields, page_payload
from docrag.index.payload import RESTORE_HINT
from docrag.index.records import (
    DocumentRecord,
    IndexSettings,
    LaneFingerprint,
    ReadSettings,
    check_same,
    read_settings,
    settings_id,
    settings_payload,
)
from docrag.index.store import BM25, PAGE_LANES, PASSAGES, LaneQuery, Point, ScoredPoint, Store, Vector, of_document
from docrag.index.summary import utc_now
from docrag.index.visual_lane import VisualLane
from docrag.types import DocumentRef, Failure, PageContent, PageRef, PageVectors, Source


class LibraryIndex(VisualLane):
    """An open index, made by `create`, `open` or `open_or_create`; a context manager. Not for several threads at once.

    On a folder, one process at a time may have it open. On a server several may: this one finds what others complete, and
    sees what else they change after `refresh`.
    """

    def __init__(self, location: str, store: Store, settings: IndexSettings) -> None:
        super().__init__(location, store, settings)
        self.blobs = BlobStore(settings.blobs_url or str(Path(location).absolute() / "blobs"))
        self._unrecorded: set[str] = set()

    @classmethod
    def create(cls, location: str, settings: IndexSettings) -> LibraryIndex:
        """Make an empty index at `location`: a folder that is new or empty, http(s)://host:port/name, or ":memory:".

        `settings.created_at` is filled in where it is "". Raises UsageError where something else is there, or where
        `settings.blobs_url` is None and `location` is no folder; EnvironmentFault where the disk or the server refuses;
        IndexLocked where another process makes it.
        """
        settings = replace(settings, created_at=settings.created_at or utc_now(), blobs_url=_checked_blobs(settings.blobs_url))
        if is_folder(location):
            from docrag.index.edge import EdgeStore

            with being_made(location) as folder:
                store: Store = EdgeStore.create(folder, PAGE_LANES)
                _write_settings(store, settings)
            return cls(location, store, settings)
        if settings.blobs_url is None:
            raise UsageError(f"an index at {location} needs a place for its PDFs", "name one with --blobs URL_OR_FOLDER")
        store = create_store(location, PAGE_LANES)
        if store.retrieve("documents", [settings_id()]):
            store.close()
            raise UsageError(f"there is an index at {location} already", "open it, or choose another name")
        _write_settings(store, settings)
        return cls(location, store, settings)

    @classmethod
    def open(
        cls, location: str, lanes: Sequence[LaneFingerprint] | None = None, read: ReadSettings | None = None
    ) -> LibraryIndex:
        """Open the index at `location`, which must have been made with these lanes and read settings (None: any).

        Raises IndexMissing, UsageError (a folder of other things), IndexLocked, IndexMismatch (naming both sides),
        IndexDamaged (no settings, or a shard that can't be read) and EnvironmentFault.
        """
        store = open_store(location)
        try:
            settings = _stored_settings(location, store)
            check_same(location, settings, lanes, read)
            return cls(location, store, settings)
        except BaseException:
            store.close()
            raise

    @classmethod
    def open_or_create(cls, location: str, settings: IndexSettings) -> LibraryIndex:
        """Open the index at `location` if it was made with `settings` (else IndexMismatch); make it if there is none.

        Where the PDFs of an index lie is settled when it is made: `settings.blobs_url` counts only then.
        """
        if is_folder(location) and not is_index(location):
            return cls.create(location, settings)
        try:
            return cls.open(location, settings.lanes, settings.read)
        except IndexMissing:
            pass
        try:
            return cls.create(location, settings)
        except UsageError as error:  # on a server another process may have made it just now
            try:
                return cls.open(location, settings.lanes, settings.read)
            except IndexMissing:
                raise error from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Flush, and let other processes open it. Closing twice is no error."""
        self.blobs.close()
        self.store.close()

    def refresh(self) -> None:
        """Read the settings, lanes, records and names anew, for another process may have written to a server's index.

        Raises IndexMissing where it was deleted meanwhile, and what `open` raises on settings that can't be read.
        """
        self.settings = _stored_settings(self.location, self.store)
        super().refresh()

    def write_pages(self, pages: Sequence[tuple[PageContent, PageVectors]]) -> None:
        """Write pages with their vectors, in place of what was there under the same document and page index.

        Their visual vectors go with what was there, so that the document owes them again. Raises ValueError where the
        vectors are another page's, or `passages` has not one row a passage.
        """
        self._owe_visual([content.page for content, _ in pages])
        self.store.upsert("pages", [_page_point(content, vectors) for content, vectors in pages])

    def write_failures(self, failures: Sequence[tuple[PageRef, Failure]]) -> None:
        """Write what went wrong in the place of pages, so that their document can be completed without them."""
        self._owe_visual([page for page, _ in failures])
        points = [Point(page.point_id, failed_page_payload(page, failure)) for page, failure in failures]
        self.store.upsert("pages", points)

    def count_pages(self, sha256: str) -> int:
        """How many pages of a document are written, as content or as failures."""
        return self.store.count("pages", of_document(sha256))

    def written_pages(self, sha256: str) -> dict[int, Failure | None]:
        """The indices of a document's written pages, in order, each with the failure that stands there or None."""
        found = self.store.scroll("pages", of_document(sha256), keys=("document", "page_index", "failure"))
        return dict(sorted((page_fields(page.payload).integer("page_index"), page_failure(page.payload)) for page in found))

    def commit_document(self, document: DocumentRef) -> DocumentRecord:
        """Write the record that makes search return `document`, from what stands in its pages' points; returns it.

        Raises IndexFault unless every page is written, as content or as a failure.
        """
        record = self._renew(document)
        self._unrecorded.discard(document.sha256)
        return record

    def put_source(self, source: Source) -> None:
        """Record where a name leads now. The document that it led to before goes, if no other name leads there.

        Raises IndexFault where `source` leads to a document without a record: the record comes first.
        """
        if source.document is not None and not self.is_recorded(source.document):
            raise IndexFault(f"{source.name!r} can't lead to document {source.document[:12]}, which has no record yet")
        before = self._leads_to(source.name)
        self._put_name(source)
        if before != source.document:
            self._drop_if_nameless(before)

    def remove_source(self, name: str) -> None:
        """Forget a name; the document that it led to goes, if no other name leads there. No error where it is unknown."""
        before = self._leads_to(name)
        self._delete_name(name)
        self._drop_if_nameless(before)

    def delete_document(self, sha256: str, force: bool = False) -> None:
        """Delete a document: its record, its points, its PDF and, where it is forced, the names that lead to it.

        Raises UsageError where names lead to it and it is not forced. Killed half-way, the same call finishes the work.
        """
        names = self.names_of(sha256)
        if names and not force:
            raise UsageError(f"document {sha256[:12]} is named by {', '.join(names)}", "remove these names, or force it")
        self._delete_record(sha256)
        self.store.delete_where("pages", of_document(sha256))
        self.blobs.delete(sha256)
        for name in names:
            self._delete_name(name)

    def search(self, queries: Sequence[LaneQuery]) -> list[list[ScoredPoint]]:
        """Ask several lanes at once: a list a query by (-score, id), with `document` and `page_index` as payload.

        Pages whose document has no record (an ingest that was interrupted) are passed over; others come in their place.
        """
        self._unrecorded = {sha256 for sha256 in self._unrecorded if not self.is_recorded(sha256)}
        while True:
            hidden = sorted(self._unrecorded)
            asked = (
                [replace(query, where=query.where.excluding("document", hidden)) for query in queries] if hidden else queries
            )
            answers = self.store.query(asked, keys=("document", "page_index"))
            met = {point.payload["document"] for answer in answers for point in answer}
            unrecorded = {sha256 for sha256 in met if not self.is_recorded(sha256)}
            if not unrecorded:
                return answers
            self._unrecorded |= unrecorded

    def page_contents(self, ids: Sequence[str]) -> list[PageContent]:
        """The pages with these point ids, in their order; failed pages and those of unrecorded documents are left out."""
        contents: list[PageContent] = []
        for page in self.store.retrieve("pages", ids):
            record = self.document(page_fields(page.payload).text("document"))
            if record is not None and page_failure(page.payload) is None:
                contents.append(page_content(record.document, page.payload))
        return contents

    def lane_vectors(self, ids: Sequence[str], lane: str = PASSAGES.name) -> dict[str, NDArray[np.float16]]:
        """The dense vectors (float16 [n, dim]) of the pages with these point ids; a page without them is left out."""
        found = self.store.retrieve("pages", ids, keys=(), lanes=(lane,))
        return {page.id: np.asarray(page.vectors[lane], np.float16) for page in found if lane in page.vectors}

    def _owe_visual(self, pages: Sequence[PageRef]) -> None:
        """Before pages are written anew, for they lose their visual vectors by that."""
        self.forget_visual({page.document.sha256 for page in pages})

    def _drop_if_nameless(self, sha256: str | None) -> None:
        if sha256 is not None and not self.names_of(sha256) and self._has_record(sha256):
            self.delete_document(sha256)

    def _has_record(self, sha256: str) -> bool:
        try:
            return self.document(sha256) is not None
        except IndexDamaged:  # it has one, sound or not
            return True


def _stored_settings(location: str, store: Store) -> IndexSettings:
    found = store.retrieve("documents", [settings_id()])
    if found:
        return read_settings(found[0].payload)
    if not is_folder(location):
        raise missing(location)
    raise IndexDamaged(f"the index at {location} lost the record of its settings", RESTORE_HINT)


def _checked_blobs(url: str | None) -> str | None:
    """A place for blobs that fsspec can use, a local one as an absolute path; raises UsageError."""
    if url is not None:
        BlobStore(url).close()
    return None if url is None else absolute_url(url)


def _write_settings(store: Store, settings: IndexSettings) -> None:
    try:
        store.upsert("documents", [Point(settings_id(), settings_payload(settings))])
        store.flush()
    except BaseException:
        store.close()
        raise


def _page_point(content: PageContent, vectors: PageVectors) -> Point:
    if vectors.page.point_id != content.page.point_id:
        raise ValueError(f"vectors of page {vectors.page.page_number} written with page {content.page.page_number}")
    rows = 0 if vectors.passages is None else len(vectors.passages)
    if rows not in (0, len(content.passages)):
        raise ValueError(f"page {content.page.page_number} has {len(content.passages)} passages and {rows} vectors for them")
    lanes: dict[str, Vector | None] = {
        PASSAGES.name: vectors.passages,
        BM25.name: vectors.bm25 if vectors.bm25 is not None and vectors.bm25.indices else None,
    }
    kept = {name: vector for name, vector in lanes.items() if vector is not None}
    return Point(content.page.point_id, page_payload(content), kept)
