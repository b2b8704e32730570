"""A plan as people read it: a small table, what it recommends and why, and what each figure is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from docrag.plan.constants import Figure
    from docrag.plan.estimate import IngestTime, Option, Plan, Span

_STORAGE = {
    "text": "text lanes alone",
    "full": "visual, float16, exact",
    "pooled": "visual, pooled + rescored",
    "turbo": "visual, pooled in 4 bits",
    "binary": "visual, pooled in 1 bit",
}
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
_TIMES = (("years", 365 * 86_400.0), ("days", 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0), ("ms", 0.001))
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"))


def plan_text(plan: Plan) -> str:
    """The whole plan, for a terminal 100 columns wide or more."""
    lines = [*_head(plan), "", *_table(plan), "", f"Recommended: {_STORAGE[plan.recommended]}, for {plan.reason}."]
    lines += ["", *_ingest_lines(plan), *(f"Note: {note}." for note in plan.notes), "", "Reckoned from:"]
    return "\n".join(lines + [_figure_line(figure) for figure in plan.figures])


def human_bytes(count: float) -> str:
    power = 0
    while count >= 1000 and power < len(_BYTES) - 1:  # 1,000 rather than 1,024: three digits are read at a glance
        count /= 1024
        power += 1
    return f"{_digits(count)} {_BYTES[power]}"


def human_span(span: Span) -> str:
    """The likely value with its range, in one unit."""
    unit, size = next(((unit, size) for unit, size in _TIMES if span.typical >= 0.995 * size), _TIMES[-1])
    low, typical, high = (_digits(part / size) for part in span)
    return f"{typical} {unit}" + (f" ({low}-{high})" if low != high else "")


def _head(plan: Plan) -> list[str]:
    model = plan.model
    if model is None:
        return [f"{plan.pages:,} pages, text lanes alone"]
    vectors, pooled = model.family.vectors.value, model.family.pooled.value
    return [
        f"{plan.pages:,} pages with {model.name}",
        f"{model.family.name} family, by {model.known_by}",
        f"about {vectors:,.0f} vectors of {model.dim} numbers a page, pooled {pooled:.0f}",
    ]


def _table(plan: Plan) -> list[str]:
    rows = [("storage", "disk", "memory", "one search", "machines", "this machine")]
    rows += [_row(option, option.storage == plan.recommended) for option in plan.options]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def _aligned(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    sides = (str.ljust, str.rjust, str.rjust, str.rjust, str.ljust, str.ljust)
    return [side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)]


def _row(option: Option, recommended: bool) -> tuple[str, ...]:
    mark = "> " if recommended else "  "
    fits = "fits" if option.fits_here else "too small"
    storage, memory = human_bytes(option.disk), human_bytes(option.memory)
    return mark + _STORAGE[option.storage], storage, memory, human_span(option.seconds), _machines(option), fits


def _machines(option: Option) -> str:
    if option.embedded:
        return "none: in process"
    if option.machines == 1:
        return "1 server"
    return f"{option.machines:,} ({option.bound})"


def _ingest_lines(plan: Plan) -> list[str]:
    ingest = plan.ingest
    lines = [f"Ingest, text:   {human_span(ingest.text_s)} on {_count(ingest.cores, 'core')}{_week(plan, ingest)}"]
    if ingest.visual_s is not None:
        on = _count(ingest.gpus, "GPU") if ingest.gpus else _count(ingest.cores, "core") + ", no GPU"
        needs = f"; {_count(ingest.week_gpus, 'GPU')} for a week" if ingest.gpus != ingest.week_gpus else ""
        draws = f"; {_count(ingest.drawing_cores, 'core')} to draw the pages" if ingest.gpus else ""
        lines.append(f"Ingest, visual: {human_span(ingest.visual_s)} on {on}{needs}{draws}, after the text")
    low, typical, high = plan.pdfs
    between = f" ({human_bytes(low)} to {human_bytes(high)})" if low != high else ""
    return [*lines, f"PDFs, kept:     {human_bytes(typical)}{between}"]


def _week(plan: Plan, ingest: IngestTime) -> str:
    slow = ingest.text_s.typical > 7 * 86_400
    return f"; {_count(ingest.week_cores, 'core')} for a week" if slow else ""


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _figure_line(figure: Figure) -> str:
    told = human_bytes if figure.unit.startswith("bytes") else _scaled
    between = f" ({told(figure.least)} to {told(figure.most)})" if figure.least != figure.most else ""
    unit = figure.unit.removeprefix("bytes") if told is human_bytes else f" {figure.unit}"
    return f"  {figure.kind:9}  {figure.name}: {told(figure.value)}{between}{unit}  [{figure.source}]"


def _scaled(value: float) -> str:
    """A number with k, M or G, as units of measure have them."""
    if 0.01 <= value < 10_000:
        return f"{value:,.4g}" if value < 1000 else f"{value:,.0f}"
    size, prefix = next((pair for pair in _PREFIXES if value >= pair[0]), _PREFIXES[-1])
    return f"{_digits(value / size)}{prefix}"


def _digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2g}"
