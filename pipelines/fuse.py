"""From what each lane says of the candidate pages to one ranked list: scaled, weighted, added. All of it is pure.

Lanes score on scales of their own (BM25 has no upper end, cosines crowd together), so each is scaled to 0..1 between its worst
and its best candidate before they are added. Ranks alone (reciprocal rank fusion) lose how clear the best page was.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from docrag.errors import UsageError
from docrag.types import LaneScore

# What a question says of the form of its answer is not what to look for: a sentence after the question mark ("? Round to two
# decimals"), or one after an order that speaks of the answer itself (". Write the answer in int format").
_FORM_VERBS = (
    r"(?:(?:and|directly|please)\s+)*"
    r"(?:answer|enumerate|express|format|give|here|list|note|output|present|provide|return|round|save|the|write|your)\b"
)
MAX_FORM_CHARS = 4_000  # a longer question is a pasted text, and is left as it is
_FORM_WORDS = (
    r"answer|ascending|billions?|count|decimals?|descending|directly|float|format\w*|int|integers?|lists?|millions?|nearest|order"
    r"|percents?|percentage|round\w*|string|units?|yes"
)
_FORM_SENTENCE = re.compile(
    rf"(?<=[?])[\s\"'”’)]*(?={_FORM_VERBS})[^?]*?\b(?:{_FORM_WORDS})\b[^?]*$"
    rf"|(?<=[.\n])\s*(?={_FORM_VERBS})[^?.]*\b(?:answer|output)\b[^?]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """How much each lane counts, and a page that the question names ("page 5"). A lane that is not named here counts 1."""

    lanes: Mapping[str, float]
    reference: float


# Measured inside the document on 47 real ones (LOG.md): flat from 0.25 to 1.0 for passages and from 1.0 up for statements. A
# reference counts as much as bm25 and passages together, for "page 5" is right more often than they are: 1.0 is worse.
# `visual` is a guess that no trained model has been measured with yet: as much as the better of the text lanes.
FUSION = FusionWeights(lanes={"bm25": 1.0, "passages": 0.5, "statements": 1.0, "visual": 1.0}, reference=1.5)
REFERENCE = "reference"  # the part of a score that comes from the question's naming the page


@dataclass(frozen=True, slots=True)
class FusedPage:
    """One candidate: its point id, its score from 0 to 1, and where each lane that knows it puts it (ranks from 1).

    `parts` is what each lane adds to the score, and what "reference" adds where the question names the page.
    """

    id: str
    score: float
    lanes: Mapping[str, LaneScore]
    parts: Mapping[str, float]

    @property
    def shares(self) -> dict[str, float]:
        """The parts as fractions of the score; nothing where that is 0."""
        total = sum(self.parts.values())
        return {name: part / total for name, part in self.parts.items()} if total else {}


def check_question(question: str) -> None:
    """Raises UsageError where there is nothing to look for."""
    if not question.strip():
        raise UsageError("the question is empty", "ask something, as in: docrag ask 'What was the revenue in 2023?'")


def question_text(question: str) -> str:
    """What is searched for: `question` without sentences on the form of its answer, or all of it where nothing else is left."""
    text = question.strip()
    if len(text) > MAX_FORM_CHARS:
        return text
    return _FORM_SENTENCE.sub("", text).strip() or text


def fuse(
    lanes: Mapping[str, Mapping[str, float]],
    references: Mapping[str, float],
    without: Mapping[str, Collection[str]] | None = None,
) -> tuple[FusedPage, ...]:
    """Every candidate, best first; ties go by id, so the same index gives the same list.

    `lanes` maps a lane to {point id: raw score}; `references` maps the ids of pages that the question names to 0..1. A page
    that a lane doesn't return has 0 there, for it is worse than what is returned; but those in `without` (lane -> ids), of
    which the lane holds no vectors, get what may be expected of them: not known is not bad.
    """
    asked = {lane: scores for lane, scores in lanes.items() if scores}
    parts: dict[str, dict[str, float]] = {key: {} for scores in (*asked.values(), references) for key in scores}
    shares = {lane: scaled(scores) for lane, scores in asked.items()}
    for lane, expected in _expected(shares, without or {}).items():
        shares[lane] |= {key: share for key, share in expected.items() if key in parts}
    for lane, found in shares.items():
        for key, share in found.items():
            parts[key][lane] = FUSION.lanes.get(lane, 1.0) * share
    for key, strength in references.items():
        parts[key][REFERENCE] = FUSION.reference * strength
    highest = sum(FUSION.lanes.get(lane, 1.0) for lane in asked) + FUSION.reference * max(references.values(), default=0.0)
    ranks = {lane: _ranks(scores) for lane, scores in asked.items()}
    totals = {key: sum(found.values()) for key, found in parts.items()}
    return tuple(
        FusedPage(
            key,
            min(total / highest, 1.0) if highest else 0.0,
            {lane: LaneScore(scores[key], ranks[lane][key]) for lane, scores in asked.items() if key in scores},
            {name: part / highest for name, part in parts[key].items()} if highest else {},
        )
        for key, total in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    )


def _expected(shares: Mapping[str, Mapping[str, float]], without: Mapping[str, Collection[str]]) -> dict[str, dict[str, float]]:
    """What lanes may be expected to say of pages that they have no vectors of: half-way between what they say of a candidate
    on average and what the other lanes say of this page.

    Measured with `passages` in the place of a lane that half of the documents owe: the page wanted is the first of the library
    for 41 % of the questions, as with all vectors (40 %); 39 % by the average alone; 27 % where the unknown counts 0.
    """
    expected: dict[str, dict[str, float]] = {}
    for lane, found in shares.items():
        average = sum(found.values()) / len(found)
        for key in without.get(lane, ()):
            if key not in found:
                expected.setdefault(lane, {})[key] = (average + _told_elsewhere(key, shares, without)) / 2
    return expected


def _told_elsewhere(key: str, shares: Mapping[str, Mapping[str, float]], without: Mapping[str, Collection[str]]) -> float:
    """The weighted mean, from 0 to 1, of what the lanes that know a page say of it."""
    knowing = [lane for lane, found in shares.items() if key in found or key not in without.get(lane, ())]
    weights = {lane: FUSION.lanes.get(lane, 1.0) for lane in knowing}
    total = sum(weights.values())
    return sum(weight * shares[lane].get(key, 0.0) for lane, weight in weights.items()) / total if total else 0.0


def best_of(results: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """One lane from several queries of a kind: each scaled, and for each page its best."""
    best: dict[str, float] = {}
    for scores in results:
        for key, share in scaled(scores).items():
            best[key] = max(share, best.get(key, 0.0))
    return best


def scaled(scores: Mapping[str, float]) -> dict[str, float]:
    """`scores` moved to 0 (the worst) to 1 (the best); all 1 where there is no difference."""
    low, high = min(scores.values(), default=0.0), max(scores.values(), default=0.0)
    if high == low:
        return dict.fromkeys(scores, 1.0)
    return {key: (score - low) / (high - low) for key, score in scores.items()}


def _ranks(scores: Mapping[str, float]) -> dict[str, int]:
    ordered = sorted(scores, key=lambda key: (-scores[key], key))
    return {key: rank for rank, key in enumerate(ordered, start=1)}
