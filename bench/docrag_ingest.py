"""One ingest by docrag in a process of its own, with the seconds of each stage.

    python -m bench.docrag_ingest FOLDER --index I [--ocr auto|never] [--unloaded]

Like the usual recipe it loads its model first and apart from the time that is measured; with --unloaded it is left to load
what it needs when it needs it. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from typing import Any

from bench.common import Stopwatch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--index", required=True)
    parser.add_argument("--ocr", default="never")
    parser.add_argument("--unloaded", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.folder, arguments.index, arguments.ocr, arguments.unloaded)))


def measure(folder: str, index: str, ocr: str, unloaded: bool) -> dict[str, Any]:
    begin = time.perf_counter()
    from docrag.client import Library
    from docrag.index.encoders import choose_precision
    from docrag.ingest.run_local import BATCH_WORDS

    events = _Events()
    with Library(index, ocr=ocr) as library:
        if not unloaded:
            library.encoder.load(BATCH_WORDS)
        load_seconds = time.perf_counter() - begin
        watch = _watch()
        before = time.process_time()
        report = library.ingest([folder])
        own_cpu_seconds = time.process_time() - before
        precision = choose_precision(library.config.precision)
    stages = {name: round(seconds, 3) for name, seconds in watch.seconds.items()}
    readers = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        **report.to_json(),
        "precision": precision,
        "load_seconds": round(load_seconds, 2),
        "stages": {**stages, "other": round(report.seconds - sum(watch.seconds.values()), 3)},
        "cpu_seconds": {"main": round(own_cpu_seconds, 2), "readers": round(readers.ru_utime + readers.ru_stime, 2)},
        "pdfs_opened": events.pdfs_opened,
        "processes_started": events.processes_started,
        "encoder_loaded": "safetensors" in sys.modules,
    }


def _watch() -> Stopwatch:
    from docrag.index.library_index import LibraryIndex
    from docrag.ingest import run_local

    watch = Stopwatch()
    watch.watch(run_local, "read_chunks", "waiting for pages to be read")
    watch.watch(run_local, "encode_pages", "encoding")
    watch.watch(LibraryIndex, "write_pages", "writing pages")
    watch.watch(LibraryIndex, "commit_document", "completing documents")
    return watch


class _Events:
    """PDFs that this process opens and processes that it starts: a reader of PDFs can't be had without one."""

    def __init__(self) -> None:
        self.pdfs_opened = self.processes_started = 0
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self.pdfs_opened += isinstance(arguments[0], str) and arguments[0].endswith(".pdf")
        elif event in ("subprocess.Popen", "os.fork", "os.posix_spawn"):
            self.processes_started += 1


if __name__ == "__main__":
    main()
