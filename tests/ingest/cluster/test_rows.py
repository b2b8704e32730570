# pyright: basic
# pyarrow has no types
"""What travels between the stages comes out as it went in."""

from __future__ import annotations

import os

import numpy as np
import pytest

from docrag.index.visual_encoder import ImageVectors
from docrag.ingest.cluster import rows
from docrag.ingest.cluster.visual_rows import (
    Look,
    add_looks,
    add_pixels,
    layout_of,
    looks_table,
    read_looks,
    read_pixels,
    read_seen,
)
from docrag.ingest.sources import SourceFile
from docrag.types import DocumentRef, Failure, PageRef, PageVectors
from docrag.visual import PatchBlock
from tests.index.world import World

DOCUMENT = World.document("one", 3)
FAILURE = Failure(DOCUMENT.sha256, "read", "PdfCrash", "it crashed", "try again", 3, "memory", True)


def test_names_that_are_no_utf8() -> None:
    found = [SourceFile(os.fsdecode(b"/a/caf\xe9.pdf"), 12, "17"), SourceFile("s3://bucket/ü.pdf", 2**40, "")]
    assert rows.read_sources(rows.sources_table(found)) == found
    assert rows.read_sources(rows.sources_table([])) == []


def test_chunks() -> None:
    odd = DocumentRef("ab" * 32, 9, "a title \ud800 of no text")
    chunks = [(DOCUMENT, (0, 2)), (odd, (8,))]
    found = rows.read_chunk_rows(rows.chunks_table(chunks, 8))
    assert found[0] == chunks[0]
    assert (found[1][0].sha256, found[1][0].pages, found[1][1]) == (odd.sha256, 9, (8,))


@pytest.mark.parametrize(
    ("sizes", "rows_of"),
    [([1] * 10, [8, 2]), ([8, 8, 3], [1, 1, 1]), ([8, 3, 4, 2], [1, 2, 1]), ([9, 1], [1, 1]), ([], [])],
)
def test_small_documents_share_a_row(sizes: list[int], rows_of: list[int]) -> None:
    chunks = [(World.document(str(at), size), tuple(range(size))) for at, size in enumerate(sizes)]
    table = rows.chunks_table(chunks, 8)
    assert [len(row["chunks"]) for row in table.to_pylist()] == rows_of
    assert rows.read_chunk_rows(table) == chunks


def test_pages_with_their_vectors() -> None:
    (first, vectors), (second, _) = World.page(DOCUMENT, 0), World.page(DOCUMENT, 1)
    bare = PageVectors(second.page)
    table = rows.pages_table([(DOCUMENT, first), (DOCUMENT, second), (DOCUMENT, FAILURE)])
    table = rows.add_vectors(table, [vectors, bare, None])

    (place, one), (_, two), (third, failure) = rows.read_page_rows(table)
    assert place == first.page
    assert not isinstance(one, Failure)
    assert (one.text, one.captions) == (first.text, first.captions)
    assert np.allclose([one.passages[1].box], [first.passages[1].box], atol=0.01)  # as an index keeps it
    assert not isinstance(two, Failure)
    assert (third.page_index, failure) == (2, FAILURE)

    found, without, none = rows.read_vectors(table)
    assert none is None
    assert found is not None
    assert without is not None
    assert vectors.passages is not None
    assert found.passages is not None
    assert np.array_equal(found.passages, vectors.passages)
    assert found.bm25 == vectors.bm25
    assert (without.passages, without.bm25) == (None, None)


def test_pixels_then_vectors() -> None:
    looks = [Look(PageRef(DOCUMENT, index), (4, 3), 0.5) for index in range(3)]
    image = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
    table = add_pixels(looks_table(looks), [image, FAILURE, image + 1])
    assert read_looks(table) == looks
    first, failure, third = read_pixels(table)
    assert not isinstance(first, Failure)
    assert not isinstance(third, Failure)
    assert np.array_equal(first, image)
    assert np.array_equal(third, image + 1)
    assert failure == FAILURE

    vectors = np.ones((5, 8), np.float16)
    seen = ImageVectors(vectors, (PatchBlock(1, 2, 2, (0.0, 0.0, 1.0, 1.0)),))
    table = add_looks(table, [seen, FAILURE, seen])
    assert "pixels" not in table.column_names
    (look, found), (_, failed), _ = read_seen(table)
    assert look == looks[0]
    assert isinstance(found, ImageVectors)
    assert np.array_equal(found.vectors, vectors)
    assert layout_of(look, found).blocks == seen.blocks
    assert failed == FAILURE
