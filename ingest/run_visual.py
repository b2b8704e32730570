"""The visual lane's pass, after the text is in: draw the pages that owe it, embed the drawings, write their vectors.

Three things go on at once, so that an encoder on a GPU does not wait: guarded children draw pages ahead, a thread embeds one
batch, and this thread writes the batch before it. A killed run owes less: what was written is not drawn again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docrag.config import Config, Pooling
from docrag.errors import PdfError
from docrag.index.library_index import LibraryIndex
from docrag.index.pages import page_fields
from docrag.index.pooling import FACTOR, pool_page
from docrag.index.records import DocumentRecord, LaneFingerprint
from docrag.index.store import of_document
from docrag.index.visual_encoder import ImageFailure, ImageVectors, VisualEncoder
from docrag.ingest.guard import GuardedPool
from docrag.ingest.read import page_failure
from docrag.ingest.render import render_pixels
from docrag.ingest.totals import Totals
from docrag.types import DocumentRef, Failure, PageRef
from docrag.visual import PageVisual, PatchLayout

# What is handed to the encoder together, which cuts it to what fits the device: some 80 pages on a GPU, which it prepares while
# the ones before are computed; 5 on a CPU, where a page takes long and a kill should not cost many.
BATCH_VECTORS, CPU_BATCH_VECTORS = 65_536, 4_096
AHEAD = 96  # drawings that are under way or wait for the encoder: 2 MB each
_WAYS = ("pooling", "quantization")


@dataclass(frozen=True, slots=True)
class Drawing:
    """One page to draw, as large as the encoder wants to see it."""

    path: str
    page: PageRef
    size_px: tuple[int, int]
    pixels_per_pt: float
    password: str | None


_Drawn = tuple[Drawing, NDArray[np.uint8]]
_Batch = tuple[list[Drawing], "Future[list[ImageVectors | ImageFailure]]"]


@dataclass(slots=True)
class _Waiting:
    """A document that owes the lane: the pages (0-based) that it owes, and those of them that are not written yet."""

    owed: frozenset[int]
    pages: set[int]


class LookBook:
    """Which pages owe the visual lane, and which of them are done: what `Ledger` is to the text. Noting twice is no error."""

    def __init__(self, index: LibraryIndex, retry: Callable[[Failure], bool], totals: Totals) -> None:
        self._index = index
        self._retry = retry
        self._totals = totals
        self._waiting: dict[DocumentRef, _Waiting] = {}

    def take_up(self) -> int:
        """Find what the recorded documents owe; returns how many pages that is."""
        for record in self._index.documents():
            owed = self._index.visual_owed(record.document.sha256, self._retry)
            if owed:
                self._waiting[record.document] = _Waiting(owed, set(owed))
            elif record.visual != self._index.visual_mark:  # killed between its last page and its record
                self._index.commit_visual(record.document.sha256)
        return self.count_left()

    def count_left(self) -> int:
        return sum(len(waiting.pages) for waiting in self._waiting.values())

    def left(self) -> Iterator[tuple[PageRef, float, float]]:
        """The pages that are not done, document by document and in order, each with its width and height in points."""
        for document, waiting in list(self._waiting.items()):
            of = of_document(document.sha256)
            found = self._index.store.scroll("pages", of, keys=("page_index", "width_pt", "height_pt"))
            fields = [page_fields(page.payload) for page in found]
            sizes = {each.integer("page_index"): each for each in fields}
            for index in sorted(waiting.pages):
                yield PageRef(document, index), sizes[index].number("width_pt"), sizes[index].number("height_pt")

    def note(self, pages: Sequence[PageRef]) -> list[DocumentRef]:
        """Note pages whose vectors or failures are written; the documents that owe no more, and can be committed."""
        for page in pages:
            waiting = self._waiting.get(page.document)
            if waiting is not None and page.page_index in waiting.pages:
                waiting.pages.discard(page.page_index)
                self._totals.look(1)
        touched = {page.document: None for page in pages if page.document in self._waiting}
        return [document for document in touched if not self._waiting[document].pages]

    def finish(self, record: DocumentRecord, name: str) -> None:
        """Count a document, known as `name`, whose record says now that its lane is complete."""
        waiting = self._waiting.pop(record.document, None)
        if waiting is not None:
            self._totals.finish_looking(record, waiting.owed, name)


@dataclass(slots=True)
class VisualPass:
    """What one pass needs. `retry` says which failures are worth another try, `tell` reports progress."""

    index: LibraryIndex
    load_encoder: Callable[[], VisualEncoder]
    config: Config
    password: str | None
    retry: Callable[[Failure], bool]
    totals: Totals
    tell: Callable[[], None]
    _book: LookBook = field(init=False)
    _coming: deque[_Batch] = field(default_factory=deque[_Batch])

    def run(self) -> None:
        """Bring the lane up to date for every recorded document; the encoder is loaded only where a page owes it.

        A page that can't be drawn or embedded is a `Failure` on record. Raises what loading and writing raise.
        """
        self._book = LookBook(self.index, self.retry, self.totals)
        owed = self._book.take_up()
        if not owed:
            return
        encoder = self.load_encoder()
        self.totals.begin_looking(owed, describe(encoder.fingerprint.encoder, encoder.device, encoder.precision))
        self.tell()
        workers = self.config.workers or os.cpu_count() or 1
        with (
            GuardedPool(workers, self.config.page_timeout_s, self.config.worker_memory_mib) as pool,
            ThreadPoolExecutor(1) as executor,
        ):
            for batch in self._batches(pool, encoder):
                images = [pixels for _, pixels in batch]
                self._coming.append(([drawing for drawing, _ in batch], executor.submit(encoder.encode_images, images)))
                if len(self._coming) > 1:
                    self._write(*self._coming.popleft())
            while self._coming:
                self._write(*self._coming.popleft())

    def _batches(self, pool: GuardedPool, encoder: VisualEncoder) -> Iterator[list[_Drawn]]:
        """Pages as they get drawn, in batches; those that can't be drawn are put on record here."""
        batch: list[_Drawn] = []
        vectors, wanted = 0, CPU_BATCH_VECTORS if encoder.device == "cpu" else BATCH_VECTORS
        for drawing, pixels in pool.map(draw, self._drawings(encoder), ahead=AHEAD):
            if isinstance(pixels, PdfError):
                self._record([], [(drawing.page, draw_failure(drawing.page, pixels))])
                continue
            batch.append((drawing, pixels))
            vectors += encoder.count_vectors(drawing.size_px)
            if vectors >= wanted:
                yield batch
                batch, vectors = [], 0
        if batch:
            yield batch

    def _drawings(self, encoder: VisualEncoder) -> Iterator[Drawing]:
        for page, width_pt, height_pt in self._book.left():
            path = str(self.index.blobs.path(page.document.sha256))
            size_px = encoder.image_size_px(width_pt, height_pt)
            yield Drawing(path, page, size_px, size_px[0] / width_pt, self.password)

    def _write(self, drawings: Sequence[Drawing], coming: Future[list[ImageVectors | ImageFailure]]) -> None:
        pages: list[PageVisual] = []
        failures: list[tuple[PageRef, Failure]] = []
        for drawing, found in zip(drawings, coming.result(), strict=True):
            if isinstance(found, ImageFailure):
                failures.append((drawing.page, look_failure(drawing.page, found)))
            else:
                layout = PatchLayout(drawing.size_px, drawing.pixels_per_pt, found.blocks)
                pages.append(page_visual(drawing.page, found, layout, self.index.pooling))
        self._record(pages, failures)

    def _record(self, pages: Sequence[PageVisual], failures: Sequence[tuple[PageRef, Failure]]) -> None:
        for document in self._book.note(write_looks(self.index, pages, failures)):
            record = self.index.commit_visual(document.sha256)
            self._book.finish(record, self.index.name_of(document.sha256))
        self.tell()


