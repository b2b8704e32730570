"""One small Ray for the tests of a file that need no machines of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

MEMORY_BYTES = 200 * 2**20


@pytest.fixture(scope="module")
def on_ray() -> Iterator[None]:
    """Ray in this process: what is ingested on Ray without an address runs there. Two CPUs, whatever the machine has."""
    import ray

    import docrag.ingest.run_ray  # noqa: F401 -- it sets what Ray reads when it is imported

    ray.init(
        "local",
        num_cpus=2,
        num_gpus=0,
        object_store_memory=MEMORY_BYTES,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="ERROR",
    )
    yield
    ray.shutdown()
