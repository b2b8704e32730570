# pyright: basic
# Ray's decorators hide the types of what they wrap
"""The same ingest on a Ray cluster: files -> chunks of pages -> pages -> vectors -> points, streaming, as Ray Data runs it.

The stages are those of `docrag.ingest.cluster`; what is written in which order is `run_local`'s rule. Ray is imported here
alone.
"""

from __future__ import annotations

import os

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # or workers never register where docrag runs under `uv run`

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import pyarrow as pa
import ray  # noqa: TID253 -- this module is loaded for a run on Ray only
import ray.data  # noqa: TID253
from ray.data import ActorPoolStrategy, Datasink  # noqa: TID253
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: TID253

from docrag.index.encoders import TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.index.location import is_folder
from docrag.index.records import DocumentRecord
from docrag.ingest.cluster.registrar import Registrar
from docrag.ingest.cluster.stages import EncodePages, Job, OpenFiles, ReadPages, WritePages
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.sources import SourceFile, find_sources
from docrag.ingest.totals import Progress
from docrag.types import DocumentRef, Failure, IngestReport, PageRef

FILES_A_TASK = 8
ENCODE_PAGES = 64


@dataclass(frozen=True, slots=True)
class Shape:
    """How many workers each stage has, and the share of a CPU that each of them holds."""

    readers: int
    encoders: int
    encoder_threads: int
    light_cpus: float
    encoder_cpus: float


def ingest_on_ray(
    job: Job,
    load_text: Callable[[], TextEncoder],
    names: Iterable[str],
    options: IngestOptions,
    address: str = "",
    report_progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Bring the files that `names` lead to into the index at `job.location`, which exists."""
    begin = time.perf_counter()
    ray.init(address or None, log_to_driver=False, include_dashboard=False if not address else None)
    try:
        desk = _open_desk(job, options)
        sources = ray.get(desk.sift.remote(list(find_sources(names))))
        if sources.num_rows:
            _read(job, desk, load_text, sources, _shape())
        return ray.get(desk.close.remote(time.perf_counter() - begin))
    finally:
        ray.shutdown()


def _open_desk(job: Job, options: IngestOptions) -> Any:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Registrar).options(num_cpus=0, scheduling_strategy=here).remote(job, options)


def _shape() -> Shape:
    cpus = int(ray.cluster_resources().get("CPU", 1))
    return Shape(max(1, cpus), max(1, cpus // 2), 2, 0.2, 0.4)


def _read(job: Job, desk: Any, load_text: Callable[[], TextEncoder], sources: pa.Table, shape: Shape) -> None:
    remote = RemoteDesk(desk)
    blocks = [sources.slice(start, FILES_A_TASK) for start in range(0, sources.num_rows, FILES_A_TASK)]
    light = {"batch_format": "pyarrow", "num_cpus": shape.light_cpus, "zero_copy_batch": True}
    data = ray.data.from_arrow(blocks)
    # A task of one CPU, the default, and no actor: only so does Ray do the splitting into chunks in the same step. Apart, that
    # step asks for a CPU of its own, and on a small cluster waits for it for ever.
    data = data.map_batches(open_files, fn_args=(job, remote), batch_size=FILES_A_TASK, batch_format="pyarrow")
    data = data.repartition(target_num_rows_per_block=1)
    data = data.map_batches(
        ReadPages, fn_constructor_args=(job, remote), batch_size=1, compute=ActorPoolStrategy(size=shape.readers), **light
    )
    data = data.map_batches(
        EncodePages,
        fn_constructor_args=(partial(_load_with_threads, load_text, shape.encoder_threads),),
        batch_size=ENCODE_PAGES,
        batch_format="pyarrow",
        num_cpus=shape.encoder_cpus,
        compute=ActorPoolStrategy(size=shape.encoders),
    )
    data.write_datasink(IndexDatasink(job, desk), ray_remote_args={"num_cpus": shape.light_cpus})


def _load_with_threads(load: Callable[[], TextEncoder], threads: int) -> TextEncoder:
    """Ray sets OMP_NUM_THREADS to 1 for an actor of one CPU or less, which halves the encoder's pace."""
    import torch

    torch.set_num_threads(threads)
    return load()


def open_files(table: pa.Table, job: Job, desk: RemoteDesk) -> pa.Table:
    return _opener(job, desk)(table)


@cache
def _opener(job: Job, desk: RemoteDesk) -> OpenFiles:
    """This worker process's children that look at files: Ray gives the process task after task."""
    return OpenFiles(job, desk)


class RemoteDesk:
    """The `Desk` as a worker has it: a call is answered before it returns."""

    def __init__(self, desk: Any) -> None:
        self._desk = desk

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemoteDesk) and self._desk == other._desk

    def __hash__(self) -> int:
        return hash(self._desk)

    def admit(self, source: SourceFile, document: DocumentRef) -> frozenset[int]:
        return ray.get(self._desk.admit.remote(source, document))

    def refuse(self, source: SourceFile, failure: Failure) -> None:
        ray.get(self._desk.refuse.remote(source, failure))

    def note_read(self, pages: Sequence[tuple[DocumentRef, int]]) -> None:
        self._desk.note_read.remote(pages)

    def note_written(self, pages: Collection[PageRef], by_ocr: Collection[PageRef]) -> list[DocumentRef]:
        return ray.get(self._desk.note_written.remote(pages, by_ocr))

    def finish(self, record: DocumentRecord) -> None:
        ray.get(self._desk.finish.remote(record))


class IndexDatasink(Datasink):
    """Writes each block as it comes. On a server every write task writes for itself; on a folder the desk's process does."""

    def __init__(self, job: Job, desk: Any) -> None:
        self._job, self._desk = job, desk

    def write(self, blocks: Iterable[pa.Table], ctx: Any) -> int:
        if is_folder(self._job.location):
            return sum(ray.get(self._desk.write.remote(block)) for block in blocks)
        write = WritePages(_opened(self._job.location), RemoteDesk(self._desk))
        return sum(write(block) for block in blocks)

    def get_name(self) -> str:
        return "WritePages"


@cache
def _opened(location: str) -> LibraryIndex:
    """The index as this worker process has it open: Ray gives the process task after task."""
    return LibraryIndex.open(location)
