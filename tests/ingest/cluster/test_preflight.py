"""What is looked at before a run on a cluster starts: on two machines, each with a raylet of its own, that differ."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

import docrag
from docrag.config import Config
from docrag.errors import EnvironmentFault
from docrag.index.blobs import BlobStore
from docrag.index.library_index import LibraryIndex
from docrag.ingest.cluster import preflight
from docrag.ingest.cluster.preflight import check_cluster, resources_missing, versions_missing
from docrag.ingest.cluster.stages import Job
from docrag.testing.qdrant_server import QdrantStandIn
from tests.ingest.cluster.conftest import MEMORY_BYTES
from tests.libraries import settings_of

CONFIG = Config(ocr="never", workers=1)


@pytest.fixture(scope="module")
def cluster(on_ray: None, ray_of_all: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two machines, of two CPUs and of one; the second has no Tesseract."""
    elsewhere = {"PATH": os.fspath(tmp_path_factory.mktemp("bin"))}
    node = ray_of_all.add_node(num_cpus=1, object_store_memory=MEMORY_BYTES, env_vars=elsewhere)
    yield ray_of_all
    ray_of_all.remove_node(node)


@pytest.fixture
def job(server: QdrantStandIn, tmp_path: Path) -> Job:
    blobs = str(tmp_path / "blobs")
    location = f"{server.url}/{uuid.uuid4().hex}"
    LibraryIndex.create(location, replace(settings_of(CONFIG), blobs_url=blobs)).close()
    return Job(location, blobs, CONFIG)


def lines(check: Callable[[], None]) -> list[str]:
    """What is said to be missing, without the machines that it is missing on."""
    with pytest.raises(EnvironmentFault, match="this ingest can't run on the Ray cluster:\n") as caught:
        check()
    return [line.removeprefix("  - ") for line in caught.value.message.splitlines()[1:]]


def test_where_all_is_there_nothing_is_said_and_nothing_left(cluster: Cluster, job: Job) -> None:
    check_cluster(job, cpus=3.0)
    assert BlobStore(job.blobs_url).hashes() == []
    check_cluster(replace(job, location=str(Path(job.blobs_url).parent / "index")), cpus=3.0)  # the desk alone opens it


def test_all_that_is_missing_is_said_together(cluster: Cluster, job: Job, server: QdrantStandIn) -> None:
    config = replace(CONFIG, ocr="always", device="cuda")
    lost = Job(f"{server.url}/nothing-here", f"memory://{uuid.uuid4().hex}", config, visual_model="/no/such/model")
    cpus, gpu, *rest = lines(lambda: check_cluster(lost, cpus=5.5, gpus=1.0))
    assert cpus == "the stages hold 5.5 CPUs together, 3 of 3 are free"
    assert gpu == "a GPU is asked for (--device cuda), and no machine has one that Ray knows of"
    blobs, index, ocr = sorted(rest, key=lambda line: ("Tesseract" in line, "there is no index" in line))
    assert "on " in blobs
    assert blobs.count("), ") == 1  # both machines
    assert f"what is written to {lost.blobs_url} elsewhere is not seen (name a place that all machines share" in blobs
    assert "there is no index at" in index
    assert ocr.endswith("apt-get install tesseract-ocr), or go on without: --ocr never)")
    assert ocr.count("on ") >= 1


def test_what_the_shape_lacks_is_said_with_all_else(cluster: Cluster, job: Job, tmp_path: Path) -> None:
    from docrag.ingest.run_ray import _check

    lost = replace(job, location="http://127.0.0.1:9/library", config=replace(CONFIG, device="cuda"), visual_model="./model")
    gpu, index, model = lines(lambda: _check(lost, [str(tmp_path)]))
    assert gpu.startswith(
        "an encoder of page images asks for 1 GPUs of one machine, and the Ray cluster has none with more than 0"
    )
    assert "no answer from the Qdrant server" in index
    assert "the model's folder ./model is not there" in model


def test_a_source_that_a_machine_does_not_see(cluster: Cluster, job: Job, tmp_path: Path) -> None:
    check_cluster(job, cpus=1.0, names=["s3://bucket/reports", f"{tmp_path}/*.pdf", str(tmp_path)])
    assert preflight._first_local(["s3://bucket/reports", "no/such", str(tmp_path)]) == str(tmp_path)
    (line,) = preflight.look_around(job, "", "/mnt/here/alone").missing
    assert line.startswith("/mnt/here/alone is not there (every machine opens files")


def test_a_model_that_a_machine_has_not(cluster: Cluster, job: Job, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    check_cluster(replace(job, visual_model=str(tmp_path / "model")), cpus=1.0)
    (line,) = lines(lambda: check_cluster(replace(job, visual_model="./model"), cpus=1.0))
    assert "the model's folder ./model is not there (copy it to every machine" in line


def test_ocr_that_only_some_machines_can_do_is_warned_of(cluster: Cluster, job: Job) -> None:
    with pytest.warns(UserWarning, match=r"^on [^,]+: Tesseract is not installed: pages without a text layer"):
        check_cluster(replace(job, config=replace(CONFIG, ocr="auto")), cpus=1.0)


def test_a_place_that_can_not_be_written_and_an_index_that_does_not_answer(cluster: Cluster, job: Job, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    lost = replace(job, blobs_url=str(tmp_path / "file" / "blobs"), location="http://127.0.0.1:9/library")
    here, blobs, index = lines(lambda: check_cluster(lost, cpus=1.0))
    assert here.startswith("here: can't read or write the PDFs at")
    assert "can't read or write the PDFs at" in blobs
    assert "no answer from the Qdrant server at http://127.0.0.1:9" in index


def test_machines_with_another_docrag_are_asked_nothing_else(
    cluster: Cluster, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight, "__version__", "0.0.9")
    (line,) = lines(lambda: check_cluster(replace(job, location="http://127.0.0.1:9/library"), cpus=1.0))
    assert line.endswith(f": docrag is {docrag.__version__}, here it is 0.0.9")
    assert line.count("127.0.0.1") + line.count("), ") >= 1


def test_versions_are_held_against_these() -> None:
    here = {"docrag": docrag.__version__, "ray": ray.__version__, "python": "3.9"}
    (line,) = versions_missing(here)
    assert line.startswith("python is 3.9, here it is 3.")
    assert versions_missing({**here, "ray": "2.9.0"})[0] == f"ray is 2.9.0, here it is {ray.__version__}"


def test_what_stages_hold_is_held_against_what_is_free() -> None:
    there = {"CPU": 16.0, "GPU": 2.0}
    assert resources_missing(16.0, 2.0, True, there, there) == []
    assert resources_missing(4.0, 3.0, False, there, {"CPU": 3.5, "GPU": 1.0}) == [
        "the stages hold 4.0 CPUs together, 3.5 of 16 are free",
        "the stages hold 3 GPUs together, 1 of 2 are free",
    ]
    assert resources_missing(1.0, 0.0, False, {}, {})[0].startswith("no machine has CPUs for workers")
