"""What the user names -> files to ingest: files, folders, globs, a list on standard input, and any fsspec URL.

What is named and can't be had is a `Failure` beside the files: one wrong path does not stop the others.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from docrag.errors import EnvironmentFault
from docrag.index.blobs import package_hint
from docrag.index.location import MARKER
from docrag.types import Failure

STDIN = "-"
Facts = Mapping[str, Any]
"""What a file system says of a file: name, size, type, and something that changes with its bytes."""
_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_GLOB = re.compile(r"[*?\[]")
_PDF_URL = re.compile(r"\.pdf(\?|$)", re.IGNORECASE)  # asking a web server whether such a thing is a folder loads all of it
_COPY_BYTES = 1 << 20
_GONE = frozenset({404, 410})  # in HTTP


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file as it was found: `version` is its modification time in nanoseconds, or the ETag (or its like) of a remote one."""

    name: str
    size: int
    version: str

    @property
    def is_remote(self) -> bool:
        return is_url(self.name)


def is_url(name: str) -> bool:
    return bool(_URL.match(name))


def read_names(stream: IO[bytes]) -> tuple[str, ...]:
    """The names in a list: separated by NUL where it holds one (names may hold newlines), else one a line."""
    data = stream.read()
    names = data.split(b"\0") if b"\0" in data else [line.removesuffix(b"\r") for line in data.split(b"\n")]
    return tuple(os.fsdecode(name) for name in names if name.strip())


def find_sources(names: Iterable[str]) -> Iterator[SourceFile | Failure]:
    """The PDF files that `names` lead to, each once, in the order of the names and sorted inside a folder.

    A folder gives the files below it that end in .pdf, links followed, each folder once; a file that is named itself is taken
    whatever it is called. A name that leads to nothing is a `Failure`.
    """
    seen: set[str] = set()
    for name in names:
        for found in _find(name):
            key = found.name if isinstance(found, SourceFile) else found.document
            if key not in seen:
                seen.add(key)
                yield found


@contextlib.contextmanager
def local_copy(source: SourceFile) -> Generator[Path]:
    """The path to read `source` from: its own, a temporary link where that is no UTF-8, a temporary copy of a remote one.

    Raises OSError where it can't be read, EnvironmentFault where fsspec lacks a package for the URL.
    """
    if not source.is_remote and _is_utf8(source.name):
        yield Path(source.name)
        return
    with tempfile.TemporaryDirectory(prefix="docrag-source-") as folder:
        path = Path(folder) / "source.pdf"
        if source.is_remote:
            _download(source.name, path)
        else:
            path.symlink_to(source.name)  # MuPDF takes no other names
        yield path


def is_gone(name: str) -> bool:
    """Whether nothing is there under `name` any more; False where that can't be told (a server that does not answer)."""
    if not is_url(name):
        return _is_gone_locally(name)
    try:
        files, path = _filesystem(name)
        files.info(path)  # not `exists`, which is False on the web where the server is down
    except FileNotFoundError as error:
        return _is_absence(name, error)
    except Exception:  # noqa: BLE001 -- fsspec's many file systems raise what their libraries raise
        return False
    return False


def _is_absence(name: str, error: FileNotFoundError) -> bool:
    """Whether a file is not there, and not just out of reach: on the web fsspec says of all that goes wrong that it is not."""
    cause = error.__cause__
    return not (_is_web(name) and cause) or isinstance(cause, FileNotFoundError) or getattr(cause, "status", 0) in _GONE


def _is_gone_locally(name: str) -> bool:
    try:
        os.lstat(name)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:  # it may be there, where we may not look
        return False
    return False


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # a file name of other bytes, which Python keeps as lone surrogates
        return False
    return True


def _download(url: str, path: Path) -> None:
    files, remote = _filesystem(url)
    try:
        with files.open(remote, "rb") as incoming, path.open("wb") as outgoing:
            while block := incoming.read(_COPY_BYTES):
                outgoing.write(block)
    except OSError:
        raise
    except Exception as error:  # fsspec's many file systems raise what their libraries raise
        raise OSError(f"{type(error).__name__}: {error}") from error


def source_failure(name: str, message: str, hint: str = "", *, error: str = "SourceMissing", retriable: bool = True) -> Failure:
    # A list may name a million files that are not there, for the same reason all of them.
    return Failure(name, "source", sys.intern(error), sys.intern(message), hint, retriable=retriable)


def _find(name: str) -> Iterator[SourceFile | Failure]:
    try:
        yield from _find_remote(name) if is_url(name) else _find_local(name)
    except EnvironmentFault as error:
        yield source_failure(name, error.message, error.hint, error="EnvironmentFault")
    except Exception as error:  # noqa: BLE001 -- fsspec's many file systems raise what their libraries raise
        yield source_failure(name, f"can't be listed: {error}", "is it there, and may it be read?", error=type(error).__name__)


def _find_local(name: str) -> Iterator[SourceFile | Failure]:
    if not name.strip():
        yield source_failure(repr(name), "an empty name", "name a file, a folder, a glob or a URL", error="EmptyName")
        return
    path = os.path.abspath(os.path.expanduser(name))
    if os.path.isdir(path):
        yield from _listed(name, _walk(path))
    elif os.path.lexists(path) or not _GLOB.search(name):
        yield _local_file(path)
    else:
        matches = sorted(glob.glob(path, recursive=True))
        files = [match for match in matches if not os.path.isdir(match)]
        yield from _listed(name, files or [file for match in matches for file in _walk(match)])


