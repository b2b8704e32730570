"""What is particular to the embedded store: one process at a time, sudden death, damage, a full disk."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import textwrap
import uuid
from pathlib import Path

import numpy as np
import pytest

from docrag.errors import EnvironmentFault, IndexDamaged, IndexLocked
from docrag.index import edge as edge_module
from docrag.index.edge import EdgeStore
from docrag.index.store import LaneQuery, LaneSchema, Point, Quantization, visual_pooled_schema, visual_schema
from docrag.types import SparseVector

LANES = (LaneSchema("passages", 4), LaneSchema("bm25"))


def child(body: str, *arguments: str) -> subprocess.Popen[str]:
    """A real second process that runs `body` with `store_folder` and `arguments` at hand."""
    head = """
        import sys, uuid
        from pathlib import Path
        import numpy as np
        from docrag.index.edge import EdgeStore
        from docrag.index.store import LaneSchema, Point
        from docrag.types import SparseVector
        LANES = (LaneSchema("passages", 4), LaneSchema("bm25"))
        folder = Path(sys.argv[1])
    """
    code = textwrap.dedent(head) + textwrap.dedent(body)
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def point(number: int) -> Point:
    vectors = {"passages": np.full((2, 4), number, np.float16), "bm25": SparseVector((number,), (1.0,))}
    return Point(str(uuid.UUID(int=number)), {"document": "d", "page_index": number}, vectors)


def test_a_second_process_is_told_that_the_index_is_open(tmp_path: Path) -> None:
    body = """
        store = EdgeStore.open(folder)
        print("open", flush=True)
        sys.stdin.read()
        store.close()
    """
    EdgeStore.create(tmp_path, LANES).close()
    with child(body, str(tmp_path)) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(IndexLocked, match="is open in another process") as caught:
            EdgeStore.open(tmp_path)
        assert "wait until that one is done" in caught.value.hint
        with pytest.raises(IndexLocked):
            EdgeStore.create(tmp_path, LANES)
        other.communicate()
    assert other.returncode == 0
    EdgeStore.open(tmp_path).close()


def test_a_first_shard_is_let_go_when_the_second_can_not_be_opened(tmp_path: Path) -> None:
    EdgeStore.create(tmp_path, LANES).close()
    (tmp_path / "documents").rename(tmp_path / "elsewhere")
    with pytest.raises(IndexDamaged, match="lost its 'documents' shard"):
        EdgeStore.open(tmp_path)
    (tmp_path / "elsewhere").rename(tmp_path / "documents")
    EdgeStore.open(tmp_path).close()


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    body = """
        store = EdgeStore.open(folder)
        first = store.count("pages")
        while True:
            batch = [
                Point(str(uuid.UUID(int=number)), {"document": "d", "page_index": number},
                      {"passages": np.full((2, 4), number, np.float16), "bm25": SparseVector((number,), (1.0,))})
                for number in range(first, first + 16)
            ]
            store.upsert("pages", batch)
            first += 16
            print(first, flush=True)
    """
    EdgeStore.create(tmp_path, LANES).close()
    acknowledged = 0
    for acks in (3, 11, 1):
        with child(body, str(tmp_path)) as writer:
            assert writer.stdout is not None
            for _ in range(acks):
                acknowledged = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            acknowledged = max(
                [acknowledged, *(int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n"))]
            )
        store = EdgeStore.open(tmp_path)
        assert store.count("pages") >= acknowledged
        for stored, number in zip(
            store.retrieve("pages", [point(number).id for number in range(acknowledged)], lanes=("passages",)),
            range(acknowledged),
            strict=True,
        ):
            assert stored.payload == {"document": "d", "page_index": number}
            np.testing.assert_array_equal(stored.vectors["passages"], point(number).vectors["passages"])
        [hits] = store.query([LaneQuery("bm25", SparseVector((acknowledged - 1,), (1.0,)), 3)])
        assert [hit.id for hit in hits] == [point(acknowledged - 1).id]
        store.close()


@pytest.mark.parametrize(
    "victim", ["edge_config.json", "segments/*/segment.json", "segments/*/mutable_id_tracker.mappings", "wal/open-*"]
)
def test_a_damaged_shard_says_so(tmp_path: Path, victim: str) -> None:
    store = EdgeStore.create(tmp_path, LANES)
    store.upsert("pages", [point(1)])
    store.close()
    next((tmp_path / "pages").glob(victim)).write_bytes(b"\xff no such thing" * 100)
    with pytest.raises(IndexDamaged, match="can't be read or written") as caught:
        EdgeStore.open(tmp_path)
    assert "ingest again" in caught.value.hint


def test_writing_stops_before_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk Edge's memory maps end the process with SIGBUS; reading goes on, for it needs no room."""
    store = EdgeStore.create(tmp_path, LANES)
    store.upsert("pages", [point(1)])
    monkeypatch.setattr(edge_module, "RESERVE_BYTES", shutil.disk_usage(tmp_path).total * 2)
    with pytest.raises(EnvironmentFault, match="MiB are free, and docrag stops writing below") as caught:
        store.upsert("pages", [point(2)])
    assert "free some space" in caught.value.hint
    assert store.count("pages") == 1
    store.close()
    with pytest.raises(EnvironmentFault, match="is full"):
        EdgeStore.create(tmp_path / "new", LANES)


