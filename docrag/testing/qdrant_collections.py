# pyright: basic
"""The collections of the stand-in for a Qdrant server: an Edge shard each, asked and changed by one thread at a time."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import qdrant_edge as edge  # noqa: TID253 -- this module is only imported to run the stand-in

from docrag.testing.edge_rest import (
    Json,
    RestError,
    new_vector,
    read_filter,
    read_query,
    rest_id,
    rest_point,
    shard_config,
    stored_params,
    unknown,
    update_operation,
)

FULL = "Service internal error: No space left on device: WAL buffer size exceeds available disk space"
RESERVE_BYTES = 128 * 2**20  # below it Edge may die of SIGBUS; a server refuses writes below the size of its WAL
FLUSH_BYTES = 32 * 2**20
_PART = ".part"
_WRONG_INPUT = ("Vector dimension error", "Not existing vector name", "Wrong usage of", "Validation failed")
# What a server says of its own settings, which the client's models demand and docrag does not read.
_SETTINGS = {
    "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10_000},
    "optimizer_config": {
        "deleted_threshold": 0.2,
        "vacuum_min_vector_number": 1000,
        "default_segment_number": 0,
        "flush_interval_sec": 5,
    },
}

Handler = Callable[..., Any]


class Collections:
    """All collections below a folder. A write is in its shard's log when it returns, so that it outlives this process."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = threading.Lock()
        self._shards: dict[str, Any] = {}
        self._operations = 0
        self._unflushed = 0
        for left in folder.glob(f"*{_PART}"):  # a creation that was killed
            shutil.rmtree(left)
        for path in sorted(folder.iterdir()):
            self._shards[path.name] = edge.EdgeShard.load(str(path))

    def close(self) -> None:
        """Flush and unlock the shards. Closing twice is no error."""
        with self._lock:
            shards, self._shards = self._shards, {}
            for shard in shards.values():
                shard.close()

    def answer(self, method: str, path: str, body: Json, size: int) -> Any:
        """The `result` of a request; `size` is that of its body in bytes. Raises RestError."""
        handler, arguments = _route(method, path)
        with self._lock, _translated():
            if handler in _WRITES:
                self._check_space()
            result = handler(self, body, *arguments)
            if handler in _WRITES:
                self._flush_sometimes(size)
            return result

    def _check_space(self) -> None:
        if shutil.disk_usage(self._folder).free < RESERVE_BYTES:
            raise RestError(500, FULL)

    def _flush_sometimes(self, size: int) -> None:
        self._unflushed += size
        if self._unflushed >= FLUSH_BYTES:
            for shard in self._shards.values():
                shard.flush()
            self._unflushed = 0

    def _shard(self, name: str) -> Any:
        if name not in self._shards:
            raise RestError(404, f"Not found: Collection `{name}` doesn't exist!")
        return self._shards[name]

    def _update(self, name: str, operation: Any) -> dict[str, Any]:
        self._shard(name).update(operation)
        self._operations += 1
        return {"operation_id": self._operations, "status": "completed"}

    def list_all(self, body: Json) -> Any:
        return {"collections": [{"name": name} for name in self._shards]}

    def exists(self, body: Json, name: str) -> Any:
        return {"exists": name in self._shards}

    def info(self, body: Json, name: str) -> Any:
        told = self._shard(name).info()
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": told.segments_count,
            "points_count": told.points_count,
            "indexed_vectors_count": told.indexed_vectors_count,
            "payload_schema": {
                key: {"data_type": "keyword", "points": kept.points} for key, kept in told.payload_schema.items()
            },
            "config": {"params": stored_params(self._folder / name), **_SETTINGS},
        }

    def create(self, body: Json, name: str) -> Any:
        """Made under another name, so that a killed creation leaves no half collection."""
        if name in self._shards:
            raise RestError(409, f"Wrong input: Collection `{name}` already exists!")
        part = self._folder / f"{name}{_PART}"
        edge.EdgeShard.create(str(part), shard_config(body)).close()
        part.rename(self._folder / name)
        self._shards[name] = edge.EdgeShard.load(str(self._folder / name))
        return True

    def delete(self, body: Json, name: str) -> Any:
        shard = self._shards.pop(name, None)
        if shard is None:
            return False
        shard.close()
        shutil.rmtree(self._folder / name)
        return True

    def change(self, body: Json, name: str) -> Any:
        """New settings of vectors that are there. Edge reads them at load, and quantizes by writing its segments anew."""
        if set(body) - {"vectors"}:
            raise unknown(f"a change of a collection's {sorted(set(body) - {'vectors'})}")
        params = stored_params(self._folder / name) if self._shard(name) else {}
        for vector, changes in body["vectors"].items():
            if vector not in params["vectors"]:
                raise RestError(400, f"Wrong input: Not existing vector name error: {vector}")
            params["vectors"][vector] |= changes
        self._shards[name].close()
        self._shards[name] = edge.EdgeShard.load(str(self._folder / name), shard_config(params))
        if any(changes.get("quantization_config") not in (None, "Disabled") for changes in body["vectors"].values()):
            self._shards[name].optimize()
        self._shards[name].flush()
        return True

    def create_index(self, body: Json, name: str) -> Any:
        if body.get("field_schema") != "keyword":
            raise unknown(f"a payload index of {body.get('field_schema')}")
        schema = edge.PayloadSchemaType.Keyword
        return self._update(name, edge.UpdateOperation.create_field_index(body["field_name"], schema))

    def create_vector(self, body: Json, name: str, vector: str) -> Any:
        return self._update(name, new_vector(vector, body))

    def delete_vector(self, body: Json, name: str, vector: str) -> Any:
        return self._update(name, edge.UpdateOperation.delete_vector_name(vector))

    def upsert(self, body: Json, name: str) -> Any:
        return self._update(name, update_operation("upsert", body))

    def update_vectors(self, body: Json, name: str) -> Any:
        return self._update(name, update_operation("update_vectors", body))

    def set_payload(self, body: Json, name: str) -> Any:
        return self._update(name, update_operation("set_payload", body))

    def delete_payload(self, body: Json, name: str) -> Any:
        return self._update(name, update_operation("delete_payload", body))

    def delete_points(self, body: Json, name: str) -> Any:
        return self._update(name, update_operation("delete", body))

    def batch(self, body: Json, name: str) -> Any:
        """Several writes in their order; what was done before one that is refused stays done."""
        operations = [item for operation in body["operations"] for item in operation.items()]
        return [self._update(name, update_operation(kind, inner)) for kind, inner in operations]

    def retrieve(self, body: Json, name: str) -> Any:
        ids = [id_ if isinstance(id_, int) else str(id_) for id_ in body["ids"]]
        payload = body.get("with_payload", True)
        found = self._shard(name).retrieve(ids, payload, body.get("with_vector") or False)
        return [rest_point(record) for record in found]

    def scroll(self, body: Json, name: str) -> Any:
        request = edge.ScrollRequest(
            offset=body.get("offset"),
            limit=body.get("limit") or 10,
            filter=read_filter(body.get("filter")),
            with_payload=body.get("with_payload", True),
            with_vector=body.get("with_vector") or False,
        )
        found, offset = self._shard(name).scroll(request)
        return {"points": [rest_point(record) for record in found], "next_page_offset": rest_id(offset)}

    def count(self, body: Json, name: str) -> Any:
        request = edge.CountRequest(exact=body.get("exact", True), filter=read_filter(body.get("filter")))
        return {"count": self._shard(name).count(request)}

    def query(self, body: Json, name: str) -> Any:
        return {"points": [rest_point(hit) for hit in self._shard(name).query(read_query(body))]}

    def query_batch(self, body: Json, name: str) -> Any:
        shard = self._shard(name)
        queries = [read_query(query) for query in body["searches"]]
        return [{"points": [rest_point(hit) for hit in hits]} for hits in shard.query_batch(edge.QueryBatchRequest(queries))]


