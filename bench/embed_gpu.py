"""How fast pages are embedded on a GPU: docrag's encoder beside the loop in colpali-engine's README, on models of full size.

    python -m bench.embed_gpu [--model-size 3b|250m] [--pages N] [--tiny] [--json]

The models are ColQwen2.5-3B and ColModernVBERT (250M) with random weights, made from their configurations: nothing is
downloaded, and speed does not depend on what weights say. Both ways get the same pages in memory, already drawn. Where there
is no CUDA it says so and ends with 0; `--tiny` runs the whole of it on the CPU, with models whose figures mean nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from colpali_engine.models import ColModernVBert, ColModernVBertProcessor, ColQwen2_5
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch.utils.flop_counter import FlopCounterMode
from transformers import ModernVBertConfig
from transformers.models.qwen2_5_vl import Qwen2_5_VLConfig

from bench.common import table
from docrag.index.visual_attention import NAME, use_packed_attention
from docrag.index.visual_encoder import ColEncoder, ImageVectors
from docrag.index.visual_geometry import following_grid, tiles
from tests.tiny_models import qwen_processor, tiles_processor

PRECISION = {"cuda": "bfloat16", "cpu": "float32", "meta": "bfloat16"}
README_BATCH = 4
PAGE_PT = (595.0, 842.0)
DPI = 150  # at which a page is drawn where nobody asks the model
VISUAL_TOKENS = 768
_TOP = 12
Maker = Callable[[Path, str, bool], ColEncoder]


def main() -> None:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--model-size", choices=sorted(MODELS), action="append", help="default: both")
    made.add_argument("--pages", type=int, default=128, metavar="N")
    made.add_argument("--tiny", action="store_true", help="small models, on the CPU where there is no CUDA")
    made.add_argument("--json", action="store_true")
    arguments = made.parse_args()
    if not torch.cuda.is_available() and not arguments.tiny:
        told = "there is no CUDA device here: nothing was measured (--tiny runs the code on the CPU)"
        print(json.dumps({"measured": False, "reason": told}) if arguments.json else told)
        return
    result = measure(arguments.model_size or sorted(MODELS), arguments.pages, arguments.tiny)
    print(json.dumps(result) if arguments.json else to_markdown(result))


def measure(sizes: Sequence[str], pages: int, tiny: bool) -> dict[str, Any]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = PRECISION[device]
    rate = matmul_rate(device, precision, 512 if tiny else 8192)
    models = {size: measure_model(MODELS[size], pages, device, tiny, rate) for size in sizes}
    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return {"measured": True, "device": name, "precision": precision, "matmul_tflops": rate / 1e12, "models": models}


def measure_model(make: Maker, pages: int, device: str, tiny: bool, rate: float) -> dict[str, Any]:
    """Pages a second of both ways, the operations of a page, and where docrag's time goes."""
    with tempfile.TemporaryDirectory(prefix="docrag-bench-") as folder:
        encoder = make(Path(folder), device, tiny)
    size = encoder.image_size_px(*PAGE_PT)
    drawn = [draw_page(number) for number in range(min(pages, 16))]
    large = [drawn[number % len(drawn)] for number in range(pages)]
    fitting = [large[number].resize(size) for number in range(len(drawn))]
    ours = [np.asarray(fitting[number % len(drawn)]) for number in range(pages)]
    flops = page_flops(encoder, fitting[0])
    encoder.encode_images(ours)  # both warm, and the size of batches that fits is found
    readme_loop(encoder, large[:README_BATCH])
    readme = _seconds(lambda: readme_loop(encoder, large))
    readme_fitting = _seconds(lambda: readme_loop(encoder, [fitting[number % len(drawn)] for number in range(pages)]))
    docrag = _seconds(lambda: _checked(encoder, ours))
    return {
        "parameters": sum(parameter.numel() for parameter in encoder._network.parameters()),
        "image_size_px": size,
        "vectors_per_page": encoder.count_vectors(size),
        "tflop_per_page": flops / 1e12,
        "pages": pages,
        "pages_per_second": {
            "docrag": pages / docrag,
            f"README loop, pages drawn at {DPI} dpi": pages / readme,
            "README loop, pages drawn at the model's size": pages / readme_fitting,
        },
        "times_readme": readme / docrag,
        "share_of_matmul_rate": pages / docrag * flops / rate,
        "memory_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
        "where": profile(encoder, ours, device),
    }


