"""The report as text: what its rows hold, what its chapters say, and that nothing in it can end or add a script."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from docrag.errors import UsageError
from docrag.eval.record import read_run
from docrag.eval.report.compose import Report, compose
from docrag.eval.report.pictures import Picture, Pictures, pages_to_draw
from docrag.eval.report.rows import LONGEST_TEXT, QuestionRow, question_rows
from docrag.eval.report.runs import open_runs
from docrag.eval.report.script import Styles, content_hash, script_json, security_policy
from docrag.eval.report.sections import EVIDENCE, HEADLINE
from docrag.eval.report.view import Highlight, LargePage, Opening
from docrag.types import NOT_ANSWERABLE
from tests.report_runs import HOSTILE, cited, fruit_predictions, fruit_questions, fruit_run, question, said, write_run

NO_PICTURES = Pictures(note="nobody drew them")


class Elements(HTMLParser):
    """The elements of a page, the text of its scripts, and its visible text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.scripts: list[str] = []
        self.text: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._inside != "style":
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


def rows_of(*folders: Path) -> tuple[QuestionRow, ...]:
    return question_rows(open_runs([read_run(folder) for folder in folders]))


def report_of(*folders: Path, pictures: Pictures = NO_PICTURES, opening: Opening | None = None) -> Report:
    runs = open_runs([read_run(folder) for folder in folders])
    return compose(runs, question_rows(runs), pictures, opening)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_of(fruit_run(tmp_path_factory.mktemp("plain") / "fruit"))


def test_rows_have_both_scores_ranks_and_what_was_missed(tmp_path: Path) -> None:
    rows = {row.id: row for row in rows_of(fruit_run(tmp_path / "run"))}
    right, missed, failed = (rows[name].runs[0] for name in ("q001", "q003", "q007"))
    assert right
    assert missed
    assert failed
    assert (right.score, right.strict, right.places, right.missed) == (1.0, 1.0, (1,), ())
    assert (missed.score, missed.places, missed.missed) == (0.0, (0, 7), (3, 7))
    assert (failed.score, failed.strict_outcome) == (0.0, "failed")
    assert rows["q008"].pages == ()  # page 99 of 8
    assert [rows[name].needed for name in ("q001", "q003", "q004", "q008")] == [
        "1",
        "2",
        "unanswerable",
        "none in the document",
    ]


def test_a_long_text_is_cut_and_says_so(tmp_path: Path) -> None:
    one = question(1, "fruit.pdf", "red", [1])
    row = rows_of(write_run(tmp_path / "run", [one], [said(one, "r" * 1_000_000)]))[0]
    assert row.runs[0]
    assert row.runs[0].prediction == "r" * LONGEST_TEXT + " [cut here: 1,000,000 characters in all]"


def test_a_question_about_no_document_is_ranked_in_the_library(tmp_path: Path) -> None:
    one = question(1, "", "red")
    prediction = said(
        one, "red", (), ranked_library=(("a.pdf", 2), ("b.pdf", 1)), citations=(cited(3, "red"),), document_pages=None
    )
    rows = rows_of(write_run(tmp_path / "run", [one], [prediction]))
    assert rows[0].runs[0]
    assert rows[0].runs[0].ranked == (("a.pdf", 2), ("b.pdf", 1))
    assert pages_to_draw(rows) == (("/library/fruit.pdf", 3), ("a.pdf", 2), ("b.pdf", 1))


def test_pages_are_drawn_once_over_questions_and_runs(tmp_path: Path) -> None:
    rows = rows_of(fruit_run(tmp_path / "a"), fruit_run(tmp_path / "b"))
    pages = pages_to_draw(rows)
    assert len(set(pages)) == len(pages)
    assert [page for name, page in pages if name == "tools.pdf"] == [1]
    assert [page for name, page in pages if name == "fruit.pdf"] == [1, 2, 3, 4, 5, 6, 7]  # 7 is evidence; 8 was found sixth


@pytest.mark.parametrize("text", ["</script>", "<!--", "<script", "]]>", "\u2028", "\u2029", "&lt;", "\ud800", "é"])
def test_json_in_a_script_ends_nothing_and_reads_the_same(text: str) -> None:
    written = script_json({text: [text]})
    assert not re.search(r"[<>&\u2028\u2029]", written)
    assert written.isascii()
    assert json.loads(written) == {text: [text]}


def test_json_in_a_script_has_no_nan() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        script_json(float("nan"))


def test_the_policy_names_the_one_style_and_script() -> None:
    policy = security_policy("a {}", "1")
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert f"style-src {content_hash('a {}')}; script-src {content_hash('1')};" in policy
    assert "unsafe" not in policy
    assert content_hash("") == "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"


