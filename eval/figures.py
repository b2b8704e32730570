"""What an analysis is made of: figures with their intervals, figures by group, and curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean or ratio over `questions` questions about `documents` documents.

    `value` is a fraction from 0 to 1 (a gain: from -1 to 1), None where there is nothing to average. `low` and `high` bound
    its 95 % interval, None where there are too few documents for one, or all agree in what it would be made of.
    """

    value: float | None
    low: float | None
    high: float | None
    questions: int
    documents: int = 0

    def to_json(self) -> dict[str, Any]:
        interval = None if self.low is None else [self.low, self.high]
        return {"value": self.value, "interval": interval, "questions": self.questions, "documents": self.documents}


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The official accuracy by group; a question may be in several groups, or in none. `key` is for code, `title` is shown.

    Where groups mix answerable and unanswerable questions, `answerable` and `unanswerable` have the accuracy on either, row by
    row; else both are empty.
    """

    key: str
    title: str
    rows: tuple[tuple[str, Figure], ...]
    answerable: tuple[tuple[str, Figure], ...] = ()
    unanswerable: tuple[tuple[str, Figure], ...] = ()

    def to_json(self) -> dict[str, Any]:
        parts = {"accuracy": self.rows, "answerable": self.answerable, "unanswerable": self.unanswerable}
        return {part: {name: figure.to_json() for name, figure in rows} for part, rows in parts.items() if rows}


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in the order in which they are joined; one point alone is a curve too."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"a curve has as many x as y, got {len(self.x)} and {len(self.y)}")

    def to_json(self) -> dict[str, list[float]]:
        return {"x": list(self.x), "y": list(self.y)}


@dataclass(frozen=True, slots=True)
class Analysis:
    """Everything that is told of one run; every mean runs over the run's questions, answered or not.

    `counts` tells apart what the means can't: questions, documents, scored, answered, refused, failed and unscored (no answer
    was asked for, or not yet). `failures` has why questions failed and how many did so, the most frequent reason first.
    `headline` has accuracy, f1, answerable, unanswerable, balanced (the mean of the two), single_page, cross_page,
    strict_accuracy and strict_answerable (over what was attempted), abstention_precision (of the refusals, the share that was
    right), abstention_recall (of the unanswerable questions, the share refused), wrongly_refused (of the answerable ones) and
    failed. `breakdowns` are pages_needed, source, doc_type,
    doc_length, position_in_document, position_in_context and answer_format, those without any group left out.
    `retrieval` and `recall_at_k` are by scope, "document" and, where it was ranked, "library". `recall_at_tokens` is None
    where the run did not keep what its pages cost. `evidence` has in_context_all and in_context_any (shares of the questions
    with evidence), read_precision, read_recall and read_f1 (of the pages read, by question), and answer_given_all, _some and
    _none (accuracy on those).
    `tradeoff`: x is the share of unanswerable questions refused, y the accuracy on answerable ones. Its first point is the run
    as it stands; each further one also refuses what was answered with less than some confidence. A reader whose confidence
    is constant has the first point alone; a run without answerable or without unanswerable questions has none.
    `spending` has NAME_median, NAME_p95 and NAME_mean a question, and NAME_total, of seconds, cost, context_tokens,
    read_pages, rounds and what the reader counts (input_tokens, output_tokens, calls ...); what the run did not keep is absent.
    """

    counts: Mapping[str, int]
    failures: Mapping[str, int]
    headline: Mapping[str, Figure]
    breakdowns: tuple[Breakdown, ...]
    retrieval: Mapping[str, Mapping[str, Figure]]
    recall_at_k: Mapping[str, Curve]
    recall_at_tokens: Curve | None
    evidence: Mapping[str, Figure]
    tradeoff: Curve
    spending: Mapping[str, float]

    def breakdown(self, key: str) -> Breakdown | None:
        return next((one for one in self.breakdowns if one.key == key), None)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Run a beside run b on the `common` questions, for which both have a prediction; `only_a` and `only_b` are left out.

    `unasked_b` are those of `only_a` that b has as well but has not come to, and the other way round. `other_references` counts
    the common questions whose answer, format or evidence pages the runs have otherwise: both are scored by a's.
    `gains` are a minus b, with a paired interval; `a` and `b` are the same figures of each: accuracy, strict_accuracy,
    answerable, unanswerable, balanced and f1, where both answered; recall@1, @3, @5 and @10 in the document, where both ranked
    pages; in_context_all, where both kept what was read. `better` and `worse` are the question_ids on which a has the higher or
    lower official score, the largest changes first. `settings` holds what differs, as (a's value, b's value), by dotted name,
    None where one has no such setting. `spending_a` and `spending_b` are as in `Analysis`, on the common questions.
    """

    common: int
    only_a: int
    only_b: int
    unasked_a: int
    unasked_b: int
    other_references: int
    a: Mapping[str, Figure]
    b: Mapping[str, Figure]
    gains: Mapping[str, Figure]
    better: tuple[str, ...]
    worse: tuple[str, ...]
    settings: Mapping[str, tuple[Any, Any]]
    spending_a: Mapping[str, float]
    spending_b: Mapping[str, float]
