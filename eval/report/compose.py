"""Runs in, report out: the chapters in their order, the charts that a paper may want, and the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from docrag.eval.compare import compare
from docrag.eval.figures import Comparison, Curve
from docrag.eval.report import sections
from docrag.eval.report.abstention import abstention_section
from docrag.eval.report.charts import Chart, gains_chart, recall_at_k_chart, recall_at_tokens_chart, tradeoff_chart
from docrag.eval.report.comparison import comparison_section
from docrag.eval.report.html import Page, render
from docrag.eval.report.needles import needles_section
from docrag.eval.report.pictures import Pictures
from docrag.eval.report.published import published_section
from docrag.eval.report.rows import QuestionRow
from docrag.eval.report.runs import Run
from docrag.eval.report.script import Styles
from docrag.eval.report.view import Drawing, Opening, Section
from docrag.eval.summary import flatten
from docrag.eval.summary_text import comparison_text, summary_text

_BENCHMARKS = {"mmlongbench-doc": "MMLongBench-Doc", "questions": "Questions of one's own", "needles": "Page needles"}
NO_PICTURES = "This report has no page pictures: {}."


@dataclass(frozen=True, slots=True)
class Report:
    """The page, the figures as Markdown, and the page's charts by name."""

    html: str
    summary: str
    charts: Mapping[str, Chart]


class _Sketchbook:
    """Draws charts into the page and remembers them by name."""

    def __init__(self) -> None:
        self.styles = Styles()
        self.charts: dict[str, Chart] = {}

    def draw(self, chart: Chart, name: str) -> str:
        self.charts[name] = chart
        return self.styles.lift(chart.svg(name))


def compose(runs: Sequence[Run], rows: Sequence[QuestionRow], pictures: Pictures, opening: Opening | None = None) -> Report:
    """The report of one or more runs and their questions; with several runs, the others are compared with the first.

    `opening` stands on top, in place of what was run in a sentence.
    """
    book = _Sketchbook()
    comparisons = [(other, compare(runs[0].record, other.record)) for other in runs[1:]]
    found = [
        sections.headline_section(runs),
        *(_comparison(runs[0], other, comparison, book, alone=len(runs) == 2) for other, comparison in comparisons),
        None if opening else published_section(runs, book.draw),  # with an opening of its own it is no benchmark run
        needles_section(runs, book.draw),
        sections.breakdown_section(runs, book.draw),
        sections.retrieval_section(runs, tuple(_recall_drawings(runs, book.draw))),
        abstention_section(runs, tuple(_tradeoff_drawings(runs, book.draw))),
        sections.evidence_section(runs, ()),
        sections.spending_section(runs),
    ]
    sentences = tuple(_sentence(run) if len(runs) == 1 else f"{run.name}: {_sentence(run)}" for run in runs)
    page = Page(
        title=f"docrag: {' and '.join(run.name for run in runs)}",
        opening=opening or Opening(_title(runs), sentences),
        sentence=" ".join(sentences),
        notes=tuple(_notes(runs)),
        sections=tuple(section for section in found if section),
        config=sections.config_table(runs),
        questions=len(rows),
        runs=len(runs),
        picture_note=NO_PICTURES.format(pictures.note) if pictures.note else "",
    )
    html = render(page, [run.name for run in runs], rows, pictures, book.styles)
    return Report(html, _summary(runs, comparisons), book.charts)


def _summary(runs: Sequence[Run], comparisons: Sequence[tuple[Run, Comparison]]) -> str:
    """Markdown: each run, then what the first has more than the others."""
    told = [summary_text(run.analysis, flatten(run.record.config)) for run in runs]
    return "\n".join([*told, *(comparison_text(found, (runs[0].name, other.name)) for other, found in comparisons)])


def _title(runs: Sequence[Run]) -> str:
    if len(runs) > 1:
        return " against ".join(run.name for run in runs)
    benchmark = str(runs[0].record.config.get("benchmark") or "mmlongbench-doc")
    return f"{_BENCHMARKS.get(benchmark, benchmark.capitalize())}: {runs[0].name}"


def _sentence(run: Run) -> str:
    config = run.record.config
    reader = config.get("settings", {}).get("reader")
    documents = len({question.doc_id for question in run.record.questions} - {""})
    where = "the whole library" if config.get("scope") == "library" else "its own document"
    what = (
        "Nothing was answered; pages were searched" if config.get("retrieval_only") else f"Answered by {reader}, pages searched"
    )
    commit = config.get("git_commit")
    version = f"docrag {config.get('docrag', '')}" + (f", commit {commit[:10]}" if isinstance(commit, str) else "")
    asked = f"{len(run.record.questions):,} questions about {documents:,} documents"
    return f"{asked}. {what} for each question in {where}. {version}."


def _notes(runs: Sequence[Run]) -> list[str]:
    return [
        f"{run.name} is not finished: {len(run.record.predictions):,} of {len(run.record.questions):,} questions are asked. "
        "The others count as wrong here."
        for run in runs
        if not run.record.finished
    ]


def _comparison(first: Run, other: Run, found: Comparison, book: _Sketchbook, *, alone: bool) -> Section:
    drawings: tuple[Drawing, ...] = ()
    key = "gains" if alone else f"gains-{_slug(other.name)}"
    if any(gain.value is not None for gain in found.gains.values()):
        chart = gains_chart(found.gains, (first.name, other.name))
        drawings = (Drawing(chart.title, book.draw(chart, key)),)
    return comparison_section(first, other, found, key, drawings)


def _tradeoff_drawings(runs: Sequence[Run], draw: Callable[[Chart, str], str]) -> list[Drawing]:
    curves = _curves(runs, lambda run: run.analysis.tradeoff)
    if not curves:
        return []
    chart = tradeoff_chart(curves)
    return [Drawing(chart.title, draw(chart, "tradeoff"))]


def _slug(name: str) -> str:
    return "".join(sign if sign.isascii() and sign.isalnum() else "-" for sign in name)


def _curves(runs: Sequence[Run], curve_of: Callable[[Run], Curve | None]) -> list[tuple[str, Curve]]:
    """Of the runs that have one with a point: two at most, the first of more."""
    known = [(run.name, curve) for run in runs if (curve := curve_of(run)) and curve.x]
    return known if len(known) <= sections.CHARTED_RUNS else known[:1]


def _recall_drawings(runs: Sequence[Run], draw: Callable[[Chart, str], str]) -> list[Drawing]:
    drawings: list[Drawing] = []
    if len(runs) == 1:
        named = {"document": "in its document", "library": "in the library"}
        by_scope = [(named[scope], curve) for scope, curve in runs[0].analysis.recall_at_k.items() if curve.x]
    else:
        by_scope = _curves(runs, lambda run: run.analysis.recall_at_k.get("document"))
    if by_scope:
        chart = recall_at_k_chart(by_scope)
        drawings.append(Drawing(chart.title, draw(chart, "recall-at-k")))
    by_tokens = _curves(runs, lambda run: run.analysis.recall_at_tokens)
    if by_tokens:
        chart = recall_at_tokens_chart(by_tokens)
        drawings.append(Drawing(chart.title, draw(chart, "recall-at-tokens")))
    return drawings
