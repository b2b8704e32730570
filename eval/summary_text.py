"""The figures of a run as summary.md, and of one run against another: what matters most first, the settings last."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from docrag.eval.figures import Analysis, Breakdown, Comparison, Curve, Figure
from docrag.eval.retrieval import RECALL_DEPTHS

_HEADLINE = {
    "accuracy": "accuracy, official",
    "answerable": "on answerable questions",
    "unanswerable": "on unanswerable questions (UNA)",
    "balanced": "mean of the two",
    "f1": "F1, official",
    "single_page": "on one page",
    "cross_page": "on several pages",
    "strict_accuracy": "accuracy, strict (docrag's own)",
    "strict_answerable": "on answerable questions, strict",
    "abstention_precision": "refusals that were right",
    "abstention_recall": "unanswerable questions refused",
    "wrongly_refused": "answerable questions refused",
}
_EVIDENCE = {
    "in_context_all": "all evidence pages were read",
    "in_context_any": "at least one was",
    "read_precision": "of the pages read, evidence",
    "read_recall": "of the evidence pages, read",
    "read_f1": "F1 of the two",
    "answer_given_all": "accuracy where all were read",
    "answer_given_some": "accuracy where some were",
    "answer_given_none": "accuracy where none was",
}
_TRADEOFF_POINTS = 5
_REASONS_TOLD = 3
_LONGEST_REASON = 200  # characters; an error may tell a page


def summary_text(analysis: Analysis, settings: Iterable[tuple[str, Any]], name: str = "") -> str:
    """Markdown; `settings` are (name, value) and stand at the end. `name` is the run's, where there are several."""
    blocks = [
        f"# Results of {_cell(name)}" if name else "# Results",
        f"{_told(analysis.counts)} Figures are in percent; intervals are of 95 %, by bootstrap over documents.",
        *filter(None, [failures_text(analysis)]),
        *(_figures("answers", _named(analysis.headline, _HEADLINE)) if analysis.breakdowns else ()),
        *_retrieval(analysis.retrieval),
        *_figures("pages in the context", _named(analysis.evidence, _EVIDENCE)),
        *(_breakdown(breakdown) for breakdown in analysis.breakdowns),
        *_tradeoff(analysis.tradeoff),
        *_spending(analysis.spending),
        _table(("setting", "value"), settings),
    ]
    return "\n\n".join(blocks) + "\n"


def comparison_text(found: Comparison, names: tuple[str, str]) -> str:
    """Markdown: what the first of two runs gains over the second, who changed, what both took, and which settings differ."""
    a, b = map(_cell, names)
    told = f"{found.common:,} questions in common: {len(found.better):,} better, {len(found.worse):,} worse in {a}."
    if found.other_references:
        told += f" {other_references_text(found, (a, b))}"
    left_out = [f"{count:,} of {name}" for count, name in zip((found.only_a, found.only_b), (a, b), strict=True) if count]
    gains = [(name, _percent(found.a[name]), _percent(found.b[name]), _gain(gain)) for name, gain in found.gains.items()]
    took = [name for name in dict.fromkeys([*found.spending_a, *found.spending_b]) if name.endswith(("_mean", "_p95"))]
    spent = [
        (name.replace("_", " "), *(_number(of.get(name, 0.0)) for of in (found.spending_a, found.spending_b))) for name in took
    ]
    blocks = [
        f"# {a} against {b}",
        told + (f" Left out: {', '.join(left_out)}." if left_out else ""),
        _table(("%", *names, "gain"), gains),
        *([_table(("a question took", *names), spent)] if spent else ()),
        _table(("setting", *names), ((name, *values) for name, values in found.settings.items()))
        if found.settings
        else "The settings are the same.",
    ]
    return "\n\n".join(blocks) + "\n"


def other_references_text(found: Comparison, names: tuple[str, str]) -> str:
    """That the runs were scored by different references, for whoever compares them."""
    many = found.other_references
    asked = f"{many:,} of these questions have" if many > 1 else "One of these questions has"
    return f"{asked} another answer, format or evidence pages in {names[1]} than in {names[0]}, by which both are scored here."


def failures_text(analysis: Analysis) -> str:
    """How many questions failed, and why: the most frequent reasons. "" where none did."""
    if not analysis.failures:
        return ""
    counts = analysis.counts
    told = [f"{count:,}: {_short(why)}" for why, count in list(analysis.failures.items())[:_REASONS_TOLD]]
    more = len(analysis.failures) - len(told)
    others = [f"{more:,} other reasons" if more > 1 else "another reason"] if more else []
    return (
        f"{counts['failed']:,} of {counts['questions']:,} questions failed, and count as wrong. {'; '.join([*told, *others])}."
    )


