# pyright: basic
# Ray's decorators hide the types of what they wrap
"""The way to a Ray cluster and back: found or started, given the keys that its workers need, and kept off stdout."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
from collections.abc import Generator
from typing import Any

import ray  # noqa: TID253 -- this module is loaded for a run on Ray only
from ray._private import worker  # noqa: TID253 -- as above
from ray._private.runtime_env.constants import RAY_JOB_CONFIG_JSON_ENV_VAR  # noqa: TID253 -- as above
from ray._private.services import canonicalize_bootstrap_address  # noqa: TID253 -- as above

from docrag.errors import EnvironmentFault

CONNECT_S = 5.0
EXECUTOR_ENDS_S = 10.0
# What workers need and have not, where the cluster was not started from this environment: keys to the index, to the places
# where PDFs come from and are kept, and to the hub of models. Settings travel in the job's configuration.
_KEYS = ("DOCRAG_QDRANT_API_KEY", "HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE")
_KEY_PREFIXES = ("AWS_", "FSSPEC_", "AZURE_STORAGE_")


@contextlib.contextmanager
def connected(address: str) -> Generator[bool]:
    """Ray while the body runs; whether its workers may find other things than are here, as those of one started here don't."""
    if ray.is_initialized():
        yield bool(address) or len(ray.nodes()) > 1
        return
    address = address or os.environ.get("RAY_ADDRESS", "")
    if address.startswith("ray://"):
        raise EnvironmentFault(
            f"{address} is Ray Client's address, which Ray Data does not run over",
            "give the cluster's own, host:6379, or submit the command as a job: ray job submit -- docrag ingest ...",
        )
    try:
        ray.init(
            _reached(address) if address else "local",
            runtime_env=_keys_handed_on() if address else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=None if address else False,
        )
    except Exception as error:  # what Ray raises where a machine is slow to start is that and no more
        if not address:
            raise EnvironmentFault(
                f"Ray can't be started here: {error}",
                "run it again when less runs here, or leave --ray out to ingest without it",
            ) from error
        raise EnvironmentFault(
            f"there is no Ray cluster at {address} that can be used: {error}",
            "see that it runs (`ray status`), with the same versions of Ray and Python; --ray without an address starts one",
        ) from error
    try:
        yield bool(address)
    finally:
        _end_executors()
        ray.shutdown()


@contextlib.contextmanager
def reports_on_stderr() -> Generator[None]:
    """Ray prints what it hears of its machines (one died, one ran out of memory) on stdout, where the run's result belongs,
    whatever it is told of logs; there is no public way to send it elsewhere."""
    shown = worker.print_to_stdstream
    worker.print_to_stdstream = lambda data, ignore_prefix: shown({**data, "is_err": True}, ignore_prefix)
    try:
        yield
    finally:
        worker.print_to_stdstream = shown


def _keys_handed_on() -> dict[str, Any] | None:
    """A runtime environment in which workers have the keys of this one; None where they have theirs: in a submitted job.

    Not as its `env_vars`, which Ray writes into logs and shows on its dashboard: what its hook holds lies in its control store.
    """
    keys = {name: value for name, value in os.environ.items() if name in _KEYS or name.startswith(_KEY_PREFIXES)}
    if not keys or RAY_JOB_CONFIG_JSON_ENV_VAR in os.environ:
        return None

    def take_keys() -> None:  # it travels as code: docrag may not be there to load it from
        import os

        os.environ.update(keys)

    return {"worker_process_setup_hook": take_keys}


def _end_executors() -> None:
    """Wait for Ray Data's threads, which Ctrl-C leaves running: one that asks Ray after its end would end this process."""
    for thread in threading.enumerate():
        if thread.name.startswith("StreamingExecutor"):
            thread.join(timeout=EXECUTOR_ENDS_S)


def _reached(address: str) -> str:
    """A cluster's host:port, if something answers there: Ray itself tries for minutes. Raises OSError, ConnectionError."""
    found = canonicalize_bootstrap_address(address)
    if found is None:
        raise ConnectionError("none runs on this machine")
    host, _, port = found.rpartition(":")
    socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    return found
