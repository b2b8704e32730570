"""The charts of a report: what stands in them, and that they can stand in a page beside anything else."""

from __future__ import annotations

import io
import math
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from docrag.eval.figures import Breakdown, Curve, Figure
from docrag.eval.published import Beside, PublishedSystem
from docrag.eval.report.charts import (
    WIDTH,
    Chart,
    breakdown_chart,
    gains_chart,
    headline_chart,
    needles_chart,
    recall_at_k_chart,
    recall_at_tokens_chart,
    tradeoff_chart,
)
from docrag.eval.report.drawing import elide, plain, text_width, wrap

NASTY = '<script>alert("x")</script> & $x^2$ \x00\x0b\ud800 -- #fe0110 漢字 and a label that goes on for far too long to fit'
SVG = "{http://www.w3.org/2000/svg}"
VARIABLES = {f"var(--{name})" for name in ("ink", "soft", "grid", "a", "b", "good", "bad")}


def figure(value: float | None, questions: int = 40, documents: int = 20, width: float = 0.06) -> Figure:
    if value is None:
        return Figure(None, None, None, questions, documents)
    return Figure(value, max(0.0, value - width), min(1.0, value + width), questions, documents)


def by_type(*rows: tuple[str, Figure]) -> Breakdown:
    return Breakdown("doc_type", "By type of document", rows)


def published(system: str, accuracy: float, *reasons: str) -> Beside:
    row = PublishedSystem(
        system, None, accuracy, None, None, "a paper", "retrieval", "official three-stage", None, True, "a note"
    )
    return Beside(row, reasons)


GAINS = {
    "accuracy": Figure(0.032, 0.01, 0.052, 90, 20),
    "answerable": Figure(-0.06, -0.09, -0.03, 70, 20),
    "recall@5": Figure(0.0, -0.1, 0.12, 70, 20),
    "f1": Figure(0.02, None, None, 9, 1),
    "unanswerable": Figure(None, None, None, 0),
}
CHARTS = {
    "breakdown": breakdown_chart([("quote", by_type((NASTY, figure(0.452)), ("Guidebook", figure(1.0, documents=4))))]),
    "breakdown of two": breakdown_chart(
        [(NASTY, by_type(("Paper", figure(0.0)), ("Guidebook", figure(None)))), ("b", by_type(("Paper", figure(0.98))))]
    ),
    "headline": headline_chart([(NASTY, figure(0.352))], [published(NASTY, 0.714, "fewer questions"), published("Human", 1.0)]),
    "gains": gains_chart(GAINS, (NASTY, "b")),
    "recall at k": recall_at_k_chart([("a", Curve((1, 3, 5, 10), (0.0, 0.6, 0.7, 1.0)))]),
    "recall at k of two": recall_at_k_chart(
        [("a", Curve((1, 3, 10), (0.4, 0.6, 0.8))), (NASTY, Curve((1, 3, 10), (0.3, 0.6, 0.9)))]
    ),
    "recall at tokens": recall_at_tokens_chart([("a", Curve((0, 300, 90_000), (0, 0.2, 0.9)))]),
    "tradeoff": tradeoff_chart([(NASTY, Curve((0.225,), (0.352,))), ("b", Curve((0.0, 1.0), (1.0, 0.0)))]),
    "needles": needles_chart([[1, 0.5], [None, 0]], ["8k", NASTY], ["0 %", NASTY], ("tokens", NASTY)),
}
each_chart = pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS.keys())


@cache
def svg_of(chart: Chart) -> str:
    return chart.svg("t")


def texts(chart: Chart) -> list[str]:
    """What is written in the picture, without its title and description."""
    return [element.text or "" for element in ElementTree.fromstring(svg_of(chart)).iter(f"{SVG}text")]


def described(chart: Chart) -> str:
    return ElementTree.fromstring(svg_of(chart)).findtext(f"{SVG}desc") or ""


