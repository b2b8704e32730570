"""JSON and JSON-lines files of questions or predictions, read entry by entry, with errors that say file, entry and field."""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from docrag.errors import UsageError
from docrag.eval.scoring import ANSWER_FORMATS, AnswerFormat, Value, read_literal
from docrag.types import NOT_ANSWERABLE

_LINES_HINT = "a file with one object a line ends in .jsonl"
_LIST_HINT = "the file holds one JSON list: a file with a list ends in .json"
_OBJECT_HINT = "the file holds one JSON object over several lines: write it on one line, or as a list in a .json file"
_WHOLE_FILE_HINT = "the file is one whole JSON list of objects: write it again, or mend that place"
_TORN_HINT = "each line is one whole JSON object: write this one again, or take it out"
_WIDTHS = {b"\0\0\0\1": "UTF-32", b"\1\0\0\0": "UTF-32", b"\0\1\0\1": "UTF-16", b"\1\0\1\0": "UTF-16"}  # of its first 4 bytes
_PACKED = (
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"PK\x03\x04", "a zip archive", "unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive", "unpack it first"),
    (b"PAR1", "a Parquet table", "write its rows as JSON, one object a line, into a file that ends in .jsonl"),
)
_MARKS = (
    (BOM_UTF32_LE, "UTF-32"),  # before that of UTF-16, with which it begins
    (BOM_UTF32_BE, "UTF-32"),
    (BOM_UTF16_LE, "UTF-16"),
    (BOM_UTF16_BE, "UTF-16"),
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a file. `where` names it in errors, as in "gold.jsonl, line 3"."""

    where: str
    fields: Mapping[str, Any]

    def fault(self, name: str, problem: str) -> UsageError:
        return UsageError(f"{self.where}: {name} {problem}")

    def has(self, name: str) -> bool:
        return name in self.fields

    def required(self, name: str) -> Any:
        if name not in self.fields:
            raise self.fault(name, "is missing")
        return self.fields[name]

    def text(self, name: str) -> str:
        """A string with something in it."""
        value = self.required(name)
        if not isinstance(value, str):
            raise self.fault(name, f"must be a string, got {_shown(value)}")
        if not value.strip():
            raise self.fault(name, "is empty")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string, which may be empty; None where there is none, or null."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise self.fault(name, f"must be a string, got {_shown(value)}")
        return value

    def value(self, name: str) -> Value:
        """A string, a finite number, or a flat list of such."""
        value = self.required(name)
        members = cast(list[Any], value) if isinstance(value, list) else [value]
        if not all(_is_scalar(member) for member in members):
            raise self.fault(name, f"must be a string, a number or a list of such, got {_shown(value)}")
        return cast(Value, value)

    def any_value(self, name: str) -> Value:
        """Anything but null."""
        value = self.required(name)
        if value is None:
            raise self.fault(name, "is null")
        return value

    def answer_format(self) -> AnswerFormat:
        value = self.required("answer_format")
        if value not in ANSWER_FORMATS:
            raise self.fault("answer_format", f"must be one of {', '.join(ANSWER_FORMATS)}, got {_shown(value)}")
        return value

    def evidence_pages(self) -> tuple[int, ...]:
        """1-based page numbers as they stand in the data, some of them outside their document; 3.0 is page 3."""
        pages = self._list("evidence_pages", "[3, 5]")
        if not all(_is_scalar(page) and not isinstance(page, str) and page == int(page) for page in pages):
            raise self.fault("evidence_pages", f"must hold whole page numbers, got {_shown(pages)}")
        return tuple(map(int, pages))

    def evidence_sources(self) -> tuple[str, ...]:
        sources = self._list("evidence_sources", "['Table', 'Chart']")
        if not all(isinstance(source, str) for source in sources):
            raise self.fault("evidence_sources", f"must hold strings, got {_shown(sources)}")
        return tuple(sources)

    def without_nulls(self) -> Entry:
        """Tools that write tables make nulls of the format "None", and of what such a question has for an answer."""
        fields = dict(self.fields)
        if "answer_format" in fields and fields["answer_format"] is None and fields.get("answer") in (None, NOT_ANSWERABLE):
            fields["answer_format"] = "None"
        if "answer" in fields and fields["answer"] is None and fields.get("answer_format") == "None":
            fields["answer"] = NOT_ANSWERABLE
        return Entry(self.where, fields)

    def _list(self, name: str, example: str) -> list[Any]:
        """A list, or the text of one, or of a tuple: the benchmark stores "[3, 5]"."""
        value = self.required(name)
        try:
            members = read_literal(value) if isinstance(value, str) else value
        except ValueError:
            members = None
        if not isinstance(members, list | tuple):
            raise self.fault(name, f"must be a list such as {example}, got {_shown(value)}")
        return list(cast("list[Any]", members))


def read_entries(path: Path) -> tuple[Entry, ...]:
    """The objects of a JSON-lines file (*.jsonl; blank lines are passed over) or of a JSON file that holds a list of them.

    Raises UsageError where the file is missing, unreadable, empty or torn, or an entry is no object.
    """
    content = _read(path)
    entries = parse_lines(path, content) if path.suffix == ".jsonl" else _list_entries(path, _decode(path, content))
    if not entries:
        raise UsageError(f"{path} is empty: expected at least one entry")
    return entries


def parse_lines(path: Path, content: bytes) -> tuple[Entry, ...]:
    """The objects in the lines of `content`, which stands in `path`. Raises UsageError on a line that is none."""
    text = _decode(path, content)
    # Not splitlines(): U+2028 may stand inside a string. A string holds no line end as it is, so "\r" alone ends lines as well.
    lines = text.split("\n" if "\n" in text else "\r")
    numbered = [(f"{path}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip()]
    try:
        return tuple(_entry(where, _parse(where, line, one_line=True), _TORN_HINT) for where, line in numbered)
    except UsageError as error:
        raise UsageError(error.message, _whole_hint(text) or error.hint) from None


def _list_entries(path: Path, text: str) -> tuple[Entry, ...]:
    return tuple(_entry(f"{path}, entry {number}", value) for number, value in enumerate(_parse_list(path, text), 1))


def _whole_hint(text: str) -> str:
    """What to do with a file whose lines are no objects, but all of which is JSON."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    return _LIST_HINT if isinstance(whole, list) else _OBJECT_HINT if isinstance(whole, dict) else ""


def _read(path: Path) -> bytes:
    if path.is_dir():
        raise UsageError(f"{path} is a folder: expected a file", "name a .jsonl file with one object a line, or a .json file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None


def _decode(path: Path, content: bytes) -> str:
    for magic, what, hint in _PACKED:
        if content.startswith(magic):
            raise UsageError(f"{path} is {what}: expected JSON in UTF-8", hint)
    try:
        text = content.decode("utf-8-sig")
        reason, at = "it holds NUL bytes", content.find(b"\0")
    except UnicodeDecodeError as error:
        text, reason, at = "", error.reason, error.start
    if at < 0:
        return text
    line = content.count(b"\n", 0, at) + 1
    raise UsageError(f"{path}, line {line}: not UTF-8 text: {reason}", _encoding_hint(content))


def _encoding_hint(content: bytes) -> str:
    """JSON begins with two characters of ASCII, by which RFC 4627 tells the wide encodings apart."""
    named = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    looks_like = named or _WIDTHS.get(bytes(map(bool, content[:4])), "")
    if not looks_like and b"\0" in content:
        return "it is damaged, or no text: write it again"
    return f"it looks like {looks_like or 'Latin-1 or the like'}: save it as UTF-8"


def _entry(where: str, value: Any, hint: str = "") -> Entry:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: must be a JSON object, got {_shown(value)}", hint)
    return Entry(where, cast(dict[str, Any], value))


def _parse_list(path: Path, text: str) -> list[Any]:
    if not text.strip():
        return []
    value = _parse(str(path), text, _LINES_HINT)
    if not isinstance(value, list):
        raise UsageError(f"{path} must hold a list of objects, got {_shown(value)}", _LINES_HINT)
    return cast(list[Any], value)


def _parse(where: str, text: str, hint: str = "", *, one_line: bool = False) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if one_line else f"line {error.lineno} column {error.colno}"
        hint = _TORN_HINT if one_line else hint if error.msg == "Extra data" else _WHOLE_FILE_HINT
        raise UsageError(f"{where}: not JSON, or torn: {error.msg.removesuffix(' at')} at {place}", hint) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 100,000 brackets
        raise UsageError(f"{where}: not JSON that can be read: {error}", _TORN_HINT if one_line else "") from None


def _is_scalar(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:60]}..."
