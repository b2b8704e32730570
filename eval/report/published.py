"""The chapter that sets runs beside published systems, each row with its source and why it may be compared or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from docrag.eval.published import Beside, comparable_to
from docrag.eval.report.charts import Chart, headline_chart
from docrag.eval.report.runs import CHARTED_RUNS, Run
from docrag.eval.report.view import DASH, Cell, Drawing, Section, figure_cell, table

_HEAD = ("", "accuracy", "F1", "UNA", "pages and answers by", "may it be set beside this run?")


def published_section(runs: Sequence[Run], draw: Callable[[Chart, str], str]) -> Section | None:
    """A chart and a table; None for runs of other benchmarks, and for those that only searched."""
    first = runs[0]
    if first.record.config.get("retrieval_only") or not _is_mmlongbench(first):
        return None
    beside = comparable_to(first.record.config, _extracted_by(first))
    charted = [(run.name, run.analysis.headline["accuracy"]) for run in runs]
    chart = headline_chart(charted if len(charted) <= CHARTED_RUNS else charted[:1], beside)
    ours = [_our_row(run) for run in runs]
    shared = [reason for reason in beside[0].reasons if all(reason in one.reasons for one in beside)] if beside else []
    rows = [*ours, *(_their_row(one, shared) for one in beside)]
    lead = (
        "Official accuracy and F1 on MMLongBench-Doc as published, without intervals, for none were given. "
        "Many differ in what they ask, read or count: the last column says so for each."
    )
    return Section(
        "published",
        "Beside published systems",
        lead,
        notes=(f"None of them may be set beside this run as it is: {'; '.join(shared)}.",) if shared else (),
        drawings=(Drawing(chart.title, draw(chart, "published")),),
        tables=(replace(table(_HEAD, rows), stacked=True),),
    )


def _extracted_by(run: Run) -> str:
    """The extractor that is on record; docrag's own runs have none, and those of before did not say so."""
    return str(run.record.config.get("extracted_by") or "")


def _is_mmlongbench(run: Run) -> bool:
    benchmark = run.record.config.get("benchmark") or "mmlongbench-doc"  # runs of before said nothing, and knew no other
    return str(benchmark).startswith("mmlongbench-doc")


def _our_row(run: Run) -> list[Cell]:
    headline = run.analysis.headline
    figures = [figure_cell(headline.get(key)) for key in ("accuracy", "f1", "unanswerable")]
    reader = run.record.config.get("settings", {}).get("reader", DASH)
    extracted = _extracted_by(run)
    stage = f"answers extracted by {extracted}" if extracted else "answers as given, not extracted"
    return [Cell(run.name, "this report"), *figures, Cell("retrieval", f"{reader}; {stage}"), Cell(DASH)]


def _their_row(one: Beside, shared: Sequence[str]) -> list[Cell]:
    """`shared` are the reasons that hold for every system; they are told once, above."""
    system = one.system
    year = f", {system.year}" if system.year else ""
    own = "; ".join(reason for reason in one.reasons if reason not in shared)
    judged = Cell("Yes", system.note, "reason") if one.comparable else Cell("No", own or "as above", "reason")
    return [
        Cell(system.system, f"{system.source}{year}"),
        *(_share(value) for value in (system.accuracy, system.f1, system.una)),
        Cell(system.setting, system.protocol),
        judged,
    ]


def _share(value: float | None) -> Cell:
    return Cell(DASH if value is None else f"{100 * value:.1f} %", "", "number")
