# pyright: basic
# Ray's decorators hide the types of what they wrap
"""A look at the cluster before work starts: what an ingest would miss on its machines hours later, all said at once."""

from __future__ import annotations

import platform
import uuid
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import ray  # noqa: TID253 -- this module is loaded for a run on Ray only
from ray.exceptions import RayError  # noqa: TID253
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: TID253

from docrag.errors import DocragError, EnvironmentFault
from docrag.index.blobs import BlobStore
from docrag.index.library_index import LibraryIndex
from docrag.index.location import is_folder
from docrag.ingest.cluster.stages import Job
from docrag.ingest.ocr import check_tesseract, tesseract_available
from docrag.ingest.sources import is_url
from docrag.version import __version__

ANSWER_S = 180  # a machine's first worker has to start, and to load docrag
HUB_S = 10.0
_HINT = "change that, or leave --ray out to ingest on this machine"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine of the cluster on which stages run: its place there, and a name for a person."""

    node_id: str
    name: str
    has_gpu: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """What a machine lacks, and what it can do without; a line each."""

    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_cluster(
    job: Job, cpus: float, gpus: float = 0.0, names: Sequence[str] = (), faults: Sequence[EnvironmentFault] = ()
) -> None:
    """Raise EnvironmentFault, which has a line for each thing that is missing, unless an ingest can run on this cluster.

    Ray is connected, the index exists. `cpus` and `gpus` are what all stages hold together, `names` what is to be ingested,
    `faults` what is known to be missing already. What pages will only be left unread for is warned of.
    """
    machines = _machines()
    missing = [_line(fault) for fault in faults]
    wants_cuda = job.config.device == "cuda" and not faults  # else it is said
    missing += resources_missing(cpus, gpus, wants_cuda, ray.cluster_resources(), ray.available_resources())
    versions = _ask(machines, _version_probe())
    missing += _by_machine(versions, versions_missing)
    alike = [machine for machine, found in versions.items() if not isinstance(found, RayError) and not versions_missing(found)]
    with _probe(job.blobs_url) as (probe, fault):
        missing += [f"here: {line}" for line in fault]
        looks = _ask(alike, look_around, job, probe, _first_local(names))
    missing += _by_machine(looks, lambda look: look.missing)
    if job.visual_model:
        encoding = [machine for machine in alike if machine.has_gpu or not gpus]
        missing += _by_machine(_ask(encoding, model_missing, job.visual_model), lambda lines: lines)
    for line in _by_machine(looks, lambda look: look.warnings, of_errors=False):
        warnings.warn(line, stacklevel=2)
    if missing:
        lines = "".join(f"\n  - {line}" for line in missing)
        raise EnvironmentFault(f"this ingest can't run on the Ray cluster:{lines}", _HINT)


def resources_missing(
    cpus: float, gpus: float, wants_cuda: bool, there: Mapping[str, float], free: Mapping[str, float]
) -> list[str]:
    """What a cluster that has so much, and so much of it free, lacks for stages that hold `cpus` and `gpus` together."""
    lines: list[str] = []
    if not there.get("CPU"):
        lines.append("no machine has CPUs for workers: start one, or with an autoscaler keep one at least")
    elif cpus > free.get("CPU", 0):
        lines.append(f"the stages hold {cpus:.1f} CPUs together, {free.get('CPU', 0):g} of {there['CPU']:g} are free")
    if (gpus or wants_cuda) and not there.get("GPU"):
        lines.append("a GPU is asked for (--device cuda), and no machine has one that Ray knows of")
    elif gpus > free.get("GPU", 0):
        lines.append(f"the stages hold {gpus:g} GPUs together, {free.get('GPU', 0):g} of {there['GPU']:g} are free")
    return lines


def versions_missing(found: Mapping[str, str]) -> tuple[str, ...]:
    """How the programs of a machine ("docrag", "ray", "python") differ from those here; a line each."""
    here = {"docrag": __version__, "ray": ray.__version__, "python": _minor(platform.python_version())}
    return tuple(
        f"{name} is {found[name]}, here it is {version}" if found[name] else f"{name} is not installed, here it is {version}"
        for name, version in here.items()
        if found[name] != version
    )


def look_around(job: Job, probe: str, source: str = "") -> Look:
    """What the machine that this runs on lacks for the stages of `job`; `probe` is the sha256 of a blob that was put there
    from another one, `source` a file or folder that is to be ingested ("": none)."""
    missing = [*_faults(_check_blobs, job, probe), *_faults(_check_ocr, job), *_faults(_check_source, source)]
    if not is_folder(job.location):
        missing += _faults(_check_index, job)
    unread = ("Tesseract is not installed: pages without a text layer that are read there are left unread",)
    return Look(tuple(missing), unread if job.config.ocr == "auto" and not tesseract_available() else ())


def model_missing(model: str) -> tuple[str, ...]:
    """Why the visual lane's model can't be loaded on the machine that this runs on; empty where it seems it can."""
    return _faults(_check_model, model)


def _faults(check: Callable[..., None], *arguments: Any) -> tuple[str, ...]:
    try:
        check(*arguments)
    except DocragError as error:
        return (_line(error),)
    return ()


def _line(error: DocragError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message


def _first_local(names: Sequence[str]) -> str:
    """The first of the names that is a file or folder here, in full; "" where none is: the others are not listed for it."""
    return next((str(Path(name).absolute()) for name in names if not is_url(name) and _is_here(name)), "")


def _is_here(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _check_source(source: str) -> None:
    if source and not _is_here(source):
        raise EnvironmentFault(
            f"{source} is not there", "every machine opens files: put them where all see them, or in a bucket"
        )


def _check_index(job: Job) -> None:
    LibraryIndex.open(job.location).close()


def _check_blobs(job: Job, probe: str) -> None:
    blobs = BlobStore(job.blobs_url)
    try:
        if probe and not blobs.exists(probe):
            raise EnvironmentFault(
                f"what is written to {job.blobs_url} elsewhere is not seen", "name a place that all machines share with --blobs"
            )
        data = _probe_bytes()
        own = sha256(data).hexdigest()
        blobs.put(own, data)
        kept = blobs.path(own).read_bytes()
        blobs.delete(own)
        if kept != data:
            raise EnvironmentFault(f"{job.blobs_url} gives other bytes back than were put there")
    finally:
        blobs.close()


def _check_ocr(job: Job) -> None:
    if job.config.ocr == "always" or (job.config.ocr == "auto" and tesseract_available()):
        check_tesseract(job.config.lang)


def _check_model(model: str) -> None:
    """Raise EnvironmentFault where the files of a model can't be had; they are not fetched yet."""
    if Path(model).expanduser().is_dir():
        return
    if model.startswith(("/", ".", "~")):
        raise EnvironmentFault(f"the model's folder {model} is not there", "copy it to every machine, or name one on the hub")
    import huggingface_hub

    repository, _, revision = model.partition("@")
    if isinstance(huggingface_hub.try_to_load_from_cache(repository, "config.json", revision=revision or None), str):
        return
    try:
        huggingface_hub.HfApi().model_info(repository, revision=revision or None, timeout=HUB_S)
    except Exception as error:  # the hub's errors, httpx's, and that it is switched off
        first = next(iter(str(error).splitlines()), type(error).__name__)
        raise EnvironmentFault(f"the model {model} is neither in the hub's cache nor to be had: {first}") from error


