"""The answering loop: find -> lay out -> read -> find again what the reader misses -> answer, or refuse with a reason.

It knows no index and no model: `Stages` are what it does with the one, `Reader` is the other. Whatever it did otherwise than it
was asked to (text for images, a smaller budget) is noted in the answer's trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any

from docrag.errors import ContextTooLarge, IndexDamaged, ReaderBlind, ReaderError, ReaderFault, UsageError
from docrag.pipelines.drawing import Drawn
from docrag.pipelines.fuse import check_question
from docrag.pipelines.protocols import Framing, Navigator, OnText, Reader, Sampler
from docrag.pipelines.reading import failed_reading
from docrag.pipelines.samples import choose_sample
from docrag.types import NOT_ANSWERABLE, Answer, Box, Citation, Context, Evidence, Hit, Reading

if TYPE_CHECKING:
    from docrag.pipelines.tokens import TokenRule

Found = tuple[Hit, Evidence]
Images = Sequence[bytes | None]
SMALLER_TIMES = 4  # how often the budget is halved for a model that takes less


@dataclass(frozen=True, slots=True)
class Stages:
    """What the loop does with the library, each a plain function.

    `retrieve` finds pages for a question, best first. `assemble` lays candidates (best first) out within a budget by a rule
    (None: text only); the mapping has the box of the best passage by point id. `draw` gives the context with its images.
    `list_pages` gives all pages of the documents that a navigator may choose from.
    """

    retrieve: Callable[[str], Sequence[Found]]
    assemble: Callable[[Sequence[Evidence], TokenRule | None, int, Mapping[str, Box]], Context]
    draw: Callable[[Context, TokenRule], Drawn]
    list_pages: Callable[[Sequence[Found]], Sequence[Evidence]]


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """`reader` is its spec; `budget_tokens` bounds each context, `rounds` how often more is retrieved, `samples` are readings.

    `navigate_tokens` bounds the list that a navigator picks from, which has its own budget; 0: there is none. Prices are for a
    million tokens, 0 where unknown.
    """

    reader: str
    budget_tokens: int
    rounds: int = 2
    samples: int = 1
    navigate_tokens: int = 0
    input_price: float = 0.0
    output_price: float = 0.0

    def __post_init__(self) -> None:
        if self.samples < 1 or self.rounds < 0:
            raise UsageError(f"samples is 1 or more and rounds 0 or more, got {self.samples} and {self.rounds}")


def ask(stages: Stages, reader: Reader, question: str, settings: LoopSettings, on_text: OnText | None = None) -> Answer:
    """Answer `question`, or say why not. `on_text` gets the answer as it is written, where it is read once only.

    Raises UsageError on an empty question, or where the reader can't navigate or sample and is to; ReaderFault where no reading
    can come of it. A reading that fails is an answer with outcome "failed", its reason under "failed" in the trace.
    """
    begin = time.perf_counter()
    _check(reader, question, settings)
    run = _Run(stages, reader, question, settings, on_text if settings.samples == 1 else None)
    run.find(question)
    if settings.navigate_tokens:
        run.navigate()
    reading = run.read()
    for _ in range(settings.rounds):
        if reading.outcome != "not_answerable" or not reading.needs or not run.find(reading.needs):
            break
        reading = run.read()
    if settings.samples > 1 and reading.outcome != "failed" and run.context.evidence:
        reading = run.sample(reading)
    return run.answer(reading, round(1000 * (time.perf_counter() - begin), 3))


def add_usage(*usages: Mapping[str, int]) -> dict[str, int]:
    """The sum, name by name."""
    total: dict[str, int] = {}
    for name, count in chain.from_iterable(usage.items() for usage in usages):
        total[name] = total.get(name, 0) + count
    return total


def cost(usage: Mapping[str, int], input_price: float, output_price: float) -> float | None:
    """What the tokens cost by the prices of a million; None where neither is known. Those from a cache cost nothing."""
    if not input_price and not output_price:
        return None
    paid = usage.get("input_tokens", 0) * input_price + usage.get("output_tokens", 0) * output_price
    return round(paid / 1e6, 6)


def interleave(*ranked: Sequence[Evidence]) -> list[Evidence]:
    """Several lists, each best first, as one: the first of each, then the second of each; a page given twice stands once."""
    best: dict[str, Evidence] = {}
    for item in chain.from_iterable(zip_longest(*ranked)):
        if item is not None:
            best.setdefault(item.content.page.point_id, item)
    return list(best.values())


def _check(reader: Reader, question: str, settings: LoopSettings) -> None:
    check_question(question)
    if settings.samples > 1 and not isinstance(reader, Sampler):
        raise UsageError(f"{settings.reader} reads the same each time", "leave --samples out, or take a model as reader")
    if settings.navigate_tokens and not isinstance(reader, Navigator):
        raise UsageError(f"{settings.reader} can't pick pages from a list", "leave --navigate out, or take a model as reader")


@dataclass(slots=True)
class _Run:
    """One question on its way: what was found and read so far, and what is left of its budgets."""

    stages: Stages
    reader: Reader
    question: str
    settings: LoopSettings
    on_text: OnText | None
    asked: dict[str, Sequence[Found]] = field(default_factory=dict[str, Sequence[Found]])
    picked: tuple[Evidence, ...] = ()
    context: Context = field(default_factory=lambda: Context((), (), 0))
    images: Images = ()
    text_only: bool = False
    halved: int = 0
    found_again: bool = False
    usage: dict[str, int] = field(default_factory=dict[str, int])
    trace: dict[str, Any] = field(default_factory=dict[str, Any])
    notes: list[str] = field(default_factory=list[str])
    rounds: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def find(self, query: str) -> bool:
        """Retrieve for `query`; says whether that found any page that was not yet at hand."""
        before = {item.content.page.point_id for item in self.candidates()}
        if query not in self.asked:
            self.asked[query] = self.stages.retrieve(query)
        is_more = any(item.content.page.point_id not in before for _, item in self.asked[query])
        if not is_more and before:
            self.notes.append(f"nothing more was found for: {query}")
        return is_more

    def candidates(self) -> list[Evidence]:
        """All that is at hand, best first: what was asked for last goes first."""
        ranked = [[item for _, item in found] for found in reversed(self.asked.values())]
        return interleave(*ranked[:-1], self.picked, *ranked[-1:])

    def navigate(self) -> None:
        """Let the reader pick pages from a list of all; what it says that is no page of the list is passed over."""
        if not isinstance(self.reader, Navigator):
            return
        pages = self.stages.list_pages(self.asked[self.question])
        if not pages:
            return
        try:
            picked = self.reader.pick_pages(self.question, pages, self.settings.navigate_tokens)
        except ReaderFault:
            raise
        except ReaderError as error:
            self.notes.append(f"no pages were picked: {error.message}")
            return
        self.usage = add_usage(self.usage, picked.usage)
        self.picked = tuple(replace(item, reason="navigated") for item in picked.pages)
        numbers = [item.content.page.page_number for item in picked.pages]
        self.trace["navigated"] = {"listed": picked.listed, "of": len(pages), "picked": numbers, "failed": picked.failed}

    def read(self) -> Reading:
        """One reading of what is at hand, laid out anew until the reader takes it."""
        while True:
            self.lay_out()
            if not self.context.evidence:
                return self.unread()
            try:
                if not self.draw():
                    continue
                reading = self.reader.read(self.question, self.context, self.images, self.on_text)
            except ReaderBlind as error:
                if self.text_only:
                    return self.noted(failed_reading(error.message))
                self.text_only = True
                self.notes.append(f"{error.message}; it was shown text")
            except ContextTooLarge as error:
                if self.halved == SMALLER_TIMES:
                    return self.noted(failed_reading(error.message))
                self.halved += 1
                self.notes.append(f"{error.message}; it was given {self.budget} tokens instead")
            except ReaderError as error:
                return self.noted(failed_reading(error.message))
            else:
                return self.noted(reading)

    @property
    def budget(self) -> int:
        return max(1, self.settings.budget_tokens >> self.halved)

    @property
    def rule(self) -> TokenRule | None:
        rule = self.reader.rule
        return replace(rule, image=None) if self.text_only and rule is not None else rule

    @property
    def reserved(self) -> int:
        """What the reader is sent besides the pages."""
        return self.reader.frame_tokens(self.question) if isinstance(self.reader, Framing) else 0

    def lay_out(self) -> None:
        focus = {hit.page.point_id: hit.box for found in self.asked.values() for hit, _ in found if hit.box is not None}
        left = max(1, self.budget - self.reserved)
        self.context = replace(self.stages.assemble(self.candidates(), self.rule, left, focus), budget=self.budget)

    def draw(self) -> bool:
        """Draw the context; False where it must be laid out anew, for a document of it is gone."""
        self.images = ()
        if self.rule is None or not any(part.kind == "image" for part in self.context.parts):
            return True
        drawn = self.stages.draw(self.context, self.rule)
        told = [
            f"page {failure.page_number} of {failure.document} could not be drawn: {failure.message}"
            for failure in drawn.failures
        ]
        if not self.found_again and any(failure.error == IndexDamaged.__name__ for failure in drawn.failures):
            self.find_again(f"{told[0]}; all was looked for again")
            return False
        self.notes += told
        self.context, self.images = drawn.context, drawn.images
        return True

    def find_again(self, why: str) -> None:
        """Ask everything anew: a document that was deleted meanwhile is not found any more."""
        self.found_again = True
        self.notes.append(why)
        self.asked = {query: self.stages.retrieve(query) for query in self.asked}
        there = {item.content.page.document.sha256 for found in self.asked.values() for _, item in found}
        self.picked = tuple(item for item in self.picked if item.content.page.document.sha256 in there)

    def unread(self) -> Reading:
        """There is nothing to read: nobody is asked."""
        why = "there is no page to read"
        if self.candidates():
            besides = f", {self.reserved} of which the instructions take" if self.reserved else ""
            why = f"no page that was found fits into {self.budget} tokens{besides}"
        return self.noted(Reading("not_answerable", NOT_ANSWERABLE, 1.0, trace={"abstained": why}))

    def noted(self, reading: Reading) -> Reading:
        self.usage = add_usage(self.usage, reading.usage)
        self.rounds.append(
            {
                "asked": list(self.asked)[-1],
                "pages": len(self.context.evidence),
                "tokens": self.context.tokens,
                "outcome": reading.outcome,
                "needs": reading.needs,
            }
        )
        return reading

    def sample(self, first: Reading) -> Reading:
        """More readings of the last context, and the one among them that its evidence supports best."""
        if not isinstance(self.reader, Sampler):
            return first
        readings = [first]
        for number in range(1, self.settings.samples):
            try:
                reading = self.reader.sample(number).read(self.question, self.context, self.images)
            except ReaderFault:
                raise
            except ReaderError as error:
                reading = failed_reading(error.message)
            self.usage = add_usage(self.usage, reading.usage)
            readings.append(reading)
        chosen = choose_sample(self.reader, self.question, readings)
        self.usage = add_usage(self.usage, chosen.usage)
        self.trace["samples"] = chosen.told
        return chosen.reading

    def answer(self, reading: Reading, milliseconds: float) -> Answer:
        hits: dict[str, Hit] = {}
        for hit, _ in chain.from_iterable(self.asked.values()):
            hits.setdefault(hit.page.point_id, hit)
        notes = [*_listed(reading.trace.get("notes")), *self.notes]
        trace = {**reading.trace, **self.trace, "rounds": self.rounds, "notes": list(dict.fromkeys(notes))}
        price = cost(self.usage, self.settings.input_price, self.settings.output_price)
        return Answer(
            text=reading.answer,
            outcome=reading.outcome,
            confidence=reading.confidence,
            citations=_with_patch_boxes(reading.citations, self.context.evidence, hits),
            context=self.context,
            hits=tuple(hits.values()),
            reader=self.settings.reader,
            milliseconds=milliseconds,
            usage=self.usage,
            trace=trace if price is None else {**trace, "cost": price},
        )


def _with_patch_boxes(
    citations: Sequence[Citation], evidence: Sequence[Evidence], hits: Mapping[str, Hit]
) -> tuple[Citation, ...]:
    """Citations of pages without text, where no words can be found, get the box of the patches that match the question."""
    ids = {(item.name, item.content.page.page_number): item.content.page.point_id for item in evidence if not item.content.text}
    boxes = {place: hits[id_].box for place, id_ in ids.items() if id_ in hits}
    return tuple(
        citation if citation.box else replace(citation, box=boxes.get((citation.document, citation.page_number)))
        for citation in citations
    )


def _listed(notes: Iterable[str] | None) -> list[str]:
    return list(notes or ())
