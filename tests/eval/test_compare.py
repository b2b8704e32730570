"""One run beside another: paired gains, who changed, what is left out, which settings differ."""

from __future__ import annotations

from dataclasses import replace

import pytest

from docrag.errors import UsageError
from docrag.eval.analysis import analyse
from docrag.eval.compare import compare
from docrag.eval.figures import Figure
from docrag.eval.predictions import Prediction
from docrag.eval.record import RunRecord
from docrag.eval.summary_text import comparison_text
from docrag.types import NOT_ANSWERABLE
from tests.eval.small_runs import prediction, question, record

NO = NOT_ANSWERABLE
# Six documents, each with two questions and one that it does not answer.
QUESTIONS = [
    question(f"{doc}{name}", f"{doc}.pdf", NO if name == "x" else "red", pages=(3, 5)) for doc in range(6) for name in "abx"
]


def run(answers: str, name: str = "run", pages: tuple[int, ...] = (3, 5), **settings: object) -> RunRecord:
    """`answers` to the three questions of each document: r for red, - for a refusal, ? for something else."""
    said = {"r": "red", "-": NO, "?": "blue"}
    found = [
        prediction(one.question_id, said[answers[place % 3]], ranked_pages=pages, read_pages=pages[:2])
        for place, one in enumerate(QUESTIONS)
    ]
    return record(QUESTIONS, found, name, **settings)


def bounds(figure: Figure) -> tuple[float | None, float | None, float | None]:
    return figure.value, figure.low, figure.high


def test_gains_are_paired() -> None:
    a, b = run("rr?", pages=(3, 5)), run("r--", pages=(1, 3, 5))
    found = compare(a, b)
    assert (found.common, found.only_a, found.only_b) == (18, 0, 0)
    # Every document changes by the same: nothing tells how others would.
    assert bounds(found.gains["answerable"]) == (pytest.approx(0.5), None, None)
    assert bounds(found.gains["unanswerable"]) == (pytest.approx(-1), None, None)
    assert bounds(found.gains["balanced"]) == (pytest.approx(-0.25), None, None)
    assert found.gains["accuracy"].value == pytest.approx(0)
    assert found.gains["strict_accuracy"].value == pytest.approx(0)
    assert (found.a["f1"].value, found.b["f1"].value) == pytest.approx((2 * (2 / 3) / (1 + 2 / 3), 2 / 3))
    assert found.gains["f1"].value == pytest.approx(0.8 - 2 / 3)
    assert found.gains["recall@1"].value == pytest.approx(0.5)
    assert found.gains["recall@5"].value == 0
    assert found.gains["in_context_all"].value == 1
    assert found.better == tuple(f"{doc}b" for doc in range(6))
    assert found.worse == tuple(f"{doc}x" for doc in range(6))


def test_a_gain_is_surer_than_what_it_is_of() -> None:
    """Documents differ much, and the gain is the same in most of them."""
    base = {one.question_id: "red" if one.question_id[0] in "024" else "blue" for one in QUESTIONS}
    more = {**base, **{f"{doc}b": "red" for doc in (1, 3)}}

    def made(said: dict[str, str]) -> RunRecord:
        return record(QUESTIONS, [prediction(name, answer) for name, answer in said.items()])

    gain, alone = compare(made(more), made(base)).gains["answerable"], analyse(made(more)).headline["answerable"]
    assert gain.value == pytest.approx(2 / 12)
    assert gain.low is not None
    assert gain.high is not None
    assert alone.low is not None
    assert alone.high is not None
    assert gain.high - gain.low < alone.high - alone.low


def test_the_mean_of_two_is_no_surer_than_either() -> None:
    """All unanswerable questions are refused: of how many others that holds is not known, whatever the answerable ones say."""
    base = {one.question_id: NO if one.answer == NO or one.question_id[0] in "024" else "red" for one in QUESTIONS}
    more = {**base, **{f"{doc}a": "red" for doc in (0, 2)}}
    a, b = (record(QUESTIONS, [prediction(*one) for one in said.items()]) for said in (more, base))
    headline, gains = analyse(a).headline, compare(a, b).gains
    assert headline["unanswerable"].value == 1
    assert headline["answerable"].low is not None
    assert bounds(headline["balanced"]) == (pytest.approx(5 / 6), None, None)
    assert gains["answerable"].low is not None
    assert bounds(gains["balanced"]) == (pytest.approx(1 / 12), None, None)


def test_the_mean_of_two_has_the_documents_of_the_one_that_has_fewer() -> None:
    """Twelve documents say how sure the answerable questions are, and two the unanswerable ones: hardly at all."""
    asked = [question(f"{doc}{name}", f"{doc}.pdf") for doc in range(12) for name in "ab"]
    refusals = [question(f"{doc}{name}", f"{doc}.pdf", NO) for doc in range(2) for name in "xyz"]
    said = [prediction(one.question_id, "red" if place % 5 else "blue") for place, one in enumerate(asked)]
    said += [prediction(one.question_id, "red" if one.question_id == "1z" else NO) for one in refusals]
    headline = analyse(record([*asked, *refusals], said)).headline
    assert (headline["answerable"].high or 0) - (headline["answerable"].low or 0) < 0.4
    assert (headline["unanswerable"].high or 0) - (headline["unanswerable"].low or 0) > 0.9
    assert (headline["balanced"].high or 0) - (headline["balanced"].low or 0) > 0.5


