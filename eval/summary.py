"""The figures of a run as summary.json and summary.md, both from one analysis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from docrag.eval.analysis import analyse_judged
from docrag.eval.cases import judge
from docrag.eval.figures import Analysis, Figure
from docrag.eval.intervals import Interval
from docrag.eval.predictions import Prediction
from docrag.eval.questions import Question
from docrag.eval.retrieval import RECALL_DEPTHS, RetrievalScores, Scope
from docrag.eval.scoring import Scores
from docrag.eval.summary_text import summary_text
from docrag.pipelines.loop import add_usage, cost


@dataclass(frozen=True, slots=True)
class Summary:
    """What `eval` reports: the official scores, the retrieval in the run's scope, and what they mean.

    `retrieval_library` is that over the whole library where it was ranked beside the document; `usage` is of all questions.
    """

    scores: Scores
    retrieval: RetrievalScores
    retrieval_library: RetrievalScores | None
    analysis: Analysis
    usage: Mapping[str, int]
    config: Mapping[str, Any]

    @property
    def intervals(self) -> Mapping[str, Interval | None]:
        """Of 95 %; None where there are fewer than two documents, or nothing to average."""
        headline, found = self.analysis.headline, self.analysis.retrieval[self.retrieval.scope]
        figures = {name: headline[name] for name in _WITH_INTERVALS}
        figures |= {f"recall@{k}": found[f"recall@{k}"] for k in RECALL_DEPTHS}
        return {name: _interval(figure) for name, figure in figures.items()}

    @property
    def cost(self) -> float | None:
        """Of all tokens by the settings' prices, None where these are not known."""
        settings = self.config.get("settings", {})
        return cost(self.usage, settings.get("input_price", 0.0), settings.get("output_price", 0.0))

    def to_json(self) -> dict[str, Any]:
        analysis = self.analysis
        library = {"retrieval_library": self.retrieval_library.to_json()} if self.retrieval_library else {}
        return {
            **self.scores.figures_to_json(),
            "intervals": {name: interval and interval.to_json() for name, interval in self.intervals.items()},
            "retrieval": self.retrieval.to_json(),
            **library,
            "counts": dict(analysis.counts),
            "failures": dict(analysis.failures),
            "balanced": analysis.headline["balanced"].to_json(),
            "strict": {name: analysis.headline[f"strict_{name}"].to_json() for name in ("accuracy", "answerable")},
            "abstention": {name: analysis.headline[key].to_json() for name, key in _ABSTENTION.items()},
            "evidence": {name: figure.to_json() for name, figure in analysis.evidence.items()},
            "breakdowns": {breakdown.key: breakdown.to_json() for breakdown in analysis.breakdowns},
            "recall_at_k": {scope: curve.to_json() for scope, curve in analysis.recall_at_k.items()},
            "recall_at_tokens": analysis.recall_at_tokens and analysis.recall_at_tokens.to_json(),
            "tradeoff": analysis.tradeoff.to_json(),
            "spending": dict(analysis.spending),
            "usage": dict(self.usage),
            "cost": self.cost,
            "config": dict(self.config),
        }

    def to_markdown(self) -> str:
        return summary_text(self.analysis, flatten(self.config))


# The official figures at the top of summary.json.
_WITH_INTERVALS = ("accuracy", "f1", "answerable", "single_page", "cross_page", "unanswerable")
_ABSTENTION = {"precision": "abstention_precision", "recall": "abstention_recall", "wrongly_refused": "wrongly_refused"}


def summarise(questions: Sequence[Question], predictions: Mapping[str, Prediction], config: Mapping[str, Any]) -> Summary:
    """The figures over all `questions`; `predictions` by question_id may lack some, `config` is that of the run."""
    judged = judge(questions, predictions)
    scope: Scope = config["scope"]
    library = judged.retrieval.get("library") if scope == "document" else None
    usage = add_usage(*(prediction.usage for prediction in predictions.values()))
    return Summary(judged.scores, judged.retrieval[scope], library, analyse_judged(judged, config), usage, config)


def _interval(figure: Figure) -> Interval | None:
    if figure.value is None or figure.low is None or figure.high is None:
        return None
    return Interval(figure.value, figure.low, figure.high)


def flatten(tree: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The leaves of nested mappings with dotted names: {"a": {"b": 1}} gives [("a.b", 1)]."""
    leaves: list[tuple[str, Any]] = []
    for key, value in tree.items():
        inner: Mapping[str, Any] = cast(Mapping[str, Any], value) if isinstance(value, Mapping) else {}
        leaves += flatten(inner, f"{prefix}{key}.") if inner else [(f"{prefix}{key}", value)]
    return leaves
