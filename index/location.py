"""Where an index is: a folder with a marker, a server's URL, or memory. A folder that is no index is never written into.

A folder becomes an index in three steps: `docrag.json.part` is made in an empty folder and locked, the shards are made, and
the marker gets its name. So what a killed creation left behind is told from a folder that belongs to somebody else.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Generator, Sequence
from pathlib import Path

from docrag.errors import EnvironmentFault, IndexLocked, IndexMissing, UsageError
from docrag.index.store import LaneSchema, Store

MARKER = "docrag.json"
_PART = f"{MARKER}.part"
_MADE_ON_THE_WAY = frozenset({_PART, "pages", "documents"})
MEMORY = ":memory:"
MAKE_HINT = "`docrag ingest SOURCE... --index {location}` makes one"


def is_folder(location: str) -> bool:
    return location != MEMORY and "://" not in location


def is_index(location: str) -> bool:
    """Whether the folder at `location` is an index. Raises UsageError where it holds other things, or is no folder."""
    folder = Path(location)
    with _disk(folder):
        if not folder.exists():
            return False
        if not folder.is_dir():
            raise UsageError(f"--index {location} is a file, not a folder", "name a folder, new or made by docrag")
        if (folder / MARKER).is_file():
            return True
        entries = {entry.name for entry in folder.iterdir()}
    if not entries or (_PART in entries and entries <= _MADE_ON_THE_WAY):
        return False
    raise UsageError(
        f"{location} is no index of docrag, and it is not empty: nothing was written into it", "name a new folder with --index"
    )


def missing(location: str) -> IndexMissing:
    return IndexMissing(f"there is no index at {location}", MAKE_HINT.format(location=location))


@contextlib.contextmanager
def being_made(location: str) -> Generator[Path]:
    """The folder, for the body to fill; it becomes an index when the body ends without an exception.

    Raises UsageError where it holds other things or is an index, IndexLocked while another process makes it.
    """
    folder = Path(location)
    if is_index(location):
        raise UsageError(f"there is an index at {location} already", "open it, or name another folder")
    with _disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        part = os.open(folder / _PART, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise IndexLocked(f"another process is making the index at {location}", "wait until that one is done") from None
        if (folder / MARKER).exists():
            raise IndexLocked(f"another process made the index at {location} just now", "run the same command again")
        yield folder
        with _disk(folder):
            os.ftruncate(part, 0)
            os.write(part, json.dumps({"format": "docrag index"}).encode() + b"\n")
            os.fsync(part)
            (folder / _PART).rename(folder / MARKER)
    finally:
        os.close(part)


def create_store(location: str, page_lanes: Sequence[LaneSchema]) -> Store:
    """A new, empty store at a location that is no folder. Raises what `QdrantStore.create` raises."""
    from docrag.index.qdrant import QdrantStore

    return QdrantStore.create(location, page_lanes)


def open_store(location: str) -> Store:
    """The store at `location`. Raises IndexMissing, UsageError, and what the adapters' `open` raise."""
    if not is_folder(location):
        from docrag.index.qdrant import QdrantStore

        return QdrantStore.open(location)
    if not is_index(location):
        raise missing(location)
    from docrag.index.edge import EdgeStore

    return EdgeStore.open(Path(location))


@contextlib.contextmanager
def _disk(folder: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"can't use the folder {folder}: {error}", "check its path, owner and free space") from error
