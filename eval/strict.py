"""The strict measure: a score of docrag's own beside the official one, without the holes of its rules.

What differs from `scoring`, where a prediction is compared with a reference:

- a whole number is that number (`5.9` is not `5`; `5.0`, `5 pages` and `five` are), one of the format Float is within 1 %, and
  a factor of 100 is granted only where one side has a percent sign and the other has none;
- a list is a multiset with partial credit: F1 of the best matching of its items, in any order;
- a number in a text or a list, and in a text of a few words all of them, must be the same (`10.2` is not `10.1`); case, a
  leading article and punctuation don't matter;
- "Not answerable" is right where nothing else is said, also in a list of one, and similar words earn nothing;
- "Fail to answer" is an outcome of its own, and what was never predicted is left out instead of being wrong.

Texts that differ in a word that matters ("increase" for "decrease") still get what ANLS gives them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import fsum
from typing import Any, Literal

from docrag.errors import UsageError
from docrag.eval.matching import best_matching
from docrag.eval.quantities import Quantity, numbers_in, read_quantity, same_quantity, with_digits
from docrag.eval.scoring import (
    ANSWER_FORMATS,
    FAIL_TO_ANSWER,
    AnswerFormat,
    Value,
    anls,
    as_list,
    clean,
    is_exact_kind,
    is_number,
)
from docrag.types import NOT_ANSWERABLE, Outcome

StrictOutcome = Literal["scored", "unscored", "failed"]

_SHORT_WORDS, _SHORT_CHARACTERS = 12, 200  # up to here a text is a name, a date, a label: its numbers are what it says
_MATCHED_PAIRS = 10_000  # lists with more pairs left to compare are no answers to a question
_ARTICLE = re.compile(r"(?:the|an?) (?=\S)")
_PARENTHESES = re.compile(r"\([^()]*\)")
# What stands before a mark is looked at after the mark was found: three to thirty times as fast as before it.
_DASH = re.compile(r"[-‐‑–—/](?<=\w.)(?=\w)")
_GROUPING = re.compile(r",(?<=[0-9],)(?=[0-9]{3}(?![0-9]))")
_POINT = re.compile(r"[.,](?:(?![0-9])|(?<=[^\W\d_].))")
_BULLET = re.compile(r"(?:[-*•–]|[0-9]{1,2}[.)])\s+")
_MARKS = str.maketrans({**dict.fromkeys("'\"`“”„‘’«»"), **dict.fromkeys(";:!?()[]{}…", " ")})


@dataclass(frozen=True, slots=True)
class StrictScore:
    """`credit` is from 0 to 1; None where nothing was predicted ("unscored"). What "failed" has a credit of 0."""

    outcome: StrictOutcome
    credit: float | None


@dataclass(frozen=True, slots=True)
class StrictTotals:
    """Over `questions`: `accuracy` is the mean credit of what was attempted, to be read beside `coverage`, its share.

    `failed` is the share of the attempted where nothing could be read. A mean over nothing is None.
    """

    questions: int
    attempted: int
    accuracy: float | None
    coverage: float | None
    failed: float | None


def strict_score(
    prediction: Value | None, reference: Value, answer_format: AnswerFormat, outcome: Outcome | None = None
) -> StrictScore:
    """How right `prediction` is. `outcome` is how a docrag reader ended, where that is known.

    Raises UsageError on an unknown format.
    """
    if answer_format not in ANSWER_FORMATS:
        raise UsageError(f"answer_format is one of {', '.join(ANSWER_FORMATS)}, got {answer_format!r}")
    if prediction is None:
        return StrictScore("unscored", None)
    if outcome == "failed" or _says(prediction, FAIL_TO_ANSWER):
        return StrictScore("failed", 0.0)
    try:
        return StrictScore("scored", _credit(prediction, reference, answer_format))
    except (ValueError, RecursionError):  # a value that Python writes no text for
        return StrictScore("scored", 0.0)


def strict_totals(scores: Iterable[StrictScore]) -> StrictTotals:
    """Accuracy, coverage and share of failures of one score a question."""
    every = list(scores)
    credits = [one.credit for one in every if one.credit is not None]
    failed = sum(one.outcome == "failed" for one in every)
    return StrictTotals(
        questions=len(every),
        attempted=len(credits),
        accuracy=fsum(credits) / len(credits) if credits else None,
        coverage=len(credits) / len(every) if every else None,
        failed=failed / len(credits) if credits else None,
    )


def is_refusal(value: Value) -> bool:
    """Whether it says "Not answerable" and nothing else; case and a full stop aside."""
    return _says(value, NOT_ANSWERABLE)


def _says(value: Value, words: str) -> bool:
    said = _only_member(value)
    return isinstance(said, str) and len(said) < 100 and said.strip().rstrip(".").rstrip().casefold() == words.casefold()


def _only_member(value: Value) -> Any:
    """What a list of one holds, also one that is spelt out; anything else as it is."""
    if isinstance(value, str) and len(value) > 100:
        return value
    try:
        members = as_list(value.strip() if isinstance(value, str) else value)
    except ValueError:
        return value
    return members[0] if len(members) == 1 else value


def _credit(prediction: Value, reference: Value, answer_format: AnswerFormat) -> float:
    if is_refusal(reference) or is_refusal(prediction):
        return float(is_refusal(reference) and is_refusal(prediction))
    if answer_format == "List":
        wanted = _items(reference)
        return list_credit(_items(prediction, several=len(wanted) > 1), wanted)
    rule = _NUMBER_RULES.get(answer_format, text_credit)
    return rule(str(prediction), str(reference))


def whole_credit(prediction: str, reference: str) -> float:
    """Of two whole numbers; by the rule for texts where either is none."""
    return _number_credit(prediction, reference, tolerance_percent=0)


def number_credit(prediction: str, reference: str) -> float:
    """Of two numbers within 1 % of the larger; by the rule for texts where either is none."""
    return _number_credit(prediction, reference, tolerance_percent=1)


def _number_credit(prediction: str, reference: str, tolerance_percent: int) -> float:
    has_gloss = _has_gloss(prediction), _has_gloss(reference)
    texts = (prediction, reference) if len({*has_gloss}) == 1 else map(_without_gloss, (prediction, reference))
    got, wanted = map(read_quantity, texts)
    if got is None and wanted is None:
        if is_number(prediction) and is_number(reference):  # inf and nan: no distance between these means anything
            return float(normal_text(prediction) == normal_text(reference))
        return text_credit(prediction, reference)
    return float(got is not None and wanted is not None and same_quantity(got, wanted, tolerance_percent))


_NUMBER_RULES: dict[str, Callable[[str, str], float]] = {"Int": whole_credit, "Float": number_credit}


@dataclass(frozen=True, slots=True)
class _Form:
    """A text as it is compared. `numbers` None: it is too long for its numbers to be what it says."""

    normal: str
    quantity: Quantity | None
    numbers: list[Fraction] | None


@dataclass(frozen=True, slots=True)
class _Text:
    """A text read once, for all that it is compared with. `bare` is without what stands in parentheses."""

    has_gloss: bool
    is_exact: bool
    whole: _Form
    bare: _Form


def text_credit(prediction: str, reference: str) -> float:
    """Of two texts: of numbers where both are, all or nothing where either is of an exact kind, else ANLS."""
    return _text_credit(_read(prediction), _read(reference))


def _text_credit(prediction: _Text, reference: _Text) -> float:
    # Parenthesised parts count where both sides have some; of one side alone they explain what the other leaves out.
    as_they_are = prediction.has_gloss == reference.has_gloss
    got, wanted = (prediction.whole, reference.whole) if as_they_are else (prediction.bare, reference.bare)
    if got.quantity and wanted.quantity:
        return float(same_quantity(got.quantity, wanted.quantity, 0))
    if got.normal == wanted.normal or prediction.is_exact or reference.is_exact:
        return float(got.normal == wanted.normal)
    if got.numbers is not None and wanted.numbers is not None and got.numbers != wanted.numbers:
        return 0.0
    return anls(got.normal, wanted.normal)


def _read(text: str) -> _Text:
    whole, has_gloss = _form(text), _has_gloss(text)
    return _Text(has_gloss, is_exact_kind(clean(text)), whole, _form(_without_gloss(text)) if has_gloss else whole)


def _form(text: str) -> _Form:
    normal = normal_text(text)
    is_short = len(normal) <= _SHORT_CHARACTERS and len(normal.split()) <= _SHORT_WORDS
    return _Form(normal, read_quantity(text), numbers_in(normal) if is_short else None)


def _has_gloss(text: str) -> bool:
    return _PARENTHESES.search(text) is not None


def _without_gloss(text: str) -> str:
    """Without its parenthesised parts; what is nothing else is taken out of its parentheses."""
    return _PARENTHESES.sub(" ", text).strip() or text.strip("() ")


def normal_text(text: str) -> str:
    """Case, blanks, quote marks, punctuation between words and a leading article taken off; signs and decimals stay."""
    folded = _GROUPING.sub("", with_digits(text).translate(_MARKS))
    words = " ".join(_POINT.sub(" ", _DASH.sub(" ", folded)).split())
    return _ARTICLE.sub("", words, count=1) if _ARTICLE.match(words) else words


def list_credit(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of the best one-to-one matching of the items, 1 for two empty lists.

    Items that are equal as `normal_text` are matched first. Where more than 10,000 pairs are left, these earn nothing.
    """
    if not prediction and not reference:
        return 1.0
    keys, wanted_keys = list(map(normal_text, prediction)), list(map(normal_text, reference))
    same = Counter(keys) & Counter(wanted_keys)
    left, right = _rest(prediction, keys, same), _rest(reference, wanted_keys, same)
    if len(left) * len(right) > _MATCHED_PAIRS:
        left = []
    read = list(map(_read, right)) if left else []
    matched = best_matching([[_text_credit(a, b) for b in read] for a in map(_read, left)])
    return 2 * (same.total() + matched) / (len(prediction) + len(reference))


def _rest(items: Sequence[str], keys: Sequence[str], taken: Counter[str]) -> list[str]:
    """The items without those that are `taken`, by their keys."""
    to_take = Counter(taken)
    rest: list[str] = []
    for item, key in zip(items, keys, strict=True):
        if to_take[key]:
            to_take[key] -= 1
        else:
            rest.append(item)
    return rest


def _items(value: Value, several: bool = False) -> list[str]:
    """The items of a list; where that is none but in brackets, or `several` are asked for, what stands between its commas."""
    value = value.strip() if isinstance(value, str) else value
    try:
        members: list[Any] = as_list(value)
    except ValueError:
        return _split(str(value).strip("[]"))
    if several and members == [value] and isinstance(value, str):
        return _split(value)
    return [str(member) for member in members]


def _split(text: str) -> list[str]:
    separator = next((mark for mark in "\n;" if mark in text), ",")
    parts = [part.strip() for part in text.split(separator) if part.strip()]
    is_marked = len(parts) > 1 and all(map(_BULLET.match, parts))  # one "- 5" alone is a number
    return [_BULLET.sub("", part, count=1) for part in parts] if is_marked else parts
