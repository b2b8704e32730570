"""What images and text cost each family of vision-language models, in tokens, and the largest drawing that each reads as it is.

Vendors change these rules; each has its source and the day on which that was read. Where two versions of a rule are about, or
the documents leave a case open, the dearer reading is taken: a budget must hold.
"""

from __future__ import annotations

import functools
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from docrag.errors import UsageError

CountTokens = Callable[[str], int]
"""What a text costs the reader."""
Size = tuple[int, int]
"""Width and height in pixels."""

STANDARD_BUDGETS: Mapping[str, int] = {f"{thousands}k": 1024 * thousands for thousands in (8, 16, 32, 64, 128)}
MAX_ASPECT = 100  # a thinner page is drawn wider than it is: Qwen's processors refuse images over 200 : 1
_TEXTS_REMEMBERED = 8_192  # about 20 MB
_LARGEST_SIDE_PX = 4_096  # no page is drawn larger


@dataclass(frozen=True, slots=True)
class ImageRule:
    """What an image costs one family of models. `source` is the document that says so.

    `count` gives the tokens of (width, height) in pixels; `keeps` says whether an image of that size is read without being
    resized. Sides that are multiples of `step_px` waste nothing.
    """

    name: str
    source: str
    count: Callable[[int, int], int]
    keeps: Callable[[int, int], bool]
    step_px: int = 1

    def tokens(self, width_px: int, height_px: int) -> int:
        """The tokens of an image. Raises ValueError on one without pixels, or of a shape that the model refuses."""
        if width_px < 1 or height_px < 1:
            raise ValueError(f"an image has a width and a height in pixels, got {width_px} x {height_px}")
        return self.count(width_px, height_px)

    def size(self, width_pt: float, height_pt: float, long_side_px: int) -> Size:
        """A drawing of that shape whose long side has at least `long_side_px` pixels: the next multiple of `step_px`."""
        long_pt, short_pt = max(width_pt, height_pt), min(width_pt, height_pt)
        long_px = math.ceil(long_side_px / self.step_px) * self.step_px
        short_px = round(max(short_pt / long_pt, 1 / MAX_ASPECT) * long_px / self.step_px) * self.step_px
        short_px = min(max(short_px, self.step_px), long_px)
        return (long_px, short_px) if width_pt >= height_pt else (short_px, long_px)

    def fit(self, width_pt: float, height_pt: float, max_tokens: int) -> Size | None:
        """The largest drawing of that shape within `max_tokens` that is read as it is; None where not even a small one is."""
        return _largest(self, width_pt, height_pt, max_tokens)


@dataclass(frozen=True, slots=True)
class TokenRule:
    """How one reader counts. Without `image` it reads text only; `image_overhead` is what marks an image off from the text."""

    image: ImageRule | None
    count_text: CountTokens
    image_overhead: int = 0

    def image_tokens(self, size_px: Size) -> int:
        """The tokens of an image, with those around it. Raises UsageError where this reader sees no images."""
        if self.image is None:
            raise UsageError("this reader sees no images, so they have no cost")
        return self.image.tokens(*size_px) + self.image_overhead


@functools.lru_cache(maxsize=20_000)
def _largest(rule: ImageRule, width_pt: float, height_pt: float, max_tokens: int) -> Size | None:
    """By bisection over multiples of the step: costs don't fall as a drawing grows, but for small ones that are enlarged."""

    def at(steps: int) -> Size:
        return rule.size(width_pt, height_pt, steps * rule.step_px)

    def within(steps: int) -> bool:
        return rule.keeps(*at(steps)) and rule.count(*at(steps)) <= max_tokens

    low = next((steps for steps in _small_steps(rule.step_px) if rule.keeps(*at(steps))), 0)
    if low == 0 or not within(low):
        return None
    high = _LARGEST_SIDE_PX // rule.step_px + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if within(middle) else (low, middle)
    return at(low)


