"""Pages of the annual report that are mostly figures: segments, regions, the three statements, the five-year summary."""

from __future__ import annotations

from docrag.demo import charts
from docrag.demo.annual_page import LEFT, WIDTH, caption, opening
from docrag.demo.canvas import HEADING, MIST, Column, Sheet
from docrag.demo.company import (
    ASSETS,
    CASH_FLOW,
    CENTRAL_COSTS,
    DIVIDEND_BY_YEAR,
    EMPLOYEES_BY_YEAR,
    FUNDING,
    INCOME,
    OPERATING_PROFIT,
    PROFIT_BY_YEAR,
    REGIONS,
    REVENUE,
    REVENUE_BY_YEAR,
    SEGMENTS,
    YEARS,
    Line,
    growth,
    money,
)

STATEMENT = (Column("$ million", 287), Column("2025", 90, "right"), Column("2024", 90, "right"))


def _statement(sheet: Sheet, y: float, lines: tuple[Line, ...]) -> float:
    rows = [(line.label, money(line.values[0]), money(line.values[1])) for line in lines]
    return sheet.table(LEFT, y, STATEMENT, rows, [number for number, line in enumerate(lines) if line.total])


def segments(sheet: Sheet) -> None:
    y = opening(sheet, "Segment results")
    y = sheet.flow(LEFT, y, WIDTH, SEGMENT_TEXT)
    y = caption(sheet, y + 4, "Table 2: Revenue and operating profit by segment, $ million")
    heads = ("Segment", "Revenue 2025", "Revenue 2024", "Change", "Profit 2025", "Profit 2024")
    table = [Column(heads[0], 107), *(Column(head, 72, "right") for head in heads[1:])]
    rows = [
        (part.name, money(part.revenue[0]), money(part.revenue[1]), growth(part.revenue), *map(money, part.profit))
        for part in SEGMENTS
    ]
    rows.append(("Central costs", "", "", "", *map(money, CENTRAL_COSTS)))
    rows.append(("Nettlefoss", money(REVENUE[0]), money(REVENUE[1]), growth(REVENUE), *map(money, OPERATING_PROFIT)))
    y = sheet.table(LEFT, y, table, rows, [len(rows) - 1])
    y = caption(sheet, y + 14, "Figure 2: Operating margin by segment, in percent of revenue")
    margins = [tuple(100 * part.profit[year] / part.revenue[year] for part in SEGMENTS) for year in (0, 1)]
    frame = charts.Frame(LEFT, y + 8, WIDTH, 216, tuple(part.name for part in SEGMENTS))
    charts.columns(sheet, frame, [charts.Series("2025", margins[0]), charts.Series("2024", margins[1], MIST)])
    sheet.flow(LEFT, y + 240, WIDTH, MARGIN_TEXT)


def regions(sheet: Sheet) -> None:
    y = opening(sheet, "Revenue by region")
    y = sheet.flow(LEFT, y, WIDTH, REGION_TEXT)
    y = caption(sheet, y + 4, "Table 4: Revenue by the customer's region, $ million")
    rows = [(line.label, *map(money, line.values), growth(line.values)) for line in (*REGIONS, Line("Total", REVENUE))]
    table = (Column("Region", 197), Column("2025", 90, "right"), Column("2024", 90, "right"), Column("Change", 90, "right"))
    y = sheet.table(LEFT, y, table, rows, [len(rows) - 1])
    y = caption(sheet, y + 16, "Figure 4: Share of each region in the revenue of 2025, in percent")
    shares = tuple(100 * line.values[0] / REVENUE[0] for line in REGIONS)
    frame = charts.Frame(LEFT, y + 6, WIDTH, 130, tuple(line.label for line in REGIONS))
    charts.bars(sheet, frame, charts.Series("Share", shares), gutter=110)
    y = sheet.flow(LEFT, y + 156, WIDTH, "Where the growth came from", HEADING)
    sheet.flow(LEFT, y - 4, WIDTH, REGION_END)


def income(sheet: Sheet) -> None:
    y = opening(sheet, "Income statement")
    y = sheet.flow(LEFT, y, WIDTH, INCOME_TEXT)
    y = caption(sheet, y + 4, "Table 5: Income statement for the year ended 31 December")
    y = _statement(sheet, y, INCOME)
    y = sheet.table(LEFT, y, (Column("Dollars a share", 287), *STATEMENT[1:]), EARNINGS)
    sheet.flow(LEFT, y + 10, WIDTH, INCOME_END)


def balance(sheet: Sheet) -> None:
    y = opening(sheet, "Balance sheet")
    y = caption(sheet, y - 6, "Table 6: Balance sheet at 31 December")
    y = _statement(sheet, y, ASSETS)
    y = _statement(sheet, y + 4, FUNDING)
    sheet.flow(LEFT, y + 8, WIDTH, BALANCE_TEXT)


