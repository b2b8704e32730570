"""Damage of every kind is found, named and repaired; what an interrupted ingest leaves is told apart."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from docrag.errors import EnvironmentFault
from docrag.index.pages import page_payload
from docrag.index.records import document_id, source_id, source_payload
from docrag.index.store import Point
from docrag.index.verify import verify
from docrag.types import Failure, PageRef


def kinds(report: Any) -> list[str]:
    return sorted(finding.kind for finding in report.findings)


def test_a_sound_index_has_nothing_to_report(world: Any) -> None:
    world.add("a.pdf")
    world.add("b.pdf", 2)
    world.index.put_source(world.source("broken.pdf", None))
    report = verify(world.index)
    assert (report.documents, report.pages, report.blobs, report.findings, report.ingest_again) == (2, 5, 2, (), ())
    assert verify(world.index, repair=True).to_json() == {
        "documents": 2, "pages": 5, "blobs": 2, "findings": [], "repaired": 0, "ingest_again": [],
    }  # fmt: skip


def lose_a_page(world: Any, document: Any) -> None:
    world.index.store.delete("pages", [PageRef(document, 1).point_id])


def damage_a_page(world: Any, document: Any) -> None:
    content, _ = world.page(document, 1)
    world.index.store.upsert("pages", [Point(content.page.point_id, {**page_payload(content), "word_boxes": "?"})])


def lose_a_row(world: Any, document: Any) -> None:
    content, vectors = world.page(document, 1)
    world.index.store.upsert("pages", [Point(content.page.point_id, page_payload(content), {"passages": vectors.passages[:1]})])


def swap_ids(world: Any, document: Any) -> None:
    content, vectors = world.page(document, 1)
    point = Point(PageRef(document, 2).point_id, page_payload(content), {"passages": vectors.passages})
    world.index.store.upsert("pages", [point])


def damage_the_record(world: Any, document: Any) -> None:
    world.index.store.upsert("documents", [Point(document_id(document.sha256), {"kind": "document"})])


def lose_the_record(world: Any, document: Any) -> None:
    world.index.store.delete("documents", [document_id(document.sha256)])


def damage_the_name(world: Any, document: Any) -> None:
    payload = source_payload(world.source("a.pdf", document))
    world.index.store.upsert("documents", [Point(source_id("/library/a.pdf"), {**payload, "size": "12"})])


def add_a_strange_record(world: Any, document: Any) -> None:
    world.index.store.upsert("documents", [Point(document_id("strange"), {"kind": "strange"})])


@pytest.mark.parametrize(
    ("damage", "expected", "again"),
    [
        (lose_a_page, ["missing_pages"], True),
        (damage_a_page, ["damaged_page"], True),
        (lose_a_row, ["damaged_page"], True),
        (swap_ids, ["damaged_page"], True),
        (damage_the_record, ["damaged_record", "dangling_source", "unfinished"], True),
        (lose_the_record, ["dangling_source", "unfinished"], True),
        (damage_the_name, ["damaged_record", "unfinished"], False),
        (add_a_strange_record, ["damaged_record"], False),
    ],
)
def test_damage_is_found_repaired_and_brought_back_by_ingest(
    world: Any, damage: Callable[[Any, Any], None], expected: list[str], again: bool
) -> None:
    document = world.add("a.pdf")
    other = world.add("b.pdf")
    before = verify(world.index)
    damage(world, document)
    world.index.refresh()
    report = verify(world.index)
    assert kinds(report) == expected
    assert report.repaired == 0
    assert report.ingest_again == (("/library/a.pdf",) if again else ())
    repaired = verify(world.index, repair=True)
    assert (repaired.findings, repaired.repaired, repaired.ingest_again) == (
        report.findings,
        len(expected),
        report.ingest_again,
    )
    assert verify(world.index).damages == ()
    assert other.sha256 in {record.document.sha256 for record in world.index.documents()}
    world.add("a.pdf")
    assert verify(world.index) == before


def test_a_missing_pdf_keeps_its_document_and_marks_its_name(world: Any) -> None:
    document = world.add("a.pdf")
    world.index.blobs.delete(document.sha256)
    report = verify(world.index, repair=True)
    assert kinds(report) == ["missing_blob"]
    assert report.ingest_again == ("/library/a.pdf",)
    assert world.index.source("/library/a.pdf").version == ""
    assert world.index.document(document.sha256) is not None
    world.index.blobs.put(document.sha256, world.data("a.pdf"))
    world.index.put_source(world.source("a.pdf", document))
    assert verify(world.index).findings == ()


def test_a_pdf_with_other_bytes_goes(world: Any) -> None:
    document = world.add("a.pdf")
    path = world.index.blobs.path(document.sha256)
    path.write_bytes(b"other")
    assert kinds(verify(world.index, repair=True)) == ["damaged_blob"]
    assert not path.exists()
    assert kinds(verify(world.index)) == ["missing_blob"]


def test_what_interrupted_work_leaves_is_no_damage(world: Any) -> None:
    world.add("a.pdf", record=False)
    world.index.commit_document(world.add("b.pdf", record=False))
    orphan = world.document("c.pdf")
    world.index.blobs.put(orphan.sha256, world.data("c.pdf"))
    report = verify(world.index)
    assert kinds(report) == ["orphan_blob", "unfinished", "unfinished"]
    assert report.damages == ()
    assert verify(world.index, repair=True).repaired == 3
    empty = verify(world.index)
    assert (empty.documents, empty.pages, empty.blobs, empty.findings) == (0, 0, 0, ())


def test_infinity_in_a_vector_is_found(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store refuses it, but an index may have been written by something else; not over REST: JSON has no such number."""
    document = world.add("a.pdf")
    content, vectors = world.page(document, 0)
    bad = vectors.passages.copy()
    bad[1, 5] = np.inf
    monkeypatch.setattr(sys.modules[type(world.index.store).__module__], "check_point", lambda point, lanes: None)
    point = Point(content.page.point_id, page_payload(content), {"passages": bad})
    if world.is_served:
        with pytest.raises(EnvironmentFault, match="answered 400"):
            world.index.store.upsert("pages", [point])
        return
    world.index.store.upsert("pages", [point])
    [finding] = verify(world.index).findings
    assert finding.kind == "damaged_page"
    assert finding.what == f"page 1 of document {document.sha256[:12]} is damaged: its vectors hold NaN or infinity"


def test_a_failed_page_and_a_page_without_text_are_sound(world: Any) -> None:
    document = world.document("a.pdf", 2)
    world.index.blobs.put(document.sha256, world.data("a.pdf"))
    world.index.write_failures([(PageRef(document, 0), Failure("a.pdf", "read", "PdfCrash", "it hung", page_number=1))])
    content, vectors = world.page(document, 1)
    blank = replace(content, text="", word_boxes=np.zeros((0, 4), np.float32), text_source="none", passages=())
    world.index.write_pages([(blank, replace(vectors, passages=None, bm25=None))])
    world.index.commit_document(document)
    world.index.put_source(world.source("a.pdf", document))
    assert verify(world.index).findings == ()
