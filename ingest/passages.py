"""Words -> passages: what is embedded. They follow the page's paragraphs, fit the encoder's window and hold every word once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from docrag.index.encoders import WINDOW_TOKENS, load_tokenizer
from docrag.ingest.labels import caption_of
from docrag.ingest.rows import Row
from docrag.ingest.words import Word, union
from docrag.types import Box, Region, RegionKind

TARGET_TOKENS = 128  # 64 to 256 find the same within noise; shorter ones are quicker to encode, for attention grows with length
MAX_TOKENS = WINDOW_TOKENS  # its two special tokens included
MAX_HEADING_TOKENS = 24
MAX_BODY_TOKENS = MAX_TOKENS - MAX_HEADING_TOKENS - 4
MIN_TOKENS = 48  # a title or caption starts a passage anew only where the one before it has as many
_TITLE_SIZE = 1.2  # of the page's most common font size
_TITLE_WORDS, _TITLE_ROWS = 20, 3
_SENTENCE_END = re.compile(r".*[.!?:;。！？][\"'”’)\]]*")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A paragraph, or a part of a long one: the words `start` to `end` of the page."""

    start: int
    end: int
    kind: RegionKind
    box: Box
    tokens: int


def make_passages(rows: Sequence[Row]) -> tuple[Region, ...]:
    """Passages of about `TARGET_TOKENS` and at most `MAX_BODY_TOKENS` tokens, in reading order.

    Neighbours go together until they are that long. A title or caption begins a passage, with what follows it; passages
    further down carry the title (cut to `MAX_HEADING_TOKENS`), or the caption of their table, as `heading`. A passage is of the
    kind that most of it is.
    """
    found: list[Region] = []
    title = caption = ""
    words = [word for row in rows for word in row.words]
    for group in _groups(list(_pieces(rows, words))):
        kind = _main_kind(group)
        heading = (caption if kind == "table" else "") or title
        for piece in group:
            text = _heading(words[piece.start : piece.end])
            if piece.kind == "title":
                title, caption = text, ""
            elif piece.kind == "caption":
                caption = text
        begins = group[0].kind in ("title", "caption")
        found.append(
            Region(group[0].start, group[-1].end, kind, union(piece.box for piece in group), "" if begins else heading)
        )
    return tuple(found)


def _main_kind(group: Sequence[_Piece]) -> RegionKind:
    tokens: dict[RegionKind, int] = {}
    for piece in group:
        tokens[piece.kind] = tokens.get(piece.kind, 0) + piece.tokens
    return max(tokens, key=lambda kind: tokens[kind])


def _groups(pieces: Sequence[_Piece]) -> Iterator[list[_Piece]]:
    """Neighbouring pieces that become one passage."""
    group: list[_Piece] = []
    tokens = 0
    for piece in pieces:
        begins = piece.kind in ("title", "caption") and tokens >= MIN_TOKENS
        if group and (begins or tokens + piece.tokens > TARGET_TOKENS):
            yield group
            group, tokens = [], 0
        group.append(piece)
        tokens += piece.tokens
    if group:
        yield group


def _pieces(all_rows: Sequence[Row], words: Sequence[Word]) -> Iterator[_Piece]:
    body = _body_size(words)
    mostly_bold = 2 * sum(word.bold for word in words) > len(words)
    start = 0
    for _, group in groupby(all_rows, key=lambda row: row.words[0].block):
        rows = list(group)
        kind = _kind(rows, body, mostly_bold)
        paragraph = [word for row in rows for word in row.words]
        for part in _parts(paragraph, at_rows=kind == "table"):
            tokens = sum([count_tokens(word.text) for word in part])
            box = union([word.box for word in part])
            yield _Piece(start, start + len(part), kind, box, tokens)
            start += len(part)


def _body_size(words: Sequence[Word]) -> float:
    """The font size that half of the page's letters do not exceed; to OCR, numbers in a table reach up to its lines."""
    sizes = sorted((word.size, sum(map(str.isalpha, word.text))) for word in words)
    half = sum(letters for _, letters in sizes) / 2
    for size, letters in sizes:
        half -= letters
        if half <= 0:
            return size
    return 0.0


def _kind(rows: Sequence[Row], body_size: float, mostly_bold: bool) -> RegionKind:
    first = rows[0]
    if caption_of(first):
        return "caption"
    cells = [row.cell_count() for row in rows]
    if (len(rows) > 1 and 2 * sum(count > 1 for count in cells) > len(rows)) or cells[0] > 2:
        return "table"
    words = sum(len(row.words) for row in rows)
    stands_out = first.size >= _TITLE_SIZE * body_size or (first.bold and not mostly_bold)
    short = words <= _TITLE_WORDS and len(rows) <= _TITLE_ROWS and max(cells) == 1
    if stands_out and short and not rows[-1].text.endswith((".", ",", ";")) and any(c.isalpha() for c in first.text):
        return "title"
    return "text"


def _parts(words: Sequence[Word], at_rows: bool) -> Iterator[Sequence[Word]]:
    """`words` whole where they fit, else in about equal parts, cut at the ends of sentences or rows."""
    counts = [count_tokens(word.text) for word in words]
    total = sum(counts)
    if total <= MAX_BODY_TOKENS:
        yield words
        return
    aim = total / -(-total // TARGET_TOKENS)
    start, tokens, cut = 0, 0, 0
    for index, count in enumerate(counts):
        if tokens + count > min(1.25 * aim, MAX_BODY_TOKENS):
            cut = cut if cut > start else index
            yield words[start:cut]
            start, tokens = cut, sum(counts[cut:index])
        tokens += count
        if tokens >= 0.6 * aim and _may_cut_after(words, index, at_rows):
            cut = index + 1
            if tokens >= aim:
                yield words[start:cut]
                start, tokens = cut, 0
    if start < len(words):
        yield words[start:]


def _may_cut_after(words: Sequence[Word], index: int, at_rows: bool) -> bool:
    ends_row = index + 1 < len(words) and words[index].line != words[index + 1].line
    return ends_row if at_rows else _SENTENCE_END.fullmatch(words[index].text) is not None


def _heading(words: Sequence[Word]) -> str:
    kept: list[str] = []
    tokens = 0
    for word in words:
        tokens += count_tokens(word.text)
        if tokens > MAX_HEADING_TOKENS:
            break
        kept.append(word.text)
    return " ".join(kept)


@lru_cache(maxsize=200_000)
def count_tokens(word: str) -> int:
    """How many tokens MiniLM makes of one word; a text has the sum of its words' (white space makes none)."""
    return len(load_tokenizer().encode(word, add_special_tokens=False).ids)
