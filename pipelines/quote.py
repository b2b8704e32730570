"""The reader that needs no model: it quotes what the pages say, or says that they don't.

It looks for one place (a cell of a table, a labelled value, a sentence) that speaks of everything the question names, and
takes the kind of value that the question asks for from there. It can't combine pages, compare, calculate or look at
pictures; where a question needs that, or a constraint of it (a year, a name, a number) is met nowhere, it abstains.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from docrag.pipelines.extract.candidates import Candidate, weigh_terms
from docrag.pipelines.extract.cells import cell_candidates
from docrag.pipelines.extract.front import title_candidates
from docrag.pipelines.extract.lists import list_candidates
from docrag.pipelines.extract.page_view import PageView, view_page
from docrag.pipelines.extract.pairs import pair_candidates
from docrag.pipelines.extract.sentences import sentence_candidates
from docrag.pipelines.locate import words_box
from docrag.pipelines.protocols import OnText
from docrag.pipelines.question_type import Asked, analyse
from docrag.types import NOT_ANSWERABLE, Citation, Context, Evidence, Reading

THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class QuoteReader:
    """An extractive reader. How alike question and quote are by embedding was tried, and told nothing that the terms don't."""

    rule: None = None

    def read(
        self, question: str, context: Context, images: Sequence[bytes | None] = (), on_text: OnText | None = None
    ) -> Reading:
        """The reading of the context's pages; of `images` it sees nothing. `on_text` gets the answer at once."""
        reading = self._read(question, context)
        if on_text is not None:
            on_text(reading.answer)
        return reading

    def _read(self, question: str, context: Context) -> Reading:
        asked = analyse(question)
        if asked.refusal:
            return _abstain(asked, asked.refusal)
        if not asked.terms:
            return _abstain(asked, "the question names nothing to look for")
        views = [view_page(item) for item in _pages_meant(context)]
        if not any(view.words for view in views):
            return _abstain(asked, "there is no text on these pages")
        found = find_candidates(asked, views)
        if not found:
            return _abstain(asked, "nothing of the kind stands near the question's words")
        best = found[0]
        confidence = trust(best, found)
        if best.support.broken:
            return _abstain(asked, best.support.broken, best)
        if confidence < THRESHOLD:
            return _abstain(asked, "the support is weak", best, confidence)
        return Reading("answered", best.answer, confidence, (_citation(best),), trace=_trace(asked, best, ""))


def _pages_meant(context: Context) -> Sequence[Evidence]:
    """The pages that the question names, where it names some; else all."""
    named = [item for item in context.evidence if item.reason == "referenced"]
    return named or context.evidence


def find_candidates(asked: Asked, views: Sequence[PageView]) -> list[Candidate]:
    """All candidates of these pages, the best first; those that meet every constraint before those that don't."""
    weights = weigh_terms(views, asked)
    found = [
        candidate
        for view in views
        for source in (cell_candidates, pair_candidates, sentence_candidates, list_candidates, title_candidates)
        for candidate in source(asked, weights, view)
        if candidate.answer
    ]
    return sorted(found, key=lambda candidate: (bool(candidate.support.broken), -candidate.score))


def trust(best: Candidate, found: Sequence[Candidate]) -> float:
    """Confidence in the best candidate, from 0 to 1: a logistic model of what was met, how plainly, and how far ahead it is.

    The weights were fitted to 150 first candidates (benchmark questions on the right pages, on pages of other documents and
    with the evidence taken away, and invented reports), checked with whole documents held out, and rounded: see LOG.md.
    """
    rivals = [other.score for other in found if other.answer != best.answer and not other.support.broken]
    margin = min(best.score - max(rivals, default=0.0), 0.5)
    met = best.support
    logit = -8.5 + 6 * met.coverage + 3 * met.local + 3 * best.fit - 4 * met.absent + margin
    return 1 / (1 + math.exp(-logit))


def _abstain(asked: Asked, why: str, best: Candidate | None = None, confidence: float = 0.0) -> Reading:
    return Reading("not_answerable", NOT_ANSWERABLE, 1 - confidence, trace=_trace(asked, best, why))


def _trace(asked: Asked, best: Candidate | None, why: str) -> dict[str, Any]:
    trace: dict[str, Any] = {"kind": asked.kind, "terms": list(asked.terms), "abstained": why, "combines_pages": False}
    if best is not None:
        page = best.view.evidence.content.page
        trace |= {
            "best": best.answer,
            "page_number": page.page_number,
            "how": best.how,
            "coverage": round(best.support.coverage, 3),
            "fit": round(best.fit, 3),
        }
    return trace


def _citation(best: Candidate) -> Citation:
    item = best.view.evidence
    words = _run(best.words) or _run(best.value) or (best.value[0], best.value[0] + 1)
    quote = best.view.text(*words)
    box = words_box(item.content, *words)
    page = item.content.page
    return Citation(item.name, page.page_number, page.page_label, quote, box, True)


def _run(words: Sequence[int]) -> tuple[int, int] | None:
    """Word numbers as (first, last + 1) where they follow on one another in the page's text, else None."""
    first, last = min(words), max(words)
    return (first, last + 1) if last - first + 1 == len(words) else None
