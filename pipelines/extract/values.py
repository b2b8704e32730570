"""The values that a text names: numbers, shares, sums of money, dates, people, addresses; and how an answer writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from docrag.pipelines.question_patterns import Kind
from docrag.pipelines.question_type import Asked

_DIGITS = r"\d{1,3}(?:,\d{2,3})+(?:\.\d+)?|\d+(?:\.\d+)?"
_SCALE = r"thousand|million|billion|trillion|bn|mn|crores?|lakhs?|lacs"
_ISO = "USD|EUR|GBP|CHF|JPY|CNY|INR|SGD|AUD|CAD|SEK|NOK|DKK|PLN|CZK|HUF|RUB|BRL|ZAR|KRW|TWD|HKD|MXN|TRY|THB|IDR|VND|NZD|AED|SAR"
_CODE = rf"US\$|A\$|C\$|[$€£¥₹]|(?:{_ISO}|Rs)\b\.?"
_COIN = rf"dollars|euros?|pounds|francs|yen|rupees|yuan|kron(?:or|er|e)|{_ISO}"
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?)\b\.?"
)
_YEAR = r"(?:1[5-9]|20)\d\d"
_UP_TO_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen "
    "nineteen twenty"
)
_NUMBER_WORDS: list[str] = list(_UP_TO_TWENTY.split())
_WORDED = "|".join(_NUMBER_WORDS[1:])
_NOT_INSIDE = r"(?<![\w.,/-])"
_NOT_BEFORE = r"(?![\w/-]|[.,]\d)"

_NUMBER = rf"{_NOT_INSIDE}(?:\((?:{_DIGITS})\)|[-−–]?(?:{_DIGITS})){_NOT_BEFORE}"
_MONEY = (
    rf"(?<![\w.,])[(−-]?(?:{_CODE})\s?(?:{_DIGITS})\)?(?:\s?(?:{_SCALE})\b|\s?[mMkKB]\b)?"
    rf"|{_NOT_INSIDE}(?:{_DIGITS})\s?(?:(?:{_SCALE})\s)?(?:of\s)?(?:{_COIN})\b"
)
_PERCENT = rf"(?<![\w.,])[(−-]?(?:{_DIGITS})\)?\s?(?:%\)?|percent\b|per\scent\b|pct\b)"
_DATE = (
    rf"\b\d{{1,2}}(?:st|nd|rd|th)?\s(?:of\s)?{_MONTH},?\s{_YEAR}\b"
    rf"|\b{_MONTH}\s\d{{1,2}}(?:st|nd|rd|th)?,?\s{_YEAR}\b"
    rf"|\b{_YEAR}-\d\d-\d\d\b|\b\d{{1,2}}[/.]\d{{1,2}}[/.](?:{_YEAR}|\d\d)\b"
    rf"|\b{_MONTH},?\s{_YEAR}\b|\b\d{{1,2}}(?:st|nd|rd|th)?\s{_MONTH}|\b{_MONTH}\s\d{{1,2}}\b(?!:)"
)
_PERSON = (
    r"(?:(?:Mr|Mrs|Ms|Dr|Prof|Sir|Judge|Professor)\b\.?\s)?"
    r"(?:[A-Z][\w'’-]+|[A-Z]\.)(?:\s(?:(?:[A-Z]\.)+|[A-Z][\w'’-]+|de|van|von|der|bin|al|la)){1,3}"
)
_PERIOD = "second|minute|hour|day|week|fortnight|month|quarter|year"
_NO_UNIT = r"(?!(?:and|or|of|to|in|on|at|by|for|from|with|the|is|are|was|were|as|than|different|other|more|less)\b)"
_UNIT = rf"(?:%|{_NO_UNIT}(?:°\s?[CF]|[^\W\d_]{{1,14}}\b)(?:\s(?:per|a|an)\s[^\W\d_]+)?)"

_PATTERNS: dict[Kind, re.Pattern[str]] = {
    "count": re.compile(rf"{_NUMBER}(?:\s(?:{_SCALE})\b)?|\b(?:{_WORDED})\b", re.IGNORECASE),
    "percent": re.compile(_PERCENT, re.IGNORECASE),
    "money": re.compile(_MONEY),
    "date": re.compile(f"{_DATE}|\\b{_YEAR}\\b"),
    "year": re.compile(rf"\b{_YEAR}(?:\s?[-–/]\s?(?:{_YEAR}|\d\d))?\b(?![-–/.]\d)"),
    "quantity": re.compile(rf"(?:{_NUMBER}|\b(?:{_WORDED})\b)[\s-]?{_UNIT}", re.IGNORECASE),
    "frequency": re.compile(
        rf"\b(?:every|each)\s(?:\S+\s)?(?:{_PERIOD})s?\b|\b(?:once|twice|\w+\stimes)\s(?:an?|per|each|every)\s(?:{_PERIOD})\b"
        r"|\b(?:hourly|daily|weekly|fortnightly|biweekly|monthly|quarterly|yearly|annually)\b",
        re.IGNORECASE,
    ),
    "person": re.compile(_PERSON),
    "place": re.compile(r"(?<=\b[ia][nt]\s)(?:the\s)?[A-Z][\w'’-]+(?:(?:,?\s|-)(?:of\s|de\s|am\s)?[A-Z][\w'’-]+){0,4}"),
    "email": re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"),
    "url": re.compile(r"(?:https?://|www\.)[^\s)>\]]+[^\s)>\].,;:]", re.IGNORECASE),
    "phone": re.compile(r"(?<![\w-])\+?\(?\d[\d\s().-]{6,16}\d(?![\w-])"),
}
# Words with a capital that name a part of the document, a day or a month.
_NO_NAME = re.compile(
    rf"(?:the\s)?(?:{_MONTH}|Table|Figure|Fig|Section|Chapter|Appendix|Annex\w*|Paragraph|Note|Part|Item|Page|Exhibit|Article|Schedule"
    r"|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday|The|This|These|Our|We|In|On|For|If|It|All|Total|Q\d)\b"
)
_NUMERIC_CELL = re.compile(
    rf"[(−–+-]?\s?(?:(?:{_CODE})\s?)?[(−–-]?(?:{_DIGITS})\s?\)?\s?(?:%|[†*‡]|x|(?:{_SCALE})|[a-zµ°][\w/²³]{{0,4}})?\)?",
    re.IGNORECASE,
)


_LONGEST_TEXT = 2_000  # characters in which values are looked for; some patterns take the square of it


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a text: characters `start` to `end`, as printed there."""

    start: int
    end: int
    text: str


