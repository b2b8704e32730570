"""The doctor: every look is a line, nothing that is broken hides the rest, and an encoder that changed is found."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from docrag.client import Library
from docrag.config import Config
from docrag.doctor import machine
from docrag.doctor.check import Check, look
from docrag.doctor.examine import DoctorReport, examine
from docrag.doctor.library import check_index
from docrag.errors import EnvironmentFault, IndexDamaged, IndexMismatch
from docrag.index.library_index import LibraryIndex
from docrag.index.records import DocumentRecord, settings_id
from docrag.index.store import Point
from docrag.sampling import spread, spread_pages
from docrag.types import DocumentRef, SparseVector
from tests.ingest.hostile import encrypted_pdf, text_pdf
from tests.libraries import bring, copied, open_index, settings_of

FERRY = "The ferry leaves the northern harbour at seven and carries forty cars across the sound."
GLASS = "Molten glass is drawn from the furnace, blown into a mould and cooled for a whole day."
BEES = "A hive of bees kept on the roof gave nineteen jars of honey in its second summer."
MINE = "The copper mine was closed when water broke through the lowest gallery."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of two documents, three pages, made as users make theirs."""
    folder = tmp_path_factory.mktemp("doctor")
    sources = [text_pdf(folder / "ferry.pdf", [FERRY, GLASS]), text_pdf(folder / "bees.pdf", [BEES])]
    with Library(str(folder / "library"), ocr="never", workers=1) as library:
        library.ingest(sources)
    return folder / "library"


@pytest.fixture
def library(made: Path, tmp_path: Path) -> Path:
    """The same index, for one test to damage."""
    return copied(made, tmp_path / "library")


def states(checks: list[Check]) -> dict[str, str]:
    """The worst state of each name."""
    order = ("ok", "warning", "wrong")
    found: dict[str, str] = {}
    for check in checks:
        found[check.name] = max(found.get(check.name, "ok"), check.state, key=order.index)
    return found


def exit_code(checks: list[Check]) -> int:
    return DoctorReport(tuple(checks), {}).exit_code


def only(checks: list[Check], name: str) -> Check:
    (found,) = [check for check in checks if check.name == name and check.state != "ok"]
    return found


# One look.


@pytest.mark.parametrize(
    ("error", "damage"),
    [
        (EnvironmentFault("no disk", "buy one"), False),
        (IndexDamaged("torn", "mend it"), True),
        (IndexMismatch("other", "use that one"), True),
        (RuntimeError("boom"), False),
        (ZeroDivisionError(), False),
        (IndexDamaged("torn"), True),
    ],
)
def test_what_a_look_raises_is_its_last_line(error: Exception, damage: bool) -> None:
    def checks() -> Iterator[Check]:
        yield Check("thing", "ok", "seen")
        raise error

    first, last = look("thing", checks)
    assert first.state == "ok"
    assert (last.name, last.state, last.damage) == ("thing", "wrong", damage)
    assert str(getattr(error, "message", error)) in last.found
    assert last.advice


def test_a_line_that_is_not_ok_says_what_to_do() -> None:
    with pytest.raises(ValueError, match="needs advice"):
        Check("disk", "warning", "little")
    with pytest.raises(ValueError, match="so it is wrong"):
        Check("disk", "warning", "little", "free some", damage=True)


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        ([Check("a", "ok", "x"), Check("b", "warning", "x", "y")], 0),
        ([Check("a", "wrong", "x", "y")], 2),
        ([Check("a", "wrong", "x", "y"), Check("b", "wrong", "x", "y", damage=True)], 1),
    ],
)
def test_the_exit_code_tells_damage_from_the_rest(checks: list[Check], code: int) -> None:
    report = DoctorReport(tuple(checks), {"python": "3"})
    assert report.exit_code == code
    shown = report.to_json()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["ok"] + shown["warnings"] + shown["wrong"] == len(checks)
    assert shown["damaged"] == (code == 1)
    assert report.to_text().count("->") == sum(bool(check.advice) for check in checks)


# The machine.


def test_the_versions_are_those_that_are_installed() -> None:
    found = machine.versions()
    assert found["docrag"]
    assert found["torch"]
    (line,) = look("versions", machine.check_versions)
    assert line.state == "ok"
    for name, version in found.items():
        assert f"{name} {version}" in line.found


