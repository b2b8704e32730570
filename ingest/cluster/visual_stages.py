# pyright: basic
# pyarrow has no types
"""The stages of the visual lane as they run on a cluster's workers: CPUs draw, GPUs embed, and what writes pools.

They know no Ray; see `stages`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from docrag.errors import EnvironmentFault, IndexDamaged, PdfError
from docrag.index.library_index import LibraryIndex
from docrag.index.records import DocumentRecord, LaneFingerprint, check_visual
from docrag.index.visual_encoder import ColEncoder, ImageFailure, ImageVectors
from docrag.index.visual_geometry import Geometry
from docrag.ingest.cluster.stages import Copies, Job, guarded, unread
from docrag.ingest.cluster.visual_rows import (
    Look,
    add_looks,
    add_pixels,
    layout_of,
    read_looks,
    read_pixels,
    read_seen,
)
from docrag.ingest.run_visual import Drawing, draw, draw_failure, look_failure, page_visual, write_looks
from docrag.types import DocumentRef, Failure, PageRef
from docrag.visual import PageVisual

PageLooks = tuple[list[PageVisual], list[tuple[PageRef, Failure]]]


@dataclass(frozen=True, slots=True)
class VisualModel:
    """What a run must know of the lane's model, without having it."""

    fingerprint: LaneFingerprint
    source: str
    dim: int
    max_vectors: int
    device: str
    precision: str
    geometry: Geometry


class LookDesk(Protocol):
    """Where the run's one `LookBook` is kept. Every call may be made again."""

    def note_passed(self, stage: str, pages: int) -> None: ...
    def note_looks(self, pages: Sequence[PageRef]) -> list[DocumentRef]: ...
    def finish_looks(self, record: DocumentRecord) -> None: ...


def open_model(job: Job) -> ColEncoder:
    from docrag.index.visual_models import open_visual

    return open_visual(job.visual_model, job.config.device, job.config.precision)  # type: ignore[return-value]


def describe_model(job: Job) -> VisualModel:
    """To be run where what the encoders have is: loads the model. Raises what loading raises."""
    model = open_model(job)
    return VisualModel(
        model.fingerprint, model.source, model.dim, model.max_vectors, model.device, model.precision, model.geometry
    )


class DrawPages:
    """Pages -> their pixels, each drawn as large as the model wants to see it, in a guarded child."""

    def __init__(self, job: Job, desk: LookDesk) -> None:
        self._job, self._desk = job, desk
        self._copies = Copies(job.blobs_url)
        self._pool = guarded(job)

    def __call__(self, table: pa.Table) -> pa.Table:
        drawn = [self._draw(look) for look in read_looks(table)]
        self._desk.note_passed("draw", len(drawn))
        return add_pixels(table, drawn)

    def _draw(self, look: Look) -> NDArray[np.uint8] | Failure:
        page = look.page
        try:
            path = self._copies.path(page.document.sha256)
            return self._pool.call(draw, Drawing(path, page, look.size_px, look.pixels_per_pt, self._job.password))
        except PdfError as error:
            return draw_failure(page, error)
        except (IndexDamaged, EnvironmentFault) as error:  # the blob store lost it, or does not answer
            return unread(page.document, page.page_index, error, "draw")


class LookPages:
    """Pixels -> vectors. Raises IndexMismatch where a worker has another model under the same name than the run began with."""

    def __init__(self, load: Callable[[], ColEncoder], job: Job, model: VisualModel, desk: LookDesk) -> None:
        self._encoder, self._desk = load(), desk
        check_visual(job.location, model.fingerprint, self._encoder.fingerprint)

    def __call__(self, table: pa.Table) -> pa.Table:
        looks, drawn = read_looks(table), read_pixels(table)
        images = [image for image in drawn if not isinstance(image, Failure)]
        seen = iter(self._encoder.encode_images(images) if images else [])
        found = [
            image if isinstance(image, Failure) else _seen(look.page, next(seen))
            for look, image in zip(looks, drawn, strict=True)
        ]
        self._desk.note_passed("look", len(found))
        return add_looks(table, found)


def pool_looks(table: pa.Table, index_pooling: str) -> PageLooks:
    """Seen pages as an index takes them, and the failures."""
    found = list(read_seen(table))
    pages = [
        page_visual(look.page, vectors, layout_of(look, vectors), index_pooling)  # type: ignore[arg-type]
        for look, vectors in found
        if isinstance(vectors, ImageVectors)
    ]
    return pages, [(look.page, failure) for look, failure in found if isinstance(failure, Failure)]


def store_looks(index: LibraryIndex, desk: LookDesk, looks: PageLooks) -> int:
    """Write them, and the record of every document whose lane is complete then; how many pages were written."""
    written = write_looks(index, *looks)
    for document in desk.note_looks(written):
        desk.finish_looks(index.commit_visual(document.sha256))
    return len(written)


def _seen(page: PageRef, found: ImageVectors | ImageFailure) -> ImageVectors | Failure:
    return look_failure(page, found) if isinstance(found, ImageFailure) else found
