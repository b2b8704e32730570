"""One small Ray for the tests of a file that need no machines of their own."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator

import pytest

MEMORY_BYTES = 200 * 2**20


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
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
    )
    yield
    ray.shutdown()
