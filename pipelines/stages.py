"""What the answering loop does with a library, as the plain functions that it takes."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from docrag.index.encoders import TextEncoder
from docrag.index.library_index import LibraryIndex
from docrag.ingest.guard import GuardedPool
from docrag.pipelines.assemble import assemble
from docrag.pipelines.drawing import Drawn, draw_parts
from docrag.pipelines.linked import with_linked
from docrag.pipelines.loop import Found, Stages
from docrag.pipelines.retrieve import Ranking, best_pages, search
from docrag.pipelines.tokens import TokenRule, text_rule
from docrag.types import Box, Context, Evidence, page_point_id

if TYPE_CHECKING:
    from docrag.index.visual_encoder import VisualEncoder

LISTED_PAGES = 2_000  # a navigator's list of more pages would say nothing of each


class CountingEncoder(TextEncoder, Protocol):
    """An encoder of questions whose tokens are also what text costs a reader that has no rule of its own."""

    def count_tokens(self, text: str) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """The library that is asked: `pool` draws its pages, `password` opens those that are encrypted.

    `visual` is the encoder of its visual lane; None: text alone is searched. The index and the encoders are for one thread at a
    time, the one that holds `turn`: the stages hold it, a reader doesn't, so that several questions can be with their readers.
    """

    index: LibraryIndex
    encoder: CountingEncoder
    pool: GuardedPool
    visual: VisualEncoder | None = None
    password: str | None = None
    turn: AbstractContextManager[Any] = field(default_factory=threading.RLock)


def library_stages(shelf: Shelf, documents: Sequence[str] = (), candidates: int = 50, ranking: Ranking | None = None) -> Stages:
    """The stages over `documents` (sha256; none: all). `candidates` pages are found for each query.

    For the question of `ranking`, which was ranked before, nothing is searched. A reader without a rule of its own (`quote`)
    is shown the pages that were found, as text; others also those that they lead to.
    """
    index = shelf.index

    def retrieve(query: str) -> Sequence[Found]:
        with shelf.turn:
            if ranking is not None and query == ranking.question:
                return best_pages(index, ranking, candidates)
            return search(index, shelf.encoder, query, documents, candidates, shelf.visual)

    def lay_out(items: Sequence[Evidence], rule: TokenRule | None, budget: int, focus: Mapping[str, Box]) -> Context:
        with shelf.turn:
            # What led here may have been deleted since it was found.
            there = [item for item in items if index.document(item.content.page.document.sha256) is not None]
            if rule is None:
                return assemble(there, text_rule(shelf.encoder.count_tokens), budget)
            return assemble(with_linked(index, there), rule, budget, focus)

    def draw(context: Context, rule: TokenRule) -> Drawn:
        with shelf.turn:
            return draw_parts(index, context, shelf.pool, rule.count_text, shelf.password)

    def list_pages(found: Sequence[Found]) -> Sequence[Evidence]:
        with shelf.turn:
            return pages_to_list(index, found, documents)

    return Stages(retrieve, lay_out, draw, list_pages)


def pages_to_list(index: LibraryIndex, found: Sequence[Found], documents: Sequence[str] = ()) -> tuple[Evidence, ...]:
    """All pages of `documents`, or of those that hold what was found, best first, while they are not too many to list."""
    listed: list[Evidence] = []
    for sha256 in documents or dict.fromkeys(item.content.page.document.sha256 for _, item in found):
        record = index.document(sha256)
        if record is None or len(listed) + record.document.pages > LISTED_PAGES:
            continue
        name = index.name_of(sha256)
        contents = index.page_contents([page_point_id(sha256, number) for number in range(record.document.pages)])
        listed += (Evidence(content, name, 0.0, "navigated") for content in contents)
    return tuple(listed)
