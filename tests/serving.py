"""Servers for the readers' tests: the real `transformers serve`, and one that answers as a test tells it to."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

START_S = 120.0


@contextmanager
def transformers_serve(folder: Path, scratch: Path) -> Generator[Callable[[], str]]:
    """Serve the model in `folder`; gives what waits until that is so, which takes 15 s, and returns the base URL.

    Asks no hub: its cache is an empty folder under `scratch`.
    """
    port = free_port()
    (scratch / "hub").mkdir(parents=True, exist_ok=True)
    env = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(scratch),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    program = str(Path(sys.executable).with_name("transformers"))
    command = [program, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (scratch / "server.log").open("wb") as log:
        server = subprocess.Popen([*command, "--dtype", "float32"], env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield lambda: _wait(server, f"http://127.0.0.1:{port}", scratch / "server.log")
    finally:
        server.kill()
        server.wait()


def serve_stand_in(folder: Path, port: int = 0) -> tuple[subprocess.Popen[str], str]:
    """docrag's stand-in for a Qdrant server on `folder`, as a process for the test to kill; and its URL."""
    command = [sys.executable, "-m", "docrag.testing.qdrant_server", str(folder), "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def _wait(server: subprocess.Popen[bytes], address: str, log: Path) -> str:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return f"{address}/v1"
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise RuntimeError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(slots=True)
class Reply:
    """What the told server does with one request: status, headers, body; or `act`, given the handler, for what is no reply."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    act: Callable[[BaseHTTPRequestHandler], None] | None = None


@dataclass(slots=True)
class ToldServer:
    """A real HTTP server that gives `replies` in order, the last one for ever; it keeps what it was sent, and when."""

    url: str
    replies: list[Reply]
    requests: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    times: list[float] = field(default_factory=list[float])
    keys: list[str] = field(default_factory=list[str])


@contextmanager
def told_server(*replies: Reply) -> Generator[ToldServer]:
    told = ToldServer("", list(replies))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            told.times.append(time.monotonic())
            told.keys.append(self.headers.get("Authorization", ""))
            told.requests.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            reply = told.replies.pop(0) if len(told.replies) > 1 else told.replies[0]
            if reply.act is not None:
                reply.act(self)
                return
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chat_reply(text: str, finish: str = "stop", prompt_tokens: int = 7, completion_tokens: int = 3) -> Reply:
    """A chat completion as OpenAI writes it."""
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return Reply(body=json.dumps(whole).encode())


def error_reply(status: int, message: str, code: str = "", **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "error", "code": code or None}}).encode()
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def stream_reply(*pieces: str, done: bool = True, cut: bool = False) -> Reply:
    """A streamed completion; without `done` it ends early but politely, with `cut` the connection breaks after the pieces."""

    def act(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for piece in pieces:
            _send_event(handler, _chunk({"content": piece}, None))
        if cut:
            handler.close_connection = True
            return
        if done:
            _send_event(handler, _chunk({}, "stop"))
            usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
            _send_event(handler, json.dumps({**json.loads(_chunk({}, None)), "choices": [], "usage": usage}))
            _send_event(handler, "[DONE]")
        handler.wfile.write(b"0\r\n\r\n")

    return Reply(act=act)


def break_off(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def _chunk(delta: dict[str, str], finish: str | None) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


def _send_event(handler: BaseHTTPRequestHandler, data: str) -> None:
    event = f"data: {data}\n\n".encode()
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))
    handler.wfile.flush()
