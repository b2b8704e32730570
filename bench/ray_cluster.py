"""What the benchmarks of a run on Ray stand on: a simulated cluster, the stand-in for a Qdrant server, drivers to be killed."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench.common import ROOT, run_alone
from bench.kill import MARK

STORE_BYTES = 150 * 2**20  # of each node's object store
# Of a head: neither what no test asks for nor what shows each worker's output in a driver, which a run of docrag does not.
ONLY_NEEDED = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
_UP_WITHIN_S = 120.0
# A node that is gone without a word is found out after 3 s, not 15.
_HEALTH = {"health_check_period_ms": 1000, "health_check_timeout_ms": 1000, "health_check_failure_threshold": 3}
RAY_SETTINGS = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    # After a second without work a worker ends, and the next task waits 3 s for a new one.
    "RAY_idle_worker_killing_time_threshold_ms": "60000",
}
# What belongs to a node, has nothing to do, or keeps Ray Data's statistics, for all runs.
_RAYS_OWN = ("ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::IDLE", "ray::_")


@contextlib.contextmanager
def own_ray() -> Generator[str]:
    """A folder that Ray has for itself, so that it meets no other cluster of this machine, and a mark on all that is started.

    The mark is in the environment of every process that is started below this one: see `bench.kill.left_behind`.
    """
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="dr", ignore_cleanup_errors=True) as made:  # short: it is part of sockets' names
        os.environ.update({"RAY_TMPDIR": made, "TMPDIR": made, MARK: made, **RAY_SETTINGS})
        os.environ.pop("RAY_ADDRESS", None)
        try:
            yield made
        finally:
            os.environ.clear()
            os.environ.update(before)


def output_of(command: Sequence[str], env: Mapping[str, str] | None = None, allowed: Sequence[int] = (0, 1)) -> dict[str, Any]:
    """The JSON object that a command prints which runs on Ray: see `run_alone`."""
    return run_alone(command, env, allowed, sample_s=None).output


class SimulatedCluster:
    """Several nodes on this machine, each with its own raylet and one CPU. For the main thread: nodes are added there alone.

    A context manager; within `own_ray`.
    """

    def __init__(self, nodes: int) -> None:
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "_system_config": _HEALTH, **ONLY_NEEDED}
        self._cluster: Any = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(nodes - 1):
            self.add_node()

    @property
    def address(self) -> str:
        return self._cluster.address

    @property
    def nodes(self) -> int:
        return 1 + len(self._cluster.worker_nodes)

    def add_node(self) -> None:
        self._cluster.add_node(num_cpus=1, object_store_memory=STORE_BYTES)

    def remove_node(self, chance: random.Random) -> bool:
        """Kill all processes of a node that is not the head; False where there is none."""
        found = sorted(self._cluster.worker_nodes, key=lambda node: node.node_id)
        if found:
            self._cluster.remove_node(chance.choice(found), allow_graceful=False)
        return bool(found)

    def kill_worker(self, chance: random.Random) -> str:
        """SIGKILL a process that works for a run; what it was, "" where there is none."""
        found = {process.pid: name for process in psutil.process_iter() if (name := _worker(process))}
        if not found:
            return ""
        pid = chance.choice(sorted(found))
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        return found[pid]

    def __enter__(self) -> SimulatedCluster:
        return self

    def __exit__(self, *error: object) -> None:
        self._cluster.shutdown()


def _worker(process: psutil.Process) -> str:
    """The name of a Ray worker of ours that has something to do, else ""."""
    try:
        told = " ".join(process.cmdline())
        mine = told.startswith("ray::") and process.environ().get(MARK) == os.environ[MARK]
    except psutil.Error:
        return ""
    return told.removeprefix("ray::").strip() if mine and not told.startswith(_RAYS_OWN) else ""


class StandIn:
    """The stand-in for a Qdrant server as a process on a folder, to be killed and started again. A context manager."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> None:
        """Start it, on the same port as before, and wait until it serves."""
        command = [sys.executable, "-m", "docrag.testing.qdrant_server", str(self._folder), "--port", str(self._port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        told = self._process.stdout.readline() if self._process.stdout else ""
        if not told.startswith("http://"):
            raise RuntimeError(f"the stand-in did not start on {self._folder}")
        self._port = int(told.strip().rpartition(":")[2])

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def count(self, name: str) -> int | None:
        """Points in a collection; None where nobody answers, or it is not there yet."""
        request = urllib.request.Request(
            f"{self.url}/collections/{name}/points/count", b'{"exact": true}', {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return json.load(answer)["result"]["count"]
        except OSError:
            return None

    def __enter__(self) -> StandIn:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


@dataclass(slots=True)
class Driver:
    """A `bench.ray_driver` at work."""

    arguments: list[str]
    log: Path
    begin: float = field(default_factory=time.monotonic)
    _process: subprocess.Popen[bytes] | None = None

    def start(self) -> Driver:
        command = [sys.executable, "-m", "bench.ray_driver", *self.arguments]
        with self.log.open("wb") as log, self.log.with_suffix(".json").open("wb") as out:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=log)
        return self

    @property
    def exit_code(self) -> int | None:
        return self._process.poll() if self._process is not None else None

    def kill(self) -> None:
        """SIGKILL it alone, not what it started."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def wait(self, timeout_s: float) -> int:
        """Its exit code; raises TimeoutExpired."""
        assert self._process is not None  # noqa: S101 -- started
        return self._process.wait(timeout_s)

    def told(self) -> str:
        """The last lines that it wrote to stderr."""
        return self.log.read_text(errors="replace")[-1500:].strip()

    def report(self) -> dict[str, Any]:
        return json.loads(self._stdout())

    def strays(self) -> list[str]:
        """Lines on stdout that are not its report: of Ray, about machines that died."""
        return [line for line in self._stdout().splitlines() if not line.startswith("{")]

    def _stdout(self) -> str:
        return self.log.with_suffix(".json").read_text()
