# pyright: basic
"""The served store: a Qdrant server through qdrant-client, collections NAME_pages and NAME_documents; or `:memory:`, for tests.

qdrant-client's in-memory mode has the same features and is plain numpy inside. What is particular to the client stays here.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from qdrant_client import QdrantClient, models  # noqa: TID253 -- this module is only imported to open such an index
from qdrant_client.http.exceptions import ApiException, UnexpectedResponse  # noqa: TID253 -- as above

from docrag.errors import EnvironmentFault, IndexMissing, UsageError
from docrag.index.location import MEMORY
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

API_KEY_VARIABLE = "DOCRAG_QDRANT_API_KEY"

CONNECT_TIMEOUT_S = 10
REQUEST_TIMEOUT_S = 60
MAX_REQUEST_BYTES = 8 * 2**20
_NUMBER_BYTES = 21  # a float16 widened to a double, as JSON: a sign, "0.", up to 17 digits, a comma
_COLLECTIONS: tuple[Collection, ...] = ("pages", "documents")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,199}")
_LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


class QdrantStore:
    """A `Store` on a Qdrant server, or in memory. Made by `create` or `open`."""

    def __init__(self, client: QdrantClient, name: str, where: str, page_lanes: Sequence[LaneSchema]) -> None:
        self._client = client
        self._name = name
        self._where = where
        self._lanes: dict[Collection, dict[str, LaneSchema]] = {
            "pages": {lane.name: lane for lane in page_lanes},
            "documents": {lane.name: lane for lane in RECORD_LANES},
        }

    @classmethod
    def create(cls, location: str, page_lanes: Sequence[LaneSchema] = PAGE_LANES) -> QdrantStore:
        """Make both collections at `location` (":memory:", or http(s)://host:port/name) where they are missing.

        Raises UsageError on a malformed location, EnvironmentFault where the server can't be reached or refuses.
        """
        store = cls._connect(location, page_lanes)
        with store._translated():
            for collection in _COLLECTIONS:
                if not store._client.collection_exists(store._full(collection)):
                    store._create_collection(collection)
        return store

    @classmethod
    def open(cls, location: str, page_lanes: Sequence[LaneSchema] = PAGE_LANES) -> QdrantStore:
        """Connect to an index that exists. Raises IndexMissing where a collection does not, and what `create` raises."""
        store = cls._connect(location, page_lanes)
        with store._translated():
            for collection in _COLLECTIONS:
                if not store._client.collection_exists(store._full(collection)):
                    raise IndexMissing(
                        f"there is no index at {location}: the server has no collection {store._full(collection)!r}",
                        "check the name, or make the index with `docrag ingest`",
                    )
        return store

    @classmethod
    def _connect(cls, location: str, page_lanes: Sequence[LaneSchema]) -> QdrantStore:
        if location == MEMORY:
            return cls(QdrantClient(MEMORY), "docrag", location, page_lanes)
        server, name = parse_location(location)
        store = cls(_client(server, CONNECT_TIMEOUT_S), name, server, page_lanes)
        with store._translated():
            store._client.info()
        store._client.close()
        return cls(_client(server, REQUEST_TIMEOUT_S), name, server, page_lanes)

    def _create_collection(self, collection: Collection) -> None:
        lanes = self._lanes[collection].values()
        self._client.create_collection(
            self._full(collection),
            vectors_config={lane.name: _dense(lane.dim) for lane in lanes if lane.dim is not None},
            sparse_vectors_config={
                lane.name: models.SparseVectorParams(modifier=models.Modifier.IDF) for lane in lanes if lane.dim is None
            },
            on_disk_payload=True,
        )
        if self._where == MEMORY:  # payload indexes have no effect there, and the client warns
            return
        for key in KEYWORD_KEYS[collection]:
            self._client.create_payload_index(self._full(collection), key, models.PayloadSchemaType.KEYWORD, wait=True)

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        for point in points:
            check_point(point, self._lanes[collection])
        for batch in batches_by_bytes(points, MAX_REQUEST_BYTES):
            structs = [_struct(point) for point in batch]
            with self._translated():
                self._client.upsert(self._full(collection), structs, wait=True)

    def query(self, queries: Sequence[LaneQuery], keys: Keys = ()) -> list[list[ScoredPoint]]:
        for query in queries:
            check_query(query, self._lanes["pages"])
        return settle_ties(queries, lambda batch: self._query_once(batch, keys))

    def _query_once(self, queries: Sequence[LaneQuery], keys: Keys) -> list[list[ScoredPoint]]:
        with self._translated():
            answers = self._client.query_batch_points(self._full("pages"), [_request(query, keys) for query in queries])
        return [[ScoredPoint(str(hit.id), hit.score, hit.payload or {}) for hit in answer.points] for answer in answers]

    def retrieve(
        self, collection: Collection, ids: Sequence[str], keys: Keys = None, lanes: Sequence[str] = ()
    ) -> list[StoredPoint]:
        if not ids:
            return []
        with self._translated():
            found = self._client.retrieve(
                self._full(collection), list(ids), with_payload=_selector(keys), with_vectors=list(lanes) or False
            )
        by_id = {str(record.id): record for record in found}
        return [_stored(by_id[id_]) for id_ in ids if id_ in by_id]

    def scroll(
        self, collection: Collection, where: Where = ANY, keys: Keys = None, lanes: Sequence[str] = ()
    ) -> Iterator[StoredPoint]:
        offset: Any = None
        while True:
            with self._translated():
                found, offset = self._client.scroll(
                    self._full(collection),
                    _filter(where),
                    limit=SCROLL_PAGE,
                    offset=offset,
                    with_payload=_selector(keys),
                    with_vectors=list(lanes) or False,
                )
            yield from map(_stored, found)
            if offset is None:
                return

    def count(self, collection: Collection, where: Where = ANY) -> int:
        with self._translated():
            return self._client.count(self._full(collection), _filter(where), exact=True).count

    def delete(self, collection: Collection, ids: Sequence[str]) -> None:
        if ids:
            self._delete(collection, models.PointIdsList(points=list(ids)))

    def delete_where(self, collection: Collection, where: Where) -> None:
        if where == ANY:
            raise ValueError("delete_where needs a filter: an empty one would delete everything")
        self._delete(collection, models.FilterSelector(filter=_filter(where) or models.Filter()))

    def _delete(self, collection: Collection, selector: Any) -> None:
        with self._translated():
            self._client.delete(self._full(collection), selector, wait=True)

    def flush(self) -> None:
        """Nothing to do: every write waited for the server."""

    def close(self) -> None:
        """Close the connection; what `:memory:` held is gone. Closing twice is no error."""
        self._client.close()

    def _full(self, collection: Collection) -> str:
        return f"{self._name}_{collection}"

    @contextlib.contextmanager
    def _translated(self) -> Generator[None]:
        """Turn what the client raises for a server that fails into EnvironmentFault."""
        try:
            yield
        except UnexpectedResponse as error:
            raise _refusal(self._where, error) from error
        except ApiException as error:
            raise EnvironmentFault(
                f"no answer from the Qdrant server at {self._where}: {error}",
                "check the address and that the server is running",
            ) from error


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


def batches_by_bytes(points: Iterable[Point], limit: int) -> Iterator[list[Point]]:
    """`points` in order, in lists whose JSON stays under `limit` bytes; a point over it goes alone."""
    batch: list[Point] = []
    size = 0
    for point in points:
        cost = _json_bytes(point)
        if batch and size + cost > limit:
            yield batch
            batch, size = [], 0
        batch.append(point)
        size += cost
    if batch:
        yield batch


def _json_bytes(point: Point) -> int:
    numbers = sum(
        2 * len(vector.indices) if isinstance(vector, SparseVector) else vector.size for vector in point.vectors.values()
    )
    return numbers * _NUMBER_BYTES + len(json.dumps(point.payload)) + 200


def _client(server: str, timeout_s: int) -> QdrantClient:
    key = os.environ.get(API_KEY_VARIABLE) or None
    with warnings.catch_warnings():
        if urlsplit(server).hostname in _LOCAL_HOSTS:  # a key in clear text stays on this machine
            warnings.filterwarnings("ignore", "Api key is used with an insecure connection")
        return QdrantClient(url=server, api_key=key, timeout=timeout_s, check_compatibility=False)


def _refusal(where: str, error: UnexpectedResponse) -> EnvironmentFault:
    message = f"the Qdrant server at {where} answered {error.status_code}: {error.content.decode(errors='replace')[:500]}"
    if error.status_code in (401, 403):
        return EnvironmentFault(message, f"set {API_KEY_VARIABLE} to a key that may read and write")
    if error.status_code == 507 or b"space" in error.content.lower():
        return EnvironmentFault(message, "the server's disk seems to be full")
    return EnvironmentFault(message, "see the server's own log; docrag needs Qdrant 1.10 or later")


def _dense(dim: int) -> models.VectorParams:
    return models.VectorParams(
        size=dim,
        distance=models.Distance.DOT,
        datatype=models.Datatype.FLOAT16,
        multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
        hnsw_config=models.HnswConfigDiff(m=0),
    )


def _struct(point: Point) -> models.PointStruct:
    vectors: Any = {name: _model_vector(vector) for name, vector in point.vectors.items()}
    return models.PointStruct(id=point.id, vector=vectors, payload=dict(point.payload))


def _model_vector(vector: Vector) -> Any:
    if isinstance(vector, SparseVector):
        return models.SparseVector(indices=list(vector.indices), values=list(vector.values))
    return to_lists(vector)


def _request(query: LaneQuery, keys: Keys) -> models.QueryRequest:
    params = None
    if isinstance(query.vector, SparseVector):
        # Counted over live points: the server's default statistics go on counting deleted ones.
        params = models.SearchParams(idf=models.IdfCorpusParams(corpus=_filter(query.idf_over) or models.Filter()))
    return models.QueryRequest(
        query=_model_vector(query.vector),
        using=query.lane,
        limit=query.limit,
        filter=_filter(query.where),
        with_payload=_selector(keys),
        params=params,
    )


def _selector(keys: Keys) -> Any:
    if keys is None:
        return True
    return list(keys) or False


def _filter(where: Where) -> models.Filter | None:
    if where == ANY:
        return None
    return models.Filter(must=_conditions(where.must), must_not=_conditions(where.must_not))


def _conditions(wanted: Mapping[str, tuple[Any, ...]]) -> list[Any]:
    return [models.FieldCondition(key=key, match=models.MatchAny(any=list(values))) for key, values in wanted.items()]


def _stored(record: Any) -> StoredPoint:
    vectors = {name: _read_vector(vector) for name, vector in (record.vector or {}).items()}
    return StoredPoint(str(record.id), record.payload or {}, vectors)


def _read_vector(vector: Any) -> Vector:
    if isinstance(vector, models.SparseVector):
        return SparseVector(tuple(vector.indices), tuple(vector.values))
    return np.asarray(vector, dtype=np.float16)
