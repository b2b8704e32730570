"""A file of responses: what is written, what is kept after a kill, what is refused; and how two extractors agree."""

from __future__ import annotations

import json
import threading
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
    assert [line.get("extracted_by") for line in lines] == ["rules 2", "rules 2", None, "rules 2", "rules 2"]
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
    with pytest.raises(UsageError, match=r"was extracted by rules 2, not by scripted"):
        extract_file(source, out, Scripted(lambda _: Extracted("1", "Int", "")))
    with pytest.raises(UsageError, match="holds lines of another file"):
        extract_file(write(tmp_path / "other.jsonl", LINES[:1]), out, RuleExtractor())
    with pytest.raises(UsageError, match="written over itself"):
        extract_file(source, source, RuleExtractor())
    with pytest.raises(UsageError, match=r"a file that ends in \.jsonl, got .*p\.json"):
        extract_file(source, tmp_path / "p.json", RuleExtractor())
    source.write_text(source.read_text()[:-9])
    with pytest.raises(UsageError, match="line 5: not JSON, or torn"):
        extract_file(source, tmp_path / "new.jsonl", RuleExtractor())


STRANGERS = {
    "notes": b"milk\nbread\nno line end here",
    "one line": b"no line end here",
    "an object": b'{"mine": 1}',
    "half an object": b'{"question": "How many ships? Of which',
    "lines": b'{"mine": 1}\n{"mine": 2}\n{"mi',
    "its lines, and another": json.dumps(LINES[2]).encode() + b'\n{"mine": 2',
    "its first response": json.dumps(LINES[0]).encode(),
    "its responses": "".join(json.dumps(line) + "\n" for line in LINES).encode(),
    "a list": json.dumps(LINES, indent=1).encode(),
    "a picture": b"\x89PNG\r\n\x1a\n\0\0",
}


@pytest.mark.parametrize("content", STRANGERS.values(), ids=STRANGERS)
def test_a_file_that_is_not_ours_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "out.jsonl"
    out.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        extract_file(write(tmp_path / "in.jsonl", LINES), out, RuleExtractor())
    assert caught.value.message.startswith(f"{out} ")
    assert caught.value.hint == "name another file by --out"
    assert out.read_bytes() == content


def test_a_run_killed_at_any_byte_goes_on(tmp_path: Path) -> None:
    odd = [{"prediction": "x", "question": "How many?", "response": "äöü 12"}, {"prediction": "x", "question": "?"}]
    source, out = write(tmp_path / "in.jsonl", [*LINES, *odd]), tmp_path / "out.jsonl"
    extract_file(source, out, RuleExtractor())
    whole = out.read_bytes()
    for kept in range(0, len(whole), 7):
        out.write_bytes(whole[:kept])
        extract_file(source, out, RuleExtractor())
        assert out.read_bytes() == whole


def test_an_edited_prediction_is_taken_over(tmp_path: Path) -> None:
    source, out = write(tmp_path / "in.jsonl", LINES), tmp_path / "out.jsonl"
    extract_file(source, out, RuleExtractor())
    write(source, [*LINES[:2], {**LINES[2], "prediction": "4"}, *LINES[3:]])
    report = extract_file(source, out, Scripted(lambda _: Extracted("", "", ""), name=RuleExtractor().name))
    assert (report.kept, report.left_alone) == (4, 1)
    assert [line["prediction"] for line in read(out)] == ["12", "Not answerable", "4", "12", "Fail to answer"]


@pytest.mark.parametrize("workers", [0, -3])
def test_none_at_once_is_none_at_all(tmp_path: Path, workers: int) -> None:
    source = write(tmp_path / "in.jsonl", LINES)
    problem = f"concurrency is how many responses are in flight, 1 or more, got {workers}"
    with pytest.raises(UsageError, match=problem):
        extract_file(source, tmp_path / "out.jsonl", RuleExtractor(), workers)
    with pytest.raises(UsageError, match=problem):
        agreement(source, RuleExtractor(), RuleExtractor(), workers)


def test_lines_are_written_as_they_come(tmp_path: Path) -> None:
    out, second_is_there = tmp_path / "out.jsonl", threading.Event()

    def waits_for_the_second(call: int) -> Extracted:
        if call == 1:
            assert second_is_there.wait(10)
        return Extracted(str(call), "Int", "model")

    def look(done: int, total: int) -> None:
        if done:
            second_is_there.set()

    lines = [{"question": "How many?", "response": f"{number} ships."} for number in range(2)]
    extract_file(write(tmp_path / "in.jsonl", lines), out, Scripted(waits_for_the_second), workers=2, progress=look)
    assert [line["response"] for line in read(out)] == ["0 ships.", "1 ships."]


def test_an_extraction_can_be_extracted_anew(tmp_path: Path) -> None:
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"
    extract_file(write(tmp_path / "in.jsonl", LINES), first, RuleExtractor())
    report = extract_file(first, second, Scripted(lambda _: Extracted("7", "Int", "")))
    assert report.extracted == 3  # the empty response has a prediction by now
    assert [line["prediction"] for line in read(second)] == ["7", "7", "3", "7", "Fail to answer"]
    assert extract_file(first, second, Scripted(lambda _: Extracted("8", "Int", ""))).kept == 3


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


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ({"response": ["12"]}, r'line 2: response must be a string, got \["12"\]'),
        ({"response": 12}, "line 2: response must be a string, got 12"),
        ({"answer": "12", "answer_format": "Bool"}, "line 2: answer_format must be one of"),
        ({"answer": {"a": 1}}, "line 2: answer must be a string, a number or a list"),
    ],
)
def test_agreement_checks_every_line_before_it_asks(tmp_path: Path, line: dict[str, Any], problem: str) -> None:
    extractor = Scripted(lambda _: Extracted("12", "Int", ""))
    path = write(tmp_path / "in.jsonl", [LINES[0], {**LINES[0], **line}])
    with pytest.raises(UsageError, match=problem):
        agreement(path, extractor, extractor)
    assert not extractor.asked


def test_agreement_takes_a_null_answer_for_none(tmp_path: Path) -> None:
    lines = [{**LINES[0], "answer": None}, {**LINES[1], "answer": None}]
    assert agreement(write(tmp_path / "in.jsonl", lines), RuleExtractor(), RuleExtractor(), workers=2).scored == 1


def test_cohen_kappa() -> None:
    # Worked by hand: 35 of 50 agree; both say yes 25 and 30 times, so chance agrees in half of them.
    a = [True] * 20 + [False] * 15 + [True] * 5 + [False] * 10
    b = [True] * 20 + [False] * 15 + [False] * 5 + [True] * 10
    assert cohen_kappa(a, b) == pytest.approx((0.7 - 0.5) / 0.5)
    assert cohen_kappa([True, False], [True, False]) == 1.0
    assert cohen_kappa([True, True], [True, True]) is None
    assert cohen_kappa([], []) is None
