# pyright: basic
"""Where a visual model's files are: a folder, or the hub's cache, or the hub; a whole checkpoint, or an adapter and its base.

What is found is checked before anything heavy is loaded: configuration, every weight file in full, processor, tokenizer.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docrag.errors import DocragError, ModelFault, UsageError

HUB_DEADLINE_S = 7.0
WITHOUT = "or leave --visual out: the text lanes need no such model"
_HUB_NAME = re.compile(r"(?P<repository>[A-Za-z0-9][\w.-]*/[\w.-]+?)(?:@(?P<revision>[\w./-]+))?")
_ALLOWED = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja"]
_IGNORED = ["*/*"]  # what lies in folders of a model's repository are other forms of the same weights
_PROCESSORS = ("processor_config.json", "preprocessor_config.json")
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A model's files, present and whole. `base` is the model that an adapter adapts, None for a model of its own.

    `name` is the hub's, or the folder's; `source` finds the same files again: "owner/name@commit", or the folder's path.
    """

    name: str
    source: str
    revision: str
    folder: Path
    config: dict[str, Any]
    weights: tuple[Path, ...]
    base: Checkpoint | None = None

    @property
    def model_config(self) -> dict[str, Any]:
        """The model's own config.json, which an adapter takes from its base."""
        return self.base.model_config if self.base is not None else self.config

    @property
    def processor_folder(self) -> Path:
        """Where the processor and the tokenizer are; adapters may leave them to their base."""
        if self.base is None or not _lacks_processor(self.folder):
            return self.folder
        return self.base.processor_folder

    def hash_weights(self) -> str:
        """The sha256 over the sha256 of each weight file, base and adapter."""
        digest = hashlib.sha256(self.base.hash_weights().encode() if self.base is not None else b"")
        for path in self.weights:
            with path.open("rb") as file:
                digest.update(f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {path.name}\n".encode())
        return digest.hexdigest()


def find_checkpoint(model: str) -> Checkpoint:
    """The files of `model`: a folder, "owner/name" on the hub, or "owner/name@revision"; the hub's cache goes before the hub.

    Raises UsageError where there is no such model, ModelFault where files are missing, broken or out of reach.
    """
    path = Path(model).expanduser()
    if model and path.is_dir():
        return _read_checkpoint(path.resolve(), path.resolve().name, str(path.resolve()), "")
    named = _HUB_NAME.fullmatch(model)
    if path.is_file() or named is None or model.startswith("."):
        found = "is a file" if path.is_file() else "is no folder here, and no name on the hub"
        hint = "give a model's folder, or its name on the hub, such as vidore/colqwen2.5-v0.2"
        raise UsageError(f"--visual {model!r} {found}", hint)
    return _from_hub(named["repository"], named["revision"])


def _from_hub(repository: str, revision: str | None) -> Checkpoint:
    try:
        return _read_snapshot(repository, _snapshot(repository, revision, local=True))
    except (OSError, DocragError) as error:  # not in the cache, or not whole
        in_cache = str(error) if isinstance(error, ModelFault) else ""
    _ask_hub(repository, revision, in_cache)
    try:
        folder = _snapshot(repository, revision, local=False)
    except Exception as error:
        raise ModelFault(
            f"the download of {repository} broke off: {_line(error)}", "run again: what is there is kept"
        ) from error
    return _read_snapshot(repository, folder)


def _snapshot(repository: str, revision: str | None, local: bool) -> Path:
    from huggingface_hub import snapshot_download

    patterns: dict[str, Any] = {"allow_patterns": _ALLOWED, "ignore_patterns": _IGNORED}
    return Path(snapshot_download(repository, revision=revision, local_files_only=local, **patterns))


def _read_snapshot(repository: str, folder: Path) -> Checkpoint:
    return _read_checkpoint(folder, repository, f"{repository}@{folder.name}", folder.name)


def _ask_hub(repository: str, revision: str | None, in_cache: str) -> None:
    """Raise ModelFault unless the hub answers within HUB_DEADLINE_S and has the model (UsageError where it has not)."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    failure = _within(HUB_DEADLINE_S, lambda: HfApi().model_info(repository, revision=revision, timeout=HUB_DEADLINE_S))
    if failure is None:
        return
    if isinstance(failure, GatedRepoError):
        raise ModelFault(f"{repository} is open only to those who accepted its terms", "accept them there, and set HF_TOKEN")
    if isinstance(failure, RepositoryNotFoundError | RevisionNotFoundError):
        named = repository if revision is None else f"{repository} at revision {revision}"
        hint = "check the name; a private model needs HF_TOKEN; a folder is given by its path, as in ./model"
        raise UsageError(f"the hub at {constants.ENDPOINT} has no model {named}, and there is no such folder here", hint)
    told = f"does not answer ({_line(failure)})"
    if isinstance(failure, OfflineModeIsEnabled):
        told = "is not asked, for HF_HUB_OFFLINE is set"
    elif isinstance(failure, HfHubHTTPError):
        told = f"refuses ({_line(failure)})"
    cached = (
        f"the copy in the cache {constants.HF_HUB_CACHE} can't be used ({in_cache.splitlines()[0]})"
        if in_cache
        else (f"the cache {constants.HF_HUB_CACHE} does not hold it")
    )
    raise ModelFault(
        f"the model {repository} is out of reach: {cached}, and the hub at {constants.ENDPOINT} {told}",
        f"fetch it where there is a network (hf download {repository}) and give its folder, {WITHOUT}",
    )


def _within(seconds: float, ask: Any) -> Exception | None:
    """What `ask` raised, or TimeoutError; None where it returned in time. Name servers that hang have no timeout of theirs."""
    raised: list[Exception | None] = [TimeoutError(f"no answer in {seconds:.0f} s")]

    def run() -> None:
        try:
            ask()
        except Exception as error:  # noqa: BLE001 -- handed to the caller
            raised.insert(0, error)
        else:
            raised.insert(0, None)

    thread = threading.Thread(target=run, name="ask-hub", daemon=True)
    thread.start()
    thread.join(seconds)
    return raised[0]


def _read_checkpoint(folder: Path, name: str, source: str, revision: str) -> Checkpoint:
    is_adapter = (folder / "adapter_config.json").is_file()
    if is_adapter and (folder / "model.safetensors").is_file():
        raise ModelFault(f"{name} holds both an adapter and a whole model", "take one of the two out of the folder")
    config = _read_json(folder / ("adapter_config.json" if is_adapter else "config.json"), name)
    base = _find_base(config, folder, name) if is_adapter else None
    if not is_adapter and not isinstance(config.get("model_type"), str):
        raise UsageError(f"the config.json of {name} names no model_type", "give a ColPali-family model")
    lacking = _lacks_processor(folder)
    if lacking and (base is None or _lacks_processor(base.folder)):
        raise ModelFault(f"{name} has no {lacking}", "the folder is not complete: download it again")
    weights = tuple(_weight_files(folder, name, "adapter_model" if is_adapter else "model"))
    for path in weights:
        _check_whole(path, name)
    return Checkpoint(name, source, revision, folder, config, weights, base)


def _find_base(config: dict[str, Any], folder: Path, name: str) -> Checkpoint:
    """The model that an adapter's base_model_name_or_path names; a path may be relative to the adapter's folder."""
    told = config.get("base_model_name_or_path")
    if not isinstance(told, str) or not told:
        raise ModelFault(f"the adapter {name} names no base model", "set base_model_name_or_path in its adapter_config.json")
    beside = folder / told
    revision = config.get("revision")
    spec = str(beside) if beside.is_dir() else f"{told}@{revision}" if revision and not Path(told).is_dir() else told
    try:
        base = find_checkpoint(spec)
    except UsageError as error:
        hint = "set base_model_name_or_path in its adapter_config.json to the base's folder or name on the hub"
        raise ModelFault(f"the base model of the adapter {name} is not there: {error.message}", hint) from error
    if base.base is not None:
        raise ModelFault(f"the base model of the adapter {name} is an adapter itself: {told}", "merge one of them first")
    return base


def _lacks_processor(folder: Path) -> str:
    for names in (_PROCESSORS, _TOKENIZERS):
        if not any((folder / name).is_file() for name in names):
            return " or ".join(names)
    return ""


def _weight_files(folder: Path, name: str, stem: str) -> Iterator[Path]:
    """`stem`.safetensors, or the shards that its index lists, in order of name."""
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if whole.is_file():
        yield whole
        return
    if not index.is_file():
        raise ModelFault(
            f"{name} has no weights: neither {whole.name} nor {index.name}",
            "download it again; weights in pickles (.bin) are not read: save them as safetensors",
        )
    shards = _read_json(index, name).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise ModelFault(f"{index.name} of {name} lists no weights", "download it again")
    missing = sorted({shard for shard in shards.values() if not (folder / shard).is_file()})
    if missing:
        raise ModelFault(f"{name} lacks weight files: {', '.join(missing)}", "the download is not complete: finish it")
    yield from (folder / shard for shard in sorted(set(shards.values())))


def _check_whole(path: Path, name: str) -> None:
    """Raise ModelFault where a safetensors file is cut short or is none, which its header tells."""
    import safetensors

    try:
        with safetensors.safe_open(path, framework="numpy"):
            pass
    except (safetensors.SafetensorError, OSError) as error:
        hint = "the download is not complete, or the file is a git-lfs pointer: fetch it again"
        raise ModelFault(f"{path.name} of {name} is broken: {_line(error)}", hint) from error


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        read = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelFault(f"{name} has no {path.name}", "the folder holds no model, or not all of it") from None
    except (OSError, ValueError) as error:
        raise ModelFault(f"{path.name} of {name} can't be read: {_line(error)}", "download it again") from error
    if not isinstance(read, dict):
        raise ModelFault(f"{path.name} of {name} holds no object", "download it again")
    return read


def _line(error: BaseException) -> str:
    """An error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