def _small_steps(step_px: int) -> range:
    return range(1, 2 + 2_048 // step_px)


def qwen_rule(name: str, patch_px: int, merge: int, min_pixels: int, max_pixels: int) -> ImageRule:
    """Qwen-VL's native resolution: sides rounded to whole cells of `patch_px * merge` pixels, a token a cell.

    Images under `min_pixels` are enlarged, those over `max_pixels` reduced, as transformers' `smart_resize` does it:
    https://github.com/huggingface/transformers/blob/main/src/transformers/models/qwen2_vl/image_processing_qwen2_vl.py
    (arXiv:2409.12191, section 2.1). The tests and `bench.context` hold it against that processor.
    """
    cell = patch_px * merge

    def cells(width_px: int, height_px: int) -> tuple[int, int]:
        if max(width_px, height_px) > 200 * min(width_px, height_px):
            raise ValueError(f"Qwen-VL takes images of an aspect ratio up to 200, got {width_px} x {height_px}")
        across, down = round(width_px / cell), round(height_px / cell)
        if across * down * cell**2 > max_pixels:
            shrink = math.sqrt(width_px * height_px / max_pixels)
            across, down = (max(1, math.floor(side / shrink / cell)) for side in (width_px, height_px))
        elif across * down * cell**2 < min_pixels:
            grow = math.sqrt(min_pixels / (width_px * height_px))
            across, down = (math.ceil(side * grow / cell) for side in (width_px, height_px))
        return across, down

    def count(width_px: int, height_px: int) -> int:
        across, down = cells(width_px, height_px)
        return across * down

    def keeps(width_px: int, height_px: int) -> bool:
        return cells(width_px, height_px) == (width_px / cell, height_px / cell)

    source = "https://github.com/huggingface/transformers/tree/main/src/transformers/models/qwen2_vl"
    return ImageRule(name, source, count, keeps, cell)


def patch_rule(
    name: str, source: str, patch_px: int, max_patches: tuple[int, int], max_side_px: int, multiplier: float = 1.0
) -> ImageRule:
    """A token, times `multiplier`, for each patch that an image touches; larger images are reduced first.

    `max_patches`: up to the first no model of the family resizes; the second bounds the cost, whatever the image.
    """
    kept, most = max_patches

    def patches(width_px: int, height_px: int) -> int:
        return math.ceil(width_px / patch_px) * math.ceil(height_px / patch_px)

    def count(width_px: int, height_px: int) -> int:
        return math.ceil(multiplier * min(patches(width_px, height_px), most))

    def keeps(width_px: int, height_px: int) -> bool:
        padded = math.ceil(max(width_px, height_px) / patch_px) * patch_px
        return padded <= max_side_px and patches(width_px, height_px) <= kept

    return ImageRule(name, source, count, keeps, patch_px)


def tile_rule(name: str, source: str, base: int, tile: int) -> ImageRule:
    """OpenAI's "high" detail: fitted into 2,048 x 2,048, then to a short side of 768, then `tile` for each 512-pixel tile.

    Neither step enlarges (a 512 x 512 image is one tile), which the guide doesn't say but users measured.
    """

    def count(width_px: int, height_px: int) -> int:
        scale = min(1.0, 2048 / max(width_px, height_px))
        scale *= min(1.0, 768 / (scale * min(width_px, height_px)))
        across, down = (math.ceil(round(side * scale, 6) / 512) for side in (width_px, height_px))
        return base + tile * across * down

    def keeps(width_px: int, height_px: int) -> bool:
        return max(width_px, height_px) <= 2048 and min(width_px, height_px) <= 768

    return ImageRule(name, source, count, keeps)


def _gemini_2() -> ImageRule:
    """258 tokens a tile; the guides count tiles in two ways, of which the dearer is taken.

    https://ai.google.dev/gemini-api/docs/tokens: one tile up to 384 x 384, else tiles of 768 x 768.
    https://ai.google.dev/gemini-api/docs/image-understanding: tiles of floor(min(width, height) / 1.5), so 6 for 960 x 540.
    Read 2026-11-20. That images are reduced to 3,072 pixels was so for Gemini 1.5, and is assumed.
    """

    def count(width_px: int, height_px: int) -> int:
        if max(width_px, height_px) <= 384:
            return 258
        unit = max(1, math.floor(min(width_px, height_px) / 1.5))
        return 258 * max(math.ceil(width_px / side) * math.ceil(height_px / side) for side in (768, unit))

    def keeps(width_px: int, height_px: int) -> bool:
        return max(width_px, height_px) <= 3072

    return ImageRule("Gemini 2 tiles", "https://ai.google.dev/gemini-api/docs/image-understanding", count, keeps)


def _gemini_3() -> ImageRule:
    """1,120 tokens an image, whatever its size: `media_resolution` high, the default for images.

    https://ai.google.dev/gemini-api/docs/media-resolution (read 2026-11-20). What size that corresponds to is not published;
    drawings are kept to 1,536 pixels.
    """

    def keeps(width_px: int, height_px: int) -> bool:
        return max(width_px, height_px) <= 1536

    source = "https://ai.google.dev/gemini-api/docs/media-resolution"
    return ImageRule("Gemini 3 media resolution", source, lambda width_px, height_px: 1120, keeps)


def _claude_3() -> ImageRule:
    """width * height / 750, after reduction to sides of 1,568 pixels and about 1,600 tokens, as the guide had it until 2026.

    https://docs.anthropic.com/en/docs/build-with-claude/vision. The guide now counts 28-pixel patches for every model, which
    is dearer where sides are no multiples of 28: the dearer of both is taken.
    """

    def count(width_px: int, height_px: int) -> int:
        by_area = math.ceil(width_px * height_px / 750)
        return min(max(by_area, CLAUDE.count(width_px, height_px)), 1600)

    def keeps(width_px: int, height_px: int) -> bool:
        return CLAUDE.keeps(width_px, height_px) and width_px * height_px <= 1_150_000

    source = "https://docs.anthropic.com/en/docs/build-with-claude/vision"
    return ImageRule("Claude 3 area", source, count, keeps, 28)


_OPENAI = "https://developers.openai.com/api/docs/guides/images-vision"
_CLAUDE = "https://platform.claude.com/docs/en/build-with-claude/vision"

MMLONGBENCH = patch_rule(
    # "the number of 14 x 14 patches ..., followed by a 2 x 2 pixel unshuffle", with no limit on an image's size.
    "MMLongBench", "https://arxiv.org/abs/2505.10610", 28, (10**6, 10**9), _LARGEST_SIDE_PX
)  # fmt: skip
# min_pixels and max_pixels of the published preprocessor_config.json, not the library's defaults (1,280 cells).
QWEN2_VL = qwen_rule("Qwen2-VL and Qwen2.5-VL", 14, 2, 3_136, 12_845_056)
QWEN3_VL = qwen_rule("Qwen3-VL", 16, 2, 65_536, 16_777_216)
# Read 2026-11-20. The guide of 2025 reduced to 1,536 patches, today's to 6,144 or more, by model and detail.
GPT_PATCHES = patch_rule("GPT-5.2 and later, patches", _OPENAI, 32, (1_536, 30_000), 2_048, 1.2)
GPT_MINI_PATCHES = patch_rule("GPT-4.1 mini and GPT-5 mini, patches", _OPENAI, 32, (1_536, 6_144), 2_048, 1.62)
GPT_NANO_PATCHES = patch_rule("GPT-4.1 nano and GPT-5 nano, patches", _OPENAI, 32, (1_536, 6_144), 2_048, 2.46)
O4_MINI_PATCHES = patch_rule("o4-mini, patches", _OPENAI, 32, (1_536, 6_144), 2_048, 1.72)
GPT_4O_TILES = tile_rule("GPT-4o and GPT-4.1, tiles", _OPENAI, 85, 170)
# What is billed; the context window is said to fill by GPT-4o's count only.
GPT_4O_MINI_TILES = tile_rule("GPT-4o mini, tiles", _OPENAI, 2_833, 5_667)
GPT_5_TILES = tile_rule("GPT-5 and GPT-5.1, tiles", _OPENAI, 70, 140)
O_TILES = tile_rule("o1 and o3, tiles", _OPENAI, 75, 150)
# Read 2026-11-20; tokens are those of the two tiers of resolution, sides are padded to multiples of 28.
CLAUDE = patch_rule("Claude 4 to 4.6", _CLAUDE, 28, (1_568, 1_568), 1_568)
CLAUDE_HIGH = patch_rule("Claude 4.7 and later", _CLAUDE, 28, (4_784, 4_784), 2_576)
CLAUDE_3 = _claude_3()
GEMINI_2 = _gemini_2()
GEMINI_3 = _gemini_3()
# As dear as the dearest common encoder (Pixtral: a token for 16 x 16 pixels), with a limit on the sides as most have.
CONSERVATIVE = patch_rule("unknown model: 16-pixel patches", "https://arxiv.org/abs/2410.07073", 16, (9_216, 10**9), 1_536)

# The first that matches; "-", "_", "." and blanks in a model's name are the same here.
_FAMILIES: tuple[tuple[str, ImageRule], ...] = (
    (r"mmlongbench", MMLONGBENCH),
    (r"qwen-?2(-5)?-?vl", QWEN2_VL),
    (r"qwen-?3(-\d)?-?vl", QWEN3_VL),
    (r"gpt-4o-mini", GPT_4O_MINI_TILES),
    (r"gpt-(4-1|5(-\d)?)(-codex)?-mini", GPT_MINI_PATCHES),
    (r"gpt-(4-1|5(-\d)?)-nano", GPT_NANO_PATCHES),
    (r"o4-mini|codex-mini", O4_MINI_PATCHES),
    (r"gpt-(5-[2-9]|[6-9])", GPT_PATCHES),
    (r"gpt-5", GPT_5_TILES),
    (r"gpt-4", GPT_4O_TILES),
    (r"\bo[13]\b", O_TILES),
    (r"claude-3|claude-(instant|2)", CLAUDE_3),
    (r"claude-[a-z]+-(4-[7-9]|[5-9])\b", CLAUDE_HIGH),
    (r"claude", CLAUDE),
    (r"gemini-([3-9]|\d\d)", GEMINI_3),
    (r"gemini", GEMINI_2),
)
_PIECE = re.compile(r"[A-Za-z]+|[0-9]|\s+|[^\x00-\x7f]|[^\sA-Za-z0-9]")


def token_rule(model: str, tokenizer: CountTokens | None = None) -> TokenRule:
    """The rule of a model by its name ("openai:gpt-4o", "Qwen/Qwen2.5-VL-7B-Instruct"), or of a local folder that holds one.

    A model that nobody knows gets `CONSERVATIVE`; without a `tokenizer`, text is counted by `estimate_tokens`. Keep the rule
    for as long as the reader: it remembers what it counted.
    """
    image = _folder_rule(Path(model.removeprefix("hf:"))) or image_rule(model)
    marks = 2 if image.name.lower().startswith("qwen") else 0  # <|vision_start|> and <|vision_end|>
    return TokenRule(image, _remembering(tokenizer), marks)


def text_rule(tokenizer: CountTokens | None = None) -> TokenRule:
    """The rule of a reader that sees no images."""
    return TokenRule(None, _remembering(tokenizer))


def _remembering(tokenizer: CountTokens | None) -> CountTokens:
    """Counting takes most of the time of a context, and the same pages come up again from question to question."""
    return functools.lru_cache(maxsize=_TEXTS_REMEMBERED)(tokenizer or estimate_tokens)


def image_rule(model: str) -> ImageRule:
    """The image rule of a model by its name; `CONSERVATIVE` where the name says nothing."""
    name = re.sub(r"[-_. ]+", "-", model.lower())
    return next((rule for pattern, rule in _FAMILIES if re.search(pattern, name)), CONSERVATIVE)


def parse_budget(text: str) -> int:
    """ "32k" or "32768" to a number of tokens; raises UsageError on what is neither."""
    match = re.fullmatch(r"([0-9]{1,9})(k?)", text.strip().lower())
    tokens = int(match[1]) * (1024 if match[2] else 1) if match else 0
    if tokens < 1:
        raise UsageError(f"a budget is a number of tokens such as 32768, or 32k, got {text!r}")
    return tokens


def estimate_tokens(text: str) -> int:
    """A number of tokens that common tokenizers seldom exceed, where the reader's own is not at hand.

    Letters in pieces of four, a token for each digit (as Qwen's tokenizer has it), sign and run of blanks, two for a letter
    outside ASCII. Single blanks go with the word behind them.
    """
    total = 0
    for piece in _PIECE.findall(text):
        if piece.isspace():
            total += piece != " "
        elif piece.isascii():
            total += -(-len(piece) // 4)
        else:
            total += 2
    return total


def _folder_rule(folder: Path) -> ImageRule | None:
    """The rule that a local model's own processor follows; None where the folder holds no processor of Qwen's kind."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        try:
            found: Any = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        config = cast(dict[str, Any], found) if isinstance(found, dict) else {}
        rule = _processor_rule(config.get("image_processor", config), str(folder))
        if rule is not None:
            return rule
    return None


def _processor_rule(config: Mapping[str, Any], name: str) -> ImageRule | None:
    if "Qwen" not in str(config.get("image_processor_type", "")):
        return None
    size = cast(Mapping[str, Any], config.get("size") or {})
    least, most = config.get("min_pixels") or size.get("shortest_edge"), config.get("max_pixels") or size.get("longest_edge")
    numbers = (config.get("patch_size", 14), config.get("merge_size", 2), least, most)
    if not all(isinstance(number, int) and number > 0 for number in numbers):
        return None
    patch_px, merge, min_pixels, max_pixels = cast(tuple[int, int, int, int], numbers)
    return qwen_rule(f"Qwen-VL as in {name}", patch_px, merge, min_pixels, max_pixels)
