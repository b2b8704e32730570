"""What models write, read tolerantly; what can't be read is failed, never an answer."""

import json

import pytest

from docrag.pipelines.reading import AnswerStream, Unreadable, parse_choice, parse_picks, parse_reading
from docrag.types import Context

GOOD = {
    "reasoning": "Page 3 says so.",
    "outcome": "answered",
    "answer": "1,234",
    "citations": [{"document": "report.pdf", "page": 3, "quote": "Sales rose to 1,234 units"}],
    "needs": "",
    "confidence": 0.8,
}


@pytest.fixture
def context(draw_page):
    return Context((), (draw_page((50, 80, "Sales rose to 1,234 units in 2023."), index=2),), 10**6)


def written(**changes):
    return json.dumps({**GOOD, **changes})


def test_a_reading_with_its_checks(context):
    reading = parse_reading(written(), context, {"input_tokens": 5})
    assert (reading.outcome, reading.answer, reading.confidence) == ("answered", "1,234", 0.8)
    [citation] = reading.citations
    assert citation.verified
    assert reading.usage == {"input_tokens": 5}
    assert reading.trace["numbers"] == [{"number": "1,234", "verified": True, "page_number": 3}]
    assert "citations_refused" not in reading.trace


@pytest.mark.parametrize(
    "text",
    [
        f"```json\n{written()}\n```",
        f"Sure! Here it is:\n{written()}\nAnything else?",
        f'<think>maybe {{"outcome": "answered", "answer": "7"}}</think>\n{written()}',
        f'maybe {{"outcome": "answered", "answer": "7"}} hm</think>{written()}',
        written()[:-1] + ",}",
        json.dumps(GOOD, indent=2).replace("]", ",]"),
        str(GOOD),
        json.dumps({"response": GOOD}),
        f'The form is {{"x": 1}}, so: {written()}',
        f"At first sight: {written(answer='7', citations=[])} But, looking again: {written()}",
        written().replace("Page 3 says so.", "Page 3\nsays so."),
        written(outcome="Answered"),
        written(outcome=""),
    ],
)
def test_ways_to_write_the_same(context, text):
    reading = parse_reading(text, context)
    assert (reading.outcome, reading.answer, reading.confidence) == ("answered", "1,234", 0.8)
    assert [citation.verified for citation in reading.citations] == [True]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it wrote nothing"),
        ("<think>never ending", "it wrote nothing"),
        ("The answer is 1,234.", "no JSON object"),
        (written()[:60], "no JSON object"),
        ('{"a": 1}', "no JSON object"),
        ("[1, 2]", "no JSON object"),
        ("\x00\ufffd{{{{" * 100, "no JSON object"),
        ('{"a":' * 5000, "no JSON object"),
        (written(answer=""), "gives no answer"),
        (written(answer=None), "gives no answer"),
        (written(answer={"value": 3}), "an object, not a text"),
        (written(outcome="maybe"), "its outcome is 'maybe'"),
        (written(outcome="", answer=""), "neither an outcome nor an answer"),
    ],
)
def test_what_is_no_reading_is_failed(context, text, why):
    reading = parse_reading(text, context)
    assert (reading.outcome, reading.answer, reading.confidence) == ("failed", "Fail to answer", 0.0)
    assert why in reading.trace["failed"]
    assert reading.trace.get("wrote", "") == text[:500]


def test_a_refusal_and_what_more_it_would_take(context):
    refused = parse_reading(written(outcome="not_answerable", answer="", reasoning="No sales are given."), context)
    assert (refused.outcome, refused.answer, refused.needs) == ("not_answerable", "Not answerable", "")
    assert refused.trace["abstained"] == "No sales are given."
    more = parse_reading(written(outcome="needs more", answer="", needs="balance sheet 2023 " + "x" * 900), context)
    assert more.outcome == "not_answerable"
    assert more.needs.startswith("balance sheet 2023")
    assert len(more.needs) <= 500
    assert parse_reading(written(answer="Not answerable."), context).outcome == "not_answerable"


@pytest.mark.parametrize(
    ("answer", "text"),
    [(12, "12"), (12.5, "12.5"), (["a", "b"], '["a", "b"]'), (True, "Yes"), (0, "0"), (" x ", "x"), ("ünï", "ünï")],
)
def test_answers_that_are_no_text(context, answer, text):
    assert parse_reading(written(answer=answer), context).answer == text


@pytest.mark.parametrize(
    ("told", "confidence"),
    [(0.25, 0.25), ("90%", 0.9), (85, 0.85), *[(told, 0.5) for told in ("high", None, -1, float("nan"), 1e9)]],
)
def test_confidence_in_any_form(context, told, confidence):
    assert parse_reading(written(confidence=told), context).confidence == pytest.approx(confidence)


@pytest.mark.parametrize("citations", [None, [], "page 3", [3, "x", None], {"page": [1], "quote": {"a": 1}}, [{"nothing": 1}]])
def test_citations_of_no_form_are_no_error(context, citations):
    reading = parse_reading(written(citations=citations), context)
    assert reading.outcome == "answered"
    assert not any(citation.verified for citation in reading.citations)


def test_a_lying_citation_is_marked_and_one_from_elsewhere_refused(context):
    lies = [{"page": 3, "quote": "Sales fell"}, {"document": "x.pdf", "page": 99, "quote": "Sales doubled"}]
    reading = parse_reading(written(answer="99", citations=lies), context)
    assert [citation.verified for citation in reading.citations] == [False]
    assert reading.trace["citations_refused"] == [{"document": "x.pdf", "page": "99", "quote": "Sales doubled"}]
    assert reading.trace["numbers"] == [{"number": "99", "verified": False, "page_number": None}]


def test_picks_are_numbers_of_the_list():
    assert parse_picks('{"pages": [3, "5", 3, 0, 99, "p. 2", true, "x", -4, 7.5]}', 10) == (3, 5, 2, 4)
    assert parse_picks('{"pages": []}', 10) == ()
    for text in ("3, 5", '{"pages": "all"}', ""):
        with pytest.raises(Unreadable):
            parse_picks(text, 10)


def test_a_choice_is_one_of_the_readers():
    assert parse_choice('{"choice": "reader 2"}', 3) == 2
    assert parse_choice('{"choice": 0}', 3) == 0
    for text in ('{"choice": 4}', '{"choice": null}', "2"):
        with pytest.raises(Unreadable):
            parse_choice(text, 3)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_stream_passes_the_answer_on_decoded(size):
    text = json.dumps({"reasoning": 'say "answer" now', "answer": 'a "b"\n\u00fc \U0001f600', "needs": "c"})
    heard: list[str] = []
    stream = AnswerStream(heard.append)
    for at in range(0, len(text), size):
        stream(text[at : at + size])
    assert "".join(heard) == 'a "b"\n\u00fc \U0001f600'


def test_a_stream_without_an_answer_is_silent():
    heard: list[str] = []
    AnswerStream(heard.append)("nonsense {")
    assert heard == []
