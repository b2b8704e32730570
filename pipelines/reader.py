"""The seam between a context and whatever reads it, and the spec strings that name the readers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from docrag.errors import UsageError
from docrag.types import Context, Reading

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Texts to unit vectors, float32 [n_texts, dim]; the encoder that the index's passages were made with."""


class Reader(Protocol):
    """Answers a question from a context, or says that these pages don't."""

    def read(self, question: str, context: Context) -> Reading: ...


def open_reader(spec: str, encode: Encode | None = None) -> Reader:
    """The reader that `spec` names; raises UsageError on a spec that no reader answers to.

    `encode` is there for readers that compare texts by meaning. `quote` does not: see its docstring.
    """
    from docrag.pipelines.quote import QuoteReader

    if spec == "quote":
        return QuoteReader()
    raise UsageError(f"no reader is called {spec!r}", "the reader of this version is 'quote' (extractive, no model)")
