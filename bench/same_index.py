"""Whether two indexes hold the same: points, payloads, records (times aside), PDFs; vectors within rounding."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from docrag.index.library_index import LibraryIndex
from docrag.index.store import Collection, StoredPoint, Vector
from docrag.types import SparseVector

COSINE = 0.999  # regrouped batches move bfloat16 vectors to 0.9999
ASIDE = ("completed_at", "created_at", "blobs_url")
SHOWN = 20


def compare(one: str, other: str, cosine: float = COSINE) -> list[str]:
    """What differs, in words, `SHOWN` at most; opens both indexes, so that nothing else may have one in a folder open.

    `cosine` is what the vectors of a page must agree to. The PDFs of both must lie in folders.
    """
    with LibraryIndex.open(one) as left, LibraryIndex.open(other) as right:
        found = [*_collections(left, right, "documents", (), cosine)]
        lanes = tuple(sorted(left.store.lanes().keys() | right.store.lanes().keys()))
        if left.store.lanes().keys() != right.store.lanes().keys():
            found.append(f"one index lacks some of the lanes {', '.join(lanes)}")
        else:
            found += _collections(left, right, "pages", lanes, cosine)
        found += [f"PDF {name} is in one index only" for name in sorted(_pdfs(left) ^ _pdfs(right))]
    return [*found[:SHOWN], f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else found


def _collections(
    left: LibraryIndex, right: LibraryIndex, name: Collection, lanes: tuple[str, ...], cosine: float
) -> Iterator[str]:
    ours = {point.id: point for point in left.store.scroll(name, lanes=lanes)}
    theirs = {point.id: point for point in right.store.scroll(name, lanes=lanes)}
    for id_ in sorted(ours.keys() ^ theirs.keys()):
        yield f"{name}: point {id_} is in one index only"
    for id_ in sorted(ours.keys() & theirs.keys()):
        yield from (f"{name}: point {id_}: {what}" for what in _points(ours[id_], theirs[id_], cosine))


def _points(one: StoredPoint, other: StoredPoint, cosine: float) -> Iterator[str]:
    mine, theirs = _lasting(one.payload), _lasting(other.payload)
    yield from (f"{key!r} differs" for key in sorted(mine.keys() | theirs.keys()) if mine.get(key) != theirs.get(key))
    for lane in sorted(one.vectors.keys() | other.vectors.keys()):
        if lane not in one.vectors or lane not in other.vectors:
            yield f"lane {lane} is in one index only"
        elif not _same_vector(one.vectors[lane], other.vectors[lane], cosine):
            yield f"lane {lane} differs"


def _lasting(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in payload.items() if key not in ASIDE}


def _same_vector(one: Vector, other: Vector, cosine: float) -> bool:
    if isinstance(one, SparseVector) or isinstance(other, SparseVector):
        return isinstance(one, SparseVector) and isinstance(other, SparseVector) and _terms(one) == _terms(other)
    if one.shape != other.shape:
        return False
    left, right = np.asarray(one, np.float32), np.asarray(other, np.float32)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return bool(((left * right).sum(axis=1) >= cosine * norms).all())


def _terms(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices, vector.values, strict=True))


def _pdfs(index: LibraryIndex) -> set[str]:
    """Everything in the folder of PDFs, what a kill left half-written included."""
    blobs = Path(index.blobs.url)
    return {str(path.relative_to(blobs)) for path in blobs.rglob("*") if path.is_file()}
