"""Pages of the annual report that are mostly words: the letter, strategy, businesses, risks, sustainability, the board."""

from __future__ import annotations

from dataclasses import replace

from docrag.demo import charts
from docrag.demo.annual_page import LEFT, WIDTH, caption, opening
from docrag.demo.canvas import BODY, GREY, HEADING, INK, MIST, PALE, SMALL, STRONG, Column, Sheet, curve, rasterise
from docrag.demo.company import EMISSIONS_BY_YEAR, ORDERS_2024, ORDERS_2025, YEARS

LETTER = replace(BODY, size=12, leading=17.6)


def letter(sheet: Sheet) -> None:
    y = opening(sheet, "Letter to shareholders")
    sheet.flow(LEFT, y, WIDTH, LETTER_TEXT, LETTER)


def letter_end(sheet: Sheet) -> None:
    y = sheet.flow(LEFT, 88, WIDTH, LETTER_MORE, LETTER)
    x = LEFT
    for places in SIGNATURES:
        sheet.stroke([(x + dx, y + 34 + dy) for dx, dy in places], INK, 1.1, curved=True)
        x += 230
    y += 68
    for x, name, role in ((LEFT, "Judith Amsler", "Chair of the board"), (LEFT + 230, "Tobias Renquist", "Chief executive")):
        sheet.text(x, y, name, STRONG)
        sheet.text(x, y + 14, role, SMALL)


def strategy(sheet: Sheet) -> None:
    y = opening(sheet, "Strategy")
    y = sheet.flow(LEFT, y, WIDTH, STRATEGY_TEXT)
    for title, text in CHOICES:
        y = sheet.flow(LEFT, y + 2, WIDTH, title, HEADING)
        y = sheet.flow(LEFT, y - 6, WIDTH, text)
    y = caption(sheet, y + 8, "Table 1: What we aim at, and where we stand")
    table = (
        Column("Measure", 207),
        Column("2024", 80, "right"),
        Column("2025", 80, "right"),
        Column("Aim for 2028", 100, "right"),
    )
    y = sheet.table(LEFT, y, table, AIMS)
    sheet.flow(LEFT, y + 6, WIDTH, STRATEGY_END)


def town_water(sheet: Sheet) -> None:
    y = opening(sheet, "Town Water")
    y = sheet.flow(LEFT, y, WIDTH, TOWN_TEXT)
    y = caption(sheet, y + 6, "Figure 3: Order intake of Town Water by quarter, in millions of dollars")
    sheet.picture(LEFT, y + 2, WIDTH, 250, rasterise(WIDTH, 250, _orders_chart))
    y = sheet.flow(LEFT, y + 268, WIDTH, "What we delivered", HEADING)
    sheet.bullets(LEFT, y - 4, WIDTH, TOWN_DELIVERED)


def _orders_chart(sheet: Sheet) -> None:
    frame = charts.Frame(8, 8, sheet.width - 16, sheet.height - 14, ("Q1", "Q2", "Q3", "Q4"), 10.5)
    charts.columns(sheet, frame, [charts.Series("2025", ORDERS_2025), charts.Series("2024", ORDERS_2024, MIST)])


def farm_and_service(sheet: Sheet) -> None:
    y = opening(sheet, "Farm & Field, Repair & Service")
    for title, text in (("Farm & Field", FARM_TEXT), ("Repair & Service", SERVICE_TEXT)):
        y = sheet.flow(LEFT, y, WIDTH, title, HEADING)
        y = sheet.flow(LEFT, y - 6, WIDTH, text) + 6
    y = caption(sheet, y, "Table 3: Repair & Service in numbers")
    table = (Column("", 287), Column("2025", 90, "right"), Column("2024", 90, "right"))
    y = sheet.table(LEFT, y, table, SERVICE_NUMBERS)
    sheet.box(LEFT, y + 14, WIDTH, 92, PALE, 0.06)
    sheet.box(LEFT, y + 14, 4, 92, GREY)
    quote = replace(BODY, font="tiit", size=13, leading=18)
    end = sheet.flow(LEFT + 22, y + 28, WIDTH - 44, SERVICE_QUOTE, quote)
    sheet.text(LEFT + 22, end + 6, "Manager of a waterworks that has its pumps watched by Nettlefoss", SMALL)


