"""What published systems score on MMLongBench-Doc, and whether a run may be set beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal, get_args

Setting = Literal["whole document in context", "retrieval", "oracle pages", "human", "always abstaining"]
Protocol = Literal["official three-stage", "no extraction needed", "unknown"]
QUESTION_SETS = (1_082, 1_091)  # MMLongBench-Doc as it is on GitHub, and on Hugging Face
_BENCHMARK = "mmlongbench-doc"


@dataclass(frozen=True, slots=True)
class PublishedSystem:
    """One published result. Figures are fractions from 0 to 1, None where they are not known.

    `una` is the accuracy on unanswerable questions, `setting` how the pages come to the reader, `questions` how many were
    asked, None where that is not known. `source` says too which figures were only cited elsewhere. `comparable` is whether a
    run with retrieval may be set beside it at all, which nobody can say of an unknown protocol; `note` says what to know.
    """

    system: str
    year: int | None
    accuracy: float
    f1: float | None
    una: float | None
    source: str
    setting: Setting
    protocol: Protocol
    questions: int | None
    comparable: bool
    note: str

    def __post_init__(self) -> None:
        for name in ("system", "source", "note"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} says something, got nothing for {self.system!r}")
        for name in ("accuracy", "f1", "una"):
            value = getattr(self, name)
            if value is not None and not 0.0 <= value <= 1.0:
                raise ValueError(f"{name} is a fraction from 0 to 1, got {value!r} for {self.system!r}")
        if self.setting not in get_args(Setting):
            raise ValueError(f"setting is one of {', '.join(get_args(Setting))}, got {self.setting!r}")
        if self.protocol not in get_args(Protocol):
            raise ValueError(f"protocol is one of {', '.join(get_args(Protocol))}, got {self.protocol!r}")
        if self.comparable and self.protocol == "unknown":
            raise ValueError(f"what was scored by an unknown protocol is not comparable, got {self.system!r}")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Beside:
    """A published system, and whether a certain run may be set beside it. `reasons` say why not, and are empty where it may."""

    system: PublishedSystem
    reasons: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        return not self.reasons

    @property
    def why_not(self) -> str:
        """A sentence, "" where the two are comparable."""
        return f"Not comparable: {'; '.join(self.reasons)}." if self.reasons else ""


@cache
def published_systems() -> tuple[PublishedSystem, ...]:
    """The table in the package, the best accuracy first."""
    text = resources.files("docrag.eval").joinpath("published.json").read_text(encoding="utf-8")
    return tuple(PublishedSystem(**row) for row in json.loads(text))


def comparable_to(config: Mapping[str, Any], extracted_by: str = "") -> tuple[Beside, ...]:
    """Every published system with the reasons for which a run with this config.json may not be set beside it.

    `extracted_by` names the extractor that took the run's answers from free-form responses, "" where none did.
    """
    of_run = _reasons_of_run(config)
    beside: list[Beside] = []
    for system in published_systems():
        reasons = [*of_run, *_reasons_of_row(system, config)]
        if system.protocol == "official three-stage":
            reasons += _reasons_of_extraction(extracted_by)
        beside.append(Beside(system, tuple(reasons)))
    return tuple(beside)


def _reasons_of_run(config: Mapping[str, Any]) -> list[str]:
    """What sets the run apart from every published system."""
    benchmark = config.get("benchmark") or _BENCHMARK
    if not str(benchmark).startswith(_BENCHMARK):
        return [f"the run is of {benchmark}, not of MMLongBench-Doc"]
    asked = config.get("questions")
    reasons: list[str] = []
    if asked not in QUESTION_SETS:
        known = f"{asked:,}" if isinstance(asked, int) else "an unknown number"
        reasons.append(f"{known} of {QUESTION_SETS[0]:,} questions")
    if config.get("retrieval_only"):
        reasons.append("a run without answers")
    elif config.get("settings", {}).get("reader") == "quote":
        reasons.append("an extractive reader without a model")
    return reasons


def _reasons_of_row(system: PublishedSystem, config: Mapping[str, Any]) -> list[str]:
    reasons = [] if system.comparable else [system.note]
    asked = config.get("questions")
    if system.questions is not None and asked in QUESTION_SETS and asked != system.questions:
        reasons.append(f"{asked:,} questions, where it was asked {system.questions:,}")
    return reasons


def _reasons_of_extraction(extracted_by: str) -> list[str]:
    if not extracted_by:
        return ["no three-stage extraction: the answers are scored as the reader gave them"]
    if extracted_by.startswith("rules"):
        return ["answers extracted by rules, where the three-stage protocol asks a model"]
    return []
