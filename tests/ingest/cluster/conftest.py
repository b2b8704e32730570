"""One small Ray for the tests of a file that need no machines of their own."""

from __future__ import annotations

import contextlib
import importlib
import logging
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from docrag.testing.qdrant_server import QdrantStandIn

MEMORY_BYTES = 200 * 2**20


@contextlib.contextmanager
def small_ray(**options: Any) -> Generator[None]:
    """Ray in this process: what is ingested on Ray without an address runs there. Two CPUs, whatever the machine has."""
    importlib.import_module("docrag.ingest.run_ray")  # it sets what Ray reads when it is imported
    import ray

    ray.init(
        "local",
        num_cpus=2,
        num_gpus=0,
        object_store_memory=MEMORY_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        **options,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
    with small_ray():
        yield


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantStandIn]:
    with QdrantStandIn(tmp_path_factory.mktemp("server")) as server:
        yield server
