"""Runs a benchmark into a folder that holds all that is needed to understand it, and that can be taken up again.

config.json and questions.jsonl are written at the start, predictions.jsonl grows by a line a question, and at the end come
scores.json (which does not tell how often the run was interrupted, or what was done first), summary.json and summary.md.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from docrag import version
from docrag.errors import EnvironmentFault, UsageError
from docrag.eval.in_flight import ask_all, check_limit
from docrag.eval.predictions import Prediction, read_lines, to_prediction
from docrag.eval.questions import Question, hash_questions
from docrag.eval.record import CONFIG, PREDICTIONS, QUESTIONS, SCORES, by_question, read_config
from docrag.eval.retrieval import METRICS, Scope
from docrag.eval.summary import Summary, flatten, summarise

Answerer = Callable[[Question], Prediction]
Progress = Callable[[int, int], None]

_COMMIT, _LATER_COMMITS = "git_commit", "later_git_commits"
_LIBRARY = "library"
_LOCK = ".lock"
# Recorded, so that a run can be traced; what changes no figure need not end it.
_NOT_COMPARED = {
    *(_COMMIT, _LATER_COMMITS, "index", "data", "concurrency"),
    *(f"settings.{name}" for name in ("workers", "reader_cache", "reader_timeout_s", "reader_retries")),
}
# Of the summary: times, what a cache may have saved, and what errors say, in which an address or a time may stand.
_NO_SCORES = {"failures", "spending", "usage", "cost", "config"}
# What a process that was killed at its very start may have left: that is still an empty folder.
_BEGUN = {_LOCK, f"{CONFIG}.tmp"}


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a run's figures depend on besides the questions: JSON values only.

    `settings` is the resolved configuration, `fingerprints` those of the index's lanes, `benchmark` the one that the questions
    are of, in its `form`. `prompts_sha256` is of the prompts, where a model reads them; `image_rule` is that of the tokens of
    ranked pages. `library` tells the documents that were asked from any others; `index` and `data` say where these lay. In a
    `retrieval_only` run answers are not kept, and the figures about them are null.
    """

    settings: Mapping[str, Any]
    fingerprints: Mapping[str, Any]
    scope: Scope = "document"
    retrieval_only: bool = False
    benchmark: str = ""
    form: str = ""
    prompts_sha256: str | None = None
    image_rule: str = ""
    library: Mapping[str, Any] = field(default_factory=dict[str, Any])
    index: str = ""
    data: str = ""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a run goes about it, which changes no figure: `concurrency` questions are in flight at once.

    `progress` gets (done, total) at the start and after each question.
    """

    resume: bool = False
    concurrency: int = 1
    progress: Progress | None = None

    def __post_init__(self) -> None:
        check_limit(self.concurrency, "questions")


def run_benchmark(
    questions: Sequence[Question],
    answerer: Answerer,
    out_dir: Path,
    config: RunConfig,
    options: RunOptions | None = None,
) -> Summary:
    """Answer every question that `out_dir` has no prediction for yet, and write the figures over all of them.

    A prediction is on disk as soon as it is made; what an earlier process was killed in the middle of writing is dropped and
    asked again, and so is what failed, unless it has no document. Several threads call `answerer` where `concurrency` is over
    1. Raises UsageError where `out_dir` has something in it and `resume` is not set, was begun with other settings, questions,
    documents or version, or another process is at work on it; what `answerer` raises ends the run, which can then be resumed.
    Going on with another commit of the same version is let in, and goes on record.
    """
    _check_questions(questions)
    how = options or RunOptions()
    _check_folder(out_dir, how.resume)
    with _alone(out_dir):
        with _disk_faults(out_dir):
            record = _begin(out_dir, _record(questions, config, how), questions, how.resume)
            done = _take_up(out_dir / PREDICTIONS, questions)
        _ask_missing(questions, done, lambda question: _checked(answerer(question), question, config), out_dir, how)
        summary = summarise(questions, done, record)
        with _disk_faults(out_dir):
            _write(out_dir / SCORES, _json(scores_json(summary)))
            _write(out_dir / "summary.json", _json(summary.to_json()))
            _write(out_dir / "summary.md", summary.to_markdown())
    return summary


def scores_json(summary: Summary) -> dict[str, Any]:
    """The figures and what each question adds to them, in the questions' order: nothing that another run may have otherwise."""
    retrieval = summary.retrieval
    found = [
        {"question_id": question_id, **{metric: retrieval.values[metric][place] for metric in METRICS}}
        for place, question_id in enumerate(retrieval.question_ids)
    ]
    figures = {name: value for name, value in summary.to_json().items() if name not in _NO_SCORES}
    return {**figures, "items": summary.scores.to_json()["items"], "retrieval_items": found}


def _ask_missing(
    questions: Sequence[Question], done: dict[str, Prediction], answerer: Answerer, out_dir: Path, how: RunOptions
) -> None:
    """Ask what is not in `done`, and put it there and into predictions.jsonl."""
    asked = {question.question_id: question for question in questions}
    report = how.progress or _no_progress

    def keep(prediction: Prediction) -> None:
        line = prediction.to_json(asked[prediction.question_id])
        _append(out_dir / PREDICTIONS, json.dumps(line, allow_nan=False))
        done[prediction.question_id] = prediction

    report(len(done), len(questions))
    missing = [question for question in questions if question.question_id not in done]
    ask_all(missing, answerer, keep, how.concurrency, lambda: report(len(done), len(questions)))


