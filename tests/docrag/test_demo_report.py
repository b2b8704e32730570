"""The demo's report: one file that parses, needs nothing else, escapes what it is given, and marks the quoted words."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pymupdf
import pytest

from docrag.demo.report import DemoAnswer, describe_hit, write_report
from docrag.types import NOT_ANSWERABLE, Answer, Citation, Context, DocumentRef, Hit, Outcome, PageRef

VOID = {"meta", "img", "br", "link", "input"}
INGEST = {
    "documents": {"attempted": 3, "ok": 3, "failed": 0, "skipped": 0},
    "pages": {"attempted": 30, "ok": 29, "failed": 1, "skipped": 0, "ocr": 5, "unread": 0},
    "seconds": 12.345,
    "pages_per_second": 2.43,
    "failures": [],
}
ITEM = {
    "question": "Where is <b>it</b>?",
    "doc_id": "a & b.pdf",
    "answer": "here",
    "prediction": "there",
    "score": 0.0,
    "evidence_pages": (5, 7),
    "ranked_pages": (7, 5, 1, 2, 3, 4),
}
SCORES: dict[str, Any] = {
    "questions": 14,
    "accuracy": 0.5,
    "f1": 0.4567,
    "answerable": 0.4,
    "single_page": 0.6,
    "cross_page": 0.0,
    "unanswerable": None,
    "retrieval": {"recall@1": 0.75, "recall@5": 1.0},
    "items": [ITEM],
}


@pytest.fixture(scope="module")
def png() -> bytes:
    with pymupdf.open() as document:
        return document.new_page(width=200, height=400).get_pixmap(dpi=36).tobytes("png")


def answer(text: str, outcome: Outcome = "answered", citations: tuple[Citation, ...] = ()) -> Answer:
    return Answer(text, outcome, 0.8, citations, Context((), (), 10), (), "quote", 12.3)


def cite(quote: str, box: tuple[float, float, float, float] | None, page: int = 5) -> Citation:
    return Citation("/library/report.pdf", page, "1", quote, box, verified=True)


class Page(HTMLParser):
    """Collects the tags, and fails on one that is closed out of order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words += data

    def attributes(self, tag: str, name: str) -> list[str]:
        return [attributes[name] or "" for found, attributes in self.tags if found == tag and name in attributes]


def report(tmp_path: Path, *answers: DemoAnswer, scores: dict[str, Any] = SCORES) -> tuple[str, Page]:
    path = tmp_path / "report.html"
    write_report(path, answers, scores, INGEST)
    assert [found.name for found in tmp_path.iterdir()] == ["report.html"]
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    return html, page


def test_it_needs_nothing_from_elsewhere(tmp_path: Path, png: bytes) -> None:
    shown = DemoAnswer(
        "Where?", answer("here", citations=(cite("it is here", (20, 40, 100, 60)),)), "here", png, (200, 400), (("p", png),)
    )
    html, page = report(tmp_path, shown)
    assert "http" not in html
    assert "url(" not in html
    assert not {"script", "link", "iframe", "object"} & {tag for tag, _ in page.tags}
    assert len(page.attributes("img", "src")) == 2
    assert all(source.startswith("data:image/png;base64,") for source in page.attributes("img", "src"))


def test_the_quoted_words_are_marked_in_place(tmp_path: Path, png: bytes) -> None:
    citations = (
        cite("one", (22, 42, 98, 58)),
        cite("at the edge", (0, 0, 200, 400)),
        cite("no box", None),
        cite("elsewhere", (1, 1, 2, 2), 6),
    )
    _, page = report(tmp_path, DemoAnswer("Where?", answer("here", citations=citations), "here", png, (200, 400)))
    boxes = [attributes["style"] for tag, attributes in page.tags if attributes.get("class") == "box"]
    assert boxes == ["left:10.00%;top:10.00%;width:40.00%;height:5.00%", "left:0.00%;top:0.00%;width:100.00%;height:100.00%"]
    assert "report.pdf, page 5 (printed 1)" in page.words
    assert "“one”" in page.words


