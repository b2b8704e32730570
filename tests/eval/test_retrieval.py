"""Retrieval metrics against values worked out by hand, and intervals against a slow bootstrap."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docrag.eval.intervals import mean_interval, paired_interval
from docrag.eval.mmlongbench import Question
from docrag.eval.retrieval import METRICS, Ranking, rank_metrics, relevant_pages, score_rankings


def question(answer: str = "red", pages: tuple[int, ...] = (3,)) -> Question:
    return Question("q", "d.pdf", "Report", "which?", answer, pages, (), "Str")


def test_metrics_worked_out_by_hand() -> None:
    values = rank_metrics([9, 2, 7, 4, 8, 1, 5], {2, 4, 5})
    assert [values[f"recall@{k}"] for k in (1, 3, 5, 10)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (values["all@5"], values["hit@5"], values["mrr"]) == (0.0, 1.0, 0.5)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert values["ndcg@5"] == pytest.approx((1 / math.log2(3) + 1 / math.log2(5)) / ideal)


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
    assert values["all@5"] == (relevant <= set(unique[:5]))
    assert values["hit@5"] == bool(relevant & set(unique[:5]))
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


def slow_bootstrap(values: Sequence[float], clusters: Sequence[str], draws: int) -> tuple[float, float]:
    generator = random.Random(3)
    names = sorted(set(clusters))
    means = []
    for _ in range(draws):
        drawn = [
            v for name in generator.choices(names, k=len(names)) for v, c in zip(values, clusters, strict=True) if c == name
        ]
        means.append(sum(drawn) / len(drawn))
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def example(n: int = 120) -> tuple[list[float], list[str]]:
    generator = random.Random(5)
    clusters = [f"{generator.randrange(12)}.pdf" for _ in range(n)]
    return [float(generator.random() < 0.3 + 0.05 * int(name.split(".")[0])) for name in clusters], clusters


def test_interval_agrees_with_a_slow_bootstrap() -> None:
    values, clusters = example()
    interval = mean_interval(values, clusters)
    assert interval is not None
    low, high = slow_bootstrap(values, clusters, 3000)
    assert interval.estimate == pytest.approx(sum(values) / len(values))
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.015)
    assert mean_interval(values, clusters) == interval


def test_paired_interval_sees_a_gain_that_two_intervals_hide() -> None:
    values, clusters = example()
    better = [min(1.0, value + 0.1) for value in values]
    gain = paired_interval(better, values, clusters)
    assert gain is not None
    assert 0 < gain.low < gain.estimate < gain.high < 0.1
    assert paired_interval(values, values, clusters) == type(gain)(0.0, 0.0, 0.0)
    loss = paired_interval(values, better, clusters)
    assert loss is not None
    assert loss.high < 0


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0]])
def test_one_document_has_no_interval(values: list[Any]) -> None:
    assert mean_interval(values, ["d.pdf"] * len(values)) is None


def test_lengths_that_differ_are_an_error() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_interval([1.0, 0.0], [1.0], ["a", "b"])
    with pytest.raises(ValueError, match="2 rows and 1 clusters"):
        mean_interval([1.0, 0.0], ["a"])
