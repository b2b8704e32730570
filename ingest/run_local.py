"""Ingest on this machine: guarded children read pages while this process encodes and writes them.

The order of writing makes a killed run harmless: PDF, points, the document's record, the name that leads to it. What a rerun
finds of that it does not do again.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from docrag.config import Config
from docrag.errors import EnvironmentFault, PdfError, PdfTooLarge
from docrag.index.blobs import BlobStore
from docrag.index.encoders import TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.index.visual_encoder import VisualEncoder
from docrag.ingest.guard import GuardedPool
from docrag.ingest.ledger import IngestOptions, Ledger
from docrag.ingest.read import PageChunk, ReadSettings, chunks_of, open_facts, read_chunks
from docrag.ingest.run_visual import VisualPass
from docrag.ingest.sources import SourceFile, find_sources, local_copy, source_failure
from docrag.ingest.stages import encode_pages
from docrag.ingest.totals import Progress
from docrag.types import DocumentRef, Failure, IngestReport, PageContent, PageRef

BATCH_WORDS = 16_000  # encoded and written together: some 24,000 tokens, 2 s of work; twice as many were no quicker
BATCH_PAGES = 128
BATCH_SECONDS = 10.0  # OCR is slow: what was read is written at least so often, and a kill costs no more
LOOK_AHEAD = 3  # files that are hashed and opened while the ones before are read
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Encoders:
    """How to load the encoders, when a page first needs them; `visual` is None where that lane is absent, or is to be left."""

    text: Callable[[], TextEncoder]
    visual: Callable[[], VisualEncoder] | None = None


def ingest(
    index: LibraryIndex,
    encoders: Encoders,
    names: Iterable[str],
    config: Config,
    options: IngestOptions,
    report_progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Bring the files that `names` lead to into `index`, then its visual lane up to date for all its documents.

    What goes wrong with a file or a page is in the report and on record. Raises EnvironmentFault where the run as a whole
    can't go on (disk full, OCR demanded but not installed); what was written before is kept.
    """
    begin = time.perf_counter()
    run = _Run(index, encoders, config, options, report_progress)
    return run.run(list(find_sources(names))).report(time.perf_counter() - begin)


@dataclass(slots=True)
class _Batch:
    """Pages that were read and not yet written."""

    pages: list[tuple[DocumentRef, PageContent | Failure]] = field(
        default_factory=list[tuple[DocumentRef, PageContent | Failure]]
    )
    words: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, document: DocumentRef, pages: Sequence[PageContent | Failure]) -> None:
        self.pages += [(document, page) for page in pages]
        self.words += sum(len(page.word_boxes) for page in pages if isinstance(page, PageContent))

    def is_due(self) -> bool:
        return self.words >= BATCH_WORDS or len(self.pages) >= BATCH_PAGES or time.monotonic() - self.since >= BATCH_SECONDS


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A file after a first look: what it is, or why it can't be read."""

    source: SourceFile
    found: DocumentRef | Failure


