"""The seams between a context and whatever reads it.

A `Reader` answers from a context; some can also pick pages, or choose among readings. A `Chat` is a model that completes a
prompt; `ModelReader` (model_reader.py) makes all three of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from docrag.config import Device
from docrag.types import Context, Evidence, Reading

if TYPE_CHECKING:
    from docrag.pipelines.prompts import Prompt
    from docrag.pipelines.tokens import TokenRule

OnText = Callable[[str], None]


class Reader(Protocol):
    """Answers a question from a context, or says that these pages don't.

    `rule` is what texts and images cost it; None: it is shown the text of the few best pages. `images` aligns with
    `context.parts`: PNG or JPEG bytes for each image part, else None; it may be left out where no part is an image. `on_text`
    gets the answer's text as it is written. Raises ReaderFault where no reading can come of it, ReaderError where this one
    did not.
    """

    @property
    def rule(self) -> TokenRule | None: ...

    def read(
        self, question: str, context: Context, images: Sequence[bytes | None] = (), on_text: OnText | None = None
    ) -> Reading: ...


@runtime_checkable
class Framing(Protocol):
    """A reader that sends instructions with the context: they and the question are within the budget, too."""

    def frame_tokens(self, question: str) -> int: ...


@dataclass(frozen=True, slots=True)
class Picked:
    """The pages that a navigator picked, the most promising first. `failed` says why it picked none."""

    pages: tuple[Evidence, ...]
    listed: int
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    failed: str = ""


@runtime_checkable
class Navigator(Protocol):
    """Picks the pages to look at from a list of all, within `budget` tokens of list."""

    def pick_pages(self, question: str, pages: Sequence[Evidence], budget: int) -> Picked: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """The place, from 0, of the reading that an adjudicator chose; None where none has evidence. `failed`: why it could not."""

    place: int | None
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    failed: str = ""


@runtime_checkable
class Sampler(Protocol):
    """A reader whose readings differ, and that can choose among them."""

    def sample(self, number: int) -> Reader:
        """The reader that draws the `number`-th reading: 0 is its usual one."""
        ...

    def choose(self, question: str, readings: Sequence[Reading]) -> Choice: ...


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a completion is drawn. `number` tells samples of the same prompt apart. `max_tokens` are of the answer."""

    temperature: float = 0.0
    max_tokens: int = 4096
    number: int = 0


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote, what it cost, whether it was cut off at the limit of tokens. `notes`: what was done otherwise."""

    text: str
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    cut_off: bool = False
    notes: tuple[str, ...] = ()


class Chat(Protocol):
    """A model that completes a prompt. `identity` holds all that its completions depend on, but for prompt and sampling.

    `complete` passes the text on in pieces, as it comes, to `on_text`. Raises as `Reader` does.
    """

    @property
    def rule(self) -> TokenRule | None: ...

    @property
    def identity(self) -> Mapping[str, str]: ...

    def complete(self, prompt: Prompt, sampling: Sampling, on_text: OnText | None = None) -> Completion: ...


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """How a model is reached and asked. `timeout_s` is how long a server may be silent; `retries` are for what may pass.

    `base_url` is of an OpenAI-compatible server, "" the provider's own; `cache` a file, "" for none.
    """

    base_url: str = ""
    timeout_s: float = 180.0
    retries: int = 4
    temperature: float = 0.0
    max_answer_tokens: int = 4096
    cache: str = ""
    device: Device = "auto"
