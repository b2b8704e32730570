"""Page needles asked of a library: the bridge between `docrag.eval.needles`, which knows no library, and the client.

Nothing is searched: the reader gets exactly the pages of the haystack, in their order, each as one image of 144 dpi, as
long-context benchmarks draw documents (arXiv:2505.10610), or as text where it sees none.
"""

from __future__ import annotations

import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from docrag.benchmark import choose_concurrency, library_record
from docrag.client import Library
from docrag.config import Config
from docrag.errors import ContextTooLarge
from docrag.eval.needle_result import NeedleResult, needle_result, to_trace
from docrag.eval.needles import HayPage, NeedlePlan, NeedleTask, draw_tasks
from docrag.eval.predictions import NEEDLE, Prediction
from docrag.eval.questions import Question
from docrag.eval.record import read_run
from docrag.eval.run import RunConfig, RunOptions, run_benchmark
from docrag.eval.scoring import FAIL_TO_ANSWER
from docrag.index.library_index import LibraryIndex
from docrag.pipelines.answering import Answering, loop_settings
from docrag.pipelines.assemble import FULL_PX_PER_PT, KEY, page_marker
from docrag.pipelines.drawing import Drawn, draw_parts
from docrag.pipelines.loop import Found, LoopSettings, Stages, ask
from docrag.pipelines.prompts import PROMPTS_SHA256
from docrag.pipelines.protocols import Framing, Reader
from docrag.pipelines.stages import Shelf
from docrag.pipelines.tokens import MMLONGBENCH, ImageRule, Size, TokenRule, text_rule
from docrag.types import Answer, Box, Context, ContextPart, Evidence, Hit, page_point_id


@dataclass(frozen=True, slots=True)
class NeedleOptions:
    """`plan` is what is asked; `password` is for drawing encrypted PDFs.

    `concurrency` is how many questions are asked at once, 0: one, or several where a server answers them. `reader` is one of
    your own, None: the configuration's.
    """

    plan: NeedlePlan
    resume: bool = False
    password: str | None = None
    concurrency: int = 0
    reader: Reader | None = None


def run_needles(
    library: Library, options: NeedleOptions, run_dir: Path, progress: Callable[[int, int], None] | None = None
) -> NeedleResult:
    """Draw needles from the pages of `library`, ask its reader for each, and write the run's folder.

    Lengths are in tokens of page images by the reader's own rule, by MMLongBench's for `quote`, and of text for a model that
    sees none. Raises UsageError where the library has too few needles or tokens, or the run folder can't be used, and what
    opening the index raises.
    """
    with library.answering(options.reader, password=options.password) as answering:
        rule = _length_rule(answering)
        pages = tuple(hay_pages(library.index, rule))
        tasks = draw_tasks(pages, options.plan)
        asked = _Asked(answering, pages, tasks)
        config = _config(library, answering.config, {**asdict(options.plan), "haystacks_sha256": _hash(pages, tasks)})
        served = answering.config.reader if options.reader is None else ""  # whether one's own takes several is not known
        how = RunOptions(options.resume, choose_concurrency(served, options.concurrency), progress)
        form = f"page needles, {len(tasks):,} questions"
        config = replace(config, form=form, image_rule=rule.image.name if rule.image else "")
        run_benchmark([task.question for task in tasks], asked.predict, run_dir, config, how)
    return needle_result(read_run(run_dir))


def _config(library: Library, config: Config, needles: Mapping[str, Any]) -> RunConfig:
    location = library.location
    return RunConfig(
        settings={**config.to_json(), "needles": needles},
        fingerprints={lane.lane: {**lane.compared(), "precision": lane.precision} for lane in library.index.settings.lanes},
        benchmark="needles",
        prompts_sha256=PROMPTS_SHA256 if ":" in config.reader else None,
        library=library_record(library.index),
        index=location if "://" in location else str(Path(location).absolute()),
    )


def hay_pages(index: LibraryIndex, rule: TokenRule) -> Iterator[HayPage]:
    """All pages of a library that were read, document by document, with what each costs by `rule`."""
    for record in index.documents():
        sha256 = record.document.sha256
        name = index.name_of(sha256)
        for content in index.page_contents([page_point_id(sha256, number) for number in range(record.document.pages)]):
            item = Evidence(content, name, 0.0)
            yield HayPage(item, sum(part.tokens for part in page_parts(item, rule)))


def page_parts(item: Evidence, rule: TokenRule) -> tuple[ContextPart, ContextPart]:
    """A page's marker, and the whole page as one image, or as text where `rule` has no images."""
    marker, content = page_marker(item), item.content
    part = functools.partial(ContextPart, document=item.name, page_number=content.page.page_number)
    head = part("marker", tokens=rule.count_text(f"\n[{KEY} {marker[1:]}\n"), text=marker, why="haystack")
    if rule.image is None:
        return head, part("text", tokens=rule.count_text(content.text), text=content.text)
    size_px = _drawing(rule.image, content.width_pt, content.height_pt)
    return head, part("image", tokens=rule.image_tokens(size_px), image_size_px=size_px)


