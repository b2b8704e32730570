"""The figures of a run with their intervals, as summary.json and as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

from docrag.eval.intervals import Columns, Interval, bootstrap, mean_interval, safe_divide
from docrag.eval.mmlongbench import Question
from docrag.eval.predictions import Prediction
from docrag.eval.retrieval import METRICS, RECALL_DEPTHS, Ranking, RetrievalScores, Scope, relevant_pages, score_rankings
from docrag.eval.scoring import Group, ScoredItem, Scores, score_predictions
from docrag.eval.submissions import to_item
from docrag.pipelines.loop import add_usage, cost


@dataclass(frozen=True, slots=True)
class Summary:
    """What `eval` reports. An interval is None where there are fewer than two documents, or nothing to average."""

    scores: Scores
    retrieval: RetrievalScores
    intervals: Mapping[str, Interval | None]
    config: Mapping[str, Any]
    usage: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def cost(self) -> float | None:
        """Of all tokens by the settings' prices, None where these are not known."""
        settings = self.config.get("settings", {})
        return cost(self.usage, settings.get("input_price", 0.0), settings.get("output_price", 0.0))

    def to_json(self) -> dict[str, Any]:
        return {
            **self.scores.figures_to_json(),
            "intervals": {name: interval and interval.to_json() for name, interval in self.intervals.items()},
            "retrieval": self.retrieval.to_json(),
            "usage": dict(self.usage),
            "cost": self.cost,
            "config": dict(self.config),
        }

    def to_markdown(self) -> str:
        scores = self.scores
        answers = [
            ("accuracy", scores.accuracy, scores.questions),
            ("f1", scores.f1, scores.questions),
            *((name, *_columns(getattr(scores, name))) for name in ("answerable", "unanswerable", "single_page", "cross_page")),
            ("mean of answerable and unanswerable", _mean_of(scores.answerable, scores.unanswerable), scores.questions),
            ("answerable, wrongly refused", scores.wrongly_refused, scores.answerable.questions),
        ]
        pages = [(name, self.retrieval.mean(name), self.retrieval.questions) for name in METRICS]
        return "\n".join(
            [
                "# Results",
                "",
                f"{scores.questions} questions, {scores.scored} scored. In percent; intervals by bootstrap over documents.",
                "",
                *self._table("answers", answers),
                *self._table("by evidence source", _group_rows(scores.by_source)),
                *self._table("by document type", _group_rows(scores.by_doc_type)),
                *self._table(f"pages found ({self.retrieval.scope})", pages),
                *_usage_table(self.usage, self.cost),
                *_config_table(self.config),
            ]
        )

    def _table(self, title: str, rows: Iterable[tuple[str, float | None, int]]) -> list[str]:
        lines = [f"| {title} | % | 95 % interval | questions |", "|---|---:|---:|---:|"]
        for name, value, questions in rows:
            interval = self.intervals.get(name)
            bounds = f"{_percent(interval.low)} to {_percent(interval.high)}" if interval else ""
            lines.append(f"| {_cell(name)} | {_percent(value)} | {bounds} | {questions} |")
        return [*lines, ""]


def summarise(questions: Sequence[Question], predictions: Mapping[str, Prediction], config: Mapping[str, Any]) -> Summary:
    """The figures over all `questions`; `predictions` holds one for each, by question_id."""
    scope: Scope = config["scope"]
    pairs = [(question, predictions[question.question_id]) for question in questions]
    scores = score_predictions(to_item(question, prediction.answer) for question, prediction in pairs)
    retrieval = score_rankings([_ranking(question, prediction, scope) for question, prediction in pairs], scope)
    usage = add_usage(*(prediction.usage for _, prediction in pairs))
    return Summary(scores, retrieval, {**_score_intervals(scores), **_recall_intervals(retrieval)}, config, usage)


def _ranking(question: Question, prediction: Prediction, scope: Scope) -> Ranking:
    inside = tuple((question.doc_id, page) for page in prediction.ranked_pages)
    return Ranking(
        question_id=question.question_id,
        doc_id=question.doc_id,
        ranked=inside if scope == "document" else prediction.ranked_library or (),
        relevant=relevant_pages(question, prediction.document_pages),
    )


def _score_intervals(scores: Scores) -> dict[str, Interval | None]:
    if not scores.scored:
        return dict.fromkeys(("accuracy", "f1", "answerable", "unanswerable"))
    return {
        "accuracy": _mean_interval(scores.items),
        "f1": _f1_interval(scores.items),
        "answerable": _mean_interval([one for one in scores.items if one.item.answerable]),
        "unanswerable": _mean_interval([one for one in scores.items if not one.item.answerable]),
    }


def _mean_interval(scored: Sequence[ScoredItem]) -> Interval | None:
    return mean_interval([one.credit for one in scored], [one.item.doc_id for one in scored])


def _f1_interval(scored: Sequence[ScoredItem]) -> Interval | None:
    rows = [(one.credit * one.item.answerable, one.item.answerable, not one.item.refused) for one in scored]
    return bootstrap(np.asarray(rows, dtype=np.float64), [one.item.doc_id for one in scored], _f1_of_sums)


def _f1_of_sums(sums: Columns) -> Columns:
    credit, answerable, claimed = sums.T
    recall, precision = safe_divide(credit, answerable, 0.0), safe_divide(credit, claimed, 0.0)
    return safe_divide(2 * recall * precision, recall + precision, 0.0)


def _recall_intervals(retrieval: RetrievalScores) -> dict[str, Interval | None]:
    names = [f"recall@{k}" for k in RECALL_DEPTHS]
    return {name: mean_interval(retrieval.values[name], retrieval.doc_ids) for name in names}


def _columns(group: Group) -> tuple[float | None, int]:
    return group.accuracy, group.questions


def _group_rows(groups: Mapping[str, Group]) -> list[tuple[str, float | None, int]]:
    return [(name, *_columns(group)) for name, group in groups.items()]


def _mean_of(*groups: Group) -> float | None:
    known = [group.accuracy for group in groups if group.accuracy is not None]
    return sum(known) / len(known) if len(known) == len(groups) else None


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"


def _usage_table(usage: Mapping[str, int], price: float | None) -> list[str]:
    """Nothing where no model was asked."""
    if not usage:
        return []
    told = {**usage, "cost": price} if price is not None else usage
    return (
        ["| usage | total |", "|---|---:|", *(f"| {_cell(name)} | {count:,} |" for name, count in told.items()), ""]
        if usage
        else []
    )


def _config_table(config: Mapping[str, Any]) -> list[str]:
    return ["| setting | value |", "|---|---|", *(f"| {_cell(key)} | {_cell(value)} |" for key, value in flatten(config)), ""]


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The leaves of nested mappings with dotted names: {"a": {"b": 1}} gives [("a.b", 1)]."""
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        inner: Mapping[str, Any] = cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}
        leaves += flatten(inner, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)]
    return leaves


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
