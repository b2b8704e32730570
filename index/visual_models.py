# pyright: basic
"""Which visual model it is, and loading it: the families that colpali-engine holds, whole checkpoints and adapters.

A load that leaves any weight newly initialised is refused: such a model answers, and finds nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from docrag.config import Device, Precision
from docrag.errors import ModelFault, UsageError
from docrag.index.encoders import choose_precision
from docrag.index.records import LaneFingerprint
from docrag.index.store import MAX_VECTOR_NUMBERS
from docrag.index.visual_attention import use_packed_attention
from docrag.index.visual_checkpoint import WITHOUT, Checkpoint, find_checkpoint
from docrag.index.visual_encoder import ColEncoder, VisualEncoder
from docrag.index.visual_geometry import Geometry, following_grid, square, tiles

_NAMED_WEIGHTS = 8


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of model: colpali-engine's two classes for it, and how it cuts images."""

    name: str
    model_class: str
    processor_class: str
    geometry: Callable[[Any, int], Geometry]


# By the model_type of the model's own config.json.
FAMILIES = {
    "paligemma": Family("ColPali", "ColPali", "ColPaliProcessor", square),
    "qwen2_vl": Family("ColQwen2", "ColQwen2", "ColQwen2Processor", following_grid),
    "qwen2_5_vl": Family("ColQwen2.5", "ColQwen2_5", "ColQwen2_5_Processor", following_grid),
    "qwen3_vl": Family("ColQwen3", "ColQwen3", "ColQwen3Processor", following_grid),
    "qwen3_5": Family("ColQwen3.5", "ColQwen3_5", "ColQwen3_5Processor", following_grid),
    "idefics3": Family("ColIdefics3", "ColIdefics3", "ColIdefics3Processor", tiles),
    "modernvbert": Family("ColModernVBERT", "ColModernVBert", "ColModernVBertProcessor", tiles),
    "gemma3": Family("ColGemma3", "ColGemma3", "ColGemmaProcessor3", square),
}


def open_visual(model: str, device: Device = "auto", precision: Precision = "auto") -> VisualEncoder:
    """Load `model`: a folder, or "owner/name" or "owner/name@revision" on the hub, a checkpoint of its own or an adapter.

    Takes seconds, most of them imports and reading weights. Raises UsageError where `model` is no late-interaction model for
    images or the device is not there, ModelFault where its files are broken or out of reach or leave weights uninitialised.
    """
    checkpoint = find_checkpoint(model)
    family = choose_family(checkpoint)
    with ThreadPoolExecutor(1) as executor:  # hashing and loading read the same bytes: together they take one of the two times
        digest = executor.submit(checkpoint.hash_weights)
        device_name = choose_device(device)
        chosen = _choose_precision(precision, device_name)
        with _quiet():
            network = _load_model(checkpoint, family, device_name, chosen)
            processor = _load_processor(checkpoint, family)
        weights_sha256 = digest.result()
    geometry = family.geometry(processor, MAX_VECTOR_NUMBERS // network.dim)
    encoder = ColEncoder(network, processor, geometry, checkpoint.source, device_name, chosen)
    if encoder.max_vectors * encoder.dim > MAX_VECTOR_NUMBERS:
        raise UsageError(
            f"{checkpoint.name} makes up to {encoder.max_vectors} vectors of {encoder.dim} numbers a page, over the store's "
            f"limit of {MAX_VECTOR_NUMBERS} numbers",
            "take a model that makes fewer, or lower the size in its image processor's configuration",
        )
    encoder.fingerprint = visual_fingerprint(checkpoint, family, weights_sha256, encoder)
    return encoder


def visual_fingerprint(checkpoint: Checkpoint, family: Family, weights_sha256: str, encoder: ColEncoder) -> LaneFingerprint:
    """What the lane's vectors depend on. A folder goes by its last name, so that an index may move to another machine."""
    return LaneFingerprint(
        lane="visual",
        encoder=checkpoint.name,
        revision=checkpoint.revision,
        weights_sha256=weights_sha256,
        precision=encoder.precision,
        settings={
            "family": family.name,
            "dim": encoder.dim,
            "max_visual_tokens": encoder.geometry.max_image_tokens,
            "prompt": hashlib.sha256(encoder.prompt.encode()).hexdigest()[:16],
        },
    )


def choose_family(checkpoint: Checkpoint) -> Family:
    """By the model_type of its own config. Raises UsageError where it is no late-interaction model for images."""
    config = checkpoint.model_config
    kind, classes = str(config.get("model_type", "")), [str(name) for name in config.get("architectures") or ()]
    hint = f"give one of {', '.join(family.name for family in FAMILIES.values())}, such as vidore/colqwen2.5-v0.2, {WITHOUT}"
    told = f"{checkpoint.name} is no late-interaction model for images that docrag can run"
    if kind.startswith("col") and kind not in FAMILIES:
        hint = "it is another library's conversion: take the colpali-engine one, whose name mostly is the same without -hf"
    if kind not in FAMILIES:
        raise UsageError(f"{told}: its model_type is {kind!r} ({', '.join(classes) or 'no architecture named'})", hint)
    if any(name.startswith("Bi") for name in classes):
        raise UsageError(f"{told}: {classes[0]} makes one vector a page", hint)
    return FAMILIES[kind]


def choose_device(device: Device) -> str:
    """cuda, else mps, else cpu; or what was asked for. Raises UsageError where that is not there."""
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, is_there in there.items() if is_there)
    if not there.get(device, False):
        raise UsageError(f"no device {device!r} here; there is {', '.join(name for name in there if there[name])}")
    return device


