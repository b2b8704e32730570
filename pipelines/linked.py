"""Pages that good candidates lead to: the page before and after, and those that they refer to ("see Table 3 on page 12")."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from docrag.index.library_index import LibraryIndex
from docrag.pipelines.references import Reference, find_references, resolve
from docrag.types import DocumentOutline, Evidence, Reason, page_point_id

# A page holds evidence about as often as 0.45 / its rank; one beside the best page more often than that, by a tenth of the best
# page's own chance, which is 0.74 (47 documents, LOG.md). So, in units of 1 / rank:
SHARE = 0.15
LINKING_PAGES = 3  # candidates whose neighbours and references are followed, best first
MOST_REFERENCES = 6  # a page that names more is a table of contents or an index, and recommends none of them
_WINDOW = 60  # characters in which a reference is over; the rest of a page need not be searched
_REFERENCE = re.compile(
    r"\b(?:pages?|slides?|pp?\.|tables?|figures?|figs?\.?|charts?|graphs?|exhibits?|diagrams?|box|map|appendix)\s*(?=[0-9A-Zivx(])",
    re.IGNORECASE,
)
_Place = tuple[str, int]


def with_linked(index: LibraryIndex, candidates: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """`candidates`, best first, with the pages that the first of them lead to moved up, or fetched where they are missing."""
    known = {_place(item): item for item in reversed(candidates)}
    chances = {place: 1 / rank for rank, place in enumerate(dict.fromkeys(map(_place, candidates)), 1)}
    before = dict(chances)
    led_to: dict[_Place, tuple[Evidence, Reason]] = {}
    for rank, item in enumerate(candidates[:LINKING_PAGES], 1):
        for place, reason in _links(item, index.outline(item.content.page.document.sha256)):
            chances[place] = chances.get(place, 0.0) + SHARE / rank
            led_to.setdefault(place, (item, reason))
    missing = [page_point_id(*place) for place in led_to if place not in known]
    for content in index.page_contents(missing) if missing else ():
        place = content.page.document.sha256, content.page.page_index
        parent, reason = led_to[place]
        known[place] = Evidence(content, parent.name, SHARE * parent.score, reason)
    ordered = sorted(known, key=lambda place: -chances[place])
    return tuple(_led(known[place], place, before, led_to) for place in ordered)


def _led(
    item: Evidence, place: _Place, before: Mapping[_Place, float], led_to: Mapping[_Place, tuple[Evidence, Reason]]
) -> Evidence:
    """A candidate that has more of its chance from a link than from retrieval is there for that."""
    if item.reason == "retrieved" and place in led_to and before.get(place, 0.0) < SHARE:
        return replace(item, reason=led_to[place][1])
    return item


def _links(item: Evidence, outline: DocumentOutline) -> Iterator[tuple[_Place, Reason]]:
    page = item.content.page
    near = [at for at in (page.page_index + 1, page.page_index - 1) if 0 <= at < page.document.pages]
    for at in near:
        yield (page.document.sha256, at), "neighbour"
    for at in resolve(_references(item.content.text), outline):
        if at != page.page_index and at not in near and at < page.document.pages:
            yield (page.document.sha256, at), "referenced"


def _place(item: Evidence) -> _Place:
    return item.content.page.document.sha256, item.content.page.page_index


@functools.lru_cache(maxsize=1_024)
def _references(text: str) -> tuple[Reference, ...]:
    """The pages, tables and figures that a page's text names; none where it names many."""
    named = ". ".join(text[match.start() : match.start() + _WINDOW] for match in _REFERENCE.finditer(text))
    found = tuple(reference for reference in find_references(named) if reference.kind in ("page", "caption"))
    return found if len(found) <= MOST_REFERENCES else ()
