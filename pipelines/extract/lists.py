"""Answers that are lists: the points under a heading or after a colon, and enumerations inside a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby

from docrag.pipelines.extract.candidates import Candidate, label_fit, support, terms_of
from docrag.pipelines.extract.page_view import BULLET, PageView, Sentence
from docrag.pipelines.extract.terms import word_terms
from docrag.pipelines.question_type import Asked

_MOST_ITEMS = 15
_LONGEST_ITEM = 15  # words
_INTRODUCES = re.compile(
    r"(?::|\b(?:are|includ\w+|such\s+as|namely|consists?\s+of|comprises?|contains?))\s*:?\s+", re.IGNORECASE
)
_AND = re.compile(r"^\s*(?:and|or|as\s+well\s+as)\s+")
_AND_INSIDE = re.compile(r"\s+(?:and|or)\s+")


def list_candidates(asked: Asked, weights: Mapping[str, float], view: PageView) -> Iterator[Candidate]:
    """Candidates for a question that asks for several things; its answer is written as a list, "['a', 'b']"."""
    if asked.kind != "list":
        return
    yield from _under_headings(asked, weights, view)
    yield from _after_introductions(asked, weights, view)
    yield from _in_sentences(asked, weights, view)


def _under_headings(asked: Asked, weights: Mapping[str, float], view: PageView) -> Iterator[Candidate]:
    for heading, group in groupby(view.sentences, key=lambda sentence: sentence.heading):
        own = frozenset(term for word in heading.split() for term in word_terms(word))
        if own & frozenset(asked.terms):
            items = list(group)
            points = [item for item in items if BULLET.fullmatch(view.words[item.start])]
            yield from _candidate(asked, weights, view, own, points or items, 1.0)


def _after_introductions(asked: Asked, weights: Mapping[str, float], view: PageView) -> Iterator[Candidate]:
    for at, sentence in enumerate(view.sentences):
        if not view.words[sentence.end - 1].endswith(":"):
            continue
        items: list[Sentence] = []
        for item in view.sentences[at + 1 : at + 2 + _MOST_ITEMS]:
            if not BULLET.fullmatch(view.words[item.start]):
                break
            items.append(item)
        own = view.terms(sentence.start, sentence.end)
        yield from _candidate(asked, weights, view, own, items, 1.0)


def _candidate(
    asked: Asked, weights: Mapping[str, float], view: PageView, own: frozenset[str], items: list[Sentence], fit: float
) -> Iterator[Candidate]:
    texts = [_without_bullet(view, item) for item in items]
    if not 2 <= len(texts) <= _MOST_ITEMS or any(len(text.split()) > _LONGEST_ITEM for text in texts):
        return
    words = tuple(range(items[0].start, items[-1].end))
    met = support(asked, weights, own, terms_of(view, words), view)
    yield Candidate(write_list(texts), view, words, words, "list", met, fit * label_fit(asked, own))


def _without_bullet(view: PageView, item: Sentence) -> str:
    start = item.start + bool(BULLET.fullmatch(view.words[item.start]) and item.end - item.start > 1)
    return view.text(start, item.end).strip(" .;,•·▪")


def _in_sentences(asked: Asked, weights: Mapping[str, float], view: PageView) -> Iterator[Candidate]:
    for sentence in view.sentences:
        local = view.terms(sentence.start, sentence.end)
        if not local & frozenset(asked.terms):
            continue
        text = view.text(sentence.start, sentence.end)
        match = _INTRODUCES.search(text)
        items = _split(text[match.end() :]) if match else []
        if match and 2 <= len(items) <= _MOST_ITEMS and all(len(item.split()) <= 6 for item in items):
            before = frozenset(term for word in text[: match.start()].split() for term in word_terms(word))
            heading = frozenset(term for word in sentence.heading.split() for term in word_terms(word))
            met = support(asked, weights, before, heading, view)
            words = tuple(range(sentence.start, sentence.end))
            yield Candidate(write_list(items), view, words, words, "list", met, 0.8)


def _split(enumeration: str) -> list[str]:
    """The items of 'a, b and c'; where there are semicolons or a comma before the 'and', an 'and' inside an item stays."""
    mark = ";" if ";" in enumeration else ","
    items = enumeration.split(mark)
    last = items.pop()
    closing = _AND.match(last)
    items += [last[closing.end() :]] if closing else _AND_INSIDE.split(last)
    return [item for item in (_AND.sub("", item).strip(" .;,") for item in items) if item]


def write_list(items: list[str]) -> str:
    """Items as the benchmark writes a list: a literal, quotes and all."""
    return str(items)