@contextmanager
def _probe(blobs_url: str) -> Generator[tuple[str, tuple[str, ...]]]:
    """The sha256 of a blob that is put here, for the others to look for; "" and why, where it can't be."""
    blobs, data = BlobStore(blobs_url), _probe_bytes()
    name = sha256(data).hexdigest()
    fault = _faults(blobs.put, name, data)
    try:
        yield ("" if fault else name), fault
    finally:
        if not fault:
            blobs.delete(name)
        blobs.close()


def _probe_bytes() -> bytes:
    return f"docrag looks whether this can be written, {uuid.uuid4().hex}".encode()


def _machines() -> list[Machine]:
    """Those that run workers: a head without CPUs runs none."""
    alive = [node for node in ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]
    return [
        Machine(node["NodeID"], f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})", "GPU" in node["Resources"])
        for node in alive
    ]


def _version_probe() -> Callable[[], dict[str, str]]:
    """What tells a machine's versions. Made here, so that it travels as code: docrag may not be there to load it from."""

    def versions() -> dict[str, str]:
        import importlib
        import platform

        found = {"python": ".".join(platform.python_version_tuple()[:2])}
        for name in ("docrag", "ray"):
            try:
                found[name] = str(importlib.import_module(name).__version__)
            except ImportError:
                found[name] = ""
        return found

    return versions


def _ask(machines: Sequence[Machine], look: Callable[..., Any], *arguments: Any) -> dict[Machine, Any]:
    """What `look` returns on each machine that is still there; the error where it could not be run there."""
    task = ray.remote(look)
    asked: dict[Machine, Any] = {}
    for machine in machines:
        there = NodeAffinitySchedulingStrategy(machine.node_id, soft=False)
        asked[machine] = task.options(num_cpus=0, scheduling_strategy=there, max_retries=1).remote(*arguments)
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_S)
    answers = {machine: _answer(reference) for machine, reference in asked.items()}
    alive = {machine.node_id for machine in _machines()}  # one that went meanwhile is not missed: the others do its work
    return {machine: found for machine, found in answers.items() if machine.node_id in alive}


def _answer(reference: Any) -> Any:
    try:
        return ray.get(reference, timeout=0.1)
    except RayError as error:  # the machine went, no worker starts on it, or what is there does not fit
        ray.cancel(reference, force=True)
        return error


def _by_machine(looks: Mapping[Machine, Any], read: Callable[[Any], Iterable[str]], of_errors: bool = True) -> list[str]:
    """Each line that `read` makes of what was found, once, with the machines that it is true of."""
    lines: dict[str, list[str]] = {}
    for machine, found in looks.items():
        failed = isinstance(found, RayError)
        for line in (_error_line(found),) * of_errors if failed else read(found):
            lines.setdefault(line, []).append(machine.name)
    return [f"on {', '.join(names)}: {line}" for line, names in lines.items()]


def _error_line(error: RayError) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"no worker could look around there: {lines[-1] if lines else type(error).__name__}"


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])
