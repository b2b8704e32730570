"""What a run took: tokens, money and seconds, a question and in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from docrag.eval.cases import Case
from docrag.pipelines.loop import add_usage, cost


def spending(cases: Sequence[Case], settings: Mapping[str, Any]) -> dict[str, float]:
    """See `Analysis.spending`; cost is by the prices of a million tokens in `settings`, absent where these are not known."""
    made = [case.prediction for case in cases if case.prediction is not None]
    prices = settings.get("input_price", 0.0), settings.get("output_price", 0.0)
    values: dict[str, list[float]] = {
        "seconds": [prediction.milliseconds / 1000 for prediction in made],
        "cost": [cost(prediction.usage, *prices) or 0.0 for prediction in made],
        "context_tokens": [prediction.context_tokens for prediction in made],
        "read_pages": [len(prediction.read_pages) for prediction in made],
        "rounds": [prediction.rounds for prediction in made],
    }
    for name in add_usage(*(prediction.usage for prediction in made)):
        values[name] = [prediction.usage.get(name, 0) for prediction in made]
    return {key: value for name, numbers in values.items() if any(numbers) for key, value in _spread(name, numbers).items()}


def _spread(name: str, numbers: Sequence[float]) -> dict[str, float]:
    return {
        f"{name}_median": float(np.median(numbers)),
        f"{name}_p95": float(np.percentile(numbers, 95)),
        f"{name}_mean": float(np.mean(numbers)),
        f"{name}_total": float(sum(numbers)),
    }