def _short(why: str) -> str:
    line = " ".join(why.split()).rstrip(".")
    return line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON]} ..."


def _gain(gain: Figure) -> str:
    if gain.value is None or gain.low is None or gain.high is None:
        return "" if gain.value is None else f"{100 * gain.value:+.1f}"
    return f"{100 * gain.value:+.1f} ({100 * gain.low:+.1f} to {100 * gain.high:+.1f})"


def _told(counts: Mapping[str, int]) -> str:
    asked = f"{counts['questions']:,} questions about {counts['documents']:,} documents"
    parts = [f"{counts[name]:,} {name}" for name in ("answered", "refused", "failed", "unscored") if counts[name]]
    wrong = " What is unscored counts as wrong." if counts["unscored"] and counts["scored"] else ""
    return f"{asked}: {', '.join(parts)}.{wrong}"


def _named(figures: Mapping[str, Figure], names: Mapping[str, str]) -> list[tuple[str, Figure]]:
    return [(name, figures[key]) for key, name in names.items()]


def _figures(title: str, rows: Iterable[tuple[str, Figure]]) -> list[str]:
    """A table of those that have a value; nothing where none has."""
    known = [(name, _percent(one), _bounds(one), one.questions) for name, one in rows if one.value is not None]
    return [_table((title, "%", "interval", "questions"), known)] if known else []


def _breakdown(breakdown: Breakdown) -> str:
    """Where groups mix both kinds of questions, the accuracy on either stands beside that on all."""
    head = [breakdown.title.lower(), "%", "interval", "questions"]
    rows: list[list[Any]] = [[name, _percent(one), _bounds(one), one.questions] for name, one in breakdown.rows]
    for title, parts in (("answerable", breakdown.answerable), ("unanswerable", breakdown.unanswerable)):
        if parts:
            head.append(title)
            rows = [[*row, _percent(figure)] for row, (_, figure) in zip(rows, parts, strict=True)]
    return _table(head, rows)


def _retrieval(scopes: Mapping[str, Mapping[str, Figure]]) -> list[str]:
    """A table by depth for each scope, and MRR, which has none."""
    blocks: list[str] = []
    for scope, figures in scopes.items():
        mrr = figures["mrr"]
        if mrr.value is None:
            continue
        names = dict.fromkeys(name.partition("@")[0] for name in figures if "@" in name)
        rows = [(name, *(_with_bounds(figures.get(f"{name}@{k}")) for k in RECALL_DEPTHS)) for name in names]
        blocks.append(_table((f"pages found in the {scope}", *(f"first {k}" for k in RECALL_DEPTHS)), rows))
        blocks.append(f"MRR {_with_bounds(mrr)}; over {mrr.questions:,} answerable questions with evidence in their document.")
    return blocks


def _tradeoff(curve: Curve) -> list[str]:
    """Some of its points; nothing where there is only the run as it stands."""
    last = len(curve.x) - 1
    if last < 1:
        return []
    places = sorted({round(last * step / (_TRADEOFF_POINTS - 1)) for step in range(_TRADEOFF_POINTS)})
    rows = [(f"{100 * curve.x[place]:.1f}", f"{100 * curve.y[place]:.1f}", "" if place else "as it stands") for place in places]
    return [_table(("unanswerable refused, %", "accuracy on answerable, %", "refusing also the least confident"), rows)]


def _spending(figures: Mapping[str, float]) -> list[str]:
    names = [name.removesuffix("_total") for name in figures if name.endswith("_total")]
    rows = [
        (name.replace("_", " "), *(_number(figures[f"{name}_{of}"]) for of in ("median", "p95", "total"))) for name in names
    ]
    return [_table(("a question took", "median", "95th percentile", "in all"), rows)] if rows else []


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """The first column is of names, the others of numbers."""
    rule = "|".join(["---", *["---:"] * (len(head) - 1)])
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    return "\n".join([f"| {' | '.join(map(_cell, head))} |", f"|{rule}|", *lines])


def _percent(figure: Figure) -> str:
    return "-" if figure.value is None else f"{100 * figure.value:.1f}"


def _with_bounds(figure: Figure | None) -> str:
    return f"{_percent(figure)} ({_bounds(figure)})".removesuffix(" ()") if figure else ""


def _bounds(figure: Figure) -> str:
    return "" if figure.low is None or figure.high is None else f"{100 * figure.low:.1f} to {100 * figure.high:.1f}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or value >= 1000 else f"{value:.3g}"


def _cell(value: Any) -> str:
    """On one line, and without what ends a cell: a folder of a run may be called anything."""
    return " ".join(str(value).replace("|", "\\|").split())