def _choose_precision(precision: Precision, device: str) -> str:
    if precision == "auto" and device == "cuda":
        import torch

        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if precision == "auto" and device == "mps":
        return "float32"
    return choose_precision(precision)


def _load_model(checkpoint: Checkpoint, family: Family, device: str, precision: str) -> Any:
    import colpali_engine.models as engine
    import torch

    whole = checkpoint.base or checkpoint
    hint = f"its configuration or its weights are not what {family.name} takes: get it again"
    with _told(f"{checkpoint.name} does not load", hint):
        network, info = getattr(engine, family.model_class).from_pretrained(
            whole.folder,
            dtype=getattr(torch, precision),
            attn_implementation=_attention(device, precision),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # so that they are named below
            use_safetensors=True,
            local_files_only=True,
        )
        if hasattr(getattr(network, "model", None), "lm_head"):
            network.model.lm_head = torch.nn.Identity()  # ColPali's: 257,216 logits a vector, and nobody reads them
        unmade = {name for name, weight in network.named_parameters() if weight.is_meta}
        network = network if unmade else network.to(device)
    lacking = {*unmade, *info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])}
    if checkpoint.base is None:
        _refuse_new_weights(checkpoint, family, lacking)
    else:
        _add_adapter(network, checkpoint, family, lacking)
    if family.geometry is following_grid and network.visual.config._attn_implementation == "sdpa":
        use_packed_attention(network)
    return network.eval()


def _add_adapter(network: Any, checkpoint: Checkpoint, family: Family, lacking: set[str]) -> None:
    """Load the adapter onto its base and merge it in, which saves its products at each page; `lacking`: the base's weights.

    Raises ModelFault where weights of either stay as they were made, or trained ones fit nowhere.
    """
    from transformers.conversion_mapping import get_model_conversion_mapping
    from transformers.modeling_utils import LoadStateDictConfig

    saved = tuple(checkpoint.config.get("modules_to_save") or ())
    _refuse_new_weights(checkpoint, family, {key for key in lacking if not any(f".{name}." in f".{key}" for name in saved)})
    renamed: dict[str, str] = dict(getattr(network, "_checkpoint_conversion_mapping", {}))
    mapping: Any = get_model_conversion_mapping(network, renamed)
    with _told(f"the adapter {checkpoint.name} does not load", "it is damaged, or made for another base: get it again"):
        offline: Any = {"local_files_only": True}
        info = network.load_adapter(
            str(checkpoint.folder),
            load_config=LoadStateDictConfig(
                weight_mapping=mapping, use_safetensors=True, ignore_mismatched_sizes=True, download_kwargs=offline
            ),
        )
    _refuse_new_weights(checkpoint, family, {*info.missing_keys, *(key for key, *_ in info.mismatched_keys)})
    if info.unexpected_keys:
        raise ModelFault(
            f"weights of the adapter {checkpoint.name} fit nowhere in {family.name}: {_name_some(info.unexpected_keys)}",
            "it was made for another base or another version: use the base that its adapter_config.json names",
        )
    _merge(network)


def _merge(network: Any) -> None:
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils.other import AuxiliaryTrainingWrapper, ModulesToSaveWrapper

    for name, module in list(network.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge(safe_merge=False)
            plain = module.get_base_layer()
        elif isinstance(module, ModulesToSaveWrapper):
            plain = module.modules_to_save[str(module.active_adapter)]
        elif isinstance(module, AuxiliaryTrainingWrapper):
            raise ModelFault(f"the adapter trains {name} in a way that docrag can't merge", "merge it into its base first")
        else:
            continue
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, plain)


def _refuse_new_weights(checkpoint: Checkpoint, family: Family, lacking: Iterable[str]) -> None:
    """Raise ModelFault, with their names, where any weight is `lacking`."""
    names = sorted(lacking)
    if not names:
        return
    is_plain = all(re.fullmatch(r"(custom_text_proj|linear)\.(weight|bias)", name) for name in names)
    told = f"{checkpoint.name} leaves {len(names)} weights of {family.name} newly initialised: {_name_some(names)}"
    if is_plain:
        hint = "it has no projection to vectors, so it is a plain vision-language model: give one trained for late interaction"
    else:
        hint = (
            "the checkpoint is damaged, or made for other versions of transformers and colpali-engine: get one made for these"
        )
    raise ModelFault(told, hint)


def _name_some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - _NAMED_WEIGHTS} more" if len(ordered) > _NAMED_WEIGHTS else ""
    return ", ".join(ordered[:_NAMED_WEIGHTS]) + more


def _load_processor(checkpoint: Checkpoint, family: Family) -> Any:
    import colpali_engine.models as engine

    hint = "its processor or tokenizer files are not complete, or another model's: get them again"
    with _told(f"the processor of {checkpoint.name} does not load", hint):
        return getattr(engine, family.processor_class).from_pretrained(checkpoint.processor_folder, local_files_only=True)


@contextlib.contextmanager
def _told(message: str, hint: str) -> Generator[None]:
    """Whatever goes wrong inside, as ModelFault."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelFault(f"{message}: there is not enough memory for it", "free some, or take a smaller model") from error
    except Exception as error:
        raise ModelFault(f"{message}: {_line(error)}", hint) from error


def _attention(device: str, precision: str) -> str:
    from transformers.utils.import_utils import is_flash_attn_2_available

    return "flash_attention_2" if device == "cuda" and precision == "bfloat16" and is_flash_attn_2_available() else "sdpa"


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Without transformers' bars and reports: what they say of weights is an error here, and told as one."""
    from transformers.utils import logging

    level, had_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bar:
            logging.enable_progress_bar()


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
