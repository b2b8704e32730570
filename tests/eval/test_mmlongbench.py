"""MMLongBench-Doc in each of its forms, and what files get that are in none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from docrag.errors import UsageError
from docrag.eval.benchmarks.mmlongbench import document_path, form
from docrag.eval.benchmarks.mmlongbench import load as load_questions
from docrag.eval.questions import Question, hash_questions

ENTRY: dict[str, Any] = {
    "doc_id": "orchard.pdf",
    "doc_type": "Guidebook",
    "question": "Which apples are red?",
    "answer": "['Gala', 'Jonagold']",
    "evidence_pages": "[2, 5]",
    "evidence_sources": "['Table', 'Figure']",
    "answer_format": "List",
}


def write(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def load(tmp_path: Path, **changes: Any) -> Question:
    return load_questions(write(tmp_path / "gold.json", [{**ENTRY, **changes}]))[0]


def test_a_folder_in_the_benchmarks_own_form(tmp_path: Path) -> None:
    write(tmp_path / "samples.json", [ENTRY, {**ENTRY, "question": "How many rows?"}])
    first, second = load_questions(tmp_path)
    assert first == Question(
        question_id=first.question_id,
        doc_id="orchard.pdf",
        doc_type="Guidebook",
        question="Which apples are red?",
        answer="['Gala', 'Jonagold']",
        evidence_pages=(2, 5),
        evidence_sources=("Table", "Figure"),
        answer_format="List",
    )
    assert second.question == "How many rows?"
    assert document_path(tmp_path, "orchard.pdf") == tmp_path / "documents" / "orchard.pdf"


def test_json_lines_give_the_same_questions(tmp_path: Path) -> None:
    entries = [ENTRY, {**ENTRY, "question": "A\u2028line separator?"}]
    lines = tmp_path / "gold.jsonl"
    lines.write_text("\n".join(json.dumps(entry, ensure_ascii=False) for entry in entries) + "\n\n", encoding="utf-8-sig")
    assert load_questions(lines) == load_questions(write(tmp_path / "gold.json", entries))
    assert document_path(lines, "orchard.pdf") == tmp_path / "documents" / "orchard.pdf"


def test_real_lists_and_numbers_are_taken_as_well(tmp_path: Path) -> None:
    question = load(tmp_path, answer=["Gala", "Jonagold"], evidence_pages=[2, 5], evidence_sources=["Table", "Figure"])
    assert question == load(tmp_path)
    assert load(tmp_path, answer=5.0, answer_format="Int").answer == "5"
    assert load(tmp_path, answer=0.5, answer_format="Float").answer == "0.5"


def test_evidence_pages_stay_as_they_are(tmp_path: Path) -> None:
    assert load(tmp_path, evidence_pages="[]").evidence_pages == ()
    assert load(tmp_path, evidence_pages="[900, 0, 2, 2]").evidence_pages == (900, 0, 2, 2)
    assert load(tmp_path, evidence_pages="(3, 5)").evidence_pages == (3, 5)
    assert load(tmp_path, evidence_pages="[3.0]").evidence_pages == (3,)


def test_question_ids_are_stable_and_tell_equals_apart(tmp_path: Path) -> None:
    questions = load_questions(write(tmp_path / "a.json", [ENTRY, {**ENTRY, "doc_id": "b.pdf"}, ENTRY, ENTRY]))
    ids = [question.question_id for question in questions]
    assert len(set(ids)) == 4
    assert ids[0] == load(tmp_path, answer="['Gala']").question_id  # the reference is not part of it
    assert ids[0] == "6f0d7cc2372e42d1"  # stored predictions are matched by it: it may not change
    changed = load_questions(write(tmp_path / "b.json", [{**ENTRY, "answer": "['Gala']"}]))
    assert hash_questions(questions[:1]) != hash_questions(changed)


@pytest.mark.parametrize("field", sorted(ENTRY))
def test_a_missing_field_is_named(tmp_path: Path, field: str) -> None:
    path = write(tmp_path / "gold.json", [ENTRY, {name: value for name, value in ENTRY.items() if name != field}])
    with pytest.raises(UsageError) as caught:
        load_questions(path)
    assert str(caught.value) == f"{path}, entry 2: {field} is missing"


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("doc_id", " ", "is empty"),
        ("question", "", "is empty"),
        ("answer", "", "is empty"),
        ("question", 5, "must be a string, got 5"),
        ("doc_type", None, "must be a string, got null"),
        ("answer", None, "must be a string, a number or a list of such, got null"),
        ("answer", True, "must be a string, a number or a list of such, got true"),
        ("answer", [["a"]], 'must be a string, a number or a list of such, got [["a"]]'),
        ("answer", float("nan"), "must be a string, a number or a list of such, got NaN"),
        ("answer_format", "Bool", 'must be one of Str, Int, Float, List, None, got "Bool"'),
        ("answer_format", ["Str"], 'must be one of Str, Int, Float, List, None, got ["Str"]'),
        ("evidence_pages", "[2, 5", 'must be a list such as [3, 5], got "[2, 5"'),
        ("evidence_pages", "5", 'must be a list such as [3, 5], got "5"'),
        ("evidence_pages", 5, "must be a list such as [3, 5], got 5"),
        ("evidence_pages", "exit(3)", 'must be a list such as [3, 5], got "exit(3)"'),
        ("evidence_pages", ["2"], 'must hold whole page numbers, got ["2"]'),
        ("evidence_pages", [2.5, True], "must hold whole page numbers, got [2.5, true]"),
        ("evidence_sources", "[5]", "must hold strings, got [5]"),
        ("evidence_sources", "x" * 99, f"must be a list such as ['Table', 'Chart'], got \"{'x' * 59}..."),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, field: str, value: Any, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, **{field: value})
    assert str(caught.value) == f"{tmp_path / 'gold.json'}, entry 1: {field} {problem}"


WHOLE = "\n  the file is one whole JSON list of objects: write it again, or mend that place"
TORN = "\n  each line is one whole JSON object: write this one again, or take it out"
LIST = "\n  the file holds one JSON list: a file with a list ends in .json"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.json", b"", "{path} is empty: expected at least one entry"),
        ("a.json", b"[]", "{path} is empty: expected at least one entry"),
        ("a.jsonl", b"\n \n", "{path} is empty: expected at least one entry"),
        ("a.json", b'[{"doc_id": "a', "{path}: not JSON, or torn: Unterminated string starting at line 1 column 13" + WHOLE),
        ("a.jsonl", b'{}\n\n{"doc', "{path}, line 3: not JSON, or torn: Unterminated string starting at column 2" + TORN),
        ("a.jsonl", b"[]", "{path}, line 1: must be a JSON object, got []" + LIST),
        ("a.json", b"{}", "{path} must hold a list of objects, got {{}}\n  a file with one object a line ends in .jsonl"),
        ("a.json", b"[7]", "{path}, entry 1: must be a JSON object, got 7"),
        ("a.json", b"\xff\xfe", "{path}, line 1: not UTF-8 text: invalid start byte\n  it looks like UTF-16: save it as UTF-8"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load_questions(path)
    assert str(caught.value) == problem.format(path=path)


@pytest.mark.parametrize("content", ["[" * 100_000, "[" + "9" * 5000 + "]"])
def test_hostile_json_is_an_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(UsageError, match="not JSON that can be read"):
        load_questions(path)


@pytest.mark.parametrize("name", ["nothing.json", "nothing.parquet"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=rf"cannot read .*{name}: No such file or directory"):
        load_questions(tmp_path / name)


def test_a_folder_without_questions_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there are no questions in"):
        load_questions(tmp_path)


def table(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def hugging_face(tmp_path: Path) -> Path:
    """A download in the form of the Hugging Face dataset: all columns are text."""
    table(tmp_path / "data" / "train-00000-of-00001.parquet", [ENTRY, {**ENTRY, "question": "How many rows?"}])
    (tmp_path / "documents").mkdir()
    return tmp_path


def test_the_hugging_face_form_gives_the_same_questions(tmp_path: Path, hugging_face: Path) -> None:
    wanted = load_questions(write(tmp_path / "gold.json", [ENTRY, {**ENTRY, "question": "How many rows?"}]))
    file = hugging_face / "data" / "train-00000-of-00001.parquet"
    for path in (hugging_face, hugging_face / "data", file):
        assert load_questions(path) == wanted
        assert document_path(path, "orchard.pdf").resolve() == hugging_face / "documents" / "orchard.pdf"


def test_a_github_checkout_is_read_from_its_root(tmp_path: Path) -> None:
    (tmp_path / "data" / "documents").mkdir(parents=True)
    write(tmp_path / "data" / "samples.json", [ENTRY])
    assert len(load_questions(tmp_path)) == 1
    assert document_path(tmp_path, "orchard.pdf") == tmp_path / "data" / "documents" / "orchard.pdf"


def test_tables_in_several_files_are_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a"):
        table(tmp_path / f"{name}.parquet", [{**ENTRY, "doc_id": f"{name}.pdf"}])
    assert [question.doc_id for question in load_questions(tmp_path)] == ["a.pdf", "b.pdf"]


def test_nulls_of_an_unanswerable_question_are_what_tools_make_of_none(tmp_path: Path) -> None:
    nulls = [("None", None), (None, "Not answerable"), (None, None), ("None", "Not answerable")]
    rows = [{**ENTRY, "answer_format": kind, "answer": answer, "evidence_pages": "[]"} for kind, answer in nulls]
    loaded = load_questions(table(tmp_path / "a.parquet", rows))
    assert {(question.answer_format, question.answer) for question in loaded} == {("None", "Not answerable")}
    named = load(tmp_path, answer="None", answer_format="Str")
    assert (named.answer, named.answerable) == ("None", True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"answer": None}, "row 2: answer must be a string, a number or a list of such, got null"),
        ({"answer_format": None}, "row 2: answer_format must be one of Str, Int, Float, List, None, got null"),
        ({"question": None}, "row 2: question must be a string, got null"),
        ({"evidence_pages": None}, "row 2: evidence_pages must be a list such as [3, 5], got null"),
    ],
)
def test_other_nulls_of_a_table_are_named(tmp_path: Path, changes: dict[str, Any], problem: str) -> None:
    path = table(tmp_path / "a.parquet", [ENTRY, {**ENTRY, **changes}])
    with pytest.raises(UsageError) as caught:
        load_questions(path)
    assert str(caught.value) == f"{path}, {problem}"


def test_a_bad_table_is_named(tmp_path: Path) -> None:
    whole = table(tmp_path / "whole.parquet", [ENTRY]).read_bytes()
    (tmp_path / "torn.parquet").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "void.parquet").write_bytes(b"")
    parquet.write_table(pyarrow.Table.from_pylist([ENTRY]).slice(0, 0), tmp_path / "empty.parquet")
    table(tmp_path / "short.parquet", [{"doc_id": "a.pdf", "question": "Why?"}])
    raw = pyarrow.array([b"\xff\xfe"]).view(pyarrow.string())
    columns = {name: raw if name == "question" else [value] for name, value in ENTRY.items()}
    parquet.write_table(pyarrow.table(columns), tmp_path / "bytes.parquet")
    problems = {
        "torn": "is no Parquet file, or torn",
        "void": "is no Parquet file, or torn",
        "bytes": "is no Parquet file, or torn",
        "empty": "is empty: expected at least one row",
        "short": "has no column doc_type, answer, evidence_pages, evidence_sources, answer_format: it has doc_id, question",
    }
    for name, problem in problems.items():
        with pytest.raises(UsageError) as caught:
            load_questions(tmp_path / f"{name}.parquet")
        assert f"{name}.parquet {problem}" in str(caught.value)


def test_which_list_it_is_goes_on_record(tmp_path: Path) -> None:
    question = load(tmp_path)
    assert form([question] * 1082) == "GitHub form, all 1,082 questions"
    assert form([question] * 1091) == "Hugging Face form, all 1,091 questions"
    assert form([question]) == "1 questions: a part, or a version that is neither of 1,082 nor of 1,091"


@pytest.mark.parametrize("doc_id", ["../secret.pdf", "/etc/passwd", "a/b.pdf", "..", ".", ""])
def test_a_document_lies_in_its_folder(tmp_path: Path, doc_id: str) -> None:
    with pytest.raises(UsageError, match="doc_id must be a file name in documents/"):
        document_path(tmp_path, doc_id)
