"""What docrag predicted for a question, as the lines of predictions.jsonl."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

from docrag.errors import UsageError
from docrag.eval.entries import Entry
from docrag.eval.questions import Question
from docrag.eval.retrieval import DocumentPage
from docrag.eval.scoring import FAIL_TO_ANSWER
from docrag.types import NOT_ANSWERABLE, Citation, Outcome

NEEDLE = "needle"  # the key in a trace under which the haystack stands that the reader was handed


@dataclass(frozen=True, slots=True)
class Prediction:
    """What docrag made of one question.

    `answer` is None where none was asked for; then `outcome` is None, or "failed" where the document has no pages to search.
    `document_pages` is how many pages the document has, None where it could not be ingested. `ranked_pages` are 1-based, best
    first, inside the document, ten or more; `ranked_library` the same over all documents, None where that was not searched.
    `read_pages` are those that the reader was shown, `read_documents` names the document of each where the question names none,
    () where it does; `usage` is what a model read and wrote, `why` is why it refused or failed.

    Tokens are by the reader's rule: `read_tokens` what each of `read_pages` took in the context, `context_tokens` all of it,
    of `budget_tokens`; `ranked_tokens` what each of the first `ranked_pages` would take as one page image, () where that is not
    known. `rounds` is how often the reader read. `trace` says how the answer came about, `response` is what the model wrote.
    """

    question_id: str
    answer: str | None
    outcome: Outcome | None
    confidence: float
    document_pages: int | None
    ranked_pages: tuple[int, ...]
    ranked_library: tuple[DocumentPage, ...] | None
    citations: tuple[Citation, ...]
    milliseconds: float
    read_pages: tuple[int, ...] = ()
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    why: str = ""
    read_tokens: tuple[int, ...] = ()
    ranked_tokens: tuple[int, ...] = ()
    context_tokens: int = 0
    budget_tokens: int = 0
    rounds: int = 0
    trace: Mapping[str, Any] = field(default_factory=dict[str, Any])
    response: str = ""
    read_documents: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("question_id", "why", "response"):
            check_kind(name, getattr(self, name), str)
        check_kind("answer", self.answer, str, type(None))
        check_kind("document_pages", self.document_pages, int, type(None))
        for name in ("confidence", "milliseconds"):
            check_kind(name, getattr(self, name), int, float)
        for page in (*self.ranked_pages, *self.read_pages):
            check_kind("a page", page, int)
        if self.outcome is not None and self.outcome not in get_args(Outcome):
            raise ValueError(f"outcome is one of {', '.join(get_args(Outcome))}, got {self.outcome!r}")
        if self.answer is None and self.outcome not in (None, "failed"):
            raise ValueError(f"outcome {self.outcome!r} does not go without an answer")
        if self.answer is not None and (self.outcome == "not_answerable") != (self.answer == NOT_ANSWERABLE):
            raise ValueError(f"outcome {self.outcome!r} does not go with the answer {self.answer!r}")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence is a fraction from 0 to 1, got {self.confidence!r}")
        if not (math.isfinite(self.milliseconds) and self.milliseconds >= 0):
            raise ValueError(f"milliseconds is a finite number from 0, got {self.milliseconds!r}")
        if len(self.read_documents) not in (0, len(self.read_pages)):
            raise ValueError(f"{len(self.read_documents)} read_documents do not go with {len(self.read_pages)} read_pages")
        if len(self.read_tokens) not in (0, len(self.read_pages)):
            raise ValueError(f"{len(self.read_tokens)} read_tokens do not go with {len(self.read_pages)} read_pages")

    @property
    def has_no_document(self) -> bool:
        """Whether it failed because its document is not in the library: asking again would not help."""
        return self.outcome == "failed" and self.document_pages is None and not self.ranked_library

    @property
    def was_searched(self) -> bool:
        return bool(self.ranked_pages or self.ranked_library)

    @property
    def was_handed_pages(self) -> bool:
        """Whether the reader was given its pages without any search, also where it could not take them."""
        return not self.was_searched and (NEEDLE in self.trace or bool(self.read_pages))

    @classmethod
    def failed(cls, question_id: str, milliseconds: float = 0.0, why: str = "") -> Prediction:
        """For a question whose document could not be ingested: it counts, as wrong."""
        return cls(question_id, FAIL_TO_ANSWER, "failed", 0.0, None, (), (), (), milliseconds, why=why)

    def to_json(self, question: Question) -> dict[str, Any]:
        """A line of predictions.jsonl: the question with its reference under `answer`, and what was predicted."""
        return {
            **asdict(question),
            "prediction": self.answer,
            "outcome": self.outcome,
            "confidence": self.confidence,
            "document_pages": self.document_pages,
            "ranked_pages": self.ranked_pages,
            "ranked_library": self.ranked_library,
            "citations": [asdict(citation) for citation in self.citations],
            "milliseconds": self.milliseconds,
            "read_pages": self.read_pages,
            "usage": dict(self.usage),
            "why": self.why,
            "read_tokens": self.read_tokens,
            "ranked_tokens": self.ranked_tokens,
            "context_tokens": self.context_tokens,
            "budget_tokens": self.budget_tokens,
            "rounds": self.rounds,
            "trace": dict(self.trace),
            "response": self.response,
            "read_documents": self.read_documents,
        }


def check_kind(name: str, value: object, *kinds: type) -> None:
    """Raises ValueError where `value` is of none of these kinds; lines of JSON may hold anything."""
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
        raise ValueError(f"{name} is {wanted}, got {value!r}")


def read_predictions(path: Path) -> tuple[Prediction, ...]:
    """The lines that `Prediction.to_json` made, but for a last one without an end, which a killed run leaves.

    Raises UsageError that names the file and the line.
    """
    return tuple(map(to_prediction, read_lines(path)))


def read_lines(path: Path) -> tuple[Entry, ...]:
    """The objects of the lines of a run's file that were written to their end; none where there is no file.

    Raises UsageError that names the file and the line.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    # Not splitlines(): U+2028 may stand inside a string.
    lines = data[: data.rfind(b"\n") + 1].split(b"\n")
    return tuple(_entry(f"{path}, line {number}", line) for number, line in enumerate(lines, 1) if line.strip())


