"""The report in a real browser: drawn, filtered, read on a phone, in the dark and in print, and hostile text stays text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.common import CHROMIUM
from docrag.eval.record import read_run
from docrag.eval.report.compose import compose
from docrag.eval.report.pictures import Pictures
from docrag.eval.report.rows import question_rows
from docrag.eval.report.runs import open_runs
from docrag.report import write_run_report
from docrag.types import NOT_ANSWERABLE
from tests.ingest import hostile
from tests.libraries import bring
from tests.report_runs import HOSTILE, fruit_predictions, fruit_questions, fruit_run, question, said, write_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the report is not tested in a browser")
PHONE = {"width": 390, "height": 844}


class Window:
    """A page of the browser that remembers what it complained of and what it asked the network for."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())

    def ids(self) -> list[str]:
        """Of the questions that are shown, in order."""
        return self.page.eval_on_selector_all("#rows > li", "rows => rows.map(row => row.id.slice(2))")

    def choose(self, **filters: str) -> list[str]:
        self.page.get_by_role("button", name="Clear").click()
        for name, value in filters.items():
            control = self.page.locator(f"#filters [name={name}]")
            if name == "text":
                control.fill(value)
            elif name in ("missed", "changed"):
                control.check()
            else:
                control.select_option(value)
        return self.ids()

    def open(self, question_id: str) -> Any:
        item = self.page.locator(f"#q-{question_id}")
        item.locator(".ask").click()
        return item

    def css(self, selector: str, name: str) -> str:
        return self.page.eval_on_selector(selector, f"one => getComputedStyle(one)[{name!r}]")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """one: a run with its library, where tools.pdf is encrypted; two: it beside another; many: sixty questions, no library."""
    folder = tmp_path_factory.mktemp("reports")
    hostile.text_pdf(folder / "fruit.pdf", ["Apples are red.", "Bananas are yellow.", *(f"Page {n}." for n in range(3, 9))])
    hostile.encrypted_pdf(folder / "tools.pdf", "Hammers.", "sesame")
    bring(folder / "library", folder / "fruit.pdf")
    bring(folder / "library", folder / "tools.pdf", password="sesame")
    first = fruit_run(folder / "first", index=str(folder / "library"))
    changed = [replace(one, answer="yellow") if one.question_id == "q002" else one for one in fruit_predictions()[:-1]]
    second = write_run(folder / "second", fruit_questions()[:-1], changed)
    many = [question(number, "fruit.pdf", f"{number}", [1]) for number in range(60)]
    sixty = write_run(folder / "sixty", many, [said(one, one.answer) for one in many])
    asked = question(1, "", "red")
    found = said(asked, "red", (), ranked_library=(("fruit.pdf", 1),), read_pages=(1, 2), read_documents=("fruit.pdf", "b.pdf"))
    files = [
        question(number, f"{number % 3}.pdf", NOT_ANSWERABLE if number % 2 else "red", doc_type="Administration/Industry file")
        for number in range(2, 20)
    ]
    refused = [said(one, "red" if number > 15 else NOT_ANSWERABLE) for number, one in enumerate(files)]
    anywhere = write_run(folder / "asked", [asked, *files], [found, *refused])
    write_run_report([first], folder / "one")
    for name, folders in {"two": [first, second], "many": [sixty], "anywhere": [anywhere]}.items():
        runs = open_runs([read_run(run) for run in folders])
        (folder / name).mkdir()
        html = compose(runs, question_rows(runs), Pictures(note="there is no library")).html
        (folder / name / "report.html").write_text(html, encoding="utf-8")
    return folder


@pytest.fixture
def window(browser: Any, reports: Path) -> Iterator[Window]:
    opened = Window(browser, reports / "one" / "report.html", viewport={"width": 1200, "height": 900})
    yield opened
    complaints, requests = opened.complaints, opened.requests
    opened.context.close()
    assert complaints == []
    assert {url.partition(":")[0] for url in requests} <= {"file", "data"}


def test_charts_are_drawn(window: Window) -> None:
    boxes = [box.bounding_box() for box in window.page.locator("svg.chart").all()]
    assert len(boxes) >= 8
    assert all(box["width"] > 200 and box["height"] > 40 for box in boxes)
    fills = window.page.eval_on_selector_all(
        "svg.chart path", "paths => [...new Set(paths.map(path => getComputedStyle(path).fill))]"
    )
    assert len(fills) > 2  # drawings kept their colours, though style attributes are not let in