def test_create_replaces_a_half_made_shard(tmp_path: Path) -> None:
    (tmp_path / "pages" / "segments").mkdir(parents=True)
    (tmp_path / "pages" / "edge_config.json").write_text("{")
    store = EdgeStore.create(tmp_path, LANES)
    store.upsert("pages", [point(1)])
    assert store.count("pages") == 1
    store.close()
    store.close()


def test_many_points_are_written_in_batches_and_survive_reopening(tmp_path: Path) -> None:
    store = EdgeStore.create(tmp_path, LANES)
    store.upsert("pages", [point(number) for number in range(1, 1500)])
    store.close()
    store = EdgeStore.open(tmp_path)
    assert store.count("pages") == 1499
    store.close()


@pytest.mark.parametrize(
    ("quantization", "kept"),
    [("none", None), ("binary", {"binary": {"memory": "cached"}}), ("turbo", {"turbo": {"memory": "cached", "bits": "bits4"}})],
)
def test_a_lane_added_later_is_cold_and_quantized_in_the_segment_that_is_written(
    tmp_path: Path, quantization: Quantization, kept: dict[str, object] | None
) -> None:
    """`create_dense_vector` can't say so, and a configuration alone changes nothing of the segments that are there."""
    store = EdgeStore.create(tmp_path, LANES)
    store.upsert("pages", [point(number) for number in range(1, 50)])
    store.create_lanes(visual_schema(8, quantization))
    store.update_points(
        "pages", [Point(point(number).id, {}, {"visual": np.ones((9, 8), np.float16)}) for number in range(1, 50)]
    )
    store.close()
    EdgeStore.open(tmp_path).close()
    [segment] = (tmp_path / "pages" / "segments").glob("*/segment.json")
    config = json.loads(segment.read_text())["config"]["vector_data"]["visual"]
    assert (config["storage_type"], config["quantization_config"], config["index"]["type"]) == ("ChunkedMmap", kept, "plain")


def test_a_lane_that_a_kill_left_half_made_is_finished(tmp_path: Path) -> None:
    body = """
        import os
        from docrag.index import edge as edge_module
        from docrag.index.store import visual_schema
        edge_module.EdgeStore._configure = lambda self, lanes: os.kill(os.getpid(), 9)
        EdgeStore.open(folder).create_lanes(visual_schema(8, "binary"))
    """
    store = EdgeStore.create(tmp_path, LANES)
    store.upsert("pages", [point(1)])
    store.close()
    with child(body, str(tmp_path)) as writer:
        writer.communicate()
    assert writer.returncode == -signal.SIGKILL
    store = EdgeStore.open(tmp_path)
    assert store.lanes()["visual"] == LaneSchema("visual", 8)
    wanted = (visual_schema(8, "binary"), visual_pooled_schema(8, "binary"))
    store.create_lanes(*wanted)
    assert tuple(store.lanes()[schema.name] for schema in wanted) == wanted
    store.update_points("pages", [Point(point(1).id, {}, {"visual": np.ones((9, 8), np.float16)})])
    [found] = store.query([LaneQuery("visual", np.ones((1, 8), np.float32), 3)])
    assert [hit.score for hit in found] == [8]
    store.close()


def test_a_configuration_that_can_not_be_read_is_damage(tmp_path: Path) -> None:
    EdgeStore.create(tmp_path, LANES).close()
    config = tmp_path / "pages" / "edge_config.json"
    config.write_text(config.read_text().replace('"size":4', '"size":"four"'))
    with pytest.raises(IndexDamaged, match="can't be read or written"):
        EdgeStore.open(tmp_path)
