# pyright: basic
# Ray's decorators hide the types of what they wrap
"""The same ingest on a Ray cluster: files -> chunks of pages -> pages -> vectors -> points, streaming, as Ray Data runs it.

The stages are those of `docrag.ingest.cluster`; what is written in which order is `run_local`'s rule. Ray is imported here
and in those modules of `docrag.ingest.cluster` that only a run on Ray loads.
"""

from __future__ import annotations

import os

os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # or workers never register where docrag runs under `uv run`
# For a Ray that is started here: workers at 0, as a run on this machine encodes. Those who read PDFs are niced in any case.
os.environ.setdefault("RAY_worker_niceness", "0")

import contextlib
import gc
import logging
import time
import traceback
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import ray  # noqa: TID253 -- this module is loaded for a run on Ray only
import ray.data  # noqa: TID253
from ray.data import ActorPoolStrategy, Datasink, TaskPoolStrategy  # noqa: TID253
from ray.data.exceptions import ExecutionTimeoutError  # noqa: TID253
from ray.exceptions import RayError, RayTaskError  # noqa: TID253
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: TID253

from docrag.errors import DocragError, EnvironmentFault
from docrag.index.encoders import TextEncoder
from docrag.ingest.cluster.actors import (
    DrawPages,
    EncodePages,
    IndexDatasink,
    LookDatasink,
    LookPages,
    OpenFiles,
    ReadPages,
    describe_model,
    plain_error,
)
from docrag.ingest.cluster.connection import connected, reports_on_stderr
from docrag.ingest.cluster.preflight import check_cluster
from docrag.ingest.cluster.registrar import Registrar
from docrag.ingest.cluster.shape import LookShape, Pool, Shape, look_shape, text_shape
from docrag.ingest.cluster.stages import Job
from docrag.ingest.cluster.visual_stages import VisualModel
from docrag.ingest.cluster.watch import watching
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.run_visual import BATCH_VECTORS, CPU_BATCH_VECTORS
from docrag.ingest.sources import find_sources
from docrag.ingest.totals import Progress
from docrag.types import IngestReport

FILES_A_TASK = 8
MOST_BLOCKS = 2_000  # that a pass begins with: Ray Data keeps a book of each
DRAW_PAGES = 4  # drawn by one worker before they go on: 3 MB each
MOST_LOOKS = 64  # pages handed to an encoder together
BLOCK_BYTES = 32 * 2**20  # what goes from stage to stage in the object store, at most: a dozen pages' pixels
ENCODE_PAGES = 64
RELEASED_S = 20.0  # in which Ray takes back what a run held that just ended, or was killed
DESK_S = 30.0  # how long it is waited for the desk when a run ends early: it may be in the middle of a write
ROUNDS = 3  # how often files are read again whose pages were lost with the machines that had them
STUCK_S = 1_800  # no page passed any stage for so long: Ray waits for something that will not come
_KEPT = "what was written is kept: run the same command again, and it goes on"


