"""Loading visual models by folder and from the hub's cache; every way in which a model's files can be wrong."""

from __future__ import annotations

import http.server
import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import colpali_engine.models as engine
import huggingface_hub.constants as hub
import pytest
import torch
from safetensors.torch import load_file, save_file

from docrag.errors import DocragError, EnvironmentFault, ModelFault, UsageError
from docrag.index import visual_checkpoint
from docrag.index.encoders import choose_precision
from docrag.index.visual_encoder import ColEncoder
from docrag.index.visual_models import FAMILIES, choose_device, open_visual
from tests.tiny_models import tiny_adapter, tiny_colqwen2_5

pytestmark = pytest.mark.usefixtures("one_thread")
ONES = torch.ones(4, 32)
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def copy(colqwen: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to break."""
    return Path(shutil.copytree(colqwen, tmp_path / "copy"))


@pytest.fixture(scope="module")
def adapter(colqwen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_adapter(colqwen, tmp_path_factory.mktemp("adapters") / "tiny-adapter")


def load(model: str | Path) -> ColEncoder:
    opened = open_visual(str(model), device="cpu", precision="float32")
    assert isinstance(opened, ColEncoder)
    return opened


def question(encoder: ColEncoder) -> torch.Tensor:
    return torch.from_numpy(encoder.encode_question("how much?").vectors)


def rewrite(weights: Path, change: Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]]) -> None:
    save_file(dict(change(load_file(weights))), weights, metadata={"format": "pt"})


def edit_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_families_are_those_of_colpali_engine() -> None:
    for kind, family in FAMILIES.items():
        assert getattr(engine, family.model_class).config_class.model_type == kind
        assert hasattr(getattr(engine, family.processor_class), "process_images")


@pytest.mark.parametrize(("fixture", "family", "tokens"), [("colqwen", "ColQwen2.5", 48), ("colidefics", "ColIdefics3", 61)])
def test_the_family_comes_from_the_models_own_config(
    request: pytest.FixtureRequest, fixture: str, family: str, tokens: int
) -> None:
    folder: Path = request.getfixturevalue(fixture)
    encoder = load(folder)
    told = encoder.fingerprint
    assert (told.lane, told.encoder, told.revision, told.precision) == ("visual", folder.name, "", "float32")
    assert {name: told.settings[name] for name in ("family", "dim", "max_visual_tokens")} == {
        "family": family,
        "dim": 128,
        "max_visual_tokens": tokens,
    }
    assert (encoder.source, encoder.device, encoder.precision) == (str(folder), "cpu", "float32")


def test_the_fingerprint_moves_with_the_weights_and_not_with_the_folder(colqwen: Path, tmp_path: Path) -> None:
    first = load(colqwen).fingerprint
    moved = load(shutil.copytree(colqwen, tmp_path / "elsewhere" / colqwen.name)).fingerprint
    other = load(tiny_colqwen2_5(tmp_path / colqwen.name, seed=7)).fingerprint
    assert first == moved
    assert first.compared() != other.compared()
    assert first.compared() | {"weights_sha256": ""} == other.compared() | {"weights_sha256": ""}


def test_precision_and_device_are_chosen_and_told(colqwen: Path) -> None:
    encoder = open_visual(str(colqwen), device="cpu")
    assert encoder.precision == encoder.fingerprint.precision == choose_precision("auto")
    assert choose_device("auto") == (
        "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused(colqwen: Path) -> None:
    with pytest.raises(UsageError, match="no device 'cuda' here; there is cpu"):
        open_visual(str(colqwen), device="cuda")


def test_an_adapter_is_merged_into_its_base(adapter: Path, colqwen: Path) -> None:
    encoder = load(adapter)
    theirs = engine.ColQwen2_5.from_pretrained(adapter, dtype=torch.float32)
    with torch.inference_mode():
        expected = theirs(**encoder._processor.process_queries(["how much?"]))[0]
    assert any("lora_" in name for name, _ in theirs.named_parameters())
    assert not any("lora_" in name for name, _ in encoder._network.named_parameters())
    assert torch.allclose(question(encoder), expected, atol=1e-5)
    assert not torch.allclose(question(encoder), question(load(colqwen)), atol=0.1)
    assert encoder.fingerprint.weights_sha256 not in ("", load(colqwen).fingerprint.weights_sha256)


def test_an_adapter_may_hold_the_projection_that_its_base_lacks(copy: Path, tmp_path: Path) -> None:
    folder = tiny_adapter(copy, tmp_path / "adapter", saved=["custom_text_proj"])
    whole = question(load(folder))
    rewrite(copy / "model.safetensors", lambda weights: {n: w for n, w in weights.items() if "custom_text_proj" not in n})
    assert torch.allclose(question(load(folder)), whole, atol=1e-6)


def test_an_adapter_may_leave_the_processor_to_its_base(adapter: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(adapter / name, bare)
    assert torch.equal(question(load(bare)), question(load(adapter)))


def test_an_adapters_base_may_stand_beside_it(adapter: Path, colqwen: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "trained" / "adapter"))
    shutil.copytree(colqwen, tmp_path / "trained" / "base")
    edit_json(folder / "adapter_config.json", base_model_name_or_path="../base")
    assert load(folder).fingerprint.weights_sha256 == load(adapter).fingerprint.weights_sha256


@pytest.mark.parametrize("path", ["../gone", "/gone/base"])
def test_an_adapter_without_its_base_says_which(adapter: Path, tmp_path: Path, path: str) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    edit_json(folder / "adapter_config.json", base_model_name_or_path=path)
    with pytest.raises(ModelFault, match=f"base model of the adapter adapter is not there: .*{path}") as caught:
        load(folder)
    assert "base_model_name_or_path" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda weights: {n: w for n, w in weights.items() if "q_proj.lora_B" not in n}, "leaves 2 weights .*q_proj.lora_B"),
        (
            lambda weights: {n.replace("layers", "blocks"): w for n, w in weights.items()},
            "newly initialised: .*lora_A.*4 more",
        ),
        (
            lambda weights: {n: w[:, :3].contiguous() if "q_proj.lora_B" in n else w for n, w in weights.items()},
            "q_proj.lora_B",
        ),
        (
            lambda weights: weights | {"base_model.model.model.layers.9.mlp.up_proj.lora_A.weight": ONES},
            "fit nowhere",
        ),
    ],
    ids=["missing", "renamed", "shape", "more"],
)
def test_an_adapter_that_does_not_fit_is_refused(
    adapter: Path, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], told: str
) -> None:
    folder = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    rewrite(folder / "adapter_model.safetensors", change)
    with pytest.raises(ModelFault, match=told):
        load(folder)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda weights: {n: w for n, w in weights.items() if "custom_text_proj" not in n},
            r"2 weights of ColQwen2.5 newly initialised: custom_text_proj.bias, custom_text_proj.weight\n.*no projection",
        ),
        (
            lambda weights: {n.replace("layers.1", "strata.1"): w for n, w in weights.items()},
            r"leaves 12 weights .*language_model.layers.1.input_layernorm.weight, .* and 4 more\n.*made for other versions",
        ),
        (
            lambda weights: {n: w[:64].contiguous() if "custom_text_proj" in n else w for n, w in weights.items()},
            "custom_text_proj.bias, custom_text_proj.weight",
        ),
    ],
    ids=["missing", "renamed", "shape"],
)
def test_weights_that_would_be_random_are_refused_by_name(
    copy: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]], told: str
) -> None:
    rewrite(copy / "model.safetensors", change)
    with pytest.raises(ModelFault, match=told):
        load(copy)


def test_weights_that_the_model_has_no_use_for_are_passed_over(copy: Path, colqwen: Path) -> None:
    """A checkpoint of the whole language model brings its head along."""
    rewrite(copy / "model.safetensors", lambda weights: weights | {"lm_head.weight": torch.ones(3, 32)})
    assert torch.equal(question(load(copy)), question(load(colqwen)))


def test_shards_are_found_by_their_index(copy: Path, colqwen: Path) -> None:
    engine.ColQwen2_5.from_pretrained(colqwen).save_pretrained(copy, max_shard_size="100KB")
    (copy / "model.safetensors").unlink()
    assert torch.equal(question(load(copy)), question(load(colqwen)))
    sorted(copy.glob("model-*.safetensors"))[1].unlink()
    with pytest.raises(ModelFault, match=r"lacks weight files: model-00002-of-\d+.safetensors\n.*not complete"):
        load(copy)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda folder: truncate(folder / "model.safetensors"), "model.safetensors of copy is broken: .*\n.*not complete"),
        (
            lambda folder: (folder / "model.safetensors").write_text("version https://git-lfs"),
            "is broken: .*\n.*git-lfs pointer",
        ),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), "has no weights: .*\n.*pickles"),
        (lambda folder: [(folder / name).unlink() for name in ("tokenizer.json", "vocab.json")], "has no tokenizer.json or"),
        (lambda folder: truncate(folder / "tokenizer.json"), "the processor of copy does not load"),
        (
            lambda folder: (folder / "processor_config.json").unlink(),
            "has no processor_config.json or prepro",
        ),
        (lambda folder: (folder / "config.json").unlink(), "copy has no config.json"),
        (lambda folder: truncate(folder / "config.json"), "config.json of copy can't be read: JSONDecodeError"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json of copy holds no object"),
        (lambda folder: edit_json(folder / "config.json", text_config={"hidden_size": "many"}), "copy does not load: "),
        (lambda folder: (folder / "adapter_config.json").write_text("{}"), "both an adapter and a whole model"),
    ],
    ids=["cut", "lfs", "pickle", "tokenizer", "cut-tokenizer", "processor", "config", "cut-config", "list", "nonsense", "both"],
)
def test_a_broken_or_half_downloaded_folder_is_a_clear_error(copy: Path, damage: Callable[[Path], object], told: str) -> None:
    damage(copy)
    with pytest.raises(ModelFault, match=told) as caught:
        load(copy)
    assert caught.value.hint
    assert isinstance(caught.value, EnvironmentFault)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"model_type": "bert", "architectures": ["BertModel"]}, r"model_type is 'bert' \(BertModel\)\n.*ColQwen2.5"),
        ({"model_type": "colqwen2", "architectures": ["ColQwen2ForRetrieval"]}, "'colqwen2' .*\n.*without -hf"),
        ({"architectures": ["BiQwen2_5"]}, "BiQwen2_5 makes one vector a page"),
        ({"model_type": None}, "names no model_type"),
    ],
    ids=["bert", "hf", "bi", "none"],
)
def test_what_is_no_late_interaction_model_is_refused(copy: Path, values: dict[str, object], told: str) -> None:
    edit_json(copy / "config.json", **values)
    with pytest.raises(UsageError, match=told):
        load(copy)


@pytest.mark.parametrize("name", ["./gone", "/gone/model", "gone", "a/b/c", "", "vidore/col qwen"])
def test_a_name_that_is_neither_folder_nor_on_a_hub(name: str) -> None:
    with pytest.raises(UsageError, match=f"--visual '{re.escape(name)}' is no folder here, and no name on the hub"):
        load(name)


def test_a_file_is_no_model(copy: Path) -> None:
    with pytest.raises(UsageError, match="is a file"):
        load(copy / "config.json")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no hub: its address refuses connections."""
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hub, "ENDPOINT", "http://127.0.0.1:9")
    return tmp_path / "cache"


