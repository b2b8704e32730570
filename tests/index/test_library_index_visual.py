"""The visual lane of an index: added to what is there, completed, lost with a page, removed; a kill between any two steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from docrag.errors import IndexFault, IndexMismatch, UsageError
from docrag.index.library_index import LibraryIndex
from docrag.index.records import (
    LaneFingerprint,
    check_same,
    document_id,
    read_document,
    read_settings,
    settings_id,
    settings_payload,
)
from docrag.index.store import MAX_VECTOR_NUMBERS, LaneQuery, Point, Where, visual_pooled_schema, visual_schema
from docrag.index.verify import verify
from docrag.index.visual_lane import VisualProgress
from docrag.types import Failure, PageRef
from docrag.visual import PageVisual, PatchBlock, PatchLayout

DIM = 16
MODEL = LaneFingerprint(
    "visual", "org/model", "abc123", "ff", "bfloat16", {"dim": DIM, "pooling": "rows_columns", "quantization": "none"}
)
LAYOUT = PatchLayout((90, 120), 0.15, (PatchBlock(1, 3, 4, (0, 0, 1, 1)), PatchBlock(13, 1, 1, (0, 0.5, 1, 1))))


def add(index: LibraryIndex, model: LaneFingerprint = MODEL) -> None:
    index.add_visual(model, "/models/model", DIM, 700)


def look(page: PageRef, seed: int = 0) -> PageVisual:
    rng = np.random.default_rng([seed, page.page_index, int(page.document.sha256[:8], 16)])
    rows = rng.normal(size=(14, DIM))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return PageVisual(page, rows.astype(np.float16), rows[:5].astype(np.float16), LAYOUT)


def look_at(index: LibraryIndex, document: Any, pages: Any = None) -> None:
    owed = index.visual_owed(document.sha256, never) if pages is None else pages
    index.write_visual([look(PageRef(document, page_index)) for page_index in sorted(owed)])


def never(failure: Failure) -> bool:
    return False


def always(failure: Failure) -> bool:
    return True


def failure_of(page: PageRef, retriable: bool = False) -> Failure:
    return Failure(page.document.sha256, "look", "OutOfMemory", "too large", "try a GPU", page.page_number, "memory", retriable)


def text_of(index: LibraryIndex) -> list[Any]:
    """All that an index holds of its pages' text, and its records, as they compare."""
    pages = [
        ({key: value for key, value in page.payload.items() if key != "visual"}, np.asarray(page.vectors["passages"]).tolist())
        for page in index.store.scroll("pages", lanes=("passages",))
    ]
    return [pages, [replace(record, visual="", completed_at="") for record in index.documents()], index.settings.fingerprint]


def test_the_lane_is_added_completed_and_searched(world: Any) -> None:
    index = world.index
    documents = [world.add("a.pdf", 3), world.add("b.pdf", 2)]
    before = text_of(index)
    assert (index.visual, index.visual_model, index.visual_mark, index.visual_owing()) == (None, "", "", [])
    assert index.visual_owed(documents[0].sha256, always) == frozenset()
    add(index)
    assert (index.visual, index.visual_model, index.pooling) == (MODEL, "/models/model", "rows_columns")
    assert index.visual_progress() == VisualProgress(2, 2, 5)
    for document in documents:
        assert index.visual_owed(document.sha256, never) == frozenset(range(document.pages))
        look_at(index, document, [0])
        assert index.visual_owed(document.sha256, never) == frozenset(range(1, document.pages))
        look_at(index, document)
        record = index.commit_visual(document.sha256)
        assert (record.visual, record.status) == (MODEL.digest, "complete")
        assert index.document(document.sha256) == record
        assert index.visual_owed(document.sha256, always) == frozenset()
    assert index.visual_progress() == VisualProgress(2, 0, 0)
    assert text_of(index) == before
    assert verify(index).findings == ()
    page = PageRef(documents[1], 1)
    rows = look(page).visual.astype(np.float32)
    query = LaneQuery("visual", rows[:3], 3, prefetch=LaneQuery("visual_pooled", rows[:3], 4))
    [hits] = index.search([query])
    assert hits[0].id == page.point_id
    assert hits[0].score == pytest.approx(3, abs=2e-3)
    assert hits[0].payload == {"document": documents[1].sha256, "page_index": 1}
    assert index.visual_layout([page.point_id, "00000000-0000-0000-0000-000000000001"]) == {page.point_id: LAYOUT}
    np.testing.assert_array_equal(index.lane_vectors([page.point_id], "visual")[page.point_id], look(page).visual)
    add(index)  # again: all stays
    assert index.visual_progress() == VisualProgress(2, 0, 0)


