"""The report of one or more runs as one HTML file that needs nothing else: no network, no other file."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from docrag.eval.report.pictures import Pictures
from docrag.eval.report.rows import RANKED_DRAWN, QuestionRow
from docrag.eval.report.script import Styles, script_json, security_policy
from docrag.eval.report.view import Opening, Section, Table

if TYPE_CHECKING:
    from jinja2 import Environment


@dataclass(frozen=True, slots=True)
class Page:
    """All that the template lays out, besides the data of the browser of questions."""

    title: str
    opening: Opening
    sentence: str
    notes: tuple[str, ...]
    sections: tuple[Section, ...]
    config: Table
    titles: Mapping[str, str]  # what groups of questions are called, by the breakdown's key
    questions: int
    runs: int
    picture_note: str


def render(page: Page, names: Sequence[str], rows: Sequence[QuestionRow], pictures: Pictures, styles: Styles) -> str:
    """The whole file. `styles` are those that were lifted out of the page's drawings."""
    style = f"\n{_file('report.css')}{styles.css()}\n"
    script = f"\n{_file('report.js')}"
    data = {"runs": list(names), "titles": dict(page.titles), "drawn": RANKED_DRAWN, "rows": [asdict(row) for row in rows]}
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            page=page,
            policy=security_policy(style, script),
            style=style,
            script=script,
            data=script_json(data),
            pictures=script_json(_pictures_json(pictures)),
        )
    )


def _pictures_json(pictures: Pictures) -> dict[str, Any]:
    """By document and page number: [width, height, base64], and for pages that could not be drawn the reason."""
    drawn: dict[str, dict[int, Any]] = {}
    missing: dict[str, dict[int, str]] = {}
    for (doc_id, number), picture in sorted(pictures.drawn.items()):
        size = round(picture.width_pt, 2), round(picture.height_pt, 2)
        drawn.setdefault(doc_id, {})[number] = [*size, base64.b64encode(picture.webp).decode("ascii")]
    for (doc_id, number), reason in sorted(pictures.missing.items()):
        missing.setdefault(doc_id, {})[number] = reason
    return {"drawn": drawn, "missing": missing, "note": pictures.note}


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    return Environment(
        loader=FunctionLoader(lambda name: _file(f"templates/{name}")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )


def _file(name: str) -> str:
    return resources.files("docrag.eval.report").joinpath(name).read_text(encoding="utf-8")
