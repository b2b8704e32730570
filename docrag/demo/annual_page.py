"""What all pages of the annual report share: its margins, its page titles, its captions."""

from __future__ import annotations

from docrag.demo.canvas import CAPTION, OCHRE, TITLE, Sheet

LEFT = 64.0
WIDTH = 467.0


def opening(sheet: Sheet, title: str) -> float:
    """The title at the head of a page; returns the y where its text begins."""
    sheet.box(LEFT, 84, 30, 3.5, OCHRE)
    sheet.text(LEFT, 118, title, TITLE)
    return 142.0


def caption(sheet: Sheet, y: float, text: str) -> float:
    """The line over a table or figure; returns the y below it."""
    sheet.text(LEFT, y + 9, text, CAPTION)
    return y + 15
