"""What docrag needs of a vector store: two collections of points, asked by lanes. The rules that both adapters share live here.

`pages` holds one point a page, with its lanes as named vectors; `documents` holds records without vectors. The store knows
nothing of what a record means: that is `docrag.index.library_index`, once for both adapters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from docrag.config import Quantization
from docrag.types import SparseVector

Collection = Literal["pages", "documents"]
Payload = Mapping[str, Any]
Keys = tuple[str, ...] | None
"""Which keys of a payload to return: None for all of them, () for none."""
Array = NDArray[np.float16] | NDArray[np.float32]
Vector = Array | SparseVector

MAX_VECTOR_NUMBERS = 1_048_576  # a Qdrant server refuses a multivector of more numbers; Edge takes it without a word
SCROLL_PAGE = 256
# A quantized lane is scanned for this many times the wanted hits, which are then scored with the vectors themselves.
OVERSAMPLING = 4.0
# A server that is away is waited for. One that is started again reads its logs first: half a minute is usual in a cluster.
RETRY_FOR_S = 60.0
GONE_HINT = "run the same command again: the document may have been deleted meanwhile"
_NUMBER_BYTES = 21  # a float16 widened to a double, as JSON: a sign, "0.", up to 17 digits, a comma


@dataclass(frozen=True, slots=True)
class LaneSchema:
    """One named vector of a page. With a `dim` it is a float16 multivector scored by MaxSim over dot products, so its rows
    are normalised by whoever makes them; without one it is sparse, and scored with Qdrant's IDF.

    `on_disk` lanes are read from the disk when they are asked for, not brought into the page cache when the store is opened.
    `quantization` keeps a smaller copy of a dense lane (1 bit or 4 bits a number) that is scanned in its place; the best of
    that are scored with the vectors themselves, so scores are exact and only the choice of hits is not.
    """

    name: str
    dim: int | None = None
    quantization: Quantization = "none"
    on_disk: bool = False

    def __post_init__(self) -> None:
        if not self.name or (self.dim is not None and self.dim < 1):
            raise ValueError(f"a lane has a name and, where dense, a dimension of 1 or more, got {self.name!r}, {self.dim!r}")
        if self.quantization not in get_args(Quantization):
            raise ValueError(f"quantization is one of {', '.join(get_args(Quantization))}, got {self.quantization!r}")
        if self.dim is None and (self.quantization != "none" or self.on_disk):
            raise ValueError(f"the sparse lane {self.name!r} is neither quantized nor kept on disk")


PASSAGES = LaneSchema("passages", 384)
BM25 = LaneSchema("bm25")
PAGE_LANES = (PASSAGES, BM25)
VISUAL = "visual"
VISUAL_POOLED = "visual_pooled"
# A shard without any vector can't be made: `documents` declares one that no record has.
RECORD_LANES = (LaneSchema("unused"),)
KEYWORD_KEYS: Mapping[Collection, tuple[str, ...]] = {"pages": ("document",), "documents": ("kind", "document")}


def visual_schema(dim: int, quantization: Quantization = "none") -> LaneSchema:
    """The lane of late-interaction vectors of a page's image: hundreds of rows a page, so they stay on disk."""
    return LaneSchema(VISUAL, dim, quantization, on_disk=True)


def visual_pooled_schema(dim: int, quantization: Quantization = "none") -> LaneSchema:
    """The lane of the same vectors pooled to a few dozen rows a page, for the first stage of a search."""
    return LaneSchema(VISUAL_POOLED, dim, quantization)


@dataclass(frozen=True, slots=True)
class Where:
    """A filter: each `must` payload key has one of its values, no `must_not` key has any of its, the point has vectors in
    all of these `lanes`, and its id is one of `ids` (None: any)."""

    must: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict[str, tuple[str | int, ...]])
    must_not: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict[str, tuple[str | int, ...]])
    lanes: tuple[str, ...] = ()
    ids: tuple[str, ...] | None = None

    def excluding(self, key: str, values: Sequence[str | int]) -> Where:
        """This filter, and `key` has none of `values` either."""
        return replace(self, must_not={**self.must_not, key: (*self.must_not.get(key, ()), *values)})


