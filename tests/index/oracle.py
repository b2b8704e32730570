"""What a store is to do, slow and obvious in numpy, and the stores that are held against it."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import uuid
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qdrant_client import QdrantClient

from docrag.index.edge import EdgeStore
from docrag.index.qdrant import MEMORY, QdrantStore
from docrag.index.store import LaneQuery, LaneSchema, Point, ScoredPoint, Store, Where
from docrag.testing.qdrant_server import QdrantStandIn
from docrag.types import SparseVector

DIM = 8
LANES = (LaneSchema("passages", DIM), LaneSchema("bm25"))
SERVER = os.environ.get("DOCRAG_TEST_QDRANT_URL", "")
TOLERANCE = 5e-4


class Oracle:
    """What a store is to do, over a plain dict of points."""

    def __init__(self) -> None:
        self.points: dict[str, Point] = {}

    def upsert(self, points: Sequence[Point]) -> None:
        self.points.update({point.id: point for point in points})

    def update(self, points: Sequence[Point]) -> None:
        for point in points:
            old = self.points[point.id]
            self.points[point.id] = Point(point.id, {**old.payload, **point.payload}, {**old.vectors, **point.vectors})

    def passing(self, where: Where) -> list[Point]:
        def passes(point: Point) -> bool:
            return (
                all(point.payload.get(key) in values for key, values in where.must.items())
                and not any(point.payload.get(key) in values for key, values in where.must_not.items())
                and all(lane in point.vectors for lane in where.lanes)
                and (where.ids is None or point.id in where.ids)
            )

        return [point for point in self.points.values() if passes(point)]

    def query(self, query: LaneQuery) -> list[tuple[str, float]]:
        points = self.passing(query.where)
        if query.prefetch is not None:
            both = replace(query.where, lanes=(query.lane,))
            chosen = {id_ for id_, _ in self.query(replace(query.prefetch, where=both))}
            points = [point for point in points if point.id in chosen]
        found: list[tuple[str, float]] = []
        for point in points:
            vector = point.vectors.get(query.lane)
            if isinstance(query.vector, SparseVector):
                if isinstance(vector, SparseVector) and set(vector.indices) & set(query.vector.indices):
                    found.append((point.id, self.sparse_score(query, vector)))
            elif isinstance(vector, np.ndarray):
                similarity_qp = query.vector @ vector.astype(np.float32).T
                found.append((point.id, float(similarity_qp.max(axis=1).sum())))
        return sorted(found, key=lambda hit: (-hit[1], hit[0]))[: query.limit]

    def is_clear(self, query: LaneQuery) -> bool:
        """Whether rounding can't change which points a query's first stage chooses; equal scores are told apart by id."""
        if query.prefetch is None:
            return True
        limit = query.prefetch.limit
        first = self.query(replace(query.prefetch, limit=limit + 1, where=replace(query.where, lanes=(query.lane,))))
        gap = first[limit - 1][1] - first[limit][1] if len(first) > limit else 1.0
        return gap == 0 or gap > 2 * TOLERANCE

    def sparse_score(self, query: LaneQuery, vector: SparseVector) -> float:
        assert isinstance(query.vector, SparseVector)
        lanes = [point.vectors.get(query.lane) for point in self.passing(query.idf_over)]
        corpus = [set(lane.indices) for lane in lanes if isinstance(lane, SparseVector)]
        weights = dict(zip(vector.indices, vector.values, strict=True))
        score = 0.0
        for term, weight in zip(query.vector.indices, query.vector.values, strict=True):
            holding = sum(term in terms for terms in corpus)
            idf = math.log(1 + (len(corpus) - holding + 0.5) / (holding + 0.5))
            score += weight * idf * weights.get(term, 0.0)
        return score


def agree(found: list[ScoredPoint], expected: list[tuple[str, float]]) -> None:
    """The same points, scores within the tolerance, and the store's own order by (-score, id)."""
    assert [(-hit.score, hit.id) for hit in found] == sorted((-hit.score, hit.id) for hit in found)
    assert [hit.score for hit in found] == pytest.approx([score for _, score in expected], abs=TOLERANCE, rel=TOLERANCE)
    # Two scores closer than rounding may change places; anything else may not.
    scores = dict(expected)
    for hit, (_, score) in zip(found, expected, strict=True):
        assert scores.get(hit.id, hit.score) == pytest.approx(score, abs=2 * TOLERANCE, rel=2 * TOLERANCE)


KINDS = [
    "edge",
    "memory",
    "stand-in",
    pytest.param("server", marks=pytest.mark.skipif(not SERVER, reason="DOCRAG_TEST_QDRANT_URL names no server")),
]


@contextlib.contextmanager
def making_store(kind: str, folder: Path, lanes: Sequence[LaneSchema] = LANES) -> Generator[Store]:
    """An empty store, gone afterwards with what serves it."""
    with contextlib.ExitStack() as stack:
        if kind == "edge":
            store: Store = EdgeStore.create(folder, lanes)
        elif kind == "memory":
            store = QdrantStore.create(MEMORY, lanes)
        else:
            server = SERVER.rstrip("/") if kind == "server" else stack.enter_context(QdrantStandIn(folder)).url
            name = f"docrag_test_{uuid.uuid4().hex}"
            store = QdrantStore.create(f"{server}/{name}", lanes)
            stack.callback(drop_collections, server, name)
        stack.callback(store.close)
        yield store


def drop_collections(server: str, name: str) -> None:
    for collection in ("pages", "documents"):
        _client(server).delete_collection(f"{name}_{collection}")


@functools.lru_cache
def _client(server: str) -> QdrantClient:
    """One for all: making one takes 0.1 s."""
    return QdrantClient(url=server, check_compatibility=False)


def empty(store: Store) -> None:
    for collection in ("pages", "documents"):
        store.delete(collection, [point.id for point in store.scroll(collection, keys=())])


def number_id(number: int) -> str:
    return str(uuid.UUID(int=number * 7919 + 1))


def unit_rows(rng: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
    """Of length 1, as float16 holds them exactly: Edge rounds a query's vectors, and qdrant-client's local mode does not."""
    rows = rng.normal(size=(count, DIM))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
