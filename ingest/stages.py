"""The stages after reading, as plain functions over plain values: encode pages, write them, commit a document."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from docrag.index.bm25 import encode_page
from docrag.index.encoders import TextEncoder, minilm_fingerprint
from docrag.index.records import LaneFingerprint
from docrag.types import PageContent, PageVectors, Region

# Raised whenever the text of a page, its passages or what is embedded of them changes: an index does not mix two.
TEXT_VERSION = 1
BM25_REVISION = "1"  # raised with the terms or weights of `docrag.index.bm25`


def lane_fingerprints(precision: str = "") -> tuple[LaneFingerprint, ...]:
    """What the lanes of this version are made by; known without loading a model."""
    return (
        minilm_fingerprint(precision),
        LaneFingerprint("bm25", "qdrant Bm25 with word pairs", BM25_REVISION, settings={"language": "english"}),
    )


def embedding_text(content: PageContent, region: Region) -> str:
    """What is embedded of a passage: its heading, which says what it is about, then its words."""
    text = content.passage_text(region)
    return f"{region.heading}\n{text}" if region.heading else text


def encode_pages(contents: Sequence[PageContent], encoder: TextEncoder) -> list[PageVectors]:
    """The text lanes of some pages, encoded together; a page without text has no lane."""
    texts = [embedding_text(content, region) for content in contents for region in content.passages]
    vectors = encoder.encode(texts).astype(np.float16) if texts else np.zeros((0, 1), np.float16)
    found: list[PageVectors] = []
    start = 0
    for content in contents:
        end = start + len(content.passages)
        passages = vectors[start:end] if end > start else None
        found.append(PageVectors(content.page, passages, encode_page(content, content.page.document.title)))
        start = end
    return found
