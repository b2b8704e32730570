"""Several processes write to one index of a server at once, and another one searches: all is there, once, and sound."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from docrag.errors import IndexMissing
from docrag.index.library_index import LibraryIndex
from docrag.index.verify import verify
from docrag.testing.qdrant_server import QdrantStandIn
from tests.index.forked import FORKED
from tests.index.test_library_index_visual import MODEL, add, look_at
from tests.index.world import LANES, SETTINGS, World
from tests.index.writers import DOCUMENTS, make_index, search_all_the_time, write_documents, write_the_same


@contextmanager
def running(*jobs: tuple[Callable[..., None], tuple[Any, ...]]) -> Iterator[None]:
    """These functions in processes of their own, each of which must end well."""
    processes = [FORKED.Process(target=job, args=arguments) for job, arguments in jobs]
    for process in processes:
        process.start()
    try:
        yield
        for process in processes:
            process.join(timeout=120)
        assert [process.exitcode for process in processes] == [0] * len(processes)
    finally:
        for process in processes:
            process.kill()
            process.join()


def test_three_write_and_one_searches(location: str) -> None:
    barrier, over = FORKED.Barrier(4), FORKED.Event()
    writers = [(write_documents, (location, writer, barrier)) for writer in "abc"]
    with running((search_all_the_time, (location, barrier, over))):
        with running(*writers):
            pass
        over.set()
    with LibraryIndex.open(location) as index:
        names = [f"/library/{writer}-{number}.pdf" for writer in "abc" for number in range(DOCUMENTS)]
        assert [source.name for source in index.sources()] == sorted(names)
        wanted = {World.document(f"{writer}-{n}.pdf").sha256: 1 + n % 4 for writer in "abc" for n in range(DOCUMENTS)}
        assert {record.document.sha256: record.document.pages for record in index.documents()} == wanted
        assert index.store.count("pages") == sum(wanted.values())
        report = verify(index)
    assert (report.findings, report.documents, report.pages, report.blobs) == (
        (),
        3 * DOCUMENTS,
        sum(wanted.values()),
        3 * DOCUMENTS,
    )


def test_two_write_the_same_documents(location: str) -> None:
    barrier = FORKED.Barrier(2)
    with running(*((write_the_same, (location, writer, barrier)) for writer in "ab")):
        pass
    with LibraryIndex.open(location) as index:
        assert len(index.documents()) == DOCUMENTS
        assert index.store.count("pages") == 3 * DOCUMENTS
        for number in range(DOCUMENTS):
            names = [f"/library/{name}{number}.pdf" for name in ("", "a-", "b-")]
            assert index.names_of(World.document(f"{number}.pdf").sha256) == sorted(names)
        assert verify(index).findings == ()


def test_a_lane_is_added_while_another_process_writes(location: str) -> None:
    barrier = FORKED.Barrier(2)
    with LibraryIndex.open(location) as index:
        with running((write_documents, (location, "a", barrier))):
            barrier.wait(60)
            add(index)
        index.refresh()
        assert len(index.documents()) == DOCUMENTS
        assert index.visual_progress().documents_owing == DOCUMENTS
        for record in index.documents():
            look_at(index, record.document)
            index.commit_visual(record.document.sha256)
        assert verify(index).findings == ()


def test_what_another_process_changed_is_seen_after_a_refresh(location: str) -> None:
    with LibraryIndex.open(location) as index, LibraryIndex.open(location) as other:
        assert index.documents() == []
        document = World(other).add("a.pdf")
        add(other)
        look_at(other, document)
        other.commit_visual(document.sha256)
        assert (index.visual, index.documents()) == (None, [])
        index.refresh()
        assert (index.visual, index.visual_model) == (MODEL, "/models/model")
        assert index.store.lanes() == other.store.lanes()
        assert index.documents() == other.documents()
        assert index.names_of(document.sha256) == ["/library/a.pdf"]
        index.remove_visual()
        other.refresh()
        assert other.visual is None
        assert set(other.store.lanes()) == {"passages", "bm25"}
        index.store.delete("documents", [point.id for point in index.store.scroll("documents", keys=())])
        with pytest.raises(IndexMissing, match="there is no index at"):
            other.refresh()


def test_two_make_the_same_index_at_once(stand_in: QdrantStandIn, tmp_path: Path) -> None:
    barrier = FORKED.Barrier(2)
    location = f"{stand_in.url}/docrag_test_{uuid.uuid4().hex}"
    with running(*[(make_index, (location, str(tmp_path / "blobs"), barrier))] * 2):
        pass
    with LibraryIndex.open(location, LANES, SETTINGS.read) as index:
        assert verify(index).findings == ()
