"""The bridge between a library and the evaluation, with the hash encoder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import docrag
from docrag.benchmark import BenchmarkOptions, evaluate
from docrag.client import Library
from docrag.errors import UsageError
from docrag.eval.predictions import read_predictions
from docrag.testing import HashEncoder
from tests.ingest import hostile


def sample(doc_id: str, question: str, answer: str, pages: str) -> dict[str, str]:
    kind = "None" if answer == "Not answerable" else "Int"
    sources = "[]" if kind == "None" else "['Pure-text (Plain-text)']"
    return {
        "doc_id": doc_id, "doc_type": "Report", "question": question, "answer": answer,
        "evidence_pages": pages, "evidence_sources": sources, "answer_format": kind,
    }  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("benchmark")
    documents = folder / "documents"
    documents.mkdir()
    hostile.text_pdf(documents / "boats.pdf", ["The harbour is old.", "It sold 470 boats in 2023.", "The sea was calm."])
    hostile.text_pdf(documents / "trains.pdf", ["The station is new.", "It sold 31 trains in 2023."])
    (documents / "broken.pdf").write_bytes(b"")
    samples = [
        sample("boats.pdf", "How many boats were sold?", "470", "[2]"),
        sample("trains.pdf", "How many trains were sold?", "31", "[2]"),
        sample("trains.pdf", "How many pilots were hired?", "Not answerable", "[]"),
        sample("broken.pdf", "How many were lost?", "7", "[1]"),
    ]
    (folder / "samples.json").write_text(json.dumps(samples))
    return folder


@pytest.fixture(scope="module")
def library(data: Path) -> Iterator[Library]:
    with docrag.open(data / "library", ocr="never", workers=1) as library:
        library.encoder = HashEncoder()  # type: ignore[assignment]
        library.ingest([data / "documents"])
        yield library


def test_every_question_is_asked_and_the_missing_document_counts_as_wrong(library: Library, data: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    summary = evaluate(library, data, tmp_path / "run", BenchmarkOptions(), lambda done, total: told.append((done, total)))
    assert summary.scores.questions == 4
    assert told == [(done, 4) for done in range(5)]
    predictions = read_predictions(tmp_path / "run" / "predictions.jsonl")
    assert [prediction.outcome == "failed" for prediction in predictions] == [False, False, False, True]
    assert [prediction.ranked_pages[:1] for prediction in predictions[:2]] == [(2,), (2,)]
    assert [prediction.document_pages for prediction in predictions] == [3, 2, 2, None]
    assert summary.scores.answerable.questions == 3
    assert summary.retrieval.mean("recall@1") == pytest.approx(2 / 3)
    config: Any = summary.config
    assert config["scope"] == "document"
    assert config["settings"]["reader"] == "quote"
    assert config["fingerprints"]["passages"]["weights_sha256"].startswith("53aa5117")


def test_library_scope_ranks_all_pages_and_asks_nobody_when_told(library: Library, data: Path, tmp_path: Path) -> None:
    options = BenchmarkOptions(scope="library", retrieval_only=True, limit=2)
    summary = evaluate(library, data, tmp_path / "run", options)
    assert (summary.scores.questions, summary.scores.scored, summary.scores.accuracy) == (2, 0, None)
    predictions = read_predictions(tmp_path / "run" / "predictions.jsonl")
    assert [prediction.answer for prediction in predictions] == [None, None]
    ranked = [prediction.ranked_library or () for prediction in predictions]
    assert [ranking[0] for ranking in ranked] == [("boats.pdf", 2), ("trains.pdf", 2)]
    assert {name for name, _ in ranked[0]} == {"boats.pdf", "trains.pdf"}
    assert summary.retrieval.mean("recall@1") == 1.0


def test_a_run_is_taken_up_only_when_told_and_only_with_its_settings(library: Library, data: Path, tmp_path: Path) -> None:
    first = evaluate(library, data, tmp_path, BenchmarkOptions())
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "predictions.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    with pytest.raises(UsageError):
        evaluate(library, data, tmp_path, BenchmarkOptions())
    with pytest.raises(UsageError):
        evaluate(library, data, tmp_path, BenchmarkOptions(scope="library", resume=True))
    again = evaluate(library, data, tmp_path, BenchmarkOptions(resume=True))
    assert again.to_json() == first.to_json()
    assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == 4


def test_documents_are_found_by_name_where_the_data_lies_elsewhere(library: Library, data: Path, tmp_path: Path) -> None:
    samples = tmp_path / "samples.json"
    samples.write_text((data / "samples.json").read_text())
    assert evaluate(library, samples, tmp_path / "run", BenchmarkOptions(limit=1)).retrieval.mean("recall@1") == 1.0


@pytest.mark.parametrize(("scope", "searches"), [("document", 1), ("library", 2)])
def test_a_question_is_searched_once_in_each_scope_and_its_time_counts_the_search(
    library: Library, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: Any, searches: int
) -> None:
    asked: list[int] = []
    search = library.index.search

    def slow(queries: Any) -> Any:
        time.sleep(0.05)
        asked.append(len(queries))
        return search(queries)

    monkeypatch.setattr(library.index, "search", slow)
    evaluate(library, data, tmp_path / "run", BenchmarkOptions(scope=scope, limit=2))
    assert len(asked) == 2 * searches
    predictions = read_predictions(tmp_path / "run" / "predictions.jsonl")
    assert [prediction.answer for prediction in predictions] == ["470", "31"]
    assert all(prediction.milliseconds >= 50 for prediction in predictions)


def test_an_unknown_reader_ends_a_run_before_it_begins(library: Library, data: Path, tmp_path: Path) -> None:
    with docrag.open(library.location, reader="nobody") as other:
        library.close()
        other.encoder = HashEncoder()  # type: ignore[assignment]
        with pytest.raises(UsageError, match="nobody"):
            evaluate(other, data, tmp_path / "run", BenchmarkOptions())
        assert not (tmp_path / "run").exists()
        assert evaluate(other, data, tmp_path / "run", BenchmarkOptions(retrieval_only=True, limit=1)).scores.questions == 1
