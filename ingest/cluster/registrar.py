"""The one desk of a run on a cluster: keeps the ledger, and on a folder is the one process that has the index open."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import pyarrow as pa

from docrag.index.library_index import LibraryIndex
from docrag.index.records import DocumentRecord
from docrag.ingest.cluster.rows import sources_table
from docrag.ingest.cluster.stages import Job, WritePages
from docrag.ingest.ledger import IngestOptions, Ledger
from docrag.ingest.sources import SourceFile
from docrag.ingest.totals import Progress
from docrag.types import DocumentRef, Failure, IngestReport, PageRef


class Registrar:
    """A `Desk`, and what the run itself asks of it. Lives in an actor, which takes one call after another."""

    def __init__(self, job: Job, options: IngestOptions) -> None:
        self._index = LibraryIndex.open(job.location)
        self._ledger = Ledger(self._index, job.config, options)
        self._options = options
        self._write = WritePages(self._index, self)

    def sift(self, found: Sequence[SourceFile | Failure]) -> pa.Table:
        """The files that must be looked at."""
        return sources_table(self._ledger.sift(found))

    def admit(self, source: SourceFile, document: DocumentRef) -> frozenset[int]:
        return self._ledger.admit(source, document)

    def refuse(self, source: SourceFile, failure: Failure) -> None:
        self._ledger.refuse(source, failure)

    def note_read(self, pages: Sequence[tuple[DocumentRef, int]]) -> None:
        for document, count in pages:
            self._ledger.note_read(document, count)

    def note_written(self, pages: Collection[PageRef], by_ocr: Collection[PageRef]) -> list[DocumentRef]:
        return self._ledger.note_written(pages, by_ocr)

    def finish(self, record: DocumentRecord) -> None:
        self._ledger.finish(record)

    def write(self, table: pa.Table) -> int:
        """Write encoded pages here, where no other process may open the index."""
        return self._write(table)

    def progress(self) -> Progress:
        return self._ledger.progress()

    def close(self, seconds: float) -> IngestReport:
        """Tidy up after the last page, close the index, and report."""
        if self._options.prune:
            self._ledger.prune()
        self._ledger.drop_nameless()
        self._index.close()
        return self._ledger.report(seconds)
