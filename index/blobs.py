# pyright: basic
"""The PDFs of an index, kept by the sha256 of their bytes: `ab/abcdef....pdf` below a local folder or any fsspec URL.

What is there is never written again, and what is being written is never seen half: it gets its name when it is whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import IO, Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from docrag.errors import DocragError, EnvironmentFault, IndexDamaged, PdfUnreadable, UsageError

_BLOB = re.compile(r"([0-9a-f]{64})\.pdf")
_CHUNK = 2**20
# Where a put is seen whole or not at all, nothing has folders, and to rename is to copy.
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl"})


class BlobStore:
    """A content-addressed store of PDFs at `url`: a folder, or what fsspec takes (`s3://bucket/path`, `memory://name`).

    Raises UsageError on a URL that fsspec can't use, EnvironmentFault where the disk or the service refuses. Remote blobs that
    `path` was asked for are kept in a folder of this object's own until `close`.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            filesystem, root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise EnvironmentFault(f"no package for the PDFs at {url}: {error}", package_hint(url)) from error
        except ValueError as error:
            raise UsageError(
                f"not a place for blobs: {url!r} ({error})", "name a folder, or a URL that fsspec can write to"
            ) from error
        self._fs: Any = filesystem
        self._root = str(root).rstrip("/")
        self._cache: tempfile.TemporaryDirectory[str] | None = None

    def put(self, sha256: str, source: Path | bytes) -> None:
        """Keep the PDF at `source`, or these bytes; nothing is written where it is already there.

        Raises PdfUnreadable where the file can't be opened, or its bytes are not those of `sha256` any more.
        """
        with _translated(self.url):
            if self._is_there(sha256):
                return
            if _protocols(self._fs) & _OBJECT_STORES:
                self._put_object(sha256, source)
            else:
                self._put_file(sha256, source)

    def path(self, sha256: str) -> Path:
        """The PDF as a local file, fetched first where the store is remote. Raises IndexDamaged where it is missing."""
        if isinstance(self._fs, LocalFileSystem):
            local = Path(self._path(sha256))
            if not local.is_file():
                raise _missing(sha256, self.url)
            return local
        if self._cache is None:
            self._cache = tempfile.TemporaryDirectory(prefix="docrag-blobs-")
        local = Path(self._cache.name) / f"{sha256}.pdf"
        if not local.exists():
            part = local.with_suffix(".part")
            with _translated(self.url):
                if not self._is_there(sha256):
                    raise _missing(sha256, self.url)
                self._fs.get_file(self._path(sha256), str(part))
            part.rename(local)
        return local

    def release(self, sha256: str) -> None:
        """Delete the local copy of a remote blob; no error where there is none."""
        if self._cache is not None:
            (Path(self._cache.name) / f"{sha256}.pdf").unlink(missing_ok=True)

    def exists(self, sha256: str) -> bool:
        with _translated(self.url):
            return self._is_there(sha256)

    def is_sound(self, sha256: str) -> bool:
        """Whether the blob is there and its bytes are those of its name: reads all of it."""
        with _translated(self.url):
            if not self._is_there(sha256):
                return False
            with self._fs.open(self._path(sha256), "rb") as file:
                return _copy(file, None) == sha256

    def delete(self, sha256: str) -> None:
        """Remove the blob; no error where it is not there."""
        with _translated(self.url), contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(sha256))

    def hashes(self) -> list[str]:
        """The sha256 of every blob, sorted."""
        return sorted(match[1] for match in map(_BLOB.fullmatch, self._names()) if match)

    def remove_leftovers(self) -> int:
        """Delete what killed writes left behind; returns how many. Only for the one writer of an index."""
        with _translated(self.url):
            found = [path for path in self._files() if path.endswith(".part")]
            for path in found:
                self._fs.rm_file(path)
        return len(found)

    def close(self) -> None:
        """Delete the local copies of remote blobs."""
        if self._cache is not None:
            self._cache.cleanup()
            self._cache = None

    def _is_there(self, sha256: str) -> bool:
        self._fs.invalidate_cache()  # of what was listed before: another process may have written since
        try:
            self._fs.info(self._path(sha256))  # not `exists`, which many file systems say no to when they can't tell
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _put_file(self, sha256: str, source: Path | bytes) -> None:
        temporary = f"{self._root}/{sha256[:2]}/{sha256}.{uuid.uuid4().hex}.part"
        self._fs.makedirs(f"{self._root}/{sha256[:2]}", exist_ok=True)
        try:
            with _opened(source) as file, self._fs.open(temporary, "wb") as out:
                _check(_copy(file, out), sha256)
                if isinstance(self._fs, LocalFileSystem):
                    out.flush()
                    os.fsync(out.fileno())
            self._fs.mv(temporary, self._path(sha256))
        except BaseException:
            with contextlib.suppress(OSError):
                self._fs.rm(temporary)
            raise

    def _put_object(self, sha256: str, source: Path | bytes) -> None:
        """By way of a copy whose bytes are known, for the file may change, and what was sent can't be taken back."""
        with tempfile.TemporaryDirectory(prefix="docrag-blob-") as folder:
            copy = Path(folder) / "blob.pdf"
            with _opened(source) as file, copy.open("wb") as out:
                _check(_copy(file, out), sha256)
            self._fs.put_file(str(copy), self._path(sha256))

    def _names(self) -> Iterator[str]:
        with _translated(self.url):
            files = self._files()
        return (path.rsplit("/", 1)[-1] for path in files)

    def _files(self) -> list[str]:
        self._fs.invalidate_cache()
        try:
            return list(self._fs.find(self._root))
        except FileNotFoundError:
            return []

    def _path(self, sha256: str) -> str:
        return f"{self._root}/{sha256[:2]}/{sha256}.pdf"


def absolute_url(url: str) -> str:
    """A URL as it is, a local path as an absolute one: how an index stores where its PDFs are."""
    return url if "://" in url else str(Path(url).absolute())


def package_hint(url: str) -> str:
    """What to install for URLs like this one."""
    protocol = url.partition("://")[0].lower()
    return "pip install 'docrag[s3]'" if protocol in ("s3", "s3a") else "install the package that fsspec names"


def _protocols(filesystem: Any) -> set[str]:
    named = filesystem.protocol
    return {named} if isinstance(named, str) else set(named)


def _check(found: str, sha256: str) -> None:
    if found != sha256:
        raise PdfUnreadable(f"the file changed while it was read: its bytes hash to {found}, not {sha256}", "ingest it again")


def _copy(file: Any, out: Any) -> str:
    """Copy `file` to `out` (None: only read it); returns the sha256 of what went by."""
    digest = hashlib.sha256()
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
        if out is not None:
            out.write(chunk)
    return digest.hexdigest()


def _opened(source: Path | bytes) -> IO[bytes]:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    try:
        return source.open("rb")
    except OSError as error:
        raise PdfUnreadable(f"can't read the file: {error}", "check that it exists and may be read") from error


def _missing(sha256: str, url: str) -> IndexDamaged:
    return IndexDamaged(
        f"the PDF {sha256[:12]} is missing from {url}", "ingest it again; `docrag verify` lists all that is missing"
    )


@contextlib.contextmanager
def _translated(url: str) -> Generator[None]:
    """Turn what a disk or a service raises into EnvironmentFault."""
    try:
        yield
    except DocragError:
        raise
    except Exception as error:  # fsspec's many file systems raise what their libraries raise
        raise EnvironmentFault(
            f"can't read or write the PDFs at {url}: {error}", "check that the place exists, may be written to and is not full"
        ) from error
