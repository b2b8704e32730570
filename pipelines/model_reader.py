"""A chat model as a reader, a navigator and an adjudicator: prompt -> completion -> what was asked for, kept in a cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from docrag.pipelines.prompts import (
    LISTED_WORDS,
    PROMPTS_SHA256,
    PROMPTS_VERSION,
    Prompt,
    adjudication_prompt,
    list_pages,
    navigation_prompt,
    reading_prompt,
)
from docrag.pipelines.protocols import Chat, Choice, Completion, OnText, Picked, ReaderSettings, Sampling
from docrag.pipelines.reader_cache import ReaderCache
from docrag.pipelines.reading import AnswerStream, Unreadable, failed_reading, parse_choice, parse_picks, parse_reading
from docrag.types import Context, Evidence, Reading

if TYPE_CHECKING:
    from docrag.pipelines.tokens import TokenRule

SAMPLE_TEMPERATURE = 0.7  # of all samples but the first, where the settings' own is lower: at 0 they would be the same
CHARACTERS_PER_TOKEN = 3  # for a model that does not tell how it counts text: few, to be on the safe side
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class ModelReader:
    """`chat`, asked with the prompts of prompts.py. What could be read is kept in `cache`; a failed reading is not."""

    chat: Chat
    settings: ReaderSettings
    cache: ReaderCache | None = None
    number: int = 0

    @property
    def rule(self) -> TokenRule | None:
        return self.chat.rule

    def read(
        self, question: str, context: Context, images: Sequence[bytes | None] = (), on_text: OnText | None = None
    ) -> Reading:
        """One reading, "failed" where the model's text is not of the form asked for. Raises ReaderFault, ReaderError."""
        prompt = reading_prompt(question, context, images)
        asked = replace(self._sampling, number=self.number)
        stream = AnswerStream(on_text) if on_text is not None else None
        try:
            reading, completion = self._ask(prompt, asked, lambda text: _parsed(text, context), stream)
        except _NotParsed as error:
            why = f"it was cut off at {asked.max_tokens} tokens" if error.completion.cut_off else error.why
            reading, completion = failed_reading(why, wrote=error.completion.text), error.completion
        return replace(reading, usage=completion.usage, trace={**reading.trace, **self._told(prompt, context, completion)})

    def frame_tokens(self, question: str) -> int:
        """What is sent besides the context."""
        return self._around(reading_prompt(question, Context((), (), 1)))

    def sample(self, number: int) -> ModelReader:
        return replace(self, number=number)

    def pick_pages(self, question: str, pages: Sequence[Evidence], budget: int) -> Picked:
        lines = self._listed(pages, budget)
        prompt = navigation_prompt(question, lines)
        try:
            picks, completion = self._ask(prompt, self._sampling, lambda text: parse_picks(text, len(lines)))
        except _NotParsed as error:
            return Picked((), len(lines), error.completion.usage, error.why)
        return Picked(tuple(pages[pick - 1] for pick in picks), len(lines), completion.usage)

    def choose(self, question: str, readings: Sequence[Reading]) -> Choice:
        prompt = adjudication_prompt(question, readings)
        try:
            chosen, completion = self._ask(prompt, self._sampling, lambda text: parse_choice(text, len(readings)))
        except _NotParsed as error:
            return Choice(None, error.completion.usage, error.why)
        return Choice(chosen - 1 if chosen else None, completion.usage)

    def _told(self, prompt: Prompt, context: Context, completion: Completion) -> dict[str, Any]:
        """What goes into every reading's trace. `prompt_tokens` is what we count; the usage has what the model's side does."""
        return {
            "prompts": {"version": PROMPTS_VERSION, "sha256": PROMPTS_SHA256},
            "prompt_sha256": prompt.sha256,
            "prompt_tokens": context.tokens + self._around(prompt),
            "notes": list(completion.notes),
            "response": completion.text,
        }

    def _around(self, prompt: Prompt) -> int:
        return self._count(prompt.system) + self._count(prompt.frame)

    @property
    def _sampling(self) -> Sampling:
        temperature = self.settings.temperature
        if self.number:
            temperature = max(temperature, SAMPLE_TEMPERATURE)
        return Sampling(temperature, self.settings.max_answer_tokens)

    def _ask(
        self, prompt: Prompt, sampling: Sampling, parse: Callable[[str], Parsed], on_text: OnText | None = None
    ) -> tuple[Parsed, Completion]:
        """What the completion says, and the completion, from the cache where it is. Raises _NotParsed where it says nothing."""
        key = self.cache.key(self.chat.identity, prompt, sampling) if self.cache else ""
        if (kept := self._kept(key, parse)) is not None:
            if on_text is not None:
                on_text(kept[1].text)
            return kept
        completion = self.chat.complete(prompt, sampling, on_text)
        completion = replace(completion, usage={"calls": 1, "images": prompt.images, **completion.usage})
        try:
            parsed = parse(completion.text)
        except Unreadable as error:
            raise _NotParsed(error.why, completion) from None
        if self.cache:
            self.cache.put(key, completion)
        return parsed, completion

    def _kept(self, key: str, parse: Callable[[str], Parsed]) -> tuple[Parsed, Completion] | None:
        kept = self.cache.get(key) if self.cache else None
        if kept is None:
            return None
        try:
            return parse(kept.text), replace(kept, usage=_kept_usage(kept.usage))
        except Unreadable:  # kept by a version that read it otherwise
            return None

    def _listed(self, pages: Sequence[Evidence], budget: int) -> list[str]:
        """As many words of each page as the budget allows; where even none are too many, the first pages only."""
        lines: list[str] = []
        for words in LISTED_WORDS:
            lines = list_pages(pages, words)
            if self._count("\n".join(lines)) <= budget:
                return lines
        while lines and self._count("\n".join(lines)) > budget:
            lines = lines[: len(lines) * 3 // 4]
        return lines

    def _count(self, text: str) -> int:
        return self.rule.count_text(text) if self.rule is not None else -(-len(text) // CHARACTERS_PER_TOKEN)


class _NotParsed(Exception):
    def __init__(self, why: str, completion: Completion) -> None:
        super().__init__(why)
        self.why = why
        self.completion = completion


def _parsed(text: str, context: Context) -> Reading:
    reading = parse_reading(text, context)
    if reading.outcome == "failed":
        raise Unreadable(str(reading.trace["failed"]))
    return reading


def _kept_usage(usage: Mapping[str, int]) -> dict[str, int]:
    """A completion that was paid for before: its tokens are counted apart."""
    return {"cached_calls": 1, "cached_tokens": usage.get("input_tokens", 0) + usage.get("output_tokens", 0)}
