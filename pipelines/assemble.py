"""Lay candidate pages out as one interleaved context: which pages, how large, with or without their text, within a budget.

A page may be shown in several ways, each with a cost in tokens and a worth. What is bought next is always what adds most worth
a token, weighed by the chance that the page holds the evidence: so the best pages grow before the last ones come in.
"""

from __future__ import annotations

import functools
import heapq
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from docrag.errors import UsageError
from docrag.pipelines.near import NearDuplicates
from docrag.pipelines.tokens import ImageRule, Size, TokenRule, text_rule
from docrag.types import Box, Context, ContextPart, Evidence, PageContent, Shown

REDUCED_SIDE_PX = 768  # the long side of a page that is to be read at all
LEGIBLE_WORD_PX = 8  # a page in small print is drawn larger than that, until its words are so high
FULL_PX_PER_PT = 2.0  # 144 dpi
LARGER_BY = 1.3  # in pixels: less is no other way to show a page
CROP_MARGIN = 0.06  # of the page's sides, around a passage: a table's head, a figure's caption
LARGEST_CROP = 0.5  # of the page: what is larger is the page
# What a page is worth to a reader, its reduced image being 1, after published comparisons of one reader (LOG.md): text instead
# of the image 0.6, text beside it +0.09, 144 instead of 72 dpi +0.17. That a crop shows the right part is a guess.
TEXT, REDUCED, BESIDE, CROP, FULL = 0.6, 1.0, 0.09, 0.1, 0.17
WORDY = 100  # words: the text of a page with fewer says less of it
NOTHING = 0.01  # the worth of knowing that a page is there and has no text
PATIENCE = 20  # candidates in a row that don't fit, after which the context is full
KEY = "0d2f7b"  # stands for the one that markers are sent with, see prompts.py
_PAGE_OF_TEXT = 450  # tokens
_CHARACTERS_A_TOKEN = 4.5  # a guess, until a text is about to be shown and is counted

Place = tuple[str, int]
"""A document's sha256 and the index of a page in it."""


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to show a page: its images (size in pixels, part of the page or all of it), and whether its text goes along."""

    shown: Shown
    worth: float
    images: tuple[tuple[Size, Box | None], ...]
    image_tokens: int
    text: bool
    why: str


def assemble(
    candidates: Sequence[Evidence], rule: TokenRule | None, budget: int, focus: Mapping[str, Box] | None = None
) -> Context:
    """A context of at most `budget` tokens from `candidates`, best first; a page given twice, or nearly so, is shown once.

    Documents stand by their best page, pages in order, each behind its marker; `why` of a part says why it is there. `focus`
    has the box of the best passage by point id, where one is known. What fits nowhere leaves the context empty. No page is
    drawn. Without a `rule` all is text, and its tokens are estimates.
    Raises UsageError on a budget below 1.
    """
    if budget < 1:
        raise UsageError(f"a context has a budget of at least 1 token, got {budget}")
    repeated: defaultdict[Place, list[Evidence]] = defaultdict(list)
    boxes, counted_by = focus or {}, rule or text_rule()
    pages = (
        _Page(item, rank, counted_by, boxes.get(item.content.page.point_id) if boxes else None)
        for rank, item in enumerate(_distinct(candidates, repeated), 1)
    )
    ordered = _reading_order(_Purchase(pages, budget).made())
    return Context(
        parts=tuple(part for page in ordered for part in page.parts(repeated[_place(page.item)])),
        evidence=tuple(page.evidence() for page in ordered),
        budget=budget,
    )


def candidates_needed(rule: TokenRule, budget: int) -> int:
    """How many candidates are enough for `budget`: twice as many as it holds reduced A4 pages, or pages of text."""
    image_tokens = rule.image.tokens(*rule.image.size(595, 842, REDUCED_SIDE_PX)) if rule.image else _PAGE_OF_TEXT
    return 5 + 2 * budget // image_tokens


def _distinct(candidates: Sequence[Evidence], repeated: Mapping[Place, list[Evidence]]) -> Iterator[Evidence]:
    """Each page once; those that nearly repeat one before them go to `repeated`, under that one's place."""
    near, seen = NearDuplicates(), set[Place]()
    for item in candidates:
        if _place(item) in seen:
            continue
        seen.add(_place(item))
        original = near.first_like(item)
        if original is None:
            yield item
        else:
            repeated[_place(original)].append(item)


def _place(item: Evidence) -> Place:
    return item.content.page.document.sha256, item.content.page.page_index


