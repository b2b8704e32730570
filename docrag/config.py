"""One frozen configuration, resolved at the edge (flags, then DOCRAG_* variables, then defaults), stored with results."""

from __future__ import annotations

import difflib
import math
import os
import typing
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from docrag.errors import UsageError

OcrMode = Literal["auto", "never", "always"]
Precision = Literal["auto", "bfloat16", "float32"]
Device = Literal["auto", "cpu", "cuda", "mps"]
Pooling = Literal["rows_columns", "hierarchical"]
Quantization = Literal["none", "binary", "turbo"]
PREFIX = "DOCRAG_"
# Read where they are used, for they are secrets or belong to the tests: never part of a stored configuration.
OTHER_VARIABLES = frozenset({"DOCRAG_QDRANT_API_KEY", "DOCRAG_PASSWORD", "DOCRAG_READER_API_KEY", "DOCRAG_TEST_QDRANT_URL"})
_POSITIVE = (
    *("ocr_dpi", "page_timeout_s", "worker_memory_mib", "max_pages", "max_page_pixels", "k", "budget_tokens"),
    *("reader_timeout_s", "max_answer_tokens", "samples", "navigate_tokens", "gpus_per_encoder"),
)
_FROM_ZERO = ("temperature", "reader_retries", "rounds", "input_price", "output_price")
_SWITCH = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that changes what docrag does. Times in seconds, memory in MiB, images in pixels."""

    ocr: OcrMode = "auto"
    lang: str = "eng"
    ocr_dpi: int = 150
    workers: int = 0  # 0: one for each core
    precision: Precision = "auto"
    visual: str = ""  # the model of the visual lane; "": the index's own, "none": leave that lane alone
    device: Device = "auto"
    gpus_per_encoder: float = 1.0  # on Ray: what each encoder of page images holds of a GPU, or how many
    pooling: Pooling = "hierarchical"
    quantization: Quantization = "none"
    page_timeout_s: float = 60.0
    worker_memory_mib: int = 2048
    max_pages: int = 20_000
    max_page_pixels: int = 40_000_000
    k: int = 5
    reader: str = "quote"
    budget_tokens: int = 32_768
    base_url: str = ""  # an OpenAI-compatible server's; "": the provider's own
    reader_timeout_s: float = 180.0  # how long a server may be silent
    reader_retries: int = 4
    reader_cache: str = ""  # a file that keeps what models answered; "": none
    temperature: float = 0.0
    max_answer_tokens: int = 4_096
    rounds: int = 2  # how often pages are found again by what the reader asks for
    samples: int = 1  # readings of each context, among which the reader chooses where they differ
    navigate: bool = False  # the reader also picks pages from a list of all
    navigate_tokens: int = 16_384  # what that list may take, beside `budget_tokens`
    input_price: float = 0.0  # for a million tokens, in whatever currency; 0: not known
    output_price: float = 0.0

    def __post_init__(self) -> None:
        for name, kind in typing.get_type_hints(type(self)).items():
            _check_type(name, getattr(self, name), kind)
        for name in _POSITIVE:
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in _FROM_ZERO:
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be 0 or more, got {getattr(self, name)!r}")
        if self.gpus_per_encoder > 1 and not float(self.gpus_per_encoder).is_integer():
            raise UsageError(
                f"gpus_per_encoder must be a whole number or less than 1, got {self.gpus_per_encoder!r}",
                "Ray gives a part of one GPU, or whole ones",
            )
        if self.workers < 0:
            raise UsageError(f"workers must be 0 (one for each core) or more, got {self.workers!r}")

    @classmethod
    def resolve(
        cls,
        overrides: Mapping[str, Any] | None = None,
        defaults: Mapping[str, Any] | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Config:
        """The configuration from `overrides` (None values are passed over), then DOCRAG_* variables, then `defaults`.

        `defaults` are what an existing index was made with; they stand before those of this class. Raises UsageError on an
        unknown override or a value of the wrong type; warns of an unknown DOCRAG_* variable.
        """
        known = typing.get_type_hints(cls)
        values: dict[str, Any] = dict(defaults or {})
        for variable, text in (os.environ if environ is None else environ).items():
            if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name not in known:
                # From this line, so that Python shows it once however often a configuration is resolved.
                warnings.warn(_unknown(variable, [PREFIX + key.upper() for key in known]), stacklevel=1)
                continue
            values[name] = _convert(variable, text, known[name])
        for name, value in (overrides or {}).items():
            if name not in known:
                raise UsageError(_unknown(name, list(known)))
            if value is not None:
                values[name] = value
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def _check_type(name: str, value: Any, kind: Any) -> None:
    """Raise UsageError unless `value` is what the field `name` holds; to Python True is an int, to a setting it is not."""
    allowed = typing.get_args(kind)
    if allowed and value not in allowed:
        raise UsageError(f"{name} is one of {', '.join(allowed)}, got {value!r}")
    wanted = str if allowed else (int, float) if kind is float else kind
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise UsageError(f"{name} must be of type {kind.__name__}, got {value!r}")


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown setting {name}" + (f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}")


def _convert(variable: str, text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is Literal:
        return text
    try:
        return _switch(text) if kind is bool else kind(text)
    except ValueError:
        raise UsageError(f"{variable} must be of type {kind.__name__}, got {text!r}") from None


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError
    return _SWITCH[text.lower()]
