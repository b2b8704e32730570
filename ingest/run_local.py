"""Ingest on this machine: guarded children read pages while this process encodes and writes them.

The order of writing makes a killed run harmless: PDF, points, the document's record, the name that leads to it. What a rerun
finds of that it does not do again.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

from docrag.config import Config
from docrag.errors import PdfError, PdfTooLarge, PdfUnreadable
from docrag.index.encoders import TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.index.records import DocumentRecord
from docrag.ingest.guard import GuardedPool
from docrag.ingest.read import PageChunk, ReadSettings, chunks_of, open_facts, read_chunks
from docrag.ingest.sources import SourceFile, find_sources, is_gone, local_copy
from docrag.ingest.stages import encode_pages
from docrag.types import DocumentRef, Failure, IngestReport, PageContent, PageRef, Source, Tally

BATCH_WORDS = 8_000  # encoded and written together: some 12,000 tokens, which fills three of the encoder's batches
BATCH_PAGES = 128
LOOK_AHEAD = 3  # files that are hashed and opened while the ones before are read


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """`checksum` reads files even where size and time are unchanged, `prune` removes the names that are gone."""

    password: str | None = None
    checksum: bool = False
    prune: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingest is. `bytes_done` of `bytes_total` is what the time left is best told from."""

    documents_done: int
    documents_total: int
    pages_done: int
    bytes_done: float
    bytes_total: int


