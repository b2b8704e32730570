"""The far side of `guard`: a nursery that has the PDF libraries loaded, and the limited children that it forks.

The nursery is started as `python -c "from docrag.ingest.guard_child import main; main(...)"`, never by re-importing the
caller's `__main__`: so a script without an `if __name__ == "__main__"` guard, standard input and a notebook all work. It runs
nothing of a PDF itself. It does not reap a dead child before it was told to, so a process id that its parent
holds is never somebody else's.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import pickle
import resource
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Generator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

NICENESS = 10  # one busy worker at nice 0 cuts encoding to a third, at nice 10 to nine tenths
FORK, END, HELLO = b"F", b"E", b"H"
# What most calls need: loaded once, and there in every child.
_PRELOADED = ("pymupdf", "pytesseract", "docrag.ingest.read", "docrag.ingest.render")
# Loaded by those if present, and of no use here: 0.1 to 0.3 s and up to 60 MiB each.
_NOT_NEEDED = ("pymupdf.layout", "pymupdf4llm", "pandas")
_PR_SET_PDEATHSIG = 1
_MESSAGE = 16


def main(control_fd: int, temp_folder: str, idle_s: float) -> None:
    """Serve requests on the socket `control_fd` until the other side is gone, or asks for nothing for `idle_s` seconds while
    there are no children; then leave none behind.

    FORK with a limit of memory in MiB, and the child's end of its pipe: the process id. END with a process id: the exit code.
    HELLO: 0.
    """
    parent = os.getppid()
    children: set[int] = set()
    with socket.socket(fileno=control_fd) as control:
        try:
            _preload()
            while _readable(control, parent, float("inf") if children else idle_s):
                request, fds, _, _ = socket.recv_fds(control, _MESSAGE, 1)
                if not request:
                    break
                kind, number = request[:1], int(request[1:] or 0)
                answer = 0
                if kind == FORK:
                    answer = _fork(control, fds[0], number, temp_folder)
                    children.add(answer)
                elif kind == END:
                    children.discard(number)
                    answer = _end(number, temp_folder)
                control.send(str(answer).encode())
        finally:
            for pid in children:
                _end(pid, temp_folder)
            shutil.rmtree(temp_folder, ignore_errors=True)
    os._exit(0)  # the parent waits, and taking the libraries down in order takes 0.2 s


def _preload() -> None:
    with only_what_is_needed():
        for name in _PRELOADED:
            importlib.import_module(name)


@contextlib.contextmanager
def only_what_is_needed() -> Generator[None]:
    """While PDF libraries are imported, and nothing else in any thread: keep from them what they would load for nothing."""
    hidden = [name for name in _NOT_NEEDED if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the import system's own way to say "not to be had"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def _readable(control: socket.socket, parent: int, within_s: float) -> bool:
    """Wait for a request; False when the parent is gone, even where another process still holds its end of the socket."""
    until = time.monotonic() + within_s
    while os.getppid() == parent and (left := until - time.monotonic()) > 0:
        if select.select([control], [], [], min(left, 1.0))[0]:
            return True
    return False


def _end(pid: int, temp_folder: str) -> int:
    """Kill the child with all that it started, and return its exit code (-9 for SIGKILL, -11 for a segmentation fault)."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)  # it may not have reached its own group yet
    exit_code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    shutil.rmtree(_folder_of(pid, temp_folder), ignore_errors=True)
    return exit_code


def _folder_of(pid: int, temp_folder: str) -> Path:
    return Path(temp_folder, str(pid))


def _fork(control: socket.socket, connection_fd: int, memory_mib: int, temp_folder: str) -> int:
    pid = os.fork()
    if pid:
        os.close(connection_fd)
        return pid
    exit_code = 1
    try:
        control.detach()
        own_folder = _folder_of(os.getpid(), temp_folder)
        own_folder.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(own_folder)
        _limit(memory_mib)
        with Connection(connection_fd) as connection:
            _serve(connection)
        exit_code = 0
    finally:
        os._exit(exit_code)


def _limit(memory_mib: int) -> None:
    os.setpgid(0, 0)
    nursery = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != nursery:  # it died before the signal was asked for
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (memory_mib << 20, memory_mib << 20))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(nowhere, fd)


def _serve(connection: Connection) -> None:
    while True:
        try:
            function, arguments = connection.recv()
        except EOFError:
            return
        connection.send_bytes(_run(function, arguments))
        del function, arguments


def _run(function: Any, arguments: tuple[Any, ...]) -> bytes:
    """The pickled (True, value) or (False, exception) of one call."""
    try:
        return pickle.dumps((True, function(*arguments)), protocol=pickle.HIGHEST_PROTOCOL)
    except Exception as error:  # noqa: BLE001 -- whatever it is, it belongs to the caller
        return _pickled_error(error)


def _pickled_error(error: Exception) -> bytes:
    where = traceback.format_exc()
    error.__traceback__ = None
    error.add_note(f"in a guarded child process:\n{where}")
    try:
        pickled = pickle.dumps((False, error))
        pickle.loads(pickled)
    except Exception:  # noqa: BLE001 -- an exception class may fail in any way when it is taken apart and rebuilt
        return pickle.dumps((False, RuntimeError(where)))
    return pickled