def test_filters_show_what_they_say(window: Window) -> None:
    assert len(window.ids()) == 12
    assert window.choose(result="right") == ["q001", "q004", "q009", "q011", "q012"]
    assert window.choose(result="refused", answerable="yes") == ["q003", "q010"]
    assert window.choose(result="failed") == ["q007"]
    assert window.choose(missed="") == ["q003"]
    assert window.choose(type="Brochure", result="wrong") == ["q010"]
    assert window.choose(source="Chart") == ["q002"]
    assert window.choose(needed="2") == ["q003"]
    assert window.choose(text="PLACE 7") == ["q007"]
    assert window.choose(text="support weak") == ["q003"]
    assert window.page.locator("#shown").inner_text() == "1 to 1 of 1 questions, of 12 in all"
    assert window.choose(text="no such words") == []
    assert window.choose(order="sure")[:2] == ["q001", "q003"]


def test_choices_say_how_many_they_would_leave(window: Window) -> None:
    window.choose(result="refused")
    assert window.page.locator("#filters [name=answerable] option").all_inner_texts() == [
        "all (5)",
        "answerable (2)",
        "unanswerable (3)",
    ]


def test_hostile_text_is_shown_as_text(window: Window) -> None:
    item = window.open("q006")
    assert item.locator(".q").inner_text().replace("\u2028", " ") == f"Is this code? {HOSTILE}".replace("\u2028", " ")
    assert item.locator("mark").inner_text().startswith("</script><script>")
    assert item.locator("pre").text_content() == HOSTILE
    assert window.page.evaluate("window.hacked") is None
    assert window.page.locator('img[src="x"]').count() == 0
    assert len(window.ids()) == 12


def test_the_page_lets_in_no_other_script_or_style(window: Window) -> None:
    window.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hacked = 1\">')")
    window.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 1'}))")
    window.page.wait_for_timeout(50)
    assert window.page.evaluate("window.hacked") is None
    assert window.complaints
    window.complaints.clear()  # they are what was asked for here


def test_pages_are_pictures_with_found_and_missed_marked(window: Window) -> None:
    item = window.open("q001")
    assert item.locator(".page.hit").count() == 2  # the evidence, and the same page first of those found
    assert item.locator("figcaption").first.inner_text() == "page 1: found, rank 1, read"
    assert item.locator("img").evaluate_all("images => images.every(one => one.naturalWidth > 100)")
    page, mark = item.locator(".cites .page").bounding_box(), item.locator(".boxes rect").bounding_box()
    assert page["x"] < mark["x"] < mark["x"] + mark["width"] < page["x"] + page["width"]
    assert page["y"] < mark["y"] < mark["y"] + mark["height"] < page["y"] + page["height"] / 2
    missed = window.open("q003")
    assert missed.locator(".page.miss").count() == 2
    assert missed.locator("figcaption").all_inner_texts()[:2] == [
        "page 3: missed: not in the ranking",
        "page 7: missed: rank 7",
    ]


def test_a_page_that_could_not_be_drawn_says_why(window: Window) -> None:
    item = window.open("q009")
    assert item.locator("img").count() == 0
    assert "encrypted" in item.locator(".blank").first.inner_text()


def test_light_and_dark(browser: Any, reports: Path) -> None:
    window = Window(browser, reports / "one" / "report.html", color_scheme="light")
    light = window.css("body", "backgroundColor"), window.css("body", "color"), window.css("small", "color")
    window.page.get_by_role("button", name="Dark").click()
    dark = window.css("body", "backgroundColor"), window.css("body", "color"), window.css("small", "color")
    assert light != dark
    for paper, *inks in (light, dark):
        assert all(contrast(paper, ink) >= 4.5 for ink in inks)
    window.page.get_by_role("button", name="Light").click()
    assert window.css("body", "backgroundColor") == light[0]
    window.page.emulate_media(color_scheme="dark")
    window.page.reload()
    assert window.css("body", "backgroundColor") == dark[0]
    window.context.close()
    assert window.complaints == []


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2.2, from 1 to 21."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("name", ["one", "two"])
def test_a_phone_needs_no_sideways_scrolling(browser: Any, reports: Path, name: str) -> None:
    window = Window(browser, reports / name / "report.html", viewport=PHONE, is_mobile=True, has_touch=True)
    for question_id in ("q001", "q006"):
        window.open(question_id)
    assert window.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    window.context.close()