def test_pages_of_unrecorded_documents_are_no_candidates(world: Any) -> None:
    shown, hidden = world.add("shown.pdf", 4), world.add("hidden.pdf", 4, record=False)
    add(world.index)
    look_at(world.index, shown)
    look_at(world.index, hidden, range(4))
    rows = look(PageRef(hidden, 0)).visual.astype(np.float32)
    query = LaneQuery("visual", rows[:5], 4, prefetch=LaneQuery("visual_pooled", rows[:5], 4))
    [hits] = world.index.search([query])
    assert [hit.payload["document"] for hit in hits] == [shown.sha256] * 4


def test_the_lane_is_removed_and_the_text_stays(world: Any) -> None:
    document = world.add("a.pdf", 3)
    before = text_of(world.index)
    world.index.remove_visual()  # none there: no error
    add(world.index)
    look_at(world.index, document, [0, 1])
    world.index.write_visual_failures([(PageRef(document, 2), failure_of(PageRef(document, 2)))])
    assert world.index.commit_visual(document.sha256).status == "partial"
    world.index.remove_visual()
    assert set(world.index.store.lanes()) == {"passages", "bm25"}
    assert (world.index.visual, world.index.visual_model) == (None, "")
    assert text_of(world.index) == before
    assert all("visual" not in page.payload for page in world.index.store.scroll("pages"))
    assert (world.index.document(document.sha256).visual, world.index.document(document.sha256).status) == ("", "complete")
    with pytest.raises(IndexFault, match="has no visual lane"):
        world.index.write_visual([look(PageRef(document, 0))])
    add(world.index, replace(MODEL, revision="next"))  # and another model's may come
    assert world.index.visual_owed(document.sha256, never) == frozenset(range(3))


def test_failures_are_on_record_and_tried_again_where_it_may_help(world: Any) -> None:
    document = world.add("a.pdf", 3)
    add(world.index)
    pages = [PageRef(document, index) for index in range(3)]
    look_at(world.index, document, [0])
    failures = [failure_of(pages[1]), failure_of(pages[2], retriable=True)]
    world.index.write_visual_failures(list(zip(pages[1:], failures, strict=True)))
    record = world.index.commit_visual(document.sha256)
    assert (record.status, record.failures, record.visual) == ("partial", tuple(failures), MODEL.digest)
    assert record.lacked == frozenset({"memory"})
    assert verify(world.index).findings == ()
    assert world.index.visual_owed(document.sha256, never) == frozenset()
    assert world.index.visual_owed(document.sha256, lambda failure: failure.retriable) == frozenset({2})
    assert world.index.visual_owed(document.sha256, always) == frozenset({1, 2})
    assert set(world.index.visual_layout([page.point_id for page in pages])) == {pages[0].point_id}
    look_at(world.index, document, [1, 2])
    assert world.index.commit_visual(document.sha256).status == "complete"
    with pytest.raises(ValueError, match=r"has a stage of .*'draw', 'look'.*, got 'read'"):
        world.index.write_visual_failures([(pages[0], replace(failures[0], stage="read"))])


def test_a_page_that_could_not_be_read_is_not_owed_until_it_is(world: Any) -> None:
    document = world.document("a.pdf", 2)
    world.index.blobs.put(document.sha256, world.data("a.pdf"))
    world.index.write_pages([world.page(document, 0)])
    unread = Failure("a.pdf", "read", "PdfCrash", "it hung", page_number=2)
    world.index.write_failures([(PageRef(document, 1), unread)])
    world.index.commit_document(document)
    world.index.put_source(world.source("a.pdf", document))
    add(world.index)
    assert world.index.visual_owed(document.sha256, always) == frozenset({0})
    look_at(world.index, document)
    record = world.index.commit_visual(document.sha256)
    assert (record.visual, record.failures) == (MODEL.digest, (unread,))
    assert verify(world.index).findings == ()
    world.index.write_pages([world.page(document, 1)])
    assert world.index.document(document.sha256).visual == ""  # taken back before the page was written
    assert world.index.commit_document(document).visual == ""
    assert world.index.visual_owed(document.sha256, always) == frozenset({1})
    assert world.index.visual_progress() == VisualProgress(1, 1, 1)


def test_a_page_read_anew_owes_its_look_again(world: Any) -> None:
    document = world.add("a.pdf", 3)
    add(world.index)
    look_at(world.index, document)
    world.index.commit_visual(document.sha256)
    world.index.write_pages([world.page(document, 1, "other words here")])
    assert read_document(world.index.store.retrieve("documents", [document_id(document.sha256)])[0].payload, "it").visual == ""
    assert world.index.visual_owed(document.sha256, never) == frozenset({1})
    assert verify(world.index).findings == ()  # killed here, nothing is wrong
    world.index.commit_document(document)
    look_at(world.index, document)
    assert world.index.commit_visual(document.sha256).visual == MODEL.digest
    world.index.commit_document(document)  # nothing was written: nothing is owed
    assert world.index.document(document.sha256).visual == MODEL.digest


