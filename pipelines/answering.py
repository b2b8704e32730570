"""A reader over a library, by a configuration: what the doors and the benchmark ask their questions of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from docrag.config import Config
from docrag.pipelines.assemble import candidates_needed
from docrag.pipelines.loop import LoopSettings, ask
from docrag.pipelines.protocols import OnText, Reader, ReaderSettings
from docrag.pipelines.retrieve import Ranking
from docrag.pipelines.stages import Shelf, library_stages
from docrag.types import Answer


@dataclass(frozen=True, slots=True, eq=False)
class Answering:
    """`config.reader` is the name of `reader` in its answers."""

    shelf: Shelf
    reader: Reader
    config: Config

    def ask(
        self,
        question: str,
        documents: Sequence[str] = (),
        ranking: Ranking | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """The answer from `documents` (sha256; none: all), for a question that may be ranked already.

        Its `milliseconds` include the ranking's. Several threads may ask at once: only their readers work at the same time.
        Raises as `loop.ask` does.
        """
        stages = library_stages(self.shelf, documents, self._candidates(), ranking)
        answer = ask(stages, self.reader, question, loop_settings(self.config), on_text)
        ranked_ms = 1000 * ranking.seconds if ranking is not None else 0.0
        return replace(answer, milliseconds=round(answer.milliseconds + ranked_ms, 3))

    def _candidates(self) -> int:
        """`k` for a reader that has no rule of its own; a model gets as many pages as its budget holds."""
        rule, config = self.reader.rule, self.config
        return config.k if rule is None else max(config.k, candidates_needed(rule, config.budget_tokens))


def loop_settings(config: Config) -> LoopSettings:
    return LoopSettings(
        reader=config.reader,
        budget_tokens=config.budget_tokens,
        rounds=config.rounds,
        samples=config.samples,
        navigate_tokens=config.navigate_tokens if config.navigate else 0,
        input_price=config.input_price,
        output_price=config.output_price,
    )


def reader_settings(config: Config) -> ReaderSettings:
    return ReaderSettings(
        base_url=config.base_url,
        timeout_s=config.reader_timeout_s,
        retries=config.reader_retries,
        temperature=config.temperature,
        max_answer_tokens=config.max_answer_tokens,
        cache=config.reader_cache,
        device=config.device,
    )
