"""The seam between a context and whatever reads it, and the spec strings that name the readers."""

from __future__ import annotations

from typing import Protocol

from docrag.errors import UsageError
from docrag.types import Context, Reading


class Reader(Protocol):
    """Answers a question from a context, or says that these pages don't."""

    def read(self, question: str, context: Context) -> Reading: ...


def open_reader(spec: str) -> Reader:
    """The reader that `spec` names. Raises UsageError on a spec that no reader answers to."""
    from docrag.pipelines.quote import QuoteReader

    if spec == "quote":
        return QuoteReader()
    raise UsageError(f"no reader is called {spec!r}", "the reader of this version is 'quote' (extractive, no model)")
