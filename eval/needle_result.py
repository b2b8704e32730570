"""What became of a needle run: accuracy by length and depth, and refusals where the needle is absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from docrag.errors import UsageError
from docrag.eval.figures import Figure
from docrag.eval.intervals import mean_interval
from docrag.eval.needles import DEPTHS, NeedleTask, depth_name, length_name
from docrag.eval.predictions import NEEDLE, Prediction
from docrag.eval.questions import Question
from docrag.eval.record import RunRecord
from docrag.eval.scoring import score_answer
from docrag.types import NOT_ANSWERABLE


def to_trace(task: NeedleTask, pages: Sequence[tuple[str, int]]) -> dict[str, Any]:
    """What is kept of a haystack: its length, the needle's depth (None: absent), and its pages as (document, page number)."""
    return {"length": task.length, "depth": task.depth, "pages": [list(page) for page in pages]}


@dataclass(frozen=True, slots=True)
class NeedleRow:
    """One length, in tokens. `by_depth` and `accuracy` are over questions whose page is there, `refused` over the others.

    `wrongly_refused` is over those whose page is there. `pages` and `context_tokens` are means over all of them: the context as
    this reader was given it, which may be text.
    """

    length: int
    by_depth: Mapping[float, Figure]
    accuracy: Figure
    refused: Figure
    wrongly_refused: Figure
    failed: int
    pages: float
    context_tokens: float

    def to_json(self) -> dict[str, Any]:
        return {
            "length": self.length,
            "by_depth": {f"{depth:g}": figure.to_json() for depth, figure in self.by_depth.items()},
            "accuracy": self.accuracy.to_json(),
            "refused": self.refused.to_json(),
            "wrongly_refused": self.wrongly_refused.to_json(),
            "failed": self.failed,
            "pages": self.pages,
            "context_tokens": self.context_tokens,
        }


@dataclass(frozen=True, slots=True)
class NeedleResult:
    """A row a length, the shortest first. `questions` were asked, of which `answered` have a prediction: all of a whole run."""

    questions: int
    answered: int
    rows: tuple[NeedleRow, ...]

    def to_json(self) -> dict[str, Any]:
        return {"questions": self.questions, "answered": self.answered, "lengths": [row.to_json() for row in self.rows]}

    def to_text(self) -> str:
        """A table for a terminal, in percent."""
        head = ("length", "pages", "context", *map(depth_name, DEPTHS), "all", "refused", "wrongly", "failed")
        lines = [head, *map(_cells, self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        table = ["  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
        asked = (
            f"{self.questions} questions"
            if self.answered == self.questions
            else f"{self.answered} of {self.questions} questions"
        )
        return "\n".join(
            [
                f"Page needles, {asked}, in percent (number of questions)",
                "",
                *table,
                "",
                "all: accuracy where the page is there; wrongly: refused although it is; refused: refused where it is absent",
                "context: tokens of what the reader was given, on average",
            ]
        )


def needle_result(record: RunRecord) -> NeedleResult:
    """The result of a needle run, finished or not. Raises UsageError where the run is of another kind."""
    asked = [(question, record.predictions[question.question_id]) for question in _answered(record)]
    if not all(NEEDLE in prediction.trace for _, prediction in asked):
        raise UsageError(f"{record.folder} is no run of needles", "`docrag eval needles` makes one")
    lengths = sorted({_told(prediction)["length"] for _, prediction in asked})
    rows = [_row(length, [pair for pair in asked if _told(pair[1])["length"] == length]) for length in lengths]
    return NeedleResult(len(record.questions), len(asked), tuple(rows))


def _answered(record: RunRecord) -> list[Question]:
    return [question for question in record.questions if question.question_id in record.predictions]


def _told(prediction: Prediction) -> Mapping[str, Any]:
    return prediction.trace[NEEDLE]


def _row(length: int, asked: Sequence[tuple[Question, Prediction]]) -> NeedleRow:
    there = [pair for pair in asked if pair[0].answerable]
    absent = [pair for pair in asked if not pair[0].answerable]
    return NeedleRow(
        length=length,
        by_depth={depth: _accuracy([pair for pair in there if _told(pair[1])["depth"] == depth]) for depth in DEPTHS},
        accuracy=_accuracy(there),
        refused=_refusals(absent),
        wrongly_refused=_refusals(there),
        failed=sum(prediction.outcome == "failed" for _, prediction in asked),
        pages=_mean([len(_told(prediction)["pages"]) for _, prediction in asked]),
        context_tokens=_mean([prediction.context_tokens for _, prediction in asked]),
    )


def _accuracy(asked: Sequence[tuple[Question, Prediction]]) -> Figure:
    return _figure(
        asked, [score_answer(made.answer or "", question.answer, question.answer_format) for question, made in asked]
    )


def _refusals(asked: Sequence[tuple[Question, Prediction]]) -> Figure:
    return _figure(asked, [float(prediction.answer == NOT_ANSWERABLE) for _, prediction in asked])


def _figure(asked: Sequence[tuple[Question, Prediction]], values: Sequence[float]) -> Figure:
    documents = [question.doc_id for question, _ in asked]
    interval = mean_interval(values, documents)
    return Figure(
        value=_mean(values) if values else None,
        low=interval and interval.low,
        high=interval and interval.high,
        questions=len(values),
        documents=len(set(documents)),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _cells(row: NeedleRow) -> tuple[str, ...]:
    figures = (*row.by_depth.values(), row.accuracy, row.refused, row.wrongly_refused)
    counts = (length_name(row.length), f"{row.pages:.1f}", f"{row.context_tokens:.0f}")
    return (*counts, *map(_percent, figures), str(row.failed))


def _percent(figure: Figure) -> str:
    return "-" if figure.value is None else f"{100 * figure.value:.0f} ({figure.questions})"
