"""Ingest with the real index and real guarded processes; only the encoder is the hash encoder."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pytest

from docrag.config import Config
from docrag.errors import EnvironmentFault, IndexLocked, UsageError
from docrag.index.edge import RESERVE_BYTES
from docrag.index.library_index import LibraryIndex
from docrag.index.records import document_id, source_id
from docrag.index.store import Point
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.ocr import tesseract_available
from docrag.ingest.run_local import Encoders, ingest
from docrag.ingest.totals import Progress
from docrag.pipelines.retrieve import search
from docrag.testing import HashEncoder
from docrag.types import IngestReport, Tally
from tests.ingest import hostile
from tests.libraries import QUICK, bring, check_same, open_index, reasons, settings_of, snapshot, watched

ODD = os.fsdecode("línea\n".encode() + b"\xff.pdf")
needs_tesseract = pytest.mark.skipif(not tesseract_available(), reason="Tesseract is not installed")


def never() -> HashEncoder:
    raise AssertionError("the encoder was loaded")


def rerun(folder: Path, *names: Path | str, config: Config = QUICK, **options: object) -> IngestReport:
    """Ingest again where nothing is to be done: it may open no PDF, start no process and load no encoder."""
    with LibraryIndex.open(str(folder)) as index, watched() as watch:
        report = ingest(index, Encoders(never), [str(name) for name in names], config, IngestOptions(**options))  # type: ignore[arg-type]
    assert [path for path in watch.opened if path.lower().endswith((".pdf", ".so"))] == []
    assert watch.started == []
    return report


def documents_of(folder: Path) -> dict[str, str]:
    """Name of the file to the first digits of its document's sha256."""
    with open_index(folder) as index:
        return {os.path.basename(source.name): (source.document or "failed")[:8] for source in index.sources()}  # noqa: PTH119


def found_by(folder: Path, question: str) -> list[tuple[str, int]]:
    with open_index(folder) as index:
        return [(hit.name, hit.page.page_number) for hit, _ in search(index, HashEncoder(), question, k=3)]


# -- a library with everything that goes wrong ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Zoo:
    folder: Path
    index: Path
    report: IngestReport


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Zoo:
    """All kinds of bad files beside good ones, ingested once."""
    base = tmp_path_factory.mktemp("zoo")
    folder = base / "files"
    (folder / "one").mkdir(parents=True)
    (folder / "two").mkdir()
    hostile.text_pdf(folder / "good.pdf", ["the quokka smiles", "the wombat digs"])
    shutil.copy(folder / "good.pdf", folder / "same as good.pdf")
    hostile.text_pdf(folder / "one" / "report.pdf", ["an aardvark here"])
    hostile.text_pdf(folder / "two" / "report.pdf", ["a pangolin there"])
    hostile.text_pdf(folder / "odd", ["zebra crossing"]).rename(folder / ODD)
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "letter.pdf").write_text("Dear reader, this is no PDF")
    hostile.truncated_pdf(folder / "truncated.pdf", pages=5, whole=2, trailer_first=False)
    hostile.encrypted_pdf(folder / "secret.pdf", "the ocelot password", "open sesame")
    hostile.no_pages_pdf(folder / "no pages.pdf")
    hostile.broken_page_pdf(folder / "broken page.pdf")
    hostile.slow_pdf(folder / "slow.pdf")
    hostile.raw_pdf(folder / "sizeless.pdf", ["/MediaBox [0 0 0 0]", "/MediaBox [0 0 612 792]"])
    hostile.raw_pdf(folder / "huge.pdf", ["/MediaBox [0 0 14400 14400]"])
    hostile.text_pdf(folder / "rotated.pdf", ["a narwhal sideways"], rotation=90)
    hostile.many_paths_pdf(folder / "paths.pdf", 100_000)
    hostile.text_pdf(folder / "long.pdf", [f"chapter {number}" for number in range(1, 301)])
    (folder / "device.pdf").symlink_to("/proc/self/mem")
    (folder / "loop").symlink_to("..")
    config = replace(QUICK, page_timeout_s=3.0)
    report = bring(base / "index", folder, folder / "gone.pdf", config=config)
    return Zoo(folder, base / "index", report)


