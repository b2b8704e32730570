# pyright: basic
# pyarrow has no types
"""What travels between the stages on a cluster: tables of plain columns, to and from docrag's own types.

Frozen dataclasses would be pickled, row by row. File names travel as bytes, for they need not be UTF-8; PDFs don't travel, but
the sha256 by which the blob store has them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from docrag.index.pages import failed_page_payload, page_content, page_failure, page_payload
from docrag.index.payload import utf8
from docrag.index.store import PASSAGES
from docrag.ingest.sources import SourceFile
from docrag.types import DocumentRef, Failure, PageContent, PageRef, PageVectors, SparseVector

_DOCUMENT = [("document", pa.string()), ("pages", pa.int32()), ("title", pa.string())]
SOURCES = pa.schema([("name", pa.binary()), ("size", pa.int64()), ("version", pa.string())])
_CHUNK = pa.struct([*_DOCUMENT, ("page_indices", pa.list_(pa.int32()))])
CHUNKS = pa.schema([("chunks", pa.list_(_CHUNK))])
PAGES = pa.schema([*_DOCUMENT, ("page_index", pa.int32()), ("payload", pa.binary()), ("failed", pa.bool_())])
_VECTORS = [("passages", pa.binary()), ("bm25_indices", pa.binary()), ("bm25_values", pa.binary())]
ENCODED = pa.schema([*PAGES, *(pa.field(name, kind) for name, kind in _VECTORS)])

Page = PageContent | Failure


def sources_table(sources: Iterable[SourceFile]) -> pa.Table:
    rows = [{"name": os.fsencode(source.name), "size": source.size, "version": source.version} for source in sources]
    return pa.Table.from_pylist(rows, SOURCES)


def read_sources(table: pa.Table) -> list[SourceFile]:
    return [SourceFile(os.fsdecode(row["name"]), row["size"], row["version"]) for row in table.to_pylist()]


def chunks_table(chunks: Iterable[tuple[DocumentRef, Sequence[int]]], most_pages: int) -> pa.Table:
    """Pages (0-based) of documents that are to be read together. A row has as many of the chunks as have `most_pages` in all.

    On a cluster a row travels alone, which takes longer than to read a page or two: so small documents share one.
    """
    packed: list[list[tuple[DocumentRef, Sequence[int]]]] = []
    room = 0
    for document, pages in chunks:
        if len(pages) > room:
            packed.append([])
            room = most_pages
        packed[-1].append((document, pages))
        room -= len(pages)
    return pa.Table.from_pylist([{"chunks": [_chunk_row(*chunk) for chunk in row]} for row in packed], CHUNKS)


def read_chunk_rows(table: pa.Table) -> list[tuple[DocumentRef, tuple[int, ...]]]:
    """The chunks of all rows."""
    chunks = [chunk for row in table.to_pylist() for chunk in row["chunks"]]
    return [(_read_document(chunk), tuple(chunk["page_indices"])) for chunk in chunks]


def pages_table(pages: Iterable[tuple[DocumentRef, Page]]) -> pa.Table:
    return pa.Table.from_pylist([_page_row(document, page) for document, page in pages], PAGES)


def read_page_rows(table: pa.Table) -> list[tuple[PageRef, Page]]:
    """Each page's place, with its content or its failure. The boxes are as an index keeps them, to 1/8 pt."""
    return [_read_page(row) for row in table.to_pylist()]


def add_vectors(table: pa.Table, vectors: Sequence[PageVectors | None]) -> pa.Table:
    """A table of pages with the vectors of each; None for one that failed."""
    for name, kind in _VECTORS:
        column = [None if found is None else _VECTOR_BYTES[name](found) for found in vectors]
        table = table.append_column(name, pa.array(column, kind))
    return table


def read_vectors(table: pa.Table) -> list[PageVectors | None]:
    """The vectors of each page of an encoded table, None for one that failed."""
    return [None if row["failed"] else _read_vectors(row) for row in table.to_pylist()]


def _document(document: DocumentRef) -> dict[str, Any]:
    return {"document": document.sha256, "pages": document.pages, "title": utf8(document.title)}


def _read_document(row: dict[str, Any]) -> DocumentRef:
    return DocumentRef(row["document"], row["pages"], row["title"])


def _chunk_row(document: DocumentRef, pages: Sequence[int]) -> dict[str, Any]:
    return {**_document(document), "page_indices": list(pages)}


def _page_row(document: DocumentRef, page: Page) -> dict[str, Any]:
    failed = isinstance(page, Failure)
    if isinstance(page, Failure):
        index = (page.page_number or 1) - 1
        payload = failed_page_payload(PageRef(document, index), page)
    else:
        index, payload = page.page.page_index, page_payload(page)
    text = json.dumps(payload, ensure_ascii=False).encode()
    return {**_document(document), "page_index": index, "payload": text, "failed": failed}


def _read_page(row: dict[str, Any]) -> tuple[PageRef, Page]:
    payload, document = json.loads(row["payload"]), _read_document(row)
    failure = page_failure(payload)
    if failure is not None:
        return PageRef(document, row["page_index"]), failure
    content = page_content(document, payload)
    return content.page, content


def _passages_bytes(vectors: PageVectors) -> bytes | None:
    return None if vectors.passages is None else np.ascontiguousarray(vectors.passages, "<f2").tobytes()


def _indices_bytes(vectors: PageVectors) -> bytes | None:
    return None if vectors.bm25 is None else np.array(vectors.bm25.indices, "<u4").tobytes()


def _values_bytes(vectors: PageVectors) -> bytes | None:
    return None if vectors.bm25 is None else np.array(vectors.bm25.values, "<f8").tobytes()


_VECTOR_BYTES = {"passages": _passages_bytes, "bm25_indices": _indices_bytes, "bm25_values": _values_bytes}


def _read_vectors(row: dict[str, Any]) -> PageVectors:
    page = PageRef(_read_document(row), row["page_index"])
    passages = row["passages"] and np.frombuffer(row["passages"], "<f2").astype(np.float16).reshape(-1, PASSAGES.dim or 1)
    bm25 = None
    if row["bm25_indices"] is not None:
        indices = np.frombuffer(row["bm25_indices"], "<u4")
        bm25 = SparseVector(tuple(indices.tolist()), tuple(np.frombuffer(row["bm25_values"], "<f8").tolist()))
    return PageVectors(page, passages, bm25)
