"""A visual encoder for tests, and pages and an index for it.

What stands in a patch is a word, and every word has a direction of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docrag.index.bm25 import encode_page
from docrag.index.library_index import LibraryIndex
from docrag.index.pooling import pool_page
from docrag.index.records import IndexSettings, LaneFingerprint, ReadSettings
from docrag.index.visual_encoder import ImageFailure, ImageVectors, QuestionVectors
from docrag.ingest.stages import TEXT_VERSION, lane_fingerprints
from docrag.testing import HashEncoder
from docrag.types import Box, DocumentRef, Failure, PageContent, PageRef, PageVectors, Region, Source
from docrag.visual import PageVisual, PatchBlock, PatchLayout

DIM = 64
SIZE_PT = (600.0, 800.0)
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
WORDS = ("alpha", "beta", "gamma", "delta", "ink", "red", "boats", "harbour", "station", "trains", "chart", "the", "of", "what")
_UNKNOWN, _BLANK, _PROMPT = DIM - 3, DIM - 2, DIM - 1


def direction(word: str) -> NDArray[np.float16]:
    """float16 [DIM], of length 1, at a right angle to every other word's; all unknown words have one."""
    return np.eye(DIM, dtype=np.float16)[WORDS.index(word) if word in WORDS else _UNKNOWN]


def look(rows: Sequence[str], before: int = 0) -> NDArray[np.float16]:
    """The vectors of a grid of patches, given as rows of words ("." is a blank), behind `before` vectors of a prompt."""
    eye = np.eye(DIM, dtype=np.float16)
    patches = [eye[_BLANK] if word == "." else direction(word) for row in rows for word in row.split()]
    return np.stack([*[eye[_PROMPT]] * before, *patches])


def layout(*blocks: tuple[int, int, int, Box]) -> PatchLayout:
    """Blocks as (start, rows, columns, area)."""
    return PatchLayout((280, 280), 0.5, tuple(PatchBlock(*block) for block in blocks))


def asked(words: Sequence[str]) -> QuestionVectors:
    """A question of these words; "" is of the prompt."""
    eye = np.eye(DIM, dtype=np.float16)
    vectors = np.stack([direction(word) if word else eye[_PROMPT] for word in words])
    return QuestionVectors(vectors.astype(np.float32), tuple(words))


class WordsInPatches:
    """A `VisualEncoder` of questions alone, behind a prompt of one token."""

    fingerprint = LaneFingerprint(
        "visual", "words in patches", "1", settings={"pooling": "rows_columns", "quantization": "none"}
    )
    source, dim, device, precision, max_vectors = "words", DIM, "cpu", "float32", 100

    def image_size_px(self, width_pt: float, height_pt: float) -> tuple[int, int]:
        return 280, 280

    def count_vectors(self, image_size_px: tuple[int, int]) -> int:
        return 100

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> list[ImageVectors | ImageFailure]:
        raise NotImplementedError

    def encode_question(self, question: str) -> QuestionVectors:
        return asked(["", *re.findall(r"\w+", question.lower())])


class Shelf:
    """An index, and the means to put documents into it."""

    def __init__(self, location: str, blobs: Path) -> None:
        read = ReadSettings("auto", "eng", 150, TEXT_VERSION)
        self.index = LibraryIndex.create(location, IndexSettings(lane_fingerprints("float32"), read, str(blobs)))

    def put(self, name: str, pages: Sequence[tuple[str, str]], unread: Sequence[int] = ()) -> DocumentRef:
        document = DocumentRef(hashlib.sha256(name.encode()).hexdigest(), len(pages))
        contents = [_content(PageRef(document, at), text, at in unread) for at, (text, _) in enumerate(pages)]
        self.index.write_pages([(content, _text_vectors(content)) for content in contents])
        self.index.commit_document(document)
        self.index.put_source(Source(f"/library/{name}", 1, "1", document.sha256))
        return document

    def add_lane(self) -> None:
        self.index.add_visual(WordsInPatches.fingerprint, "words", DIM, 100)

    def see(self, document: DocumentRef, pages: Sequence[tuple[str, str]], failed: Sequence[int] = ()) -> None:
        grid = layout((1, 1, 2, WHOLE))
        for at, (_, seen) in enumerate(pages):
            page = PageRef(document, at)
            if at in failed:
                failure = Failure("a document", "look", "NotFinite", "NaN", page_number=at + 1)
                self.index.write_visual_failures([(page, failure)])
                continue
            vectors = look([seen], before=1)
            self.index.write_visual([PageVisual(page, vectors, pool_page(vectors, grid.blocks), grid)])
        self.index.commit_visual(document.sha256)


def _content(page: PageRef, text: str, unread: bool) -> PageContent:
    words = len(text.split())
    boxes = np.asarray([[50 + 60 * at, 90, 100 + 60 * at, 110] for at in range(words)], np.float32).reshape(-1, 4)
    passages = (Region(0, words, "text", (50, 90, 500, 110)),) if words else ()
    return PageContent(page, *SIZE_PT, text, boxes, "layer" if words else "none", passages, unread=unread)


def _text_vectors(content: PageContent) -> PageVectors:
    passages = HashEncoder().encode([content.text]).astype(np.float16) if content.text else None
    return PageVectors(content.page, passages, encode_page(content))