@pytest.mark.parametrize(
    ("torch", "vision", "told"),
    [
        ("2.13.0", "0.28.0", ""),
        ("2.13.0+cpu", "0.28.0+cpu", ""),
        ("2.10.1", "0.25.0", ""),
        ("2.13.0+cpu", "0.28.0", "one is built for cpu, the other for CUDA"),
        ("2.13.0", "0.27.0", "torch 2.13 goes with torchvision 0.28"),
        ("2.13.0", "", "one is missing"),
    ],
)
def test_torch_and_torchvision_are_a_pair(torch: str, vision: str, told: str) -> None:
    assert machine.pair_fault(torch, vision) == told


def test_the_torch_here_can_be_imported() -> None:
    assert [check.state for check in look("torch", machine.check_torch)] == ["ok"]


def test_settings_that_make_no_sense_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_OCRR", "never")
    (line,) = look("settings", machine.check_settings)
    assert (line.state, "did you mean DOCRAG_OCR?" in line.found) == ("warning", True)
    monkeypatch.delenv("DOCRAG_OCRR")
    monkeypatch.setenv("DOCRAG_K", "many")
    (line,) = look("settings", machine.check_settings)
    assert (line.state, line.found) == ("wrong", "DOCRAG_K must be of type int, got 'many'")
    assert states(look("cpu", machine.check_cpu)) == {"cpu": "ok"}  # a bad setting is one line, not all of them


def test_secrets_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_PASSWORD", "hunter2")
    monkeypatch.setenv("DOCRAG_K", "7")
    (line,) = look("settings", machine.check_settings)
    assert line.found == "set by variables: DOCRAG_K"


def test_the_precision_is_the_one_that_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_PRECISION", "float32")
    (line,) = look("cpu", machine.check_cpu)
    assert line.found.endswith("passages are embedded in float32")


def test_there_is_a_line_about_gpus() -> None:
    lines = look("gpu", machine.check_gpu)
    assert lines
    assert {line.name for line in lines} == {"gpu"}
    assert all(line.state != "wrong" for line in lines)


def test_without_tesseract_scans_are_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,) = look("tesseract", machine.check_tesseract)
    assert (line.state, line.found) == ("warning", "not installed: scanned pages can't be read")
    assert "apt-get install tesseract-ocr" in line.advice


def test_a_broken_tesseract_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "tesseract"
    broken.write_text("#!/bin/sh\necho Segmentation fault >&2\nexit 139\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (line,) = look("tesseract", machine.check_tesseract)
    assert line.state == "wrong"
    assert line.advice


@pytest.mark.skipif(shutil.which("tesseract") is None, reason="Tesseract is not installed")
def test_a_language_that_tesseract_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_LANG", "eng+tlh")
    (line,) = look("tesseract", machine.check_tesseract)
    assert (line.state, line.advice) == ("wrong", "Debian: apt-get install tesseract-ocr-tlh")


def test_the_disk_is_that_of_the_index(tmp_path: Path) -> None:
    (line,) = look("disk", machine.check_disk, str(tmp_path / "not" / "yet"))
    assert line.found.endswith(f"free at {tmp_path}")
    assert look("disk", machine.check_disk, "http://localhost:6333/name") == []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Sets where the hub is; models are kept in an empty folder."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "hub" / "models--owner--name").mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return lambda url: monkeypatch.setenv("HF_ENDPOINT", url)


class _Refusing(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_a_hub_that_answers_is_reachable_whatever_it_says(hub: Callable[[str], None], tmp_path: Path) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), _Refusing) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        hub(f"http://127.0.0.1:{server.server_port}")
        (line,) = look("hub", machine.check_hub)
        thread.join(5)
    assert line.state == "ok"
    assert f"answers; cache {tmp_path / 'hub'} holds 1 models" in line.found


def test_a_hub_that_is_silent_costs_its_time_limit(hub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.HUB_TIMEOUT_S == 3
    monkeypatch.setattr(machine, "HUB_TIMEOUT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hub(f"http://127.0.0.1:{silent.getsockname()[1]}")
        begin = time.monotonic()
        (line,) = look("hub", machine.check_hub)
        assert time.monotonic() - begin < machine.HUB_TIMEOUT_S + 1.5
    assert line.state == "warning"
    assert "can't be reached" in line.found


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "no url", "ftp://", "http://[bad"])
def test_a_hub_that_is_nowhere_is_a_warning(hub: Callable[[str], None], url: str) -> None:
    hub(url)
    (line,) = look("hub", machine.check_hub)
    assert line.state == "warning"
    assert f"{url} can't be reached" in line.found