def test_bad_files_are_failures_and_everything_else_goes_on(zoo: Zoo) -> None:
    assert reasons(zoo.report) == {
        "gone.pdf": "No such file or directory",
        "empty.pdf": "it is empty (0 bytes)",
        "letter.pdf": "it is not a PDF: it starts with b'Dear rea'",
        "truncated.pdf": "it is damaged beyond MuPDF's repair",
        "secret.pdf": "it is encrypted",
        "no pages.pdf": "it has no pages that can be read",
        "device.pdf": "it can't be read (Input/output error)",
        "broken page.pdf page 2": "nothing of the page can be shown (non-page object in page tree)",
        "slow.pdf page 2": "took longer than 3 s",
    }
    hints = {failure.error: failure.hint for failure in zoo.report.failures}
    assert hints["PdfCrash"] == "raise page_timeout_s (DOCRAG_PAGE_TIMEOUT_S)"
    assert hints["PdfPassword"] == "give its password with --password or DOCRAG_PASSWORD"
    assert hints["OSError"] == "check that it is there and may be read"


def test_the_report_counts_every_name_once(zoo: Zoo) -> None:
    documents = zoo.report.documents
    assert documents == Tally(ok=11, failed=7, skipped=1)  # skipped: the same bytes under another name
    pdfs = sum(name.endswith(".pdf") for _, _, files in os.walk(zoo.folder) for name in files)
    assert documents.attempted == pdfs + 1
    assert zoo.report.pages == Tally(ok=300 + 2 + 1 + 1 + 1 + 2 + 2 + 2 + 1 + 1 + 1, failed=2, skipped=2)


def test_good_documents_are_found(zoo: Zoo) -> None:
    assert found_by(zoo.index, "quokka smiles")[0] == ("good.pdf", 1)
    assert found_by(zoo.index, "wombat digs")[0] == ("good.pdf", 2)
    assert found_by(zoo.index, "aardvark")[0] == ("one/report.pdf", 1)
    assert found_by(zoo.index, "pangolin")[0] == ("two/report.pdf", 1)
    assert found_by(zoo.index, "narwhal sideways")[0] == ("rotated.pdf", 1)
    assert found_by(zoo.index, "zebra crossing")[0] == (ODD, 1)
    assert {("slow.pdf", 3), ("broken page.pdf", 3)} <= set(found_by(zoo.index, "third page"))
    assert found_by(zoo.index, "after all the paths")[0] == ("paths.pdf", 1)
    assert found_by(zoo.index, "hello there")[0][0] in {"huge.pdf", "sizeless.pdf"}


def test_a_document_of_many_pages(zoo: Zoo) -> None:
    with open_index(zoo.index) as index:
        (sha256,) = index.resolve_documents(["long.pdf"])
        assert index.count_pages(sha256) == 300
        hit, _ = search(index, HashEncoder(), "chapter 287", [sha256], k=1)[0]
    assert hit.page.page_number == 287


def test_pages_of_two_documents_under_one_name_are_told_apart(zoo: Zoo) -> None:
    with open_index(zoo.index) as index:
        one, two = index.resolve_documents(["one/report.pdf", "two/report.pdf"])
    assert one != two


def test_a_rerun_opens_hashes_and_embeds_nothing(zoo: Zoo) -> None:
    before = snapshot(zoo.index)
    device = zoo.folder / "device.pdf"
    device.unlink()  # what the system would not give is tried again each time
    good = zoo.folder / "good.pdf"
    status, data = good.stat(), good.read_bytes()
    good.write_bytes(b"x" * len(data))
    os.utime(good, ns=(status.st_atime_ns, status.st_mtime_ns))
    try:
        report = rerun(zoo.index, zoo.folder, config=replace(QUICK, page_timeout_s=3.0))
    finally:
        good.write_bytes(data)
        os.utime(good, ns=(status.st_atime_ns, status.st_mtime_ns))
        device.symlink_to("/proc/self/mem")
    assert report.seconds < 1
    assert report.documents == Tally(0, zoo.report.documents.failed - 2, zoo.report.documents.ok + 1)
    assert report.pages == Tally(0, zoo.report.pages.failed, zoo.report.pages.ok + 2)
    assert report.unread == zoo.report.unread
    gone = {"gone.pdf", "device.pdf"}
    assert reasons(report) == {name: why for name, why in reasons(zoo.report).items() if name not in gone}
    check_same(snapshot(zoo.index), before)


# -- what a rerun takes up ------------------------------------------------------------------------------------------------


