"""Remakes the pictures of the report that the README shows, from a fresh demo: `python -m bench.report_pictures`.

docs/demo.png is the first screen of the demo's report, docs/report.png its browser of single questions. Needs Chromium.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from bench.common import CHROMIUM
from docrag.demo.flow import run_demo

if TYPE_CHECKING:
    from playwright.sync_api import Page

WIDTH, DEMO_HEIGHT = 1200, 1130
OPENED = "new foundry"  # a part of a question that is answered, with a page found and cited
_MORE = 190  # pixels of the questions that come after it
_COLOURS = 128  # of a picture of a page: half the bytes, and nobody sees it


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", default="docs", help="folder (default: docs)")
    out = Path(parser.parse_args().out)
    with tempfile.TemporaryDirectory() as folder:
        done = run_demo(Path(folder) / "demo", lambda line: print(line, file=sys.stderr))
        for path in take_pictures(done.report, out):
            print(path, path.stat().st_size)


def take_pictures(report: Path, out: Path) -> list[Path]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": DEMO_HEIGHT}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.screenshot(path=out / "demo.png")
        _take_questions(page, out / "report.png")
        browser.close()
    return [_with_fewer_colours(out / name) for name in ("demo.png", "report.png")]


def _take_questions(page: Page, path: Path) -> None:
    """The filters, one question opened, and those after it."""
    item = page.locator("#rows > li", has_text=OPENED)
    item.locator(".ask").click()
    page.evaluate("scrollTo(0, 0)")  # so that boxes are places in the whole page
    section, opened = page.locator("#questions h2").bounding_box(), item.bounding_box()
    if section is None or opened is None:
        raise RuntimeError(f"the report does not show the question with {OPENED!r}")
    top, bottom = section["y"] - 30, opened["y"] + opened["height"] + _MORE
    page.screenshot(path=path, full_page=True, clip={"x": 0, "y": top, "width": WIDTH, "height": bottom - top})


def _with_fewer_colours(path: Path) -> Path:
    Image.open(path).convert("RGB").quantize(_COLOURS).save(path, optimize=True)
    return path


if __name__ == "__main__":
    main()
