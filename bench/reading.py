"""What a setting changes in the answers: two runs of `docrag eval` over the same questions, compared question by question.

    docrag eval mmlongbench-doc --data DATA --index I --reader R --out plain
    docrag eval mmlongbench-doc --data DATA --index I --reader R --out navigated --navigate   (or --samples 5 ...)
    python -m bench.reading navigated plain [--json]

Says what the first run gains over the second, with 95 % intervals by bootstrap over documents (a gain where the whole interval
is above 0), what both read and cost, and which settings differ.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.common import table
from docrag.errors import UsageError
from docrag.eval.intervals import Columns, Interval, bootstrap
from docrag.eval.predictions import Prediction, read_predictions
from docrag.eval.scoring import ScoredItem, Scores, score_predictions
from docrag.eval.submissions import load_items
from docrag.eval.summary import flatten
from docrag.pipelines.loop import add_usage, cost


@dataclass(frozen=True, slots=True)
class Run:
    """A folder that `docrag eval` made: its settings, its predictions by question_id, and how they score."""

    settings: Mapping[str, Any]
    predictions: Mapping[str, Prediction]
    scores: Scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of the run in question")
    parser.add_argument("base", type=Path, help="the folder of the run that it is compared with")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    try:
        result = compare(read_run(arguments.run), read_run(arguments.base))
    except (UsageError, OSError) as error:
        sys.exit(str(error))
    print(json.dumps(result) if arguments.json else to_markdown(result))


def read_run(folder: Path) -> Run:
    """Raises UsageError or OSError where `folder` is no run."""
    path = folder / "predictions.jsonl"
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    predictions = {prediction.question_id: prediction for prediction in read_predictions(path)}
    return Run(config["settings"], predictions, score_predictions(load_items(path)))


def compare(run: Run, base: Run) -> dict[str, Any]:
    """The figures of both runs and of the gain. Raises UsageError where they answered other questions."""
    if run.predictions.keys() != base.predictions.keys():
        raise UsageError("the runs are over other questions", "compare runs with the same --data and --limit, both finished")
    pairs = _pairs(run.scores, base.scores)
    old, new = dict(flatten(base.settings)), dict(flatten(run.settings))
    return {
        "questions": len(pairs),
        "settings": {name: [new.get(name), old.get(name)] for name in {**old, **new} if old.get(name) != new.get(name)},
        "run": _figures(run),
        "base": _figures(base),
        "gain": {name: _gain(pairs, measure) for name, measure in _MEASURES.items()},
        "better": sum(a.credit > b.credit for a, b in pairs),
        "worse": sum(a.credit < b.credit for a, b in pairs),
    }


def _pairs(run: Scores, base: Scores) -> list[tuple[ScoredItem, ScoredItem]]:
    by_id = {one.item.question_id: one for one in base.items}
    return [(one, by_id[one.item.question_id]) for one in run.items]


def _figures(run: Run) -> dict[str, Any]:
    scores, predictions = run.scores, run.predictions.values()
    parts = (scores.answerable.accuracy, scores.unanswerable.accuracy)
    usage = add_usage(*(prediction.usage for prediction in predictions))
    are_known = any(prediction.read_pages for prediction in predictions)  # older runs don't tell
    found = [_found(one, run.predictions[one.item.question_id]) for one in scores.items if are_known and _wanted(one)]
    return {
        "accuracy": scores.accuracy,
        "answerable": parts[0],
        "unanswerable": parts[1],
        "mean": (parts[0] + parts[1]) / 2 if parts[0] is not None and parts[1] is not None else None,
        "f1": scores.f1,
        "all_evidence_read": sum(found) / len(found) if found else None,
        "failed": sum(prediction.outcome == "failed" for prediction in predictions),
        "milliseconds": float(np.mean([prediction.milliseconds for prediction in predictions])),
        "usage": usage,
        "cost": cost(usage, run.settings.get("input_price", 0.0), run.settings.get("output_price", 0.0)),
    }


def _wanted(one: ScoredItem) -> bool:
    return one.item.answerable and bool(one.item.evidence_pages)


def _found(one: ScoredItem, prediction: Prediction) -> bool:
    """Whether every evidence page was among the pages that were read."""
    return set(one.item.evidence_pages or ()) <= set(prediction.read_pages)


Measure = Callable[[Columns], Columns]
# Of sums over questions: credit gained and number, of answerable questions, then of the others.
_MEASURES: Mapping[str, Measure] = {
    "accuracy": lambda sums: (sums[:, 0] + sums[:, 2]) / (sums[:, 1] + sums[:, 3]),
    "answerable": lambda sums: _ratio(sums[:, 0], sums[:, 1]),
    "unanswerable": lambda sums: _ratio(sums[:, 2], sums[:, 3]),
    "mean": lambda sums: (_ratio(sums[:, 0], sums[:, 1]) + _ratio(sums[:, 2], sums[:, 3])) / 2,
}


def _gain(pairs: Sequence[tuple[ScoredItem, ScoredItem]], measure: Measure) -> list[float] | None:
    """Estimate, low, high; None where there is nothing to compare, or one document only."""
    gains = [(a.credit - b.credit, a.item.answerable) for a, b in pairs]
    rows = np.asarray([(gain * is_, is_, gain * (not is_), not is_) for gain, is_ in gains], np.float64)
    found: Interval | None = bootstrap(rows, [a.item.doc_id for a, _ in pairs], measure)
    return None if found is None else [found.estimate, found.low, found.high]


def _ratio(gained: Columns, count: Columns) -> Columns:
    return np.divide(gained, count, out=np.full_like(gained, np.nan), where=count > 0)


def to_markdown(result: dict[str, Any]) -> str:
    rows = [
        (name, *(_percent(result[which][name]) for which in ("run", "base")), _gain_text(result["gain"].get(name)))
        for name in ("accuracy", "answerable", "unanswerable", "mean", "f1", "all_evidence_read")
    ]
    rows += [
        (name, *(_number(result[which][name]) for which in ("run", "base")), "") for name in ("failed", "milliseconds", "cost")
    ]
    names = dict.fromkeys([*result["run"]["usage"], *result["base"]["usage"]])
    rows += [(name, *(f"{result[which]['usage'].get(name, 0):,}" for which in ("run", "base")), "") for name in names]
    changed = [f"- {name}: {new!r}, was {old!r}" for name, (new, old) in result["settings"].items()]
    told = f"{result['questions']} questions: {result['better']} better, {result['worse']} worse."
    return "\n\n".join([told, "\n".join(changed) or "The settings are the same.", table(("", "run", "base", "gain"), rows)])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}"


def _gain_text(gain: list[float] | None) -> str:
    return "" if gain is None else "{:+.1f} [{:+.1f}, {:+.1f}]".format(*(100 * value for value in gain))


if __name__ == "__main__":
    main()
