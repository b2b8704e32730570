"""A small stand-in for a Qdrant server, for tests: the REST calls that docrag makes, answered from Qdrant Edge shards.

    with QdrantStandIn(folder) as server:
        index = LibraryIndex.create(f"{server.url}/library", settings)

or as a process of its own, that can be killed and started again on the same folder:

    python -m docrag.testing.qdrant_server FOLDER --port 6333

Several processes can write to one index through it at once, which Edge alone does not allow. What it is not: a Qdrant server.
It does one thing at a time and is many times slower; it has no clusters, replicas, snapshots, keys, gRPC or TLS, and no
optimizer that works in the background; of the REST API it knows what docrag uses, and refuses the rest with status 501. The
texts and codes of its refusals are written after Qdrant's. What passes here is to be tried on a real server too, which the
same tests do where DOCRAG_TEST_QDRANT_URL names one.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self
from urllib.parse import unquote, urlsplit

from docrag.testing.edge_rest import RestError
from docrag.testing.qdrant_collections import FULL, Collections, is_write

VERSION = "1.20.0"
MAX_REQUEST_BYTES = 32 * 2**20


@dataclass(slots=True)
class Trouble:
    """What goes wrong, for as long as it is set; a count goes down by one each time it strikes.

    `refuse_writes` refuses that many writes with `status` and `text`; `lose_requests` closes the connection before a request
    is looked at, `lose_answers` after it was done, so that the client can't know; with `is_full` no write has room; each
    answer waits `delay_s`.
    """

    refuse_writes: int = 0
    status: int = 503
    text: str = "Shard temporarily unavailable: told to refuse"
    lose_requests: int = 0
    lose_answers: int = 0
    is_full: bool = False
    delay_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def strikes(self, count: str) -> bool:
        """Whether the trouble with this name strikes now, once less from then on."""
        with self._lock:
            left: int = getattr(self, count)
            if left > 0:
                setattr(self, count, left - 1)
            return left > 0


class _Server(ThreadingHTTPServer):
    """One thread a connection. Connections are kept so that stopping ends them, as a server's death would."""

    request_queue_size = 128

    def __init__(self, port: int, collections: Collections, trouble: Trouble) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.collections = collections
        self.trouble = trouble
        self.connections: set[socket.socket] = set()

    def hang_up(self) -> None:
        for connection in list(self.connections):
            with contextlib.suppress(OSError):  # it may be gone already
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        with contextlib.suppress(OSError):  # the other side is gone
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # as above
            super().handle()

    def answer(self) -> None:
        trouble = self.server.trouble
        begun = time.monotonic()
        body = self._read()
        time.sleep(trouble.delay_s)
        if trouble.strikes("lose_requests"):
            self.close_connection = True
            return
        status, reply = self._reply(body)
        if trouble.strikes("lose_answers"):
            self.close_connection = True
            return
        self._send(status, {**reply, "time": time.monotonic() - begun})

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 -- the names that http.server calls

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: a test's output is for what fails."""

    def _read(self) -> bytes | int:
        """The request's body; its size where it is over the limit."""
        size = int(self.headers.get("Content-Length", 0))
        if size <= MAX_REQUEST_BYTES:
            return self.rfile.read(size)
        left = size
        while left > 0:
            left -= len(self.rfile.read(min(left, 2**20))) or left
        return size

    def _reply(self, body: bytes | int) -> tuple[int, dict[str, Any]]:
        path = unquote(urlsplit(self.path).path).rstrip("/")
        if not path:
            return 200, {"title": "docrag's stand-in for qdrant", "version": VERSION}
        try:
            return 200, {"result": self._result(path, body), "status": "ok"}
        except RestError as error:
            return error.status, {"status": {"error": error.text}}

    def _result(self, path: str, body: bytes | int) -> Any:
        if isinstance(body, int):
            text = f"JSON payload ({body} bytes) is larger than allowed (limit: {MAX_REQUEST_BYTES} bytes)."
            raise RestError(400, f"Payload error: {text}")
        if is_write(self.command, path):
            self._strike()
        return self.server.collections.answer(self.command, path, _parse(body), len(body))

    def _strike(self) -> None:
        trouble = self.server.trouble
        if trouble.is_full:
            raise RestError(500, FULL)
        if trouble.strikes("refuse_writes"):
            raise RestError(trouble.status, trouble.text)

    def _send(self, status: int, reply: Mapping[str, Any]) -> None:
        content = json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        if status == 429:
            self.send_header("Retry-After", "1")
        self.end_headers()
        self.wfile.write(content)


def _parse(body: bytes) -> dict[str, Any]:
    try:
        return json.loads(body, parse_constant=_no_number) if body else {}
    except ValueError as error:
        raise RestError(400, f"Format error in JSON body: {error}") from error


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


class QdrantStandIn:
    """The stand-in in this process, on a folder of its own; a context manager. `port` 0 takes any that is free.

    `trouble` is for tests of what docrag does when the server fails. Raises OSError where the port is taken.
    """

    def __init__(self, folder: Path | str, port: int = 0) -> None:
        self.folder = Path(folder)
        self.port = port
        self.trouble = Trouble()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen, on the same port as before where it was stopped."""
        self._server = _Server(self.port, Collections(self.folder), self.trouble)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End all connections and unlock the folder. Stopping twice is no error."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        self._thread.join()
        server.server_close()
        server.hang_up()
        server.collections.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()


def main(arguments: list[str] | None = None) -> None:
    """Serve until SIGTERM or Ctrl-C; the first line on stdout is the URL, written once it is served."""
    parser = argparse.ArgumentParser(prog="python -m docrag.testing.qdrant_server", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the collections lie")
    parser.add_argument("--port", type=int, default=6333, help="0 takes any that is free")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, _stop)
    with QdrantStandIn(options.folder, options.port) as server, contextlib.suppress(KeyboardInterrupt):
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        threading.Event().wait()


def _stop(signal_number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
