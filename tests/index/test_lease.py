"""One writer at a time on a server: who is refused, what ends a lease, and what a holder that was taken for dead does."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pymupdf
import pytest

import docrag
from docrag.errors import DocragError, EnvironmentFault, IndexLocked
from docrag.index import lease as leases
from docrag.index.lease import Lease, LeaseTimes, guard, hold_lease, lease_id
from docrag.index.library_index import LibraryIndex
from docrag.index.records import IndexSettings
from docrag.index.store import Point, Where
from docrag.index.verify import verify
from docrag.ingest.totals import Progress
from docrag.testing import HashEncoder
from docrag.testing.qdrant_server import QdrantStandIn
from tests.index.forked import FORKED
from tests.index.oracle import number_id
from tests.index.world import LANES, SETTINGS, World

QUICK = LeaseTimes(beat_s=0.2, ttl_s=2.0, settle_s=0.2, silent_s=3.0)
SELDOM = LeaseTimes(beat_s=30.0, ttl_s=60.0, settle_s=0.2)  # no beat tells the holder that it lost it
PATIENT = LeaseTimes(beat_s=0.2, ttl_s=10.0, settle_s=1.0)  # for many processes that get a CPU by turns
WAIT_S = 30


def hold_until_told(location: str, talk: Connection) -> None:
    """Hold the lease until a word comes or it is lost; what is said at the end is how it went."""
    try:
        with quick_lease(location) as lease:
            talk.send("held")
            while not talk.poll(0.05):
                lease.check()
            if talk.recv() == "fail":
                raise ValueError("the work failed")
        talk.send("done")
    except (DocragError, ValueError, KeyboardInterrupt) as error:
        talk.send(f"{type(error).__name__}: {error}")


def take_together(location: str, barrier: Barrier, talk: Connection) -> None:
    barrier.wait(2 * WAIT_S)
    try:
        with hold_lease(location, "an ingest", PATIENT):
            talk.send("held")
            talk.poll(2 * WAIT_S)
    except IndexLocked:
        talk.send("locked")


@contextmanager
def holder(location: str) -> Iterator[tuple[BaseProcess, Connection]]:
    """Another process that holds the lease."""
    here, there = FORKED.Pipe()
    process = FORKED.Process(target=hold_until_told, args=(location, there))
    process.start()
    try:
        assert said(here) == "held"
        yield process, here
    finally:
        process.kill()
        process.join()


def quick_lease(location: str, doing: str = "an ingest") -> AbstractContextManager[Lease]:
    return hold_lease(location, doing, QUICK)


def warned(message: str) -> AbstractContextManager[object]:
    return pytest.warns(UserWarning, match=message)


def said(talk: Connection) -> str:
    assert talk.poll(WAIT_S)
    return talk.recv()


def kept(location: str) -> list[str]:
    """Who holds the index, on record."""
    with LibraryIndex.open(location) as index:
        return [point.payload["holder"] for point in index.store.retrieve("documents", [lease_id()])]


def test_another_is_refused_and_told_by_whom(location: str) -> None:
    with holder(location) as (process, talk):
        began = time.monotonic()
        with pytest.raises(IndexLocked) as caught, quick_lease(location, "a repair"):
            pass
        assert time.monotonic() - began < QUICK.ttl_s  # its next beat is enough
        assert f"is being written by an ingest on {os.uname().nodename} (process {process.pid}, since 20" in str(caught.value)
        assert "wait until that one is done" in caught.value.hint
        talk.send("end")
        assert said(talk) == "done"
        assert kept(location) == []
    with quick_lease(location, "a repair"):
        assert len(kept(location)) == 1


def test_of_several_at_the_same_moment_one_has_it(location: str) -> None:
    barrier, pipes = FORKED.Barrier(4), [FORKED.Pipe() for _ in range(4)]
    processes = [FORKED.Process(target=take_together, args=(location, barrier, there)) for _, there in pipes]
    for process in processes:
        process.start()
    answers = [said(here) for here, _ in pipes]
    assert sorted(answers) == ["held", "locked", "locked", "locked"]
    pipes[answers.index("held")][0].send("end")
    for process in processes:
        process.join(WAIT_S)
    assert [process.exitcode for process in processes] == [0] * 4
    assert kept(location) == []


@pytest.mark.parametrize("end", ["fail", "interrupt"])
def test_it_ends_with_its_holder_however_that_ends(location: str, end: str) -> None:
    with holder(location) as (process, talk):
        if end == "interrupt":
            os.kill(process.pid or 0, signal.SIGINT)
        else:
            talk.send("fail")
        assert said(talk) == ("KeyboardInterrupt: " if end == "interrupt" else "ValueError: the work failed")
        process.join(WAIT_S)
        assert kept(location) == []


def test_what_a_killed_process_of_this_machine_held_is_free_at_once(location: str) -> None:
    with holder(location) as (process, _):
        process.kill()
        time.sleep(0.2)  # it is a zombie, which nobody has waited for
        began = time.monotonic()
        with quick_lease(location) as lease:
            assert time.monotonic() - began < QUICK.ttl_s
            lease.check()


def test_what_a_killed_process_elsewhere_held_is_free_when_its_counter_stood_still(
    location: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "_machine", lambda: "another kernel")
    with holder(location) as (process, _):
        process.kill()
        began = time.monotonic()
        with warned(rf"held by an ingest on .+ \(process {process.pid}, .+ taken over"), quick_lease(location) as lease:
            assert time.monotonic() - began > QUICK.ttl_s
            lease.check()


def test_a_process_that_was_stopped_for_too_long_does_no_more_when_it_goes_on(location: str) -> None:
    with holder(location) as (process, talk):
        os.kill(process.pid or 0, signal.SIGSTOP)
        with warned("taken over"), quick_lease(location) as lease:
            mine = kept(location)
            os.kill(process.pid or 0, signal.SIGCONT)
            assert said(talk).startswith("EnvironmentFault: another process took over the index")
            process.join(WAIT_S)
            assert kept(location) == mine
            lease.check()
    assert kept(location) == []


def test_a_process_that_was_stopped_while_another_worked_and_went_does_no_more_either(location: str) -> None:
    with holder(location) as (process, talk):
        os.kill(process.pid or 0, signal.SIGSTOP)
        with warned("taken over"), quick_lease(location):
            pass
        os.kill(process.pid or 0, signal.SIGCONT)
        assert said(talk).startswith("EnvironmentFault: another process took over")


def test_a_stop_that_nobody_noticed_costs_nothing(location: str) -> None:
    with holder(location) as (process, talk):
        os.kill(process.pid or 0, signal.SIGSTOP)
        time.sleep(QUICK.ttl_s)
        os.kill(process.pid or 0, signal.SIGCONT)
        time.sleep(3 * QUICK.beat_s)
        talk.send("end")
        assert said(talk) == "done"


def test_a_server_that_is_away_for_a_moment_keeps_the_lease(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("docrag.index.store.RETRY_FOR_S", 0.5)
    settings = IndexSettings(LANES, SETTINGS.read, blobs_url=str(tmp_path / "blobs"))
    with QdrantStandIn(tmp_path / "server") as server:
        location = f"{server.url}/library"
        LibraryIndex.create(location, settings).close()
        with quick_lease(location) as lease:
            server.stop()
            time.sleep(QUICK.ttl_s)
            lease.check()  # which others can't have taken meanwhile: the server is away for them as well
            time.sleep(QUICK.silent_s - QUICK.ttl_s + 0.5)
            began = time.monotonic()
            with pytest.raises(EnvironmentFault, match=r"no sign of life of this process reached the index at .+ for 3 s"):
                lease.check()
            assert time.monotonic() - began < 1.0
            server.start()
            time.sleep(5 * QUICK.beat_s)
            lease.check()
        assert kept(location) == []


def test_a_record_that_is_damaged_ends_like_any_other(location: str) -> None:
    with LibraryIndex.open(location) as index:
        index.store.upsert("documents", [Point(lease_id(), {"kind": "lease", "pid": "x"})])
    with warned(r"held by something on \?"), quick_lease(location) as lease:
        lease.check()


def test_an_ingest_that_lost_its_lease_writes_no_more(
    stand_in: QdrantStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location, blobs = f"{stand_in.url}/{uuid.uuid4().hex}", str(tmp_path / "blobs")
    with pymupdf.open() as document:
        document.new_page().insert_text((72, 72), "Apples are red.")
        document.save(tmp_path / "a.pdf")
    monkeypatch.setattr("docrag.client.hold_lease", partial(hold_lease, times=SELDOM))
    with docrag.open(location, blobs=blobs, ocr="never") as library:
        assert library.ingest([tmp_path / "missing"]).documents.failed == 1  # it makes the index
    with docrag.open(location, ocr="never", workers=1) as library, LibraryIndex.open(location) as other:
        library.encoder = HashEncoder()  # type: ignore[assignment]

        def take_over(progress: Progress) -> None:
            other.store.upsert("documents", [Point(lease_id(), {"kind": "lease", "holder": "another"})])

        with pytest.raises(EnvironmentFault, match="another process took over the index"):
            library.ingest([tmp_path / "a.pdf"], progress=take_over)
        other.refresh()
        assert (other.documents(), other.store.count("pages")) == ([], 0)
    assert kept(location) == ["another"]


def test_who_writes_looks_whose_the_index_is(location: str) -> None:
    """Also where no beat told it: it may be elsewhere than the holder, or another wrote between the holder's look and write."""
    with LibraryIndex.open(location) as index, LibraryIndex.open(location) as other:
        guard(index.store, location, "one", QUICK)
        other.store.upsert("documents", [Point(lease_id(), {"kind": "lease", "holder": "one"})])
        index.store.upsert("documents", [Point(number_id(1), {"kind": "test"})])
        other.store.upsert("documents", [Point(lease_id(), {"kind": "lease", "holder": "another"})])
        time.sleep(QUICK.settle_s)
        for write in (
            lambda: index.store.upsert("documents", [Point(number_id(2), {"kind": "test"})]),
            lambda: index.store.update_points("documents", [Point(number_id(1), {"kind": "changed"})]),
            lambda: index.store.delete_payload_keys("documents", ["kind"], [number_id(1)]),
            lambda: index.store.delete("documents", [number_id(1)]),
            lambda: index.store.delete_where("documents", Where({"kind": ("test",)})),
            lambda: index.store.delete_lane("bm25"),
        ):
            with pytest.raises(EnvironmentFault, match="another process took over the index"):
                write()
        other.store.delete("documents", [lease_id()])  # it came and went
        with pytest.raises(EnvironmentFault, match="another process took over the index"):
            World(index).add("a.pdf")
        assert [point.payload for point in other.store.scroll("documents", Where({"kind": ("test",)}))] == [{"kind": "test"}]
        assert other.store.count("pages") == 0
        guard(index.store, location, "")
        World(index).add("a.pdf")


