"""A benchmark run with a scripted answerer and real files: figures, resume after a kill, refusals."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

import docrag
from docrag.errors import EnvironmentFault, UsageError
from docrag.eval.predictions import Prediction, read_predictions
from docrag.eval.questions import Question
from docrag.eval.run import RunConfig, RunOptions, git_commit, run_benchmark
from docrag.eval.scoring import score_predictions
from docrag.eval.submissions import load_items
from tests.eval.runs import CONFIG, FILES, QUESTIONS, answer, files, run, scores, unasked


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
    assert files(out) == FILES
    data = json.loads((out / "summary.json").read_text())
    assert data == summary.to_json()
    assert (out / "summary.md").read_text() == summary.to_markdown()
    groups = {"answerable", "single_page", "cross_page", "unanswerable", "by_source", "by_doc_type"}
    assert {"questions", "scored", "accuracy", "f1", *groups, "intervals", "retrieval", "config"} <= data.keys()
    config = json.loads((out / "config.json").read_text())
    assert data["config"] == config
    assert (config["docrag"], config["questions"], config["scope"]) == (docrag.__version__, 5, "document")
    assert (config["settings"], config["fingerprints"]) == (CONFIG.settings, CONFIG.fingerprints)
    low, high = data["intervals"]["accuracy"]
    assert 0 <= low < data["accuracy"] < high <= 1
    figures = {"accuracy", "f1", "answerable", "single_page", "cross_page", "unanswerable"}
    assert set(data["intervals"]) == {*figures, *(f"recall@{k}" for k in (1, 3, 5, 10))}


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
    assert files(tmp_path) == FILES


@pytest.mark.parametrize(
    ("config", "difference"),
    [
        (replace(CONFIG, settings={"reader": "hf:x", "k": 5}), "settings.reader was 'quote' and is now 'hf:x'"),
        (replace(CONFIG, settings={"reader": "quote"}), "settings.k was 5 and is now None"),
        (replace(CONFIG, fingerprints={"bm25": "b2"}), "fingerprints.bm25 was 'b1' and is now 'b2'"),
        (replace(CONFIG, scope="library"), "scope was 'document' and is now 'library'"),
        (replace(CONFIG, retrieval_only=True), "retrieval_only was False and is now True"),
        (replace(CONFIG, benchmark="mine"), "benchmark was '' and is now 'mine'"),
        (replace(CONFIG, prompts_sha256="ab"), "prompts_sha256 was None and is now 'ab'"),
        (replace(CONFIG, library={"documents": 3, "sha256": "b"}), "library.sha256 was 'a' and is now 'b'"),
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


def test_a_resume_may_find_data_and_index_elsewhere_and_ask_more_at_once(tmp_path: Path) -> None:
    first = run(tmp_path, config=replace(CONFIG, data="/a", index="/b"))
    again = run(tmp_path, unasked, replace(CONFIG, data="/c", index="/d"), resume=True, concurrency=3)
    assert again.to_json() == first.to_json()
    assert (again.config["data"], again.config["index"], again.config["concurrency"]) == ("/a", "/b", 1)


def test_a_run_that_does_not_say_which_documents_it_was_begun_with_is_not_gone_on_with(tmp_path: Path) -> None:
    """As those of before, which may have been of any library."""
    run(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["library"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match=r"does not say which documents it was begun with.*\n  it can be read and compared"):
        run(tmp_path, unasked, resume=True)


def test_every_commit_that_went_on_with_a_run_is_on_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for commit in ("a", "a", "b", None, "a"):
        monkeypatch.setattr("docrag.eval.run.git_commit", lambda package, commit=commit: commit)
        config = run(tmp_path, resume=True).config
        assert config == json.loads((tmp_path / "config.json").read_text())
    assert (config["git_commit"], config["later_git_commits"]) == ("a", ["b", None, "a"])


def test_what_models_read_and_wrote_is_added_up_and_priced(tmp_path: Path) -> None:
    def paid(question: Question) -> Prediction:
        return replace(answer(question), usage={"calls": 2, "input_tokens": 1000}, read_pages=(2, 3), why="it says so")

    priced = replace(CONFIG, settings={"input_price": 2.0, "output_price": 0.0})
    summary = run(tmp_path, paid, priced)
    assert summary.to_json()["usage"] == {"calls": 10, "input_tokens": 5000}
    assert summary.to_json()["cost"] == 0.01
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
        run_benchmark(QUESTIONS[:4], unasked, tmp_path, CONFIG, RunOptions(resume=True))


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


# --- what failed is asked again ---


def test_what_failed_is_asked_again_but_for_documents_that_are_not_there(tmp_path: Path) -> None:
    def fails(question: Question) -> Prediction:
        made = answer(question)
        if question.question in ("Which colour?", "Which taste?"):
            return replace(made, answer="Fail to answer", outcome="failed", why="the server is gone")
        return made

    first = run(tmp_path / "run", fails)
    assert first.scores.accuracy == pytest.approx(1 / 5)
    asked: list[str] = []
    again = run(tmp_path / "run", lambda question: asked.append(question.question) or answer(question), resume=True)
    assert asked == ["Which colour?", "Which taste?"]
    run(tmp_path / "alone")
    assert scores(tmp_path / "run") == scores(tmp_path / "alone")
    assert again.scores.accuracy == pytest.approx(3 / 5)
    assert run(tmp_path / "run", unasked, resume=True).to_json() == again.to_json()


def test_a_question_about_the_whole_library_that_failed_is_asked_again(tmp_path: Path) -> None:
    def fails(question: Question) -> Prediction:
        return Prediction(question.question_id, "Fail to answer", "failed", 0.0, None, (), (("a.pdf", 1),), (), 1.0)

    run(tmp_path, fails)
    asked: list[str] = []
    run(tmp_path, lambda question: asked.append(question.question) or answer(question), resume=True)
    assert len(asked) == 5


def test_the_scores_tell_each_question_and_no_times(tmp_path: Path) -> None:
    summary = run(tmp_path / "a")
    told = json.loads(scores(tmp_path / "a"))
    assert told["accuracy"] == summary.scores.accuracy
    assert [item["question_id"] for item in told["items"]] == [question.question_id for question in QUESTIONS]
    assert [item["score"] for item in told["items"]] == [1.0, 0.0, 1.0, 1.0, 0.0]
    found = {item["question_id"]: item["recall@3"] for item in told["retrieval_items"]}
    assert found == {QUESTIONS[n].question_id: value for n, value in ((0, 1.0), (1, 0.5), (3, 1.0), (4, 0.0))}
    run(tmp_path / "b", lambda question: replace(answer(question), milliseconds=99.0, usage={"calls": 1}))
    assert scores(tmp_path / "a") == scores(tmp_path / "b")
