"""A run's folder, read back: its configuration, its questions, and what was predicted for each."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from docrag.errors import UsageError
from docrag.eval.entries import Entry
from docrag.eval.predictions import Prediction, check_kind, read_lines, to_prediction
from docrag.eval.questions import Question
from docrag.eval.scoring import ANSWER_FORMATS

CONFIG, QUESTIONS, PREDICTIONS, SCORES = "config.json", "questions.jsonl", "predictions.jsonl", "scores.json"
_ANEW = "start anew in another folder"
# Of config.json, what others look into; a run of before may lack some.
_KINDS: Mapping[str, type[Any]] = {
    **dict.fromkeys(("settings", "fingerprints", "library"), dict),
    **dict.fromkeys(("benchmark", "scope", "extracted_by"), str),
    "later_git_commits": list,
}


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run: all its `questions` in the data's order, and by question_id its `predictions`, of which some may be missing.

    `name` is the folder's, `config` is the content of its config.json.
    """

    folder: Path
    name: str
    config: Mapping[str, Any]
    questions: tuple[Question, ...]
    predictions: Mapping[str, Prediction]

    @property
    def finished(self) -> bool:
        return len(self.predictions) == len(self.questions)


def read_run(folder: Path) -> RunRecord:
    """The run in `folder`, finished or not; of a run of an older version, which kept no questions, those that were asked.

    Raises UsageError where there is no run, it is damaged, or it has no prediction yet.
    """
    config = read_config(folder)
    entries = read_lines(folder / PREDICTIONS)
    if not entries:
        raise UsageError(f"the run in {folder} has no prediction yet", "go on with it by `docrag eval ... --resume`")
    asked = read_lines(folder / QUESTIONS) or entries
    questions = tuple(map(_question, asked))
    predictions = by_question(folder / PREDICTIONS, map(to_prediction, entries), questions)
    return RunRecord(folder, folder.resolve().name, config, questions, predictions)


def read_config(folder: Path) -> dict[str, Any]:
    """The content of a run's config.json. Raises UsageError where there is none, or it is damaged."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"{folder} is no run folder: it has no {CONFIG}", "`docrag eval ... --out DIR` makes one") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is damaged: {error}", _ANEW) from None
    if not isinstance(config, dict):
        raise UsageError(f"{path} is damaged: it holds no JSON object", _ANEW)
    for name, kind in _KINDS.items():
        if not isinstance(config.get(name, kind()), kind):
            raise UsageError(f"{path} is damaged: {name} is {config[name]!r}", _ANEW)
    return cast("dict[str, Any]", config)


def by_question(path: Path, predictions: Iterable[Prediction], questions: Iterable[Question]) -> dict[str, Prediction]:
    """`predictions`, which are those of the file `path`, by question_id.

    Raises UsageError where a question has two of them, or one is not of `questions`.
    """
    known = {question.question_id for question in questions}
    found: dict[str, Prediction] = {}
    for prediction in predictions:
        if prediction.question_id in found or prediction.question_id not in known:
            raise UsageError(f"{path} is damaged: it holds other questions than the run's, or one twice", _ANEW)
        found[prediction.question_id] = prediction
    return found


def _question(entry: Entry) -> Question:
    fields = entry.fields
    try:
        question = Question(
            question_id=fields["question_id"],
            doc_id=fields["doc_id"],
            doc_type=fields["doc_type"],
            question=fields["question"],
            answer=fields["answer"],
            evidence_pages=tuple(fields["evidence_pages"]),
            evidence_sources=tuple(fields["evidence_sources"]),
            answer_format=fields["answer_format"],
        )
        _check_question(question)
    except (KeyError, TypeError) as error:
        raise UsageError(f"{entry.where}: no question of a docrag run: {error!r}") from None
    except ValueError as error:
        raise UsageError(f"{entry.where}: no question of a docrag run: {error}") from None
    return question


def _check_question(question: Question) -> None:
    """Raises ValueError where a field is of another kind than a run writes."""
    for name in ("question_id", "doc_id", "doc_type", "question", "answer"):
        check_kind(name, getattr(question, name), str)
    for page in question.evidence_pages:
        check_kind("a page of evidence_pages", page, int)
    for source in question.evidence_sources:
        check_kind("one of evidence_sources", source, str)
    if question.answer_format not in ANSWER_FORMATS:
        raise ValueError(f"answer_format is one of {', '.join(ANSWER_FORMATS)}, got {question.answer_format!r}")
