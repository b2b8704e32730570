"""A small pool of child processes that read strangers' PDFs under limits on time and memory.

A crash, a hang or a memory bomb costs the task that caused it a `PdfCrash` or `PdfTooLarge`, and a fresh child (10 ms); nothing
else. Children run at low priority, write no core dumps, ignore Ctrl-C and die with their parent, also when that is killed.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import pickle
import queue
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from docrag.errors import EnvironmentFault, PdfCrash, PdfError, PdfTooLarge
from docrag.ingest.guard_child import END, FORK, HELLO

Task = TypeVar("Task")
Result = TypeVar("Result")

_START = "import sys; sys.path[:] = {path!r}; from docrag.ingest.guard_child import main; main({fd}, {temp!r}, {idle_s})"
_REPLY_BYTES = 32
_HEAR_SIGNALS_S = 0.5
_IDLE_S = 60.0  # a nursery without a pool ends after so long: it takes 90 MiB
_CLOSED = "the pool of child processes was closed"
_MORE_TIME = "raise page_timeout_s (DOCRAG_PAGE_TIMEOUT_S)"
_MORE_MEMORY = "raise worker_memory_mib (DOCRAG_WORKER_MEMORY_MIB)"


@dataclass(slots=True)
class _Job:
    """One call to make, where its outcome goes, and then the outcome: `value`, or `error`."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    done: queue.SimpleQueue[_Job]
    cancelled: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: Exception | None = None

    def run(self, child: _Child) -> None:
        try:
            self.value = child.run(self.function, self.arguments)
        except Exception as error:  # noqa: BLE001 -- raised again, or handed on, by whoever waits for this job
            self.error = error
        self.done.put(self)

    def give_up(self) -> None:
        self.error = EnvironmentFault(_CLOSED)
        self.done.put(self)

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value

    def result_or_pdf_error(self) -> Any:
        return self.error if isinstance(self.error, PdfError) else self.result()


class GuardedPool:
    """`workers` children that run plain module-level functions, each call for at most `timeout_s` seconds of wall time.

    `memory_mib` limits the private memory of each child (its libraries take about 90 MiB of it) and of each program that it
    starts. Safe to use from several threads at once. The children start with the first task, in 0.5 s; where a pool was closed
    less than a minute before, in 0.02 s.
    """

    def __init__(self, workers: int, timeout_s: float, memory_mib: int) -> None:
        if workers < 1 or timeout_s <= 0 or memory_mib <= 0:
            raise ValueError(f"workers, timeout_s and memory_mib are positive, got {workers}, {timeout_s}, {memory_mib}")
        self.workers = workers
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._processes = _Processes(memory_mib)
        self._open = threading.Lock()  # held while a job is put, so that none comes after the pool was closed
        self._closed = False
        children = [_Child(self._processes, timeout_s, memory_mib) for _ in range(workers)]
        self._threads = [threading.Thread(target=self._work, args=(child,), daemon=True) for child in children]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def call(self, function: Callable[..., Result], *arguments: Any) -> Result:
        """Run `function(*arguments)` in a child and return its value; raises what it raises, PdfCrash or PdfTooLarge."""
        done: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._put(_Job(function, arguments, done))
        return _take(done).result()

    def map(
        self, function: Callable[[Task], Result], tasks: Iterable[Task], ahead: int | None = None
    ) -> Iterator[tuple[Task, Result | PdfError]]:
        """Yield (task, `function(task)` or the PdfError it cost) as they get done, in any order.

        `tasks` is pulled lazily, in the caller's thread: at most `ahead` (by default two a worker) are out at a time, with
        those that are done but not yet taken, so memory stays flat. An exception that is no PdfError is raised here.
        """
        limit = ahead or 2 * self.workers
        done: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        cancelled = threading.Event()
        out = 0
        try:
            for task in tasks:
                self._put(_Job(function, (task,), done, cancelled))
                out += 1
                while out >= limit or not done.empty():
                    out -= 1
                    job = _take(done)
                    yield job.arguments[0], job.result_or_pdf_error()
            for _ in range(out):
                job = _take(done)
                yield job.arguments[0], job.result_or_pdf_error()
        finally:
            cancelled.set()

    def close(self) -> None:
        """End all children; what they were at is lost. Closing twice is allowed."""
        with self._open:
            if self._closed:
                return
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)
        self._processes.close()
        for thread in self._threads:
            thread.join()

    def _put(self, job: _Job) -> None:
        with self._open:
            if self._closed:
                raise EnvironmentFault(_CLOSED)
            self._jobs.put(job)

    def _work(self, child: _Child) -> None:
        while (job := self._jobs.get()) is not None:
            if self._closed or job.cancelled.is_set():
                job.give_up()
            else:
                job.run(child)
        child.forget()


def _take(done: queue.SimpleQueue[_Job]) -> _Job:
    """The next job that is done. In short waits: a Ctrl-C just before a long one would be heard only after it."""
    while True:
        try:
            return done.get(timeout=_HEAR_SIGNALS_S)
        except queue.Empty:
            continue