def test_styles_become_classes_and_are_written_once() -> None:
    styles = Styles()
    drawn = '<g style="fill: red"/><g class="k" style="fill: red"/><title>style="x"</title>'
    svg = styles.lift(f'<svg xmlns="http://www.w3.org/2000/svg">{drawn}</svg>')
    assert svg == '<svg><g class="s0" /><g class="k s0" /><title>style="x"</title></svg>'
    assert styles.css() == ".s0 { fill: red }"
    with pytest.raises(ValueError, match="declarations only"):
        styles.lift('<svg style="} body { display: none"/>')


def test_a_report_has_its_scripts_and_no_others(plain: Report) -> None:
    page = Elements(plain.html)
    assert page.tags.count("script") == 3
    assert HOSTILE not in plain.html
    assert not [name for name, _ in page.attributes if name == "style" or name.startswith("on")]
    links = {value for name, value in page.attributes if name in ("src", "href")}
    assert all(value and value.startswith("#") for value in links)
    data = json.loads(page.scripts[0])
    assert [row["id"] for row in data["rows"]][:2] == ["q001", "q002"]
    assert HOSTILE in data["rows"][5]["question"]


def test_a_report_tells_its_figures_in_words(plain: Report) -> None:
    words = Elements(plain.html).words
    assert "MMLongBench-Doc: fruit" in words
    assert "12 questions about 2 documents. Answered by quote; pages searched for each question in its own document." in words
    assert "commit 0123456789" in words
    assert "Strict: docrag's own" in words
    assert "1 of 12 questions failed, and count as wrong. 1: the reply can't be read." in words
    assert "quote; answers as given, not extracted" in words
    assert "None of them may be set beside this run as it is: 12 of 1,082 questions" in words
    assert "This report has no page pictures: nobody drew them." in words
    assert plain.summary.startswith("#")
    assert {"published", "by-pages_needed", "recall-at-k", "tradeoff"} <= plain.charts.keys()


def test_the_page_has_every_headline_figure_and_every_figure_of_the_pages_read(plain: Report, tmp_path: Path) -> None:
    run = open_runs([read_run(fruit_run(tmp_path / "fruit"))])[0]
    words = Elements(plain.html).words
    assert {key for _, known in HEADLINE for key, _, _ in known} == set(run.analysis.headline)
    assert {key for key, _, _ in EVIDENCE} == set(run.analysis.evidence)
    for name in ("On one page", "On several pages", "Strict, answerable", "Of the pages read, evidence", "F1 of the two"):
        assert name in words
    assert "| F1 of the two |" in plain.summary


def test_a_run_of_several_commits_names_them(tmp_path: Path) -> None:
    run = fruit_run(tmp_path / "run", later_git_commits=["fedcba9876543210fedc-dirty", None])
    assert "commit 0123456789, then fedcba9876 with changes, then an installed package." in Elements(report_of(run).html).words


def test_two_runs_on_different_questions_compare_what_both_have(tmp_path: Path) -> None:
    first = fruit_run(tmp_path / "first")
    second = write_run(tmp_path / "second", fruit_questions()[2:], fruit_predictions()[2:], scope="document", extra="here")
    words = Elements(report_of(first, second).html).words
    assert "2 are only in first, 0 only in second. Compared here are the 10 that both have" in words
    assert "first has the higher official score on 0 questions and the lower on 0; on the other 10 they are equal" in words
    assert "extra" in words


def test_an_unfinished_run_has_no_different_questions_and_other_references_are_told(tmp_path: Path) -> None:
    edited = [replace(fruit_questions()[0], answer="green"), *fruit_questions()[1:]]
    second = write_run(tmp_path / "second", edited, fruit_predictions()[:5])
    words = Elements(report_of(fruit_run(tmp_path / "first"), second).html).words
    assert "different questions" not in words
    assert "second has not come to 7 of the questions yet. Compared here are the 5 that both have" in words
    assert "One of these questions has another answer, format or evidence pages in second than in first" in words


