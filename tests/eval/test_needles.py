"""Drawing needles from pages, and what is made of the answers."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docrag.errors import UsageError
from docrag.eval.analysis import analyse
from docrag.eval.needle_result import needle_result, to_trace
from docrag.eval.needles import DEPTHS, HayPage, NeedlePlan, NeedleTask, draw_tasks, find_clozes
from docrag.eval.predictions import Prediction
from docrag.eval.record import RunRecord
from docrag.types import DocumentRef, Evidence, PageContent, PageRef


def hay_page(text: str, index: int = 0, name: str = "a.pdf", tokens: int = 100) -> HayPage:
    words = len(text.split())
    boxes = np.tile(np.array([10, 10, 50, 20], np.float32), (words, 1))
    ref = PageRef(DocumentRef(hashlib.sha256(name.encode()).hexdigest(), 100), index)
    return HayPage(Evidence(PageContent(ref, 595, 842, text, boxes, "layer" if text else "none"), name, 0.0), tokens)


def found(text: str, *common: str) -> list[tuple[str, str, str]]:
    """The needles of a page on which all words are rare but these: sentence, value, format."""
    page = hay_page(text)
    return [(cloze.sentence, cloze.value, cloze.answer_format) for cloze in find_clozes(0, page, page.words - set(common))]


@pytest.mark.parametrize(
    ("sentence", "cloze", "value", "answer_format"),
    [
        ("The old ferry carried 870 people in a year.", "The old ferry carried ____ people in a year.", "870", "Int"),
        ("Its share of trade was then (12.5%), it says.", "Its share of trade was then (____%), it says.", "12.5", "Float"),
        ("Its share of the market was 12 % that year.", "Its share of the market was ____ % that year.", "12", "Float"),
        ("For each of them the town paid $960, and more.", "For each of them the town paid $____, and more.", "960", "Float"),
        ("They met in the garden of Hartwell, who sang.", "They met in the garden of ____, who sang.", "Hartwell", "Str"),
    ],
)  # fmt: skip
def test_a_number_or_a_name_is_blanked(sentence: str, cloze: str, value: str, answer_format: str) -> None:
    assert found(sentence) == [(cloze, value, answer_format)]
    assert found(sentence, value.lower()) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "It carried 870 people.",  # too short
        "The old ferry carried 870 people in a year",  # no sentence
        "and then the old ferry carried 870 people in a year.",
        "The old ferry carried 7 people in a year.",  # anything may have seven
        "The old ferry earned $8.7 million in a year.",  # is it 8.7, or $8.7 million?
        "The old ferry carried 1,250 people in a year.",  # the rules of scoring read no such answer
        "Revenue 870 812 Costs 640 615 Profit 230 197 Tax 55 41 all in all.",
        "Table of Ferries and Barges, Revenue by River, 870.",
        "They met in the garden of Anna Hartwell, who sang.",  # half a name
        "Then came the answer of the old man: Never again.",
    ],
)
def test_what_is_no_needle(sentence: str) -> None:
    assert found(sentence) == []


SUBJECTS = ("ferry", "tower", "garden", "library", "bakery", "harbour", "theatre", "orchard", "quarry", "chapel")
PLACES = ("meadow", "island", "valley", "village", "hillside", "crossing", "seaside", "forest", "heath", "delta")
VERBS = ("sheltered", "welcomed", "counted", "delighted", "employed", "astonished", "supplied", "amused", "housed", "taught")


def library(pages: int = 60, tokens: int = 100) -> list[HayPage]:
    chance = random.Random(7)
    text = "When {} came, the {} near the {} {} about {} people."
    made: list[HayPage] = []
    for number in range(pages):
        words = [chance.choice(kind) for kind in (("spring", "summer", "autumn", "winter"), SUBJECTS, PLACES, VERBS)]
        made.append(hay_page(text.format(*words, 1000 + number), number % 20, f"{number // 20}.pdf", tokens))
    return made


PLAN = NeedlePlan((1000, 3000), 20)


def test_the_same_pages_and_seed_give_the_same_tasks() -> None:
    assert draw_tasks(library(), PLAN) == draw_tasks(library(), PLAN)
    assert draw_tasks(library(), PLAN) != draw_tasks(library(), NeedlePlan(PLAN.lengths, PLAN.count, seed=1))


def test_depths_are_balanced_and_half_the_needles_are_asked_for_where_absent() -> None:
    tasks = draw_tasks(library(), PLAN)
    counts = Counter((task.length, task.depth) for task in tasks)
    assert counts == {(length, depth): 10 if depth is None else 4 for length in PLAN.lengths for depth in (*DEPTHS, None)}
    assert len({task.question.question_id for task in tasks}) == len(tasks) == 60
    asked = {length: {task.question.question for task in tasks if task.length == length} for length in PLAN.lengths}
    assert asked[1000] == asked[3000]
    assert len(asked[1000]) == 20


def test_a_haystack_holds_the_needle_at_its_depth_and_no_page_that_answers_too() -> None:
    pages = library()
    for task in draw_tasks(pages, PLAN):
        assert len(set(task.pages)) == len(task.pages) == task.length // 100
        question = task.question
        own = [place for place, page in enumerate(pages) if page.item.name == question.doc_id and question.answer in page.words]
        value = question.question.split("about ____")
        assert len(value) == 2
        assert question.doc_type == f"{task.length} tokens"
        if task.depth is None:
            assert (question.answer, question.answer_format, question.evidence_pages) == ("Not answerable", "None", ())
        else:
            assert task.pages.index(own[0]) == round(task.depth * (len(task.pages) - 1))
            assert question.evidence_pages == (pages[own[0]].item.content.page.page_number,)
        telling = {word for word in question.question.split('"')[1].lower().replace(",", "").split() if len(word) > 3}
        telling -= {"____", "people."}
        for place in set(task.pages) - set(own):
            assert len(telling & pages[place].words) < 0.8 * (len(telling) + 1)


def test_a_page_that_says_the_same_of_another_year_is_in_no_haystack_of_the_needle() -> None:
    text = "Over the whole of that year the old ferry at the mill carried {} people."
    pages = [*library(30), hay_page(text.format(870), 0, "x.pdf"), hay_page(text.format(912), 1, "x.pdf")]
    tasks = [task for task in draw_tasks(pages, NeedlePlan((2500,), 32)) if "ferry at the mill" in task.question.question]
    assert len(tasks) >= 2
    for task in tasks:
        assert len({30, 31} & set(task.pages)) == (task.depth is not None)


def test_a_longer_haystack_goes_on_from_the_shorter_one() -> None:
    tasks = draw_tasks(library(), PLAN)
    short, long = (
        {task.question.question: task for task in tasks if task.length == length and task.depth} for length in PLAN.lengths
    )
    for question, task in short.items():
        assert set(task.pages) < set(long[question].pages)


def test_only_the_same_haystack_is_the_same_question() -> None:
    """Runs are compared by question_id: another length, depth or page beside the needle makes another question of it."""
    plans = (
        PLAN,
        NeedlePlan((3000, 1000), 20),
        NeedlePlan((1000, 2000), 20),
        NeedlePlan((1000,), 13),
        NeedlePlan((1000,), 20, 1),
    )
    drawn = [(pages, plan) for plan in plans for pages in (library(), library(50))]
    asked: dict[str, set[tuple[object, ...]]] = {}
    for pages, plan in drawn:
        for task in draw_tasks(pages, plan):
            hay = tuple(pages[place].item.content.page.point_id for place in task.pages)
            asked.setdefault(task.question.question_id, set()).add((task.question, task.length, task.depth, hay))
    assert all(len(same) == 1 for same in asked.values())
    ids = [{task.question.question_id for task in draw_tasks(library(), plan)} for plan in plans]
    assert ids[0] == ids[1]
    assert len(ids[0] & ids[2]) == 30  # those of 1,000 tokens


def test_pages_without_text_are_in_no_haystack() -> None:
    pages = [*library(30), *(hay_page("", number, "scan.pdf") for number in range(30))]
    assert all(place < 30 for task in draw_tasks(pages, NeedlePlan((1000,), 10)) for place in task.pages)


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        (NeedlePlan((1000,), 99), "the library has needles for 60 questions, 99 are wanted"),
        (NeedlePlan((99,), 5), "a page of 100 tokens is no needle among 99"),
        (
            NeedlePlan((3000, 199), 5),
            "needle among 199: no other page has room beside it\n  ask for --lengths of 200 tokens or",
        ),
        (NeedlePlan((50_000,), 5), "tokens for a haystack of 50,000"),
    ],
)
def test_what_a_library_has_too_little_for_is_told(plan: NeedlePlan, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        draw_tasks(library(), plan)


def test_a_needle_alone_is_none() -> None:
    assert {len(task.pages) for task in draw_tasks(library(), NeedlePlan((200,), 5))} == {2}
    with pytest.raises(UsageError, match="no other page to hide a needle's beside"):
        draw_tasks(library(1), NeedlePlan((100,), 1))


@pytest.mark.parametrize(("lengths", "count"), [((), 1), ((0,), 1), ((1000,), 0), ((1000, 1000), 1)])
def test_a_plan_without_sense_is_refused(lengths: tuple[int, ...], count: int) -> None:
    with pytest.raises(UsageError):
        NeedlePlan(lengths, count)


def answered(task: NeedleTask, answer: str | None) -> Prediction:
    outcome: Any = {"Not answerable": "not_answerable", "Fail to answer": "failed"}.get(str(answer), "answered")
    trace = {"needle": to_trace(task, [("a.pdf", place + 1) for place in task.pages])}
    return Prediction(
        task.question.question_id, answer, outcome, 0.5, 20, (), None, (), 1.0, context_tokens=task.length - 10, trace=trace
    )


def record(tasks: Sequence[NeedleTask], predictions: Sequence[Prediction]) -> RunRecord:
    by_id = {prediction.question_id: prediction for prediction in predictions}
    return RunRecord(Path("run"), "run", {}, tuple(task.question for task in tasks), by_id)


def test_the_result_is_by_length_and_depth() -> None:
    tasks = draw_tasks(library(), PLAN)

    def answer(task: NeedleTask) -> str:
        if task.depth is None:
            return "Not answerable" if task.length == 1000 else "41"
        if task.length == 3000 and task.depth == 0.5:
            return "Not answerable"
        return "Fail to answer" if task.length == 3000 and task.depth == 1.0 else task.question.answer

    result = needle_result(record(tasks, [answered(task, answer(task)) for task in tasks]))
    short, long = result.rows
    assert [figure.value for figure in short.by_depth.values()] == [1.0] * 5
    assert [figure.value for figure in long.by_depth.values()] == [1.0, 1.0, 0.0, 1.0, 0.0]
    assert (short.accuracy.value, long.accuracy.value) == (1.0, 0.6)
    assert (short.refused.value, long.refused.value) == (1.0, 0.0)
    assert (short.wrongly_refused.value, long.wrongly_refused.value) == (0.0, 0.2)
    assert (short.failed, long.failed) == (0, 4)
    assert (short.pages, long.pages, long.context_tokens) == (10, 30, 2990)
    assert long.accuracy.low is not None
    assert long.accuracy.low < 0.6 < (long.accuracy.high or 0)
    told = result.to_json()
    assert (told["questions"], told["answered"]) == (60, 60)
    assert told["lengths"][1]["by_depth"]["0.5"]["value"] == 0.0
    rows = [" ".join(line.split()) for line in result.to_text().splitlines()]
    assert "3000 30.0 2990 100 (4) 100 (4) 0 (4) 100 (4) 0 (4) 60 (20) 0 (10) 20 (20) 4" in rows


def test_groups_of_needles_are_named_and_in_order_of_their_size() -> None:
    tasks = draw_tasks(library(tokens=500), NeedlePlan((16384, 4096, 1100), 5))
    run = record(tasks, [answered(task, task.question.answer) for task in tasks])
    found = {one.key: one for one in analyse(replace(run, config={"benchmark": "needles"})).breakdowns}
    assert found["doc_type"].title == "Length of the haystack"
    assert [name for name, _ in found["doc_type"].rows] == ["1100 tokens", "4k tokens", "16k tokens"]
    assert found["source"].title == "Depth of the needle's page"
    depths = [f"depth {depth}%" for depth in (0, 25, 50, 75, 100)]
    assert [name for name, _ in found["source"].rows] == [*depths, "no needle"]


def test_an_unfinished_run_counts_what_is_there() -> None:
    tasks = draw_tasks(library(), PLAN)
    result = needle_result(record(tasks, [answered(tasks[0], tasks[0].question.answer)]))
    assert (result.questions, result.answered, len(result.rows)) == (60, 1, 1)
    assert result.rows[0].refused.value is None
    assert "1 of 60 questions" in result.to_text()


def test_a_run_of_needles_finds_nothing_for_nothing_was_searched() -> None:
    """Whatever it has come to and whatever failed: zeros would be invented."""
    tasks = draw_tasks(library(), PLAN)
    right = answered(tasks[0], tasks[0].question.answer)
    for predictions in ([replace(right, read_pages=(1,))], [answered(task, "Fail to answer") for task in tasks]):
        analysis = analyse(record(tasks, predictions))
        assert {figure.value for figure in analysis.retrieval["document"].values()} == {None}
        assert (analysis.recall_at_k["document"].x, analysis.recall_at_tokens) == ((), None)


def test_a_run_of_another_kind_is_refused() -> None:
    tasks = draw_tasks(library(), PLAN)
    other = Prediction(tasks[0].question.question_id, "x", "answered", 0.5, 20, (), None, (), 1.0)
    with pytest.raises(UsageError, match="run is no run of needles"):
        needle_result(record(tasks, [other]))
