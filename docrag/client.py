"""The Python door: `docrag.open(...)` gives a `Library` that ingests, searches and answers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import Any, Self

from docrag.config import Config
from docrag.errors import AmbiguousDocument, IndexMismatch, IndexMissing, UnknownDocument, UsageError
from docrag.index.blobs import absolute_url
from docrag.index.encoders import MiniLM, choose_precision
from docrag.index.library_index import LibraryIndex
from docrag.index.payload import utf8
from docrag.index.records import DocumentRecord, IndexSettings, check_same
from docrag.index.records import ReadSettings as StoredReadSettings
from docrag.index.verify import VerifyReport, verify
from docrag.ingest.guard import GuardedPool
from docrag.ingest.read import ReadSettings
from docrag.ingest.render import render_page
from docrag.ingest.run_local import IngestOptions, ingest
from docrag.ingest.stages import TEXT_VERSION, lane_fingerprints
from docrag.ingest.totals import Progress
from docrag.pipelines.answer import AskSettings, ask
from docrag.pipelines.reader import open_reader
from docrag.pipelines.retrieve import search
from docrag.types import Answer, Hit, IngestReport, PageContent, page_point_id


def open(location: str | os.PathLike[str] = "library", **settings: Any) -> Library:
    """The library at `location`: a folder, or http(s)://host:port/name of a Qdrant server. It is made by the first ingest.

    `settings` are fields of `docrag.Config`. Raises UsageError on an unknown one.
    """
    return Library(os.fspath(location), **settings)


class Library:
    """A library of PDFs: what `docrag.open` returns. A context manager; not for several threads.

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

    def ingest(
        self,
        sources: Sequence[str | os.PathLike[str]],
        *,
        password: str | None = None,
        checksum: bool = False,
        prune: bool = False,
        progress: Callable[[Progress], None] | None = None,
    ) -> IngestReport:
        """Bring PDFs into the library: files, folders, globs, fsspec URLs. What is unchanged is skipped unread.

        Raises UsageError where no source is named or Tesseract lacks the language, EnvironmentFault where the disk is full or
        OCR is demanded and Tesseract missing, and what opening or making the index raises.
        """
        if isinstance(sources, str | os.PathLike):
            raise UsageError("sources is a list of names, got one", f"write [{os.fspath(sources)!r}]")
        if not sources:
            raise UsageError("no source is named", "name files, folders, globs or URLs")
        index = self._open_or_create()
        options = IngestOptions(password=password, checksum=checksum, prune=prune)
        return ingest(index, lambda: self.encoder, [os.fsdecode(source) for source in sources], self.config, options, progress)

    def search(self, question: str, documents: Sequence[str] = (), k: int | None = None) -> tuple[Hit, ...]:
        """The `k` best pages (default: the configuration's) of `documents`, or of all.

        `documents` are names, path suffixes or globs. Raises UsageError on an empty question or k < 1, UnknownDocument and
        AmbiguousDocument.
        """
        inside = self._resolve(documents)
        found = search(self.index, self.encoder, utf8(question), inside, self.config.k if k is None else k)
        return tuple(hit for hit, _ in found)

    def ask(
        self, question: str, documents: Sequence[str] = (), *, reader: str | None = None, budget_tokens: int | None = None
    ) -> Answer:
        """The answer, with the pages and words that it rests on; or that these documents don't answer.

        `reader` and `budget_tokens` stand in for the configuration's. Raises as `search` does.
        """
        inside = self._resolve(documents)
        asked = replace(self.config, **_given(reader=reader, budget_tokens=budget_tokens))
        opened = open_reader(asked.reader)
        settings = AskSettings(asked.reader, asked.k, asked.budget_tokens)
        return ask(self.index, self.encoder, opened, utf8(question), inside, settings)

    def documents(self) -> list[DocumentRecord]:
        """The records of all documents."""
        return self.index.documents()

    def document(self, name: str) -> DocumentRecord:
        """The record of the one document that `name` means. Raises UnknownDocument, AmbiguousDocument."""
        return self._one(name)

    def delete(self, documents: Sequence[str]) -> list[str]:
        """Delete documents with all their names; returns the names that are gone. The files themselves stay."""
        gone: list[str] = []
        for sha256 in self._resolve(documents):
            gone += self.index.names_of(sha256)
            self.index.delete_document(sha256, force=True)
        return gone

    def verify(self, repair: bool = False) -> VerifyReport:
        """Check records against pages against stored PDFs; with `repair`, remove what can't be trusted."""
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

    def _read_settings(self) -> StoredReadSettings:
        return StoredReadSettings(self.config.ocr, self.config.lang, self.config.ocr_dpi, TEXT_VERSION)


def _given(**settings: Any) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value is not None}
