"""References in questions: what is read off them, and which pages they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docrag.pipelines.references import (
    FRONT_STRENGTH,
    MAX_QUESTION_CHARS,
    MAX_RANGE,
    Reference,
    caption_key,
    find_references,
    parse_number,
    resolve,
    roman_value,
)
from docrag.types import DocumentOutline


def found(question: str) -> list[str]:
    return [f"{reference.kind} {reference.value}" for reference in find_references(question)]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What colour is the boat on page 5?", ["page 5"]),
        ("Summarise slides 3-5.", ["page 3", "page 4", "page 5"]),
        ("What changed from page 3 to page 5?", ["page 3", "page 4", "page 5"]),
        ("Compare pages 3, 5 and 7.", ["page 3", "page 5", "page 7"]),
        ("Compare pages 2-3, and 9", ["page 2", "page 3", "page 9"]),
        ("What do pages one and two share?", ["page 1", "page 2"]),
        ("Who signs on page three?", ["page 3"]),
        ("Who signs on page twenty-one?", ["page 21"]),
        ("See slide 14, please", ["page 14"]),
        ("the sums of pp. 3–5", ["page 3", "page 4", "page 5"]),
        ("the sum on p. 12", ["page 12"]),
        ("the sum on page no. 12", ["page 12"]),
        ("Slide #5 shows what?", ["page 5"]),
        ("What is on page xii?", ["label xii"]),
        ("What is on page A-3?", ["label a-3"]),
    ],
)
def test_pages_by_number(question: str, expected: list[str]) -> None:
    assert found(question) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is on the second page?", ["position 2"]),
        ("What is on the 5th page?", ["position 5"]),
        ("What is on the twenty-first slide?", ["position 21"]),
        ("What is on the last page?", ["position -1"]),
        ("Compare the first and last pages", ["position 1", "position -1"]),
        ("What do the first two pages say?", ["position 1", "position 2"]),
        ("What do the last 3 slides say?", ["position -1", "position -2", "position -3"]),
        ("What is on the second to last page?", ["position -2"]),
        ("What is on the penultimate slide?", ["position -2"]),
        ("What animal is on the cover?", ["position 1"]),
        ("Which court is named on the cover page?", ["position 1"]),
        ("Who stands on the title slide?", ["position 1"]),
        ("What animal is on the back cover?", ["position -1"]),
    ],
)
def test_pages_by_position(question: str, expected: list[str]) -> None:
    assert found(question) == expected


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("What is the total in Table 2?", ["caption table 2"]),
        ("What does Figure 4 show?", ["caption figure 4"]),
        ("What is plotted in Fig. 4a?", ["caption figure 4a"]),
        ("What is plotted in Figure 4(b)?", ["caption figure 4b"]),
        ("Which rows has Table II?", ["caption table 2"]),
        ("Which rows has Table A.1?", ["caption table a.1"]),
        ("Which rows has Table 1-3?", ["caption table 1-3"]),
        ("Which rows have Tables 1-3?", ["caption table 1", "caption table 2", "caption table 3"]),
        ("Do Figure 5 and Figure 6 agree?", ["caption figure 5", "caption figure 6"]),
        ("Do figures 2 and 3 agree?", ["caption figure 2", "caption figure 3"]),
        ("How many boxes has figure A on page 3?", ["page 3", "caption figure a"]),
        ("What does the third figure show?", ["caption figure 3"]),
    ],
)
def test_tables_and_figures(question: str, expected: list[str]) -> None:
    assert found(question) == expected


@pytest.mark.parametrize(
    "question",
    [
        "",
        "How many pages are there?",
        "Which five pages matter?",
        "The report has 12 pages 3 of its authors wrote",
        "Did the share of page 5% rise?",
        "Is page 1.5 a thing?",
        "Were page 12,000 copies sold?",
        "Which web pages I visited?",
        "What does the first page of section 3 say?",
        "Does the policy cover dental care?",
        "What is in the cover letter?",
        "What is on the second cover page?",
        "Where is the table of contents?",
        "Can you figure out the growth?",
        "Does figure a plan matter?",
        "Which figure I should use?",
        "Is there more than one figure? Count them.",
        "Was the table 20% longer?",
        "What was the growth in 2019?",
        "Which political affiliation do most voters have?",
    ],
)
def test_questions_that_name_no_page(question: str) -> None:
    assert found(question) == []


@pytest.mark.parametrize(
    "question",
    ["Who is the plaintiff?", "What is the case number?", "Who are the authors?", "What is the title of the report?"],
)
def test_what_a_first_page_says_of_its_document_points_there_weakly(question: str) -> None:
    references = find_references(question)
    assert [reference.kind for reference in references] == ["front"]
    assert resolve(references, outline(3)) == {0: FRONT_STRENGTH}


def test_a_named_page_is_taken_before_the_first() -> None:
    assert found("What is the case number on page 4?") == ["page 4"]


def test_a_range_without_end_stays_two_pages() -> None:
    assert found("Read pages 1-999999") == ["page 1", "page 999999"]
    assert len(found(f"Read pages 1-{MAX_RANGE}")) == MAX_RANGE


def outline(
    pages: int, printed: dict[int, str] | None = None, captions: dict[str, tuple[int, ...]] | None = None
) -> DocumentOutline:
    numbers = tuple((printed or {}).get(index) for index in range(pages))
    return DocumentOutline((None,) * pages, numbers, captions or {})


def meant(question: str, of: DocumentOutline) -> list[int]:
    return sorted(resolve(find_references(question), of))


def test_a_number_means_the_position_and_the_page_that_prints_it() -> None:
    paper = outline(20, printed={4: "7", 6: "9"})
    assert meant("on page 7", paper) == [4, 6]
    assert meant("on page 9", paper) == [6, 8]
    assert meant("on the seventh page", paper) == [6]


def test_a_number_beyond_the_document_means_only_what_is_printed() -> None:
    offprint = outline(3, printed={0: "6981", 1: "6982"})
    assert meant("on page 6982", offprint) == [1]
    assert meant("on page 2019", offprint) == []
    assert meant("on page 0", offprint) == []


def test_a_number_on_the_margin_that_does_not_count_the_pages_is_no_page_number() -> None:
    report = outline(8, printed={0: "1", 1: "2", 2: "3", 3: "4", 4: "30", 5: "6"})
    assert meant("on page 30", report) == []
    assert meant("on page 5", report) == [4]


def test_labels_of_the_pdf_count_as_printed() -> None:
    book = DocumentOutline(("i", "ii", "1", "A-1"), (None,) * 4, {})
    assert meant("on page ii", book) == [1]
    assert meant("on page A-1", book) == [3]
    assert meant("on page 1", book) == [0, 2]


def test_counting_from_the_end_stops_at_the_first_page() -> None:
    assert meant("the last page", outline(4)) == [3]
    assert meant("the second to last slide", outline(4)) == [2]
    assert meant("the last nine pages", outline(4)) == [0, 1, 2, 3]
    assert meant("the last page", outline(0)) == []


def test_captions_are_found_by_their_number_and_a_panel_by_its_figure() -> None:
    paper = outline(9, captions={"table 2": (3,), "figure 4": (5, 6), "figure 5b": (7,)})
    assert meant("in Table II", paper) == [3]
    assert meant("in Fig. 4a", paper) == [5, 6]
    assert meant("in Figure 5b", paper) == [7]
    assert meant("in Table 9", paper) == []


def test_the_number_of_a_caption_can_be_written_in_several_ways() -> None:
    assert {caption_key("Fig", "4(a)"), caption_key("figure", "4a")} == {"figure 4a"}
    assert {caption_key("Table", "IV"), caption_key("tbl", "4")} == {"table 4"}
    assert caption_key("Table", "C") == "table c"


@given(st.integers(1, 399))
def test_roman_numbers_round_trip(number: int) -> None:
    ones = ["", "i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix"]
    tens = ["", "x", "xx", "xxx", "xl", "l", "lx", "lxx", "lxxx", "xc"]
    written = "c" * (number // 100) + tens[number // 10 % 10] + ones[number % 10]
    assert roman_value(written) == number


@pytest.mark.parametrize("text", ["", "iiii", "ic", "vx", "m", "page"])
def test_what_is_no_roman_number(text: str) -> None:
    assert roman_value(text) is None


def test_numbers_in_words_and_figures() -> None:
    assert [parse_number(text) for text in ("7", "seven", "Seventh", "7th", "forty-two", "forty second", "ninetieth")] == [
        7, 7, 7, 7, 42, 42, 90,
    ]  # fmt: skip
    assert parse_number("dozen") is None


@given(st.text(max_size=300))
def test_any_text_gives_references_that_resolve(question: str) -> None:
    small = outline(5, captions={"table 1": (2,)})
    references = find_references(question)
    assert len(set(references)) == len(references)
    assert all(0 <= index < 5 and 0 < strength <= 1 for index, strength in resolve(references, small).items())
    assert all(isinstance(reference, Reference) for reference in references)


@pytest.mark.parametrize("unit", ["page 5, ", "first of the ", "Table ", "pages 1-", "who is the title to ", "last second "])
def test_of_a_question_of_100_kb_the_beginning_is_read(unit: str) -> None:
    long = unit * (100_000 // len(unit))
    assert find_references(long) == find_references(long[:MAX_QUESTION_CHARS])
