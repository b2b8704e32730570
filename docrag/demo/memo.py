"""The demo's scan: a memo of three pages that was typed, signed, stamped and put on a scanner a little askew."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageFilter

from docrag.demo.canvas import Colour, Sheet, Style, curve

SIZE = (612.0, 792.0)
DPI = 150
STAMP: Colour = (0.38, 0.38, 0.38)
LEFT = 82.0
WIDTH = 448.0
BLACK: Colour = (0.08, 0.08, 0.08)
BODY = Style("tiro", 13, 19.4, BLACK)
BOLD = Style("tibo", 13, 19.4, BLACK)
ANGLES_DEG = (0.55, -0.4, 0.35)
PAPER = 243
JPEG_QUALITY = 58


def scan(samples: bytes, size_px: tuple[int, int], number: int) -> bytes:
    """What a scanner makes of a clean gray page (one byte a pixel): turned, softened, unevenly lit, noisy, as JPEG bytes.

    `number` is the page's, from 0; the noise is drawn from it, so that each page looks the same each time.
    """
    clean = Image.frombytes("L", size_px, samples)
    turned = clean.rotate(ANGLES_DEG[number], Image.Resampling.BICUBIC, fillcolor=255).filter(ImageFilter.GaussianBlur(0.45))
    ink = np.asarray(turned, dtype=np.float32) / 255.0
    height, width = ink.shape
    noise = np.random.default_rng(number).normal(0.0, 3.2, ink.shape)
    shade = -16.0 * np.exp(-np.linspace(0, 9, width))[None, :] - 5.0 * np.linspace(0, 1, height)[:, None]
    gray = ink * (PAPER - 38) + 38 + noise + shade
    out = io.BytesIO()
    Image.fromarray(np.clip(gray, 0, 255).astype(np.uint8)).save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


def first(sheet: Sheet) -> None:
    sheet.text(LEFT, 84, "NETTLEFOSS", Style("hebo", 20, 24, BLACK))
    sheet.text(LEFT, 101, "Lower Quern plant, quality department", Style("helv", 10.5, 14, BLACK))
    sheet.rule(LEFT, 112, WIDTH, BLACK, 1.4)
    _stamp(sheet)
    sheet.text(LEFT, 148, "MEMORANDUM", Style("tibo", 17, 22, BLACK))
    y = 178.0
    for name, value in HEAD:
        sheet.text(LEFT, y, name, BOLD)
        sheet.text(LEFT + 78, y, value, BODY)
        y += 21
    sheet.rule(LEFT, y - 4, WIDTH, BLACK, 0.7)
    sheet.flow(LEFT, y + 12, WIDTH, FIRST, BODY)


def _stamp(sheet: Sheet) -> None:
    corners = [(398.0, 60.0), (531.0, 52.0), (533.0, 94.0), (400.0, 102.0), (398.0, 60.0)]
    sheet.stroke(corners, STAMP, 1.6)
    sheet.text(465, 74, "RECEIVED", Style("hebo", 13, 16, STAMP), "centre")
    sheet.text(466, 90, "15 October 2025", Style("helv", 10, 13, STAMP), "centre")


def second(sheet: Sheet) -> None:
    sheet.text(LEFT + WIDTH, 64, "Page 2", BODY, "right")
    y = sheet.flow(LEFT, 92, WIDTH, SECOND, BODY)
    sheet.text(LEFT, y + 12, "Leakage after 30 minutes, in drops", BOLD)
    y += 24
    for number, row in enumerate((LOT_HEADS, *LOTS)):
        for place, cell in enumerate(row):
            edge = LEFT + (place + (1 if place else 0)) * 112
            sheet.text(edge, y + 15, cell, BODY if number else BOLD, "right" if place else "left")
        sheet.rule(LEFT, y + 21, WIDTH, BLACK, 0.5 if number else 1.0)
        y += 24
    sheet.flow(LEFT, y + 20, WIDTH, SECOND_END, BODY)


def third(sheet: Sheet) -> None:
    sheet.text(LEFT + WIDTH, 64, "Page 3", BODY, "right")
    y = sheet.flow(LEFT, 92, WIDTH, THIRD, BODY)
    for number, step in enumerate(STEPS):
        sheet.text(LEFT, y + 9.6, f"{number + 1}.", BODY)
        y = sheet.flow(LEFT + 24, y, WIDTH - 24, step, BODY) - 2
    y = sheet.flow(LEFT, y + 10, WIDTH, CLOSING, BODY)
    sheet.stroke([(LEFT + dx, y + 36 + dy) for dx, dy in SIGNATURE], (0.12, 0.12, 0.3), 1.5, curved=True)
    sheet.text(LEFT, y + 66, "Hanne Tolvik", BOLD)
    sheet.text(LEFT, y + 83, "Quality engineer, Lower Quern", BODY)
    sheet.text(LEFT, y + 122, "Copies: Owen Tessaly, Repair & Service; goods inwards, Lower Quern", replace(BODY, size=10.5))


PAGES: tuple[Callable[[Sheet], None], ...] = (first, second, third)

HEAD = (
    ("To:", "Farida Lindqvist, Farm & Field"),
    ("From:", "Hanne Tolvik, quality engineer"),
    ("Date:", "14 October 2025"),
    ("Subject:", "Shaft seals of lot 7714 leak when warm"),
)
FIRST = """
On Friday three dealers reported pumps that drip at the shaft after an hour of work. All three pumps are of the type Kestrel 3
and were built in the week of 22 September. I took seals of the same lot from the store and put them on the bench. They keep
tight when cold and leak when warm. The fault is in the seal and not in the way it is fitted.

