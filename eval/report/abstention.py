"""The chapter on refusals: what became of the questions that can be answered, and of those that can't."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from docrag.eval.cases import Case
from docrag.eval.report.runs import Run
from docrag.eval.report.view import Cell, Drawing, Section, Table, count_cell, table

_OUTCOMES = ("right", "wrong", "refused", "failed", "not answered")


def abstention_section(runs: Sequence[Run], drawings: tuple[Drawing, ...]) -> Section | None:
    """None for runs that only searched."""
    answered = [run for run in runs if run.analysis.counts["scored"]]
    if not answered:
        return None
    lead = (
        "Whoever refuses more is right more often where the document does not answer, and loses answers where it does. "
        "The marked point is the run as it stands; along the line it would also refuse what it was least confident of."
    )
    tables = tuple(_outcomes(run, run.name if len(runs) > 1 else "What became of the questions") for run in answered)
    return Section("abstention", "Refusing and answering", lead, drawings=drawings, beside=tables)


def _outcomes(run: Run, title: str) -> Table:
    counts = Counter((case.answerable, _outcome(case)) for case in run.cases.values())
    shown = [outcome for outcome in _OUTCOMES if counts[True, outcome] or counts[False, outcome]]
    rows = [
        [Cell(name), *(_cell(counts[answerable, outcome], good=_is_good(answerable, outcome)) for outcome in shown)]
        for name, answerable in (("answerable", True), ("unanswerable", False))
    ]
    return table(["questions", *shown], rows, title)


def _outcome(case: Case) -> str:
    """A refusal is right where nothing answers, but is counted as what it is."""
    if case.failed:
        return "failed"
    if case.refused:
        return "refused"
    if case.score is None:
        return "not answered"
    return "right" if case.score > 0 else "wrong"


def _is_good(answerable: bool, outcome: str) -> bool:
    return outcome == ("right" if answerable else "refused")


def _cell(count: int, *, good: bool) -> Cell:
    cell = count_cell(count)
    return Cell(cell.text, "", "number good") if good and count else cell
