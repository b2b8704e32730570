"""A benchmark's questions asked of a library: the bridge between `docrag.eval`, which knows no library, and the client."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from docrag.client import Library
from docrag.errors import UnknownDocument
from docrag.eval.mmlongbench import Question, document_path, load_questions
from docrag.eval.predictions import Prediction
from docrag.eval.retrieval import DocumentPage, Scope
from docrag.eval.run import RunConfig, run_benchmark
from docrag.eval.summary import Summary
from docrag.pipelines.retrieve import rank_pages
from docrag.types import Answer

RANKED_PAGES = 50  # kept for each question: more than any metric looks at


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """`limit` asks only the first questions; None asks all."""

    scope: Scope = "document"
    retrieval_only: bool = False
    limit: int | None = None
    resume: bool = False


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
    asked = _Asked(library, data, options)
    settings = library.index.settings
    config = RunConfig(
        settings=library.config.to_json(),
        fingerprints={lane.lane: {**lane.compared(), "precision": lane.precision} for lane in settings.lanes},
        scope=options.scope,
        retrieval_only=options.retrieval_only,
    )
    return run_benchmark(questions, asked.predict, run_dir, config, options.resume, progress)


class _Asked:
    """Asks the questions of one run; remembers which document a doc_id is."""

    def __init__(self, library: Library, data: Path, options: BenchmarkOptions) -> None:
        self._library = library
        self._data = data
        self._options = options
        self._doc_ids: dict[str, str] = {}

    def predict(self, question: Question) -> Prediction:
        begin = time.perf_counter()
        sha256 = self._document(question.doc_id)
        record = self._library.index.document(sha256) if sha256 else None
        if sha256 is None or record is None:
            return Prediction.failed(question.question_id)
        ranking = self._rank(question, [sha256])
        answer = None if self._options.retrieval_only else self._ask(question, sha256)
        return Prediction(
            question_id=question.question_id,
            answer=answer and answer.text,
            outcome=answer and answer.outcome,
            confidence=answer.confidence if answer else 0.0,
            document_pages=record.document.pages,
            ranked_pages=tuple(page for _, page in ranking),
            ranked_library=self._rank_library(question) if self._options.scope == "library" else None,
            citations=answer.citations if answer else (),
            milliseconds=round(1000 * (time.perf_counter() - begin), 3),
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

    def _ask(self, question: Question, sha256: str) -> Answer:
        return self._library.ask(question.question, [sha256])

    def _rank(self, question: Question, documents: Sequence[str]) -> list[DocumentPage]:
        """(name, page number) of the best pages, the name as the data has it where it is known."""
        index = self._library.index
        ranking = rank_pages(index, self._library.encoder, question.question, documents)
        places = [ranking.places[page.id] for page in ranking.pages[:RANKED_PAGES]]
        return [(self._doc_ids.get(sha256) or index.name_of(sha256), page_index + 1) for sha256, page_index in places]

    def _rank_library(self, question: Question) -> tuple[DocumentPage, ...]:
        return tuple(self._rank(question, ()))
