"""Fakes for the seams of docrag, for your tests as well as for docrag's own: no model, no waiting, the same each time."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from docrag.index.encoders import minilm_fingerprint
from docrag.index.records import LaneFingerprint

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
