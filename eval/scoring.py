"""The official score of MMLongBench-Doc, and what is counted over it: accuracy, F1 and the groups.

The rules are those of the benchmark's own script (arXiv:2407.01523), which takes any JSON value for a prediction. It runs
`eval` on references and on the model's text; here both are read as literals, and only as literals. Where the script raises
(a list that is no literal, two empty lists, a Float reference that is no number, a value that has no text) the item scores
0.0, which is what the benchmark's own runner makes of it. The measure that closes the holes of these rules is in `strict`.

Files with references that can't be meant are refused when they are read (`entries`), whatever the script would make of them: an
`answer_format` that is none of the five, a null `answer` (but with the format None, where it is "Not answerable"), and
`evidence_pages` with anything but whole numbers in them ('["3"]': the script only counts them).
"""

from __future__ import annotations

import ast
import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from rapidfuzz.distance import Levenshtein

from docrag.errors import UsageError
from docrag.types import NOT_ANSWERABLE

AnswerFormat = Literal["Str", "Int", "Float", "List", "None"]
Value = str | int | float | list[Any] | dict[str, Any]
"""What JSON holds besides null; the script takes all of it, mostly as its Python text."""
ANSWER_FORMATS: tuple[str, ...] = get_args(AnswerFormat)
FAIL_TO_ANSWER = "Fail to answer"  # what a question gets whose document or reader failed: scores as any other wrong text

_ANLS_FLOOR = 0.5
_RELATIVE_TOLERANCE = 0.01
_EXACT_SHAPES = (
    re.compile(r"\d+([-\s]\d+)?"),  # a count, a telephone number, YYYY-MM
    re.compile(r"\d{4}[-\s]\d{2}[-\s]\d{2}"),
    re.compile(r"[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+\.[a-zA-Z]{2,}"),
)


def read_literal(text: str) -> Any:
    """The Python literal that `text` spells; nothing is ever run. Raises ValueError where it is no literal."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "['\\d']" is a literal, if one with an odd escape
            return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"not a literal: {text[:80]!r}") from None


def score_answer(prediction: Value, reference: Value, answer_format: AnswerFormat) -> float:
    """How right `prediction` is, from 0 to 1, by the rule of the reference's format; UsageError on an unknown format."""
    rule = _RULES.get(answer_format)
    if rule is None:
        raise UsageError(f"answer_format is one of {', '.join(ANSWER_FORMATS)}, got {answer_format!r}")
    try:
        return float(rule(prediction, reference))
    except (ValueError, IndexError, RecursionError):  # the script would raise
        return 0.0


def clean(value: Value) -> str:
    """Lower case, without parenthesised parts, a quote mark at either end, leading `$` and trailing `%`.

    Raises ValueError or RecursionError where Python writes no text for `value`: an int of thousands of digits, deep nesting.
    """
    text = _without_parentheses(str(value).lower().strip()).strip()
    if text.startswith(("'", '"')):
        text = text[1:]
    if text.endswith(("'", '"')):
        text = text[:-1]
    return text.strip().lstrip("$").strip().rstrip("%").strip()


def _without_parentheses(text: str) -> str:
    # By hand: the obvious pattern takes quadratic time on a long run of blanks or of "(", and the text is a model's.
    kept: list[str] = []
    start = 0
    while (opening := text.find("(", start)) >= 0 and (closing := text.find(")", opening)) >= 0:
        kept.append(text[start:opening].rstrip())
        start = closing + 1
    return "".join([*kept, text[start:]])


def _same_int(prediction: Value, reference: Value) -> bool:
    try:
        return int(cast(str, reference)) == int(float(cast(str, prediction)))
    except (ValueError, TypeError, OverflowError):
        return reference == ""  # the script puts "" for the prediction, and compares


def _same_float(prediction: Value, reference: Value) -> bool:
    wanted, got = float(clean(reference)), float(clean(prediction))
    return any(_close(got, scaled) for scaled in (wanted / 100, wanted, wanted * 100))


