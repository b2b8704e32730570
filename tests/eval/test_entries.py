"""Files of questions or predictions that can't be read are named, with the line and what to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from docrag.errors import UsageError
from docrag.eval.entries import read_entries

LINES = '{"answer": "Gala"}\n{"answer": "Käse"}\n'


def fault(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        read_entries(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("encoding", "problem"),
    [
        ("latin-1", "line 2: not UTF-8 text: invalid continuation byte\n  it looks like Latin-1 or the like: save it as UTF-8"),
        ("utf-16", "line 1: not UTF-8 text: invalid start byte\n  it looks like UTF-16: save it as UTF-8"),
        ("utf-16-le", "line 2: not UTF-8 text: invalid start byte\n  it looks like Latin-1 or the like: save it as UTF-8"),
    ],
)
def test_another_encoding_is_named_with_its_line(tmp_path: Path, encoding: str, problem: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(LINES.encode(encoding))
    if encoding == "utf-16-le":
        assert fault(path).startswith(f"{path}, line 2: not UTF-8 text")
    else:
        assert fault(path) == f"{path}, {problem}"


def test_a_byte_order_mark_of_utf_8_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(LINES, encoding="utf-8-sig")
    assert [entry.fields["answer"] for entry in read_entries(path)] == ["Gala", "Käse"]


def test_lines_in_a_file_that_is_not_called_so(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(LINES, encoding="utf-8")
    problem = f"{path}: not JSON, or torn: Extra data at line 2 column 1"
    assert fault(path) == f"{problem}\n  a file with one object a line ends in .jsonl"


def test_windows_line_ends_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(LINES.replace("\n", "\r\n\r\n").encode())
    assert [entry.where for entry in read_entries(path)] == [f"{path}, line 1", f"{path}, line 3"]


@pytest.mark.parametrize("line", ['{"a": ' + "[" * 100_000, '{"a": ' + "9" * 5000 + "}", '{"a": 1', "5", "null", "{'a': 1}"])
def test_a_line_that_is_no_object_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(LINES + line, encoding="utf-8")
    assert fault(path).startswith(f"{path}, line 3: ")


def test_any_value_but_null(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{"a": [{"b": True}], "c": None}]))
    (entry,) = read_entries(path)
    assert entry.any_value("a") == [{"b": True}]
    for name, problem in (("c", "is null"), ("d", "is missing")):
        with pytest.raises(UsageError, match=f"entry 1: {name} {problem}"):
            entry.any_value(name)
