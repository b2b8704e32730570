"""The Python door: `docrag.open(...)` gives a `Library` that ingests, searches and answers."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from docrag.config import Config
from docrag.errors import AmbiguousDocument, IndexMismatch, IndexMissing, UnknownDocument, UsageError
from docrag.index.blobs import absolute_url
from docrag.index.encoders import MiniLM, choose_precision
from docrag.index.lease import Lease, guard, hold_lease
from docrag.index.library_index import LibraryIndex
from docrag.index.location import is_folder
from docrag.index.payload import utf8
from docrag.index.records import DocumentRecord, IndexSettings, LaneFingerprint, check_same
from docrag.index.records import ReadSettings as StoredReadSettings
from docrag.index.verify import VerifyReport, verify
from docrag.index.visual_encoder import VisualEncoder
from docrag.ingest.guard import GuardedPool
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.read import ReadSettings
from docrag.ingest.render import render_page
from docrag.ingest.run_local import Encoders, ingest
from docrag.ingest.run_visual import with_ways
from docrag.ingest.stages import TEXT_VERSION, lane_fingerprints
from docrag.ingest.totals import Progress
from docrag.pipelines.answering import Answering, reader_settings
from docrag.pipelines.fuse import check_question
from docrag.pipelines.protocols import OnText, Reader, ReaderSettings
from docrag.pipelines.reader import open_reader
from docrag.pipelines.retrieve import Explained, Ranking, best_pages, explain, rank_pages
from docrag.pipelines.stages import Shelf
from docrag.types import Answer, Hit, IngestReport, PageContent, page_point_id

NO_VISUAL = "none"


def open(location: str | os.PathLike[str] = "library", **settings: Any) -> Library:
    """The library at `location`: a folder, or http(s)://host:port/name of a Qdrant server. It is made by the first ingest.

    `settings` are fields of `docrag.Config`. Raises UsageError on an unknown one.
    """
    return Library(os.fspath(location), **settings)


class Library:
    """A library of PDFs: what `docrag.open` returns. A context manager; for one thread at a time, the one that holds `turn`.

    The index is opened, and the encoder loaded, when first needed. `blobs` is where the PDFs of a library on a server are kept.
    """

    def __init__(self, location: str, *, blobs: str | None = None, **settings: Any) -> None:
        if not location.strip():
            raise UsageError("the index has no name", "name a folder with --index, as in --index ./library")
        self.location = location
        self._blobs = blobs
        self._settings = settings
        self.config = Config.resolve(settings)
        self._index: LibraryIndex | None = None
        self._visual_encoder: VisualEncoder | None = None
        self._reader: tuple[str, ReaderSettings, Reader] | None = None
        self.turn = threading.RLock()  # its holder may take it again: a callback may search while a question is answered

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index, so that another process may open it. Closing twice is allowed."""
        if self._index is not None:
            self._index.close()
            self._index = None

    @property
    def index(self) -> LibraryIndex:
        """The index, opened. Raises IndexMissing, IndexLocked, IndexMismatch, IndexDamaged or EnvironmentFault."""
        if self._index is None:
            self._index = LibraryIndex.open(self.location, lane_fingerprints())
            made_with = self._index.settings.read
            stored = {"ocr": made_with.ocr, "lang": made_with.lang, "ocr_dpi": made_with.ocr_dpi}
            self.config = Config.resolve(self._settings, defaults=stored)
        return self._index

    @cached_property
    def encoder(self) -> MiniLM:
        return MiniLM(self.config.precision)

    @property
    def visual(self) -> VisualEncoder | None:
        """The model of the index's visual lane, loaded; None where it has no such lane, or `visual` is "none".

        Raises ModelFault where the model can't be loaded, IndexMismatch where the lane was made with another one.
        """
        if self.index.visual is None or self.config.visual == NO_VISUAL:
            return None
        return self._visual(self.index.visual)

    def _visual(self, lane: LaneFingerprint) -> VisualEncoder:
        if self._visual_encoder is None:
            encoder = self._load_visual(self.config.visual or self.index.visual_model)
            self.index.check_visual(with_ways(encoder.fingerprint, lane.settings))
            self._visual_encoder = encoder
        return self._visual_encoder

    def _load_visual(self, model: str) -> VisualEncoder:
        from docrag.index.visual_models import open_visual

        return open_visual(model, self.config.device, self.config.precision)

    def _visual_loader(self, index: LibraryIndex) -> Callable[[], VisualEncoder] | None:
        """How ingest gets the visual lane's model; None where there is no lane to keep up. One that is missing is added."""
        model = self.config.visual
        if model == NO_VISUAL or (index.visual is None and not model):
            return None
        if index.visual is None:
            encoder = self._load_visual(model)
            lane = with_ways(encoder.fingerprint, asdict(self.config))
            index.add_visual(lane, encoder.source, encoder.dim, encoder.max_vectors)
            self._visual_encoder = encoder
        lane = index.visual
        if lane is None:
            return None
        index.check_visual(with_ways(lane, {**lane.settings, **_given(**self._settings)}))
        if model and not _is_same_model(model, index.visual_model):
            self._visual(lane)  # which may be refused, and that should not wait for a page that owes its vectors
        return lambda: self._visual(lane)

    def ingest(
        self,
        sources: Sequence[str | os.PathLike[str]],
        *,
        password: str | None = None,
        checksum: bool = False,
        prune: bool = False,
        ray: str | None = None,
        progress: Callable[[Progress], None] | None = None,
    ) -> IngestReport:
        """Bring PDFs into the library: files, folders, globs, fsspec URLs. What is unchanged is skipped unread.

        `ray` is a Ray cluster's address to do it there, "auto" for the one that this machine belongs to, "" for that of
        RAY_ADDRESS or else one that is started here and ends with the call. `progress` is then called from another thread.

        Raises UsageError where no source is named or Tesseract lacks the language, EnvironmentFault where the disk is full or
        OCR is demanded and Tesseract missing, and what opening or making the index raises.
        """
        if isinstance(sources, str | os.PathLike):
            raise UsageError("sources is a list of names, got one", f"write [{os.fspath(sources)!r}]")
        if not sources and not self.config.visual:
            raise UsageError("no source is named", "name files, folders, globs or URLs")
        index = self._open_or_create()
        options = IngestOptions(password=password, checksum=checksum, prune=prune)
        names = [os.fsdecode(source) for source in sources]
        with self._writing("an ingest") as lease:
            if ray is not None:
                return self._ingest_on_ray(index, names, options, ray, lease, progress)
            encoders = Encoders(lambda: self.encoder, self._visual_loader(index))
            return ingest(index, encoders, names, self.config, options, _checking(lease, progress))

    def _ingest_on_ray(
        self,
        index: LibraryIndex,
        names: Sequence[str],
        options: IngestOptions,
        address: str,
        lease: Lease,
        progress: Callable[[Progress], None] | None,
    ) -> IngestReport:
        """The index is let go of, for on a folder one process of the run has it open; it is opened again when it is needed."""
        from docrag.ingest.cluster.stages import Job
        from docrag.ingest.run_ray import ingest_on_ray

        location = str(Path(self.location).absolute()) if is_folder(self.location) else self.location
        model = self._model_on_ray(index)
        is_known = index.visual is not None and _is_same_model(model, index.visual_model)
        job = Job(
            *(location, index.blobs.url, self.config, options.password),
            holder=lease.holder,
            visual_model=model,
            visual_known=is_known,
        )
        self.close()
        load = partial(MiniLM, self.config.precision)
        return ingest_on_ray(job, load, names, options, address, _checking(lease, progress))

    def _model_on_ray(self, index: LibraryIndex) -> str:
        """The model that keeps up the visual lane, "" for none; it is loaded where it runs, and not here."""
        if self.config.visual == NO_VISUAL:
            return ""
        if index.visual is not None:
            index.check_visual(with_ways(index.visual, {**index.visual.settings, **_given(**self._settings)}))
        model = self.config.visual or index.visual_model
        # Workers run in folders of their own.
        return str(Path(model).absolute()) if model and Path(model).is_dir() else model

    def search(self, question: str, documents: Sequence[str] = (), k: int | None = None) -> tuple[Hit, ...]:
        """The `k` best pages (default: the configuration's) of `documents`, or of all.

        `documents` are names, path suffixes or globs. Raises UsageError on an empty question or k < 1, UnknownDocument and
        AmbiguousDocument.
        """
        return self.explain(question, documents, k).hits

    def explain(self, question: str, documents: Sequence[str] = (), k: int | None = None) -> Explained:
        """As `search`, with what was asked of each lane and why, and how much of each score is whose."""
        wanted = self.config.k if k is None else k
        ranking = self._rank(question, documents)
        return explain(ranking, [hit for hit, _ in best_pages(self.index, ranking, wanted)])

    def _rank(self, question: str, documents: Sequence[str]) -> Ranking:
        return rank_pages(self.index, self.encoder, utf8(question), self._resolve(documents), self.visual)

    def ask(
        self,
        question: str,
        documents: Sequence[str] = (),
        *,
        reader: str | Reader | None = None,
        budget_tokens: int | None = None,
        password: str | None = None,
        on_text: OnText | None = None,
    ) -> Answer:
        """The answer, with the pages and words that it rests on; or that these documents don't answer.

        `reader` (a spec, or a reader of your own) and `budget_tokens` stand in for the configuration's; `password` is for
        drawing encrypted PDFs; `on_text` gets the answer's text as it is written. A reading that fails is an answer with
        outcome "failed". Raises as `search` does, and ReaderFault or ModelFault where the reader can't be used at all.
        """
        check_question(question)  # before a reader is opened, which may be a model to load
        among = self._resolve(documents)
        with self.answering(reader, budget_tokens, password) as answering:
            return answering.ask(utf8(question), among, on_text=on_text)

    async def aask(self, question: str, documents: Sequence[str] = (), **options: Any) -> Answer:
        """`ask` for callers with an event loop, in a thread of its own: one question at a time, others wait."""

        def ask_alone() -> Answer:
            with self.turn:
                return self.ask(question, documents, **options)

        return await asyncio.to_thread(ask_alone)

    @contextmanager
    def answering(
        self, reader: str | Reader | None = None, budget_tokens: int | None = None, password: str | None = None
    ) -> Generator[Answering]:
        """What answers questions, one after another; `documents` there are sha256. The processes that draw end with it."""
        index = self.index
        config = replace(self.config, **_given(budget_tokens=budget_tokens))
        if reader is None or isinstance(reader, str):
            config = replace(config, **_given(reader=reader))
            opened = self._open_reader(config)
        else:
            config, opened = replace(config, reader=type(reader).__name__), reader
        workers = config.workers or os.cpu_count() or 1
        with GuardedPool(workers, config.page_timeout_s, config.worker_memory_mib) as pool:
            yield Answering(Shelf(index, self.encoder, pool, self.visual, password), opened, config)

    def _open_reader(self, config: Config) -> Reader:
        """The reader, kept from question to question: it may be a model, and remembers what texts cost it."""
        settings = reader_settings(config)
        if self._reader is None or self._reader[:2] != (config.reader, settings):
            self._reader = (config.reader, settings, open_reader(config.reader, settings))
        return self._reader[2]

    def documents(self) -> list[DocumentRecord]:
        """The records of all documents."""
        return self.index.documents()

    def document(self, name: str) -> DocumentRecord:
        """The record of the one document that `name` means. Raises UnknownDocument, AmbiguousDocument."""
        return self._one(name)

    def delete(self, documents: Sequence[str]) -> list[str]:
        """Delete documents with all their names; returns the names that are gone. The files themselves stay."""
        gone: list[str] = []
        with self._writing("a delete") as lease:
            for sha256 in self._resolve(documents):
                lease.check()
                gone += self.index.names_of(sha256)
                self.index.delete_document(sha256, force=True)
        return gone

    def delete_visual(self) -> None:
        """Delete the visual lane of the whole index; no error where it has none."""
        with self._writing("a delete of the visual lane"):
            self.index.remove_visual()

    def verify(self, repair: bool = False) -> VerifyReport:
        """Check records against pages against stored PDFs; with `repair`, remove what can't be trusted."""
        if not repair:
            return verify(self.index)
        with self._writing("a repair"):
            return verify(self.index, repair)

    def page(self, document: str, page_number: int) -> PageContent:
        """One page as it was read (1-based). Raises UsageError where the document has no such page, or it was not read."""
        record = self._one(document)
        self._check_page(record, page_number)
        found = self.index.page_contents([page_point_id(record.document.sha256, page_number - 1)])
        if not found:
            why = next(
                (failure.message for failure in record.failures if failure.page_number == page_number), "it is not there"
            )
            raise UsageError(f"page {page_number} of {document!r} could not be read at ingest: {why}")
        return found[0]

    def page_image(self, document: str, page_number: int, *, long_side_px: int = 1400, password: str | None = None) -> bytes:
        """A page drawn as PNG, in a guarded process. Raises PdfError where it can't be, UsageError on a wrong number."""
        record = self._one(document)
        self._check_page(record, page_number)
        path = str(self.index.blobs.path(record.document.sha256))
        with GuardedPool(1, self.config.page_timeout_s, self.config.worker_memory_mib) as pool:
            return pool.call(render_page, path, page_number - 1, long_side_px, None, password, self.config.max_page_pixels)

    def heatmap(
        self, document: str, page_number: int, question: str, *, by_word: bool = False, password: str | None = None
    ) -> bytes:
        """A page drawn as PNG with what the visual lane sees of `question` on it, together or in a picture for each word.

        Raises UsageError where the index has no visual lane, and what `page` and `page_image` raise.
        """
        from docrag.pipelines.heatmap import show_heatmap

        visual = self.visual
        if visual is None:
            raise UsageError("there is no visual lane to show", "`docrag ingest --visual MODEL` adds one")
        content = self.page(document, page_number)
        picture = self.page_image(document, page_number, password=password)
        return show_heatmap(self.index, visual, content, utf8(question), picture, by_word)

    def _check_page(self, record: DocumentRecord, page_number: int) -> None:
        pages = record.document.pages
        if not 1 <= page_number <= pages:
            name = self.index.name_of(record.document.sha256)
            raise UsageError(f"there is no page {page_number}", f"{name} has pages 1 to {pages}")

    def _resolve(self, documents: Sequence[str]) -> list[str]:
        if isinstance(documents, str):
            raise UsageError("documents is a list of names, got one text", f"write [{documents!r}]")
        return self.index.resolve_documents(documents)

    def _one(self, document: str) -> DocumentRecord:
        found = self._resolve([document])
        if len(found) != 1:
            raise AmbiguousDocument(f"{document!r} means {len(found)} documents, one is wanted", "write its full name")
        record = self.index.document(found[0])
        if record is None:
            raise UnknownDocument(f"the document {document!r} has no record", "ingest it again")
        return record

    def _open_or_create(self) -> LibraryIndex:
        try:
            index = self.index
        except IndexMissing:
            ReadSettings.from_config(self.config)  # a language that Tesseract lacks must not be what the index is made with
            made = IndexSettings(lane_fingerprints(choose_precision(self.config.precision)), self._read_settings(), self._blobs)
            self._index = LibraryIndex.create(self.location, made)
            return self._index
        check_same(self.location, index.settings, None, self._read_settings())
        if self._blobs is not None and absolute_url(self._blobs) != index.settings.blobs_url:
            kept = index.settings.blobs_url or "its own folder"
            raise IndexMismatch(
                f"the index at {self.location} keeps its PDFs in {kept}, not in {self._blobs}", "leave --blobs out"
            )
        return index

    @contextmanager
    def _writing(self, doing: str) -> Generator[Lease]:
        """Alone with the index while the body writes to it. Raises IndexLocked where another process does."""
        index = self.index
        with hold_lease(self.location, doing) as lease:
            if not is_folder(self.location):
                index.refresh()  # the one that wrote before may have done so since it was opened
            guard(index.store, self.location, lease.holder)
            try:
                yield lease
            finally:
                guard(index.store, self.location, "")

    def _read_settings(self) -> StoredReadSettings:
        return StoredReadSettings(self.config.ocr, self.config.lang, self.config.ocr_dpi, TEXT_VERSION)


def _checking(lease: Lease, progress: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """`progress`, which is called before each batch is written, and stops a run that lost its lease."""

    def report(now: Progress) -> None:
        lease.check()
        if progress is not None:
            progress(now)

    return report


def _is_same_model(asked: str, stored: str) -> bool:
    """Whether a model is, by its name alone, the one that `stored` leads to ("owner/name@commit", or a folder)."""
    return stored in (asked, str(Path(asked).absolute())) or stored.partition("@")[0] == asked


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
