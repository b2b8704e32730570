"""Images of a context: drawn at exactly the size that was counted, and text in the place of what can't be drawn."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docrag.index.blobs import BlobStore
from docrag.ingest.guard import GuardedPool
from docrag.pipelines.assemble import assemble
from docrag.pipelines.drawing import cut_text, draw_parts
from docrag.pipelines.tokens import CONSERVATIVE, QWEN2_VL, TokenRule
from docrag.types import DocumentRef, Evidence, PageContent, PageRef
from tests.ingest import hostile


def words(text: str) -> int:
    return len(text.split())


RULE = TokenRule(QWEN2_VL, words, 2)


class Shelf:
    """The part of an index that drawing uses: where the PDFs lie."""

    def __init__(self, folder: Path) -> None:
        self.blobs = BlobStore(str(folder))

    def put(self, path: Path) -> str:
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        self.blobs.put(sha256, path)
        return sha256


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "blobs")


@pytest.fixture(scope="module")
def pool() -> Iterator[GuardedPool]:
    with GuardedPool(2, timeout_s=30, memory_mib=1024) as made:
        yield made


def page(sha256: str, pages: int, index: int, text: str) -> Evidence:
    count = len(text.split())
    boxes = np.tile(np.array([50, 50, 90, 60], np.float32), (count, 1))
    ref = PageRef(DocumentRef(sha256, pages), index)
    return Evidence(PageContent(ref, 400, 800, text, boxes, "layer" if count else "none"), f"{sha256[:4]}.pdf", 0.5)


def size(data: bytes | None) -> tuple[int, int]:
    assert data is not None
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "JPEG"
        return picture.size


def test_images_have_the_sizes_that_were_counted(tmp_path, shelf, pool):
    sha256 = shelf.put(hostile.text_pdf(tmp_path / "a.pdf", ["alpha", "beta", "gamma"], size=(400, 800)))
    items = [page(sha256, 3, index, f"page {index}") for index in range(3)]
    focus = {items[0].content.page.point_id: (30.0, 30.0, 200.0, 100.0)}
    context = assemble(items, RULE, 2_200, focus)
    drawn = draw_parts(shelf, context, pool, words)
    assert (drawn.context, drawn.failures) == (context, ())
    assert len(drawn.images) == len(context.parts)
    for part, data in zip(context.parts, drawn.images, strict=True):
        assert (data is None) == (part.kind != "image")
        if part.kind == "image":
            assert size(data) == part.image_size_px
            assert RULE.image_tokens(size(data)) == part.tokens
    assert any(part.clip for part in context.parts)


def test_a_pdf_that_is_gone_gives_its_text_and_the_reason(tmp_path, shelf, pool):
    sha256 = shelf.put(hostile.text_pdf(tmp_path / "a.pdf", ["alpha"], size=(400, 800)))
    gone = hashlib.sha256(b"gone").hexdigest()
    text = "one two three\n" * 300
    items = [page(sha256, 1, 0, "alpha"), page(gone, 1, 0, text), page("b" * 64, 1, 0, "")]
    context = assemble(items, TokenRule(CONSERVATIVE, words), 5_500)
    assert [item.shown for item in context.evidence].count("reduced") >= 1
    drawn = draw_parts(shelf, context, pool, words)
    assert drawn.context.tokens <= context.budget
    assert {failure.document for failure in drawn.failures} == {f"{gone[:4]}.pdf", "bbbb.pdf"}
    assert {(failure.stage, failure.error, failure.page_number) for failure in drawn.failures} == {("draw", "IndexDamaged", 1)}
    assert all("missing" in failure.message or "not" in failure.message for failure in drawn.failures)
    kept = {(part.document, part.kind) for part in drawn.context.parts}
    assert (f"{sha256[:4]}.pdf", "image") in kept
    assert kept & {(f"{gone[:4]}.pdf", "image"), ("bbbb.pdf", "image")} == set()
    assert (f"{gone[:4]}.pdf", "text") in kept
    assert {item.shown for item in drawn.context.evidence if item.name != f"{sha256[:4]}.pdf"} == {"text"}
    assert len(drawn.images) == len(drawn.context.parts)


def test_a_page_that_mupdf_refuses_becomes_text_too(tmp_path, shelf, pool):
    sha256 = shelf.put(hostile.encrypted_pdf(tmp_path / "a.pdf", "secret", "swordfish"))
    context = assemble([page(sha256, 1, 0, "what was read of it " * 20)], RULE, 600)
    assert context.parts[1].kind == "image"
    drawn = draw_parts(shelf, context, pool, words)
    assert [failure.error for failure in drawn.failures] == ["PdfPassword"]
    assert drawn.failures[0].lacked == "password"
    assert [part.kind for part in drawn.context.parts] == ["marker", "text"]
    assert "could not be drawn" in drawn.context.parts[1].why
    opened = draw_parts(shelf, context, pool, words, password="swordfish")
    assert (opened.failures, size(opened.images[1])) == ((), context.parts[1].image_size_px)


def test_text_is_cut_to_the_tokens_between_words():
    text = "one two three\nfour five six\nseven"
    assert cut_text(text, 7, words) == (text, 7)
    shorter, count = cut_text(text, 4, words)
    assert text.startswith(shorter)
    assert words(shorter) == count <= 4
    assert text[len(shorter)].isspace()
    assert cut_text(text, 0, words) == ("", 0)
    assert cut_text("", 5, words) == ("", 0)
    assert cut_text("x" * 1000, 10, len) == ("", 0)
