"""The pictures: colour where a word's patches are, the citation's box around them, and what is said below."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from docrag.pipelines.heatmap import COLUMNS, MAX_WORDS, WORD_WIDTH_PX, Heatmap, draw_heatmap, draw_words
from docrag.pipelines.patches import box_of, map_words
from docrag.visual import PatchLayout
from tests.pipelines.looking import WHOLE, asked, layout, look

SIZE = (600.0, 800.0)
WIDTH, HEIGHT = 900, 1200
ROWS = (". . . . . .",) * 3 + (". . alpha alpha . .", ". . . . . beta") + (". . . . . .",) * 3
GRID = layout((0, 8, 6, WHOLE))
SQUARE = (300, 450, 600, 600)  # where "alpha" stands, in pixels


def page_png(shade: int = 255, height: int = HEIGHT) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (WIDTH, height), (shade, shade, shade)).save(buffer, "PNG")
    return buffer.getvalue()


def heatmap(words: list[str], rows: tuple[str, ...] = ROWS, grid: PatchLayout = GRID) -> Heatmap:
    maps = map_words(look(rows), grid, asked(words))
    return Heatmap(f"{' '.join(words)}?", maps, box_of(maps, grid, SIZE), SIZE)


def pixels(png: bytes) -> NDArray[np.int16]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.int16)


def test_the_page_is_coloured_where_the_words_are_and_boxed_there() -> None:
    shown = heatmap(["what", "of", "alpha"])
    assert shown.box == (200, 300, 400, 400)
    drawn = pixels(draw_heatmap(page_png(), shown))
    assert drawn.shape[1] == WIDTH
    assert drawn.shape[0] > HEIGHT
    middle, corner = drawn[525, 450], drawn[30, 30]
    assert corner.tolist() == [255, 255, 255]
    assert middle[0] - middle[2] > 80
    blue = (drawn[:HEIGHT, :, 2] - drawn[:HEIGHT, :, 0]) > 150
    rows, columns = np.nonzero(blue)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == pytest.approx(SQUARE, abs=4)


@pytest.mark.parametrize("shade", [255, 128, 0])
def test_what_is_under_the_colour_can_still_be_read(shade: int) -> None:
    plain = io.BytesIO(page_png(shade))
    picture = Image.open(plain).convert("RGB")
    picture.paste((255 - shade if shade != 128 else 0,) * 3, (440, 500, 450, 550))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    drawn = pixels(draw_heatmap(buffer.getvalue(), heatmap(["alpha"])))
    assert np.abs(drawn[525, 445] - drawn[525, 470]).max() > 40


def test_the_question_and_its_telling_words_stand_below() -> None:
    drawn = pixels(draw_heatmap(page_png(), heatmap(["what", "of", "alpha"])))
    below = drawn[HEIGHT:]
    assert (below.min(axis=2) < 90).sum() > 200
    long = pixels(draw_heatmap(page_png(), heatmap(["alpha"] + ["beta", "gamma"] * 60)))
    assert long.shape[0] > drawn.shape[0]


def test_a_sheet_has_a_picture_for_all_words_and_one_for_each_telling_word() -> None:
    sheet = pixels(draw_words(page_png(), heatmap(["what", "alpha", "of", "beta"])))
    gap = WORD_WIDTH_PX // 24
    assert sheet.shape[1] == 3 * (WORD_WIDTH_PX + gap) + gap
    small = WORD_WIDTH_PX / WIDTH

    def at(picture: int, x: float, y: float) -> NDArray[np.int16]:
        return sheet[int(gap + y * small), int(gap + picture * (WORD_WIDTH_PX + gap) + x * small)]

    alpha, beta = (450, 525), (825, 675)
    red = [[int(at(picture, *place)[0] - at(picture, *place)[2]) > 60 for place in (alpha, beta)] for picture in range(3)]
    assert red == [[True, True], [True, False], [False, True]]


def test_words_share_one_scale_so_that_a_word_that_is_nowhere_stays_pale() -> None:
    vectors = look(ROWS)
    vectors[0] = 0.05 * look(("gamma",))[0]
    maps = map_words(vectors, GRID, asked(["alpha", "gamma"]))
    sheet = pixels(draw_words(page_png(), Heatmap("?", maps, None, SIZE)))
    left = 2 * (WORD_WIDTH_PX + WORD_WIDTH_PX // 24) + WORD_WIDTH_PX // 24
    gamma = sheet[WORD_WIDTH_PX // 24 : 560, left : left + WORD_WIDTH_PX]
    assert gamma.min() > 240


def test_a_long_question_shows_the_words_that_are_most_alike_and_says_so() -> None:
    words = [f"word{number}" for number in range(30)] + ["alpha"]
    shown = heatmap(words)
    flat = page_png(height=90)
    sheet = pixels(draw_words(flat, shown))
    assert sheet.shape[1] == COLUMNS * (WORD_WIDTH_PX + WORD_WIDTH_PX // 24) + WORD_WIDTH_PX // 24
    few = pixels(draw_words(flat, heatmap(words[-MAX_WORDS:])))
    assert 0 < sheet.shape[0] - few.shape[0] < 300  # the same rows of pictures, and a line more


@pytest.mark.parametrize("grid", [layout(), layout((0, 1, 1, WHOLE))])
def test_a_page_without_a_best_place_is_drawn_plain(grid: PatchLayout) -> None:
    shown = heatmap(["alpha"], ("alpha",), grid)
    assert shown.box is None
    assert (pixels(draw_heatmap(page_png(200), shown))[:HEIGHT] == 200).all()
    assert pixels(draw_words(page_png(200), shown)).size


def test_a_page_of_one_pixel_can_be_drawn() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (1, 1)).save(buffer, "PNG")
    assert pixels(draw_heatmap(buffer.getvalue(), heatmap(["alpha", "beta"]))).shape[1] >= 1
    assert pixels(draw_words(buffer.getvalue(), heatmap(["alpha", "beta"]))).shape[1] > WORD_WIDTH_PX