def risks(sheet: Sheet) -> None:
    y = opening(sheet, "Principal risks")
    y = sheet.flow(LEFT, y, WIDTH, RISK_TEXT)
    y = caption(sheet, y + 4, "Table 8: Principal risks, and how they have changed since 2024")
    table = (
        Column("Risk", 115),
        Column("What we do about it", 180),
        Column("Likelihood", 58),
        Column("Impact", 52),
        Column("Change", 62),
    )
    y = sheet.table(LEFT, y, table, RISKS)
    sheet.flow(LEFT, y + 6, WIDTH, RISK_END)


def sustainability(sheet: Sheet) -> None:
    y = opening(sheet, "Sustainability")
    y = sheet.flow(LEFT, y, WIDTH, GREEN_TEXT)
    y = caption(sheet, y + 4, "Figure 5: Greenhouse gas emissions, in thousands of tonnes")
    sheet.picture(LEFT, y + 2, WIDTH, 210, rasterise(WIDTH, 210, _emissions_chart))
    y = caption(sheet, y + 226, "Table 9: Water, waste and safety")
    table = (Column("Measure", 287), Column("2025", 90, "right"), Column("2024", 90, "right"))
    y = sheet.table(LEFT, y, table, GREEN_NUMBERS)
    sheet.flow(LEFT, y + 6, WIDTH, GREEN_END)


def _emissions_chart(sheet: Sheet) -> None:
    frame = charts.Frame(8, 8, sheet.width - 16, sheet.height - 14, YEARS, 10.5)
    charts.columns(sheet, frame, [charts.Series("Emissions", EMISSIONS_BY_YEAR)])


def board(sheet: Sheet) -> None:
    y = opening(sheet, "Board and governance")
    y = sheet.flow(LEFT, y, WIDTH, BOARD_TEXT)
    y = caption(sheet, y + 4, "Table 10: Members of the board at 31 December 2025")
    table = (
        Column("Name", 112),
        Column("Role", 122),
        Column("Joined", 48),
        Column("Committees", 125),
        Column("Attended", 60, "right"),
    )
    y = sheet.table(LEFT, y, table, DIRECTORS)
    y = sheet.flow(LEFT, y + 8, WIDTH, "What the board worked on", HEADING)
    y = sheet.bullets(LEFT, y - 4, WIDTH, BOARD_WORK)
    sheet.flow(LEFT, y + 4, WIDTH, BOARD_END)


# Bezier curves: start, two controls, end, two controls, end, ... in points from the start of the line.
SIGNATURES = (
    curve("0,4 10,-42 22,-38 16,2 14,18 2,14 12,0 30,-18 36,-4 42,0 50,2 54,-14 62,-4 70,6 74,-12 88,-2 104,6 120,-6 138,-10"),
    curve(
        "0,-26 18,-34 30,-36 44,-30 22,-28 20,-4 14,10 26,4 36,-14 44,-6 50,2 58,-8 70,-4 84,2 96,-30 88,-2 92,8 112,-4 132,-12"
    ),
)

LETTER_TEXT = """
Dear shareholders,

A pump is a modest machine. When it works nobody thinks of it, and when it stops a town is without water by the evening. For
one hundred and fourteen years it has been our trade to see that it does not stop. In 2025 we did that well, and we earned
well by it.

Revenue rose by 5.6 % to $434.8 million. Operating profit came to $46.8 million, $3.7 million more than the year before. That
is a margin of 10.8 %, the best since we began to publish our accounts. Cash from operations was higher still: at $62.4
million it paid for everything that we built, for the dividend, and for the yearly instalment of our loans, with some to
spare.

The year was not good everywhere. Farm & Field sold less than in 2024, and we ask you to look at that soberly. Part of it was
rain. Part of it was that our most important irrigation pump had grown old, and growers were right to wait for something
better. Its successor, the Kestrel 4, has now been through a season of trials and goes on sale in spring.

The largest single step of the year was the new foundry. In June we opened it at Marrowby, forty minutes from the head office,
on land where a brickworks used to stand. It casts the bodies of nine in ten of our pumps, and does so with two thirds of the
power that the castings we used to buy had needed. The first iron was poured on 11 June, in the presence of most of the town.
"""

