"""Pages for the readers' tests: drawn with MuPDF and read back, so that words stand where a real PDF has them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from itertools import groupby

import numpy as np
import pymupdf
import pytest

from docrag.types import Context, DocumentRef, Evidence, PageContent, PageRef, Region

Segment = tuple[float, float, str] | tuple[float, float, str, float]
DrawPage = Callable[..., Evidence]


def _region(words: list[tuple], start: int, heading: str, kind: str) -> Region:
    boxes = np.array([word[:4] for word in words])
    box = (boxes[:, 0].min(), boxes[:, 1].min(), boxes[:, 2].max(), boxes[:, 3].max())
    return Region(start, start + len(words), kind, box, heading)


def _content(page: pymupdf.Page, ref: PageRef) -> PageContent:
    words = page.get_text("words")
    blocks, regions, start, heading = [], [], 0, ""
    for _, block in groupby(words, key=lambda word: word[5]):
        block = list(block)
        blocks.append("\n".join(" ".join(w[4] for w in line) for _, line in groupby(block, key=lambda word: word[6])))
        large = block[0][3] - block[0][1] > 20
        regions.append(_region(block, start, heading, "title" if large else "text"))
        heading = blocks[-1] if large else heading
        start += len(block)
    boxes = np.array([word[:4] for word in words], dtype=np.float32).reshape(-1, 4)
    source = "layer" if words else "none"
    return PageContent(ref, page.rect.width, page.rect.height, "\n\n".join(blocks), boxes, source, tuple(regions))


@pytest.fixture
def draw_page() -> DrawPage:
    """(x, y, text[, size]) segments to an evidence page; 18 points and more are titles."""

    def draw(*segments: Segment, index: int = 0, name: str = "report.pdf", score: float = 1.0, shown: str = "text") -> Evidence:
        with pymupdf.open() as document:
            page = document.new_page(width=595, height=842)
            for x, y, text, *size in segments:
                page.insert_text((x, y), text, fontsize=size[0] if size else 10)
            ref = PageRef(DocumentRef(hashlib.sha256(name.encode()).hexdigest(), 40, ""), index)
            return Evidence(_content(page, ref), name, score, "retrieved", shown)

    return draw


@pytest.fixture
def draw_table(draw_page: DrawPage) -> Callable[..., tuple[Segment, ...]]:
    """Rows of cells to segments, columns at `xs`, from `y` on; a cell that is '' is left out."""

    def lay(rows: list[tuple[str, ...]], xs: tuple[float, ...], y: float = 120) -> tuple[Segment, ...]:
        return tuple(
            (x, y + 18 * number, cell) for number, row in enumerate(rows) for x, cell in zip(xs, row, strict=True) if cell
        )

    return lay


@pytest.fixture
def as_context() -> Callable[..., Context]:
    """Evidence pages to a context without parts: all that `quote` looks at."""

    def make(*pages: Evidence) -> Context:
        return Context((), pages, 10**6)

    return make
