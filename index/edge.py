# pyright: basic
"""The embedded store: Qdrant Edge, the Rust engine in this process, on a folder with a shard for each collection.

What is particular to Edge 0.9 stays in this file: one process at a time opens a shard; errors are bare `Exception`s told
apart by their text; ids come back as `uuid.UUID`; the multivector HNSW is left out (m=0) because a scan is quick enough.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge  # noqa: TID253 -- this module is only imported to open an embedded index

from docrag.errors import DocragError, EnvironmentFault, IndexDamaged, IndexLocked
from docrag.index.payload import RESTORE_HINT
from docrag.index.store import (
    ANY,
    KEYWORD_KEYS,
    PAGE_LANES,
    RECORD_LANES,
    SCROLL_PAGE,
    Collection,
    Keys,
    LaneQuery,
    LaneSchema,
    Point,
    ScoredPoint,
    StoredPoint,
    Vector,
    Where,
    check_point,
    check_query,
    settle_ties,
    to_lists,
)
from docrag.types import SparseVector

UPSERT_BATCH = 256
# What was written outlives this process at once, a power cut only once it is flushed: 20 ms, so not for every document.
FLUSH_EVERY = 1024
# Edge writes through memory maps of files with holes: on a full disk the kernel answers with SIGBUS, which no `except` catches.
# So docrag stops before the disk is full; the WAL and the vectors grow by chunks of 32 MiB each.
RESERVE_BYTES = 128 * 2**20
_SPACE_HINT = "free some space and run the same command again: what was written before is kept"
_DISK_FULL = re.compile(r"no space left|os error 28|StorageFull|disk quota|QuotaExceeded", re.IGNORECASE)
_READ_ONLY = re.compile(r"permission denied|read-only file system|os error (13|30)\b", re.IGNORECASE)


class EdgeStore:
    """A `Store` on a folder. Made by `create` or `open`; the folder is locked until `close`."""

    def __init__(self, folder: Path, shards: Mapping[Collection, Any], lanes: Mapping[Collection, Mapping[str, LaneSchema]]):
        self._folder = folder
        self._shards = shards
        self._lanes = lanes
        self._unflushed = 0

    @classmethod
    def create(cls, folder: Path, page_lanes: Sequence[LaneSchema] = PAGE_LANES) -> EdgeStore:
        """Make both shards below `folder`, in place of half-made ones that a killed `create` may have left.

        Raises IndexLocked where another process has them open, EnvironmentFault where the disk refuses.
        """
        lanes = _by_name(page_lanes)
        shards: dict[Collection, Any] = {}
        for collection in lanes:
            path = folder / collection
            with _translated(path), _closing_on_error(shards):
                if path.exists():
                    _refuse_if_open(path)
                    shutil.rmtree(path)
                path.mkdir(parents=True)
                _check_space(path)
                shards[collection] = edge.EdgeShard.create(str(path), _config(lanes[collection].values()))
                for key in KEYWORD_KEYS[collection]:
                    shards[collection].update(edge.UpdateOperation.create_field_index(key, edge.PayloadSchemaType.Keyword))
                shards[collection].flush()
        return cls(folder, shards, lanes)

    @classmethod
    def open(cls, folder: Path, page_lanes: Sequence[LaneSchema] = PAGE_LANES) -> EdgeStore:
        """Open both shards below `folder`.

        Raises IndexLocked where another process has them open, IndexDamaged where a shard is missing or can't be read.
        """
        lanes = _by_name(page_lanes)
        shards: dict[Collection, Any] = {}
        for collection in lanes:
            path = folder / collection
            if not (path / "edge_config.json").is_file():
                with _closing_on_error(shards):
                    raise IndexDamaged(f"the index at {folder} lost its {collection!r} shard", RESTORE_HINT)
            with _translated(path), _closing_on_error(shards):
                shards[collection] = edge.EdgeShard.load(str(path))
        return cls(folder, shards, lanes)

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        for point in points:
            check_point(point, self._lanes[collection])
        for start in range(0, len(points), UPSERT_BATCH):
            batch = [_edge_point(point) for point in points[start : start + UPSERT_BATCH]]
            self._update(collection, edge.UpdateOperation.upsert_points(batch))
        self._unflushed += len(points)
        if self._unflushed >= FLUSH_EVERY:
            self.flush()

    def query(self, queries: Sequence[LaneQuery], keys: Keys = ()) -> list[list[ScoredPoint]]:
        for query in queries:
            check_query(query, self._lanes["pages"])
        return settle_ties(queries, lambda batch: self._query_once(batch, keys))

    def _query_once(self, queries: Sequence[LaneQuery], keys: Keys) -> list[list[ScoredPoint]]:
        requests = edge.QueryBatchRequest([_edge_query(query, keys) for query in queries])
        with _translated(self._folder):
            answers = self._shards["pages"].query_batch(requests)
        return [[ScoredPoint(str(hit.id), hit.score, hit.payload or {}) for hit in answer] for answer in answers]

    def retrieve(
        self, collection: Collection, ids: Sequence[str], keys: Keys = None, lanes: Sequence[str] = ()
    ) -> list[StoredPoint]:
        with _translated(self._folder):
            found = self._shards[collection].retrieve(list(ids), _selector(keys), list(lanes) or False)
        by_id = {str(record.id): record for record in found}
        return [_stored(by_id[id_]) for id_ in ids if id_ in by_id]

    def scroll(
        self, collection: Collection, where: Where = ANY, keys: Keys = None, lanes: Sequence[str] = ()
    ) -> Iterator[StoredPoint]:
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset=offset,
                limit=SCROLL_PAGE,
                filter=_filter(where),
                with_payload=_selector(keys),
                with_vector=list(lanes) or False,
            )
            with _translated(self._folder):
                found, offset = self._shards[collection].scroll(request)
            yield from map(_stored, found)
            if offset is None:
                return

    def count(self, collection: Collection, where: Where = ANY) -> int:
        with _translated(self._folder):
            return self._shards[collection].count(edge.CountRequest(exact=True, filter=_filter(where)))

    def delete(self, collection: Collection, ids: Sequence[str]) -> None:
        if ids:
            self._update(collection, edge.UpdateOperation.delete_points(list(ids)))

    def delete_where(self, collection: Collection, where: Where) -> None:
        if where == ANY:
            raise ValueError("delete_where needs a filter: an empty one would delete everything")
        self._update(collection, edge.UpdateOperation.delete_points_by_filter(_filter(where)))

    def flush(self) -> None:
        with _translated(self._folder):
            for shard in self._shards.values():
                shard.flush()
        self._unflushed = 0

    def close(self) -> None:
        """Flush and unlock. Closing twice is no error."""
        shards, self._shards = self._shards, {}
        for shard in shards.values():
            with _translated(self._folder):
                shard.close()

    def _update(self, collection: Collection, operation: Any) -> None:
        _check_space(self._folder)
        with _translated(self._folder):
            self._shards[collection].update(operation)


def _by_name(page_lanes: Sequence[LaneSchema]) -> dict[Collection, dict[str, LaneSchema]]:
    return {
        "pages": {lane.name: lane for lane in page_lanes},
        "documents": {lane.name: lane for lane in RECORD_LANES},
    }


def _config(lanes: Any) -> Any:
    return edge.EdgeConfig(
        vectors={lane.name: _dense(lane.dim) for lane in lanes if lane.dim is not None},
        sparse_vectors={
            lane.name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf) for lane in lanes if lane.dim is None
        },
        payload_memory=edge.Memory.Cold,
    )


def _dense(dim: int) -> Any:
    return edge.EdgeVectorParams(
        size=dim,
        distance=edge.Distance.Dot,
        datatype=edge.VectorStorageDatatype.Float16,
        multivector_config=edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim),
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
    )


def _edge_point(point: Point) -> Any:
    return edge.Point(point.id, {name: _edge_vector(vector) for name, vector in point.vectors.items()}, dict(point.payload))


def _edge_vector(vector: Vector) -> Any:
    if isinstance(vector, SparseVector):
        return edge.SparseVector(list(vector.indices), list(vector.values))
    return to_lists(vector)


def _edge_query(query: LaneQuery, keys: Keys) -> Any:
    sparse = isinstance(query.vector, SparseVector)
    # Without a corpus Edge reads document frequencies off the inverted index, which goes on counting deleted and
    # overwritten points: scores would depend on the index's history.
    params = edge.SearchParams(idf=edge.IdfParams(_filter(query.idf_over) or edge.Filter())) if sparse else None
    return edge.QueryRequest(
        limit=query.limit,
        query=edge.Query.Nearest(_edge_vector(query.vector), using=query.lane),
        filter=_filter(query.where),
        with_payload=_selector(keys),
        params=params,
    )


def _selector(keys: Keys) -> Any:
    if keys is None:
        return True
    return list(keys) or False


def _filter(where: Where) -> Any:
    if where == ANY:
        return None
    return edge.Filter(must=_conditions(where.must), must_not=_conditions(where.must_not))


def _conditions(wanted: Mapping[str, tuple[Any, ...]]) -> list[Any]:
    return [edge.FieldCondition(key, match=edge.MatchAny(list(values))) for key, values in wanted.items()]


def _stored(record: Any) -> StoredPoint:
    vectors = {name: _read_vector(vector) for name, vector in (record.vector or {}).items()}
    return StoredPoint(str(record.id), record.payload or {}, vectors)


def _read_vector(vector: Any) -> Vector:
    if isinstance(vector, edge.SparseVector):
        return SparseVector(tuple(vector.indices), tuple(vector.values))
    return np.asarray(vector, dtype=np.float16)


def _check_space(folder: Path) -> None:
    free = shutil.disk_usage(folder).free
    if free < RESERVE_BYTES:
        raise EnvironmentFault(
            f"the disk that holds {folder} is full: {free / 2**20:.0f} MiB are free, and docrag stops writing below"
            f" {RESERVE_BYTES / 2**20:.0f} MiB",
            _SPACE_HINT,
        )


def _refuse_if_open(path: Path) -> None:
    """Raise IndexLocked where a process has the shard at `path` open, so that nobody deletes it under its feet."""
    try:
        edge.EdgeShard.load(str(path)).close()
    except Exception as error:  # Edge raises nothing finer; what is merely half-made may go
        if "WouldBlock" in str(error):
            raise


@contextlib.contextmanager
def _closing_on_error(shards: dict[Collection, Any]) -> Generator[None]:
    try:
        yield
    except BaseException:
        for shard in shards.values():
            shard.close()
        raise


@contextlib.contextmanager
def _translated(path: Path) -> Generator[None]:
    """Turn what Edge raises (bare `Exception`, or a Rust panic) into docrag's errors."""
    try:
        yield
    except (DocragError, ValueError, TypeError, KeyError):
        raise
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise _fault(path, str(error)) from error


def _fault(path: Path, text: str) -> DocragError:
    if "WouldBlock" in text:
        return IndexLocked(f"the index at {path} is open in another process", "wait until that one is done, or stop it")
    if _DISK_FULL.search(text):
        return EnvironmentFault(f"the disk that holds {path} is full: {text}", _SPACE_HINT)
    if _READ_ONLY.search(text):
        return EnvironmentFault(f"can't write to {path}: {text}", "check who owns the folder and that the disk is writable")
    return IndexDamaged(f"the index at {path} can't be read or written: {text}", RESTORE_HINT)