def test_a_document_is_committed_only_when_no_page_owes(world: Any) -> None:
    document = world.add("a.pdf", 3)
    with pytest.raises(IndexFault, match="has no visual lane"):
        world.index.commit_visual(document.sha256)
    add(world.index)
    look_at(world.index, document, [0, 2])
    with pytest.raises(IndexFault, match="pages of it have no vectors and no failure"):
        world.index.commit_visual(document.sha256)
    assert world.index.document(document.sha256).visual == ""
    with pytest.raises(IndexFault, match="has no record"):
        world.index.commit_visual("0" * 64)
    with pytest.raises(IndexFault, match="lacks a point"):
        world.index.write_visual([look(PageRef(world.document("b.pdf"), 0))])
    wide = replace(look(PageRef(document, 1)), visual=np.ones((14, DIM + 1), np.float16))
    with pytest.raises(ValueError, match=r"takes \[n, 16\]"):
        world.index.write_visual([wide])


def test_a_deleted_document_takes_its_look_along(world: Any) -> None:
    kept, gone = world.add("a.pdf", 2), world.add("b.pdf", 2)
    add(world.index)
    for document in (kept, gone):
        look_at(world.index, document)
        world.index.commit_visual(document.sha256)
    world.index.delete_document(gone.sha256, force=True)
    assert world.index.store.count("pages", Where(lanes=("visual",))) == 2
    assert world.index.visual_progress() == VisualProgress(1, 0, 0)
    assert verify(world.index).findings == ()


class Killed(BaseException):
    pass


# Writes of a store, and within `create_lanes` what makes each lane on a server, and what settles them in the embedded store.
STEPS = ("_make_lane", "_configure", "delete_lane", "upsert", "update_points", "delete_payload_keys")


def killed_at(index: LibraryIndex, monkeypatch: pytest.MonkeyPatch, step: int, work: Callable[[], None]) -> bool:
    """Do `work`, killed before its `step`-th write, which is after the one before; False where it has not so many."""
    done = 0

    def counted(write: Callable[..., None]) -> Callable[..., None]:
        def run(*arguments: Any) -> None:
            nonlocal done
            done += 1
            if done == step:
                raise Killed
            write(*arguments)

        return run

    with monkeypatch.context() as patch:
        for name in filter(partial(hasattr, index.store), STEPS):
            patch.setattr(index.store, name, counted(getattr(index.store, name)))
        try:
            work()
        except Killed:
            return True
    return False


