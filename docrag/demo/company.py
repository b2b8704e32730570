"""The figures of Nettlefoss, the invented company of the demo: every page prints them from here, so that they agree.

Amounts are millions of dollars, pairs are (2025, 2024), outflows are negative. The tests add them up.
"""

from __future__ import annotations

from dataclasses import dataclass

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a statement; `total` lines sum up those above them and are set in bold."""

    label: str
    values: Pair
    total: bool = False


@dataclass(frozen=True, slots=True)
class Segment:
    """One of the three businesses, with the person who leads it."""

    name: str
    leader: str
    revenue: Pair
    profit: Pair


SEGMENTS = (
    Segment("Town Water", "Colm Hasleby", (214.6, 198.2), (27.9, 24.8)),
    Segment("Farm & Field", "Farida Lindqvist", (131.9, 139.5), (9.2, 13.4)),
    Segment("Repair & Service", "Owen Tessaly", (88.3, 74.1), (17.1, 13.0)),
)
CENTRAL_COSTS: Pair = (-7.4, -8.1)
REVENUE: Pair = (434.8, 411.8)
OPERATING_PROFIT: Pair = (46.8, 43.1)

REGIONS = (
    Line("Northern Europe", (171.3, 165.0)),
    Line("Southern Europe", (98.7, 96.4)),
    Line("North America", (92.5, 84.9)),
    Line("Rest of the world", (72.3, 65.5)),
)

INCOME = (
    Line("Revenue", REVENUE),
    Line("Cost of sales", (-279.5, -268.9)),
    Line("Gross profit", (155.3, 142.9), total=True),
    Line("Selling and distribution", (-58.4, -54.7)),
    Line("Administration", (-31.6, -28.5)),
    Line("Research and development", (-18.5, -16.6)),
    Line("Operating profit", OPERATING_PROFIT, total=True),
    Line("Finance income", (0.6, 0.4)),
    Line("Finance costs", (-5.2, -6.1)),
    Line("Profit before tax", (42.2, 37.4), total=True),
    Line("Income tax", (-10.1, -9.2)),
    Line("Profit for the year", (32.1, 28.2), total=True),
)

ASSETS = (
    Line("Goodwill and other intangible assets", (61.8, 64.5)),
    Line("Property, plant and equipment", (138.3, 133.9)),
    Line("Deferred tax assets", (3.1, 3.4)),
    Line("Non-current assets", (203.2, 201.8), total=True),
    Line("Inventories", (78.4, 84.2)),
    Line("Trade receivables", (71.5, 66.9)),
    Line("Cash and cash equivalents", (38.6, 27.3)),
    Line("Current assets", (188.5, 178.4), total=True),
    Line("Total assets", (391.7, 380.2), total=True),
)

FUNDING = (
    Line("Trade payables", (62.3, 59.8)),
    Line("Current tax", (4.6, 4.1)),
    Line("Borrowings due within one year", (12.0, 12.0)),
    Line("Warranty provisions due within one year", (7.9, 6.8)),
    Line("Current liabilities", (86.8, 82.7), total=True),
    Line("Borrowings due after one year", (72.0, 84.0)),
    Line("Pension obligation", (11.2, 13.6)),
    Line("Other provisions", (5.4, 4.9)),
    Line("Non-current liabilities", (88.6, 102.5), total=True),
    Line("Equity", (216.3, 195.0), total=True),
    Line("Total liabilities and equity", (391.7, 380.2), total=True),
)

CASH_FLOW = (
    Line("Operating profit", OPERATING_PROFIT),
    Line("Depreciation", (19.4, 18.6)),
    Line("Amortisation", (5.9, 5.7)),
    Line("Change in inventories", (5.8, -7.3)),
    Line("Change in trade receivables", (-4.6, -5.2)),
    Line("Change in trade payables", (2.5, 3.9)),
    Line("Change in provisions", (1.6, 0.6)),
    Line("Pension contributions above the charge", (-0.8, -0.8)),
    Line("Net interest paid", (-4.6, -5.7)),
    Line("Income tax paid", (-9.6, -8.7)),
    Line("Cash from operating activities", (62.4, 44.2), total=True),
    Line("Purchase of property, plant and equipment", (-23.8, -21.4)),
    Line("Purchase of intangible assets", (-3.2, -2.9)),
    Line("Cash used in investing activities", (-27.0, -24.3), total=True),
    Line("Repayment of borrowings", (-12.0, -12.0)),
    Line("Dividends paid", (-12.1, -10.5)),
    Line("Cash used in financing activities", (-24.1, -22.5), total=True),
    Line("Change in cash", (11.3, -2.6), total=True),
    Line("Cash at the start of the year", (27.3, 29.9)),
    Line("Cash at the end of the year", (38.6, 27.3), total=True),
)

YEARS = ("2021", "2022", "2023", "2024", "2025")
REVENUE_BY_YEAR = (318.4, 352.7, 389.6, 411.8, 434.8)
PROFIT_BY_YEAR = (27.6, 33.2, 38.9, 43.1, 46.8)
EMPLOYEES_BY_YEAR = (1742, 1815, 1902, 1968, 2041)
DIVIDEND_BY_YEAR = (0.20, 0.22, 0.25, 0.28, 0.32)
EMISSIONS_BY_YEAR = (41.8, 39.6, 36.9, 33.1, 28.7)
ORDERS_2025 = (48.2, 57.9, 53.1, 66.4)
ORDERS_2024 = (44.6, 49.0, 51.7, 52.8)


def money(value: float) -> str:
    """An amount as statements print it: one decimal, outflows in brackets."""
    return f"({-value:,.1f})" if value < 0 else f"{value:,.1f}"


def growth(pair: Pair) -> str:
    """The change from the second value of `pair` to the first, in percent with a sign."""
    return f"{100 * (pair[0] / pair[1] - 1):+.1f} %".replace("-", "−")
