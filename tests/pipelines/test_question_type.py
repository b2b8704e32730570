"""What questions ask for."""

from __future__ import annotations

import pytest

from docrag.pipelines.question_type import analyse


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many offices does the company have?", "count"),
        ("What percentage of the steel was recycled?", "percent"),
        ("What share of costs do wages account for?", "percent"),
        ("What dividend per share does the board propose?", "value"),
        ("How much does the new ferry cost?", "money"),
        ("How long is the warranty?", "quantity"),
        ("How often are the brakes inspected?", "frequency"),
        ("When does the policy take effect?", "date"),
        ("In which year was the plant built?", "year"),
        ("Who signed the memo?", "person"),
        ("Where was the meeting held?", "place"),
        ("What is the fax number of the firm?", "phone"),
        ("What is the email address for complaints?", "email"),
        ("Are dogs allowed on deck?", "yes_no"),
        ("What are the goals for 2030?", "list"),
        ("What does LCA stand for?", "acronym"),
        ("What is the title of this report?", "title"),
        ("What is the operating margin of Offshore?", "value"),
        ("Which unit grew fastest?", "text"),
        ("What was the profit? Answer in million.", "money"),
    ],
)
def test_kinds(question, kind):
    assert analyse(question).kind == kind


@pytest.mark.parametrize(
    ("question", "refusal"),
    [
        ("What colour is the bar for 2020?", "drawn"),
        ("How many charts are in the report?", "drawn"),
        ("How many pages does section 2 have?", "count parts"),
        ("What is the difference between the two offers?", "arithmetic"),
        ("How much higher was revenue in 2023?", "arithmetic"),
        ("Assume that sales double. What is the profit?", "supposes"),
        ("Who is the chair, and when was she elected?", "several things"),
        ("How many people work in Oslo?", ""),
        ("How many passengers did the lines carry?", ""),
    ],
)
def test_what_no_extract_can_tell_is_refused(question, refusal):
    why = analyse(question).refusal
    assert (refusal in why) if refusal else why == ""


def test_terms_leave_out_how_to_answer_and_where_to_look():
    asked = analyse("According to the report, what were the taxes of Northwind in FY2023 on page 12? Round your answer.")
    assert asked.terms == ("tax", "northwind", "2023")
    assert (asked.exact, asked.names) == (("2023",), ("northwind",))


def test_forms_of_answers():
    assert analyse("What is the date? Format your answer as YYYY-MM-DD.").date_format == "YYYY-MM-DD"
    assert analyse("Which date is given? Use YYYY-MM.").date_format == "YYYY-MM"
    assert analyse("What was the profit, in millions of dollars?").scale == "million"
    assert analyse("What was the profit, in millions of dollars?").terms == ("profit",)
    assert analyse("How many seats are there? Give me an integer.").bare


def test_comparing_words_and_verbs_are_told_apart():
    assert analyse("Which line has the highest fare?").stated == ("highest",)
    asked = analyse("How many passengers did the line carry in 2022?")
    assert "carry" in asked.vague
    assert "passenger" not in asked.vague


@pytest.mark.parametrize(
    "question", ["", "   ", "what is the of", "?", "\x00", "売上高はいくらですか", "a" * 100_000, "who " * 25_000]
)
def test_any_text_will_do(question):
    assert len(analyse(question).terms) <= 2_000