def _close(got: float, wanted: float) -> bool:
    places = max(2, min(_decimals(got), _decimals(wanted)))
    return math.isclose(wanted, got, rel_tol=_RELATIVE_TOLERANCE) or round(got, places) == round(wanted, places)


def _decimals(number: float) -> int:
    """How much Python writes after the point: `5.0` has 1; without a point (`1e+16`, `inf`) it counts as 3."""
    _, point, after = str(number).rpartition(".")
    return len(after) if point else 3


def _same_text(prediction: Value, reference: Value) -> float:
    got, wanted = clean(prediction), clean(reference)
    return float(got == wanted) if is_exact_kind(wanted) else anls(got, wanted)


def is_exact_kind(cleaned: str) -> bool:
    """Whether a cleaned reference is of a kind that is right or wrong, with nothing in between."""
    return (
        "https://" in cleaned
        or cleaned.endswith((".py", "ipynb"))
        or cleaned.startswith("page")
        or "a.m." in cleaned
        or "p.m." in cleaned
        or any(shape.fullmatch(cleaned) for shape in _EXACT_SHAPES)
    )


def anls(prediction: str, reference: str) -> float:
    """Average normalised Levenshtein similarity of one pair (arXiv:1905.13648), 0 where it is not above a half."""
    # The longer length is the upper-case one, as in the original: a ligature from a PDF counts as its letters.
    length = max(len(prediction.upper()), len(reference.upper()))
    # What is further apart than half of it scores nothing: one long answer need not be compared to its end.
    distance = Levenshtein.distance(prediction, reference, score_cutoff=length // 2)
    similarity = 1.0 - distance / length if length else 1.0
    return similarity if similarity > _ANLS_FLOOR else 0.0


def _same_list(prediction: Value, reference: Value) -> float:
    got, wanted = as_list(prediction), as_list(reference)
    if len(got) != len(wanted):
        return 0.0
    got, wanted = sorted(map(clean, got)), sorted(map(clean, wanted))
    if is_number(wanted[0]) or is_exact_kind(wanted[0]):
        return float("-".join(got) == "-".join(wanted))  # so ["1", "2-3"] is ["1-2", "3"]
    return min(map(anls, got, wanted))


def as_list(value: Value) -> list[Any]:
    """A list, also one that is spelt out; anything else as a list of one. ValueError on "[" that begins no literal."""
    if isinstance(value, str) and value.startswith("["):
        value = read_literal(value)
    return value if isinstance(value, list) else [value]


def is_number(text: str) -> bool:
    """Whether Python reads all of it as a float."""
    try:
        float(text)
    except ValueError:
        return False
    return True


_RULES: Mapping[str, Callable[[Value, Value], float]] = {
    "Str": _same_text,
    "Int": _same_int,
    "Float": _same_float,
    "List": _same_list,
    "None": _same_text,
}


@dataclass(frozen=True, slots=True)
class Item:
    """One question with what was predicted for it.

    `prediction` None: nothing was, and the question is unscored, which counts as wrong. `evidence_pages` None: not known, so
    the question is in neither page group. `doc_type` "": not known.
    """

    question_id: str
    doc_id: str
    doc_type: str
    question: str
    answer: Value
    answer_format: AnswerFormat
    evidence_pages: tuple[int, ...] | None
    evidence_sources: tuple[str, ...]
    prediction: Value | None

    @property
    def answerable(self) -> bool:
        return self.answer != NOT_ANSWERABLE

    @property
    def refused(self) -> bool:
        return self.prediction == NOT_ANSWERABLE


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """An item and its score from 0 to 1; None where nothing was predicted."""

    item: Item
    score: float | None

    @property
    def credit(self) -> float:
        """What it adds to a mean over questions."""
        return self.score or 0.0

    def to_json(self) -> dict[str, Any]:
        item = self.item
        return {
            "question_id": item.question_id,
            "score": self.score,
            "doc_id": item.doc_id,
            "answer_format": item.answer_format,
            "answer": item.answer,
            "prediction": item.prediction,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """The accuracy over some of the questions; None where there are none, or nothing was predicted at all."""

    questions: int
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Scores:
    """What `score` reports. Every mean runs over the questions, scored or not; a mean over nothing is None.

    In `by_source` a question counts as often as the source is named in it, as in the benchmark's script. `wrongly_refused` is
    the share of the answerable questions that were answered with exactly "Not answerable".
    """

    items: tuple[ScoredItem, ...]
    scored: int
    overall: Group
    f1: float | None
    answerable: Group
    single_page: Group
    cross_page: Group
    unanswerable: Group
    by_source: Mapping[str, Group]
    by_doc_type: Mapping[str, Group]
    wrongly_refused: float | None

    @property
    def questions(self) -> int:
        return self.overall.questions

    @property
    def accuracy(self) -> float | None:
        return self.overall.accuracy

    def figures_to_json(self) -> dict[str, Any]:
        """The figures without the items."""
        return {
            "questions": self.questions,
            "scored": self.scored,
            "accuracy": self.accuracy,
            "f1": self.f1,
            "answerable": self.answerable.accuracy,
            "single_page": self.single_page.accuracy,
            "cross_page": self.cross_page.accuracy,
            "unanswerable": self.unanswerable.accuracy,
            "by_source": {name: group.accuracy for name, group in self.by_source.items()},
            "by_doc_type": {name: group.accuracy for name, group in self.by_doc_type.items()},
        }

    def to_json(self) -> dict[str, Any]:
        return {**self.figures_to_json(), "items": [scored.to_json() for scored in self.items]}

    def without_unscored(self) -> Scores:
        """The same over the scored questions alone, as the benchmark's script counts."""
        return _count([one for one in self.items if one.score is not None])


def score_predictions(items: Iterable[Item]) -> Scores:
    """Score every item and count; `Scores.items` keeps the order."""
    return _count([ScoredItem(item, _score(item)) for item in items])


def _count(scored: Sequence[ScoredItem]) -> Scores:
    count = sum(one.score is not None for one in scored)

    def group(members: Iterable[ScoredItem]) -> Group:
        credits = [one.credit for one in members]
        return Group(len(credits), sum(credits) / len(credits) if credits and count else None)

    answerable = [one for one in scored if one.item.answerable]
    pages = [(one, len(one.item.evidence_pages)) for one in scored if one.item.evidence_pages is not None]
    return Scores(
        items=tuple(scored),
        scored=count,
        overall=group(scored),
        f1=f1_score(scored) if count else None,
        answerable=group(answerable),
        single_page=group(one for one, number in pages if number == 1),
        cross_page=group(one for one, number in pages if number != 1 and one.item.answerable),
        unanswerable=group(one for one in scored if not one.item.answerable),
        by_source=_groups(group, ((source, one) for one in scored for source in one.item.evidence_sources)),
        by_doc_type=_groups(group, ((one.item.doc_type, one) for one in scored if one.item.doc_type)),
        wrongly_refused=sum(one.item.refused for one in answerable) / len(answerable) if answerable and count else None,
    )


def _groups(group: Callable[[Iterable[ScoredItem]], Group], named: Iterable[tuple[str, ScoredItem]]) -> dict[str, Group]:
    members: dict[str, list[ScoredItem]] = {}
    for name, one in named:
        members.setdefault(name, []).append(one)
    return {name: group(members[name]) for name in sorted(members)}


def _score(item: Item) -> float | None:
    return None if item.prediction is None else score_answer(item.prediction, item.answer, item.answer_format)


def f1_score(scored: Sequence[ScoredItem]) -> float:
    """Credit of the answerable questions over those questions (recall) and over the questions not refused (precision)."""
    credit = sum(one.credit for one in scored if one.item.answerable)
    answerable = sum(one.item.answerable for one in scored)
    claimed = sum(not one.item.refused for one in scored)
    return harmonic_mean(credit / answerable if answerable else 0.0, credit / claimed if claimed else 0.0)


def harmonic_mean(recall: float, precision: float) -> float:
    return 2 * recall * precision / (recall + precision) if recall + precision else 0.0
