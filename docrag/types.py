"""The nouns that every stage shares: frozen, checked once at construction, then only passed on.

Boxes are (x0, y0, x1, y1) in PDF points, origin top left, after the page's rotation. Scores and confidences are fractions
from 0 to 1. Pages are counted from 0 in `page_index` and from 1 in `page_number`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
TextSource = Literal["layer", "ocr", "none"]
RegionKind = Literal["text", "title", "table", "picture", "caption"]
Reason = Literal["retrieved", "neighbour", "referenced", "navigated"]
Shown = Literal["text", "image", "reduced", "crop", "image_and_text"]
Outcome = Literal["answered", "not_answerable", "failed"]
Lacked = Literal["nothing", "password", "tesseract", "memory"]

NOT_ANSWERABLE = "Not answerable"
POINT_NAMESPACE = uuid.UUID("6f0c0f0e-6d0c-5d3a-9a53-5a0f2f6f6b11")
_SHA256 = re.compile(r"[0-9a-f]{64}")


def check_box(box: Box) -> Box:
    """Return `box` as four finite floats; raises ValueError where it has none or its corners are swapped."""
    if len(box) != 4 or not all(np.isfinite(box)):
        raise ValueError(f"a box is four finite numbers (x0, y0, x1, y1), got {box!r}")
    x0, y0, x1, y1 = (float(value) for value in box)
    if x1 < x0 or y1 < y0:
        raise ValueError(f"a box runs from its top left to its bottom right corner, got {box!r}")
    return (x0, y0, x1, y1)


def _check_fraction(name: str, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} is a fraction from 0 to 1, got {value!r}")


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """One PDF by its bytes: the same bytes under two names are one document."""

    sha256: str
    pages: int
    title: str = ""

    def __post_init__(self) -> None:
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError(f"sha256 is 64 lower-case hexadecimal digits, got {self.sha256!r}")
        if self.pages < 1:
            raise ValueError(f"a document has at least one page, got {self.pages}")


@dataclass(frozen=True, slots=True)
class PageRef:
    """One page of one document. `page_label` is what is printed in the PDF's own numbering, or None."""

    document: DocumentRef
    page_index: int
    page_label: str | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.page_index < self.document.pages:
            raise ValueError(f"page_index is in 0..{self.document.pages - 1}, got {self.page_index}")
        if self.page_label == "":
            raise ValueError("page_label is None where a page has none, not ''")

    @property
    def page_number(self) -> int:
        return self.page_index + 1

    @property
    def point_id(self) -> str:
        """uuid5 of (sha256, page_index): writing a page twice is writing it once."""
        return page_point_id(self.document.sha256, self.page_index)


def page_point_id(sha256: str, page_index: int) -> str:
    return str(uuid.uuid5(POINT_NAMESPACE, f"{sha256}/{page_index}"))


@dataclass(frozen=True, slots=True)
class Region:
    """A stretch of a page's words in reading order that belongs together.

    `start` and `end` index the words of the page's text (`text.split()[start:end]`); `heading` is the nearest heading above.
    """

    start: int
    end: int
    kind: RegionKind
    box: Box
    heading: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a region holds at least one word, got {self.start}..{self.end}")
        object.__setattr__(self, "box", check_box(self.box))


