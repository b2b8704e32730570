"""Lay evidence pages out as one interleaved context, in reading order and within a budget of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from docrag.errors import UsageError
from docrag.types import Context, ContextPart, Evidence

CountTokens = Callable[[str], int]
"""What a text costs the reader, by its own rule."""

ImageRule = Callable[[float, float], tuple[tuple[int, int], int]]
"""Page width and height in points -> ((width, height) in pixels, cost in tokens) of its image."""


def build_context(
    evidence: Sequence[Evidence],
    budget: int,
    count_tokens: CountTokens,
    image_rule: ImageRule | None = None,
) -> Context:
    """Evidence as parts: documents by their best page's score, pages in order, each behind its marker.

    Over `budget`, the lowest-scored pages go first, whole; a page that alone is over it leaves the context empty. A page given
    twice is shown once, by its better score. Raises UsageError on a budget below 1, or on an image without an `image_rule`.
    """
    if budget < 1:
        raise UsageError(f"a context has a budget of at least 1 token, got {budget}")
    kept: list[tuple[Evidence, tuple[ContextPart, ...]]] = []
    spent = 0
    for item in _best_first(evidence):
        parts = _parts(item, count_tokens, image_rule)
        spent += sum(part.tokens for part in parts)
        if spent > budget:
            break
        kept.append((item, parts))
    ordered = _reading_order(kept)
    return Context(
        parts=tuple(part for _, parts in ordered for part in parts),
        evidence=tuple(item for item, _ in ordered),
        budget=budget,
    )


def _best_first(evidence: Sequence[Evidence]) -> list[Evidence]:
    best: dict[str, Evidence] = {}
    for item in sorted(evidence, key=lambda item: -item.score):
        best.setdefault(item.content.page.point_id, item)
    return list(best.values())


def _reading_order(
    kept: list[tuple[Evidence, tuple[ContextPart, ...]]],
) -> list[tuple[Evidence, tuple[ContextPart, ...]]]:
    place: dict[str, int] = {}
    for item, _ in kept:
        place.setdefault(item.content.page.document.sha256, len(place))
    return sorted(kept, key=lambda pair: (place[pair[0].content.page.document.sha256], pair[0].content.page.page_index))


def _parts(item: Evidence, count_tokens: CountTokens, image_rule: ImageRule | None) -> tuple[ContextPart, ...]:
    number = item.content.page.page_number
    marker = page_marker(item)
    head = ContextPart("marker", item.name, number, count_tokens(marker), marker)
    if item.shown == "text":
        text = item.content.text
        return (head, ContextPart("text", item.name, number, count_tokens(text), text)) if text else (head,)
    if image_rule is None:
        raise UsageError(f"page {number} is to be shown as an {item.shown}, but this reader has no rule for the size of images")
    size_px, tokens = image_rule(item.content.width_pt, item.content.height_pt)
    return (head, ContextPart("image", item.name, number, tokens, image_size_px=size_px))


def page_marker(item: Evidence) -> str:
    """The line that stands before a page: document, page number, and the printed number where that is another."""
    page = item.content.page
    printed = page.page_label or item.content.printed_number
    label = f", printed {printed}" if printed and printed != str(page.page_number) else ""
    return f"[{item.name}, page {page.page_number} of {page.document.pages}{label}]"
