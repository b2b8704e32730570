"""An encoder, a reader and a chat model that do what they are told to."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from docrag.index.encoders import minilm_fingerprint
from docrag.index.records import LaneFingerprint
from docrag.pipelines.prompts import Prompt
from docrag.pipelines.protocols import Choice, Completion, OnText, Picked, Sampling
from docrag.pipelines.tokens import TokenRule
from docrag.types import Context, Evidence, Reading

_WORD = re.compile(r"\w+")


class HashEncoder:
    """A `TextEncoder` whose vectors add up a fixed random direction for each word: texts that share words are close.

    It claims MiniLM's fingerprint, so that a library made with it can be opened; don't mix the two in one library.
    """

    dim = 384

    @property
    def fingerprint(self) -> LaneFingerprint:
        return minilm_fingerprint("float32")

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_texts, 384], rows of length 1."""
        vectors = np.stack([self._sum(text) for text in texts]) if texts else np.zeros((0, self.dim), np.float32)
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    def count_tokens(self, text: str) -> int:
        return len(_WORD.findall(text))

    def _sum(self, text: str) -> NDArray[np.float32]:
        total = np.full(self.dim, 1e-3, np.float32)
        for word in _WORD.findall(text.lower()):
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "little")
            total += np.random.default_rng(seed).standard_normal(self.dim, np.float32)
        return total


@dataclass(slots=True)
class ScriptedReader:
    """A `Reader`, navigator and sampler that says what it is told to, in order, the last for ever; it keeps what it was shown.

    A script's entry is a `Reading`, an exception to raise, or a function of (question, context) that gives either. `picks` are
    the page numbers that it picks from a list, `choice` the place that it chooses among readings, None for none of them.
    """

    script: Sequence[Reading | Exception | Callable[[str, Context], Reading]]
    rule: TokenRule | None = None
    picks: Sequence[int] = ()
    choice: int | None = 0
    contexts: list[Context] = field(default_factory=list[Context])
    images: list[Sequence[bytes | None]] = field(default_factory=list[Sequence[bytes | None]])
    listed: list[Sequence[Evidence]] = field(default_factory=list[Sequence[Evidence]])
    compared: list[Sequence[Reading]] = field(default_factory=list[Sequence[Reading]])

    def read(
        self, question: str, context: Context, images: Sequence[bytes | None] = (), on_text: OnText | None = None
    ) -> Reading:
        said = self.script[min(len(self.contexts), len(self.script) - 1)]
        self.contexts.append(context)
        self.images.append(images)
        reading = said if isinstance(said, Reading | Exception) else said(question, context)
        if isinstance(reading, Exception):
            raise reading
        if on_text is not None:
            on_text(reading.answer)
        return reading

    def sample(self, number: int) -> ScriptedReader:
        return self

    def pick_pages(self, question: str, pages: Sequence[Evidence], budget: int) -> Picked:
        self.listed.append(pages)
        by_number = {item.content.page.page_number: item for item in pages}
        return Picked(tuple(by_number[number] for number in self.picks), len(pages))

    def choose(self, question: str, readings: Sequence[Reading]) -> Choice:
        self.compared.append(readings)
        return Choice(self.choice)


@dataclass(slots=True)
class ScriptedChat:
    """A `Chat` that writes `texts`, in order, the last for ever, in pieces of ten characters; it keeps the prompts it was sent.

    An entry that is an exception is raised. With `ModelReader` it makes a reader whose model says what a test needs.
    """

    texts: Sequence[str | Exception]
    rule: TokenRule | None = None
    identity: Mapping[str, str] = field(default_factory=lambda: {"provider": "scripted"})
    prompts: list[Prompt] = field(default_factory=list[Prompt])
    samplings: list[Sampling] = field(default_factory=list[Sampling])

    def complete(self, prompt: Prompt, sampling: Sampling, on_text: OnText | None = None) -> Completion:
        said = self.texts[min(len(self.prompts), len(self.texts) - 1)]
        self.prompts.append(prompt)
        self.samplings.append(sampling)
        if isinstance(said, Exception):
            raise said
        for at in range(0, len(said) if on_text else 0, 10):
            if on_text is not None:
                on_text(said[at : at + 10])
        return Completion(said, {"input_tokens": 100, "output_tokens": 10})
