"""What `docrag score` prints: one JSON object for scripts, and a small table for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from docrag.eval.questions import Question
from docrag.eval.scoring import Group, Item, Scores, Value, score_predictions
from docrag.eval.strict import StrictScore, StrictTotals, strict_score, strict_totals
from docrag.eval.submissions import StrayLine, Submission, load_submission

_NAMED = 5  # questions or lines of each kind that the text names
_QUESTION = 60  # characters of a question
_LONGEST_SHOWN = 1_000  # characters of a prediction that JSON can't hold as it is


@dataclass(frozen=True, slots=True)
class ScoreReport:
    """A submission with its official scores, and its strict ones in the same order."""

    submission: Submission
    scores: Scores
    strict: tuple[StrictScore, ...]


def report_scores(path: Path, gold: Sequence[Question] | None = None) -> ScoreReport:
    """Read and score the predictions in `path`. Raises UsageError that names the file, the line and the field."""
    submission = load_submission(path, gold)
    strict = tuple(strict_score(item.prediction, item.answer, item.answer_format) for item in submission.items)
    return ScoreReport(submission, score_predictions(submission.items), strict)


def score_json(report: ScoreReport) -> dict[str, Any]:
    """The figures: official ones at the top, and beside them "scored_only", "strict" and "coverage" (null without gold).

    "scored_only" has accuracy and F1 over the scored questions alone, as the benchmark's script counts.
    """
    scores, totals = report.scores, strict_totals(report.strict)
    scored_only = scores.without_unscored()
    return {
        **scores.figures_to_json(),
        "scored_only": {"accuracy": scored_only.accuracy, "f1": scored_only.f1},
        "strict": {**asdict(totals), **{name: asdict(group) for name, group in _strict_groups(report).items()}},
        "coverage": report.submission.coverage and asdict(report.submission.coverage),
        "items": [
            {
                **one.to_json(),
                "answer": plain(one.item.answer),
                "prediction": plain(one.item.prediction),
                "strict": strict.credit,
                "outcome": strict.outcome,
            }
            for one, strict in zip(scores.items, report.strict, strict=True)
        ],
    }


def score_text(report: ScoreReport) -> str:
    """The official figures, the strict ones, and what is known of the coverage."""
    scores = report.scores
    lines = [_row("official", "percent", "questions"), *_official_rows(scores), ""]
    lines += [_row("strict (docrag's own)", "percent", "questions"), *_strict_rows(report), ""]
    return "\n".join([*lines, *_coverage_lines(report.submission)])


def plain(value: Value | None) -> Any:
    """`value` as strict JSON holds it; NaN, infinity and what is nested deeply as the beginning of its text."""
    if isinstance(value, str) or value is None:
        return value
    if _depth(value) > 20:
        return "nested too deeply to be shown"
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        return str(value)[:_LONGEST_SHOWN]
    return value


def _depth(value: Any, limit: int = 20) -> int:
    """How deep lists and objects are nested, looked at down to a level below `limit`."""
    level, depth = [value], 0
    while level and depth <= limit:
        depth += 1
        level = [inner for outer in level for inner in _members(outer)]
    return depth


def _members(value: Any) -> Sequence[Any]:
    if isinstance(value, dict):
        return list(value.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] -- JSON
    return value if isinstance(value, list) else ()  # pyright: ignore[reportUnknownVariableType] -- JSON


def _strict_groups(report: ScoreReport) -> dict[str, StrictTotals]:
    pairs = list(zip(report.submission.items, report.strict, strict=True))
    return {
        "answerable": strict_totals(strict for item, strict in pairs if item.answerable),
        "unanswerable": strict_totals(strict for item, strict in pairs if not item.answerable),
    }


def _official_rows(scores: Scores) -> list[str]:
    rows = [_figure("accuracy", scores.accuracy, scores.questions), _figure("F1", scores.f1, scores.questions)]
    if scores.scored != scores.questions:
        only = scores.without_unscored()
        rows[:0] = [f"  {scores.questions - scores.scored} of {scores.questions} questions are unscored, and count as wrong:"]
        rows.append(_figure("accuracy, scored questions only", only.accuracy, only.questions))
        rows.append(_figure("F1, scored questions only", only.f1, only.questions))
    named = ("answerable", "unanswerable", "single_page", "cross_page")
    rows += [_group(name.replace("_", "-"), getattr(scores, name)) for name in named]
    return [*rows, *_groups("source", scores.by_source), *_groups("type", scores.by_doc_type)]


def _groups(kind: str, groups: Mapping[str, Group]) -> list[str]:
    return [_group(f"{kind}: {name}", group) for name, group in groups.items()]


def _group(name: str, group: Group) -> str:
    return _figure(name, group.accuracy, group.questions)


def _strict_rows(report: ScoreReport) -> list[str]:
    totals = strict_totals(report.strict)
    rows = [_figure("strict accuracy", totals.accuracy, totals.attempted)]
    rows += [_figure(f"strict, {name}", group.accuracy, group.attempted) for name, group in _strict_groups(report).items()]
    rows.append(_figure("predicted", totals.coverage, totals.questions))
    return [*rows, _figure("failed to answer", totals.failed, totals.attempted)]


def _figure(name: str, value: float | None, questions: int) -> str:
    return _row(name, "-" if value is None else f"{100 * value:.1f}", str(questions))


def _row(name: str, value: str, questions: str) -> str:
    return f"{' '.join(name.split())[:40]:<40} {value:>8} {questions:>10}"


def _coverage_lines(submission: Submission) -> list[str]:
    coverage = submission.coverage
    if coverage is None:
        return ["coverage unknown: name the benchmark's questions with --questions, and what is missing counts as wrong"]
    predicted = coverage.gold - len(coverage.missing)
    lines = [f"coverage: {predicted} of {coverage.gold} questions have a line"]
    lines += _listing("missing, counted as wrong", coverage.missing)
    lines += _missing_lines(submission.items, coverage.missing)
    lines += _listing("a second line about a question, not counted", _places(coverage.duplicates))
    return [*lines, *_listing("a line about no question of the gold file, not counted", _places(coverage.unknown))]


def _missing_lines(items: Sequence[Item], missing: Sequence[str]) -> list[str]:
    named = {item.question_id: item for item in items}
    told = [(question_id, named[question_id]) for question_id in missing[:_NAMED]]
    return [f"    {question_id}  {item.doc_id}  {_short(item.question)}" for question_id, item in told]


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _QUESTION else f"{line[:_QUESTION]}..."


def _places(lines: Sequence[StrayLine]) -> list[str]:
    return [line.where.rpartition(", ")[2] for line in lines]


def _listing(what: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"  {what}: {len(names)} ({', '.join(names[:_NAMED])}{more})"]
