"""MiniLM's forward pass in numpy: for a question or some pages, which take less time than `import torch` does.

The same network in float32 as `docrag.index.encoders` writes out for torch (BERT: Devlin et al. 2019). The tests hold each
against the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Weights = Mapping[str, Array]
"""By their names in the published file."""
LAYERS, HEADS, WIDTH, EPSILON = 6, 12, 384, 1e-12
HEAD_WIDTH = WIDTH // HEADS
_ERF_P = 0.3275911
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)


def forward(windows: Sequence[Sequence[int]], weights: Weights) -> Array:
    """The sum of each window's token states, of windows of token ids: float32 [n_windows, 384].

    The tokens of all windows follow one another in rows, without padding; attention alone looks at each window by itself.
    """
    ends = np.cumsum([len(window) for window in windows])
    spans = [slice(end - len(window), end) for window, end in zip(windows, ends, strict=True)]
    tokens = np.concatenate([np.asarray(window) for window in windows])
    places = np.concatenate([np.arange(len(window)) for window in windows])
    words, positions, kinds = (weights[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
    states = _norm(words[tokens] + positions[places] + kinds[0], weights, "embeddings.LayerNorm")
    for layer in (f"encoder.layer.{number}" for number in range(LAYERS)):
        mixed = _attention(states, spans, weights, f"{layer}.attention.self")
        states = _norm(
            states + _dense(mixed, weights, f"{layer}.attention.output.dense"), weights, f"{layer}.attention.output.LayerNorm"
        )
        inner = _gelu(_dense(states, weights, f"{layer}.intermediate.dense"))
        states = _norm(states + _dense(inner, weights, f"{layer}.output.dense"), weights, f"{layer}.output.LayerNorm")
    return np.stack([states[span].sum(0) for span in spans])


def _attention(states: Array, spans: Sequence[slice], weights: Weights, name: str) -> Array:
    """Scaled dot product attention of each span's tokens to one another: [n_tokens, 384] -> the same."""
    query, key, value = (
        _dense(states, weights, f"{name}.{part}").reshape(-1, HEADS, HEAD_WIDTH).swapaxes(0, 1)
        for part in ("query", "key", "value")
    )
    query *= np.float32(HEAD_WIDTH**-0.5)
    mixed = np.empty_like(states)
    for span in spans:
        scores = query[:, span] @ key[:, span].swapaxes(1, 2)
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        found = scores @ value[:, span] / scores.sum(-1, keepdims=True)
        mixed[span] = found.swapaxes(0, 1).reshape(-1, WIDTH)
    return mixed


def _dense(states: Array, weights: Weights, name: str) -> Array:
    found = states @ weights[f"{name}.weight"].T
    found += weights[f"{name}.bias"]
    return found


def _norm(states: Array, weights: Weights, name: str) -> Array:
    centred = states - states.mean(-1, keepdims=True)
    spread = np.sqrt((centred * centred).mean(-1, keepdims=True) + EPSILON)
    return centred / spread * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def _gelu(states: Array) -> Array:
    """In place, for making room takes as long as the sums. By the error function of Abramowitz and Stegun 1964, 7.1.26."""
    x = states * np.float32(0.5**0.5)
    size = np.abs(x)
    t = np.reciprocal(size * np.float32(_ERF_P) + np.float32(1))
    rest = t * np.float32(_ERF[0])
    for factor in _ERF[1:]:
        rest += np.float32(factor)
        rest *= t
    size *= size
    np.exp(np.negative(size, out=size), out=size)
    rest *= size
    erf = np.copysign(np.subtract(np.float32(1), rest, out=rest), x, out=rest)
    erf += np.float32(1)
    states *= erf
    states *= np.float32(0.5)
    return states
