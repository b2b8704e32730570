"""Runs a benchmark into a folder that can be taken up again: predictions.jsonl, config.json, summary.json, summary.md."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from docrag import version
from docrag.errors import EnvironmentFault, UsageError
from docrag.eval.mmlongbench import Question, hash_questions
from docrag.eval.predictions import Prediction, read_predictions
from docrag.eval.retrieval import Scope
from docrag.eval.summary import Summary, flatten, summarise

Answerer = Callable[[Question], Prediction]
Progress = Callable[[int, int], None]

_COMMIT = "git_commit"
# Recorded, so that a run can be traced; what changes no figure need not end it.
_NOT_COMPARED = {_COMMIT, *(f"settings.{name}" for name in ("workers", "reader_cache", "reader_timeout_s", "reader_retries"))}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a run's figures depend on besides the questions: JSON values only.

    `settings` is the resolved configuration, `fingerprints` those of the index's lanes. In a `retrieval_only` run answers are
    not kept, and the figures about them are null.
    """

    settings: Mapping[str, Any]
    fingerprints: Mapping[str, Any]
    scope: Scope = "document"
    retrieval_only: bool = False


def run_benchmark(
    questions: Sequence[Question],
    answerer: Answerer,
    out_dir: Path,
    config: RunConfig,
    resume: bool = False,
    progress: Progress | None = None,
) -> Summary:
    """Answer every question that `out_dir` has no prediction for yet, and write the figures over all of them.

    A prediction is on disk before the next question is asked; what an earlier process was killed in the middle of writing is
    dropped and asked again. `progress` gets (done, total) at the start and after each question. Raises UsageError where
    `out_dir` has something in it and `resume` is False, or was begun with other settings, questions or version; what
    `answerer` raises ends the run, which can then be resumed.
    """
    _check_questions(questions)
    with _disk_faults(out_dir):
        record = _begin(out_dir, _record(questions, config), resume)
        done = _read_done(out_dir / "predictions.jsonl", questions)
    report = progress or _no_progress
    report(len(done), len(questions))
    for question in questions:
        if question.question_id not in done:
            prediction = _checked(answerer(question), question, config)
            _append(out_dir / "predictions.jsonl", json.dumps(prediction.to_json(question), allow_nan=False))
            done[question.question_id] = prediction
            report(len(done), len(questions))
    summary = summarise(questions, done, record)
    with _disk_faults(out_dir):
        _write(out_dir / "summary.json", json.dumps(summary.to_json(), indent=2) + "\n")
        _write(out_dir / "summary.md", summary.to_markdown())
    return summary


def _check_questions(questions: Sequence[Question]) -> None:
    if not questions:
        raise UsageError("there are no questions to run")
    if len({question.question_id for question in questions}) != len(questions):
        raise UsageError("two of the questions have the same question_id")


def _record(questions: Sequence[Question], config: RunConfig) -> dict[str, Any]:
    """The content of config.json, in the form in which it is read back."""
    record = {
        "docrag": version.__version__,
        _COMMIT: git_commit(Path(version.__file__).resolve().parent),
        "questions": len(questions),
        "questions_sha256": hash_questions(questions),
        "scope": config.scope,
        "retrieval_only": config.retrieval_only,
        "settings": dict(config.settings),
        "fingerprints": dict(config.fingerprints),
    }
    return json.loads(json.dumps(record, allow_nan=False))


def git_commit(package: Path) -> str | None:
    """The commit of the checkout that `package` is part of, "-dirty" where files differ from it; None outside of one."""
    git = ["git", "-C", str(package)]
    # A package installed into somebody else's checkout isn't tracked there.
    tracked = _output([*git, "ls-files", "--error-unmatch", "__init__.py"])
    return tracked and _output([*git, "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"])


def _output(command: list[str]) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, env=environment, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None


def _begin(out_dir: Path, record: dict[str, Any], resume: bool) -> dict[str, Any]:
    """Make the run folder, or check that it was begun with the same record; returns the record that goes with the run."""
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"the run folder {out_dir} is a file")
    out_dir.mkdir(parents=True, exist_ok=True)
    config_path = out_dir / "config.json"
    # A process that was killed at its very start may have left a half-written config.json.tmp: that is an empty folder.
    present = sorted(path.name for path in out_dir.iterdir() if path.name != "config.json.tmp")
    if not present:
        _write(config_path, json.dumps(record, indent=2) + "\n")
        return record
    if not resume:
        raise UsageError(f"the run folder {out_dir} is not empty", "go on with it by --resume, or name another one by --out")
    if not config_path.is_file():
        raise UsageError(f"{out_dir} is no run folder: it holds {', '.join(present[:5])}, but no config.json")
    return _same_record(out_dir, _read_record(config_path), record)


def _read_record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"{path} is damaged: {error}", "start anew in another folder") from None
    if not isinstance(record, dict):
        raise UsageError(f"{path} is damaged: it holds no JSON object", "start anew in another folder")
    return record  # pyright: ignore[reportUnknownVariableType] -- JSON


def _same_record(out_dir: Path, begun: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    old, new = dict(flatten(begun)), dict(flatten(now))
    names = [name for name in {**old, **new} if name not in _NOT_COMPARED and old.get(name) != new.get(name)]
    if names:
        changes = "; ".join(f"{name} was {old.get(name)!r} and is now {new.get(name)!r}" for name in names)
        raise UsageError(
            f"{out_dir} was begun otherwise: {changes}", "go on with the same settings, or name another folder by --out"
        )
    return begun


def _read_done(path: Path, questions: Sequence[Question]) -> dict[str, Prediction]:
    """The predictions of an earlier process, by question_id, after cutting off a line that it did not finish."""
    if not path.exists():
        return {}
    whole = path.read_bytes().rfind(b"\n") + 1
    if whole < path.stat().st_size:
        os.truncate(path, whole)
    done = read_predictions(path) if whole else ()
    by_id = {prediction.question_id: prediction for prediction in done}
    if len(by_id) != len(done) or by_id.keys() - {question.question_id for question in questions}:
        raise UsageError(
            f"{path} is damaged: it holds other questions than the run's, or one twice", "start anew in another folder"
        )
    return by_id


def _checked(prediction: Prediction, question: Question, config: RunConfig) -> Prediction:
    if prediction.question_id != question.question_id:
        raise ValueError(f"asked the question {question.question_id}, got a prediction for {prediction.question_id}")
    if config.scope == "library" and prediction.ranked_library is None:
        raise ValueError(f"a run in scope library needs ranked_library, the prediction for {question.question_id} has none")
    if not config.retrieval_only:
        return prediction
    return replace(prediction, answer=None, outcome="failed" if prediction.outcome == "failed" else None)


def _append(path: Path, line: str) -> None:
    # Opened for each line, so that a full disk shows here and not when some later buffer is flushed.
    with _disk_faults(path.parent), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def _no_progress(done: int, total: int) -> None:
    pass


def _write(path: Path, text: str) -> None:
    """Whole or not at all: to a temporary name, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("w", encoding="utf-8", errors="replace") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def _disk_faults(out_dir: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"cannot write the run folder {out_dir}: {error.strerror or error}") from error
