"""Find a quote on a page, whatever became of its line breaks, hyphens, case and blanks on the way."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from docrag.types import Box, Citation, Evidence, PageContent

# Scripts written without blanks between words: a quote may begin and end inside what the page calls a word.
_UNSPACED = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0xA4CF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF))


@dataclass(frozen=True, slots=True)
class Located:
    """Where a quote stands: words `start` to `end` (exclusive) of the page, and the box around them in points."""

    start: int
    end: int
    box: Box


def locate_quote(content: PageContent, quote: str) -> Located | None:
    """The first place of `quote` on the page, or None. Compared are letters, digits and decimal points, nothing else.

    It begins and ends where words do, except in scripts that don't set blanks.
    """
    wanted = _fold(quote)
    if not wanted:
        return None
    letters, owner = _page_letters(content)
    at = letters.find(wanted)
    while at >= 0:
        last = at + len(wanted)
        if _may_cut(letters, owner, at) and _may_cut(letters, owner, last):
            start, end = owner[at], owner[last - 1] + 1
            return Located(start, end, words_box(content, start, end))
        at = letters.find(wanted, at + 1)
    return None


def words_box(content: PageContent, start: int, end: int) -> Box:
    """The box around words `start` to `end` (exclusive) of a page."""
    boxes = content.word_boxes[start:end]
    x0, y0 = boxes[:, :2].min(axis=0)
    x1, y1 = boxes[:, 2:].max(axis=0)
    return (float(x0), float(y0), float(x1), float(y1))


def cite(evidence: Evidence, quote: str) -> Citation:
    """A citation of `quote` on that page: verified and boxed where it is found there, neither where not."""
    found = locate_quote(evidence.content, quote)
    page = evidence.content.page
    box = found.box if found else None
    return Citation(evidence.name, page.page_number, page.page_label, quote, box, found is not None)


def _fold(text: str) -> str:
    """Letters and digits in one case; a point only between two digits, so that 1.5 is not 15."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return "".join(
        c
        for at, c in enumerate(plain)
        if c.isalnum() or (c == "." and plain[at - 1 : at].isdigit() and plain[at + 1 : at + 2].isdigit())
    )


def _page_letters(content: PageContent) -> tuple[str, list[int]]:
    """The page as `_fold` sees it, and for each letter the word that it is from."""
    folded = [_fold(word) for word in content.text.split()]
    return "".join(folded), [number for number, word in enumerate(folded) for _ in word]


def _may_cut(letters: str, owner: list[int], at: int) -> bool:
    if at in (0, len(letters)) or owner[at - 1] != owner[at]:
        return True
    return _unspaced(letters[at - 1]) or _unspaced(letters[at])


def _unspaced(letter: str) -> bool:
    return any(low <= ord(letter) <= high for low, high in _UNSPACED)
