"""Token rules: against the real Qwen processor, against the vendors' own examples, and what `fit` promises."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import Qwen2VLImageProcessor

from docrag.errors import UsageError
from docrag.pipelines import tokens
from docrag.pipelines.tokens import ImageRule, estimate_tokens, image_rule, parse_budget, text_rule, token_rule
from tests.tiny_models import MAX_VISUAL_TOKENS, tiny_colqwen2_5

RULES = sorted({value.name: value for value in vars(tokens).values() if isinstance(value, ImageRule)}.items())


def by_processor(processor: Qwen2VLImageProcessor, size_px: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """Tokens of an image, and the size to which it was resized."""
    _, rows, columns = processor(images=[Image.new("RGB", size_px, "white")])["image_grid_thw"][0].tolist()
    patch = processor.patch_size
    return rows * columns // processor.merge_size**2, (columns * patch, rows * patch)


@pytest.fixture(scope="module")
def processor() -> Qwen2VLImageProcessor:
    return Qwen2VLImageProcessor(min_pixels=3_136, max_pixels=12_845_056)


@settings(max_examples=40, deadline=None)
@given(st.integers(8, 900), st.integers(8, 900))
def test_qwen_tokens_are_those_of_the_real_processor(processor, width, height):
    if max(width, height) <= 200 * min(width, height):
        assert tokens.QWEN2_VL.tokens(width, height) == by_processor(processor, (width, height))[0]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(20, 900), st.integers(20, 900), st.sampled_from([(14, 2), (16, 2)]), st.integers(4, 60), st.integers(61, 400)
)
def test_and_so_under_other_limits_and_cells(width, height, patch_merge, least, most):
    patch, merge = patch_merge
    limits = {"min_pixels": least * (patch * merge) ** 2, "max_pixels": most * (patch * merge) ** 2}
    real = Qwen2VLImageProcessor(patch_size=patch, merge_size=merge, **limits)
    rule = tokens.qwen_rule("test", patch, merge, **limits)
    count, resized = by_processor(real, (width, height))
    assert (rule.tokens(width, height), rule.keeps(width, height)) == (count, resized == (width, height))


@settings(max_examples=30, deadline=None)
@given(st.floats(50, 2_000), st.floats(50, 2_000), st.integers(4, 1_200))
def test_what_fit_draws_the_processor_leaves_as_it_is(processor, width_pt, height_pt, most):
    size = tokens.QWEN2_VL.fit(width_pt, height_pt, most)
    if size is not None:
        count, resized = by_processor(processor, size)
        assert (resized, count <= most) == (size, True)


@pytest.mark.parametrize(("name", "rule"), RULES)
@settings(max_examples=40, deadline=None)
@given(st.floats(1, 14_400), st.floats(1, 14_400), st.integers(1, 20_000))
def test_fit_stays_within_the_tokens_and_is_not_resized(name, rule, width_pt, height_pt, most):
    size = rule.fit(width_pt, height_pt, most)
    if size is not None:
        assert rule.tokens(*size) <= most
        assert rule.keeps(*size)
        assert (size[0] >= size[1]) == (width_pt >= height_pt) or size[0] == size[1]
    assert (rule.fit(width_pt, height_pt, 0), rule.tokens(1, 1) > 0) == (None, True)


@pytest.mark.parametrize(
    ("model", "size", "count"),
    [
        ("openai:gpt-4o", (512, 512), 255),
        ("openai:gpt-4o", (1024, 1024), 765),
        ("openai:gpt-4o-2024-08-06", (2048, 4096), 1105),
        ("openai:gpt-4.1", (1024, 1024), 765),
        ("openai:gpt-4o-mini", (1024, 1024), 2833 + 4 * 5667),
        ("openai:gpt-5", (1024, 1024), 630),
        ("openai:o3", (1024, 1024), 675),
        ("openai:gpt-4.1-mini-2025-04-14", (1024, 1024), 1659),
        ("openai:gpt-5-nano", (1024, 1024), 2520),
        ("openai:gpt-5.1-codex-mini", (1024, 1024), 1659),
        ("ollama:qwen2.5vl:7b", (784, 560), 560),
        ("openai:o4-mini", (1024, 1024), 1762),
        ("openai:gpt-5.4", (1024, 1024), 1229),
        ("anthropic:claude-sonnet-4-5", (1000, 1000), 1296),
        ("anthropic:claude-opus-4-20250514", (1920, 1080), 1568),
        ("anthropic:claude-opus-4-8", (1920, 1080), 2691),
        ("anthropic:claude-3-5-sonnet-latest", (1092, 1092), 1590),
        ("google_genai:gemini-2.0-flash", (300, 384), 258),
        ("google_genai:gemini-2.5-pro", (960, 540), 6 * 258),
        ("google_genai:gemini-3-pro-preview", (960, 540), 1120),
        ("Qwen/Qwen2.5-VL-7B-Instruct", (784, 560), 560),
        ("Qwen/Qwen3-VL-8B-Instruct", (1024, 1024), 1024),
        ("mmlongbench", (785, 560), 29 * 20),
        ("some-company/model-x", (1024, 1024), 4096),
    ],
)
def test_families_by_name_and_the_vendors_examples(model, size, count):
    assert image_rule(model).tokens(*size) == count


def test_unknown_models_get_the_named_conservative_rule():
    rule = token_rule("llama-next")
    assert rule.image is tokens.CONSERVATIVE
    assert "unknown model" in rule.image.name
    assert rule.image_tokens((784, 560)) == 49 * 35
    assert all(known.source.startswith("https://") for _, known in RULES)


def test_a_local_folder_says_its_own_limits(tmp_path):
    rule = token_rule(f"hf:{tiny_colqwen2_5(tmp_path / 'model')}")
    real = Qwen2VLImageProcessor.from_pretrained(tmp_path / "model")
    assert rule.image is not None
    assert rule.image.tokens(2000, 1000) == by_processor(real, (2000, 1000))[0] <= MAX_VISUAL_TOKENS
    assert rule.image_tokens((2000, 1000)) == rule.image.tokens(2000, 1000) + 2
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"image_processor_type": "CLIPImageProcessor"}))
    assert token_rule(str(tmp_path)).image is tokens.CONSERVATIVE


def test_text_only_readers_have_no_image_cost():
    rule = text_rule(len)
    assert rule.count_text("four") == 4
    asked: list[str] = []
    remembering = text_rule(lambda text: asked.append(text) or len(text))
    assert [remembering.count_text("four"), remembering.count_text("four"), asked] == [4, 4, ["four"]]
    with pytest.raises(UsageError, match="sees no images"):
        rule.image_tokens((10, 10))
    with pytest.raises(ValueError, match="got 0 x 5"):
        tokens.QWEN2_VL.tokens(0, 5)
    with pytest.raises(ValueError, match="aspect ratio up to 200, got 4000 x 10"):
        tokens.QWEN2_VL.tokens(4000, 10)


def test_text_is_estimated_on_the_dear_side():
    assert estimate_tokens("") == 0
    assert estimate_tokens("Revenue rose by 12.5 %\nin 2023") == 2 + 1 + 1 + 4 + 1 + 1 + 1 + 4
    assert estimate_tokens("売上") == 4


def test_budgets():
    assert [parse_budget(text) for text in ("8k", "32K", " 128k ", "5000")] == [8192, 32768, 131072, 5000]
    assert tokens.STANDARD_BUDGETS["64k"] == parse_budget("64k")
    for text in ("0", "", "-3", "k", "1.5k", "many"):
        with pytest.raises(UsageError, match="a budget is a number of tokens"):
            parse_budget(text)
