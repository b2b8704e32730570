"""The `bm25` lane: a page's words and pairs of neighbouring words as a sparse vector (Robertson and Zaragoza, 2009).

Qdrant's own `Bm25` folds, stems and numbers the words and leaves out English stop words. A pair of words that are left is a
term of its own, so that a page with a phrase of the question beats one with its words apart; Qdrant's model has no pairs, which
is why the weights are made here. The inverse document frequency comes in at search time (the lane's IDF modifier).
"""

from __future__ import annotations

import functools
import itertools
import re
import unicodedata
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from docrag.types import PageContent, SparseVector

if TYPE_CHECKING:
    from qdrant_edge import Bm25

# Saturation and length normalisation are the usual ones. A mean page of reports, papers, manuals and slide decks has about 440
# terms, half of them pairs; BM25 takes that figure from the collection, but a vector must not change with what else is in the
# index, so it is fixed. All three are flat: half or double retrieves the same within noise.
K1 = 1.2
B = 0.75
AVERAGE_TERMS = 440.0

# With these a question speaks of its document or of its answer, and not of the matter.
_FRAME_WORDS = ("according", "answer", "document", "many", "mention", "page", "paper", "report", "slide")
_WORD = re.compile(r"[^\W_]+")
# Scripts written without blanks (Thai to Khmer, kana, Han, Hangul) are cut into their characters; the pairs make words of them.
_UNSPACED = re.compile(
    r"([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])"
)


def page_terms(content: PageContent, title: str = "") -> list[int]:
    """What of a page is searched by word: the document's title, its labels, its text with captions and tables, headings twice.

    `title` tells pages of different documents apart, never those of one. A term is a number below 2**32.
    """
    labels = (content.page.page_label, content.printed_number)
    headings = (content.passage_text(region) if region.kind == "title" else region.heading for region in content.passages)
    parts = (*dict.fromkeys((title, *filter(None, labels), *headings)), content.text)
    return [term for part in parts for term in _with_pairs(_word_terms(part))]


def encode_page(content: PageContent, title: str = "") -> SparseVector | None:
    """The sparse vector of a page, or None where it holds no term."""
    counts = Counter(page_terms(content, title))
    length = K1 * (1 - B + B * counts.total() / AVERAGE_TERMS)
    return _sparse({term: count * (K1 + 1) / (count + length) for term, count in counts.items()})


def encode_question(question: str) -> SparseVector | None:
    """The sparse vector of a question (each term once, with weight 1), or None where it holds only stop words."""
    terms = _word_terms(question)
    frame = {term for word in _FRAME_WORDS for term in _term_numbers(word)}
    terms = [term for term in terms if term not in frame] or terms
    return _sparse(dict.fromkeys(_with_pairs(terms), 1.0))


def _sparse(weights: dict[int, float]) -> SparseVector | None:
    terms = sorted(weights)
    return SparseVector(tuple(terms), tuple(weights[term] for term in terms)) if terms else None


def _word_terms(text: str) -> list[int]:
    """The terms of a text's words in order; a stop word has none."""
    return [term for word in _WORD.findall(_plain(text)) for term in _term_numbers(word)]


def _with_pairs(terms: Sequence[int]) -> list[int]:
    pairs = (zlib.crc32(b"%d %d" % pair) for pair in itertools.pairwise(terms))
    return [*terms, *pairs]


def _plain(text: str) -> str:
    """`text` in lower case, ligatures and wide forms resolved, characters of unspaced scripts set apart."""
    if text.isascii():
        return text.lower()
    return _UNSPACED.sub(r" \1 ", unicodedata.normalize("NFKC", text).lower())


@functools.lru_cache(maxsize=1 << 16)
def _term_numbers(word: str) -> tuple[int, ...]:
    return tuple(_model().embed_query(word).indices)


@functools.cache
def _model() -> Bm25:
    from qdrant_edge import Bm25, Bm25Config

    return Bm25(Bm25Config(language="english", ascii_folding=True))
