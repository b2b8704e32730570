"""Are the words that an answer cites on their page, its numbers in the evidence? What can't be found is said, never dropped.

A reader may cite the pages of its context and no others: what a page says can't name a file or another document here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from docrag.pipelines.locate import Located, locate_quote, words_box
from docrag.types import Citation, Context, Evidence

QUOTE_CHARACTERS = 1_000
# A quote without letters or digits, or of one character, stands on any page.
_TELLING = re.compile(r"\w.*\w", re.DOTALL)
_ELLIPSIS = re.compile(r"\s*(?:\.\.\.+|…|\[\s*(?:\.\.\.|…)\s*\])\s*")
_PAGE_NUMBER = re.compile(r"\d+")
_NUMBER = re.compile(r"(?<![\w.,])(?<![A-Za-z][-–])[-−+]?\d+(?:[.,'’\u00a0\u202f ]\d{3}(?!\d))*(?:[.,]\d+)?(?![\d])")
_PERCENT = re.compile(r"\s?(?:%|percent\b|per cent\b)", re.IGNORECASE)
_SCALE = re.compile(r"\s?(thousand|million|billion|trillion|mn|bn|tn|[kmb])\b", re.IGNORECASE)
_SCALES = {"k": 1e3, "thousand": 1e3, "m": 1e6, "mn": 1e6, "million": 1e6, "b": 1e9, "bn": 1e9} | {
    "billion": 1e9,
    "tn": 1e12,
    "trillion": 1e12,
}
_UNITS_OF_TABLES = (1e3, 1e6, 1e9)


@dataclass(frozen=True, slots=True)
class Claim:
    """A citation as a reader wrote it: `document` and `page` in its own words, "" where it gave none."""

    document: str
    page: str
    quote: str


@dataclass(frozen=True, slots=True)
class Checked:
    """`citations` to pages of the context, `refused` the claims that name none of them."""

    citations: tuple[Citation, ...]
    refused: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class NumberFound:
    """A number of the answer, and the page of the evidence that has it; None where no page's text does."""

    text: str
    document: str | None
    page_number: int | None


def check_claims(claims: Sequence[Claim], context: Context) -> Checked:
    """Each claim as a citation of a page of `context`, verified and boxed where its quote stands on that page.

    A quote that stands on another page of the context is cited from there. A claim that names no page of the context, and whose
    quote stands on none, is refused. The same place cited twice is cited once.
    """
    citations: list[Citation] = []
    refused: list[Claim] = []
    for claim in claims:
        citation = _check(claim, context.evidence)
        if citation is None:
            refused.append(claim)
        elif citation not in citations:
            citations.append(citation)
    return Checked(tuple(citations), tuple(refused))


def check_numbers(answer: str, evidence: Sequence[Evidence]) -> tuple[NumberFound, ...]:
    """Where each number of `answer` stands in the text of `evidence`, in whatever form.

    1,234 is 1234; (12) is 12; 12 % is 0.12; 5.2 million is 5,200,000, and 5.2 or 5,200 in a table that counts in millions or
    thousands. Its sign is not compared: tables write it in many ways.
    """
    wanted = [(text, values | _in_units(values)) for text, values in numbers_in(answer)]
    if not wanted:
        return ()
    pages = [(item, _all_values(item.content.text)) for item in evidence]
    return tuple(_find_number(text, values, pages) for text, values in wanted)


def numbers_in(text: str) -> Iterable[tuple[str, frozenset[float]]]:
    """Each number of a text as it is written, with all the values that it may stand for."""
    for match in _NUMBER.finditer(text):
        after = text[match.end() :]
        scale = _SCALE.match(after)
        percent = _PERCENT.match(after)
        unit = scale or percent
        written = match.group() + (unit.group() if unit else "")
        yield written, frozenset(_values(match.group(), scale.group(1) if scale else "", percent is not None))


def _check(claim: Claim, evidence: Sequence[Evidence]) -> Citation | None:
    quote = claim.quote[:QUOTE_CHARACTERS].strip()
    named = _named_pages(claim, evidence)
    for item in [*named, *(item for item in evidence if item not in named)]:
        if (found := _locate(item, quote)) is not None:
            page = item.content.page
            return Citation(item.name, page.page_number, page.page_label, quote, found.box, True)
    if not named:
        return None
    page = named[0].content.page
    return Citation(named[0].name, page.page_number, page.page_label, quote, None, False)


