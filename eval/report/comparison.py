"""The chapter that compares two runs question by question."""

from __future__ import annotations

from collections.abc import Callable

from docrag.eval.figures import Comparison
from docrag.eval.report.charts import Chart, gains_chart
from docrag.eval.report.runs import Run
from docrag.eval.report.view import Cell, Drawing, Section, Table, figure_cell, gain_cell, shown_value, table
from docrag.eval.report.words import measure_name
from docrag.eval.summary_text import other_references_text


def comparison_section(first: Run, second: Run, found: Comparison, key: str, draw: Callable[[Chart, str], str]) -> Section:
    """The paired differences of two runs on the questions that both have; `key` names the chapter and its chart."""
    drawings: tuple[Drawing, ...] = ()
    if any(gain.value is not None for gain in found.gains.values()):
        chart = gains_chart(found.gains, (first.name, second.name))
        drawings = (Drawing(chart.title, draw(chart, key)),)
    lead = (
        f"{first.name} minus {second.name} on the {found.common} questions that both have, question by question. In percentage "
        "points; a difference whose interval holds 0 may be chance, and so may one without an interval, which has too few "
        "documents for one, or all of them changed by the same."
    )
    settings = [[Cell(name), Cell(shown_value(a)), Cell(shown_value(b))] for name, (a, b) in found.settings.items()]
    differing = table(["what differs in the settings", first.name, second.name], settings)
    return Section(
        key=key,
        title=f"{first.name} against {second.name}",
        lead=lead,
        drawings=drawings,
        beside=(_measured(first, second, found),),
        tables=(differing,) if settings else (),
        notes=tuple(_notes(first, second, found)),
    )


def _measured(first: Run, second: Run, found: Comparison) -> Table:
    rows = [
        [Cell(measure_name(name)), gain_cell(gain), figure_cell(found.a.get(name)), figure_cell(found.b.get(name))]
        for name, gain in found.gains.items()
    ]
    # The difference first: on a phone what stands last is out of sight.
    return table(["", f"{first.name} minus {second.name}", first.name, second.name], rows)


def _notes(first: Run, second: Run, found: Comparison) -> list[str]:
    notes: list[str] = []
    compared = f"Compared here are the {found.common} that both have; the headline above is each run's own."
    only_a, only_b = found.only_a - found.unasked_b, found.only_b - found.unasked_a
    if only_a or only_b:
        others = f"{only_a} are only in {first.name}, {only_b} only in {second.name}"
        notes.append(f"These runs have different questions: {others}. {compared}")
    for run, unasked in ((first, found.unasked_a), (second, found.unasked_b)):
        if unasked:
            notes.append(f"{run.name} has not come to {unasked} of the questions yet. {compared}")
    if found.other_references:
        notes.append(other_references_text(found, (first.name, second.name)))
    if "accuracy" in found.gains:  # both were answered
        equal = found.common - len(found.better) - len(found.worse)
        higher = f"{first.name} has the higher official score on {len(found.better)} questions"
        notes.append(f"{higher} and the lower on {len(found.worse)}; on the other {equal} they are equal.")
    return notes