def test_everything_is_escaped(tmp_path: Path, png: bytes) -> None:
    bad = '<script>alert("x")</script>'
    citation = Citation(f"{bad}.pdf".replace("/", ""), 1, bad, bad, None, verified=False)
    shown = DemoAnswer(bad, answer(bad, citations=(citation,)), bad, png, (200, 400), ((bad, png),))
    item = ITEM | {"question": bad, "doc_id": bad, "answer": bad, "prediction": bad}
    html, page = report(tmp_path, shown, scores=SCORES | {"items": [item]})
    assert "script" not in {tag for tag, _ in page.tags}
    assert "<script" not in html
    assert page.words.count(bad) == 10  # title, answer, quote, its label twice, a caption, and four cells


@pytest.mark.parametrize(
    ("given", "outcome", "expected", "verdict"),
    [
        ("Marrowby", "answered", "marrowby", "Right."),
        ("Elsewhere", "answered", "Marrowby", "The expected answer is Marrowby"),
        ("Elsewhere", "answered", None, "Answered."),
        ("Elsewhere", "answered", NOT_ANSWERABLE, "it should have been refused"),
        (NOT_ANSWERABLE, "not_answerable", NOT_ANSWERABLE, "Refused, and rightly"),
        (NOT_ANSWERABLE, "not_answerable", "Marrowby", "Refused. The expected answer is Marrowby"),
        (NOT_ANSWERABLE, "not_answerable", None, "Refused."),
        ("", "failed", "Marrowby", "could not be read"),
    ],
)
def test_the_verdict(tmp_path: Path, given: str, outcome: Outcome, expected: str | None, verdict: str) -> None:
    html, page = report(tmp_path, DemoAnswer("Where?", answer(given, outcome), expected))
    shown = re.search(r'<p class="verdict( right)?">(.*?)</p>', html)
    assert shown is not None
    assert verdict in shown[2]
    assert bool(shown[1]) == (verdict in ("Right.", "Refused, and rightly"))
    assert ("answer refused" in page.attributes("div", "class")) == (outcome == "not_answerable")


def test_the_counts_and_the_figures_are_shown(tmp_path: Path) -> None:
    _, page = report(tmp_path)
    words = " ".join(page.words.split())
    for shown in ("3 of 3", "29 of 30", "12.3", "2.4", "50 %", "46 %", "75 %", "100 %", "–"):
        assert shown in words
    assert "Where is <b>it</b>?a & b.pdfherethere5, 77, 5, 1, 2, 30.00" in words


def test_a_question_that_was_not_scored_has_no_score(tmp_path: Path) -> None:
    item = ITEM | {"score": None, "prediction": None, "evidence_pages": ()}
    _, page = report(tmp_path, scores=SCORES | {"items": [item]})
    assert "here–none7, 5, 1, 2, 3–" in page.words


def test_a_missing_figure_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="f1"):
        write_report(tmp_path / "report.html", [], {key: value for key, value in SCORES.items() if key != "f1"}, INGEST)
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_report(tmp_path / "missing" / "report.html", [], SCORES, INGEST)


def test_a_demo_answer_checks_its_pictures(png: bytes) -> None:
    cited = answer("here", citations=(cite("here", None),))
    with pytest.raises(ValueError, match="together or not at all"):
        DemoAnswer("Where?", cited, page_png=png)
    with pytest.raises(ValueError, match="page of a citation"):
        DemoAnswer("Where?", answer("here"), page_png=png, page_size_pt=(200, 400))
    with pytest.raises(ValueError, match="width and a height"):
        DemoAnswer("Where?", cited, page_png=png, page_size_pt=(0, 400))
    with pytest.raises(ValueError, match="PNG bytes"):
        DemoAnswer("Where?", cited, thumbs=(("page 1", b"GIF89a"),))


def test_a_hit_is_described_by_page_score_and_document() -> None:
    document = DocumentRef("0" * 64, 18)
    hit = Hit(PageRef(document, 9, "6"), "/library/report.pdf", 0.614, {})
    assert describe_hit(hit) == "page 10 (printed 6), score 0.61, report.pdf"
    assert describe_hit(Hit(PageRef(document, 2, "3"), "b.pdf", 1.0, {})) == "page 3, score 1.00, b.pdf"
