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

from docrag.errors import EnvironmentFault, IndexMissing, UsageError
from docrag.index.qdrant import MAX_REQUEST_BYTES, MEMORY, QdrantStore, batches_by_bytes, parse_location
from docrag.index.store import LaneSchema, Point
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
            QdrantStore.open(location, LANES)
    assert time.monotonic() - begun < 10
    assert "check the address" in caught.value.hint


def test_an_index_that_is_not_there() -> None:
    with pytest.raises(IndexMissing, match="no collection 'docrag_pages'"):
        QdrantStore.open(MEMORY, LANES)


class Recorder(ThreadingHTTPServer):
    """Answers as a Qdrant server does to the few calls of an upsert, keeps what it was sent, and can refuse."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[tuple[str, str, bytes, str | None]] = []
        self.status = 200

    @property
    def location(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/library"


class _Handler(BaseHTTPRequestHandler):
    server: Recorder

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.seen.append((self.command, self.path.partition("?")[0], body, self.headers.get("api-key")))
        result: Any = {"operation_id": 1, "status": "completed"}
        if self.path == "/":
            result = None
        if self.path.endswith("/exists"):
            result = {"exists": True}
        reply = (
            {"title": "qdrant", "version": "1.20.0"} if self.path == "/" else {"result": result, "status": "ok", "time": 0.0}
        )
        content = json.dumps(reply if self.server.status == 200 else {"status": {"error": "no"}}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = answer  # noqa: N815 -- the names that http.server calls

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
    store = QdrantStore.open(recorder.location, LANES)
    written = points(12, 700)
    store.upsert("pages", written)
    store.close()
    bodies = [body for method, path, body, _ in recorder.seen if (method, path) == ("PUT", "/collections/library_pages/points")]
    assert len(bodies) > 1
    assert max(map(len, bodies)) < MAX_REQUEST_BYTES
    sent = [point for body in bodies for point in json.loads(body)["points"]]
    assert [point["id"] for point in sent] == [point.id for point in written]
    np.testing.assert_array_equal(np.asarray(sent[3]["vector"]["passages"], np.float16), written[3].vectors["passages"])


def test_a_point_over_the_limit_goes_alone() -> None:
    small, large = points(1, 1)[0], points(1, 700)[0]
    batches = list(batches_by_bytes([small, small, large, small], 100_000))
    assert [len(batch) for batch in batches] == [2, 1, 1]
    assert list(batches_by_bytes([], 100)) == []


def test_a_refusal_names_the_key(recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_QDRANT_API_KEY", "a key")
    recorder.status = 401
    with pytest.raises(EnvironmentFault, match="answered 401") as caught:
        QdrantStore.open(recorder.location, LANES)
    assert "DOCRAG_QDRANT_API_KEY" in caught.value.hint
    assert recorder.seen[0][3] == "a key"


def test_a_server_that_fails_later_is_an_environment_fault(recorder: Recorder) -> None:
    store = QdrantStore.open(recorder.location, LANES)
    recorder.status = 500
    with pytest.raises(EnvironmentFault, match="answered 500"):
        store.upsert("pages", points(1, 1))
    store.close()
