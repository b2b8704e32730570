"""Tiny visual models, made once a run and loaded by path, as users load theirs."""

from __future__ import annotations

from pathlib import Path

import pytest


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
