"""A local transformers model as a `Chat`: an image-text-to-text one, or a language model, which is shown text only.

A load that leaves any weight newly initialised is refused: such a model talks nonsense, and nobody is told why.
"""
# pyright: basic
# transformers makes its classes by name

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docrag.errors import ContextTooLarge, ModelFault, ReaderBlind, UsageError
from docrag.index.visual_models import choose_device
from docrag.pipelines.prompts import Prompt
from docrag.pipelines.protocols import Completion, OnText, ReaderSettings, Sampling
from docrag.pipelines.tokens import TokenRule, text_rule, token_rule

_NAMED_WEIGHTS = 8


@dataclass(frozen=True, slots=True, eq=False)
class LocalChat:
    """A loaded model with its processor (`sees`), or its tokenizer alone. `folder` holds its files."""

    model: Any
    processor: Any
    folder: Path
    rule: TokenRule
    sees: bool

    @property
    def identity(self) -> Mapping[str, str]:
        """Its files by name, size and time: hashing gigabytes for each reading would cost more than the reading."""
        stats = ((path.name, path.stat()) for path in sorted(self.folder.iterdir()) if path.is_file())
        told = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in stats)
        where = f"{self.model.device} {self.model.dtype}"
        return {"provider": "hf", "model": str(self.folder), "files": hashlib.sha256(told.encode()).hexdigest(), "on": where}

    def complete(self, prompt: Prompt, sampling: Sampling, on_text: OnText | None = None) -> Completion:
        """What the model makes of `prompt`. Raises ContextTooLarge where it exceeds the window or the memory."""
        import torch

        if prompt.images and not self.sees:
            raise ReaderBlind(f"{self.folder.name} takes no images", "give it text, or take a vision-language model")
        try:
            inputs = self._inputs(prompt).to(self.model.device)
            n_prompt = inputs["input_ids"].shape[1]
            self._check_window(n_prompt, sampling)
            with torch.inference_mode(), _drawing(sampling, self.model.device):
                out = self.model.generate(**inputs, **self._generation(sampling), streamer=self._streamer(on_text))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            raise ContextTooLarge(
                f"{self.folder.name} ran out of memory on {self.model.device}", "give it less to read with --budget"
            ) from None
        written = out[0, n_prompt:]
        text = self._tokenizer.decode(written, skip_special_tokens=True)
        ends = {self._tokenizer.eos_token_id, *_listed(self.model.generation_config.eos_token_id)}
        cut_off = len(written) >= sampling.max_tokens or int(written[-1]) not in ends
        return Completion(text, {"input_tokens": n_prompt, "output_tokens": len(written)}, cut_off)

    @property
    def _tokenizer(self) -> Any:
        return getattr(self.processor, "tokenizer", self.processor)

    def _inputs(self, prompt: Prompt) -> Any:
        """Token ids and pixels, laid out by the model's own chat template."""
        from PIL import Image

        if not self.sees:
            system, content = prompt.system, "".join(map(str, prompt.blocks))
        else:
            system = [{"type": "text", "text": prompt.system}]
            content = [
                {"type": "text", "text": block}
                if isinstance(block, str)
                else {"type": "image", "image": Image.open(io.BytesIO(block)).convert("RGB")}
                for block in prompt.blocks
            ]
        messages = [{"role": "system", "content": system}, {"role": "user", "content": content}]
        return self.processor.apply_chat_template(
            messages, tokenize=True, return_dict=True, return_tensors="pt", add_generation_prompt=True
        )

    def _check_window(self, n_prompt: int, sampling: Sampling) -> None:
        config = self.model.config.get_text_config()
        window = getattr(config, "max_position_embeddings", None)
        if window is not None and n_prompt + sampling.max_tokens > window:
            raise ContextTooLarge(
                f"the prompt of {n_prompt} tokens and an answer of up to {sampling.max_tokens} exceed the {window} that "
                f"{self.folder.name} takes",
                "give it less to read with --budget",
            )

    def _generation(self, sampling: Sampling) -> dict[str, Any]:
        """Greedy at temperature 0; settings for sampling that the model brings along are then taken back: it warns of them."""
        if sampling.temperature > 0:
            return {"max_new_tokens": sampling.max_tokens, "do_sample": True, "temperature": sampling.temperature}
        return {"max_new_tokens": sampling.max_tokens, "do_sample": False, "temperature": None, "top_p": None, "top_k": None}

    def _streamer(self, on_text: OnText | None) -> Any:
        if on_text is None:
            return None
        from transformers.generation.streamers import TextStreamer

        class Heard(TextStreamer):
            def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
                if text:
                    on_text(text)

        return Heard(self._tokenizer, skip_prompt=True, skip_special_tokens=True)


