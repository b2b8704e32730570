"""Several questions at once: models answer over the network, and most of a run is waiting for them."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from docrag.errors import UsageError

GRACE_S = 10.0  # for what is in flight when a run is stopped; it was paid for
_T = TypeVar("_T")
_R = TypeVar("_R")


def check_limit(limit: int, what: str) -> None:
    """Raises UsageError where not even one of `what` would be in flight."""
    if limit < 1:
        raise UsageError(f"concurrency is how many {what} are in flight, 1 or more, got {limit}")


def ask_all(
    items: Sequence[_T], ask: Callable[[_T], _R], keep: Callable[[_R], None], limit: int, told: Callable[[], None]
) -> None:
    """`keep(ask(item))` for each of `items`, with up to `limit` of them in flight; `told` is called after each, here.

    `keep` runs once at a time. Whatever is raised, Ctrl-C too, ends it: nothing new is begun, what is in flight is kept if it
    is done within GRACE_S seconds, and after that nothing is kept any more. With a `limit` of 1 all of it runs in this thread.
    """
    if limit == 1:
        for item in items:
            keep(ask(item))
            told()
        return
    _Flight(items, ask, keep).run(limit, told)


class _Flight(Generic[_T, _R]):
    """The threads keep what they asked for themselves: Ctrl-C comes to the main thread alone, so it tears no line."""

    def __init__(self, items: Sequence[_T], ask: Callable[[_T], _R], keep: Callable[[_R], None]) -> None:
        self._count = len(items)
        self._items = iter(items)
        self._ask = ask
        self._keep = keep
        self._turn = threading.Lock()  # held to take an item and to keep a result
        self._stopped = False
        self._abandoned = False
        self._done: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def run(self, limit: int, told: Callable[[], None]) -> None:
        # Daemons: one that waits for a server must not hold up the end of a program that was told to stop.
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(min(limit, self._count))]
        try:
            for thread in threads:
                thread.start()
            for _ in range(self._count):
                if (error := self._done.get()) is not None:
                    raise error
                told()
        finally:
            self._stop([thread for thread in threads if thread.ident is not None])

    def _work(self) -> None:
        try:
            for item in iter(self._next, None):
                result = self._ask(item)
                with self._turn:
                    if self._abandoned:
                        return
                    self._keep(result)
                self._done.put(None)
        except BaseException as error:  # noqa: BLE001 -- it is raised again where the run was begun
            self._stopped = True
            self._done.put(error)

    def _next(self) -> _T | None:
        with self._turn:
            return None if self._stopped else next(self._items, None)

    def _stop(self, threads: Sequence[threading.Thread]) -> None:
        self._stopped = True
        deadline = time.monotonic() + GRACE_S
        try:
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
        finally:  # also where Ctrl-C comes again
            with self._turn:
                self._abandoned = True
