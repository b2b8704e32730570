# pyright: basic
"""The embedded store: Qdrant Edge, the Rust engine in this process, on a folder with a shard for each collection.

What is particular to Edge 0.9 stays here and in `edge_models`: one process at a time opens a shard; errors are bare
`Exception`s told apart by their text; the multivector HNSW is left out (m=0) because a scan is quick enough.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import qdrant_edge as edge  # noqa: TID253 -- this module is only imported to open an embedded index

from docrag.errors import DocragError, EnvironmentFault, IndexDamaged, IndexFault, IndexLocked
from docrag.index.edge_models import (
    CONFIG,
    MAX_SIM,
    edge_filter,
    edge_point,
    edge_query,
    edge_vectors,
    selector,
    shard_config,
    stored_lanes,
    stored_point,
)
from docrag.index.payload import RESTORE_HINT
from docrag.index.store import (
    ANY,
    GONE_HINT,
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
    Where,
    batches_by_bytes,
    check_point,
    check_query,
    count_numbers,
    new_lanes,
)
from docrag.index.ties import settle_ties

WRITE_BYTES = 8 * 2**20  # a number is 32 bytes as a Python object: a write takes five times this in memory
_COLLECTIONS: tuple[Collection, ...] = ("pages", "documents")
# What was written outlives this process at once, a power cut only once it is flushed: 20 ms, so not for every document.
# Until then it is in the log, which a page fills with 280 KB of visual vectors: so it is counted in bytes, a payload as 32 KiB.
FLUSH_BYTES = 32 * 2**20
_PAYLOAD_BYTES = 32 * 2**10
# Edge writes through memory maps of files with holes: on a full disk the kernel answers with SIGBUS, which no `except` catches.
# So docrag stops before the disk is full; the WAL and the vectors grow by chunks of 32 MiB each.
RESERVE_BYTES = 128 * 2**20
_SPACE_HINT = "free some space and run the same command again: what was written before is kept"
_DISK_FULL = re.compile(r"no space left|os error 28|StorageFull|disk quota|QuotaExceeded", re.IGNORECASE)
_NO_POINT = "No point with id"
_READ_ONLY = re.compile(r"permission denied|read-only file system|os error (13|30)\b", re.IGNORECASE)


class EdgeStore:
    """A `Store` on a folder. Made by `create` or `open`; the folder is locked until `close`."""

    def __init__(self, folder: Path, shards: dict[Collection, Any], lanes: dict[Collection, Mapping[str, LaneSchema]]) -> None:
        self._folder = folder
        self._shards = shards
        self._lanes = lanes
        self._unflushed = 0

    @classmethod
    def create(cls, folder: Path, page_lanes: Sequence[LaneSchema] = PAGE_LANES) -> EdgeStore:
        """Make both shards below `folder`, in place of half-made ones that a killed `create` may have left.

        Raises IndexLocked where another process has them open, EnvironmentFault where the disk refuses.
        """
        lanes: dict[Collection, Mapping[str, LaneSchema]] = {
            "pages": {lane.name: lane for lane in page_lanes},
            "documents": {lane.name: lane for lane in RECORD_LANES},
        }
        shards: dict[Collection, Any] = {}
        for collection in lanes:
            path = folder / collection
            with _translated(path), _closing_on_error(shards):
                if path.exists():
                    _refuse_if_open(path)
                    shutil.rmtree(path)
                path.mkdir(parents=True)
                _check_space(path)
                shards[collection] = edge.EdgeShard.create(str(path), shard_config(lanes[collection].values()))
                for key in KEYWORD_KEYS[collection]:
                    shards[collection].update(edge.UpdateOperation.create_field_index(key, edge.PayloadSchemaType.Keyword))
                shards[collection].flush()
        return cls(folder, shards, lanes)

    @classmethod
    def open(cls, folder: Path) -> EdgeStore:
        """Open both shards below `folder`.

        Raises IndexLocked where another process has them open, IndexDamaged where a shard is missing or can't be read.
        """
        shards: dict[Collection, Any] = {}
        lanes: dict[Collection, Mapping[str, LaneSchema]] = {}
        for collection in _COLLECTIONS:
            path = folder / collection
            with _closing_on_error(shards):
                if not (path / CONFIG).is_file():
                    raise IndexDamaged(f"the index at {folder} lost its {collection!r} shard", RESTORE_HINT)
                with _translated(path):
                    shards[collection] = edge.EdgeShard.load(str(path))
                lanes[collection] = stored_lanes(path)
        return cls(folder, shards, lanes)

    def lanes(self) -> Mapping[str, LaneSchema]:
        return dict(self._lanes["pages"])

    def refresh(self) -> None:
        """Nothing to do: no other process can have opened it."""

    def create_lanes(self, *schemas: LaneSchema) -> None:
        have = self._lanes["pages"]
        new = new_lanes(schemas, have)
        for schema in new:
            if schema.name not in have:
                operation = edge.UpdateOperation.create_dense_vector(
                    schema.name, schema.dim or 0, edge.Distance.Dot, MAX_SIM, edge.VectorStorageDatatype.Float16
                )
                self._update("pages", operation)
        if new:
            self._configure({**have, **{schema.name: schema for schema in new}})

    def _configure(self, lanes: Mapping[str, LaneSchema]) -> None:
        """Load `pages` anew with what `create_dense_vector` has no arguments for, and bring its segments to that state.

        Without the last step Edge would go on writing the new vectors as its default has it, neither cold nor quantized. It
        copies what is there: so once for all new lanes.
        """
        path = self._folder / "pages"
        with _translated(path):
            self._shards["pages"].close()
            self._shards["pages"] = edge.EdgeShard.load(str(path), shard_config(lanes.values()))
            self._shards["pages"].optimize()
            self._shards["pages"].flush()
        self._lanes["pages"] = stored_lanes(path)

    def delete_lane(self, name: str) -> None:
        self._update("pages", edge.UpdateOperation.delete_vector_name(name))
        self._lanes["pages"] = stored_lanes(self._folder / "pages")

    def update_points(self, collection: Collection, points: Sequence[Point]) -> None:
        for point in points:
            check_point(point, self._lanes[collection])
        for batch in batches_by_bytes(points, WRITE_BYTES):
            named = [edge.PointVectors(point.id, edge_vectors(point)) for point in batch if point.vectors]
            if named:
                self._update(collection, edge.UpdateOperation.update_vectors(named))
            for point in batch:
                if point.payload:
                    self._update(collection, edge.UpdateOperation.set_payload([point.id], dict(point.payload)))
        self._count_unflushed(points)

    def delete_payload_keys(self, collection: Collection, keys: Sequence[str], ids: Sequence[str] | None = None) -> None:
        if ids is None:
            self._update(collection, edge.UpdateOperation.delete_payload_by_filter(edge.Filter(), list(keys)))
        elif ids:
            self._update(collection, edge.UpdateOperation.delete_payload(list(ids), list(keys)))

    def guard_writes(self, check: Callable[[], None] | None) -> None:
        """Nothing to guard: the shard is this process's alone."""

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        for point in points:
            check_point(point, self._lanes[collection])
        for batch in batches_by_bytes(points, WRITE_BYTES):
            self._update(collection, edge.UpdateOperation.upsert_points([edge_point(point) for point in batch]))
        self._count_unflushed(points)

    def _count_unflushed(self, points: Sequence[Point]) -> None:
        self._unflushed += sum(_PAYLOAD_BYTES + 4 * count_numbers(point) for point in points)
        if self._unflushed >= FLUSH_BYTES:
            self.flush()

    def query(self, queries: Sequence[LaneQuery], keys: Keys = ()) -> list[list[ScoredPoint]]:
        for query in queries:
            check_query(query, self._lanes["pages"])
        return settle_ties(queries, keys, self._query_once, lambda ids: self.retrieve("pages", ids, keys))

    def _query_once(self, queries: Sequence[LaneQuery], keys: Keys) -> list[list[ScoredPoint]]:
        lanes = self._lanes["pages"]
        requests = edge.QueryBatchRequest([edge_query(query, keys, lanes) for query in queries])
        with _translated(self._folder):
            answers = self._shards["pages"].query_batch(requests)
        return [[ScoredPoint(str(hit.id), hit.score, hit.payload or {}) for hit in answer] for answer in answers]

    def retrieve(
        self, collection: Collection, ids: Sequence[str], keys: Keys = None, lanes: Sequence[str] = ()
    ) -> list[StoredPoint]:
        with _translated(self._folder):
            found = self._shards[collection].retrieve(list(ids), selector(keys), list(lanes) or False)
        by_id = {str(record.id): record for record in found}
        return [stored_point(by_id[id_]) for id_ in ids if id_ in by_id]

    def scroll(
        self, collection: Collection, where: Where = ANY, keys: Keys = None, lanes: Sequence[str] = ()
    ) -> Iterator[StoredPoint]:
        offset = None
        while True:
            request = edge.ScrollRequest(
                offset=offset,
                limit=SCROLL_PAGE,
                filter=edge_filter(where),
                with_payload=selector(keys),
                with_vector=list(lanes) or False,
            )
            with _translated(self._folder):
                found, offset = self._shards[collection].scroll(request)
            yield from map(stored_point, found)
            if offset is None:
                return

    def count(self, collection: Collection, where: Where = ANY) -> int:
        with _translated(self._folder):
            return self._shards[collection].count(edge.CountRequest(exact=True, filter=edge_filter(where)))

    def delete(self, collection: Collection, ids: Sequence[str]) -> None:
        if ids:
            self._update(collection, edge.UpdateOperation.delete_points(list(ids)))

    def delete_where(self, collection: Collection, where: Where) -> None:
        if where == ANY:
            raise ValueError("delete_where needs a filter: an empty one would delete everything")
        self._update(collection, edge.UpdateOperation.delete_points_by_filter(edge_filter(where)))

    def flush(self) -> None:
        with _translated(self._folder):
            for shard in self._shards.values():
                shard.flush()
        self._unflushed = 0

    def close(self) -> None:
        """Flush and unlock. Closing twice is no error."""
        shards, self._shards = self._shards, dict[Collection, Any]()
        for shard in shards.values():
            with _translated(self._folder):
                shard.close()

    def _update(self, collection: Collection, operation: Any) -> None:
        _check_space(self._folder)
        with _translated(self._folder):
            self._shards[collection].update(operation)


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
    if _NO_POINT in text:
        return IndexFault(f"the index at {path} lacks a point that was to be updated: {text}", GONE_HINT)
    if _DISK_FULL.search(text):
        return EnvironmentFault(f"the disk that holds {path} is full: {text}", _SPACE_HINT)
    if _READ_ONLY.search(text):
        return EnvironmentFault(f"can't write to {path}: {text}", "check who owns the folder and that the disk is writable")
    return IndexDamaged(f"the index at {path} can't be read or written: {text}", RESTORE_HINT)
