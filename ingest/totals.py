"""What became of the documents and pages of one ingest, added up as they get done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from docrag.index.records import DocumentRecord
from docrag.types import Failure, IngestReport, Tally

Stage = Literal["read", "look"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an ingest is: first pages are read, then, where the index has a visual lane, they are looked at.

    `done` of `total` is what the time left is best told from: bytes while reading, for the pages to come are not yet counted,
    pages while looking; on a cluster pages for both. `encoder` says what embeds the page images, and where. `pages_total` is
    how many pages the stage is for: while reading an estimate, from the bytes of those that were read; 0 while none was.
    """

    stage: Stage
    documents_done: int
    documents_total: int
    pages_done: int
    done: float
    total: int
    encoder: str = ""
    pages_total: int = 0


@dataclass(frozen=True, slots=True)
class Counts:
    """How far a run on a cluster is: the pages that each stage has let pass, and the documents and pages that failed so far.

    A stage counts a page twice where it was done twice, for its first worker died.
    """

    progress: Progress
    passed: Mapping[str, int]
    failures: int


@dataclass(slots=True)
class _Document:
    """One name that led to a document: how the document is now, whether there was anything to do, and the pages (0-based)
    that it was done to."""

    name: str
    worked: bool
    fresh: frozenset[int]
    pages: int = 0
    unread: int = 0
    failures: tuple[Failure, ...] = ()

    def update(self, record: DocumentRecord) -> None:
        self.pages, self.unread, self.failures = record.document.pages, len(record.unread_pages), record.failures

    def tally(self) -> Tally:
        failed = {failure.page_number for failure in self.failures}
        ok = sum(page_index + 1 not in failed for page_index in self.fresh)
        return Tally(ok, len(failed), self.pages - len(failed) - ok)


@dataclass(slots=True)
class Totals:
    """Every name that was found ends in exactly one of `fail`, `skip` and `finish`: so attempted = ok + failed + skipped."""

    documents_total: int
    bytes_total: int
    ocr: int = 0
    _pages_read: int = 0
    _bytes_read: float = 0.0
    _bytes_done: float = 0.0
    _failures: list[Failure] = field(default_factory=list[Failure])
    _documents: list[_Document] = field(default_factory=list[_Document])
    _by_sha256: dict[str, _Document] = field(default_factory=dict[str, _Document])
    _encoder: str = ""
    _visual_total: int = 0
    _visual_done: int = 0

    @property
    def failures(self) -> int:
        """Documents that can't be had, and pages of those that were completed, so far."""
        return len(self._failures) + sum(len(document.failures) for document in self._documents)

    def fail(self, failure: Failure, size: int = 0) -> None:
        """Count a name that no document could be had from."""
        self._failures.append(failure)
        self._bytes_done += size

    def skip(self, record: DocumentRecord, name: str, size: int) -> None:
        """Count a name whose document needs nothing; its pages that failed before fail again."""
        self._add(record, _Document(name, worked=False, fresh=frozenset()))
        self._bytes_done += size

    def begin(self, share: float, size: int) -> None:
        """Note that `share` of a document of `size` bytes was there already."""
        self._bytes_done += share * size

    def read(self, pages: int, share: float, size: int) -> None:
        """Note that `pages` pages, this share of a document of `size` bytes, were read."""
        self._pages_read += pages
        self._bytes_read += share * size
        self._bytes_done += share * size

    def finish(self, record: DocumentRecord, fresh: Collection[int], name: str) -> None:
        """Count a document that was completed; its pages `fresh` (0-based) were read for it, the others were there."""
        self._add(record, _Document(name, worked=True, fresh=frozenset(fresh)))

    def begin_looking(self, pages: int, encoder: str) -> None:
        """Note that `pages` pages are to get visual vectors, by `encoder` (its name, device and precision)."""
        self._visual_total, self._encoder = pages, encoder

    def look(self, pages: int) -> None:
        self._visual_done += pages

    def finish_looking(self, record: DocumentRecord, fresh: Collection[int], name: str) -> None:
        """Count the pages (0-based) of a recorded document that got visual vectors, or failed to."""
        document = self._by_sha256.get(record.document.sha256)
        if document is None:  # it was in the library before, and no name of this run led to it
            document = self._add(record, _Document(name, worked=True, fresh=frozenset()))
            self.documents_total += 1
        document.update(record)
        document.worked = True
        document.fresh |= frozenset(fresh)

    def progress(self) -> Progress:
        done = len(self._documents) + len(self._failures)
        if self._visual_total:
            looked, total = self._visual_done, self._visual_total
            return Progress("look", done, self.documents_total, looked, looked, total, self._encoder, total)
        of_bytes = (self._bytes_done, self.bytes_total)
        return Progress("read", done, self.documents_total, self._pages_read, *of_bytes, pages_total=self._pages_expected())

    def report(self, seconds: float) -> IngestReport:
        pages = [document.tally() for document in self._documents]
        worked = sum(document.worked for document in self._documents)
        of_pages = [replace(failure, document=found.name) for found in self._documents for failure in found.failures]
        return IngestReport(
            documents=Tally(worked, len(self._failures), len(self._documents) - worked),
            pages=Tally(sum(t.ok for t in pages), sum(t.failed for t in pages), sum(t.skipped for t in pages)),
            ocr=self.ocr,
            visual=self._visual_done,
            encoder=self._encoder,
            unread=sum(document.unread for document in self._documents),
            failures=(*self._failures, *of_pages),
            seconds=seconds,
        )

    def _pages_expected(self) -> int:
        waiting = max(0.0, self.bytes_total - self._bytes_done)
        return self._pages_read + round(waiting * self._pages_read / self._bytes_read) if self._bytes_read else 0

    def _add(self, record: DocumentRecord, document: _Document) -> _Document:
        document.update(record)
        self._documents.append(document)
        return self._by_sha256.setdefault(record.document.sha256, document)
