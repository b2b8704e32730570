"""A benchmark's questions asked of a library: the bridge between `docrag.eval`, which knows no library, and the client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from docrag.client import Library
from docrag.errors import UnknownDocument
from docrag.eval.mmlongbench import Question, document_path, load_questions
from docrag.eval.predictions import Prediction
from docrag.eval.retrieval import DocumentPage, Scope
from docrag.eval.run import RunConfig, run_benchmark
from docrag.eval.summary import Summary
from docrag.index.payload import utf8
from docrag.pipelines.answering import Answering
from docrag.pipelines.retrieve import Ranking, rank_pages

RANKED_PAGES = 50  # kept for each question: more than any metric looks at


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """`limit` asks only the first questions; None asks all. `password` is for drawing encrypted PDFs."""

    scope: Scope = "document"
    retrieval_only: bool = False
    limit: int | None = None
    resume: bool = False
    password: str | None = None


def evaluate(
    library: Library,
    data: Path,
    run_dir: Path,
    options: BenchmarkOptions,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Ask every question in `data` (MMLongBench-Doc's form) of `library`, inside its document, and write the run's folder.

    A question whose document is not in the library counts, as wrong. Raises UsageError on data or a run folder that can't be
    used, and what opening the index raises.
    """
    questions = load_questions(data)[: options.limit]
    settings = library.index.settings
    config = RunConfig(
        settings=library.config.to_json(),
        fingerprints={lane.lane: {**lane.compared(), "precision": lane.precision} for lane in settings.lanes},
        scope=options.scope,
        retrieval_only=options.retrieval_only,
    )
    with ExitStack() as stack:
        answering = None if options.retrieval_only else stack.enter_context(library.answering(password=options.password))
        asked = _Asked(library, data, options, answering)
        return run_benchmark(questions, asked.predict, run_dir, config, options.resume, progress)


class _Asked:
    """Asks the questions of one run; remembers which document a doc_id is."""

    def __init__(self, library: Library, data: Path, options: BenchmarkOptions, answering: Answering | None) -> None:
        self._library = library
        self._data = data
        self._options = options
        self._answering = answering
        self._doc_ids: dict[str, str] = {}

    def predict(self, question: Question) -> Prediction:
        sha256 = self._document(question.doc_id)
        record = self._library.index.document(sha256) if sha256 else None
        if sha256 is None or record is None:
            return Prediction.failed(question.question_id)
        ranking = self._rank(question, [sha256])
        answer = self._answering.ask(ranking.question, [sha256], ranking) if self._answering else None
        return Prediction(
            question_id=question.question_id,
            answer=answer and answer.text,
            outcome=answer and answer.outcome,
            confidence=answer.confidence if answer else 0.0,
            document_pages=record.document.pages,
            ranked_pages=tuple(page for _, page in self._best(ranking)),
            ranked_library=self._best(self._rank(question, ())) if self._options.scope == "library" else None,
            citations=answer.citations if answer else (),
            # Of the search in the document and the answer: the library's ranking is a search of its own, for the figures.
            milliseconds=answer.milliseconds if answer else round(1000 * ranking.seconds, 3),
            read_pages=tuple(item.content.page.page_number for item in answer.context.evidence) if answer else (),
            usage=answer.usage if answer else {},
            why=str(answer.trace.get("failed") or answer.trace.get("abstained") or "") if answer else "",
        )

    def _document(self, doc_id: str) -> str | None:
        """The document that is on record under the path that the data gives, or under any path that ends in its name."""
        for name in (str(document_path(self._data, doc_id).absolute()), doc_id):
            try:
                sha256 = self._library.index.resolve_documents([name])[0]
            except UnknownDocument:
                continue
            self._doc_ids[sha256] = doc_id
            return sha256
        return None

    def _rank(self, question: Question, documents: Sequence[str]) -> Ranking:
        library = self._library
        return rank_pages(library.index, library.encoder, utf8(question.question), documents, library.visual)

    def _best(self, ranking: Ranking) -> tuple[DocumentPage, ...]:
        """(name, page number) of the best pages, the name as the data has it where it is known."""
        places = [ranking.places[page.id] for page in ranking.pages[:RANKED_PAGES]]
        names = {sha256: self._doc_ids.get(sha256) or self._library.index.name_of(sha256) for sha256, _ in places}
        return tuple((names[sha256], page_index + 1) for sha256, page_index in places)
