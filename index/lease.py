"""One writer at a time on a server: a record that says who works on the index, and ends with its holder.

An embedded index is locked by its engine. A Qdrant server locks nothing and has no transactions, so this is a lease: the
holder raises a counter every few seconds, and whoever finds a counter that stands still takes the lease over. No clocks are
compared. A holder that was taken for dead (its machine was asleep, or cut off from the server) finds out at its next `check`.

Those who write may be on other machines than who holds the lease, and reach the server when that one does not. So each looks
for itself: `guard` has a store ask, before every write, whose the record is.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docrag.errors import DocragError, EnvironmentFault, IndexFault, IndexLocked
from docrag.index.location import MEMORY, is_folder, open_store
from docrag.index.store import Payload, Point, Store
from docrag.index.summary import utc_now
from docrag.types import POINT_NAMESPACE

_LOOK_EVERY_S = 0.05
_SETTLED_AFTER = 4  # times as long as our own look and write took, for another's that was under way


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """In seconds: between two beats of a holder; without a beat until it counts as dead; after a write until a look; without
    a beat that got through until a holder gives up (as long as all else waits for a server that is away)."""

    beat_s: float = 5.0
    ttl_s: float = 20.0
    settle_s: float = 0.5
    silent_s: float = 60.0


TIMES = LeaseTimes()


class Lease:
    """The right to write to an index, as long as `check` does not raise. This one is for an index that is locked anyway.

    `holder` is what the index's record knows it by; "" where it has none.
    """

    holder: str = ""

    def check(self) -> None:
        """Raise EnvironmentFault where the lease is known to be lost. Asks nobody: what writes is guarded besides."""


@contextlib.contextmanager
def hold_lease(location: str, doing: str, times: LeaseTimes = TIMES) -> Generator[Lease]:
    """Hold the lease of the index at `location` while the body runs; `doing` says to others what for ("an ingest").

    Raises IndexLocked, which names the holder, where another one holds it; a holder that is dead is waited for `ttl_s` (not
    at all where it ran on this machine), then warned of. Raises EnvironmentFault at the end of a body that lost it.
    """
    if is_folder(location) or location == MEMORY:
        yield Lease()
        return
    lease = _ServerLease(location, doing, times)
    try:
        lease.take()
        yield lease
        lease.check()
    finally:
        lease.release()


def guard(store: Store, location: str, holder: str, times: LeaseTimes = TIMES) -> None:
    """Have `store` raise EnvironmentFault instead of writing once the index at `location` is not `holder`'s any more.

    `holder` is a lease's; "" takes the guard off.
    """
    store.guard_writes(_Guard(store, location, holder, times.settle_s) if holder else None)


def lease_id() -> str:
    return str(uuid.uuid5(POINT_NAMESPACE, "lease"))


class _Guard:
    """What it saw counts for `settle_s`: so long does one who takes a lease wait, once its record is there, before it works."""

    def __init__(self, store: Store, location: str, holder: str, settle_s: float) -> None:
        self._store, self._location = store, location
        self._holder, self._settle_s = holder, settle_s
        self._seen_at: float | None = None

    def __call__(self) -> None:
        begun = _now()
        if self._seen_at is not None and begun - self._seen_at < self._settle_s:
            return
        found = self._store.retrieve("documents", [lease_id()], keys=("holder",))
        if not found or found[0].payload.get("holder") != self._holder:
            raise _taken_over(self._location)
        self._seen_at = begun


class _ServerLease(Lease):
    """The record in `documents`. It has a connection of its own, for a thread of its own raises the counter."""

    def __init__(self, location: str, doing: str, times: LeaseTimes) -> None:
        self._location, self._times = location, times
        self._mine = _record(doing)
        self.holder = self._mine["holder"]
        self._store: Store = open_store(location)
        self._woken = threading.Event()
        self._beating: threading.Thread | None = None
        self._is_written = self._is_over = self._is_lost = self._is_server_away = False
        self._confirmed_at = 0.0

    def take(self) -> None:
        """Another who wrote between our look and our write loses the lease by that, and its guards find out while we settle."""
        begun = _now()
        found = self._read()
        if found is not None:
            self._wait_for_its_end(found)
            begun = _now()
        self._store.upsert("documents", [Point(lease_id(), self._mine)])
        self._is_written = True
        time.sleep(max(self._times.settle_s, _SETTLED_AFTER * (_now() - begun)))
        found = self._read()
        if found is None or not self._is_mine(found):  # the last one who wrote has it
            raise _locked(self._location, found or {}, self._times)
        self._confirmed_at = _now()
        self._beating = threading.Thread(target=self._beat, name="docrag-lease", daemon=True)
        self._beating.start()

    def check(self) -> None:
        if not self._is_lost and self._is_silent():
            self._await_beat()
        if self._is_lost:
            raise _taken_over(self._location)
        if self._is_silent():
            raise EnvironmentFault(
                f"no sign of life of this process reached the index at {self._location} for {self._times.silent_s:g} s",
                "check that the server is running and can be reached, and run the same command again: what was written is kept",
            )

    def _is_silent(self) -> bool:
        return _now() - self._confirmed_at > self._times.silent_s

    def _await_beat(self) -> None:
        """Give the beat a moment: this process may have been stopped, and its thread with it."""
        self._woken.set()
        until = _now() + self._times.beat_s
        while self._is_silent() and not self._is_lost and _now() < until:
            time.sleep(_LOOK_EVERY_S)

    def release(self) -> None:
        """Let others have it; what can't be deleted now (the server is away) ends by itself."""
        self._is_over = True
        self._woken.set()
        if self._beating is not None:
            self._beating.join(timeout=self._times.beat_s)
            if self._beating.is_alive():  # it waits for the server, and would be in the way of the connection
                return
        with contextlib.suppress(DocragError):
            found = self._read() if self._is_written and not self._is_server_away else None
            if found is not None and self._is_mine(found):
                self._store.delete("documents", [lease_id()])
        self._store.close()

    def _wait_for_its_end(self, found: Payload) -> None:
        """Return when the lease that was `found` has ended; raise IndexLocked as soon as it shows that it has not."""
        until = _now() + self._times.ttl_s
        while not _is_process_gone(found):
            if _now() >= until:
                who = _holder(found)
                warnings.warn(f"the index at {self._location} was held by {who}, which is gone: taken over", stacklevel=6)
                return
            time.sleep(self._times.settle_s)
            now = self._read()
            if now is None:
                return
            if (now.get("holder"), now.get("beat")) != (found.get("holder"), found.get("beat")):
                raise _locked(self._location, now, self._times)

    def _beat(self) -> None:
        while not self._is_lost:
            self._woken.wait(self._times.beat_s)
            self._woken.clear()
            if self._is_over:
                return
            try:
                self._confirm()
                self._is_server_away = False
            except DocragError:  # who works with the index meets it as well
                self._is_server_away = True

    def _confirm(self) -> None:
        """Look whether the lease is ours, and raise the counter. Nothing but the counter is written: it may be another's."""
        begun = _now()
        found = self._read()
        if found is None or not self._is_mine(found):
            self._is_lost = True
            return
        self._mine["beat"] += 1
        try:
            self._store.update_points("documents", [Point(lease_id(), {"beat": self._mine["beat"]})])
        except IndexFault:  # deleted between the two calls
            self._is_lost = True
        self._confirmed_at = begun

    def _read(self) -> Payload | None:
        found = self._store.retrieve("documents", [lease_id()])
        return found[0].payload if found else None

    def _is_mine(self, found: Payload) -> bool:
        return found.get("holder") == self.holder


