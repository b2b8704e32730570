"""Question -> evidence -> context -> answer: one pass of retrieval and one of reading."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from docrag.index.encoders import MiniLM
from docrag.index.library_index import LibraryIndex
from docrag.pipelines.context import build_context
from docrag.pipelines.reader import Reader
from docrag.pipelines.retrieve import search
from docrag.types import Answer


@dataclass(frozen=True, slots=True)
class AskSettings:
    """How many pages are read, and within how many tokens by the encoder's own count."""

    reader: str
    k: int
    budget_tokens: int


def ask(
    index: LibraryIndex, encoder: MiniLM, reader: Reader, question: str, documents: Sequence[str], settings: AskSettings
) -> Answer:
    """Answer `question` from the best pages of `documents` (sha256; none: of the library), or say that they don't.

    Raises UsageError on an empty question.
    """
    begin = time.perf_counter()
    found = search(index, encoder, question, documents, settings.k)
    context = build_context([evidence for _, evidence in found], settings.budget_tokens, encoder.count_tokens)
    reading = reader.read(question, context)
    return Answer(
        text=reading.answer,
        outcome=reading.outcome,
        confidence=reading.confidence,
        citations=reading.citations,
        context=context,
        hits=tuple(hit for hit, _ in found),
        reader=settings.reader,
        milliseconds=round(1000 * (time.perf_counter() - begin), 3),
        usage=reading.usage,
        trace=reading.trace,
    )
