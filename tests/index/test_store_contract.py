"""Both adapters keep one contract: the numpy oracle below is slow and obvious, and every answer is held against it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from docrag.index.store import (
    ANY,
    MAX_VECTOR_NUMBERS,
    LaneQuery,
    Point,
    Store,
    StoredPoint,
    Where,
)
from docrag.types import SparseVector
from tests.index.oracle import DIM, KINDS, Oracle, agree, empty, making_store, number_id, unit_rows


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with making_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    empty(shared)
    return shared


def random_points(rng: np.random.Generator, count: int, first: int = 0) -> list[Point]:
    points: list[Point] = []
    for number in range(first, first + count):
        vectors: dict[str, Any] = {}
        if rng.random() < 0.8:
            vectors["passages"] = unit_rows(rng, int(rng.integers(1, 5))).astype(np.float16)
        if rng.random() < 0.8:
            terms = rng.choice(12, size=int(rng.integers(1, 6)), replace=False)
            vectors["bm25"] = SparseVector(tuple(map(int, terms)), tuple(map(float, rng.uniform(0.1, 3, len(terms)))))
        payload = {"document": f"d{number % 4}", "page_index": number, "text": f"page {number} 日本語 \n\x00 é"}
        points.append(Point(number_id(number), payload, vectors))
    return points


def random_query(rng: np.random.Generator, where: Where, limit: int) -> list[LaneQuery]:
    terms = rng.choice(14, size=3, replace=False)
    sparse = SparseVector(tuple(map(int, terms)), tuple(map(float, rng.uniform(0.5, 2, 3))))
    return [
        LaneQuery("passages", unit_rows(rng, int(rng.integers(1, 4))), limit, where),
        LaneQuery("bm25", sparse, limit, where),
        LaneQuery("bm25", sparse, limit, where, idf_over=where),
    ]


WHERES = (
    ANY,
    Where({"document": ("d1",)}),
    Where({"document": ("d0", "d2")}),
    Where(must_not={"document": ("d3",)}),
    Where({"document": ("d0", "d1")}, {"document": ("d1",)}),
    Where({"page_index": (3, 4, 5)}),
    Where({"document": ("nobody",)}),
    Where({"document": ()}),
    Where(must_not={"document": ()}),
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 40), limit=st.integers(1, 50))
def test_answers_are_the_oracles(store: Store, seed: int, count: int, limit: int) -> None:
    rng = np.random.default_rng(seed)
    empty(store)
    oracle = Oracle()
    points = random_points(rng, count)
    rewritten = random_points(rng, min(count, 5))  # the first few again, with other vectors
    for batch in (points, rewritten):
        store.upsert("pages", batch)
        oracle.upsert(batch)
    gone = [point.id for point in points[::7]]
    store.delete("pages", gone)
    for id_ in gone:
        del oracle.points[id_]
    for where in WHERES:
        queries = random_query(rng, where, limit)
        for found, query in zip(store.query(queries), queries, strict=True):
            agree(found, oracle.query(query))
        assert store.count("pages", where) == len(oracle.passing(where))
        assert {point.id for point in store.scroll("pages", where, keys=())} == {point.id for point in oracle.passing(where)}


def test_lists_come_in_the_order_of_the_queries_with_the_keys_asked_for(store: Store) -> None:
    store.upsert("pages", random_points(np.random.default_rng(1), 30))
    sparse = LaneQuery("bm25", SparseVector((1,), (1.0,)), 3)
    dense = LaneQuery("passages", unit_rows(np.random.default_rng(2), 1), 5)
    for queries in ([sparse, dense], [dense, sparse]):
        answers = store.query(queries, keys=("document",))
        assert [len(answer) for answer in answers] == [query.limit for query in queries]
        assert all(hit.payload.keys() == {"document"} for answer in answers for hit in answer)
    assert all(not hit.payload for answer in store.query([dense]) for hit in answer)
    assert store.query([dense], keys=None)[0][0].payload["text"].endswith("日本語 \n\x00 é")
    assert store.query([]) == []


def test_ties_at_the_cut_are_settled_by_id(store: Store) -> None:
    alike = np.ones((1, DIM), np.float16)
    points = [Point(number_id(number), {"document": "d"}, {"passages": alike}) for number in range(100)]
    store.upsert("pages", points[50:] + points[:50])
    [found] = store.query([LaneQuery("passages", np.ones((1, DIM), np.float32), 7)])
    assert [hit.id for hit in found] == sorted(point.id for point in points)[:7]


def test_written_twice_is_written_once_and_replaced_whole(store: Store) -> None:
    first, second = random_points(np.random.default_rng(3), 2)
    store.upsert("pages", [first, second])
    store.upsert("pages", [first])
    assert store.count("pages") == 2
    store.upsert("pages", [Point(first.id, {"document": "other"})])
    [stored] = store.retrieve("pages", [first.id], lanes=("passages", "bm25"))
    assert stored.payload == {"document": "other"}
    assert not stored.vectors


def test_what_was_written_is_read_back(store: Store) -> None:
    points = random_points(np.random.default_rng(4), 20)
    nested = {"failure": None, "list": [1, 2.5, "x", None, True, [0.1]], "object": {"a": {"b": []}}, "big": 2**53 - 1}
    points.append(Point(number_id(99), nested))
    store.upsert("pages", points)
    wanted = [point.id for point in points[::-1]]
    found = store.retrieve("pages", [*wanted, number_id(12345)], lanes=("passages", "bm25"))
    assert [point.id for point in found] == wanted
    for stored, point in zip(found, points[::-1], strict=True):
        assert stored.payload == point.payload
        assert stored.vectors.keys() == point.vectors.keys()
        assert_same_vectors(stored, point)
    [bare] = store.retrieve("pages", [points[3].id], keys=("page_index",))
    assert bare.payload == {"page_index": 3}
    assert not bare.vectors
    assert store.retrieve("pages", []) == []


def assert_same_vectors(stored: StoredPoint, point: Point) -> None:
    for name, vector in point.vectors.items():
        back = stored.vectors[name]
        if isinstance(vector, SparseVector):
            assert isinstance(back, SparseVector)
            assert dict(zip(back.indices, back.values, strict=True)) == pytest.approx(
                dict(zip(vector.indices, vector.values, strict=True))
            )
        else:
            assert isinstance(back, np.ndarray)
            assert back.dtype == np.float16
            np.testing.assert_array_equal(back, vector)


def test_scroll_goes_through_all_of_more_than_a_page(store: Store) -> None:
    points = [Point(number_id(number), {"kind": "source" if number % 3 else "document"}) for number in range(700)]
    store.upsert("documents", points)
    scrolled = [point.id for point in store.scroll("documents", keys=())]
    assert scrolled == sorted(point.id for point in points)
    assert sum(1 for _ in store.scroll("documents", Where({"kind": ("document",)}))) == 234
    assert store.count("documents") == 700
    assert store.count("pages") == 0


def test_delete_by_id_and_by_filter(store: Store) -> None:
    points = random_points(np.random.default_rng(5), 40)
    store.upsert("pages", points)
    store.delete("pages", [points[0].id, number_id(777)])
    store.delete("pages", [])
    assert store.count("pages") == 39
    store.delete_where("pages", Where({"document": ("d1",)}))
    assert store.count("pages") == 29
    assert store.count("pages", Where({"document": ("d1",)})) == 0
    with pytest.raises(ValueError, match="would delete everything"):
        store.delete_where("pages", ANY)
    assert store.count("pages") == 29


@pytest.mark.parametrize(
    ("lane", "vector", "message"),
    [
        ("passages", np.full((1, DIM), np.nan, np.float16), "NaN or infinity"),
        ("passages", np.full((1, DIM), np.inf, np.float16), "NaN or infinity"),
        ("passages", np.zeros((0, DIM), np.float16), r"n >= 1, got \(0, 8\)"),
        ("passages", np.zeros((2, DIM + 1), np.float16), r"takes \[n, 8\] arrays .* got \(2, 9\)"),
        ("passages", np.zeros(DIM, np.float16), r"got \(8,\)"),
        (
            "passages",
            np.zeros((MAX_VECTOR_NUMBERS // DIM + 1, DIM), np.float16),
            "1048576 numbers a point at most, got 1048584",
        ),
        ("passages", SparseVector((1,), (1.0,)), "got a sparse vector"),
        ("bm25", np.zeros((1, DIM), np.float16), "takes sparse vectors"),
        ("bm25", SparseVector((1, 1), (1.0, 2.0)), "names a term twice"),
        ("visual", np.zeros((1, DIM), np.float16), "no lane is called 'visual'; there are bm25, passages"),
    ],
)
def test_a_bad_vector_is_refused_and_nothing_of_its_batch_is_written(
    store: Store, lane: str, vector: Any, message: str
) -> None:
    [good] = random_points(np.random.default_rng(6), 1)
    with pytest.raises(ValueError, match=message):
        store.upsert("pages", [good, Point(number_id(2), {}, {lane: vector})])
    assert store.count("pages") == 0


def test_a_bad_query_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="NaN"):
        store.query([LaneQuery("passages", np.full((1, DIM), np.nan, np.float32), 3)])
    with pytest.raises(ValueError, match="no lane is called 'visual'"):
        store.query([LaneQuery("visual", np.zeros((1, DIM), np.float32), 3)])
    with pytest.raises(ValueError, match="limit 0"):
        LaneQuery("passages", np.zeros((1, DIM), np.float32), 0)


def test_an_empty_store_answers_with_nothing(store: Store) -> None:
    queries = random_query(np.random.default_rng(7), ANY, 5)
    assert store.query(queries) == [[], [], []]
    assert list(store.scroll("documents")) == []
    store.flush()


def test_idf_follows_what_is_live_whatever_was_there_before(store: Store) -> None:
    """An index that had pages deleted and rewritten scores as one that never held them."""
    points = random_points(np.random.default_rng(8), 60)
    query = LaneQuery("bm25", SparseVector((1, 5), (1.0, 1.0)), 50)
    store.upsert("pages", points[:20])
    before = store.query([query])
    store.upsert("pages", points)
    assert store.query([query]) != before
    store.upsert("pages", points[:20])
    store.delete("pages", [point.id for point in points[20:]])
    assert store.query([query]) == before
