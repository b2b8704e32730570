"""Tiny models, made once a run and loaded by path or served, as users do it with theirs."""

from __future__ import annotations

import gc
import os
import shutil
import signal
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests import lean_pymupdf  # noqa: F401

# A shell starts what runs in its background deaf to Ctrl-C, and so would be the programs that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Threads that wait for work by looking for it all the time took a tenth of the CPUs, which the other test process wants.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

# Temporary files lie in memory where there is room for them (some 1 GiB): on a disk a new index costs a dozen fsyncs.
MEMORY = Path("/dev/shm")
if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > 4 * 2**30 and not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# Files that share what takes long to start: a Ray, a server of a model. One process runs all of a group, and starts it once.
TOGETHER = {
    "ray": tuple(f"ingest/cluster/test_{name}.py" for name in ("command", "one_writer", "preflight", "run_ray", "server_away")),
    "served": ("docrag/test_readers.py", "eval/test_extract_model.py", "pipelines/test_chat_reader.py"),
}
_GROUPS = {f"tests/{file}": group for group, files in TOGETHER.items() for file in files}


class Together(LoadFileScheduling):
    """A file's tests by one process, and those of a group of files."""

    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return _GROUPS.get(file, file)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collecting loads half a million objects of libraries. No garbage is looked for till then, nor among them after that:
    it took a fifth of the time of collecting, and a tenth of the tests'. What gets old later is only looked at on request."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.set_threshold(2_000, 10, 1_000)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_fixture_setup() -> None:
    """Not the name of each test in the environment: what inherits that, as the process that guarded children are forked from,
    could not be handed on from test to test, and takes 0.7 s to start."""
    os.environ.pop("PYTEST_CURRENT_TEST", None)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call() -> None:
    os.environ.pop("PYTEST_CURRENT_TEST", None)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling:
    return Together(config, log)


@pytest.fixture(scope="session")
def colqwen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ColQwen2.5 of random weights."""
    from tests.tiny_models import tiny_colqwen2_5

    return tiny_colqwen2_5(tmp_path_factory.mktemp("models") / "tiny-colqwen2.5")


@pytest.fixture(scope="session")
def colidefics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ColIdefics3 of random weights."""
    from tests.tiny_models import tiny_colidefics3

    return tiny_colidefics3(tmp_path_factory.mktemp("models") / "tiny-colidefics3")


@pytest.fixture(scope="session")
def tiny_vlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Qwen2.5-VL of random weights."""
    from tests.tiny_vlm import tiny_qwen2_5_vl

    return tiny_qwen2_5_vl(tmp_path_factory.mktemp("models") / "tiny-Qwen2.5-VL")


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """For tiny models in this process: handing out so little work to several threads takes longer than doing it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def serving(tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], str]]:
    """A real OpenAI-compatible server of that model, which is starting: for files whose first tests do without it."""
    from tests.serving import transformers_serve

    with transformers_serve(tiny_vlm, tmp_path_factory.mktemp("server")) as ready:
        yield ready


@pytest.fixture(scope="session")
def served(serving: Callable[[], str]) -> str:
    """Its base URL, once it serves."""
    return serving()
