"""What is particular to the served store: locations, requests that stay small, and servers that don't answer."""

from __future__ import annotations

import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from docrag.errors import EnvironmentFault, IndexFault, IndexMissing, UsageError
from docrag.index.qdrant import MAX_REQUEST_BYTES, MEMORY, QdrantStore, parse_location
from docrag.index.store import LaneSchema, Point, batches_by_bytes, visual_schema
from docrag.types import SparseVector

LANES = (LaneSchema("passages", 128), LaneSchema("bm25"))


@pytest.mark.parametrize(
    ("location", "server", "name"),
    [
        ("http://localhost:6333/library", "http://localhost:6333", "library"),
        ("https://q.example.com/prefix/my-lib_2/", "https://q.example.com/prefix", "my-lib_2"),
    ],
)
def test_locations(location: str, server: str, name: str) -> None:
    assert parse_location(location) == (server, name)


@pytest.mark.parametrize(
    "location",
    [
        "http://localhost:6333",
        "http://localhost:6333/",
        "http:///x",
        "ftp://h/x",
        "http://h:port/x",
        "http://h/a%20b",
        "http://h/x?y=1",
    ],
)
def test_a_malformed_location_is_a_usage_error(location: str) -> None:
    with pytest.raises(UsageError, match="not an index location") as caught:
        parse_location(location)
    assert "http://host:6333/name" in caught.value.hint


def test_an_unreachable_server_is_said_to_be_so_in_time() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        location = f"http://127.0.0.1:{taken.getsockname()[1]}/library"
        begun = time.monotonic()
        with pytest.raises(EnvironmentFault, match="no answer from the Qdrant server at http://127") as caught:
            QdrantStore.open(location)
    assert time.monotonic() - begun < 10
    assert "check the address" in caught.value.hint


def test_an_index_that_is_not_there() -> None:
    with pytest.raises(IndexMissing, match="no collection 'docrag_pages'"):
        QdrantStore.open(MEMORY)


