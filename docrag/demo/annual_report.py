"""The demo's annual report: four pages of front matter, numbered i to iv, and fourteen that print 1 to 14."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from docrag.demo import annual_accounts, annual_story, charts
from docrag.demo.annual_page import LEFT, WIDTH, opening
from docrag.demo.canvas import BODY, CAPTION, CELL, GREY, HEADING, INK, MIST, OCHRE, PALE, SMALL, TEAL, WHITE, Sheet, Style
from docrag.demo.company import REVENUE_BY_YEAR, YEARS

SIZE = (595.0, 842.0)
FRONT_MATTER = 4
LABELS = (
    {"startpage": 0, "prefix": "", "style": "r", "firstpagenum": 1},
    {"startpage": FRONT_MATTER, "prefix": "", "style": "D", "firstpagenum": 1},
)
ROMAN = ("i", "ii", "iii", "iv")


@dataclass(frozen=True, slots=True)
class Chapter:
    """An entry of the contents: its title, and the pages that it fills."""

    title: str
    pages: tuple[Callable[[Sheet], None], ...]


CHAPTERS = (
    Chapter("Letter to shareholders", (annual_story.letter, annual_story.letter_end)),
    Chapter("Strategy", (annual_story.strategy,)),
    Chapter("Segment results", (annual_accounts.segments,)),
    Chapter("Town Water", (annual_story.town_water,)),
    Chapter("Farm & Field, Repair & Service", (annual_story.farm_and_service,)),
    Chapter("Revenue by region", (annual_accounts.regions,)),
    Chapter("Income statement", (annual_accounts.income,)),
    Chapter("Balance sheet", (annual_accounts.balance,)),
    Chapter("Cash flow statement", (annual_accounts.cash_flow,)),
    Chapter("Principal risks", (annual_story.risks,)),
    Chapter("Sustainability", (annual_story.sustainability,)),
    Chapter("Board and governance", (annual_story.board,)),
    Chapter("Outlook and five-year summary", (annual_accounts.outlook,)),
)


def pages() -> list[Callable[[Sheet], None]]:
    """What draws each page, in order, with its running head and its printed page number."""
    front = [_about, _contents, _glance]
    drawn: list[Callable[[Sheet], None]] = [_cover]
    drawn += [_numbered(page, "Nettlefoss", ROMAN[place + 1]) for place, page in enumerate(front)]
    body = [(page, chapter.title) for chapter in CHAPTERS for page in chapter.pages]
    return drawn + [_numbered(page, title, str(place + 1)) for place, (page, title) in enumerate(body)]


def outline() -> list[list[object]]:
    """The PDF's own table of contents: [level, title, 1-based page] for each chapter."""
    entries: list[list[object]] = [[1, "About this report", 2], [1, "The year at a glance", 4]]
    return entries + [[1, title, page + FRONT_MATTER] for title, page in _starts()]


def _starts() -> list[tuple[str, int]]:
    starts: list[tuple[str, int]] = []
    page = 1
    for chapter in CHAPTERS:
        starts.append((chapter.title, page))
        page += len(chapter.pages)
    return starts


def _numbered(draw: Callable[[Sheet], None], title: str, number: str) -> Callable[[Sheet], None]:
    def page(sheet: Sheet) -> None:
        sheet.text(LEFT, 46, title, SMALL)
        sheet.text(LEFT + WIDTH, 46, "Annual Report 2025", SMALL, "right")
        sheet.rule(LEFT, 54, WIDTH)
        draw(sheet)
        sheet.text(LEFT + WIDTH / 2, 806, number, replace(SMALL, size=9, colour=INK), "centre")

    return page


def _cover(sheet: Sheet) -> None:
    sheet.box(0, 0, sheet.width, sheet.height, TEAL)
    for step in range(9):
        y = 520 + step * 26
        wave = [
            (x * 55.0 - 30, y + (14 - step) * (1 if place % 3 == 1 else -1 if place % 3 == 2 else 0))
            for place, x in enumerate(range(13))
        ]
        colour = (0.10 + step * 0.045, 0.42 + step * 0.03, 0.46 + step * 0.028)
        sheet.stroke(wave, colour, 2.2, curved=True)
    sheet.box(LEFT, 150, 54, 5, OCHRE)
    sheet.text(LEFT, 212, "Nettlefoss", Style("hebo", 52, 60, WHITE))
    sheet.text(LEFT, 252, "Annual Report 2025", Style("helv", 24, 30, WHITE))
    sheet.text(LEFT, 300, "Moving water where it is needed", Style("tiit", 17, 22, (0.80, 0.89, 0.90)))
    sheet.text(LEFT, 790, "Nettlefoss Pump Company, Eldenmouth", Style("helv", 10.5, 14, (0.80, 0.89, 0.90)))


