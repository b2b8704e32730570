"""The index of a library: completeness, names, deletion, search, on both adapters; and where an index may be made."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docrag.errors import IndexDamaged, IndexFault, IndexLocked, IndexMismatch, IndexMissing, UsageError
from docrag.index.library_index import LibraryIndex
from docrag.index.location import MARKER
from docrag.index.pages import page_payload
from docrag.index.records import IndexSettings, document_id, settings_id
from docrag.index.store import LaneQuery, Point, Where
from docrag.types import Failure, PageRef, SparseVector


def ask(world: Any, terms: tuple[int, ...], limit: int = 10, where: Where | None = None) -> list[LaneQuery]:
    return [LaneQuery("bm25", SparseVector(terms, (1.0,) * len(terms)), limit, where or Where())]


def dense_of(world: Any, document: Any, page_index: int, limit: int) -> LaneQuery:
    """A query that a page's first passage answers best."""
    _, vectors = world.page(document, page_index)
    return LaneQuery("passages", vectors.passages[:1].astype(np.float32), limit)


def test_pages_are_found_once_their_document_is_committed(world: Any) -> None:
    document = world.add("a.pdf", record=False)
    query = dense_of(world, document, 1, 5)
    assert world.index.search([query]) == [[]]
    assert world.index.documents() == []
    record = world.index.commit_document(document)
    [hits] = world.index.search([query])
    assert hits[0].id == PageRef(document, 1).point_id
    assert hits[0].score == pytest.approx(1.0, abs=1e-3)
    assert hits[0].payload == {"document": document.sha256, "page_index": 1}
    assert len(hits) == 3
    assert (record.status, record.failures, record.unread_pages, record.lacked) == ("complete", (), (), frozenset())
    assert record.fingerprint == world.settings.fingerprint
    assert world.index.documents() == [record]
    assert world.index.document(document.sha256) == record


def test_unrecorded_pages_give_their_places_to_others(world: Any) -> None:
    """The best hits are of two interrupted documents: the answer is as long, and made of the third."""
    shown = world.add("shown.pdf", 4)
    hidden = [world.add(name, 5, record=False) for name in ("one.pdf", "two.pdf")]
    query = dense_of(world, hidden[0], 0, 4)
    for _ in range(2):
        [hits] = world.index.search([query])
        assert [hit.payload["document"] for hit in hits] == [shown.sha256] * 4
    world.index.commit_document(hidden[0])
    [hits] = world.index.search([query])
    assert hits[0].id == PageRef(hidden[0], 0).point_id
    assert hidden[1].sha256 not in {hit.payload["document"] for hit in hits}


def test_what_another_process_completes_is_found(world: Any) -> None:
    """Two indexes over one store, as two processes have them on a server."""
    document = world.add("a.pdf", record=False)
    other = LibraryIndex(world.index.location, world.index.store, world.index.settings)
    query = dense_of(world, document, 0, 5)
    assert other.search([query]) == [[]]
    world.index.commit_document(document)
    assert len(other.search([query])[0]) == 3


def test_a_document_is_committed_only_when_all_its_pages_are_written(world: Any) -> None:
    document = world.document("a.pdf", 4)
    world.index.write_pages([world.page(document, index) for index in (0, 1, 3)])
    assert world.index.count_pages(document.sha256) == 3
    assert world.index.written_pages(document.sha256) == {0: None, 1: None, 3: None}
    with pytest.raises(IndexFault, match="3 of its 4 pages are written, page 3 is not"):
        world.index.commit_document(document)
    failure = Failure("a.pdf", "read", "PdfCrash", "it hung", "try again", 3, "memory", True)
    world.index.write_failures([(PageRef(document, 2), failure)])
    assert world.index.written_pages(document.sha256)[2] == failure
    record = world.index.commit_document(document)
    assert (record.status, record.failures, record.lacked) == ("partial", (failure,), frozenset({"memory"}))
    world.index.write_pages([world.page(document, 2)])
    assert world.index.commit_document(document).status == "complete"
    assert world.index.count_pages(document.sha256) == 4


def test_the_record_tells_of_ocr_and_unread_pages(world: Any) -> None:
    document = world.document("scan.pdf", 3)
    pages = [world.page(document, index) for index in range(3)]
    read = replace(pages[1][0], text_source="ocr")
    empty = replace(pages[2][0], text="", word_boxes=np.zeros((0, 4), np.float32), text_source="none", passages=(), unread=True)
    world.index.write_pages([pages[0], (read, pages[1][1]), (empty, replace(pages[2][1], passages=None, bm25=None))])
    record = world.index.commit_document(document)
    assert (record.ocr_pages, record.unread_pages, record.lacked) == (1, (3,), frozenset({"tesseract"}))
    outline = world.index.outline(document.sha256)
    assert outline.page_labels == ("p1", "p2", "p3")
    assert outline.printed_numbers == ("7", "8", "9")
    assert outline.captions == {"table 2": (0, 1, 2)}