def readme_loop(encoder: ColEncoder, pages: Sequence[Image.Image]) -> list[torch.Tensor]:
    """As in colpali-engine's README: four pages to a batch, made ready and encoded in turn, vectors kept on the CPU."""
    network, processor = encoder._network, encoder._processor
    kept = processor.image_processor.__dict__.pop("device", None)
    packed = _set_attention(network, "sdpa")
    found: list[torch.Tensor] = []
    try:
        for start in range(0, len(pages), README_BATCH):
            batch = processor.process_images(list(pages[start : start + README_BATCH])).to(encoder.device)
            with torch.no_grad():
                vectors = network(**_to_dtype(batch, encoder.precision))
            found.extend(torch.unbind(vectors.to("cpu")))
    finally:
        if packed:
            _set_attention(network, NAME)
        if kept is not None:
            processor.image_processor.device = kept
    return found


def page_flops(encoder: ColEncoder, page: Image.Image) -> float:
    """Multiplications and additions of one page's forward pass, counted on PyTorch's own attention."""
    packed = _set_attention(encoder._network, "sdpa")
    inputs = _to_dtype(encoder._processor.process_images([page]).to(encoder.device), encoder.precision)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder._network(**inputs)
    if packed:
        _set_attention(encoder._network, NAME)
    return float(counter.get_total_flops())


