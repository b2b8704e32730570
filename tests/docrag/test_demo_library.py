"""The demo's PDFs and questions: the same bytes each time, figures that add up, and evidence where the questions say it is."""

from __future__ import annotations

import ast
import io
import json
from itertools import pairwise
from pathlib import Path

import pymupdf
import pytesseract
import pytest
from PIL import Image

from docrag.demo import annual_report, company
from docrag.demo.canvas import BODY, Sheet, measure, wrap
from docrag.demo.company import ASSETS, CASH_FLOW, FUNDING, INCOME, Line, growth, money
from docrag.demo.library import make_library
from docrag.demo.names import ANNUAL_REPORT, DECK, MEMO
from docrag.demo.questions import QUESTIONS, SHOWCASE, write_questions
from docrag.eval.benchmarks.mmlongbench import document_path
from docrag.eval.benchmarks.mmlongbench import load as load_questions
from docrag.types import NOT_ANSWERABLE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("demo")
    make_library(root)
    return root


def open_pdf(folder: Path, name: str) -> pymupdf.Document:
    return pymupdf.open(folder / "documents" / name)


def test_the_library_is_three_small_documents_of_thirty_pages(folder: Path) -> None:
    paths = sorted((folder / "documents").iterdir())
    assert {path.name for path in paths} == {ANNUAL_REPORT, DECK, MEMO}
    assert {name: open_pdf(folder, name).page_count for name in (ANNUAL_REPORT, DECK, MEMO)} == {
        ANNUAL_REPORT: 18,
        DECK: 9,
        MEMO: 3,
    }
    assert sum(path.stat().st_size for path in paths) < 3_000_000


def test_made_twice_it_has_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    again = make_library(tmp_path)
    assert [path.name for path in again] == [ANNUAL_REPORT, DECK, MEMO]
    for path in again:
        assert path.read_bytes() == (folder / "documents" / path.name).read_bytes(), path.name


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        make_library(tmp_path / "file")


def test_printed_numbers_are_the_labels_and_differ_from_the_place_in_the_file(folder: Path) -> None:
    with open_pdf(folder, ANNUAL_REPORT) as document:
        labels = [page.get_label() for page in document]
        assert labels == ["i", "ii", "iii", "iv", *(str(number) for number in range(1, 15))]
        for page, label in list(zip(document, labels, strict=True))[1:]:
            assert page.get_text(sort=True).split()[-1] == label


def test_the_contents_lead_to_the_pages_with_these_titles(folder: Path) -> None:
    with open_pdf(folder, ANNUAL_REPORT) as document:
        contents = document[2].get_text()
        for _, title, number in document.get_toc():
            page = document[number - 1]
            assert title in page.get_text().replace("\n", " ")
            assert f"{title}\n{page.get_label()}\n" in contents


def test_no_type_leaves_its_page(folder: Path) -> None:
    for name in (ANNUAL_REPORT, DECK):
        with open_pdf(folder, name) as document:
            for page in document:
                for x0, y0, x1, y1, word, *_ in page.get_text("words"):
                    assert 40 < x0 < x1 < page.rect.width - 40, (name, page.number, word)
                    assert 20 < y0 < y1 < page.rect.height - 10, (name, page.number, word)


def test_the_text_of_a_page_stays_above_its_number(folder: Path) -> None:
    with open_pdf(folder, ANNUAL_REPORT) as document:
        for page in list(document)[1:]:
            bottoms = sorted(word[3] for word in page.get_text("words"))
            assert bottoms[-2] < 790, page.number


def test_the_scan_holds_no_text_and_reads_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")  # of Tesseract: on two threads it takes twice as long
    with open_pdf(folder, MEMO) as document:
        assert [page.get_text().strip() for page in document] == ["", "", ""]
        image = Image.open(io.BytesIO(document[0].get_pixmap(dpi=150).tobytes("png")))
    text = " ".join(pytesseract.image_to_string(image).split())
    assert "Of these, 212 are in pumps that have been shipped to dealers" in text
    assert "Hanne Tolvik, quality engineer" in text


@pytest.mark.parametrize(
    ("name", "number", "value"), [(ANNUAL_REPORT, 9, "66.4"), (ANNUAL_REPORT, 16, "36.9"), (DECK, 5, "0.17")]
)
def test_some_charts_are_pictures(folder: Path, name: str, number: int, value: str) -> None:
    with open_pdf(folder, name) as document:
        page = document[number - 1]
        assert len(page.get_images()) == 1
        assert value not in page.get_text()