def test_the_password_makes_the_encrypted_readable(tmp_path: Path) -> None:
    secret = hostile.encrypted_pdf(tmp_path / "secret.pdf", "the ocelot password", "open sesame")
    index = tmp_path / "index"
    report = bring(index, secret)
    assert [(failure.error, failure.lacked, failure.hint) for failure in report.failures] == [
        ("PdfPassword", "password", "give its password with --password or DOCRAG_PASSWORD")
    ]
    assert rerun(index, secret).documents == Tally(failed=1)
    assert reasons(bring(index, secret, password="wrong")) == {
        "secret.pdf": "it is encrypted, and the password given does not open it"
    }
    report = bring(index, secret, password="open sesame")
    assert (report.documents, report.pages, report.failures) == (Tally(ok=1), Tally(ok=1), ())
    assert found_by(index, "ocelot") == [("secret.pdf", 1)]
    assert rerun(index, secret).documents == Tally(skipped=1)


def test_a_raised_limit_and_checksum_try_again_what_went_over_it(tmp_path: Path) -> None:
    pdf, index = hostile.text_pdf(tmp_path / "a.pdf", ["one", "two", "three"]), tmp_path / "index"
    report = bring(index, pdf, config=replace(QUICK, max_pages=2))
    assert reasons(report) == {"a.pdf": "it has 3 pages, the limit is 2"}
    assert report.failures[0].hint == "raise max_pages (DOCRAG_MAX_PAGES)"
    assert rerun(index, pdf).documents == Tally(failed=1)
    assert bring(index, pdf, checksum=True, config=replace(QUICK, max_pages=2)).documents == Tally(failed=1)
    assert bring(index, pdf, config=replace(QUICK, max_pages=20_001)).documents == Tally(ok=1)


def test_a_page_that_failed_is_tried_again_alone(tmp_path: Path) -> None:
    slow, index = hostile.slow_pdf(tmp_path / "slow.pdf"), tmp_path / "index"
    hasty = replace(QUICK, page_timeout_s=3.0)
    assert bring(index, slow, config=hasty).pages == Tally(ok=2, failed=1)
    report = bring(index, slow, config=hasty, checksum=True)
    assert (report.documents, report.pages) == (Tally(ok=1), Tally(failed=1, skipped=2))
    assert reasons(report) == {"slow.pdf page 2": "took longer than 3 s"}


@needs_tesseract
def test_pages_are_unread_without_tesseract_and_read_once_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, index = hostile.scanned_pdf(tmp_path / "scan.pdf", "The kookaburra laughs at dawn"), tmp_path / "index"
    auto = replace(QUICK, ocr="auto")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        report = bring(index, scan, config=auto)
        assert (report.documents, report.pages, report.ocr, report.unread) == (Tally(ok=1), Tally(ok=1), 0, 1)
        again = rerun(index, scan, config=auto)
        assert (again.documents, again.pages, again.unread) == (Tally(skipped=1), Tally(skipped=1), 1)
        with pytest.raises(EnvironmentFault, match="Tesseract is not installed, and OCR was asked for"):
            bring(tmp_path / "other", scan, config=replace(QUICK, ocr="always"))
    with open_index(index) as opened:
        (record,) = opened.documents()
        assert (record.unread_pages, record.ocr_pages, record.lacked) == ((1,), 0, {"tesseract"})
    assert rerun(index, scan, config=replace(QUICK, ocr="never")).unread == 1
    report = bring(index, scan, config=auto)
    assert (report.documents, report.pages, report.ocr, report.unread) == (Tally(ok=1), Tally(ok=1), 1, 0)
    with open_index(index) as opened:
        (record,) = opened.documents()
        assert (record.unread_pages, record.ocr_pages, record.lacked) == ((), 1, frozenset())
    assert found_by(index, "kookaburra laughs") == [("scan.pdf", 1)]


# -- names and what they lead to -------------------------------------------------------------------------------------------


def test_a_changed_file_takes_its_name_along(tmp_path: Path) -> None:
    index, pdf = tmp_path / "index", hostile.text_pdf(tmp_path / "a.pdf", ["the first version"])
    bring(index, pdf)
    first = documents_of(index)["a.pdf"]
    hostile.text_pdf(pdf, ["a second version", "with one page more"])
    report = bring(index, pdf)
    assert (report.documents, report.pages) == (Tally(ok=1), Tally(ok=2))
    second = documents_of(index)["a.pdf"]
    found = snapshot(index)
    assert first != second
    assert [sha256[:8] for sha256 in found.blobs] == [second]
    assert {point["document"][:8] for point in found.points.values()} == {second}
    assert [name for name, _ in found_by(index, "first version")] == ["a.pdf", "a.pdf"]


