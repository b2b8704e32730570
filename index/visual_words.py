"""Which word of a question each of its vectors stands for."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Sequence

# Words of scripts without blanks are taken character by character.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+(?:['’.,-]\w+)*")


def name_rows(
    ids: Sequence[int], question: str, decode: Callable[[Sequence[int]], str], special: Collection[int]
) -> tuple[str, ...]:
    """For each token the word that it is a piece of; "" for punctuation, blanks, and what the prompt adds around the question.

    Pieces may be parts of characters, so each is placed by what it adds to the text decoded so far.
    """
    kept = [at for at, number in enumerate(ids) if number not in special]
    text = decode([ids[at] for at in kept])
    ends = [_shared(text, decode([ids[at] for at in kept[: count + 1]])) for count in range(len(kept))]
    begin, end = _locate(text, question)
    spans = [match.span() for match in _WORD.finditer(text) if begin <= match.start() and match.end() <= end]
    words = [""] * len(ids)
    for at, (start, stop) in zip(kept, itertools.pairwise([0, *ends]), strict=True):
        touched = [span for span in spans if span[0] < max(stop, start + 1) and start < span[1]]
        if touched:
            words[at] = text[touched[0][0] : touched[-1][1]]
    return tuple(words)


def _shared(text: str, beginning: str) -> int:
    """How far `beginning` begins `text`: a last character that is not whole yet is shown as U+FFFD."""
    return len(beginning) if text.startswith(beginning) else len(beginning.rstrip("\ufffd"))


def _locate(text: str, question: str) -> tuple[int, int]:
    """Where the question stands in `text`; all of it where the tokenizer changed the question's characters."""
    at = text.rfind(question.strip())
    return (at, at + len(question.strip())) if at >= 0 else (0, len(text))