def test_runs_without_a_common_question_are_refused(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", fruit_questions()[:2], fruit_predictions()[:2])
    second = write_run(tmp_path / "second", fruit_questions()[2:], fruit_predictions()[2:])
    with pytest.raises(UsageError, match="no question in common"):
        report_of(first, second)


def test_a_summary_of_several_runs_says_which_is_which_whatever_they_are_called(tmp_path: Path) -> None:
    summary = report_of(fruit_run(tmp_path / "a|b\n# c"), fruit_run(tmp_path / "second")).summary
    heads = [line for line in summary.splitlines() if line.startswith("# ")]
    name = "a\\|b # c"
    assert heads == [f"# Results of {name}", "# Results of second", f"# {name} against second"]
    assert f"| % | {name} | second | gain |" in summary


def test_of_three_runs_the_others_are_compared_with_the_first(tmp_path: Path) -> None:
    page = Elements(report_of(*(fruit_run(tmp_path / name / "run") for name in ("a", "b", "c"))).html)
    assert page.words.count(" against ") >= 2
    assert f"{tmp_path / 'b' / 'run'}" in page.words  # all three folders have the same name
    assert "the tables have every run" in page.words


def test_a_run_that_only_searched_has_no_answers_to_show(tmp_path: Path) -> None:
    predictions = [replace(one, answer=None, outcome=None, citations=(), read_pages=()) for one in fruit_predictions()]
    report = report_of(write_run(tmp_path / "run", fruit_questions(), predictions, retrieval_only=True))
    assert "Nothing was answered" in Elements(report.html).words
    assert "Recall at 5" in Elements(report.html).words
    assert "Evidence in context" not in Elements(report.html).words
    assert "published" not in report.charts
    assert "recall-at-k" in report.charts


def test_an_unfinished_run_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", fruit_questions(), fruit_predictions()[:5])
    assert (
        "run is not finished: 5 of 12 questions are asked. The others count as wrong here."
        in Elements(report_of(run).html).words
    )


def test_a_run_whose_answers_were_extracted_says_by_what(tmp_path: Path) -> None:
    def told(name: str, **more: str) -> str:
        config = json.loads((fruit_run(tmp_path / name, settings={"reader": "openai:m"}) / "config.json").read_text())
        (tmp_path / name / "config.json").write_text(json.dumps({**config, "questions": 1082, **more}))
        return Elements(report_of(tmp_path / name).html).words

    given, extracted = told("given"), told("extracted", extracted_by="openai:gpt-4o prompt 0123")
    assert "No no three-stage extraction: the answers are scored as the reader gave them" in given
    assert "three-stage extraction" not in extracted
    assert "openai:m; answers extracted by openai:gpt-4o prompt 0123" in extracted


def test_other_benchmarks_are_not_set_beside_published_systems(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", fruit_questions(), fruit_predictions(), benchmark="questions")
    assert "published" not in report_of(run).charts


def test_a_run_of_needles_shows_depths_and_no_search(tmp_path: Path) -> None:
    asked = [question(1, "fruit.pdf", "red", [1]), question(2, "fruit.pdf", NOT_ANSWERABLE)]
    hay = [{"needle": {"length": 8192, "depth": depth, "pages": [["fruit.pdf", 1]]}} for depth in (0.5, None)]
    answered = [said(one, one.answer, (), read_pages=(1,), trace=trace) for one, trace in zip(asked, hay, strict=True)]
    run = write_run(tmp_path / "run", asked, answered, benchmark="needles")
    report = report_of(run)
    words = Elements(report.html).words
    assert "Page needles: run" in words
    assert "nothing was searched" in words
    assert "Pages found" not in words
    assert words.index("refused where it is absent") < words.index("The numbers")
    assert "Length of the haystack" in words
    assert "Document type" not in words.partition("Every question")[0]
    assert "needles" in report.charts
    assert "recall-at-k" not in report.charts
    assert [row.runs[0] and row.runs[0].missed for row in rows_of(run)] == [(), ()]


def test_highlights_stand_on_top_with_their_boxes(tmp_path: Path) -> None:
    page = LargePage("data:image/png;base64,AAAA", "page 1", 200.0, 400.0, ((10.0, 20.0, 50.0, 30.0),))
    shown = Highlight(f"Where? {HOSTILE}", NOT_ANSWERABLE, "refused", "Rightly.", "quote", (("words", "here"),), page, (page,))
    html = report_of(fruit_run(tmp_path / "run"), opening=Opening("Title", ("Lead",), highlights=(shown,))).html
    assert html.index("Asked and answered") < html.index("The same, measured") < html.index("Headline")
    assert '<rect x="10.0" y="20.0" width="40.0" height="10.0"/>' in html
    assert Elements(html).tags.count("script") == 3


def test_pictures_are_in_the_file_once_with_their_size(tmp_path: Path) -> None:
    pictures = Pictures({("fruit.pdf", 1): Picture(b"webp", 595.276, 841.89)}, {("fruit.pdf", 2): "it is encrypted"})
    page = Elements(report_of(fruit_run(tmp_path / "run"), pictures=pictures).html)
    assert json.loads(page.scripts[1]) == {
        "drawn": {"fruit.pdf": {"1": [595.28, 841.89, "d2VicA=="]}},
        "missing": {"fruit.pdf": {"2": "it is encrypted"}},
        "note": "",
    }
