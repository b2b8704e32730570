"""Needles asked of a library: each reader gets exactly the haystack, and a run of them is a run like any other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import docrag
from docrag.client import Library
from docrag.errors import ContextTooLarge, UsageError
from docrag.eval.needles import NeedlePlan
from docrag.eval.record import read_run
from docrag.needles import NeedleOptions, run_needles
from docrag.pipelines.tokens import token_rule
from docrag.testing import HashEncoder, ScriptedReader
from docrag.types import NOT_ANSWERABLE, Context, Reading
from tests.ingest import hostile

PAGES = (
    "Ferry notes. In the spring of that year the boats at the old crossing carried 311 people over the river.",
    "The keeper of the lighthouse wrote down every storm, and by winter his book listed 47 of them in all.",
    "Once a week the market on the green sells cheese, and 1250 wheels of it left for the coast last autumn.",
    "Nobody had measured the tower until a student climbed it with a rope and found 38.5 metres to the top.",
    "Coal came up from the southern mine by a narrow railway that cost its owners $960 for each mile of track.",
    "Under the new mayor, a woman called Hartwell who had been a nurse, the hospital was given a second floor.",
    "Of all letters that were posted on the island before the war, about 12.5% went to addresses in other countries.",
)
PLAN = NeedlePlan((1100, 2150), 5)  # three pages, and six


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Library]:
    folder = tmp_path_factory.mktemp("needles")
    hostile.text_pdf(folder / "north.pdf", PAGES[:4], (300, 200))
    hostile.text_pdf(folder / "south.pdf", [*PAGES[4:], ""], (300, 200))
    with docrag.open(folder / "library", ocr="never", workers=1) as library:
        library.encoder = HashEncoder()  # type: ignore[assignment]
        library.ingest([folder / "north.pdf", folder / "south.pdf"])
        yield library


def find(question: str, context: Context) -> Reading:
    """What a reader without fault makes of a cloze: it looks for the sentence on every page that it was given."""
    before, after = question.split('"')[1].split("____")
    pattern = re.escape(" ".join(before.split())) + r"\s*(.+?)\s*" + re.escape(" ".join(after.split()))
    for item in context.evidence:
        if match := re.search(pattern, " ".join(item.content.text.split())):
            return Reading("answered", match[1], 1.0)
    return Reading("not_answerable", NOT_ANSWERABLE, 1.0, needs="the page that says so")


def predictions(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "predictions.jsonl").read_text().splitlines()]


def test_a_reader_without_fault_finds_every_needle_and_refuses_without_one(library: Library, tmp_path: Path) -> None:
    reader = ScriptedReader([find], rule=token_rule("Qwen2.5-VL"))
    result = run_needles(library, NeedleOptions(PLAN, reader=reader), tmp_path / "run")
    assert (result.questions, result.answered) == (2 * (5 + 3), 16)
    for row, pages in zip(result.rows, (3, 6), strict=True):
        assert [figure.questions for figure in row.by_depth.values()] == [1] * 5
        assert (row.accuracy.value, row.accuracy.questions) == (1.0, 5)
        assert (row.refused.value, row.refused.questions) == (1.0, 3)
        assert (row.wrongly_refused.value, row.failed) == (0.0, 0)
        assert row.pages == pages
        assert 0.8 * row.length < row.context_tokens <= row.length


def test_the_context_is_the_haystack_in_its_order(library: Library, tmp_path: Path) -> None:
    reader = ScriptedReader([find], rule=token_rule("Qwen2.5-VL"))
    run_needles(library, NeedleOptions(PLAN, reader=reader), tmp_path / "run")
    for made, context, images in zip(predictions(tmp_path / "run"), reader.contexts, reader.images, strict=True):
        needle = made["trace"]["needle"]
        assert [[item.name, item.content.page.page_number] for item in context.evidence] == needle["pages"]
        assert [part.kind for part in context.parts] == ["marker", "image"] * len(needle["pages"])
        assert [image is not None for image in images] == [False, True] * len(needle["pages"])
        assert (made["rounds"], made["trace"]["notes"]) == (1, [])  # nothing is searched, whatever the reader needs
        assert made["context_tokens"] == context.tokens <= needle["length"] == context.budget
        assert ["south.pdf", 4] not in needle["pages"]  # it has no text, so nobody knows what it says
        own = [made["doc_id"], *made["evidence_pages"]]
        assert (own in needle["pages"]) == (needle["depth"] is not None)
        if needle["depth"] is not None:
            assert needle["pages"].index(own) == round(needle["depth"] * (len(needle["pages"]) - 1))
        assert made["read_pages"] == [number for name, number in needle["pages"] if name == made["doc_id"]]


def test_the_run_is_read_back_and_taken_up_as_any_other(library: Library, tmp_path: Path) -> None:
    whole = run_needles(library, NeedleOptions(PLAN), tmp_path / "whole")
    assert whole.rows[0].refused.value == 1.0  # `quote`, which is shown text
    run_needles(library, NeedleOptions(PLAN), tmp_path / "run")
    lines = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "predictions.jsonl").write_text("".join(lines[:5]) + lines[5][:40])
    with pytest.raises(UsageError, match="is not empty"):
        run_needles(library, NeedleOptions(PLAN), tmp_path / "run")
    other = NeedlePlan(PLAN.lengths, PLAN.count, seed=1)
    with pytest.raises(UsageError, match="seed"):
        run_needles(library, NeedleOptions(other, resume=True), tmp_path / "run")
    again = run_needles(library, NeedleOptions(PLAN, resume=True), tmp_path / "run")
    assert again == whole
    assert (tmp_path / "run" / "scores.json").read_bytes() == (tmp_path / "whole" / "scores.json").read_bytes()
    record = read_run(tmp_path / "run")
    assert (record.config["benchmark"], record.config["form"]) == ("needles", "page needles, 16 questions")
    assert {question.doc_type for question in record.questions} == {"1100 tokens", "2150 tokens"}
    assert {question.evidence_sources for question in record.questions} >= {("depth 0%",), ("depth 100%",), ("no needle",)}


def test_a_run_does_not_go_on_with_other_haystacks(tmp_path: Path) -> None:
    hostile.text_pdf(tmp_path / "north.pdf", PAGES[:4], (300, 200))
    hostile.text_pdf(tmp_path / "blank.pdf", ["On these wide pages."] * 3, (300, 200))
    options = NeedleOptions(NeedlePlan((700,), 2), resume=True)
    with docrag.open(tmp_path / "library", ocr="never", workers=1) as library:
        library.encoder = HashEncoder()  # type: ignore[assignment]
        library.ingest([tmp_path / "north.pdf"])
        run_needles(library, options, tmp_path / "run")
        library.ingest([tmp_path / "blank.pdf"])
        with pytest.raises(UsageError, match="haystacks_sha256"):
            run_needles(library, options, tmp_path / "run")


def test_a_reader_that_takes_less_fails_and_is_not_given_less(library: Library, tmp_path: Path) -> None:
    reader = ScriptedReader([ContextTooLarge("m takes 500 tokens")], rule=token_rule("Qwen2.5-VL"))
    result = run_needles(library, NeedleOptions(NeedlePlan((1024,), 1), reader=reader), tmp_path / "run")
    assert (result.rows[0].accuracy.value, result.rows[0].refused.value, result.rows[0].failed) == (0.0, 0.0, 2)
    assert len(reader.contexts) == 2
    assert predictions(tmp_path / "run")[0]["why"].startswith("the reader takes 512 tokens, the haystack has ")


def test_a_library_that_is_too_small_says_how_much_it_holds(library: Library, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the library holds \d[\d,]* tokens for a haystack of 131,072"):
        run_needles(library, NeedleOptions(NeedlePlan((131_072,), 1)), tmp_path / "run")
    with pytest.raises(UsageError, match="the library has needles for 7 questions, 40 are wanted"):
        run_needles(library, NeedleOptions(NeedlePlan((1024,), 40)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_is_shown_every_page(library: Library, tiny_vlm: Path, tmp_path: Path, one_thread: None) -> None:
    library.close()
    settings = {"reader": f"hf:{tiny_vlm}", "device": "cpu", "max_answer_tokens": 8}
    with docrag.open(library.location, workers=1, **settings) as asking:
        asking.encoder = HashEncoder()  # type: ignore[assignment]
        result = run_needles(asking, NeedleOptions(NeedlePlan((2048,), 1)), tmp_path / "run")
    assert result.rows[0].failed == 2  # it was cut off in the middle of its gibberish
    for made in predictions(tmp_path / "run"):
        assert made["usage"]["images"] == len(made["trace"]["needle"]["pages"]) >= 4
        assert made["context_tokens"] <= 2048 < made["budget_tokens"]  # the instructions come on top
