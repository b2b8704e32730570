from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from docrag.errors import EnvironmentFault, PdfCrash
from docrag.ingest.ocr import check_tesseract, read_image, tesseract_available
from tests.ingest.hostile import picture_of

pytestmark = pytest.mark.skipif(not tesseract_available(), reason="Tesseract is not installed")
REGION = (100.0, 200.0, 300.0, 300.0)  # points


def grey(text: str) -> Image.Image:
    return Image.open(io.BytesIO(picture_of(text, (1000, 500)))).convert("L")


def test_words_and_boxes_in_points_of_the_page() -> None:
    words = read_image(grey("North 17 South 23"), REGION, "eng", timeout_s=20)
    assert [word.text for word in words] == ["North", "17", "South", "23"]
    for word in words:
        x0, y0, x1, y1 = word.box
        assert 100 < x0 < x1 < 300
        assert 200 < y0 < y1 < 215
        assert 4 < word.size < 8
        assert not word.bold


def test_nothing_to_read() -> None:
    assert read_image(Image.new("L", (300, 200), 255), REGION, "eng", timeout_s=20) == []


def test_failing_tesseract_is_a_pdf_error() -> None:
    with pytest.raises(PdfCrash, match="Tesseract failed"):
        read_image(grey("North"), REGION, "nolanguage", timeout_s=20)


def test_missing_tesseract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not tesseract_available()
    with pytest.raises(EnvironmentFault, match="not installed") as caught:
        check_tesseract("eng")
    assert "apt-get install tesseract-ocr" in caught.value.hint


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("#!/bin/sh\necho no tessdata >&2\nexit 1\n", "no tessdata"),
        ("#!/bin/sh\nexit 139\n", "exit status 139"),
        ("#!/no/sh\n", "No such"),
    ],
)
def test_a_tesseract_that_does_not_work(program: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tesseract").write_text(program)
    (tmp_path / "tesseract").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match=f"Tesseract does not work: .*{said}"):
        check_tesseract("eng")
