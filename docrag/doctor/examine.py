"""`docrag doctor`: what is amiss with this machine and, where one is named, with an index; each look is a line of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docrag.doctor import machine
from docrag.doctor.check import Check, look

_SIGNS = {"ok": "ok     ", "warning": "warning", "wrong": "WRONG  "}


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What was looked at, in order, and the version of each package ("" for one that is missing)."""

    checks: tuple[Check, ...]
    versions: Mapping[str, str]

    @property
    def exit_code(self) -> int:
        """0 where nothing is wrong, 1 where an index is damaged, 2 where something around it is wrong."""
        if any(check.damage for check in self.checks):
            return 1
        return 2 if any(check.state == "wrong" for check in self.checks) else 0

    def to_json(self) -> dict[str, Any]:
        states = [check.state for check in self.checks]
        return {
            "ok": states.count("ok"),
            "warnings": states.count("warning"),
            "wrong": states.count("wrong"),
            "damaged": any(check.damage for check in self.checks),
            "versions": dict(self.versions),
            "checks": [check.to_json() for check in self.checks],
        }

    def to_text(self) -> str:
        width = max(len(check.name) for check in self.checks)
        lines: list[str] = []
        for check in self.checks:
            lines.append(f"{_SIGNS[check.state]}  {check.name.ljust(width)}  {check.found}")
            if check.advice:
                lines.append(f"{' ' * (len(_SIGNS['ok']) + width + 4)}-> {check.advice}")
        states = [check.state for check in self.checks]
        lines.append(f"{states.count('ok')} ok, {states.count('warning')} warnings, {states.count('wrong')} wrong")
        return "\n".join(lines)


def examine(index: str | None = None, password: str | None = None) -> DoctorReport:
    """Look at the machine and, where `index` names one, at that index. Raises nothing: what a look raises is its line.

    Takes some 5 s, most of them `import torch`; with an index as much again, and with a visual lane what its model needs.
    `password` opens encrypted PDFs, to draw their pages.
    """
    found: list[Check] = []
    found += look("versions", machine.check_versions)
    found += look("torch", machine.check_torch)
    found += look("settings", machine.check_settings)
    found += look("cpu", machine.check_cpu)
    found += look("gpu", machine.check_gpu)
    found += look("tesseract", machine.check_tesseract)
    found += look("disk", machine.check_disk, index)
    found += look("hub", machine.check_hub)
    if index is not None:
        found += look("index", _check_index, index, password)
    return DoctorReport(tuple(found), machine.versions())


def _check_index(location: str, password: str | None) -> list[Check]:
    # With torch missing or broken the machine's lines still come: this module is only loaded now.
    from docrag.doctor.library import check_index

    return check_index(location, password)
