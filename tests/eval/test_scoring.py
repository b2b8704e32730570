"""The official score against a second, slow and obvious writing of its rules, and against results worked out by hand.

The generators are built to hit near misses: every branch of every rule is to be reached with both outcomes.
"""

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
from docrag.eval.scoring import (
    ANSWER_FORMATS,
    clean,
    is_exact_kind,
    read_literal,
    score_answer,
)


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


def slow_float(prediction: Any, reference: Any) -> float:
    r = float(slow_clean(reference))  # where this raises, so does the script
    try:
        p = float(slow_clean(prediction))
    except ValueError:
        return 0.0
    for item in [r / 100, r, r * 100]:
        if math.isclose(item, p, rel_tol=0.01):
            return 1.0
        places = max(min(slow_places(p), slow_places(item)), 2)
        if round(p, places) == round(item, places):
            return 1.0
    return 0.0


def slow_int(prediction: Any, reference: Any) -> float:
    try:
        return float(int(reference) == int(float(prediction)))
    except (ValueError, TypeError, OverflowError):
        return float(reference == "")


def slow_side(value: Any) -> list[Any]:
    if isinstance(value, str) and value[:1] == "[":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(value)
    return value if isinstance(value, list) else [value]


def slow_list(prediction: Any, reference: Any) -> float:
    p, r = slow_side(prediction), slow_side(reference)
    if len(p) != len(r):
        return 0.0
    p, r = sorted(slow_clean(x) for x in p), sorted(slow_clean(x) for x in r)
    try:
        float(r[0])
        all_or_nothing = True
    except ValueError:
        all_or_nothing = slow_exact(r[0])
    if all_or_nothing:
        return float("-".join(r) == "-".join(p))
    return min(slow_anls(x, y) for x, y in zip(p, r, strict=True))


def slow_text(prediction: Any, reference: Any) -> float:
    p, r = slow_clean(prediction), slow_clean(reference)
    return float(p == r) if slow_exact(r) else slow_anls(p, r)


SLOW_RULES: dict[str, Any] = {"Int": slow_int, "Float": slow_float, "List": slow_list, "Str": slow_text, "None": slow_text}


def slow_score(prediction: Any, reference: Any, answer_format: str) -> float:
    try:
        return SLOW_RULES[answer_format](prediction, reference)
    except (ValueError, SyntaxError, TypeError, IndexError):
        return 0.0


WRAPPINGS = [
    *("{}", "{}%", "${}", "${}%", " {} ", "'{}'", '"{}', "{} (est.)", "({}) {}"),
    *("{} million", "{}\n", "$ {} %", "%{}$"),
]
NUMBERS = st.one_of(
    st.integers(-3000, 3000).map(str),
    st.integers().map(str),
    st.floats().map(str),
    st.decimals(-2000, 2000, places=3, allow_nan=False).map(str),
    st.sampled_from(["1_0", "٣", "1e400", "-0", "5.", ".5", "1e5", "0x10", "1,234", "00", "5.9", "nan", "-inf", "9" * 400]),
)
PIECES = [
    *("page", "https://", "a.m.", ".py", "ipynb", "@", "x.io", "2020-01", " 05"),
    *("(", ")", "'", '"', "$", "%", " ", "12", "-"),
]
KINDS = st.one_of(
    st.sampled_from(["page 7", "Page 12", "https://a.io/x", "main.py", "a.ipynb", "10:30 a.m.", "9 p.m.", "me@mail.x.com"]),
    st.from_regex(r"\d{2,4}[-\s]\d{2}([-\s]\d{2})?", fullmatch=True),
    st.from_regex(r"[0-9]{3}[- ]?[0-9]{4}\n?", fullmatch=True),
    st.from_regex(r"[ab.%]{1,3}@[ab.]{1,3}\.[a-z]{1,3}", fullmatch=True),
)
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(alphabet="ab (ﬁßİŉ\u0301", max_size=9),
    st.lists(st.sampled_from(PIECES), max_size=5).map("".join),
    st.tuples(st.sampled_from(WRAPPINGS), NUMBERS | KINDS).map(lambda parts: parts[0].replace("{}", parts[1])),
    NUMBERS,
    KINDS,
)
SCALARS = st.one_of(
    TEXTS, st.integers(-20, 20), st.floats(), st.booleans(), st.sampled_from(["ab", "abc", "7", "page 1", "1-2"])
)
LISTS = st.lists(SCALARS, max_size=3)
ODD_LISTS = [
    *("[", "[]", "[a]", "['a'", "[1, 2][0]", "['\\d']", "[1], [2]", "[1 if 1 else 2]"),
    *("[__import__('os')]", "[None]", "['a' 'b']", "[set()]", "[[1], {'a': 1}]", "['a'] # b"),
]
JSON = st.one_of(st.lists(LISTS, max_size=2), st.dictionaries(st.sampled_from("ab"), LISTS | SCALARS, max_size=2))
ANYTHING = st.one_of(TEXTS, LISTS, LISTS.map(str), st.sampled_from(ODD_LISTS), JSON)
SUFFIXES = ["", "a", "0", " ", "%", "'", ".0", "\n", " (x)", "-1"]


