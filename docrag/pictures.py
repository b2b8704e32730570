"""Thumbnails of a library's pages for reports: drawn in guarded processes, several at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from docrag.client import Library
from docrag.errors import DocragError, PdfError, UnknownDocument
from docrag.eval.report.pictures import Picture, Pictures
from docrag.eval.report.thumbs import ThumbTask, draw_thumb
from docrag.eval.retrieval import DocumentPage
from docrag.ingest.guard import GuardedPool
from docrag.types import page_point_id

Progress = Callable[[int, int], None]
_NO_PLACES: Mapping[str, Path] = MappingProxyType({})


def draw_pages(
    library: Library,
    pages: Sequence[DocumentPage],
    places: Mapping[str, Path] = _NO_PLACES,
    password: str | None = None,
    progress: Progress | None = None,
) -> Pictures:
    """The pages (doc_id, 1-based number) as small WebP files; for one that can't be drawn, the reason.

    `places` is where the data has the PDF of a doc_id, for several documents may have that name; `password` opens
    encrypted PDFs; `progress` gets (done, total). Raises what opening the index raises.
    """
    drawn: dict[DocumentPage, Picture] = {}
    missing: dict[DocumentPage, str] = {}
    _ = library.index  # opened: only what its documents lack is a reason to leave out a page
    tasks = list(_tasks(library, pages, places, password, missing))
    config = library.config
    with GuardedPool(config.workers or os.cpu_count() or 1, config.page_timeout_s, config.worker_memory_mib) as pool:
        for done, (task, outcome) in enumerate(pool.map(draw_thumb, tasks), 1):
            if isinstance(outcome, PdfError):
                missing[task.page] = outcome.message
            else:
                drawn[task.page] = Picture(outcome, *task.size_pt)
            if progress:
                progress(done, len(tasks))
    return Pictures(drawn, missing, "" if drawn or not pages else f"the index at {library.location} has none of these pages")


def _tasks(
    library: Library,
    pages: Sequence[DocumentPage],
    places: Mapping[str, Path],
    password: str | None,
    missing: dict[DocumentPage, str],
) -> Iterator[ThumbTask]:
    for doc_id in dict.fromkeys(doc_id for doc_id, _ in pages):
        numbers = [number for name, number in pages if name == doc_id]
        try:
            sha256 = _resolve(library, doc_id, places.get(doc_id))
            path = str(library.index.blobs.path(sha256))
        except DocragError as error:
            missing.update({(doc_id, number): error.message for number in numbers})
            continue
        found = library.index.page_contents([page_point_id(sha256, number - 1) for number in numbers])
        sizes = {content.page.page_number: (content.width_pt, content.height_pt) for content in found}
        for number in numbers:
            if number in sizes:
                yield ThumbTask((doc_id, number), path, sizes[number], password)
            else:
                missing[doc_id, number] = "the index has no such page, or it could not be read"


def _resolve(library: Library, doc_id: str, place: Path | None) -> str:
    """The document by the path that the data gives it, or by any path that ends in its name, as `docrag eval` finds it."""
    if place is not None:
        try:
            return library.index.resolve_documents([str(place.absolute())])[0]
        except UnknownDocument:
            pass
    return library.index.resolve_documents([doc_id])[0]
