"""From what each lane says of the candidate pages to one ranked list: scaled, weighted, added. All of it is pure.

Lanes score on scales of their own (BM25 has no upper end, cosines crowd together), so each is scaled to 0..1 between its worst
and best candidate before they are added; ranks alone (reciprocal rank fusion) lose how clear the best page was.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from docrag.types import LaneScore

# Sentences that ask for a form of answer ("Write the answer in int format") say nothing about where the answer stands.
_FORM_SENTENCE = re.compile(
    r"(?<=[.?!\n,;])\s*(?:(?:please|and|directly|here)\b\s*)*"
    r"(?:write|give|return|answer|format|round|express|present|provide|save|list|enumerate|output|report|note|the (?:output|answer)|your \w+)\b"
    r"[^.?!\n]*?\b(?:format\w*|int|integers?|float|decimals?|list|nearest|yes|percents?|percentage|[bm]illions?|order|string|list)\b[^?!\n]*$",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class FusionWeights:
    """How much each lane and an explicit reference ("page 5") count; a lane that is not named counts as much as BM25."""

    lanes: Mapping[str, float]
    reference: float


FUSION = FusionWeights(lanes={"passages": 1.0, "bm25": 1.0}, reference=1.0)


@dataclass(frozen=True, slots=True)
class FusedPage:
    """One candidate: its point id, its score from 0 to 1, and where each lane that knows it puts it (rank from 1)."""

    id: str
    score: float
    lanes: Mapping[str, LaneScore]


def question_text(question: str) -> str:
    """`question` without what it says about the form of its answer; the whole question where nothing else is left."""
    return _FORM_SENTENCE.sub("", question.strip()).strip() or question.strip()


def fuse(
    lanes: Mapping[str, Mapping[str, float]], references: Mapping[str, float], candidates: Collection[str] = ()
) -> tuple[FusedPage, ...]:
    """Every candidate, best first; ties go by id, so the same index gives the same list.

    `lanes` maps a lane to {point id: raw score}; `references` {point id: strength 0..1} for pages that the question names;
    `candidates` are further ids to rank (all pages of the documents asked), with 0 in every lane that doesn't know them.
    """
    totals = dict.fromkeys(sorted({*candidates, *references, *(key for scores in lanes.values() for key in scores)}), 0.0)
    weights = {lane: FUSION.lanes.get(lane, 1.0) for lane, scores in lanes.items() if scores}
    for lane, weight in weights.items():
        for key, scaled in _scaled(lanes[lane]).items():
            totals[key] += weight * scaled
    for key, strength in references.items():
        totals[key] += FUSION.reference * strength
    best_possible = sum(weights.values()) + (FUSION.reference if references else 0.0)
    ranks = {lane: _ranks(scores) for lane, scores in lanes.items()}
    ordered = sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    return tuple(
        FusedPage(
            key,
            min(total / best_possible, 1.0) if best_possible else 0.0,
            {lane: LaneScore(scores[key], ranks[lane][key]) for lane, scores in lanes.items() if key in scores},
        )
        for key, total in ordered
    )


def _scaled(scores: Mapping[str, float]) -> dict[str, float]:
    low, high = min(scores.values()), max(scores.values())
    if high == low:
        return dict.fromkeys(scores, 1.0)
    return {key: (score - low) / (high - low) for key, score in scores.items()}


def _ranks(scores: Mapping[str, float]) -> dict[str, int]:
    ordered = sorted(scores, key=lambda key: (-scores[key], key))
    return {key: rank for rank, key in enumerate(ordered, start=1)}
