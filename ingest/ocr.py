# pyright: basic
# pymupdf and pytesseract have no types
"""Words with boxes from Tesseract."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from statistics import median
from typing import TYPE_CHECKING, Any, cast

from docrag.errors import EnvironmentFault, PdfCrash, UsageError
from docrag.ingest.words import Word, split_word
from docrag.types import Box

if TYPE_CHECKING:
    from PIL.Image import Image

MIN_CONFIDENCE = 30  # of 100; below are specks, lines and logos
_RULES = frozenset("|_=~—–[]{}<>«»\\ ")  # what the lines of a table or frame are read as
_LINE, _WORD = 4, 5  # levels of Tesseract's table
_COLUMNS = ("level", "block_num", "par_num", "left", "top", "width", "height", "conf", "text")
_CONFIG = "--oem 1 --psm 3"
_INSTALL = "install it (Debian: apt-get install tesseract-ocr), or go on without: --ocr never"


def tesseract_available() -> bool:
    """Whether the program `tesseract` is to be found."""
    return shutil.which("tesseract") is not None


def check_tesseract(lang: str) -> None:
    """Raise EnvironmentFault where Tesseract is missing, UsageError where it lacks a language of `lang` ("eng", "deu+fra")."""
    if not tesseract_available():
        raise EnvironmentFault("Tesseract is not installed, and OCR was asked for", _INSTALL)
    installed = installed_languages()
    missing, advice = missing_languages(lang, installed)
    if missing:
        raise UsageError(f"Tesseract has no language {', '.join(missing)}; installed are {', '.join(installed)}", advice)


def missing_languages(lang: str, installed: Sequence[str]) -> tuple[list[str], str]:
    """Those of `lang` ("deu+fra") that are not installed, and how to get them."""
    missing = [name for name in lang.split("+") if name not in installed]
    packages = " ".join(f"tesseract-ocr-{name.replace('_', '-')}" for name in missing)
    return missing, f"Debian: apt-get install {packages}"


def installed_languages() -> list[str]:
    """What the program `tesseract`, which is to be found, can read. Raises EnvironmentFault where it does not run."""
    # Not by pytesseract, which loads pandas: 0.8 s of each command, most of which read no scan.
    try:
        told = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, errors="replace", check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise EnvironmentFault(f"Tesseract does not work: {said.strip().splitlines()[0]}", _INSTALL) from error
    names = (line.strip() for line in told.stdout.splitlines())
    return sorted(name for name in names if name and name != "osd" and ":" not in name)  # the first line is a heading


def read_image(image: Image, region: Box, lang: str, timeout_s: int) -> list[Word]:
    """The words that Tesseract sees in `image`, a grey picture of the box `region` (points) of a page; blocks count from 0.

    Raises PdfCrash where Tesseract fails or takes longer than `timeout_s`.
    """
    import pytesseract

    image.format = "PPM"  # pytesseract would write a PNG for Tesseract to read: most of its own time
    try:
        data = pytesseract.image_to_data(
            image, lang=lang, config=_CONFIG, timeout=timeout_s, output_type=pytesseract.Output.DICT
        )
    except RuntimeError as error:  # TesseractError and the timeout
        raise PdfCrash(f"Tesseract failed: {error}") from error
    return _words(cast(dict[str, list[Any]], data), region, image.size)


def _words(data: dict[str, list[Any]], region: Box, size_px: tuple[int, int]) -> list[Word]:
    x_scale, y_scale = (region[2] - region[0]) / size_px[0], (region[3] - region[1]) / size_px[1]
    blocks: dict[tuple[int, int], int] = {}
    lines: dict[int, list[Word]] = {}
    line = -1
    for level, block, paragraph, left, top, width, height, confidence, text in zip(
        *(data[name] for name in _COLUMNS), strict=True
    ):
        if level == _LINE:
            line += 1
        elif level == _WORD and confidence >= MIN_CONFIDENCE and not _RULES.issuperset(str(text)):
            number = blocks.setdefault((block, paragraph), len(blocks))
            x0, y0 = region[0] + left * x_scale, region[1] + top * y_scale
            box = (x0, y0, x0 + width * x_scale, y0 + height * y_scale)
            lines.setdefault(line, []).extend(split_word(Word(str(text), box, number, line, 0.0, bold=False)))
    return [word._replace(size=size) for words in lines.values() for size in (_font_size(words),) for word in words]


def _font_size(line: Sequence[Word]) -> float:
    """About the size of the font that a line was set in: a word's ink is as high as its letters reach up and down."""
    sizes = [(word.box[3] - word.box[1]) / _reach(word.text) for word in line if any(map(str.isalnum, word.text))]
    return median(sizes) if sizes else line[0].box[3] - line[0].box[1]


def _reach(text: str) -> float:
    """The height of a word's ink as a share of its font's size."""
    up = 0.72 if any(c in "bdfhklt()[]{}|/" or c.isupper() or c.isdigit() for c in text) else 0.52
    return up + (0.22 if any(c in "gjpqy()[]{}|/" for c in text) else 0.0)