class _Child:
    """One child process, started when it is needed and again after it was lost. Used by one thread."""

    def __init__(self, processes: _Processes, timeout_s: float, memory_mib: int) -> None:
        self._processes = processes
        self._timeout_s = timeout_s
        self._memory_mib = memory_mib
        self._connection: Connection[Any, Any] | None = None
        self._pid = 0
        self._pid_fd = -1

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if self._connection is not None and wait([self._pid_fd], 0):
            self._lose()  # it died of something else while it had nothing to do
        connection = self._connection or self._start()
        succeeded, value = pickle.loads(self._exchange(connection, (function, arguments)))
        if succeeded:
            return value
        if isinstance(value, MemoryError):
            self._lose()
            raise PdfTooLarge(f"needs more than {self._memory_mib} MiB of memory", _MORE_MEMORY)
        raise value

    def _exchange(self, connection: Connection[Any, Any], request: Any) -> bytes:
        try:
            connection.send(request)
            ready = wait([connection, self._pid_fd], self._timeout_s)
            if not ready:
                self._lose()
                raise PdfCrash(f"took longer than {self._timeout_s:g} s", _MORE_TIME)
            return connection.recv_bytes() if connection.poll() else self._crashed()
        except (EOFError, OSError):
            return self._crashed()

    def _crashed(self) -> bytes:
        exit_code = self._lose()
        if exit_code == -signal.SIGKILL:  # not by us: that is how Linux ends what takes the machine's last memory
            raise PdfTooLarge("the process that read it was killed, probably for lack of memory", _MORE_MEMORY)
        reason = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
        raise PdfCrash(f"the process that read it crashed ({reason})")

    def _start(self) -> Connection[Any, Any]:
        ours, theirs = Pipe()
        with theirs:
            self._pid = self._processes.fork(theirs.fileno())
        self._connection = ours
        self._pid_fd = os.pidfd_open(self._pid)
        return ours

    def _lose(self) -> int:
        """Kill and bury the child; returns its exit code."""
        pid = self._pid
        self.forget()
        return self._processes.end(pid)

    def forget(self) -> None:
        if self._connection is not None:
            self._connection.close()
            os.close(self._pid_fd)
            self._connection = None


class _Processes:
    """The processes of one pool's children."""

    def __init__(self, memory_mib: int) -> None:
        self._memory_mib = memory_mib
        self._lock = threading.Lock()
        self._nursery: _Nursery | None = None
        self._pids: set[int] = set()
        self._closed = False

    def fork(self, connection_fd: int) -> int:
        """The process id of a new one, whose end of its pipe is `connection_fd`."""
        with self._lock:
            pid = self._opened().fork(connection_fd, self._memory_mib)
            self._pids.add(pid)
            return pid

    def end(self, pid: int) -> int:
        """Kill one with all that it started; its exit code."""
        with self._lock:
            nursery = self._opened()
            self._pids.discard(pid)
            return nursery.end(pid)

    def close(self) -> None:
        """End them all; their nursery is there for the next pool."""
        with self._lock:
            self._closed = True
            if self._nursery is None:
                return
            try:
                for pid in self._pids:
                    self._nursery.end(pid)
            except EnvironmentFault:  # it is gone, and they with it
                self._nursery.close()
            else:
                _keep(self._nursery)

    def _opened(self) -> _Nursery:
        if self._closed:
            raise EnvironmentFault(_CLOSED)
        self._nursery = self._nursery or _take_nursery()
        return self._nursery


class _Nursery:
    """The process with the PDF libraries loaded that children are forked from. It serves one pool at a time."""

    def __init__(self) -> None:
        self._made_with = _inherited()
        self._temp_folder = tempfile.mkdtemp(prefix="docrag-")  # of its own: a killed Tesseract leaves its files
        one_thread = {"OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            fd = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-c", _START.format(path=sys.path, fd=fd, temp=self._temp_folder, idle_s=_IDLE_S)],
                pass_fds=[fd],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={**os.environ, **one_thread, "TMPDIR": self._temp_folder},
                start_new_session=True,  # Ctrl-C on the terminal is the parent's
            )

    def fork(self, connection_fd: int, memory_mib: int) -> int:
        return self._ask(FORK + str(memory_mib).encode(), [connection_fd])

    def end(self, pid: int) -> int:
        return self._ask(END + str(pid).encode())

    def is_as_new(self) -> bool:
        """Whether it is still there, and one that were started now would be the same."""
        if self._made_with != _inherited():
            return False
        try:
            self._ask(HELLO)
        except EnvironmentFault:
            return False
        return True

    def close(self) -> None:
        """End it; a copy of this process that was forked lets go of it."""
        self._control.close()
        if self._made_with[0] == os.getpid():
            self._process.wait()
            shutil.rmtree(self._temp_folder, ignore_errors=True)

    def _ask(self, request: bytes, fds: Iterable[int] = ()) -> int:
        try:
            socket.send_fds(self._control, [request], list(fds))
            reply = self._control.recv(_REPLY_BYTES)
        except OSError:
            reply = b""
        if not reply:
            raise EnvironmentFault(
                "the process that starts the PDF readers ended", "its last words are above; was memory short?"
            )
        return int(reply)


def _inherited() -> tuple[object, ...]:
    """What a nursery takes over from this process, and which process it is."""
    try:
        folder = str(Path.cwd())
    except OSError:  # it is gone
        folder = ""
    return os.getpid(), folder, list(sys.path), dict(os.environ)


_spare: list[_Nursery] = []
"""The nursery of the pool that was closed last. Starting one takes 0.5 s, which a question would wait for."""


def _take_nursery() -> _Nursery:
    with contextlib.suppress(IndexError):
        while True:
            nursery = _spare.pop()
            if nursery.is_as_new():
                return nursery
            nursery.close()
    return _Nursery()


def _keep(nursery: _Nursery) -> None:
    _spare.append(nursery)
    _end_spares(1)


def _end_spares(but: int = 0) -> None:
    with contextlib.suppress(IndexError):  # another thread took it
        while len(_spare) > but:
            _spare.pop(0).close()


atexit.register(_end_spares)