def _record(doing: str) -> dict[str, Any]:
    pid = os.getpid()
    return {
        "kind": "lease",
        "holder": uuid.uuid4().hex,
        "doing": doing,
        "host": socket.gethostname(),
        "machine": _machine(),
        "pid": pid,
        "started": _started(pid),
        "since": utc_now(),
        "beat": 0,
    }


def _holder(found: Payload) -> str:
    """Who holds a lease, for a person; of a record that somebody damaged, what is left."""
    get = found.get
    return f"{get('doing', 'something')} on {get('host', '?')} (process {get('pid', '?')}, since {get('since', '?')})"


def _taken_over(location: str) -> EnvironmentFault:
    return EnvironmentFault(
        f"another process took over the index at {location}, for too long no sign of life of this one was seen there",
        "once that one is done, run the same command again: what was written is kept",
    )


def _locked(location: str, found: Payload, times: LeaseTimes) -> IndexLocked:
    return IndexLocked(
        f"the index at {location} is being written by {_holder(found)}",
        f"wait until that one is done, or end it: {times.ttl_s:g} s after its end, however it comes, the index is free",
    )


def _is_process_gone(found: Payload) -> bool:
    """Whether the holder ran where we can see, and does no more. Elsewhere only the counter tells."""
    machine, pid = found.get("machine"), found.get("pid")
    return bool(machine) and machine == _machine() and isinstance(pid, int) and _started(pid) != found.get("started")


def _machine() -> str:
    """What processes that see each other's numbers share: a running kernel and a space of numbers; "" where it can't be told.

    Host names won't do: containers may share one and not see each other.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a process began, in ticks since the machine did, for numbers are given again; "" where it is gone, or a zombie."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return ""
    fields = rest.split()
    return "" if fields[0] in "ZX" else fields[19]


def _now() -> float:
    """Seconds that go on while the machine is asleep, where the system has such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
