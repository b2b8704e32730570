"""What the benchmarks on Ray stand on, apart from Ray: documents that are made, seconds that are told apart, one run here."""

from __future__ import annotations

import time
from pathlib import Path

import pymupdf
import pytest

from bench.common import python
from bench.ray_account import Account
from bench.ray_cluster import output_of
from bench.tiny_pdfs import tiny_pdf, write_pdfs
from docrag.index.library_index import LibraryIndex


def test_a_tiny_pdf_has_the_pages_and_words_that_were_asked_for() -> None:
    with pymupdf.open(stream=tiny_pdf(7, pages=3, words=25), filetype="pdf") as document:
        texts = [page.get_text() for page in document]
    assert [text.splitlines()[0] for text in texts] == [f"Document 7 page {number}:" for number in (1, 2, 3)]
    assert [len(text.split()) for text in texts] == [4 + 25] * 3


def test_the_same_number_gives_the_same_document_and_another_another(tmp_path: Path) -> None:
    write_pdfs(tmp_path, range(2), pages=1)
    first, second = ((tmp_path / f"00000{number}.pdf").read_bytes() for number in range(2))
    assert first == tiny_pdf(0, 1, 30) != second


def test_what_runs_inside_of_something_else_counts_for_itself_alone() -> None:
    account = Account()
    with account.on("outer"):
        account.wrap(time.sleep, "inner")(0.05)
    assert account.spent["inner"] == pytest.approx(0.05, abs=0.04)
    assert account.spent["outer"] < 0.04


def test_the_driver_ingests_on_this_machine(tmp_path: Path) -> None:
    write_pdfs(tmp_path / "pdfs", range(3), pages=2)
    told = output_of(
        python("bench.ray_driver", tmp_path / "pdfs", "--index", tmp_path / "index", "--here", "--encoder", "null")
    )
    assert told["pages"]["ok"] == 6
    with LibraryIndex.open(str(tmp_path / "index")) as index:
        assert len(index.documents()) == 3
    with pytest.raises(RuntimeError, match="ended with 2"):
        output_of(python("bench.ray_driver", tmp_path / "pdfs", "--index", tmp_path / "pdfs", "--here"))
