"""JSON and JSON-lines files of questions or predictions, read entry by entry, with errors that say file, entry and field."""

from __future__ import annotations

import json
import math
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from docrag.errors import UsageError
from docrag.eval.scoring import ANSWER_FORMATS, AnswerFormat, Value, read_literal

_LINES_HINT = "a file with one object a line ends in .jsonl"


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
        """1-based page numbers as they stand in the data, some of them outside their document."""
        pages = self._list("evidence_pages")
        if not all(isinstance(page, int) and not isinstance(page, bool) for page in pages):
            raise self.fault("evidence_pages", f"must hold whole page numbers, got {_shown(pages)}")
        return tuple(pages)

    def evidence_sources(self) -> tuple[str, ...]:
        sources = self._list("evidence_sources")
        if not all(isinstance(source, str) for source in sources):
            raise self.fault("evidence_sources", f"must hold strings, got {_shown(sources)}")
        return tuple(sources)

    def _list(self, name: str) -> list[Any]:
        """A list, or the text of one: the benchmark stores "[3, 5]"."""
        value = self.required(name)
        try:
            members = read_literal(value) if isinstance(value, str) else value
        except ValueError:
            members = None
        if not isinstance(members, list):
            raise self.fault(name, f"must be a list such as [3, 5], got {_shown(value)}")
        return cast(list[Any], members)


def read_entries(path: Path) -> tuple[Entry, ...]:
    """The objects of a JSON-lines file (*.jsonl; blank lines are passed over) or of a JSON file that holds a list of them.

    Raises UsageError where the file is missing, unreadable, empty or torn, or an entry is no object.
    """
    text = _read_text(path)
    if path.suffix == ".jsonl":
        # Not splitlines(): U+2028 may stand inside a string.
        lines = [(f"{path}, line {number}", line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        entries = [(where, _parse(where, line)) for where, line in lines]
    else:
        entries = [(f"{path}, entry {number}", value) for number, value in enumerate(_parse_list(path, text), 1)]
    if not entries:
        raise UsageError(f"{path} is empty: expected at least one entry")
    return tuple(_entry(where, value) for where, value in entries)


def _read_text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        looks_like = "UTF-16" if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "Latin-1 or the like"
        hint = f"it looks like {looks_like}: save it as UTF-8"
        raise UsageError(f"{path}, line {line}: not UTF-8 text: {error.reason}", hint) from None


def _entry(where: str, value: Any) -> Entry:
    if not isinstance(value, dict):
        raise UsageError(f"{where}: must be a JSON object, got {_shown(value)}")
    return Entry(where, cast(dict[str, Any], value))


def _parse_list(path: Path, text: str) -> list[Any]:
    if not text.strip():
        return []
    value = _parse(str(path), text, _LINES_HINT)
    if not isinstance(value, list):
        raise UsageError(f"{path} must hold a list of objects, got {_shown(value)}", _LINES_HINT)
    return cast(list[Any], value)


def _parse(where: str, text: str, hint: str = "") -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}"
        hint = hint if error.msg == "Extra data" else ""
        raise UsageError(f"{where}: not JSON, or torn: {error.msg} at {place}", hint) from None
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 100,000 brackets
        raise UsageError(f"{where}: not JSON that can be read: {error}") from None


def _is_scalar(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    return not isinstance(value, float) or math.isfinite(value)


def _shown(value: Any) -> str:
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else f"{text[:60]}..."
