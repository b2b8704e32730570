"""Sources and PDFs in object storage: a real S3 server on this machine, through fsspec and s3fs."""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import fsspec
import pymupdf
import pytest
from moto.server import ThreadedMotoServer

import docrag
from docrag.cli import main
from docrag.config import Config
from docrag.errors import EnvironmentFault, IndexDamaged, PdfUnreadable
from docrag.index.blobs import BlobStore
from docrag.index.lease import LeaseTimes, hold_lease
from docrag.index.library_index import LibraryIndex
from docrag.index.verify import verify
from docrag.ingest.cluster.registrar import Registrar
from docrag.ingest.cluster.stages import EncodePages, Job, OpenFiles, ReadPages
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.sources import SourceFile, find_sources, is_gone, local_copy
from docrag.testing import HashEncoder
from docrag.testing.qdrant_server import QdrantStandIn
from docrag.types import Failure, IngestReport
from tests.libraries import settings_of

DATA = b"%PDF-1.7 not much of one"
SHA256 = hashlib.sha256(DATA).hexdigest()
SETTINGS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of an S3 server."""
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client that is not docrag's; the bucket "library" is there and empty."""
    for name, value in {**SETTINGS, "AWS_ENDPOINT_URL": server}.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3")
    client.create_bucket(Bucket="library")
    yield client
    with urllib.request.urlopen(f"{server}/moto-api/reset", b"") as answer:
        assert answer.status == 200
    client.close()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture
def put(s3: Any) -> Callable[..., None]:
    """Put objects of these keys, each a few bytes of its own."""

    def put_all(*keys: str) -> None:
        for key in keys:
            s3.put_object(Bucket="library", Key=key, Body=f"%PDF {key}".encode())

    return put_all


def names(*given: str) -> list[str]:
    return [found.name if isinstance(found, SourceFile) else f"! {found.message}" for found in find_sources(given)]