def _listed(name: str, paths: Iterable[str | Failure]) -> Iterator[SourceFile | Failure]:
    found = False
    for path in paths:
        found = True
        yield path if isinstance(path, Failure) else _local_file(path)
    if not found:
        yield source_failure(name, "no PDF there", "name a folder with .pdf files in it, or the files themselves")


def _local_file(path: str) -> SourceFile | Failure:
    try:
        status = os.stat(path)
    except OSError as error:
        hint = "check the path" if isinstance(error, FileNotFoundError) else "check the permissions"
        return source_failure(path, error.strerror or str(error), hint, error=type(error).__name__)
    if not os.path.isfile(path):
        return source_failure(path, "not a file", "name a PDF file or a folder", error="NotAFile")
    return SourceFile(path, status.st_size, str(status.st_mtime_ns))


def _walk(folder: str) -> Iterator[str | Failure]:
    """The PDF files below `folder`; a folder that links lead to again is not entered twice, an index of docrag not at all."""
    entered: set[tuple[int, int]] = set()
    closed: list[OSError] = []
    for root, folders, files in os.walk(folder, followlinks=True, onerror=closed.append):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in entered:
            folders.clear()
            continue
        entered.add((status.st_dev, status.st_ino))
        if MARKER in files:
            folders.clear()  # the PDFs in there are copies of its own
            continue
        folders.sort()
        yield from (os.path.join(root, file) for file in sorted(files) if file.lower().endswith(".pdf"))
    for error in closed:
        yield source_failure(
            str(error.filename), error.strerror or str(error), "check the permissions", error=type(error).__name__
        )


def _find_remote(url: str) -> Iterator[SourceFile | Failure]:
    files, path = _filesystem(url)
    first, chain, rest = url.partition("::")  # as in zip://folder::https://host/archive.zip
    listed = _list_remote(files, path, first)
    if listed is None:
        yield _remote_file(files, path, url)
        return
    if not listed:
        yield source_failure(url, "no PDF there", "name a folder with .pdf files in it, or the files themselves")
    for found in sorted(listed):
        name = (found if is_url(found) else f"{first.split('://')[0]}://{found}") + chain + rest
        yield _remote_file(files, found, name, listed.pop(found))


def _list_remote(files: Any, path: str, url: str) -> dict[str, Facts] | None:
    """The PDF files below a folder, or what a glob leads to, with what the listing says of each; None: `path` is a file.

    A listing comes by the thousand: a bucket of a million objects is asked a thousand times, not once for each of them.
    """
    if _is_remote_glob(url):
        return _matches(files, path)
    if _PDF_URL.search(url) or (_is_web(url) and not files.isdir(path)):
        return None
    found: dict[str, Facts] = files.find(path, detail=True)
    if list(found) == [path] or not (found or files.isdir(path)):
        return None
    return _pdfs(found)


def _matches(files: Any, pattern: str) -> dict[str, Facts] | None:
    matches: dict[str, Facts] = files.glob(pattern, detail=True)
    found = {path: facts for path, facts in matches.items() if facts.get("type") != "directory"}
    if not matches and files.exists(pattern):
        return None  # a name with such characters in it
    return found or {path: facts for folder in matches for path, facts in _pdfs(files.find(folder, detail=True)).items()}


def _pdfs(found: Mapping[str, Facts]) -> dict[str, Facts]:
    return {path: facts for path, facts in found.items() if path.lower().endswith(".pdf")}


def _is_web(url: str) -> bool:
    return url.lower().startswith("http")


def _is_remote_glob(url: str) -> bool:
    return "*" in url if _is_web(url) else bool(_GLOB.search(url))  # on the web "?" begins a query


def _remote_file(files: Any, path: str, name: str, listed: Facts | None = None) -> SourceFile | Failure:
    """A file as its listing describes it, or where that does not say which version it is, as it says itself."""
    if listed is None or not _version(listed):
        try:
            listed = files.info(path)
        except Exception as error:  # noqa: BLE001 -- fsspec's many file systems raise what their libraries raise
            if isinstance(error, FileNotFoundError) and _is_absence(name, error):
                return source_failure(name, "no such file", "check the URL", error="FileNotFoundError")
            why = error.__cause__ if isinstance(error, FileNotFoundError) else error
            hint = "does the server answer, and may it be read?"
            return source_failure(name, f"can't be looked at: {why}", hint, error=type(why).__name__)
    facts = listed or {}
    return SourceFile(name, int(facts.get("size") or 0), _version(facts))


def _version(facts: Facts) -> str:
    return next((str(facts[key]) for key in ("ETag", "etag", "mtime", "LastModified", "created") if facts.get(key)), "")


def _filesystem(url: str) -> tuple[Any, str]:
    """The file system of a URL, which has forgotten what it listed before, and the path in it."""
    import fsspec.core

    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url)  # pyright: ignore[reportUnknownVariableType]
    except (ImportError, ValueError) as error:
        raise EnvironmentFault(f"no file system for {url}: {error}", package_hint(url)) from error
    found[0].invalidate_cache()
    return found
