"""The runs of a report: each with the name that it goes by there, its cases and its analysis, worked out once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docrag.eval.analysis import analyse_judged
from docrag.eval.cases import Case, judge
from docrag.eval.figures import Analysis
from docrag.eval.record import RunRecord

CHARTED_RUNS = 2  # that a chart can show side by side; of more, the first alone


@dataclass(frozen=True, slots=True)
class Run:
    """`cases` are by question_id."""

    name: str
    record: RunRecord
    cases: Mapping[str, Case]
    analysis: Analysis

    @property
    def searched(self) -> bool:
        """Whether pages were ranked at all: in a run of needles nothing is searched."""
        return any(said.was_searched for said in self.record.predictions.values())


def open_runs(records: Sequence[RunRecord]) -> tuple[Run, ...]:
    """Each named by its folder; where two folders have the same name, by their paths."""
    names = [record.name for record in records]
    if len(set(names)) < len(names):
        names = [str(record.folder.resolve()) for record in records]
    return tuple(map(_run, names, records))


def _run(name: str, record: RunRecord) -> Run:
    judged = judge(record.questions, record.predictions)
    cases = {case.question.question_id: case for case in judged.cases}
    return Run(name, record, cases, analyse_judged(judged, record.config))