def _named_pages(claim: Claim, evidence: Sequence[Evidence]) -> list[Evidence]:
    """The pages that the claim may mean: by number first, then by what is printed on them."""
    documents = [item for item in evidence if _same_name(claim.document, item.name)] if claim.document else []
    if not documents:
        alone = len({item.content.page.document.sha256 for item in evidence}) == 1
        documents = list(evidence) if alone or not claim.document else []
    digits = _PAGE_NUMBER.search(claim.page)
    by_number = [item for item in documents if digits and item.content.page.page_number == int(digits.group()[:9])]
    printed = claim.page.strip().casefold()
    by_label = [
        item
        for item in documents
        if printed
        and printed in ((item.content.page.page_label or "").casefold(), (item.content.printed_number or "").casefold())
    ]
    return [*by_number, *(item for item in by_label if item not in by_number)]


def _same_name(said: str, name: str) -> bool:
    """The whole name, or its last part, however it is cased and spaced."""
    said, name = (" ".join(text.casefold().replace("\\", "/").split()) for text in (said, name))
    return said == name or said.rsplit("/", 1)[-1] == name.rsplit("/", 1)[-1]


def _locate(item: Evidence, quote: str) -> Located | None:
    """Where the quote stands; one that leaves words out ("...") where all of its pieces do, in their order."""
    pieces = [piece for piece in _ELLIPSIS.split(quote) if piece]
    if not pieces or not all(_TELLING.search(piece) for piece in pieces):
        return None
    places = [locate_quote(item.content, piece) for piece in pieces]
    found = [place for place in places if place is not None]
    if len(found) < len(places) or any(after.start < before.start for before, after in pairwise(found)):
        return None
    start, end = found[0].start, max(place.end for place in found)
    return Located(start, end, words_box(item.content, start, end))


def _find_number(text: str, values: frozenset[float], pages: Sequence[tuple[Evidence, frozenset[float]]]) -> NumberFound:
    for item, there in pages:
        if values & there:
            return NumberFound(text, item.name, item.content.page.page_number)
    return NumberFound(text, None, None)


def _all_values(text: str) -> frozenset[float]:
    """What the numbers of a page may stand for. "12 345" may be one number, or two cells of a table."""
    found = list(numbers_in(text))
    cells = (cell for written, _ in found for cell in written.split()[:-1] + written.split()[1:])
    apart = (value for cell in cells for _, values in numbers_in(cell) for value in values)
    return frozenset(value for _, values in found for value in values).union(apart)


def _in_units(values: frozenset[float]) -> frozenset[float]:
    """Large numbers as a table writes them that counts in thousands or millions: what is left has four digits or more."""
    return frozenset(round(value / unit, 6) for value in values for unit in _UNITS_OF_TABLES if value / unit >= 1e3)


def _values(digits: str, scale: str, percent: bool) -> Iterable[float]:
    for value in _readings(digits.lstrip("-−+")):
        if percent:
            yield from (value, round(value / 100, 12))
        elif scale:
            scaled = value * _SCALES[scale.lower()]
            yield from (round(scaled, 6), *(round(scaled / unit, 6) for unit in _UNITS_OF_TABLES))
        else:
            yield value


def _readings(digits: str) -> Iterable[float]:
    """A number as its writer may have meant it: a comma or a point before three digits may be of thousands or of decimals."""
    compact = re.sub(r"['’\s]", "", digits)
    points, commas = compact.count("."), compact.count(",")
    grouped = re.fullmatch(r"[1-9]\d{0,2}(?:([.,])\d{3})(?:\1\d{3})*", compact)
    if grouped:
        yield float(re.sub(r"[.,]", "", compact))
    if points + commas == 1:
        yield float(compact.replace(",", "."))
    elif points and commas:
        last = max(compact.rfind("."), compact.rfind(","))
        yield float(re.sub(r"[.,]", "", compact[:last]) + "." + compact[last + 1 :])
    elif not grouped and re.fullmatch(r"\d+", compact):
        yield float(compact)
