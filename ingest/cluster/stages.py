# pyright: basic
# pyarrow has no types
"""The stages of an ingest as they run on a cluster's workers: each is made once in a process, then called with a table.

They know no Ray. What they must know of the run as a whole they ask its `Desk`, of which there is one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pyarrow as pa

from docrag.config import Config
from docrag.errors import DocragError, EnvironmentFault, IndexDamaged
from docrag.index.blobs import BlobStore
from docrag.index.encoders import TextEncoder
from docrag.index.lease import guard
from docrag.index.library_index import LibraryIndex
from docrag.index.records import DocumentRecord
from docrag.ingest.cluster.rows import (
    add_vectors,
    chunks_table,
    pages_table,
    read_chunk_rows,
    read_page_rows,
    read_sources,
    read_vectors,
)
from docrag.ingest.guard import GuardedPool
from docrag.ingest.read import CHUNK_PAGES, PageChunk, ReadSettings, read_chunks
from docrag.ingest.run_local import look_at
from docrag.ingest.sources import SourceFile
from docrag.ingest.stages import encode_pages
from docrag.types import DocumentRef, Failure, PageContent, PageRef

COPIES = CHUNK_PAGES  # PDFs of a remote blob store that a reader keeps at hand: all that its row of chunks may be of


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker must know: plain values. `run_id` tells runs apart that meet the same processes, `holder` is whose the
    index is while it runs (`Lease.holder`).

    `visual_model` is what keeps up the visual lane, "" where there is none to keep up; `visual_known`: it is the lane's own.
    """

    location: str
    blobs_url: str
    config: Config
    password: str | None = field(default=None, repr=False)
    run_id: str = ""
    holder: str = ""
    visual_model: str = ""
    visual_known: bool = False


class Desk(Protocol):
    """Where the run's one `Ledger` is kept; all names, and on a folder all points, are written there.

    Every call may be made again, where the answer was lost with the process that made it.
    """

    def admit(self, source: SourceFile, document: DocumentRef) -> frozenset[int]: ...
    def refuse(self, source: SourceFile, failure: Failure) -> None: ...
    def note_read(self, pages: Sequence[tuple[DocumentRef, int]]) -> None: ...
    def note_passed(self, stage: str, pages: int) -> None: ...
    def note_written(self, pages: Collection[PageRef], by_ocr: Collection[PageRef]) -> list[DocumentRef]: ...
    def finish(self, record: DocumentRecord) -> None: ...


class OpenFiles:
    """Files -> the pages of their documents that are to be read, in chunks; the PDFs go into the blob store."""

    def __init__(self, job: Job, desk: Desk) -> None:
        self._job, self._desk = job, desk
        self._blobs = BlobStore(job.blobs_url)
        self._pool = guarded(job)

    def __call__(self, table: pa.Table) -> pa.Table:
        chunks = (chunk for source in read_sources(table) for chunk in self._chunks(source))
        return chunks_table(chunks, CHUNK_PAGES)

    def _chunks(self, source: SourceFile) -> Iterator[tuple[DocumentRef, Sequence[int]]]:
        document = self._look(source)
        if isinstance(document, Failure):
            self._desk.refuse(source, document)
            return
        fresh = sorted(self._desk.admit(source, document))
        if fresh and not self._blobs.exists(document.sha256):
            self._look(source)  # its last name moved on since the file was looked at, and its PDF went with it
        for start in range(0, len(fresh), CHUNK_PAGES):
            yield document, fresh[start : start + CHUNK_PAGES]

    def _look(self, source: SourceFile) -> DocumentRef | Failure:
        return look_at(self._pool, source, self._blobs, self._job.config, self._job.password)


class Copies:
    """The PDFs of a blob store as local files: of a remote one the few that were asked for last."""

    def __init__(self, blobs_url: str) -> None:
        self._blobs = BlobStore(blobs_url)
        self._kept: OrderedDict[str, None] = OrderedDict()

    def path(self, sha256: str) -> str:
        path = str(self._blobs.path(sha256))
        self._kept[sha256] = None
        self._kept.move_to_end(sha256)
        while len(self._kept) > COPIES:
            self._blobs.release(self._kept.popitem(last=False)[0])
        return path


class ReadPages:
    """Chunks -> pages, each as content or as a failure, read in a guarded child."""

    def __init__(self, job: Job, desk: Desk) -> None:
        self._job, self._desk = job, desk
        self._pool = guarded(job)
        self._settings = ReadSettings.from_config(job.config)
        self._copies = Copies(job.blobs_url)

    def __call__(self, table: pa.Table) -> pa.Table:
        wanted = read_chunk_rows(table)
        chunks: list[PageChunk] = []
        found: list[tuple[DocumentRef, PageContent | Failure]] = []
        for document, indices in wanted:
            try:
                path = self._copies.path(document.sha256)
            except (IndexDamaged, EnvironmentFault) as error:  # the blob store lost it, or does not answer
                found += [(document, unread(document, index, error)) for index in indices]
                continue
            chunks.append(PageChunk(path, document, indices, self._settings, self._job.password))
        found += [(chunk.document, page) for chunk, pages in read_chunks(self._pool, chunks) for page in pages]
        self._desk.note_read([(document, len(indices)) for document, indices in wanted])
        return pages_table(found)


class EncodePages:
    """Pages -> pages with the vectors of their text."""

    def __init__(self, load: Callable[[], TextEncoder], desk: Desk) -> None:
        self._encoder, self._desk = load(), desk

    def __call__(self, table: pa.Table) -> pa.Table:
        pages = [page for _, page in read_page_rows(table)]
        contents = [page for page in pages if isinstance(page, PageContent)]
        encoded = iter(encode_pages(contents, self._encoder) if contents else [])
        vectors = [next(encoded) if isinstance(page, PageContent) else None for page in pages]
        self._desk.note_passed("encode", len(pages))
        return add_vectors(table, vectors)


class WritePages:
    """Pages with vectors -> points, and the record of every document that has all of its pages then."""

    def __init__(self, index: LibraryIndex, desk: Desk) -> None:
        self._index, self._desk = index, desk

    def __call__(self, table: pa.Table) -> int:
        """How many pages were written. Raises EnvironmentFault where the index can't be reached, or is full."""
        pages = read_page_rows(table)
        vectors = read_vectors(table)
        contents = [
            (page, found) for (_, page), found in zip(pages, vectors, strict=True) if isinstance(page, PageContent) and found
        ]
        failures = [(place, page) for place, page in pages if isinstance(page, Failure)]
        if contents:
            self._index.write_pages(contents)
        if failures:
            self._index.write_failures(failures)
        by_ocr = [content.page for content, _ in contents if content.text_source == "ocr"]
        for document in self._desk.note_written([place for place, _ in pages], by_ocr):
            self._desk.finish(self._index.commit_document(document))
        return len(pages)


def unread(document: DocumentRef, page_index: int, error: DocragError, stage: str = "read") -> Failure:
    """Of a page whose PDF can't be had now; it may another time."""
    return Failure(
        document=document.sha256,
        stage=stage,
        error=type(error).__name__,
        message=error.message,
        hint=error.hint,
        page_number=page_index + 1,
        retriable=True,
    )


def open_index(job: Job) -> LibraryIndex:
    """The index of a run, which is written to as long as the run holds it: another may have taken it over meanwhile."""
    index = LibraryIndex.open(job.location)
    guard(index.store, job.location, job.holder)
    return index


def guarded(job: Job) -> GuardedPool:
    return GuardedPool(1, job.config.page_timeout_s, job.config.worker_memory_mib)
