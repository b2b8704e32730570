"""How far two extractors agree on a file of responses: on the answers, on the scores, and on what is a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from docrag.errors import ReaderError, UsageError
from docrag.eval.entries import Entry, read_entries
from docrag.eval.extract.extracted import Extracted, Extractor
from docrag.eval.in_flight import ask_all, check_limit
from docrag.eval.questions import question_ids
from docrag.eval.scoring import AnswerFormat, Value, clean, score_answer
from docrag.types import NOT_ANSWERABLE

_SHOWN = 20  # differences that the text lists


@dataclass(frozen=True, slots=True)
class Difference:
    """A response from which two extractors took different answers; scores are None where the line has no reference."""

    question_id: str
    question: str
    answer_a: str
    answer_b: str
    score_a: float | None
    score_b: float | None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two extractors on the same responses. All shares are over the `compared` lines, where both came to an answer.

    `nothing_a` and `nothing_b` count the lines where one came to none. `same_answer` is after the official cleaning; scores are
    official item scores over the `scored` lines, those with a reference. `kappa_refusals` is Cohen's kappa on whether an answer
    is "Not answerable", None where both refuse all lines, or none.
    """

    a: str
    b: str
    responses: int
    compared: int
    nothing_a: int
    nothing_b: int
    scored: int
    same_answer: float | None
    same_score: float | None
    accuracy_a: float | None
    accuracy_b: float | None
    refused_a: int
    refused_b: int
    kappa_refusals: float | None
    differences: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def to_text(self) -> str:
        lines = [
            f"{self.responses} responses, {self.compared} with an answer by both ({self.nothing_a}, {self.nothing_b} without)",
            f"same answer {_percent(self.same_answer)}, same score {_percent(self.same_score)} ({self.scored} scored)",
            f"accuracy {_percent(self.accuracy_a)} by {self.a}, {_percent(self.accuracy_b)} by {self.b}",
            f"refusals {self.refused_a} and {self.refused_b}, Cohen's kappa {_number(self.kappa_refusals)}",
            *(f"  {one.question_id}  {_short(one.answer_a)} | {_short(one.answer_b)}" for one in self.differences[:_SHOWN]),
        ]
        hidden = len(self.differences) - _SHOWN
        return "\n".join([*lines, *([f"  and {hidden} more that differ"] if hidden > 0 else [])])


@dataclass(frozen=True, slots=True)
class _Pair:
    question_id: str
    question: str
    reference: tuple[Value, AnswerFormat] | None
    a: Extracted
    b: Extracted

    def scores(self) -> tuple[float, float] | None:
        if self.reference is None:
            return None
        return score_answer(self.a.answer or "", *self.reference), score_answer(self.b.answer or "", *self.reference)


def agreement(path: Path, a: Extractor, b: Extractor, workers: int = 1) -> Agreement:
    """Extract every response in `path` by both, and compare; `workers` at once.

    Lines without a response are passed over; `answer` and `answer_format` are a line's reference, and may be absent or null.
    Raises UsageError where `path` can't be used or has no response, before anything is extracted, and EnvironmentFault where an
    extractor can't be used.
    """
    check_limit(workers, "responses")
    entries = [entry for entry in read_entries(path) if entry.optional_text("response") is not None]
    if not entries:
        raise UsageError(f"{path}: no line has a response", "a line needs question and response")
    asked = [(str(entry.fields.get("doc_id", "")), entry.text("question")) for entry in entries]
    ids = [str(entry.fields.get("question_id") or own) for entry, own in zip(entries, question_ids(asked), strict=True)]
    questions, references = [question for _, question in asked], list(map(_reference, entries))
    by_a, by_b = _extract_all(a, entries, workers), _extract_all(b, entries, workers)
    return _compare((a.name, b.name), list(map(_Pair, ids, questions, references, by_a, by_b)))


def cohen_kappa(a: Sequence[bool], b: Sequence[bool]) -> float | None:
    """Agreement of two judges beyond chance (Cohen 1960): 1 always, 0 as by chance; None where chance alone agrees always."""
    if not a:
        return None
    observed = sum(x == y for x, y in zip(a, b, strict=True)) / len(a)
    yes_a, yes_b = sum(a) / len(a), sum(b) / len(b)
    expected = yes_a * yes_b + (1 - yes_a) * (1 - yes_b)
    return (observed - expected) / (1 - expected) if expected < 1 else None


def _reference(entry: Entry) -> tuple[Value, AnswerFormat] | None:
    entry = entry.without_nulls()
    return None if entry.fields.get("answer") is None else (entry.value("answer"), entry.answer_format())


def _extract_all(extractor: Extractor, entries: Sequence[Entry], workers: int) -> list[Extracted]:
    found: dict[int, Extracted] = {}

    def extract(place: int) -> tuple[int, Extracted]:
        entry = entries[place]
        try:
            return place, extractor.extract(entry.text("question"), entry.fields["response"])
        except ReaderError as error:
            return place, Extracted.nothing(error.message)

    def keep(extracted: tuple[int, Extracted]) -> None:
        found[extracted[0]] = extracted[1]

    ask_all(range(len(entries)), extract, keep, workers, lambda: None)
    return [found[place] for place in range(len(entries))]


def _compare(names: tuple[str, str], pairs: Sequence[_Pair]) -> Agreement:
    compared = [pair for pair in pairs if pair.a.answer is not None and pair.b.answer is not None]
    scores = [pair.scores() for pair in compared]
    known = [score for score in scores if score is not None]
    refused_a, refused_b = ([one.answer == NOT_ANSWERABLE for one in side] for side in _sides(compared))
    same = [clean(pair.a.answer or "") == clean(pair.b.answer or "") for pair in compared]
    return Agreement(
        a=names[0],
        b=names[1],
        responses=len(pairs),
        compared=len(compared),
        nothing_a=sum(pair.a.answer is None for pair in pairs),
        nothing_b=sum(pair.b.answer is None for pair in pairs),
        scored=len(known),
        same_answer=_mean(same),
        same_score=_mean([x == y for x, y in known]),
        accuracy_a=_mean([x for x, _ in known]),
        accuracy_b=_mean([y for _, y in known]),
        refused_a=sum(refused_a),
        refused_b=sum(refused_b),
        kappa_refusals=cohen_kappa(refused_a, refused_b),
        differences=tuple(
            _difference(*told) for told, equal in zip(zip(compared, scores, strict=True), same, strict=True) if not equal
        ),
    )


def _sides(pairs: Sequence[_Pair]) -> tuple[list[Extracted], list[Extracted]]:
    return [pair.a for pair in pairs], [pair.b for pair in pairs]


def _difference(pair: _Pair, scores: tuple[float, float] | None) -> Difference:
    score_a, score_b = scores or (None, None)
    return Difference(pair.question_id, pair.question, pair.a.answer or "", pair.b.answer or "", score_a, score_b)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _short(text: str) -> str:
    line = " ".join(text[:200].split())
    return line if len(line) <= 50 else f"{line[:50]}..."