_NAME = "([^/]+)"
_ONE = f"/collections/{_NAME}"
_READING: Mapping[tuple[str, str], Handler] = {
    ("GET", "/collections"): Collections.list_all,
    ("GET", f"{_ONE}/exists"): Collections.exists,
    ("GET", _ONE): Collections.info,
    ("POST", f"{_ONE}/points"): Collections.retrieve,
    ("POST", f"{_ONE}/points/scroll"): Collections.scroll,
    ("POST", f"{_ONE}/points/count"): Collections.count,
    ("POST", f"{_ONE}/points/query"): Collections.query,
    ("POST", f"{_ONE}/points/query/batch"): Collections.query_batch,
}
_WRITING: Mapping[tuple[str, str], Handler] = {
    ("PUT", _ONE): Collections.create,
    ("PATCH", _ONE): Collections.change,
    ("DELETE", _ONE): Collections.delete,
    ("PUT", f"{_ONE}/index"): Collections.create_index,
    ("PUT", f"{_ONE}/vectors/{_NAME}"): Collections.create_vector,
    ("DELETE", f"{_ONE}/vectors/{_NAME}"): Collections.delete_vector,
    ("PUT", f"{_ONE}/points"): Collections.upsert,
    ("PUT", f"{_ONE}/points/vectors"): Collections.update_vectors,
    ("POST", f"{_ONE}/points/batch"): Collections.batch,
    ("POST", f"{_ONE}/points/payload"): Collections.set_payload,
    ("POST", f"{_ONE}/points/payload/delete"): Collections.delete_payload,
    ("POST", f"{_ONE}/points/delete"): Collections.delete_points,
}
_WRITES = frozenset(_WRITING.values())
_ROUTES = [(method, re.compile(path), handler) for (method, path), handler in {**_READING, **_WRITING}.items()]


def is_write(method: str, path: str) -> bool:
    """Whether a request changes what is stored. Raises RestError where there is no such call."""
    return _route(method, path)[0] in _WRITES


def _route(method: str, path: str) -> tuple[Handler, tuple[str, ...]]:
    for known, pattern, handler in _ROUTES:
        found = pattern.fullmatch(path) if known == method else None
        if found is not None:
            return handler, found.groups()
    raise unknown(f"the call {method} {path}")


@contextlib.contextmanager
def _translated() -> Generator[None]:
    """Turn what Edge raises, and requests without what they need, into RestError in a server's words."""
    try:
        yield
    except RestError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RestError(400, f"Format error in JSON body: {error!r}") from error
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise _refusal(str(error)) from error


def _refusal(text: str) -> RestError:
    if text.startswith("No point with id"):
        return RestError(404, f"Not found: {text} found")
    if text.startswith(_WRONG_INPUT):
        return RestError(400, f"Wrong input: {text}")
    return RestError(500, f"Service internal error: {text}")
