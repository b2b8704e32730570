"""Pages that a question names outright: "page 5", "slides 3-5", "the second page", "cover", "Table 2", "Fig. 4a".

`find_references` reads them off the question; `resolve` says which pages of one document they mean. Both are pure. A number
may be a position ("the 17th page of the file") or what is printed on the page; nobody says which, so both pages are meant.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from docrag.index.catalogue import OUTLINES_KEPT
from docrag.ingest.labels import consistent_numbers
from docrag.types import DocumentOutline

ReferenceKind = Literal["page", "position", "label", "caption", "front"]

# A range longer than this is a slip or an attack ("pages 1-999999"), and would say nothing about where to look anyway.
MAX_RANGE = 200
# What is longer is a pasted text, and would take the square of its length.
MAX_QUESTION_CHARS = 4_000
# "The author" points to the first page, but not as "the cover" does.
FRONT_STRENGTH = 0.5

_UNITS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNIT_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")
_TEEN_ORDINALS = ("tenth", "eleventh", "twelfth", *(f"{word}th" for word in _TEENS[3:]))


def _counting(units: tuple[str, ...], teens: tuple[str, ...], tens: tuple[str, ...]) -> dict[str, int]:
    words = {word: value for value, word in enumerate((*units, *teens), start=1)}
    for ten, (word, alone) in enumerate(zip(_TENS, tens, strict=True), start=2):
        words |= {alone: 10 * ten} | {f"{word}-{unit}": 10 * ten + value for value, unit in enumerate(units, start=1)}
    return words


_CARDINALS = _counting(_UNITS, _TEENS, _TENS)
_ORDINALS = _counting(_UNIT_ORDINALS, _TEEN_ORDINALS, tuple(f"{word[:-1]}ieth" for word in _TENS))
_ROMAN_DIGITS = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}
_ROMAN = re.compile(r"(?=[ivxlc])c{0,3}(?:xc|xl|l?x{0,3})(?:ix|iv|v?i{0,3})")
_EXHIBITS = ("table", "figure", "chart", "graph", "exhibit", "diagram", "algorithm", "box", "map", "scheme", "image", "photo")
_CAPTION_WORDS = (*_EXHIBITS, "plate", "listing", "appendix", "tbl", "fig")
_SHORT_FOR = {"tbl": "table", "fig": "figure"}


def _one_of(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=lambda word: (-len(word), word))).replace("-", "[- ]")


_TO = re.compile(r"\s*(?:[-–—~]|\b(?:to|through|thru)\b)\s*(?:(?:pages?|slides?)\s+)?", re.IGNORECASE)
_AND = re.compile(r"\s*(?:,\s*(?:(?:and|or)\b|&)?|&|\b(?:and|or)\b)\s*(?:the\s+)?", re.IGNORECASE)
# Not "page 5%", "page 1.5", "page 12,000". "i" is a label in lower case only: in "web pages I saw" it is the asker.
_PAGE_NUMBER = re.compile(
    rf"(?:[0-9]{{1,6}}(?![0-9%]|[.,][0-9])|[a-z]-?[0-9]{{1,4}}|(?-i:i)|[vx]|[ivxl]{{2,7}}|{_one_of(_CARDINALS)})\b",
    re.IGNORECASE,
)
# "12 pages 3 figures" counts pages, it doesn't name one.
_PAGE_WORD = re.compile(r"(?<![0-9]\s)\b(?:pages?|slides?|pgs?\.?|pp?\.)[\s-]*(?:(?:numbers?|nos?\.?|#)\s*)?", re.IGNORECASE)
_ORDINAL = re.compile(rf"(?:{_one_of(_ORDINALS)}|[0-9]{{1,4}}(?:st|nd|rd|th)|last|final)\b", re.IGNORECASE)
_COUNT = re.compile(rf"\s+(?P<count>[0-9]{{1,3}}|{_one_of(_CARDINALS)})\b", re.IGNORECASE)
# "the first page of section 3" is not the first page of the document.
_PAGE_AFTER_ORDINAL = re.compile(
    r"\s+(?:pages?|slides?)\b(?!\s+of\s+[\w\s\"'“”‘’&:-]{0,60}?\b(?:section|chapter|appendix|part|annex)\b)", re.IGNORECASE
)
_FROM_END = re.compile(r"\b(?:penultimate|(?:second|next)[- ](?:to[- ])?(?:the[- ])?last)\s+(?:page|slide)\b", re.IGNORECASE)
_COVER = re.compile(
    r"\b(?:back|front)\s+cover\b|\bcover\s+(?:page|slide|image|photo|picture|art)\b|\b(?:title|opening)\s+(?:page|slide)\b"
    r"|\b(?:on|of|in|at)\s+the\s+cover\b(?!\s+letter)",
    re.IGNORECASE,
)
_CAPTION_WORD = re.compile(
    rf"\b(?P<word>{_one_of(_CAPTION_WORDS)})(?P<several>s?)\.?\s*(?:(?:numbers?|nos?\.?|#)\s*)?", re.IGNORECASE
)
# Somebody who asks for "the second cover page" or "a year 3 cover page" has another page in mind than the first.
_BEFORE_COVER = re.compile(rf"(?:\b(?:as|{_one_of(_ORDINALS)})|[0-9])\s+$", re.IGNORECASE)
# What the first page of a paper, deck, report or filing says of the document as a whole.
_FRONT_MATTER = re.compile(
    r"\b(?:abstract|arxiv|case (?:number|no)|defendants?|docket|doi|filing (?:date|id)|petitioners?|plaintiffs?|presenters?)\b"
    r"|\b(?:how many|list|name|names of|who|whose)\b.{0,20}\b(?:co-?)?authors?\b"
    r"|\bwho (?:is the publisher|prepared|presented|published|wrote)\b"
    r"|\b(?:court|date|subtitle|title|url|version|web ?(?:link|site)|year)\b.{0,12}\b(?:for|of|to)\b(?: \w+)?"
    r" (?:article|brochure|deck|document|guide|manual|paper|presentation|report|slides?)\b",
    re.IGNORECASE,
)
# A lone letter counts as a capital only: "Figure A", never "figure a plan"; "Table I", but not "which figure I should use".
_NO_CAPTION = r"(?![\w%])(?!(?<=\bI)\s+(?:am|can|could|find|have|may|must|need|saw|see|should|use|want|will|would)\b)"
_LETTERED = r"[A-Z][.-]?[0-9]{1,3}(?:[.-][0-9]{1,3})*|[IVXL]{2,6}|[A-Z]"
_PANEL = r"(?:[a-z]|\s?\([a-z]\))?"
_CAPTION_NUMBER = re.compile(rf"(?:[0-9]{{1,3}}(?:[.-][0-9]{{1,3}})*{_PANEL}|{_LETTERED}){_NO_CAPTION}")
# "Table 1-3" is the third of chapter 1, "Tables 1-3" are three.
_CAPTION_IN_LIST = re.compile(rf"(?:[0-9]{{1,3}}(?:\.[0-9]{{1,3}})*{_PANEL}|{_LETTERED}){_NO_CAPTION}")
_CAPTION_AFTER_ORDINAL = re.compile(r"\s+(?P<word>table|figure)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reference:
    """One page, table or figure that a question names.

    `kind` "page": the number `value` as a position or as printed; "position": a position from 1, or from the end as -1, -2;
    "label": as printed only ("xii", "a-3"); "caption": a key as in `DocumentOutline.captions` ("table 2"); "front": what a
    first page says of the document itself, as `value` names it ("title of the report").
    """

    kind: ReferenceKind
    value: str


def find_references(question: str) -> tuple[Reference, ...]:
    """The references in the first 4,000 characters of `question`, each once, in a fixed order; empty where there are none."""
    question = question[:MAX_QUESTION_CHARS]
    found: dict[Reference, None] = {}
    for finder in (_named_pages, _counted_pages, _covers, _captions):
        found.update(dict.fromkeys(finder(question)))
    if not found and (front := _FRONT_MATTER.search(question)):
        found[Reference("front", front[0].lower())] = None
    return tuple(found)


def resolve(references: Iterable[Reference], outline: DocumentOutline) -> Mapping[int, float]:
    """The pages of one document that `references` mean, as 0-based index -> strength from 0 to 1."""
    strengths: dict[int, float] = {}
    for reference in references:
        strength = FRONT_STRENGTH if reference.kind == "front" else 1.0
        for page_index in _pages_meant(reference, outline):
            strengths[page_index] = max(strength, strengths.get(page_index, 0.0))
    return strengths


def parse_number(text: str) -> int | None:
    """The value of "5", "five", "fifth", "5th" or "twenty-one"; None where `text` is no such number."""
    text = text.lower().strip()
    digits = re.fullmatch(r"([0-9]+)(?:st|nd|rd|th)?", text)
    return int(digits[1]) if digits else (_CARDINALS | _ORDINALS).get(text.replace(" ", "-"))


def roman_value(text: str) -> int | None:
    """The value of a Roman number up to 399 in either case, None where `text` is none."""
    text = text.lower()
    if not _ROMAN.fullmatch(text):
        return None
    digits = [_ROMAN_DIGITS[letter] for letter in text]
    return sum(-value if value < after else value for value, after in zip(digits, [*digits[1:], 0], strict=True))


def _named_pages(question: str) -> Iterator[Reference]:
    end = 0
    for match in _PAGE_WORD.finditer(question):
        if match.start() < end:
            continue
        values, end = _list_at(question, match.end(), _PAGE_NUMBER)
        for value in values:
            number = parse_number(value)
            yield Reference("label", value.lower()) if number is None else Reference("page", str(number))


def _counted_pages(question: str) -> Iterator[Reference]:
    if _FROM_END.search(question):
        yield Reference("position", "-2")
        question = _FROM_END.sub(" ", question)
    end = 0
    for match in re.finditer(rf"\b{_ORDINAL.pattern}", question, re.IGNORECASE):
        if match.start() < end:
            continue
        values, end = _list_at(question, match.start(), _ORDINAL)
        positions = [_position(value) for value in values]
        if len(positions) == 1 and positions[0] in (1, -1) and (count := _COUNT.match(question, end)):
            positions = [positions[0] * step for step in range(1, min(parse_number(count["count"]) or 0, MAX_RANGE) + 1)]
            end = count.end()
        if _PAGE_AFTER_ORDINAL.match(question, end):
            yield from (Reference("position", str(position)) for position in positions)


def _covers(question: str) -> Iterator[Reference]:
    for match in _COVER.finditer(question):
        if _BEFORE_COVER.search(question[: match.start()]):
            continue
        yield Reference("position", "-1" if match[0].lower().startswith("back") else "1")


def _captions(question: str) -> Iterator[Reference]:
    for match in _CAPTION_WORD.finditer(question):
        number = _CAPTION_IN_LIST if match["several"] else _CAPTION_NUMBER
        for value in _list_at(question, match.end(), number)[0]:
            yield Reference("caption", caption_key(match["word"], value))
    for match in re.finditer(rf"\b{_ORDINAL.pattern}", question, re.IGNORECASE):
        word, number = _CAPTION_AFTER_ORDINAL.match(question, match.end()), parse_number(match[0])
        if word and number:
            yield Reference("caption", caption_key(word["word"], str(number)))


def caption_key(word: str, number: str) -> str:
    """How a table or figure is known: "Fig", "4(a)" -> "figure 4a"; "Table", "II" -> "table 2"."""
    roman = roman_value(number) if number.isupper() and number not in {"C", "L", "X"} else None
    plain = str(roman) if roman else re.sub(r"[()\s]", "", number.lower())
    return f"{_SHORT_FOR.get(word.lower(), word.lower())} {plain}"


def _list_at(text: str, start: int, item: re.Pattern[str]) -> tuple[list[str], int]:
    """The items of a list like "3, 5-7 and 9" that begins at `start`, ranges of numbers filled in, and where it ends."""
    values: list[str] = []
    end, is_range = start, False
    while match := item.match(text, start):
        if is_range:
            values.extend(_between(values[-1], match[0]))
        values.append(match[0])
        end = match.end()
        joint = _TO.match(text, end) or _AND.match(text, end)
        if joint is None:
            break
        start, is_range = joint.end(), joint.re is _TO
    return values, end


def _between(first: str, last: str) -> Iterable[str]:
    low, high = parse_number(first), parse_number(last)
    if low is None or high is None or high - low > MAX_RANGE:
        return ()
    return (str(number) for number in range(low + 1, high))


def _position(ordinal: str) -> int:
    return parse_number(ordinal) or -1


def _pages_meant(reference: Reference, outline: DocumentOutline) -> Iterator[int]:
    pages = len(outline.page_labels)
    if reference.kind == "front" and pages:
        yield 0
    if reference.kind == "caption":
        yield from _captioning(reference.value, outline.captions)
    if reference.kind in ("page", "position"):
        position = int(reference.value)
        page_index = position - 1 if position > 0 else pages + position
        if position != 0 and 0 <= page_index < pages:
            yield page_index
    if reference.kind in ("page", "label"):
        yield from _printing(reference.value, outline)


def _printing(value: str, outline: DocumentOutline) -> Iterator[int]:
    for page_index, names in enumerate(zip(outline.page_labels, _consistent(outline.printed_numbers), strict=True)):
        if any(name is not None and name.strip().lower() == value for name in names):
            yield page_index


@functools.lru_cache(maxsize=OUTLINES_KEPT)
def _consistent(printed_numbers: tuple[str | None, ...]) -> Sequence[str | None]:
    """What was read off a page's margin may be a chapter or a quantity: the document's other pages tell."""
    return consistent_numbers(printed_numbers)


def _captioning(key: str, captions: Mapping[str, tuple[int, ...]]) -> Iterable[int]:
    """The pages that caption `key`; "figure 4a" is on the page of "figure 4" where it has no caption of its own."""
    return captions.get(key) or captions.get(re.sub(r"(?<=[0-9])[a-z]$", "", key), ())