def test_pages_come_back_as_they_were_written(world: Any) -> None:
    document = world.add("a.pdf")
    ids = [PageRef(document, index).point_id for index in (2, 0)]
    contents = world.index.page_contents([*ids, PageRef(world.document("b.pdf"), 0).point_id])
    assert [content.page.page_index for content in contents] == [2, 0]
    for content in contents:
        written, vectors = world.page(document, content.page.page_index)
        assert content.page == written.page
        assert content.page.document.title == "Title of a.pdf"
        np.testing.assert_array_equal(content.word_boxes, written.word_boxes)
        assert content.passages[1].box == (0, 40, 100.13, 80)
        assert page_payload(content) == page_payload(written)
        stored = world.index.lane_vectors([content.page.point_id])[content.page.point_id]
        np.testing.assert_array_equal(stored, vectors.passages)


def test_vectors_must_belong_to_their_page(world: Any) -> None:
    document = world.document("a.pdf")
    (content, vectors), (_, others) = world.page(document, 0), world.page(document, 1)
    with pytest.raises(ValueError, match="vectors of page 2 written with page 1"):
        world.index.write_pages([(content, others)])
    with pytest.raises(ValueError, match="2 passages and 1 vectors"):
        world.index.write_pages([(content, replace(vectors, passages=vectors.passages[:1]))])
    assert world.index.count_pages(document.sha256) == 0


def test_a_changed_file_moves_its_name_and_the_old_document_goes(world: Any) -> None:
    old = world.add("a.pdf")
    new = world.add("a2.pdf")
    world.index.put_source(world.source("a.pdf", new, "2"))
    assert [record.document for record in world.index.documents()] == [new]
    assert world.index.count_pages(old.sha256) == 0
    assert not world.index.blobs.exists(old.sha256)
    assert world.index.names_of(new.sha256) == ["/library/a.pdf", "/library/a2.pdf"]
    assert world.index.source("/library/a.pdf").version == "2"


def test_a_document_stays_as_long_as_a_name_leads_to_it(world: Any) -> None:
    document = world.add("a.pdf")
    world.index.put_source(world.source("copy of a.pdf", document))
    with pytest.raises(UsageError, match=r"is named by /library/a\.pdf, /library/copy of a\.pdf"):
        world.index.delete_document(document.sha256)
    world.index.remove_source("/library/a.pdf")
    assert world.index.document(document.sha256) is not None
    world.index.remove_source("/library/copy of a.pdf")
    world.index.remove_source("/library/never there.pdf")
    assert world.index.document(document.sha256) is None
    assert world.index.count_pages(document.sha256) == 0
    assert world.index.blobs.hashes() == []


def test_forced_deletion_takes_the_names_too(world: Any) -> None:
    document, other = world.add("a.pdf"), world.add("b.pdf")
    world.index.delete_document(document.sha256, force=True)
    assert [source.name for source in world.index.sources()] == ["/library/b.pdf"]
    assert world.index.blobs.hashes() == [other.sha256]
    assert world.index.store.count("pages") == 3
    world.index.delete_document(document.sha256, force=True)


def test_a_name_can_not_lead_to_a_document_without_a_record(world: Any) -> None:
    document = world.add("a.pdf", record=False)
    with pytest.raises(IndexFault, match="has no record yet"):
        world.index.put_source(world.source("a.pdf", document))
    world.index.put_source(world.source("broken.pdf", None))
    [source] = world.index.sources()
    assert (source.document, source.failure.message) == (None, "no PDF")


def test_names_that_are_no_utf8_come_back_whole(world: Any) -> None:
    document = world.add("a.pdf")
    odd = b"/library/caf\xe9 \xff\n.pdf".decode("utf-8", "surrogateescape")
    world.index.put_source(replace(world.source("x", document), name=odd))
    world.index.refresh()
    assert world.index.names_of(document.sha256) == ["/library/a.pdf", odd]
    assert world.index.source(odd).name == odd
    content, vectors = world.page(document, 0, "lone \udc80 surrogate here")
    world.index.write_pages([(content, vectors)])
    assert world.index.page_contents([content.page.point_id])[0].text == "lone ? surrogate here"


