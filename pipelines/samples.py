"""Several readings of one context -> the one to trust: where they agree that one, else what an adjudicator chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from docrag.errors import ReaderError, ReaderFault
from docrag.pipelines.protocols import Choice, Sampler
from docrag.types import NOT_ANSWERABLE, Reading


@dataclass(frozen=True, slots=True)
class Chosen:
    """`reading`, with the share of the samples that say the same as its confidence; `told` is how it came about."""

    reading: Reading
    told: Mapping[str, Any]
    usage: Mapping[str, int] = field(default_factory=dict[str, int])


def choose_sample(sampler: Sampler, question: str, readings: Sequence[Reading]) -> Chosen:
    """One of `readings`, or a refusal where the adjudicator finds evidence for none; failed ones are no candidates.

    Where the adjudicator fails, what most say goes, and among equals what has more of its quotes found.
    """
    groups = _groups([reading for reading in readings if reading.outcome != "failed"])
    told: dict[str, Any] = {"readings": [_told(reading) for reading in readings], "by": "agreement"}
    if len(groups) <= 1:
        return Chosen(_trusted(groups[0], readings) if groups else readings[0], told)
    best = [_best_of(group) for group in groups]
    choice = _ask(sampler, question, best)
    if choice.failed:
        told |= {"by": "majority", "adjudicator_failed": choice.failed}
        return Chosen(_trusted(groups[0], readings), told, choice.usage)
    told |= {"by": "adjudicator"}
    if choice.place is None:
        return Chosen(_refusal(best), told, choice.usage)
    return Chosen(_trusted(groups[choice.place], readings), told, choice.usage)


def same_answer(reading: Reading) -> tuple[str, str]:
    """What two readings have in common that say the same: letters and digits, in one case."""
    return reading.outcome, "".join(c for c in reading.answer.casefold() if c.isalnum() or c in ".-")


def _groups(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Readings that say the same; what most say first, then what has most quotes found."""
    groups: dict[tuple[str, str], list[Reading]] = {}
    for reading in readings:
        groups.setdefault(same_answer(reading), []).append(reading)
    return sorted(groups.values(), key=lambda group: (-len(group), -_verified(_best_of(group))))


def _best_of(group: Sequence[Reading]) -> Reading:
    return max(group, key=_verified)


def _verified(reading: Reading) -> int:
    return sum(citation.verified for citation in reading.citations)


def _ask(sampler: Sampler, question: str, best: Sequence[Reading]) -> Choice:
    try:
        return sampler.choose(question, best)
    except ReaderFault:
        raise
    except ReaderError as error:
        return Choice(None, failed=error.message)


def _trusted(group: Sequence[Reading], readings: Sequence[Reading]) -> Reading:
    return replace(_best_of(group), confidence=len(group) / len(readings))


def _refusal(best: Sequence[Reading]) -> Reading:
    answers = ", ".join(repr(reading.answer) for reading in best)
    why = f"readings differ ({answers}), and none has evidence for what it says"
    return Reading("not_answerable", NOT_ANSWERABLE, 1 / (1 + len(best)), trace={"abstained": why})


def _told(reading: Reading) -> dict[str, Any]:
    told = {"outcome": reading.outcome, "answer": reading.answer, "quotes": len(reading.citations)}
    return {**told, "quotes_found": _verified(reading), "failed": reading.trace.get("failed", "")}
