"""Lanes that come and go while there are points, searches in two stages, and updates: both adapters against the oracle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from docrag.errors import IndexFault
from docrag.index.edge import EdgeStore
from docrag.index.store import (
    ANY,
    MAX_VECTOR_NUMBERS,
    VISUAL,
    VISUAL_POOLED,
    LaneQuery,
    LaneSchema,
    Point,
    Quantization,
    Store,
    Where,
    visual_pooled_schema,
    visual_schema,
)
from docrag.types import SparseVector
from tests.index.oracle import DIM, KINDS, LANES, Oracle, agree, empty, making_store, number_id, unit_rows

WIDE = 16  # the dimension of the visual lanes


@pytest.fixture(scope="module", params=KINDS)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with making_store(request.param, tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture
def store(shared: Store) -> Store:
    """A store without points, with the text lanes alone."""
    empty(shared)
    for name in (VISUAL, VISUAL_POOLED):
        shared.delete_lane(name)
    return shared


@pytest.fixture(scope="module", params=KINDS)
def shared_looking(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with making_store(request.param, tmp_path_factory.mktemp("store")) as store:
        add_visual(store)
        yield store


@pytest.fixture
def looking(shared_looking: Store) -> Store:
    """A store without points that has the visual lanes."""
    empty(shared_looking)
    return shared_looking


def add_visual(store: Store, quantization: Quantization = "none") -> None:
    store.create_lanes(visual_schema(WIDE, quantization), visual_pooled_schema(WIDE, quantization))


def text_points(rng: np.random.Generator, count: int) -> list[Point]:
    return [
        Point(
            number_id(number),
            {"document": f"d{number % 4}", "page_index": number},
            {"passages": unit_rows(rng, 2).astype(np.float16), "bm25": SparseVector((number % 3,), (1.0,))},
        )
        for number in range(count)
    ]


def wide_rows(rng: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
    rows = rng.normal(size=(count, WIDE))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def look_of(rng: np.random.Generator, point: Point, lanes: Sequence[str] = (VISUAL, VISUAL_POOLED)) -> Point:
    """What an encoder gives for a page: many vectors, a few pooled ones, a payload key."""
    vectors = wide_rows(rng, int(rng.integers(4, 12)))
    looks = {VISUAL: vectors.astype(np.float16), VISUAL_POOLED: vectors[:4].astype(np.float16)}
    return Point(point.id, {"visual": {"blocks": [[0, 1, 2, [0.0, 0.5, 1, 1]]]}}, {lane: looks[lane] for lane in lanes})


def two_stages(rng: np.random.Generator, limit: int, candidates: int, where: Where = ANY, rows: int = 5) -> LaneQuery:
    query = wide_rows(rng, rows)
    return LaneQuery(VISUAL, query, limit, where, prefetch=LaneQuery(VISUAL_POOLED, query, candidates))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(0, 30), limit=st.integers(1, 12), candidates=st.integers(1, 20))
@example(seed=377093, count=14, limit=3, candidates=4)  # the first stage's cut falls between scores closer than rounding
def test_two_stages_are_the_best_of_the_first_scored_by_the_second(
    looking: Store, seed: int, count: int, limit: int, candidates: int
) -> None:
    rng = np.random.default_rng(seed)
    empty(looking)
    oracle = Oracle()
    points = text_points(rng, count)
    looking.upsert("pages", points)
    oracle.upsert(points)
    looks = [look_of(rng, point) for point in points if rng.random() < 0.8]
    looks += [look_of(rng, point, (VISUAL_POOLED,)) for point in points[::9] if point.id not in {look.id for look in looks}]
    again = [look_of(rng, Point(look.id, {}), tuple(look.vectors)) for look in looks[:3]]  # written twice: the later ones count
    for batch in (looks, again):
        looking.update_points("pages", batch)
        oracle.update(batch)
    for where in (
        ANY,
        Where({"document": ("d0", "d2")}),
        Where(must_not={"document": ("d3",)}),
        Where({"document": ("none",)}),
    ):
        queries = [
            two_stages(rng, limit, candidates, where),
            LaneQuery(VISUAL, wide_rows(rng, 3), limit, where),
            LaneQuery("passages", unit_rows(rng, 2), limit, where),
            LaneQuery(
                VISUAL, wide_rows(rng, 3), limit, where, prefetch=LaneQuery("bm25", SparseVector((1,), (1.0,)), candidates)
            ),
            LaneQuery(VISUAL_POOLED, wide_rows(rng, 1), limit, replace(where, lanes=(VISUAL,))),
            LaneQuery(VISUAL, wide_rows(rng, 1), limit, replace(where, ids=tuple(point.id for point in points[::2]))),
        ]
        for found, query in zip(looking.query(queries), queries, strict=True):
            if oracle.is_clear(query):
                agree(found, oracle.query(query))
        for lanes in ((VISUAL,), (VISUAL, VISUAL_POOLED)):
            assert looking.count("pages", replace(where, lanes=lanes)) == len(oracle.passing(replace(where, lanes=lanes)))


def test_ties_are_settled_by_id_at_the_cut_of_either_stage(looking: Store) -> None:
    """Forty blank pages are alike in both lanes, and the candidates end among them, whatever order they were written in."""
    rng = np.random.default_rng(0)
    blank = np.ones((2, WIDE), np.float16)
    points = [Point(number_id(number), {"document": "d", "page_index": number}) for number in range(48)]
    looking.upsert("pages", points)
    looks = [Point(point.id, {}, {VISUAL: blank, VISUAL_POOLED: blank}) for point in points[:40]]
    others = [Point(point.id, {}, {VISUAL: -blank, VISUAL_POOLED: 2 * blank}) for point in points[40:]]
    order = rng.permutation(48)
    looking.update_points("pages", [[*looks, *others][index] for index in order])
    query = np.ones((3, WIDE), np.float32)
    blanks = sorted(point.id for point in looks)
    for candidates, expected in ((9, 1), (10, 2), (20, 12), (60, 40)):
        [found] = looking.query([LaneQuery(VISUAL, query, 50, prefetch=LaneQuery(VISUAL_POOLED, query, candidates))])
        assert [hit.id for hit in found if hit.score > 0] == blanks[:expected]
        assert len(found) == min(candidates, 48)
    [found] = looking.query([LaneQuery(VISUAL, query, 3, prefetch=LaneQuery(VISUAL_POOLED, query, 20))], keys=("page_index",))
    assert [hit.id for hit in found] == blanks[:3]
    by_id = {point.id: point.payload["page_index"] for point in points}
    assert [hit.payload for hit in found] == [{"page_index": by_id[hit.id]} for hit in found]


def test_a_lane_comes_and_goes_and_the_others_stay(store: Store) -> None:
    rng = np.random.default_rng(1)
    points = text_points(rng, 30)
    store.upsert("pages", points)
    text = [LaneQuery("passages", unit_rows(rng, 2), 9), LaneQuery("bm25", SparseVector((1,), (1.0,)), 9)]
    before = store.query(text)
    kept = list(store.scroll("pages", lanes=("passages", "bm25")))
    assert set(store.lanes()) == {"passages", "bm25"}
    for _ in range(2):
        add_visual(store)
        add_visual(store)  # twice is once
        assert store.lanes() == {
            **{lane.name: lane for lane in LANES},
            VISUAL: LaneSchema(VISUAL, WIDE, on_disk=True),
            VISUAL_POOLED: LaneSchema(VISUAL_POOLED, WIDE),
        }
        assert store.query([two_stages(rng, 3, 5)]) == [[]]
        looks = [look_of(rng, point) for point in points[:10]]
        store.update_points("pages", looks)
        assert store.query(text) == before
        assert len(store.query([two_stages(rng, 20, 20)])[0]) == 10
        [stored] = store.retrieve("pages", [points[0].id], lanes=(VISUAL, "passages"))
        np.testing.assert_array_equal(np.asarray(stored.vectors[VISUAL]), np.asarray(looks[0].vectors[VISUAL]))
        np.testing.assert_array_equal(np.asarray(stored.vectors["passages"]), np.asarray(points[0].vectors["passages"]))
        assert stored.payload == {**points[0].payload, **looks[0].payload}
        store.delete_payload_keys("pages", ["visual"])
        for name in (VISUAL_POOLED, VISUAL):
            store.delete_lane(name)
            store.delete_lane(name)
        assert set(store.lanes()) == {"passages", "bm25"}
        assert store.query(text) == before
        for stored, point in zip(store.scroll("pages", lanes=("passages", "bm25")), kept, strict=True):
            assert stored.payload == point.payload
            np.testing.assert_array_equal(np.asarray(stored.vectors["passages"]), np.asarray(point.vectors["passages"]))
        with pytest.raises(ValueError, match="no lane is called 'visual'; there are bm25, passages"):
            store.query([LaneQuery(VISUAL, wide_rows(rng, 1), 3)])
        with pytest.raises(ValueError, match="no lane is called 'visual'"):
            store.update_points("pages", looks)


def test_a_page_written_anew_loses_its_look(looking: Store) -> None:
    rng = np.random.default_rng(2)
    points = text_points(rng, 4)
    looking.upsert("pages", points)
    looking.update_points("pages", [look_of(rng, point) for point in points])
    looking.upsert("pages", points[:1])
    assert {point.id for point in looking.scroll("pages", Where(lanes=(VISUAL,)), keys=())} == {
        point.id for point in points[1:]
    }
    assert "visual" not in looking.retrieve("pages", [points[0].id])[0].payload


def test_an_update_leaves_what_it_does_not_name(looking: Store) -> None:
    rng = np.random.default_rng(3)
    points = text_points(rng, 3)
    looking.upsert("pages", points)
    first, second, third = points
    vector = wide_rows(rng, 2).astype(np.float16)
    looking.update_points(
        "pages", [Point(first.id, {"visual": 1}), Point(second.id, {}, {VISUAL: vector}), Point(third.id, {})]
    )
    found = looking.retrieve("pages", [point.id for point in points], lanes=("passages", VISUAL))
    assert [point.payload for point in found] == [{**first.payload, "visual": 1}, second.payload, third.payload]
    assert [sorted(point.vectors) for point in found] == [["passages"], ["passages", VISUAL], ["passages"]]
    looking.update_points("pages", [])
    looking.update_points("documents", [])


@pytest.mark.parametrize(
    "lost", [Point(number_id(99), {"visual": 1}), Point(number_id(99), {}, {VISUAL: np.ones((1, WIDE), np.float16)})]
)
def test_an_update_of_a_point_that_is_not_there_says_so_and_makes_none(looking: Store, lost: Point) -> None:
    rng = np.random.default_rng(4)
    points = text_points(rng, 3)
    looking.upsert("pages", points)
    with pytest.raises(IndexFault, match="lacks a point that was to be updated"):
        looking.update_points("pages", [lost])
    with pytest.raises(IndexFault, match="lacks a point"):
        looking.update_points("pages", [look_of(rng, points[0]), lost, look_of(rng, points[1])])
    assert looking.count("pages") == 3
    looking.update_points("pages", [look_of(rng, point) for point in points])  # and the next one goes through
    assert looking.count("pages", Where(lanes=(VISUAL,))) == 3


def test_payload_keys_go_from_all_points_or_from_some(store: Store) -> None:
    points = [Point(number_id(number), {"document": "d", "visual": {"a": number}, "other": 1}) for number in range(5)]
    store.upsert("pages", points)
    store.delete_payload_keys("pages", ["visual", "nothing"], [points[0].id, points[1].id])
    store.delete_payload_keys("pages", ["other"], [])
    assert [set(point.payload) for point in store.retrieve("pages", [point.id for point in points])] == [
        {"document", "other"}, {"document", "other"}, *[{"document", "visual", "other"}] * 3,
    ]  # fmt: skip
    store.delete_payload_keys("pages", ["visual"])
    assert all(set(point.payload) == {"document", "other"} for point in store.scroll("pages"))


@pytest.mark.parametrize(
    ("lane", "vector", "message"),
    [
        (VISUAL, np.full((2, WIDE), np.nan, np.float16), "NaN or infinity"),
        (VISUAL, np.zeros((2, WIDE + 1), np.float16), r"takes \[n, 16\] arrays .* got \(2, 17\)"),
        (VISUAL, np.zeros((MAX_VECTOR_NUMBERS // WIDE + 1, WIDE), np.float16), "1048576 numbers a point at most, got 1048592"),
        (VISUAL_POOLED, SparseVector((1,), (1.0,)), "got a sparse vector"),
        ("look", np.zeros((1, WIDE), np.float16), "no lane is called 'look'"),
    ],
)
def test_a_bad_update_is_refused_before_anything_is_written(looking: Store, lane: str, vector: Any, message: str) -> None:
    rng = np.random.default_rng(5)
    points = text_points(rng, 2)
    looking.upsert("pages", points)
    with pytest.raises(ValueError, match=message):
        looking.update_points("pages", [look_of(rng, points[0]), Point(points[1].id, {"visual": 1}, {lane: vector})])
    assert looking.count("pages", Where(lanes=(VISUAL,))) == 0
    assert all("visual" not in point.payload for point in looking.scroll("pages"))


def test_as_many_numbers_as_a_point_holds_are_taken(looking: Store) -> None:
    looking.upsert("pages", [Point(number_id(1), {"document": "d"})])
    full = np.zeros((MAX_VECTOR_NUMBERS // WIDE, WIDE), np.float16)
    full[-1] = 1
    looking.update_points("pages", [Point(number_id(1), {}, {VISUAL: full})])
    [found] = looking.query([LaneQuery(VISUAL, np.ones((1, WIDE), np.float32), 1)])
    assert found[0].score == pytest.approx(WIDE)


def test_a_lane_that_can_not_be_is_refused(store: Store) -> None:
    add_visual(store)
    with pytest.raises(ValueError, match=r"lane 'visual' has 16 dimensions, not 32: delete it first"):
        store.create_lanes(visual_schema(32))
    with pytest.raises(ValueError, match="only dense lanes can be added"):
        store.create_lanes(LaneSchema("other"))
    with pytest.raises(ValueError, match="quantization is one of none, binary, turbo, got 'int8'"):
        visual_schema(8, "int8")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="neither quantized nor kept on disk"):
        LaneSchema("sparse", None, "binary")
    with pytest.raises(ValueError, match="two stages at most"):
        LaneQuery(VISUAL, np.ones((1, WIDE), np.float32), 1, prefetch=two_stages(np.random.default_rng(0), 1, 1))
    with pytest.raises(ValueError, match="scored anew by a dense lane"):
        LaneQuery("bm25", SparseVector((1,), (1.0,)), 1, prefetch=LaneQuery(VISUAL, np.ones((1, WIDE), np.float32), 1))
    with pytest.raises(ValueError, match=r"lane 'visual_pooled' takes \[n, 16\]"):
        store.query(
            [
                LaneQuery(
                    VISUAL, np.ones((1, WIDE), np.float32), 1, prefetch=LaneQuery(VISUAL_POOLED, np.ones((1, 3), np.float32), 1)
                )
            ]
        )


@pytest.mark.parametrize("quantization", ["binary", "turbo"])
def test_a_quantized_lane_gives_exact_scores(store: Store, quantization: Quantization) -> None:
    rng = np.random.default_rng(6)
    store.upsert("pages", text_points(rng, 3))
    add_visual(store, quantization)
    assert store.lanes()[VISUAL] == LaneSchema(VISUAL, WIDE, quantization, on_disk=True)
    assert store.lanes()[VISUAL_POOLED] == LaneSchema(VISUAL_POOLED, WIDE, quantization)
    oracle = Oracle()
    points = text_points(rng, 40)
    store.upsert("pages", points)
    oracle.upsert(points)
    looks = [look_of(rng, point) for point in points]
    store.update_points("pages", looks)
    oracle.update(looks)
    query = wide_rows(rng, 3)
    for asked in (LaneQuery(VISUAL, query, 40), LaneQuery(VISUAL, query, 40, prefetch=LaneQuery(VISUAL_POOLED, query, 40))):
        [found] = store.query([asked])
        agree(found, oracle.query(asked))
    [few] = store.query([LaneQuery(VISUAL, query, 5, prefetch=LaneQuery(VISUAL_POOLED, query, 20))])
    exact = dict(oracle.query(LaneQuery(VISUAL, query, 40)))
    assert [hit.score for hit in few] == pytest.approx([exact[hit.id] for hit in few], abs=1e-3)


def test_all_stores_give_the_same_hits(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    points = text_points(rng, 200)
    looks = [look_of(rng, point) for point in points]
    looks += [replace_vectors(looks[0], point) for point in points[150:]]  # fifty pages that look alike
    queries = [two_stages(rng, 10, 30, where) for where in (ANY, Where({"document": ("d1",)})) for _ in range(10)]
    answers: list[Any] = []
    for kind in ("edge", "memory", "stand-in"):
        with making_store(kind, tmp_path / kind) as store:
            add_visual(store)
            store.upsert("pages", points)
            store.update_points("pages", looks)
            answers.append(store.query(queries, keys=("page_index",)))
    for left, *others in zip(*answers, strict=True):
        for right in others:
            assert [(hit.id, hit.payload) for hit in left] == [(hit.id, hit.payload) for hit in right]
            assert [hit.score for hit in left] == pytest.approx([hit.score for hit in right], abs=1e-3)


def replace_vectors(look: Point, point: Point) -> Point:
    return Point(point.id, look.payload, look.vectors)


def test_edge_reads_its_lanes_back_when_it_is_opened(tmp_path: Path) -> None:
    store = EdgeStore.create(tmp_path, LANES)
    add_visual(store, "binary")
    lanes = store.lanes()
    store.close()
    store = EdgeStore.open(tmp_path)
    assert store.lanes() == lanes
    assert lanes[VISUAL] == LaneSchema(VISUAL, WIDE, "binary", on_disk=True)
    assert lanes["passages"] == LaneSchema("passages", DIM)
    store.delete_lane(VISUAL)
    store.close()
    store = EdgeStore.open(tmp_path)
    assert set(store.lanes()) == {"passages", "bm25", VISUAL_POOLED}
    store.close()
