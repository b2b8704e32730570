"""The errors that docrag raises; every one of them pickles, and says what it got, what it expected and what to do next.

DocragError                  the command line turns it into one message and exit code 2
|-- UsageError               an argument, setting or name that makes no sense
|   |-- UnknownDocument      no document of the index has that name
|   `-- AmbiguousDocument    several have
|-- EnvironmentFault         the machine lacks something: disk, memory, a program, a library
|   |-- ModelFault           a model's files are missing, broken or out of reach, or don't make a whole model
|   `-- ReaderFault          the reader can't be used at all: no such model, a refused key, a server that is not there
|-- ReaderError              one reading came to nothing; it is an answer with outcome "failed"
|   |-- ReaderBlind          the model takes no images: it is shown text
|   `-- ContextTooLarge      the context is larger than the model takes: it is shown less
|-- IndexFault               there is no index here, or it can't be used
|   |-- IndexMissing
|   |-- IndexLocked          open in another process
|   |-- IndexMismatch        made with other settings
|   `-- IndexDamaged         a record or a blob is missing or unreadable
`-- PdfError                 one document or page can't be read; ingest turns it into a `Failure`
    |-- PdfUnreadable        not a PDF, truncated, empty
    |-- PdfPassword          encrypted, and no password that opens it
    |-- PdfTooLarge          over a limit on pages, pixels or memory
    `-- PdfCrash             MuPDF or Tesseract crashed, or ran out of time
"""

from __future__ import annotations

from typing import Literal


class DocragError(Exception):
    """What all errors of docrag derive from: a message, and a hint that names the next step."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(DocragError):
    pass


class UnknownDocument(UsageError):
    pass


class AmbiguousDocument(UsageError):
    pass


class EnvironmentFault(DocragError):
    pass


class ModelFault(EnvironmentFault):
    pass


class ReaderFault(EnvironmentFault):
    pass


class ReaderError(DocragError):
    pass


class ReaderBlind(ReaderError):
    pass


class ContextTooLarge(ReaderError):
    pass


class IndexFault(DocragError):
    pass


class IndexMissing(IndexFault):
    pass


class IndexLocked(IndexFault):
    pass


class IndexMismatch(IndexFault):
    pass


class IndexDamaged(IndexFault):
    pass


class PdfError(DocragError):
    """One document or page that can't be read. `lacked` names what would have helped; `retriable` whether a rerun may."""

    lacked: Literal["nothing", "password", "tesseract", "memory"] = "nothing"
    retriable = False


class PdfUnreadable(PdfError):
    pass


class PdfPassword(PdfError):
    lacked = "password"


class PdfTooLarge(PdfError):
    lacked = "memory"


class PdfCrash(PdfError):
    pass