def _entry(where: str, line: bytes) -> Entry:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: not JSON, or torn: {error}") from None
    if not isinstance(fields, dict):
        raise UsageError(f"{where}: must be a JSON object")
    return Entry(where, cast("dict[str, Any]", fields))


def to_prediction(entry: Entry) -> Prediction:
    """The prediction of a line of predictions.jsonl. Raises UsageError that names the line."""
    fields = entry.fields
    try:
        library = fields["ranked_library"]
        return Prediction(
            question_id=fields["question_id"],
            answer=fields["prediction"],
            outcome=fields["outcome"],
            confidence=fields["confidence"],
            document_pages=fields["document_pages"],
            ranked_pages=tuple(fields["ranked_pages"]),
            ranked_library=None if library is None else tuple((doc_id, page) for doc_id, page in library),
            citations=tuple(map(_citation, fields["citations"])),
            milliseconds=fields["milliseconds"],
            read_pages=tuple(fields.get("read_pages", ())),  # what follows was not kept before
            usage=dict(fields.get("usage", {})),
            why=fields.get("why", ""),
            read_tokens=tuple(fields.get("read_tokens", ())),
            ranked_tokens=tuple(fields.get("ranked_tokens", ())),
            context_tokens=fields.get("context_tokens", 0),
            budget_tokens=fields.get("budget_tokens", 0),
            rounds=fields.get("rounds", 0),
            trace=dict(fields.get("trace", {})),
            response=fields.get("response", ""),
            read_documents=tuple(fields.get("read_documents", ())),
        )
    except (KeyError, TypeError) as error:
        raise UsageError(f"{entry.where}: no prediction of a docrag run: {error!r}") from None
    except ValueError as error:
        raise UsageError(f"{entry.where}: no prediction of a docrag run: {error}") from None


def _citation(data: Mapping[str, Any]) -> Citation:
    box: Any = data["box"] and tuple(data["box"])
    return replace(Citation(**data), box=box)
