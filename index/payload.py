"""Typed reading of plain JSON payloads: what is missing or of another kind is an IndexDamaged that names the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar, cast

from docrag.errors import IndexDamaged
from docrag.types import Failure

REPAIR_HINT = "run `docrag verify --repair` on this index, then ingest again what it names"
RESTORE_HINT = "restore the index from a backup, or move it away and ingest again"
_T = TypeVar("_T")


class Fields:
    """A payload, or an object inside one, read key by key. `what` names the record in messages, `hint` says what to do."""

    def __init__(self, payload: Mapping[str, Any], what: str, hint: str = REPAIR_HINT) -> None:
        self._payload = payload
        self._what = what
        self._hint = hint

    def text(self, key: str) -> str:
        return self._take(key, str)

    def integer(self, key: str) -> int:
        return self._take(key, int)

    def number(self, key: str) -> float:
        return float(self._take(key, int) if isinstance(self._payload.get(key), int) else self._take(key, float))

    def flag(self, key: str) -> bool:
        return self._take(key, bool)

    def optional_text(self, key: str) -> str | None:
        return None if self._payload.get(key) is None else self.text(key)

    def one_of(self, key: str, allowed: tuple[Any, ...]) -> Any:
        value = self.text(key)
        return value if value in allowed else self.damaged(f"{key!r} is {value!r}")

    def items(self, key: str) -> list[Any]:
        return cast("list[Any]", self._take(key, list))

    def all_of(self, key: str, kind: type[_T]) -> tuple[_T, ...]:
        """A list of `kind` only."""
        values = self.items(key)
        if not all(isinstance(value, kind) for value in values):
            self.damaged(f"{key!r} holds something that is no {kind.__name__}")
        return tuple(values)

    def texts_or_none(self, key: str) -> tuple[str | None, ...]:
        values = self.items(key)
        if not all(value is None or isinstance(value, str) for value in values):
            self.damaged(f"{key!r} holds something that is no str")
        return tuple(values)

    def mapping(self, key: str) -> dict[str, Any]:
        return cast("dict[str, Any]", self._take(key, dict))

    def inside(self, key: str) -> Fields:
        return Fields(self.mapping(key), self._what, self._hint)

    def each(self, key: str) -> list[Fields]:
        values = cast("tuple[dict[str, Any], ...]", self.all_of(key, dict))
        return [Fields(value, self._what, self._hint) for value in values]

    def optional_failure(self, key: str) -> Failure | None:
        return None if self._payload.get(key) is None else self.inside(key).failure()

    def failure(self) -> Failure:
        """This object itself, as the Failure that `failure_json` wrote."""
        number = None if self._payload.get("page_number") is None else self.integer("page_number")
        return Failure(
            document=self.text("document"),
            stage=self.text("stage"),
            error=self.text("error"),
            message=self.text("message"),
            hint=self.text("hint"),
            page_number=number,
            lacked=self.one_of("lacked", ("nothing", "password", "tesseract", "memory")),
            retriable=self.flag("retriable"),
        )

    def damaged(self, why: str) -> NoReturn:
        raise IndexDamaged(f"{self._what} is damaged: {why}", self._hint)

    def _take(self, key: str, kind: type[_T]) -> _T:
        value = self._payload.get(key)
        # To Python True is an int; to a record it is a mistake.
        if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
            return value
        return self.damaged(f"{key!r} is missing" if key not in self._payload else f"{key!r} is a {type(value).__name__}")


def failure_json(failure: Failure) -> dict[str, Any]:
    return {key: utf8(value) if isinstance(value, str) else value for key, value in failure.to_json().items()}


def utf8(text: str) -> str:
    """`text` with "?" for each lone surrogate: file names and damaged PDFs have them, UTF-8 and JSON don't."""
    return text.encode("utf-8", "replace").decode("utf-8")
