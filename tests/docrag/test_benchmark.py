"""The bridge between a library and the evaluation, with the hash encoder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import docrag
from docrag.benchmark import BenchmarkOptions, evaluate, page_rule, page_tokens
from docrag.client import Library
from docrag.errors import AmbiguousDocument, UsageError
from docrag.eval.benchmarks import get_benchmark
from docrag.eval.predictions import Prediction, read_predictions
from docrag.eval.record import read_run
from docrag.pipelines.prompts import PROMPTS_SHA256
from docrag.pipelines.tokens import QWEN2_VL, TokenRule
from docrag.testing import HashEncoder, ScriptedReader
from docrag.types import Context, Reading
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
    assert predictions[3].why.startswith(f"'{data}/documents/broken.pdf' could not be ingested: ")
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
    evaluate(library, data, tmp_path, BenchmarkOptions())
    first = (tmp_path / "scores.json").read_bytes()
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "predictions.jsonl").write_text("".join(lines[:2]) + lines[2][:20])
    with pytest.raises(UsageError):
        evaluate(library, data, tmp_path, BenchmarkOptions())
    with pytest.raises(UsageError):
        evaluate(library, data, tmp_path, BenchmarkOptions(scope="library", resume=True))
    evaluate(library, data, tmp_path, BenchmarkOptions(resume=True))
    assert (tmp_path / "scores.json").read_bytes() == first
    assert len((tmp_path / "predictions.jsonl").read_text().splitlines()) == 4


def test_a_run_goes_on_with_the_same_documents_only_wherever_they_lie(data: Path, tmp_path: Path) -> None:
    def go_on(index: Path, *more: Path) -> None:
        with docrag.open(index, ocr="never", workers=1) as library:
            library.encoder = HashEncoder()  # type: ignore[assignment]
            if more:
                library.ingest(more)
            evaluate(library, data, tmp_path / "run", BenchmarkOptions(limit=2, resume=True))

    go_on(tmp_path / "library", data / "documents" / "boats.pdf")
    (tmp_path / "library").rename(tmp_path / "moved")
    go_on(tmp_path / "moved")
    with pytest.raises(UsageError, match=r"library\.documents was 1 and is now 2; library\.sha256 was"):
        go_on(tmp_path / "moved", data / "documents" / "trains.pdf")


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


# --- what a run keeps ---


def test_a_run_says_what_it_was_made_of(library: Library, data: Path, tmp_path: Path) -> None:
    evaluate(library, data, tmp_path / "run", BenchmarkOptions())
    record = read_run(tmp_path / "run")
    assert record.config["benchmark"] == "mmlongbench-doc"
    assert record.config["form"].startswith("4 questions")
    assert (record.config["index"], record.config["data"]) == (str(data / "library"), str(data))
    assert (record.config["prompts_sha256"], record.config["concurrency"]) == (None, 1)  # quote reads no prompts
    assert record.config["image_rule"] == "MMLongBench"
    found = record.predictions[record.questions[0].question_id]
    assert found.read_pages == (1, 2, 3)
    assert len(found.read_tokens) == 3
    assert sum(found.read_tokens) == found.context_tokens <= found.budget_tokens == 32_768
    assert (found.rounds, found.trace["best"], found.response) == (1, "470", "")
    assert len(found.ranked_tokens) == len(found.ranked_pages) == 3


def test_a_page_is_counted_as_the_image_that_a_reader_would_be_shown() -> None:
    assert page_tokens(page_rule(None), 612, 792) == 28 * 22  # patches of 28 pixels: 784 x 616
    assert page_tokens(page_rule(TokenRule(None, len)), 612, 792) == 28 * 22
    assert page_tokens(page_rule(TokenRule(QWEN2_VL, len, 2)), 792, 612) == 28 * 22 + 2
    with pytest.raises(UsageError, match="sees no images"):
        page_tokens(TokenRule(None, len), 612, 792)


def test_a_document_is_named_the_same_whatever_was_asked_before(library: Library, data: Path, tmp_path: Path) -> None:
    """Not only from the question on that names it: a run that is taken up would differ from one left alone."""
    options = BenchmarkOptions(scope="library", retrieval_only=True)
    evaluate(library, data, tmp_path, options)
    first = read_run(tmp_path).predictions
    lines = (tmp_path / "predictions.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "predictions.jsonl").write_text("".join(lines[1:]))
    evaluate(library, data, tmp_path, BenchmarkOptions(scope="library", retrieval_only=True, resume=True))
    again = read_run(tmp_path).predictions
    assert [again[id_].ranked_library for id_ in first] == [made.ranked_library for made in first.values()]
    assert {name for name, _ in first[next(iter(first))].ranked_library or ()} == {"boats.pdf", "trains.pdf"}


def test_questions_of_ones_own_may_name_no_document(library: Library, data: Path, tmp_path: Path) -> None:
    questions = [
        {"question": "How many trains were sold?", "answer": 31},
        {"question": "How many trains were sold?", "answer": 31, "document": "trains.pdf", "evidence_pages": [2]},
        {"question": "How many were lost?", "answer": 7, "document": "nowhere.pdf"},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(question) + "\n" for question in questions))
    evaluate(library, path, tmp_path / "run", BenchmarkOptions(), benchmark=get_benchmark("questions"))
    record = read_run(tmp_path / "run")
    over_all, inside, nowhere = (record.predictions[question.question_id] for question in record.questions)
    assert record.config["benchmark"] == "questions"
    assert (over_all.ranked_pages, over_all.document_pages) == ((), None)
    assert over_all.ranked_library is not None
    assert over_all.ranked_library[0][1] == 2
    assert over_all.ranked_library[0][0].endswith("trains.pdf")
    assert {name.rpartition("/")[2] for name in over_all.read_documents} == {"boats.pdf", "trains.pdf"}
    assert (len(over_all.read_documents), inside.read_documents) == (len(over_all.read_pages), ())
    assert (inside.ranked_pages[0], inside.ranked_library, inside.answer) == (2, None, "31")
    assert (nowhere.outcome, nowhere.has_no_document) == ("failed", True)
    assert nowhere.why == "no document is called 'nowhere.pdf'"
    before = (tmp_path / "run" / "predictions.jsonl").read_bytes()
    evaluate(library, path, tmp_path / "run", BenchmarkOptions(resume=True), benchmark=get_benchmark("questions"))
    assert (tmp_path / "run" / "predictions.jsonl").read_bytes() == before


def test_a_document_that_may_be_several_ends_a_run_before_it_begins(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(json.dumps({"question": "How many?", "answer": 31, "document": "*.pdf"}) + "\n")
    with pytest.raises(AmbiguousDocument, match=r"'\*\.pdf' means 2 documents, one is wanted"):
        evaluate(library, path, tmp_path / "run", BenchmarkOptions(), benchmark=get_benchmark("questions"))
    assert not (tmp_path / "run").exists()


# --- several questions at once ---


@pytest.fixture
def many(data: Path, tmp_path: Path) -> Path:
    """Sixty questions about the two documents."""
    folder = tmp_path / "many"
    folder.mkdir()
    (folder / "documents").symlink_to(data / "documents")
    samples = [
        sample(f"{what}.pdf", f"How many {what} were sold in {2023 - number}?", "470", "[2]")
        for number in range(30)
        for what in ("boats", "trains")
    ]
    (folder / "samples.json").write_text(json.dumps(samples))
    return folder


def test_readers_work_at_the_same_time_and_the_index_is_used_by_one(
    library: Library, data: Path, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four questions meet at the reader, which can be passed only together; in the index no two ever do."""
    together = threading.Barrier(4, timeout=20)

    def read(question: str, context: Context) -> Reading:
        together.wait()
        return Reading("answered", str(len(context.evidence)), 0.5)

    reader = ScriptedReader([read], TokenRule(QWEN2_VL, len))
    monkeypatch.setattr("docrag.client.open_reader", lambda spec, settings: reader)
    library.close()
    with docrag.open(library.location, reader="openai:scripted", budget_tokens=4_000, workers=1) as served:
        served.encoder = HashEncoder()  # type: ignore[assignment]
        alone = OneThread()
        for name in ("search", "page_contents", "document", "lane_vectors"):
            monkeypatch.setattr(served.index, name, alone.guard(getattr(served.index, name)))
        summary = evaluate(served, many, tmp_path / "run", BenchmarkOptions(limit=20))
    assert summary.scores.questions == 20
    record = read_run(tmp_path / "run")
    assert (record.config["concurrency"], record.config["prompts_sha256"]) == (4, PROMPTS_SHA256)
    assert record.config["image_rule"] == QWEN2_VL.name
    assert {made.answer for made in record.predictions.values()} <= {"2", "3"}
    assert any(image is not None for images in reader.images for image in images)