def test_adding_and_removing_are_repeatable_wherever_they_were_killed(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    document = world.add("a.pdf", 2)
    before = text_of(world.index)
    other = replace(MODEL, encoder="other/model")
    step = 1
    while True:
        killed = killed_at(world.index, monkeypatch, step, lambda: add(world.index))
        again = LibraryIndex(world.index.location, world.index.store, stored_settings(world.index))
        assert {finding.kind for finding in verify(again).findings} <= {"unfinished"}
        model = other if again.visual is None else MODEL  # the next one may well be another one's, if that was not added
        add(again, model)
        assert again.visual == model
        assert again.store.lanes().keys() == {"passages", "bm25", "visual", "visual_pooled"}
        look_at(again, document)
        again.commit_visual(document.sha256)
        assert verify(again).findings == ()
        assert text_of(again) == before
        again.remove_visual()
        world.index.settings = again.settings
        world.index.refresh()
        if not killed:
            break
        step += 1
    assert step > 2


def test_removing_is_repeatable_wherever_it_was_killed(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    document = world.add("a.pdf", 2)
    before = text_of(world.index)
    step = 1
    while True:
        add(world.index)
        look_at(world.index, document, [0])
        world.index.write_visual_failures([(PageRef(document, 1), failure_of(PageRef(document, 1)))])
        world.index.commit_visual(document.sha256)
        killed = killed_at(world.index, monkeypatch, step, world.index.remove_visual)
        again = LibraryIndex(world.index.location, world.index.store, stored_settings(world.index))
        assert {finding.kind for finding in verify(again).findings} <= {"unfinished"}
        if step % 2 and again.visual is None:  # what is left of it is in the way of no other model
            add(again, replace(MODEL, revision="other"))
            assert again.visual_owed(document.sha256, never) == frozenset({0, 1})
        elif step % 2 == 0:
            verify(again, repair=again.visual is None)
        again.remove_visual()
        assert again.store.lanes().keys() == {"passages", "bm25"}
        assert verify(again).findings == ()
        assert text_of(again) == before
        world.index.settings = again.settings
        world.index.refresh()
        if not killed:
            break
        step += 1
    assert step > 4


def stored_settings(index: LibraryIndex) -> Any:
    return read_settings(index.store.retrieve("documents", [settings_id()])[0].payload)


def test_another_model_or_revision_is_refused_by_name(world: Any) -> None:
    add(world.index)
    for other, said in (
        (replace(MODEL, encoder="org/other"), "encoder is 'org/model' in the index, asked for was 'org/other'"),
        (replace(MODEL, revision="def"), "revision is 'abc123' in the index, asked for was 'def'"),
        (replace(MODEL, settings={**MODEL.settings, "pooling": "hierarchical"}), "pooling is 'rows_columns' in the index"),
    ):
        for refused in (lambda other=other: add(world.index, other), lambda other=other: world.index.check_visual(other)):
            with pytest.raises(IndexMismatch, match=said) as caught:
                refused()
            assert "docrag delete --visual" in caught.value.hint
    world.index.check_visual(replace(MODEL, precision="float32"))
    world.index.add_visual(replace(MODEL, precision="float32"), "/moved/model", DIM, 700)
    assert (world.index.visual_model, world.index.visual) == ("/moved/model", MODEL)
    settings = world.index.settings
    check_same("x", settings, world.settings.lanes, world.settings.read)  # who asks for text only
    check_same("x", settings, [MODEL], None)
    check_same("x", settings, [*world.settings.lanes, MODEL], None)
    with pytest.raises(IndexMismatch, match="asked for was 'def'"):
        check_same("x", settings, [*world.settings.lanes, replace(MODEL, revision="def")], None)
    world.index.remove_visual()
    with pytest.raises(IndexMismatch, match="has no visual lane, asked for was one by org/model"):
        world.index.check_visual(MODEL)


def test_a_model_whose_pages_are_too_large_is_refused_when_it_is_chosen(world: Any) -> None:
    most = MAX_VECTOR_NUMBERS // DIM
    with pytest.raises(
        UsageError, match=rf"m gives a page up to {most + 1} vectors of 16 numbers, {(most + 1) * 16} in all"
    ) as caught:
        world.index.add_visual(MODEL, "m", DIM, most + 1)
    assert f"at most {most} vectors a page" in caught.value.hint
    with pytest.raises(UsageError, match="unknown quantization 'int8'"):
        world.index.add_visual(replace(MODEL, settings={"quantization": "int8"}), "m", DIM, 10)
    assert (world.index.visual, set(world.index.store.lanes())) == (None, {"passages", "bm25"})
    world.index.add_visual(replace(MODEL, settings={"quantization": "binary"}), "m", DIM, most)
    lanes = world.index.store.lanes()
    assert (lanes["visual"], lanes["visual_pooled"]) == (visual_schema(DIM, "binary"), visual_pooled_schema(DIM, "binary"))
    with pytest.raises(IndexMismatch, match="pools its visual vectors by None"):
        _ = world.index.pooling


def test_records_of_the_code_before_are_read_as_they_are(world: Any) -> None:
    """An index of issue 1: no `visual_model` among its settings, no `visual` in its records; equal fingerprints."""
    document = world.add("a.pdf", 2)
    old = settings_payload(world.index.settings)
    del old["visual_model"]
    settings = read_settings(old)
    assert settings == world.index.settings
    assert (settings.visual, settings.visual_model) == (None, "")
    [stored] = world.index.store.retrieve("documents", [document_id(document.sha256)])
    payload = {key: value for key, value in stored.payload.items() if key != "visual"}
    assert read_document(payload, "it") == world.index.document(document.sha256)
    world.index.store.upsert("documents", [Point(document_id(document.sha256), payload)])
    world.index.refresh()
    before = world.index.settings.fingerprint
    add(world.index)
    assert world.index.settings.fingerprint == before == world.index.document(document.sha256).fingerprint
    assert world.index.visual_owed(document.sha256, never) == frozenset({0, 1})


def test_a_reopened_index_has_its_lane(tmp_path: Any, settings: Any) -> None:
    location = str(tmp_path / "index")
    with LibraryIndex.create(location, settings) as index:
        add(index)
    with LibraryIndex.open(location, settings.lanes, settings.read) as index:
        assert (index.visual, index.visual_model) == (MODEL, "/models/model")
        assert index.store.lanes()["visual"] == visual_schema(DIM)
    LibraryIndex.open(location, [*settings.lanes, MODEL]).close()
    with pytest.raises(IndexMismatch, match="was made with another model: lane visual: revision is 'abc123'"):
        LibraryIndex.open(location, [*settings.lanes, replace(MODEL, revision="x")])
