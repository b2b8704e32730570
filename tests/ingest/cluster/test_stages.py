# pyright: basic
# pyarrow has no types
"""The stages without Ray: one after another, and each done twice, as on a cluster that loses machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from docrag.config import Config
from docrag.errors import EnvironmentFault, UsageError
from docrag.index.library_index import LibraryIndex
from docrag.index.verify import verify
from docrag.ingest.cluster import stages
from docrag.ingest.cluster.registrar import Registrar
from docrag.ingest.cluster.rows import read_chunk_rows
from docrag.ingest.cluster.shape import look_shape, text_shape
from docrag.ingest.cluster.stages import EncodePages, Job, OpenFiles, ReadPages, guarded
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.sources import find_sources
from docrag.testing import HashEncoder
from docrag.types import IngestReport
from tests.ingest import hostile
from tests.libraries import QUICK, bring, check_same, check_sums, settings_of, snapshot


def library(folder: Path) -> Path:
    """Documents that are good, bad, of two chunks, and twice the same bytes."""
    folder.mkdir()
    hostile.text_pdf(folder / "long.pdf", [f"the page of number {number}" for number in range(11)])
    hostile.text_pdf(folder / "short.pdf", ["a few words"])
    (folder / "twin.pdf").write_bytes((folder / "short.pdf").read_bytes())
    hostile.broken_page_pdf(folder / "broken.pdf")
    (folder / "no.pdf").write_text("this is no PDF")
    return folder


@pytest.fixture(scope="module", autouse=True)
def pool() -> Iterator[None]:
    """One child reads for the stages of all tests. Each stage has its own elsewhere, for as long as its process lives."""
    with guarded(Job("", "", QUICK)) as one, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "guarded", lambda job: one)
        yield


def begin(folder: Path, names: Path) -> tuple[Registrar, OpenFiles, ReadPages, EncodePages, pa.Table]:
    """The desk and the stages of a run into the index at `folder`, and the sources that it is to open."""
    with LibraryIndex.open_or_create(str(folder), settings_of(QUICK)) as index:
        job = Job(str(folder), index.blobs.url, QUICK)
    desk = Registrar(job, IngestOptions())
    sources = desk.sift(list(find_sources([str(names)])))
    return desk, OpenFiles(job, desk), ReadPages(job, desk), EncodePages(HashEncoder, desk), sources


def run(folder: Path, names: Path, again: Callable[[str], int] = lambda stage: 1) -> IngestReport:
    """What `run_ray` does; a stage is done `again(name)` times, the results of all but the last being lost."""
    desk, opened, read, encode, found = begin(folder, names)
    steps = {"open": opened, "read": read, "encode": encode, "write": desk.write}
    for name, stage in steps.items():
        if not found.num_rows:
            break
        for _ in range(again(name)):
            done = stage(found)
        found = done
    assert not desk.left().num_rows
    desk.tidy_up()
    return desk.report(1.0)


def test_the_same_as_a_run_on_this_machine(tmp_path: Path) -> None:
    names = library(tmp_path / "pdfs")
    here = bring(tmp_path / "here", names)
    there = run(tmp_path / "there", names)
    check_same(snapshot(tmp_path / "there"), snapshot(tmp_path / "here"))
    assert sorted(map(str, there.failures)) == sorted(map(str, here.failures))
    assert replace(there, seconds=0, failures=()) == replace(here, seconds=0, failures=())


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IngestReport]:
    """A folder with an index and the PDFs that went into it, and the report of that."""
    folder = tmp_path_factory.mktemp("once")
    return folder, run(folder / "index", library(folder / "pdfs"))


@pytest.mark.parametrize("stage", ["open", "read", "encode", "write"])
def test_what_is_done_twice_counts_once(tmp_path: Path, once: tuple[Path, IngestReport], stage: str) -> None:
    folder, report = once
    twice = run(tmp_path / "twice", folder / "pdfs", lambda name: 2 if name == stage else 1)
    check_sums(twice)
    check_same(snapshot(tmp_path / "twice"), snapshot(folder / "index"))
    assert replace(twice, failures=()) == replace(report, failures=())


def test_files_that_are_opened_again_when_all_is_written(tmp_path: Path) -> None:
    """A machine with what a task gave is lost when others have done it all: the task gives the same, and nothing is counted."""
    names = library(tmp_path / "pdfs")
    desk, opened, read, encode, sources = begin(tmp_path / "index", names)
    chunks = opened(sources)
    encoded = encode(read(chunks))
    desk.write(encoded)
    assert opened(sources) == chunks
    desk.write(encoded)
    report = desk.report(1.0)
    check_sums(report)
    assert (report.documents.ok, report.documents.failed, report.documents.skipped) == (3, 1, 1)


def change(path: Path) -> None:
    hostile.text_pdf(path, ["quite another text"])


def spoil(path: Path) -> None:
    path.write_text("this is no PDF")


@pytest.mark.parametrize(("change", "ok", "failed", "pages"), [(change, 1, 0, 1), (spoil, 0, 1, 0)])
def test_a_file_that_changes_between_two_looks(
    tmp_path: Path, change: Callable[[Path], None], ok: int, failed: int, pages: int
) -> None:
    """What the first look gave is lost with its machine; the second finds other bytes. Its twin is still what it was."""
    names = tmp_path / "pdfs"
    names.mkdir()
    hostile.text_pdf(names / "one.pdf", [f"page {number}" for number in range(5)])
    (names / "twin.pdf").write_bytes((names / "one.pdf").read_bytes())
    desk, opened, read, encode, sources = begin(tmp_path / "index", names)
    opened(sources)
    change(names / "one.pdf")
    for _ in range(2):  # the run's rounds
        found = opened(sources)
        if found.num_rows:
            desk.write(encode(read(found)))
        sources = desk.left()
    assert not sources.num_rows
    report = desk.report(1.0)
    check_sums(report)
    assert (report.documents.ok, report.documents.failed, report.pages.ok) == (ok + 1, failed, pages + 5)
    with LibraryIndex.open(str(tmp_path / "index")) as index:
        assert sorted(record.document.pages for record in index.documents()) == [1] * ok + [5]
        assert verify(index).damages == ()


def test_a_file_that_changes_when_it_is_done_is_for_the_next_run(tmp_path: Path) -> None:
    names = library(tmp_path / "pdfs")
    desk, opened, read, encode, sources = begin(tmp_path / "index", names)
    desk.write(encode(read(opened(sources))))
    change(names / "long.pdf")
    spoil(names / "broken.pdf")
    assert [document.pages for document, _ in read_chunk_rows(opened(sources))] == [1]  # the one that is as it was
    report = desk.report(1.0)
    check_sums(report)
    assert (report.documents.ok, report.documents.failed, report.documents.skipped) == (3, 1, 1)
    assert run(tmp_path / "index", names).documents.ok == 1


def test_an_unchanged_library_is_sifted_out(tmp_path: Path) -> None:
    names = library(tmp_path / "pdfs")
    bring(tmp_path / "index", names)
    report = run(tmp_path / "index", names)
    assert (report.documents.ok, report.documents.skipped) == (0, 4)


@pytest.mark.parametrize("cpus", [1, 2, 3, 16, 640])
@pytest.mark.parametrize("workers", [0, 1, 7, 1_000])
def test_all_workers_fit_together(cpus: int, workers: int) -> None:
    shape = text_shape(cpus, workers)
    assert shape.readers.workers == (workers or cpus)
    assert 0 < shape.cpus <= 0.9 * cpus
    for pool in (shape.openers, shape.readers, shape.encoders, shape.writers):
        assert 0 < pool.cpus <= 0.5
    look = look_shape(cpus, [], "auto", 1.0, workers)
    assert 0 < look.cpus <= 0.9 * cpus
    assert look.gpus == 0


def test_two_cpus_have_two_readers_and_an_encoder() -> None:
    shape = text_shape(2)
    assert (shape.readers.workers, shape.encoders.workers) == (2, 1)


def test_encoders_of_images_hold_the_gpus() -> None:
    assert look_shape(64, [4, 4, 0], "auto", 1.0).encoders.workers == 8
    assert look_shape(64, [2], "cuda", 0.5).encoders.workers == 4
    assert look_shape(64, [1, 1], "cuda", 0.6).encoders.workers == 2  # a part is of one GPU
    assert look_shape(64, [1], "cuda", 0.1).encoders.workers == 10
    assert look_shape(64, [2, 3], "auto", 2.0).gpus == 4
    assert look_shape(64, [8], "cpu", 1.0).gpus == 0
    with pytest.raises(EnvironmentFault, match="asks for 1 GPUs of one machine, and the Ray cluster has none with more than 0"):
        look_shape(64, [0, 0], "cuda", 1.0)
    with pytest.raises(EnvironmentFault, match="asks for 2 GPUs of one machine, and the Ray cluster has none with more than 1"):
        look_shape(64, [1, 1], "auto", 2.0)


def test_gpus_for_an_encoder_is_a_setting() -> None:
    assert Config.resolve(environ={"DOCRAG_GPUS_PER_ENCODER": "0.25"}).gpus_per_encoder == 0.25
    assert Config.resolve(environ={"DOCRAG_GPUS_PER_ENCODER": "2"}).gpus_per_encoder == 2
    with pytest.raises(UsageError, match=r"gpus_per_encoder must be a whole number or less than 1, got 1\.5"):
        Config(gpus_per_encoder=1.5)