def by_label(lines: tuple[Line, ...]) -> dict[str, tuple[float, float]]:
    return {line.label: line.values for line in lines}


def total(lines: tuple[Line, ...], start: str, end: str, year: int) -> float:
    labels = [line.label for line in lines]
    return sum(line.values[year] for line in lines[labels.index(start) : labels.index(end) + 1])


@pytest.mark.parametrize("year", [0, 1])
def test_segments_regions_and_income_agree(year: int) -> None:
    income = by_label(INCOME)
    assert sum(part.revenue[year] for part in company.SEGMENTS) == pytest.approx(company.REVENUE[year])
    assert sum(line.values[year] for line in company.REGIONS) == pytest.approx(company.REVENUE[year])
    profit = sum(part.profit[year] for part in company.SEGMENTS) + company.CENTRAL_COSTS[year]
    assert profit == pytest.approx(company.OPERATING_PROFIT[year])
    assert total(INCOME, "Revenue", "Cost of sales", year) == pytest.approx(income["Gross profit"][year])
    assert total(INCOME, "Gross profit", "Research and development", year) == pytest.approx(income["Operating profit"][year])
    assert total(INCOME, "Operating profit", "Finance costs", year) == pytest.approx(income["Profit before tax"][year])
    assert total(INCOME, "Profit before tax", "Income tax", year) == pytest.approx(income["Profit for the year"][year])


@pytest.mark.parametrize("year", [0, 1])
def test_the_balance_sheet_balances(year: int) -> None:
    assets, funding = by_label(ASSETS), by_label(FUNDING)
    fixed = total(ASSETS, "Goodwill and other intangible assets", "Deferred tax assets", year)
    current = total(ASSETS, "Inventories", "Cash and cash equivalents", year)
    assert (fixed, current) == pytest.approx((assets["Non-current assets"][year], assets["Current assets"][year]))
    assert fixed + current == pytest.approx(assets["Total assets"][year])
    short = total(FUNDING, "Trade payables", "Warranty provisions due within one year", year)
    long = total(FUNDING, "Borrowings due after one year", "Other provisions", year)
    assert (short, long) == pytest.approx((funding["Current liabilities"][year], funding["Non-current liabilities"][year]))
    assert short + long + funding["Equity"][year] == pytest.approx(assets["Total assets"][year])


@pytest.mark.parametrize("year", [0, 1])
def test_the_cash_flow_adds_up(year: int) -> None:
    flow = by_label(CASH_FLOW)
    parts = [
        ("Operating profit", "Income tax paid", "Cash from operating activities"),
        ("Purchase of property, plant and equipment", "Purchase of intangible assets", "Cash used in investing activities"),
        ("Repayment of borrowings", "Dividends paid", "Cash used in financing activities"),
    ]
    for start, end, result in parts:
        assert total(CASH_FLOW, start, end, year) == pytest.approx(flow[result][year])
    assert sum(flow[result][year] for _, _, result in parts) == pytest.approx(flow["Change in cash"][year])
    assert total(CASH_FLOW, "Change in cash", "Cash at the start of the year", year) == pytest.approx(
        flow["Cash at the end of the year"][year]
    )


def test_the_cash_flow_ties_with_the_balance_sheet() -> None:
    flow, assets, funding = by_label(CASH_FLOW), by_label(ASSETS), by_label(FUNDING)
    assert flow["Cash at the end of the year"] == assets["Cash and cash equivalents"]
    assert flow["Cash at the start of the year"][0] == assets["Cash and cash equivalents"][1]

    def rise(pair: tuple[float, float]) -> float:
        return pair[0] - pair[1]

    assert -rise(assets["Inventories"]) == pytest.approx(flow["Change in inventories"][0])
    assert -rise(assets["Trade receivables"]) == pytest.approx(flow["Change in trade receivables"][0])
    assert rise(funding["Trade payables"]) == pytest.approx(flow["Change in trade payables"][0])
    bought = -flow["Purchase of property, plant and equipment"][0] - flow["Depreciation"][0]
    assert rise(assets["Property, plant and equipment"]) == pytest.approx(bought)
    after_oci = by_label(INCOME)["Profit for the year"][0] + flow["Dividends paid"][0] + 1.3
    assert rise(funding["Equity"]) == pytest.approx(after_oci)


def test_the_five_years_end_with_the_two_of_the_statements() -> None:
    assert company.REVENUE_BY_YEAR[-2:] == company.REVENUE[::-1]
    assert company.PROFIT_BY_YEAR[-2:] == company.OPERATING_PROFIT[::-1]
    assert all(before < after for before, after in pairwise(company.REVENUE_BY_YEAR))


