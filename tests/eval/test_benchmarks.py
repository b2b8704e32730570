"""The benchmarks by name, and a library's own questions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docrag.errors import UsageError
from docrag.eval.benchmarks import BENCHMARKS, get_benchmark, own
from docrag.eval.scoring import score_answer


def load(tmp_path: Path, *entries: dict[str, Any]) -> Any:
    path = tmp_path / "my.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return own.load(path)


def test_benchmarks_go_by_name() -> None:
    assert list(BENCHMARKS) == ["mmlongbench-doc", "questions"]
    assert get_benchmark("questions") is BENCHMARKS["questions"]
    with pytest.raises(UsageError) as caught:
        get_benchmark("mmlongbench")
    assert str(caught.value) == "no benchmark is called 'mmlongbench'\n  benchmarks are mmlongbench-doc, questions"


def test_a_question_of_ones_own_needs_no_more_than_its_answer(tmp_path: Path) -> None:
    lean, full = load(
        tmp_path,
        {"question": "Who signed the lease?", "answer": "M. Okafor"},
        {
            "question": "Which rooms are let?", "answer": ["Hall", "Attic"], "document": "lease.pdf", "doc_type": "Contract",
            "evidence_pages": [3], "evidence_sources": ["Table"], "answer_format": "List",
        },
    )  # fmt: skip
    assert (lean.doc_id, lean.doc_type, lean.evidence_pages, lean.evidence_sources) == ("", "", (), ())
    assert (lean.answer, lean.answer_format, lean.answerable) == ("M. Okafor", "Str", True)
    assert (full.doc_id, full.doc_type, full.evidence_pages, full.evidence_sources) == (
        "lease.pdf",
        "Contract",
        (3,),
        ("Table",),
    )
    assert (full.answer, full.answer_format) == ("['Hall', 'Attic']", "List")
    assert lean.question_id != full.question_id
    assert own.document_path(tmp_path, "lease.pdf") is None
    assert own.form([lean, full]) == "a library's own, 2 questions"


@pytest.mark.parametrize(
    ("answer", "answer_format", "reference"),
    [
        (7, "Int", "7"),
        ("8", "Int", "8"),
        ("-12", "Int", "-12"),
        ("0", "Int", "0"),
        ("1,250", "Int", "1250"),
        ("2023", "Int", "2023"),
        (0.5, "Float", "0.5"),
        (5.0, "Float", "5.0"),
        ("12.5", "Float", "12.5"),
        ("21%", "Float", "21%"),
        ("$1,250.75", "Float", "$1250.75"),
        ("$3", "Float", "$3"),
        ("007", "Str", "007"),
        ("12,50", "Str", "12,50"),
        ("2023-05", "Str", "2023-05"),
        ("5 million", "Str", "5 million"),
        ("Not answerable", "None", "Not answerable"),
        (" not ANSWERABLE ", "None", "Not answerable"),
        ("['a', 'b']", "List", "['a', 'b']"),
        (["a", 2], "List", "['a', 2]"),
        ("[sic]", "Str", "[sic]"),
    ],
)
def test_the_format_is_inferred_from_the_answer(tmp_path: Path, answer: Any, answer_format: str, reference: str) -> None:
    (question,) = load(tmp_path, {"question": "What?", "answer": answer})
    assert (question.answer_format, question.answer) == (answer_format, reference)
    assert score_answer(reference, question.answer, question.answer_format) == 1.0


def test_a_named_format_goes_before_the_inferred_one(tmp_path: Path) -> None:
    as_text, as_float = load(
        tmp_path,
        {"question": "Which code?", "answer": "1,250", "answer_format": "Str"},
        {"question": "How much?", "answer": "1,250", "answer_format": "Float"},
    )
    assert (as_text.answer_format, as_text.answer) == ("Str", "1,250")
    assert (as_float.answer_format, as_float.answer) == ("Float", "1250")


def test_a_refusal_is_the_reference_in_any_case_and_format(tmp_path: Path) -> None:
    entry = {"question": "What?", "answer": "NOT answerable"}
    for question in load(tmp_path, entry, {**entry, "answer_format": "None"}, {**entry, "answer_format": "Str"}):
        assert (question.answer, question.answerable) == ("Not answerable", False)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"answer": "x"}, "question is missing"),
        ({"question": "What?"}, "answer is missing"),
        ({"question": "", "answer": "x"}, "question is empty"),
        ({"question": "What?", "answer": " "}, "answer is empty"),
        ({"question": "What?", "answer": []}, "answer is empty"),
        ({"question": "What?", "answer": None}, "answer must be a string, a number or a list of such, got null"),
        ({"question": "What?", "answer": "[]"}, "answer '[]' is nothing that the format List can score"),
        ({"question": "What?", "answer": "x", "answer_format": "Int"}, "answer 'x' is nothing that the format Int can score"),
        ({"question": "What?", "answer": "9%", "answer_format": "Int"}, "answer '9%' is nothing that the format Int can score"),
        ({"question": "What?", "answer": "x", "answer_format": "Text"}, "answer_format must be one of"),
        ({"question": "What?", "answer": "x", "document": 5}, "document must be a string, got 5"),
        ({"question": "What?", "answer": "x", "document": ""}, "document is empty"),
        ({"question": "What?", "answer": "x", "document": "a", "evidence_pages": [0]}, "evidence_pages are counted from 1"),
        ({"question": "What?", "answer": "x", "evidence_pages": [1]}, "evidence_pages are pages of a document, but"),
        ({"question": "What?", "answer": "x", "evidence_page": 1}, "evidence_page is no field of a question; these are"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, entry: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(tmp_path, {"question": "Why?", "answer": "x"}, entry)
    assert str(caught.value).startswith(f"{tmp_path / 'my.jsonl'}, line 2: {problem}")


def test_a_folder_is_no_file_of_questions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder: expected a file of questions"):
        own.load(tmp_path)
