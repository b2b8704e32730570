"""Numbers as people write them in answers: `$1,234.50`, `21 %`, `-3.5`, `1.2 million`, `five pages`."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction

_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DIGIT_OF = {word: str(number) for number, word in enumerate(_WORDS)}
_WORD = re.compile(rf"\b(?:{'|'.join(_WORDS)})\b")
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)?|\.[0-9]+"
_NUMBER = re.compile(rf"(?:(?<![\w.)])[-−+])?(?:{_DIGITS})")
_QUANTITY = re.compile(
    rf"""(?P<sign>[-−+])?\s?(?P<currency>[$€£¥])?\s?(?P<late_sign>[-−])?
    (?P<digits>{_DIGITS})(?P<exponent>e[-+]?[0-9]{{1,3}})?
    (?:\s?(?P<percent>%|percent\b|per\ cent\b)|\s(?P<scale>{"|".join(_SCALES)})s?\b)?
    (?:[\s-]?(?P<unit>[^\W\d_]{{2,}}(?:/[^\W\d_]+)?|°[^\W\d_]?))?""",
    re.VERBOSE,
)
_PLURAL = re.compile(r"(?<=\w\w)(?:ies|es|s|y)$")
_LONGEST = 100  # characters; what is longer is no number that anybody wrote


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with what stands around it; "" for what does not. `scale` is 10**6 for millions."""

    value: Fraction
    scale: int
    currency: str
    unit: str
    is_percent: bool


def read_quantity(text: str) -> Quantity | None:
    """The number that `text` is, with at most a sign, a currency sign, a percent sign, a scale and one word as its unit."""
    if len(text) > _LONGEST:
        return None
    found = _QUANTITY.fullmatch(with_digits(text.strip().rstrip(".")))
    if found is None:
        return None
    minus = (found["sign"] or found["late_sign"] or "+") not in ("+", "")
    value = Fraction(found["digits"].replace(",", "") + (found["exponent"] or ""))
    return Quantity(
        value=-value if minus else value,
        scale=_SCALES.get(found["scale"] or "", 1),
        currency=found["currency"] or "",
        unit=found["unit"] or "",
        is_percent=found["percent"] is not None,
    )


def same_quantity(a: Quantity, b: Quantity, tolerance_percent: int) -> bool:
    """Whether both say the same, within so many percent of the larger.

    What only one side says (a unit, a currency, millions) is passed over. A percent sign on one side alone may stand for a
    factor of 100.
    """
    if not _same_unit(a.unit, b.unit) or (a.currency and b.currency and a.currency != b.currency):
        return False
    pairs = [(a.value * a.scale, b.value * b.scale)]
    if 1 in (a.scale, b.scale):
        pairs.append((a.value, b.value))
    if a.is_percent and not b.is_percent:
        pairs.append((a.value, b.value * 100))
    if b.is_percent and not a.is_percent:
        pairs.append((a.value * 100, b.value))
    return any(abs(x - y) * 100 <= max(abs(x), abs(y)) * tolerance_percent for x, y in pairs)


def _same_unit(a: str, b: str) -> bool:
    """Singular or plural, in full or cut short (`min`, `minutes`); or one side has none."""
    a, b = _PLURAL.sub("", a), _PLURAL.sub("", b)
    return a.startswith(b) or b.startswith(a)


def numbers_in(text: str) -> list[Fraction]:
    """The numbers of a text in ascending order, grouping commas read and small number words too."""
    return sorted(Fraction(found.replace(",", "").replace("−", "-")) for found in _NUMBER.findall(with_digits(text)))


def with_digits(text: str) -> str:
    """Lower case, in plain digits, the words from zero to twelve as digits as well."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return _WORD.sub(lambda word: _DIGIT_OF[word[0]], folded)
