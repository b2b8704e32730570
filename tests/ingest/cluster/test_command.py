"""The command as it is given on a machine of a cluster: where keys go, and a Ray that does not start.

What is on stdout when machines die is looked at where they die: `bench.ray_kill`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import ray

from docrag.errors import EnvironmentFault
from docrag.ingest.cluster.stages import Job
from docrag.ingest.ledger import IngestOptions
from docrag.testing import HashEncoder
from tests.libraries import QUICK

SECRET = "a-key-that-nobody-may-read"
LOOK = """
import os, sys, ray
from docrag.ingest.cluster.connection import connected
with connected(sys.argv[1]) as is_elsewhere:
    print(is_elsewhere, ray.get(ray.remote(lambda: os.environ.get("AWS_SECRET_ACCESS_KEY")).remote()))
"""

THREADS = """
from docrag.ingest.cluster.actors import _load_with_threads
def load():
    import torch
    return torch.get_num_threads()
print(_load_with_threads(load, 2), _load_with_threads(load, 3))
"""


def look(address: str, **environ: str) -> list[str]:
    """Whether a run with this `--ray` is on a cluster that was there, and the key that its workers have."""
    environment = {**os.environ, "AWS_SECRET_ACCESS_KEY": SECRET, **environ}
    done = subprocess.run([sys.executable, "-c", LOOK, address], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_workers_get_the_keys_and_logs_do_not(ray_of_all: Any) -> None:
    assert look("", RAY_ADDRESS=ray_of_all.address) == ["True", SECRET]
    logs = Path(ray_of_all.head_node.get_logs_dir_path())
    written = [path for path in logs.rglob("*") if path.is_file()]
    assert any("runtime_env" in path.name for path in written)
    assert [path for path in written if SECRET.encode() in path.read_bytes()] == []


def test_a_submitted_job_has_its_own(ray_of_all: Any) -> None:
    """Ray refuses to start where docrag names a variable that the job names too."""
    given = {"runtime_env": {"env_vars": {"AWS_SECRET_ACCESS_KEY": "the job's"}}, "metadata": {}}
    assert look(ray_of_all.address, RAY_JOB_CONFIG_JSON_ENV_VAR=json.dumps(given)) == ["True", "the", "job's"]


def test_a_ray_that_is_slow_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What Ray raises then is a bare `Exception`."""
    from docrag.ingest.run_ray import ingest_on_ray

    ray.shutdown()  # what other files' tests are connected to

    def time_out(*arguments: object, **options: object) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "init", time_out)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(EnvironmentFault, match="can't be started here: The current node timed out during startup") as fault:
        ingest_on_ray(Job(str(tmp_path), "", QUICK), HashEncoder, [], IngestOptions())
    assert "leave --ray out" in fault.value.hint


def test_an_encoder_has_its_threads_whether_torch_was_there_before_or_not() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}  # as Ray sets it
    done = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(min(2, len(os.sched_getaffinity(0)))), "3"]


def test_a_worker_that_can_not_take_itself_down_ends_all_the_same() -> None:
    """Ray 2.60 may come to wait for ever in what the C library calls at the end: here that is `pause`."""
    code = """
        import ctypes
        from docrag.ingest.cluster import actors
        libc = ctypes.CDLL(None)
        libc.__cxa_atexit(libc.pause, None, None)
        actors.ENDS_WITHIN_S = 1
        actors.end_for_sure()
    """
    assert subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=False, timeout=60).returncode == -signal.SIGALRM
