# pyright: basic
"""Attention of Qwen's vision towers, whose images and windows follow one another without padding, in few calls.

Without the flash-attn package transformers calls attention once a window: 48 windows a page, 28 layers, 16 pages are 21,504
calls a batch, and the GPU waits for the calls. Here it is one call (the kernel that PyTorch brings along), or one a length.
"""

from __future__ import annotations

from typing import Any

NAME = "docrag_flash_packed"  # transformers passes the sequences' ends to what has "flash" in its name
_ALIGNED = 8  # the kernel takes heads whose widths are multiples of it


def use_packed_attention(network: Any) -> None:
    """Let the vision tower of a Qwen model, loaded with "sdpa", use `attend_packed`."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, attend_packed)
    network.visual.config._attn_implementation = NAME


def attend_packed(
    module: Any, query: Any, key: Any, value: Any, attention_mask: Any, *, scaling: float, cu_seq_lens_q: Any, **others: Any
) -> tuple[Any, None]:
    """As transformers' attention functions: [1, heads, n, width] each to [1, n, heads, width].

    `cu_seq_lens_q` int [sequences + 1]: where each sequence begins, and n. Tokens attend within their sequence.
    """
    query, key, value = (tensor[0].transpose(0, 1).contiguous() for tensor in (query, key, value))
    if _has_kernel(query):
        from torch.nn.attention.varlen import varlen_attn

        ends, longest = cu_seq_lens_q.int(), int(others["max_length_q"])
        mixed: Any = varlen_attn(query, key, value, ends, ends, longest, longest, scale=scaling)
    else:
        mixed = _attend_by_length(query, key, value, cu_seq_lens_q, scaling)
    return mixed[None], None


def _has_kernel(query: Any) -> bool:
    import torch

    fits = query.is_cuda and query.dtype in (torch.bfloat16, torch.float16) and query.shape[-1] % _ALIGNED == 0
    return bool(fits) and torch.cuda.get_device_capability(query.device) >= (8, 0)


def _attend_by_length(query: Any, key: Any, value: Any, ends: Any, scaling: float) -> Any:
    """[n, heads, width] each: sequences of one length are one batch."""
    import torch
    from torch.nn.functional import scaled_dot_product_attention

    mixed = torch.empty_like(query)
    lengths = ends.diff()
    for length in lengths.unique().tolist():
        rows = (ends[:-1][lengths == length][:, None] + torch.arange(length, device=ends.device)).flatten()
        batch = [tensor[rows].unflatten(0, (-1, length)).transpose(1, 2) for tensor in (query, key, value)]
        mixed[rows] = scaled_dot_product_attention(*batch, scale=scaling).transpose(1, 2).flatten(0, 1)
    return mixed
