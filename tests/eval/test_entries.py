"""Files of questions or predictions that can't be read are named, with the line and what to do."""

from __future__ import annotations

import gzip
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
        ("utf-16-le", "line 2: not UTF-8 text: invalid continuation byte\n  it looks like UTF-16: save it as UTF-8"),
        ("utf-32", "line 1: not UTF-8 text: invalid start byte\n  it looks like UTF-32: save it as UTF-8"),
    ],
)
def test_another_encoding_is_named_with_its_line(tmp_path: Path, encoding: str, problem: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(LINES.encode(encoding))
    assert fault(path) == f"{path}, {problem}"


NULS = "line 1: not UTF-8 text: it holds NUL bytes"
DAMAGED = "line 2: not UTF-8 text: it holds NUL bytes\n  it is damaged, or no text: write it again"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"a": 1}'.encode("utf-16-be"), f", {NULS}\n  it looks like UTF-16: save it as UTF-8"),
        ('{"a": 1}'.encode("utf-32-le"), f", {NULS}\n  it looks like UTF-32: save it as UTF-8"),
        (b'{"a": 1}\n' + bytes(512), f", {DAMAGED}"),
        (gzip.compress(LINES.encode(), mtime=0), " is a gzip archive: expected JSON in UTF-8\n  unpack it first"),
        (b"PAR1...", " is a Parquet table: expected JSON in UTF-8\n  write its rows as JSON, one object a line, into"),
    ],
)
def test_what_is_no_text_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(content)
    assert fault(path).startswith(f"{path}{problem}")


TORN = "each line is one whole JSON object: write this one again, or take it out"
LIST = "the file holds one JSON list: a file with a list ends in .json"
OBJECT = "the file holds one JSON object over several lines: write it on one line, or as a list in a .json file"


@pytest.mark.parametrize(
    ("text", "problem", "hint"),
    [
        ('{"a": 1}\n{"a": 1', "line 2: not JSON, or torn: Expecting ',' delimiter at column 8", TORN),
        ('[{"a": 1}]', 'line 1: must be a JSON object, got [{"a": 1}]', LIST),
        ('[\n {"a": 1}\n]', "line 1: not JSON, or torn: Expecting value at column 2", LIST),
        ('{\n "a": 1\n}', "line 1: not JSON, or torn: Expecting property name enclosed in double quotes at column 2", OBJECT),
        ("5\n6", "line 1: must be a JSON object, got 5", TORN),
    ],
)
def test_a_line_that_is_no_object_says_what_to_do(tmp_path: Path, text: str, problem: str, hint: str) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(text)
    assert fault(path) == f"{path}, {problem}\n  {hint}"


def test_a_torn_list_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text('[{"a": 1')
    assert fault(path).endswith("\n  the file is one whole JSON list of objects: write it again, or mend that place")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    hint = "name a .jsonl file with one object a line, or a .json file"
    assert fault(tmp_path) == f"{tmp_path} is a folder: expected a file\n  {hint}"


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


def test_line_ends_of_old_macs(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(LINES.replace("\n", "\r").encode())
    assert [entry.where for entry in read_entries(path)] == [f"{path}, line 1", f"{path}, line 2"]


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