def ingest(
    index: LibraryIndex,
    load_encoder: Callable[[], TextEncoder],
    names: Iterable[str],
    config: Config,
    options: IngestOptions,
    report_progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Bring the files that `names` lead to into `index`; the encoder is loaded when the first page needs it.

    What goes wrong with a file or a page is in the report and on record. Raises EnvironmentFault where the run as a whole
    can't go on (disk full, OCR demanded but not installed); what was written before is kept.
    """
    return _Run(index, load_encoder, config, options, report_progress).run(list(find_sources(names)))


@dataclass(slots=True)
class _Opened:
    """A document whose pages are being read, and the files that turned out to hold it."""

    document: DocumentRef
    sources: list[SourceFile]
    waiting: set[int]
    size: int
    skipped: int
    failed: int = 0


@dataclass(slots=True)
class _Counts:
    ok: int = 0
    failed: int = 0
    skipped: int = 0

    def tally(self) -> Tally:
        return Tally(self.ok, self.failed, self.skipped)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A file after a first look: what it is, or why it can't be read."""

    source: SourceFile
    document: DocumentRef | None = None
    error: PdfError | None = None


@dataclass(slots=True)
class _Totals:
    documents: _Counts = field(default_factory=_Counts)
    pages: _Counts = field(default_factory=_Counts)
    ocr: int = 0
    unread: int = 0
    failures: list[Failure] = field(default_factory=list[Failure])
    bytes_done: float = 0.0


class _Run:
    """One ingest. All writing happens in the thread that calls `run`; a helper thread hashes and opens files ahead of it."""

    def __init__(
        self,
        index: LibraryIndex,
        load_encoder: Callable[[], TextEncoder],
        config: Config,
        options: IngestOptions,
        report_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._index = index
        self._load_encoder = load_encoder
        self._encoder: TextEncoder | None = None
        self._config = config
        self._options = options
        self._report_progress = report_progress
        self._settings = ReadSettings.from_config(config)
        self._totals = _Totals()
        self._open: dict[str, _Opened] = {}
        self._documents_total = self._bytes_total = 0

    def run(self, found: Sequence[SourceFile | Failure]) -> IngestReport:
        begin = time.perf_counter()
        files = [source for source in found if isinstance(source, SourceFile)]
        self._documents_total, self._bytes_total = len(found), sum(source.size for source in files)
        for failure in found:
            if isinstance(failure, Failure):
                self._fail_document(failure)
        changed = [source for source in files if not self._is_unchanged(source)]
        if changed:
            self._read(changed)
        if self._options.prune:
            self._prune()
        self._index.store.flush()
        totals = self._totals
        return IngestReport(
            documents=totals.documents.tally(),
            pages=totals.pages.tally(),
            ocr=totals.ocr,
            unread=totals.unread,
            failures=tuple(totals.failures),
            seconds=time.perf_counter() - begin,
        )

    def _read(self, sources: Sequence[SourceFile]) -> None:
        config = self._config
        workers = config.workers or os.cpu_count() or 1
        batch: list[tuple[PageChunk, PageContent | Failure]] = []
        words = 0
        with GuardedPool(workers, config.page_timeout_s, config.worker_memory_mib) as pool:
            for chunk, pages in read_chunks(pool, self._chunks(pool, sources)):
                batch += [(chunk, page) for page in pages]
                words += sum(len(page.word_boxes) for page in pages if isinstance(page, PageContent))
                if words >= BATCH_WORDS or len(batch) >= BATCH_PAGES:
                    self._write(batch)
                    batch, words = [], 0
            self._write(batch)

    # -- which files to read -------------------------------------------------------------------------------------------

    def _is_unchanged(self, source: SourceFile) -> bool:
        """Whether `source` is as it was when its record was made, and nothing would go better now; it is counted then."""
        known = self._index.source(source.name)
        if known is None or self._options.checksum or (known.size, known.version) != (source.size, source.version):
            return False
        if known.failure is not None:
            if self._worth_a_try(known.failure):
                return False
            self._fail_document(known.failure, source.size)
            return True
        record = self._index.document(known.document or "")
        if record is None or self._pages_to_retry(record):
            return False
        self._skip_document(record, source)
        return True

    def _worth_a_try(self, failure: Failure) -> bool:
        return failure.retriable or (failure.lacked == "password" and self._options.password is not None)

    def _pages_to_retry(self, record: DocumentRecord) -> set[int]:
        """0-based pages of a recorded document that may be read better this time."""
        pages = {failure.page_number - 1 for failure in record.failures if failure.page_number and self._worth_a_try(failure)}
        if self._settings.tesseract:
            pages |= {number - 1 for number in record.unread_pages}
        return pages

    def _chunks(self, pool: GuardedPool, sources: Sequence[SourceFile]) -> Iterator[PageChunk]:
        for prepared in self._prepared(pool, sources):
            if prepared.document is None:
                self._refuse(prepared)
            else:
                yield from self._admit(prepared.source, prepared.document)

    def _prepared(self, pool: GuardedPool, sources: Sequence[SourceFile]) -> Iterator[_Prepared]:
        """A first look at each file, in order, a few ahead."""
        with ThreadPoolExecutor(1) as executor:
            coming: deque[Future[_Prepared]] = deque()
            for source in sources:
                coming.append(executor.submit(self._prepare, pool, source))
                if len(coming) > LOOK_AHEAD:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()

    def _prepare(self, pool: GuardedPool, source: SourceFile) -> _Prepared:
        try:
            with local_copy(source) as path:
                return _Prepared(source, self._look_at(pool, path))
        except PdfError as error:
            return _Prepared(source, error=error)
        except OSError as error:
            reason = f"can't be read: {error.strerror or error}"
            return _Prepared(source, error=PdfUnreadable(reason, "check that it is there and may be read"))

    def _look_at(self, pool: GuardedPool, path: Path) -> DocumentRef:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        facts = pool.call(open_facts, str(path), self._options.password)
        if facts.pages > self._config.max_pages:
            raise PdfTooLarge(f"has {facts.pages} pages, the limit is {self._config.max_pages}", "raise DOCRAG_MAX_PAGES")
        self._index.blobs.put(sha256, path)
        return DocumentRef(sha256, facts.pages, facts.title)

    def _refuse(self, prepared: _Prepared) -> None:
        error = prepared.error or PdfUnreadable("can't be read")
        source = prepared.source
        failure = Failure(
            document=source.name,
            stage="open",
            error=type(error).__name__,
            message=error.message,
            hint=error.hint,
            lacked=error.lacked,
            retriable=error.retriable,
        )
        known = self._index.source(source.name)
        # A name that leads to a document keeps it while the file can't be read (it may just be being written): the record
        # stays as it was, so the next run looks again.
        if known is None or known.document is None:
            self._index.put_source(Source(source.name, source.size, source.version, failure=failure))
        self._fail_document(failure, source.size)

    def _admit(self, source: SourceFile, document: DocumentRef) -> Iterator[PageChunk]:
        """The chunks that are still to be read of a document, having noted what it needs to be complete."""
        sha256 = document.sha256
        if sha256 in self._open:
            self._open[sha256].sources.append(source)
            return
        record = self._index.document(sha256)
        if record is None:
            written = self._index.written_pages(sha256)
            waiting = {page for page in range(document.pages) if page not in written}
            waiting |= {page for page, failure in written.items() if failure and self._worth_a_try(failure)}
        else:
            document = record.document
            waiting = self._pages_to_retry(record)
            if not waiting:
                self._name(source, document)
                self._skip_document(record, source)
                return
        self._open[sha256] = _Opened(document, [source], waiting, source.size, document.pages - len(waiting))
        if not waiting:
            self._finish(self._open.pop(sha256))
            return
        path = str(self._index.blobs.path(sha256))
        yield from chunks_of(path, document, sorted(waiting), self._settings, self._options.password)

    # -- writing -------------------------------------------------------------------------------------------------------

    def _write(self, batch: Sequence[tuple[PageChunk, PageContent | Failure]]) -> None:
        contents = [page for _, page in batch if isinstance(page, PageContent)]
        failures = [(chunk.document, page) for chunk, page in batch if isinstance(page, Failure)]
        if contents:
            self._encoder = self._encoder or self._load_encoder()
            vectors = encode_pages(contents, self._encoder)
            self._index.write_pages(list(zip(contents, vectors, strict=True)))
        if failures:
            self._index.write_failures([(PageRef(ref, (page.page_number or 1) - 1), page) for ref, page in failures])
        for content in contents:
            self._totals.ocr += content.text_source == "ocr"
            self._totals.unread += content.unread
            self._done(content.page.document.sha256, content.page.page_index)
        for ref, failure in failures:
            opened = self._open[ref.sha256]
            opened.failed += 1
            self._totals.failures.append(replace(failure, document=opened.sources[0].name))
            self._done(ref.sha256, (failure.page_number or 1) - 1)
        self._tell()

    def _done(self, sha256: str, page_index: int) -> None:
        opened = self._open[sha256]
        opened.waiting.discard(page_index)
        self._totals.bytes_done += opened.size / opened.document.pages
        if not opened.waiting:
            self._finish(self._open.pop(sha256))

    def _finish(self, opened: _Opened) -> None:
        self._index.commit_document(opened.document)
        for source in opened.sources:
            self._name(source, opened.document)
        totals = self._totals
        totals.documents.ok += 1
        totals.documents.skipped += len(opened.sources) - 1  # the same bytes under other names
        totals.pages.ok += opened.document.pages - opened.skipped - opened.failed
        totals.pages.failed += opened.failed
        totals.pages.skipped += opened.skipped + (len(opened.sources) - 1) * opened.document.pages

    def _name(self, source: SourceFile, document: DocumentRef) -> None:
        self._index.put_source(Source(source.name, source.size, source.version, document=document.sha256))

    def _skip_document(self, record: DocumentRecord, source: SourceFile) -> None:
        """Count a document that needs nothing; pages that failed before and can't go better count as failed again."""
        self._totals.documents.skipped += 1
        self._totals.pages.failed += len(record.failures)
        self._totals.pages.skipped += record.document.pages - len(record.failures)
        self._totals.unread += len(record.unread_pages)
        self._totals.failures += [replace(failure, document=source.name) for failure in record.failures]
        self._totals.bytes_done += source.size

    def _fail_document(self, failure: Failure, size: int = 0) -> None:
        self._totals.documents.failed += 1
        self._totals.failures.append(failure)
        self._totals.bytes_done += size

    def _prune(self) -> None:
        for source in self._index.sources():
            if is_gone(source.name):
                self._index.remove_source(source.name)

    def _tell(self) -> None:
        if self._report_progress is not None:
            documents, pages = self._totals.documents.tally(), self._totals.pages
            in_hand = sum(opened.document.pages - opened.skipped - len(opened.waiting) for opened in self._open.values())
            self._report_progress(
                Progress(
                    documents.attempted,
                    self._documents_total,
                    pages.ok + pages.failed + in_hand,
                    self._totals.bytes_done,
                    self._bytes_total,
                )
            )