def _check_questions(questions: Sequence[Question]) -> None:
    if not questions:
        raise UsageError("there are no questions to run")
    if len({question.question_id for question in questions}) != len(questions):
        raise UsageError("two of the questions have the same question_id")


def _record(questions: Sequence[Question], config: RunConfig, how: RunOptions) -> dict[str, Any]:
    """The content of config.json, in the form in which it is read back."""
    record = {
        "docrag": version.__version__,
        _COMMIT: git_commit(Path(version.__file__).resolve().parent),
        "benchmark": config.benchmark,
        "form": config.form,
        "questions": len(questions),
        "questions_sha256": hash_questions(questions),
        "prompts_sha256": config.prompts_sha256,
        "image_rule": config.image_rule,
        "scope": config.scope,
        "retrieval_only": config.retrieval_only,
        "extracted_by": "",  # the answers are scored as the reader gave them, without the benchmark's stage of extraction
        _LIBRARY: dict(config.library),
        "index": config.index,
        "data": config.data,
        "concurrency": how.concurrency,
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


def _check_folder(out_dir: Path, resume: bool) -> None:
    """Before anything is written into it."""
    if out_dir.exists() and not out_dir.is_dir():
        raise UsageError(f"the run folder {out_dir} is a file")
    with _disk_faults(out_dir):
        out_dir.mkdir(parents=True, exist_ok=True)
        present = sorted({path.name for path in out_dir.iterdir()} - _BEGUN)
    if present and not resume:
        raise UsageError(f"the run folder {out_dir} is not empty", "go on with it by --resume, or name another one by --out")
    if present and CONFIG not in present:
        raise UsageError(f"{out_dir} is no run folder: it holds {', '.join(present[:5])}, but no {CONFIG}")


@contextmanager
def _alone(out_dir: Path) -> Generator[None]:
    """The folder's lock, which ends with its holder however that ends. Raises UsageError where another process has it."""
    with _disk_faults(out_dir):
        lock = os.open(out_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with _disk_faults(out_dir):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UsageError(
                    f"another process is at work on the run in {out_dir}", "wait for it, or name another folder by --out"
                ) from None
        yield
    finally:
        os.close(lock)


def _begin(out_dir: Path, record: dict[str, Any], questions: Sequence[Question], resume: bool) -> dict[str, Any]:
    """Write what stands at the start, or check that the run was begun with the same; returns the record that goes with it."""
    _check_folder(out_dir, resume)  # another process may have begun it just now
    begun = read_config(out_dir) if (out_dir / CONFIG).exists() else None
    if begun is not None:
        record = _with_commit(_same_record(out_dir, begun, record), record[_COMMIT])
    if record != begun:
        _write(out_dir / CONFIG, _json(record))
    if not (out_dir / QUESTIONS).exists():
        _write(out_dir / QUESTIONS, "".join(f"{json.dumps(asdict(question))}\n" for question in questions))
    return record


def _same_record(out_dir: Path, begun: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    if _LIBRARY not in begun:
        raise UsageError(
            f"{out_dir} does not say which documents it was begun with, so nobody can tell whether they are still the same",
            "it can be read and compared as it is; to go on, begin another run by --out",
        )
    old, new = dict(flatten(begun)), dict(flatten(now))
    names = [name for name in {**old, **new} if name not in _NOT_COMPARED and old.get(name) != new.get(name)]
    if names:
        changes = "; ".join(f"{name} was {old.get(name)!r} and is now {new.get(name)!r}" for name in names)
        raise UsageError(
            f"{out_dir} was begun otherwise: {changes}",
            "go on with the same settings and documents, or name another folder by --out",
        )
    return begun


def _with_commit(begun: dict[str, Any], commit: str | None) -> dict[str, Any]:
    """The record with the commit that goes on now, where that is another one than the last."""
    later: list[str | None] = begun.get(_LATER_COMMITS, [])
    if commit == [begun.get(_COMMIT), *later][-1]:
        return begun
    return {**begun, _LATER_COMMITS: [*later, commit]}


def _take_up(path: Path, questions: Sequence[Question]) -> dict[str, Prediction]:
    """The predictions of an earlier process, by question_id, but for those to ask again: these lose their lines.

    That is a line that was not finished, and what failed, unless its document is not in the library, which is still the same.
    """
    if not path.exists():
        return {}
    data = path.read_bytes()
    lines = [line for line in data[: data.rfind(b"\n") + 1].split(b"\n") if line.strip()]
    predictions = by_question(path, map(to_prediction, read_lines(path)), questions)
    kept = {id_: made for id_, made in predictions.items() if made.outcome != "failed" or made.has_no_document}
    whole = b"".join(line + b"\n" for id_, line in zip(predictions, lines, strict=True) if id_ in kept)
    if whole != data:
        _write_bytes(path, whole)
    return kept


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


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    _write_bytes(path, text.encode("utf-8", errors="replace"))


def _write_bytes(path: Path, data: bytes) -> None:
    """Whole or not at all: to a temporary name, then renamed."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


@contextmanager
def _disk_faults(out_dir: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"cannot write the run folder {out_dir}: {error.strerror or error}") from error
