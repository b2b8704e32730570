"""`quote` against three simple rules, by the official score: what does it add to always or never abstaining?

    python -m bench.baselines [DATA] --index I [--documents N] [--json]

A is the accuracy on answerable questions, U that on unanswerable ones. Always abstaining has A 0 and U 1, never abstaining has
U 0: so what is compared is their mean. Intervals are of 95 %, by bootstrap over documents; those of a difference are paired.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.common import benchmark_data, documents_of, parser, questions_of, table
from docrag.eval.intervals import Columns, Interval, Resampling, safe_divide
from docrag.eval.questions import Question
from docrag.eval.scoring import FAIL_TO_ANSWER, Scores, score_predictions
from docrag.eval.submissions import to_item
from docrag.types import NOT_ANSWERABLE

if TYPE_CHECKING:
    from docrag.client import Library
    from docrag.types import Answer

READER = "quote"
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--index", type=Path, required=True)
    arguments = made.parse_args()
    with benchmark_data(arguments.data) as data:
        result = measure(questions_of(data, documents_of(data, arguments.documents)), arguments.index)
    print(json.dumps(result) if arguments.json else to_markdown(result))


def measure(questions: Sequence[Question], index: Path) -> dict[str, Any]:
    from docrag.client import Library

    with Library(str(index), reader=READER) as library:
        answers = [_answers(library, question) for question in questions]
    scores = {
        name: score_predictions(to_item(question, given[name]) for question, given in zip(questions, answers, strict=True))
        for name in answers[0]
    }
    ours = _rows(scores[READER])
    documents = [question.doc_id for question in questions]
    return {
        "questions": len(questions),
        "answerable_questions": scores[READER].answerable.questions,
        "rules": {name: _figures(_rows(of_rule), of_rule, ours, documents) for name, of_rule in scores.items()},
    }


def _answers(library: Library, question: Question) -> dict[str, str]:
    """What each rule answers. A document that is not in the index gets a wrong answer, but from who always abstains."""
    from docrag.errors import UnknownDocument

    try:
        answer = library.ask(question.question, [question.doc_id])
    except UnknownDocument:
        sentence = candidate = text = FAIL_TO_ANSWER
    else:
        sentence = first_sentence(answer)
        text = answer.text
        candidate = text if answer.outcome == "answered" else next(_candidates(question.question, answer), sentence)
    return {
        READER: text,
        "always abstaining": NOT_ANSWERABLE,
        "never abstaining": candidate,
        "first sentence of the best passage": sentence,
    }


def first_sentence(answer: Answer) -> str:
    snippet = answer.hits[0].snippet if answer.hits else ""
    return _SENTENCE_END.split(snippet, maxsplit=1)[0] or FAIL_TO_ANSWER


def _candidates(question: str, answer: Answer) -> Iterator[str]:
    """What `quote` would have answered from the same pages, had it to: its candidates, best first."""
    from docrag.pipelines.extract.page_view import view_page
    from docrag.pipelines.question_type import analyse
    from docrag.pipelines.quote import find_candidates

    asked = analyse(question)
    if asked.terms:
        named = [item for item in answer.context.evidence if item.reason == "referenced"]
        views = [view_page(item) for item in named or answer.context.evidence]
        yield from (candidate.answer for candidate in find_candidates(asked, views))


def _rows(scores: Scores) -> Columns:
    """[n, 4]: credit and 1 for an answerable question, credit and 1 for an unanswerable one."""
    rows = [(one.credit, 1.0, 0.0, 0.0) if one.item.answerable else (0.0, 0.0, one.credit, 1.0) for one in scores.items]
    return np.array(rows, np.float64).reshape(-1, 4)


def _figures(rows: Columns, scores: Scores, ours: Columns, documents: Sequence[str]) -> dict[str, Any]:
    gain = Resampling(documents).gain(np.hstack([ours, rows]), lambda sums: _mean_of(sums[:, :4]) - _mean_of(sums[:, 4:]))
    return {
        "answerable": scores.answerable.accuracy,
        "unanswerable": scores.unanswerable.accuracy,
        "mean": _interval(Resampling(documents).fraction(rows, _mean_of), float(_mean_of(rows.sum(axis=0, keepdims=True))[0])),
        "quote_gains": _interval(gain, None),
        "accuracy": scores.accuracy,
        "f1": scores.f1,
        "wrongly_refused": scores.wrongly_refused,
    }


def _mean_of(sums: Columns) -> Columns:
    """(A + U) / 2 from sums [draws, 4]; NaN where a draw has no question of one kind."""
    return (safe_divide(sums[:, 0], sums[:, 1], np.nan) + safe_divide(sums[:, 2], sums[:, 3], np.nan)) / 2


def _interval(interval: Interval | None, otherwise: float | None) -> list[float | None]:
    return [interval.estimate, interval.low, interval.high] if interval else [otherwise, None, None]


def to_markdown(result: dict[str, Any]) -> str:
    columns = ("rule", "A", "U", "(A + U) / 2", "95 %", "quote is better by", "95 %", "accuracy", "F1", "wrongly refused")
    rows = [
        (
            name,
            _percent(rule["answerable"]),
            _percent(rule["unanswerable"]),
            _percent(rule["mean"][0]),
            _bounds(rule["mean"]),
            "" if name == READER else _percent(rule["quote_gains"][0]),
            "" if name == READER else _bounds(rule["quote_gains"]),
            _percent(rule["accuracy"]),
            _percent(rule["f1"]),
            _percent(rule["wrongly_refused"]),
        )
        for name, rule in result["rules"].items()
    ]
    told = f"{result['questions']} questions, {result['answerable_questions']} of them answerable. In percent."
    return "\n\n".join([told, table(columns, rows)])


def _percent(value: float | None) -> str:
    return "-" if value is None or np.isnan(value) else f"{100 * value:.1f}"


def _bounds(interval: Sequence[float | None]) -> str:
    return f"{_percent(interval[1])} to {_percent(interval[2])}"


if __name__ == "__main__":
    main()
