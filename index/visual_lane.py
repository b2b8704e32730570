"""The visual lane of an index: added to what is there, kept complete, and removed again, without touching the text lanes.

The lane is two named vectors of a page (`visual`, and `visual_pooled` for the first stage of a search) and the payload key
"visual", written after them. A document's record says that its lane is complete; the index's settings say that there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import get_args

from docrag.errors import IndexFault, IndexMismatch, UsageError
from docrag.index.catalogue import Catalogue
from docrag.index.pages import (
    LIGHT_KEYS,
    owes_visual,
    page_fields,
    page_layout,
    visual_failure,
    visual_failure_payload,
    visual_payload,
)
from docrag.index.pooling import Pooling
from docrag.index.records import (
    VISUAL_STAGES,
    DocumentRecord,
    IndexSettings,
    LaneFingerprint,
    check_visual,
    document_id,
    settings_id,
    settings_payload,
)
from docrag.index.store import (
    MAX_VECTOR_NUMBERS,
    VISUAL,
    VISUAL_POOLED,
    Point,
    Quantization,
    Store,
    of_document,
    visual_pooled_schema,
    visual_schema,
)
from docrag.index.summary import summarise
from docrag.types import DocumentRef, Failure, PageRef
from docrag.visual import PageVisual, PatchLayout


@dataclass(frozen=True, slots=True)
class VisualProgress:
    """How far the visual lane is: documents with a record, those of them that owe it, and how many of their pages do."""

    documents: int
    documents_owing: int
    pages_owing: int


class VisualLane(Catalogue):
    """The records of an index, and its visual lane."""

    def __init__(self, location: str, store: Store, settings: IndexSettings) -> None:
        super().__init__(store)
        self.location = location
        self.settings = settings

    @property
    def visual(self) -> LaneFingerprint | None:
        """What the visual lane was made with; None where the index has none."""
        return self.settings.visual

    @property
    def visual_model(self) -> str:
        """The id or folder that the visual lane's model is loaded from; "" where the index has no such lane."""
        return self.settings.visual_model

    @property
    def visual_mark(self) -> str:
        """What the record of a document holds whose visual lane is complete; "" where the index has no such lane."""
        return "" if self.visual is None else self.visual.digest

    @property
    def pooling(self) -> Pooling:
        """How the vectors of `visual_pooled` are made. Raises IndexFault where the index has no visual lane, or names none."""
        wanted = self._demand_lane().settings.get("pooling")
        known: tuple[Pooling, ...] = get_args(Pooling)
        for pooling in known:
            if pooling == wanted:
                return pooling
        raise IndexMismatch(
            f"the index at {self.location} pools its visual vectors by {wanted!r}", "use the docrag that made it"
        )

    def check_visual(self, fingerprint: LaneFingerprint) -> None:
        """Raise IndexMismatch, naming both sides, unless the visual lane was made by the model of `fingerprint`."""
        check_visual(self.location, self.visual, fingerprint)

    def add_visual(self, fingerprint: LaneFingerprint, model: str, dim: int, max_vectors: int) -> None:
        """Add the visual lane for a model that gives a page `max_vectors` vectors of `dim` numbers at most.

        All documents owe it then. Where the index has it already, only `model` is noted anew. Killed half-way, the same call
        finishes the work. Raises UsageError where a page would be too large for a point, IndexMismatch where the lane was
        made by another model or revision, EnvironmentFault where the server is too old.
        """
        quantization = _check_visual_lane(fingerprint, model, dim, max_vectors)
        if self.visual is None:
            self._clear_visual()
        else:
            self.check_visual(fingerprint)
        self.store.create_lanes(visual_schema(dim, quantization), visual_pooled_schema(dim, quantization))
        lanes = tuple(lane for lane in self.settings.lanes if lane.lane != VISUAL)
        self._put_settings(replace(self.settings, lanes=(*lanes, self.visual or fingerprint), visual_model=model))

    def remove_visual(self) -> None:
        """Remove the visual lane with all its vectors; no error where there is none. Killed half-way, it is repeatable."""
        if self.visual is not None:
            lanes = tuple(lane for lane in self.settings.lanes if lane.lane != VISUAL)
            self._put_settings(replace(self.settings, lanes=lanes, visual_model=""))
        self._clear_visual()

    def visual_owed(self, sha256: str, retry: Callable[[Failure], bool]) -> frozenset[int]:
        """The 0-based pages of a document that need visual vectors: those that have none, and failures worth a `retry`.

        Pages that could not be read are not among them: there is nothing to draw, and no text to show with a hit.
        """
        if self.visual is None:
            return frozenset()
        record = self.document(sha256)
        if record is not None and record.visual == self.visual.digest and not _any_visual(record, retry):
            return frozenset()
        keys = ("document", "page_index", "failure", "visual")
        pages = (page.payload for page in self.store.scroll("pages", of_document(sha256), keys))
        return frozenset(
            page_fields(page).integer("page_index")
            for page in pages
            if owes_visual(page) or ((failure := visual_failure(page)) is not None and retry(failure))
        )

    def visual_owing(self) -> list[str]:
        """The documents (sha256) whose record does not say that the visual lane is complete; none without the lane."""
        if self.visual is None:
            return []
        digest = self.visual.digest
        return [record.document.sha256 for record in self.documents() if record.visual != digest]

    def visual_progress(self) -> VisualProgress:
        """How many documents and pages owe the visual lane, counted in the pages of those documents."""
        owing = self.visual_owing()
        pages = sum(len(self.visual_owed(sha256, lambda failure: False)) for sha256 in owing)
        return VisualProgress(len(self.documents()), len(owing), pages)

    def write_visual(self, pages: Sequence[PageVisual]) -> None:
        """Write the visual vectors of pages that are there, in place of older ones; their text stays as it is.

        Raises IndexFault where the index has no visual lane or no such page, ValueError on vectors of another dimension.
        """
        self._demand_lane()
        lanes = ((page, {VISUAL: page.visual, VISUAL_POOLED: page.pooled}) for page in pages)
        points = [Point(page.page.point_id, visual_payload(page), vectors) for page, vectors in lanes]
        self.store.update_points("pages", points)

    def write_visual_failures(self, failures: Sequence[tuple[PageRef, Failure]]) -> None:
        """Write what went wrong in the place of visual vectors; such a failure's stage is one of `VISUAL_STAGES`."""
        self._demand_lane()
        for _, failure in failures:
            if failure.stage not in VISUAL_STAGES:
                raise ValueError(f"a failure of the visual lane has a stage of {VISUAL_STAGES}, got {failure.stage!r}")
        points = [Point(page.point_id, visual_failure_payload(failure)) for page, failure in failures]
        self.store.update_points("pages", points)

    def commit_visual(self, sha256: str) -> DocumentRecord:
        """Write into a document's record that its visual lane is complete, with what failed; returns the record.

        Raises IndexFault where it has no record, or a page of it still owes its vectors.
        """
        lane = self._demand_lane()
        before = self.document(sha256)
        if before is None:
            raise IndexFault(f"document {sha256[:12]} has no record", "ingest it again")
        record = self._renew(before.document)
        if record.visual != lane.digest:
            raise IndexFault(
                f"the visual lane of document {sha256[:12]} can't be completed: pages of it have no vectors and no failure",
                "ingest it again: it goes on where it stopped",
            )
        return record

    def visual_layout(self, ids: Sequence[str]) -> dict[str, PatchLayout]:
        """Where the visual vectors of the pages with these point ids lie; a page without them is left out."""
        found = self.store.retrieve("pages", ids, keys=("document", "page_index", "visual"))
        layouts = {page.id: page_layout(page.payload) for page in found}
        return {id_: layout for id_, layout in layouts.items() if layout is not None}

    def forget_visual(self, sha256s: Collection[str]) -> None:
        """Take back that the visual lane of these documents is complete; no error where one has no record."""
        self._have_at_hand(sha256s)
        for sha256 in sha256s:
            record = self._records.get(sha256)
            if record is not None and record.visual:
                self.store.update_points("documents", [Point(document_id(sha256), {"visual": ""})])
                self._records[sha256] = replace(record, visual="")

    def _renew(self, document: DocumentRef) -> DocumentRecord:
        """Write a document's record from what stands in its pages' points now."""
        found = self.store.scroll("pages", of_document(document.sha256), keys=LIGHT_KEYS)
        record, outline = summarise(document, (page.payload for page in found), self.settings)
        self._put_record(record, outline)
        return record

    def _clear_visual(self) -> None:
        """Remove what a visual lane left that the settings no longer name. The lanes go last: they say there is work left."""
        left = [name for name in (VISUAL, VISUAL_POOLED) if name in self.store.lanes()]
        if not left:
            return
        for record in self.documents():
            if record.visual or _any_visual(record, lambda failure: True):
                self._renew(record.document)
        self.store.delete_payload_keys("pages", ["visual"])
        for name in left:
            self.store.delete_lane(name)
        self.store.flush()

    def _put_settings(self, settings: IndexSettings) -> None:
        """Write the settings, after all that was written before."""
        self.store.flush()
        self.store.upsert("documents", [Point(settings_id(), settings_payload(settings))])
        self.store.flush()
        self.settings = settings

    def _demand_lane(self) -> LaneFingerprint:
        if self.visual is None:
            raise IndexFault(f"the index at {self.location} has no visual lane", "`docrag ingest --visual MODEL` adds one")
        return self.visual


