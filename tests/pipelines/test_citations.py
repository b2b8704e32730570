"""Cited words are looked up on their page, numbers of the answer in the evidence."""

import pytest

from docrag.pipelines.citations import Claim, check_claims, check_numbers
from docrag.types import Context


@pytest.fixture
def context(draw_page):
    one = draw_page((50, 80, "Sales rose to 1,234 units in 2023."), (50, 100, "Costs fell by 12 %."), index=2)
    two = draw_page((50, 80, "The board met in Oslo."), (50, 100, "It was a hyphen-"), (50, 112, "ated word."), index=4)
    return Context((), (one, two), 10**6)


@pytest.fixture
def two_documents(draw_page):
    one = draw_page((50, 80, "Sales rose to 1,234 units."), index=2, name="/home/me/a report.pdf")
    two = draw_page((50, 80, "The board met in Oslo."), index=2, name="other.pdf")
    return Context((), (one, two), 10**6)


def test_a_quote_on_its_page_is_verified_and_boxed(context):
    [citation] = check_claims([Claim("", "3", "sales rose to 1234 units")], context).citations
    assert (citation.document, citation.page_number, citation.verified) == ("report.pdf", 3, True)
    assert citation.box[0] == pytest.approx(50, abs=1)
    assert citation.box[3] < 90


@pytest.mark.parametrize("quote", ["a hyphenated word", "was a hyphen-\nated word.", "The board … in Oslo", "board ... Oslo"])
def test_hyphens_line_breaks_and_left_out_words(context, quote):
    [citation] = check_claims([Claim("", "page 5", quote)], context).citations
    assert citation.verified
    assert citation.quote == quote


def test_a_quote_that_is_not_there_stays_unverified(context):
    [citation] = check_claims([Claim("", "3", "Sales fell sharply")], context).citations
    assert (citation.page_number, citation.verified, citation.box) == (3, False, None)


@pytest.mark.parametrize("quote", ["", "...", "-", "a", "Oslo ... board"])
def test_what_stands_anywhere_or_in_another_order_proves_nothing(context, quote):
    [citation] = check_claims([Claim("", "5", quote)], context).citations
    assert not citation.verified


def test_a_quote_from_another_page_of_the_context_is_cited_from_there(context):
    [citation] = check_claims([Claim("", "3", "The board met in Oslo")], context).citations
    assert (citation.page_number, citation.verified) == (5, True)


@pytest.mark.parametrize(
    "claim", [Claim("", "17", "Nothing such"), Claim("", "", "Nothing such"), Claim("", "3.pdf/../17", "x y")]
)
def test_a_page_outside_the_context_is_refused_unless_it_can_be_meant(context, claim):
    checked = check_claims([claim], context)
    assert not any(citation.verified for citation in checked.citations)
    assert {citation.page_number for citation in checked.citations} <= {3, 5}


def test_nothing_can_name_another_document(two_documents):
    claims = [Claim("/etc/passwd", "3", "root:x:0"), Claim("secret.pdf", "1", "The key is 7"), Claim("other.pdf", "9", "zz zz")]
    checked = check_claims(claims, two_documents)
    assert checked.citations == ()
    assert checked.refused == tuple(claims)


def test_documents_go_by_their_last_name(two_documents):
    claims = [Claim("A  Report.pdf", "3", "Sales rose"), Claim("other.pdf", "3", "lies, lies")]
    first, second = check_claims(claims, two_documents).citations
    assert (first.document, first.verified) == ("/home/me/a report.pdf", True)
    assert (second.document, second.verified) == ("other.pdf", False)


def test_the_same_place_is_cited_once(context):
    claims = [Claim("", "3", "Sales rose"), Claim("report.pdf", "3", "Sales rose")]
    assert len(check_claims(claims, context).citations) == 1


@pytest.mark.parametrize(
    ("answer", "page"),
    [
        *[(answer, 3) for answer in ("1234", "1,234 units", "1 234", "0.12", "12%", "12 percent", "in 2023", "1.234 thousand")],
        *[(answer, None) for answer in ("1235", "123", "12.5", "0.012", "9,876,000", "1.2 million")],
    ],
)
def test_numbers_in_any_form(context, answer, page):
    [found] = check_numbers(answer, context.evidence)
    assert found.page_number == page


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("5.2 million", "5,200,000"),
        ("5,200,000", "USD 5.2 million"),
        ("$5.2 million", "5.2"),
        ("5.2m", "5,200"),
        ("12", "(12)"),
        ("-12", "(12)"),
        ("1234.5", "1.234,5"),
        ("345", "total 12 345"),
        ("3", "3.0"),
        ("2.5 billion", "2,500"),
    ],
)
def test_numbers_as_tables_write_them(draw_page, answer, said):
    [found] = check_numbers(answer, [draw_page((50, 80, said))])
    assert found.page_number == 1


def test_words_with_digits_are_no_numbers(context):
    assert check_numbers("Q3 of the COVID-19 wave, section A4b", context.evidence) == ()
    assert check_numbers("none", context.evidence) == ()
