"""Ranking pages over text and visual lanes: the plan, pages that owe vectors, boxes from patches, and what explains a score."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from docrag.errors import UsageError
from docrag.index.pooling import maxsim
from docrag.index.store import VISUAL, VISUAL_POOLED
from docrag.output import explained_json, explained_text
from docrag.pipelines import query_plan
from docrag.pipelines.retrieve import best_pages, explain, rank_pages, search
from docrag.testing import HashEncoder
from docrag.types import PageRef
from tests.pipelines.looking import Shelf, WordsInPatches

TEXT, VISION = HashEncoder(), WordsInPatches()
# What is written on each page, and what is to be seen on it.
HARBOUR = (("The harbour is old.", "harbour ."), ("It sold boats.", "boats ."), ("", "red chart"), ("Some words.", ". ."))
STATION = (("The station is new.", "station ."), ("It sold trains.", "trains ."))


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    shelf = Shelf(":memory:", tmp_path)
    with shelf.index:
        yield shelf


@pytest.fixture(scope="module", params=["folder", "client"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Two documents with complete lanes, on each adapter; the third page of the first is a picture without text."""
    folder = tmp_path_factory.mktemp("seen")
    shelf = Shelf(str(folder / "index") if request.param == "folder" else ":memory:", folder / "blobs")
    with shelf.index:
        documents = shelf.put("harbour.pdf", HARBOUR), shelf.put("station.pdf", STATION)
        shelf.add_lane()
        for document, pages in zip(documents, (HARBOUR, STATION), strict=True):
            shelf.see(document, pages)
        yield shelf


def _found(shelf: Shelf, question: str, **options: object) -> list[tuple[str, int]]:
    hits = search(shelf.index, TEXT, question, visual=VISION, **options)  # type: ignore[arg-type]
    return [(hit.name, hit.page.page_number) for hit, _ in hits]


def test_a_page_without_text_is_found_by_what_it_looks_like(seen: Shelf) -> None:
    (hit, evidence), *_ = search(seen.index, TEXT, "What is on the red chart?", visual=VISION)
    assert (hit.name, hit.page.page_number, evidence.reason) == ("harbour.pdf", 3, "retrieved")
    assert list(hit.lanes) == [VISUAL]
    assert hit.lanes[VISUAL].rank == 1
    assert ("harbour.pdf", 3) not in [(hit.name, hit.page.page_number) for hit, _ in search(seen.index, TEXT, "red chart")]


def test_its_hit_has_the_box_of_the_patches_and_others_that_of_their_passage(seen: Shelf) -> None:
    hits = {hit.page.page_number: hit for hit, _ in search(seen.index, TEXT, "the chart of boats", k=4, visual=VISION)}
    assert (hits[3].snippet, hits[3].box) == ("", (300, 0, 600, 800))
    assert (hits[2].snippet, hits[2].box) == ("It sold boats.", (50, 90, 500, 110))


def test_scores_of_the_lane_are_maxsim(seen: Shelf) -> None:
    ranking = rank_pages(seen.index, TEXT, "red boats", visual=VISION)
    question = VISION.encode_question("red boats").vectors
    stored = seen.index.lane_vectors([page.id for page in ranking.pages], VISUAL)
    told = {page.id: page.lanes[VISUAL].score for page in ranking.pages}
    assert len(told) == 6
    assert told == {id_: pytest.approx(maxsim(question, vectors), abs=1e-3) for id_, vectors in stored.items()}


@pytest.mark.parametrize("visual", [None, VISION])
def test_without_the_lane_or_without_its_encoder_text_alone_is_asked(shelf: Shelf, visual: WordsInPatches | None) -> None:
    shelf.put("harbour.pdf", HARBOUR)
    if visual is None:
        shelf.add_lane()
    ranking = rank_pages(shelf.index, TEXT, "sold boats", visual=visual)
    assert [planned.name for planned in ranking.plan.queries] == ["passages", "bm25"]
    assert ranking.plan.left_out == {VISUAL: "the index has no such lane, or its model is not loaded"}
    assert ranking.pages == rank_pages(shelf.index, TEXT, "sold boats").pages