def _about(sheet: Sheet) -> None:
    y = opening(sheet, "About this report")
    y = sheet.flow(LEFT, y, WIDTH, ABOUT)
    y = sheet.flow(LEFT, y + 8, WIDTH, "Who we are", HEADING)
    y = sheet.flow(LEFT, y, WIDTH, WHO)
    sheet.box(LEFT, y + 14, WIDTH, 78, PALE, 0.06)
    sheet.flow(LEFT + 18, y + 30, WIDTH - 36, READING, replace(BODY, size=10.6, leading=14.6))


def _contents(sheet: Sheet) -> None:
    y = opening(sheet, "Contents")
    entry = Style("helv", 12.5, 16)
    for title, page in [("About this report", "ii"), ("The year at a glance", "iv"), *_starts()]:
        y += 36
        sheet.text(LEFT, y, title, entry)
        sheet.text(LEFT + WIDTH, y, str(page), replace(entry, font="hebo", colour=TEAL), "right")
        sheet.rule(LEFT, y + 11, WIDTH)


def _glance(sheet: Sheet) -> None:
    y = opening(sheet, "The year at a glance")
    for place, (number, what, before) in enumerate(TILES):
        left = LEFT + (place % 3) * (WIDTH + 14) / 3
        top = y + (place // 3) * 104
        width = (WIDTH - 28) / 3
        sheet.box(left, top, width, 90, PALE, 0.06)
        sheet.text(left + 14, top + 36, number, Style("hebo", 21, 24, TEAL))
        sheet.text(left + 14, top + 56, what, CELL)
        sheet.text(left + 14, top + 73, before, replace(SMALL, colour=GREY))
    y += 232
    sheet.text(LEFT, y, "Figure 1: Revenue, 2021 to 2025, in millions of dollars", CAPTION)
    charts.columns(sheet, charts.Frame(LEFT, y + 14, WIDTH, 236, YEARS), [charts.Series("Revenue", REVENUE_BY_YEAR)])
    sheet.rule(LEFT, y + 272, 36, MIST, 2)
    sheet.flow(LEFT, y + 282, WIDTH, GLANCE)


TILES = (
    ("$434.8m", "Revenue", "2024: $411.8m"),
    ("10.8 %", "Operating margin", "2024: 10.5 %"),
    ("$62.4m", "Cash from operations", "2024: $44.2m"),
    ("$45.4m", "Net debt at year end", "2024: $68.7m"),
    ("2,041", "Employees at year end", "2024: 1,968"),
    ("$0.32", "Dividend a share", "2024: $0.28"),
)

ABOUT = """
This report covers the business year from 1 January to 31 December 2025. It describes what Nettlefoss did, what it earned,
what it owes, and what the people who run it expect of the year ahead. Comparisons are with 2024 unless another year is named.

Amounts are given in millions of dollars and rounded to one decimal, so that a sum may differ from its parts in the last
digit. The statements on pages 8 to 10 were examined by the auditors Greaves and Thorne, whose opinion is unqualified.

The words order intake, net debt and free cash flow are not defined by accounting rules. Order intake is the value of firm
orders received in a period. Net debt is borrowings less cash. Free cash flow is cash from operating activities less what was
spent on plant, equipment and intangible assets.
"""

WHO = """
Nettlefoss began in 1911 as a workshop that mended mill pumps on the river Nettle. Today the company makes pumps, valves and
the meters that go with them, and keeps them running. It has three segments. Town Water equips public waterworks. Farm & Field
sells irrigation pumps through dealers. Repair & Service maintains pumps of any make in nineteen workshops.

The head office is in Eldenmouth. Pumps are assembled there and at Lower Quern; castings come from the foundry at Marrowby.
"""

READING = """
How to find things: pages in front of the letter carry Roman numerals, all others Arabic ones. Tables and figures are numbered
through the whole report. A number in brackets is an outflow or a cost. Where a table compares two years, the later one stands
on the left.
"""

GLANCE = """
Revenue has grown in each of the last five years. In 2025 it rose by 5.6 %, carried by public waterworks and by repairs, while
a wet spring in the south held back the demand for irrigation. Less stock and higher earnings brought in more cash than in any
year before.
"""