LETTER_MORE = """
We also made a mistake, and would rather that you read it here. In autumn we found that one lot of shaft seals from a supplier
did not keep tight when warm. Pumps with these seals had already left the plant. We called them back within a week, wrote to
every dealer concerned, and now test each lot ourselves before it goes into a pump. Warranty provisions rose by $1.1 million
as a result. No one was hurt and no town was without water.

Two thousand and forty-one people work for Nettlefoss, seventy-three more than a year ago. Fitters are hard to find, and so we
train our own: fifty-eight apprentices began in September, the largest number ever. To all who were up at night for a station
that had stopped, we say thank you.

The board proposes a final dividend of $0.20 a share. With the interim dividend this makes $0.32 for the year, after $0.28 for
2024. It is the tenth year in a row in which the dividend has been raised, and it leaves enough for the work ahead.

That work is plain. We want to repair more, for a pump that is kept running is the cheapest pump there is. We want the Kestrel
4 to win back the growers who waited. And we want our debts to stay low, so that a dry order book in one year does not undo
the care of ten others.

Thank you for your trust.

Eldenmouth, 5 March 2026
"""

STRATEGY_TEXT = """
Water has to be lifted, moved and measured in good times and bad. What changes is who pays for it and how. Waterworks used to
buy pumps; more and more of them buy hours in which a pump runs. Growers used to ask what a pump costs; now they ask what it
costs to run. Our strategy rests on three choices.
"""

CHOICES = (
    (
        "1. Service before sales",
        """We want a quarter of our revenue to come from repair and service by 2028. Each new contract ties a meter to a
        pump and a fitter to a district. Workshops are added where at least two hundred pumps, of whatever make, stand
        within an hour's drive.""",
    ),
    (
        "2. Less power for the same water",
        """Power is nine tenths of what a pump costs over its life. All pumps that we bring out from now on must use a
        fifth less power than those they replace. The Kestrel 4 is the first to be measured by that rule.""",
    ),
    (
        "3. Our own iron",
        """Whoever casts the body of a pump decides how good the pump can be. With the foundry we cast most bodies
        ourselves and keep two outside suppliers for the largest ones.""",
    ),
)

AIMS = (
    ("Operating margin", "10.5 %", "10.8 %", "12.0 %"),
    ("Share of Repair & Service in revenue", "18.0 %", "20.3 %", "25.0 %"),
    ("Share of revenue spent on development", "4.0 %", "4.3 %", "5.0 %"),
    ("Orders delivered on the promised day", "86 %", "91 %", "95 %"),
    ("Net debt to earnings before depreciation", "1.0", "0.6", "below 1.0"),
)

STRATEGY_END = """
Pay of the management depends in equal parts on the first, second and fourth of these measures. We left out a target for
revenue on purpose: it is too easily met by selling what has to be repaired too soon.
"""

TOWN_TEXT = """
Town Water supplies pumping stations, valves and meters to public waterworks. It is led by Colm Hasleby and employs 870
people. Its revenue rose by 8.3 % to $214.6 million, and 13.0 cents of each dollar stayed as operating profit, half a cent
more than in 2024.

Order intake was strong from spring on and strongest in the last quarter, when the harbour city of Ostermole ordered fourteen
pumping stations at once. Over the year orders exceeded revenue by five percent. Customers are mostly towns between ten and
eighty thousand people, which plan for decades and pay on time.
"""

TOWN_DELIVERED = (
    "146 pumping stations, of which 39 replaced stations built before 1980",
    "a barrage with nine gates that keeps the sea out of the marshes at Ostermole",
    "5,200 large meters that report by radio what passes through them and what leaks",
    "the first station that runs wholly on the pressure of the reservoir above it",
)

FARM_TEXT = """
Farm & Field makes irrigation pumps for growers and sells them through 340 dealers. It is led by Farida Lindqvist. Revenue
fell by 5.4 % to $131.9 million. In spring it rained in the south for nine weeks, and dealers had pumps enough in their yards.
In the second half of the year orders recovered, but too late for the season.

Lower Quern built 41,300 pumps, 3,900 fewer than in 2024. Nobody was dismissed; the shifts were shortened in July and August,
and 26 people moved to the foundry. The trials of the Kestrel 4 began in the autumn and are described in our briefing for
dealers.
"""

SERVICE_TEXT = """
Repair & Service maintains pumps of all makes, by contract or by call. It is led by Owen Tessaly. Revenue grew by 19.2 % to
$88.3 million, and the margin rose to 19.4 %. Half of the growth came from workshops added in 2024, the other half from
contracts under which we watch a customer's pumps from afar and come before they fail.
"""