def test_the_plan_follows_the_number_of_pages_in_scope(seen: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    few = rank_pages(seen.index, TEXT, "red boats", visual=VISION).plan
    assert (few.pages, few.queries[-1].query.lane, few.queries[-1].query.prefetch) == (6, VISUAL, None)
    assert few.queries[-1].why == "6 pages, at most 500: each is scored by all its patches"
    monkeypatch.setattr(query_plan, "EXACT_PAGES", 4)
    monkeypatch.setattr(query_plan, "PREFETCH", 3)
    many = rank_pages(seen.index, TEXT, "red boats", visual=VISION).plan
    stage = many.queries[-1].query.prefetch
    assert stage is not None
    assert (stage.lane, stage.limit, many.queries[-1].query.limit) == (VISUAL_POOLED, 3, 3)
    harbour = seen.index.resolve_documents(["harbour.pdf"])
    inside = rank_pages(seen.index, TEXT, "red boats", harbour, VISION).plan
    assert (inside.pages, inside.queries[-1].query.prefetch) == (4, None)


def test_two_stages_find_what_one_finds(seen: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    exact = _found(seen, "red chart", k=3)
    monkeypatch.setattr(query_plan, "EXACT_PAGES", 1)
    monkeypatch.setattr(query_plan, "PREFETCH", 3)
    assert _found(seen, "red chart", k=3)[0] == exact[0] == ("harbour.pdf", 3)
    ranking = rank_pages(seen.index, TEXT, "red chart", visual=VISION)
    assert sum(VISUAL in page.lanes for page in ranking.pages) == 3


def test_pages_that_owe_their_visual_vectors_are_not_put_last(shelf: Shelf) -> None:
    harbour = shelf.put("harbour.pdf", HARBOUR)
    shelf.put("station.pdf", STATION)
    shelf.add_lane()
    shelf.see(harbour, HARBOUR)
    ranking = rank_pages(shelf.index, TEXT, "Who sold trains near the harbour?", visual=VISION)
    (first, _), *_ = best_pages(shelf.index, ranking, 1)
    assert (first.name, first.page.page_number) == ("station.pdf", 2)
    top = ranking.pages[0]
    assert VISUAL not in top.lanes
    average = np.mean([page.parts[VISUAL] for page in ranking.pages if VISUAL in page.lanes])
    assert average < top.parts[VISUAL] < 1


def test_a_page_whose_visual_vectors_failed_is_not_put_last_either(shelf: Shelf) -> None:
    harbour = shelf.put("harbour.pdf", HARBOUR)
    shelf.add_lane()
    shelf.see(harbour, HARBOUR, failed=(1,))
    top = rank_pages(shelf.index, TEXT, "sold boats", visual=VISION).pages[0]
    assert top.id == PageRef(harbour, 1).point_id
    assert VISUAL not in top.lanes
    assert 0 < top.parts[VISUAL] < 1


def test_a_page_whose_text_is_unread_is_judged_by_its_looks(shelf: Shelf) -> None:
    pages = (("Boats and boats.", ". ."), ("", "boats ."), ("", "ink ."))
    document = shelf.put("scan.pdf", pages, unread=(1,))
    shelf.add_lane()
    shelf.see(document, pages)
    by_id = {page.id: page for page in rank_pages(shelf.index, TEXT, "boats", visual=VISION).pages}
    unread, blank = by_id[PageRef(document, 1).point_id], by_id[PageRef(document, 2).point_id]
    assert set(unread.parts) == {"passages", "bm25", VISUAL}
    assert set(blank.parts) == {VISUAL}


def test_a_named_page_is_found_and_explained(seen: Shelf) -> None:
    ranking = rank_pages(seen.index, TEXT, "What is on page 4?", visual=VISION)
    hits = [hit for hit, _ in best_pages(seen.index, ranking, 6)]
    assert (hits[0].name, hits[0].page.page_number) == ("harbour.pdf", 4)
    told = explained_json(explain(ranking, hits))
    assert json.loads(json.dumps(told)) == told
    for hit in told["hits"]:
        total = sum(lane["share"] for lane in hit["lanes"].values()) + sum(hit["other_shares"].values())
        assert total == pytest.approx(1.0 if hit["score"] else 0.0, abs=1e-5)
    assert 0 < told["hits"][0]["other_shares"]["reference"] <= 1


def test_the_plan_is_told_in_words_and_as_json(seen: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_plan, "EXACT_PAGES", 5)
    ranking = rank_pages(seen.index, TEXT, "red chart", visual=VISION)
    found = explain(ranking, [hit for hit, _ in best_pages(seen.index, ranking, 1)])
    why = "6 pages, more than 5: pooled vectors choose 200, all their patches rank these"
    assert explained_json(found)["plan"] == {
        "pages": 6,
        "queries": [
            {
                "lane": "passages", "vectors": "passages", "limit": 100, "prefetch": None, "weight": 0.5,
                "why": "a page's best passage counts",
            },
            {"lane": "bm25", "vectors": "bm25", "limit": 100, "prefetch": None, "weight": 1.0, "why": "words of the question"},
            {
                "lane": "visual", "vectors": "visual", "limit": 100, "prefetch": {"vectors": "visual_pooled", "limit": 200},
                "weight": 1.0, "why": why,
            },
        ],
        "left_out": {},
    }  # fmt: skip
    assert explained_text(found).splitlines() == [
        "plan: 3 queries in one request, over 6 pages",
        "  passages: passages, best 100, weight 0.5; a page's best passage counts",
        "  bm25: bm25, best 100, weight 1; words of the question",
        f"  visual: visual_pooled (200), then visual, best 100, weight 1; {why}",
        "1. harbour.pdf, page 3  score 0.667",
        "   visual 3.000 (rank 1, 100 %)",
    ]


def test_a_question_of_stop_words_leaves_bm25_out(seen: Shelf) -> None:
    plan = rank_pages(seen.index, TEXT, "what is it?", visual=VISION).plan
    assert [planned.name for planned in plan.queries] == ["passages", VISUAL]
    assert plan.left_out == {"bm25": "the question has stop words only"}


@pytest.mark.parametrize(("question", "k", "why"), [(" \n", 5, "the question is empty"), ("boats", 0, "1 or more, got 0")])
def test_what_makes_no_sense_is_refused(seen: Shelf, question: str, k: int, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        search(seen.index, TEXT, question, (), k, VISION)
