"""Fusing lanes: scaling, weights, missing lanes and pages, ties; and what of a question is searched for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docrag.pipelines.fuse import FUSION, MAX_FORM_CHARS, best_of, fuse, question_text, scaled
from docrag.types import LaneScore

PAGES = [f"page-{number}" for number in range(6)]
SCORES = st.dictionaries(st.sampled_from(PAGES), st.floats(-1e6, 1e6), max_size=6)
LANES = st.dictionaries(st.sampled_from(["bm25", "passages", "statements", "visual"]), SCORES, max_size=4)


def test_lanes_are_scaled_weighted_and_added() -> None:
    first, second, third = fuse({"bm25": {"a": 10.0, "b": 0.0, "c": 5.0}, "passages": {"a": 0.3, "b": 0.7}}, {})
    assert (FUSION.lanes["bm25"], FUSION.lanes["passages"]) == (1.0, 0.5)
    assert [(page.id, page.score) for page in (first, second, third)] == [
        ("a", pytest.approx(1.0 / 1.5)),
        ("b", pytest.approx(0.5 / 1.5)),
        ("c", pytest.approx(0.5 / 1.5)),
    ]
    assert first.lanes == {"bm25": LaneScore(10.0, 1), "passages": LaneScore(0.3, 2)}
    assert third.lanes == {"bm25": LaneScore(5.0, 2)}


def test_ties_go_by_id_whatever_the_order_they_came_in() -> None:
    same = {"c": 1.0, "a": 1.0, "b": 1.0}
    assert [page.id for page in fuse({"bm25": same}, {})] == ["a", "b", "c"]
    assert [page.lanes["bm25"].rank for page in fuse({"bm25": same}, {})] == [1, 2, 3]
    assert fuse({"bm25": dict(reversed(same.items()))}, {}) == fuse({"bm25": same}, {})


def test_a_lane_without_vectors_of_a_page_is_taken_to_be_half_average_and_half_as_the_others() -> None:
    lanes = {"bm25": {"a": 10.0, "b": 0.0, "c": 5.0}, "visual": {"b": 3.0, "c": 1.0, "d": 2.0}}
    by_id = {page.id: page for page in fuse(lanes, {}, {"visual": ["a", "elsewhere"]})}
    assert sorted(by_id) == ["a", "b", "c", "d"]
    assert by_id["a"].parts == {"bm25": 0.5, "visual": pytest.approx((0.5 + 1.0) / 2 / 2)}
    assert by_id["a"].score == pytest.approx(0.5 + 0.375)
    assert by_id["a"].lanes == {"bm25": LaneScore(10.0, 1)}
    assert by_id["d"].parts == {"visual": pytest.approx(0.25)}
    assert "a" not in {page.id for page in fuse({"visual": lanes["visual"]}, {}, {"visual": ["a"]})}


def test_what_several_lanes_do_not_know_is_judged_by_the_one_that_does() -> None:
    lanes = {"bm25": {"a": 2.0, "b": 1.0}, "passages": {"a": 0.5, "b": 0.4}, "visual": {"a": 1.0, "b": 2.0, "c": 3.0}}
    unread = {"bm25": {"c"}, "passages": {"c"}}
    assert fuse(lanes, {}, unread)[0].id == "c"
    assert fuse(lanes, {}, unread)[0].parts == {
        "bm25": pytest.approx(0.75 / 2.5), "passages": pytest.approx(0.375 / 2.5), "visual": pytest.approx(1 / 2.5),
    }  # fmt: skip


def test_parts_add_up_to_the_score_and_shares_to_1() -> None:
    pages = fuse({"bm25": {"a": 3.0, "b": 1.0, "c": 0.0}, "visual": {"a": 1.0, "b": 9.0, "c": 1.0}}, {"b": 0.5})
    assert all(sum(page.parts.values()) == pytest.approx(page.score) for page in pages)
    assert [sum(page.shares.values()) for page in pages] == [pytest.approx(1.0), pytest.approx(1.0), 0]
    assert pages[0].shares["reference"] == pytest.approx(0.75 / (1 / 3 + 1 + 0.75))


def test_a_lane_without_results_is_as_good_as_absent() -> None:
    lanes = {"bm25": {"a": 2.0, "b": 1.0}}
    assert fuse({**lanes, "passages": {}}, {}) == fuse(lanes, {})


def test_nothing_asked_and_nothing_found() -> None:
    assert fuse({}, {}) == ()
    assert fuse({"bm25": {}}, {}, {"bm25": ["a"]}) == ()


def test_a_named_page_beats_any_page_that_is_best_in_one_lane_only() -> None:
    lanes = {"bm25": {"a": 9.0, "b": 0.0}, "passages": {"b": 0.9, "c": 0.1}}
    pages = fuse(lanes, {"d": 1.0})
    assert pages[0].id == "d"
    assert pages[0].score == pytest.approx(FUSION.reference / (1.5 + FUSION.reference))


def test_a_page_that_is_named_weakly_does_not_beat_a_clear_winner() -> None:
    lanes = {"bm25": {"a": 9.0, "b": 0.0}, "passages": {"a": 0.9, "b": 0.1}}
    assert [page.id for page in fuse(lanes, {"b": 0.5})] == ["a", "b"]


def test_a_lane_of_its_own_kind_counts_1() -> None:
    pages = fuse({"visual": {"a": 40.0, "b": 30.0}, "passages": {"b": 0.5, "a": 0.4}}, {})
    assert [page.id for page in pages] == ["a", "b"]


@given(
    LANES,
    st.dictionaries(st.sampled_from(PAGES), st.floats(0, 1), max_size=3),
    st.dictionaries(st.sampled_from(["bm25", "visual"]), st.sets(st.sampled_from(PAGES))),
)
def test_every_page_comes_out_once_best_first_between_0_and_1(
    lanes: dict[str, dict[str, float]], references: dict[str, float], without: dict[str, set[str]]
) -> None:
    pages = fuse(lanes, references, without)
    assert sorted(page.id for page in pages) == sorted({*references, *(key for scores in lanes.values() for key in scores)})
    assert all(0.0 <= page.score <= 1.0 for page in pages)
    assert all(before.score >= after.score for before, after in pairwise(pages))
    assert all(set(page.lanes) == {lane for lane, scores in lanes.items() if page.id in scores} for page in pages)


@given(SCORES)
def test_scaling_keeps_the_order_and_reaches_0_and_1(scores: dict[str, float]) -> None:
    shares = scaled(scores)
    assert set(shares) == set(scores)
    assert all(shares[one] <= shares[other] for one in scores for other in scores if scores[one] <= scores[other])
    if len(set(scores.values())) > 1:
        assert (min(shares.values()), max(shares.values())) == (0.0, 1.0)


def test_best_of_several_queries_is_each_pages_best_share() -> None:
    assert best_of([{"a": 4.0, "b": 2.0, "c": 0.0}, {"b": 10.0, "c": 5.0}]) == {"a": 1.0, "b": 1.0, "c": 0.0}
    assert best_of([]) == {}


@pytest.mark.parametrize(
    ("question", "searched"),
    [
        ("How many boats are there? Write the answer in int format.", "How many boats are there?"),
        ("How many boats are there?Round your answer to two decimals", "How many boats are there?"),
        ("How long is it? Please give the answer in metres as a float.", "How long is it?"),
        ("Is it red? Directly answer 'yes' or 'no'.", "Is it red?"),
        ("What is the sum? Answer in billions", "What is the sum?"),
        ("Add the boats of both harbours. Write down the answer in integer format.", "Add the boats of both harbours."),
        ("Which boats sail? List them in ascending order, e.g. ['a', 'b'].", "Which boats sail?"),
    ],
)
def test_the_form_of_the_answer_is_not_searched_for(question: str, searched: str) -> None:
    assert question_text(question) == searched


@pytest.mark.parametrize(
    "question",
    [
        "List the boats in order of length.",
        "In this harbour are two quays. List the boats of the longer one.",
        "According to the log, list all boats in the order of arrival.",
        "There was a storm. What percentage of the boats sank?",
        "Which came first? The red boat or the blue one?",
        "Write the answer in int format.",
        "",
    ],
)
def test_what_asks_for_matter_stays(question: str) -> None:
    assert question_text(question) == question


def test_a_pasted_text_is_left_as_it_is() -> None:
    long = "The answer. " * MAX_FORM_CHARS + "?"
    assert question_text(long) == long
