"""Small libraries made by hand, for the tests of the index."""

from __future__ import annotations

import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from docrag.index.library_index import LibraryIndex
from docrag.index.records import IndexSettings
from docrag.testing.qdrant_server import QdrantStandIn
from tests.index.oracle import SERVER, drop_collections
from tests.index.world import LANES, SETTINGS, World


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QdrantStandIn]:
    """A server for several tests, each with an index of its own name."""
    with QdrantStandIn(tmp_path_factory.mktemp("server")) as server:
        yield server


@contextmanager
def new_location(request: pytest.FixtureRequest) -> Generator[str]:
    """The URL of an index that is to be made, on the stand-in or the server, as `request` has it. It is dropped at the end."""
    server = SERVER.rstrip("/") if request.param == "server" else request.getfixturevalue("stand_in").url
    name = f"docrag_test_{uuid.uuid4().hex}"
    yield f"{server}/{name}"
    drop_collections(server, name)


@pytest.fixture(params=["stand-in", *(["server"] if SERVER else [])])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a new, empty index."""
    with new_location(request) as location:
        LibraryIndex.create(location, with_blobs(tmp_path)).close()
        yield location


@pytest.fixture(params=["edge", "memory", "stand-in", *(["server"] if SERVER else [])])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """A new index on each adapter."""
    if request.param in ("stand-in", "server"):
        with new_location(request) as location, LibraryIndex.create(location, with_blobs(tmp_path)) as index:
            yield World(index)
        return
    made = (":memory:", with_blobs(tmp_path)) if request.param == "memory" else (str(tmp_path / "index"), SETTINGS)
    with LibraryIndex.create(*made) as index:
        yield World(index)


def with_blobs(folder: Path) -> IndexSettings:
    return IndexSettings(LANES, SETTINGS.read, blobs_url=str(folder / "blobs"))


@pytest.fixture
def settings() -> IndexSettings:
    return SETTINGS