def calls(s3: Any, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What s3fs asks the server for, from now on."""
    made: list[str] = []
    kind = fsspec.get_filesystem_class("s3")
    call = kind._call_s3

    async def noted(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        made.append(method)
        return await call(self, method, *args, **kwargs)

    monkeypatch.setattr(kind, "_call_s3", noted)
    return made


def test_what_is_in_a_bucket_is_found(put: Callable[..., None]) -> None:
    put("shelf/a.pdf", "shelf/deep/B.PDF", "shelf/notes.txt", "shelf/[odd] *?#%41 é.pdf", "other/c.pdf", "plain")
    shelf = ["s3://library/shelf/[odd] *?#%41 é.pdf", "s3://library/shelf/a.pdf", "s3://library/shelf/deep/B.PDF"]
    assert names("s3://library/shelf") == names("s3://library/shelf/") == shelf
    assert names("s3://library") == ["s3://library/other/c.pdf", *shelf]
    assert names("s3://library/*/a.pdf") == [shelf[1]]
    assert names("s3://library/sh*") == shelf
    assert names(*shelf) == shelf
    assert names("s3://library/plain", shelf[1], "s3://library/shelf") == ["s3://library/plain", shelf[1], shelf[0], shelf[2]]
    for source in find_sources(["s3://library/shelf"]):
        assert isinstance(source, SourceFile)
        with local_copy(source) as path:
            assert path.read_bytes() == f"%PDF {source.name.removeprefix('s3://library/')}".encode()
        assert not is_gone(source.name)


def test_a_source_is_the_same_however_it_is_found(put: Callable[..., None]) -> None:
    put("shelf/a.pdf")
    (named,) = find_sources(["s3://library/shelf/a.pdf"])
    assert isinstance(named, SourceFile)
    assert (named.size, len(named.version)) == (16, 34)  # an ETag in its quotes
    assert [named] == list(find_sources(["s3://library/shelf"])) == list(find_sources(["s3://library/*/*.pdf"]))


def test_what_is_not_there(put: Callable[..., None]) -> None:
    put("shelf/notes.txt")
    assert names("s3://library/shelf") == ["! no PDF there"]
    assert names("s3://library/*.pdf") == ["! no PDF there"]
    assert names("s3://library/none.pdf") == names("s3://library/none") == ["! no such file"]
    assert is_gone("s3://library/none.pdf")
    (failure,) = find_sources(["s3://no-such-bucket/shelf"])
    assert isinstance(failure, Failure)
    assert (failure.document, failure.error, failure.retriable) == ("s3://no-such-bucket/shelf", "FileNotFoundError", True)


def test_a_listing_tells_all_without_a_request_for_each_object(
    put: Callable[..., None], s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(*(f"many/{number:02}.pdf" for number in range(40)))
    made = calls(s3, monkeypatch)
    for url in ("s3://library/many", "s3://library/many/*.pdf"):
        assert len(names(url)) == 40
    assert len(made) <= 2


def test_another_process_is_seen_at_once(put: Callable[..., None], s3: Any) -> None:
    put("shelf/a.pdf")
    assert names("s3://library/shelf") == ["s3://library/shelf/a.pdf"]
    put("shelf/b.pdf")
    assert names("s3://library/shelf") == ["s3://library/shelf/a.pdf", "s3://library/shelf/b.pdf"]
    s3.delete_object(Bucket="library", Key="shelf/a.pdf")
    assert is_gone("s3://library/shelf/a.pdf")
    assert names("s3://library/shelf") == ["s3://library/shelf/b.pdf"]


def deny(s3: Any, key: str, *actions: str) -> None:
    statement = {"Effect": "Deny", "Principal": "*", "Action": list(actions), "Resource": f"arn:aws:s3:::library/{key}"}
    s3.put_bucket_policy(Bucket="library", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def test_an_object_without_permission_is_a_failure_beside_the_rest(put: Callable[..., None], s3: Any) -> None:
    put("shelf/a.pdf", "shelf/b.pdf")
    deny(s3, "shelf/a.pdf", "s3:GetObject", "s3:HeadObject")
    both = ["s3://library/shelf/a.pdf", "s3://library/shelf/b.pdf"]
    assert names("s3://library/shelf") == both  # a listing says nothing of that
    closed, _ = find_sources(["s3://library/shelf"])
    assert isinstance(closed, SourceFile)
    with pytest.raises(PermissionError), local_copy(closed):
        pass
    assert not is_gone(closed.name)
    first, second = find_sources(both)
    assert isinstance(first, Failure)
    assert (first.document, first.error, first.retriable) == (both[0], "PermissionError", True)
    assert isinstance(second, SourceFile)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "FSSPEC_S3_ENDPOINT_URL"])
def test_the_server_is_named_by_the_environment(
    put: Callable[..., None], server: str, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    put("a.pdf")
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    monkeypatch.setenv(variable, server)
    monkeypatch.setattr(fsspec.config, "conf", {})
    fsspec.config.set_conf_env(fsspec.config.conf)  # as at the start of a process
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    assert names("s3://library") == ["s3://library/a.pdf"]


def test_without_credentials_or_server_it_is_one_failure(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    (failure,) = find_sources(["s3://library/shelf"])
    assert isinstance(failure, Failure)
    assert failure.error == "NoCredentialsError"
    with pytest.raises(EnvironmentFault, match=r"can't read or write the PDFs at s3://library/blobs: Unable to locate cred"):
        BlobStore("s3://library/blobs").put(SHA256, DATA)


def test_without_s3fs_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "s3", raising=False)
    (failure,) = find_sources(["s3://library/shelf"])
    assert isinstance(failure, Failure)
    assert failure.hint == "pip install 'docrag[s3]'"
    with pytest.raises(EnvironmentFault) as caught:
        BlobStore("s3://library/blobs")
    assert caught.value.hint == "pip install 'docrag[s3]'"


def test_blobs_are_put_whole_and_without_a_copy(s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    blobs = BlobStore("s3://library/blobs")
    made = calls(s3, monkeypatch)
    (tmp_path / "a.pdf").write_bytes(DATA)
    blobs.put(SHA256, tmp_path / "a.pdf")
    assert made == ["head_object", "list_objects_v2", "put_object"]
    with pytest.raises(PdfUnreadable, match="changed while it was read"):
        blobs.put("0" * 64, tmp_path / "a.pdf")
    assert blobs.hashes() == [SHA256]
    assert (blobs.is_sound(SHA256), blobs.remove_leftovers()) == (True, 0)
    blobs.delete(SHA256)
    blobs.delete(SHA256)
    assert blobs.hashes() == []
    blobs.close()


def test_a_large_blob_is_sent_in_parts_and_is_there_when_they_all_are(
    s3: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda *_, **__: 5 * 2**20)
    data = bytes(range(256)) * 50_000  # more than two parts
    sha256 = hashlib.sha256(data).hexdigest()
    blobs, made = BlobStore("s3://library/blobs"), calls(s3, monkeypatch)
    kind = fsspec.get_filesystem_class("s3")
    call = kind._call_s3

    async def cut_off(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        if method == "upload_part" and kwargs["PartNumber"] == 2:
            raise OSError("the connection was cut")
        return await call(self, method, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "_call_s3", cut_off)
        with pytest.raises(EnvironmentFault, match="the connection was cut"):
            blobs.put(sha256, data)
    assert (blobs.exists(sha256), made[-1]) == (False, "list_objects_v2")
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="library")
    blobs.put(sha256, data)
    assert "complete_multipart_upload" in made
    assert blobs.is_sound(sha256)


def test_what_another_process_does_to_the_blobs_is_seen(s3: Any) -> None:
    blobs = BlobStore("s3://library/blobs")
    assert (blobs.hashes(), blobs.exists(SHA256)) == ([], False)
    s3.put_object(Bucket="library", Key=f"blobs/{SHA256[:2]}/{SHA256}.pdf", Body=DATA)
    assert blobs.exists(SHA256)
    assert blobs.hashes() == [SHA256]
    assert blobs.path(SHA256).read_bytes() == DATA
    blobs.release(SHA256)
    s3.delete_object(Bucket="library", Key=f"blobs/{SHA256[:2]}/{SHA256}.pdf")
    assert not blobs.exists(SHA256)
    with pytest.raises(IndexDamaged, match="is missing from s3://library/blobs"):
        blobs.path(SHA256)
    blobs.close()


def test_a_bucket_that_is_not_there_is_not_made(s3: Any) -> None:
    with pytest.raises(EnvironmentFault, match="can't read or write the PDFs at s3://elsewhere"):
        BlobStore("s3://elsewhere/blobs").put(SHA256, DATA)
    assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["library"]


def pdf(*pages: str) -> bytes:
    with pymupdf.open() as document:
        for text in pages:
            document.new_page().insert_text((72, 72), text)
        return document.tobytes()


def test_from_a_bucket_to_an_index_on_a_server_and_again(
    s3: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("docrag.client.MiniLM", lambda _: HashEncoder())

    def put(name: str, *pages: str) -> None:
        s3.put_object(Bucket="library", Key=f"reports/{name}.pdf", Body=pdf(*pages))

    def counts(*options: str) -> tuple[int, int, int]:
        """Of documents: ok, failed, skipped."""
        where = ["--index", f"{server.url}/library", "--blobs", "s3://library/blobs"]
        code = main(["ingest", "s3://library/reports", *where, "--ocr", "never", "--workers", "1", "--json", *options])
        tally = json.loads(capsys.readouterr().out)["documents"]
        assert code == (1 if tally["failed"] else 0)
        return tally["ok"], tally["failed"], tally["skipped"]

    put("apples", "Apples are red.", "And round.")
    put("pears", "Pears are green.")
    put("plums", "Plums are blue.")
    with QdrantStandIn(tmp_path / "server") as server:
        deny(s3, "reports/plums.pdf", "s3:GetObject")
        assert counts() == (2, 1, 0)
        s3.delete_bucket_policy(Bucket="library")
        assert counts() == (1, 0, 2)
        assert counts() == (0, 0, 3)
        with hold_lease(f"{server.url}/library", "a repair", LeaseTimes(beat_s=0.2)):
            assert main(["ingest", "s3://library/reports", "--index", f"{server.url}/library"]) == 2
        assert "is being written by a repair on" in capsys.readouterr().err
        put("pears", "Pears are yellow.")
        s3.delete_object(Bucket="library", Key="reports/plums.pdf")
        assert counts("--prune") == (1, 0, 1)
        with docrag.open(f"{server.url}/library") as library:
            names = [source.name for source in library.index.sources()]
            assert names == ["s3://library/reports/apples.pdf", "s3://library/reports/pears.pdf"]
            assert library.search("Which are yellow?", k=1)[0].page.document == library.document("pears.pdf").document
            assert len(library.page_image("apples.pdf", 2)) > 1_000
            report = library.verify()
            assert (report.findings, report.blobs) == ((), 2)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of stages, which end with their process
def test_a_pdf_that_the_store_lost_is_put_again(s3: Any, tmp_path: Path) -> None:
    """As on a cluster: it is gone between the machine that put it there and the one that reads its pages."""
    s3.put_object(Bucket="library", Key="reports/apples.pdf", Body=pdf("Apples are red.", "And round."))
    config = Config(ocr="never", workers=1)
    job = Job(str(tmp_path / "index"), "s3://library/blobs", config)
    LibraryIndex.create(job.location, replace(settings_of(config), blobs_url=job.blobs_url)).close()

    def run(*, lose: bool) -> IngestReport:
        desk = Registrar(job, IngestOptions())
        opener, reader = OpenFiles(job, desk), ReadPages(job, desk)
        chunks = opener(desk.sift(list(find_sources(["s3://library/reports"]))))
        if lose:
            blobs = BlobStore(job.blobs_url)
            blobs.delete(*blobs.hashes())
        assert desk.write(EncodePages(HashEncoder, desk)(reader(chunks))) == 2
        return desk.report(1.0)

    report = run(lose=True)
    assert (report.documents.ok, report.pages.failed) == (1, 2)
    assert {(failure.error, failure.retriable) for failure in report.failures} == {("IndexDamaged", True)}
    assert "is missing from s3://library/blobs" in report.failures[0].message
    report = run(lose=False)
    assert (report.pages.ok, report.pages.failed, report.failures) == (2, 0, ())
    with LibraryIndex.open(job.location) as index:
        assert verify(index).findings == ()
    gc.collect()
