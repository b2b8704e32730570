"""Where on a page the patches lie that are like a question's words, on vectors made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docrag.index.visual_encoder import QuestionVectors
from docrag.pipelines.patches import MAX_CELLS, best_box, map_words, patch_grid
from docrag.visual import PatchBlock, PatchLayout
from tests.pipelines.looking import WHOLE, asked, layout, look

PAGE = (600.0, 800.0)
GRID = ("alpha beta . .", ". . . .", "gamma . . delta")
# Two tiles side by side of 2 x 2 patches, then an overview of 2 x 2 over the whole page, behind 3 tokens of a prompt.
TILES = layout((3, 2, 2, (0, 0, 0.5, 1)), (7, 2, 2, (0.5, 0, 1, 1)), (11, 2, 2, WHOLE))


@pytest.mark.parametrize("patch", range(12))
def test_a_question_that_is_one_patchs_vector_lights_that_patch_and_its_box(patch: int) -> None:
    rng = np.random.default_rng(5)
    vectors = np.linalg.qr(rng.normal(size=(16, 16)))[0].astype(np.float16)
    grid = layout((2, 3, 4, WHOLE))
    question = QuestionVectors(vectors[[patch + 2]].astype(np.float32), ("word",))
    maps = map_words(vectors, grid, question)
    assert maps.likeness.shape == (1, 3, 4)
    assert np.unravel_index(maps.likeness[0].argmax(), (3, 4)) == (patch // 4, patch % 4)
    assert best_box(vectors, grid, question, PAGE) == grid.patch_box(patch + 2, *PAGE)


def test_each_word_has_a_map_and_telling_words_count_together() -> None:
    maps = map_words(look(GRID), layout((0, 3, 4, WHOLE)), asked(["", "what", "is", "the", "gamma", "of", "delta"]))
    assert maps.words == ("what", "is", "the", "gamma", "of", "delta")
    assert [maps.words[at] for at in maps.telling] == ["gamma", "delta"]
    assert maps.likeness[3].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert maps.together.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0.5, 0, 0, 0.5]]


def test_the_pieces_of_a_word_are_one_word() -> None:
    question = QuestionVectors(asked(["alpha", "beta", "gamma"]).vectors, ("alphabeta", "alphabeta", "gamma"))
    maps = map_words(look(GRID), layout((0, 3, 4, WHOLE)), question)
    assert maps.words == ("alphabeta", "gamma")
    assert maps.likeness[0, 0].tolist() == [0.5, 0.5, 0, 0]


def test_stop_words_count_where_there_is_nothing_else_and_the_prompt_where_there_is_no_word() -> None:
    grid = layout((0, 3, 4, WHOLE))
    only_stops = map_words(look(GRID), grid, asked(["the", "of"]))
    assert (only_stops.words, only_stops.telling) == (("the", "of"), (0, 1))
    no_words = map_words(look(GRID), grid, QuestionVectors(asked(["alpha", "beta"]).vectors, ("", "")))
    assert (no_words.words, no_words.telling) == (("",), (0,))
    assert no_words.together[0].tolist() == [0.5, 0.5, 0, 0]


def test_tiles_are_shown_and_not_the_overview_of_the_same_place() -> None:
    vectors = look((". .", ". alpha", "beta .", ". .", "alpha alpha", "alpha alpha"), before=3)
    assert patch_grid(TILES).tolist() == [[3, 4, 7, 8], [5, 6, 9, 10]]
    maps = map_words(vectors, TILES, asked(["alpha"]))
    assert maps.likeness[0].tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]
    assert best_box(vectors, TILES, asked(["alpha"]), PAGE) == (150, 400, 300, 800)
    assert best_box(vectors, TILES, asked(["beta"]), PAGE) == (300, 0, 450, 400)


def test_the_overview_is_shown_where_no_tile_is() -> None:
    part = layout((0, 2, 2, (0, 0, 1, 0.5)), (4, 2, 2, WHOLE))
    assert patch_grid(part).tolist() == [[0, 1], [2, 3], [6, 7], [6, 7]]


def test_what_no_patch_shows_has_no_likeness() -> None:
    half = layout((0, 2, 2, (0, 0, 1, 0.5)))
    assert patch_grid(half).tolist() == [[0, 1], [2, 3], [-1, -1], [-1, -1]]
    maps = map_words(look(("alpha .", ". .")), half, asked(["alpha"]))
    assert np.isnan(maps.likeness[0, 2:]).all()
    assert best_box(look(("alpha .", ". .")), half, asked(["alpha"]), PAGE) == (0, 0, 300, 200)


def test_the_box_is_around_the_best_place_alone() -> None:
    rows = ("alpha . . .", ". . . .", ". . alpha alpha", ". . alpha .", ". . . .")
    both = look(rows)
    both[0] *= np.float16(0.9)
    box = best_box(both, layout((0, 5, 4, WHOLE)), asked(["alpha"]), (400.0, 500.0))
    assert box == (200, 200, 400, 400)


def test_where_all_patches_are_alike_there_is_no_best_place() -> None:
    grid = layout((0, 2, 2, WHOLE))
    assert best_box(look((". .", ". .")), grid, asked(["alpha"]), PAGE) is None
    assert best_box(look(("alpha alpha", "alpha alpha")), grid, asked(["alpha"]), PAGE) is None
    assert best_box(look(("alpha",)), layout((0, 1, 1, WHOLE)), asked(["alpha"]), PAGE) is None


def test_a_page_without_patches_has_an_empty_map_and_no_box() -> None:
    vectors = look(("alpha beta",))
    assert patch_grid(layout()).shape == (0, 0)
    assert map_words(vectors, layout(), asked(["alpha"])).likeness.shape == (1, 0, 0)
    assert best_box(vectors, layout(), asked(["alpha"]), PAGE) is None


def test_a_layout_finer_than_any_models_does_not_take_the_memory() -> None:
    thin = PatchLayout((10, 10), 1.0, (PatchBlock(0, 2, 2, (0, 0, 1e-7, 1e-7)), PatchBlock(4, 1, 1, (0.5, 0.5, 0.5, 0.5))))
    assert patch_grid(thin).shape == (MAX_CELLS, MAX_CELLS)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5))
def test_a_single_grid_is_shown_patch_by_patch(rows: int, columns: int, start: int) -> None:
    grid = patch_grid(layout((start, rows, columns, WHOLE)))
    assert grid.tolist() == (start + np.arange(rows * columns)).reshape(rows, columns).tolist()


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 8))
def test_tiles_of_any_number_lie_side_by_side(across: int, down: int, side: int) -> None:
    areas = [(c / across, r / down, (c + 1) / across, (r + 1) / down) for r in range(down) for c in range(across)]
    tiles = layout(*((at * side**2, side, side, area) for at, area in enumerate(areas)))
    grid = patch_grid(tiles)
    assert grid.shape == (down * side, across * side)
    assert sorted(grid.ravel().tolist()) == list(range(down * across * side**2))
    for row, column in ((0, 0), (down * side - 1, across * side - 1)):
        box = tiles.patch_box(int(grid[row, column]), across * side, down * side)
        assert box == pytest.approx((column, row, column + 1, row + 1))
