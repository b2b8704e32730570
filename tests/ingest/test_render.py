from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from docrag.errors import PdfPassword, PdfUnreadable
from docrag.ingest.render import render_page, render_pixels
from tests.ingest import hostile


def image(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_long_side(tmp_path: Path) -> None:
    path = str(hostile.text_pdf(tmp_path / "a.pdf", ["hello"], size=(400, 800)))
    picture = image(render_page(path, 0, 1000))
    assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (500, 1000))
    assert picture.convert("L").getextrema()[0] < 50


def test_rotated_page_is_upright(tmp_path: Path) -> None:
    path = str(hostile.text_pdf(tmp_path / "a.pdf", ["hello"], size=(400, 800), rotation=90))
    assert image(render_page(path, 0, 1000)).size == (1000, 500)


def test_clip_is_enlarged(tmp_path: Path) -> None:
    path = str(hostile.text_pdf(tmp_path / "a.pdf", ["hello"], size=(400, 800)))
    words = image(render_page(path, 0, 600, clip=(38, 40, 98, 55)))
    assert words.size == (600, 150)
    assert words.convert("L").getextrema() == (0, 255)
    assert image(render_page(path, 0, 600, clip=(200, 400, 300, 500))).convert("L").getextrema() == (255, 255)


def test_huge_page_stays_under_the_limit_of_pixels(tmp_path: Path) -> None:
    path = str(hostile.raw_pdf(tmp_path / "a.pdf", ["/MediaBox [0 0 14400 14400]"]))
    width, height = image(render_page(path, 0, 30_000, max_pixels=1_000_000)).size
    assert 950_000 < width * height <= 1_000_000


def test_thin_page_stays_under_the_limit_of_pixels(tmp_path: Path) -> None:
    path = str(hostile.raw_pdf(tmp_path / "a.pdf", ["/MediaBox [0 0 14400 1]"]))
    width, height = image(render_page(path, 0, 14_400, max_pixels=10_000)).size
    assert width * height <= 10_000


def test_bad_requests(tmp_path: Path) -> None:
    path = str(hostile.text_pdf(tmp_path / "a.pdf", ["hello"]))
    with pytest.raises(PdfUnreadable, match="no page 2: it has 1"):
        render_page(path, 1, 100)
    with pytest.raises(PdfUnreadable, match="nothing of the page is inside"):
        render_page(path, 0, 100, clip=(1000, 0, 1100, 50))


def test_password(tmp_path: Path) -> None:
    path = str(hostile.encrypted_pdf(tmp_path / "a.pdf", "secret", "swordfish"))
    with pytest.raises(PdfPassword):
        render_page(path, 0, 100)
    assert image(render_page(path, 0, 100, password="swordfish")).size[1] == 100


def test_pixels_have_exactly_the_size_asked_for(tmp_path: Path) -> None:
    path = str(hostile.text_pdf(tmp_path / "a.pdf", ["hello"], size=(612.3, 791.7)))
    for size in ((532, 728), (448, 448), (28, 28), (1, 1), (1036, 1400)):
        pixels = render_pixels(path, 0, size)
        assert (pixels.dtype, pixels.shape) == (np.uint8, (size[1], size[0], 3))
    assert pixels.min() < 50 < 250 < pixels.max()


def test_pixels_agree_with_the_picture(tmp_path: Path) -> None:
    path = str(hostile.text_pdf(tmp_path / "a.pdf", ["hello"], size=(400, 800), rotation=90))
    picture = np.asarray(image(render_page(path, 0, 800)))
    assert np.array_equal(render_pixels(path, 0, (800, 400)), picture)


def test_pixels_of_no_page(tmp_path: Path) -> None:
    path = str(hostile.text_pdf(tmp_path / "a.pdf", ["hello"]))
    with pytest.raises(PdfUnreadable, match="it has no page 2: it has 1"):
        render_pixels(path, 1, (28, 28))