def cash_flow(sheet: Sheet) -> None:
    y = opening(sheet, "Cash flow statement")
    y = caption(sheet, y - 6, "Table 7: Cash flow statement for the year ended 31 December")
    y = _statement(sheet, y, CASH_FLOW)
    sheet.flow(LEFT, y + 8, WIDTH, CASH_TEXT)


def outlook(sheet: Sheet) -> None:
    y = opening(sheet, "Outlook and five-year summary")
    y = sheet.flow(LEFT, y, WIDTH, OUTLOOK_TEXT)
    y = caption(sheet, y + 4, "Table 11: Five-year summary")
    rows = [
        ("Revenue, $ million", *map(money, REVENUE_BY_YEAR)),
        ("Operating profit, $ million", *map(money, PROFIT_BY_YEAR)),
        ("Dividend a share, $", *(f"{value:.2f}" for value in DIVIDEND_BY_YEAR)),
        ("Employees at year end", *(f"{value:,}" for value in EMPLOYEES_BY_YEAR)),
    ]
    y = sheet.table(LEFT, y, [Column("", 157), *(Column(year, 62, "right") for year in YEARS)], rows)
    y = caption(sheet, y + 16, "Figure 6: Operating profit, 2021 to 2025, in millions of dollars")
    charts.lines(sheet, charts.Frame(LEFT, y + 8, WIDTH, 164, YEARS), [charts.Series("Operating profit", PROFIT_BY_YEAR)])
    y = sheet.flow(LEFT, y + 192, WIDTH, "Dates for shareholders", HEADING)
    sheet.bullets(LEFT, y - 4, WIDTH, DATES)


EARNINGS = (("Earnings a share", "0.80", "0.70"), ("Dividend a share, paid and proposed", "0.32", "0.28"))

SEGMENT_TEXT = """
Two of the three segments grew. Town Water won framework orders from eleven waterworks, most of them for replacing pumps that
have run since the seventies. Repair & Service grew by almost a fifth, half of it in the four workshops that were added in
2024. Farm & Field sold less: after a wet spring many growers put off buying, and dealers ran down their stock before ordering
anew.
"""

MARGIN_TEXT = """
The margin of Town Water rose as castings from Marrowby replaced bought ones in the second half of the year. Farm & Field kept
its prices but carried the fixed cost of the Lower Quern plant on fewer pumps. Central costs fell, because the move of the
head office had burdened 2024.
"""

REGION_TEXT = """
Nettlefoss sells in thirty-one countries. No single customer accounts for more than four percent of revenue. Revenue is shown
by the place to which pumps are delivered or where a repair is done, not by the place of the customer's office.
"""

REGION_END = """
North America and the rest of the world together brought more than three fifths of the year's growth. In North America the
waterworks of three counties changed over to metered pumping stations. Northern Europe stayed the largest market. Southern
Europe grew slowly, since the rain that filled its reservoirs emptied the order books of irrigation dealers.
"""

INCOME_TEXT = """
Revenue rose by 5.6 % and gross profit by 8.7 %. The cost of castings was lower than in 2024, and the price of copper higher;
the first weighed more. Spending on development went mainly into the Kestrel 4 irrigation pump and into meters that report by
radio.
"""

INCOME_END = """
Earnings are divided by an average of 40.2 million shares in both years. The tax rate was 23.9 %, after 24.6 % in 2024. The
board will propose a final dividend of $0.20 a share, which comes on top of the interim dividend of $0.12 paid in September
2025.
"""

BALANCE_TEXT = """
Equity grew by the profit of the year, less dividends paid, and by $1.3 million from revaluing the pension obligation after
tax. Net debt fell to $45.4 million, or 0.6 times earnings before interest, tax, depreciation and amortisation.
"""

CASH_TEXT = """
Free cash flow was $35.4 million, after $19.9 million in 2024. Stock fell for the first time in five years. The last oven of
the foundry at Marrowby was paid for in November.
"""

OUTLOOK_TEXT = """
For 2026 the board expects revenue to grow by four to six percent and the operating margin to reach eleven percent. Town Water
starts the year with orders for nine months of work. For Farm & Field, much hangs on the weather and on the launch of the
Kestrel 4 in spring. Spending on plant and equipment is planned at $20 million. The board does not expect to buy other
companies in 2026.
"""

DATES = (
    "30 April 2026: trading statement for the first quarter",
    "21 May 2026: annual general meeting in the Corn Hall, Eldenmouth",
    "28 May 2026: final dividend paid, if the meeting agrees",
    "20 August 2026: half-year report",
)
