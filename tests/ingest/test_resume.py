"""The real command line, killed and interrupted while it ingests, and started again each time."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from docrag.index.verify import verify
from tests.ingest import hostile
from tests.libraries import check_same, cli, cli_command, open_index, snapshot

KILLS = 3
WORDS = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five documents of 12 pages, a copy of one, and one that is none."""
    folder, dice = tmp_path_factory.mktemp("resume"), random.Random(7)
    for number in range(5):
        pages = [f"page {page}: {' '.join(dice.choices(WORDS, k=25))}" for page in range(12)]
        hostile.text_pdf(folder / f"document {number}.pdf", pages)
    (folder / "copy.pdf").write_bytes((folder / "document 3.pdf").read_bytes())
    (folder / "none.pdf").write_bytes(b"no PDF")
    return folder


def ingest_command(files: Path, index: Path) -> list[str]:
    return cli_command("ingest", files, "--index", index, "--ocr", "never", "--workers", "1")


def start(files: Path, index: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ingest_command(files, index), stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )


def children_of(pid: int) -> list[int]:
    """Processes whose parent is `pid`, and theirs."""
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            child = int(status.parent.name)
            found += [child, *children_of(child)]
    return found


def wait_for(condition: object, limit_s: float = 60.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_killed_interrupted_and_resumed_it_is_as_if_nothing_had_happened(files: Path, tmp_path: Path) -> None:
    begin = time.monotonic()
    undisturbed = cli("ingest", files, "--index", tmp_path / "whole", "--ocr", "never", "--workers", "1")
    took = time.monotonic() - begin
    assert undisturbed.returncode == 1  # one file is no PDF
    index, dice = tmp_path / "index", random.Random(11)
    for _ in range(KILLS):
        run = start(files, index)
        time.sleep(dice.uniform(0.2, 1.0) * took)
        children = children_of(run.pid)
        run.kill()
        run.communicate()
        wait_for(lambda gone=children: not any(Path(f"/proc/{pid}").exists() for pid in gone))
    resumed = cli("ingest", files, "--index", index, "--ocr", "never", "--workers", "1")
    assert resumed.returncode == 1
    found, wanted = snapshot(index), snapshot(tmp_path / "whole")
    assert len(wanted.points) == 60
    check_same(found, wanted)
    with open_index(index) as opened:
        assert verify(opened).damages == ()


def test_ctrl_c_says_so_and_loses_nothing(files: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    run = start(files, index)
    wait_for(lambda: any(index.glob("blobs/*/*.pdf")))
    os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to all of them
    output, messages = run.communicate(timeout=60)
    assert (run.returncode, output) == (130, b"")
    assert messages.decode().strip() == ("docrag: interrupted\n  what was done is kept: run the same command again to go on")
    assert cli("ingest", files, "--index", index, "--ocr", "never", "--workers", "1").returncode == 1
    assert len(snapshot(index).points) == 60