def _any_visual(record: DocumentRecord, retry: Callable[[Failure], bool]) -> bool:
    return any(failure.stage in VISUAL_STAGES and retry(failure) for failure in record.failures)


def _check_visual_lane(fingerprint: LaneFingerprint, model: str, dim: int, max_vectors: int) -> Quantization:
    """The quantization that `fingerprint` names. Raises UsageError where a point could not hold a page's vectors."""
    if fingerprint.lane != VISUAL or not model:
        raise ValueError(f"a visual lane has a model and the fingerprint of a visual lane, got {model!r}, {fingerprint.lane!r}")
    if max_vectors * dim > MAX_VECTOR_NUMBERS:
        raise UsageError(
            f"{model} gives a page up to {max_vectors} vectors of {dim} numbers, {max_vectors * dim} in all: a point holds"
            f" {MAX_VECTOR_NUMBERS}",
            f"choose a model or a setting of at most {MAX_VECTOR_NUMBERS // dim} vectors a page",
        )
    wanted = fingerprint.settings.get("quantization", "none")
    known: tuple[Quantization, ...] = get_args(Quantization)
    for quantization in known:
        if quantization == wanted:
            return quantization
    raise UsageError(f"unknown quantization {wanted!r}", f"choose one of {', '.join(known)}")
