"""How many workers a run on a cluster has of each kind, and the share of a CPU or GPU that each of them holds.

Ray waits for ever, and says nothing, for a worker that does not fit beside those that are there. So what a pass holds at once
is a part of what the cluster has, however many workers are asked for; whether so much is free is looked at before it starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from docrag.config import Device
from docrag.errors import EnvironmentFault

ENCODER_THREADS = 2  # of one encoder of text: more of them gain less than another encoder does
_SHARES = {"readers": 0.35, "encoders": 0.25, "openers": 0.1, "writers": 0.1}  # of all CPUs: the rest is the desk's and Ray's
_MOST = 0.5  # CPUs that one worker holds: it must find room beside others on the smallest machine


@dataclass(frozen=True, slots=True)
class Pool:
    """Workers of one kind: their number, and what each of them holds."""

    workers: int
    cpus: float
    gpus: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """The workers of the text's pass: at full size from the start, but for those that open and write, which come and go.

    The shares say where workers go, not how much of a CPU they use: readers yield to encoders by their niceness.
    """

    openers: Pool
    readers: Pool
    encoders: Pool
    writers: Pool

    @property
    def cpus(self) -> float:
        """What all of them hold together."""
        return sum(pool.workers * pool.cpus for pool in (self.openers, self.readers, self.encoders, self.writers))


def text_shape(cpus: float, workers: int = 0) -> Shape:
    """For the text, on a cluster of so many CPUs: `workers` readers (0: one a CPU), and an encoder for every two CPUs."""
    readers = workers or max(1, int(cpus))
    encoders = max(1, int(cpus) // ENCODER_THREADS)
    return Shape(
        openers=_pool(max(1, readers // 4), _SHARES["openers"] * cpus),
        readers=_pool(readers, _SHARES["readers"] * cpus),
        encoders=_pool(encoders, _SHARES["encoders"] * cpus),
        writers=_pool(encoders, _SHARES["writers"] * cpus),
    )


@dataclass(frozen=True, slots=True)
class LookShape:
    """The workers of the visual lane's pass; `threads` are what an encoder has for what it does on CPUs."""

    drawers: Pool
    encoders: Pool
    writers: Pool
    threads: int

    @property
    def cpus(self) -> float:
        return sum(pool.workers * pool.cpus for pool in (self.drawers, self.encoders, self.writers))

    @property
    def gpus(self) -> float:
        return self.encoders.workers * self.encoders.gpus


def look_shape(cpus: float, gpus: Sequence[float], device: Device, gpus_per_encoder: float, workers: int = 0) -> LookShape:
    """On a cluster of so many CPUs, and of machines that have so many GPUs each: as many encoders as the GPUs hold, each with
    `gpus_per_encoder` of one.

    Where it has no GPU, or `device` is "cpu", one encoder on CPUs. Raises EnvironmentFault where `device` asks for a GPU, or an
    encoder for more of them, than a machine has.
    """
    on_gpu = device == "cuda" or (device == "auto" and sum(gpus) > 0)
    encoders = _encoders_on(gpus, gpus_per_encoder) if on_gpu else 1
    if not encoders:
        raise EnvironmentFault(
            f"an encoder of page images asks for {gpus_per_encoder:g} GPUs of one machine, and the Ray cluster has none with "
            f"more than {max(gpus, default=0):g}",
            "add a machine with enough, ask for less (DOCRAG_GPUS_PER_ENCODER), or take --device cpu",
        )
    drawers = workers or max(1, int(cpus))
    return LookShape(
        drawers=_pool(drawers, 0.4 * cpus),
        encoders=replace(_pool(encoders, 0.25 * cpus), gpus=gpus_per_encoder if on_gpu else 0.0),
        writers=_pool(max(1, int(cpus) // 2), 0.15 * cpus),
        threads=ENCODER_THREADS if on_gpu else max(1, int(cpus)),
    )


def _encoders_on(gpus: Sequence[float], each: float) -> int:
    """How many encoders there is room for: Ray gives whole GPUs of one machine, or a part of one GPU, never parts of two."""
    if each < 1:
        return sum(map(int, gpus)) * int(1 / each + 1e-9)
    return sum(int(of_machine // each) for of_machine in gpus)


def _pool(workers: int, cpus: float) -> Pool:
    """Workers who hold `cpus` together, and no more than each may."""
    return Pool(workers, min(_MOST, int(cpus / workers * 10_000) / 10_000))
