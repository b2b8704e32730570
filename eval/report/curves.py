"""The report's curves: recall against pages and tokens, and answering against refusing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from docrag.eval.figures import Curve
from docrag.eval.report.charts import Chart, recall_at_k_chart, recall_at_tokens_chart, tradeoff_chart
from docrag.eval.report.runs import CHARTED_RUNS, Run
from docrag.eval.report.view import Drawing

Draw = Callable[[Chart, str], str]
_SCOPES = {"document": "in its document", "library": "in the library"}


def recall_drawings(runs: Sequence[Run], draw: Draw) -> tuple[Drawing, ...]:
    """Of the runs that searched: those of their curves that are known."""
    searched = [run for run in runs if run.searched]
    charts: dict[str, Chart] = {}
    if at_k := _recall_at_k(searched):
        charts["recall-at-k"] = recall_at_k_chart(at_k)
    if at_tokens := _curves(searched, lambda run: run.analysis.recall_at_tokens):
        charts["recall-at-tokens"] = recall_at_tokens_chart(at_tokens)
    return tuple(Drawing(chart.title, draw(chart, name)) for name, chart in charts.items())


def tradeoff_drawings(runs: Sequence[Run], draw: Draw) -> tuple[Drawing, ...]:
    curves = _curves(runs, lambda run: run.analysis.tradeoff)
    if not curves:
        return ()
    chart = tradeoff_chart(curves)
    return (Drawing(chart.title, draw(chart, "tradeoff")),)


def _recall_at_k(runs: Sequence[Run]) -> list[tuple[str, Curve]]:
    """Of one run in each scope, of several in the question's document."""
    if len(runs) == 1:
        return [(_SCOPES[scope], curve) for scope, curve in runs[0].analysis.recall_at_k.items() if curve.x]
    return _curves(runs, lambda run: run.analysis.recall_at_k.get("document"))


def _curves(runs: Sequence[Run], curve_of: Callable[[Run], Curve | None]) -> list[tuple[str, Curve]]:
    """Of the runs that have one with a point: two at most, the first of more."""
    known = [(run.name, curve) for run in runs if (curve := curve_of(run)) and curve.x]
    return known if len(known) <= CHARTED_RUNS else known[:1]
