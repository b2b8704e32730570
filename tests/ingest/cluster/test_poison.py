"""An ingest into a folder on a Ray of its own, of good, bad and poison PDFs, is as in a local run.

Poison kills every process that opens it, or that reads one of its pages.

No PDF is known that MuPDF dies of each time. So a `pymupdf` stands before the real one, here and on the workers, and kills the
process that it is in when it meets one of these files: also a Ray worker, should it ever open a PDF itself.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.common import python
from bench.kill import left_behind
from bench.ray_cluster import output_of, own_ray
from docrag.index.library_index import LibraryIndex
from docrag.index.verify import verify
from tests.ingest import hostile
from tests.ingest.cluster.conftest import write_library
from tests.libraries import check_same, snapshot

BEFORE_THE_REAL_ONE = """
import os, signal, sys
from pathlib import Path

_FOLDER = os.path.dirname(__file__)
sys.path.remove(_FOLDER)
del sys.modules["pymupdf"]
import pymupdf
sys.path.insert(0, _FOLDER)


def _meet(document, page=None):
    data = Path(document.name).read_bytes() if document.name else b""
    if b"%POISON" not in data:
        return
    with open(os.path.join(_FOLDER, "met"), "a") as file:
        file.write(Path("/proc/self/cmdline").read_text().replace("\\n", " ") + "\\n")
    if b"%%POISON %s %d\\n" % (b"open" if page is None else b"page", page or 0) in data:
        os.kill(os.getpid(), signal.SIGKILL if b"%KILL" in data else signal.SIGSEGV)


class Document(pymupdf.Document):
    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        _meet(self)

    def load_page(self, page_id):
        _meet(self, page_id)
        return super().load_page(page_id)


pymupdf.open = Document
"""
TEXTS = ["the first page", "the second page", "the third page"]


@dataclass(frozen=True)
class Runs:
    """Of the same files on Ray and on this machine: the report of each, and the folder of its index."""

    ray: dict[str, Any]
    local: dict[str, Any]
    folder: Path
    met: str
    left: list[str]


def poison(path: Path, mark: bytes) -> None:
    hostile.text_pdf(path, [f"{path.stem}: {text}" for text in TEXTS])
    path.write_bytes(path.read_bytes() + b"\n%POISON " + mark + b"\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("poison")
    files, before = folder / "files", folder / "before"
    files.mkdir()
    before.mkdir()
    (before / "pymupdf.py").write_text(BEFORE_THE_REAL_ONE)
    write_library(files)
    poison(files / "at once.pdf", b"open 0")
    poison(files / "on its second page.pdf", b"page 1")
    poison(files / "as if memory were short.pdf", b"page 0\n%KILL")
    environment = {"PYTHONPATH": os.pathsep.join([str(before), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)}

    def ingest(index: str, *options: str) -> dict[str, Any]:
        command = python("bench.ray_driver", files, "--index", folder / index, "--workers", "1", *options)
        return output_of(command, environment, allowed=(1,))

    local = ingest("local", "--here")
    (before / "met").unlink()
    with own_ray() as mark:
        found = ingest("ray")
        left = left_behind(mark, within_s=20.0)
    return Runs(found, local, folder, (before / "met").read_text(), left)


def test_it_costs_its_own_document_alone(runs: Runs) -> None:
    assert runs.ray["documents"] == {"attempted": 18, "ok": 14, "failed": 3, "skipped": 1}  # the twin
    failures = {
        f"{Path(failure['document']).name} {failure['page_number'] or ''}".strip(): (failure["error"], failure["message"])
        for failure in runs.ray["failures"]
    }
    others = {name for name in failures if name in ("no.pdf", "locked.pdf", "broken.pdf 2")}
    assert len(others) == 3
    crashed = ("PdfCrash", "the process that read it crashed (SIGSEGV)")
    killed = ("PdfTooLarge", "the process that read it was killed, probably for lack of memory")
    assert {name: failure for name, failure in failures.items() if name not in others} == {
        "at once.pdf": crashed,
        "on its second page.pdf 2": crashed,
        "as if memory were short.pdf 1": killed,
    }


def test_it_is_as_in_a_local_run(runs: Runs) -> None:
    def told(report: dict[str, Any]) -> dict[str, Any]:
        kept = {key: report[key] for key in ("documents", "pages", "failures")}
        return {**kept, "failures": sorted(map(json.dumps, report["failures"]))}

    assert told(runs.ray) == told(runs.local)
    check_same(snapshot(runs.folder / "ray"), snapshot(runs.folder / "local"))
    with LibraryIndex.open(str(runs.folder / "ray")) as index:
        assert not verify(index).findings


def test_it_takes_no_minute(runs: Runs) -> None:
    assert runs.ray["after_first_page_s"] < 60


def test_only_guarded_children_open_pdfs_and_none_is_left(runs: Runs) -> None:
    met = runs.met.splitlines()
    assert len(met) > 3
    assert [line for line in met if "docrag.ingest.guard_child" not in line] == []
    assert runs.left == []
