"""Retrieval metrics against values worked out by hand, and against their definitions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docrag.eval.questions import Question
from docrag.eval.retrieval import (
    CURVE_DEPTHS,
    METRICS,
    Ranking,
    page_overlap,
    rank_metrics,
    recall_at_budgets,
    recall_at_depths,
    relevant_pages,
    score_rankings,
)


def question(answer: str = "red", pages: tuple[int, ...] = (3,)) -> Question:
    return Question("q", "d.pdf", "Report", "which?", answer, pages, (), "Str")


def test_metrics_worked_out_by_hand() -> None:
    values = rank_metrics([9, 2, 7, 4, 8, 1, 5], {2, 4, 5})
    assert [values[f"recall@{k}"] for k in (1, 3, 5, 10)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (values["all@5"], values["hit@5"], values["mrr"]) == (0.0, 1.0, 0.5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert values["ndcg@5"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)
    assert (values["all@3"], values["all@10"], values["hit@1"], values["hit@3"]) == (0.0, 1.0, 0.0, 1.0)
    assert (values["precision@5"], values["f1@5"]) == pytest.approx((2 / 5, 2 * (2 / 5) * (2 / 3) / (2 / 5 + 2 / 3)))


def test_precision_is_over_the_pages_that_there_are() -> None:
    values = rank_metrics([3, 1], {3})
    assert (values["precision@5"], values["recall@5"], values["f1@5"]) == pytest.approx((1 / 2, 1, 2 / 3))


def test_pages_read_against_evidence() -> None:
    relevant = frozenset({("d", 2), ("d", 3), ("d", 9)})
    read = [("d", 2), ("d", 3), ("d", 2), ("d", 4), ("e", 9)]
    assert page_overlap(read, relevant) == pytest.approx((2 / 4, 2 / 3, 4 / 7))
    assert page_overlap([], relevant) == (0.0, 0.0, 0.0)


def test_more_evidence_than_fits_can_not_all_be_there() -> None:
    values = rank_metrics(range(1, 11), set(range(1, 7)))
    assert (values["all@5"], values["ndcg@5"], values["recall@5"]) == (0.0, 1.0, 5 / 6)


def test_nothing_found_is_zero_and_nothing_to_find_an_error() -> None:
    assert set(rank_metrics([], {1}).values()) == {0.0}
    with pytest.raises(ValueError, match="without relevant pages"):
        rank_metrics([1], set())


@given(st.lists(st.integers(1, 12), max_size=14), st.sets(st.integers(1, 12), min_size=1))
def test_metrics_agree_with_their_definitions(ranked: list[int], relevant: set[int]) -> None:
    values = rank_metrics(ranked, relevant)
    unique = sorted(set(ranked), key=ranked.index)
    for k in (1, 3, 5, 10):
        assert values[f"recall@{k}"] == pytest.approx(len(set(unique[:k]) & relevant) / len(relevant))
        assert values[f"all@{k}"] == (relevant <= set(unique[:k]))
        assert values[f"hit@{k}"] == bool(relevant & set(unique[:k]))
    found = len(set(unique[:5]) & relevant)
    assert values["f1@5"] == pytest.approx(2 * found / (len(unique[:5]) + len(relevant)))
    assert values["mrr"] == pytest.approx(max((1 / (unique.index(page) + 1) for page in relevant if page in unique), default=0))
    assert 0 <= values["ndcg@5"] <= 1 + 1e-12


def test_only_answerable_questions_with_evidence_inside_the_document_count() -> None:
    assert relevant_pages(question(pages=(3, 3, 12, 0)), 10) == {("d.pdf", 3)}
    assert relevant_pages(question(pages=(12,)), 10) == frozenset()
    assert relevant_pages(question("Not answerable", (3,)), 10) == frozenset()
    assert relevant_pages(question(pages=(12, 0)), None) == {("d.pdf", 12)}


def test_means_over_the_judged_rankings() -> None:
    found, missed = (("d.pdf", 3),), (("e.pdf", 3),)
    relevant = frozenset(found)
    rankings = [
        Ranking("q1", "d.pdf", found, relevant),
        Ranking("q2", "d.pdf", missed, relevant),  # the page of another document is another page
        Ranking("q3", "d.pdf", found, frozenset()),
    ]
    scores = score_rankings(rankings, "library")
    assert (scores.questions, scores.question_ids, scores.mean("recall@1")) == (2, ("q1", "q2"), 0.5)
    assert list(scores.to_json()) == ["scope", "questions", *METRICS]
    assert score_rankings([], "document").to_json() == {"scope": "document", "questions": 0, **dict.fromkeys(METRICS)}


def ranking(pages: list[int], relevant: set[int], tokens: tuple[int, ...] = ()) -> Ranking:
    def places(numbers: list[int]) -> tuple[tuple[str, int], ...]:
        return tuple(("d.pdf", page) for page in numbers)

    return Ranking("q", "d.pdf", places(pages), frozenset(places(sorted(relevant))), tokens)


def test_recall_against_depth() -> None:
    curve = recall_at_depths([ranking([4, 1, 2], {1, 2}), ranking([5], {5}), ranking([1], set())])
    assert len(curve) == len(CURVE_DEPTHS)
    assert curve[:4] == pytest.approx((0.5, 0.75, 1.0, 1.0))
    assert curve[-1] == 1.0
    assert recall_at_depths([ranking([1], set())]) == ()


def test_recall_against_tokens() -> None:
    big_first = ranking([4, 1, 2], {1, 2}, (1500, 400, 400))
    small = ranking([5], {5}, (900,))
    budgets, recalls = recall_at_budgets([big_first, small, ranking([1], set(), ())])
    found = dict(zip(budgets, recalls, strict=True))
    assert (found[1024], found[2048], found[3072]) == (0.5, 0.75, 1.0)
    assert budgets[-1] == 128 * 1024


def test_recall_against_tokens_ends_where_they_are_not_known() -> None:
    kept_two = ranking([4, 1, 2], {1, 2}, (1500, 1000))
    budgets, recalls = recall_at_budgets([kept_two])
    assert budgets == (1024, 1536, 2048)
    assert recalls == (0.0, 0.0, 0.0)
    assert recall_at_budgets([kept_two, ranking([1], {1})]) == ((), ())
    assert recall_at_budgets([]) == ((), ())
    missed = ranking([], {1})
    assert recall_at_budgets([missed])[1] == (0.0,) * 15
