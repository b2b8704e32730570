"""A benchmark run with a scripted answerer and real files: figures, resume after a kill, refusals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import docrag
from docrag.errors import EnvironmentFault, UsageError
from docrag.eval.mmlongbench import Question, question_ids
from docrag.eval.predictions import Prediction, read_predictions
from docrag.eval.run import RunConfig, git_commit, run_benchmark
from docrag.eval.scoring import score_predictions
from docrag.eval.submissions import load_items
from docrag.eval.summary import Summary
from docrag.types import NOT_ANSWERABLE, Citation

CONFIG = RunConfig(settings={"reader": "quote", "k": 5}, fingerprints={"bm25": "b1"})
FILES = ["config.json", "predictions.jsonl", "summary.json", "summary.md"]


def make_questions() -> tuple[Question, ...]:
    rows = [
        ("a.pdf", "Which colour?", "red", (2,), ("Table",)),
        ("a.pdf", "Which shape?", "round", (2, 4), ("Figure",)),
        ("b.pdf", "Which size?", NOT_ANSWERABLE, (), ()),
        ("b.pdf", "Which taste?", "sweet", (1, 99), ("Table", "Chart|Map")),
        ("c.pdf", "Which price?", "cheap", (3,), ("Table",)),
    ]
    ids = question_ids([(row[0], row[1]) for row in rows])
    return tuple(
        Question(
            question_id,
            doc_id,
            f"Type {doc_id[0]}",
            text,
            answer,
            pages,
            sources,
            "None" if answer == NOT_ANSWERABLE else "Str",
        )
        for question_id, (doc_id, text, answer, pages, sources) in zip(ids, rows, strict=True)
    )


QUESTIONS = make_questions()
ANSWERS = {"Which colour?": "red", "Which shape?": NOT_ANSWERABLE, "Which size?": NOT_ANSWERABLE, "Which taste?": "sweet"}


def answer(question: Question) -> Prediction:
    """Right but for one refusal; c.pdf could not be ingested; ranks pages 1, 2, 3, 4."""
    if question.doc_id == "c.pdf":
        return Prediction.failed(question.question_id)
    text = ANSWERS[question.question]
    return Prediction(
        question_id=question.question_id,
        answer=text,
        outcome="not_answerable" if text == NOT_ANSWERABLE else "answered",
        confidence=0.5,
        document_pages=10,
        ranked_pages=(1, 2, 3, 4),
        ranked_library=(("c.pdf", 1), (question.doc_id, 2)),
        citations=(Citation(question.doc_id, 2, "ii", "it is\n“red”", (1.0, 2.0, 3.5, 4.0), True),) if text == "red" else (),
        milliseconds=12.5,
    )


def run(out_dir: Path, answerer: Callable[[Question], Prediction] = answer, config: RunConfig = CONFIG, **rest: Any) -> Summary:
    return run_benchmark(QUESTIONS, answerer, out_dir, config, **rest)


def unasked(question: Question) -> Prediction:
    raise AssertionError(f"asked again: {question.question}")


def test_a_run_counts_every_question(tmp_path: Path) -> None:
    summary = run(tmp_path / "run")
    data = summary.to_json()
    assert (data["questions"], data["scored"]) == (5, 5)
    assert data["accuracy"] == pytest.approx(3 / 5)  # the failed document's question counts, as wrong
    assert data["answerable"] == pytest.approx(2 / 4)
    assert data["unanswerable"] == 1.0
    recall, precision = 2 / 4, 2 / 3
    assert data["f1"] == pytest.approx(2 * recall * precision / (recall + precision))
    assert data["by_doc_type"] == {"Type a": 0.5, "Type b": 1.0, "Type c": 0.0}
    assert data["retrieval"]["scope"] == "document"
    assert data["retrieval"]["questions"] == 4
    assert data["retrieval"]["recall@1"] == pytest.approx((0 + 0 + 1 + 0) / 4)  # page 99 lies outside: 1 of 1
    assert data["retrieval"]["recall@3"] == pytest.approx((1 + 1 / 2 + 1 + 0) / 4)
    assert data["retrieval"]["all@5"] == pytest.approx(3 / 4)
    assert summary.scores.wrongly_refused == pytest.approx(1 / 4)


def test_the_folder_holds_what_the_summary_says(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    summary = run(out)
    assert sorted(path.name for path in out.iterdir()) == FILES
    data = json.loads((out / "summary.json").read_text())
    assert data == summary.to_json()
    groups = ["answerable", "single_page", "cross_page", "unanswerable", "by_source", "by_doc_type"]
    assert list(data) == ["questions", "scored", "accuracy", "f1", *groups, "intervals", "retrieval", "usage", "cost", "config"]
    config = json.loads((out / "config.json").read_text())
    assert data["config"] == config
    assert (config["docrag"], config["questions"], config["scope"]) == (docrag.__version__, 5, "document")
    assert (config["settings"], config["fingerprints"]) == (CONFIG.settings, CONFIG.fingerprints)
    low, high = data["intervals"]["accuracy"]
    assert 0 <= low < data["accuracy"] < high <= 1
    assert set(data["intervals"]) == {"accuracy", "f1", "answerable", "unanswerable", *(f"recall@{k}" for k in (1, 3, 5, 10))}


def test_the_table_is_readable(tmp_path: Path) -> None:
    run(tmp_path)
    table = (tmp_path / "summary.md").read_text()
    assert "5 questions, 5 scored" in table
    assert "| accuracy | 60.0 | 0.0 to 100.0 | 5 |" in table
    assert "| mean of answerable and unanswerable | 75.0 |  | 5 |" in table
    assert "| answerable, wrongly refused | 25.0 |  | 4 |" in table
    assert "| Chart\\|Map | 100.0 |  | 1 |" in table
    assert "| pages found (document) | % | 95 % interval | questions |" in table
    assert "| settings.reader | quote |" in table


def test_its_predictions_can_be_scored_and_read_back(tmp_path: Path) -> None:
    summary = run(tmp_path)
    path = tmp_path / "predictions.jsonl"
    assert score_predictions(load_items(path)).to_json() == summary.scores.to_json()
    assert score_predictions(load_items(path, QUESTIONS)).to_json() == summary.scores.to_json()
    assert read_predictions(path) == tuple(map(answer, QUESTIONS))


def test_library_scope_ranks_pages_of_all_documents(tmp_path: Path) -> None:
    data = run(tmp_path / "a", config=replace(CONFIG, scope="library")).to_json()["retrieval"]
    assert (data["scope"], data["recall@1"]) == ("library", 0.0)
    assert data["recall@3"] == pytest.approx((1 + 1 / 2 + 0 + 0) / 4)
    with pytest.raises(ValueError, match="needs ranked_library"):
        run(tmp_path / "b", lambda question: replace(answer(question), ranked_library=None), replace(CONFIG, scope="library"))


def test_a_retrieval_only_run_has_no_answers(tmp_path: Path) -> None:
    summary = run(tmp_path, config=replace(CONFIG, retrieval_only=True))
    data = summary.to_json()
    assert (data["questions"], data["scored"], data["accuracy"], data["f1"]) == (5, 0, None, None)
    assert data["by_source"] == {"Chart|Map": None, "Figure": None, "Table": None}
    assert data["intervals"]["accuracy"] is None
    assert data["retrieval"]["recall@3"] == pytest.approx((1 + 1 / 2 + 1 + 0) / 4)
    assert "| accuracy | - |  | 5 |" in (tmp_path / "summary.md").read_text()
    assert [(p.answer, p.outcome) for p in read_predictions(tmp_path / "predictions.jsonl")] == [(None, None)] * 4 + [
        (None, "failed")
    ]
    assert run(tmp_path, unasked, replace(CONFIG, retrieval_only=True), resume=True).to_json() == data


def test_progress_is_told(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    run(tmp_path, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(done, 5) for done in range(6)]


def test_a_broken_run_can_be_taken_up_again(tmp_path: Path) -> None:
    class Broken(Exception):
        pass

    def breaks(question: Question) -> Prediction:
        if question.question == "Which size?":
            raise Broken
        return answer(question)

    with pytest.raises(Broken):
        run(tmp_path / "run", breaks)
    assert len(read_predictions(tmp_path / "run" / "predictions.jsonl")) == 2
    asked: list[str] = []
    resumed = run(tmp_path / "run", lambda question: asked.append(question.question) or answer(question), resume=True)
    assert asked == ["Which size?", "Which taste?", "Which price?"]
    assert resumed.to_json() == run(tmp_path / "whole").to_json()
    for name in FILES:
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert run(tmp_path / "run", unasked, resume=True).to_json() == resumed.to_json()


@pytest.mark.parametrize("cut", [1, 40, 10_000])
def test_a_line_that_was_not_finished_is_dropped(tmp_path: Path, cut: int) -> None:
    whole = run(tmp_path)
    path = tmp_path / "predictions.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]) + lines[3][: -min(cut, len(lines[3]) - 1)])
    assert run(tmp_path, resume=True).to_json() == whole.to_json()
    assert path.read_bytes() == b"".join(lines)


def test_a_line_damaged_in_the_middle_is_an_error(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "predictions.jsonl"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[1][:50], lines[2]]) + "\n")
    with pytest.raises(UsageError, match=r"predictions\.jsonl, line 2: not JSON, or torn"):
        run(tmp_path, resume=True)
    path.write_text(lines[0] + "\n" + '{"question_id": "x"}\n')
    with pytest.raises(
        UsageError, match=r"predictions\.jsonl, line 2: no prediction of a docrag run: KeyError\('ranked_library'\)"
    ):
        run(tmp_path, resume=True)
    path.write_text(lines[0] + "\n" + lines[0] + "\n")
    with pytest.raises(UsageError, match="or one twice"):
        run(tmp_path, resume=True)


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "run")
    before = (tmp_path / "run" / "predictions.jsonl").read_bytes()
    with pytest.raises(UsageError, match="is not empty\n  go on with it by --resume"):
        run(tmp_path / "run", unasked)
    assert (tmp_path / "run" / "predictions.jsonl").read_bytes() == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").touch()
    with pytest.raises(UsageError, match=r"is no run folder: it holds cat\.jpg, but no config\.json"):
        run(tmp_path / "photos", unasked, resume=True)
    with pytest.raises(UsageError, match="is a file"):
        run(tmp_path / "photos" / "cat.jpg", unasked)


def test_an_empty_folder_or_a_half_begun_one_is_taken(tmp_path: Path) -> None:
    (tmp_path / "config.json.tmp").write_text('{"docr')
    assert run(tmp_path, resume=True).scores.questions == 5
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


@pytest.mark.parametrize(
    ("config", "difference"),
    [
        (replace(CONFIG, settings={"reader": "hf:x", "k": 5}), "settings.reader was 'quote' and is now 'hf:x'"),
        (replace(CONFIG, settings={"reader": "quote"}), "settings.k was 5 and is now None"),
        (replace(CONFIG, fingerprints={"bm25": "b2"}), "fingerprints.bm25 was 'b1' and is now 'b2'"),
        (replace(CONFIG, scope="library"), "scope was 'document' and is now 'library'"),
        (replace(CONFIG, retrieval_only=True), "retrieval_only was False and is now True"),
    ],
)
def test_a_resume_with_other_settings_names_both(tmp_path: Path, config: RunConfig, difference: str) -> None:
    run(tmp_path)
    with pytest.raises(UsageError) as caught:
        run(tmp_path, unasked, config, resume=True)
    assert caught.value.message == f"{tmp_path} was begun otherwise: {difference}"


@pytest.mark.parametrize("name", ["workers", "reader_cache", "reader_timeout_s", "reader_retries"])
def test_a_resume_may_change_what_changes_no_figure(tmp_path: Path, name: str) -> None:
    begun = replace(CONFIG, settings={"k": 5, name: 1})
    first = run(tmp_path, config=begun)
    assert run(tmp_path, unasked, replace(CONFIG, settings={"k": 5, name: 2}), resume=True).to_json() == first.to_json()


def test_what_models_read_and_wrote_is_added_up_and_priced(tmp_path: Path) -> None:
    def paid(question: Question) -> Prediction:
        return replace(answer(question), usage={"calls": 2, "input_tokens": 1000}, read_pages=(2, 3), why="it says so")

    priced = replace(CONFIG, settings={"input_price": 2.0, "output_price": 0.0})
    summary = run(tmp_path, paid, priced)
    assert summary.to_json()["usage"] == {"calls": 10, "input_tokens": 5000}
    assert summary.to_json()["cost"] == 0.01
    assert "| input_tokens | 5,000 |" in (tmp_path / "summary.md").read_text()
    kept = read_predictions(tmp_path / "predictions.jsonl")
    assert {(one.usage["calls"], one.read_pages, one.why) for one in kept} == {(2, (2, 3), "it says so")}
    assert run(tmp_path, unasked, priced, resume=True).to_json() == summary.to_json()


def test_predictions_without_usage_are_read(tmp_path: Path) -> None:
    run(tmp_path)
    path = tmp_path / "predictions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        for name in ("usage", "read_pages", "why"):
            del line[name]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [(dict(one.usage), one.read_pages, one.why) for one in read_predictions(path)] == [({}, (), "")] * 5


def test_a_resume_with_other_questions_is_refused(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(UsageError, match=r"begun otherwise: questions was 5 and is now 4; questions_sha256 was"):
        run_benchmark(QUESTIONS[:4], unasked, tmp_path, CONFIG, resume=True)


def test_questions_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no questions"):
        run_benchmark((), unasked, tmp_path, CONFIG)
    with pytest.raises(UsageError, match="same question_id"):
        run_benchmark(QUESTIONS[:1] * 2, unasked, tmp_path, CONFIG)
    with pytest.raises(ValueError, match=f"asked the question {QUESTIONS[0].question_id}, got a prediction for other"):
        run(tmp_path, lambda question: Prediction.failed("other"))


def test_a_damaged_config_is_named(tmp_path: Path) -> None:
    run(tmp_path)
    for content, problem in (("{", "Expecting property name"), ("[]", "no JSON object")):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(UsageError, match=rf"config\.json is damaged: .*{problem}"):
            run(tmp_path, unasked, resume=True)


def test_a_folder_that_can_not_be_made_is_the_environments_fault() -> None:
    with pytest.raises(EnvironmentFault, match="cannot write the run folder /proc/nothing/run"):
        run(Path("/proc/nothing/run"))


KILLED_RUN = """
import sys, time
from pathlib import Path
from docrag.eval.mmlongbench import load_questions
from docrag.eval.predictions import Prediction
from docrag.eval.run import RunConfig, run_benchmark

