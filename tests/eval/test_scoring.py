"""The official score against a second, slow and literal writing of its rules, and against results worked out by hand."""

from __future__ import annotations

import ast
import math
import re
import time
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docrag.errors import UsageError
from docrag.eval.scoring import ANSWER_FORMATS, Item, Scores, clean, read_literal, score_answer, score_predictions


def slow_clean(value: Any) -> str:
    text = str(value).lower().strip()
    text = re.sub(r"\s*\([^)]*\)", "", text).strip()
    text = re.sub(r"^['\"]", "", text)
    text = re.sub(r"['\"]$", "", text)
    text = text.strip()
    while text[:1] == "$":
        text = text[1:]
    text = text.strip()
    while text[-1:] == "%":
        text = text[:-1]
    return text.strip()


def slow_levenshtein(a: str, b: str) -> int:
    table = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            swap = table[i - 1][j - 1] + (a[i - 1] != b[j - 1])
            table[i][j] = min(swap, table[i - 1][j] + 1, table[i][j - 1] + 1)
    return table[-1][-1]


def slow_anls(a: str, b: str) -> float:
    longest = max(len(a.upper()), len(b.upper()))
    if longest == 0:
        return 1.0
    value = 1.0 - slow_levenshtein(a, b) / longest
    return 0.0 if value <= 0.5 else value


def slow_exact(text: str) -> bool:
    shapes = [r"\d+", r"\d+-\d+", r"\d+\s\d+", r"\d{4}[-\s]\d{2}[-\s]\d{2}", r"\d{4}[-\s]\d{2}"]
    shapes.append(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,}")
    marks = ["https://" in text, text.endswith(".py"), text.endswith("ipynb"), text.startswith("page")]
    return any([*marks, "a.m." in text, "p.m." in text, *(re.fullmatch(shape, text) is not None for shape in shapes)])


def slow_places(number: float) -> int:
    written = str(number)
    return len(written.split(".")[-1]) if "." in written else 3


def slow_float(prediction: str, reference: str) -> bool:
    try:
        p, r = float(slow_clean(prediction)), float(slow_clean(reference))
    except ValueError:
        return False
    for item in [r / 100, r, r * 100]:
        if math.isclose(item, p, rel_tol=0.01):
            return True
        places = max(min(slow_places(p), slow_places(item)), 2)
        if round(p, places) == round(item, places):
            return True
    return False


def slow_side(text: str) -> list[Any]:
    if not text.startswith("["):
        return [text]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        value = ast.literal_eval(text)
    return value if isinstance(value, list) else [value]


def slow_list(prediction: str, reference: str) -> float:
    try:
        p, r = slow_side(prediction), slow_side(reference)
    except (ValueError, SyntaxError, TypeError):
        return 0.0
    if len(p) != len(r) or len(r) == 0:
        return 0.0
    p, r = sorted(slow_clean(x) for x in p), sorted(slow_clean(x) for x in r)
    try:
        float(r[0])
        number = True
    except ValueError:
        number = False
    if number or slow_exact(r[0]):
        return float(all(x == y for x, y in zip(p, r, strict=True)))
    return min(slow_anls(x, y) for x, y in zip(p, r, strict=True))


def slow_score(prediction: str, reference: str, answer_format: str) -> float:
    if answer_format == "Int":
        try:
            return float(int(reference) == int(float(prediction)))
        except (ValueError, OverflowError):
            return 0.0
    if answer_format == "Float":
        return float(slow_float(prediction, reference))
    if answer_format == "List":
        return slow_list(prediction, reference)
    p, r = slow_clean(prediction), slow_clean(reference)
    return float(p == r) if slow_exact(r) else slow_anls(p, r)


NUMBERS = st.one_of(
    st.integers(-3000, 3000).map(str),
    st.floats(allow_nan=True, allow_infinity=True).map(str),
    st.decimals(-2000, 2000, places=3, allow_nan=False).map(str),
    st.tuples(st.sampled_from(["$", "", " "]), st.integers(0, 120).map(str), st.sampled_from(["%", " %", "", " (est.)"])).map(
        "".join
    ),
)
PIECES = [
    "page",
    "https://",
    "a.m.",
    ".py",
    "ipynb",
    "@",
    "x.io",
    "2020-01",
    " 05",
    "(",
    ")",
    "'",
    '"',
    "$",
    "%",
    " ",
    "12",
    "-",
    "miles",
]
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="ab (ﬁß", max_size=9),
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    NUMBERS,
)
LISTS = st.one_of(
    st.lists(st.one_of(TEXTS, st.integers(-20, 20), st.sampled_from(["ab", "abc", "7", "page 1"])), max_size=3).map(str),
    st.sampled_from(
        ["[", "[]", "[a]", "['a'", "[1, 2][0]", "['\\d']", "[1], [2]", "[1 if 1 else 2]", "[__import__('os')]", "[None]"]
    ),
)
ANYTHING = st.one_of(TEXTS, LISTS)


def near(text: str) -> st.SearchStrategy[str]:
    """`text` itself or something like it, so that the matching branches are reached."""
    changed = st.tuples(st.integers(0, len(text)), st.sampled_from(["", "a", "0", " ", "%", "'"]))
    return st.one_of(st.just(text), changed.map(lambda edit: text[: edit[0]] + edit[1] + text[edit[0] + 1 :]), ANYTHING)


