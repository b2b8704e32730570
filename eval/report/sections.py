"""The chapters of the report, each made from the analyses of the runs that it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from docrag.eval.figures import Breakdown, Figure
from docrag.eval.report.charts import breakdown_chart
from docrag.eval.report.drawing import Chart
from docrag.eval.report.runs import CHARTED_RUNS, Run
from docrag.eval.report.view import (
    DASH,
    Cell,
    Drawing,
    Section,
    Table,
    Tile,
    TileGroup,
    count_cell,
    figure_cell,
    interval,
    percent,
    shown_value,
    table,
)
from docrag.eval.report.words import count
from docrag.eval.summary import flatten

# Key of Analysis.headline, name, and what it means, under headings that keep the two measures apart.
HEADLINE = (
    (
        "Official: the benchmark's own rules",
        (
            ("accuracy", "Accuracy", "mean score over all questions"),
            ("f1", "F1", "of answers to answerable questions; a refusal costs recall, a wrong answer both"),
            ("answerable", "On answerable questions", "0 % for a system that refuses everything"),
            ("unanswerable", "On unanswerable (UNA)", "100 % for a system that refuses everything"),
            ("balanced", "Mean of these two", "50 % for a system that refuses everything"),
        ),
    ),
    (
        "Official: by pages needed",
        (
            ("single_page", "On one page", "questions whose evidence is on a single page"),
            ("cross_page", "On several pages", "the other answerable questions"),
        ),
    ),
    (
        "Strict: docrag's own",
        (
            (
                "strict_accuracy",
                "Strict accuracy",
                "the official rules without their holes; not for setting beside published figures",
            ),
            ("strict_answerable", "Strict, answerable", "the same on answerable questions"),
        ),
    ),
    (
        "Refusals and failures",
        (
            ("abstention_precision", "Refusals that were right", "of all refusals"),
            ("abstention_recall", "Refused rightly", "of the unanswerable questions"),
            ("wrongly_refused", "Refused wrongly", "of the answerable questions"),
            ("failed", "Failed", "no answer that can be read, or a document that is missing"),
        ),
    ),
)


SCOPES = (("document", "in the question's own document"), ("library", "in the whole library"))
FOUND = (
    *((f"recall@{k}", f"Recall at {k}", f"share of the evidence among the first {k}") for k in (3, 5, 10)),
    ("all@5", "All at 5", "all of the evidence among the first 5"),
    ("mrr", "MRR", "1 / the rank of the first evidence page"),
)


def headline_section(runs: Sequence[Run]) -> Section:
    """For one run tiles, for several a table with a column for each. A run alone that only searched shows what it found."""
    lead = "In percent, each with its 95 % interval over documents."
    if len(runs) > 1:
        head = ["", *(run.name for run in runs)]
        tables = tuple(table(head, [_headline_row(runs, *one) for one in known], title) for title, known in HEADLINE)
        return Section("headline", "Headline", lead, tables=tables)
    analysis = runs[0].analysis
    if analysis.counts["scored"]:
        groups = tuple(TileGroup(title, _tiles(known, analysis.headline)) for title, known in HEADLINE)
    else:
        groups = tuple(
            TileGroup(f"Evidence found {where}", _tiles(FOUND, analysis.retrieval[scope]))
            for scope, where in SCOPES
            if scope in analysis.retrieval
        )
    return Section("headline", "Headline", lead, groups=groups)


def _tiles(known: Sequence[tuple[str, str, str]], figures: Mapping[str, Figure]) -> tuple[Tile, ...]:
    return tuple(Tile(name, percent(figures[key]), interval(figures[key]), note) for key, name, note in known)


def _headline_row(runs: Sequence[Run], key: str, name: str, note: str) -> list[Cell]:
    return [Cell(name, note), *(figure_cell(run.analysis.headline.get(key)) for run in runs)]


def breakdown_section(runs: Sequence[Run], draw: Callable[[Chart, str], str]) -> Section | None:
    """A chart and a table for each breakdown of the first run, with the second beside it where there are two."""
    drawings: list[Drawing] = []
    for breakdown in runs[0].analysis.breakdowns:
        shown = [(run.name, other) for run in runs if (other := run.analysis.breakdown(breakdown.key))]
        if any(figure.questions for _, figure in breakdown.rows):
            chart = breakdown_chart(shown if len(shown) <= CHARTED_RUNS else shown[:1])
            drawings.append(Drawing(breakdown.title, draw(chart, f"by-{breakdown.key}"), _breakdown_table(shown)))
    if not drawings:
        return None
    lead = "Official accuracy by group, with 95 % intervals. Small groups have wide ones: read them with care."
    return Section("breakdowns", "Where it is right and where it is not", lead, drawings=tuple(drawings))


def _breakdown_table(runs: Sequence[tuple[str, Breakdown]]) -> Table:
    """A column for each run, or for one run besides the accuracy on answerable and unanswerable questions, where both occur."""
    one = runs[0][1]
    if len(runs) > 1:
        columns = [(name, dict(breakdown.rows)) for name, breakdown in runs]
    else:
        parts = (("accuracy", one.rows), ("answerable", one.answerable), ("unanswerable", one.unanswerable))
        columns = [(name, dict(rows)) for name, rows in parts if rows]
    labels = dict.fromkeys(label for _, figures in columns for label in figures)
    rows = [
        [
            Cell(label, count(_questions(columns, label), "question")),
            *(figure_cell(figures.get(label)) for _, figures in columns),
        ]
        for label in labels
    ]
    return table(["", *(name for name, _ in columns)], rows)


def _questions(columns: Sequence[tuple[str, Mapping[str, Figure]]], label: str) -> int:
    return max(figures[label].questions for _, figures in columns if label in figures)


RETRIEVAL_NOTES = "Over the answerable questions that have evidence pages inside their document."


_MEASURES = {
    "recall": "recall",
    "all": "all of it found",
    "hit": "any of it found",
    "precision": "precision",
    "f1": "page F1",
    "ndcg": "nDCG",
}


def retrieval_section(runs: Sequence[Run], drawings: tuple[Drawing, ...]) -> Section | None:
    """Recall against k and tokens, and every metric in each scope."""
    tables = tuple(
        _metric_table(metrics, f"{run.name}, {where}" if len(runs) > 1 else where.capitalize())
        for scope, where in SCOPES
        for run in runs
        if run.searched and (metrics := run.analysis.retrieval.get(scope))
    )
    if not tables and not drawings:
        return None
    lead = f"Which of the pages that hold the evidence the search found, and how early. {RETRIEVAL_NOTES}"
    return Section("retrieval", "Pages found", lead, drawings=drawings, beside=tables)


def _metric_table(metrics: Mapping[str, Figure], title: str) -> Table:
    """Measures by depth; what has no depth (mrr) is a row with one figure."""
    depths = sorted({int(name.partition("@")[2]) for name in metrics if "@" in name})
    at_depth = dict.fromkeys(name.partition("@")[0] for name in metrics if "@" in name)
    rows = [
        [Cell(_MEASURES.get(name, name)), *(figure_cell(metrics.get(f"{name}@{depth}")) for depth in depths)]
        for name in sorted(at_depth, key=[*_MEASURES, *at_depth].index)
    ]
    rows += [
        [Cell("MRR" if name == "mrr" else name), figure_cell(figure), *(Cell("") for _ in depths[1:])]
        for name, figure in metrics.items()
        if "@" not in name
    ]
    return table(["in the first", *(f"{depth}" for depth in depths)], rows, title)


EVIDENCE = (
    ("in_context_all", "All evidence pages were in the context", "of the answerable questions"),
    ("in_context_any", "At least one was", "of the answerable questions"),
    ("read_precision", "Of the pages read, evidence", "precision, a question"),
    ("read_recall", "Of the evidence pages, read", "recall, a question"),
    ("read_f1", "F1 of the two", "a question"),
    ("answer_given_all", "Accuracy where all of them were", ""),
    ("answer_given_some", "Accuracy where some of them were", ""),
    ("answer_given_none", "Accuracy where none was", "right answers here rest on luck, or on other pages"),
)


def evidence_section(runs: Sequence[Run]) -> Section | None:
    if not any(figure.questions for run in runs for figure in run.analysis.evidence.values()):
        return None
    rows = [[Cell(name, note), *_with_counts(key, runs)] for key, name, note in EVIDENCE]
    head = ["", *(title for run in runs for title in (run.name if len(runs) > 1 else "share", "questions"))]
    lead = "Is a wrong answer the search's fault or the reader's? What the reader was shown, and how it did with that."
    return Section("evidence", "Evidence in context", lead, tables=(table(head, rows),))


def _with_counts(key: str, runs: Sequence[Run]) -> list[Cell]:
    figures = [run.analysis.evidence.get(key) for run in runs]
    return [cell for figure in figures for cell in (figure_cell(figure), count_cell(figure.questions if figure else 0))]


_KINDS = ("median", "p95", "mean", "total")


def spending_section(runs: Sequence[Run]) -> Section | None:
    """A table a run: what a question took at the median, at the 95th percentile and on average, and all of them together."""
    tables = tuple(
        table([run.name if len(runs) > 1 else "a question", "median", "95th percentile", "mean", "in all"], rows)
        for run in runs
        if (rows := _spending_rows(run.analysis.spending))
    )
    lead = "Tokens, money and time, as far as the run kept them. Seconds include the search."
    return Section("spending", "Spending", lead, tables=tables) if tables else None


def _spending_rows(spending: Mapping[str, float]) -> list[list[Cell]]:
    names = dict.fromkeys(name.rpartition("_")[0] for name in spending)
    return [[Cell(name.replace("_", " ")), *(_amount(spending.get(f"{name}_{kind}")) for kind in _KINDS)] for name in names]


def _amount(value: float | None) -> Cell:
    if value is None:
        return Cell(DASH, "", "number")
    return Cell(f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:,.3g}", "", "number")


def config_table(runs: Sequence[Run]) -> Table:
    """Every setting of every run, by dotted name."""
    flat = [dict(flatten(run.record.config)) for run in runs]
    names = dict.fromkeys(name for settings in flat for name in settings)
    rows = [[Cell(name), *(Cell(shown_value(settings.get(name))) for settings in flat)] for name in names]
    return table(["setting", *(run.name for run in runs)], rows)
