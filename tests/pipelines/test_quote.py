"""The offline reader: what it answers from, what it cites, and when it refuses."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

from docrag.errors import UsageError
from docrag.pipelines.locate import locate_quote
from docrag.pipelines.reader import open_reader
from docrag.types import NOT_ANSWERABLE, Context, DocumentRef, Evidence, PageContent, PageRef

READER = open_reader("quote")
INCOME = [
    ("", "2023", "2022", "2021"),
    ("Turbines", "310.2", "280.0", "251.7"),
    ("Services", "102.3", "96.1", "90.8"),
    ("Total revenue", "412.5", "376.1", "342.5"),
    ("Cost of sales", "(250.1)", "(231.0)", "(214.2)"),
    ("Operating income", "58.9", "47.2", "40.4"),
    ("Net income", "41.0", "33.1", "28.6"),
]
SEGMENTS = [
    ("Segment", "Revenue", "Operating margin", "Employees"),
    ("Onshore", "201.4", "15.2%", "1,102"),
    ("Offshore", "108.8", "9.7%", "604"),
    ("Services", "102.3", "21.4%", "725"),
]
STORY = (
    (60, 80, "Northwind Turbines", 20),
    (60, 120, "The company was founded in 1987 by Greta Olafsen. At the end of 2023 it had"),
    (60, 133, "2,431 employees in nine countries. The new dividend policy takes effect on 1 July 2024."),
    (60, 146, "The share of recycled steel rose to 64% in 2023. Helmets are inspected every 24 months."),
    (60, 159, "The Life Cycle Assessment (LCA) covers all turbines. Dogs are allowed in the yard."),
    (60, 172, "The budget for 2024 is EUR 184 million, up from EUR 171 million in 2023."),
    (60, 185, "In June a new foundry was built. We opened it at Marrowby, near the sea."),
    (60, 240, "Date: 3 March 2023"),
    (60, 253, "From: Ilse Brandt, Head of Safety"),
    (60, 266, "Questions: safety@northwind.example"),
    (60, 320, "Our climate goals", 20),
    (60, 350, "• Carbon neutral plants"),
    (60, 363, "• Recyclable blades"),
    (60, 376, "• Electric vans"),
)  # fmt: skip


@pytest.fixture
def report(draw_page, draw_table, as_context):
    income = draw_page((60, 80, "Income statement", 20), *draw_table(INCOME, (60, 300, 380, 460)), index=1)
    segments = draw_page((60, 80, "Segments", 20), *draw_table(SEGMENTS, (60, 200, 300, 450)), index=2)
    return as_context(draw_page(*STORY), income, segments)


@pytest.mark.parametrize(
    ("question", "answer", "page_number", "quote"),
    [
        ("What was the total revenue in 2023?", "412.5", 2, "Total revenue 412.5"),
        ("What was the total revenue in 2022?", "376.1", 2, "376.1"),
        ("What was the net income in 2021?", "28.6", 2, "28.6"),
        ("What was the cost of sales in 2022?", "(231.0)", 2, "(231.0)"),
        ("What was the total revenue in 2022, in million euros? Give a float.", "376.1", 2, "376.1"),
        ("What is the operating margin of the Offshore segment?", "9.7%", 3, "9.7%"),
        ("How many employees does the Onshore segment have?", "1102", 3, "1,102"),
        ("How many employees did the company have at the end of 2023?", "2431", 1, None),
        ("Who founded the company?", "Greta Olafsen", 1, None),
        ("When does the new dividend policy take effect?", "1 July 2024", 1, None),
        ("When does the dividend policy take effect? Format the date as YYYY-MM-DD.", "2024-07-01", 1, None),
        ("In which year was the company founded?", "1987", 1, None),
        ("What percentage of steel was recycled in 2023?", "64%", 1, None),
        ("How often are helmets inspected?", "every 24 months", 1, None),
        ("What does LCA stand for?", "Life Cycle Assessment", 1, None),
        ("Are dogs allowed in the yard?", "Yes", 1, None),
        ("What is the budget for 2024?", "EUR 184 million", 1, None),
        ("What was the budget for 2023?", "EUR 171 million", 1, None),
        ("What is the budget for 2024? Answer in million.", "184", 1, None),
        ("Where was the new foundry opened?", "Marrowby", 1, None),
        ("What is the date?", "3 March 2023", 1, "Date: 3 March 2023"),
        ("Who is the head of safety?", "Ilse Brandt", 1, None),
        ("What is the email address for questions?", "safety@northwind.example", 1, None),
        ("What are the climate goals?", "['Carbon neutral plants', 'Recyclable blades', 'Electric vans']", 1, None),
        ("What is the title of the report?", "Northwind Turbines", 1, "Northwind Turbines"),
    ],
)
def test_plain_questions_are_answered_with_page_quote_and_box(report, question, answer, page_number, quote):
    reading = READER.read(question, report)
    assert (reading.outcome, reading.answer) == ("answered", answer)
    assert reading.confidence >= 0.5
    (citation,) = reading.citations
    assert (citation.document, citation.page_number, citation.verified) == ("report.pdf", page_number, True)
    assert quote is None or citation.quote == quote
    content = report.evidence[page_number - 1].content
    assert locate_quote(content, citation.quote) is not None
    assert citation.box is not None
    assert 0 <= citation.box[0] < citation.box[2] <= content.width_pt
    assert 0 <= citation.box[1] < citation.box[3] <= content.height_pt


@pytest.mark.parametrize(
    "question",
    [
        "What was the total revenue in 2019?",
        "What was the total revenue of Vestas in 2023?",
        "What was the gross profit in 2023?",
        "What is the operating margin of the Solar segment?",
        "What was the operating margin of Offshore in 2020?",
        "How many employees work in Denmark?",
        "How many factories does the company own?",
        "Who is the chief financial officer?",
        "When does the new pension policy take effect?",
        "What is the budget for 2026?",
        "Are cats allowed in the yard?",
        "What does SMS stand for?",
        "Where was the old foundry sold?",
        "What colour are the helmets?",
        "How much higher was revenue in 2023 than in 2022?",
        "How many tables are in the report?",
    ],
)
def test_near_misses_and_what_no_extract_can_tell_are_refused(report, question):
    reading = READER.read(question, report)
    assert (reading.outcome, reading.answer, reading.citations) == ("not_answerable", NOT_ANSWERABLE, ())
    assert reading.trace["abstained"]


def test_pages_that_the_question_names_are_the_only_ones_read(draw_page, as_context):
    old = draw_page((60, 100, "Fax: 030 555 100"), index=0)
    new = draw_page((60, 100, "Fax: 030 555 200"), index=4)
    named = dataclasses.replace(new, reason="referenced")
    assert READER.read("What is the fax number on page 5?", as_context(old, named)).answer == "030 555 200"
    assert READER.read("What is the email address on page 5?", as_context(old, named)).outcome == "not_answerable"


def test_columns_side_by_side_are_told_apart(draw_page, as_context):
    page = draw_page(
        (60, 60, "Old and new", 22),
        (60, 110, "Pump A", 13), (350, 110, "Pump B", 13),
        (80, 140, "Warranty: 3 years"), (370, 140, "Warranty: 6 years"),
    )  # fmt: skip
    assert READER.read("How long is the warranty of Pump B?", as_context(page)).answer == "6 years"
    assert READER.read("How long is the warranty of Pump A?", as_context(page)).answer == "3 years"


def test_numbered_points_are_a_list(draw_page, as_context):
    points = ((60, 120, "1. Tighten the bolts"), (60, 133, "2. Replace the bearings"), (60, 146, "3. Clean the drains"))
    page = draw_page((60, 80, "Recommendations", 20), *points)
    reading = READER.read("What are the recommendations?", as_context(page))
    assert reading.answer == "['Tighten the bolts', 'Replace the bearings', 'Clean the drains']"


def test_heads_set_too_close_belong_to_the_column_they_stand_over(draw_page, draw_table, as_context):
    rows = [("Town", "214.6", "198.2"), ("Farm", "131.9", "139.5")]
    heads = ((60, 102, "Segment"), (176, 102, "Revenue 2025"), (248, 102, "Revenue 2024"))
    page = draw_page(*heads, *draw_table(rows, (60, 216, 290)))
    assert READER.read("What was the revenue of Town in 2025?", as_context(page)).answer == "214.6"
    assert READER.read("What was the revenue of Farm in 2024?", as_context(page)).answer == "139.5"


def test_it_says_that_it_does_not_combine_pages(report):
    trace = READER.read("What was the total revenue in 2023?", report).trace
    assert trace["combines_pages"] is False
    assert (trace["page_number"], trace["how"], trace["abstained"]) == (2, "cell", "")


@pytest.mark.parametrize(
    ("question", "why"),
    [
        ("", "names nothing"),
        ("who is it of the", "names nothing"),
        ("売上高はいくらですか", "nothing of the kind"),
        ("revenue " * 12_500, "nothing of the kind"),
        ("\x00\x07 (((((", "names nothing"),
        ("__import__('os').system('true')", "nothing of the kind"),
    ],
)
def test_odd_questions_are_refused_with_a_reason(draw_page, as_context, question, why):
    reading = READER.read(question, as_context(draw_page((60, 100, "Nothing to see here."))))
    assert reading.outcome == "not_answerable"
    assert why in reading.trace["abstained"]


def test_empty_contexts_and_pages_without_text_are_refused(draw_page, as_context):
    for context in (as_context(), as_context(draw_page())):
        reading = READER.read("What was the revenue?", context)
        assert (reading.outcome, reading.trace["abstained"]) == ("not_answerable", "there is no text on these pages")


def test_dense_pages_take_less_than_a_second():
    rng = np.random.default_rng(0)
    words = [f"{word}{end}" for word in ("revenue", "total", "cost", "2023") for end in ("", ":", ".", ",")]
    pages = []
    for index in range(5):
        chosen = rng.choice(words, 4_000)
        x, y = np.meshgrid(np.arange(40) * 14.0, np.arange(100) * 8.0)
        boxes = np.stack([x.ravel(), y.ravel(), x.ravel() + 12, y.ravel() + 7], axis=1).astype(np.float32)
        text = "\n".join(" ".join(chosen[row * 40 : row * 40 + 40]) for row in range(100))
        ref = PageRef(DocumentRef("a" * 64, 5, ""), index)
        pages.append(Evidence(PageContent(ref, 595, 842, text, boxes, "layer"), "dense.pdf", 1.0))
    started = time.process_time()
    READER.read("What was the total revenue in 2023?", Context((), tuple(pages), 10**6))
    assert time.process_time() - started < 5  # about 0.3 s on a quiet machine: a guard against squares, no benchmark


@pytest.mark.parametrize("word", ["A" * 100_000, "a." * 50_000, "1," * 50_000, "a@" * 50_000, "(1" * 50_000, "A: " * 5_000])
@pytest.mark.parametrize(
    "question", ["What is the email of a?", "Who is a?", "How many a are there?", "What is a?", "What are a?"]
)
def test_monstrous_words_do_not_hang_it(word, question):
    text = f"a is {word} a"
    boxes = np.tile(np.array([[10, 10, 20, 20]], np.float32), (len(text.split()), 1))
    page = PageContent(PageRef(DocumentRef("a" * 64, 1, ""), 0), 595, 842, text, boxes, "layer")
    started = time.process_time()
    READER.read(question, Context((), (Evidence(page, "odd.pdf", 1.0),), 10**6))
    assert time.process_time() - started < 5


def test_unknown_readers_are_a_clear_error():
    with pytest.raises(UsageError, match="no reader is called 'quotes'"):
        open_reader("quotes")
