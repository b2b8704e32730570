"""Names as people type them: full, by their end, as globs; and the shortest that is unique."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from docrag.errors import AmbiguousDocument, UnknownDocument
from docrag.index.names import resolve_names, short_names
from docrag.types import Failure
from tests.libraries import bring, open_index

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "abcdef12" * 8)
NAMES = {
    "/lib/2023/report.pdf": A,
    "/lib/2024/report.pdf": B,
    "/lib/slides [final].pdf": C,
    "/copies/slides [final].pdf": C,
    "https://example.com/x/отчёт.pdf": D,
}
HASHES = (A, B, C, D)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("/lib/2023/report.pdf", [A]),
        ("2024/report.pdf", [B]),
        ("slides [final].pdf", [C]),
        ("отчёт.pdf", [D]),
        ("*/report.pdf", [A, B]),
        ("20*/report.pdf", [A, B]),
        ("*", [C, A, B, D]),
        ("report.pd?", [A, B]),
        ("abcdef12", [D]),
        (B, [B]),
    ],
)
def test_a_pattern_means(pattern: str, expected: list[str]) -> None:
    assert resolve_names([pattern], NAMES, HASHES) == expected


def test_each_document_comes_once_in_the_order_of_the_patterns() -> None:
    assert resolve_names(["2024/report.pdf", "*/report.pdf", "2024/report.pdf"], NAMES, HASHES) == [B, A]
    assert resolve_names([], NAMES, HASHES) == []


def test_a_relative_path_is_taken_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    names = {os.fspath(tmp_path / "report.pdf"): A, os.fspath(tmp_path / "other" / "report.pdf"): B}
    assert resolve_names(["../report.pdf"], names, HASHES) == [A]


def test_an_ambiguous_end_lists_what_it_could_be() -> None:
    with pytest.raises(AmbiguousDocument) as caught:
        resolve_names(["report.pdf"], NAMES, HASHES)
    assert caught.value.message == "'report.pdf' means 2 documents: '/lib/2023/report.pdf', '/lib/2024/report.pdf'"
    with pytest.raises(AmbiguousDocument, match="begins 2 documents"):
        resolve_names(["12345678"], {}, ["12345678" * 8, "1234567890" + "0" * 54])


@pytest.mark.parametrize("pattern", ["eport.pdf", "nothing*", "", "/", "/lib", "abcdef1", "ffffffff", "report.pdf/"])
def test_an_unknown_name(pattern: str) -> None:
    with pytest.raises(UnknownDocument) as caught:
        resolve_names([pattern], NAMES, HASHES)
    assert caught.value.message == f"no document is called {pattern!r}"


def test_the_nearest_names_are_suggested() -> None:
    with pytest.raises(UnknownDocument) as caught:
        resolve_names(["2023/reprot.pdf"], NAMES, HASHES)
    assert caught.value.hint.startswith("did you mean 'report.pdf'")
    with pytest.raises(UnknownDocument) as caught:
        resolve_names(["zzz"], NAMES, HASHES)
    assert "docrag list" in caught.value.hint


def test_short_names_are_the_shortest_that_are_unique() -> None:
    assert short_names(NAMES) == {A: "2023/report.pdf", B: "2024/report.pdf", C: "slides [final].pdf", D: "отчёт.pdf"}
    assert short_names({"/a.pdf": A, "/x/a.pdf": B}) == {A: "/a.pdf", B: "x/a.pdf"}


def test_a_short_name_resolves_to_its_document() -> None:
    for sha256, name in short_names(NAMES).items():
        assert resolve_names([name], NAMES, HASHES) == [sha256]


def test_a_file_that_failed_is_told_with_why() -> None:
    failures = {
        "/lib/broken.pdf": Failure("/lib/broken.pdf", "open", "PdfUnreadable", "not a PDF", "get it again"),
        "/lib/2023/secret.pdf": Failure("/lib/2023/secret.pdf", "open", "PdfPassword", "it is encrypted"),
        "/lib/2024/secret.pdf": Failure("/lib/2024/secret.pdf", "open", "PdfPassword", "it is encrypted"),
    }
    with pytest.raises(UnknownDocument) as caught:
        resolve_names(["broken.pdf"], NAMES, HASHES, lambda: failures)
    assert caught.value.message == "'/lib/broken.pdf' could not be ingested: not a PDF"
    assert caught.value.hint == "get it again"
    for pattern in ("secret.pdf", "*/secret.*"):
        with pytest.raises(UnknownDocument, match=r"it is encrypted \(and 1 more of that name failed\)"):
            resolve_names([pattern], NAMES, HASHES, lambda: failures)
    with pytest.raises(UnknownDocument, match="no document is called"):
        resolve_names([""], NAMES, HASHES, lambda: failures)


def test_failures_are_not_read_where_a_document_is_meant() -> None:
    def read() -> dict[str, Failure]:
        raise AssertionError("read")

    assert resolve_names(["2024/report.pdf", "*/report.pdf"], NAMES, HASHES, read) == [B, A]


def test_an_index_tells_why_a_file_is_no_document(tmp_path: Path) -> None:
    broken = tmp_path / "broken.pdf"
    broken.write_bytes(b"no PDF")
    bring(tmp_path / "library", broken)
    with open_index(tmp_path / "library") as index, pytest.raises(UnknownDocument, match="could not be ingested") as caught:
        index.resolve_documents(["broken.pdf"])
    assert str(broken) in caught.value.message
