"""The charts of a report, each as SVG for the page and as PNG for a paper. They are drawn by matplotlib."""

from __future__ import annotations

from docrag.eval.report.bars import breakdown_chart
from docrag.eval.report.dots import gains_chart, headline_chart
from docrag.eval.report.drawing import WIDTH, Chart
from docrag.eval.report.heat import needles_chart
from docrag.eval.report.lines import recall_at_k_chart, recall_at_tokens_chart, tradeoff_chart

__all__ = [
    "WIDTH",
    "Chart",
    "breakdown_chart",
    "gains_chart",
    "headline_chart",
    "needles_chart",
    "recall_at_k_chart",
    "recall_at_tokens_chart",
    "tradeoff_chart",
]