def put_into_cache(cache: Path, repository: str, folder: Path, commit: str = COMMIT) -> Path:
    """As a download of `repository` leaves it."""
    kept = cache / ("models--" + repository.replace("/", "--"))
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text(commit)
    return Path(shutil.copytree(folder, kept / "snapshots" / commit))


def test_a_model_in_the_hubs_cache_needs_no_hub(cache: Path, colqwen: Path, adapter: Path, tmp_path: Path) -> None:
    put_into_cache(cache, "tiny/colqwen", colqwen)
    encoder = load("tiny/colqwen")
    assert (encoder.fingerprint.encoder, encoder.fingerprint.revision) == ("tiny/colqwen", COMMIT)
    assert encoder.source == f"tiny/colqwen@{COMMIT}"
    assert load(encoder.source).fingerprint == encoder.fingerprint
    trained = Path(shutil.copytree(adapter, tmp_path / "trained"))
    edit_json(trained / "adapter_config.json", base_model_name_or_path="tiny/colqwen")
    put_into_cache(cache, "tiny/adapter", trained, COMMIT[::-1])
    assert load("tiny/adapter").fingerprint.revision == COMMIT[::-1]
    assert load("tiny/adapter").fingerprint.weights_sha256 == load(adapter).fingerprint.weights_sha256


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "http://10.255.255.1", "http://no-such-host.invalid"])
def test_a_hub_out_of_reach_is_told_within_ten_seconds(cache: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    monkeypatch.setattr(hub, "ENDPOINT", endpoint)
    began = time.monotonic()
    with pytest.raises(ModelFault) as caught:
        load("vidore/colqwen2.5-v0.2")
    assert time.monotonic() - began < 10
    for told in ("vidore/colqwen2.5-v0.2 is out of reach", str(cache), endpoint, "leave --visual out", "hf download vidore/"):
        assert told in str(caught.value)


def test_a_hub_that_never_answers_is_given_up(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visual_checkpoint, "HUB_DEADLINE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(ModelFault, match="does not answer"):
            load("vidore/colqwen2.5-v0.2")


def test_offline_is_said(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelFault, match="HF_HUB_OFFLINE is set"):
        load("vidore/colqwen2.5-v0.2")


def test_half_a_model_in_the_cache_is_said(cache: Path, colqwen: Path) -> None:
    (put_into_cache(cache, "tiny/colqwen", colqwen) / "model.safetensors").unlink()
    with pytest.raises(ModelFault, match=r"the copy in the cache .* can't be used .*has no weights"):
        load("tiny/colqwen")


@pytest.mark.parametrize(
    ("status", "code", "error", "told"),
    [
        (404, "RepoNotFound", UsageError, "has no model tiny/none at revision v9"),
        (404, "RevisionNotFound", UsageError, "has no model tiny/none at revision v9"),
        (403, "GatedRepo", ModelFault, "open only to those who accepted its terms"),
        (500, "", ModelFault, "refuses .*500"),
    ],
)
def test_a_model_that_the_hub_does_not_give(
    cache: Path, monkeypatch: pytest.MonkeyPatch, status: int, code: str, error: type[DocragError], told: str
) -> None:
    class Hub(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(hub, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(error, match=told):
            load("tiny/none@v9")
        server.shutdown()
