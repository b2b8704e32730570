"""Finding a quote on its page."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from docrag.pipelines.locate import cite, locate_quote, words_box


@pytest.fixture
def page(draw_page):
    return draw_page(
        (50, 100, "The new reve-"), (50, 112, "nue rules take effect on 1 July."), (50, 160, "Growth was 1.5 % in 2,024 towns.")
    )  # fmt: skip


@pytest.mark.parametrize(
    ("quote", "start", "end"),
    [
        ("The new reve- nue rules", 0, 5),
        ("the new REVENUE rules", 0, 5),
        ("new\n revenue  rules,", 1, 5),
        ("effect on 1 July", 6, 10),
        ("Growth was 1.5%", 10, 13),
        ("2024 towns", 15, 17),
    ],
)
def test_case_hyphens_blanks_and_punctuation_do_not_matter(page, quote, start, end):
    found = locate_quote(page.content, quote)
    assert found is not None
    assert (found.start, found.end) == (start, end)
    boxes = page.content.word_boxes[start:end]
    assert found.box == pytest.approx((*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0)))


@pytest.mark.parametrize("quote", ["venue rules", "new rev", "Growth was 15", "old revenue", "", " .,! ", "towns The"])
def test_what_is_not_there_is_not_found(page, quote):
    assert locate_quote(page.content, quote) is None


def test_scripts_without_blanks_may_be_quoted_from_inside_a_word(page):
    text = "営業利益は増加した 2024年"
    content = dataclasses.replace(
        page.content, text=text, word_boxes=np.array([[0, 0, 90, 10], [95, 0, 130, 10]], np.float32), passages=()
    )
    assert locate_quote(content, "利益は増加").start == 0
    assert locate_quote(content, "利益は減少") is None


def test_citations_say_whether_they_were_verified(page):
    good = cite(page, "revenue rules take effect")
    assert (good.document, good.page_number, good.verified) == ("report.pdf", 1, True)
    assert good.box == pytest.approx(words_box(page.content, 2, 7))
    bad = cite(page, "revenue rules were abolished")
    assert (bad.verified, bad.box, bad.quote) == (False, None, "revenue rules were abolished")


def test_an_empty_page_holds_no_quote(draw_page):
    assert locate_quote(draw_page().content, "anything") is None