def test_offline_the_hub_is_not_asked(hub: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    hub("http://127.0.0.1:1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (line,) = look("hub", machine.check_hub)
    assert (line.state, "not asked, as HF_HUB_OFFLINE is set" in line.found) == ("ok", True)


def test_the_cache_is_where_the_hub_library_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert machine.hub_cache() == Path("~/.cache/huggingface/hub").expanduser()
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert machine.hub_cache() == Path("/x/huggingface/hub")
    monkeypatch.setenv("HF_HOME", "/h")
    assert machine.hub_cache() == Path("/h/hub")
    monkeypatch.setenv("HF_HUB_CACHE", "/c")
    assert machine.hub_cache() == Path("/c")


def test_the_whole_machine_in_one_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    report = examine()
    assert [check.name for check in report.checks if check.name != "gpu"] == [
        *("versions", "torch", "settings", "cpu", "tesseract", "disk", "hub")
    ]
    assert report.versions == machine.versions()
    assert report.exit_code == 0


# An index.


def test_a_sound_index(made: Path) -> None:
    checks = check_index(str(made))
    assert states(checks) == dict.fromkeys(
        ["index", "index settings", "index records", "self-test passages", "self-test questions", "self-test bm25"], "ok"
    )
    assert exit_code(checks) == 0
    told = next(check.found for check in checks if check.name == "self-test passages")
    assert told.startswith("3 passages of 3 pages embedded again")
    with LibraryIndex.open(str(made)):
        pass  # it was closed


def test_an_encoder_that_gives_other_vectors_is_damage(tmp_path: Path) -> None:
    bring(tmp_path / "library", text_pdf(tmp_path / "ferry.pdf", [FERRY, GLASS, BEES, MINE]))  # by the hash encoder
    checks = check_index(str(tmp_path / "library"))
    found = only(checks, "self-test passages")
    assert found.damage
    assert "4 below 0.99: the encoder no longer gives the vectors that the index was made with" in found.found
    assert states(checks)["self-test questions"] == "wrong"
    assert states(checks)["self-test bm25"] == "ok"
    assert exit_code(checks) == 1


@pytest.mark.parametrize(("noise", "state"), [(0.002, "ok"), (0.02, "wrong")])
def test_rounding_is_no_damage_but_drift_is(library: Path, noise: float, state: str) -> None:
    with open_index(library) as index:
        (id_, *_) = sorted(page.id for page in index.store.scroll("pages", keys=()))
        vectors = index.lane_vectors([id_])[id_].astype(np.float32)
        # Noise of length 0.02 x sqrt(384) = 0.39 beside a vector of length 1: a cosine of 0.93, as of int8 weights.
        drifted = vectors + np.random.default_rng(0).standard_normal(vectors.shape).astype(np.float32) * noise
        drifted /= np.linalg.norm(drifted, axis=1, keepdims=True)
        index.store.update_points("pages", [Point(id_, {}, {"passages": drifted.astype(np.float16)})])
    checks = check_index(str(library))
    assert states(checks)["self-test passages"] == state
    assert exit_code(checks) == (1 if state == "wrong" else 0)


def test_other_terms_are_damage(library: Path) -> None:
    with open_index(library) as index:
        (id_, *_) = [page.id for page in index.store.scroll("pages", keys=())]
        index.store.update_points("pages", [Point(id_, {}, {"bm25": SparseVector((1, 2), (0.5, 0.5))})])
    found = only(check_index(str(library)), "self-test bm25")
    assert (found.damage, found.found.split(":")[0]) == (True, "1 of 3 pages have other terms or weights than are stored")


def test_the_same_words_on_two_pages_are_no_damage(tmp_path: Path) -> None:
    with Library(str(tmp_path / "library"), ocr="never", workers=1) as library:
        library.ingest([text_pdf(tmp_path / "a.pdf", [FERRY, FERRY]), text_pdf(tmp_path / "b.pdf", [FERRY, GLASS])])
    assert exit_code(check_index(str(tmp_path / "library"))) == 0


def test_a_page_that_is_gone_is_damage(library: Path) -> None:
    with open_index(library) as index:
        (id_, *_) = [page.id for page in index.store.scroll("pages", keys=())]
        index.store.delete("pages", [id_])
    found = only(check_index(str(library)), "index records")
    assert found.damage
    assert found.found.startswith("3 pages are on record, 2 are there; ")
    assert found.found.endswith(".pdf lack some")


def test_a_pdf_that_is_gone_is_damage(library: Path) -> None:
    with open_index(library) as index:
        index.blobs.delete(index.resolve_documents(["bees.pdf"])[0])
    checks = check_index(str(library))
    assert only(checks, "index records").found.startswith("the PDFs of bees.pdf are not at ")
    assert exit_code(checks) == 1


def test_a_damaged_record_is_damage(library: Path) -> None:
    with open_index(library) as index:
        (record, *_) = [point for point in index.store.scroll("documents") if point.payload["kind"] == "document"]
        index.store.upsert("documents", [Point(record.id, {**record.payload, "status": "torn"})])
    checks = check_index(str(library))
    assert [check.damage for check in checks if check.name == "index records" and check.state == "wrong"] == [True]
    assert states(checks)["self-test passages"] == "ok"  # the other documents are looked at all the same


def test_lost_settings_are_damage(library: Path) -> None:
    with open_index(library) as index:
        index.store.delete("documents", [settings_id()])
    checks = check_index(str(library))
    assert [check.name for check in checks] == ["index"]
    assert exit_code(checks) == 1


def test_what_an_ingest_left_is_a_warning(library: Path) -> None:
    with open_index(library) as index:
        (page, *_) = index.store.scroll("pages")
        other = {**page.payload, "document": "f" * 64}
        index.store.upsert("pages", [Point("6f0c0f0e-6d0c-5d3a-9a53-5a0f2f6f6b12", other)])
    checks = check_index(str(library))
    assert "4 pages, 1 of an ingest that did not end" in only(checks, "index records").found
    assert exit_code(checks) == 0


def test_an_index_made_by_another_model_is_damage(library: Path) -> None:
    with open_index(library) as index:
        (settings,) = index.store.retrieve("documents", [settings_id()])
        lanes = [{**lane, "revision": "of old"} for lane in settings.payload["lanes"]]
        index.store.upsert("documents", [Point(settings_id(), {**settings.payload, "lanes": lanes})])
    found = only(check_index(str(library)), "index settings")
    assert found.damage
    assert "revision is 'of old' in the index" in found.found


def test_an_empty_index_has_nothing_to_test(tmp_path: Path) -> None:
    LibraryIndex.create(str(tmp_path / "library"), settings_of(Config())).close()
    checks = check_index(str(tmp_path / "library"))
    assert set(states(checks).values()) == {"ok"}
    assert [check.found for check in checks if check.name == "self-test"] == ["no page with text: nothing to test"]


def test_no_index_is_no_damage(tmp_path: Path, made: Path) -> None:
    (missing,) = check_index(str(tmp_path / "nowhere"))
    assert (missing.state, missing.damage) == ("wrong", False)
    assert "there is no index at" in missing.found
    (tmp_path / "notes.txt").write_text("mine")
    (other,) = check_index(str(tmp_path))
    assert "is no index of docrag" in other.found
    with open_index(made):
        (locked,) = check_index(str(made))
    assert (locked.state, locked.damage) == ("wrong", False)
    (server,) = check_index("http://127.0.0.1:1/name")
    assert (server.state, server.damage) == ("wrong", False)


def test_a_report_with_an_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    report = examine(str(tmp_path / "nowhere"))
    assert report.exit_code == 2
    assert report.checks[-1].name == "index"
    assert f"WRONG    index      there is no index at {tmp_path / 'nowhere'}" in report.to_text()


# Which pages are looked at.


@pytest.mark.parametrize(("items", "count"), [(0, 3), (2, 3), (3, 3), (10, 3), (1000, 24)])
def test_a_spread_is_even_and_holds_no_item_twice(items: int, count: int) -> None:
    found = spread(range(items), count)
    assert len(found) == len(set(found)) == min(items, count)
    assert found == sorted(found)
    if items > count:
        gaps = np.diff([-1, *found, items])
        assert gaps.max() <= 2 * items / count


def test_places_are_pages_that_there_are() -> None:
    records = [_record("a" * 64, 1), _record("b" * 64, 500), _record("c" * 64, 2)]
    everything = spread_pages(records, 1000)
    assert everything == [("a" * 64, 0), *(("b" * 64, number) for number in range(500)), ("c" * 64, 0), ("c" * 64, 1)]
    assert set(spread_pages(records, 10)) < set(everything)
    assert spread_pages([], 10) == []


def _record(sha256: str, pages: int) -> DocumentRecord:
    return DocumentRecord(DocumentRef(sha256, pages), "complete", (), (), 0, frozenset(), "", "")


# The visual lane.


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory, colqwen: Path) -> Path:
    """An index with a visual lane; one of its PDFs is encrypted."""
    folder = tmp_path_factory.mktemp("doctor-visual")
    sources = [text_pdf(folder / "ferry.pdf", [FERRY, GLASS]), encrypted_pdf(folder / "bees.pdf", BEES, "hive")]
    with Library(str(folder / "library"), ocr="never", workers=1, visual=str(colqwen)) as library:
        library.ingest(sources, password="hive")
    return folder / "library"


@pytest.fixture
def visual(seen: Path, tmp_path: Path) -> Path:
    return copied(seen, tmp_path / "library")


def test_a_sound_visual_lane(seen: Path) -> None:
    checks = check_index(str(seen), "hive")
    assert set(states(checks).values()) == {"ok"}
    told = {check.name: check.found for check in checks}
    assert told["self-test visual"].startswith("3 pages drawn and embedded again")
    assert told["self-test visual_pooled"] == "3 pages pooled again (hierarchical): as stored"
    assert told["self-test visual questions"] == "3 pages asked for by their own content: each found first"
    assert told["visual lane"].startswith("complete for all 2 documents")


def test_a_page_that_can_not_be_drawn_is_a_warning(seen: Path) -> None:
    checks = check_index(str(seen))
    assert "bees.pdf, page 1 could not be looked at again" in only(checks, "self-test visual").found
    assert exit_code(checks) == 0


def test_visual_vectors_of_another_model_are_damage(visual: Path) -> None:
    with open_index(visual) as index:
        for page in list(index.store.scroll("pages", keys=(), lanes=("visual",))):
            stored = np.asarray(page.vectors["visual"], np.float32)
            noise = np.random.default_rng(0).standard_normal(stored.shape).astype(np.float32)
            other = noise / np.linalg.norm(noise, axis=1, keepdims=True)
            index.store.update_points("pages", [Point(page.id, {}, {"visual": other.astype(np.float16)})])
    checks = check_index(str(visual), "hive")
    found = only(checks, "self-test visual")
    assert found.damage
    assert "the model no longer gives the vectors that the index was made with" in found.found
    assert states(checks)["self-test visual_pooled"] == "wrong"
    assert states(checks)["self-test passages"] == "ok"
    assert exit_code(checks) == 1


def test_other_patches_than_are_stored_are_damage(visual: Path) -> None:
    with open_index(visual) as index:
        (id_,) = [page.id for page in index.store.scroll("pages") if page.payload["text"].startswith("The ferry")]
        (page,) = index.store.retrieve("pages", [id_], keys=("visual",))
        smaller = {**page.payload["visual"], "image_px": [56, 56]}
        index.store.update_points("pages", [Point(id_, {"visual": smaller})])
    found = only(check_index(str(visual), "hive"), "self-test visual")
    assert (found.damage, found.found) == (True, "ferry.pdf, page 1 is cut into other patches than are stored")


def test_another_checkpoint_under_the_same_name_is_damage(
    visual: Path, colqwen: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.tiny_models import tiny_colqwen2_5

    other = tiny_colqwen2_5(tmp_path / "models" / colqwen.name, seed=1)
    monkeypatch.setenv("DOCRAG_VISUAL", str(other))
    found = only(check_index(str(visual), "hive"), "self-test visual")
    assert found.damage
    assert "weights_sha256" in found.found


def test_a_model_that_is_gone_is_no_damage(visual: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCRAG_VISUAL", str(tmp_path / "nowhere"))
    checks = check_index(str(visual), "hive")
    assert not only(checks, "self-test visual").damage
    assert exit_code(checks) == 2
    monkeypatch.setenv("DOCRAG_VISUAL", "none")
    assert exit_code(check_index(str(visual), "hive")) == 0


def test_pages_that_owe_the_lane_are_a_warning(visual: Path, tmp_path: Path) -> None:
    pdf = text_pdf(tmp_path / "mine.pdf", [MINE])
    with Library(str(visual), workers=1, visual="none") as library:
        library.ingest([pdf])
    checks = check_index(str(visual), "hive")
    assert only(checks, "visual lane").found == "1 of 3 documents owe the visual lane, 1 pages"
    assert exit_code(checks) == 0
