"""Qdrant goes away in the middle of a run on Ray, for longer than it is waited for: a clean stop, which can be taken up."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from bench.tiny_pdfs import write_pdfs
from docrag.errors import EnvironmentFault
from docrag.index.library_index import LibraryIndex
from docrag.index.verify import verify
from docrag.ingest.cluster.stages import Job
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.run_local import Encoders, ingest
from docrag.ingest.totals import Progress
from docrag.testing import HashEncoder
from docrag.testing.qdrant_server import QdrantStandIn
from tests.ingest.cluster.conftest import ONE, connect
from tests.ingest.cluster.waiting import WaitingEncoder
from tests.libraries import check_sums, settings_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context")  # Ray sets its own old settings
DOCUMENTS, PAGES = 40, 8


@pytest.fixture
def on_impatient_ray(ray_of_all: Cluster) -> Iterator[None]:
    def be_impatient() -> None:  # in each worker: a server that is away is waited for no minute, so that the test isn't either
        importlib.import_module("docrag.index.store").RETRY_FOR_S = 1.0

    # It travels as code, for this file takes seconds to load; and each worker that has it starts a second later.
    connect(ray_of_all, runtime_env={"worker_process_setup_hook": be_impatient})
    yield
    ray.shutdown()


@pytest.mark.usefixtures("on_impatient_ray")
def test_a_run_that_its_server_left_is_taken_up_where_it_was(tmp_path: Path) -> None:
    from docrag.ingest.run_ray import ingest_on_ray

    write_pdfs(tmp_path / "pdfs", range(DOCUMENTS), PAGES)
    names = [str(tmp_path / "pdfs")]
    with QdrantStandIn(tmp_path / "server") as server:
        location, blobs = f"{server.url}/library", str(tmp_path / "blobs")
        LibraryIndex.create(location, replace(settings_of(ONE), blobs_url=blobs)).close()
        job, stopped = Job(location, blobs, ONE), tmp_path / "stopped"

        def take_away(now: Progress) -> None:
            if now.documents_done and not stopped.exists():
                server.stop()
                stopped.touch()

        encoder = partial(WaitingEncoder, stopped)
        with pytest.raises(EnvironmentFault, match="no answer from the Qdrant server") as fault:
            ingest_on_ray(job, encoder, names, IngestOptions(), report_progress=take_away)
        assert type(fault.value) is EnvironmentFault
        assert "what was written before is kept" in fault.value.hint
        server.start()
        with LibraryIndex.open(location) as index:  # here, for it is the same book that is kept there
            report = ingest(index, Encoders(HashEncoder), names, ONE, IngestOptions())
        check_sums(report)
        assert report.documents.skipped > 0
        assert (report.documents.ok + report.documents.skipped, report.pages.attempted) == (DOCUMENTS, DOCUMENTS * PAGES)
        with LibraryIndex.open(location) as index:
            assert verify(index).findings == ()
            assert len(index.documents()) == DOCUMENTS
