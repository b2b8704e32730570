"""Draw the images of a context: in parallel, in guarded child processes, at exactly the sizes that were counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from docrag.errors import DocragError, PdfError
from docrag.index.library_index import LibraryIndex
from docrag.ingest.guard import GuardedPool
from docrag.ingest.render import render_jpeg
from docrag.pipelines.tokens import CountTokens
from docrag.types import Box, Context, ContextPart, Evidence, Failure


@dataclass(frozen=True, slots=True)
class Drawn:
    """A context with its pixels: `images` has a JPEG for each image part of `context.parts`, None for the others.

    What could not be drawn is in `failures`, and its part of the context is text.
    """

    context: Context
    images: tuple[bytes | None, ...]
    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class _Task:
    """One image to draw: the part's place in the context, and what `render_jpeg` takes."""

    place: int
    path: str
    page_index: int
    size_px: tuple[int, int]
    password: str | None
    clip: Box | None


def draw_parts(
    index: LibraryIndex, context: Context, pool: GuardedPool, count_text: CountTokens, password: str | None = None
) -> Drawn:
    """Draw all image parts of `context`; one that can't be drawn becomes the page's text, as far as the tokens allow.

    `count_text` is that of the context's own rule. A PDF that is gone or damaged is no error here, but in `failures`.
    """
    pages = {(item.name, item.content.page.page_number): item for item in context.evidence}
    images: dict[int, bytes] = {}
    failed: dict[int, DocragError] = {}
    tasks: list[_Task] = []
    for place, part in enumerate(context.parts):
        if part.kind == "image" and part.image_size_px is not None:
            page = pages[part.document, part.page_number].content.page
            try:
                path = str(index.blobs.path(page.document.sha256))
            except DocragError as error:
                failed[place] = error
                continue
            tasks.append(_Task(place, path, page.page_index, part.image_size_px, password, part.clip))
    for task, outcome in pool.map(_draw, tasks):
        if isinstance(outcome, PdfError):
            failed[task.place] = outcome
        else:
            images[task.place] = outcome
    return _drawn(context, pages, images, failed, count_text)


def _draw(task: _Task) -> bytes:
    return render_jpeg(task.path, task.page_index, task.size_px, task.password, task.clip)


def _drawn(
    context: Context,
    pages: Mapping[tuple[str, int], Evidence],
    images: Mapping[int, bytes],
    failed: Mapping[int, DocragError],
    count_text: CountTokens,
) -> Drawn:
    if not failed:
        return Drawn(context, tuple(images.get(place) for place in range(len(context.parts))), ())
    parts: list[ContextPart] = []
    kept: list[bytes | None] = []
    reasons = {(context.parts[place].document, context.parts[place].page_number): error for place, error in failed.items()}
    with_text = {(part.document, part.page_number) for part in context.parts if part.kind == "text"}
    for place, part in enumerate(context.parts):
        key = part.document, part.page_number
        made: ContextPart | None = part
        if place in failed:
            made = None if key in with_text else _text_instead(part, pages[key], failed[place], count_text)
            with_text.add(key)  # of an overview and a crop that both failed, one is replaced
        elif part.kind == "text" and key in reasons:
            made = replace(part, why=f"its text; {_reason(reasons[key])}")
        if made is not None:
            parts.append(made)
            kept.append(images.get(place))
    failures = tuple(_failure(context.parts[place], error) for place, error in sorted(failed.items()))
    evidence = _shown(context.evidence, parts)
    return Drawn(replace(context, parts=tuple(parts), evidence=evidence), tuple(kept), failures)


def _text_instead(part: ContextPart, item: Evidence, error: DocragError, count_text: CountTokens) -> ContextPart | None:
    """The page's text within the tokens that its image was to take, or None where it has none."""
    text, tokens = cut_text(item.content.text, part.tokens, count_text)
    if not text:
        return None
    cut = "" if text == item.content.text else "the beginning of "
    why = f"{cut}its text; {_reason(error)}"
    return ContextPart("text", part.document, part.page_number, tokens, text, why=why)


def _reason(error: DocragError) -> str:
    return f"the page could not be drawn: {error.message}"


def cut_text(text: str, max_tokens: int, count_text: CountTokens) -> tuple[str, int]:
    """The longest beginning of `text`, in whole lines or else words, found to be within `max_tokens`, and its tokens."""
    tokens = count_text(text) if text else 0
    while tokens > max_tokens:
        length = min(int(len(text) * max_tokens / tokens), len(text) - 1)
        text = text[: max(text.rfind("\n", length // 2, length), text.rfind(" ", length // 2, length), 0)]
        tokens = count_text(text) if text else 0
    return text, tokens


def _shown(evidence: Sequence[Evidence], parts: Sequence[ContextPart]) -> tuple[Evidence, ...]:
    """The evidence, with pages that have lost all their images said to be shown as text."""
    with_image = {(part.document, part.page_number) for part in parts if part.kind == "image"}
    return tuple(
        item if (item.name, item.content.page.page_number) in with_image else replace(item, shown="text") for item in evidence
    )


def _failure(part: ContextPart, error: DocragError) -> Failure:
    lacked = error.lacked if isinstance(error, PdfError) else "nothing"
    kind = type(error).__name__
    return Failure(part.document, "draw", kind, error.message, error.hint, part.page_number, lacked)