def _reading_order(pages: Sequence[_Page]) -> list[_Page]:
    """Documents by their best page, pages in order."""
    order: dict[str, int] = {}
    for page in sorted(pages, key=lambda page: page.rank):
        order.setdefault(_place(page.item)[0], len(order))
    return sorted(pages, key=lambda page: (order[_place(page.item)[0]], _place(page.item)[1]))


class _Purchase:
    """Spends a budget on pages, greedily by worth a token.

    A page comes up only when the one before it was dealt with, so no text of the last candidates need be counted.
    """

    def __init__(self, pages: Iterator[_Page], budget: int) -> None:
        self._pages = pages
        self._left = budget
        self._misses = 0
        self._bought: list[_Page] = []
        self._offers: list[tuple[float, int, _Page, _Way]] = []

    def made(self) -> list[_Page]:
        """The pages that are shown, each with its way."""
        self._next_page()
        while self._offers:
            _, _, page, way = heapq.heappop(self._offers)
            if way.text and not page.counted:
                page.count()
            elif page.extra(way) <= self._left:
                self._buy(page, way)
            if not self._offer(page) and page.way is None:
                self._miss()
        return self._bought

    def _buy(self, page: _Page, way: _Way) -> None:
        is_new = page.way is None
        self._left -= page.extra(way)
        page.way = way
        if is_new:
            self._bought.append(page)
            self._misses = 0
            self._next_page()

    def _offer(self, page: _Page) -> bool:
        way = page.next_way(self._left)
        if way is None and not self._bought and not page.counted:
            page.count()  # a guess must not leave the context empty
            way = page.next_way(self._left)
        if way is not None:
            heapq.heappush(self._offers, (-page.density(way), page.rank, page, way))
        return way is not None

    def _next_page(self) -> None:
        page = next(self._pages, None) if self._misses < PATIENCE else None
        if page is not None and not self._offer(page):
            self._miss()

    def _miss(self) -> None:
        self._misses += 1
        self._next_page()


class _Page:
    """One candidate: the ways to show it, what they cost, and the one that was bought."""

    def __init__(self, item: Evidence, rank: int, rule: TokenRule, focus: Box | None) -> None:
        self.item = item
        self.rank = rank
        self.way: _Way | None = None
        self.counted = False
        self._rule = rule
        self._marker = page_marker(item)
        self._marker_tokens = rule.count_text(f"\n[{KEY} {self._marker[1:]}\n")
        self._text_tokens = int(len(item.content.text) / _CHARACTERS_A_TOKEN)
        self._ways = _ways(item.content, rule, focus)

    def count(self) -> None:
        """From here on, what its text costs is no guess."""
        text = self.item.content.text
        self._text_tokens = self._rule.count_text(text) if text else 0
        self.counted = True

    def extra(self, way: _Way) -> int:
        """What it costs to show the page this way, beyond what it costs now."""
        return self._cost(way) - (self._cost(self.way) if self.way else 0)

    def density(self, way: _Way) -> float:
        """The worth that a token adds, weighed by the page's chance: 1 / its rank."""
        gain = way.worth - (self.way.worth if self.way else 0.0)
        return gain / max(self.extra(way), 1) / self.rank

    def next_way(self, left: int) -> _Way | None:
        """The way that adds most a token within `left`, or None."""
        worth = self.way.worth if self.way else 0.0
        ways = [way for way in self._ways if way.worth > worth and self.extra(way) <= left]
        return max(ways, key=self.density, default=None)

    def evidence(self) -> Evidence:
        return replace(self.item, shown=self.way.shown) if self.way else self.item

    def parts(self, repeated: Sequence[Evidence]) -> Iterator[ContextPart]:
        """Marker, images, text: vendors advise to put an image before what is said of it."""
        if self.way is None:
            return
        content = self.item.content
        part = functools.partial(ContextPart, document=self.item.name, page_number=content.page.page_number)
        why = f"{self.item.reason}, place {self.rank}" + _repeats(repeated)
        yield part("marker", tokens=self._marker_tokens, text=self._marker, why=why)
        for size_px, clip in self.way.images:
            tokens = self._rule.image_tokens(size_px)
            yield part("image", tokens=tokens, image_size_px=size_px, clip=clip, why=_image_why(content, size_px, clip))
        if self.way.text and content.text:
            why = "text beside the image" if self.way.images else self.way.why
            yield part("text", tokens=self._text_tokens, text=content.text, why=why)

    def _cost(self, way: _Way) -> int:
        return self._marker_tokens + way.image_tokens + (self._text_tokens if way.text else 0)


def page_marker(item: Evidence) -> str:
    """The line that stands before a page: document, page number, and the printed number where that is another."""
    page = item.content.page
    printed = page.page_label or item.content.printed_number
    label = f", printed {printed}" if printed and printed != str(page.page_number) else ""
    return f"[{item.name}, page {page.page_number} of {page.document.pages}{label}]"


