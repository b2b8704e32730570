"""What extraction is: a free-form response in, the short answer that it gives out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from docrag.eval.scoring import FAIL_TO_ANSWER
from docrag.types import NOT_ANSWERABLE

Format = Literal["Str", "Int", "Float", "List", "None", ""]


@dataclass(frozen=True, slots=True)
class Extracted:
    """The short answer in a response, as text: a list is written as Python writes it, a number without unit or separators.

    `answer` is None where the extractor itself came to nothing (a model whose reply can't be read): that is no wrong answer,
    and stays unscored. `answer_format` is "None" with "Not answerable", "" where none is known. `how` says what it rests on.
    """

    answer: str | None
    answer_format: Format
    how: str

    @classmethod
    def refusal(cls, how: str) -> Extracted:
        """The response says that the documents don't answer."""
        return cls(NOT_ANSWERABLE, "None", how)

    @classmethod
    def failure(cls, how: str) -> Extracted:
        """The response says that the documents could not be read."""
        return cls(FAIL_TO_ANSWER, "", how)

    @classmethod
    def nothing(cls, why: str) -> Extracted:
        return cls(None, "", why)


class Extractor(Protocol):
    """Takes the short answer out of a response. `name` says which extractor it was, with all that its answers depend on.

    Raises ReaderFault where no answer can come of it, ReaderError where this one did not.
    """

    @property
    def name(self) -> str: ...

    def extract(self, question: str, response: str) -> Extracted: ...
