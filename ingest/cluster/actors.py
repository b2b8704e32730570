# pyright: basic
# Ray's decorators hide the types of what they wrap
"""The stages as Ray runs them: tasks and actors, named as its dashboard shows them, around those of `stages`."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa
import ray  # noqa: TID253 -- this module is loaded for a run on Ray only
from ray.data import Datasink  # noqa: TID253 -- as above
from ray.exceptions import RayTaskError  # noqa: TID253 -- as above

from docrag.errors import DocragError
from docrag.index.encoders import TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.index.location import is_folder
from docrag.index.records import DocumentRecord
from docrag.ingest.cluster import stages, visual_stages
from docrag.ingest.cluster.shape import ENCODER_THREADS
from docrag.ingest.cluster.stages import Job, WritePages
from docrag.ingest.cluster.visual_stages import VisualModel
from docrag.ingest.sources import SourceFile
from docrag.types import DocumentRef, Failure, PageRef

ENDS_WITHIN_S = 10


class RemoteDesk:
    """The `Desk` as a worker has it: a call is answered before it returns, but for those that only count."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk

    def admit(self, source: SourceFile, document: DocumentRef) -> frozenset[int]:
        return ray.get(self._desk.admit.remote(source, document))

    def refuse(self, source: SourceFile, failure: Failure) -> None:
        ray.get(self._desk.refuse.remote(source, failure))

    def note_read(self, pages: Sequence[tuple[DocumentRef, int]]) -> None:
        self._desk.note_read.remote(pages)

    def note_passed(self, stage: str, pages: int) -> None:
        self._desk.note_passed.remote(stage, pages)

    def note_written(self, pages: Collection[PageRef], by_ocr: Collection[PageRef]) -> list[DocumentRef]:
        return ray.get(self._desk.note_written.remote(pages, by_ocr))

    def finish(self, record: DocumentRecord) -> None:
        ray.get(self._desk.finish.remote(record))

    def note_looks(self, pages: Sequence[PageRef]) -> list[DocumentRef]:
        return ray.get(self._desk.note_looks.remote(pages))

    def finish_looks(self, record: DocumentRecord) -> None:
        ray.get(self._desk.finish_looks.remote(record))


@contextlib.contextmanager
def faults_told(desk: Any) -> Generator[None]:
    """Leave an error of docrag's own at the desk before it ends the run: Ray Data passes on its text alone."""
    end_for_sure()  # here, for every stage comes by
    try:
        yield
    except DocragError as error:
        ray.get(desk.note_fault.remote(plain_error(error)))
        raise


@lru_cache(maxsize=1)
def end_for_sure() -> None:
    """See to it that this worker is gone some seconds after Python's end in it.

    Ray 2.60, taking itself down then, may wait for a lock that it holds itself (the destructor of its publisher posts to the
    scheduler that is being shut down), and the worker would stay for good, with its memory, when its cluster is long gone.
    """
    atexit.register(signal.alarm, ENDS_WITHIN_S)


def plain_error(error: DocragError) -> DocragError:
    """The error that was raised, of what Ray makes of it on its way out of an actor."""
    return error.cause if isinstance(error, RayTaskError) else error  # type: ignore[return-value]


class _Stage:
    """A stage that is made in an actor's constructor. What goes wrong there is raised at the first call: an actor that can't be
    made is tried again and again."""

    def __init__(self, desk: Any, make: Callable[[], Callable[[pa.Table], pa.Table]]) -> None:
        self._desk = desk
        try:
            self._stage = make()
        except DocragError as error:
            self._stage = _Raises(error)

    def __call__(self, table: pa.Table) -> pa.Table:
        with faults_told(self._desk):
            return self._stage(table)


class _Raises:
    def __init__(self, error: DocragError) -> None:
        self._error = error

    def __call__(self, table: pa.Table) -> pa.Table:
        raise self._error


class ReadPages(_Stage):
    def __init__(self, job: Job, desk: Any) -> None:
        super().__init__(desk, lambda: stages.ReadPages(job, RemoteDesk(desk)))


class EncodePages(_Stage):
    def __init__(self, load: Callable[[], TextEncoder], desk: Any) -> None:
        super().__init__(desk, lambda: stages.EncodePages(lambda: _load_with_threads(load), RemoteDesk(desk)))


class DrawPages(_Stage):
    def __init__(self, job: Job, desk: Any) -> None:
        super().__init__(desk, lambda: visual_stages.DrawPages(job, RemoteDesk(desk)))


class LookPages(_Stage):
    def __init__(self, job: Job, model: VisualModel, threads: int, desk: Any) -> None:
        def load() -> Any:
            return _load_with_threads(partial(visual_stages.open_model, job), threads)

        super().__init__(desk, lambda: visual_stages.LookPages(load, job, model, RemoteDesk(desk)))


def describe_model(job: Job) -> VisualModel | DocragError:
    """A task of its own; an error of docrag's is its result, for Ray would make text of one that can't be loaded there."""
    try:
        return visual_stages.describe_model(job)
    except DocragError as error:
        return error


def _load_with_threads(load: Callable[[], Any], threads: int = ENCODER_THREADS) -> Any:
    """Ray sets OMP_NUM_THREADS to 1 for an actor of one CPU or less, which halves the encoder's pace.

    Torch is told where this process has it already, and reads it there when it comes later; not every encoder needs it.
    """
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)
    return load()


def OpenFiles(table: pa.Table, job: Job, desk: Any) -> pa.Table:  # noqa: N802 -- the dashboard shows this name
    with faults_told(desk):
        return _opener(job, desk)(table)


@lru_cache(maxsize=1)
def _opener(job: Job, desk: Any) -> stages.OpenFiles:
    """This worker process's children that look at files: Ray gives the process task after task."""
    return stages.OpenFiles(job, RemoteDesk(desk))


class IndexDatasink(Datasink):
    """Writes each block as it comes. On a server every write task writes for itself; on a folder the desk's process does."""

    def __init__(self, job: Job, desk: Any) -> None:
        self._job, self._desk = job, desk

    def write(self, blocks: Iterable[pa.Table], ctx: Any) -> int:
        with faults_told(self._desk):
            if is_folder(self._job.location):
                return sum(ray.get(self._desk.write.remote(block)) for block in blocks)
            write = WritePages(opened(self._job), RemoteDesk(self._desk))
            return sum(write(block) for block in blocks)

    def get_name(self) -> str:
        return "Pages"  # for Ray's statistics; its dashboard shows "Write"


class LookDatasink(Datasink):
    """As `IndexDatasink`, for the visual lane. Pooling, which takes a CPU long, is done in the write tasks for either."""

    def __init__(self, job: Job, pooling: str, desk: Any) -> None:
        self._job, self._pooling, self._desk = job, pooling, desk

    def write(self, blocks: Iterable[pa.Table], ctx: Any) -> int:
        with faults_told(self._desk):
            return sum(self._store(visual_stages.pool_looks(block, self._pooling)) for block in blocks)

    def get_name(self) -> str:
        return "Looks"

    def _store(self, looks: visual_stages.PageLooks) -> int:
        if is_folder(self._job.location):
            return ray.get(self._desk.store_looks.remote(looks))
        return visual_stages.store_looks(opened(self._job), RemoteDesk(self._desk), looks)


@lru_cache(maxsize=1)
def opened(job: Job) -> LibraryIndex:
    """The index on a server as this worker process has it open for one run: names are the desk's to write, and documents that
    others complete are found."""
    return stages.open_index(job)