ANY = Where()


def of_document(sha256: str) -> Where:
    """The filter for the pages of one document."""
    return Where({"document": (sha256,)})


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A point to write. `id` is a UUID; a dense vector is [n, dim] with n >= 1; a lane without a vector is absent."""

    id: str
    payload: Payload
    vectors: Mapping[str, Vector] = field(default_factory=dict[str, Vector])


@dataclass(frozen=True, slots=True, eq=False)
class StoredPoint:
    """A point as read back, with the payload keys and lanes that were asked for; dense vectors are float16 [n, dim]."""

    id: str
    payload: Payload
    vectors: Mapping[str, Vector] = field(default_factory=dict[str, Vector])


@dataclass(frozen=True, slots=True, eq=False)
class LaneQuery:
    """One lane of one search: the `limit` best points that have the lane and pass `where`.

    `vector` is float32 [q, dim] (the score is the sum over its rows of their best dot product), or sparse (the score is the
    sum over shared terms of query weight x IDF x stored weight, and points that share no term are not returned).
    IDF is ln(1 + (N - n + 0.5) / (n + 0.5)): n of the N points that have the lane and pass `idf_over` hold the term.
    With a `prefetch` only the best points of that query are scored here, its `limit` of them out of those that have both
    lanes; `where` is this query's in both stages.
    """

    lane: str
    vector: NDArray[np.float32] | SparseVector
    limit: int
    where: Where = ANY
    idf_over: Where = ANY
    prefetch: LaneQuery | None = None

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"a query asks for one point or more, got limit {self.limit}")
        if self.prefetch is not None and self.prefetch.prefetch is not None:
            raise ValueError("a search has two stages at most, got a prefetch of a prefetch")
        if self.prefetch is not None and isinstance(self.vector, SparseVector):
            raise ValueError(f"candidates are scored anew by a dense lane, got a prefetch for the sparse lane {self.lane!r}")


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A point that a query found, with its raw score in that lane."""

    id: str
    score: float
    payload: Payload


class Store(Protocol):
    """Two collections of points. Writes are durable when they return; errors are `docrag.errors`' IndexFault and
    EnvironmentFault."""

    def guard_writes(self, check: Callable[[], None] | None) -> None:
        """Call `check` before each write to a server from now on, whose error the write then raises; None: no more.

        Nothing is to be guarded where no other process can write.
        """
        ...

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        """Write `points`, each in place of the point that had its id. Raises ValueError where `check_point` does."""
        ...

    def lanes(self) -> Mapping[str, LaneSchema]:
        """The lanes of `pages` by name, as the store itself has them: what was read when it was opened, and changed since."""
        ...

    def refresh(self) -> None:
        """Read the lanes anew: on a server another process may have changed them."""
        ...

    def create_lanes(self, *schemas: LaneSchema) -> None:
        """Add dense lanes to `pages`, which may hold points; no error where one is there just so.

        Killed half-way, the same call finishes the work. Raises ValueError where a lane of such a name has another dimension,
        EnvironmentFault where the server is too old for it.
        """
        ...

    def delete_lane(self, name: str) -> None:
        """Remove a lane of `pages` with all its vectors; no error where it is not there."""
        ...

    def update_points(self, collection: Collection, points: Sequence[Point]) -> None:
        """Set the given vectors, then the given payload keys, of points that exist; their other ones stay as they are.

        Raises ValueError where `check_point` does, and IndexFault where a point is not there (others may be written then).
        """
        ...

    def delete_payload_keys(self, collection: Collection, keys: Sequence[str], ids: Sequence[str] | None = None) -> None:
        """Delete these keys from the payloads of the points with these ids (None: of all points)."""
        ...

    def query(self, queries: Sequence[LaneQuery], keys: Keys = ()) -> list[list[ScoredPoint]]:
        """Ask several lanes of `pages` in one request; a list a query, in their order, each by (-score, id).

        What decides which of equal points are returned is the id, in both stages of a search in two, not the engine's whim.
        """
        ...

    def retrieve(
        self, collection: Collection, ids: Sequence[str], keys: Keys = None, lanes: Sequence[str] = ()
    ) -> list[StoredPoint]:
        """The points with these ids, in the order of `ids`; an id that nothing has is left out."""
        ...

    def scroll(
        self, collection: Collection, where: Where = ANY, keys: Keys = None, lanes: Sequence[str] = ()
    ) -> Iterator[StoredPoint]:
        """All points that pass `where`, by id, fetched a few hundred at a time."""
        ...

    def count(self, collection: Collection, where: Where = ANY) -> int:
        """How many points pass `where`, counted exactly."""
        ...

    def delete(self, collection: Collection, ids: Sequence[str]) -> None:
        """Delete by id; an id that nothing has is no error."""
        ...

    def delete_where(self, collection: Collection, where: Where) -> None:
        """Delete what passes `where`, which must not be empty (ValueError)."""
        ...

    def flush(self) -> None: ...

    def close(self) -> None: ...


