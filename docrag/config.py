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
OTHER_VARIABLES = frozenset({"DOCRAG_QDRANT_API_KEY", "DOCRAG_PASSWORD", "DOCRAG_TEST_QDRANT_URL"})


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
    pooling: Pooling = "rows_columns"
    quantization: Quantization = "none"
    page_timeout_s: float = 60.0
    worker_memory_mib: int = 2048
    max_pages: int = 20_000
    max_page_pixels: int = 40_000_000
    k: int = 5
    reader: str = "quote"
    budget_tokens: int = 32_768

    def __post_init__(self) -> None:
        for name, kind in typing.get_type_hints(type(self)).items():
            _check_type(name, getattr(self, name), kind)
        for name in ("ocr_dpi", "page_timeout_s", "worker_memory_mib", "max_pages", "max_page_pixels", "k", "budget_tokens"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(f"{name} must be positive, got {getattr(self, name)!r}")
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
    if not isinstance(value, wanted) or isinstance(value, bool):
        raise UsageError(f"{name} must be of type {kind.__name__}, got {value!r}")


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"unknown setting {name}" + (f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}")


def _convert(variable: str, text: str, kind: Any) -> Any:
    if typing.get_origin(kind) is Literal:
        return text
    try:
        return kind(text)
    except ValueError:
        raise UsageError(f"{variable} must be of type {kind.__name__}, got {text!r}") from None
