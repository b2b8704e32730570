"""The chapter that compares two runs question by question."""

from __future__ import annotations

from docrag.eval.figures import Comparison
from docrag.eval.report.runs import Run
from docrag.eval.report.view import Cell, Drawing, Section, figure_cell, gain_cell, shown_value, table
from docrag.eval.report.words import measure_name


def comparison_section(first: Run, second: Run, found: Comparison, key: str, drawings: tuple[Drawing, ...]) -> Section:
    """The paired differences of two runs on the questions that both have."""
    rows = [
        [
            Cell(measure_name(key)),
            figure_cell(found.a.get(key)),
            figure_cell(found.b.get(key)),
            gain_cell(gain),
        ]
        for key, gain in found.gains.items()
    ]
    equal = found.common - len(found.better) - len(found.worse)
    changed = f"{first.name} has the higher official score on {len(found.better)} questions and the lower on {len(found.worse)}"
    notes = [f"{changed}; on the other {equal} they are equal."]
    if found.only_a or found.only_b:
        others = f"{found.only_a} are only in {first.name}, {found.only_b} only in {second.name}"
        compared = f"Compared here are the {found.common} that both have; the headline above is each run's own."
        notes.insert(0, f"These runs have different questions: {others}. {compared}")
    settings = [[Cell(name), Cell(shown_value(a)), Cell(shown_value(b))] for name, (a, b) in found.settings.items()]
    measured = table(["", first.name, second.name, f"{first.name} minus {second.name}"], rows)
    differing = table(["what differs in the settings", first.name, second.name], settings)
    lead = (
        f"{first.name} minus {second.name} on the {found.common} questions that both have, question by question. In percentage "
        "points; a difference whose interval holds 0 may be chance."
    )
    return Section(
        key=key,
        title=f"{first.name} against {second.name}",
        lead=lead,
        drawings=drawings,
        beside=(measured,),
        tables=(differing,) if settings else (),
        notes=tuple(notes),
    )
