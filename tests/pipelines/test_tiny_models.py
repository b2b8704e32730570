"""The two tiny models of real architectures, through encoder, store and search to the picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from docrag.errors import UsageError
from docrag.index.pooling import maxsim, pool_page
from docrag.index.store import VISUAL
from docrag.index.visual_encoder import ImageVectors, VisualEncoder
from docrag.index.visual_models import open_visual
from docrag.pipelines import query_plan
from docrag.pipelines.heatmap import make_heatmap, show_heatmap
from docrag.pipelines.patches import patch_grid
from docrag.pipelines.retrieve import rank_pages
from docrag.testing import HashEncoder
from docrag.types import PageRef
from docrag.visual import PageVisual, PatchLayout
from tests.pipelines.looking import SIZE_PT, Shelf

pytestmark = pytest.mark.usefixtures("one_thread")
QUESTION = "How many boats left the old harbour?"
TEXTS = ("The harbour is old.", "It sold boats.", "The sea was calm.")


@dataclass(frozen=True)
class Seen:
    shelf: Shelf
    encoder: VisualEncoder
    vectors: dict[str, ImageVectors]


def _drawn(text: str, size_px: tuple[int, int]) -> Image.Image:
    picture = Image.new("RGB", size_px, "white")
    ImageDraw.Draw(picture).text((4, size_px[1] // 3), text, fill="black")
    return picture


@pytest.fixture(scope="module", params=["colqwen", "colidefics"])
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Three pages, drawn, encoded and written."""
    encoder = open_visual(str(request.getfixturevalue(request.param)), "cpu", "float32")
    size_px = encoder.image_size_px(*SIZE_PT)
    looks = encoder.encode_images([np.asarray(_drawn(text, size_px)) for text in TEXTS])
    shelf = Shelf(":memory:", Path(tmp_path_factory.mktemp("blobs")))
    with shelf.index:
        document = shelf.put("harbour.pdf", [(text, "") for text in TEXTS])
        lane = replace(encoder.fingerprint, settings={**encoder.fingerprint.settings, "quantization": "none"})
        shelf.index.add_visual(lane, "tiny", encoder.dim, encoder.max_vectors)
        vectors: dict[str, ImageVectors] = {}
        for at, look in enumerate(looks):
            assert isinstance(look, ImageVectors)
            page = PageRef(document, at)
            layout = PatchLayout(size_px, size_px[0] / SIZE_PT[0], look.blocks)
            shelf.index.write_visual([PageVisual(page, look.vectors, pool_page(look.vectors, look.blocks), layout)])
            vectors[page.point_id] = look
        shelf.index.commit_visual(document.sha256)
        yield Seen(shelf, encoder, vectors)


@pytest.mark.parametrize("stages", [1, 2])
def test_a_search_scores_pages_by_maxsim(seen: Seen, stages: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_plan, "EXACT_PAGES", 1 if stages == 2 else 3)
    ranking = rank_pages(seen.shelf.index, HashEncoder(), QUESTION, visual=seen.encoder)
    assert (ranking.plan.queries[-1].query.prefetch is not None) == (stages == 2)
    question = seen.encoder.encode_question(QUESTION)
    told = {page.id: page.lanes[VISUAL].score for page in ranking.pages}
    assert told == {id_: pytest.approx(maxsim(question.vectors, look.vectors), abs=1e-3) for id_, look in seen.vectors.items()}


def test_the_heatmap_shows_every_place_of_the_page_and_the_questions_words(seen: Seen) -> None:
    index = seen.shelf.index
    (content,) = index.page_contents([next(iter(seen.vectors))])
    heatmap = make_heatmap(index, seen.encoder, content, QUESTION)
    assert heatmap.maps.words == ("How", "many", "boats", "left", "the", "old", "harbour")
    assert [heatmap.maps.words[at] for at in heatmap.maps.telling] == ["boats", "left", "old", "harbour"]
    blocks = seen.vectors[content.page.point_id].blocks
    grid = patch_grid(PatchLayout((1, 1), 1.0, blocks))
    finest = blocks if len(blocks) == 1 else blocks[:-1]
    assert sorted(set(grid.ravel().tolist())) == sorted(at for block in finest for at in range(block.start, block.stop))
    assert np.isfinite(heatmap.maps.likeness).all()
    assert heatmap.box is not None
    x0, y0, x1, y1 = heatmap.box
    assert 0 <= x0 < x1 <= SIZE_PT[0] + 1e-6
    assert 0 <= y0 < y1 <= SIZE_PT[1] + 1e-6


@pytest.mark.parametrize("by_word", [False, True])
def test_the_heatmap_is_drawn_on_the_page(seen: Seen, by_word: bool) -> None:
    index = seen.shelf.index
    (content,) = index.page_contents([next(iter(seen.vectors))])
    buffer = io.BytesIO()
    _drawn("The harbour is old.", (300, 400)).save(buffer, "PNG")
    drawn = Image.open(io.BytesIO(show_heatmap(index, seen.encoder, content, QUESTION, buffer.getvalue(), by_word)))
    assert drawn.width > 300
    assert drawn.height > 400
    colours = drawn.convert("RGB").getcolors(drawn.width * drawn.height)
    assert len(colours or ()) > 100


def test_what_cannot_be_shown_is_said(seen: Seen, tmp_path: Path) -> None:
    (content,) = seen.shelf.index.page_contents([next(iter(seen.vectors))])
    with pytest.raises(UsageError, match="the question is empty"):
        show_heatmap(seen.shelf.index, seen.encoder, content, "  \n", b"")
    bare = Shelf(":memory:", tmp_path)
    with bare.index:
        page = PageRef(bare.put("harbour.pdf", [("The harbour.", "")]), 0)
        (content,) = bare.index.page_contents([page.point_id])
        with pytest.raises(UsageError, match="page 1 has no visual vectors"):
            show_heatmap(bare.index, seen.encoder, content, "boats", b"")
