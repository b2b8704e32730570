"""Small libraries made by hand, for the tests of the index."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from docrag.index.library_index import LibraryIndex
from docrag.index.records import IndexSettings
from docrag.testing.qdrant_server import QdrantStandIn
from tests.index.oracle import SERVER, drop_collections, quick_folder
from tests.index.world import LANES, SETTINGS, World


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is room."""
    with quick_folder(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantStandIn]:
    """A server for several tests, each with an index of its own name."""
    with quick_folder(tmp_path_factory.mktemp("server")) as folder, QdrantStandIn(folder) as server:
        yield server


@pytest.fixture(params=["edge", "memory", "stand-in", *(["server"] if SERVER else [])])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A new index on each adapter."""
    blobs = IndexSettings(LANES, SETTINGS.read, blobs_url=str(tmp_path / "blobs"))
    if request.param in ("stand-in", "server"):
        server = SERVER.rstrip("/") if request.param == "server" else request.getfixturevalue("stand_in").url
        name = f"docrag_test_{uuid.uuid4().hex}"
        with LibraryIndex.create(f"{server}/{name}", blobs) as index:
            yield World(index)
        drop_collections(server, name)
        return
    location, settings = (":memory:", blobs) if request.param == "memory" else (str(tmp_path / "index"), SETTINGS)
    with LibraryIndex.create(location, settings) as index:
        yield World(index)


@pytest.fixture
def settings() -> IndexSettings:
    return SETTINGS
