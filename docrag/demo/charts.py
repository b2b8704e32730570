"""The demo's charts: columns, bars and lines with their values written on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from docrag.demo.canvas import CELL, GREY, HAIR, INK, SMALL, TEAL, Colour, Sheet


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a chart stands, in points, the labels of its axis and the size of its type."""

    x: float
    y: float
    width: float
    height: float
    labels: tuple[str, ...]
    size: float = 9.4


@dataclass(frozen=True, slots=True)
class Series:
    """One run of values, one for each label of the frame: its name in the legend, its colour, how its values are written."""

    name: str
    values: tuple[float, ...]
    colour: Colour = TEAL
    pattern: str = "{:,.1f}"


def columns(sheet: Sheet, frame: Frame, series: Sequence[Series]) -> None:
    """Standing columns from zero, grouped by label, each with its value above it."""
    top = max(value for run in series for value in run.values)
    base = frame.y + frame.height - frame.size * 1.9
    room = base - frame.y - frame.size * (3.4 if len(series) > 1 else 1.6)
    slot = frame.width / len(frame.labels)
    bar = slot * (0.52 if len(series) == 1 else 0.76 / len(series))
    label = replace(CELL, size=frame.size)
    for number, name in enumerate(frame.labels):
        left = frame.x + number * slot + (slot - bar * len(series)) / 2
        for place, run in enumerate(series):
            tall = room * run.values[number] / top
            sheet.box(left + place * bar, base - tall, bar * 0.94, tall, run.colour)
            middle = left + (place + 0.47) * bar
            sheet.text(middle, base - tall - frame.size * 0.4, run.pattern.format(run.values[number]), label, "centre")
        sheet.text(frame.x + (number + 0.5) * slot, base + frame.size * 1.4, name, replace(label, colour=GREY), "centre")
    sheet.rule(frame.x, base, frame.width, INK, 0.7)
    if len(series) > 1:
        legend(sheet, frame, series)


def bars(sheet: Sheet, frame: Frame, run: Series, gutter: float) -> None:
    """Lying bars from zero, a row for each label, which stands in a gutter of `gutter` points."""
    row = frame.height / len(frame.labels)
    room = frame.width - gutter - frame.size * 4
    label = replace(CELL, size=frame.size)
    for number, name in enumerate(frame.labels):
        middle = frame.y + (number + 0.5) * row
        length = room * run.values[number] / max(run.values)
        sheet.text(frame.x, middle + frame.size * 0.35, name, label)
        sheet.box(frame.x + gutter, middle - row * 0.3, length, row * 0.6, run.colour)
        value = run.pattern.format(run.values[number])
        sheet.text(frame.x + gutter + length + frame.size * 0.6, middle + frame.size * 0.35, value, label)
    sheet.stroke([(frame.x + gutter, frame.y), (frame.x + gutter, frame.y + frame.height)], INK, 0.7)


def lines(sheet: Sheet, frame: Frame, series: Sequence[Series]) -> None:
    """Lines over the labels from zero, with a dot and a value at each point."""
    top = 1.12 * max(value for run in series for value in run.values)
    base = frame.y + frame.height - frame.size * 1.9
    room = base - frame.y - frame.size * 2.6
    slot = frame.width / len(frame.labels)
    label = replace(CELL, size=frame.size)
    for step in (0.25, 0.5, 0.75, 1.0):
        sheet.rule(frame.x, base - step * room, frame.width, HAIR, 0.4)
    for run in series:
        points = [(frame.x + (number + 0.5) * slot, base - room * value / top) for number, value in enumerate(run.values)]
        sheet.stroke(points, run.colour, 1.8)
        for (x, y), value in zip(points, run.values, strict=True):
            sheet.dot(x, y, 2.6, run.colour)
            sheet.text(x, y - frame.size * 0.7, run.pattern.format(value), label, "centre")
    for number, name in enumerate(frame.labels):
        middle = frame.x + (number + 0.5) * slot
        sheet.text(middle, base + frame.size * 1.4, name, replace(label, colour=GREY), "centre")
    sheet.rule(frame.x, base, frame.width, INK, 0.7)
    if len(series) > 1:
        legend(sheet, frame, series)


def legend(sheet: Sheet, frame: Frame, series: Sequence[Series]) -> None:
    """A patch of colour and a name for each series, along the top of the frame."""
    x = frame.x
    style = replace(SMALL, size=frame.size)
    for run in series:
        sheet.box(x, frame.y, frame.size * 0.9, frame.size * 0.9, run.colour)
        sheet.text(x + frame.size * 1.4, frame.y + frame.size * 0.8, run.name, style)
        x += frame.size * (3.4 + 0.56 * len(run.name))