@settings(max_examples=1500, deadline=None)
@given(ANYTHING.flatmap(lambda text: st.tuples(st.just(text), near(text))), st.sampled_from(ANSWER_FORMATS))
def test_agrees_with_the_rules_written_slowly(pair: tuple[str, str], answer_format: Any) -> None:
    reference, prediction = pair
    score = score_answer(prediction, reference, answer_format)
    assert score == slow_score(prediction, reference, answer_format)
    assert 0.0 <= score <= 1.0


@settings(max_examples=300, deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(0.97, 1.03), st.sampled_from([0.01, 1, 100]), st.integers(0, 4))
def test_float_agrees_near_the_tolerance(reference: float, error: float, scale: float, places: int) -> None:
    prediction = str(round(reference * error * scale, places))
    assert score_answer(prediction, str(reference), "Float") == slow_score(prediction, str(reference), "Float")


@pytest.mark.parametrize(
    ("prediction", "reference", "answer_format", "score"),
    [
        ("5.9", "5", "Int", 1.0),
        ("1e1", "10", "Int", 1.0),
        ("$5", "5", "Int", 0.0),  # Int is not cleaned
        ("21%", "21%", "Int", 0.0),  # a reference that int() can't read can never be met
        ("inf", "5", "Int", 0.0),
        ("", "", "Int", 0.0),
        ("Not answerable", "5", "Int", 0.0),
        ("0.215", "21.5%", "Float", 1.0),
        ("2150", "21.5", "Float", 1.0),
        ("101", "100", "Float", 1.0),
        ("101.1", "100", "Float", 0.0),
        ("0.004", "0", "Float", 1.0),
        ("0.006", "0", "Float", 0.0),
        ("$1.5 (approx.)", "1.5", "Float", 1.0),
        ("1.5 million", "1.5", "Float", 0.0),
        ("three", "three", "Float", 0.0),
        ("nan", "nan", "Float", 0.0),
        ("The 'Blue' Team", "the 'blue' team", "Str", 1.0),
        ("blue (dark)", "blue", "Str", 1.0),
        ("abcd", "abxx", "Str", 0.0),  # exactly a half is not above it
        ("abcx", "abcd", "Str", 0.75),
        ("5 miles", "5 mile", "Str", 1 - 1 / 7),  # units stay
        ("page 12", "page 13", "Str", 0.0),
        ("2019-05-11", "2019-05-10", "Str", 0.0),
        ("10:31 a.m.", "10:30 a.m.", "Str", 0.0),
        ("me@x.com", "you@x.com", "Str", 0.0),
        ("main.py", "main.py", "Str", 1.0),
        ("mail.py", "main.py", "Str", 0.0),
        ("", "", "Str", 1.0),
        ("not answerable", "Not answerable", "None", 1.0),
        ("Fail to answer", "Not answerable", "None", 0.0),
        ("['b', 'a']", "['a', 'b']", "List", 1.0),
        ("['a']", "a", "List", 1.0),
        ("a", "['a']", "List", 1.0),
        ("['a', 'b']", "['a']", "List", 0.0),
        ("['10', '9']", "[9, 10]", "List", 1.0),
        ("['10', '9%']", "[9, 10]", "List", 1.0),
        ("[9.0, 10]", "[9, 10]", "List", 0.0),  # a first reference item that is a number asks for the same text
        ("['abcd', 'abcx']", "['abcd', 'abcd']", "List", 0.75),
        ("[a]", "[a]", "List", 0.0),
        ("[a]", "['a']", "List", 0.0),
        ("[]", "[]", "List", 0.0),
        ("[1 + 1]", "[2]", "List", 0.0),
        (" ['a']", "['a']", "List", 0.0),  # it doesn't start with "[": a list of one
    ],
)
def test_results_worked_out_by_hand(prediction: str, reference: str, answer_format: Any, score: float) -> None:
    assert score_answer(prediction, reference, answer_format) == pytest.approx(score, abs=1e-12)


def test_real_lists_and_numbers_score_as_their_text() -> None:
    assert score_answer(["b", "a"], ["a", "b"], "List") == 1.0
    assert score_answer(5, 5, "Int") == 1.0
    assert score_answer(0.21, "21%", "Float") == 1.0
    assert score_answer([5], 5, "Int") == 0.0


def test_an_unknown_format_is_an_error() -> None:
    with pytest.raises(UsageError, match="answer_format is one of Str, Int, Float, List, None, got 'Bool'"):
        score_answer("a", "a", "Bool")  # type: ignore[arg-type]


def test_code_in_a_prediction_or_reference_is_not_run(tmp_path: Any) -> None:
    trap = tmp_path / "ran"
    code = f"[open({str(trap)!r}, 'w').close()]"
    assert score_answer(code, "['a']", "List") == score_answer("['a']", code, "List") == 0.0
    assert not trap.exists()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" + "-" * 100_000 + "1]", "[" + "9" * 5000 + "]", "[\0]", "[{[]: 1}]", "[" + "(" * 5000]
)
def test_hostile_lists_score_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="not a literal"):
        read_literal(text)
    assert score_answer(text, "['a']", "List") == 0.0


@pytest.mark.parametrize("text", [" " * 200_000 + "x", "(" * 200_000, "a" + " (" * 100_000])
def test_cleaning_a_long_text_takes_linear_time(text: str) -> None:
    began = time.process_time()
    clean("x" + text)
    assert time.process_time() - began < 1.0


@settings(max_examples=500, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet=" \t\n()a'\"$%")))
def test_clean_agrees_with_the_pattern(text: str) -> None:
    assert clean(text) == slow_clean(text)


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
