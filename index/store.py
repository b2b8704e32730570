"""What docrag needs of a vector store: two collections of points, asked by lanes. The rules that both adapters share live here.

`pages` holds one point a page, with its lanes as named vectors; `documents` holds records without vectors. The store knows
nothing of what a record means: that is `docrag.index.library_index`, once for both adapters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from docrag.types import SparseVector

Collection = Literal["pages", "documents"]
Payload = Mapping[str, Any]
Keys = tuple[str, ...] | None
"""Which keys of a payload to return: None for all of them, () for none."""
Array = NDArray[np.float16] | NDArray[np.float32]
Vector = Array | SparseVector

MAX_VECTOR_NUMBERS = 1_048_576  # a Qdrant server refuses a multivector of more numbers; Edge takes it without a word
SCROLL_PAGE = 256


@dataclass(frozen=True, slots=True)
class LaneSchema:
    """One named vector of a page. With a `dim` it is a float16 multivector scored by MaxSim over dot products, so its rows
    are normalised by whoever makes them; without one it is sparse, and scored with Qdrant's IDF."""

    name: str
    dim: int | None = None

    def __post_init__(self) -> None:
        if not self.name or (self.dim is not None and self.dim < 1):
            raise ValueError(f"a lane has a name and, where dense, a dimension of 1 or more, got {self.name!r}, {self.dim!r}")


PASSAGES = LaneSchema("passages", 384)
BM25 = LaneSchema("bm25")
PAGE_LANES = (PASSAGES, BM25)
# A shard without any vector can't be made: `documents` declares one that no record has.
RECORD_LANES = (LaneSchema("unused"),)
KEYWORD_KEYS: Mapping[Collection, tuple[str, ...]] = {"pages": ("document",), "documents": ("kind", "document")}


@dataclass(frozen=True, slots=True)
class Where:
    """A filter on payload keys: each `must` key has one of its values, no `must_not` key has any of its."""

    must: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict[str, tuple[str | int, ...]])
    must_not: Mapping[str, tuple[str | int, ...]] = field(default_factory=dict[str, tuple[str | int, ...]])

    def excluding(self, key: str, values: Sequence[str | int]) -> Where:
        """This filter, and `key` has none of `values` either."""
        return replace(self, must_not={**self.must_not, key: (*self.must_not.get(key, ()), *values)})


ANY = Where()


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
    """

    lane: str
    vector: NDArray[np.float32] | SparseVector
    limit: int
    where: Where = ANY
    idf_over: Where = ANY

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"a query asks for one point or more, got limit {self.limit}")


@dataclass(frozen=True, slots=True)
class ScoredPoint:
    """A point that a query found, with its raw score in that lane."""

    id: str
    score: float
    payload: Payload


class Store(Protocol):
    """Two collections of points. Writes are durable when they return; errors are `docrag.errors`' IndexFault and
    EnvironmentFault."""

    def upsert(self, collection: Collection, points: Sequence[Point]) -> None:
        """Write `points`, each in place of the point that had its id. Raises ValueError where `check_point` does."""
        ...

    def query(self, queries: Sequence[LaneQuery], keys: Keys = ()) -> list[list[ScoredPoint]]:
        """Ask several lanes of `pages` in one request; a list a query, in their order, each by (-score, id)."""
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


def to_lists(vectors: Array) -> list[list[float]]:
    """The rows as Python lists. By way of float32: float16's own `tolist` is ten times slower."""
    return vectors.astype(np.float32).tolist()


def settle_ties(
    queries: Sequence[LaneQuery], run: Callable[[Sequence[LaneQuery]], list[list[ScoredPoint]]]
) -> list[list[ScoredPoint]]:
    """Answer `queries` by `run` so that equal scores at the cut don't make the answer depend on the engine's whim.

    One more point is asked for than wanted; where the last wanted one ties with it, that query is asked again for twice as
    many, until the tie ends inside the answer. Then (-score, id) decides.
    """
    answers: list[list[ScoredPoint]] = [[] for _ in queries]
    open_limits = {number: query.limit + 1 for number, query in enumerate(queries)}
    while open_limits:
        batch = [replace(queries[number], limit=limit) for number, limit in open_limits.items()]
        again: dict[int, int] = {}
        for (number, limit), found in zip(open_limits.items(), run(batch), strict=True):
            ranked = sorted(found, key=lambda point: (-point.score, point.id))
            wanted = queries[number].limit
            if len(ranked) == limit and ranked[wanted - 1].score == ranked[-1].score:
                again[number] = 2 * limit
            answers[number] = ranked[:wanted]
        open_limits = again
    return answers
