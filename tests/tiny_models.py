"""Late-interaction models of the real architectures with random weights, small enough to be made by each test run."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from colpali_engine.models import ColIdefics3, ColIdefics3Processor, ColQwen2_5, ColQwen2_5_Processor
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import Idefics3Config, PreTrainedTokenizerFast, Qwen2Tokenizer
from transformers.models.idefics3.image_processing_idefics3 import Idefics3ImageProcessor
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor
from transformers.models.qwen2_vl.video_processing_qwen2_vl import Qwen2VLVideoProcessor
from transformers.utils import logging

from tests.tiny_vlm import QWEN_SPECIAL, qwen_config, save_vocabulary

MAX_VISUAL_TOKENS = 48
TILE_PX, TILES_ACROSS, TOKENS_PER_TILE = 32, 3, 4
_MIXING = re.compile(r"(o_proj|out_proj|down_proj|fc2|attn\.proj)\.weight")
_TILE_NAMES = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))
_IDEFICS_SPECIAL = (
    *("<|im_start|>", "<|im_end|>", "<fake_token_around_image>", "<image>", "<end_of_utterance>", "<global-img>"),
    *_TILE_NAMES,
)


def tiny_colqwen2_5(folder: Path, seed: int = 0) -> Path:
    """Save a ColQwen2.5 of about 0.1 million random weights, with its processor, to `folder`; at most 48 patches a page."""
    tokenizer = qwen_processor(folder, MAX_VISUAL_TOKENS).tokenizer.backend_tokenizer
    config = qwen_config(tokenizer, 2048, None)
    _save_random(ColQwen2_5, config, folder, seed)
    return folder


def tiny_colidefics3(folder: Path, seed: int = 0) -> Path:
    """Save a ColIdefics3 of random weights, with its processor: tiles of 32 px, 3 along the longer edge, 4 vectors a tile."""
    processor = tiles_processor(ColIdefics3Processor, folder, TILE_PX, TILES_ACROSS, TOKENS_PER_TILE)
    tokenizer = processor.tokenizer.backend_tokenizer
    config = Idefics3Config(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": TILE_PX,
            "patch_size": 8,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": tokenizer.get_vocab_size(),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "max_position_embeddings": 2048,
            "pad_token_id": tokenizer.token_to_id("<|im_end|>"),
            "bos_token_id": None,
            "eos_token_id": None,
        },
        image_token_id=tokenizer.token_to_id("<image>"),
        pad_token_id=tokenizer.token_to_id("<|im_end|>"),
        scale_factor=2,
    )
    _save_random(ColIdefics3, config, folder, seed)
    return folder


def qwen_processor(folder: Path, max_visual_tokens: int) -> ColQwen2_5_Processor:
    """Save ColQwen2.5's processor to `folder`, with a byte-level tokenizer."""
    save_vocabulary(folder, QWEN_SPECIAL)
    tokenizer = Qwen2Tokenizer.from_pretrained(folder, pad_token="<|endoftext|>", extra_special_tokens=list(QWEN_SPECIAL))
    images = Qwen2VLImageProcessor(size={"shortest_edge": 28 * 28 * 4, "longest_edge": 28 * 28 * max_visual_tokens})
    template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    processor = ColQwen2_5_Processor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=template)
    processor.save_pretrained(folder)
    return processor


def tiles_processor(kind: type, folder: Path, tile_px: int, tiles_across: int, tokens_per_tile: int) -> ColIdefics3Processor:
    """Save the processor of ColIdefics3, or of ColModernVBERT, to `folder`, with a byte-level tokenizer."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=save_vocabulary(folder, _IDEFICS_SPECIAL),
        pad_token="<|im_end|>",
        eos_token="<end_of_utterance>",
        extra_special_tokens=list(_IDEFICS_SPECIAL),
    )
    images = Idefics3ImageProcessor(size={"longest_edge": tile_px * tiles_across}, max_image_size={"longest_edge": tile_px})
    processor = kind(images, tokenizer, image_seq_len=tokens_per_tile)
    processor.save_pretrained(folder)
    return processor


def _save_random(model_class: type, config: object, folder: Path, seed: int) -> None:
    """Weights larger than those that training begins with, so that vectors depend on their patches, and little on others."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = model_class(config)
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                gain = 0.3 if _MIXING.search(name) else 1.0
                torch.nn.init.normal_(parameter, std=gain * parameter[0].numel() ** -0.5)
    logging.disable_progress_bar()
    try:
        model.save_pretrained(folder)
    finally:
        logging.enable_progress_bar()


def tiny_adapter(base: Path, folder: Path, saved: Sequence[str] = (), seed: int = 1) -> Path:
    """Save to `folder` what a LoRA training of the tiny ColQwen2.5 at `base` leaves: the adapter, and the processor.

    The names of its weights are those that published adapters have, from before transformers moved `language_model`. The
    modules in `saved` are not adapted but trained whole. The weights are random, and large enough to matter.
    """
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=r"(.*(language_model).*(down_proj|q_proj|v_proj).*$)" + ("" if saved else r"|(.*(custom_text_proj).*$)"),
        modules_to_save=list(saved) or None,
        task_type="FEATURE_EXTRACTION",
        base_model_name_or_path=str(base),
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft asks transformers by an old name
            adapted = get_peft_model(ColQwen2_5.from_pretrained(base, dtype=torch.float32), config)
        for name, parameter in adapted.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(folder)
    ColQwen2_5_Processor.from_pretrained(base).save_pretrained(folder)
    weights = folder / "adapter_model.safetensors"
    renamed = {name.replace("model.language_model.layers", "model.model.layers"): w for name, w in load_file(weights).items()}
    save_file(renamed, weights, metadata={"format": "pt"})
    return folder