def test_a_damaged_record_stops_nothing_else(world: Any) -> None:
    sound, broken = world.add("a.pdf"), world.add("b.pdf")
    id_ = document_id(broken.sha256)
    [point] = world.index.store.retrieve("documents", [id_])
    world.index.store.upsert("documents", [Point(id_, {**point.payload, "status": 3})])
    world.index.refresh()
    [error] = world.index.damaged_records
    assert f"the document record {id_} is damaged: 'status' is a int" in error.message
    assert "docrag verify --repair" in error.hint
    with pytest.raises(IndexDamaged, match="'status' is a int"):
        world.index.document(broken.sha256)
    [hits] = world.index.search([dense_of(world, broken, 0, 6)])
    assert {hit.payload["document"] for hit in hits} == {sound.sha256}
    world.index.commit_document(broken)
    assert world.index.damaged_records == ()
    assert len(world.index.search([dense_of(world, broken, 0, 6)])[0]) == 6


def test_a_damaged_page_names_itself(world: Any) -> None:
    document = world.add("a.pdf")
    content, _ = world.page(document, 1)
    payload = page_payload(content)
    for key, value, why in [
        ("word_boxes", "AAAA", "multiple of element size|must be a multiple|reshape"),
        ("word_boxes", "", r"expected \(4, 4\), got \(0, 4\)"),
        ("text", None, "'text' is a NoneType"),
        ("text_source", "guess", "'text_source' is 'guess'"),
        ("passages", [[0, 9, "text", [0, 0, 1, 1], ""]], "ends after the page's 4 words"),
        ("passages", [[0, 1]], "not enough values"),
        ("page_index", 7, "page_index is in 0..2"),
    ]:
        world.index.store.upsert("pages", [Point(content.page.point_id, {**payload, key: value})])
        with pytest.raises(IndexDamaged, match=rf"page \d of document {document.sha256[:12]} is damaged: .*({why})"):
            world.index.page_contents([content.page.point_id])


def test_reopening_finds_everything_again(tmp_path: Path, settings: IndexSettings, world: Any) -> None:
    document = world.add("a.pdf")
    before = (world.index.documents(), world.index.sources(), world.index.settings)
    if world.index.location == ":memory:":
        world.index.refresh()
        assert (world.index.documents(), world.index.sources(), world.index.settings) == before
        return
    world.index.close()
    with LibraryIndex.open(world.index.location, settings.lanes, settings.read) as again:
        assert (again.documents(), again.sources(), again.settings) == before
        assert again.blobs.path(document.sha256).read_bytes() == world.data("a.pdf")
        assert again.settings.created_at.endswith("+00:00")


def test_other_settings_are_refused_by_naming_both_sides(tmp_path: Path, settings: IndexSettings) -> None:
    location = str(tmp_path / "index")
    LibraryIndex.create(location, settings).close()
    passages, bm25 = settings.lanes
    other = replace(passages, revision="2", settings={"dim": 384, "window": 256}, precision="bfloat16")
    with pytest.raises(IndexMismatch) as caught:
        LibraryIndex.open(location, (other, bm25), replace(settings.read, ocr="never"))
    for text in (
        "ocr is 'auto' in the index, asked for was 'never'",
        "lane passages: revision is '1' in the index, asked for was '2'",
        "lane passages: window is None in the index, asked for was 256",
    ):
        assert text in caught.value.message
    assert "precision" not in caught.value.message
    with pytest.raises(IndexMismatch, match="it has the lanes bm25, passages, asked for were passages"):
        LibraryIndex.open(location, (passages,))
    LibraryIndex.open(location, (replace(passages, precision="bfloat16"), bm25), settings.read).close()
    LibraryIndex.open(location).close()


def test_where_an_index_may_be_made(tmp_path: Path, settings: IndexSettings) -> None:
    others = tmp_path / "others"
    (others / "pages").mkdir(parents=True)
    (others / "pages" / "mine.txt").write_text("mine")
    for make in (LibraryIndex.create, LibraryIndex.open_or_create):
        with pytest.raises(UsageError, match="is no index of docrag, and it is not empty: nothing was written"):
            make(str(others), settings)
    with pytest.raises(UsageError, match="is no index of docrag"):
        LibraryIndex.open(str(others))
    assert sorted(path.name for path in others.rglob("*")) == ["mine.txt", "pages"]
    with pytest.raises(UsageError, match="is a file, not a folder"):
        LibraryIndex.open_or_create(str(others / "pages" / "mine.txt"), settings)
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "nothing", tmp_path / "empty"):
        with pytest.raises(IndexMissing, match="there is no index at") as caught:
            LibraryIndex.open(str(nothing))
        assert "docrag ingest" in caught.value.hint
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(UsageError, match="needs a place for its PDFs"):
        LibraryIndex.create(":memory:", settings)
    with pytest.raises(UsageError, match="not a place for blobs"):
        LibraryIndex.create(str(tmp_path / "new"), replace(settings, blobs_url="nosuch://x"))
    assert not (tmp_path / "new").exists()


