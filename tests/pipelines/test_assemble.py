"""Contexts under a budget: never over it, best pages first and largest, everything in reading order, repeats left out."""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from docrag.errors import UsageError
from docrag.pipelines import tokens
from docrag.pipelines.assemble import KEY, REDUCED_SIDE_PX, assemble, candidates_needed
from docrag.pipelines.linked import with_linked
from docrag.pipelines.tokens import TokenRule, text_rule, token_rule
from docrag.types import DocumentOutline, DocumentRef, Evidence, PageContent, PageRef

PAGES = 400
_NAMES = itertools.count()


def words(text: str) -> int:
    return len(text.split())


RULE = token_rule("Qwen2.5-VL", words)


def page(index: int = 0, text: str | None = None, name: str = "a.pdf", size=(595.0, 842.0), **named) -> Evidence:
    """A page of other words than every other page, unless they are given; each word is 10 points high."""
    text = " ".join(f"w{next(_NAMES)}" for _ in range(300)) if text is None else text
    count = len(text.split())
    down = np.linspace(50, size[1] - 60, max(count, 1), dtype=np.float32)[:count]
    boxes = np.stack([np.full(count, 50), down, np.full(count, 90), down + 10], axis=1).astype(np.float32)
    ref = PageRef(DocumentRef(hashlib.sha256(name.encode()).hexdigest(), PAGES), index)
    content = PageContent(ref, *size, text, boxes.reshape(-1, 4), "layer" if count else "none")
    return Evidence(content, name, named.pop("score", 0.5), **named)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, PAGES - 1), st.integers(0, 900), st.sampled_from("ab"), st.floats(20, 3000), st.floats(20, 3000)
        ),
        max_size=25,
    ),
    st.one_of(st.integers(1, 400), st.integers(1, 40_000)),
    st.sampled_from(["qwen2.5-vl", "gpt-4o", "gpt-5-mini", "claude-3-haiku", "gemini-2.0", "gemini-3", "mmlongbench", "x", ""]),
    st.booleans(),
)
def test_never_over_budget_and_never_an_error(pages, budget, model, focused):
    rule = token_rule(model, words) if model else text_rule(words)
    items = [page(at, " ".join(["word"] * count), name, (w, h)) for at, count, name, w, h in pages]
    focus = {item.content.page.point_id: (10.0, 10.0, 15.0, 18.0) for item in items} if focused else None
    context = assemble(items, rule, budget, focus)
    assert context.tokens <= budget
    shown = [(item.name, item.content.page.page_index) for item in context.evidence]
    assert len(shown) == len(set(shown)) <= len({(name, at) for at, _, name, _, _ in pages})
    assert shown == sorted(shown, key=lambda place: ([name for name, _ in shown].index(place[0]), place[1]))
    for part in context.parts:
        if part.image_size_px:
            assert rule.image is not None
            assert rule.image.keeps(*part.image_size_px)
            assert part.tokens == rule.image_tokens(part.image_size_px)
        else:
            sent = f"[{KEY} {part.text[1:]}" if part.kind == "marker" else part.text
            assert part.tokens == words(sent)


def test_a_budget_of_one_leaves_the_context_empty():
    assert assemble([page()], RULE, 1).parts == ()
    assert assemble([], RULE, 10_000).evidence == ()
    with pytest.raises(UsageError, match="at least 1 token, got 0"):
        assemble([], RULE, 0)


def test_small_budgets_show_less_of_a_page_and_then_nothing():
    item = page()
    ways = {budget: [e.shown for e in assemble([item], RULE, budget).evidence] for budget in (20, 320, 600, 900, 5000)}
    assert ways == {20: [], 320: ["text"], 600: ["reduced"], 900: ["image_and_text"], 5000: ["image_and_text"]}
    small, large = (assemble([item], RULE, budget).parts[1].image_size_px for budget in (900, 5000))
    assert small == (560, 784)
    assert large == (1204, 1708)


def test_large_budgets_hold_hundreds_of_pages():
    context = assemble([page(at) for at in range(300)], RULE, tokens.STANDARD_BUDGETS["128k"] * 2)
    assert len(context.evidence) == 300
    assert [part.page_number for part in context.parts if part.kind == "marker"] == list(range(1, 301))


def test_the_best_page_grows_before_the_last_come_in_and_every_image_can_be_read():
    context = assemble([page(at) for at in range(60)], RULE, 16_384)
    best, *others = context.evidence
    assert best.shown == "image_and_text"
    assert {item.shown for item in others} >= {"reduced"}
    sizes = {part.page_number: max(part.image_size_px) for part in context.parts if part.image_size_px}
    assert sizes[1] > min(sizes.values()) >= REDUCED_SIDE_PX
    assert 15 < len(context.evidence) < 40


def test_parts_stand_marker_image_text_and_say_why():
    context = assemble([page(4, reason="navigated")], RULE, 5000)
    assert [part.kind for part in context.parts] == ["marker", "image", "text"]
    marker, image, text = context.parts
    assert marker.text == "[a.pdf, page 5 of 400]"
    assert marker.why == "navigated, place 1"
    assert image.why == "the whole page, at 146 dpi"
    assert text.why == "text beside the image"


