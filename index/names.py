"""From what a person types to documents, and back: full names, path suffixes, globs, and the shortest name that is unique."""

from __future__ import annotations

import difflib
import fnmatch
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from docrag.errors import AmbiguousDocument, UnknownDocument
from docrag.types import Failure

_GLOB = re.compile(r"[*?\[]")
_HASH = re.compile(r"[0-9a-f]{8,64}")


def resolve_names(
    patterns: Sequence[str],
    names: Mapping[str, str],
    hashes: Iterable[str],
    failed: Callable[[], Mapping[str, Failure]] = dict,
) -> list[str]:
    """The sha256 of the documents that `patterns` mean, each once, in order.

    `names` maps every source name to its document's sha256; `hashes` are all documents', which their first 8 digits or more
    mean as well. A pattern is a full name, a path (taken from the current folder), the end of exactly one name from a "/" on,
    or a glob over either, which may mean many. Raises AmbiguousDocument, and UnknownDocument: with why the file failed where
    it is one of those that `failed` gives (asked only then), else with the nearest names.
    """
    known = sorted(hashes)
    found: dict[str, None] = {}
    for pattern in patterns:
        meant = _resolve(pattern, names, known)
        if not meant:
            raise _failed(pattern, failed()) or _unknown(pattern, names)
        found.update(dict.fromkeys(meant))
    return list(found)


def _resolve(pattern: str, names: Mapping[str, str], hashes: Sequence[str]) -> list[str]:
    """The documents that `pattern` means, none where nothing is called so."""
    for exact in (pattern, os.path.normpath(Path.cwd() / pattern)):
        if exact in names:
            return [names[exact]]
    ends = [name for name in names if name.endswith(f"/{pattern}")] if pattern else []
    matches = {names[name] for name in ends}
    if len(matches) > 1:
        raise AmbiguousDocument(
            f"{pattern!r} means {len(matches)} documents: {_listed(sorted(ends))}",
            "write more of its path, or use a glob to mean all",
        )
    if matches:
        return list(matches)
    if _GLOB.search(pattern):
        globbed = [names[name] for name in sorted(names) if _globs(name, pattern)]
        if globbed:
            return globbed
    if _HASH.fullmatch(pattern) and (begun := [sha256 for sha256 in hashes if sha256.startswith(pattern)]):
        if len(begun) > 1:
            raise AmbiguousDocument(f"{pattern!r} begins {len(begun)} documents: {_listed(begun)}", "write more digits")
        return begun
    return []


def _globs(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"*/{pattern}")


def _failed(pattern: str, failures: Mapping[str, Failure]) -> UnknownDocument | None:
    """Why a file that `pattern` means is no document; None where it means none that failed."""
    full = os.path.normpath(Path.cwd() / pattern)
    meant = [name for name in sorted(failures) if name in (pattern, full) or (pattern and name.endswith(f"/{pattern}"))]
    if not meant and _GLOB.search(pattern):
        meant = [name for name in sorted(failures) if _globs(name, pattern)]
    if not meant:
        return None
    failure = failures[meant[0]]
    more = f" (and {len(meant) - 1} more of that name failed)" if len(meant) > 1 else ""
    return UnknownDocument(
        f"{meant[0]!r} could not be ingested: {failure.message}{more}",
        failure.hint or "mend the file and ingest it again",
    )


def _unknown(pattern: str, names: Mapping[str, str]) -> UnknownDocument:
    by_end = {name.rsplit("/", 1)[-1]: name for name in names}
    near = difflib.get_close_matches(pattern.rsplit("/", 1)[-1], by_end, n=3, cutoff=0.5)
    if near:
        return UnknownDocument(f"no document is called {pattern!r}", f"did you mean {_listed(near)}?")
    return UnknownDocument(f"no document is called {pattern!r}", "`docrag list` shows the names of all documents")


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more


def short_names(names: Mapping[str, str]) -> dict[str, str]:
    """For each document (sha256) the shortest path suffix, in whole parts, of one of its names that means no other document."""
    by_end: dict[str, list[str]] = {}
    for name in names:
        by_end.setdefault(name.rsplit("/", 1)[-1], []).append(name)
    short: dict[str, str] = {}
    for name in sorted(names):
        suffix = _shortest(name, names, by_end[name.rsplit("/", 1)[-1]])
        if names[name] not in short or len(suffix) < len(short[names[name]]):
            short[names[name]] = suffix
    return short


def _shortest(name: str, names: Mapping[str, str], alike: Sequence[str]) -> str:
    others = [other for other in alike if names[other] != names[name]]
    parts = name.split("/")
    for count in range(1, len(parts)):
        suffix = "/".join(parts[-count:])
        others = [other for other in others if other.endswith(f"/{suffix}") or other == suffix]
        if suffix and not others:
            return suffix
    return name