def test_a_place_for_pdfs_is_kept_as_an_absolute_path(
    tmp_path: Path, settings: IndexSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    LibraryIndex.create("index", replace(settings, blobs_url="pdfs")).close()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with LibraryIndex.open("../index") as index:
        index.blobs.put(hashlib.sha256(b"%PDF").hexdigest(), b"%PDF")
    assert len(list((tmp_path / "pdfs").rglob("*.pdf"))) == 1


def test_an_index_is_made_once(tmp_path: Path, settings: IndexSettings) -> None:
    location = str(tmp_path / "deep" / "index")
    LibraryIndex.open_or_create(location, settings).close()
    assert json.loads((Path(location) / MARKER).read_text()) == {"format": "docrag index"}
    with pytest.raises(UsageError, match="there is an index at"):
        LibraryIndex.create(location, settings)
    with LibraryIndex.open_or_create(location, settings) as index:
        with pytest.raises(IndexLocked, match="open in another process"):
            LibraryIndex.open(location)
        assert index.documents() == []


def test_a_creation_that_was_killed_is_taken_up(tmp_path: Path, settings: IndexSettings) -> None:
    """The child dies at each step of `create` in turn; the next one makes the index, and never one of foreign files."""
    location = tmp_path / "index"
    code = """
import os, sys
from docrag.index import edge, library_index
from docrag.index.library_index import LibraryIndex
from docrag.index.records import IndexSettings, ReadSettings
step = sys.argv[2]
if step == "before":
    edge.EdgeStore.create = lambda *a: os._exit(9)
elif step == "shards":
    library_index._write_settings = lambda *a: os._exit(9)
else:
    os.ftruncate = lambda *a: os._exit(9)
LibraryIndex.create(sys.argv[1], IndexSettings((), ReadSettings("auto", "eng", 150, 1)))
"""
    for step in ("before", "shards", "marker"):
        assert subprocess.run([sys.executable, "-c", code, str(location), step], check=False).returncode == 9
        assert not (location / MARKER).exists()
        with pytest.raises(IndexMissing):
            LibraryIndex.open(str(location))
    LibraryIndex.open_or_create(str(location), settings).close()
    assert sorted(path.name for path in location.iterdir()) == [MARKER, "documents", "pages"]


def test_an_index_without_its_settings_is_damaged(tmp_path: Path, settings: IndexSettings) -> None:
    location = str(tmp_path / "index")
    with LibraryIndex.create(location, settings) as index:
        index.store.delete("documents", [settings_id()])
    with pytest.raises(IndexDamaged, match="lost the record of its settings"):
        LibraryIndex.open(location)


def test_a_newer_schema_is_a_mismatch(tmp_path: Path, settings: IndexSettings) -> None:
    location = str(tmp_path / "index")
    LibraryIndex.create(location, replace(settings, schema_version=99)).close()
    with pytest.raises(IndexMismatch, match="has schema version 99, this docrag reads 1"):
        LibraryIndex.open(location)


def test_who_only_writes_pages_reads_the_records_of_their_documents_alone(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the memory of each writer on a cluster would grow with the index."""
    for number in range(3):
        world.add(f"{number}.pdf")
    document = world.document("a.pdf", 2)
    writer = LibraryIndex(world.index.location, world.index.store, world.index.settings)
    scroll, retrieve, asked = world.index.store.scroll, world.index.store.retrieve, list[str]()

    def scrolled(collection: str, *arguments: Any, **named: Any) -> Any:
        assert collection == "pages"
        return scroll(collection, *arguments, **named)

    def retrieved(collection: str, ids: Any, *arguments: Any, **named: Any) -> Any:
        asked.extend(ids if collection == "documents" else ())
        return retrieve(collection, ids, *arguments, **named)

    monkeypatch.setattr(world.index.store, "scroll", scrolled)
    monkeypatch.setattr(world.index.store, "retrieve", retrieved)
    writer.write_pages([world.page(document, index) for index in range(2)])
    writer.commit_document(document)
    assert set(asked) == {document_id(document.sha256)}
    monkeypatch.undo()
    assert len(writer.documents()) == 4