@st.composite
def near(draw: st.DrawFn, value: Any) -> Any:
    """`value` itself or something like it, so that the branches that match are reached."""
    if isinstance(value, list) and draw(st.booleans()):
        return draw(st.permutations([draw(near(member)) for member in value]).map(draw(st.sampled_from([list, str]))))
    how = draw(st.sampled_from(["same", "edit", "number", "upper", "wrap", "list", "other"]))
    text = str(value)
    if how == "edit":
        place = draw(st.integers(0, len(text)))
        return text[:place] + draw(st.sampled_from(SUFFIXES)) + text[place + draw(st.integers(0, 1)) :]
    if how == "number":
        return draw(near_number(text))
    changed = {"same": value, "upper": text.upper(), "list": [value]}
    if how == "wrap":
        return draw(st.sampled_from(WRAPPINGS)).replace("{}", text)
    return changed[how] if how in changed else draw(ANYTHING)


@st.composite
def near_number(draw: st.DrawFn, text: str) -> Any:
    """What is within or just outside of 1 % of the number that `text` is, in percent or not, more or less rounded."""
    try:
        number = float(slow_clean(text))
    except ValueError:
        return text
    factor = draw(st.sampled_from([1, 0.99, 1.01, 0.9899, 1.0101, 1.009, 0.5]) | st.floats(0.98, 1.02))
    number = number * factor * draw(st.sampled_from([1, 0.01, 100])) + draw(st.sampled_from([0, 0.004, 0.005, 0.006, 0.9]))
    number = round(number, draw(st.integers(0, 5)))
    return draw(st.sampled_from([number, str(number), f"{number}%", f"${number}"]))


PAIRS = ANYTHING.flatmap(lambda value: st.tuples(st.just(value), near(value)))


@settings(max_examples=250, deadline=None)
@given(PAIRS)
def test_every_format_agrees_with_the_rules_written_slowly(pair: tuple[Any, Any]) -> None:
    reference, prediction = pair
    for answer_format in ANSWER_FORMATS:
        score = score_answer(prediction, reference, answer_format)  # type: ignore[arg-type]
        assert score == slow_score(prediction, reference, answer_format)
        assert 0.0 <= score <= 1.0


@settings(max_examples=250, deadline=None)
@given(st.floats(-1e4, 1e4) | NUMBERS, st.data())
def test_float_agrees_near_the_tolerance(reference: float | str, data: st.DataObject) -> None:
    prediction = data.draw(near_number(str(reference)))
    assert score_answer(prediction, reference, "Float") == slow_score(prediction, reference, "Float")


@settings(max_examples=250, deadline=None)
@given(KINDS | TEXTS, st.data())
def test_exact_kinds_agree_near_each(reference: str, data: st.DataObject) -> None:
    prediction = data.draw(near(reference))
    assert is_exact_kind(clean(reference)) == slow_exact(slow_clean(reference))
    assert score_answer(prediction, reference, "Str") == slow_score(prediction, reference, "Str")


@pytest.mark.parametrize(
    ("prediction", "reference", "answer_format", "score"),
    [
        ("5.9", "5", "Int", 1.0),
        ("1e1", "10", "Int", 1.0),
        ("$5", "5", "Int", 0.0),  # Int is not cleaned
        ("21%", "21%", "Int", 0.0),  # a reference that int() can't read can never be met
        ("inf", "5", "Int", 0.0),
        ("", "", "Int", 1.0),  # both come to "", which is no number
        ("x", "", "Int", 1.0),
        ("", "0", "Int", 0.0),
        ("٣", "3", "Int", 1.0),
        ("1_0", "10", "Int", 1.0),
        ("1e400", "5", "Int", 0.0),
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
        ("['1', '2-3']", "['1-2', '3']", "List", 1.0),  # they are compared joined by "-"
        ("['1', '2']", "['1-2']", "List", 0.0),
        ("[1], [2]", "['([1], [2])']", "List", 1.0),  # a tuple: a list of one, which is what its text is
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
    assert score_answer(True, 1, "Int") == 1.0
    assert score_answer({"a": 1}, "{'a': 1}", "Str") == 1.0
    assert score_answer([["a"]], "[['a']]", "List") == 1.0
    assert score_answer(math.nan, "nan", "Str") == 1.0


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


@pytest.mark.parametrize("answer_format", ANSWER_FORMATS)
def test_a_value_without_text_scores_nothing(answer_format: Any) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, 10**5000):
        assert score_answer(value, "5", answer_format) == 0.0


LONG = ["a" * 1_000_000, "9" * 1_000_000, "(" * 1_000_000, "a@" + "a." * 500_000, "[" + "1," * 100_000 + "]", ["a"] * 100_000]


@pytest.mark.parametrize("prediction", LONG, ids=["letter", "digits", "brackets", "mail", "literal", "list"])
@pytest.mark.parametrize("answer_format", ANSWER_FORMATS)
def test_a_long_answer_is_scored_at_once(prediction: Any, answer_format: Any) -> None:
    began = time.process_time()
    assert score_answer(prediction, "['abc', 'b']" if answer_format == "List" else "abc", answer_format) == 0.0
    assert time.process_time() - began < 2.0


@pytest.mark.parametrize("text", [" " * 200_000 + "x", "(" * 200_000, "a" + " (" * 100_000])
def test_cleaning_a_long_text_takes_linear_time(text: str) -> None:
    began = time.process_time()
    clean("x" + text)
    assert time.process_time() - began < 1.0


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.text(alphabet=" \t\n()a'\"$%")))
def test_clean_agrees_with_the_pattern(text: str) -> None:
    assert clean(text) == slow_clean(text)