def ingest_on_ray(
    job: Job,
    load_text: Callable[[], TextEncoder],
    names: Iterable[str],
    options: IngestOptions,
    address: str = "",
    report_progress: Callable[[Progress], None] | None = None,
) -> IngestReport:
    """Bring the files that `names` lead to into the index at `job.location`, which exists and which no one has open.

    `address` is a cluster's, or "auto" for the one that this machine belongs to; "" is that of RAY_ADDRESS, and where it is not
    set one is started here that ends with the run. Where this process is on a cluster already, it stays there, and what the
    workers find in their environment is its own matter.
    Raises what a run on this machine raises, and EnvironmentFault where there is no cluster, it has not enough free, or lost
    more than could be done again; what was written before is kept.
    """
    begin = time.perf_counter()
    job = replace(job, run_id=uuid.uuid4().hex)
    names = list(names)
    with reports_on_stderr(), connected(address) as is_elsewhere, _quiet(), _translated():
        if is_elsewhere:
            _check(job, names)
        model = _describe(job) if job.visual_model and not job.visual_known else None
        with _desk(job, options) as desk, watching(desk, report_progress):
            if model is not None:
                ray.get(desk.prepare_visual.remote(model))
            _read_all(job, desk, load_text, ray.get(desk.sift.remote(list(find_sources(names)))))
            ray.get(desk.tidy_up.remote())
            if job.visual_model and ray.get(desk.take_up_looks.remote()):
                _look_all(job, desk, model or _describe(job))
            return ray.get(desk.report.remote(time.perf_counter() - begin))


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Keep what Ray Data tells off the terminal, where docrag's own progress is; Ray's log folder has it."""
    logger = logging.getLogger("ray.data")
    shown = [handler for handler in logger.handlers if isinstance(handler, logging.StreamHandler)]
    for handler in shown:
        logger.removeHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"ray\.data\.")  # of small runs, and of Ray's own old settings
            context = ray.data.DataContext.get_current()
            context.enable_progress_bars = False
            context.print_on_execution_start = False
            context.target_max_block_size = BLOCK_BYTES
            context.execution_no_progress_timeout_s = STUCK_S
            yield
    finally:
        for handler in shown:
            logger.addHandler(handler)


@contextlib.contextmanager
def _translated() -> Generator[None]:
    """Turn what Ray makes of docrag's errors into those again, and its own into EnvironmentFault.

    Ray Data ends a worker when no one refers to it any more, and an error refers to all of them, through the frames that it
    came by: whoever kept one would find the next run waiting for their CPUs for ever.
    """
    try:
        with _frames_forgotten():
            yield
    except DocragError as error:
        raise plain_error(error) from None
    except RayTaskError:  # an error in docrag
        raise
    except (RayError, ExecutionTimeoutError) as error:
        raise EnvironmentFault(f"the Ray cluster lost more than it could do again: {_first_line(error)}", _KEPT) from error


@contextlib.contextmanager
def _frames_forgotten() -> Generator[None]:
    """Clear the variables of the frames that an error of the body came by, and take off the tracebacks of what led to it."""
    try:
        yield
    except BaseException as error:
        for before in _led_to(error):
            before.__traceback__ = None
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        raise


def _led_to(error: BaseException) -> Iterator[BaseException]:
    """The errors that were being handled, or are named as its cause, and those before them."""
    for before in {each for each in (error.__cause__, error.__context__) if each is not None}:
        yield before
        yield from _led_to(before)


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)


@contextlib.contextmanager
def _desk(job: Job, options: IngestOptions) -> Iterator[Any]:
    """The desk's actor, on this machine: on a folder it opens the index here."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(Registrar)
    desk: Any = actor.options(num_cpus=0, scheduling_strategy=here).remote(job, options)
    try:
        ray.get(desk.demand_open.remote())
        yield desk
    except RayError as error:
        raise _fault(desk) or error from None
    finally:
        with contextlib.suppress(RayError):
            ray.get(desk.close.remote(), timeout=DESK_S)
        ray.kill(desk)


def _fault(desk: Any) -> DocragError | None:
    """What ended the run, as far as it is docrag's own; None also where the desk went with the machine."""
    try:
        return ray.get(desk.fault.remote(), timeout=DESK_S)
    except RayError:
        return None


def _check(job: Job, names: Sequence[str]) -> None:
    look, faults = None, list[EnvironmentFault]()
    try:
        look = _look_shape(job) if job.visual_model else None
    except EnvironmentFault as fault:
        faults.append(fault)  # to be said with all else
    cpus = max(_text_shape(job).cpus, look.cpus if look else 0)
    until = time.monotonic() + RELEASED_S
    while ray.available_resources().get("CPU", 0) < cpus and time.monotonic() < until:
        time.sleep(0.5)
    check_cluster(job, cpus, look.gpus if look else 0, names, faults)


def _read_all(job: Job, desk: Any, load_text: Callable[[], TextEncoder], todo: pa.Table) -> None:
    for _ in range(ROUNDS):
        if not todo.num_rows:
            return
        _read(job, desk, load_text, todo)
        todo = ray.get(desk.left.remote())
    _check_none_left(todo, "documents")


def _look_all(job: Job, desk: Any, model: VisualModel) -> None:
    pooling: Any = ray.get(desk.begin_looks.remote(model))
    for _ in range(ROUNDS):
        todo: Any = ray.get(desk.looks_left.remote(model.geometry))
        if not todo.num_rows:
            return
        _look(job, desk, model, pooling, todo)
    _check_none_left(ray.get(desk.looks_left.remote(model.geometry)), "pages")


