"""An ingest on a real Ray gives what one on this machine gives: into a server by several writers, and the visual lane.

The text into a folder: test_poison.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.same_index import compare
from docrag.client import Library
from docrag.config import Config
from docrag.errors import EnvironmentFault, IndexLocked, IndexMismatch, ModelFault
from docrag.index.lease import hold_lease
from docrag.index.library_index import LibraryIndex
from docrag.index.verify import verify
from docrag.ingest.cluster.progress import ClusterProgress
from docrag.ingest.cluster.stages import Job
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.totals import Progress
from docrag.testing import HashEncoder
from docrag.testing.qdrant_server import QdrantStandIn
from docrag.types import IngestReport
from tests.ingest import hostile
from tests.ingest.cluster.conftest import ONE, TIMES, write_library, written
from tests.libraries import QUICK, bring, check_sums, cli_command, settings_of

pytestmark = [
    pytest.mark.usefixtures("on_ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray.data.context"),  # Ray sets its own old settings
]
COSINE = 0.9999


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pdfs")
    write_library(folder)
    return folder


def bring_on_ray(
    location: str,
    blobs: Path | None,
    *names: Path,
    config: Config = QUICK,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> IngestReport:
    from docrag.ingest.run_ray import ingest_on_ray

    settings = replace(settings_of(config), blobs_url=None if blobs is None else str(blobs))
    with LibraryIndex.open_or_create(location, settings) as index:
        job = Job(location, index.blobs.url, config)
    with hold_lease(location, "an ingest", TIMES) as lease:
        job = replace(job, holder=lease.holder)
        report = ingest_on_ray(job, HashEncoder, [str(name) for name in names], IngestOptions(**options), "", progress)
    check_sums(report)
    return report


def check_alike(one: IngestReport, other: IngestReport) -> None:
    """Equal but for the seconds and the order in which failures came."""
    assert sorted(map(str, one.failures)) == sorted(map(str, other.failures))
    assert replace(one, seconds=0, failures=()) == replace(other, seconds=0, failures=())


def check_verified(location: str) -> None:
    with LibraryIndex.open(location) as index:
        assert not verify(index).findings


def check_released() -> None:
    """No worker of a run that ended is left: the next one on this Ray would wait for its CPUs for ever."""
    import ray

    until = time.monotonic() + 10
    while (free := ray.available_resources().get("CPU")) != 2 and time.monotonic() < until:
        time.sleep(0.2)
    assert free == 2


def test_into_a_server_and_again_when_files_have_changed(
    library: Path, server: QdrantStandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second job is refused while one is at work, which goes on. In the second run workers that had the index open in the
    first must not go by what they knew then."""
    here, there, names = tmp_path / "here", f"{server.url}/library", tmp_path / "pdfs"
    shutil.copytree(library, names)
    monkeypatch.setattr("docrag.client.hold_lease", partial(hold_lease, times=TIMES))
    refused: list[str] = []

    def begin_another(now: Progress) -> None:
        if written(now) and not refused:
            with Library(there, ocr="never") as second, pytest.raises(IndexLocked) as caught:
                second.ingest([names], ray="")
            refused.append(caught.value.message)

    def check_run() -> IngestReport:
        report = bring_on_ray(there, tmp_path / "blobs", names, config=ONE, progress=begin_another, prune=True)
        check_alike(report, bring(here, names, prune=True))
        assert compare(str(here), there, COSINE) == []
        check_verified(there)
        return report

    assert check_run().documents.ok == 12
    assert "is being written by an ingest on" in refused[0]
    hostile.text_pdf(names / "good 1.pdf", ["quite another text", "and a second page", "and a third"])
    (names / "good 2.pdf").unlink()
    again = check_run()
    assert (again.documents.ok, again.documents.skipped, again.pages.ok) == (1, 11, 3)
    with LibraryIndex.open(there) as index:
        assert len(index.documents()) == 11
    for path in names.iterdir():
        path.unlink()
    check_run()
    with LibraryIndex.open(there) as index:
        assert index.documents() == []


@pytest.fixture
def operators() -> Iterator[list[list[str]]]:
    """The names under which Ray's dashboard shows the steps of each data set that is run."""
    from ray.data import DataContext
    from ray.data._internal.execution.execution_callback import ExecutionCallback

    names: list[list[str]] = []

    class Listen(ExecutionCallback):
        def before_execution_starts(self, executor: Any) -> None:
            names.append([operator.name for operator in executor._topology])

    context: Any = DataContext.get_current()
    context.custom_execution_callback_classes.append(Listen)
    yield names
    context.custom_execution_callback_classes.remove(Listen)


def test_the_visual_lane(
    library: Path, colqwen: Path, server: QdrantStandIn, tmp_path: Path, operators: list[list[str]]
) -> None:
    """The model is loaded on workers alone; the vectors are those of a run on this machine. Once for all that an index has,
    and once for the lane alone, which is added to one that was made here."""
    names = [str(library / "good 4.pdf"), str(library / "broken.pdf")]
    settings: dict[str, Any] = {"ocr": "never", "visual": str(colqwen), "workers": 1, "precision": "float32"}
    with Library(str(tmp_path / "here"), **settings) as near:
        wanted = near.ingest(names)
    told: list[Progress] = []
    with Library(f"{server.url}/visual", blobs=str(tmp_path / "blobs"), **settings) as far:
        check_alike(far.ingest(names, ray="", progress=told.append), wanted)
    with Library(str(tmp_path / "there"), **settings | {"visual": ""}) as far:
        far.ingest(names)
    with Library(str(tmp_path / "there"), **settings) as far:
        assert far.ingest(names, ray="").visual == wanted.visual
        rerun = far.ingest(names, ray="")
        assert (rerun.documents.ok, rerun.documents.failed, rerun.documents.skipped, rerun.visual) == (0, 0, 2, 0)
    for location in (str(tmp_path / "there"), f"{server.url}/visual"):
        assert compare(str(tmp_path / "here"), location, COSINE) == []
        check_verified(location)
    shown = [re.findall(r"\w+Pages|\w+Files|Write", " ".join(names)) for names in operators]
    look = ["DrawPages", "LookPages", "Write"]
    assert shown == [["OpenFiles", "ReadPages", "EncodePages", "Write"], look, look]
    last = told[-1]
    assert isinstance(last, ClusterProgress)
    assert last.seconds_left == 0
    assert (last.stage, last.pages_done, last.total) == ("look", wanted.visual, wanted.visual)
    assert [(stage.name, stage.waiting) for stage in last.stages] == [("draw", 0), ("look", 0), ("store", 0)]


