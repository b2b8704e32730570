"""Where the seconds of a process that writes to a Qdrant server go, told apart by wrapping the functions that take them."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from docrag.index.library_index import LibraryIndex


class Account:
    """Seconds by what they were spent on; what runs inside of something else counts for itself alone."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._stack: list[str] = []
        self._since = time.perf_counter()

    def turn(self) -> None:
        now = time.perf_counter()
        if self._stack:
            self.spent[self._stack[-1]] += now - self._since
        self._since = now

    @contextlib.contextmanager
    def on(self, what: str) -> Generator[None]:
        self.turn()
        self._stack.append(what)
        try:
            yield
        finally:
            self.turn()
            self._stack.pop()

    def wrap(self, inner: Callable[..., Any], what: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.on(what):
                return inner(*arguments, **named)

        return timed


@contextlib.contextmanager
def watch_writing() -> Generator[Counter[str]]:
    """What this process's writing spends its seconds on while the body runs, by wrapping the functions that do it."""
    import httpx

    from docrag.index import qdrant
    from docrag.ingest.cluster import actors, stages

    account, before = Account(), list[tuple[Any, str, Any]]()

    def watch(owner: Any, name: str, what: str) -> None:
        before.append((owner, name, getattr(owner, name)))
        setattr(owner, name, account.wrap(getattr(owner, name), what))

    def send(*arguments: Any, **named: Any) -> Any:
        answer = inner(*arguments, **named)
        served_s = float(answer.json().get("time") or 0.0)
        account.spent["the server (the stand-in)"] += served_s
        account.spent["sending"] -= served_s
        return answer

    watch(stages, "read_page_rows", "taking blocks apart")
    watch(stages, "read_vectors", "taking blocks apart")
    watch(LibraryIndex, "write_pages", "making points")
    watch(LibraryIndex, "commit_document", "completing documents")
    watch(qdrant.QdrantStore, "upsert", "making requests")
    watch(actors.RemoteDesk, "note_written", "asking the desk")
    watch(actors.RemoteDesk, "finish", "asking the desk")
    inner = httpx.Client.send
    before.append((httpx.Client, "send", inner))
    httpx.Client.send = account.wrap(send, "sending")  # type: ignore[method-assign]
    try:
        with account.on("the rest"):
            yield account.spent
    finally:
        for owner, name, value in reversed(before):
            setattr(owner, name, value)