SERVICE_NUMBERS = (
    ("Workshops at year end", "19", "17"),
    ("Pumps under contract", "23,600", "18,900"),
    ("Hours from call to arrival, on average", "3.4", "4.1"),
    ("Repairs done", "61,250", "54,800"),
    ("Share of contracts renewed", "94 %", "92 %"),
)

SERVICE_QUOTE = """
“They rang to say that our second pump would not last the week. We had not noticed a thing. It was changed on Tuesday, and
nobody in town knows to this day.”
"""

RISK_TEXT = """
The board reviews twice a year what could keep Nettlefoss from reaching its aims. The table names the risks that it holds to
be the principal ones, what is done about each, and whether it has become higher or lower since the last report.
"""

RISKS = (
    (
        "Price of copper and steel",
        "Half of a year's need is bought ahead; price clauses in long orders",
        "Likely",
        "Medium",
        "Higher",
    ),
    (
        "A fault that shows only in the field",
        "Each lot of seals and bearings is tested before it is built in",
        "Possible",
        "High",
        "Higher",
    ),
    (
        "Swings in what growers spend",
        "Shift accounts at Lower Quern; a wider spread of regions",
        "Likely",
        "Medium",
        "Unchanged",
    ),
    ("Start-up of the foundry", "Outside suppliers stay under contract until the end of 2026", "Possible", "Medium", "Lower"),
    ("Attack on computers and meters", "Meters and offices use separate networks; yearly drill", "Possible", "High", "Higher"),
    ("Shortage of fitters", "Own apprentices; a bonus for those who bring in others", "Likely", "Medium", "Unchanged"),
    ("Public budgets for water", "Stations offered for rent; work for 31 countries", "Possible", "Medium", "Unchanged"),
    ("Exchange rates", "Costs and sales are kept in the same currency where possible", "Likely", "Low", "Lower"),
)

RISK_END = """
No risk is seen at present that would endanger the company as a whole. If all risks of high impact came true within one year,
cash and agreed credit lines would cover them. The credit line of $60 million was not drawn in 2025 and runs until June 2029.
"""

GREEN_TEXT = """
Most of the harm that a pump does, it does while running: the power it uses over twenty years outweighs that of making it
forty times. That is why the second choice of our strategy is also our main contribution. At our own plants emissions fell by
13 % in 2025, because the foundry melts with electricity and because Eldenmouth has been heated from the sewer below it since
March.
"""

GREEN_NUMBERS = (
    ("Water drawn, thousands of cubic metres", "212", "240"),
    ("Waste sent to landfill, tonnes", "318", "402"),
    ("Share of scrap in cast iron", "71 %", "64 %"),
    ("Accidents with days lost, per million hours", "2.9", "3.6"),
    ("Apprentices who began", "58", "49"),
)

GREEN_END = """
By 2030 we want to emit half of what we emitted in 2021. The figures include the plants and the vans of the workshops, but
neither the goods that we buy nor the power that our pumps use.
"""

BOARD_TEXT = """
The board has eight members, five of whom do not work for the company. It met eight times in 2025, twice at a plant. The roles
of chair and chief executive are kept apart. Members are elected for three years and may be elected twice more.
"""

DIRECTORS = (
    ("Judith Amsler", "Chair", "2017", "Nomination", "8 of 8"),
    ("Tobias Renquist", "Chief executive", "2019", "", "8 of 8"),
    ("Priya Vandermeer", "Chief financial officer", "2021", "", "8 of 8"),
    ("Ruth Calloway", "Independent member", "2018", "Audit, Nomination", "8 of 8"),
    ("Stefan Brandvold", "Independent member", "2020", "Audit", "7 of 8"),
    ("Mei-Lin Harcourt", "Independent member", "2022", "Remuneration", "8 of 8"),
    ("Desmond Okpara", "Independent member", "2023", "Audit, Remuneration", "8 of 8"),
    ("Astrid Pell", "Elected by the employees", "2024", "Remuneration", "7 of 8"),
)

BOARD_WORK = (
    "the opening of the foundry and the closing of the contracts that it replaces",
    "the recall of pumps with faulty seals, on which it was informed within a day",
    "the plan for who follows whom, as the chair's last term ends in 2026",
)

BOARD_END = """
The nomination committee proposes Ruth Calloway as the next chair. The remuneration committee asked shareholders for their
views on pay and received answers from holders of 61 % of the shares. Its own report will be published before the annual
general meeting.
"""
