"""Numbers in a response, and how an answer writes them: digits and a point, without unit, sign of currency or separators.

The official score reads an Int with `int(float(...))`, which takes neither "45%" nor "1,204", and drops "$" and "%" elsewhere.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: n for n, word in enumerate(_UNITS.split())} | {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
_WORD = "|".join([*sorted(_SMALL, key=len, reverse=True)])
_WORDED = rf"\b(?:{_WORD})(?:[\s-](?:and\s)?(?:{_WORD}|hundred|thousand)){{0,6}}\b"
_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,]\d)|\d+(?:\.\d+)?"
_CURRENCY = r"(?:US\$|[$€£¥₹]|\b(?:USD|EUR|GBP)\s)"
_SCALE = r"(?:thousand|million|billion|trillion|bn|mn|[mM]illions)\b"
_COIN = r"(?:(?:US\s)?dollars?|euros?|pounds|yen|rupees|USD|EUR|GBP)\b"
NUMBER = re.compile(
    rf"(?<![\w.,/])(?P<sign>[-−–+]?){_CURRENCY}?\s?(?P<minus>-?)(?P<digits>{_DIGITS})(?![\w-]?\d)"
    rf"(?:\s?(?P<percent>%|percent\b|per cent\b|percentage points?\b)|[\s-]?(?P<scale>{_SCALE}))?(?:\s(?P<coin>{_COIN}))?"
    rf"|(?P<worded>{_WORDED})",
    re.IGNORECASE,
)
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d")


@dataclass(frozen=True, slots=True)
class Number:
    """A number at `start` to `end` of a text. `scale` is "million" or the like, "" without."""

    start: int
    end: int
    digits: str
    scale: str

    @property
    def is_year(self) -> bool:
        return _YEAR.fullmatch(self.digits) is not None


def find_numbers(text: str) -> list[Number]:
    return [_number(match) for match in NUMBER.finditer(text)]


def whole_number(text: str) -> Number | None:
    """The number that all of `text` is, with its percent sign and currency, if it is one."""
    match = NUMBER.fullmatch(text.strip(" .~≈"))
    return _number(match) if match else None


def _number(match: re.Match[str]) -> Number:
    if worded := match["worded"]:
        return Number(match.start(), match.end(), str(_in_digits(worded)), "")
    sign = "-" if match["minus"] or match["sign"] in ("-", "−", "–") else ""
    return Number(match.start(), match.end(), sign + match["digits"].replace(",", ""), (match["scale"] or "").lower())


def _in_digits(worded: str) -> int:
    total = current = 0
    for word in re.findall(r"[a-z]+", worded.lower()):
        if word == "hundred":
            current = max(current, 1) * 100
        elif word == "thousand":
            total, current = total + max(current, 1) * 1000, 0
        elif word != "and":
            current += _SMALL[word]
    return total + current