def open_local(name: str, settings: ReaderSettings) -> LocalChat:
    """Load the model in the folder `name`, or `name` of the hub's cache, or of the hub itself.

    Raises UsageError where it is no model that writes text, or the device is not there; ModelFault where its files are out of
    reach or broken, or leave weights uninitialised.
    """
    folder = _find_folder(name)
    sees = _sees(folder)
    device = choose_device(settings.device)
    model = _load(folder, sees, device)
    processor = _load_processor(folder, sees)
    tokenizer = getattr(processor, "tokenizer", processor)
    if not (getattr(processor, "chat_template", None) or getattr(tokenizer, "chat_template", None)):
        raise UsageError(f"{name} has no chat template: it was not trained to answer", "take its -Instruct version")

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    rule = token_rule(str(folder), count) if sees else text_rule(count)
    if not sees:
        warnings.warn(f"{name} takes no images: it is shown the text of the pages", stacklevel=2)
    return LocalChat(model, processor, folder, rule, sees)


def _find_folder(name: str) -> Path:
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        try:
            return Path(snapshot_download(name, local_files_only=True))
        except LocalEntryNotFoundError:
            return Path(snapshot_download(name))
    except Exception as error:  # noqa: BLE001 -- the hub's client raises a dozen kinds, from wrong names to no network
        raise ModelFault(
            f"the model {name} is no folder, not in the cache at {HF_HUB_CACHE}, and can't be fetched: {_first_line(error)}",
            "name a folder that holds it, or read with --reader quote, which needs no model",
        ) from None


def _sees(folder: Path) -> bool:
    """Whether it takes images. Raises UsageError where it does not write text at all."""
    from transformers.models.auto.configuration_auto import AutoConfig
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    )

    try:
        config = AutoConfig.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ModelFault(f"{folder} holds no model: {_first_line(error)}", "name the folder with its config.json") from None
    if config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        return True
    if config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return False
    raise UsageError(f"{folder} holds a {config.model_type}, which answers no questions", "take a vision-language model")


@contextmanager
def _drawing(sampling: Sampling, device: Any) -> Generator[None]:
    """Where chance is asked for, the same for the same sample, and nobody else's is touched."""
    import torch

    if sampling.temperature <= 0:
        yield
        return
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(sampling.number)
        yield


def _load(folder: Path, sees: bool, device: str) -> Any:
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM, AutoModelForImageTextToText

    auto = AutoModelForImageTextToText if sees else AutoModelForCausalLM
    try:
        with _without_bar():
            loaded: Any = auto.from_pretrained(
                folder,
                dtype="auto",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that they are named below
                use_safetensors=True,
                local_files_only=True,
            )
    except Exception as error:  # noqa: BLE001 -- transformers and safetensors raise a dozen kinds on broken files
        raise ModelFault(f"the model in {folder} can't be loaded: {_first_line(error)}", "fetch its files again") from None
    model, info = loaded
    fresh = sorted({*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])})
    if fresh:
        more = f" and {len(fresh) - _NAMED_WEIGHTS} more" if len(fresh) > _NAMED_WEIGHTS else ""
        raise ModelFault(
            f"{len(fresh)} weights of the model in {folder} were not in its files, and would be random: "
            f"{', '.join(fresh[:_NAMED_WEIGHTS])}{more}",
            "fetch its files again, or take the version of transformers that they were saved with",
        )
    return model.to(device).eval()


@contextmanager
def _without_bar() -> Generator[None]:
    from transformers.utils import logging

    had_bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if had_bar:
            logging.enable_progress_bar()


def _load_processor(folder: Path, sees: bool) -> Any:
    from transformers.models.auto.processing_auto import AutoProcessor
    from transformers.models.auto.tokenization_auto import AutoTokenizer

    try:
        return (AutoProcessor if sees else AutoTokenizer).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFault(f"the processor in {folder} can't be loaded: {_first_line(error)}", "fetch its files again") from None


def _listed(ids: int | list[int] | None) -> list[int]:
    return [] if ids is None else [ids] if isinstance(ids, int) else ids


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