def _drawing(image: ImageRule, width_pt: float, height_pt: float) -> Size:
    """The page at 144 dpi, or as much smaller as the model would make it."""
    size_px = image.size(width_pt, height_pt, round(FULL_PX_PER_PT * max(width_pt, height_pt)))
    return size_px if image.keeps(*size_px) else image.fit(width_pt, height_pt, image.tokens(*size_px)) or size_px


def _length_rule(answering: Answering) -> TokenRule:
    return answering.reader.rule or TokenRule(MMLONGBENCH, answering.shelf.encoder.count_tokens)


def _hash(pages: Sequence[HayPage], tasks: Sequence[NeedleTask]) -> str:
    """Of all haystacks: a run must not go on with others, as after a document was added."""
    lines = [" ".join(pages[place].item.content.page.point_id for place in task.pages) for task in tasks]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


class _Asked:
    """Asks the questions of one run, each over its own haystack. Several threads may do so."""

    def __init__(self, answering: Answering, pages: Sequence[HayPage], tasks: Sequence[NeedleTask]) -> None:
        self._answering = answering
        self._pages = pages
        self._tasks = {task.question.question_id: task for task in tasks}
        self._text = text_rule(answering.shelf.encoder.count_tokens)

    def predict(self, question: Question) -> Prediction:
        task = self._tasks[question.question_id]
        items = [self._pages[place].item for place in task.pages]
        stages = haystack_stages(self._answering.shelf, items, self._text)
        try:
            answer = ask(stages, self._answering.reader, question.question, self._settings(task, items))
        except ContextTooLarge as error:
            answer = _too_large(error, self._answering.config.reader)
        return _prediction(question, task, items, answer)

    def _settings(self, task: NeedleTask, items: Sequence[Evidence]) -> LoopSettings:
        """The haystack is all there is: nothing more is looked for, and there is room for it besides the instructions."""
        reader = self._answering.reader
        question = task.question.question
        with self._answering.shelf.turn:
            needed = _count([page_parts(item, reader.rule or self._text) for item in items])
            reserved = reader.frame_tokens(question) if isinstance(reader, Framing) else 0
        settings = loop_settings(self._answering.config)
        return replace(settings, budget_tokens=max(task.length, needed) + reserved, rounds=0, navigate_tokens=0)


def haystack_stages(shelf: Shelf, items: Sequence[Evidence], text: TokenRule) -> Stages:
    """Stages that find `items`, all of them and nothing else, and show them in that order; by `text` where there is no rule.

    A reader that takes less than all of them raises ContextTooLarge: a smaller haystack would be another question.
    """
    found: list[Found] = [(Hit(item.content.page, item.name, 0.0, {}), item) for item in items]

    def lay_out(there: Sequence[Evidence], rule: TokenRule | None, budget: int, focus: Mapping[str, Box]) -> Context:
        with shelf.turn:
            pages = [page_parts(item, rule or text) for item in there]
        if _count(pages) > budget:
            raise ContextTooLarge(f"the reader takes {budget:,} tokens, the haystack has {_count(pages):,}")
        shown = "image" if rule is not None and rule.image is not None else "text"
        evidence = tuple(replace(item, shown=shown) for item in there)
        return Context(tuple(part for parts in pages for part in parts), evidence, budget)

    def draw(context: Context, rule: TokenRule) -> Drawn:
        with shelf.turn:
            return draw_parts(shelf.index, context, shelf.pool, rule.count_text, shelf.password)

    return Stages(lambda query: found, lay_out, draw, lambda found: ())


def _count(pages: Sequence[Sequence[ContextPart]]) -> int:
    return sum(part.tokens for parts in pages for part in parts)


def _too_large(error: ContextTooLarge, reader: str) -> Answer:
    return Answer(FAIL_TO_ANSWER, "failed", 0.0, (), Context((), (), 0), (), reader, 0.0, trace={"failed": error.message})


def _prediction(question: Question, task: NeedleTask, items: Sequence[Evidence], answer: Answer) -> Prediction:
    """`read_pages` are those of the needle's document, as everywhere; the whole haystack is in the trace."""
    trace = dict(answer.trace)
    response = str(trace.pop("response", ""))
    tokens: Counter[int] = Counter()
    for part in answer.context.parts:
        if part.document == question.doc_id:
            tokens[part.page_number] += part.tokens
    return Prediction(
        question_id=question.question_id,
        answer=answer.text,
        outcome=answer.outcome,
        confidence=answer.confidence,
        document_pages=task.document_pages,
        ranked_pages=(),
        ranked_library=None,
        citations=answer.citations,
        milliseconds=answer.milliseconds,
        read_pages=tuple(tokens),
        usage=answer.usage,
        why=str(trace.get("failed") or trace.get("abstained") or ""),
        read_tokens=tuple(tokens.values()),
        context_tokens=answer.context.tokens,
        budget_tokens=answer.context.budget,
        rounds=len(trace.get("rounds", ())),
        trace={**trace, NEEDLE: to_trace(task, [(item.name, item.content.page.page_number) for item in items])},
        response=response,
    )