def test_money_and_growth() -> None:
    assert (money(1234.56), money(-7.4), money(0.6)) == ("1,234.6", "(7.4)", "0.6")
    assert (growth((214.6, 198.2)), growth((131.9, 139.5))) == ("+8.3 %", "−5.4 %")


def test_wrapped_lines_fit_and_lose_nothing() -> None:
    text = "A pump is a modest machine. When it works nobody thinks of it " * 4
    lines = wrap(text, 150, BODY)
    assert " ".join(lines) == " ".join(text.split())
    assert max(measure(line, BODY) for line in lines) <= 150
    assert wrap("unbreakable", 5, BODY) == ["unbreakable"]
    assert wrap("  ", 100, BODY) == []


def test_a_table_refuses_a_row_of_the_wrong_length() -> None:
    with pymupdf.open() as document:
        sheet = Sheet(document.new_page())
        with pytest.raises(ValueError, match="zip"):
            sheet.table(0, 0, (annual_report.annual_accounts.STATEMENT), [("one", "two")])


def test_questions_are_in_the_form_of_the_benchmark(folder: Path) -> None:
    path = write_questions(folder)
    entries = json.loads(path.read_text(encoding="utf-8"))
    keys = ["doc_id", "doc_type", "question", "answer", "evidence_pages", "evidence_sources", "answer_format"]
    assert all(list(entry) == keys for entry in entries)
    assert all(isinstance(value, str) for entry in entries for value in entry.values())
    loaded = load_questions(folder)
    assert [question.question for question in loaded] == [question.question for question in QUESTIONS]
    assert [question.evidence_pages for question in loaded] == [question.pages for question in QUESTIONS]
    assert all(document_path(folder, question.doc_id).is_file() for question in loaded)


def test_questions_are_a_mix() -> None:
    assert len({question.question for question in QUESTIONS}) == len(QUESTIONS) == 14
    assert sum(question.answer == NOT_ANSWERABLE for question in QUESTIONS) == 3
    assert sum(len(question.pages) > 1 for question in QUESTIONS) == 3
    assert {question.document for question in QUESTIONS} == {ANNUAL_REPORT, DECK, MEMO}
    assert {question.answer_format for question in QUESTIONS} == {"Str", "Int", "Float", "List", "None"}
    assert set(SHOWCASE) <= set(QUESTIONS)
    assert [question.answer == NOT_ANSWERABLE for question in SHOWCASE] == [False, False, True]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Marrowby", [(5, "opened it at Marrowby")]),
        ("27.9", [(8, "27.9")]),
        ("5.5%", [(12, "434.8"), (14, "(23.8)")]),
        ("Owen Tessaly", [(8, "+19.2 %"), (10, "It is led by Owen Tessaly")]),
        ("12", [(6, "to 30 January 2026"), (8, "24 April")]),
        ("6 years", [(4, "Warranty on the motor: 6 years")]),
    ],
)
def test_the_evidence_is_on_the_pages_named(folder: Path, answer: str, words: list[tuple[int, str]]) -> None:
    (question,) = (question for question in QUESTIONS if question.answer == answer)
    assert [page for page, _ in words] == list(question.pages)
    with open_pdf(folder, question.document) as document:
        for number, text in words:
            assert text in " ".join(document[number - 1].get_text().split())


def test_answers_that_are_counted_or_computed(folder: Path) -> None:
    with open_pdf(folder, ANNUAL_REPORT) as document:
        assert document[14].get_text().split("\n").count("Higher") == 3
        table = document[16].get_text().split("\n")
    names = [table[place - 3] for place, cell in enumerate(table) if cell.startswith("Audit")]
    assert names == ast.literal_eval(next(question.answer for question in QUESTIONS if question.answer_format == "List"))
    assert pytest.approx(5.5, rel=0.01) == 100 * 23.8 / 434.8
    assert max(company.SEGMENTS, key=lambda part: part.revenue[0] / part.revenue[1]).leader == "Owen Tessaly"
    assert company.EMISSIONS_BY_YEAR[company.YEARS.index("2023")] == 36.9


@pytest.mark.parametrize("words", ["decibel", "noise", "2019\n2020", "salary"])
def test_what_is_asked_in_vain_is_in_no_text_layer(folder: Path, words: str) -> None:
    for name in (ANNUAL_REPORT, DECK):
        with open_pdf(folder, name) as document:
            assert not any(words in page.get_text() for page in document)
