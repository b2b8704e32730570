"""Damage of the visual lane is found, named and repaired: repair makes a document owe it again, and touches no text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from docrag.index.records import LaneFingerprint, document_id
from docrag.index.store import Point
from docrag.index.verify import verify
from docrag.types import PageRef
from docrag.visual import PageVisual, PatchBlock, PatchLayout

MODEL = LaneFingerprint("visual", "org/model", "abc123", settings={"dim": 8, "pooling": "rows_columns"})


def look_at(world: Any, document: Any, pages: Any = None) -> None:
    layout = PatchLayout((20, 30), 0.5, (PatchBlock(0, 2, 3, (0, 0, 1, 1)),))
    rows = np.ones((6, 8), np.float16)
    for page_index in range(document.pages) if pages is None else pages:
        world.index.write_visual([PageVisual(PageRef(document, page_index), rows, rows[:2], layout)])


@pytest.fixture
def looked(world: Any) -> Any:
    """Two documents whose visual lane is complete, and one that owes it."""
    documents = [world.add(name) for name in ("a.pdf", "b.pdf", "c.pdf")]
    world.index.add_visual(MODEL, "model", 8, 100)
    for document in documents[:2]:
        look_at(world, document)
        world.index.commit_visual(document.sha256)
    assert verify(world.index).findings == ()
    return world


def lose_vectors(world: Any, document: Any) -> None:
    """The page is written anew behind the index's back, but its key is set as before."""
    content, vectors = world.page(document, 1)
    key = world.index.store.retrieve("pages", [content.page.point_id])[0].payload["visual"]
    world.index.forget_visual = lambda sha256: None
    world.index.write_pages([(content, vectors)])
    del world.index.forget_visual
    world.index.store.update_points("pages", [Point(content.page.point_id, {"visual": key})])


def lose_a_lane_of_a_page(world: Any, document: Any) -> None:
    content, _ = world.page(document, 1)
    [kept] = world.index.store.retrieve("pages", [content.page.point_id], lanes=("passages", "bm25", "visual"))
    world.index.store.upsert("pages", [Point(kept.id, kept.payload, kept.vectors)])


def lose_the_key(world: Any, document: Any) -> None:
    world.index.store.delete_payload_keys("pages", ["visual"], [PageRef(document, 1).point_id])


def damage_the_key(world: Any, document: Any) -> None:
    bad = {"visual": {"image_px": [1, 2], "pixels_per_pt": 0.5, "blocks": [[0, 1, "three", [0, 0, 1, 1]]]}}
    world.index.store.update_points("pages", [Point(PageRef(document, 1).point_id, bad)])


def mark_by_another_model(world: Any, document: Any) -> None:
    world.index.store.update_points("documents", [Point(document_id(document.sha256), {"visual": "0123456789abcdef"})])


@pytest.mark.parametrize(
    ("damage", "pages"),
    [
        (lose_vectors, {1}), (lose_a_lane_of_a_page, {1}), (lose_the_key, {1}), (damage_the_key, {1}),
        (mark_by_another_model, set()),
    ],
)  # fmt: skip
def test_visual_damage_is_found_repaired_and_brought_back(
    looked: Any, damage: Callable[[Any, Any], None], pages: set[int]
) -> None:
    document = looked.document("a.pdf")
    damage(looked, document)
    looked.index.refresh()
    report = verify(looked.index)
    assert [finding.kind for finding in report.findings] == ["damaged_visual"]
    assert report.findings[0].what == f"a.pdf lacks visual vectors that are on record, of {len(pages)} pages"
    assert report.ingest_again == ("/library/a.pdf",)
    repaired = verify(looked.index, repair=True)
    assert (repaired.findings, repaired.repaired) == (report.findings, 1)
    assert verify(looked.index).findings == ()
    assert looked.index.visual_owed(document.sha256, lambda failure: False) == pages
    assert len(looked.index.page_contents([PageRef(document, index).point_id for index in range(3)])) == 3
    assert looked.index.document(looked.document("b.pdf").sha256).visual == MODEL.digest
    look_at(looked, document, pages)
    assert looked.index.commit_visual(document.sha256).visual == MODEL.digest
    assert verify(looked.index).findings == ()


def test_what_a_document_owes_is_no_damage(looked: Any) -> None:
    document = looked.document("c.pdf")
    look_at(looked, document, [0])
    rows = np.ones((6, 8), np.float16)
    looked.index.store.update_points(  # killed between a page's vectors and its key
        "pages", [Point(PageRef(document, 1).point_id, {}, {"visual": rows, "visual_pooled": rows})]
    )
    assert verify(looked.index).findings == ()
    assert looked.index.visual_owed(document.sha256, lambda failure: False) == {1, 2}


def test_what_an_interrupted_removal_leaves_is_no_damage_and_goes(looked: Any) -> None:
    settings = looked.index.settings
    looked.index._put_settings(replace(settings, lanes=settings.lanes[:2], visual_model=""))
    report = verify(looked.index)
    assert [finding.kind for finding in report.findings] == ["unfinished"]
    assert report.damages == ()
    assert verify(looked.index, repair=True).repaired == 1
    assert verify(looked.index).findings == ()
    assert set(looked.index.store.lanes()) == {"passages", "bm25"}
    assert all("visual" not in page.payload for page in looked.index.store.scroll("pages"))
    assert {record.visual for record in looked.index.documents()} == {""}


def test_a_lane_that_is_gone_from_the_store_is_taken_out_of_the_settings(looked: Any) -> None:
    looked.index.store.delete_lane("visual_pooled")
    report = verify(looked.index)
    assert [(finding.kind, finding.what) for finding in report.findings] == [
        ("damaged_visual", "the lane visual_pooled is not there")
    ]
    verify(looked.index, repair=True)
    assert (looked.index.visual, verify(looked.index).findings) == (None, ())


def test_a_damaged_document_goes_with_its_look(looked: Any) -> None:
    document = looked.document("a.pdf")
    looked.index.store.delete("pages", [PageRef(document, 0).point_id])
    lose_the_key(looked, document)
    assert sorted(finding.kind for finding in verify(looked.index, repair=True).findings) == ["damaged_visual", "missing_pages"]
    assert looked.index.document(document.sha256) is None
    assert verify(looked.index).findings == ()
