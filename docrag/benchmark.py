"""A benchmark's questions asked of a library: the bridge between `docrag.eval`, which knows no library, and the client."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from docrag.client import Library
from docrag.errors import UnknownDocument, UsageError
from docrag.eval.benchmarks import BENCHMARKS, Benchmark
from docrag.eval.predictions import Prediction
from docrag.eval.questions import Question
from docrag.eval.retrieval import DocumentPage, Scope
from docrag.eval.run import RunConfig, RunOptions, run_benchmark
from docrag.eval.summary import Summary
from docrag.index.library_index import LibraryIndex
from docrag.index.payload import utf8
from docrag.pipelines.answering import Answering
from docrag.pipelines.assemble import REDUCED_SIDE_PX
from docrag.pipelines.prompts import PROMPTS_SHA256
from docrag.pipelines.retrieve import Ranking, rank_pages
from docrag.pipelines.tokens import TokenRule, token_rule
from docrag.types import Answer, Context

RANKED_PAGES = 50  # kept for each question: more than any metric looks at
COUNTED_PAGES = 20  # of these, how many are counted in tokens
IN_FLIGHT = 4  # questions that wait for a server at the same time, where nothing else is said
A4_PT = (595.0, 842.0)


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """`limit` asks only the first questions; None asks all. `password` is for drawing encrypted PDFs.

    `concurrency` is how many questions are asked at once, 0: one, or several where a server answers them. The milliseconds of
    a question then include its waiting for the others' searches.
    """

    scope: Scope = "document"
    retrieval_only: bool = False
    limit: int | None = None
    resume: bool = False
    password: str | None = None
    concurrency: int = 0

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"a limit is how many questions are asked, 1 or more, got {self.limit}")


def evaluate(
    library: Library,
    data: Path,
    run_dir: Path,
    options: BenchmarkOptions,
    progress: Callable[[int, int], None] | None = None,
    benchmark: Benchmark = BENCHMARKS["mmlongbench-doc"],
) -> Summary:
    """Ask every question that `benchmark` has in `data` of `library`, inside its document, and write the run's folder.

    A question whose document is not in the library counts, as wrong; one that names no document is asked over all. Raises
    UsageError on data or a run folder that can't be used, and what opening the index raises.
    """
    questions = benchmark.load(data)[: options.limit]
    reader = "" if options.retrieval_only else library.config.reader
    how = RunOptions(options.resume, choose_concurrency(reader, options.concurrency), progress)
    with ExitStack() as stack:
        _ = library.index  # opened: only then is the configuration what the index was made with
        answering = stack.enter_context(library.answering(password=options.password)) if reader else None
        rule = page_rule(answering.reader.rule if answering else None)
        config = RunConfig(
            settings=library.config.to_json(),
            fingerprints={lane.lane: {**lane.compared(), "precision": lane.precision} for lane in library.index.settings.lanes},
            scope=options.scope,
            retrieval_only=options.retrieval_only,
            benchmark=benchmark.name,
            form=benchmark.form(questions),
            prompts_sha256=None if reader in ("", "quote") else PROMPTS_SHA256,
            image_rule=rule.image.name if rule.image else "",
            library=library_record(library.index),
            index=_absolute(library.location),
            data=str(data.absolute()),
        )
        places = {doc_id: benchmark.document_path(data, doc_id) for doc_id in _documents(questions)}
        asked = _Asked(library, answering, options.scope, rule, places)
        return run_benchmark(questions, asked.predict, run_dir, config, how)


def library_record(index: LibraryIndex) -> dict[str, Any]:
    """What tells this library from one with other documents, names or pages unread; not where its index lies."""
    documents = [
        (record.document.sha256, index.names_of(record.document.sha256), record.unread_pages) for record in index.documents()
    ]
    return {"documents": len(documents), "sha256": hashlib.sha256(json.dumps(documents).encode()).hexdigest()}


def page_rule(rule: TokenRule | None) -> TokenRule:
    """The rule by which ranked pages are counted: a reader's own, or MMLongBench's where it sees no images."""
    return rule if rule is not None and rule.image is not None else token_rule("mmlongbench")


def choose_concurrency(reader: str, asked: int) -> int:
    """How many questions to ask at once. A reader without a server computes here: more at once are not faster.

    Raises UsageError where a model of this process is to read several: it is not made for that.
    """
    if reader.startswith("hf:") and asked > 1:
        raise UsageError(f"{reader} reads one question at a time, got a concurrency of {asked}", "leave --concurrency out")
    is_served = bool(reader) and reader != "quote" and not reader.startswith("hf:")
    return asked or (IN_FLIGHT if is_served else 1)


def _absolute(location: str) -> str:
    return location if "://" in location else str(Path(location).absolute())


def _documents(questions: Iterable[Question]) -> list[str]:
    return list(dict.fromkeys(question.doc_id for question in questions if question.doc_id))


@dataclass(frozen=True, slots=True)
class _Searched:
    """What was found for one question: in its document of `pages` pages, or where it names none in all `documents` = ()."""

    documents: tuple[str, ...]
    pages: int | None
    ranking: Ranking
    ranked_pages: tuple[DocumentPage, ...]
    ranked_tokens: tuple[int, ...]
    ranked_library: tuple[DocumentPage, ...] | None


class _Asked:
    """Asks the questions of one run. Several threads may do so; only their readers work at the same time.

    `places` says where the PDF of each doc_id lies, `rule` what a page's image costs.
    """

    def __init__(
        self,
        library: Library,
        answering: Answering | None,
        scope: Scope,
        rule: TokenRule,
        places: dict[str, Path | None],
    ) -> None:
        self._library = library
        self._answering = answering
        self._scope: Scope = scope
        self._rule = rule
        self._turn = answering.shelf.turn if answering else threading.RLock()
        self._missing: dict[str, str] = {}  # doc_id to why it can't be asked
        self._found = {doc_id: self._document(doc_id, place) for doc_id, place in places.items()}
        self._names = {sha256: doc_id for doc_id, sha256 in self._found.items() if sha256}

    def predict(self, question: Question) -> Prediction:
        with self._turn:
            searched = self._search(question)
        if searched is None:
            return Prediction.failed(question.question_id, why=self._missing[question.doc_id])
        ranking = searched.ranking
        answer = self._answering.ask(ranking.question, searched.documents, ranking) if self._answering else None
        found = Prediction(
            question_id=question.question_id,
            answer=None,
            outcome=None,
            confidence=0.0,
            document_pages=searched.pages,
            ranked_pages=tuple(page for _, page in searched.ranked_pages),
            ranked_library=searched.ranked_library,
            citations=(),
            # Of the search in the document and the answer: the library's ranking is a search of its own, for the figures.
            milliseconds=round(1000 * ranking.seconds, 3),
            ranked_tokens=searched.ranked_tokens,
        )
        return _answered(found, answer, question) if answer else found

    def _search(self, question: Question) -> _Searched | None:
        """None where the question's document is not in the library."""
        if not question.doc_id:
            ranking = self._rank(question, ())
            return _Searched((), None, ranking, (), (), self._best(ranking, question))
        sha256 = self._found[question.doc_id]
        record = self._library.index.document(sha256) if sha256 else None
        if sha256 is None or record is None:  # what is found has a record
            return None
        ranking = self._rank(question, (sha256,))
        return _Searched(
            documents=(sha256,),
            pages=record.document.pages,
            ranking=ranking,
            ranked_pages=self._best(ranking, question),
            ranked_tokens=self._count(ranking),
            ranked_library=self._best(self._rank(question, ()), question) if self._scope == "library" else None,
        )

    def _document(self, doc_id: str, place: Path | None) -> str | None:
        """The document that is on record under the path that the data gives, or under any path that ends in its name.

        None where there is none. Raises AmbiguousDocument where there are several: nobody can tell which one is asked about.
        """
        for name in ([str(place.absolute())] if place else []) + [doc_id]:
            try:
                return self._library.document(name).document.sha256
            except UnknownDocument as error:
                self._missing[doc_id] = error.message
        return None

    def _rank(self, question: Question, documents: Sequence[str]) -> Ranking:
        library = self._library
        return rank_pages(library.index, library.encoder, utf8(question.question), documents, library.visual)

    def _best(self, ranking: Ranking, question: Question) -> tuple[DocumentPage, ...]:
        """(name, page number) of the best pages, the name as the data has it where it is known."""
        places = [ranking.places[page.id] for page in ranking.pages[:RANKED_PAGES]]
        names = {sha256: self._names.get(sha256) or self._library.index.name_of(sha256) for sha256, _ in places}
        if question.doc_id and (own := self._found[question.doc_id]):
            names[own] = question.doc_id  # the data may have one document under two names
        return tuple((names[sha256], page_index + 1) for sha256, page_index in places)

    def _count(self, ranking: Ranking) -> tuple[int, ...]:
        """What each of the best pages would cost as one image; one that could not be read, as if it were A4."""
        ids = [page.id for page in ranking.pages[:COUNTED_PAGES]]
        stored = self._library.index.store.retrieve("pages", ids, keys=("width_pt", "height_pt"))
        sizes = {page.id: (page.payload.get("width_pt"), page.payload.get("height_pt")) for page in stored}
        return tuple(page_tokens(self._rule, *_size(*sizes.get(id_, (None, None)))) for id_ in ids)


