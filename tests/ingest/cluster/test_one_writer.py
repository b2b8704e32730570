"""Another one took over the index on a server that a run writes to: the run writes no more. Refusals: test_run_ray."""

from __future__ import annotations

import contextlib
import socket
import threading
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

import pytest

from bench.tiny_pdfs import write_pdfs
from docrag.errors import EnvironmentFault
from docrag.index.lease import guard, hold_lease
from docrag.index.library_index import LibraryIndex
from docrag.index.verify import verify
from docrag.ingest.cluster.stages import Job
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.run_local import Encoders, ingest
from docrag.ingest.totals import Progress
from docrag.testing import HashEncoder
from docrag.testing.qdrant_server import QdrantStandIn
from tests.ingest.cluster.conftest import ONE, TIMES, written
from tests.ingest.cluster.waiting import WaitingEncoder
from tests.libraries import settings_of

pytestmark = [
    pytest.mark.usefixtures("on_ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),  # Ray sets its own old settings
    pytest.mark.filterwarnings("ignore:the index at .+ was held by:UserWarning"),
]
DOCUMENTS, PAGES = 40, 8
BATCH_PAGES = 64  # written together, at most


class Wire:
    """A TCP connection to a port of this machine that can be cut. A context manager."""

    def __init__(self, port: int) -> None:
        self._to, self._ends = port, list[socket.socket]()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])

    def cut(self) -> None:
        for end in (self._listening, *self._ends):
            with contextlib.suppress(OSError):  # it was closed from elsewhere
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it was cut
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)


@pytest.fixture
def job(server: QdrantStandIn, tmp_path: Path) -> Job:
    """Of a new index, into which `tmp_path / "pdfs"` is to go."""
    write_pdfs(tmp_path / "pdfs", range(DOCUMENTS), PAGES)
    location, blobs = f"{server.url}/{tmp_path.name}", str(tmp_path / "blobs")
    LibraryIndex.create(location, replace(settings_of(ONE), blobs_url=blobs)).close()
    return Job(location, blobs, ONE)


def test_a_run_whose_driver_is_cut_off_writes_no_more_once_another_has_the_index(
    server: QdrantStandIn, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers reach the server still: no beat of the driver's tells them, and none of theirs keeps the lease."""
    from docrag.ingest.run_ray import ingest_on_ray

    monkeypatch.setattr("docrag.index.store.RETRY_FOR_S", 0.5)  # of the driver alone
    counts: list[int] = []
    with ExitStack() as stack, Wire(server.port) as wire, LibraryIndex.open(job.location) as other:

        def take_over(now: Progress) -> None:
            if written(now) and not counts:
                wire.cut()
                stack.enter_context(hold_lease(job.location, "a repair", TIMES))
                counts.append(other.store.count("pages"))
                (tmp_path / "taken").touch()

        through = f"http://127.0.0.1:{wire.port}/{tmp_path.name}"
        names, encoder = [str(tmp_path / "pdfs")], partial(WaitingEncoder, tmp_path / "taken")
        with (
            pytest.raises(EnvironmentFault, match="another process took over the index") as fault,
            hold_lease(through, "an ingest", TIMES) as lease,
        ):
            ingest_on_ray(replace(job, holder=lease.holder), encoder, names, IngestOptions(), "", take_over)
        assert "run the same command again" in fault.value.hint
        assert 0 < counts[0] <= other.store.count("pages") <= counts[0] + BATCH_PAGES < DOCUMENTS * PAGES
        verify(other, repair=True)


def test_a_run_without_ray_writes_no_more_either(server: QdrantStandIn, job: Job, tmp_path: Path) -> None:
    counts: list[int] = []
    with (
        ExitStack() as stack,
        Wire(server.port) as wire,
        LibraryIndex.open(job.location) as index,
        LibraryIndex.open(job.location) as other,
    ):

        def take_over(now: Progress) -> None:
            if not counts and other.store.count("pages"):
                wire.cut()
                stack.enter_context(hold_lease(job.location, "a repair", TIMES))
                counts.append(other.store.count("pages"))

        through = f"http://127.0.0.1:{wire.port}/{tmp_path.name}"
        lease = stack.enter_context(hold_lease(through, "an ingest", replace(TIMES, beat_s=0.3)))
        guard(index.store, job.location, lease.holder)
        with pytest.raises(EnvironmentFault, match="another process took over the index"):
            ingest(index, Encoders(HashEncoder), [str(tmp_path / "pdfs")], ONE, IngestOptions(), take_over)
        assert 0 < counts[0] == other.store.count("pages") < DOCUMENTS * PAGES
