"""Draws docs/heatmap.png: `docrag show --question` on a page of the demo library, without a trained visual model.

    python -m bench.heatmap_picture [--out docs/heatmap.png]

No trained ColPali-family model can be had where docrag is built. So the patches get stand-in vectors: the sum of MiniLM's
vectors of the words that are printed there, and next to nothing where none are. They are stored, read back, compared with the
vectors of the question's words and drawn by the code that a real model's vectors go through. A trained model sees shapes too.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import docrag
from docrag.demo.library import make_library
from docrag.index.pooling import pool_page
from docrag.index.records import LaneFingerprint
from docrag.index.visual_encoder import QuestionVectors
from docrag.pipelines.heatmap import draw_heatmap, make_heatmap
from docrag.types import PageContent
from docrag.visual import PageVisual, PatchBlock, PatchLayout

QUESTION = "operating profit of the Town Water segment in 2025"
ROWS, COLUMNS, DIM = 30, 22, 384


class WordStates:
    """MiniLM of each word: a stand-in for an encoder of page images."""

    def __init__(self) -> None:
        from docrag.index.encoders import MiniLM

        self._encoder = MiniLM("float32")

    def encode_question(self, question: str) -> QuestionVectors:
        words = tuple(question.split())
        return QuestionVectors(self.encode_words(words), words)

    def encode_words(self, words: tuple[str, ...]) -> NDArray[np.float32]:
        """float32 [n_words, 384]: each word by itself, for a page's words stand in no order that a sentence would."""
        return self._encoder.encode(words)


def look(content: PageContent, states: WordStates) -> PageVisual:
    words = content.text.split()
    vectors = states.encode_words(tuple(words))
    patches = np.full((ROWS, COLUMNS, DIM), 1e-4, np.float32)
    for (x0, y0, x1, y1), vector in zip(content.word_boxes, vectors, strict=True):
        row = min(int((y0 + y1) / 2 / content.height_pt * ROWS), ROWS - 1)
        first, last = (min(int(x / content.width_pt * COLUMNS), COLUMNS - 1) for x in (x0, x1))
        patches[row, first : last + 1] += vector
    norms = np.linalg.norm(patches, axis=2, keepdims=True)
    flat = np.where(norms > 0.1, patches / norms, patches).reshape(-1, DIM).astype(np.float16)
    blocks = (PatchBlock(0, ROWS, COLUMNS, (0.0, 0.0, 1.0, 1.0)),)
    layout = PatchLayout((28 * COLUMNS, 28 * ROWS), 28 * COLUMNS / content.width_pt, blocks)
    return PageVisual(content.page, flat, pool_page(flat, blocks), layout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="docs/heatmap.png")
    out = Path(parser.parse_args().out)
    states = WordStates()
    with tempfile.TemporaryDirectory() as folder, docrag.open(Path(folder) / "index") as library:
        library.ingest(make_library(Path(folder) / "pdfs"))
        best = library.search(QUESTION, k=1)[0]
        content = library.page(best.name, best.page.page_number)
        lane = LaneFingerprint("visual", "words by MiniLM", "1", settings={"pooling": "rows_columns", "quantization": "none"})
        library.index.add_visual(lane, "words", DIM, ROWS * COLUMNS)
        library.index.write_visual([look(content, states)])
        picture = library.page_image(best.name, best.page.page_number, long_side_px=1100)
        out.write_bytes(draw_heatmap(picture, make_heatmap(library.index, states, content, QUESTION)))
    print(out)


if __name__ == "__main__":
    main()