def check_point(point: Point, lanes: Mapping[str, LaneSchema]) -> None:
    """Raise ValueError unless every vector of `point` belongs to a lane, has its shape, is finite and not too large.

    Both engines take NaN, and Edge takes multivectors that a server refuses.
    """
    for name, vector in point.vectors.items():
        if name not in lanes:
            raise ValueError(f"no lane is called {name!r}; there are {', '.join(sorted(lanes))}")
        _check_vector(lanes[name], vector)


def check_query(query: LaneQuery, lanes: Mapping[str, LaneSchema]) -> None:
    """Raise ValueError unless the query's lane exists and its vector has that lane's shape and is finite."""
    if query.lane not in lanes:
        raise ValueError(f"no lane is called {query.lane!r}; there are {', '.join(sorted(lanes))}")
    _check_vector(lanes[query.lane], query.vector)
    if query.prefetch is not None:
        check_query(query.prefetch, lanes)


def _check_vector(lane: LaneSchema, vector: Vector) -> None:
    if isinstance(vector, SparseVector):
        if lane.dim is not None:
            raise ValueError(f"lane {lane.name!r} takes [n, {lane.dim}] arrays, got a sparse vector")
        if len(set(vector.indices)) != len(vector.indices):
            raise ValueError(f"a sparse vector of lane {lane.name!r} names a term twice")
        return
    if lane.dim is None:
        raise ValueError(f"lane {lane.name!r} takes sparse vectors, got an array")
    if vector.ndim != 2 or vector.shape[0] < 1 or vector.shape[1] != lane.dim:
        raise ValueError(f"lane {lane.name!r} takes [n, {lane.dim}] arrays with n >= 1, got {vector.shape}")
    if vector.size > MAX_VECTOR_NUMBERS:
        raise ValueError(f"lane {lane.name!r} takes {MAX_VECTOR_NUMBERS} numbers a point at most, got {vector.size}")
    if not np.isfinite(vector).all():
        raise ValueError(f"a vector of lane {lane.name!r} holds NaN or infinity")


def new_lanes(schemas: Iterable[LaneSchema], lanes: Mapping[str, LaneSchema]) -> list[LaneSchema]:
    """Those of `schemas` that are not just so among `lanes`. Raises ValueError unless all are dense lanes that can be added."""
    new: list[LaneSchema] = []
    for schema in schemas:
        have = lanes.get(schema.name)
        if schema.dim is None:
            raise ValueError(f"only dense lanes can be added, got the sparse lane {schema.name!r}")
        if have is not None and have.dim != schema.dim:
            raise ValueError(f"lane {schema.name!r} has {have.dim} dimensions, not {schema.dim}: delete it first")
        if have != schema:
            new.append(schema)
    return new


def to_lists(vectors: Array) -> list[list[float]]:
    """The rows as Python lists. By way of float32: float16's own `tolist` is ten times slower."""
    return vectors.astype(np.float32).tolist()


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


def count_numbers(point: Point) -> int:
    """How many numbers a point's vectors hold, indices of sparse ones among them."""
    return sum(
        2 * len(vector.indices) if isinstance(vector, SparseVector) else vector.size for vector in point.vectors.values()
    )


def _json_bytes(point: Point) -> int:
    return count_numbers(point) * _NUMBER_BYTES + len(json.dumps(point.payload)) + 200