def matmul_rate(device: str, precision: str, side: int) -> float:
    """Multiplications and additions a second of square matrix products: the median of 20."""
    left, right = (torch.randn(side, side, device=device, dtype=getattr(torch, precision)) for _ in range(2))
    times = [_seconds(lambda: left @ right) for _ in range(25)][5:]
    return 2 * side**3 / sorted(times)[len(times) // 2]


def profile(encoder: ColEncoder, pages: Sequence[NDArray[np.uint8]], device: str) -> dict[str, float]:
    """The share of each operation in the time that the device spent, the largest first; on a GPU, how long it was busy too."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if device == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    began = time.perf_counter()
    with torch.profiler.profile(activities=activities, acc_events=True) as profiler:
        encoder.encode_images(pages[: min(len(pages), 64)])
    wall_us = (time.perf_counter() - began) * 1e6
    field = "self_device_time_total" if device == "cuda" else "self_cpu_time_total"
    spent = {event.key: float(getattr(event, field)) for event in profiler.key_averages()}
    total = sum(spent.values()) or 1.0
    shares = {name: spent[name] / total for name in sorted(spent, key=lambda name: -spent[name])[:_TOP]}
    return {"the device was busy (profiled)": total / wall_us, **shares} if device == "cuda" else shares


def draw_page(seed: int) -> Image.Image:
    """A page of grey lines like text, at DPI."""
    generator = np.random.default_rng(seed)
    size = tuple(round(edge * DPI / 72) for edge in PAGE_PT)
    page = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(page)
    for top in range(80, size[1] - 80, 26):
        left = 90
        while left < size[0] - 150:
            width = int(generator.integers(12, 90))
            pen.rectangle((left, top, left + width, top + 12), fill=(int(generator.integers(0, 90)),) * 3)
            left += width + 9
    return page


def colqwen_3b(folder: Path, device: str, tiny: bool) -> ColEncoder:
    """ColQwen2.5-3B: Qwen2.5-VL-3B's sizes, 768 patches a page."""
    processor = qwen_processor(folder, VISUAL_TOKENS // 16 if tiny else VISUAL_TOKENS)
    ids = processor.tokenizer.convert_tokens_to_ids
    text: dict[str, Any] = {"hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16}
    vision: dict[str, Any] = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16}
    vision["fullatt_block_indexes"] = [7, 15, 23, 31]
    rope: dict[str, Any] = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6}
    if tiny:
        text = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
        vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "fullatt_block_indexes": [1]}
        rope["mrope_section"] = [4, 6, 6]
    config = Qwen2_5_VLConfig(
        text_config={**text, "num_key_value_heads": 2, "vocab_size": 151_936, "rope_parameters": rope},
        vision_config={**vision, "out_hidden_size": text["hidden_size"], "window_size": 112},
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    network = make_network(ColQwen2_5, config, device)
    use_packed_attention(network)
    return ColEncoder(network, processor, following_grid(processor, VISUAL_TOKENS), "3b", device, PRECISION[device])


def colmodernvbert_250m(folder: Path, device: str, tiny: bool) -> ColEncoder:
    """ColModernVBERT: ModernBERT of 150M and SigLIP-base, tiles of 512 px, 4 along the longer edge."""
    tile_px = 64 if tiny else 512
    processor = tiles_processor(ColModernVBertProcessor, folder, tile_px, 4, (tile_px // 64) ** 2)
    small = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2} if tiny else {}
    config = ModernVBertConfig(
        text_config={"model_type": "modernbert", **small},
        vision_config={"model_type": "siglip_vision_model", "image_size": tile_px, "vision_use_head": False, **small},
        image_token_id=processor.image_token_id,
    )
    network = make_network(ColModernVBert, config, device)
    return ColEncoder(network, processor, tiles(processor, 1 << 20), "250m", device, PRECISION[device])


MODELS: dict[str, Maker] = {"3b": colqwen_3b, "250m": colmodernvbert_250m}


def to_markdown(result: dict[str, Any]) -> str:
    parts = [f"{result['device']}, {result['precision']}: {result['matmul_tflops']:.1f} TFLOP/s in matrix products"]
    for name, model in result["models"].items():
        rates = [(way, f"{rate:.2f}") for way, rate in model["pages_per_second"].items()]
        parts += [
            (
                f"## {name}: {model['parameters'] / 1e6:.0f}M weights, {model['vectors_per_page']} vectors and "
                f"{model['tflop_per_page']:.2f} TFLOP a page, {model['pages']} pages"
            ),
            table(("", "pages/s"), rates),
            f"{model['times_readme']:.1f} times the README loop, {model['share_of_matmul_rate']:.0%} of the matrix rate",
            table(("where the time goes", "share"), [(at, f"{share:.1%}") for at, share in model["where"].items()]),
        ]
    return "\n\n".join(parts)


def make_network(model: Any, config: Any, device: str) -> Any:
    """Made on the device itself, in its precision; weights as they are initialised."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, PRECISION[device]))
    try:
        with torch.device(device):
            return model(config).eval()
    finally:
        torch.set_default_dtype(before)


def _set_attention(network: Any, name: str) -> bool:
    """Whether it was docrag's own."""
    config = getattr(getattr(network, "visual", None), "config", None)
    if config is None:
        return False
    was_packed = config._attn_implementation == NAME
    config._attn_implementation = name
    return was_packed


def _to_dtype(batch: Any, precision: str) -> dict[str, Any]:
    dtype = getattr(torch, precision)
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in batch.items()}


def _checked(encoder: ColEncoder, pages: Sequence[NDArray[np.uint8]]) -> None:
    failed = [result for result in encoder.encode_images(pages) if not isinstance(result, ImageVectors)]
    if failed:
        sys.exit(f"{len(failed)} pages failed: {failed[0]}")


def _seconds(work: Callable[[], Any]) -> float:
    """With what the device still has to do at both ends."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
