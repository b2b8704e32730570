"""One ingest in a process of its own, on Ray or on this machine, for the benchmarks that kill, time or watch it.

    python -m bench.ray_driver FOLDER --index I [--blobs B] [--address A] [--here] [--encoder minilm|hash|null] [--workers N]
                               [--watch-s S]

`--here` is the run without Ray, with its encoder loaded before the clock starts. Prints one JSON object: the report, and on Ray
how long it took after the first page was read and after the first was written, and what the desk was busy with. Exit code as
`docrag ingest`'s: 0, 1 where a document or page failed, 2 where the run stopped and can be taken up again; else it is a bug.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from docrag.config import Config
from docrag.errors import DocragError
from docrag.index.encoders import MiniLM, TextEncoder, minilm_fingerprint
from docrag.index.lease import hold_lease
from docrag.index.library_index import LibraryIndex
from docrag.index.records import IndexSettings, LaneFingerprint, ReadSettings
from docrag.ingest.cluster.registrar import Registrar
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.run_local import BATCH_WORDS, Encoders, ingest
from docrag.ingest.stages import TEXT_VERSION, lane_fingerprints
from docrag.testing import HashEncoder
from docrag.types import IngestReport

BUG = 70  # the exit code of a run that ended in a way that it should not


class NullEncoder:
    """A `TextEncoder` that costs nothing: every text has the same vector of length 1."""

    @property
    def fingerprint(self) -> LaneFingerprint:
        return minilm_fingerprint("float32")

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.full((len(texts), 384), 384**-0.5, np.float32)

    def count_tokens(self, text: str) -> int:
        return len(text.split())


_ENCODERS: dict[str, Callable[[], TextEncoder]] = {
    "minilm": functools.partial(MiniLM, "auto"),
    "hash": HashEncoder,
    "null": NullEncoder,
}


def main() -> None:
    arguments = _arguments()
    try:
        found = _here(arguments) if arguments.here else _on_ray(arguments)
    except DocragError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(2)
    except Exception:  # noqa: BLE001 -- Python's own exit code for it, 1, says that the run finished
        traceback.print_exc()
        sys.exit(BUG)
    print(json.dumps(found))
    sys.exit(1 if found["failures"] else 0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--index", required=True)
    parser.add_argument("--blobs", help="where an index that is made keeps its PDFs")
    parser.add_argument("--address", default="", help="of a Ray cluster (default: one is started here, and ends with the run)")
    parser.add_argument("--here", action="store_true", help="without Ray")
    parser.add_argument("--encoder", choices=tuple(_ENCODERS), default="hash")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--watch-s", type=float, default=0.0, help="seconds between two looks at the memory (0: none)")
    return parser.parse_args()


def settings_of(blobs: str | None) -> IndexSettings:
    """Of an index that all encoders here may write to, whose pages are read without OCR."""
    return IndexSettings(lane_fingerprints("float32"), ReadSettings("never", "eng", 150, TEXT_VERSION), blobs)


def _here(arguments: argparse.Namespace) -> dict[str, Any]:
    begin = time.perf_counter()
    encoder = _ENCODERS[arguments.encoder]()
    if isinstance(encoder, MiniLM):
        encoder.load(BATCH_WORDS)
    load_s = time.perf_counter() - begin
    config = Config(ocr="never", workers=arguments.workers)
    with LibraryIndex.open_or_create(arguments.index, settings_of(arguments.blobs)) as index:
        report = ingest(index, Encoders(lambda: encoder), [arguments.folder], config, IngestOptions())
    return {**report.to_json(), "load_seconds": load_s}


def _on_ray(arguments: argparse.Namespace) -> dict[str, Any]:
    with LibraryIndex.open_or_create(arguments.index, settings_of(arguments.blobs)) as index:
        blobs_url = index.blobs.url
    with tempfile.TemporaryDirectory(prefix="docrag-bench-") as made, _Watch(arguments.watch_s) as watch:
        notes = Path(made) / "desk.json"
        with hold_lease(arguments.index, "an ingest") as lease:
            report = _ray_ingest(arguments, blobs_url, lease.holder, notes)
        return {**report.to_json(), **json.loads(notes.read_text()), "memory": watch.seen}


def _ray_ingest(arguments: argparse.Namespace, blobs_url: str, holder: str, notes: Path) -> IngestReport:
    from docrag.ingest import run_ray
    from docrag.ingest.cluster.stages import Job

    config = Config(ocr="never", workers=arguments.workers)
    run_ray.Registrar = _timed_desk(str(notes))
    return run_ray.ingest_on_ray(
        Job(arguments.index, blobs_url, config, holder=holder),
        _ENCODERS[arguments.encoder],
        [arguments.folder],
        IngestOptions(),
        address=arguments.address,
    )


def _timed_desk(notes: str) -> type[Registrar]:
    """The desk, which leaves in the file `notes` what it was busy with and when, in seconds."""

    class TimedRegistrar(Registrar):
        def __init__(self, *arguments: Any) -> None:
            self.busy: Counter[str] = Counter()
            self.calls: Counter[str] = Counter()
            self.first: dict[str, tuple[float, Mapping[str, int]]] = {}  # when it came, the pages of each stage by then
            super().__init__(*arguments)

    def timed(name: str) -> Callable[..., Any]:
        inner = getattr(Registrar, name)

        def call(desk: TimedRegistrar, *arguments: Any) -> Any:
            begin = time.perf_counter()
            value = inner(desk, *arguments)
            desk.busy[name] += time.perf_counter() - begin
            desk.calls[name] += 1
            if name == "note_read":
                desk.first.setdefault("page", (time.time(), {}))
            if name == "note_written":
                desk.first.setdefault("write", (time.time(), desk.counts().passed))
            if name == "report":
                _leave(desk)
            return value

        return call

    def _leave(desk: TimedRegistrar) -> None:
        now = time.time()
        read_at, _ = desk.first.get("page", (now, {}))
        written_at, by_then = desk.first.get("write", (now, {}))
        busy = {name: round(seconds, 3) for name, seconds in desk.busy.items()}
        told = {
            "after_first_page_s": now - read_at,
            "after_first_write_s": now - written_at,
            "pages_by_then": {"read": by_then.get("read", 0), "encoded": by_then.get("encode", 0)},
            "desk_s": busy,
            "calls": desk.calls,
        }
        Path(notes).write_text(json.dumps(told), encoding="utf-8")

    for name, value in vars(Registrar).items():
        if callable(value) and not name.startswith("_"):
            setattr(TimedRegistrar, name, timed(name))
    return TimedRegistrar


class _Watch:
    """The peaks of what the driver and the desk hold in memory and of what lies in Ray's object store, while it is on."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.seen: dict[str, list[float]] = {"driver_mib": [], "desk_mib": [], "store_mib": []}

    def __enter__(self) -> _Watch:
        if self._every_s:
            self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()

    def _look(self) -> None:
        import ray

        me, desk = psutil.Process(), None
        while not self._over.wait(self._every_s):
            if not ray.is_initialized():
                continue
            desk = desk or _desk_process()
            held = [_own(me), _own(desk), _in_store()]
            for seen, size in zip(self.seen.values(), held, strict=True):
                seen.append(round(size / 2**20, 1))


def _desk_process() -> psutil.Process | None:
    found = psutil.process_iter(["cmdline"])
    return next(
        (process for process in found if " ".join(process.info["cmdline"] or ()).startswith("ray::TimedRegistrar")), None
    )


def _own(process: psutil.Process | None) -> float:
    """Bytes that a process holds by itself, what it maps of the object store and of libraries left out."""
    try:
        memory = process.memory_info() if process is not None else None
    except psutil.Error:  # it ended meanwhile
        memory = None
    return memory.rss - memory.shared if memory is not None else 0.0


def _in_store() -> float:
    """Bytes in the object stores of the cluster, by its own account."""
    import ray

    name = "object_store_memory"
    return ray.cluster_resources().get(name, 0.0) - ray.available_resources().get(name, 0.0)


if __name__ == "__main__":
    main()
