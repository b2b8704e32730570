"""A file of responses: what is written, what is kept after a kill, what is refused; and how two extractors agree."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from docrag.errors import ReaderError, ReaderFault, UsageError
from docrag.eval.extract.agreement import agreement, cohen_kappa
from docrag.eval.extract.extracted import Extracted
from docrag.eval.extract.files import extract_file
from docrag.eval.extract.rules import RuleExtractor
from docrag.eval.scoring import score_predictions
from docrag.eval.submissions import load_items

GOLD = {"doc_id": "a.pdf", "answer": "12", "answer_format": "Int"}
LINES = [
    {"question": "How many ships?", "response": "There are twelve ships.", **GOLD},
    {
        "question": "How many cranes?",
        "response": "The pages don't mention any cranes.",
        **GOLD,
        "answer": "Not answerable",
        "answer_format": "None",
    },
    {"question": "How many docks?", "prediction": "3", **GOLD},
    {"question": "How many ships?", "response": "There are twelve ships.", **GOLD},
    {"question": "How many gulls?", "response": "", **GOLD},
]


@dataclass(slots=True)
class Scripted:
    """An extractor that does what it is told at each call, and counts them."""

    script: Callable[[int], Extracted]
    name: str = "scripted"
    asked: list[str] = field(default_factory=list[str])

    def extract(self, question: str, response: str) -> Extracted:
        self.asked.append(response)
        return self.script(len(self.asked))


def write(path: Path, lines: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_becomes_one_that_can_be_scored(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    out = tmp_path / "new" / "out.jsonl"
    report = extract_file(write(tmp_path / "in.jsonl", LINES), out, RuleExtractor(), progress=lambda *done: told.append(done))
    lines = read(out)
    assert [line["prediction"] for line in lines] == ["12", "Not answerable", "3", "12", "Fail to answer"]
    assert [line.get("extracted_by") for line in lines] == ["rules 1", "rules 1", None, "rules 1", "rules 1"]
    assert lines[0].items() >= LINES[0].items()
    assert lines[2] == LINES[2]
    assert (report.lines, report.extracted, report.left_alone, report.kept) == (5, 4, 1, 0)
    assert (report.refused, report.unread, report.unparsed, report.failed) == (1, 1, 0, 0)
    assert told == [(done, 5) for done in range(6)]
    assert score_predictions(load_items(out)).accuracy == pytest.approx(3 / 5)
    assert report.to_json()["out"] == str(out)
    assert report.to_text().startswith("5 lines: 4 extracted, 1 had a prediction already\n")


@pytest.mark.parametrize("left", ["two whole", "two whole and a torn one", "all"])
def test_what_is_there_is_kept(tmp_path: Path, left: str) -> None:
    source, out = write(tmp_path / "in.jsonl", LINES), tmp_path / "out.jsonl"
    extract_file(source, out, RuleExtractor())
    whole = out.read_bytes()
    lines = whole.splitlines(keepends=True)
    out.write_bytes({"two whole": b"".join(lines[:2]), "all": whole}.get(left, b"".join(lines[:2]) + lines[2][:20]))
    extractor = Scripted(lambda _: RuleExtractor().extract("How many?", "12"), name=RuleExtractor().name)
    report = extract_file(source, out, extractor)
    assert len(extractor.asked) == (0 if left == "all" else 2)
    assert report.kept == (4 if left == "all" else 2)
    assert [line["question"] for line in read(out)] == [line["question"] for line in LINES]
    assert out.read_bytes().startswith(b"".join(lines[:2]))


def test_a_fault_ends_the_run_and_the_next_one_goes_on(tmp_path: Path) -> None:
    def dies(call: int) -> Extracted:
        if call == 3:
            raise ReaderFault("the key is refused")
        return Extracted("12", "Int", "model")

    source, out = write(tmp_path / "in.jsonl", LINES), tmp_path / "out.jsonl"
    with pytest.raises(ReaderFault):
        extract_file(source, out, Scripted(dies))
    assert len(read(out)) == 3
    second = Scripted(lambda _: Extracted("12", "Int", "model"))
    report = extract_file(source, out, second)
    assert (len(second.asked), report.kept, report.extracted, len(read(out))) == (2, 2, 2, 5)


def test_what_failed_is_asked_again_and_what_is_unparsed_is_not(tmp_path: Path) -> None:
    def script(call: int) -> Extracted:
        if call == 1:
            raise ReaderError("the server is busy")
        return Extracted.nothing("unparsed: it wrote nothing") if call == 2 else Extracted("12", "Int", "model")

    source, out = write(tmp_path / "in.jsonl", LINES), tmp_path / "out.jsonl"
    report = extract_file(source, out, Scripted(script))
    assert (report.failed, report.unparsed, report.extracted, report.complete) == (1, 1, 2, False)
    assert [line["prediction"] for line in read(out)][:2] == [None, None]
    assert score_predictions(load_items(out)).scored == 3
    assert "run it again" in report.to_text()
    again = Scripted(lambda _: Extracted("12", "Int", "model"))
    report = extract_file(source, out, again)
    assert (report.failed, report.kept, report.extracted, report.complete, len(again.asked)) == (0, 3, 1, True, 1)
    assert [line["prediction"] for line in read(out)] == ["12", None, "3", "12", "12"]


def test_several_at_once_keep_the_order(tmp_path: Path) -> None:
    lines = [{"question": "How many?", "response": f"There are {number} ships."} for number in range(100)]
    out = tmp_path / "out.jsonl"
    extract_file(write(tmp_path / "in.jsonl", lines), out, RuleExtractor(), workers=4)
    assert [line["prediction"] for line in read(out)] == [str(number) for number in range(100)]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ([{"question": "How many?", "response": 12}], "line 1: response must be a string"),
        ([{"question": "How many?"}], "line 1: response is missing, and so is prediction"),
        ([{"response": "12"}], "line 1: question is missing"),
        ([], "is empty"),
        ([[]], "line 1: must be a JSON object"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, lines: list[Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        extract_file(write(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl", RuleExtractor())
    assert not (tmp_path / "out.jsonl").exists()


def test_torn_input_and_wrong_outputs(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", LINES), tmp_path / "out.jsonl"
    extract_file(source, out, RuleExtractor())
    with pytest.raises(UsageError, match=r"was extracted by rules 1, not by scripted"):
        extract_file(source, out, Scripted(lambda _: Extracted("1", "Int", "")))
    with pytest.raises(UsageError, match="holds lines of another file"):
        extract_file(write(tmp_path / "other.jsonl", LINES[:1]), out, RuleExtractor())
    with pytest.raises(UsageError, match="written over itself"):
        extract_file(source, source, RuleExtractor())
    source.write_text(source.read_text()[:-9])
    with pytest.raises(UsageError, match="line 5: not JSON, or torn"):
        extract_file(source, tmp_path / "new.jsonl", RuleExtractor())


def test_an_extraction_can_be_extracted_anew(tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    extract_file(write(tmp_path / "in.jsonl", LINES), first, RuleExtractor())
    report = extract_file(first, second, Scripted(lambda _: Extracted("7", "Int", "")))
    assert report.extracted == 3  # the empty response has a prediction by now
    assert [line["prediction"] for line in read(second)] == ["7", "7", "3", "7", "Fail to answer"]


# --- agreement ---


def test_agreement(tmp_path: Path) -> None:
    said = [
        Extracted("12", "Int", ""),
        Extracted("0", "Int", ""),
        Extracted("12.0", "Int", ""),
        Extracted.nothing("unparsed: x"),
    ]
    other = Scripted(lambda call: said[call - 1])
    told = agreement(write(tmp_path / "in.jsonl", LINES), RuleExtractor(), other)
    assert (told.responses, told.compared, told.nothing_a, told.nothing_b, told.scored) == (4, 3, 0, 1, 3)
    assert told.same_answer == pytest.approx(1 / 3)
    assert told.same_score == pytest.approx(2 / 3)
    assert (told.accuracy_a, told.accuracy_b) == (1.0, pytest.approx(2 / 3))
    assert (told.refused_a, told.refused_b) == (1, 0)
    assert told.kappa_refusals == pytest.approx(0.0)
    assert [(one.answer_a, one.answer_b, one.score_a, one.score_b) for one in told.differences] == [
        ("Not answerable", "0", 1.0, 0.0),
        ("12", "12.0", 1.0, 1.0),
    ]
    assert len({one.question_id for one in told.differences}) == 2
    assert told.to_json()["differences"][0]["answer_b"] == "0"
    assert "same answer 33.3 %" in told.to_text()


def test_agreement_without_references_and_without_responses(tmp_path: Path) -> None:
    bare = [{"question": "How many ships?", "response": "Twelve."}]
    told = agreement(write(tmp_path / "bare.jsonl", bare), RuleExtractor(), RuleExtractor())
    assert (told.same_answer, told.same_score, told.accuracy_a, told.kappa_refusals) == (1.0, None, None, None)
    assert "accuracy -" in told.to_text()
    with pytest.raises(UsageError, match="no line has a response"):
        agreement(write(tmp_path / "none.jsonl", LINES[2:3]), RuleExtractor(), RuleExtractor())


def test_cohen_kappa() -> None:
    # Worked by hand: 35 of 50 agree; both say yes 25 and 30 times, so chance agrees in half of them.
    a = [True] * 20 + [False] * 15 + [True] * 5 + [False] * 10
    b = [True] * 20 + [False] * 15 + [False] * 5 + [True] * 10
    assert cohen_kappa(a, b) == pytest.approx((0.7 - 0.5) / 0.5)
    assert cohen_kappa([True, False], [True, False]) == 1.0
    assert cohen_kappa([True, True], [True, True]) is None
    assert cohen_kappa([], []) is None
