"""Accuracy, F1 and the groups, by hand and against a plain counting of random items."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docrag.eval.scoring import Item, Scores, score_answer, score_predictions


def item(answer: str, prediction: str | None, pages: tuple[int, ...] | None = (1,), **changes: Any) -> Item:
    given = {"question_id": "q", "doc_id": "d.pdf", "doc_type": "Report", "question": "?", "evidence_sources": ("Table",)}
    return Item(answer=answer, answer_format="Str", evidence_pages=pages, prediction=prediction, **{**given, **changes})


def score(*items: Item) -> Scores:
    return score_predictions(items)


def test_accuracy_f1_and_groups() -> None:
    scores = score(
        item("red", "red", (2,)),
        item("blue", "Not answerable", (2, 3), evidence_sources=("Table", "Figure")),
        item("green", "abcx", (), doc_type="Guide", evidence_sources=("Figure",)),
        item("Not answerable", "Not answerable", (), evidence_sources=()),
        item("Not answerable", "Not answerable.", (4,), evidence_sources=()),
    )
    near_refusal = 1 - 1 / 15
    assert [one.score for one in scores.items] == pytest.approx([1, 0, 0, 1, near_refusal])
    assert (scores.questions, scores.scored) == (5, 5)
    assert scores.accuracy == pytest.approx((2 + near_refusal) / 5)
    recall, precision = 1 / 3, 1 / 3  # two of five were refused in so many words
    assert scores.f1 == pytest.approx(2 * recall * precision / (recall + precision))
    assert (scores.answerable.questions, scores.answerable.accuracy) == (3, pytest.approx(1 / 3))
    assert (scores.single_page.questions, scores.single_page.accuracy) == (2, pytest.approx((1 + near_refusal) / 2))
    assert (scores.cross_page.questions, scores.cross_page.accuracy) == (2, 0.0)
    assert (scores.unanswerable.questions, scores.unanswerable.accuracy) == (2, pytest.approx((1 + near_refusal) / 2))
    assert {name: (group.questions, group.accuracy) for name, group in scores.by_source.items()} == {
        "Figure": (2, 0.0),
        "Table": (2, 0.5),
    }
    assert scores.by_doc_type["Guide"].questions == 1
    assert scores.by_doc_type["Report"].questions == 4
    assert scores.wrongly_refused == pytest.approx(1 / 3)


def test_a_mean_over_nothing_is_none() -> None:
    empty = score()
    assert (empty.questions, empty.scored, empty.accuracy, empty.f1, empty.wrongly_refused) == (0, 0, None, None, None)
    unpredicted = score(item("red", None), item("Not answerable", None, ()))
    assert (unpredicted.questions, unpredicted.scored, unpredicted.accuracy, unpredicted.f1) == (2, 0, None, None)
    assert unpredicted.items[0].score is None
    assert unpredicted.by_source["Table"].accuracy is None
    answerable_only = score(item("red", "red"))
    assert answerable_only.unanswerable.accuracy is None
    assert answerable_only.cross_page.accuracy is None


def test_f1_is_zero_where_its_denominators_are() -> None:
    assert score(item("Not answerable", "Not answerable", ())).f1 == 0.0
    assert score(item("red", "Not answerable")).f1 == 0.0


def test_an_unscored_question_counts_as_wrong() -> None:
    scores = score(item("red", "red"), item("red", None))
    assert (scores.questions, scores.scored, scores.accuracy) == (2, 1, 0.5)
    assert scores.f1 == pytest.approx(0.5)


def test_unscored_questions_can_be_left_out_as_the_script_does() -> None:
    scores = score(item("red", "red"), item("red", None), item("blue", "none")).without_unscored()
    assert (scores.questions, scores.scored, scores.accuracy, scores.f1) == (2, 2, 0.5, 0.5)
    assert scores.single_page.questions == 2


def test_a_source_named_twice_counts_its_question_twice() -> None:
    scores = score(item("red", "red", evidence_sources=("Table", "Table")), item("red", "x"))
    assert (scores.by_source["Table"].questions, scores.by_source["Table"].accuracy) == (3, pytest.approx(2 / 3))


@st.composite
def items(draw: st.DrawFn) -> Item:
    reference = draw(st.sampled_from(["red", "Not answerable", "blue"]))
    return item(
        reference,
        draw(st.sampled_from([reference, "red", "rex", "Not answerable", "Not answerable.", "Fail to answer", None])),
        draw(st.lists(st.integers(1, 3), max_size=2).map(tuple)),
        doc_type=draw(st.sampled_from(["Guide", "Report"])),
        evidence_sources=tuple(draw(st.lists(st.sampled_from(["Table", "Chart"]), max_size=3))),
    )


def slow_figures(members: list[Item]) -> tuple[float, float]:
    """Accuracy and F1 as the script counts them: over the scored questions, 0 where there are none."""
    scored = [(one, score_answer(one.prediction, one.answer, "Str")) for one in members if one.prediction is not None]
    if not scored:
        return 0.0, 0.0
    credit = sum(value for one, value in scored if one.answer != "Not answerable")
    wanted = sum(one.answer != "Not answerable" for one, _ in scored)
    claimed = sum(one.prediction != "Not answerable" for one, _ in scored)
    accuracy = sum(value for _, value in scored) / len(scored)
    if wanted == 0 or claimed == 0 or credit == 0:
        return accuracy, 0.0
    recall, precision = credit / wanted, credit / claimed
    return accuracy, 2 * recall * precision / (recall + precision)


@settings(max_examples=120, deadline=None)
@given(st.lists(items(), max_size=8))
def test_figures_and_groups_agree_with_the_script_on_what_is_scored(members: list[Item]) -> None:
    counted = score_predictions(members).without_unscored()
    assert (counted.accuracy or 0.0, counted.f1 or 0.0) == slow_figures(members)
    answerable = [one for one in members if one.answer != "Not answerable"]
    groups = [
        (counted.single_page, [one for one in members if len(one.evidence_pages or ()) == 1]),
        (counted.cross_page, [one for one in answerable if len(one.evidence_pages or ()) != 1]),
        (counted.unanswerable, [one for one in members if one.answer == "Not answerable"]),
    ]
    by_source: dict[str, list[Item]] = {}
    by_type: dict[str, list[Item]] = {}
    for one in members:
        for source in one.evidence_sources if one.prediction is not None else ():
            by_source.setdefault(source, []).append(one)
        if one.prediction is not None:
            by_type.setdefault(one.doc_type, []).append(one)
    assert (counted.by_source.keys(), counted.by_doc_type.keys()) == (by_source.keys(), by_type.keys())
    groups += [(counted.by_source[name], by_source[name]) for name in by_source]
    groups += [(counted.by_doc_type[name], by_type[name]) for name in by_type]
    for group, inside in groups:
        assert group.questions == sum(one.prediction is not None for one in inside)
        assert (group.accuracy or 0.0) == slow_figures(inside)[0]


@settings(max_examples=60, deadline=None)
@given(st.lists(items(), min_size=1, max_size=8))
def test_accuracy_over_all_questions_takes_the_unscored_as_wrong(members: list[Item]) -> None:
    scores = score_predictions(members)
    accuracy, _ = slow_figures(members)
    assert (scores.accuracy or 0.0) == pytest.approx(accuracy * scores.scored / len(members))


def test_unknown_evidence_pages_are_in_neither_page_group() -> None:
    scores = score(item("red", "red", None, doc_type=""))
    assert (scores.single_page.questions, scores.cross_page.questions, scores.by_doc_type) == (0, 0, {})


def test_json_has_the_fixed_keys() -> None:
    data = score(item("red", "red")).to_json()
    groups = ["answerable", "single_page", "cross_page", "unanswerable", "by_source", "by_doc_type"]
    assert list(data) == ["questions", "scored", "accuracy", "f1", *groups, "items"]
    assert data["by_source"] == {"Table": 1.0}
    assert data["items"] == [
        {"question_id": "q", "score": 1.0, "doc_id": "d.pdf", "answer_format": "Str", "answer": "red", "prediction": "red"}
    ]