def coordinates(root: ElementTree.Element) -> Iterator[tuple[float, float]]:
    """Of everything drawn; of a text both ends of it."""
    inside_defs = {child for defs in root.iter(f"{SVG}defs") for child in defs.iter()}
    for element in root.iter():
        if element in inside_defs:
            continue
        if element.tag == f"{SVG}path":
            numbers = [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", element.get("d", ""))]
            yield from zip(numbers[::2], numbers[1::2], strict=True)
        elif element.tag == f"{SVG}use":
            yield float(element.get("x", "nan")), float(element.get("y", "nan"))
        elif element.tag == f"{SVG}text":
            x, y = text_origin(element)
            style = element.get("style", "")
            width = text_width(element.text or "", bold="weight: 700" in style)
            start = x - (width if "anchor: end" in style else width / 2 if "anchor: middle" in style else 0)
            yield from ((start, y - 10), (start + width, y + 2))


def text_origin(element: ElementTree.Element) -> tuple[float, float]:
    if moved := re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", element.get("transform", "")):
        return float(moved[1]), float(moved[2])
    return float(element.get("x", "nan")), float(element.get("y", "nan"))


@each_chart
def test_nothing_is_drawn_outside_the_picture(chart: Chart) -> None:
    points = list(coordinates(ElementTree.fromstring(svg_of(chart))))
    assert len(points) > 8
    for x, y in points:
        assert 0 <= x <= WIDTH + 0.5
        assert 0 <= y <= chart.height


@each_chart
def test_a_chart_is_named_scales_and_takes_the_pages_colours(chart: Chart) -> None:
    root = ElementTree.fromstring(svg_of(chart))
    assert root.get("role") == "img"
    assert root.get("viewBox", "").startswith(f"0 0 {WIDTH} ")
    assert root.get("height") is None
    assert root.findtext(f"{SVG}title") == plain(chart.title)
    assert root.get("aria-labelledby") == "t-title t-desc"
    styles = [element.get("style", "") for element in root.iter()]
    painted = {value for style in styles for value in re.findall(r"(?:fill|stroke): ([^;]+)", style)}
    assert {"var(--ink)", "var(--soft)"} <= painted
    assert all(value in VARIABLES or value == "none" or value.startswith("url(#t-") for value in painted)
    assert not any("font-family" in style for style in styles)
    assert not list(root.iter(f"{SVG}style"))
    assert not any(name in element.attrib for element in root.iter() for name in ("fill", "stroke", "color"))


def test_charts_share_a_page_without_sharing_an_id() -> None:
    found: list[str] = []
    for number, chart in enumerate(CHARTS.values()):
        svg = chart.svg(f"c{number}")
        ids = re.findall(r' id="([^"]+)"', svg)
        assert set(re.findall(r"url\(#([^)]+)\)", svg) + re.findall(r'href="#([^"]+)"', svg)) <= set(ids)
        found += ids
    assert len(found) == len(set(found)) > 2 * len(CHARTS)


@each_chart
def test_the_same_chart_gives_the_same_bytes(chart: Chart) -> None:
    assert chart.svg("t") == svg_of(chart)
    assert chart.png(50) == chart.png(50)


@pytest.mark.parametrize("chart", [chart for chart in CHARTS.values() if "<script" in chart.description])
def test_text_from_data_stays_text(chart: Chart) -> None:
    root = ElementTree.fromstring(svg_of(chart))
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {
        *("svg", "title", "desc", "g", "path", "text", "defs", "use", "clipPath", "rect", "pattern")
    }
    assert "& $x^2$ -- #fe0110 漢字 and" in plain(NASTY)
    assert plain(NASTY) in plain(chart.title) + described(chart)
    assert any("<script" in text for text in texts(chart))


def test_what_is_elided_is_told_in_full() -> None:
    root = ElementTree.fromstring(CHARTS["breakdown"].svg("t"))
    elided = [group for group in root.iter(f"{SVG}g") if group.find(f"{SVG}title") is not None]
    assert [group.findtext(f"{SVG}title") for group in elided] == [plain(NASTY)]
    shown = elided[0].findtext(f"{SVG}text") or ""
    assert shown.startswith('<script>alert("x")')
    assert shown.endswith("…")


def test_formulas_are_not_typeset() -> None:
    chart = breakdown_chart([("quote", by_type(("$x^2$", figure(0.5)), (r"$\frac{", figure(0.5))))])
    assert {"$x^2$", r"$\frac{"} <= set(texts(chart))
    assert chart.png(50).startswith(b"\x89PNG")


@each_chart
def test_png_has_the_size_asked_for_and_nothing_is_cut(chart: Chart) -> None:
    picture = Image.open(io.BytesIO(chart.png(200)))
    assert picture.size == (int(WIDTH * 200 / 72), int(chart.height * 200 / 72))
    pixels = np.asarray(picture.convert("RGB"))
    assert (pixels[0, 0] == 255).all()
    assert pixels.min() < 100
    edges = np.concatenate([pixels[:2].reshape(-1, 3), pixels[-2:].reshape(-1, 3), pixels[:, :2].reshape(-1, 3)])
    assert (edges == 255).all()


def test_breakdown_shows_every_value_and_leaves_out_groups_without_questions() -> None:
    rows = (
        ("Paper", figure(0.4521, 1234)),
        ("Guide", figure(None, 3, 2)),
        ("Empty", figure(None, 0, 0)),
        ("One", Figure(1.0, None, None, 1, 1)),
    )
    chart = breakdown_chart([("quote", by_type(*rows))])
    assert texts(chart)[: -len(("0 %", "50 %", "100 %"))] == [
        *("n = 1,234", "Paper", "45.2", "n = 3 in 2 docs", "Guide", "no figure", "n = 1 in 1 doc", "One", "100.0")
    ]
    assert "Paper: 45.2 % (95 % interval 39.2 to 51.2; 1,234 questions)" in described(chart)
    assert "One: 100.0 % (no interval; 1 question)" in described(chart)
    assert "nan" not in svg_of(chart).lower()


def test_breakdown_of_two_runs_pairs_them_by_group() -> None:
    first = by_type(("Paper", figure(0.4)), ("Guide", figure(0.5)))
    chart = breakdown_chart([("a", first), ("b", by_type(("Guide", figure(0.7)), ("Other", figure(0.1))))])
    assert "Paper: a 40.0 %" in described(chart)
    assert "Guide: a 50.0 % (95 % interval 44.0 to 56.0; 40 questions); b 70.0 %" in described(chart)
    assert "Other: a no figure; b 10.0 %" in described(chart)
    assert {"40.0", "50.0", "70.0", "10.0"} <= set(texts(chart))
    assert texts(chart).count("no figure") == 2
    assert {"var(--a)", "var(--b)"} <= set(re.findall(r"var\(--\w+\)", svg_of(chart)))


def test_headline_ranks_runs_among_the_published() -> None:
    systems = [published("Low", 0.206), published("High", 0.714, "fewer questions")]
    chart = headline_chart([("mine", figure(0.352))], systems)
    values = [text for text in texts(chart) if re.fullmatch(r"\d+\.\d", text)]
    assert values == ["71.4", "35.2", "20.6"]
    assert "High: 71.4 % (not comparable)" in described(chart)
    assert "Low: 20.6 %." in described(chart)
    hollow = "fill-opacity: 0; stroke: var(--soft)"
    without = headline_chart([("mine", figure(0.352))], systems[:1])
    assert svg_of(chart).count(hollow) > svg_of(without).count(hollow)
    assert "no figure" in texts(headline_chart([("mine", figure(None))], []))
    assert texts(headline_chart([("mine", figure(0.9))], []))[2:7] == ["0", "25", "50", "75", "100 %"]  # "80" would touch


def test_gains_are_in_points_with_a_sign_and_coloured_only_where_certain() -> None:
    chart = CHARTS["gains"]
    assert [text for text in texts(chart) if re.fullmatch(r"[+−]?\d+\.\d", text)] == ["+3.2", "−6.0", "0.0", "+2.0"]
    assert "On answerable questions: −6.0 points (95 % interval −9.0 to −3.0; 70 questions)" in described(chart)
    assert "UNA" not in described(chart)
    uncertain = gains_chart({"recall@5": GAINS["recall@5"]}, ("a", "b")).svg("t")
    assert uncertain.count("var(--a)") == uncertain.count("var(--b)") == 1  # in the legend alone


def test_recall_is_written_at_each_k() -> None:
    chart = recall_at_k_chart([("a", Curve((1, 3, 5, 10), (0.432, 0.641, 0.711, 0.824)))])
    assert {"43.2", "64.1", "71.1", "82.4", "1", "3", "5", "10"} <= set(texts(chart))
    assert described(chart) == "a: 43.2 % at k = 1, 64.1 % at k = 3, 71.1 % at k = 5, 82.4 % at k = 10."


def test_a_long_curve_is_labelled_at_a_few_points() -> None:
    tokens = tuple(200.0 * 1.1**step for step in range(60))
    chart = recall_at_tokens_chart([("a", Curve(tokens, tuple(step / 59 for step in range(60))))])
    assert {"0.0", "100.0", "1k", "10k"} <= set(texts(chart))
    assert len([text for text in texts(chart) if re.fullmatch(r"\d+\.\d", text)]) == 5


def test_a_curve_over_many_k_is_labelled_at_round_ones() -> None:
    chart = recall_at_k_chart([("a", Curve(tuple(range(1, 21)), tuple(k / 20 for k in range(1, 21))))])
    assert described(chart) == "a: 5.0 % at k = 1, 25.0 % at k = 5, 50.0 % at k = 10, 100.0 % at k = 20."


def test_the_run_itself_is_marked_on_its_tradeoff() -> None:
    chart = tradeoff_chart([("quote", Curve((0.225,), (0.352,)))])
    assert "22.5 refused, 35.2 right" in texts(chart)
    assert "quote refuses 22.5 % of the unanswerable questions and scores 35.2 % on the others" in described(chart)


def test_needles_write_each_cell_and_hatch_those_not_asked() -> None:
    chart = needles_chart([[1.0, 0.333], [None, 0.0]], ["8k", "32k"], ["start", "end"], ("tokens", "depth"))
    assert {"100", "33", "0", "8k", "32k", "start", "end"} <= set(texts(chart))
    assert described(chart) == "tokens 8k: start 100 %, end 33 %. tokens 32k: start not asked, end 0 %."
    assert svg_of(chart).count("<pattern") == 1


NAN = Figure(math.nan, None, None, 3, 2)
BAD = {
    "no run": lambda: breakdown_chart([]),
    "three runs": lambda: breakdown_chart([("a", by_type(("Paper", figure(0.5))))] * 3),
    "no group": lambda: breakdown_chart([("a", by_type(("Paper", figure(None, 0))))]),
    "NaN": lambda: breakdown_chart([("a", by_type(("Paper", NAN)))]),
    "a percentage": lambda: breakdown_chart([("a", by_type(("Paper", Figure(45.2, None, None, 3))))]),
    "headline of none": lambda: headline_chart([], []),
    "headline NaN": lambda: headline_chart([("a", NAN)], []),
    "gains of none": lambda: gains_chart({"accuracy": figure(None)}, ("a", "b")),
    "gains NaN": lambda: gains_chart({"accuracy": NAN}, ("a", "b")),
    "curve of none": lambda: recall_at_k_chart([("a", Curve((), ()))]),
    "curve NaN": lambda: recall_at_tokens_chart([("a", Curve((1.0, math.nan), (0.5, 0.5)))]),
    "curve over 1": lambda: recall_at_k_chart([("a", Curve((1,), (1.5,)))]),
    "only at no tokens": lambda: recall_at_tokens_chart([("a", Curve((0,), (0.5,)))]),
    "tradeoff over 1": lambda: tradeoff_chart([("a", Curve((1.5,), (0.5,)))]),
    "tradeoff of none": lambda: tradeoff_chart([("a", Curve((), ()))]),
    "needles of none": lambda: needles_chart([], [], [], ("a", "b")),
    "uneven needles": lambda: needles_chart([[0.5]], ["8k"], ["0", "1"], ("a", "b")),
    "needles NaN": lambda: needles_chart([[math.nan]], ["8k"], ["0"], ("a", "b")),
    "wide needles": lambda: needles_chart([[0.5] * 9], ["8k"], ["0"] * 9, ("a", "b")),
    "prefix": lambda: CHARTS["gains"].svg('"><script>'),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
def test_what_can_not_be_drawn_is_an_error_that_says_why(make: Any) -> None:
    with pytest.raises(ValueError, match=r"got|nothing to|no run|one or two|not 1 rows|fraction"):
        make()


def test_elide_and_wrap_keep_within_the_width() -> None:
    assert elide("short", 200) == "short"
    assert text_width(elide("word " * 4000, 100)) <= 100
    assert wrap("one two three", 60) == ("one two", "three")
    assert len(wrap("a " * 100, 60)) == 2
    assert wrap("", 60) == ("",)
    assert plain(" a\n\tb\x07\u202e ") == "a b"


def test_the_users_own_settings_neither_show_nor_change() -> None:
    import matplotlib

    chart = CHARTS["gains"]
    usual = svg_of(chart)
    with warnings.catch_warnings(), matplotlib.rc_context({"font.size": 40, "svg.fonttype": "path", "text.usetex": True}):
        warnings.simplefilter("error")
        assert chart.svg("t") == usual
        assert matplotlib.rcParams["text.usetex"] is True


def test_charts_load_matplotlib_only_to_draw_and_pyplot_never() -> None:
    code = (
        "import sys; from docrag.eval.report import charts; from docrag.eval.figures import Curve\n"
        "loaded = 'matplotlib' in sys.modules\n"
        "charts.tradeoff_chart([('a', Curve((0.5,), (0.5,)))]).svg('t')\n"
        "sys.exit(10 * loaded + ('matplotlib.pyplot' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
