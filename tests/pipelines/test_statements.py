"""Which financial statements a question about a ratio needs."""

import pytest

from docrag.pipelines.statements import needed_statements, statement_queries


@pytest.mark.parametrize(
    ("question", "needed"),
    [
        ("What is the return on assets in 2021?", {"balance sheet", "income statement"}),
        ("Compute the ROE of the firm.", {"balance sheet", "income statement"}),
        ("What is the inventory turnover?", {"balance sheet", "income statement"}),
        ("What is the DPO?", {"balance sheet", "income statement"}),
        ("What are the days sales outstanding?", {"balance sheet", "income statement"}),
        ("What is the current ratio?", {"balance sheet"}),
        ("What is the debt to equity ratio?", {"balance sheet"}),
        ("What is the net profit margin?", {"income statement"}),
        ("What is the effective tax rate?", {"income statement"}),
        ("What is the interest coverage?", {"income statement"}),
        ("What is the operating cash flow ratio?", {"balance sheet", "cash flow statement"}),
        ("How much is the free cash flow?", {"cash flow statement"}),
        ("What is debt to EBITDA?", {"balance sheet", "income statement", "cash flow statement"}),
    ],
)
def test_ratios(question: str, needed: set[str]) -> None:
    assert set(needed_statements(question)) == needed


@pytest.mark.parametrize(
    "question",
    [
        "",
        "Who chairs the board?",
        "What is the ratio of women to men?",
        "Which coverage did the storm get in the sales region?",
        "How do firms leverage their assets?",
        "What was the staff turnover?",
        "How wide are the margins of the sales leaflet?",
        "What did Roe v. Wade decide?",
        "Are assets listed?",
    ],
)
def test_other_questions_need_none(question: str) -> None:
    assert needed_statements(question) == ()


def test_one_query_for_each_statement() -> None:
    queries = statement_queries("What is the debt to EBITDA ratio?")
    assert len(queries) == 3
    assert sum("total assets" in query for query in queries) == 1
    assert statement_queries("Who chairs the board?") == ()