def test_a_changed_file_that_can_not_be_read_keeps_its_document(tmp_path: Path) -> None:
    index, pdf = tmp_path / "index", hostile.text_pdf(tmp_path / "a.pdf", ["the only good version"])
    bring(index, pdf)
    good, before = pdf.read_bytes(), snapshot(index)
    pdf.write_bytes(b"half a downl")
    for _ in range(2):
        report = bring(index, pdf)
        assert report.documents == Tally(failed=1)
        assert reasons(report) == {"a.pdf": "it is not a PDF: it starts with b'half a d'"}
        check_same(snapshot(index), before)
    assert found_by(index, "good version") == [("a.pdf", 1)]
    pdf.write_bytes(good)
    assert bring(index, pdf).documents == Tally(skipped=1)


def test_two_files_that_swap_their_contents(tmp_path: Path) -> None:
    index = tmp_path / "index"
    a, b = hostile.text_pdf(tmp_path / "a.pdf", ["about apples"]), hostile.text_pdf(tmp_path / "b.pdf", ["about bananas"])
    bring(index, a, b)
    apples = documents_of(index)["a.pdf"]
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    # While this one is read, both others are looked at; then the last name of the first's document moves on.
    before = hostile.text_pdf(tmp_path / "0.pdf", ["something else"] * 100)
    report = bring(index, before, a, b)
    assert (report.documents, report.pages) == (Tally(ok=2, skipped=1), Tally(ok=101, skipped=1))
    assert documents_of(index)["b.pdf"] == apples
    assert found_by(index, "apples")[0] == ("b.pdf", 1)
    assert len(snapshot(index).blobs) == 3
    assert rerun(index, a, b).documents == Tally(skipped=2)


def test_a_second_name_for_the_same_bytes_embeds_nothing(tmp_path: Path) -> None:
    index, pdf = tmp_path / "index", hostile.text_pdf(tmp_path / "a.pdf", ["one page"])
    bring(index, pdf)
    copy = shutil.copy(pdf, tmp_path / "copy.pdf")
    with LibraryIndex.open(str(index)) as opened:
        report = ingest(opened, Encoders(never), [str(copy)], QUICK, IngestOptions())
    assert (report.documents, report.pages) == (Tally(skipped=1), Tally(skipped=1))
    assert len(set(documents_of(index).values())) == 1
    pdf.unlink()
    assert bring(index, copy, prune=True).documents == Tally(skipped=1)
    assert list(documents_of(index)) == ["copy.pdf"]
    assert found_by(index, "one page") == [("copy.pdf", 1)]


