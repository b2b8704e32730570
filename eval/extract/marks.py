"""Answers that a response marks as such: "Answer: ...", a heading, a box, JSON."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from docrag.pipelines.reading import Unreadable, find_object

_KEYS = ("answer", "final_answer", "short_answer", "extracted_answer")
_LABEL = re.compile(
    r"\b(?:final |short |extracted |correct |direct )?answer(?: to (?:the|this|your) question)?[*_]{0,2}"
    r"(?:\s?[:=]|\s(?:is|are|would be|must be)\b\s?:?)[ \t*_]{0,4}",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^[#*_ ]{1,8}(?:final |short )?answer[*_: ]{0,4}$", re.IGNORECASE | re.MULTILINE)
_MATH = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\{([^{}]{0,500})\}")
_BOX_CHARACTERS = 2_000


def marked_answer(text: str) -> tuple[str | list[str], str] | None:
    """The last answer that `text` marks, a text or a list of texts, and how it is marked; None where none is."""
    if '"' in text and any(f'"{key}"' in text for key in _KEYS):
        with suppress(Unreadable, RecursionError):  # JSON that can be read so deep can't be written so deep
            found = find_object(text, _KEYS)
            return as_text(next(found[key] for key in _KEYS if key in found)), "json"
    if (boxed := _boxed(text)) is not None:
        return boxed, "box"
    return _labelled(text)


def as_text(value: Any) -> str | list[str]:
    """What a JSON value says, as a text or a list of texts."""
    if isinstance(value, list):
        return [item if isinstance(item, str) else json.dumps(item, ensure_ascii=False) for item in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if value is None:
        return "Not answerable"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _labelled(text: str) -> tuple[str, str] | None:
    marks = [match for pattern in (_LABEL, _HEADING) for match in pattern.finditer(text)]
    for mark in sorted(marks, key=lambda match: match.end(), reverse=True):
        rest = text[mark.end() :].lstrip("\n\r \t*_")
        block = rest.split("\n\n", 1)[0].strip()
        if block:
            return block, "label"
    return None


def _boxed(text: str) -> str | None:
    """What stands in the last LaTeX box."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    start += len("\\boxed{")
    depth = 1
    for at in range(start, min(len(text), start + _BOX_CHARACTERS)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            inner = _MATH.sub(r"\1", text[start:at])
            return inner.replace("\\%", "%").replace("\\$", "$").replace("\\,", "").strip()
    return None