@dataclass(frozen=True, slots=True, eq=False)
class PageContent:
    """What was read off one page.

    `text` holds the page's words in reading order: one blank between words, "\\n" between lines, "\\n\\n" between blocks; so
    `text.split()` is the list of words and `word_boxes` (float32 [n_words, 4], points) has one row for each.
    `passages` are what is embedded: together they hold every word exactly once. `captions` are the labels of the tables and
    figures that the page itself captions, as in "table 2". `printed_number` is a page number read off the page's margin.
    `unread` says that there is something to see but no text could be read (no Tesseract, or OCR was off).
    """

    page: PageRef
    width_pt: float
    height_pt: float
    text: str
    word_boxes: NDArray[np.float32]
    text_source: TextSource
    passages: tuple[Region, ...] = ()
    captions: tuple[str, ...] = ()
    printed_number: str | None = None
    unread: bool = False

    def __post_init__(self) -> None:
        if not (self.width_pt > 0 and self.height_pt > 0):
            raise ValueError(f"a page has a width and a height in points, got {self.width_pt} x {self.height_pt}")
        words = len(self.text.split())
        if self.word_boxes.shape != (words, 4):
            raise ValueError(f"word_boxes has one box a word: expected {(words, 4)}, got {self.word_boxes.shape}")
        if any(region.end > words for region in self.passages):
            raise ValueError(f"a passage ends after the page's {words} words")

    def passage_text(self, region: Region) -> str:
        return " ".join(self.text.split()[region.start : region.end])


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term ids and their weights, as Qdrant's sparse vectors hold them."""

    indices: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.indices) != len(self.values):
            raise ValueError(f"one value an index: got {len(self.indices)} indices and {len(self.values)} values")
        if not all(np.isfinite(self.values)):
            raise ValueError("a sparse vector holds finite numbers only")


@dataclass(frozen=True, slots=True)
class DocumentOutline:
    """What references in a question are resolved against: for each page its label and printed number, and who captions what.

    `page_labels` (the PDF's own) and `printed_numbers` (read off the margin) have one entry a page, None where there is none;
    `captions` maps "table 2" to the 0-based indices of the pages that caption it.
    """

    page_labels: tuple[str | None, ...]
    printed_numbers: tuple[str | None, ...]
    captions: Mapping[str, tuple[int, ...]]

    def __post_init__(self) -> None:
        if len(self.page_labels) != len(self.printed_numbers):
            raise ValueError(f"one entry a page: {len(self.page_labels)} labels, {len(self.printed_numbers)} printed numbers")


def check_vectors(name: str, vectors: NDArray[np.float16]) -> None:
    """Raise ValueError unless `vectors` is float16 [n, dim] with n >= 1, all finite."""
    if vectors.ndim != 2 or 0 in vectors.shape or vectors.dtype != np.float16:
        raise ValueError(f"{name} is float16 [n, dim] with n >= 1, got {vectors.dtype} {vectors.shape}")
    if not np.isfinite(vectors).all():
        raise ValueError(f"{name} holds NaN or infinity")


@dataclass(frozen=True, slots=True, eq=False)
class PageVectors:
    """The vectors of one page's text, a lane each; a lane that the page has nothing for is absent.

    `passages`: float16 [n_passages, 384], rows in the order of `PageContent.passages`.
    """

    page: PageRef
    passages: NDArray[np.float16] | None = None
    bm25: SparseVector | None = None

    def __post_init__(self) -> None:
        if self.passages is not None:
            check_vectors(f"passages of page {self.page.page_number}", self.passages)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one document (`page_number` None) or one page, as data that goes on record."""

    document: str
    stage: str
    error: str
    message: str
    hint: str = ""
    page_number: int | None = None
    lacked: Lacked = "nothing"
    retriable: bool = False

    def to_json(self) -> dict[str, Any]:
        return {
            "document": self.document,
            "page_number": self.page_number,
            "stage": self.stage,
            "error": self.error,
            "message": self.message,
            "hint": self.hint,
            "lacked": self.lacked,
            "retriable": self.retriable,
        }


@dataclass(frozen=True, slots=True)
class Source:
    """A name (full path or URL) that led to a document, with what the file looked like when it was read.

    `document` is None, and `failure` tells why, where nothing could be made of the file. `version` is the modification time
    in nanoseconds of a local file, or the ETag (or its like) of a remote one.
    """

    name: str
    size: int
    version: str
    document: str | None = None
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.document is None) == (self.failure is None):
            raise ValueError(f"a source leads to a document or to a failure, not both or neither: {self.name!r}")


@dataclass(frozen=True, slots=True)
class LaneScore:
    """A page's place in one lane: its raw score there and its rank from 1."""

    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class Hit:
    """One page that a search found. `score` is fused, from 0 to 1; `snippet` is its best passage, `box` where that stands."""

    page: PageRef
    name: str
    score: float
    lanes: Mapping[str, LaneScore]
    snippet: str = ""
    box: Box | None = None

    def __post_init__(self) -> None:
        _check_fraction("score", self.score)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """A page that goes into the context: why it is there and how it is shown."""

    content: PageContent
    name: str
    score: float
    reason: Reason = "retrieved"
    shown: Shown = "text"


