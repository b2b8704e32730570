"""What became of the documents and pages of one ingest, added up as they get done."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from docrag.index.records import DocumentRecord
from docrag.types import Failure, IngestReport, Tally


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingest is. `bytes_done` of `bytes_total` is what the time left is best told from."""

    documents_done: int
    documents_total: int
    pages_done: int
    bytes_done: float
    bytes_total: int


@dataclass(slots=True)
class _Counts:
    ok: int = 0
    failed: int = 0
    skipped: int = 0

    def tally(self) -> Tally:
        return Tally(self.ok, self.failed, self.skipped)


@dataclass(slots=True)
class Totals:
    """Every name that was found ends in exactly one of `fail`, `skip` and `finish`: so attempted = ok + failed + skipped."""

    documents_total: int
    bytes_total: int
    ocr: int = 0
    _pages_read: int = 0
    _bytes_done: float = 0.0
    _unread: int = 0
    _documents: _Counts = field(default_factory=_Counts)
    _pages: _Counts = field(default_factory=_Counts)
    _failures: list[Failure] = field(default_factory=list[Failure])

    def fail(self, failure: Failure, size: int = 0) -> None:
        """Count a name that no document could be had from."""
        self._documents.failed += 1
        self._failures.append(failure)
        self._bytes_done += size

    def skip(self, record: DocumentRecord, name: str, size: int) -> None:
        """Count a name whose document needs nothing; its pages that failed before fail again."""
        self._documents.skipped += 1
        self._pages.skipped += record.document.pages - len(record.failures)
        self._note(record, name)
        self._bytes_done += size

    def begin(self, share: float, size: int) -> None:
        """Note that `share` of a document of `size` bytes was there already."""
        self._bytes_done += share * size

    def read(self, pages: int, share: float, size: int) -> None:
        """Note that `pages` pages, this share of a document of `size` bytes, were read."""
        self._pages_read += pages
        self._bytes_done += share * size

    def finish(self, record: DocumentRecord, fresh: Collection[int], name: str) -> None:
        """Count a document that was completed; its pages `fresh` (0-based) were read for it, the others were there."""
        failed = {failure.page_number for failure in record.failures}
        ok = sum(page_index + 1 not in failed for page_index in fresh)
        self._documents.ok += 1
        self._pages.ok += ok
        self._pages.skipped += record.document.pages - len(record.failures) - ok
        self._note(record, name)

    def progress(self) -> Progress:
        done = self._documents.tally().attempted
        return Progress(done, self.documents_total, self._pages_read, self._bytes_done, self.bytes_total)

    def report(self, seconds: float) -> IngestReport:
        return IngestReport(
            documents=self._documents.tally(),
            pages=self._pages.tally(),
            ocr=self.ocr,
            unread=self._unread,
            failures=tuple(self._failures),
            seconds=seconds,
        )

    def _note(self, record: DocumentRecord, name: str) -> None:
        self._pages.failed += len(record.failures)
        self._unread += len(record.unread_pages)
        self._failures += [replace(failure, document=name) for failure in record.failures]
