"""A library's own questions: a JSON-lines (or JSON) file with `question` and `answer`, and what else is known of each.

    {"question": "Who signed the lease?", "answer": "M. Okafor", "document": "lease.pdf", "evidence_pages": [3]}

`answer` may be "Not answerable", in any case. `document` is a name in the library or the end of one; without it the whole
library is asked. `evidence_pages` are 1-based. Where `answer_format` is left out, it is inferred, see `infer_format`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from docrag.errors import UsageError
from docrag.eval.entries import Entry, read_entries
from docrag.eval.questions import Question, question_ids
from docrag.eval.scoring import AnswerFormat, Value, read_literal, score_answer
from docrag.types import NOT_ANSWERABLE

name = "questions"

_KNOWN = ("question", "answer", "document", "evidence_pages", "evidence_sources", "doc_type", "answer_format")
_INT = re.compile(r"[+-]?(?:0|[1-9]\d*|[1-9]\d{0,2}(?:,\d{3})+)")  # 007 is a code
_FLOAT = re.compile(r"[$€£]?\s*[+-]?(?:\d+|\d{1,3}(?:,\d{3})+)(?:\.\d+)?\s*%?")


def load(path: Path) -> tuple[Question, ...]:
    """The questions of a file, in its order. Raises UsageError that names the file, the line and the field."""
    if path.is_dir():
        raise UsageError(f"{path} is a folder: expected a file of questions", "name a .jsonl file, with a question a line")
    entries = read_entries(path)
    asked = [(_text(entry, "document"), entry.text("question")) for entry in entries]
    return tuple(map(_question, entries, question_ids(asked)))


def document_path(path: Path, doc_id: str) -> Path | None:
    """None: the documents are those of the library, by their names there."""
    return None


def form(questions: Sequence[Question]) -> str:
    return f"a library's own, {len(questions):,} questions"


def infer_format(answer: Value) -> tuple[AnswerFormat, str]:
    """The format by which an answer is scored, and the answer as its rule reads it.

    "Not answerable" is None; a list, or the text of one, List; a whole number Int, also with separators (1,250), but not with
    leading zeros; any other number, and all with `$` or `%`, Float; everything else Str.
    """
    text = _text_of(answer)
    if text == NOT_ANSWERABLE:
        return "None", text
    if isinstance(answer, list) or _is_list(text):
        return "List", text
    if _INT.fullmatch(text):
        return "Int", text.replace(",", "")
    if isinstance(answer, float) or (_FLOAT.fullmatch(text) and not re.match(r"0\d", text)):
        return "Float", text.replace(",", "")
    return "Str", text


def _question(entry: Entry, question_id: str) -> Question:
    if unknown := [key for key in entry.fields if key not in _KNOWN]:
        raise entry.fault(unknown[0], f"is no field of a question; these are {', '.join(_KNOWN)}")
    doc_id = _text(entry, "document")
    answer_format, answer = _answer(entry)
    return Question(
        question_id=question_id,
        doc_id=doc_id,
        doc_type=_text(entry, "doc_type"),
        question=entry.text("question"),
        answer=answer,
        evidence_pages=_evidence_pages(entry, doc_id),
        evidence_sources=entry.evidence_sources() if entry.has("evidence_sources") else (),
        answer_format=answer_format,
    )


def _text(entry: Entry, field: str) -> str:
    return entry.text(field) if entry.has(field) else ""


def _answer(entry: Entry) -> tuple[AnswerFormat, str]:
    """Raises UsageError on an answer that its own rule would not accept: the question could never be met."""
    value = entry.value("answer")
    if value == [] or not str(value).strip():
        raise entry.fault("answer", "is empty")
    answer_format, answer = infer_format(value)
    if entry.has("answer_format"):
        answer_format = entry.answer_format()
        answer = answer if answer_format in ("Int", "Float") else _text_of(value)
    if score_answer(answer, answer, answer_format) != 1.0:
        raise entry.fault("answer", f"{answer!r} is nothing that the format {answer_format} can score")
    return answer_format, answer


def _text_of(answer: Value) -> str:
    """ "not answerable" in any case is the one spelling by which such questions are told everywhere."""
    text = str(answer).strip()
    return NOT_ANSWERABLE if text.casefold() == NOT_ANSWERABLE.casefold() else text


def _is_list(text: str) -> bool:
    if not text.startswith("["):
        return False
    try:
        return isinstance(read_literal(text), list)
    except ValueError:
        return False


def _evidence_pages(entry: Entry, doc_id: str) -> tuple[int, ...]:
    pages = entry.evidence_pages() if entry.has("evidence_pages") else ()
    if pages and not doc_id:
        raise entry.fault("evidence_pages", "are pages of a document, but no document is named")
    if any(page < 1 for page in pages):
        raise entry.fault("evidence_pages", f"are counted from 1, got {list(pages)}")
    return pages
