# pyright: basic
"""The served store: a Qdrant server through qdrant-client, collections NAME_pages and NAME_documents; or `:memory:`, for tests.

qdrant-client's in-memory mode has the same features and is plain numpy inside. What is particular to the client stays
here and in `qdrant_models`.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

from qdrant_client import QdrantClient, models  # noqa: TID253 -- this module is only imported to open such an index
from qdrant_client.http.exceptions import UnexpectedResponse  # noqa: TID253 -- as above

from docrag.errors import EnvironmentFault, IndexMissing, UsageError
from docrag.index.location import MEMORY
from docrag.index.qdrant_calls import API_KEY_VARIABLE, patiently, translated
from docrag.index.qdrant_models import (
    dense_vector,
    model_filter,
    new_vector,
    point_struct,
    query_request,
    selector,
    settled_vector,
    stored_point,
    stored_quantization,
    update_operations,
)
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
    Where,
    batches_by_bytes,
    check_point,
    check_query,
    new_lanes,
)
from docrag.index.ties import settle_ties

CONNECT_TIMEOUT_S = 10
REQUEST_TIMEOUT_S = 60
ADDS_LANES_SINCE = "1.18"
MAX_REQUEST_BYTES = 8 * 2**20
_COLLECTIONS: tuple[Collection, ...] = ("pages", "documents")
_EXISTS = 409
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_T = TypeVar("_T")


class QdrantStore:
    """A `Store` on a Qdrant server, or in memory. Made by `create` or `open`."""

    def __init__(self, client: QdrantClient, name: str, where: str) -> None:
        self._client = client
        self._name = name
        self._where = where
        self._lanes: dict[Collection, dict[str, LaneSchema]] = {"pages": {}, "documents": {}}
        self._before_write: Callable[[], None] | None = None

    @classmethod
    def create(cls, location: str, page_lanes: Sequence[LaneSchema] = PAGE_LANES) -> QdrantStore:
        """Make both collections at `location` (":memory:", or http(s)://host:port/name) where they are missing.

        Raises UsageError on a malformed location, EnvironmentFault where the server can't be reached or refuses.
        """
        store = cls._connect(location)
        lanes: dict[Collection, Sequence[LaneSchema]] = {"pages": page_lanes, "documents": RECORD_LANES}
        with translated(store._where):
            for collection in _COLLECTIONS:
                if not store._client.collection_exists(store._full(collection)):
                    store._create_collection(collection, lanes[collection])
                store._lanes[collection] = store._stored_lanes(collection)
        return store

    @classmethod
    def open(cls, location: str) -> QdrantStore:
        """Connect to an index that exists. Raises IndexMissing where a collection does not, and what `create` raises."""
        store = cls._connect(location)
        with translated(store._where):
            for collection in _COLLECTIONS:
                if not store._client.collection_exists(store._full(collection)):
                    raise IndexMissing(
                        f"there is no index at {location}: the server has no collection {store._full(collection)!r}",
                        "check the name, or make the index with `docrag ingest`",
                    )
                store._lanes[collection] = store._stored_lanes(collection)
        return store

    @classmethod
    def _connect(cls, location: str) -> QdrantStore:
        if location == MEMORY:
            return cls(QdrantClient(MEMORY), "docrag", location)
        server, name = parse_location(location)
        client = _client(server)
        with translated(server):  # without patience: a wrong address is said at once
            # As `client.info()`, which can't be told how long to wait: the client takes that from the request's parameter.
            client.http.client.request(type_=models.VersionInfo, method="GET", url="/", params={"timeout": CONNECT_TIMEOUT_S})
        return cls(client, name, server)

    def guard_writes(self, check: Callable[[], None] | None) -> None:
        self._before_write = check

    def _create_collection(self, collection: Collection, lanes: Sequence[LaneSchema]) -> None:
        sparse = models.SparseVectorParams(modifier=models.Modifier.IDF)
        try:
            self._client.create_collection(
                self._full(collection),
                vectors_config={lane.name: dense_vector(lane) for lane in lanes if lane.dim is not None},
                sparse_vectors_config={lane.name: sparse for lane in lanes if lane.dim is None},
                on_disk_payload=True,
            )
        except UnexpectedResponse as error:
            if error.status_code != _EXISTS:  # another process made it just now
                raise
        if self._where == MEMORY:  # payload indexes have no effect there, and the client warns
            return
        for key in KEYWORD_KEYS[collection]:
            self._client.create_payload_index(self._full(collection), key, models.PayloadSchemaType.KEYWORD, wait=True)

    def _stored_lanes(self, collection: Collection) -> dict[str, LaneSchema]:
        params = self._client.get_collection(self._full(collection)).config.params
        dense: Any = params.vectors or {}
        lanes = [LaneSchema(name, kept.size, stored_quantization(kept), bool(kept.on_disk)) for name, kept in dense.items()]
        return {lane.name: lane for lane in [*lanes, *map(LaneSchema, params.sparse_vectors or {})]}

    def lanes(self) -> Mapping[str, LaneSchema]:
        return dict(self._lanes["pages"])

    def refresh(self) -> None:
        if self._where != MEMORY:  # which has one user, and forgets how its lanes are kept
            self._lanes["pages"] = self._ask(lambda: self._stored_lanes("pages"))

    def create_lanes(self, *schemas: LaneSchema) -> None:
        self.refresh()
        new = new_lanes(schemas, self._lanes["pages"])
        for schema in new:
            self._write(partial(self._make_lane, schema))
        if new:
            self._write(partial(self._configure, new))

    def _make_lane(self, schema: LaneSchema) -> None:
        if schema.name not in self._stored_lanes("pages"):
            try:
                self._client.create_vector_name(self._full("pages"), schema.name, new_vector(schema), wait=True)
            except UnexpectedResponse as error:
                raise self._too_old(error) from error

    def _configure(self, lanes: Sequence[LaneSchema]) -> None:
        """Set what `create_vector_name` has no arguments for; once for all lanes, as the server may write its segments anew."""
        settled = {lane.name: settled_vector(lane) for lane in lanes}
        self._client.update_collection(self._full("pages"), vectors_config=settled)
        kept = {lane.name: lane for lane in lanes} if self._where == MEMORY else self._stored_lanes("pages")  # MEMORY forgets
        self._lanes["pages"] |= {name: kept[name] for name in settled}

    def _too_old(self, error: UnexpectedResponse) -> Exception:
        """The error itself, or what it means where the server does not know the request."""
        if error.status_code not in (404, 405):
            return error
        version = self._client.info().version
        return EnvironmentFault(
            f"the Qdrant server at {self._where} (version {version}) can't add a lane to a collection",
            f"upgrade it to {ADDS_LANES_SINCE} or later, or make a new index with the lane",
        )

    def delete_lane(self, name: str) -> None:
        self._write(lambda: self._drop_lane(name))
        self._lanes["pages"].pop(name, None)

    def _drop_lane(self, name: str) -> None:
        if name in self._stored_lanes("pages"):
            self._client.delete_vector_name(self._full("pages"), name, wait=True)

    def update_points(self, collection: Collection, points: Sequence[Point]) -> None:
        for point in points:
            check_point(point, self._lanes[collection])
        for batch in batches_by_bytes(points, MAX_REQUEST_BYTES):
            operations = update_operations(batch)
            if operations:
                self._write(partial(self._client.batch_update_points, self._full(collection), operations, wait=True))

    def delete_payload_keys(self, collection: Collection, keys: Sequence[str], ids: Sequence[str] | None = None) -> None:
        if ids is not None and not ids:
            return
        points: Any = models.Filter() if ids is None else list(ids)
        self._write(lambda: self._client.delete_payload(self._full(collection), list(keys), points, wait=True))

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        for point in points:
            check_point(point, self._lanes[collection])
        for batch in batches_by_bytes(points, MAX_REQUEST_BYTES):
            structs = [point_struct(point) for point in batch]
            self._write(partial(self._client.upsert, self._full(collection), structs, wait=True))

    def query(self, queries: Sequence[LaneQuery], keys: Keys = ()) -> list[list[ScoredPoint]]:
        for query in queries:
            check_query(query, self._lanes["pages"])
        return settle_ties(queries, keys, self._query_once, lambda ids: self.retrieve("pages", ids, keys))

    def _query_once(self, queries: Sequence[LaneQuery], keys: Keys) -> list[list[ScoredPoint]]:
        # In memory all search is exact, and the client warns of parameters.
        quantized = {
            lane.name for lane in self._lanes["pages"].values() if lane.quantization != "none" and self._where != MEMORY
        }
        requests = [query_request(query, keys, quantized) for query in queries]
        answers = self._ask(lambda: self._client.query_batch_points(self._full("pages"), requests))
        return [[ScoredPoint(str(hit.id), hit.score, hit.payload or {}) for hit in answer.points] for answer in answers]

    def retrieve(
        self, collection: Collection, ids: Sequence[str], keys: Keys = None, lanes: Sequence[str] = ()
    ) -> list[StoredPoint]:
        if not ids:
            return []
        found = self._ask(
            lambda: self._client.retrieve(
                self._full(collection), list(ids), with_payload=selector(keys), with_vectors=list(lanes) or False
            )
        )
        by_id = {str(record.id): record for record in found}
        return [stored_point(by_id[id_]) for id_ in ids if id_ in by_id]

    def scroll(
        self, collection: Collection, where: Where = ANY, keys: Keys = None, lanes: Sequence[str] = ()
    ) -> Iterator[StoredPoint]:
        offset: Any = None
        while True:
            ask = partial(
                self._client.scroll,
                self._full(collection),
                model_filter(where),
                limit=SCROLL_PAGE,
                offset=offset,
                with_payload=selector(keys),
                with_vectors=list(lanes) or False,
            )
            found, offset = self._ask(ask)
            yield from map(stored_point, found)
            if offset is None:
                return

    def count(self, collection: Collection, where: Where = ANY) -> int:
        return self._ask(lambda: self._client.count(self._full(collection), model_filter(where), exact=True)).count

    def delete(self, collection: Collection, ids: Sequence[str]) -> None:
        if ids:
            self._delete(collection, models.PointIdsList(points=list(ids)))

    def delete_where(self, collection: Collection, where: Where) -> None:
        if where == ANY:
            raise ValueError("delete_where needs a filter: an empty one would delete everything")
        self._delete(collection, models.FilterSelector(filter=model_filter(where) or models.Filter()))

    def _delete(self, collection: Collection, selector: Any) -> None:
        self._write(lambda: self._client.delete(self._full(collection), selector, wait=True))

    def flush(self) -> None:
        """Nothing to do: every write waited for the server."""

    def close(self) -> None:
        """Close the connection; what `:memory:` held is gone. Closing twice is no error."""
        self._client.close()

    def _full(self, collection: Collection) -> str:
        return f"{self._name}_{collection}"

    def _ask(self, call: Callable[[], _T]) -> _T:
        """What `call` returns, waited for while the server is away for a moment; docrag's errors where it is away for good."""
        with translated(self._where):
            return patiently(call)

    def _write(self, call: Callable[[], object]) -> None:
        """As `_ask`, for what changes the index. Each try is guarded, for the one before it may be a minute old."""

        def guarded() -> object:
            if self._before_write is not None:
                self._before_write()
            return call()

        self._ask(guarded)


def parse_location(location: str) -> tuple[str, str]:
    """The server's URL and the index's name in "http(s)://host:port/name". Raises UsageError on anything else."""
    parts = urlsplit(location)
    prefix, _, name = parts.path.rstrip("/").rpartition("/")
    try:
        parts.port  # noqa: B018 -- a property that raises ValueError on a port that is none
    except ValueError as error:
        raise UsageError(f"not an index location: {location!r} ({error})", _LOCATION_HINT) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or not _NAME.fullmatch(name) or parts.query:
        raise UsageError(f"not an index location: {location!r}", _LOCATION_HINT)
    return f"{parts.scheme}://{parts.netloc}{prefix}", name


_LOCATION_HINT = "write it as http://host:6333/name; the name holds letters, digits, - and _"


def _client(server: str) -> QdrantClient:
    key = os.environ.get(API_KEY_VARIABLE) or None
    with warnings.catch_warnings():
        if urlsplit(server).hostname in _LOCAL_HOSTS:  # a key in clear text stays on this machine
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
        verify = server.startswith("https:")  # without TLS there is nothing to verify: certificates are not loaded, 25 ms
        return QdrantClient(url=server, api_key=key, timeout=REQUEST_TIMEOUT_S, check_compatibility=False, verify=verify)
