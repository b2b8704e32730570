# pyright: basic
# pyarrow has no types
"""What travels between the stages of the visual lane: pages to draw, their pixels, their vectors.

Pixels are the bulk of it, some 3 MB a page: they are a column of their own, which is read where it lies and then left out.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from docrag.index.visual_encoder import ImageVectors
from docrag.types import DocumentRef, Failure, PageRef
from docrag.visual import PatchLayout

_DRAWING = [
    *(("document", pa.string()), ("pages", pa.int32()), ("title", pa.string()), ("page_index", pa.int32())),
    *(("width_px", pa.int32()), ("height_px", pa.int32()), ("pixels_per_pt", pa.float64())),
]
DRAWINGS = pa.schema(_DRAWING)
# `seen`: a pickled `Failure`, or the blocks of patches of the page's vectors. Of each page, one of the two columns is null.
_VECTORS = [("vectors", pa.large_binary()), ("seen", pa.binary())]


@dataclass(frozen=True, slots=True)
class Look:
    """A page to draw: width and height in pixels, and the scale that is."""

    page: PageRef
    size_px: tuple[int, int]
    pixels_per_pt: float


def looks_table(looks: Iterable[Look]) -> pa.Table:
    return pa.Table.from_pylist([_look_row(look) for look in looks], DRAWINGS)


def read_looks(table: pa.Table) -> list[Look]:
    return [_read_look(row) for row in table.select(DRAWINGS.names).to_pylist()]


def add_pixels(table: pa.Table, drawn: Sequence[NDArray[np.uint8] | Failure]) -> pa.Table:
    """A table of looks with the pixels of each, or why it can't be drawn."""
    pixels = [None if isinstance(found, Failure) else found.tobytes() for found in drawn]
    failed = [pickle.dumps(found) if isinstance(found, Failure) else None for found in drawn]
    table = table.append_column("pixels", pa.array(pixels, pa.large_binary()))
    return table.append_column("failure", pa.array(failed, pa.binary()))


def read_pixels(table: pa.Table) -> list[NDArray[np.uint8] | Failure]:
    """uint8 [height, width, 3] each, where it lies."""
    sizes = table.select(["height_px", "width_px", "failure"]).to_pylist()
    return [
        pickle.loads(row["failure"])
        if row["failure"]
        else np.frombuffer(pixels.as_buffer(), np.uint8).reshape(row["height_px"], row["width_px"], 3)
        for row, pixels in zip(sizes, table.column("pixels"), strict=True)
    ]


def add_looks(table: pa.Table, seen: Sequence[ImageVectors | Failure]) -> pa.Table:
    """A table of looks with the vectors of each or why there are none, and no pixels."""
    vectors = [None if isinstance(found, Failure) else found.vectors.astype("<f2").tobytes() for found in seen]
    rest = [pickle.dumps(found if isinstance(found, Failure) else (len(found.vectors), found.blocks)) for found in seen]
    table = table.select(DRAWINGS.names)
    for (name, kind), column in zip(_VECTORS, (vectors, rest), strict=True):
        table = table.append_column(name, pa.array(column, kind))
    return table


def read_seen(table: pa.Table) -> Iterator[tuple[Look, ImageVectors | Failure]]:
    rows = table.select(["vectors", "seen"]).to_pylist()
    for look, row in zip(read_looks(table), rows, strict=True):
        found = pickle.loads(row["seen"])
        if isinstance(found, Failure):
            yield look, found
        else:
            count, blocks = found
            yield look, ImageVectors(np.frombuffer(row["vectors"], "<f2").astype(np.float16).reshape(count, -1), blocks)


def layout_of(look: Look, found: ImageVectors) -> PatchLayout:
    return PatchLayout(look.size_px, look.pixels_per_pt, found.blocks)


def _look_row(look: Look) -> dict[str, Any]:
    page, (width, height) = look.page, look.size_px
    document = {"document": page.document.sha256, "pages": page.document.pages, "title": page.document.title}
    drawing = {"page_index": page.page_index, "width_px": width, "height_px": height, "pixels_per_pt": look.pixels_per_pt}
    return {**document, **drawing}


def _read_look(row: dict[str, Any]) -> Look:
    page = PageRef(DocumentRef(row["document"], row["pages"], row["title"]), row["page_index"])
    return Look(page, (row["width_px"], row["height_px"]), row["pixels_per_pt"])