def test_a_run_gains_nothing_over_itself_and_loses_what_the_other_gains() -> None:
    a, b = run("r-?"), run("-r-")
    assert {bounds(gain) for gain in compare(a, a).gains.values()} == {(0.0, None, None)}
    assert "0.0 to" not in comparison_text(compare(a, a), ("a", "a"))
    assert (compare(a, a).better, compare(a, a).worse) == ((), ())
    there, back = compare(a, b), compare(b, a)
    assert (there.better, there.worse) == (back.worse, back.better)
    for name, gain in there.gains.items():
        assert back.gains[name].value == pytest.approx(-(gain.value or 0))


def test_runs_over_other_questions_compare_what_they_share() -> None:
    a, b = run("rrr"), run("r--")
    part = {name: one for name, one in b.predictions.items() if name[0] in "012"}
    extra = question("9a", "9.pdf")
    other = replace(b, questions=(*b.questions[:9], extra), predictions={**part, "9a": prediction("9a")})
    found = compare(a, other)
    assert (found.common, found.only_a, found.only_b) == (9, 9, 1)
    assert (found.gains["accuracy"].questions, found.gains["accuracy"].documents) == (9, 3)
    assert (found.unasked_a, found.unasked_b) == (0, 0)
    text = comparison_text(found, ("new", "old"))
    assert "9 questions in common: 3 better, 3 worse in new. Left out: 9 of new, 1 of old." in text


def test_what_a_run_has_not_come_to_is_not_compared() -> None:
    a, b = run("rrr"), run("rrr")
    begun = replace(b, predictions=dict(list(b.predictions.items())[:6]))
    found = compare(a, begun)
    assert (found.common, found.only_a, found.only_b) == (6, 12, 0)
    assert (found.unasked_a, found.unasked_b) == (0, 12)
    assert found.gains["accuracy"].value == 0


def test_other_references_of_the_same_questions_are_told() -> None:
    a = run("rrr")
    edits = ({"answer": "green"}, {"answer_format": "List"}, {"evidence_pages": (3,)}, {"evidence_pages": (5, 3)})
    edited = [replace(one, **edit) for one, edit in zip(a.questions, edits, strict=False)]
    found = compare(a, replace(a, questions=(*edited, *a.questions[4:])))
    assert found.other_references == 3  # the same pages in another order are the same
    assert (
        "3 of these questions have another answer, format or evidence pages in old than in new, by which both are scored here."
        in comparison_text(found, ("new", "old"))
    )
    assert compare(a, a).other_references == 0


def test_runs_without_a_common_question_are_an_error() -> None:
    with pytest.raises(UsageError, match="the runs here and there have no question in common"):
        compare(record([question("a")], [prediction("a")], "here"), record([question("b")], [prediction("b")], "there"))


def test_settings_that_differ() -> None:
    a, b = run("rrr", k=5, navigate=True), run("rrr", k=7)
    found = compare(replace(a, config={**a.config, "questions": 18}), b)
    assert found.settings == {"settings.k": (5, 7), "settings.navigate": (True, None)}
    assert "| settings.k | 5 | 7 |" in comparison_text(found, ("a", "b"))
    assert "The settings are the same." in comparison_text(compare(a, a), ("a", "a"))


def test_what_a_run_does_not_know_is_not_compared() -> None:
    pages_only = [prediction(one.question_id, None) for one in QUESTIONS]
    found = compare(record(QUESTIONS, pages_only), run("rrr"))
    assert set(found.gains) == {"recall@1", "recall@3", "recall@5", "recall@10"}
    answers_only = [prediction(one.question_id, ranked_pages=()) for one in QUESTIONS]
    found = compare(record(QUESTIONS, answers_only), run("rrr"))
    assert set(found.gains) == {"accuracy", "strict_accuracy", "answerable", "unanswerable", "balanced", "f1"}
    only_answerable = [one for one in QUESTIONS if one.answerable]
    found = compare(record(only_answerable, [prediction(one.question_id) for one in only_answerable]), run("rrr"))
    assert (found.gains["unanswerable"].value, found.gains["balanced"].value) == (None, None)


def test_what_both_took() -> None:
    def spent(tokens: int) -> RunRecord:
        found = [prediction(one.question_id, usage={"input_tokens": tokens}) for one in QUESTIONS]
        return record(QUESTIONS, found, input_price=2.0)

    found = compare(spent(1000), spent(3000))
    assert (found.spending_a["cost_total"], found.spending_b["cost_total"]) == pytest.approx((0.036, 0.108))
    assert "| input tokens mean | 1,000 | 3,000 |" in comparison_text(found, ("a", "b"))


def test_the_largest_changes_come_first() -> None:
    questions = [question(name, answer="a long red apple") for name in "abc"]
    a = {"a": "a long red appl", "b": "a long red apple", "c": "a long red apple"}
    b = {"a": "blue", "b": "a long red appl", "c": "blue"}

    def made(said: dict[str, str]) -> list[Prediction]:
        return [prediction(name, answer) for name, answer in said.items()]

    assert compare(record(questions, made(a)), record(questions, made(b))).better == ("c", "a", "b")
