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
from docrag.errors import EnvironmentFault, IndexDamaged, PdfError, PdfTooLarge
from docrag.index.encoders import TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.index.location import is_folder
from docrag.index.records import VISUAL_STAGES, DocumentRecord
from docrag.index.visual_encoder import VisualEncoder
from docrag.ingest.guard import GuardedPool
from docrag.ingest.ocr import tesseract_available
from docrag.ingest.read import PageChunk, ReadSettings, chunks_of, open_facts, read_chunks
from docrag.ingest.run_visual import VisualPass
from docrag.ingest.sources import SourceFile, find_sources, is_gone, local_copy, source_failure
from docrag.ingest.stages import encode_pages
from docrag.ingest.totals import Progress, Totals
from docrag.types import DocumentRef, Failure, IngestReport, PageContent, PageRef, Source

BATCH_WORDS = 16_000  # encoded and written together: some 24,000 tokens, 2 s of work; twice as many were no quicker
BATCH_PAGES = 128
BATCH_SECONDS = 10.0  # OCR is slow: what was read is written at least so often, and a kill costs no more
LOOK_AHEAD = 3  # files that are hashed and opened while the ones before are read
_LIMITS = ("page_timeout_s", "worker_memory_mib", "max_pages", "max_page_pixels")
_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Encoders:
    """How to load the encoders, when a page first needs them; `visual` is None where that lane is absent, or is to be left."""

    text: Callable[[], TextEncoder]
    visual: Callable[[], VisualEncoder] | None = None


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """`checksum` reads files even where size and time are unchanged, and tries again what failed before; `prune` removes the
    names that are gone."""

    password: str | None = None
    checksum: bool = False
    prune: bool = False


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
class _Opened:
    """A document whose pages are being read: which of them, which are not written yet, and the files that hold it."""

    document: DocumentRef
    sources: list[SourceFile]
    fresh: frozenset[int]
    waiting: set[int]


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
        self._helped = _what_helps(config, options)
        self._totals = Totals(0, 0)
        self._open: dict[str, _Opened] = {}

    def run(self, found: Sequence[SourceFile | Failure]) -> Totals:
        files = [source for source in found if isinstance(source, SourceFile)]
        self._totals = Totals(len(found), sum(source.size for source in files))
        for failure in found:
            if isinstance(failure, Failure):
                self._totals.fail(failure)
        changed = [source for source in files if not self._is_unchanged(source)]
        self._tell()
        if changed:
            self._read(changed)
        if self._options.prune:
            self._prune()
        self._drop_nameless()
        if self._encoders.visual is not None:
            self._look(self._encoders.visual)
        self._index.store.flush()
        return self._totals

    def _look(self, load_encoder: Callable[[], VisualEncoder]) -> None:
        password, retry = self._options.password, self._is_worth_a_try
        VisualPass(self._index, load_encoder, self._config, password, retry, self._totals, self._tell).run()

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
                    self._note_read(chunk.document, len(pages))
                    if batch.is_due():
                        self._write(batch)
                        batch = _Batch()
                self._write(batch)
        finally:
            helper.shutdown(cancel_futures=True)  # after the pool, whose end also ends what the helper waits for

    # -- which files to read -------------------------------------------------------------------------------------------

    def _is_unchanged(self, source: SourceFile) -> bool:
        """Whether `source` is as it was when its record was made, and nothing would go better now; it is counted then."""
        known = self._known(source.name)
        if known is None or self._options.checksum or not source.version:
            return False
        if (known.size, known.version) != (source.size, source.version):
            return False
        if known.failure is not None:
            if self._is_worth_a_try(known.failure):
                return False
            self._totals.fail(known.failure, source.size)
            return True
        record = self._record(known.document or "")
        if record is None or self._pages_to_retry(record):
            return False
        self._totals.skip(record, source.name, source.size)
        return True

    def _known(self, name: str) -> Source | None:
        """What is on record under `name`; a record that can't be read is as none, and written anew."""
        try:
            return self._index.source(name)
        except IndexDamaged:
            return None

    def _record(self, sha256: str) -> DocumentRecord | None:
        """The record of a document; one that can't be read is as none, and written anew."""
        try:
            return self._index.document(sha256)
        except IndexDamaged:
            return None

    def _is_worth_a_try(self, failure: Failure) -> bool:
        return failure.retriable or self._options.checksum or bool({failure.lacked, failure.error} & self._helped)

    def _pages_to_retry(self, record: DocumentRecord) -> frozenset[int]:
        """0-based pages of a recorded document that may be read better this time."""
        failures = [
            failure for failure in record.failures if failure.stage not in VISUAL_STAGES and self._is_worth_a_try(failure)
        ]
        failed = [failure.page_number for failure in failures if failure.page_number]
        unread = record.unread_pages if "tesseract" in self._helped else ()
        return frozenset(number - 1 for number in (*failed, *unread))

    def _unwritten(self, document: DocumentRef) -> frozenset[int]:
        """0-based pages of a document without a record that an interrupted run did not write, or that may go better now."""
        try:
            written = self._index.written_pages(document.sha256)
        except IndexDamaged:
            written = {}
        kept = {page for page, failure in written.items() if failure is None or not self._is_worth_a_try(failure)}
        return frozenset(range(document.pages)) - kept

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
        try:
            with local_copy(source) as path:
                return _Prepared(source, self._look_at(pool, path))
        except PdfError as error:
            return _Prepared(source, _open_failure(source.name, error))
        except OSError as error:
            return _Prepared(source, _read_failure(source.name, error))

    def _look_at(self, pool: GuardedPool, path: Path) -> DocumentRef:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        facts = pool.call(open_facts, str(path), self._options.password)
        if facts.pages > self._config.max_pages:
            limit = self._config.max_pages
            raise PdfTooLarge(f"it has {facts.pages} pages, the limit is {limit}", "raise max_pages (DOCRAG_MAX_PAGES)")
        self._index.blobs.put(sha256, path)
        return DocumentRef(sha256, facts.pages, facts.title)

    def _chunks(self, pool: GuardedPool, coming: Iterable[_Prepared], settings: ReadSettings) -> Iterator[PageChunk]:
        for prepared in coming:
            source, found = prepared.source, prepared.found
            if isinstance(found, DocumentRef) and not self._index.blobs.exists(found.sha256):
                # The last name of that document moved on since the file was looked at, and its PDF went with it.
                found = self._prepare(pool, source).found
            if isinstance(found, Failure):
                self._refuse(source, found)
                continue
            fresh = self._admit(source, found)
            if fresh:
                path = str(self._index.blobs.path(found.sha256))
                yield from chunks_of(path, found, sorted(fresh), settings, self._options.password)

    def _refuse(self, source: SourceFile, failure: Failure) -> None:
        known = self._known(source.name)
        # A name that leads to a document keeps it while the file can't be read (it may just be being written): the record
        # stays as it was, so the next run looks again.
        if known is None or known.document is None:
            self._index.put_source(Source(source.name, source.size, source.version, failure=failure))
        self._totals.fail(failure, source.size)
        self._tell()

    def _admit(self, source: SourceFile, document: DocumentRef) -> frozenset[int]:
        """The pages (0-based) that are to be read for `source`, having noted what its document needs to be complete."""
        sha256 = document.sha256
        if sha256 in self._open:
            self._open[sha256].sources.append(source)
            return frozenset()
        record = self._record(sha256)
        if record is not None:
            self._name(source, sha256)  # before its pages are tried again: a document without a name goes
            fresh = self._pages_to_retry(record)
            if not fresh:
                self._totals.skip(record, source.name, source.size)
                return fresh
        else:
            fresh = self._unwritten(document)
        self._open[sha256] = _Opened(document, [source], fresh, set(fresh))
        self._totals.begin(1 - len(fresh) / document.pages, source.size)
        if not fresh:
            self._finish(self._open.pop(sha256))
        return fresh

    # -- writing -------------------------------------------------------------------------------------------------------

    def _note_read(self, document: DocumentRef, pages: int) -> None:
        self._totals.read(pages, pages / document.pages, self._open[document.sha256].sources[0].size)
        self._tell()

    def _write(self, batch: _Batch) -> None:
        contents = [page for _, page in batch.pages if isinstance(page, PageContent)]
        failures = [(_place(document, page), page) for document, page in batch.pages if isinstance(page, Failure)]
        if contents:
            self._encoder = self._encoder or self._encoders.text()
            vectors = encode_pages(contents, self._encoder)
            self._index.write_pages(list(zip(contents, vectors, strict=True)))
            self._totals.ocr += sum(content.text_source == "ocr" for content in contents)
        if failures:
            self._index.write_failures(failures)
        for page in [content.page for content in contents] + [place for place, _ in failures]:
            self._done(page)
        self._tell()

    def _done(self, page: PageRef) -> None:
        opened = self._open[page.document.sha256]
        opened.waiting.discard(page.page_index)
        if not opened.waiting:
            self._finish(self._open.pop(page.document.sha256))

    def _finish(self, opened: _Opened) -> None:
        record = self._index.commit_document(opened.document)
        for source in opened.sources:
            self._name(source, opened.document.sha256)
        first, *others = opened.sources
        self._totals.finish(record, opened.fresh, first.name)
        for source in others:  # the same bytes under other names
            self._totals.skip(record, source.name, source.size)

    def _name(self, source: SourceFile, sha256: str) -> None:
        self._index.put_source(Source(source.name, source.size, source.version, document=sha256))

    def _prune(self) -> None:
        for source in self._index.sources():
            if is_gone(source.name):
                self._index.remove_source(source.name)

    def _drop_nameless(self) -> None:
        """Delete the documents that no name leads to: an ingest was killed between moving a name and deleting what it left."""
        if is_folder(self._index.location):  # on a server another ingest may be about to name them
            for sha256 in self._index.nameless():
                self._index.delete_document(sha256)

    def _tell(self) -> None:
        if self._report_progress is not None:
            self._report_progress(self._totals.progress())


def _what_helps(config: Config, options: IngestOptions) -> frozenset[str]:
    """What a page or document may have lacked, and errors it may have met, that could go better this time."""
    helped: set[str] = {"password"} if options.password is not None else set()
    if config.ocr != "never" and tesseract_available():
        helped.add("tesseract")
    defaults = Config()
    if any(getattr(config, name) > getattr(defaults, name) for name in _LIMITS):
        helped |= {"memory", "PdfTooLarge", "PdfCrash"}
    return frozenset(helped)


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
