# pyright: basic
# pyarrow has no types
"""The one desk of a run on a cluster: keeps the ledger, and on a folder is the one process that has the index open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict

import pyarrow as pa

from docrag.errors import DocragError
from docrag.index.records import DocumentRecord
from docrag.index.visual_geometry import Geometry
from docrag.ingest.cluster.rows import sources_table
from docrag.ingest.cluster.stages import Job, WritePages, open_index
from docrag.ingest.cluster.visual_rows import Look, looks_table
from docrag.ingest.cluster.visual_stages import PageLooks, VisualModel, store_looks
from docrag.ingest.ledger import IngestOptions, Ledger
from docrag.ingest.run_visual import LookBook, describe, with_ways
from docrag.ingest.sources import SourceFile
from docrag.ingest.totals import Counts
from docrag.types import DocumentRef, Failure, IngestReport, PageRef


class Registrar:
    """A `Desk`, and what the run itself asks of it. Lives in an actor, which takes one call after another."""

    def __init__(self, job: Job, options: IngestOptions) -> None:
        self._job, self._options = job, options
        self._passed: Counter[str] = Counter()
        self._fault: DocragError | None = None
        try:
            self._index = open_index(job)
        except DocragError as error:
            self._fault = error
            return
        self._ledger = Ledger(self._index, job.config, options)
        self._write = WritePages(self._index, self)

    def demand_open(self) -> None:
        """To be called first: raises what opening the index raised. Of an actor that can't be made, Ray keeps no error."""
        if self._fault is not None:
            raise self._fault

    def sift(self, found: Sequence[SourceFile | Failure]) -> pa.Table:
        """The files that must be looked at."""
        return sources_table(self._ledger.sift(found))

    def left(self) -> pa.Table:
        """The files whose pages did not all come back, to be looked at again."""
        return sources_table(self._ledger.left())

    def admit(self, source: SourceFile, document: DocumentRef) -> frozenset[int]:
        fresh = self._ledger.admit(source, document)
        self._passed["open"] += len(fresh)
        return fresh

    def refuse(self, source: SourceFile, failure: Failure) -> None:
        self._ledger.refuse(source, failure)

    def note_read(self, pages: Sequence[tuple[DocumentRef, int]]) -> None:
        for document, count in pages:
            self._ledger.note_read(document, count)
            self._passed["read"] += count

    def note_passed(self, stage: str, pages: int) -> None:
        self._passed[stage] += pages

    def note_written(self, pages: Collection[PageRef], by_ocr: Collection[PageRef]) -> list[DocumentRef]:
        self._passed["write"] += len(pages)
        return self._ledger.note_written(pages, by_ocr)

    def finish(self, record: DocumentRecord) -> None:
        self._ledger.finish(record)

    def write(self, table: pa.Table) -> int:
        """Write encoded pages here, where no other process may open the index."""
        return self._write(table)

    def prepare_visual(self, model: VisualModel) -> None:
        """See that the index has the lane of this model. Raises IndexMismatch where it has another's."""
        lane = self._index.visual
        if lane is None:
            made = with_ways(model.fingerprint, asdict(self._job.config))
            self._index.add_visual(made, model.source, model.dim, model.max_vectors)
        else:
            self._index.check_visual(with_ways(model.fingerprint, lane.settings))

    def take_up_looks(self) -> int:
        """How many pages owe the visual lane."""
        self._looks = LookBook(self._index, self._ledger.is_worth_a_try, self._ledger.totals)
        return self._looks.take_up()

    def begin_looks(self, model: VisualModel) -> str:
        """Check the model, and begin to count; how its vectors are pooled."""
        self.prepare_visual(model)
        described = describe(model.fingerprint.encoder, model.device, model.precision)
        self._ledger.totals.begin_looking(self._looks.count_left(), described)
        return self._index.pooling

    def looks_left(self, geometry: Geometry) -> pa.Table:
        """The pages that are to be drawn still, and how large."""
        sized = (
            (page, width_pt, geometry.image_size_px(width_pt, height_pt)) for page, width_pt, height_pt in self._looks.left()
        )
        return looks_table(Look(page, size_px, size_px[0] / width_pt) for page, width_pt, size_px in sized)

    def note_looks(self, pages: Sequence[PageRef]) -> list[DocumentRef]:
        self._passed["store"] += len(pages)
        return self._looks.note(pages)

    def finish_looks(self, record: DocumentRecord) -> None:
        self._looks.finish(record, self._index.name_of(record.document.sha256))

    def store_looks(self, looks: PageLooks) -> int:
        """As `write`, for the visual lane."""
        return store_looks(self._index, self, looks)

    def note_fault(self, fault: DocragError) -> None:
        """What ends the run; the first is kept."""
        self._fault = self._fault or fault

    def fault(self) -> DocragError | None:
        return self._fault

    def counts(self) -> Counts:
        """How far the run is."""
        return Counts(self._ledger.progress(), dict(self._passed), self._ledger.totals.failures)

    def tidy_up(self) -> None:
        """What a run does after its last page is read."""
        if self._options.prune:
            self._ledger.prune()
        self._ledger.drop_nameless()

    def report(self, seconds: float) -> IngestReport:
        """Close the index, and report."""
        self._index.store.flush()
        self._index.close()
        return self._ledger.report(seconds)

    def close(self) -> None:
        """Let go of the index, so that another process may open it. Closing twice is no error."""
        if hasattr(self, "_index"):
            self._index.close()