The lot carries the number 7714. We received 600 seals of it on 15 September. Of these, 212 are in pumps that have been
shipped to dealers, 143 are in pumps that stand in our yard, and the remaining 245 are still in the store. I have locked the
store shelf and asked the yard to let nothing go until you decide.

I propose that we call back the pumps that have been shipped, at our cost, before the first of them runs dry. A pump that runs
dry ruins its bearing within a day, and then we no longer talk about a seal.

What follows is how I tested, what I found, and what I think should happen this week.
"""
SECOND = """
How I tested. Twenty seals of the lot were run on the bench at full speed, first with water of 20 degrees, then with water of
60 degrees, which is what a pump reaches on a hot afternoon. For comparison I ran as many seals of the two lots before it.
Drops were counted for thirty minutes.
"""
LOT_HEADS = ("Lot", "Seals tested", "At 20 degrees", "At 60 degrees")
LOTS = (("7702", "20", "0", "1"), ("7709", "20", "0", "0"), ("7714", "20", "2", "96"))
SECOND_END = """
The two older lots are sound. In lot 7714 the rubber lip hardens as it warms and lifts off the shaft. Under the lens it looks
glassy. The supplier has confirmed by telephone that the rubber of this lot came from another maker, because the usual one
could not deliver. We were not told.

Nothing in our own inspection would have caught this, since we measure seals but do not run them. I have no reason to doubt
the lots that came before. Of those that come after I cannot say anything yet.
"""
THIRD = "I ask you to agree to the following:"
STEPS = (
    "All dealers who received pumps from the week of 22 September are telephoned by Thursday, and told to stop them.",
    "Repair & Service changes the seals on the spot where it can, and takes the pump back where it can't.",
    "The seals in the store go back to the supplier, with the bench record.",
    "From now on five seals of each lot are run warm for thirty minutes before the lot is released.",
)
CLOSING = """
Owen Tessaly tells me that his workshops can do this work within a week, if it starts at once. I can be reached on the shop
floor at any time.
"""
SIGNATURE = curve(
    "0,-8 6,-50 14,-40 8,6 16,-34 24,-22 30,4 36,-30 44,-30 40,0 52,4 56,-22 64,-6 70,6 80,-18 90,-2 106,8 128,-10 150,-4"
)
