"""A page as the offline reader sees it: words, their stems, sentences and rows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from docrag.pipelines.extract.rows import Row, page_rows
from docrag.pipelines.extract.terms import terms, word_terms
from docrag.types import Evidence, PageContent

BULLET = re.compile(r"[•▪■●○◦‣⁃∙·*➢➤►✓✔–—-]|\(?(?:\d{1,2}|[a-zA-Z]|[ivx]+)[.)]")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_MARGIN = 0.08  # of a page's height, at its top and bottom
_END = re.compile(r"[.!?…][\"'”’)\]]*$|[。！？]$")
_ABBREVIATED = re.compile(
    r"\W*(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|No|Nos|Inc|Ltd|Co|Corp|vs|e\.g|i\.e|cf|al|Fig|Figs|Eq|Sec|approx|St|U\.S)\."
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """Words `start` to `end` (exclusive) of the page, in the region `region` (its number), under `heading`."""

    start: int
    end: int
    region: int
    heading: str


@dataclass(frozen=True, slots=True, eq=False)
class PageView:
    """One evidence page, taken apart. `word_terms` has the stems of each word, `spoken` all stems of page and document name,
    `titles` those of the title at its top, `named` those of the document's name;
    `years` are those that stand in its margins or in the document's name: what is undated on the page is of such a year."""

    evidence: Evidence
    words: tuple[str, ...]
    word_terms: tuple[tuple[str, ...], ...]
    sentences: tuple[Sentence, ...]
    rows: tuple[Row, ...]
    spoken: frozenset[str]
    titles: frozenset[str]
    named: frozenset[str]
    years: frozenset[str]

    def text(self, start: int, end: int) -> str:
        return " ".join(self.words[start:end])

    def terms(self, start: int, end: int) -> frozenset[str]:
        return frozenset(term for stems in self.word_terms[start:end] for term in stems)


def view_page(evidence: Evidence) -> PageView:
    """Take a page apart; one without text has no sentences and no rows."""
    content = evidence.content
    words = tuple(content.text.split())
    stems = tuple(word_terms(word) for word in words)
    name = frozenset(terms(re.sub(r"[_\W]+", " ", f"{evidence.name.rsplit('/', 1)[-1]} {content.page.document.title}")))
    first = min((region for region in content.passages if region.kind == "title"), key=lambda title: title.box[1], default=None)
    return PageView(
        evidence=evidence,
        words=words,
        word_terms=stems,
        sentences=tuple(_sentences(content, words)),
        rows=tuple(page_rows(content)),
        spoken=frozenset(term for each in stems for term in each) | name,
        titles=frozenset(term for each in stems[first.start : first.end] for term in each) if first else frozenset(),
        named=name,
        years=_years(content, words),
    )


def _years(content: PageContent, words: tuple[str, ...]) -> frozenset[str]:
    edge = _MARGIN * content.height_pt
    boxes = content.word_boxes
    outside = (boxes[:, 3] < edge) | (boxes[:, 1] > content.height_pt - edge)
    margin = " ".join(words[number] for number in np.flatnonzero(outside))
    return frozenset(_YEAR.findall(f"{margin} {content.page.document.title}"))


def _sentences(content: PageContent, words: tuple[str, ...]) -> Iterator[Sentence]:
    line_starts = _line_starts(content)
    for number, (first, last, heading) in enumerate(_regions(content, len(words))):
        start = first
        bullets = any(BULLET.fullmatch(words[at]) for at in range(first, last) if at in line_starts)
        for at in range(first + 1, last + 1):
            if at < last and at - 1 in line_starts and BULLET.fullmatch(words[at - 1]):
                continue  # "1." numbers what follows it
            if at == last or _breaks(content, words, at, at in line_starts, (first, last), bullets):
                yield Sentence(start, at, number, heading)
                start = at


def _regions(content: PageContent, n_words: int) -> list[tuple[int, int, str]]:
    if content.passages:
        return [(region.start, region.end, region.heading) for region in content.passages]
    return [(0, n_words, "")] if n_words else []


def _line_starts(content: PageContent) -> frozenset[int]:
    starts: list[int] = []
    number = 0
    for line in content.text.split("\n"):
        starts.append(number)
        number += len(line.split())
    return frozenset(starts)


def _breaks(
    content: PageContent, words: tuple[str, ...], at: int, new_line: bool, region: tuple[int, int], bullets: bool
) -> bool:
    """Whether a sentence ends before word `at`; among bullets, a line without one goes on with the point above."""
    before, after = words[at - 1], words[at]
    if _END.search(before) and not _ABBREVIATED.fullmatch(before):
        return not after[0].islower()
    if not new_line:
        return False
    if BULLET.fullmatch(after):
        return True
    return not bullets and (after[0].isupper() or after[0].isdigit()) and _ends_short(content.word_boxes, at, region)


def _ends_short(boxes: np.ndarray, at: int, region: tuple[int, int]) -> bool:
    """Whether the line before word `at` stops well before the right edge of its region: that is no running text."""
    x0 = float(boxes[region[0] : region[1], 0].min())
    x1 = float(boxes[region[0] : region[1], 2].max())
    room = x1 - float(boxes[at - 1, 2])
    return room > 0.2 * (x1 - x0)
