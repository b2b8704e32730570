"""Runs in, report out: the chapters in their order, the charts that a paper may want, and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from docrag.eval.breakdowns import titles_of
from docrag.eval.compare import compare
from docrag.eval.figures import Comparison
from docrag.eval.report import sections
from docrag.eval.report.abstention import abstention_section
from docrag.eval.report.charts import Chart
from docrag.eval.report.comparison import comparison_section
from docrag.eval.report.curves import recall_drawings, tradeoff_drawings
from docrag.eval.report.html import Page, render
from docrag.eval.report.needles import needles_section
from docrag.eval.report.pictures import Pictures
from docrag.eval.report.published import published_section
from docrag.eval.report.rows import QuestionRow
from docrag.eval.report.runs import Run
from docrag.eval.report.script import Styles
from docrag.eval.report.told import notes_of, sentences_of, title_of
from docrag.eval.report.view import Opening
from docrag.eval.summary import flatten
from docrag.eval.summary_text import comparison_text, summary_text

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
        *(
            comparison_section(runs[0], other, comparison, f"gains-{place}" if place else "gains", book.draw)
            for place, (other, comparison) in enumerate(comparisons)
        ),
        None if opening else published_section(runs, book.draw),  # with an opening of its own it is no benchmark run
        needles_section(runs, book.draw),
        sections.breakdown_section(runs, book.draw),
        sections.retrieval_section(runs, recall_drawings(runs, book.draw)),
        abstention_section(runs, tradeoff_drawings(runs, book.draw)),
        sections.evidence_section(runs),
        sections.spending_section(runs),
    ]
    sentences = sentences_of(runs)
    page = Page(
        title=f"docrag: {' and '.join(run.name for run in runs)}",
        opening=opening or Opening(title_of(runs), sentences),
        sentence=" ".join(sentences),
        notes=notes_of(runs),
        sections=tuple(section for section in found if section),
        config=sections.config_table(runs),
        titles=titles_of(runs[0].record.config),
        questions=len(rows),
        runs=len(runs),
        picture_note=NO_PICTURES.format(pictures.note) if pictures.note else "",
    )
    html = render(page, [run.name for run in runs], rows, pictures, book.styles)
    return Report(html, _summary(runs, comparisons), book.charts)


def _summary(runs: Sequence[Run], comparisons: Sequence[tuple[Run, Comparison]]) -> str:
    """Markdown: each run, then what the first has more than the others."""
    told = [summary_text(run.analysis, flatten(run.record.config), run.name if len(runs) > 1 else "") for run in runs]
    return "\n".join([*told, *(comparison_text(found, (runs[0].name, other.name)) for other, found in comparisons)])