def page_tokens(rule: TokenRule, width_pt: float, height_pt: float) -> int:
    """What an image of a page costs at the size at which most pages are first shown; small print is drawn larger.

    Raises UsageError where `rule` has no images.
    """
    if rule.image is None:
        raise UsageError("this reader sees no images, so pages have no cost as such")
    return rule.image_tokens(rule.image.size(width_pt, height_pt, REDUCED_SIDE_PX))


def _size(width_pt: float | None, height_pt: float | None) -> tuple[float, float]:
    return (width_pt, height_pt) if width_pt and height_pt else A4_PT


def _answered(found: Prediction, answer: Answer, question: Question) -> Prediction:
    """What was found, with what the reader made of it."""
    evidence = answer.context.evidence
    trace = dict(answer.trace)
    response = trace.pop("response", "")
    return replace(
        found,
        answer=answer.text,
        outcome=answer.outcome,
        confidence=answer.confidence,
        citations=answer.citations,
        milliseconds=answer.milliseconds,
        read_pages=tuple(item.content.page.page_number for item in evidence),
        read_documents=() if question.doc_id else tuple(item.name for item in evidence),
        usage=answer.usage,
        why=str(trace.get("failed") or trace.get("abstained") or ""),
        read_tokens=_tokens_read(answer.context),
        context_tokens=answer.context.tokens,
        budget_tokens=answer.context.budget,
        rounds=len(trace.get("rounds", ())),
        trace=trace,
        response=response,
    )


def _tokens_read(context: Context) -> tuple[int, ...]:
    """What each page of the context's evidence took, with its marker."""
    taken: Counter[tuple[str, int]] = Counter()
    for part in context.parts:
        taken[part.document, part.page_number] += part.tokens
    return tuple(taken[item.name, item.content.page.page_number] for item in context.evidence)
