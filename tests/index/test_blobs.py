"""PDFs by the sha256 of their bytes, in a folder and behind a URL."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from docrag.errors import EnvironmentFault, IndexDamaged, PdfUnreadable, UsageError
from docrag.index.blobs import BlobStore

DATA = b"%PDF-1.7 not much of one"
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(params=["folder", "url"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    store = BlobStore(str(tmp_path / "a folder" / "blobs") if request.param == "folder" else f"memory://{uuid.uuid4().hex}")
    yield store
    store.close()


def test_put_get_delete(blobs: BlobStore, tmp_path: Path) -> None:
    assert blobs.hashes() == []
    assert not blobs.exists(SHA256)
    assert not blobs.is_sound(SHA256)
    source = tmp_path / "a name.pdf"
    source.write_bytes(DATA)
    blobs.put(SHA256, source)
    assert blobs.path(SHA256).read_bytes() == DATA
    assert blobs.path(SHA256).name == f"{SHA256}.pdf"
    assert blobs.exists(SHA256)
    assert blobs.is_sound(SHA256)
    assert blobs.hashes() == [SHA256]
    source.write_bytes(b"changed afterwards")
    assert blobs.path(SHA256).read_bytes() == DATA
    blobs.delete(SHA256)
    blobs.delete(SHA256)
    assert blobs.hashes() == []


def test_what_is_there_is_not_written_again(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path))
    blobs.put(SHA256, DATA)
    before = blobs.path(SHA256).stat()
    assert blobs.path(SHA256) == tmp_path / SHA256[:2] / f"{SHA256}.pdf"
    blobs.put(SHA256, tmp_path / "is not even opened.pdf")
    after = blobs.path(SHA256).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_bytes_of_another_hash_are_refused_and_leave_nothing(blobs: BlobStore) -> None:
    with pytest.raises(PdfUnreadable, match="changed while it was read"):
        blobs.put(SHA256, b"other bytes")
    assert not blobs.exists(SHA256)
    assert blobs.remove_leftovers() == 0


def test_a_source_that_can_not_be_read(blobs: BlobStore, tmp_path: Path) -> None:
    with pytest.raises(PdfUnreadable, match="can't read the file"):
        blobs.put(SHA256, tmp_path / "missing.pdf")
    assert blobs.remove_leftovers() == 0


def test_a_missing_blob_names_what_to_do(blobs: BlobStore) -> None:
    with pytest.raises(IndexDamaged, match=f"the PDF {SHA256[:12]} is missing") as caught:
        blobs.path(SHA256)
    assert "ingest it again" in caught.value.hint


def test_changed_bytes_are_noticed(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path))
    blobs.put(SHA256, DATA)
    blobs.path(SHA256).write_bytes(DATA[:-1])
    assert not blobs.is_sound(SHA256)


def test_leftovers_of_a_killed_write_are_no_blobs(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path))
    blobs.put(SHA256, DATA)
    (tmp_path / SHA256[:2] / f"{SHA256}.0123.part").write_bytes(DATA[:5])
    assert blobs.hashes() == [SHA256]
    assert blobs.remove_leftovers() == 1
    assert blobs.path(SHA256).read_bytes() == DATA


def test_remote_blobs_are_fetched_once_and_dropped_on_close() -> None:
    url = f"memory://{uuid.uuid4().hex}"
    blobs = BlobStore(url)
    blobs.put(SHA256, DATA)
    local = blobs.path(SHA256)
    fsspec.filesystem("memory").rm(url, recursive=True)
    assert blobs.path(SHA256) == local
    blobs.close()
    assert not local.exists()


def test_a_url_that_nothing_can_open() -> None:
    with pytest.raises(UsageError, match="not a place for blobs: 'nosuch://bucket'"):
        BlobStore("nosuch://bucket")


def test_a_place_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EnvironmentFault, match="can't read or write the PDFs"):
        BlobStore(str(tmp_path / "file" / "blobs")).put(SHA256, DATA)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(EnvironmentFault):
        BlobStore(str(tmp_path)).put(SHA256, DATA)