class _Run:
    """One ingest. All writing happens in the thread that calls `run`; a helper thread hashes and opens files ahead of it."""

    def __init__(
        self,
        index: LibraryIndex,
        encoders: Encoders,
        config: Config,
        options: IngestOptions,
        report_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._index = index
        self._encoders = encoders
        self._encoder: TextEncoder | None = None
        self._config = config
        self._options = options
        self._report_progress = report_progress
        self._ledger = Ledger(index, config, options)

    def run(self, found: Sequence[SourceFile | Failure]) -> Ledger:
        changed = self._ledger.sift(found)
        self._tell()
        if changed:
            self._read(changed)
        if self._options.prune:
            self._ledger.prune()
        self._ledger.drop_nameless()
        if self._encoders.visual is not None:
            self._look(self._encoders.visual)
        self._index.store.flush()
        return self._ledger

    def _look(self, load_encoder: Callable[[], VisualEncoder]) -> None:
        password, ledger = self._options.password, self._ledger
        VisualPass(self._index, load_encoder, self._config, password, ledger.is_worth_a_try, ledger.totals, self._tell).run()

    def _read(self, sources: Sequence[SourceFile]) -> None:
        config = self._config
        settings = ReadSettings.from_config(config)
        batch = _Batch()
        helper = ThreadPoolExecutor(1)
        try:
            with GuardedPool(config.workers or os.cpu_count() or 1, config.page_timeout_s, config.worker_memory_mib) as pool:
                prepared = self._prepared(pool, helper, sources)
                for chunk, pages in read_chunks(pool, self._chunks(pool, prepared, settings)):
                    batch.add(chunk.document, pages)
                    self._ledger.note_read(chunk.document, len(pages))
                    self._tell()
                    if batch.is_due():
                        self._write(batch)
                        batch = _Batch()
                self._write(batch)
        finally:
            helper.shutdown(cancel_futures=True)  # after the pool, whose end also ends what the helper waits for

    def _prepared(self, pool: GuardedPool, helper: ThreadPoolExecutor, sources: Sequence[SourceFile]) -> Iterator[_Prepared]:
        """A first look at each file, in order, a few ahead."""
        coming: deque[Future[_Prepared]] = deque()
        for source in sources:
            coming.append(helper.submit(self._prepare, pool, source))
            if len(coming) > LOOK_AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()

    def _prepare(self, pool: GuardedPool, source: SourceFile) -> _Prepared:
        return _Prepared(source, look_at(pool, source, self._index.blobs, self._config, self._options.password))

    def _chunks(self, pool: GuardedPool, coming: Iterable[_Prepared], settings: ReadSettings) -> Iterator[PageChunk]:
        for prepared in coming:
            source, found = prepared.source, prepared.found
            if isinstance(found, DocumentRef) and not self._index.blobs.exists(found.sha256):
                # The last name of that document moved on since the file was looked at, and its PDF went with it.
                found = self._prepare(pool, source).found
            if isinstance(found, Failure):
                self._ledger.refuse(source, found)
                self._tell()
                continue
            fresh = self._ledger.admit(source, found)
            if fresh:
                path = str(self._index.blobs.path(found.sha256))
                yield from chunks_of(path, found, sorted(fresh), settings, self._options.password)

    def _write(self, batch: _Batch) -> None:
        contents = [page for _, page in batch.pages if isinstance(page, PageContent)]
        failures = [(_place(document, page), page) for document, page in batch.pages if isinstance(page, Failure)]
        if contents:
            self._encoder = self._encoder or self._encoders.text()
            vectors = encode_pages(contents, self._encoder)
            self._index.write_pages(list(zip(contents, vectors, strict=True)))
        if failures:
            self._index.write_failures(failures)
        written = [*(content.page for content in contents), *(place for place, _ in failures)]
        by_ocr = [content.page for content in contents if content.text_source == "ocr"]
        for document in self._ledger.note_written(written, by_ocr):
            self._ledger.finish(self._index.commit_document(document))
        self._tell()

    def _tell(self) -> None:
        if self._report_progress is not None:
            self._report_progress(self._ledger.progress())


def look_at(
    pool: GuardedPool, source: SourceFile, blobs: BlobStore, config: Config, password: str | None
) -> DocumentRef | Failure:
    """What a file is, after its bytes were put among the blobs; or why it can't be read. EnvironmentFault on a full disk."""
    try:
        with local_copy(source) as path:
            return _keep(pool, path, blobs, config, password)
    except PdfError as error:
        return _open_failure(source.name, error)
    except OSError as error:
        return _read_failure(source.name, error)


def _keep(pool: GuardedPool, path: Path, blobs: BlobStore, config: Config, password: str | None) -> DocumentRef:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    facts = pool.call(open_facts, str(path), password)
    if facts.pages > config.max_pages:
        limit = config.max_pages
        raise PdfTooLarge(f"it has {facts.pages} pages, the limit is {limit}", "raise max_pages (DOCRAG_MAX_PAGES)")
    blobs.put(sha256, path)
    return DocumentRef(sha256, facts.pages, facts.title)


def _open_failure(name: str, error: PdfError) -> Failure:
    return Failure(
        document=name,
        stage="open",
        error=type(error).__name__,
        message=error.message,
        hint=error.hint,
        lacked=error.lacked,
        retriable=error.retriable,
    )


def _read_failure(name: str, error: OSError) -> Failure:
    """What became of a file that the system would not give; it may another time. Raises EnvironmentFault on a full disk."""
    if error.errno in _DISK_FULL:
        raise EnvironmentFault(f"no room for a copy of {name}: {error}", "free some space and run the same command again")
    message = f"it can't be read ({error.strerror or error})"
    return source_failure(name, message, "check that it is there and may be read", error=type(error).__name__)


def _place(document: DocumentRef, failure: Failure) -> PageRef:
    return PageRef(document, (failure.page_number or 1) - 1)
