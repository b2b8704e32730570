"""The chapter of a needle run: whether the one page that answers was found among many, by length and depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from docrag.eval.needle_result import NeedleResult, needle_result
from docrag.eval.needles import DEPTHS, length_name
from docrag.eval.report.charts import Chart, needles_chart
from docrag.eval.report.runs import Run
from docrag.eval.report.view import Cell, Drawing, Section, Table, count_cell, figure_cell, table

_HEAD = ("tokens", "right", "refused where it is absent", "refused although it is there", "failed", "pages")


def needles_section(runs: Sequence[Run], draw: Callable[[Chart, str], str]) -> Section | None:
    """A chart and a table for each run of needles; None where there is none."""
    found = [(run, needle_result(run.record)) for run in runs if run.record.config.get("benchmark") == "needles"]
    if not found:
        return None
    drawings: list[Drawing] = []
    tables: list[Table] = []
    for number, (run, result) in enumerate(found):
        shown = [[row.by_depth[depth].value for depth in DEPTHS] for row in result.rows]
        lengths = [length_name(row.length) for row in result.rows]
        chart = needles_chart(shown, lengths, [f"{100 * depth:.0f} %" for depth in DEPTHS], ("tokens", "depth of the page"))
        title = chart.title if len(found) == 1 else f"{run.name}: {chart.title}"
        drawings.append(Drawing(title, draw(chart, f"needles-{number}" if number else "needles")))
        tables.append(replace(table(_HEAD, _rows(result), "" if len(found) == 1 else run.name), stacked=True))
    lead = (
        "One page answers, among others of the library up to so many tokens, nothing is searched; and the same with that page "
        "left out, where only a refusal is right."
    )
    return Section("needles", "Page needles", lead, drawings=tuple(drawings), tables=tuple(tables))


def _rows(result: NeedleResult) -> list[list[Cell]]:
    return [
        [
            Cell(length_name(row.length)),
            *(figure_cell(figure) for figure in (row.accuracy, row.refused, row.wrongly_refused)),
            count_cell(row.failed),
            Cell(f"{row.pages:.0f}", "", "number"),
        ]
        for row in result.rows
    ]