def describe(encoder: str, device: str, precision: str) -> str:
    """What embeds the pages, for a person."""
    return f"{encoder} on {device} in {precision}"


def with_ways(lane: LaneFingerprint, settings: Mapping[str, Any]) -> LaneFingerprint:
    """`lane`, and how its vectors are pooled and kept, which is in `settings` (the factor: in the code)."""
    ways = {way: settings[way] for way in _WAYS}
    return replace(lane, settings={**lane.settings, **ways, "pooling_factor": FACTOR})


def draw(drawing: Drawing) -> NDArray[np.uint8]:
    """For a guarded child. Raises PdfError."""
    return render_pixels(drawing.path, drawing.page.page_index, drawing.size_px, drawing.password)


def page_visual(page: PageRef, found: ImageVectors, layout: PatchLayout, pooling: Pooling) -> PageVisual:
    return PageVisual(page, found.vectors, pool_page(found.vectors, found.blocks, pooling), layout)


def write_looks(index: LibraryIndex, pages: Sequence[PageVisual], failures: Sequence[tuple[PageRef, Failure]]) -> list[PageRef]:
    """Write what was seen of some pages, and why others were not; returns all of them."""
    if pages:
        index.write_visual(pages)
    if failures:
        index.write_visual_failures(failures)
    return [*(page.page for page in pages), *(page for page, _ in failures)]


def draw_failure(page: PageRef, error: PdfError) -> Failure:
    return replace(page_failure(page.document, page.page_index, error), stage="draw")


def look_failure(page: PageRef, found: ImageFailure) -> Failure:
    return Failure(
        document=page.document.sha256,
        stage="look",
        error=found.error,
        message=found.message,
        hint=found.hint,
        page_number=page.page_number,
        lacked=found.lacked,
    )
