"""The package itself: what it loads, what it exports, how it is linked, checked and built."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import tomllib
import zipfile
from pathlib import Path

import pytest

import docrag

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SHIPPED = {".py", ".css", ".js", ".json", ".j2", ".typed"}
FOLDERS = ["docrag", "ingest", "index", "pipelines", "eval"]
HEAVY = ["torch", "transformers", "colpali_engine", "ray", "langchain", "qdrant_client", "qdrant_edge", "pymupdf", "numpy"]


def python(code: str, cwd: Path = ROOT, path: str = "") -> str:
    env = {**os.environ, "PYTHONPATH": path} if path else dict(os.environ)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, env=env, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_docrag_loads_nothing_heavy() -> None:
    loaded = f"[name for name in {HEAVY!r} if name in sys.modules]"
    assert python(f"import docrag, docrag.cli, sys; docrag.cli.make_parser().format_help(); print({loaded})") == "[]\n"


def test_commands_load_no_model() -> None:
    heavy = ["torch", "transformers", "ray", "langchain", "pymupdf"]
    code = f"import docrag.commands, sys; print([name for name in {heavy!r} if name in sys.modules])"
    assert python(code) == "[]\n"


def test_help_is_quick() -> None:
    took: list[float] = []
    for _ in range(5):
        begin = time.perf_counter()
        done = subprocess.run([Path(sys.executable).parent / "docrag", "--help"], capture_output=True, check=True)
        took.append(time.perf_counter() - begin)
        assert done.stdout.startswith(b"usage: docrag")
        if took[-1] < 0.3:
            break
    # Against Python's own start, for the machine may be busy with other things.
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import argparse, json, traceback, importlib"], check=True)
    assert min(took) < max(0.3, 4 * (time.perf_counter() - begin))


def test_everything_that_is_exported_is_there() -> None:
    assert docrag.__all__ == ["Config", "DocragError", "Library", "__version__", "open"]
    told = python(
        "from docrag import *; print(Config.__name__, DocragError.__name__, Library.__name__, __version__, open.__module__)"
    )
    assert told == f"Config DocragError Library {docrag.__version__} docrag.client\n"
    with pytest.raises(AttributeError, match="module 'docrag' has no attribute 'colour'"):
        docrag.colour  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_said_once() -> None:
    assert docrag.__version__ == PROJECT["project"]["version"]


def test_the_links_are_there() -> None:
    for name in FOLDERS[1:]:
        link = ROOT / "docrag" / name
        assert link.is_symlink(), f"{link}: clone with symbolic links on"
        assert str(link.readlink()) == f"../{name}"


def test_checkers_see_all_five_folders() -> None:
    tool = PROJECT["tool"]
    assert [str((ROOT / name).resolve().relative_to(ROOT)) for name in tool["pyright"]["include"]] == FOLDERS
    assert tool["coverage"]["run"]["source"] == FOLDERS
    assert tool["ruff"]["extend-exclude"] == [f"docrag/{name}" for name in FOLDERS[1:]]  # the same files by their links


def test_ruff_checks_every_file() -> None:
    shown = subprocess.run(
        [Path(sys.executable).parent / "ruff", "check", "--show-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    seen = {Path(line).relative_to(ROOT) for line in shown.stdout.splitlines()}
    sources = {path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).glob("**/*.py")}
    assert {path for path in sources if not (ROOT / path.parents[-2] / path.parts[1]).is_symlink()} <= seen


def test_the_bare_names_are_banned() -> None:
    banned = PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"]
    assert set(banned) == set(FOLDERS[1:])
    code = "from ingest.sources import find_sources\nimport index.store\nimport eval.run\nfrom pipelines import fuse\n"
    ruff = Path(sys.executable).parent / "ruff"
    command = [ruff, "check", "--select", "TID251", "--output-format", "json", "--stdin-filename", "x.py", "-"]
    done = subprocess.run(command, cwd=ROOT, input=code, capture_output=True, text=True, check=False)
    assert [finding["code"] for finding in json.loads(done.stdout)] == ["TID251"] * 4
    for path in (path for folder in FOLDERS for path in (ROOT / folder).glob("**/*.py")):
        assert not re.search(r"^\s*(from|import) (ingest|index|pipelines|eval)\b", path.read_text(), re.MULTILINE), path


@pytest.fixture(scope="module")
def unzipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel's files, in a folder of their own."""
    built, folder = tmp_path_factory.mktemp("wheel"), tmp_path_factory.mktemp("unzipped")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", built], cwd=ROOT, capture_output=True, check=True
    )
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_the_wheel_holds_one_package_with_every_file(unzipped: Path) -> None:
    assert sorted(path.name for path in unzipped.iterdir()) == ["docrag", f"docrag-{docrag.__version__}.dist-info"]
    inside = {path.relative_to(unzipped) for path in (unzipped / "docrag").rglob("*") if path.is_file()}
    for folder in FOLDERS:
        below = Path() if folder == "docrag" else Path("docrag")
        for path in (ROOT / folder).rglob("*"):
            if (
                path.is_file()
                and path.suffix in {".py", ".css", ".js", ".json", ".j2", ".typed"}
                and "__pycache__" not in path.parts
            ):
                assert below / path.relative_to(ROOT) in inside
    assert not any(path.is_symlink() for path in unzipped.rglob("*"))


def test_the_wheel_works_from_another_folder(unzipped: Path, tmp_path: Path) -> None:
    code = """
import docrag, docrag.cli, docrag.commands, docrag.demo.flow, docrag.report, docrag.ingest.run_local, docrag.eval.run
from docrag.demo.library import make_library
from pathlib import Path
assert Path(docrag.__file__).is_relative_to(UNZIPPED), docrag.__file__
assert Path(docrag.ingest.run_local.__file__).is_relative_to(UNZIPPED)
make_library(Path("library"))
raise SystemExit(docrag.cli.main(["ingest", "library", "--index", "index", "--ocr", "never"]))
""".replace("UNZIPPED", repr(str(unzipped)))
    assert "3 documents: 3 ok, 0 failed, 0 skipped" in python(code, tmp_path, str(unzipped))