def find_values(text: str, kind: Kind) -> list[Value]:
    """The values of that kind in `text`, from left to right; [] for a kind that has no form of its own."""
    pattern = _PATTERNS.get(kind)
    if pattern is None:
        return []
    found = [Value(match.start(), match.end(), match.group().strip()) for match in pattern.finditer(text[:_LONGEST_TEXT])]
    if kind == "count":
        return [value for value in found if not _is_year(value.text)]
    if kind in ("place", "person"):
        return [value for value in found if not _NO_NAME.match(value.text)]
    return found


def _is_year(text: str) -> bool:
    return re.fullmatch(_YEAR, text) is not None


def is_numeric_cell(text: str) -> bool:
    """Whether a table's cell holds one number, with its sign, currency, share or short unit, and no year."""
    return _NUMERIC_CELL.fullmatch(text.strip()) is not None and not _is_year(text.strip())


def write_answer(value: str, asked: Asked) -> str:
    """`value` as the question wants it: a count in digits, a date in the form that was asked for, nothing around it."""
    value = value.strip(" ,;:.†*‡") if asked.kind not in ("person", "text", "value") else value.strip(" ,;:")
    if asked.scale:
        return write_scaled(value, asked.scale)
    if asked.bare or asked.kind == "count":
        return write_number(value)
    if asked.date_format:
        return write_date(value, asked.date_format)
    return value


def write_number(value: str) -> str:
    """'1,914' as '1914', 'three' as '3'; what is no plain number comes back as it was."""
    if value.casefold() in _NUMBER_WORDS:
        return str(_NUMBER_WORDS.index(value.casefold()))
    plain = value.replace(",", "")
    return plain if re.fullmatch(r"[-−–]?\d+(?:\.\d+)?", plain) else value


_POWERS = {"thousand": 3, "million": 6, "mn": 6, "m": 6, "billion": 9, "bn": 9, "trillion": 12}


def write_scaled(value: str, scale: str) -> str:
    """A sum counted in `scale` ("million"): '$2.4 billion' is '2400'; a bare number is taken to be counted so already."""
    match = re.search(rf"({_DIGITS})\s?({'|'.join(_POWERS)})?\b", value, re.IGNORECASE)
    if not match:
        return value
    number = match.group(1).replace(",", "")
    if not match.group(2):
        return number
    shift = _POWERS[match.group(2).casefold()] - _POWERS[scale]
    return format(Decimal(number).scaleb(shift).normalize(), "f") if shift else number


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


def write_date(value: str, form: str) -> str:
    """A date with a worded month in the form YYYY-MM-DD or YYYY-MM; unchanged where that can't be read off it."""
    plain = re.fullmatch(rf"(\d{{1,2}})[/.-](\d{{1,2}})[/.-]({_YEAR})", value)
    if plain:
        one, other, of = int(plain.group(1)), int(plain.group(2)), plain.group(3)
        on, day_first = (one, other), one > 12 or "." in value
        number, day_number = on[::-1] if day_first else on
        return f"{of}-{number:02d}-{day_number:02d}"[: len(form)]
    month = re.search(_MONTH, value)
    year = re.search(rf"\b{_YEAR}\b", value)
    day = re.search(r"\b(\d{1,2})(?:st|nd|rd|th)?\b", value)
    if not month or not year:
        return value
    number = _MONTHS.index(month.group()[:3].casefold()) + 1
    if form == "YYYY-MM":
        return f"{year.group()}-{number:02d}"
    return f"{year.group()}-{number:02d}-{int(day.group(1)):02d}" if day else value
