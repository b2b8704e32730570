"""Evidence to context: reading order, markers, and never over budget."""

from __future__ import annotations

import dataclasses

import pytest

from docrag.errors import UsageError
from docrag.pipelines.context import build_context, page_marker


def words(text: str) -> int:
    return len(text.split())


def test_documents_go_by_their_best_page_and_pages_by_number(draw_page):
    evidence = [
        draw_page((50, 100, "alpha three"), index=3, name="a.pdf", score=0.5),
        draw_page((50, 100, "beta seven"), index=7, name="b.pdf", score=0.9),
        draw_page((50, 100, "alpha one"), index=1, name="a.pdf", score=0.4),
        draw_page((50, 100, "beta two"), index=2, name="b.pdf", score=0.1),
    ]
    context = build_context(evidence, 1000, words)
    assert [(part.document, part.page_number) for part in context.parts if part.kind == "text"] == [
        ("b.pdf", 3), ("b.pdf", 8), ("a.pdf", 2), ("a.pdf", 4),
    ]  # fmt: skip
    assert [part.kind for part in context.parts] == ["marker", "text"] * 4
    assert context.tokens == sum(words(part.text) for part in context.parts)


def test_marker_names_document_page_and_what_is_printed(draw_page):
    item = draw_page((50, 100, "text"), index=3)
    assert page_marker(item) == "[report.pdf, page 4 of 40]"
    page = dataclasses.replace(item.content.page, page_label="iv")
    labelled = dataclasses.replace(item, content=dataclasses.replace(item.content, page=page))
    assert page_marker(labelled) == "[report.pdf, page 4 of 40, printed iv]"
    printed = dataclasses.replace(item, content=dataclasses.replace(item.content, printed_number="2"))
    assert page_marker(printed) == "[report.pdf, page 4 of 40, printed 2]"


@pytest.mark.parametrize("budget", range(1, 60))
def test_never_over_budget_and_the_lowest_scored_go_first(draw_page, budget):
    evidence = [draw_page((50, 100, "one two three four five"), index=i, score=1 - i / 10) for i in (2, 0, 1)]
    context = build_context(evidence, budget, words)
    cost = words(page_marker(evidence[0])) + 5
    kept = min(3, budget // cost)
    assert context.tokens == kept * cost <= budget
    assert [item.content.page.page_index for item in context.evidence] == list(range(kept))


def test_a_page_without_text_keeps_its_marker(draw_page):
    context = build_context([draw_page()], 100, words)
    assert [part.kind for part in context.parts] == ["marker"]


def test_a_page_given_twice_is_shown_once(draw_page):
    evidence = [draw_page((50, 100, "text"), score=0.2), draw_page((50, 100, "text"), score=0.8)]
    assert [item.score for item in build_context(evidence, 100, words).evidence] == [0.8]


def test_image_parts_follow_the_rule_that_is_given(draw_page):
    item = draw_page((50, 100, "text"), shown="image")
    context = build_context([item], 1000, words, lambda width, height: ((int(width), int(height)), 700))
    assert (context.parts[1].kind, context.parts[1].image_size_px, context.parts[1].tokens) == ("image", (595, 842), 700)
    with pytest.raises(UsageError, match="page 1 is to be shown as an image"):
        build_context([item], 1000, words)


def test_nothing_in_nothing_out_and_budgets_are_positive():
    assert build_context([], 10, words).parts == ()
    with pytest.raises(UsageError, match="at least 1 token, got 0"):
        build_context([], 0, words)
