"""What an ingest owes and what it has done: which files and pages to read, and the records that are written when they are.

It knows no processes and no cluster, so that a run on this machine and one on Ray keep the same book by the same rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from docrag.config import Config
from docrag.errors import IndexDamaged
from docrag.index.library_index import LibraryIndex
from docrag.index.location import is_folder
from docrag.index.records import VISUAL_STAGES, DocumentRecord, read_source, source_id
from docrag.ingest.ocr import tesseract_available
from docrag.ingest.sources import SourceFile, is_gone
from docrag.ingest.totals import Progress, Totals
from docrag.types import DocumentRef, Failure, IngestReport, PageRef, Source

_LIMITS = ("page_timeout_s", "worker_memory_mib", "max_pages", "max_page_pixels")
_ASKED_AT_ONCE = 1_000  # names that the index is asked for in one call


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """`checksum` reads files even where size and time are unchanged, and tries again what failed before; `prune` removes the
    names that are gone."""

    password: str | None = None
    checksum: bool = False
    prune: bool = False


@dataclass(slots=True)
class _Opened:
    """A document whose pages are being read: which of them, and the files that hold it.

    `waiting` are those of the pages that are not written yet, `by_ocr` those that were written and read by OCR.
    """

    document: DocumentRef
    sources: list[SourceFile]
    fresh: frozenset[int]
    waiting: set[int]
    by_ocr: set[int] = field(default_factory=set[int])


class Ledger:
    """The book of one ingest. For one thread at a time; all names and records of the run are written through it.

    What a cluster does a second time, for the first was lost with its machine, is answered as it was and counted once.
    """

    def __init__(self, index: LibraryIndex, config: Config, options: IngestOptions) -> None:
        self._index = index
        self._options = options
        self._helped = _what_helps(config, options)
        self._open: dict[str, _Opened] = {}
        # By name, for which bytes it was admitted and what was said; None: it was refused.
        self._answers: dict[str, tuple[str | None, frozenset[int]]] = {}
        self._found: frozenset[str] = frozenset()
        self.totals = Totals(0, 0)

    def sift(self, found: Sequence[SourceFile | Failure]) -> list[SourceFile]:
        """The files that must be looked at; the others (not to be had, unchanged) are counted."""
        files = [source for source in found if isinstance(source, SourceFile)]
        self._found = frozenset(source.name for source in files)
        self.totals = Totals(len(found), sum(source.size for source in files))
        for failure in found:
            if isinstance(failure, Failure):
                self.totals.fail(failure)
        return [source for source, known in self._with_known(files) if not self._is_unchanged(source, known)]

    def admit(self, source: SourceFile, document: DocumentRef) -> frozenset[int]:
        """The pages (0-based) that are to be read for `source`, having noted what its document needs to be complete.

        None where there is nothing to do, or the document is being read under another name. Asked again for the same bytes
        under the same name, it gives the same pages. A file that changed since is taken as it is now, unless what it was is
        done: then the next ingest takes it up.
        """
        sha256, fresh = self._answers.get(source.name, (None, frozenset()))
        if sha256 == document.sha256:
            return fresh
        if not self._withdraw(source.name):
            return frozenset()
        fresh = self._admit(source, document)
        self._answers[source.name] = (document.sha256, fresh)
        return fresh

    def _withdraw(self, name: str) -> bool:
        """Forget what was said of a file whose document waits for pages; False where it waits no more, and is counted."""
        if name not in self._answers:
            return True
        sha256, _ = self._answers[name]
        opened = self._open.get(sha256 or "")
        if opened is None or name not in (source.name for source in opened.sources):
            return False
        opened.sources = [source for source in opened.sources if source.name != name]
        if opened.sources:  # the next one has the pages read that this one had
            self._answers[opened.sources[0].name] = (sha256, opened.fresh)
        else:
            del self._open[opened.document.sha256]
        return True

    def _admit(self, source: SourceFile, document: DocumentRef) -> frozenset[int]:
        sha256 = document.sha256
        opened = self._open.get(sha256)
        if opened is not None:
            opened.sources.append(source)
            return frozenset()
        record = self._record(sha256)
        if record is not None:
            self._name(source, sha256)  # before its pages are tried again: a document without a name goes
            fresh = self._pages_to_retry(record)
            if not fresh:
                self.totals.skip(record, source.name, source.size)
                return fresh
        else:
            fresh = self._unwritten(document)
        self._open[sha256] = _Opened(document, [source], fresh, set(fresh))
        self.totals.begin(1 - len(fresh) / document.pages, source.size)
        if not fresh:
            self.finish(self._index.commit_document(document))
        return fresh

    def refuse(self, source: SourceFile, failure: Failure) -> None:
        """Count a file that can't be opened, and put on record why."""
        if not self._withdraw(source.name):
            return
        self._answers[source.name] = (None, frozenset())
        known = self._known(source.name)
        # A name that leads to a document keeps it while the file can't be read (it may just be being written): the record
        # stays as it was, so the next run looks again.
        if known is None or known.document is None:
            self._index.put_source(Source(source.name, source.size, source.version, failure=failure))
        self.totals.fail(failure, source.size)

    def note_read(self, document: DocumentRef, pages: int) -> None:
        """Count pages of a document that were read, for the progress."""
        opened = self._open.get(document.sha256)
        if opened is not None:
            self.totals.read(pages, pages / document.pages, opened.sources[0].size)

    def note_written(self, pages: Collection[PageRef], by_ocr: Collection[PageRef] = ()) -> list[DocumentRef]:
        """Note pages that are written, some of them read by OCR; the documents that wait for no more, and can be committed.

        Noting a page twice is no error: a write that was cut off may be done again.
        """
        for page in by_ocr:
            if page.document.sha256 in self._open:
                self._open[page.document.sha256].by_ocr.add(page.page_index)
        for page in pages:
            if page.document.sha256 in self._open:
                self._open[page.document.sha256].waiting.discard(page.page_index)
        touched = {page.document.sha256: page.document for page in pages if page.document.sha256 in self._open}
        return [document for sha256, document in touched.items() if not self._open[sha256].waiting]

    def finish(self, record: DocumentRecord) -> None:
        """Name and count a document whose record is written; no error where that was done."""
        opened = self._open.pop(record.document.sha256, None)
        if opened is None:
            return
        for source in opened.sources:
            self._name(source, opened.document.sha256)
        first, *others = opened.sources
        self.totals.ocr += len(opened.by_ocr)
        self.totals.finish(record, opened.fresh, first.name)
        for source in others:  # the same bytes under other names
            self.totals.skip(record, source.name, source.size)

    def left(self) -> list[SourceFile]:
        """The files of documents that wait for pages still: none, once all that was given out has come back."""
        return [opened.sources[0] for opened in self._open.values()]

    def prune(self) -> None:
        """Remove the names that are gone, with the documents that no other name leads to."""
        for source in self._index.sources():
            if source.name not in self._found and is_gone(source.name):  # asking a bucket for each name takes a while
                self._index.remove_source(source.name)

    def drop_nameless(self) -> None:
        """Delete the documents that no name leads to: an ingest was killed between moving a name and deleting what it left."""
        if is_folder(self._index.location):  # on a server another ingest may be about to name them
            for sha256 in self._index.nameless():
                self._index.delete_document(sha256)

    def is_worth_a_try(self, failure: Failure) -> bool:
        """Whether what failed may go better this time."""
        return failure.retriable or self._options.checksum or bool({failure.lacked, failure.error} & self._helped)

    def progress(self) -> Progress:
        return self.totals.progress()

    def report(self, seconds: float) -> IngestReport:
        return self.totals.report(seconds)

    def _is_unchanged(self, source: SourceFile, known: Source | None) -> bool:
        """Whether `source` is as it was when its record was made, and nothing would go better now; it is counted then."""
        if known is None or self._options.checksum or not source.version:
            return False
        if (known.size, known.version) != (source.size, source.version):
            return False
        if known.failure is not None:
            if self.is_worth_a_try(known.failure):
                return False
            self.totals.fail(known.failure, source.size)
            return True
        record = self._record(known.document or "")
        if record is None or self._pages_to_retry(record):
            return False
        self.totals.skip(record, source.name, source.size)
        return True

    def _with_known(self, files: Sequence[SourceFile]) -> Iterator[tuple[SourceFile, Source | None]]:
        """Each file with what is on record under its name; a record that can't be read is as none, and written anew."""
        for start in range(0, len(files), _ASKED_AT_ONCE):
            asked = files[start : start + _ASKED_AT_ONCE]
            found = self._index.store.retrieve("documents", [source_id(source.name) for source in asked])
            known = {point.id: point.payload for point in found}
            for source in asked:
                payload = known.get(source_id(source.name))
                try:
                    yield source, None if payload is None else read_source(payload, source.name)
                except IndexDamaged:
                    yield source, None

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

    def _pages_to_retry(self, record: DocumentRecord) -> frozenset[int]:
        """0-based pages of a recorded document that may be read better this time."""
        failures = [
            failure for failure in record.failures if failure.stage not in VISUAL_STAGES and self.is_worth_a_try(failure)
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
        kept = {page for page, failure in written.items() if failure is None or not self.is_worth_a_try(failure)}
        return frozenset(range(document.pages)) - kept

    def _name(self, source: SourceFile, sha256: str) -> None:
        self._index.put_source(Source(source.name, source.size, source.version, document=sha256))


def _what_helps(config: Config, options: IngestOptions) -> frozenset[str]:
    """What a page or document may have lacked, and errors it may have met, that could go better this time."""
    helped: set[str] = {"password"} if options.password is not None else set()
    if config.ocr != "never" and tesseract_available():
        helped.add("tesseract")
    defaults = Config()
    if any(getattr(config, name) > getattr(defaults, name) for name in _LIMITS):
        helped |= {"memory", "PdfTooLarge", "PdfCrash"}
    return frozenset(helped)