def _repeats(repeated: Sequence[Evidence]) -> str:
    pages = ", ".join(f"page {item.content.page.page_number} of {item.name}" for item in repeated)
    return f"; left out as nearly the same: {pages}" if pages else ""


def _image_why(content: PageContent, size_px: Size, clip: Box | None) -> str:
    box = clip or (0.0, 0.0, content.width_pt, content.height_pt)
    dpi = 72 * max(size_px) / max(box[2] - box[0], box[3] - box[1])
    return f"{'around the best passage' if clip else 'the whole page'}, at {dpi:.0f} dpi"


def _ways(content: PageContent, rule: TokenRule, focus: Box | None) -> tuple[_Way, ...]:
    """All ways to show a page that this reader can read."""
    has_text = bool(content.text)
    text = TEXT * min(1.0, len(content.word_boxes) / WORDY) if has_text else NOTHING
    if rule.image is None:
        return (_Way("text", text, (), 0, True, "this reader sees no images"),)
    ways = [_Way("text", text, (), 0, True, "its text alone: an image adds less than other pages do")] if has_text else []
    return (*ways, *_image_ways(content, rule, rule.image, focus))


def _image_ways(content: PageContent, rule: TokenRule, image: ImageRule, focus: Box | None) -> Iterator[_Way]:
    width_pt, height_pt = content.width_pt, content.height_pt
    reduced_px = _drawing(image, width_pt, height_pt, _reduced_side(content))
    if reduced_px is None:
        return
    has_text = bool(content.text)
    reduced, reduced_tokens = (reduced_px, None), rule.image_tokens(reduced_px)
    beside = BESIDE if has_text else 0.0
    yield _Way("reduced", REDUCED, (reduced,), reduced_tokens, False, "")
    if has_text:
        yield _Way("image_and_text", REDUCED + BESIDE, (reduced,), reduced_tokens, True, "")
    full_px = _drawing(image, width_pt, height_pt, round(FULL_PX_PER_PT * max(width_pt, height_pt)))
    if full_px is None or _area(full_px) < LARGER_BY * _area(reduced_px):
        return
    full_tokens = rule.image_tokens(full_px)
    yield _Way(
        "image_and_text" if has_text else "image", REDUCED + beside + FULL, ((full_px, None),), full_tokens, has_text, ""
    )
    clip = _clip(content, focus) if focus else None
    if clip is not None:
        crop_px = _drawing(image, clip[2] - clip[0], clip[3] - clip[1], round(FULL_PX_PER_PT * _long_side(clip)))
        if crop_px is not None:
            tokens = reduced_tokens + rule.image_tokens(crop_px)
            yield _Way("crop", REDUCED + beside + CROP, (reduced, (crop_px, clip)), tokens, has_text, "")


def _drawing(image: ImageRule, width_pt: float, height_pt: float, long_side_px: int) -> Size | None:
    """The largest drawing that costs no more than one with that long side; smaller where the model would resize that."""
    size_px = image.size(width_pt, height_pt, long_side_px)
    fitted = image.fit(width_pt, height_pt, image.tokens(*size_px))
    if image.keeps(*size_px) and (fitted is None or _area(fitted) < _area(size_px)):
        return size_px
    return fitted


def _reduced_side(content: PageContent) -> int:
    """The long side, in pixels, at which a page can be read."""
    if len(content.word_boxes) < WORDY:
        return REDUCED_SIDE_PX
    word_pt = float(np.median(content.word_boxes[:, 3] - content.word_boxes[:, 1]))
    legible = min(LEGIBLE_WORD_PX / max(word_pt, 1.0), FULL_PX_PER_PT) * max(content.width_pt, content.height_pt)
    return max(REDUCED_SIDE_PX, round(legible))


def _clip(content: PageContent, focus: Box) -> Box | None:
    """The part of the page around the best passage, or None where that is nearly all of it."""
    across, down = CROP_MARGIN * content.width_pt, CROP_MARGIN * content.height_pt
    x0, y0 = max(0.0, focus[0] - across), max(0.0, focus[1] - down)
    x1, y1 = min(content.width_pt, focus[2] + across), min(content.height_pt, focus[3] + down)
    if x1 <= x0 or y1 <= y0 or (x1 - x0) * (y1 - y0) > LARGEST_CROP * content.width_pt * content.height_pt:
        return None
    return (x0, y0, x1, y1)


def _long_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _area(size_px: Size) -> int:
    return size_px[0] * size_px[1]