@dataclass(frozen=True, slots=True)
class ContextPart:
    """One part of the interleaved context. `tokens` is its cost by the reader's own rule.

    `page_number` is 1-based; `text` holds a marker's or a page's text; `image_size_px` (width, height) that of an image, and
    `clip` the box of the page that it shows, None for all of it. `why` says why the page is shown so.
    """

    kind: Literal["marker", "text", "image"]
    document: str
    page_number: int
    tokens: int
    text: str = ""
    image_size_px: tuple[int, int] | None = None
    clip: Box | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """Evidence pages in reading order, as parts, within a budget of tokens."""

    parts: tuple[ContextPart, ...]
    evidence: tuple[Evidence, ...]
    budget: int

    def __post_init__(self) -> None:
        if self.tokens > self.budget:
            raise ValueError(f"a context of {self.tokens} tokens is over its budget of {self.budget}")

    @property
    def tokens(self) -> int:
        return sum(part.tokens for part in self.parts)


@dataclass(frozen=True, slots=True)
class Citation:
    """The words that an answer rests on. `verified` says that `quote` was found on that page; `box` is where."""

    document: str
    page_number: int
    page_label: str | None
    quote: str
    box: Box | None
    verified: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader made of a question and a context.

    `outcome` "not_answerable" is "not in these pages". `needs` is what more the reader asks for, "" where nothing.
    """

    outcome: Outcome
    answer: str
    confidence: float
    citations: tuple[Citation, ...] = ()
    needs: str = ""
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    trace: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        _check_fraction("confidence", self.confidence)
        if (self.outcome == "not_answerable") != (self.answer == NOT_ANSWERABLE):
            raise ValueError(f"outcome {self.outcome!r} does not go with the answer {self.answer!r}")


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one question, with the context that it was read from."""

    text: str
    outcome: Outcome
    confidence: float
    citations: tuple[Citation, ...]
    context: Context
    hits: tuple[Hit, ...]
    reader: str
    milliseconds: float
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    trace: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Tally:
    """How many there were and what became of them: attempted = ok + failed + skipped."""

    ok: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def attempted(self) -> int:
        return self.ok + self.failed + self.skipped

    def to_json(self) -> dict[str, int]:
        return {"attempted": self.attempted, "ok": self.ok, "failed": self.failed, "skipped": self.skipped}


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What an ingest did. `ocr` pages were read by OCR, `unread` pages show something that nothing could read, `visual` pages
    got visual vectors, or failed to, where the index has that lane; `encoder` made them (its name, device and precision)."""

    documents: Tally
    pages: Tally
    ocr: int
    unread: int
    failures: tuple[Failure, ...]
    seconds: float
    visual: int = 0
    encoder: str = ""

    @property
    def pages_per_second(self) -> float:
        done = self.pages.ok + self.pages.failed
        return round(done / self.seconds, 2) if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "documents": self.documents.to_json(),
            "pages": {**self.pages.to_json(), "ocr": self.ocr, "unread": self.unread, "visual": self.visual},
            "visual_encoder": self.encoder,
            "seconds": round(self.seconds, 3),
            "pages_per_second": self.pages_per_second,
            "failures": [failure.to_json() for failure in self.failures],
        }
