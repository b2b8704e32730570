"""How a run on a cluster goes on: the pace of each stage, what waits for what, and when it may be done."""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field, replace
from typing import IO, Any, cast

from docrag.ingest.totals import Counts, Progress

STAGES = {"read": ("open", "read", "encode", "write"), "look": ("draw", "look", "store")}
WINDOW_S = 20.0  # over which a pace is told
LEFT_WINDOW_S = 120.0  # over which the time left is reckoned: a slow encoder's batches come half a minute apart
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

    `done` and `total` are pages that have passed the last stage, and that are to: while files are still opened, an estimate.
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
        counts = replace(counts, progress=_in_pages(counts))
        if self._seen and (not _has_begun(counts) or self._seen[-1][1].progress.stage != counts.progress.stage):
            self._seen.clear()
        self._seen.append((now, counts))
        while len(self._seen) > 2 and self._seen[1][0] < now - LEFT_WINDOW_S:
            self._seen.popleft()
        return ClusterProgress(
            **asdict(counts.progress),
            stages=tuple(self._stages()),
            failures=counts.failures,
            seconds=now - self.begin,
            seconds_left=self._seconds_left(),
            store_bytes=store_bytes,
            store_peak_bytes=self._peak_bytes,
        )

    def _stages(self) -> list[StageProgress]:
        now, counts = self._seen[-1]
        then, before = next(seen for seen in self._seen if seen[0] >= now - WINDOW_S)
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
        left, done = counts.progress.total - counts.progress.done, counts.progress.done - before.progress.done
        if not left and _is_complete(counts.progress):
            return 0.0
        return left * (now - then) / done if done > 0 else None


def _has_begun(counts: Counts) -> bool:
    """Whether a page has passed the first stage: a pace is not told from the time in which workers start."""
    return counts.passed.get(STAGES[counts.progress.stage][0], 0) > 0


def _is_complete(progress: Progress) -> bool:
    if progress.stage == "look":
        return progress.done >= progress.total
    return 0 < progress.documents_total == progress.documents_done


def _in_pages(counts: Counts) -> Progress:
    """The progress by what came out of the last stage, not of the first: readers run ahead of what encodes."""
    progress = counts.progress
    if progress.stage == "look":
        return progress
    written = counts.passed.get("write", 0)
    # What was opened or read twice, for a worker died, does not wait for ever.
    total = written if _is_complete(progress) else max(progress.pages_total, counts.passed.get("open", 0), written)
    return replace(progress, done=written, total=total)


@contextlib.contextmanager
def json_lines(stream: IO[str]) -> Generator[Callable[[Progress], None]]:
    """Writes what it is called with to `stream`, an object a line, not more than one a second but where a stage begins.

    What was told last is the last line.
    """
    last: list[tuple[float, str]] = []
    held: list[Progress] = []

    def write(progress: Progress) -> None:
        stream.write(json.dumps({"schema_version": 1, "progress": _rounded(asdict(progress))}) + "\n")
        stream.flush()

    def tell(progress: Progress) -> None:
        now = time.monotonic()
        held[:] = [progress]
        if last and last[0][1] == progress.stage and now - last[0][0] < LINE_EVERY_S:
            return
        last[:] = [(now, progress.stage)]
        write(held.pop())

    try:
        yield tell
    finally:
        for progress in held:
            write(progress)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in cast("list[Any]", value)]
    return round(value, 2) if isinstance(value, float) else value