def test_errors_come_out_as_docrags_own(library: Path, server: QdrantStandIn, tmp_path: Path) -> None:
    from docrag.ingest.run_ray import ingest_on_ray

    def broken_encoder() -> HashEncoder:  # it travels as code: a worker takes seconds to load this file
        raise ModelFault("the model is not there", "get it")

    there = str(tmp_path / "index")
    with LibraryIndex.create(there, settings_of(ONE)) as index:
        job = Job(there, index.blobs.url, ONE)
    with pytest.raises(ModelFault, match="the model is not there") as found:
        ingest_on_ray(job, broken_encoder, [str(library)], IngestOptions())
    assert (type(found.value), found.value.hint) == (ModelFault, "get it")
    LibraryIndex.open(there).close()  # it was let go of
    with pytest.raises(IndexMismatch):
        bring_on_ray(there, None, library, config=replace(QUICK, ocr="always"))
    with LibraryIndex.open(there), pytest.raises(IndexLocked, match="is open in another process") as locked:
        ingest_on_ray(job, HashEncoder, [str(library)], IngestOptions())
    assert type(locked.value) is IndexLocked

    full = f"{server.url}/full"
    with LibraryIndex.create(full, replace(settings_of(ONE), blobs_url=str(tmp_path / "blobs"))) as index:
        job = Job(full, index.blobs.url, ONE)
    server.trouble.is_full = True
    try:
        with pytest.raises(EnvironmentFault, match="answered 500") as fault:
            ingest_on_ray(job, HashEncoder, [str(library)], IngestOptions())
        assert type(fault.value) is EnvironmentFault
        check_released()  # while `fault` is kept
    finally:
        server.trouble.is_full = False
    with LibraryIndex.open(full) as index:  # that such a run is taken up where it was: test_server_away
        assert {finding.kind for finding in verify(index, repair=True).findings} == {"orphan_blob"}
        assert not verify(index).findings


def test_what_watches_may_end_the_run(library: Path, tmp_path: Path) -> None:
    def stop(now: Progress) -> None:
        raise EnvironmentFault("the lease is lost", "wait")

    with Library(str(tmp_path / "index"), ocr="never") as opened:
        with pytest.raises(EnvironmentFault, match="the lease is lost"):
            opened.ingest([library], ray="", progress=stop)
        assert opened.documents() is not None


def test_no_cluster_at_the_address(tmp_path: Path) -> None:
    """In a process of its own, for this one is on a cluster."""
    hostile.text_pdf(tmp_path / "one.pdf", ["a text"])
    code = f"""
        import docrag
        from docrag.errors import EnvironmentFault
        with docrag.open({str(tmp_path / "index")!r}) as library:
            for address in ("127.0.0.1:9", "ray://127.0.0.1:9"):
                try:
                    library.ingest([{str(tmp_path)!r}], ray=address)
                except EnvironmentFault as error:
                    print(error.message)
    """
    done = subprocess.run(
        [cli_command()[0], "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True, timeout=60
    )
    nobody, client = done.stdout.splitlines()
    assert nobody.startswith("there is no Ray cluster at 127.0.0.1:9 that can be used")
    assert client.startswith("ray://127.0.0.1:9 is Ray Client's address")


def test_ctrl_c_leaves_nothing_running_and_a_rerun_goes_on(library: Path, tmp_path: Path) -> None:
    """In a session of its own, with a Ray of its own, all of which gets the signal as from a terminal."""
    index = str(tmp_path / "index")
    code = (
        "import sys, docrag\n"
        "from docrag.ingest.cluster.progress import json_lines\n"
        "with json_lines(sys.stdout) as tell:\n"
        f"    docrag.open({index!r}, ocr='never', workers=1).ingest([{str(library)!r}], ray='', progress=tell)\n"
    )
    session = tempfile.mkdtemp(prefix="ray")  # its sockets' names may have 107 letters
    environment = {**os.environ, "RAY_TMPDIR": session}
    program = subprocess.Popen(
        [cli_command()[0], "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True
    )
    assert program.stdout is not None
    for line in program.stdout:
        if json.loads(line)["progress"]["stages"][0]["pages"]:
            break
    os.killpg(program.pid, signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    # The signal goes to Ray's own processes too, and now and then its library ends this one before Python can.
    assert program.returncode != 0
    assert b"Traceback" not in errors or errors.rstrip().endswith(b"KeyboardInterrupt"), errors.decode()[-2000:]
    deadline = time.monotonic() + 15
    while _running(session) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert _running(session) == []
    shutil.rmtree(session)
    with Library(index) as opened:
        report = opened.ingest([library])
    assert report.documents.ok + report.documents.skipped == 13
    check_verified(index)


def _running(named: str) -> list[str]:
    """The command lines that hold `named`, as Ray's processes do the folder of their session."""
    found: list[str] = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if named in command and "raylet" in command + "gcs_server":
            found.append(command[:200])
    return found
