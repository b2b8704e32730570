"""The doctor's look at an index: does it open, is all there, and do the encoders here still give the vectors that are in it?

Stored vectors are made again from what they were made from: passages from the stored text, page images from the stored PDFs.
An encoder that changed (a package, its weights, a kernel, a quantization) still answers, and finds less; only this tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docrag.config import Config
from docrag.doctor.check import Check, look
from docrag.errors import IndexDamaged, PdfError
from docrag.index.bm25 import encode_page
from docrag.index.encoders import MiniLM, TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.index.pooling import pool_page
from docrag.index.records import DocumentRecord, check_same
from docrag.index.store import BM25, PASSAGES, VISUAL, VISUAL_POOLED, LaneQuery
from docrag.index.visual_encoder import ImageVectors, VisualEncoder
from docrag.ingest.guard import GuardedPool
from docrag.ingest.render import render_pixels
from docrag.ingest.stages import embedding_text, lane_fingerprints
from docrag.sampling import spread, spread_pages
from docrag.types import PageContent, SparseVector, page_point_id
from docrag.visual import PatchLayout

Seen = tuple[tuple[int, int], ImageVectors]

SAMPLE_PAGES = 24  # spread over all pages: some 120 passages, a second or two
GOLDEN_PAGES = 8  # of those, asked as questions
VISUAL_PAGES = 3  # a model of 3B takes 20 s a page on a CPU
VISUAL_CANDIDATES = 64
LOOKED_AT_DOCUMENTS = 200
# The least cosine of a passage's stored vector and the one made now. bfloat16 against float32 gives 0.9998 at least, dynamic
# int8 0.83 to 0.92 (LOG.md, the encoder); another model 0.
LEAST_COSINE = 0.99
# The least median over a page's patches: single ones stray further in bfloat16 and between devices.
LEAST_MEDIAN = 0.99
LEAST_POOLED = 0.99  # of stored vectors pooled again: nothing but rounding lies between
_TIE = 5e-3  # scores of float16 vectors of length 1 that are as good as equal
_GOLDEN_ROWS = 32  # of a page's visual vectors, asked as a question
_VERIFY = "`docrag verify` says what; `docrag verify --repair`, then ingest again"
_VISUAL = (
    "use the model and the versions that it was made with, or make the lane anew: `docrag delete --visual`, then"
    " `docrag ingest --visual MODEL`"
)
_ENCODER = "install the versions that docrag requires (`make setup`); if they are, ingest into a new index"


@dataclass(frozen=True, slots=True)
class Sample:
    """Some pages with passages, spread over the index, and their stored `passages` vectors (float16 [n_passages, 384])."""

    contents: tuple[PageContent, ...]
    stored: tuple[NDArray[np.float16], ...]


def check_index(location: str, password: str | None = None) -> list[Check]:
    """All looks at the index at `location`. Opening it may fail: that is then the one line."""
    opened: list[LibraryIndex] = []
    found = look("index", _open, location, opened)
    for index in opened:
        with index:
            found += _look_inside(index, password)
    return found


def _open(location: str, opened: list[LibraryIndex]) -> Iterator[Check]:
    """Puts the open index into `opened`."""
    index = LibraryIndex.open(location)
    opened.append(index)
    pages = sum(record.document.pages for record in index.documents())
    lanes = ", ".join(lane.lane for lane in index.settings.lanes)
    yield Check("index", "ok", f"{location}: {len(index.documents())} documents, {pages} pages; lanes {lanes}")


def _look_inside(index: LibraryIndex, password: str | None) -> list[Check]:
    samples: list[Sample] = []
    found = look("index settings", check_settings, index)
    found += look("index records", check_records, index)
    found += look("self-test", _take_sample, index, samples)
    for sample in samples:
        found += look("self-test passages", _check_text, index, sample)
        found += look("self-test bm25", check_bm25, index, sample)
    if index.visual is not None:
        found += look("visual lane", _check_owed, index)
        found += look("self-test visual", _check_visual, index, password)
    return found


def _take_sample(index: LibraryIndex, samples: list[Sample]) -> Iterator[Check]:
    """Puts the sample into `samples`, unless there is no page to take."""
    sample = take_sample(index)
    if sample.contents:
        samples.append(sample)
    else:
        yield Check("self-test", "ok", "no page with text: nothing to test")


def check_settings(index: LibraryIndex) -> Iterator[Check]:
    """Whether the text lanes were made by what this version makes them by. Raises IndexMismatch where not."""
    check_same(index.location, index.settings, lane_fingerprints(), None)
    read = index.settings.read
    yield Check(
        "index settings", "ok", f"made as this version makes it; OCR {read.ocr}, language {read.lang}, {read.ocr_dpi} dpi"
    )


def check_records(index: LibraryIndex) -> Iterator[Check]:
    """Records against the number of pages and, for some documents, against their own pages and PDFs."""
    for damage in index.damaged_records:
        yield Check("index records", "wrong", damage.message, _VERIFY, damage=True)
    records = index.documents()
    wanted, there = sum(record.document.pages for record in records), index.store.count("pages")
    looked_at = spread(records, LOOKED_AT_DOCUMENTS)
    short = [record for record in looked_at if index.count_pages(record.document.sha256) != record.document.pages]
    gone = [record for record in looked_at if not index.blobs.exists(record.document.sha256)]
    failed, unread = sum(len(record.failures) for record in records), sum(len(record.unread_pages) for record in records)
    if short or there < wanted:
        told = f"{wanted} pages are on record, {there} are there" + (f"; {_named(index, short)} lack some" if short else "")
        yield Check("index records", "wrong", told, _VERIFY, damage=True)
    if gone:
        told = f"the PDFs of {_named(index, gone)} are not at {index.blobs.url}"
        yield Check("index records", "wrong", told, _VERIFY, damage=True)
    if not short and not gone and there >= wanted:
        leftover = f", {there - wanted} of an ingest that did not end" if there > wanted else ""
        told = f"{there} pages{leftover}; {failed} failed, {unread} unread; looked at {len(looked_at)} documents and their PDFs"
        yield Check("index records", "warning" if leftover else "ok", told, "ingest again: it goes on" if leftover else "")


def take_sample(index: LibraryIndex) -> Sample:
    """Up to SAMPLE_PAGES pages with passages, the same each time while the index is the same."""
    ids = [page_point_id(*place) for place in spread_pages(index.documents(), 3 * SAMPLE_PAGES)]
    contents = spread([content for content in index.page_contents(ids) if content.passages], SAMPLE_PAGES)
    vectors = index.lane_vectors([content.page.point_id for content in contents])
    for content in contents:
        rows = len(vectors.get(content.page.point_id, ()))
        if rows != len(content.passages):
            what = f"{index.name_of(content.page.document.sha256)}, page {content.page.page_number}"
            raise IndexDamaged(f"{what} has {len(content.passages)} passages and {rows} vectors for them", _VERIFY)
    return Sample(tuple(contents), tuple(vectors[content.page.point_id] for content in contents))


def _check_text(index: LibraryIndex, sample: Sample) -> Iterator[Check]:
    encoder = MiniLM(Config.resolve().precision)
    yield from check_passages(index, sample, encoder)


def check_passages(index: LibraryIndex, sample: Sample, encoder: TextEncoder) -> Iterator[Check]:
    """Embed the sample's passages again: the same vectors must come out, and asked as questions they must find their page."""
    texts = [embedding_text(content, region) for content in sample.contents for region in content.passages]
    made = encoder.encode(texts)
    stored = np.concatenate(sample.stored).astype(np.float32)
    cosines = _cosines(made, stored)
    bad = int((cosines < LEAST_COSINE).sum())
    told = f"{len(texts)} passages of {len(sample.contents)} pages embedded again ({encoder.fingerprint.precision}): "
    told += f"cosine {cosines.min():.4f} at least, median {np.median(cosines):.4f}"
    if bad:
        told = f"{told}; {bad} below {LEAST_COSINE}: the encoder no longer gives the vectors that the index was made with"
        yield Check("self-test passages", "wrong", told, _ENCODER, damage=True)
    else:
        yield Check("self-test passages", "ok", told)
    starts = np.cumsum([0, *(len(content.passages) for content in sample.contents)])
    golden = spread(range(len(sample.contents)), GOLDEN_PAGES)
    rows = [int(starts[page]) + len(sample.contents[page].passages) // 2 for page in golden]
    queries = [LaneQuery(PASSAGES.name, made[row : row + 1], 1) for row in rows]
    own = [float((sample.stored[page].astype(np.float32) @ made[row]).max()) for page, row in zip(golden, rows, strict=True)]
    yield _golden(index, "self-test questions", [sample.contents[page] for page in golden], queries, own)


def check_bm25(index: LibraryIndex, sample: Sample) -> Iterator[Check]:
    """Weigh the sample's words again: the same terms and weights must come out."""
    points = index.store.retrieve("pages", [content.page.point_id for content in sample.contents], (), (BM25.name,))
    stored = {point.id: point.vectors.get(BM25.name) for point in points}
    bad = [content for content in sample.contents if not _same_terms(content, stored.get(content.page.point_id))]
    if bad:
        told = f"{len(bad)} of {len(sample.contents)} pages have other terms or weights than are stored"
        yield Check("self-test bm25", "wrong", f"{told}: the tokenizer or stemmer changed", _ENCODER, damage=True)
    else:
        yield Check("self-test bm25", "ok", f"the terms of {len(sample.contents)} pages weighed again: as stored")


def _same_terms(content: PageContent, stored: object) -> bool:
    made = encode_page(content, content.page.document.title)
    if made is None or not made.indices:
        return stored is None
    if not isinstance(stored, SparseVector):
        return False
    mine, theirs = (dict(zip(vector.indices, vector.values, strict=True)) for vector in (made, stored))
    return mine.keys() == theirs.keys() and all(abs(mine[term] - theirs[term]) <= 1e-3 * abs(mine[term]) for term in mine)


def _golden(
    index: LibraryIndex, name: str, contents: Sequence[PageContent], queries: Sequence[LaneQuery], own: Sequence[float]
) -> Check:
    """Each query must find its page first, or one that is as good; `own` are the scores that the pages should have."""
    lost: list[str] = []
    for content, found, score in zip(contents, index.search(queries), own, strict=True):
        # The same words may stand on two pages: then either may be first, and a page that scores less was not found at all.
        if not found or abs(found[0].score - score) > _TIE * max(abs(score), 1.0):
            lost.append(f"{index.name_of(content.page.document.sha256)}, page {content.page.page_number}")
    if lost:
        told = f"{len(lost)} of {len(queries)} pages are not found by their own content, the first: {lost[0]}"
        return Check(name, "wrong", told, _VERIFY, damage=True)
    return Check(name, "ok", f"{len(queries)} pages asked for by their own content: each found first")


def _check_owed(index: LibraryIndex) -> Iterator[Check]:
    progress = index.visual_progress()
    if progress.documents_owing:
        told = f"{progress.documents_owing} of {progress.documents} documents owe the visual lane, {progress.pages_owing} pages"
        yield Check("visual lane", "warning", told, "`docrag ingest` with the same sources goes on with it")
    else:
        yield Check("visual lane", "ok", f"complete for all {progress.documents} documents; model {index.visual_model}")


def _check_visual(index: LibraryIndex, password: str | None) -> Iterator[Check]:
    config = Config.resolve()
    if config.visual == "none":
        yield Check("self-test visual", "ok", 'not made: DOCRAG_VISUAL is "none"')
        return
    from docrag.index.visual_models import open_visual

    encoder = open_visual(config.visual or index.visual_model, config.device, config.precision)
    yield from check_visual(index, encoder, password)


def check_visual(index: LibraryIndex, encoder: VisualEncoder, password: str | None = None) -> Iterator[Check]:
    """Draw and embed a few pages again: model, size and vectors must be as stored. Raises IndexMismatch on another model."""
    lane = index.visual
    if lane is None:
        return
    made = encoder.fingerprint
    index.check_visual(replace(made, settings={**lane.settings, **made.settings}))
    ids = [page_point_id(*place) for place in spread_pages(index.documents(), VISUAL_CANDIDATES)]
    layouts = index.visual_layout(ids)
    contents = spread([content for content in index.page_contents(ids) if content.page.point_id in layouts], VISUAL_PAGES)
    if not contents:
        yield Check("self-test visual", "ok", "no page among those looked at has visual vectors: nothing to test")
        return
    stored = index.lane_vectors([content.page.point_id for content in contents], VISUAL)
    medians: list[float] = []
    for content, told in zip(contents, _look_again(index, encoder, contents, password), strict=True):
        id_ = content.page.point_id
        place = f"{index.name_of(content.page.document.sha256)}, page {content.page.page_number}"
        if isinstance(told, str):
            yield Check(
                "self-test visual", "warning", f"{place} could not be looked at again: {told}", "see `docrag show` for it"
            )
        elif id_ not in stored or not _same_patches(told, layouts[id_], stored[id_]):
            yield Check("self-test visual", "wrong", f"{place} is cut into other patches than are stored", _VISUAL, damage=True)
        else:
            medians.append(float(np.median(_cosines(told[1].vectors, stored[id_]))))
    yield from _tell_medians(medians, encoder)
    yield _check_pooled(index, contents, stored, layouts)
    sound = [content for content in contents if content.page.point_id in stored]
    yield _golden(index, "self-test visual questions", sound, *_visual_questions(sound, stored))


def _same_patches(seen: Seen, layout: PatchLayout, stored: NDArray[np.float16]) -> bool:
    size_px, found = seen
    return size_px == layout.image_size_px and found.blocks == layout.blocks and found.vectors.shape == stored.shape


def _tell_medians(medians: Sequence[float], encoder: VisualEncoder) -> Iterator[Check]:
    if not medians:
        return
    told = f"{len(medians)} pages drawn and embedded again ({encoder.device}, {encoder.precision}): "
    told += f"median cosine {min(medians):.4f} at least"
    if min(medians) < LEAST_MEDIAN:
        told = f"{told}, below {LEAST_MEDIAN}: the model no longer gives the vectors that the index was made with"
        yield Check("self-test visual", "wrong", told, _VISUAL, damage=True)
    else:
        yield Check("self-test visual", "ok", told)


def _look_again(
    index: LibraryIndex, encoder: VisualEncoder, contents: Sequence[PageContent], password: str | None
) -> Iterator[Seen | str]:
    """Each page's vectors as they come out now, with the size that it was drawn at (px); or why there are none."""
    config = Config.resolve()
    with GuardedPool(1, config.page_timeout_s, config.worker_memory_mib) as pool:
        for content in contents:
            size_px = encoder.image_size_px(content.width_pt, content.height_pt)
            path = str(index.blobs.path(content.page.document.sha256))
            try:
                pixels = pool.call(render_pixels, path, content.page.page_index, size_px, password)
            except PdfError as error:
                yield error.message
                continue
            found = encoder.encode_images([pixels])[0]
            yield (size_px, found) if isinstance(found, ImageVectors) else found.message


def _check_pooled(
    index: LibraryIndex,
    contents: Sequence[PageContent],
    stored: dict[str, NDArray[np.float16]],
    layouts: dict[str, PatchLayout],
) -> Check:
    """Pool the stored vectors again: the first stage must search what they pool to."""
    method = index.pooling
    ids = [content.page.point_id for content in contents if content.page.point_id in stored]
    pooled = index.lane_vectors(ids, VISUAL_POOLED)
    bad = 0
    for id_ in ids:
        made = pool_page(stored[id_], layouts[id_].blocks, method)
        same = id_ in pooled and pooled[id_].shape == made.shape
        bad += not same or float(np.median(_cosines(made, pooled[id_]))) < LEAST_POOLED
    if bad:
        told = f"{bad} of {len(ids)} pages pool to other vectors than are stored"
        return Check("self-test visual_pooled", "wrong", told, _VISUAL, damage=True)
    return Check("self-test visual_pooled", "ok", f"{len(ids)} pages pooled again ({method}): as stored")


def _visual_questions(
    contents: Sequence[PageContent], stored: dict[str, NDArray[np.float16]]
) -> tuple[list[LaneQuery], list[float]]:
    """Some of each page's own vectors, asked in two stages as searches are, and the score that the page should have."""
    queries: list[LaneQuery] = []
    own: list[float] = []
    for content in contents:
        vectors = stored[content.page.point_id].astype(np.float32)
        rows = vectors[np.array(spread(range(len(vectors)), _GOLDEN_ROWS))]
        queries.append(LaneQuery(VISUAL, rows, 1, prefetch=LaneQuery(VISUAL_POOLED, rows, VISUAL_CANDIDATES)))
        own.append(float((rows @ vectors.T).max(axis=1).sum()))
    return queries, own


def _cosines(one: NDArray[np.floating[Any]], other: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Row by row: [n, dim] and [n, dim] to [n]."""
    left, right = one.astype(np.float32), other.astype(np.float32)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return (left * right).sum(axis=1) / np.maximum(lengths, 1e-12)


def _named(index: LibraryIndex, records: Sequence[DocumentRecord]) -> str:
    names = [index.name_of(record.document.sha256) for record in records[:3]]
    return ", ".join(names) + (f" and {len(records) - 3} more" if len(records) > 3 else "")
