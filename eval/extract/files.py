"""A file of free-form responses -> the same lines with short answers, as `docrag score` takes them. Can be taken up again."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docrag.errors import EnvironmentFault, ReaderError, UsageError
from docrag.eval.entries import Entry, parse_lines, read_entries
from docrag.eval.extract.extracted import Extracted, Extractor
from docrag.eval.in_flight import ask_all, check_limit
from docrag.eval.scoring import FAIL_TO_ANSWER
from docrag.types import NOT_ANSWERABLE

_ADDED = ("prediction", "extracted_by", "extracted_format", "extracted_how")
_ANOTHER = "name another file by --out"
_FAILED = "failed: "  # begins `extracted_how` of a line that the next run takes up
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class ExtractionReport:
    """What became of a file's lines: lines = kept + extracted + unparsed + failed + left_alone.

    `kept` were there from an earlier run; `unparsed` have a reply that can't be read and `failed` none: both have a null
    prediction, which is unscored. `left_alone` have a prediction and no response. `refused` ("Not answerable") and `unread`
    ("Fail to answer") are counted over all predictions of the file.
    """

    out: Path
    extractor: str
    lines: int
    kept: int
    extracted: int
    unparsed: int
    failed: int
    left_alone: int
    refused: int
    unread: int

    @property
    def complete(self) -> bool:
        return not self.failed

    def to_json(self) -> dict[str, Any]:
        names = ("lines", "kept", "extracted", "unparsed", "failed", "left_alone", "refused", "unread")
        return {"out": str(self.out), "extractor": self.extractor, **{name: getattr(self, name) for name in names}}

    def to_text(self) -> str:
        parts = [f"{self.extracted} extracted", f"{self.kept} were there", f"{self.left_alone} had a prediction already"]
        parts += [f"{self.unparsed} with a reply that can't be read", f"{self.failed} failed"]
        told = ", ".join(part for part in parts if not part.startswith("0 ")) or "nothing to do"
        lines = [f"{self.lines} lines: {told}", f"{self.refused} not answerable, {self.unread} could not be read"]
        if self.failed:
            lines.append("run it again to ask for those that failed")
        return "\n".join([*lines, f"written to {self.out}"])


def extract_file(
    path: Path, out: Path, extractor: Extractor, workers: int = 1, progress: Progress | None = None
) -> ExtractionReport:
    """Write the lines of `path` to `out`, with `prediction`, `extracted_by`, `extracted_format` and `extracted_how`.

    Lines with a `response` need a `question`; lines without one need a `prediction`. Each line is written whole as soon as it
    is there, and lines that an earlier run left in `out` are kept, but for those that failed. `workers` lines are extracted
    at once. Raises UsageError where `path` can't be used, or `out` is of other lines, another extractor or something else,
    and is then left as it is; EnvironmentFault where it can't be written, or the extractor can't be used at all.
    """
    check_limit(workers, "responses")
    if path.resolve() == out.resolve():
        raise UsageError(f"{path} would be written over itself", _ANOTHER)
    if out.suffix != ".jsonl":  # by which it is known what a file holds
        raise UsageError(f"the answers are written one object a line, into a file that ends in .jsonl, got {out}", _ANOTHER)
    entries = read_entries(path)
    by_key = dict(zip(_keys(entry.fields for entry in entries), map(_checked, entries), strict=True))
    with _disk_faults(out):
        done = _read_done(out, by_key, extractor.name)
    report = progress or _no_progress
    report(len(done), len(by_key))
    kept = sum(_has_response(by_key[key]) for key in done)
    asked = [key for key in by_key if key not in done]

    def extract(key: str) -> tuple[str, Mapping[str, Any]]:
        return key, _line(by_key[key], extractor)

    def keep(extracted: tuple[str, Mapping[str, Any]]) -> None:
        key, line = extracted
        _append(out, line)
        done[key] = line

    ask_all(asked, extract, keep, workers, lambda: report(len(done), len(by_key)))
    if list(done) != list(by_key):
        _write_whole(out, [done[key] for key in by_key])
    return _report(out, extractor.name, kept, [done[key] for key in asked], list(done.values()))


def _checked(entry: Entry) -> Entry:
    """Raises UsageError where there is nothing to extract from and nothing to leave alone."""
    entry.optional_text("response")
    if _has_response(entry):
        entry.text("question")
    elif not (entry.has("prediction") or entry.has("pred")):
        raise entry.fault("response", "is missing, and so is prediction")
    return entry


def _has_response(entry: Entry) -> bool:
    """An empty response counts where there is no prediction beside it."""
    response = entry.fields.get("response")
    return response is not None and (bool(response.strip()) or not (entry.has("prediction") or entry.has("pred")))


def _keys(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Of each line a hash of all that extraction does not add, and its ordinal among equals."""
    seen: Counter[str] = Counter()
    keys: list[str] = []
    for line in lines:
        own = {name: value for name, value in line.items() if name not in _ADDED}
        digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()
        keys.append(f"{digest} {seen[digest]}")
        seen[digest] += 1
    return keys