def test_documents_go_by_their_best_page_and_pages_by_number():
    items = [page(7, name="b.pdf"), page(3), page(2, name="b.pdf"), page(1)]
    shown = [(item.name, item.content.page.page_number) for item in assemble(items, RULE, 10_000).evidence]
    assert shown == [("b.pdf", 3), ("b.pdf", 8), ("a.pdf", 2), ("a.pdf", 4)]


def test_the_best_passage_is_cropped_where_the_whole_page_would_not_fit():
    item = page()
    box = (50.0, 300.0, 400.0, 380.0)
    context = assemble([item], RULE, 1500, {item.content.page.point_id: box})
    overview, crop = (part for part in context.parts if part.kind == "image")
    assert (context.evidence[0].shown, overview.clip) == ("crop", None)
    assert crop.clip is not None
    assert crop.clip[0] < 50
    assert crop.clip[3] > 380
    assert crop.image_size_px is not None
    assert crop.image_size_px[0] / (crop.clip[2] - crop.clip[0]) == pytest.approx(2, rel=0.05)
    whole = assemble([item], RULE, 1500, {item.content.page.point_id: (0.0, 0.0, 595.0, 842.0)})
    assert all(part.clip is None for part in whole.parts)


def test_pages_in_small_print_are_drawn_larger():
    item = page(size=(1191.0, 1684.0))
    size = assemble([item], RULE, 1800).parts[1].image_size_px
    assert size is not None
    assert 10 * max(size) / 1684 >= 8


def test_a_page_given_twice_or_nearly_so_is_shown_once():
    text = " ".join(f"word{n}" for n in range(100))
    items = [page(3, text), page(3, text), page(8, text + " end"), page(9, "another " + text[:300])]
    context = assemble(items, RULE, 10_000)
    assert [item.content.page.page_number for item in context.evidence] == [4, 10]
    assert context.parts[0].why == "retrieved, place 1; left out as nearly the same: page 9 of a.pdf"
    few = [page(1, "Results"), page(2, "Results")]
    assert len(assemble(few, RULE, 10_000).evidence) == 2


def test_readers_without_eyes_get_text():
    context = assemble([page(0, "one two"), page(1, "")], text_rule(words), 100)
    assert [(part.kind, part.page_number) for part in context.parts] == [("marker", 1), ("text", 1), ("marker", 2)]
    without_rule = assemble([page(0, "one two"), page(1, "")], None, 100)
    assert [part.kind for part in without_rule.parts] == ["marker", "text", "marker"]
    assert without_rule.parts[1].tokens == tokens.estimate_tokens("one two")


def test_pages_without_text_are_shown_by_their_image():
    context = assemble([page(0, "")], RULE, 800)
    assert [(part.kind, part.image_size_px) for part in context.parts] == [("marker", None), ("image", (560, 784))]


def test_candidates_needed_are_more_than_a_budget_holds():
    rule = TokenRule(tokens.QWEN2_VL, words)
    needed = candidates_needed(rule, 32_768)
    assert len(assemble([page(at) for at in range(needed)], rule, 32_768).evidence) < needed == 5 + 2 * 32_768 // 560


class Shelf:
    """What `with_linked` needs of an index."""

    def __init__(self, pages: list[Evidence], captions: dict[str, tuple[int, ...]]) -> None:
        self._pages = {item.content.page.point_id: item.content for item in pages}
        self._outline = DocumentOutline((None,) * PAGES, (None,) * PAGES, captions)

    def outline(self, sha256: str) -> DocumentOutline:
        return self._outline

    def page_contents(self, ids: list[str]) -> list[PageContent]:
        return [self._pages[id_] for id_ in ids if id_ in self._pages]


def test_neighbours_and_referenced_pages_join():
    pages = [page(at, f"page about {at}") for at in range(30)]
    best = page(10, "details: see Table 3 on page 21. " + "word " * 50, score=0.9)
    shelf = Shelf(pages, {"table 3": (25,)})
    linked = with_linked(shelf, [best])
    assert [(item.content.page.page_index, item.reason) for item in linked[:3]] == [
        (10, "retrieved"), (11, "neighbour"), (9, "neighbour"),
    ]  # fmt: skip
    assert {(item.content.page.page_index, item.reason) for item in linked[3:]} == {(20, "referenced"), (25, "referenced")}
    assert linked[1].score == pytest.approx(0.15 * 0.9)
    contents = page(10, " ".join(f"Part {n} . . . page {n}" for n in range(2, 30)))
    assert [item.content.page.page_index for item in with_linked(shelf, [contents])] == [10, 11, 9]


def test_a_neighbour_of_the_best_page_overtakes_those_below():
    ranked = [page(at, f"page about {at}") for at in (50, 5, 90, 120, 150, 180, 210, 240, 270, 51)]
    order = [item.content.page.page_index for item in with_linked(Shelf(ranked, {}), ranked)]
    assert order[:3] == [50, 5, 90]
    assert order.index(51) == 3
    moved = next(item for item in with_linked(Shelf(ranked, {}), ranked) if item.content.page.page_index == 51)
    assert moved.reason == "neighbour"
