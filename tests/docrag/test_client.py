"""The Python door on the embedded index, with the hash encoder."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import docrag
from docrag.client import Library
from docrag.errors import (
    AmbiguousDocument,
    IndexLocked,
    IndexMismatch,
    IndexMissing,
    PdfPassword,
    UnknownDocument,
    UsageError,
)
from docrag.testing import HashEncoder
from docrag.types import Tally
from tests.ingest import hostile


def hashed(location: Path, **settings: Any) -> Library:
    """A library that loads no model."""
    library = docrag.open(location, **{"ocr": "never", "workers": 1, **settings})
    library.encoder = HashEncoder()  # type: ignore[assignment]
    return library


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client")
    hostile.text_pdf(folder / "fruit.pdf", ["Apples are red.", "Bananas are yellow.", "Cherries are small."])
    hostile.broken_page_pdf(folder / "broken.pdf")
    hostile.encrypted_pdf(folder / "vault.pdf", "Nine coins.", "sesame")
    return folder


@pytest.fixture(scope="module")
def location(files: Path) -> Path:
    with hashed(files / "library") as library:
        report = library.ingest([files], password="sesame")
    assert (report.documents, report.pages) == (Tally(ok=3), Tally(ok=6, failed=1))
    return files / "library"


def test_a_library_is_made_by_the_first_ingest(tmp_path: Path, files: Path) -> None:
    with hashed(tmp_path / "new") as library:
        for use in (library.documents, lambda: library.search("x"), lambda: library.ask("x"), lambda: library.delete(["x"])):
            with pytest.raises(IndexMissing, match=f"^there is no index at {re.escape(str(tmp_path))}/new"):
                use()
        assert not (tmp_path / "new").exists()
        library.ingest([str(files / "fruit.pdf")])
        assert [record.document.pages for record in library.documents()] == [3]


def test_search_and_ask(location: Path) -> None:
    with hashed(location) as library:
        hits = library.search("yellow bananas")
        assert len(hits) == 5
        assert (hits[0].name, hits[0].page.page_number, hits[0].snippet) == ("fruit.pdf", 2, "Bananas are yellow.")
        assert list(hits) == sorted(hits, key=lambda hit: -hit.score)
        assert [hit.page.page_number for hit in library.search("small cherries", ["fruit.pdf"], k=1)] == [3]
        answer = library.ask("Which colour are bananas?", ["fruit.pdf"], budget_tokens=500)
        assert (answer.reader, answer.context.budget) == ("quote", 500)
        assert answer.hits[0].page.page_number == 2


def test_names_may_be_full_short_relative_globs_or_digits(location: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(files)
    with hashed(location) as library:
        sha256 = library.document("fruit.pdf").document.sha256
        for name in (str(files / "fruit.pdf"), "./fruit.pdf", f"{files.name}/fruit.pdf", "fr*", sha256, sha256[:8]):
            assert library.document(name).document.sha256 == sha256
        assert {hit.name for hit in library.search("are", ["fr*", "vault.pdf"])} == {"fruit.pdf", "vault.pdf"}
        with pytest.raises(UnknownDocument, match=r"^no document is called 'fruits\.pdf'\n  did you mean 'fruit\.pdf'"):
            library.search("x", ["fruits.pdf"])
        with pytest.raises(UnknownDocument, match=r"^no document is called ''"):
            library.search("x", [""])
        with pytest.raises(AmbiguousDocument, match=r"^'\*\.pdf' means 3 documents, one is wanted"):
            library.page("*.pdf", 1)


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda library: library.search(""), "the question is empty"),
        (lambda library: library.ask(" "), "the question is empty\n  ask something"),
        (lambda library: library.search("x", k=0), "k is the number of pages to find, 1 or more, got 0"),
        (lambda library: library.ask("x", budget_tokens=0), "budget_tokens must be positive, got 0"),
        (lambda library: library.ask("x", budget_tokens="9"), "budget_tokens must be of type int, got '9'"),
        (lambda library: library.ask("x", reader="oracle"), "no reader is called 'oracle'"),
        (lambda library: library.search("x", "fruit.pdf"), "documents is a list of names, got one text"),
        (lambda library: library.delete("fruit.pdf"), "documents is a list of names, got one text\n  write ['fruit.pdf']"),
        (lambda library: library.ingest("fruit.pdf"), "sources is a list of names, got one"),
        (lambda library: library.ingest([]), "no source is named"),
        (lambda library: library.page("fruit.pdf", 0), "there is no page 0"),
        (lambda library: library.page("fruit.pdf", 4), "there is no page 4"),
        (
            lambda library: library.page("broken.pdf", 2),
            "page 2 of 'broken.pdf' could not be read at ingest: nothing of the page",
        ),
    ],
)
def test_what_makes_no_sense(location: Path, use: Any, message: str) -> None:
    with hashed(location) as library, pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        use(library)


def test_wrong_settings_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="k must be of type int, got '5'"):
        docrag.open(tmp_path, k="5")
    with pytest.raises(UsageError, match="unknown setting colour"):
        docrag.open(tmp_path, colour="red")
    with pytest.raises(UsageError, match="the index has no name"):
        docrag.open("")


def test_pages_and_their_pictures(location: Path) -> None:
    with hashed(location) as library:
        assert library.page("fruit.pdf", 2).text == "Bananas are yellow."
        assert library.page("vault.pdf", 1).text == "Nine coins."
        assert library.page_image("fruit.pdf", 2, long_side_px=200).startswith(b"\x89PNG")
        with pytest.raises(PdfPassword, match=r"^it is encrypted\n"):
            library.page_image("vault.pdf", 1)
        assert library.page_image("vault.pdf", 1, long_side_px=200, password="sesame").startswith(b"\x89PNG")
        with pytest.raises(UsageError, match=r"^there is no page 4\n  fruit\.pdf has pages 1 to 3$"):
            library.page_image("fruit.pdf", 4)


def test_a_library_is_let_go_of_whatever_happens(location: Path) -> None:
    for _ in range(2):
        with pytest.raises(UnknownDocument), hashed(location) as library:
            library.search("x", ["nothing like it"])
    with hashed(location, ocr="always") as other, pytest.raises(IndexMismatch):
        other.ingest(["x.pdf"])
    with hashed(location) as library:
        assert len(library.documents()) == 3
        with hashed(location) as second, pytest.raises(IndexLocked):
            second.documents()
        library.close()
        library.close()
        with hashed(location) as second:
            assert len(second.documents()) == 3
        assert len(library.documents()) == 3  # opened again when it is needed


def test_an_index_keeps_the_settings_that_it_was_made_with(
    tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hashed(tmp_path, ocr_dpi=100) as library:
        library.ingest([files / "fruit.pdf"])
    with docrag.open(tmp_path) as library:
        assert len(library.documents()) == 1
        assert (library.config.ocr, library.config.ocr_dpi) == ("never", 100)
    with (
        docrag.open(tmp_path, ocr="auto") as library,
        pytest.raises(IndexMismatch, match=r"made with other settings: ocr is 'never' in the index, asked for was 'auto'"),
    ):
        library.ingest([files / "fruit.pdf"])
    with (
        hashed(tmp_path, ocr_dpi=100) as library,
        pytest.raises(IndexMismatch, match="keeps its PDFs in its own folder, not in"),
    ):
        Library(str(tmp_path), blobs="elsewhere").ingest(["x.pdf"])
    monkeypatch.setenv("DOCRAG_OCR_DPI", "200")
    with docrag.open(tmp_path) as library, pytest.raises(IndexMismatch, match="ocr_dpi is 100 in the index, asked for was 200"):
        library.ingest([files / "fruit.pdf"])


def test_the_same_place_for_blobs_may_be_named_again(tmp_path: Path, files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for skipped in (0, 1):
        with hashed(tmp_path / "index", blobs="kept", ocr="never") as library:
            assert library.ingest([files / "fruit.pdf"]).documents.skipped == skipped
    assert list((tmp_path / "kept").rglob("*.pdf"))


def test_a_wrong_language_makes_no_index(tmp_path: Path, files: Path) -> None:
    from docrag.ingest.ocr import tesseract_available

    if not tesseract_available():
        pytest.skip("Tesseract is not installed")
    with docrag.open(tmp_path / "new", lang="xyz") as library, pytest.raises(UsageError, match="Tesseract has no language xyz"):
        library.ingest([files / "fruit.pdf"])
    assert not (tmp_path / "new").exists()


def test_delete_takes_document_names_and_pdf(tmp_path: Path, files: Path) -> None:
    with hashed(tmp_path / "library") as library:
        library.ingest([files / "fruit.pdf", files / "broken.pdf"])
        assert library.delete(["fruit.pdf"]) == [str(files / "fruit.pdf")]
        with pytest.raises(UnknownDocument):
            library.delete(["fruit.pdf"])
        assert [hit.name for hit in library.search("yellow bananas")] == ["broken.pdf", "broken.pdf"]
        assert len(library.index.blobs.hashes()) == 1
        report = library.verify()
        assert (report.documents, report.pages, report.blobs, report.findings) == (1, 3, 1, ())
        assert library.ingest([files / "fruit.pdf"]).documents == Tally(ok=1)


def test_an_empty_library_answers_nothing(tmp_path: Path, files: Path) -> None:
    with hashed(tmp_path / "library") as library:
        assert library.ingest([files / "gone.pdf"]).documents == Tally(failed=1)
        assert (library.documents(), library.search("anything")) == ([], ())
        assert library.ask("anything").outcome == "not_answerable"


def test_vectors_are_those_of_the_encoder(location: Path) -> None:
    with hashed(location) as library:
        hit = library.search("Apples are red.", k=1)[0]
        vectors = library.index.lane_vectors([hit.page.point_id])[hit.page.point_id]
    np.testing.assert_allclose(vectors, HashEncoder().encode(["Apples are red."]), atol=1e-3)
