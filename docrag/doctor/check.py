"""What a look at one thing found, and looking so that no look can end the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from docrag.errors import DocragError, IndexDamaged, IndexMismatch

State = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report: what was looked at, what was found, and what to do about it.

    `damage` says that something wrong is in the index (its points, records, or vectors that no encoder here gives), not
    around it.
    """

    name: str
    state: State
    found: str
    advice: str = ""
    damage: bool = False

    def __post_init__(self) -> None:
        if self.state != "ok" and not self.advice:
            raise ValueError(f"{self.name} is not ok, so it needs advice: {self.found}")
        if self.damage and self.state != "wrong":
            raise ValueError(f"{self.name} is damage, so it is wrong: {self.found}")

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "state": self.state,
            "found": self.found,
            "advice": self.advice or None,
            "damage": self.damage,
        }


def look(name: str, checks: Callable[..., Iterable[Check]], *arguments: Any) -> list[Check]:
    """What `checks(*arguments)` gives; what it raises becomes the last line, so that one broken thing hides no other."""
    found: list[Check] = []
    try:
        found.extend(checks(*arguments))
    except DocragError as error:
        damage = isinstance(error, IndexDamaged | IndexMismatch)
        found.append(Check(name, "wrong", error.message, error.hint or "see the message", damage))
    except Exception as error:  # noqa: BLE001 -- a doctor looks at broken machines, where anything raises anything
        told = f"{type(error).__name__}: {error}".strip()
        found.append(Check(name, "wrong", f"the look at it failed: {told}", "mend what the message names, or report it"))
    return found
