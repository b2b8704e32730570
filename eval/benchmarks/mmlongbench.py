"""MMLongBench-Doc (arXiv:2407.01523): questions about single long documents, in both forms in which it is published.

On GitHub (mayubo2333/MMLongBench-Doc) it is data/samples.json beside data/documents/: 1,082 questions. On Hugging Face
(yubo2333/MMLongBench-Doc) it is a table, data/train-00000-of-00001.parquet, with documents/ beside data/: 1,091 questions, all
columns text. Scores over the one are not those over the other; VLMEvalKit, which had 1,091, has gone over to the former.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath

from docrag.errors import UsageError
from docrag.eval.benchmarks.parquet import read_rows
from docrag.eval.entries import Entry, read_entries
from docrag.eval.questions import Question, question_ids

name = "mmlongbench-doc"

_FORMS = {1_082: "GitHub form, all 1,082 questions", 1_091: "Hugging Face form, all 1,091 questions"}
_COLUMNS = ("doc_id", "doc_type", "question", "answer", "evidence_pages", "evidence_sources", "answer_format")


def load(path: Path) -> tuple[Question, ...]:
    """The questions of a JSON, JSON-lines or Parquet file, or of a folder that holds samples.json or Parquet files.

    A folder's data/ is looked into as well, so that both may be named as they were downloaded. Raises UsageError that names
    the file, the entry and the field.
    """
    entries = [entry for file in _files(path) for entry in _read(file)]
    asked = [(entry.text("doc_id"), entry.text("question")) for entry in entries]
    return tuple(
        Question(
            question_id=question_id,
            doc_id=doc_id,
            doc_type=entry.text("doc_type"),
            question=question,
            answer=_reference(entry),
            evidence_pages=entry.evidence_pages(),
            evidence_sources=entry.evidence_sources(),
            answer_format=entry.answer_format(),
        )
        for entry, (doc_id, question), question_id in zip(entries, asked, question_ids(asked), strict=True)
    )


def document_path(path: Path, doc_id: str) -> Path:
    """Where the PDF of `doc_id` belongs: in the `documents/` of the folder, of its data/, or beside the file or its data/.

    Whether it is there is not looked at. Raises UsageError where `doc_id` is no plain file name.
    """
    if PurePath(doc_id).name != doc_id or doc_id in ("", ".."):
        raise UsageError(f"doc_id must be a file name in documents/, got {doc_id!r}")
    base = path if path.is_dir() else path.parent
    folders = (base / "documents", base / "data" / "documents", base.parent / "documents")
    return next((folder for folder in folders if folder.is_dir()), folders[0]) / doc_id


def form(questions: Sequence[Question]) -> str:
    """Which of the two published lists these are, by their number, or that they are neither."""
    count = len(questions)
    return _FORMS.get(count, f"{count:,} questions: a part, or a version that is neither of 1,082 nor of 1,091")


def _files(path: Path) -> Sequence[Path]:
    """The files that hold the questions: samples.json goes before tables."""
    if not path.is_dir():
        return (path,)
    for folder in (path, path / "data"):
        if (folder / "samples.json").is_file():
            return (folder / "samples.json",)
        if tables := sorted(folder.glob("*.parquet")):
            return tables
    raise UsageError(f"there are no questions in {path}", "expected samples.json or *.parquet there, or in its data/")


def _read(file: Path) -> Sequence[Entry]:
    entries = read_rows(file, _COLUMNS) if file.suffix == ".parquet" else read_entries(file)
    return [entry.without_nulls() for entry in entries]


def _reference(entry: Entry) -> str:
    value = entry.value("answer")
    if isinstance(value, float) and entry.answer_format() == "Int":
        value = int(value)  # the rule reads an Int reference by int(), which takes 5.0 but not "5.0"
    text = str(value)
    if not text.strip():
        raise entry.fault("answer", "is empty")
    return text