def test_a_phone_shows_the_difference_of_two_runs_and_all_of_a_published_system(browser: Any, reports: Path) -> None:
    window = Window(browser, reports / "two" / "report.html", viewport=PHONE)
    difference = window.page.locator("#gains .scroll table tbody tr td:nth-child(2)").first.bounding_box()
    assert difference["x"] + difference["width"] <= PHONE["width"]
    right = "cells => Math.max(...cells.map(one => one.getBoundingClientRect().right))"
    cells = window.page.locator("#published tbody td")
    assert cells.evaluate_all(right) <= PHONE["width"]
    assert cells.first.evaluate("one => getComputedStyle(one, '::before').content") == '"accuracy"'
    window.context.close()


def test_a_long_setting_or_name_is_broken_and_no_word_of_a_name(browser: Any, reports: Path) -> None:
    window = Window(browser, reports / "one" / "report.html", viewport=PHONE)
    window.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert window.page.locator("#config .scroll").evaluate("one => one.scrollWidth <= one.clientWidth")
    assert window.css("#breakdowns tbody th", "overflowWrap") == "break-word"
    window.context.close()


def test_a_wide_screen_shows_every_table_whole(browser: Any, reports: Path) -> None:
    window = Window(browser, reports / "anywhere" / "report.html", viewport={"width": 1280, "height": 900})
    window.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    cut = "boxes => boxes.filter(one => one.scrollWidth > one.clientWidth + 1).map(one => one.closest('section').id)"
    assert window.page.locator(".scroll").evaluate_all(cut) == []
    window.context.close()


def test_print_unfolds_the_numbers_and_folds_them_again(window: Window) -> None:
    folded = "document.querySelectorAll('#breakdowns details:not([open])').length"
    before = window.page.evaluate(folded)
    assert before > 0
    window.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert window.page.evaluate(folded) == 0
    window.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert window.page.evaluate(folded) == before
    window.page.emulate_media(media="print")
    assert window.css(".notice", "breakInside") == "avoid"


def test_any_address_opens_the_report(browser: Any, reports: Path) -> None:
    window = Window(browser, reports / "many" / "report.html")
    for address in ("#%", "#q-%E0%A4%A", "#q-nobody"):
        window.page.goto((reports / "many" / "report.html").as_uri() + address)
        assert len(window.ids()) == 25
    window.context.close()
    assert window.complaints == []


def test_pages_read_of_several_documents_name_them(browser: Any, reports: Path) -> None:
    window = Window(browser, reports / "anywhere" / "report.html")
    assert "1 of fruit.pdf, 2 of b.pdf" in window.open("q001").locator(".facts").first.inner_text()
    window.context.close()


def test_print_leaves_the_browser_of_questions_out_and_says_so(window: Window) -> None:
    window.page.emulate_media(media="print")
    assert not window.page.locator("#filters").is_visible()
    assert not window.page.locator("#rows").is_visible()
    assert "12 single questions" in window.page.locator(".printed").inner_text()
    assert window.page.locator("svg.chart").first.is_visible()
    assert window.css("body", "backgroundColor") == "rgb(255, 255, 255)"


def test_a_link_leads_to_one_question_on_its_page(browser: Any, reports: Path) -> None:
    window = Window(browser, reports / "many" / "report.html")
    assert len(window.ids()) == 25
    window.page.get_by_role("button", name="Later").click()
    assert window.ids()[0] == "q025"
    window.page.goto((reports / "many" / "report.html").as_uri() + "#q-q055")
    assert "q055" in window.ids()
    assert window.page.locator("#q-q055 .inside").is_visible()
    window.choose(result="right")
    assert window.page.locator("#place").inner_text() == "page 1 of 3"
    window.context.close()
    assert window.complaints == []


def test_two_runs_show_what_changed(browser: Any, reports: Path) -> None:
    window = Window(browser, reports / "two" / "report.html")
    assert window.choose(changed="") == ["q002", "q012"]  # one was answered otherwise, one only one of them has
    item = window.open("q002")
    assert item.locator(".chip").all_inner_texts() == ["first: wrong", "second: right"]
    assert window.choose(run="1", result="wrong", text="place 2") == []
    assert window.choose(run="1", result="absent") == ["q012"]
    assert window.page.locator("#q-q012 .chip").all_inner_texts() == ["first: rightly refused", "second: not in this run"]
    assert window.choose(run="1", result="unasked") == []
    assert "different questions" in window.page.locator("#gains .notice").first.inner_text()
    assert window.page.locator("#gains svg.chart").is_visible()
    window.context.close()
    assert window.complaints == []
