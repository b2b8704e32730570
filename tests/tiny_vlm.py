"""A Qwen2.5-VL with random weights, small enough to be made, saved, loaded and served by each test run. It talks nonsense."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLProcessor, Qwen2Tokenizer
from transformers.models.qwen2_5_vl import Qwen2_5_VLConfig
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor

WINDOW_TOKENS = 16_384
# Those that the real model's processor has: a page is resized by the tiny one as it would be by the real one.
MIN_PIXELS, MAX_PIXELS = 4 * 28 * 28, 16_384 * 28 * 28
QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# The real model's, without its branches for tools and video.
_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_qwen2_5_vl(folder: Path, seed: int = 0) -> Path:
    """Save a Qwen2.5-VL of about 0.1 million random weights, with its processor and chat template, to `folder`."""
    tokenizer = save_vocabulary(folder, QWEN_SPECIAL)
    qwen = Qwen2Tokenizer.from_pretrained(
        folder, pad_token="<|endoftext|>", eos_token="<|im_end|>", extra_special_tokens=list(QWEN_SPECIAL)
    )
    image_processor = Qwen2VLImageProcessor(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    processor = Qwen2_5_VLProcessor(image_processor, qwen, Qwen2VLVideoProcessor(), chat_template=_TEMPLATE)
    processor.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Qwen2_5_VLForConditionalGeneration(qwen_config(tokenizer, WINDOW_TOKENS, "<|im_end|>"))
    model.generation_config.max_new_tokens = 64
    model.generation_config.eos_token_id = tokenizer.token_to_id("<|im_end|>")
    model.generation_config.pad_token_id = tokenizer.token_to_id("<|endoftext|>")
    model.save_pretrained(folder)
    return folder


def qwen_config(tokenizer: Tokenizer, window_tokens: int, eos_token: str | None) -> Qwen2_5_VLConfig:
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": window_tokens,
            "rope_parameters": {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 10000.0},
            "bos_token_id": None,
            "eos_token_id": None if eos_token is None else tokenizer.token_to_id(eos_token),
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "out_hidden_size": 32,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        image_token_id=tokenizer.token_to_id("<|image_pad|>"),
        video_token_id=tokenizer.token_to_id("<|video_pad|>"),
        vision_start_token_id=tokenizer.token_to_id("<|vision_start|>"),
        vision_end_token_id=tokenizer.token_to_id("<|vision_end|>"),
    )


def save_vocabulary(folder: Path, special: Sequence[str]) -> Tokenizer:
    """A byte-level tokenizer: every byte, "th" and "the", and the `special` tokens. Left in `folder` as GPT-2's two files."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "th", "the"]
    merges = [("t", "h"), ("th", "e")]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    return tokenizer
