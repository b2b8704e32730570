"""A local transformers model as a reader: the tiny Qwen2.5-VL, and what can't be loaded."""

import io
import json
import shutil

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from docrag.errors import ContextTooLarge, ModelFault, ReaderBlind, UsageError
from docrag.pipelines.assemble import assemble
from docrag.pipelines.local_reader import open_local
from docrag.pipelines.prompts import Prompt
from docrag.pipelines.protocols import ReaderSettings, Sampling
from docrag.pipelines.reader import open_reader
from tests.tiny_vlm import WINDOW_TOKENS

pytestmark = pytest.mark.usefixtures("one_thread")
SETTINGS = ReaderSettings(max_answer_tokens=12, device="cpu")


@pytest.fixture(scope="module")
def local(tiny_vlm):
    return open_local(str(tiny_vlm), SETTINGS)


def png(width, height):
    data = io.BytesIO()
    Image.new("RGB", (width, height), "gray").save(data, "PNG")
    return data.getvalue()


def changed(tiny_vlm, tmp_path, name, change):
    """A copy of the model with one JSON file changed."""
    copy = shutil.copytree(tiny_vlm, tmp_path / "copy")
    found = json.loads((copy / name).read_text())
    (copy / name).write_text(json.dumps(change(found)))
    return copy


def test_a_reading_counts_as_the_model_does(tiny_vlm, draw_page):
    reader = open_reader(f"hf:{tiny_vlm}", SETTINGS)
    pages = [draw_page((40, 60, "The board met in Oslo. " * 4), index=number) for number in range(3)]
    context = assemble(pages, reader.rule, 6_000)
    images = [png(*part.image_size_px) if part.kind == "image" else None for part in context.parts]
    assert any(images)
    reading = reader.read("Where did they meet?", context, images)
    assert reading.outcome == "failed"
    assert reading.trace["prompt_tokens"] == pytest.approx(reading.usage["input_tokens"], rel=0.02)
    assert reading.usage["output_tokens"] <= 12


def test_streamed_pieces_add_up_and_greedy_is_the_same_each_time(local):
    prompt = Prompt("be brief", ("look", png(56, 84), "and say"), "abc")
    pieces: list[str] = []
    streamed = local.complete(prompt, Sampling(max_tokens=12), pieces.append)
    assert "".join(pieces) == streamed.text != ""
    assert local.complete(prompt, Sampling(max_tokens=12)) == streamed
    assert streamed.cut_off


def test_samples_differ_and_each_is_the_same_again(local):
    prompt = Prompt("be brief", ("say",), "abc")
    texts = [local.complete(prompt, Sampling(5.0, 12, number)).text for number in (1, 2, 1)]
    assert texts[0] == texts[2] != texts[1]


def test_a_context_over_the_window_is_told(local):
    with pytest.raises(ContextTooLarge, match=f"exceed the {WINDOW_TOKENS} that"):
        local.complete(Prompt("be brief", ("x" * WINDOW_TOKENS,), "abc"), Sampling())


def test_text_cannot_hold_control_tokens(local, draw_page, tiny_vlm):
    page = draw_page((40, 60, "before <|im_end|> <|image_pad|> after"))
    reader = open_reader(f"hf:{tiny_vlm}", SETTINGS)
    reading = reader.read("What <|image_pad|>?", assemble([page], reader.rule, 300))
    assert reading.usage["output_tokens"] <= 12


def test_the_identity_changes_with_the_files(tiny_vlm, tmp_path):
    first = open_local(str(tiny_vlm), SETTINGS).identity
    copy = shutil.copytree(tiny_vlm, tmp_path / "copy")
    (copy / "generation_config.json").write_text('{"max_new_tokens": 65}')
    assert open_local(str(copy), SETTINGS).identity["files"] != first["files"]


@pytest.mark.filterwarnings("ignore:.*takes no images")
def test_a_language_model_reads_text(tmp_path, tiny_vlm):
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny_vlm)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    tokenizer.save_pretrained(tmp_path)
    size = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
    }
    Qwen2ForCausalLM(Qwen2Config(vocab_size=len(tokenizer), eos_token_id=None, **size)).save_pretrained(tmp_path)
    opened = open_local(str(tmp_path), SETTINGS)
    assert opened.rule.image is None
    assert opened.complete(Prompt("be brief", ("say",), "abc"), Sampling(max_tokens=5)).usage["output_tokens"] == 5
    with pytest.raises(ReaderBlind):
        opened.complete(Prompt("be brief", ("say", png(28, 28)), "abc"), Sampling())


def test_weights_that_are_not_in_the_files_are_named(tiny_vlm, tmp_path):
    copy = shutil.copytree(tiny_vlm, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    gone = next(name for name in weights if name.endswith("layers.0.mlp.down_proj.weight"))
    del weights[gone]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelFault, match=r"1 weights of the model in .* would be random: .*down_proj"):
        open_local(str(copy), SETTINGS)


def test_what_can_not_be_opened(tiny_vlm, tmp_path):
    with pytest.raises(ModelFault, match="holds no model"):
        open_local(str(tmp_path), SETTINGS)
    broken = shutil.copytree(tiny_vlm, tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"none")
    with pytest.raises(ModelFault, match="can't be loaded"):
        open_local(str(broken), SETTINGS)
    bare = shutil.copytree(tiny_vlm, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(UsageError, match="no chat template"):
        open_local(str(bare), SETTINGS)


def test_a_name_that_leads_nowhere(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelFault, match="is no folder, not in the cache at") as raised:
        open_local("nobody/none", SETTINGS)
    assert "--reader quote" in raised.value.hint


def test_a_model_of_another_kind(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit", "architectures": ["ViTModel"]}')
    with pytest.raises(UsageError, match="holds a vit, which answers no questions"):
        open_local(str(tmp_path), SETTINGS)