def _line(entry: Entry, extractor: Extractor) -> Mapping[str, Any]:
    if not _has_response(entry):
        return entry.fields
    try:
        extracted = extractor.extract(entry.text("question"), entry.fields["response"])
    except ReaderError as error:
        extracted = Extracted.nothing(f"{_FAILED}{error.message}")
    added = (extracted.answer, extractor.name, extracted.answer_format, extracted.how)
    return {**entry.fields, **dict(zip(_ADDED, added, strict=True))}


def _failed(line: Mapping[str, Any]) -> bool:
    return str(line.get("extracted_how", "")).startswith(_FAILED)


def _read_done(out: Path, by_key: Mapping[str, Entry], name: str) -> dict[str, Mapping[str, Any]]:
    """The lines of an earlier run by their keys, without one that it did not finish and those to be made again.

    Nothing is written before all of the file has turned out to be ours.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.exists():
        return {}
    data = out.read_bytes()
    whole = data.rfind(b"\n") + 1
    lines = _own_lines(out, data[:whole])
    written = dict(zip(_keys(lines), lines, strict=True))
    torn = data[whole:]
    if written.keys() - by_key.keys() or (torn and not any(_begins(torn, entry) for entry in by_key.values())):
        raise UsageError(f"{out} holds lines of another file, or something else", _ANOTHER)
    authors = {line.get("extracted_by") for key, line in written.items() if _has_response(by_key[key])} - {name}
    if authors:
        author = authors.pop()
        what = f"was extracted by {author}, not by {name}" if author else f"holds responses without answers of {name}"
        raise UsageError(f"{out} {what}", _ANOTHER)
    done = {key: line for key, line in written.items() if _is_done(line, by_key[key])}
    if torn or len(done) < len(written):
        _write_whole(out, list(done.values()))
    return done


def _own_lines(out: Path, data: bytes) -> list[Mapping[str, Any]]:
    try:
        return [entry.fields for entry in parse_lines(out, data)]
    except UsageError as error:
        raise UsageError(f"{out} is there, and is no file of extracted answers: {error.message}", _ANOTHER) from None


def _begins(torn: bytes, entry: Entry) -> bool:
    """Whether a line that was not finished is the beginning of what is written for `entry`."""
    if not _has_response(entry):
        return json.dumps(entry.fields).encode().startswith(torn)
    own = dict(itertools.takewhile(lambda field: field[0] not in _ADDED, entry.fields.items()))
    first = next((name for name in entry.fields if name in _ADDED), _ADDED[0])
    known = json.dumps({**own, first: None}).removesuffix("null}").encode()
    return known.startswith(torn) or torn.startswith(known)


def _is_done(line: Mapping[str, Any], entry: Entry) -> bool:
    """What is left alone is done as it stands in the responses: its prediction may have been edited since."""
    return not _failed(line) if _has_response(entry) else line == entry.fields


def _append(out: Path, line: Mapping[str, Any]) -> None:
    with _disk_faults(out), out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def _write_whole(out: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    temporary = out.with_name(out.name + ".tmp")
    with _disk_faults(out):
        temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        temporary.replace(out)


def _report(
    out: Path, name: str, kept: int, asked: Sequence[Mapping[str, Any]], lines: Sequence[Mapping[str, Any]]
) -> ExtractionReport:
    tried = [line for line in asked if line.get("extracted_by") == name]
    failed = sum(map(_failed, tried))
    given = sum(line["prediction"] is not None for line in tried)
    predictions = [line.get("prediction") for line in lines]
    return ExtractionReport(
        out=out,
        extractor=name,
        lines=len(lines),
        kept=kept,
        extracted=given,
        unparsed=len(tried) - given - failed,
        failed=failed,
        left_alone=len(lines) - kept - len(tried),
        refused=predictions.count(NOT_ANSWERABLE),
        unread=predictions.count(FAIL_TO_ANSWER),
    )


def _no_progress(done: int, total: int) -> None:
    pass


@contextmanager
def _disk_faults(out: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"cannot write {out}: {error.strerror or error}") from error