def test_checksum_reads_what_looks_unchanged(tmp_path: Path) -> None:
    index, pdf = tmp_path / "index", tmp_path / "a.pdf"
    a, b = (hostile.text_pdf(tmp_path / name, [f"version {name}"]).read_bytes() for name in "AB")
    size = max(len(a), len(b))  # PyMuPDF makes up an id for each file, which takes a byte more or less
    pdf.write_bytes(a.ljust(size))
    bring(index, pdf)
    status = pdf.stat()
    pdf.write_bytes(b.ljust(size))
    os.utime(pdf, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert pdf.stat().st_size == status.st_size
    assert rerun(index, pdf).documents == Tally(skipped=1)
    assert bring(index, pdf, checksum=True).documents == Tally(ok=1)
    assert bring(index, pdf, checksum=True).documents == Tally(skipped=1)


def test_prune_takes_what_is_gone_and_only_that(tmp_path: Path) -> None:
    index, folder = tmp_path / "index", tmp_path / "files"
    folder.mkdir()
    a, b = hostile.text_pdf(folder / "a.pdf", ["about apples"]), hostile.text_pdf(folder / "b.pdf", ["about bananas"])
    (folder / "c.pdf").write_bytes(b"")
    bring(index, folder)
    a.unlink()
    (folder / "c.pdf").unlink()
    assert set(documents_of(index)) == {"a.pdf", "b.pdf", "c.pdf"}
    assert rerun(index, folder).documents == Tally(skipped=1)
    assert set(documents_of(index)) == {"a.pdf", "b.pdf", "c.pdf"}
    rerun(index, folder, prune=True)
    assert set(documents_of(index)) == {"b.pdf"}
    assert len(snapshot(index).blobs) == 1
    assert found_by(index, "apples") == [("b.pdf", 1)]
    b.unlink()
    report = rerun(index, folder, prune=True)
    assert reasons(report) == {"files": "no PDF there"}
    left = snapshot(index)
    assert (left.points, left.blobs, len(left.records)) == ({}, (), 1)


def test_remote_files(tmp_path: Path) -> None:
    remote, index = fsspec.filesystem("memory"), tmp_path / "index"
    remote.pipe("/shelf/far.pdf", hostile.text_pdf(tmp_path / "a.pdf", ["a faraway okapi"]).read_bytes())
    try:
        assert bring(index, "memory://shelf").documents == Tally(ok=1)
        assert found_by(index, "okapi") == [("far.pdf", 1)]
        assert rerun(index, "memory://shelf").documents == Tally(skipped=1)
    finally:
        remote.rm("/shelf", recursive=True)
    report = bring(index, "memory://shelf/far.pdf", prune=True)
    assert reasons(report) == {"far.pdf": "no such file"}
    assert documents_of(index) == {}


# -- damage, and runs that can't go on -------------------------------------------------------------------------------------


def test_ingest_heals_damaged_records(tmp_path: Path) -> None:
    index, pdf = tmp_path / "index", hostile.text_pdf(tmp_path / "a.pdf", ["one", "two"])
    bring(index, pdf)
    before = snapshot(index)
    with open_index(index) as opened:
        (record,) = opened.documents()
        opened.store.upsert("documents", [Point(source_id(str(pdf)), {"kind": "source", "name": 7})])
        opened.store.upsert("documents", [Point(document_id(record.document.sha256), {"kind": "document"})])
    assert bring(index, pdf).documents == Tally(ok=1)
    check_same(snapshot(index), before)


def test_a_changed_file_replaces_a_document_whose_record_is_damaged(tmp_path: Path) -> None:
    index, pdf = tmp_path / "index", hostile.text_pdf(tmp_path / "a.pdf", ["one", "two"])
    bring(index, pdf)
    with open_index(index) as opened:
        (record,) = opened.documents()
        opened.store.upsert("documents", [Point(document_id(record.document.sha256), {"kind": "document"})])
    hostile.text_pdf(pdf, ["three"])
    assert bring(index, pdf).documents == Tally(ok=1)
    after = snapshot(index)
    assert (len(after.points), len(after.records), len(after.blobs)) == (1, 3, 1)


def test_ingest_heals_pages_of_a_document_without_a_record(tmp_path: Path) -> None:
    index, pdf = tmp_path / "index", hostile.text_pdf(tmp_path / "a.pdf", ["one", "two"])
    bring(index, pdf)
    before = snapshot(index)
    with open_index(index) as opened:
        (record,) = opened.documents()
        sha256 = record.document.sha256
        opened.store.delete("documents", [document_id(sha256)])
        page = min(before.points)
        opened.store.upsert("pages", [Point(page, {"document": sha256, "page_index": "x"})])
    assert bring(index, pdf).documents == Tally(ok=1)
    check_same(snapshot(index), before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    disk = tmp_path / "disk"
    disk.mkdir()
    size = RESERVE_BYTES + 150 * 2**20
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip("a small disk can't be mounted here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_stops_the_run_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    files, index = tmp_path / "files", small_disk / "index"
    files.mkdir()
    hostile.text_pdf(files / "a.pdf", ["about apples"])
    bring(index, files)
    before = snapshot(index)
    ballast = small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(b"\0" * (free - RESERVE_BYTES // 2))
    hostile.text_pdf(files / "b.pdf", ["about bananas"])
    with pytest.raises(EnvironmentFault, match="is full") as caught:
        bring(index, files)
    assert "run the same command again" in caught.value.hint
    ballast.unlink()
    after = snapshot(index)
    assert (after.points, after.records) == (before.points, before.records)
    assert bring(index, files).documents == Tally(ok=1, skipped=1)
    assert found_by(index, "bananas")[0] == ("b.pdf", 1)


def test_no_room_for_a_copy_of_a_remote_file(small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remote = fsspec.filesystem("memory")
    remote.pipe("/shelf/far.pdf", hostile.text_pdf(tmp_path / "a.pdf", ["a page"] * 50).read_bytes())
    with LibraryIndex.create(str(tmp_path / "index"), settings_of(QUICK)) as index, monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(small_disk))
        (small_disk / "ballast").write_bytes(b"\0" * shutil.disk_usage(small_disk).free)
        with pytest.raises(EnvironmentFault, match=r"^no room for a copy of memory:///shelf/far\.pdf: "):
            ingest(index, Encoders(never), ["memory://shelf"], QUICK, IngestOptions())
    remote.rm("/shelf", recursive=True)


def test_an_error_of_the_encoder_ends_the_run_and_a_rerun_completes_it(tmp_path: Path) -> None:
    class Broken(HashEncoder):
        def encode(self, texts: Sequence[str]) -> object:  # type: ignore[override]
            raise KeyboardInterrupt

    index, pdf = tmp_path / "index", hostile.text_pdf(tmp_path / "a.pdf", ["one page"] * 30)
    with (
        pytest.raises(KeyboardInterrupt),
        LibraryIndex.open_or_create(str(index), settings_of(QUICK)) as opened,
    ):
        ingest(opened, Encoders(Broken), [str(pdf)], QUICK, IngestOptions())
    assert bring(index, pdf).documents == Tally(ok=1)


def test_a_language_that_tesseract_lacks_is_an_error_of_usage(tmp_path: Path) -> None:
    if not tesseract_available():
        pytest.skip("Tesseract is not installed")
    pdf = hostile.text_pdf(tmp_path / "a.pdf", ["one page"])
    with pytest.raises(UsageError, match="Tesseract has no language xyz; installed are "):
        bring(tmp_path / "index", pdf, config=replace(QUICK, ocr="auto", lang="xyz"))


def test_an_index_is_open_once(tmp_path: Path) -> None:
    index, pdf = tmp_path / "index", hostile.text_pdf(tmp_path / "a.pdf", ["one page"])
    bring(index, pdf)
    with open_index(index), pytest.raises(IndexLocked, match="is open in another process"):
        open_index(index)
    open_index(index).close()


def test_progress_grows_to_the_end(tmp_path: Path) -> None:
    pdf = hostile.text_pdf(tmp_path / "a.pdf", [f"page {number}" for number in range(40)])
    copy, bad = shutil.copy(pdf, tmp_path / "b.pdf"), tmp_path / "c.pdf"
    bad.write_bytes(b"none")
    told: list[Progress] = []
    with LibraryIndex.open_or_create(str(tmp_path / "index"), settings_of(QUICK)) as index:
        ingest(index, Encoders(HashEncoder), [str(pdf), str(copy), str(bad)], QUICK, IngestOptions(), told.append)
    pages, done = [progress.pages_done for progress in told], [progress.done for progress in told]
    assert (pages, done) == (sorted(pages), sorted(done))
    assert len(set(pages)) > 3
    last = told[-1]
    assert (last.documents_done, last.documents_total, last.pages_done) == (3, 3, 40)
    assert last.done == pytest.approx(last.total)
    assert last.total == 2 * pdf.stat().st_size + 4


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """A web server on this machine with one PDF; its address."""
    (tmp_path / "web").mkdir()
    hostile.text_pdf(tmp_path / "web" / "report.pdf", ["first page", "second page"])
    handler = functools.partial(QuietHandler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def test_a_web_address_is_a_source(tmp_path: Path, web: str) -> None:
    report = bring(tmp_path / "index", f"{web}/report.pdf", f"{web}/lost.pdf")
    assert (report.documents, report.pages) == (Tally(ok=1, failed=1), Tally(ok=2))
    with open_index(tmp_path / "index") as index:
        assert [source.name for source in index.sources() if source.document] == [f"{web}/report.pdf"]


def test_a_document_that_lost_its_name_in_a_kill_goes(tmp_path: Path) -> None:
    path = hostile.text_pdf(tmp_path / "one.pdf", ["alone"])
    bring(tmp_path / "index", path)
    with open_index(tmp_path / "index") as index:
        index.store.delete("documents", [source_id(str(path))])  # what a kill between two steps leaves
    hostile.text_pdf(path, ["no more", "alone"])
    bring(tmp_path / "index", path)
    with open_index(tmp_path / "index") as index:
        assert [record.document.pages for record in index.documents()] == [2]