def test_an_index_in_a_folder_needs_none(tmp_path: Path) -> None:
    with hold_lease(str(tmp_path / "index"), "an ingest") as one, hold_lease(str(tmp_path / "index"), "an ingest") as other:
        one.check()
        other.check()


def test_who_reads_the_index_passes_over_it(location: str) -> None:
    with LibraryIndex.open(location) as index, quick_lease(location) as lease:
        document = World(index).add("a.pdf")
        index.refresh()
        assert [record.document for record in index.documents()] == [document]
        assert [source.name for source in index.sources()] == ["/library/a.pdf"]
        assert verify(index, repair=True).findings == ()
        time.sleep(2 * QUICK.beat_s)
        lease.check()


def test_all_that_writes_holds_it_and_what_reads_does_not_ask(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with LibraryIndex.open(location) as index:
        World(index).add("a.pdf")
    monkeypatch.setattr("docrag.client.lane_fingerprints", lambda *_: LANES)
    with holder(location), docrag.open(location) as library:
        assert [record.document.title for record in library.documents()] == ["Title of a.pdf"]
        assert library.verify().findings == ()
        for write in (lambda: library.delete(["a.pdf"]), library.delete_visual, lambda: library.verify(repair=True)):
            with pytest.raises(IndexLocked, match="is being written by an ingest"):
                write()
        assert len(library.documents()) == 1
    with docrag.open(location) as library:
        assert library.delete(["a.pdf"]) == ["/library/a.pdf"]
    assert kept(location) == []
