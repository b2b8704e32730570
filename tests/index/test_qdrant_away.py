"""A server that is away for a moment, for good, full, or killed: nothing is lost, nothing doubled, and it is said."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from docrag.errors import EnvironmentFault, IndexFault, IndexMissing
from docrag.index.qdrant import QdrantStore
from docrag.index.store import LaneQuery, Point, visual_schema
from docrag.testing.qdrant_server import QdrantStandIn
from tests.index.oracle import DIM, LANES, drop_collections, number_id
from tests.serving import serve_stand_in

WAIT = "docrag.index.store.RETRY_FOR_S"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantStandIn]:
    with QdrantStandIn(tmp_path) as server:
        yield server


@pytest.fixture
def store(server: QdrantStandIn) -> Iterator[QdrantStore]:
    store = QdrantStore.create(f"{server.url}/library", LANES)
    yield store
    store.close()


def page(number: int) -> Point:
    return Point(number_id(number), {"document": "d", "page_index": number}, {"passages": np.ones((1, DIM), np.float16)})


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_is_refused_for_a_moment_goes_through(store: QdrantStore, server: QdrantStandIn, status: int) -> None:
    server.trouble.status = status
    server.trouble.refuse_writes = 1 if status == 429 else 3
    store.upsert("pages", [page(1), page(2)])
    assert server.trouble.refuse_writes == 0
    assert store.count("pages") == 2


@pytest.mark.parametrize("loss", ["lose_requests", "lose_answers"])
def test_every_call_outlives_a_lost_connection(store: QdrantStore, server: QdrantStandIn, loss: str) -> None:
    """A client can't know whether what it asked for was done; asking again does no harm."""

    def lose() -> None:
        assert (server.trouble.lose_requests, server.trouble.lose_answers) == (0, 0)
        setattr(server.trouble, loss, 2)

    lose()
    store.upsert("pages", [page(1), page(2)])
    lose()
    store.create_lanes(visual_schema(DIM))
    lose()
    store.update_points("pages", [Point(number_id(1), {"visual": 1}, {"visual": np.ones((2, DIM), np.float16)})])
    lose()
    store.delete_payload_keys("pages", ["page_index"])
    lose()
    assert [point.payload for point in store.scroll("pages")] == [{"document": "d", "visual": 1}, {"document": "d"}]
    lose()
    [found] = store.query([LaneQuery("visual", np.ones((1, DIM), np.float32), 5)])
    assert [hit.id for hit in found] == [number_id(1)]
    lose()
    store.delete_lane("visual")
    lose()
    store.delete("pages", [number_id(1)])
    lose()
    assert store.count("pages") == 1
    assert set(store.lanes()) == {"passages", "bm25"}


def test_each_try_of_a_write_is_guarded(store: QdrantStore, server: QdrantStandIn) -> None:
    """The right to write may have gone to another while the server was waited for."""
    asked: list[None] = []

    def check() -> None:
        asked.append(None)
        if len(asked) == 3:
            raise EnvironmentFault("not yours any more")

    store.guard_writes(check)
    server.trouble.refuse_writes = 2
    with pytest.raises(EnvironmentFault, match="not yours any more"):
        store.upsert("pages", [page(1)])
    assert (len(asked), store.count("pages")) == (3, 0)


def test_a_full_disk_is_said_at_once_and_the_same_write_goes_through_later(store: QdrantStore, server: QdrantStandIn) -> None:
    server.trouble.is_full = True
    begun = time.monotonic()
    with pytest.raises(EnvironmentFault, match="No space left on device") as caught:
        store.upsert("pages", [page(1)])
    assert time.monotonic() - begun < 5
    assert caught.value.hint == "the server's disk seems to be full"
    assert store.count("pages") == 0
    server.trouble.is_full = False
    store.upsert("pages", [page(1)])
    assert store.count("pages") == 1
    server.trouble.refuse_writes, server.trouble.status, server.trouble.text = 1, 507, "Insufficient storage"
    with pytest.raises(EnvironmentFault) as caught:
        store.upsert("pages", [page(1)])
    assert caught.value.hint == "the server's disk seems to be full"


def test_a_refusal_that_stays_is_said_at_once(store: QdrantStore, server: QdrantStandIn) -> None:
    server.trouble.refuse_writes, server.trouble.status = 2, 400
    with pytest.raises(EnvironmentFault, match="answered 400"):
        store.upsert("pages", [page(1)])
    assert server.trouble.refuse_writes == 1


def test_a_server_that_stays_away_is_given_up(
    store: QdrantStore, server: QdrantStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WAIT, 1.0)
    store.upsert("pages", [page(1)])
    server.stop()
    begun = time.monotonic()
    with pytest.raises(EnvironmentFault, match="no answer from the Qdrant server") as caught:
        store.upsert("pages", [page(2)])
    assert time.monotonic() - begun < 10
    assert "what was written before is kept" in caught.value.hint
    server.start()
    store.upsert("pages", [page(2)])
    assert store.count("pages") == 2


def test_an_index_that_was_deleted_under_a_writer(store: QdrantStore, server: QdrantStandIn) -> None:
    drop_collections(server.url, "library")
    with pytest.raises(IndexMissing, match="Collection `library_pages` doesn't exist"):
        store.upsert("pages", [page(1)])


def test_lanes_that_another_process_changed(store: QdrantStore, server: QdrantStandIn) -> None:
    other = QdrantStore.open(f"{server.url}/library")
    other.create_lanes(visual_schema(DIM))
    looks = [Point(page(1).id, {}, {"visual": np.ones((2, DIM), np.float16)})]
    store.upsert("pages", [page(1)])
    with pytest.raises(ValueError, match="no lane is called 'visual'"):
        store.update_points("pages", looks)
    store.refresh()
    assert store.lanes() == other.lanes()
    store.update_points("pages", looks)
    with pytest.raises(ValueError, match="lane 'visual' has 8 dimensions, not 9"):
        store.create_lanes(visual_schema(9))
    other.delete_lane("visual")
    with pytest.raises(IndexFault, match="Not existing vector name error: visual") as caught:
        store.update_points("pages", looks)
    assert "another process" in caught.value.hint
    store.delete_lane("visual")
    store.create_lanes(visual_schema(9))
    other.create_lanes(visual_schema(9))
    assert other.lanes() == store.lanes()
    other.close()


def test_a_server_killed_in_the_middle_of_writes(tmp_path: Path) -> None:
    """Twice, by SIGKILL, and away for a second each time: the writer waits, and all is there once."""
    process, url = serve_stand_in(tmp_path)
    store = QdrantStore.create(f"{url}/library", LANES)
    failures: list[BaseException] = []
    written = threading.Semaphore(0)
    writer = threading.Thread(target=write_pages, args=(f"{url}/library", 200, written, failures))
    writer.start()
    for _ in range(2):
        for _ in range(50):
            assert written.acquire(timeout=30)
        process.kill()
        process.communicate()
        time.sleep(1)
        process, _ = serve_stand_in(tmp_path, int(url.rpartition(":")[2]))
    writer.join()
    assert failures == []
    assert sorted(point.payload["page_index"] for point in store.scroll("pages")) == list(range(200))
    store.close()
    process.terminate()
    process.communicate()


def write_pages(location: str, count: int, written: threading.Semaphore, failures: list[BaseException]) -> None:
    try:
        store = QdrantStore.open(location)
        for number in range(count):
            store.upsert("pages", [page(number)])
            written.release()
        store.close()
    except BaseException as error:  # noqa: BLE001 -- the test tells of it
        failures.append(error)
