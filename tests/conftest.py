"""Tiny models, made once a run and loaded by path or served, as users do it with theirs."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

# A shell starts what runs in its background deaf to Ctrl-C, and so would be the programs that the tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
def served(tiny_vlm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a real OpenAI-compatible server that serves that model."""
    from tests.serving import transformers_serve

    with transformers_serve(tiny_vlm, tmp_path_factory.mktemp("server")) as url:
        yield url