def answer(question):
    time.sleep(0.002)
    return Prediction(question.question_id, "red " * 2000, "answered", 0.5, 9, (1, 2), None, (), 1.0)

questions = load_questions(Path(sys.argv[1]))
run_benchmark(questions, answer, Path(sys.argv[2]), RunConfig({}, {}), resume=True)
"""


def test_killed_at_any_moment_it_ends_as_if_left_alone(tmp_path: Path) -> None:
    line = {
        "doc_id": "a.pdf",
        "doc_type": "T",
        "answer": "red",
        "evidence_pages": [1],
        "evidence_sources": [],
        "answer_format": "Str",
    }
    gold = tmp_path / "gold.jsonl"
    gold.write_text("".join(json.dumps({**line, "question": f"No. {number}?"}) + "\n" for number in range(120)))

    def start(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", KILLED_RUN, str(gold), str(tmp_path / name)])

    assert start("whole").wait() == 0
    predictions = tmp_path / "killed" / "predictions.jsonl"
    sizes = [0]
    for _ in range(3):
        process = start("killed")
        deadline = time.monotonic() + 30
        while (not predictions.exists() or predictions.stat().st_size < sizes[-1] + 50_000) and time.monotonic() < deadline:
            time.sleep(0.003)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        sizes.append(predictions.stat().st_size)
    assert start("killed").wait() == 0
    for name in FILES:
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_commit_is_that_of_the_package(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        settings = ["-c", "user.name=t", "-c", "user.email=t@x.io", "-c", "commit.gpgsign=false"]
        return subprocess.run(
            ["git", *settings, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    package = tmp_path / "docrag"
    package.mkdir()
    (package / "__init__.py").write_text("a = 1\n")
    assert git_commit(package) is None
    git("init")
    assert git_commit(package) is None  # in somebody's checkout, but not of it
    git("add", "."), git("commit", "-m", "first")
    head = git("rev-parse", "HEAD")
    assert git_commit(package) == head
    (package / "__init__.py").write_text("a = 2\n")
    assert git_commit(package) == f"{head}-dirty"
