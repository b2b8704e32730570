"""What the tests of ingest and of the doors share: small libraries, quick ingests, a look at all that an index holds."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docrag.config import Config
from docrag.index.library_index import LibraryIndex
from docrag.index.records import IndexSettings, ReadSettings
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.run_local import Encoders, ingest
from docrag.ingest.stages import TEXT_VERSION, lane_fingerprints
from docrag.testing import HashEncoder
from docrag.types import IngestReport

QUICK = Config(ocr="never", workers=2)


def settings_of(config: Config) -> IndexSettings:
    return IndexSettings(lane_fingerprints("float32"), ReadSettings(config.ocr, config.lang, config.ocr_dpi, TEXT_VERSION))


def open_index(folder: Path) -> LibraryIndex:
    return LibraryIndex.open(str(folder))


def copied(folder: Path, to: Path) -> Path:
    """A copy of what holds an index, without writing what an index's files have of holes: 300 MiB."""
    subprocess.run(["cp", "-r", "--sparse=always", folder, to], check=True)
    return to


def bring(folder: Path, *names: Path | str, config: Config = QUICK, **options: Any) -> IngestReport:
    """Ingest `names` into the index at `folder`, made if it is not there, with the hash encoder; the report adds up."""
    with LibraryIndex.open_or_create(str(folder), settings_of(config)) as index:
        report = ingest(index, Encoders(HashEncoder), [str(name) for name in names], config, IngestOptions(**options))
        check_sums(report)
        check_pages(report, index)
    return report


def check_sums(report: IngestReport) -> None:
    for tally in (report.documents, report.pages):
        assert tally.attempted == tally.ok + tally.failed + tally.skipped
        assert min(tally.ok, tally.failed, tally.skipped) >= 0


def check_pages(report: IngestReport, index: LibraryIndex) -> None:
    """Every page of every recorded document is there, as content or as a failure; and a page of the report is one of them."""
    for record in index.documents():
        written = index.written_pages(record.document.sha256)
        assert list(written) == list(range(record.document.pages))
        assert tuple(failure for failure in written.values() if failure) == record.failures
    page_failures = [failure for failure in report.failures if failure.page_number is not None]
    assert report.pages.failed == len(page_failures)
    assert report.documents.failed == len(report.failures) - len(page_failures)


def reasons(report: IngestReport) -> dict[str, str]:
    """The message of each failed document by its file's name, and of each failed page by "name page N"."""
    return {
        Path(failure.document).name + (f" page {failure.page_number}" if failure.page_number else ""): failure.message
        for failure in report.failures
    }


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that an index holds, times aside."""

    points: Mapping[str, Mapping[str, Any]]
    records: Mapping[str, Mapping[str, Any]]
    vectors: Mapping[str, NDArray[np.float32]]
    blobs: tuple[str, ...]


def snapshot(folder: Path) -> Snapshot:
    with open_index(folder) as index:
        points = {point.id: dict(point.payload) for point in index.store.scroll("pages")}
        records = {point.id: dict(point.payload) for point in index.store.scroll("documents")}
        vectors = {id_: np.asarray(rows, np.float32) for id_, rows in index.lane_vectors(sorted(points)).items()}
        blobs = tuple(index.blobs.hashes())
    for record in records.values():
        record.pop("completed_at", None)
        record.pop("created_at", None)
    return Snapshot(points, records, vectors, blobs)


def check_same(found: Snapshot, wanted: Snapshot) -> None:
    """The same points, payloads, records and PDFs, and the same vectors within rounding."""
    assert found.points == wanted.points
    assert found.records == wanted.records
    assert found.blobs == wanted.blobs
    assert found.vectors.keys() == wanted.vectors.keys()
    for id_, rows in wanted.vectors.items():
        cosines = (found.vectors[id_] * rows).sum(1)
        assert cosines.min() > 0.999, id_


@dataclass(slots=True)
class Watch:
    """Which files were opened and which programs started while it was on."""

    on: bool = False
    opened: list[str] = field(default_factory=list[str])
    started: list[str] = field(default_factory=list[str])

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event == "open" and isinstance(arguments[0], str | bytes):
            self.opened.append(os.fsdecode(arguments[0]))
        elif self.on and event in {"subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec"}:
            self.started.append(str(arguments))


_WATCH = Watch()
sys.addaudithook(_WATCH.note)  # for good: Python has no way to take one out


@contextmanager
def watched() -> Iterator[Watch]:
    _WATCH.opened.clear()
    _WATCH.started.clear()
    _WATCH.on = True
    try:
        yield _WATCH
    finally:
        _WATCH.on = False


def cli_command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "docrag.cli", *map(str, arguments)]


def cli(*arguments: str | Path, env: Mapping[str, str] | None = None, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The real command line in a process of its own."""
    return subprocess.run(
        cli_command(*arguments), input=stdin, capture_output=True, env={**os.environ, **(env or {})}, timeout=120, check=False
    )
