"""The visual lane's pass, after the text is in: draw the pages that owe it, embed the drawings, write their vectors.

Three things go on at once, so that an encoder on a GPU does not wait: guarded children draw pages ahead, a thread embeds one
batch, and this thread writes the batch before it. A killed run owes less: what was written is not drawn again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from docrag.config import Config
from docrag.errors import PdfError
from docrag.index.library_index import LibraryIndex
from docrag.index.pages import page_fields
from docrag.index.pooling import pool_page
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


@dataclass(frozen=True, slots=True)
class _Drawing:
    """One page to draw, as large as the encoder wants to see it."""

    path: str
    page: PageRef
    size_px: tuple[int, int]
    pixels_per_pt: float
    password: str | None


_Drawn = tuple[_Drawing, NDArray[np.uint8]]
_Batch = tuple[list[_Drawing], "Future[list[ImageVectors | ImageFailure]]"]


@dataclass(slots=True)
class _Waiting:
    """A document that owes the lane: the pages (0-based) that it owes, and those of them that are not written yet."""

    owed: frozenset[int]
    pages: set[int]


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
    _waiting: dict[DocumentRef, _Waiting] = field(default_factory=dict[DocumentRef, _Waiting])
    _coming: deque[_Batch] = field(default_factory=deque[_Batch])

    def run(self) -> None:
        """Bring the lane up to date for every recorded document; the encoder is loaded only where a page owes it.

        A page that can't be drawn or embedded is a `Failure` on record. Raises what loading and writing raise.
        """
        for record in self.index.documents():
            owed = self.index.visual_owed(record.document.sha256, self.retry)
            if owed:
                self._waiting[record.document] = _Waiting(owed, set(owed))
            elif record.visual != self.index.visual_mark:  # killed between its last page and its record
                self.index.commit_visual(record.document.sha256)
        if not self._waiting:
            return
        encoder = self.load_encoder()
        described = f"{encoder.fingerprint.encoder} on {encoder.device} in {encoder.precision}"
        self.totals.begin_looking(sum(len(waiting.owed) for waiting in self._waiting.values()), described)
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
        for drawing, pixels in pool.map(_draw, self._drawings(encoder), ahead=AHEAD):
            if isinstance(pixels, PdfError):
                failure = page_failure(drawing.page.document, drawing.page.page_index, pixels)
                self._record([], [(drawing.page, replace(failure, stage="draw"))])
                continue
            batch.append((drawing, pixels))
            vectors += encoder.count_vectors(drawing.size_px)
            if vectors >= wanted:
                yield batch
                batch, vectors = [], 0
        if batch:
            yield batch

    def _drawings(self, encoder: VisualEncoder) -> Iterator[_Drawing]:
        for document, waiting in list(self._waiting.items()):
            path = str(self.index.blobs.path(document.sha256))
            for page_index, (width_pt, height_pt) in self._page_sizes(document, waiting.owed):
                size_px = encoder.image_size_px(width_pt, height_pt)
                yield _Drawing(path, PageRef(document, page_index), size_px, size_px[0] / width_pt, self.password)

    def _page_sizes(self, document: DocumentRef, owed: Collection[int]) -> list[tuple[int, tuple[float, float]]]:
        """The owed pages of a document in order, each with its width and height in points."""
        found = self.index.store.scroll("pages", of_document(document.sha256), keys=("page_index", "width_pt", "height_pt"))
        fields = [page_fields(page.payload) for page in found]
        sizes = {each.integer("page_index"): each for each in fields}
        return [(index, (sizes[index].number("width_pt"), sizes[index].number("height_pt"))) for index in sorted(owed)]

    def _write(self, drawings: Sequence[_Drawing], coming: Future[list[ImageVectors | ImageFailure]]) -> None:
        pooling = self.index.pooling
        pages: list[PageVisual] = []
        failures: list[tuple[PageRef, Failure]] = []
        for drawing, found in zip(drawings, coming.result(), strict=True):
            if isinstance(found, ImageFailure):
                failures.append((drawing.page, _failure(drawing.page, found)))
            else:
                layout = PatchLayout(drawing.size_px, drawing.pixels_per_pt, found.blocks)
                pooled = pool_page(found.vectors, found.blocks, pooling)
                pages.append(PageVisual(drawing.page, found.vectors, pooled, layout))
        self._record(pages, failures)

    def _record(self, pages: Sequence[PageVisual], failures: Sequence[tuple[PageRef, Failure]]) -> None:
        if pages:
            self.index.write_visual(pages)
        if failures:
            self.index.write_visual_failures(failures)
        done = [*(page.page for page in pages), *(page for page, _ in failures)]
        for page in done:
            waiting = self._waiting[page.document]
            waiting.pages.discard(page.page_index)
            if not waiting.pages:
                del self._waiting[page.document]
                record = self.index.commit_visual(page.document.sha256)
                self.totals.finish_looking(record, waiting.owed, self.index.name_of(page.document.sha256))
        self.totals.look(len(done))
        self.tell()


def _draw(drawing: _Drawing) -> NDArray[np.uint8]:
    return render_pixels(drawing.path, drawing.page.page_index, drawing.size_px, drawing.password)


def _failure(page: PageRef, found: ImageFailure) -> Failure:
    return Failure(
        document=page.document.sha256,
        stage="look",
        error=found.error,
        message=found.message,
        hint=found.hint,
        page_number=page.page_number,
        lacked=found.lacked,
    )
