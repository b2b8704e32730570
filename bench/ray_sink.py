"""Page records through the sink of a run on Ray: how many a second, in what memory, and where the time goes.

    python -m bench.ray_sink [--pages 100000] [--pages-a-document 1000] [--writers 2] [--json]

The pages are made up (300 words and 5 passages each, of constant vectors) and the blocks are made while they are written, at
a small cost; what is measured is the rest: taking blocks apart, making requests of them, sending, the server, completing
documents. The server is docrag's stand-in: one process that does one thing at a time, in Python around Qdrant's engine. So
what the writers spend by themselves holds for a real server too; the server's own part, and so the pages a second of all
together, does not: a real one parses requests in parallel, in Rust. The engine alone is measured beside it, in a folder.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa

from bench.common import table
from bench.kill import MARK
from bench.ray_account import watch_writing
from bench.ray_cluster import StandIn, own_ray
from bench.ray_driver import NullEncoder, settings_of
from docrag.config import Config
from docrag.index.library_index import LibraryIndex
from docrag.index.records import LaneFingerprint
from docrag.index.store import VISUAL
from docrag.ingest.cluster.rows import ENCODED, add_vectors, chunks_table, pages_table, read_chunk_rows
from docrag.ingest.cluster.stages import Job, WritePages
from docrag.ingest.ledger import IngestOptions, Ledger
from docrag.ingest.sources import SourceFile
from docrag.ingest.stages import encode_pages
from docrag.types import DocumentRef, PageContent, PageRef, Region
from docrag.visual import PageVisual, PatchBlock, PatchLayout

PAGES, DOCUMENT_PAGES, WRITERS = 100_000, 1_000, 2
BLOCK_PAGES = 64  # as many as an encoder gives at once
WORDS, PASSAGES = 300, 5
VISUAL_PAGES, VISUAL_VECTORS, VISUAL_POOLED_VECTORS, VISUAL_DIM = 64, 750, 64, 128  # as of ColQwen2.5
SAMPLE_S = 1.0
ENGINE_PAGES = 5_000  # that are written to a folder, to have the engine alone
_STORE_BYTES = 200 * 2**20
_HOLDERS = {"ray::Registrar": "desk", "ray::Write": "a writer"}  # by what Ray calls their processes


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--pages", type=int, default=PAGES, metavar="N")
    made.add_argument("--pages-a-document", type=int, default=DOCUMENT_PAGES, metavar="N")
    made.add_argument("--writers", type=int, default=WRITERS, metavar="N")
    made.add_argument("--json", action="store_true")
    arguments = made.parse_args()
    result = measure(arguments.pages, arguments.pages_a_document, arguments.writers)
    print(json.dumps(result) if arguments.json else to_markdown(result))


def measure(pages: int, pages_a_document: int = DOCUMENT_PAGES, writers: int = WRITERS) -> dict[str, Any]:
    documents = [_document(number, pages_a_document) for number in range(max(1, pages // pages_a_document))]
    with (
        own_ray() as mark,
        tempfile.TemporaryDirectory(prefix="docrag-bench-") as made,
        StandIn(Path(made) / "qdrant") as server,
    ):
        place, location = Path(made), f"{server.url}/library"
        job = Job(location, str(place / "blobs"), Config(ocr="never"), run_id=mark)
        LibraryIndex.create(location, settings_of(job.blobs_url)).close()
        with _Memory({"stand-in": server.pid}) as memory:
            found = _on_ray(job, documents, writers, place)
        with LibraryIndex.open(location) as index:
            recorded = sum(record.document.pages for record in index.documents())
            whole = server.count("library_pages") == recorded == len(documents) * pages_a_document
            visual = _visual(index, documents[0])
        return {
            "pages": len(documents) * pages_a_document,
            "documents": len(documents),
            "writers": writers,
            **found,
            "memory_mib": memory.peaks,
            "first_third_mib": memory.first_third,
            "visual": visual,
            "engine_alone": _engine_alone(place / "alone", min(pages, ENGINE_PAGES)),
            "load": os.getloadavg()[0],
            "differences": [] if whole else ["not all pages are there, or on record"],
        }


def _document(number: int, pages: int) -> DocumentRef:
    return DocumentRef(hashlib.sha256(str(number).encode()).hexdigest(), pages, f"Document {number}")


def _source(document: DocumentRef) -> SourceFile:
    return SourceFile(f"/library/{document.sha256[:16]}.pdf", 1000, "1")


class _Blocks:
    """Blocks of encoded pages: one is encoded, the others are it with another document and other page numbers."""

    def __init__(self) -> None:
        document = _document(-1, 1)
        content = _content(document)
        made = pages_table([(document, content)])
        self._row = add_vectors(made, encode_pages([content], NullEncoder())).to_pylist()[0]
        self._payload: dict[str, Any] = json.loads(self._row["payload"])

    def __call__(self, chunk: pa.Table) -> pa.Table:
        rows = [self._page(document, index) for document, indices in read_chunk_rows(chunk) for index in indices]
        return pa.Table.from_pylist(rows, ENCODED)

    def _page(self, document: DocumentRef, index: int) -> dict[str, Any]:
        payload = {**self._payload, "document": document.sha256, "page_index": index}
        named = {"document": document.sha256, "pages": document.pages, "title": document.title, "page_index": index}
        return {**self._row, **named, "payload": json.dumps(payload).encode()}


def _content(document: DocumentRef) -> PageContent:
    words = [f"word{at % 97}" for at in range(WORDS)]
    boxes = np.asarray(
        [[10.0 * (at % 50), 12.0 * (at // 50), 10.0 * (at % 50) + 9, 12.0 * (at // 50) + 10] for at in range(WORDS)]
    )
    step = WORDS // PASSAGES
    passages = tuple(Region(at, at + step, "text", (0, 0, 500, 100)) for at in range(0, WORDS, step))
    return PageContent(PageRef(document, 0, "1"), 595.0, 842.0, " ".join(words), boxes.astype(np.float32), "layer", passages)


def _chunks(documents: Iterable[DocumentRef]) -> Iterator[tuple[DocumentRef, range]]:
    for document in documents:
        for start in range(0, document.pages, BLOCK_PAGES):
            yield document, range(start, min(start + BLOCK_PAGES, document.pages))


def _on_ray(job: Job, documents: list[DocumentRef], writers: int, place: Path) -> dict[str, Any]:
    import ray
    import ray.data
    from ray.data import TaskPoolStrategy

    from docrag.ingest.cluster.registrar import Registrar

    quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": logging.ERROR}
    ray.init(num_cpus=writers + 1, object_store_memory=_STORE_BYTES, **quiet)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        desk = ray.remote(Registrar).options(num_cpus=0).remote(job, IngestOptions())
        begin = time.perf_counter()
        ray.get([desk.admit.remote(_source(document), document) for document in documents])
        admitted_s = time.perf_counter() - begin
        blocks = [chunks_table([chunk], BLOCK_PAGES) for chunk in _chunks(documents)]
        data = ray.data.from_arrow(blocks).map_batches(
            _Blocks(), batch_format="pyarrow", batch_size=1, num_cpus=0.5, compute=TaskPoolStrategy(writers)
        )
        data.write_datasink(_timed_sink(place)(job, desk), ray_remote_args={"num_cpus": 0.9}, concurrency=writers)
        return {"admit_s": round(admitted_s, 2), **_told(place)}
    finally:
        ray.shutdown()


def _told(place: Path) -> dict[str, Any]:
    """What the writers noted, a line a block."""
    lines = [json.loads(line) for path in place.glob("sink-*.jsonl") for line in path.read_text().splitlines()]
    spent: Counter[str] = Counter()
    for line in lines:
        spent.update(line["spent"])
    pages = sum(line["pages"] for line in lines)
    took_s = max(line["end"] for line in lines) - min(line["begin"] for line in lines)
    return {
        "seconds": round(took_s, 1),
        "pages_per_second": round(pages / took_s, 1),
        "ms_a_page": {name: round(1000 * seconds / pages, 3) for name, seconds in spent.most_common()},
        "writers_cpu_ms_a_page": round(1000 * sum(line["cpu"] for line in lines) / pages, 3),
        "writers_busy": round(sum(spent.values()) / took_s, 2),
    }


def _timed_sink(place: Path) -> type:
    """The sink, which notes for each block what its time went to."""
    from docrag.ingest.cluster.actors import IndexDatasink

    folder = str(place)

    class TimedSink(IndexDatasink):
        def write(self, blocks: Iterable[pa.Table], ctx: Any) -> int:
            written = 0
            for block in blocks:
                begin, cpu = time.time(), time.process_time()
                with watch_writing() as spent:
                    pages = super().write([block], ctx)
                cpu = time.process_time() - cpu
                line = {"begin": begin, "end": time.time(), "pages": pages, "cpu": cpu, "pid": os.getpid(), "spent": spent}
                with (Path(folder) / f"sink-{os.getpid()}.jsonl").open("a") as file:
                    file.write(json.dumps(line) + "\n")
                written += pages
            return written

    return TimedSink


def _visual(index: LibraryIndex, document: DocumentRef) -> dict[str, float]:
    """What one writer takes for the visual vectors of a page, full and pooled, of the size that ColQwen2.5's are."""
    lane = LaneFingerprint(VISUAL, "bench", "1", "1", "float32", {"dim": VISUAL_DIM, "quantization": "none"})
    index.add_visual(lane, "bench", VISUAL_DIM, VISUAL_VECTORS)
    rows = np.random.default_rng(0).normal(size=(VISUAL_VECTORS, VISUAL_DIM))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    layout = PatchLayout((700, 1000), 1.0, (PatchBlock(0, VISUAL_VECTORS, 1, (0, 0, 1, 1)),))
    looks = [PageVisual(PageRef(document, at), rows, rows[:VISUAL_POOLED_VECTORS], layout) for at in range(VISUAL_PAGES)]
    begin, cpu = time.perf_counter(), time.process_time()
    with watch_writing() as spent:
        for at in range(0, VISUAL_PAGES, 8):
            index.write_visual(looks[at : at + 8])
    cpu, took_s = time.process_time() - cpu, time.perf_counter() - begin
    served_s = spent["the server (the stand-in)"]
    sizes = {"cpu": cpu, "server": served_s, "in_all": took_s}
    return {"pages": VISUAL_PAGES, **{name: round(1000 * seconds / VISUAL_PAGES, 2) for name, seconds in sizes.items()}}


