"""What a run's predictions mean, on runs small enough to work out by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest

from docrag.eval.analysis import analyse
from docrag.eval.cases import judge
from docrag.eval.figures import Analysis, Curve, Figure
from docrag.eval.intervals import mean_interval
from docrag.eval.predictions import Prediction
from docrag.eval.scoring import FAIL_TO_ANSWER
from docrag.types import NOT_ANSWERABLE
from tests.eval.small_runs import prediction, question, record

NO = NOT_ANSWERABLE


def values(analysis: Analysis, key: str) -> dict[str, tuple[float | None, int]]:
    """Group to accuracy and questions."""
    found = analysis.breakdown(key)
    return {name: (figure.value, figure.questions) for name, figure in found.rows} if found else {}


@pytest.fixture(scope="module")
def mixed() -> Analysis:
    """Four answerable questions: right, wrong, refused, failed; three that are not: refused, answered, not asked yet."""
    questions = [question(name, doc) for name, doc in zip("abcd", ("1.pdf", "1.pdf", "2.pdf", "2.pdf"), strict=True)]
    questions += [question(name, doc, NO) for name, doc in zip("xyz", ("1.pdf", "2.pdf", "2.pdf"), strict=True)]
    said = {"a": "red", "b": "blue", "c": NO, "d": FAIL_TO_ANSWER, "x": NO, "y": "red"}
    return analyse(record(questions, [prediction(name, answer) for name, answer in said.items()]))


def test_wrong_refused_failed_and_unscored_are_told_apart(mixed: Analysis) -> None:
    counts = {"questions": 7, "documents": 2, "scored": 6, "answered": 3, "refused": 2, "failed": 1, "unscored": 1}
    assert mixed.counts == counts
    failed = mixed.headline["failed"]
    assert (failed.value, failed.low) == (pytest.approx(1 / 7), None)


def test_the_official_means_run_over_all_questions(mixed: Analysis) -> None:
    assert mixed.headline["accuracy"].value == pytest.approx(2 / 7)
    assert mixed.headline["answerable"].value == pytest.approx(1 / 4)
    assert mixed.headline["unanswerable"].value == pytest.approx(1 / 3)
    assert mixed.headline["balanced"].value == pytest.approx((1 / 4 + 1 / 3) / 2)
    recall, precision = 1 / 4, 1 / 5
    assert mixed.headline["f1"].value == pytest.approx(2 * recall * precision / (recall + precision))


def test_the_strict_mean_runs_over_what_was_attempted(mixed: Analysis) -> None:
    assert mixed.headline["strict_accuracy"].value == pytest.approx(2 / 6)
    assert mixed.headline["strict_accuracy"].questions == 6
    assert mixed.headline["strict_answerable"].value == pytest.approx(1 / 4)


def test_abstention(mixed: Analysis) -> None:
    headline = mixed.headline
    assert (headline["abstention_precision"].value, headline["abstention_precision"].questions) == (1 / 2, 2)
    assert (headline["abstention_recall"].value, headline["abstention_recall"].questions) == (pytest.approx(1 / 3), 3)
    assert (headline["wrongly_refused"].value, headline["wrongly_refused"].questions) == (1 / 4, 4)


def test_a_run_that_never_refuses_has_no_abstention_precision() -> None:
    headline = analyse(record([question("a"), question("x", answer=NO)], [prediction("a"), prediction("x")])).headline
    assert headline["abstention_precision"] == Figure(None, None, None, 0)
    assert headline["abstention_recall"].value == 0.0


def test_figures_are_those_of_score_to_the_last_digit_and_their_intervals_those_of_a_mean() -> None:
    generator = random.Random(7)
    questions = [
        question(
            str(place),
            f"{generator.randrange(15)}.pdf",
            generator.choice(["red apple", NO]),
            tuple(range(1, 1 + generator.randrange(5))),
            doc_type=generator.choice("AB"),
        )
        for place in range(300)
    ]
    found = [
        prediction(one.question_id, generator.choice(["red apple", "red applet", "red", NO, FAIL_TO_ANSWER]))
        for one in questions
    ]
    run = record(questions, found)
    scores, headline = judge(run.questions, run.predictions).scores, analyse(run).headline
    assert headline["accuracy"].value == scores.accuracy
    assert headline["f1"].value == scores.f1
    for name in ("answerable", "unanswerable", "single_page", "cross_page"):
        assert headline[name].value == getattr(scores, name).accuracy
        assert headline[name].questions == getattr(scores, name).questions
    assert headline["wrongly_refused"].value == scores.wrongly_refused
    for key, groups in (("source", scores.by_source), ("doc_type", scores.by_doc_type)):
        assert values(analyse(run), key) == {name: (group.accuracy, group.questions) for name, group in groups.items()}
    interval = mean_interval([one.credit for one in scores.items], [one.item.doc_id for one in scores.items])
    assert interval is not None
    assert (headline["accuracy"].low, headline["accuracy"].high) == (interval.low, interval.high)
    assert headline["accuracy"].documents == 15


def test_by_pages_needed() -> None:
    pages = {"a": (3,), "b": (3, 3), "c": (3, 4), "d": (3, 4, 5), "e": (1, 2, 3, 4), "f": (1, 2, 3, 4, 5), "g": (99,), "h": ()}
    questions = [question(name, pages=own) for name, own in pages.items()] + [question("x", answer=NO)]
    said = {"b": "blue", "e": "blue", "x": NO}
    analysis = analyse(record(questions, [prediction(one.question_id, said.get(one.question_id, "red")) for one in questions]))
    assert values(analysis, "pages_needed") == {
        "unanswerable": (1.0, 1),
        "1": (0.5, 2),  # a page named twice is one page
        "2": (1.0, 1),
        "3": (1.0, 1),
        "4+": (0.5, 2),
        "none in the document": (1.0, 2),  # page 99 is not in it
    }


def test_by_document_length_and_type_both_kinds_stand_beside_each_other() -> None:
    lengths = {"a": 19, "b": 20, "c": 39, "d": 79, "e": 159, "f": 160, "g": 468}
    questions = [question(name, f"{name}.pdf") for name in lengths] + [question("x", "a.pdf", NO), question("y", "y.pdf")]
    found = [prediction(name, document_pages=pages) for name, pages in lengths.items()]
    analysis = analyse(record(questions, [*found, prediction("x", document_pages=19), Prediction.failed("y")]))
    lengths_found = values(analysis, "doc_length")
    assert {name: count for name, (_, count) in lengths_found.items()} == {
        "1 to 19": 2,
        "20 to 39": 2,
        "40 to 79": 1,
        "80 to 159": 1,
        "160 or more": 2,
    }
    kinds = analysis.breakdown("doc_type")
    assert kinds is not None
    assert [(name, figure.value) for name, figure in kinds.rows] == [("Report", 7 / 9)]
    assert [(name, figure.value) for name, figure in kinds.answerable] == [("Report", 7 / 8)]
    assert [(name, figure.value) for name, figure in kinds.unanswerable] == [("Report", 0.0)]
    needed = analysis.breakdown("pages_needed")
    assert needed is not None
    assert needed.answerable == ()


def test_by_position_in_document() -> None:
    pages = {"a": (1,), "b": (10,), "c": (11,), "d": (20,), "e": (21, 30), "f": (1, 30), "g": (5, 99)}
    analysis = analyse(record([question(name, pages=own) for name, own in pages.items()], [prediction(name) for name in pages]))
    assert {name: count for name, (_, count) in values(analysis, "position_in_document").items()} == {
        "first third": 3,
        "middle third": 2,
        "last third": 1,
        "in several thirds": 1,
    }


def test_by_position_in_context() -> None:
    read = {"a": (3, 1, 2), "b": (1, 3, 2), "c": (1, 2, 3), "d": (1, 2), "e": (), "f": (3,), "g": (1, 3, 2, 4)}
    questions = [question(name) for name in read] + [question("x", answer=NO)]
    found = [prediction(name, read_pages=pages) for name, pages in read.items()]
    analysis = analyse(record(questions, [*found, prediction("x", NO, read_pages=(3,))]))
    assert {name: count for name, (_, count) in values(analysis, "position_in_context").items()} == {
        "first third": 1,
        "middle third": 3,  # alone in the context is in its middle
        "last third": 1,
        "absent": 1,  # and where nothing was read, nothing is told
    }


def test_by_answer_format_in_the_order_of_the_rules() -> None:
    formats = {"a": "List", "b": "Int", "c": "Str"}
    questions = [question(name, answer="5", answer_format=form) for name, form in formats.items()]
    analysis = analyse(record(questions, [prediction(name, "5") for name in formats]))
    assert list(values(analysis, "answer_format")) == ["Str", "Int", "List"]


def test_evidence_in_context() -> None:
    read = {"a": (3, 4), "b": (3, 9), "c": (9,), "d": ()}
    questions = [question(name, pages=(3, 4)) for name in read] + [question("x", answer=NO), question("o", pages=(99,))]
    said = {"b": "blue", "x": NO}
    found = [prediction(name, said.get(name, "red"), read_pages=pages) for name, pages in read.items()]
    evidence = analyse(record(questions, [*found, prediction("x", NO, read_pages=(3,)), prediction("o")])).evidence
    told = {name: (figure.value, figure.questions) for name, figure in evidence.items()}
    assert told == {
        "in_context_all": (1 / 4, 4),
        "in_context_any": (2 / 4, 4),
        "read_precision": (pytest.approx((1 + 1 / 2 + 0 + 0) / 4), 4),
        "read_recall": (pytest.approx((1 + 1 / 2 + 0 + 0) / 4), 4),
        "read_f1": (pytest.approx((1 + 1 / 2 + 0 + 0) / 4), 4),
        "answer_given_all": (1.0, 1),
        "answer_given_some": (0.0, 1),
        "answer_given_none": (1.0, 2),
    }


def test_a_run_that_kept_no_pages_tells_nothing_of_them() -> None:
    analysis = analyse(record([question("a")], [prediction("a")]))
    assert {figure.value for figure in analysis.evidence.values()} == {None}
    assert analysis.breakdown("position_in_context") is None
    assert analysis.recall_at_tokens is None


def test_the_tradeoff_begins_where_the_run_stands() -> None:
    questions = [question(name) for name in "abc"] + [question(name, answer=NO) for name in "xyz"]
    said = {"a": ("red", 0.9), "b": ("red", 0.4), "c": (NO, 0.1), "x": (NO, 0.2), "y": ("red", 0.4), "z": ("red", 0.6)}
    found = [prediction(name, answer, confidence=confidence) for name, (answer, confidence) in said.items()]
    curve = analyse(record(questions, found)).tradeoff
    assert curve.x == pytest.approx((1 / 3, 2 / 3, 1))  # below 0.4 nothing, below 0.6 b and y, below 0.9 z too
    assert curve.y == pytest.approx((2 / 3, 1 / 3, 1 / 3))


def test_a_constant_confidence_has_one_point() -> None:
    pair = [question("a"), question("x", answer=NO)]
    assert analyse(record(pair, [prediction("a"), prediction("x", NO, confidence=1.0)])).tradeoff == Curve((1.0,), (1.0,))
    assert analyse(record(pair, [prediction("a", NO), prediction("x", NO)])).tradeoff == Curve((1.0,), (0.0,))
    assert analyse(record(pair[:1], [prediction("a")])).tradeoff == Curve((), ())


def test_retrieval_in_both_scopes() -> None:
    found = [
        prediction("a", ranked_library=(("b.pdf", 3), ("a.pdf", 3)), ranked_tokens=(1000, 800, 800)),
        prediction("b", ranked_pages=(3, 1), ranked_library=(("a.pdf", 1),), ranked_tokens=(2000, 2000)),
    ]
    analysis = analyse(record([question("a"), question("b", "b.pdf")], found))
    assert list(analysis.retrieval) == ["document", "library"]
    assert analysis.retrieval["document"]["recall@1"].value == 0.5
    assert analysis.retrieval["library"]["recall@1"].value == 0.0
    assert analysis.retrieval["library"]["mrr"].value == 0.25
    assert analysis.recall_at_k["document"].x[:3] == (1.0, 2.0, 3.0)
    assert analysis.recall_at_k["document"].y[:3] == (0.5, 1.0, 1.0)
    assert analysis.recall_at_tokens is not None
    by_budget = dict(zip(analysis.recall_at_tokens.x, analysis.recall_at_tokens.y, strict=True))
    assert (by_budget[1024], by_budget[1536], by_budget[2048]) == (0.0, 0.0, 1.0)


def test_pages_alone_are_judged_without_answers() -> None:
    analysis = analyse(record([question("a"), question("x", answer=NO)], [prediction("a", None), prediction("x", None)]))
    assert {figure.value for figure in analysis.headline.values()} == {None}
    assert (analysis.breakdowns, analysis.tradeoff) == ((), Curve((), ()))
    assert analysis.retrieval["document"]["recall@3"].value == 1.0
    assert analysis.counts["unscored"] == 2


def test_spending() -> None:
    def used(name: str, tokens: int, milliseconds: float, **fields: Any) -> Prediction:
        return prediction(name, usage={"input_tokens": tokens, "calls": 1}, milliseconds=milliseconds, **fields)

    found = [used("a", 1000, 1000.0, context_tokens=900), used("b", 3000, 2000.0), used("c", 8000, 6000.0)]
    spending = analyse(record([question(name) for name in "abc"], found, input_price=2.0)).spending
    assert (spending["seconds_median"], spending["seconds_p95"], spending["seconds_total"]) == pytest.approx((2.0, 5.6, 9.0))
    assert (spending["input_tokens_median"], spending["input_tokens_mean"]) == pytest.approx((3000, 4000))
    assert (spending["cost_median"], spending["cost_total"]) == pytest.approx((0.006, 0.024))
    assert spending["context_tokens_total"] == 900
    assert not any(name.startswith(("output_tokens", "rounds")) for name in spending)
    free = analyse(record([question("a")], [used("a", 5, 1.0)])).spending
    assert not any(name.startswith("cost") for name in free)


def test_questions_about_the_library_are_each_their_own_cluster() -> None:
    analysis = analyse(record([question(name, "") for name in "abc"], [prediction(name) for name in "abc"]))
    assert analysis.headline["accuracy"].documents == 3
    assert analysis.counts["documents"] == 0


def test_a_curve_has_as_many_x_as_y() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        Curve((1.0, 2.0), (1.0,))
