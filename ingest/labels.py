"""What a page calls itself and its exhibits: captions ("Table 2: ...") and the page number printed on its margin."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

from docrag.ingest.rows import Row, cells_of

_KINDS = "table|figure|fig|chart|exhibit|box|diagram|graph|map|image|photo|plate|scheme|algorithm|listing|appendix"
_LETTERED = frozenset({"exhibit", "appendix"})
_NUMBER = r"\d{1,3}(?:[.\-–]\d{1,3})*[a-z]?|[a-z][.\-]?\d{1,3}(?:\.\d{1,3})?|[ivxl]{1,7}|[a-z]"
_CAPTION = re.compile(rf"({_KINDS})\.?\s?({_NUMBER})([.:|)\-–—]*)(?=\s|$)\s*(.*)", re.IGNORECASE)
_ROMAN = re.compile(r"(?=.)(xc|xl|l?x{0,3})(ix|iv|v?i{0,3})")
_ROMAN_VALUES = {"i": 1, "v": 5, "x": 10, "l": 50, "c": 100}

MARGIN = 0.08  # of the page's height, at its top and at its bottom
_PRINTED = r"(\d{1,4}|[ivxl]{1,7})"
# From the surest to the least sure: "Page 17 of 40", "17 / 40", "- 17 -", "17 | Annual report", "Annual report 17".
_PAGE_NUMBERS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:.*\W)?(?:page|p\.|slide)\s*:?\s*{_PRINTED}(?:\s*(?:of|/)\s*\d{{1,4}})?(?:\W.*)?",
        r"(\d{1,4})\s*(?:of|/)\s*\d{1,4}",
        rf"[-–—|\[(]?\s*{_PRINTED}\s*[-–—|\])]?",
        r"(\d{1,4})\s*[|•·–—]\s*\S.*",
        r".*\S\s*[|•·–—]\s*(\d{1,4})",
        r"(\d{1,3})\s+[^\W\d].*",
        r".*[^\W\d]\s+(\d{1,3})",
    )
)
_YEARS = range(1900, 2100)
_SUPPORT = 3  # pages that must agree on how printed numbers go with positions


def caption_of(row: Row) -> tuple[str, ...]:
    """The labels that a paragraph's first row captions, as ("table ii", "table 2"); () where it is no caption.

    A caption has a mark after its number ("Table 2:", "Fig. 3."), stands alone, or goes on in upper case; "Table 2 shows" is a
    mention.
    """
    match = _CAPTION.match(row.text)
    if not match:
        return ()
    kind, number, mark, rest = match.groups()
    kind = "figure" if kind.lower() == "fig" else kind.lower()
    if not (mark or not rest or not rest[0].islower()):
        return ()
    if number.isalpha() and not (number.isupper() and (kind in _LETTERED or _ROMAN.fullmatch(number.lower()))):
        return ()
    return tuple(f"{kind} {name}" for name in _names(number.lower()))


def _names(number: str) -> tuple[str, ...]:
    """ "ii" is also "2", and "2a" a part of "2"."""
    if _ROMAN.fullmatch(number):
        return (number, str(_from_roman(number)))
    if number[-1].isalpha() and number[0].isdigit():
        return (number, number[:-1])
    return (number,)


def _from_roman(number: str) -> int:
    values = [_ROMAN_VALUES[digit] for digit in number.lower()]
    return sum(-value if value < max(values[place:]) else value for place, value in enumerate(values))


def find_captions(rows: Sequence[Row]) -> tuple[str, ...]:
    """The labels of all captions of a page, in order, each once."""
    firsts = (next(paragraph) for _, paragraph in groupby(rows, key=lambda row: row.words[0].block))
    return tuple(dict.fromkeys(label for row in firsts for label in caption_of(row)))


def find_printed_number(rows: Sequence[Row], height_pt: float) -> str | None:
    """What looks most like a page number on the top or bottom margin, as printed.

    It may as well be a chapter or a quantity: only the document's other pages can tell (`consistent_numbers`).
    """
    texts = list(_margin_texts(rows, height_pt))
    for pattern in _PAGE_NUMBERS:
        for text in texts:
            match = pattern.fullmatch(text)
            if match and _may_be_page_number(match[1]):
                return match[1]
    return None


def _margin_texts(rows: Sequence[Row], height_pt: float) -> Iterator[str]:
    """Each row on the margins, and the lowest of the page wherever it is, from below; and after each row its cells."""
    for place, row in enumerate(sorted(rows, key=lambda row: -row.box[3])):
        middle = (row.box[1] + row.box[3]) / 2 / height_pt
        if place == 0 or not MARGIN <= middle <= 1 - MARGIN:
            yield row.text
            yield from (" ".join(word.text for word in cell) for cell in cells_of(row))


def _may_be_page_number(number: str) -> bool:
    return int(number) not in _YEARS if number.isdigit() else _ROMAN.fullmatch(number.lower()) is not None


def consistent_numbers(numbers: Sequence[str | None]) -> list[str | None]:
    """Of the numbers found on the margins of a document's pages, those that count the pages; gaps between them are filled.

    A number counts where `number - index` is the same for at least three pages (or for all that have one, where fewer do, but
    two), so years, chapters and quantities fall out. Roman numerals are a sequence of their own.
    """
    found = [_read(number) for number in numbers]
    offsets = Counter((roman, value - index) for index, (roman, value) in _present(found))
    candidates = sum(offsets.values())
    needed = max(2, min(_SUPPORT, candidates))
    good = {
        index: (roman, value - index) for index, (roman, value) in _present(found) if offsets[roman, value - index] >= needed
    }
    kept: list[str | None] = [numbers[index] if index in good else None for index in range(len(numbers))]
    places = sorted(good)
    for left, right in pairwise(places):
        roman, offset = good[left]
        if not roman and good[left] == good[right]:
            kept[left + 1 : right] = [str(index + offset) for index in range(left + 1, right)]
    return kept


def _read(number: str | None) -> tuple[bool, int] | None:
    """Whether it is a Roman numeral, and its value."""
    if number is None:
        return None
    return (False, int(number)) if number.isdigit() else (True, _from_roman(number))


def _present(found: Sequence[tuple[bool, int] | None]) -> list[tuple[int, tuple[bool, int]]]:
    return [(index, value) for index, value in enumerate(found) if value is not None]
