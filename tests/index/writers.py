"""What the processes do that use one index at once. Apart from the tests, so that they start quickly."""

from __future__ import annotations

from multiprocessing.synchronize import Barrier, Event

import numpy as np

from docrag.index.library_index import LibraryIndex
from docrag.index.records import IndexSettings
from docrag.index.store import LaneQuery
from tests.index.world import LANES, SETTINGS, World

DOCUMENTS = 8


def write_documents(location: str, writer: str, barrier: Barrier) -> None:
    with LibraryIndex.open(location) as index:
        barrier.wait(60)
        for number in range(DOCUMENTS):
            World(index).add(f"{writer}-{number}.pdf", 1 + number % 4)


def write_the_same(location: str, writer: str, barrier: Barrier) -> None:
    """The same documents as other writers, under names of its own."""
    with LibraryIndex.open(location) as index:
        world = World(index)
        barrier.wait(60)
        for number in range(DOCUMENTS):
            document = world.add(f"{number}.pdf", 3)
            index.put_source(World.source(f"{writer}-{number}.pdf", document))


def search_all_the_time(location: str, barrier: Barrier, over: Event) -> None:
    """What is found is of documents that have a record, and all of it can be read."""
    query = LaneQuery("passages", np.eye(1, 384, dtype=np.float32), 50)
    with LibraryIndex.open(location) as index:
        barrier.wait(60)
        while not over.is_set():
            [hits] = index.search([query])
            assert len(index.page_contents([hit.id for hit in hits])) == len(hits)


def make_index(location: str, blobs: str, barrier: Barrier) -> None:
    settings = IndexSettings(LANES, SETTINGS.read, blobs_url=blobs)
    barrier.wait(60)
    LibraryIndex.open_or_create(location, settings).close()
