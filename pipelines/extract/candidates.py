"""What an answer may be taken from: a candidate, and how well its surroundings speak of what the question names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from docrag.pipelines.extract.page_view import PageView
from docrag.pipelines.extract.terms import STOP_TERMS
from docrag.pipelines.question_type import Asked

How = Literal["cell", "pair", "sentence", "list"]
_YEAR = re.compile(r"(?:19|20)\d\d")
_NEAR = 0.7  # what a term counts that stands in the heading or next sentence, not in the sentence or row itself
_ON_PAGE = 0.3
_VAGUE = 0.25


@dataclass(frozen=True, slots=True)
class Support:
    """Where each of the question's terms is met. `coverage`: their share by IDF, with less for what stands further off.

    `local` is the share met in the sentence or the cell's own labels; `absent` the share met nowhere on the page;
    `broken` names a constraint that is not met, "" where all are.
    """

    coverage: float
    local: float
    absent: float
    broken: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """An answer with the words of the page (`words`, their numbers) that say it, and how good a find it is.

    `value` are those of `words` that are the answer itself, or hold it. `fit`, from 0 to 1, says how plainly the answer hangs
    together with the words that were matched.
    """

    answer: str
    view: PageView
    words: tuple[int, ...]
    value: tuple[int, ...]
    how: How
    support: Support
    fit: float

    @property
    def score(self) -> float:
        return self.support.coverage * self.fit


def weigh_terms(views: Sequence[PageView], asked: Asked) -> dict[str, float]:
    """The IDF of each term over all sentences of the context; what occurs nowhere weighs most."""
    spoken = [view.terms(sentence.start, sentence.end) for view in views for sentence in view.sentences]
    return {
        term: math.log((len(spoken) + 2) / (sum(term in each for each in spoken) + 1)) * (_VAGUE if term in asked.vague else 1)
        for term in asked.terms
    }


def support(asked: Asked, weights: Mapping[str, float], local: frozenset[str], near: frozenset[str], view: PageView) -> Support:
    """How the terms of a question are met by those in the evidence itself, near it, and elsewhere on its page."""
    total = sum(weights[term] for term in asked.terms) or 1.0
    met = within = absent = 0.0
    for term in asked.terms:
        weight = weights[term] / total
        if term in local:
            met += weight
            within += weight
        elif term in near or term in view.titles or term in view.named or term in view.years:
            met += _NEAR * weight
        elif term in view.spoken:
            met += _ON_PAGE * weight
        elif term not in asked.vague:
            absent += weight
    return Support(met, within, absent, _broken(asked, local, near, view))


def _broken(asked: Asked, local: frozenset[str], near: frozenset[str], view: PageView) -> str:
    """The first of the question's constraints that this evidence does not meet."""
    years = {term for term in local if _YEAR.fullmatch(term)}
    other_years = bool(years) and years.isdisjoint(asked.exact)
    for term in asked.exact:
        undated = not other_years and term in view.years
        if term not in local and term not in near and term not in view.titles and not undated:
            return f"{term} is not said of it"
        if other_years and term not in local and _YEAR.fullmatch(term):
            return f"it is of another year than {term}"
    for term in asked.stated:
        if term not in local:
            return f"it does not say '{term}'"
    for term in asked.names:
        if term not in view.spoken:
            return f"{term} is not on the page"
    return ""


def terms_of(view: PageView, words: Iterable[int]) -> frozenset[str]:
    """The stems of some words of a page, given by their numbers."""
    return frozenset(term for word in words for term in view.word_terms[word])


def label_fit(asked: Asked, label: frozenset[str]) -> float:
    """How much of a label the question asks for: 'Total revenue' answers for revenue, 'Cost of revenue' does not."""
    own = [term for term in label if term not in STOP_TERMS and not term.isdigit()]
    return sum(term in asked.terms for term in own) / len(own) if own else 0.0
