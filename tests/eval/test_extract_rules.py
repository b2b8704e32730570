"""Extraction by rules: what it was tuned on, what it was not, and what a stranger may send."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from docrag.eval.extract.extracted import Format
from docrag.eval.extract.refusals import is_failure, is_refusal
from docrag.eval.extract.rules import RuleExtractor
from docrag.eval.scoring import clean, read_literal, score_answer

NA = ("Not answerable", "None")
FAIL = ("Fail to answer", "")

# Each a question, a response, and the answer with its format.
RESPONSES: tuple[tuple[str, str, tuple[str, Format]], ...] = (
    # said outright
    ("How many ships are shown?", "Answer: 12", ("12", "Int")),
    ("How many ships are shown?", "Looking at page 3, I count twelve of them.\n\n**Final Answer:** 12 ships", ("12", "Int")),
    ("Which port is largest?", "The answer is Rotterdam.", ("Rotterdam", "Str")),
    ("Which port is largest?", "Reading the table, **Answer**: Rotterdam", ("Rotterdam", "Str")),
    ("What is 3 + 4?", "Adding both gives $\\boxed{7}$.", ("7", "Int")),
    ("Which port is largest?", "So the result is \\boxed{\\text{Rotterdam}}.", ("Rotterdam", "Str")),
    ("Which port is largest?", '{"answer": "Rotterdam", "pages": [3]}', ("Rotterdam", "Str")),
    ("What share went by rail?", 'Here it is:\n```json\n{"answer": 0.45}\n```', ("0.45", "Float")),
    ("Which ports?", '{"answer": ["Genoa", "Bari"]}', ("['Genoa', 'Bari']", "List")),
    ("Which port is largest?", "First answer: Genoa? No.\nThe final answer is: Rotterdam", ("Rotterdam", "Str")),
    ("Who is the captain?", "Answer: The document does not mention the captain.", NA),
    ("Who is the captain?", "**Not answerable**", NA),
    ("Who is the captain?", '{"answer": null}', NA),
    ("Is it open on Monday?", '{"answer": true}', ("Yes", "Str")),
    # one sentence
    ("Which port is the largest in Europe?", "The largest port in Europe is Rotterdam.", ("Rotterdam", "Str")),
    ("Which port is the largest in Europe?", "Rotterdam is the largest port in Europe.", ("Rotterdam", "Str")),
    ("Which port is the largest in Europe?", "Rotterdam", ("Rotterdam", "Str")),
    ("Who painted the mural?", "The mural was painted by Ada Quill in 1911.", ("Ada Quill", "Str")),
    ("What is the title of the report?", 'The title of the report is "Seas of Change".', ("Seas of Change", "Str")),
    ("In which year was the pier built?", "The pier was built in 1887.", ("1887", "Int")),
    ("When was the pier built?", "The pier was built in May 1887.", ("May 1887", "Str")),
    ("What colour is the logo?", "According to the first page, the logo is **dark green**.", ("dark green", "Str")),
    # numbers
    ("How many berths are there?", "There are 1,204 berths in the harbour.", ("1204", "Int")),
    ("How many berths are there?", "The harbour has twelve berths.", ("12", "Int")),
    ("How many berths are there?", "Based on Table 4 on page 17, there are a total of 38 berths.", ("38", "Int")),
    ("How many berths are there?", "Table 2 lists 20 for the east and 18 for the west. In total, there are 38.", ("38", "Int")),
    ("How many sailors in 2015 were women?", "In 2015, 310 of the 2,000 sailors were women.", ("310", "Int")),
    ("What percentage of sailors are women?", "15.5% of the sailors are women.", ("15.5", "Float")),
    ("What percentage of sailors are women?", "The percentage is 15 percent.", ("15", "Int")),
    ("What was the revenue in 2019?", "The revenue in 2019 was $5,430.50.", ("5430.50", "Float")),
    ("What was the revenue in 2019?", "The revenue in 2019 was 5.4 billion euros.", ("5.4 billion euros", "Str")),
    ("What was the revenue in 2019, in millions?", "It was 540.2 million dollars.", ("540.2", "Float")),
    ("What is the change in tonnage?", "The tonnage fell by 3.2, so the change is -3.2.", ("-3.2", "Float")),
    ("What is the ratio?", "Ratio = 12 / 48 = 0.25", ("0.25", "Float")),
    ("How many sailors are there?", "Twenty-five sailors.", ("25", "Int")),
    ("How long is the pier?", "The pier is 240 m long.", ("240 m", "Str")),
    # yes and no
    ("Is the pier longer than 200 m?", "Yes, the pier is 240 m long.", ("Yes", "Str")),
    ("Does the port have a crane?", "No, it doesn't have one.", ("No", "Str")),
    ("Did exports grow?", "Based on the chart, yes: exports grew by 4%.", ("Yes", "Str")),
    # lists
    ("List the three docks.", "- East dock\n- West dock\n- Old dock", ("['East dock', 'West dock', 'Old dock']", "List")),
    ("What are the three docks?", "The docks are:\n1. **East**: for grain\n2. **West**: for oil", ("['East', 'West']", "List")),
    ("Which docks are closed?", "The East, the West and the Old Dock are closed.", ("['East', 'West', 'Old Dock']", "List")),
    ("Which docks are closed?", "Answer: East, West, and Old", ("['East', 'West', 'Old']", "List")),
    ("Which docks are closed?", "The closed docks are East and West.", ("['East', 'West']", "List")),
    ("Which pages show cranes?", "Answer: [3, 5]", ("['3', '5']", "List")),
    ("List the values for both years.", "['1.5', '2.5']", ("['1.5', '2.5']", "List")),
    # refusals
    ("Who is the captain?", "The captain's name cannot be determined from the document.", NA),
    ("Who is the captain?", "The name of the captain is not mentioned in the provided pages.", NA),
    ("Who is the captain?", "There is no information about the captain in this document.", NA),
    (
        "Who is the captain?",
        "I'm sorry, but the documents do not contain any details on the captain. They only cover ships.",
        NA,
    ),
    ("Who is the captain?", "The report doesn't specify who the captain is. It does list 12 mates.", NA),
    ("How many?", "It is impossible to tell how many from what is given.", NA),
    ("How many cranes are red?", "None of the pages provide this information, so the question is unanswerable.", NA),
    ("How many cranes are red?", "The question cannot be answered. Page 4 shows 3 cranes, all of them blue.", NA),
    ("How many in 2020?", "It is not mentioned in 2019 but in 2020 it is 5.", ("5", "Int")),
    ("How many in total?", "The total is not stated explicitly. Adding up the rows, however, gives 45.", ("45", "Int")),
    ("Which dock is not mentioned?", "The dock that is not mentioned is East.", ("East", "Str")),
    ("How many cranes are red?", "Zero cranes are red.", ("0", "Int")),
    # failures
    ("What colour is it?", "I cannot view images, so I can't say.", FAIL),
    ("What colour is it?", "I'm unable to access the document. Please upload it again.", FAIL),
    ("What colour is it?", "", FAIL),
    ("What colour is it?", "The text appears to be corrupted and unreadable, so I could not read it.", FAIL),
    # thinking aloud
    ("How many?", "<think>Maybe 4? The answer is 4. No, 5.</think>\n5", ("5", "Int")),
    ("Which dock is older?", "East or West? Page 2 dates West to 1880. Therefore, the older dock is West.", ("West", "Str")),
    # a second round
    (
        "How many tugs are red?",
        "The fleet page shows several tugs:\n- Ada (red)\n- Bea (blue)\n- Cid (red)\n\nSo **2** tugs are red.",
        ("2", "Int"),
    ),
    (
        "What is the name of the oldest tug?",
        "The oldest tug listed in the table is the Ada, launched in 1911.",
        ("the Ada", "Str"),
    ),
    ("Which country exports the most tin?", "Looking at the bar chart on page 6, Peru exports the most tin.", ("Peru", "Str")),
    ("What was the growth rate in 2020?", "The growth rate in 2020 was approximately 3.4%.", ("3.4", "Float")),
    ("What is the sum of A and B?", "A is 12.5 and B is 7.5. So the sum is 12.5 + 7.5 = 20.", ("20", "Int")),
    ("Which year had the most storms?", "2011 had the most storms, with 14 recorded.", ("2011", "Int")),
    ("Who wrote the foreword?", "The foreword is by Dr. Lena Moor, the director.", ("Dr. Lena Moor", "Str")),
    (
        "What is the email address of the office?",
        "You can reach the office at office@harbour.example.",
        ("office@harbour.example", "Str"),
    ),
    (
        "How many people were surveyed?",
        "A total of 2,503 adults were surveyed between May 1 and May 30, 2012.",
        ("2503", "Int"),
    ),
    (
        "What percentage of women agree?",
        "According to the table on page 9, 48% of women agree, compared with 52% of men.",
        ("48", "Int"),
    ),
    (
        "What are the two main goals?",
        "The two main goals are reducing waste and saving energy.",
        ("['reducing waste', 'saving energy']", "List"),
    ),
    ("What does the sign say?", 'The sign says "No entry".', ("No entry", "Str")),
    ("What does HAZ stand for?", "HAZ stands for Harbour Access Zone.", ("Harbour Access Zone", "Str")),
    ("Where is the head office?", "The head office is in Trieste, Italy.", ("Trieste, Italy", "Str")),
    (
        "How many more tugs are in Bari than in Genoa?",
        "Bari has 14 tugs and Genoa has 9, so there are 5 more in Bari.",
        ("5", "Int"),
    ),
    ("Which is larger, the crane or the dock?", "The crane is larger.", ("The crane", "Str")),
    ("Is the crane or the dock larger?", "The dock is larger than the crane.", ("The dock", "Str")),
    ("What is the population of the town?", "The town has a population of 1.2 million.", ("1.2 million", "Str")),
    ("What fraction of tugs is red?", "The answer is 2/5.", ("2/5", "Str")),
    ("What is the phone number?", "Answer: 555-0134", ("555-0134", "Str")),
    ("What is the date of the survey?", "Final answer: 2012-05-30", ("2012-05-30", "Str")),
    ("What time does it open?", "**Answer:** 9:00 a.m.", ("9:00 a.m.", "Str")),
    ("Which file is run first?", "The file that is run first is `start.py`.", ("start.py", "Str")),
    ("Who is the mayor?", "I could not find the mayor's name in the text.", NA),
    ("Who is the mayor?", "Based on the provided context, there's no mention of a mayor.", NA),
    ("Who is the mayor?", "The context only covers the years before 1990, so it is not possible to say who the mayor is.", NA),
    ("Who is the mayor?", "Not enough information.", NA),
    ("Who is the mayor?", "The mayor is Ann Poole. Her salary is not stated.", ("Ann Poole", "Str")),
    ("Who is the mayor?", "I don't see any mayor named here.", NA),
    ("What colour is the door?", "As a text-based model, I can't see images, but please share a description.", FAIL),
    ("What colour is the door?", "The document could not be loaded.", FAIL),
    ("Is the dock closed?", "The document does not say whether the dock is closed.", NA),
    ("Is the dock closed?", "The dock is closed.", ("Yes", "Str")),
    ("Is the dock closed?", "The dock is not closed.", ("No", "Str")),
    ("How many dock gates face west?", "None of the gates face west.", ("0", "Int")),
    # a third round
    ("Who signed the lease?", "The lease was signed by M. Okafor on page 3.", ("M. Okafor", "Str")),
    ("Who signed the lease?", "M. Okafor signed the lease.", ("M. Okafor", "Str")),
    ("Who wrote the preface?", "The preface was written by J. R. R. Tolkien in 1937.", ("J. R. R. Tolkien", "Str")),
    ("Which pier is longer?", "The longer pier is B. Page 3 shows it.", ("B", "Str")),
    ("Which pier is longer, A or B?", "The answer is B. Option A is a much shorter one.", ("B", "Str")),
    ("What color is the line?", "The line is red. It is not clear why it is red.", ("red", "Str")),
    ("Why is the line red?", "The line is red. It is not clear why it is red.", NA),
    ("How many of the pages mention cats?", "None of the pages mention cats.", ("0", "Int")),
    ("How many of the pages mention cats?", "Answer: No pages mention cats.", ("0", "Int")),
    (
        "How many of the pages mention cats?",
        "None of the pages mention cats by name. Adding up those that show some gives 3.",
        ("3", "Int"),
    ),
    ("How many are closed?", "None of the docks are closed.", ("0", "Int")),
    ("How many pages are there?", "None of the pages mention how many pages there are.", NA),
    ("How many cats are there?", "None of the pages mention the number of cats.", NA),
    ("Is there any answer key in the appendix?", "No, the answer is not in the appendix.", ("No", "Str")),
    ("Is the pier closed?", "No. Wait, let me look again. The answer is: Yes", ("Yes", "Str")),
    ("What was the revenue?", "The revenue was $1.2 billion in 2020.", ("$1.2 billion", "Str")),
    ("What was the revenue in 2020?", "The revenue was $5,430 in fiscal year 2020.", ("5430", "Int")),
    ("What was the rent of the East Dock?", "The rent was 300 euros for the East Dock.", ("300", "Int")),
    ("What was the rent?", "The rent was 300 euros for the West Dock.", ("300 euros for the West Dock", "Str")),
    ("What time does it open?", "It opens at 9 a.m. daily.", ("9 a.m.", "Str")),
    ("What time does it open?", "The harbour opens at 9:30 on weekdays.", ("9:30", "Str")),
    ("When is the office staffed?", "It is staffed from 9 a.m. to 5 p.m. each day.", ("9 a.m. to 5 p.m.", "Str")),
    ("When did it open?", "It opened on May 3, 1911 at 9 a.m. sharp.", ("May 3, 1911", "Str")),
    ("Which docks have no crane?", "East and West have no crane.", ("['East', 'West']", "List")),
)

# Written before the rules, and never tuned on.
UNSEEN = (
    ("How many partner banks signed the charter?", "Counting the logos on the last slide, nineteen banks signed it.", "19"),
    (
        "What was the operating margin in 2018?",
        "In 2018, the operating margin stood at 14.2%, up from 13.9% the year before.",
        "14.2",
    ),
    ("Which city hosts the archive?", "According to page 12, the archive is hosted in **Turin**.", "Turin"),
    (
        "Is the tower taller than the bridge?",
        "The tower measures 120 m and the bridge 95 m, so yes, the tower is taller.",
        "Yes",
    ),
    (
        "List the colours of the three trophies.",
        "The trophies shown in the picture are:\n\n1. Silver\n2. Bronze\n3. Green\n\nLet me know if you need more!",
        "['Silver', 'Bronze', 'Green']",
    ),
    (
        "Who chairs the water committee?",
        "I looked through every page supplied, and none of them says who chairs it.",
        "Not answerable",
    ),
    (
        "What does the red arrow on slide 8 point at?",
        "Unfortunately the image failed to load, so I'm unable to view it.",
        "Fail to answer",
    ),
    ("Which month had the lowest rainfall?", "Rainfall was lowest in August (11 mm).", "August"),
    (
        "What is the difference between the two tariffs?",
        "Tariff A costs $12.50 and tariff B costs $9.75. The difference is therefore 12.50 - 9.75 = $2.75.",
        "2.75",
    ),
    (
        "Which two suppliers raised prices?",
        "Both Halden Steel and Orme Glass raised their prices.",
        "['Halden Steel', 'Orme Glass']",
    ),
    ("What is the product code of the pump?", '```json\n{"reasoning": "page 3", "answer": "PX-77/b"}\n```', "PX-77/b"),
    ("How many employees had the firm in 2009?", "The 2009 headcount isn't given anywhere in these pages.", "Not answerable"),
    (
        "In which year did the museum open?",
        "The museum first opened its doors to the public in 1934 after ten years of work.",
        "1934",
    ),
    (
        "What share of voters is undecided?",
        "Roughly a quarter. More precisely, the pie chart puts undecided voters at 26%.",
        "26",
    ),
    ("What is the title of figure 7?", 'Figure 7 is titled "Flow of waste heat".', "Flow of waste heat"),
    (
        "How many ferries sail on Sundays?",
        "### Reasoning\nThe timetable has 4 morning and 3 evening sailings.\n\n### Answer\n7",
        "7",
    ),
    ("Does the plan mention nuclear power?", "No. Nuclear power is not mentioned in the plan.", "No"),
    ("Which author wrote chapter 4?", "Chapter 4 was written by Ines Valdemar.", "Ines Valdemar"),
    ("What are the opening hours of the shop?", "The shop is open from 9:00 a.m. to 5:30 p.m.", "9:00 a.m. to 5:30 p.m."),
    (
        "How much did the roof cost?",
        "The report says nothing of the roof's cost, but the invoice on page 9 puts it at 48,200 euros.",
        "48200",
    ),
    ("What animal is on the cover?", "The cover shows a heron standing in shallow water.", "a heron"),
    (
        "Which regions fell below target?",
        "Three regions fell below target: North, Coast, and Lakes.",
        "['North', 'Coast', 'Lakes']",
    ),
    ("What is the ratio of debt to equity?", "Debt / equity = 4,200 / 6,000 = 0.7\n\nThe answer is \\(\\boxed{0.7}\\).", "0.7"),
    (
        "What is the CEO's salary?",
        "Sorry, but based on the excerpts provided I can't tell what the salary is.",
        "Not answerable",
    ),
)
LEAST = 20  # of them were right before any tuning


def answer(question: str, response: str) -> str:
    said = RuleExtractor().extract(question, response).answer
    assert said is not None
    return said


@pytest.mark.parametrize(("question", "response", "wanted"), RESPONSES)
def test_responses(question: str, response: str, wanted: tuple[str, Format]) -> None:
    got = RuleExtractor().extract(question, response)
    assert (got.answer, got.answer_format) == wanted, got.how


def test_unseen_responses() -> None:
    got = [(question, answer(question, response), wanted) for question, response, wanted in UNSEEN]
    wrong = [one for one in got if clean(one[1]) != clean(one[2])]
    assert len(UNSEEN) - len(wrong) >= LEAST, wrong


@pytest.mark.parametrize(
    ("reference", "answer_format"),
    [("12", "Int"), ("15.5%", "Float"), ("Ada Quill", "Str"), ("2012-05-30", "Str"), ("['1.5', 'North']", "List"),
     ("https://a.example/b", "Str"), ("3 of the 7", "Str"), ("page 12", "Str"), ("9:00 a.m.", "Str")],
)  # fmt: skip
@pytest.mark.parametrize("form", ["{}", "Answer: {}", "I looked.\n\n**Final answer:** {}", "The answer is {}."])
def test_what_is_marked_keeps_its_score(reference: str, answer_format: Format, form: str) -> None:
    assert answer_format not in ("None", "")
    assert score_answer(answer("What is it?", form.format(reference)), reference, answer_format) == 1.0


def test_refusals_and_failures_by_themselves() -> None:
    assert is_refusal("Who is it?", ["It is not mentioned."])
    assert not is_refusal("How many?", ["It is not mentioned in 2019 but in 2020 it is 5."])
    assert not is_refusal("Who is it?", [])
    assert is_failure(["I cannot open the attached file."])
    assert not is_failure(["I cannot see any page that mentions it."])


BITS = [
    *(
        "a",
        "a ",
        "A. ",
        "(",
        "[",
        "{",
        '{"answer":',
        '{"answer": "',
        "**",
        "* ",
        "- x\n",
        "\n",
        " ",
        "1,111",
        "-1",
        "= 1",
        ", and ",
    ),
    *("is not ", "no ", "answer: ", "answer:\n\n", "\\boxed{", "<think>", "</think>", "one hundred and ", "cannot view the "),
    *("but ", "none of the ", "nothing ", "Yes, ", "\x00", "\ud800", "İ", "ﬁ", '"a" ', "#"),
]


@pytest.mark.parametrize("bit", BITS)
def test_a_megabyte_of_anything_takes_a_moment(bit: str) -> None:
    response = (bit * (1_000_000 // len(bit) + 1))[:1_000_000]
    begin = time.process_time()
    got = RuleExtractor().extract("List all of the ships.", response)
    assert time.process_time() - begin < 2
    assert got.answer


def test_nothing_is_ever_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    code = f"__import__('pathlib').Path({str(target)!r}).touch()"
    for response in (code, f"Answer: {code}", f"Answer: [{code}]", f'{{"answer": "{code}"}}', f"\\boxed{{{code}}}"):
        assert answer("What is it?", response)
    assert not target.exists()


def test_lists_are_literals() -> None:
    odd = 'Answer:\n- it\'s "A"\n- back\\slash\n- [x]'
    assert read_literal(answer("List them.", odd)) == ['it\'s "A"', "back\\slash", "[x]"]


def test_a_long_response_is_read_at_both_ends() -> None:
    filler = "Some words about ships. " * 50_000
    assert answer("How many cranes?", f"{filler}\nAnswer: 12") == "12"
    assert answer("How many cranes?", f"Answer: 12\n{filler}") == "12"
