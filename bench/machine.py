"""Where a measurement was made: the processor, the versions of what was measured, the code and the data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psutil

from bench.common import ROOT, table

_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "bf16")
_PACKAGES = (
    "docrag",
    "torch",
    "tokenizers",
    "pymupdf",
    "qdrant-edge-py",
    "qdrant-client",
    "ray",
    "sentence-transformers",
    "transformers",
    "numpy",
)


def describe(data: Path, documents: Iterable[Path]) -> dict[str, str]:
    """What to say beside any figure."""
    cpu = _cpu()
    flags = cpu.get("flags", cpu.get("Features", "")).split()
    names = {path.name for path in documents}
    return {
        "processor": f"{cpu.get('model name', platform.machine())}, {os.cpu_count()} cores",
        "of its flags": " ".join(flag for flag in _FLAGS if flag in flags) or "none that matter here",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "versions": ", ".join(f"{name} {_version(name)}" for name in _PACKAGES),
        "tesseract": _first_line("tesseract", "--version"),
        "commit": _commit(),
        "data": f"{len(names)} documents, sha256 {hash_data(data, names)[:16]}",
    }


def to_markdown(machine: dict[str, str]) -> str:
    busy = os.getloadavg()[0] > 0.5 * (os.cpu_count() or 1)
    warning = "\n\nThe machine was busy with other things: the figures below are worth little.\n" if busy else ""
    return table(("where", ""), machine.items(), align="---") + warning


def hash_data(data: Path, names: Iterable[str]) -> str:
    """The sha256 over the questions and the documents with their names."""
    digest = hashlib.sha256((data / "samples.json").read_bytes())
    for name in sorted(names):
        with (data / "documents" / name).open("rb") as file:
            digest.update(name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def hash_code() -> str:
    """The sha256 over the package's code: what is measured must not change meanwhile."""
    folders = [ROOT / "docrag", *(path for path in (ROOT / "docrag").iterdir() if path.is_symlink())]
    digest = hashlib.sha256()
    for path in sorted({path for folder in folders for path in folder.resolve().rglob("*.py")}):
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _cpu() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0].splitlines()
    except OSError:
        return {}
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _commit() -> str:
    commit = _first_line("git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD")
    changed = _first_line("git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no")
    return f"{commit} and changes that are not committed" if changed not in ("", "none") else commit


def _first_line(*command: str) -> str:
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "none"
    return next(iter(told.splitlines()), "")