class OneThread:
    """Wraps functions that may call each other, but of which two threads must never be in any at the same time."""

    def __init__(self) -> None:
        self._alone = threading.RLock()

    def guard(self, function: Any) -> Any:
        def called(*arguments: Any) -> Any:
            assert self._alone.acquire(blocking=False), f"{function} was called while another thread was in the index"
            try:
                time.sleep(0.001)  # so that another thread gets the chance
                return function(*arguments)
            finally:
                self._alone.release()

        return called


def test_a_model_of_this_process_is_not_asked_by_several_threads(library: Library, data: Path, tmp_path: Path) -> None:
    library.close()
    with (
        docrag.open(library.location, reader="hf:tiny") as local,
        pytest.raises(UsageError, match="reads one question at a time, got a concurrency of 2"),
    ):
        evaluate(local, data, tmp_path / "run", BenchmarkOptions(concurrency=2))


KILLED_RUN = """
import sys, docrag
from pathlib import Path
from docrag.benchmark import BenchmarkOptions, evaluate
from docrag.testing import HashEncoder

library, data, out, concurrency = sys.argv[1:]
with docrag.open(library, workers=1) as opened:
    opened.encoder = HashEncoder()
    evaluate(opened, Path(data), Path(out), BenchmarkOptions("library", resume=True, concurrency=int(concurrency)))
"""


def test_killed_five_times_with_a_real_library_it_ends_as_if_left_alone(library: Library, many: Path, tmp_path: Path) -> None:
    library.close()

    def start(name: str, concurrency: int) -> subprocess.Popen[bytes]:
        arguments = [library.location, str(many), str(tmp_path / name), str(concurrency)]
        return subprocess.Popen([sys.executable, "-c", KILLED_RUN, *arguments])

    assert start("alone", 1).wait(60) == 0
    predictions = tmp_path / "killed" / "predictions.jsonl"
    lines = 0
    for _ in range(5):
        process = start("killed", 3)
        deadline = time.monotonic() + 30
        while count_lines(predictions) < lines + 8 and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        lines = count_lines(predictions)
    assert lines < 60
    assert start("killed", 3).wait(60) == 0
    assert (tmp_path / "killed" / "scores.json").read_bytes() == (tmp_path / "alone" / "scores.json").read_bytes()
    alone, killed = (read_run(tmp_path / name).predictions for name in ("alone", "killed"))
    assert {id_: timeless(made) for id_, made in killed.items()} == {id_: timeless(made) for id_, made in alone.items()}


def count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def timeless(made: Prediction) -> Prediction:
    return replace(made, milliseconds=0.0)
