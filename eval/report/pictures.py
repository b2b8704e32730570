"""Which pages a report shows, and their pictures once somebody who has the library drew them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from docrag.eval.report.rows import RANKED_DRAWN, QuestionRow
from docrag.eval.retrieval import DocumentPage


@dataclass(frozen=True, slots=True)
class Picture:
    """A page as a WebP file, and its size in points, by which boxes are placed on it."""

    webp: bytes
    width_pt: float
    height_pt: float


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pages that were drawn, and why others were not. `note` is why there are none at all, "" where there are."""

    drawn: Mapping[DocumentPage, Picture] = field(default_factory=dict[DocumentPage, Picture])
    missing: Mapping[DocumentPage, str] = field(default_factory=dict[DocumentPage, str])
    note: str = ""


def pages_to_draw(rows: Sequence[QuestionRow]) -> tuple[DocumentPage, ...]:
    """The evidence pages, the first that were found and the cited ones of all questions, each once, by document."""
    wanted: set[DocumentPage] = set()
    for row in rows:
        wanted |= {(row.document, page) for page in row.pages}
        for said in filter(None, row.runs):
            wanted |= {*said.ranked[:RANKED_DRAWN], *((cited.document, cited.page) for cited in said.cited)}
    return tuple(sorted(wanted))
