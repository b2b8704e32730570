"""The words of a page with their boxes: the form that the layer and OCR both come in, and passages and text are made of."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby
from string import ascii_lowercase
from typing import NamedTuple

from docrag.types import Box

MAX_WORD_CHARACTERS = 100  # MiniLM makes one unknown token of a longer run of letters
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff]"
)
_PIECE = re.compile(rf"\S{{1,{MAX_WORD_CHARACTERS}}}")
_LEADER = re.compile(r"([^\w\s])\1{3,}")  # the dots from a title to its page in a table of contents
_SOFT_HYPHEN = "\u00ad"
_HYPHENS = "-\u2010\u00ad"
_AROUND = ".,;:!?()[]\"'“”‘’"
# A word at the end of a line whose second half follows on the next: "infor-" "mation".
_FIRST_HALF = re.compile(r"[^\W\d_]{2}[-\u2010\u00ad]$")


class Word(NamedTuple):
    """One word without white space. `block` and `line` count from 0 on the page; `size` is the font's, in points."""

    text: str
    box: Box
    block: int
    line: int
    size: float
    bold: bool


def clean(text: str) -> str:
    """`text` without what can't be seen or stored (control characters, zero width, lone surrogates); soft hyphens stay."""
    return _INVISIBLE.sub("", text)


def split_word(word: Word) -> list[Word]:
    """`word` cleaned and cut at any white space left in it (no-break and other wide blanks), its box shared out by length.

    Leaders of many dots are cut to three; a word of more than `MAX_WORD_CHARACTERS` is cut into words of that length.
    """
    text = word.text
    if text.isalnum() and len(text) <= MAX_WORD_CHARACTERS:
        return [word]
    text = _LEADER.sub(r"\1\1\1", clean(text))
    pieces = text.split()
    if len(pieces) == 1 and len(pieces[0]) == len(text) <= MAX_WORD_CHARACTERS:
        return [word if text == word.text else word._replace(text=text)]
    x0, y0, x1, y1 = word.box
    step = (x1 - x0) / max(len(text), 1)
    found: list[Word] = []
    for match in _PIECE.finditer(text):
        box = (x0 + match.start() * step, y0, x0 + match.end() * step, y1)
        found.append(word._replace(text=match.group(), box=box))
    return found


def join_hyphenated(words: Sequence[Word]) -> list[Word]:
    """Put words together that were broken at the end of a line; the whole word stands in the box of its first half.

    "infor-" "mation" becomes "information" where the second half starts in lower case on the next line of the same paragraph.
    It keeps its hyphen where the page has it elsewhere with one. A soft hyphen that broke nothing goes away.
    """
    known = {word.text.lower().strip(_AROUND) for word in words if "-" in word.text}
    found: list[Word] = []
    for word in words:
        last = found[-1] if found else None
        if last is not None and last.block == word.block and last.line + 1 == word.line and _continues(last.text, word.text):
            kept = last.text if (last.text + word.text).lower().strip(_AROUND) in known else last.text[:-1]
            found[-1] = last._replace(text=kept + word.text)
        else:
            found.append(word)
    texts = [word.text.replace(_SOFT_HYPHEN, "") for word in found]
    return [word if text == word.text else word._replace(text=text) for word, text in zip(found, texts, strict=True) if text]


def _continues(first: str, second: str) -> bool:
    return first[-1] in _HYPHENS and second[0].islower() and _FIRST_HALF.search(first) is not None


def page_text(words: Iterable[Word]) -> str:
    """Words in their order: a blank between words, a line break between lines, an empty line between blocks."""
    blocks: list[str] = []
    for _, block in groupby(words, key=lambda word: word.block):
        lines = [" ".join(word.text for word in line) for _, line in groupby(block, key=lambda word: word.line)]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def union(boxes: Iterable[Box]) -> Box:
    """The smallest box around `boxes` (at least one)."""
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))


_MOJIBAKE = re.compile("[\u00c3\u00c2][\u0080-\u00bf]|\u00e2\u20ac.|\\(cid:\\d+\\)")
_VOWELS = "aeiouy"
MAX_BAD_SHARE = 0.25
MIN_LETTERS, MIN_VOWEL_SHARE = 100, 0.2  # of Latin letters; real text has 0.3 or more, in any language; shifted text 0.15


def is_garbage(text: str) -> bool:
    """Whether a text layer says something else than the page shows: undecoded glyphs, mojibake, shifted letters."""
    seen = "".join(text.split())
    if not seen:
        return False
    bad = sum(map(len, _MOJIBAKE.findall(seen))) + sum(n for character, n in Counter(seen).items() if _is_undecoded(character))
    if bad > MAX_BAD_SHARE * len(seen):
        return True
    found = Counter(unicodedata.normalize("NFKD", seen.lower()))
    latin = sum(found[letter] for letter in ascii_lowercase)
    return latin >= MIN_LETTERS and sum(found[vowel] for vowel in _VOWELS) < MIN_VOWEL_SHARE * latin


def _is_undecoded(character: str) -> bool:
    return character == "\ufffd" or (character > "\u007f" and unicodedata.category(character) in ("Co", "Cn"))
