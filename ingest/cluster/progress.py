"""How a run on a cluster goes on: the pace of each stage, what waits for what, and when it may be done."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import IO, Any, cast

from docrag.ingest.totals import Counts, Progress

STAGES = {"read": ("open", "read", "encode", "write"), "look": ("draw", "look", "store")}
WINDOW_S = 20.0  # over which a pace is told
LINE_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class StageProgress:
    """Pages that a stage has let pass, its pace over the last seconds, and the pages that wait for it (or are in it)."""

    name: str
    pages: int
    pages_per_second: float
    waiting: int


@dataclass(frozen=True, slots=True)
class ClusterProgress(Progress):
    """`stages` in the order in which pages pass them; `seconds_left` is None where it can't be told yet.

    `store_bytes` is what lies in the object stores of all machines, `store_peak_bytes` the most that was seen there.
    """

    stages: tuple[StageProgress, ...] = ()
    failures: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    store_bytes: int = 0
    store_peak_bytes: int = 0

    @property
    def slowest(self) -> str:
        """The stage that most pages wait for; "" where none wait."""
        most = max(self.stages, key=lambda stage: stage.waiting, default=None)
        return most.name if most is not None and most.waiting else ""


@dataclass(slots=True)
class Pace:
    """What was counted in the last seconds, to tell how fast it goes."""

    begin: float = field(default_factory=time.monotonic)
    _peak_bytes: int = 0
    _seen: deque[tuple[float, Counts]] = field(default_factory=deque[tuple[float, Counts]])

    def note(self, counts: Counts, now: float | None = None, store_bytes: int = 0) -> ClusterProgress:
        """`now`: seconds of `time.monotonic`."""
        self._peak_bytes = max(self._peak_bytes, store_bytes)
        now = time.monotonic() if now is None else now
        progress = counts.progress
        if self._seen and self._seen[-1][1].progress.stage != progress.stage:
            self._seen.clear()
        self._seen.append((now, counts))
        while len(self._seen) > 2 and self._seen[1][0] < now - WINDOW_S:
            self._seen.popleft()
        return ClusterProgress(
            **asdict(progress),
            stages=tuple(self._stages()),
            failures=counts.failures,
            seconds=now - self.begin,
            seconds_left=self._seconds_left(),
            store_bytes=store_bytes,
            store_peak_bytes=self._peak_bytes,
        )

    def _stages(self) -> list[StageProgress]:
        (then, before), (now, counts) = self._seen[0], self._seen[-1]
        stages: list[StageProgress] = []
        came = counts.progress.total if counts.progress.stage == "look" else 0
        for name in STAGES[counts.progress.stage]:
            passed = counts.passed.get(name, 0)
            pace = (passed - before.passed.get(name, 0)) / (now - then) if now > then else 0.0
            stages.append(StageProgress(name, passed, pace, max(0, came - passed)))
            came = passed
        return stages

    def _seconds_left(self) -> float | None:
        (then, before), (now, counts) = self._seen[0], self._seen[-1]
        done = counts.progress.done - before.progress.done
        return (counts.progress.total - counts.progress.done) * (now - then) / done if done > 0 else None


def json_lines(stream: IO[str]) -> Callable[[Progress], None]:
    """Writes what it is called with to `stream`, an object a line, not more than one a second but where a stage begins."""
    last: list[tuple[float, str]] = []

    def write(progress: Progress) -> None:
        now = time.monotonic()
        if last and last[0][1] == progress.stage and now - last[0][0] < LINE_EVERY_S:
            return
        last[:] = [(now, progress.stage)]
        stream.write(json.dumps({"schema_version": 1, "progress": _rounded(asdict(progress))}) + "\n")
        stream.flush()

    return write


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in cast("list[Any]", value)]
    return round(value, 2) if isinstance(value, float) else value