class Recorder(ThreadingHTTPServer):
    """Answers as a Qdrant server does to the few calls of a write, keeps what it was sent, and can refuse."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, bytes, str | None]] = []
        self.status = 200
        self.error = "no"
        self.is_old = False  # it knows no lanes that are added later
        self.has_collections = True
        self.lanes: dict[str, Any] = {
            "passages": {"size": 128, "distance": "Dot", "multivector_config": {"comparator": "max_sim"}}
        }

    def collection(self) -> dict[str, Any]:
        return {
            "status": "green",
            "optimizer_status": "ok",
            "segments_count": 1,
            "payload_schema": {},
            "config": {
                "params": {"vectors": self.lanes, "sparse_vectors": {"bm25": {"modifier": "idf"}}},
                "hnsw_config": {"m": 16, "ef_construct": 100, "full_scan_threshold": 10000},
                "optimizer_config": {
                    "deleted_threshold": 0.2,
                    "vacuum_min_vector_number": 1,
                    "default_segment_number": 0,
                    "flush_interval_sec": 5,
                },
            },
        }  # fmt: skip

    def change_lanes(self, method: str, path: str, body: bytes) -> None:
        if method == "PATCH":
            for name, changes in json.loads(body)["vectors"].items():
                kept = {key: value for key, value in changes.items() if value != "Disabled"}
                self.lanes[name] = {**self.lanes[name], **kept}
        elif method == "PUT":
            self.lanes[path.rpartition("/")[2]] = json.loads(body)["dense"]
        else:
            del self.lanes[path.rpartition("/")[2]]

    @property
    def location(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/library"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.server.seen.append((self.command, path, body, self.headers.get("api-key")))
        status = self.server.status
        reply: Any = {"result": {"operation_id": 1, "status": "completed"}, "status": "ok", "time": 0.0}
        if path == "/":
            reply = {"title": "qdrant", "version": "1.17.1" if self.server.is_old else "1.20.0"}
        elif path.endswith("/exists"):
            reply["result"] = {"exists": self.server.has_collections}
        elif self.command == "PUT" and path.count("/") == 2:
            status = 409
        elif "/vectors/" in path and self.server.is_old:
            status = 404
        elif "/vectors/" in path or self.command == "PATCH":
            self.server.change_lanes(self.command, path, body)
            reply["result"] = True if self.command == "PATCH" else reply["result"]
        elif self.command == "GET":
            reply["result"] = self.server.collection()
        elif path.endswith("/points/batch"):
            reply["result"] = [reply["result"]]
        content = json.dumps(reply if status == 200 else {"status": {"error": self.server.error}}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 -- the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    with Recorder() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def points(count: int, rows: int) -> list[Point]:
    rng = np.random.default_rng(0)
    return [
        Point(
            str(uuid.UUID(int=number)),
            {"text": "日本語 " * 500},
            {"passages": rng.normal(size=(rows, 128)).astype(np.float16), "bm25": SparseVector((1, 2**31), (0.1, 2.5))},
        )
        for number in range(count)
    ]


def test_requests_stay_under_eight_mebibytes_and_keep_the_order(recorder: Recorder) -> None:
    store = QdrantStore.open(recorder.location)
    written = points(12, 700)
    store.upsert("pages", written)
    store.close()
    bodies = [body for method, path, body, _ in recorder.seen if (method, path) == ("PUT", "/collections/library_pages/points")]
    assert len(bodies) > 1
    assert max(map(len, bodies)) < MAX_REQUEST_BYTES
    sent = [point for body in bodies for point in json.loads(body)["points"]]
    assert [point["id"] for point in sent] == [point.id for point in written]
    np.testing.assert_array_equal(np.asarray(sent[3]["vector"]["passages"], np.float16), written[3].vectors["passages"])


def test_updates_stay_under_eight_mebibytes_too(recorder: Recorder) -> None:
    store = QdrantStore.open(recorder.location)
    written = [Point(point.id, {"visual": {"a": 1}}, {"passages": point.vectors["passages"]}) for point in points(12, 700)]
    store.update_points("pages", [*written, Point(written[0].id, {"visual": 2})])
    store.close()
    path = "/collections/library_pages/points/batch"
    bodies = [body for method, seen, body, _ in recorder.seen if (method, seen) == ("POST", path)]
    assert len(bodies) > 1
    assert max(map(len, bodies)) < MAX_REQUEST_BYTES
    operations = [operation for body in bodies for operation in json.loads(body)["operations"]]
    vectors = [
        point for operation in operations if "update_vectors" in operation for point in operation["update_vectors"]["points"]
    ]
    assert [point["id"] for point in vectors] == [point.id for point in written]
    np.testing.assert_array_equal(np.asarray(vectors[3]["vector"]["passages"], np.float16), written[3].vectors["passages"])
    payloads = [operation["set_payload"] for operation in operations if "set_payload" in operation]
    assert [(payload["points"], payload["payload"]) for payload in payloads] == [
        *(([point.id], {"visual": {"a": 1}}) for point in written), ([written[0].id], {"visual": 2}),
    ]  # fmt: skip
    for body in bodies:  # the vectors first: a payload says that they are there
        kinds = [next(iter(operation)) for operation in json.loads(body)["operations"]]
        assert kinds == sorted(kinds, key=lambda kind: kind != "update_vectors")


def test_lanes_are_read_back_from_the_server_and_added_with_their_storage(recorder: Recorder) -> None:
    store = QdrantStore.open(recorder.location)
    assert store.lanes() == {"passages": LaneSchema("passages", 128), "bm25": LaneSchema("bm25")}
    for quantization in ("none", "binary", "turbo"):
        schema = visual_schema(128, quantization)
        store.create_lanes(schema)
        assert store.lanes()["visual"] == schema
        again = QdrantStore.open(recorder.location)
        assert again.lanes() == store.lanes()
        again.close()
        [(_, _, body, _)] = [seen for seen in recorder.seen if seen[0] == "PATCH"]
        settings = json.loads(body)["vectors"]["visual"]
        assert (settings["hnsw_config"], settings["on_disk"]) == ({"m": 0}, True)
        store.delete_lane("visual")
        assert "visual" not in recorder.lanes
        recorder.seen.clear()
    store.close()


def test_a_server_too_old_to_add_a_lane_says_so(recorder: Recorder) -> None:
    recorder.is_old = True
    store = QdrantStore.open(recorder.location)
    with pytest.raises(EnvironmentFault, match=r"\(version 1.17.1\) can't add a lane to a collection") as caught:
        store.create_lanes(visual_schema(128))
    assert "upgrade it to 1.18 or later" in caught.value.hint
    assert set(store.lanes()) == {"passages", "bm25"}
    store.close()


def test_an_update_of_a_point_that_is_gone_from_the_server(recorder: Recorder) -> None:
    store = QdrantStore.open(recorder.location)
    recorder.status, recorder.error = 404, "Not found: No point with id 5 found"
    with pytest.raises(IndexFault, match="lacks a point that was to be updated"):
        store.update_points("pages", points(1, 1))
    store.close()


def test_a_point_over_the_limit_goes_alone() -> None:
    small, large = points(1, 1)[0], points(1, 700)[0]
    batches = list(batches_by_bytes([small, small, large, small], 100_000))
    assert [len(batch) for batch in batches] == [2, 1, 1]
    assert list(batches_by_bytes([], 100)) == []


def test_a_refusal_names_the_key(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_QDRANT_API_KEY", "a key")
    recorder.status = 401
    with pytest.raises(EnvironmentFault, match="answered 401") as caught:
        QdrantStore.open(recorder.location)
    assert "DOCRAG_QDRANT_API_KEY" in caught.value.hint
    assert recorder.seen[0][3] == "a key"


def test_a_server_that_goes_on_failing_is_an_environment_fault(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docrag.index.store.RETRY_FOR_S", 0.5)
    store = QdrantStore.open(recorder.location)
    seen = len(recorder.seen)
    recorder.status = 500
    with pytest.raises(EnvironmentFault, match="answered 500") as caught:
        store.upsert("pages", points(1, 1))
    assert len(recorder.seen) > seen + 1
    assert "run the same command again" in caught.value.hint
    store.close()


def test_an_answer_that_can_not_be_read_is_no_reason_to_wait(recorder: Recorder) -> None:
    store = QdrantStore.open(recorder.location)
    with pytest.raises(EnvironmentFault, match="no answer that docrag can read") as caught:
        store.count("pages")  # the recorder knows nothing of counting
    assert "the server's version" in caught.value.hint
    store.close()


def test_an_index_that_is_being_made_by_another_process(recorder: Recorder) -> None:
    recorder.has_collections = False
    recorder.error = "Wrong input: Collection `library_pages` already exists!"
    store = QdrantStore.create(recorder.location)
    assert set(store.lanes()) == {"passages", "bm25"}
    store.close()
