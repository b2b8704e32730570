"""One small Ray for the tests that need no machines of their own, and what its runs share."""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster

from bench.ray_cluster import ONLY_NEEDED, RAY_SETTINGS
from docrag.index.lease import LeaseTimes
from docrag.ingest.totals import Progress
from docrag.testing.qdrant_server import QdrantStandIn
from tests.ingest import hostile
from tests.libraries import QUICK

MEMORY_BYTES = 200 * 2**20
TIMES = LeaseTimes(beat_s=0.2, ttl_s=1.0, settle_s=0.2)
ONE = replace(QUICK, workers=1)  # each reader's process takes seconds to start


def write_library(folder: Path) -> None:
    """Documents of 1 to 40 pages, one of them twice, one with a broken page; an encrypted one and one that is no PDF."""
    for number in range(10):
        hostile.text_pdf(folder / f"good {number}.pdf", [f"page {page} of document {number}" for page in range(1, number + 2)])
    hostile.text_pdf(folder / "long.pdf", [f"the page of number {number}" for number in range(40)])
    (folder / "twin.pdf").write_bytes((folder / "good 3.pdf").read_bytes())
    hostile.broken_page_pdf(folder / "broken.pdf")
    hostile.encrypted_pdf(folder / "locked.pdf", "a secret", "word")
    (folder / "no.pdf").write_text("this is no PDF")


def written(now: Progress) -> int:
    """The pages that a run on Ray has written."""
    return next(stage.pages for stage in getattr(now, "stages", ()) if stage.name == "write")


@contextmanager
def started_ray(cpus: int) -> Generator[Cluster]:
    """A Ray on this machine, for which nothing is started that no test asks for. Afterwards this process is on none."""
    os.environ.update(RAY_SETTINGS)
    importlib.import_module("docrag.ingest.run_ray")  # it sets what Ray reads when it starts
    head = {"num_cpus": cpus, "num_gpus": 0, "object_store_memory": MEMORY_BYTES, **ONLY_NEEDED}
    cluster: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def connect(cluster: Any, **options: Any) -> None:
    """Connect this process to `cluster`, where an ingest on Ray without an address runs then."""
    ray.shutdown()  # what other files' tests left
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR, **options)


@pytest.fixture(scope="session")
def ray_of_all() -> Iterator[Cluster]:
    """A Ray for several files, for it takes seconds to start: see `tests.conftest.TOGETHER`."""
    with started_ray(cpus=2) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def on_ray(ray_of_all: Cluster) -> None:
    """This process is on it, as one job for several files: what did one run's tasks is there for the next one's."""
    if not ray.is_initialized() or ray.get_runtime_context().gcs_address != ray_of_all.address:
        connect(ray_of_all)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantStandIn]:
    with QdrantStandIn(tmp_path_factory.mktemp("server")) as server:
        yield server
