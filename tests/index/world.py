"""A small library made by hand. Light to import: the tests with several processes start many that need it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from docrag.index.library_index import LibraryIndex
from docrag.index.records import IndexSettings, LaneFingerprint, ReadSettings
from docrag.types import DocumentRef, Failure, PageContent, PageRef, PageVectors, Region, Source, SparseVector

LANES = (
    LaneFingerprint("passages", "minilm", "1", "abc", "float32", {"dim": 384}),
    LaneFingerprint("bm25", "qdrant-bm25", "1", settings={"language": "english"}),
)
SETTINGS = IndexSettings(lanes=LANES, read=ReadSettings("auto", "eng", 150, 1))


@dataclass(frozen=True)
class World:
    """An open index and the means to put small documents into it."""

    index: LibraryIndex
    settings: IndexSettings = SETTINGS

    @property
    def is_served(self) -> bool:
        return "://" in self.index.location

    @staticmethod
    def data(name: str) -> bytes:
        return f"%PDF {name}".encode()

    @classmethod
    def document(cls, name: str, pages: int = 3) -> DocumentRef:
        return DocumentRef(hashlib.sha256(cls.data(name)).hexdigest(), pages, f"Title of {name}")

    @staticmethod
    def page(document: DocumentRef, page_index: int, text: str = "") -> tuple[PageContent, PageVectors]:
        """A page of two passages whose vectors and terms come from its text alone."""
        ref = PageRef(document, page_index, f"p{page_index + 1}")
        text = text or f"alpha beta\n\ngamma page{page_index}"
        words = text.split()
        boxes = np.asarray([[10.0 * i, 20.25, 10.0 * i + 8, 30.5] for i in range(len(words))], np.float32)
        half = max(1, len(words) // 2)
        regions = (
            Region(0, half, "title", (0, 0, 100, 40)),
            Region(half, len(words), "text", (0, 40, 100.126, 80), "a heading"),
        )
        content = PageContent(ref, 612.0, 792.5, text, boxes, "layer", regions, ("table 2",), str(page_index + 7))
        rng = np.random.default_rng([int(document.sha256[:8], 16), page_index])
        rows = rng.normal(size=(2, 384))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        terms = {int(hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()[:7], 16): 1.0 for word in words}
        sparse = SparseVector(tuple(terms), tuple(terms.values()))
        return content, PageVectors(ref, rows.astype(np.float16), sparse)

    def add(self, name: str, pages: int = 3, record: bool = True) -> DocumentRef:
        """A document named /library/NAME, with its PDF; without a record it is as an interrupted ingest leaves it."""
        document = self.document(name, pages)
        self.index.blobs.put(document.sha256, self.data(name))
        self.index.write_pages([self.page(document, page_index) for page_index in range(pages)])
        if record:
            self.index.commit_document(document)
            self.index.put_source(self.source(name, document))
        return document

    @staticmethod
    def source(name: str, document: DocumentRef | None, version: str = "1") -> Source:
        failure = Failure(name, "read", "PdfUnreadable", "no PDF") if document is None else None
        return Source(f"/library/{name}", 12, version, document.sha256 if document else None, failure)
