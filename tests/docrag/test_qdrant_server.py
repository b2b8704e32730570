"""The stand-in for a Qdrant server: what a client is told, what outlives a kill, and the trouble that it makes on request."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from docrag.testing.qdrant_server import MAX_REQUEST_BYTES, QdrantStandIn
from tests.serving import serve_stand_in

ROWS = models.VectorParams(
    size=3,
    distance=models.Distance.DOT,
    datatype=models.Datatype.FLOAT16,
    multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
)
TERMS = models.SparseVectorParams(modifier=models.Modifier.IDF)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[QdrantStandIn]:
    with QdrantStandIn(tmp_path) as server:
        yield server


@pytest.fixture
def client(server: QdrantStandIn) -> Iterator[QdrantClient]:
    client = connect(server.url)
    client.create_collection("c", vectors_config={"rows": ROWS}, sparse_vectors_config={"terms": TERMS})
    yield client
    client.close()


def connect(url: str) -> QdrantClient:
    return QdrantClient(url=url, check_compatibility=False)


def point(number: int, rows: Any = ((1.0, 0.0, 0.0),), **payload: Any) -> models.PointStruct:
    return models.PointStruct(
        id=str(uuid.UUID(int=number)), vector={"rows": [list(row) for row in rows]}, payload={"document": "d", **payload}
    )


def call(server: QdrantStandIn, method: str, path: str, body: bytes = b"") -> tuple[int, Any]:
    """A request as no client would make it: its status and answer."""
    request = urllib.request.Request(f"{server.url}{path}", body or None, method=method)
    try:
        with urllib.request.urlopen(request) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_what_a_client_sees_of_a_collection(client: QdrantClient) -> None:
    assert client.info().version == "1.20.0"
    assert client.collection_exists("c")
    assert not client.collection_exists("other")
    assert [collection.name for collection in client.get_collections().collections] == ["c"]
    client.create_payload_index("c", "document", models.PayloadSchemaType.KEYWORD, wait=True)
    client.upsert("c", [point(1), point(2)], wait=True)
    told = client.get_collection("c")
    assert (told.points_count, told.status, list(told.payload_schema)) == (2, models.CollectionStatus.GREEN, ["document"])
    assert told.config.params.vectors == {"rows": ROWS}
    assert told.config.params.sparse_vectors == {"terms": TERMS}
    assert client.delete_collection("c")
    assert not client.delete_collection("c")
    assert client.get_collections().collections == []


def refusal(status: int, text: str) -> Any:
    return pytest.raises(UnexpectedResponse, match=rf"(?s)Unexpected Response: {status} .*{text}")


def test_refusals_are_a_servers(client: QdrantClient, server: QdrantStandIn) -> None:
    with refusal(404, "Not found: Collection `other` doesn.+t exist!"):
        client.count("other")
    with refusal(409, "Wrong input: Collection `c` already exists!"):
        client.create_collection("c", vectors_config={"rows": ROWS})
    with refusal(400, "Wrong input: Vector dimension error: expected dim: 3, got 2"):
        client.upsert("c", [point(1, [(1.0, 0.0)])])
    with refusal(400, "Wrong input: Not existing vector name error: look"):
        client.upsert("c", [models.PointStruct(id=1, vector={"look": [[1.0]]})])
    with refusal(422, "Validation error in JSON body"):
        client.upsert("c", [models.PointStruct(id=1, vector={"rows": []})])
    with refusal(404, "Not found: No point with id .* found"):
        client.set_payload("c", {"a": 1}, [str(uuid.UUID(int=9))], wait=True)
    assert client.count("c").count == 0
    assert call(server, "PUT", "/collections/c/points", b"{")[0] == 400
    status, reply = call(server, "PUT", "/collections/c/points", b'{"points": [{"id": 1, "vector": {"rows": [[NaN, 1, 2]]}}]}')
    assert (status, reply["status"]["error"]) == (400, "Format error in JSON body: NaN is no JSON")
    status, reply = call(server, "PUT", "/collections/c/points", b'{"points": [{"id": "x", "vector": {}}]}')
    assert (status, "not a valid point ID" in reply["status"]["error"]) == (400, True)


def test_a_request_over_32_mebibytes_is_refused(client: QdrantClient, server: QdrantStandIn) -> None:
    with refusal(400, f"Payload error: JSON payload .* is larger than allowed .limit: {MAX_REQUEST_BYTES} bytes"):
        client.upsert("c", [point(1, text="x" * MAX_REQUEST_BYTES)])
    assert client.count("c").count == 0


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/collections/c/points/recommend", {}),
        ("POST", "/collections/c/points/query", {"query": {"fusion": "rrf"}}),
        ("POST", "/collections/c/points/count", {"filter": {"should": []}}),
        ("POST", "/collections/c/points/count", {"filter": {"must": [{"key": "a", "range": {"gt": 1}}]}}),
        ("PATCH", "/collections/c", {"optimizers_config": {}}),
        ("PUT", "/collections/c/vectors/more", {"sparse": {}}),
    ],
)
def test_what_it_does_not_know_it_says(client: QdrantClient, server: QdrantStandIn, method: str, path: str, body: Any) -> None:
    status, reply = call(server, method, path, json.dumps(body).encode())
    assert (status, reply["status"]["error"][:36]) == (501, "docrag's stand-in for Qdrant does no")


def test_troubles_strike_as_often_as_told(client: QdrantClient, server: QdrantStandIn) -> None:
    server.trouble.refuse_writes = 2
    for _ in range(2):
        with refusal(503, "told to refuse"):
            client.upsert("c", [point(1)])
    assert client.count("c").count == 0  # reads are answered meanwhile
    server.trouble.is_full = True
    with refusal(500, "No space left on device"):
        client.upsert("c", [point(1)])
    server.trouble.is_full = False
    server.trouble.lose_requests = 1
    with pytest.raises(ResponseHandlingException, match="disconnected"):
        client.upsert("c", [point(1)])
    assert client.count("c").count == 0
    server.trouble.lose_answers = 1
    with pytest.raises(ResponseHandlingException, match="disconnected"):
        client.upsert("c", [point(1)])
    assert client.count("c").count == 1
    server.trouble.refuse_writes, server.trouble.status = 1, 429
    with pytest.raises(ResourceExhaustedResponse):
        client.upsert("c", [point(2)])


def test_it_stops_and_starts_on_the_same_port(client: QdrantClient, server: QdrantStandIn) -> None:
    client.upsert("c", [point(1)])
    url = server.url
    server.stop()
    server.stop()
    with pytest.raises(ResponseHandlingException):
        client.count("c")
    server.start()
    assert server.url == url
    assert client.count("c").count == 1


def test_a_killed_server_has_all_that_it_acknowledged(tmp_path: Path) -> None:
    process, url = serve_stand_in(tmp_path)
    client = connect(url)
    client.create_collection("c", vectors_config={"rows": ROWS})
    for number in range(50):
        client.upsert("c", [point(number, text=f"page {number}")], wait=True)
    (tmp_path / "half.part").mkdir()  # as a killed creation leaves it
    process.kill()
    process.communicate()
    process, again = serve_stand_in(tmp_path, int(url.rpartition(":")[2]))
    assert again == url
    found, _ = client.scroll("c", limit=100)
    assert [record.payload for record in found] == [{"document": "d", "text": f"page {number}"} for number in range(50)]
    assert [collection.name for collection in client.get_collections().collections] == ["c"]
    client.close()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 0
