"""What a document calls itself: the largest words of its first page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from docrag.pipelines.extract.candidates import Candidate, Support
from docrag.pipelines.extract.page_view import PageView
from docrag.pipelines.question_type import Asked

_LONGEST = 30  # words of a title
_SAME_SIZE = 0.85  # of the largest word's height


def title_candidates(asked: Asked, weights: Mapping[str, float], view: PageView) -> Iterator[Candidate]:
    """The document's title, where the question asks for it and its first page is among the evidence."""
    if asked.kind != "title" or view.evidence.content.page.page_index != 0 or not view.words:
        return
    boxes = view.evidence.content.word_boxes
    heights = boxes[:, 3] - boxes[:, 1]
    letters = np.array([len(word) > 1 for word in view.words])
    if not letters.any():
        return
    large = np.flatnonzero(heights >= _SAME_SIZE * heights[letters].max())
    run = large[: int(np.argmax(np.diff(large, append=large[-1] + 2) > 1)) + 1]
    if len(run) <= _LONGEST:
        words = tuple(int(number) for number in run)
        title = view.text(words[0], words[-1] + 1)
        yield Candidate(title, view, words, words, "pair", Support(1.0, 1.0, 0.0, ""), 1.0)
