"""The demo's slide deck: nine landscape slides with big type, a chart that is a picture, and a comparison in two columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from docrag.demo import charts
from docrag.demo.canvas import GREY, HAIR, OCHRE, PALE, WHITE, Colour, Sheet, Style, rasterise

SIZE = (720.0, 405.0)
LEFT = 48.0
WIDTH = 624.0
GREEN: Colour = (0.16, 0.36, 0.22)
LEAF: Colour = (0.90, 0.94, 0.89)
SAGE: Colour = (0.66, 0.76, 0.64)
TITLE = Style("hebo", 29, 35, GREEN)
POINT = Style("helv", 17, 23)
NOTE = Style("helv", 11, 15, GREY)


def _slide(sheet: Sheet, title: str, number: int) -> float:
    sheet.box(0, 0, sheet.width, 9, GREEN)
    sheet.text(LEFT, 66, title, TITLE)
    sheet.text(LEFT, 388, "Nettlefoss Farm & Field  |  Kestrel 4 dealer briefing", replace(NOTE, size=9.5))
    sheet.text(LEFT + WIDTH, 388, str(number), replace(NOTE, size=9.5), "right")
    return 96.0


def cover(sheet: Sheet) -> None:
    sheet.box(0, 0, sheet.width, sheet.height, GREEN)
    for row in range(7):
        y = 268 + row * row * 3.4 + row * 4
        furrow = [(-20.0, y), (220.0, y - 26 - row * 2), (480.0, y + 26), (740.0, y - 10)]
        sheet.stroke(furrow, (0.20 + row * 0.035, 0.42 + row * 0.035, 0.25 + row * 0.03), 3 + row, curved=True)
    sheet.text(LEFT, 128, "Kestrel 4", Style("hebo", 60, 66, WHITE))
    sheet.text(LEFT, 172, "The pump that sips power", Style("helv", 26, 32, (0.86, 0.93, 0.84)))
    sheet.text(LEFT, 216, "Briefing for dealers, 3 March 2026", Style("helv", 15, 20, (0.86, 0.93, 0.84)))
    sheet.text(LEFT, 388, "Nettlefoss Farm & Field", Style("hebo", 11, 15, WHITE))


def agenda(sheet: Sheet) -> None:
    y = _slide(sheet, "Today in four parts", 2)
    for number, (title, text) in enumerate(AGENDA):
        sheet.dot(LEFT + 18, y + 22, 18, GREEN)
        sheet.text(LEFT + 18, y + 28.5, str(number + 1), Style("hebo", 18, 22, WHITE), "centre")
        sheet.text(LEFT + 54, y + 18, title, replace(POINT, font="hebo"))
        sheet.text(LEFT + 54, y + 38, text, replace(NOTE, size=13))
        y += 66


def told_us(sheet: Sheet) -> None:
    y = _slide(sheet, "What you told us", 3)
    y = sheet.flow(LEFT, y, WIDTH, "We asked 61 dealers last summer what growers complain about.", POINT)
    sheet.bullets(LEFT, y + 4, WIDTH, TOLD, POINT)


def side_by_side(sheet: Sheet) -> None:
    y = _slide(sheet, "Old and new, side by side", 4)
    half = (WIDTH - 24) / 2
    for place, (name, facts) in enumerate((("Kestrel 3", KESTREL_3), ("Kestrel 4", KESTREL_4))):
        x = LEFT + place * (half + 24)
        sheet.box(x, y, half, 262, LEAF if place else PALE, 0.03)
        sheet.box(x, y, half, 40, GREEN if place else GREY)
        sheet.text(x + half / 2, y + 27, name, Style("hebo", 19, 24, WHITE), "centre")
        sheet.bullets(x + 20, y + 58, half - 40, facts, replace(POINT, size=15.5, leading=21))


def power(sheet: Sheet) -> None:
    y = _slide(sheet, "Less power for the same water", 5)
    sheet.picture(LEFT, y - 6, 430, 268, rasterise(430, 268, _power_chart, dpi=150))
    x = LEFT + 456
    sheet.text(x, y + 60, "1/4", Style("hebo", 54, 60, OCHRE))
    sheet.flow(x, y + 78, WIDTH - 456, "About a quarter less power at every head, thanks to a motor without magnets.", POINT)


def _power_chart(sheet: Sheet) -> None:
    sheet.text(8, 20, "kWh to lift one cubic metre of water", Style("hebo", 13, 17))
    frame = charts.Frame(8, 34, sheet.width - 16, sheet.height - 40, ("20 m", "40 m", "60 m"), 13)
    runs = [
        charts.Series("Kestrel 4", (0.09, 0.17, 0.26), GREEN, "{:.2f}"),
        charts.Series("Kestrel 3", (0.12, 0.23, 0.36), SAGE, "{:.2f}"),
    ]
    charts.columns(sheet, frame, runs)


def trial(sheet: Sheet) -> None:
    y = _slide(sheet, "One season on 24 farms", 6)
    third = (WIDTH - 40) / 3
    for place, (number, text) in enumerate(TRIAL):
        x = LEFT + place * (third + 20)
        sheet.box(x, y, third, 126, LEAF, 0.05)
        sheet.text(x + 18, y + 56, number, Style("hebo", 38, 44, GREEN))
        sheet.flow(x + 18, y + 74, third - 36, text, replace(POINT, size=14, leading=18.5))
    sheet.bullets(LEFT, y + 148, WIDTH, TRIAL_NOTES, replace(POINT, size=15.5, leading=21))


def price(sheet: Sheet) -> None:
    y = _slide(sheet, "Price and margin", 7)
    for number, row in enumerate((("", "List price", "Your price", "Your margin"), *PRICES)):
        style = replace(POINT, font="hebo", size=15, colour=GREEN) if number == 0 else replace(POINT, size=16)
        for column, cell in enumerate(row):
            sheet.text(LEFT + (0, 350, 490, WIDTH)[column], y + 22, cell, style, "right" if column else "left")
        sheet.rule(LEFT, y + 34, WIDTH, GREEN if number == 0 else HAIR, 1.2 if number == 0 else 0.6)
        y += 40
    sheet.bullets(LEFT, y + 14, WIDTH, PRICE_NOTES, replace(POINT, size=15.5, leading=21))


def calendar(sheet: Sheet) -> None:
    y = _slide(sheet, "From order to field", 8)
    step = WIDTH / len(CALENDAR)
    sheet.rule(LEFT + 12, y + 70, step * (len(CALENDAR) - 1), GREEN, 4)
    for number, (date, text) in enumerate(CALENDAR):
        x = LEFT + number * step
        sheet.dot(x + 12, y + 70, 12, OCHRE if number == len(CALENDAR) - 1 else GREEN)
        sheet.text(x, y + 40, date, replace(POINT, font="hebo", size=16, colour=GREEN))
        sheet.flow(x, y + 98, step - 18, text, replace(POINT, size=15, leading=20))
    sheet.flow(LEFT, y + 220, WIDTH, CALENDAR_NOTE, replace(NOTE, size=13, leading=18))


def asks(sheet: Sheet) -> None:
    y = _slide(sheet, "What we ask of you", 9)
    y = sheet.bullets(LEFT, y, WIDTH, ASKS, POINT)
    sheet.box(LEFT, y + 16, WIDTH, 72, GREEN, 0.08)
    sheet.text(LEFT + 24, y + 46, "Questions? Your district manager knows the answer,", Style("hebo", 16, 20, WHITE))
    sheet.text(LEFT + 24, y + 68, "or knows whom to ring at Lower Quern.", Style("helv", 16, 20, WHITE))


SLIDES: tuple[Callable[[Sheet], None], ...] = (cover, agenda, told_us, side_by_side, power, trial, price, calendar, asks)

AGENDA = (
    ("What you told us", "and what growers told you"),
    ("What is new", "the motor, the seals, the radio meter"),
    ("What the field says", "one season on 24 farms"),
    ("What happens next", "prices, training, first deliveries"),
)
TOLD = (
    "Power bills: named by 52 of 61 dealers",
    "Sand in the seals: named by 38",
    "No way to see from the house whether the pump runs: named by 29",
    "Waiting for spare parts: named by 17",
)
KESTREL_3 = (
    "Motor with magnets",
    "Single shaft seal",
    "Warranty on the motor: 3 years",
    "Weight: 41 kg",
    "Switched by hand or by clock",
)
KESTREL_4 = (
    "Motor without magnets",
    "Double shaft seal",
    "Warranty on the motor: 6 years",
    "Weight: 36 kg",
    "Switched by telephone, reports by radio",
)
TRIAL = (
    ("24", "farms in four districts took part"),
    ("26 %", "less power used than by the pump next to it"),
    ("1", "pump stopped, after a stone had come in"),
)
TRIAL_NOTES = (
    "The trial ran from 1 September 2025 to 30 January 2026.",
    "Each Kestrel 4 stood beside a Kestrel 3 and drew from the same well.",
    "19 of the 24 growers have asked to keep the pump.",
)
PRICES = (
    ("Kestrel 3", "$1,180", "$920", "22 %"),
    ("Kestrel 4", "$1,340", "$1,005", "25 %"),
    ("Kestrel 4 with radio meter", "$1,490", "$1,103", "26 %"),
)
PRICE_NOTES = (
    "The Kestrel 3 stays on the price list until the end of 2026.",
    "At 900 hours a year the power saved pays for the difference in two seasons.",
)
CALENDAR = (
    ("16 March", "Order book opens for all dealers"),
    ("30 March", "Training begins in Lower Quern, two days each"),
    ("10 April", "Demonstration pumps go out, one for each dealer"),
    ("24 April", "First deliveries"),
)
CALENDAR_NOTE = (
    """All dates are in 2026. Orders received by 27 March are delivered in April, later ones in the order in which they come."""
)
ASKS = (
    "Send two people to the training, one of them a fitter.",
    "Name three growers who would let others see their pump.",
    "Count your stock of Kestrel 3 parts by 20 March.",
    "Tell us what breaks, the day it breaks.",
)