def _engine_alone(folder: Path, pages: int) -> dict[str, float]:
    """The same blocks written into a folder by this process: taking apart, and the engine without a server."""
    document = _document(0, pages)
    blocks = [_Blocks()(chunks_table([chunk], BLOCK_PAGES)) for chunk in _chunks([document])]
    with LibraryIndex.create(str(folder), settings_of(None)) as index:
        ledger = Ledger(index, Config(ocr="never"), IngestOptions())
        ledger.admit(_source(document), document)
        desk: Any = _Alone(ledger)
        write = WritePages(index, desk)
        begin = time.perf_counter()
        for block in blocks:
            write(block)
        seconds = time.perf_counter() - begin
    return {"pages": pages, "pages_per_second": round(pages / seconds, 1)}


class _Alone:
    """A desk in the same process, for the writer alone."""

    def __init__(self, ledger: Ledger) -> None:
        self.note_written, self.finish = ledger.note_written, ledger.finish


class _Memory:
    """The peaks of what the stand-in, this process, the desk and the writers hold alone (USS, MiB), while it is on."""

    def __init__(self, known: dict[str, int]) -> None:
        self._known = {**known, "driver": os.getpid()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._seen: list[dict[str, float]] = []

    def __enter__(self) -> _Memory:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def peaks(self) -> dict[str, float]:
        return _peaks(self._seen)

    @property
    def first_third(self) -> dict[str, float]:
        """Their peaks in the first third of the time: level where memory does not grow with the pages."""
        return _peaks(self._seen[: max(1, len(self._seen) // 3)])

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_S):
            now = {name: _uss_mib(psutil.Process(pid)) for name, pid in self._known.items()}
            for process in psutil.process_iter(["cmdline"]):
                name = _name(process)
                if name:
                    now[name] = max(now.get(name, 0.0), _uss_mib(process))
            self._seen.append(now)


def _name(process: psutil.Process) -> str:
    told = " ".join(process.info["cmdline"] or ())
    name = next((name for start, name in _HOLDERS.items() if told.startswith(start)), "")
    try:
        return name if name and process.environ().get(MARK) == os.environ.get(MARK) else ""
    except psutil.Error:  # it ended meanwhile
        return ""


def _uss_mib(process: psutil.Process) -> float:
    """Without what it shares with others: libraries, and Ray's object store."""
    try:
        return process.memory_full_info().uss / 2**20
    except psutil.Error:  # it ended meanwhile
        return 0.0


def _peaks(seen: Iterable[dict[str, float]]) -> dict[str, float]:
    peaks: dict[str, float] = {}
    for now in seen:
        for name, size in now.items():
            peaks[name] = max(peaks.get(name, 0.0), round(size))
    return peaks


def to_markdown(result: dict[str, Any]) -> str:
    engine, cpu_ms = result["engine_alone"]["pages_per_second"], result["writers_cpu_ms_a_page"]
    told = (
        f"{result['pages']:,} pages of {result['documents']:,} documents by {result['writers']} writers into the stand-in: "
        f"{result['seconds']:.0f} s, {result['pages_per_second']:.0f} pages/s (admitting the documents before: "
        f"{result['admit_s']:.1f} s). On average {result['writers_busy']:.1f} writers were busy; they take "
        f"{cpu_ms:.2f} ms of CPU a page. The engine alone, in a folder: "
        f"{engine:.0f} pages/s. Load of the machine at the end: {result['load']:.1f}."
    )
    spent = table(("of the writers' time, a page", "ms"), ((name, f"{ms:.2f}") for name, ms in result["ms_a_page"].items()))
    first = result["first_third_mib"]
    memory = ((name, size, first.get(name)) for name, size in result["memory_mib"].items())
    held = table(("memory of its own (USS), MiB", "peak", "peak in the first third"), memory)
    visual = result["visual"]
    looks = (
        f"Visual vectors of {visual['pages']} pages ({VISUAL_VECTORS} x {VISUAL_DIM} and {VISUAL_POOLED_VECTORS} pooled), "
        f"one writer: {visual['cpu']:.0f} ms of its CPU a page, {visual['in_all']:.0f} ms in all, {visual['server']:.0f} ms of "
        "them the stand-in's."
    )
    stand_in = "The stand-in is no Qdrant server: its part, and the pages a second of all together, are not a server's."
    return "\n\n".join([told, spent, held, looks, stand_in, *result["differences"]])


if __name__ == "__main__":
    main()