def _check_none_left(todo: pa.Table, what: str) -> None:
    if todo.num_rows:
        raise EnvironmentFault(f"{todo.num_rows} {what} were lost on the way {ROUNDS} times", _KEPT)


def _read(job: Job, desk: Any, load_text: Callable[[], TextEncoder], sources: pa.Table) -> None:
    shape = _text_shape(job)
    data: Any = ray.data.from_blocks(_blocks(sources, FILES_A_TASK))
    data = data.map_batches(
        OpenFiles,
        fn_args=(job, desk),
        batch_size=FILES_A_TASK,
        batch_format="pyarrow",
        num_cpus=shape.openers.cpus,
        compute=TaskPoolStrategy(size=shape.openers.workers),
    )
    data = _one_row_a_block(data, shape.openers.cpus)
    data = data.map_batches(ReadPages, fn_constructor_args=(job, desk), batch_size=1, **_actors(shape.readers))
    data = data.map_batches(
        EncodePages, fn_constructor_args=(load_text, desk), batch_size=ENCODE_PAGES, **_actors(shape.encoders)
    )
    _write(data, IndexDatasink(job, desk), shape.writers)


def _describe(job: Job) -> VisualModel:
    """What the lane's model is, told by a worker that has what its encoders will have. Raises what loading it raises."""
    pool = _look_shape(job).encoders
    told = ray.get(ray.remote(describe_model).options(num_cpus=pool.cpus, num_gpus=pool.gpus, max_retries=1).remote(job))
    if isinstance(told, DocragError):
        raise told
    return told


def _text_shape(job: Job) -> Shape:
    return text_shape(ray.cluster_resources().get("CPU", 0), job.config.workers)


def _look_shape(job: Job) -> LookShape:
    there, config = ray.cluster_resources(), job.config
    gpus = [node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]]
    return look_shape(there.get("CPU", 0), gpus, config.device, config.gpus_per_encoder, config.workers)


def _look(job: Job, desk: Any, model: VisualModel, pooling: str, looks: pa.Table) -> None:
    shape = _look_shape(job)
    wanted = CPU_BATCH_VECTORS if model.device == "cpu" else BATCH_VECTORS
    data = ray.data.from_blocks(_blocks(looks, DRAW_PAGES)).map_batches(
        DrawPages, fn_constructor_args=(job, desk), batch_size=DRAW_PAGES, **_actors(shape.drawers)
    )
    data = data.map_batches(
        LookPages,
        fn_constructor_args=(job, model, shape.threads, desk),
        batch_size=min(MOST_LOOKS, max(1, wanted // model.max_vectors)),
        zero_copy_batch=True,
        **_actors(shape.encoders),
    )
    _write(data, LookDatasink(job, pooling, desk), shape.writers)


def _write(data: Any, sink: Datasink, writers: Pool) -> None:
    """Run all stages that lead to `sink`."""
    data.write_datasink(sink, ray_remote_args={"num_cpus": writers.cpus}, concurrency=writers.workers)


def _blocks(rows: pa.Table, least: int) -> list[pa.Table]:
    """What one task or actor takes at a time: `least` rows, or more where there would be too many.

    For `from_blocks`: `from_arrow` looks at each table in a task that asks for a whole CPU.
    """
    size = max(least, -(-rows.num_rows // MOST_BLOCKS))
    return [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def _one_row_a_block(data: Any, cpus: float) -> Any:
    """Chunk by chunk, so that all readers read one large document together.

    Ray does this in the same task as the step before it where both ask for the same. Else it would be a step of its own that
    asks for a whole CPU, and on a small cluster waits for it for ever; there is no public way to say what it asks for.
    """
    data = data.repartition(target_num_rows_per_block=1)
    data._logical_plan.dag.ray_remote_args["num_cpus"] = cpus
    return data


def _actors(pool: Pool) -> dict[str, Any]:
    asked = {"num_cpus": pool.cpus, "num_gpus": pool.gpus} if pool.gpus else {"num_cpus": pool.cpus}
    return {"batch_format": "pyarrow", "compute": ActorPoolStrategy(size=pool.workers), **asked}
