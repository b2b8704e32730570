"""The GPU benchmark's whole path, on the CPU with tiny models; what it prints where there is no GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from bench import embed_gpu
from docrag.index.visual_encoder import ColEncoder

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.filterwarnings("ignore")  # the profiler's own
def test_the_benchmark_runs_on_tiny_models(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["embed_gpu", "--tiny", "--pages", "5", "--json"])
    embed_gpu.main()
    result = json.loads(capsys.readouterr().out)
    assert set(result["models"]) == {"3b", "250m"}
    for model in result["models"].values():
        assert model["pages"] == 5
        assert all(rate > 0 for rate in model["pages_per_second"].values())
        assert model["tflop_per_page"] > 0
        assert 0 < sum(model["where"].values()) < 2
    assert "times the README loop" in embed_gpu.to_markdown(result)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["embed_gpu"])
    embed_gpu.main()
    assert "no CUDA device here: nothing was measured" in capsys.readouterr().out


@pytest.mark.parametrize(("size", "weights"), [("3b", 3.75e9), ("250m", 0.25e9)])
def test_the_models_are_of_full_size(size: str, weights: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ColEncoder, "__init__", lambda self, network, *_: setattr(self, "_network", network))
    encoder = embed_gpu.MODELS[size](tmp_path, "meta", False)
    assert sum(parameter.numel() for parameter in encoder._network.parameters()) == pytest.approx(weights, rel=0.03)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_small_model_is_three_times_as_quick_as_the_readme() -> None:
    model = embed_gpu.measure(["250m"], 64, tiny=False)["models"]["250m"]
    assert model["times_readme"] >= 3
