"""`write_report`: what the demo asked and what became of it, as one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

from docrag.types import NOT_ANSWERABLE, Answer, Box, Citation, Hit

_PNG = b"\x89PNG\r\n\x1a\n"
_PADDING_PT = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class DemoAnswer:
    """A question that was asked, its answer, and pictures of what it rests on.

    `page_png` shows the page of the answer's first citation; `page_size_pt` is (width, height) of that page, by which the
    citations' boxes are placed. `thumbs` are other pages that were found: (caption, PNG bytes). `expected` is None where no
    right answer is known.
    """

    question: str
    answer: Answer
    expected: str | None = None
    page_png: bytes | None = None
    page_size_pt: tuple[float, float] | None = None
    thumbs: tuple[tuple[str, bytes], ...] = ()

    def __post_init__(self) -> None:
        if (self.page_png is None) != (self.page_size_pt is None):
            raise ValueError("page_png and page_size_pt come together or not at all")
        if self.page_png is not None and not self.answer.citations:
            raise ValueError("page_png shows the page of a citation, and the answer has none")
        if self.page_size_pt is not None and min(self.page_size_pt) <= 0:
            raise ValueError(f"a page has a width and a height in points, got {self.page_size_pt}")
        for picture in (self.page_png, *(png for _, png in self.thumbs)):
            if picture is not None and not picture.startswith(_PNG):
                raise ValueError(f"pictures are PNG bytes, got {picture[:8]!r}")


def describe_hit(hit: Hit) -> str:
    """The caption of a thumbnail: page, score and document."""
    page = _page(hit.page.page_number, hit.page.page_label)
    return f"{page}, score {hit.score:.2f}, {PurePath(hit.name).name}"


def write_report(
    path: Path, answers: Sequence[DemoAnswer], scores_json: Mapping[str, Any], ingest_json: Mapping[str, Any]
) -> None:
    """Write the report to `path`, whole or not at all.

    `scores_json` is a run's summary, with `items`: the lines of its predictions.jsonl, each with its `score` (None where
    there is none). `ingest_json` is `IngestReport.to_json()`. Raises KeyError where a figure is missing, OSError where `path`
    can't be written.
    """
    parts = [_header(ingest_json), *map(_case, range(1, len(answers) + 1), answers), _benchmark(scores_json), _FOOTER]
    style = resources.files("docrag.demo").joinpath("report.css").read_text(encoding="utf-8")
    head = f"<title>docrag demo</title>\n<style>\n{style}</style>"
    html = f"{_DOCTYPE}\n{head}\n</head>\n<body>\n{chr(10).join(parts)}\n</body>\n</html>\n"
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_text(html, encoding="utf-8")
    unfinished.replace(path)


_DOCTYPE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">"""

_FOOTER = """<footer>The company, its people and every figure in these documents are invented: docrag drew the PDFs itself, and
wrote the questions before it read them. With files of your own: <code>docrag ingest FOLDER --index I</code>, then
<code>docrag ask QUESTION --index I</code>.</footer>"""


def _header(ingest: Mapping[str, Any]) -> str:
    documents, pages = ingest["documents"], ingest["pages"]
    tiles = [
        ("documents read", f"{documents['ok']} of {documents['attempted']}"),
        ("pages read", f"{pages['ok']} of {pages['attempted']}"),
        ("pages with OCR", str(pages["ocr"])),
        ("pages left unread", str(pages["unread"])),
        ("seconds", f"{ingest['seconds']:.1f}"),
        ("pages a second", f"{ingest['pages_per_second']:.1f}"),
    ]
    return f"""<header>
<p class="brand">docrag</p>
<h1>Ask a pile of long PDFs. Get the answer, and the page that proves it.</h1>
<p class="lead">docrag reads every page of your documents, scans and pictures included. For a question it finds the pages that
hold the evidence, answers from them and marks the words that it rests on. Where the documents don’t answer, it says so.
Below is what it just did on this machine.</p>
{_tiles(tiles)}
</header>
<h2>Asked and answered</h2>"""


def _tiles(tiles: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in tiles)
    return f'<dl class="tiles">{cells}</dl>'


def _case(number: int, shown: DemoAnswer) -> str:
    page = _page_figure(shown)
    words = f'<div class="words">{_answer(shown)}{_quotes(shown.answer)}</div>'
    return f"""<section class="case">
<p class="soft">Question {number}</p>
<h3>{escape(shown.question)}</h3>
<div class="body{"" if page else " alone"}">{words}{page}{_thumbs(shown)}</div>
</section>"""


def _answer(shown: DemoAnswer) -> str:
    answer = shown.answer
    kind = {"answered": "answer", "not_answerable": "answer refused", "failed": "answer failed"}[answer.outcome]
    note = f"Reader: {answer.reader}, {answer.milliseconds:.0f} ms, confidence {answer.confidence:.2f}"
    return f"""<div class="{kind}"><strong>{escape(answer.text)}</strong>
<p class="verdict{" right" if _is_right(shown) else ""}">{escape(_verdict(shown))}</p>
<p class="soft">{escape(note)}</p></div>"""


def _is_right(shown: DemoAnswer) -> bool:
    return shown.expected is not None and shown.answer.text.casefold() == shown.expected.casefold()


def _verdict(shown: DemoAnswer) -> str:
    outcome, expected = shown.answer.outcome, shown.expected
    if outcome == "failed":
        return "The question could not be read."
    if _is_right(shown):
        refused = "Refused, and rightly: the documents don’t say. A guess would have been wrong."
        return refused if outcome == "not_answerable" else "Right."
    if expected == NOT_ANSWERABLE:
        return "The documents don’t answer this; it should have been refused."
    given = "Refused." if outcome == "not_answerable" else ""
    return f"{given} The expected answer is {expected}".strip() if expected else given or "Answered."


def _quotes(answer: Answer) -> str:
    return "".join(
        f'<blockquote>“<mark>{escape(citation.quote)}</mark>”</blockquote><p class="soft">{escape(_place(citation))}</p>'
        for citation in answer.citations
    )


def _place(citation: Citation) -> str:
    found = "" if citation.verified else " (these words were not found there)"
    return f"{PurePath(citation.document).name}, {_page(citation.page_number, citation.page_label)}{found}"


def _page(number: int, label: str | None) -> str:
    return f"page {number}" + (f" (printed {label})" if label and label != str(number) else "")


def _page_figure(shown: DemoAnswer) -> str:
    if shown.page_png is None or shown.page_size_pt is None:
        return ""
    first = shown.answer.citations[0]
    here = [citation for citation in shown.answer.citations if _same_page(citation, first)]
    boxes = "".join(_box(citation.box, shown.page_size_pt) for citation in here if citation.box is not None)
    place = escape(_place(first))
    image = f'<img src="{_data_uri(shown.page_png)}" alt="{place}">'
    caption = f"<figcaption>{place}{'; the quoted words are marked' if boxes else ''}</figcaption>"
    return f'<figure class="shown"><div class="page">{image}{boxes}</div>{caption}</figure>'


def _same_page(one: Citation, other: Citation) -> bool:
    return (one.document, one.page_number) == (other.document, other.page_number)


def _box(box: Box, size_pt: tuple[float, float]) -> str:
    """A mark over `box`, in percent of the page, a little wider than the words and never off the page."""
    (x0, y0, x1, y1), (width, height) = box, size_pt
    left, right = max(0.0, x0 - _PADDING_PT) / width, min(width, x1 + _PADDING_PT) / width
    top, bottom = max(0.0, y0 - _PADDING_PT) / height, min(height, y1 + _PADDING_PT) / height
    places = {"left": left, "top": top, "width": max(0.0, right - left), "height": max(0.0, bottom - top)}
    style = ";".join(f"{name}:{100 * value:.2f}%" for name, value in places.items())
    return f'<span class="box" style="{style}"></span>'


def _thumbs(shown: DemoAnswer) -> str:
    if not shown.thumbs:
        return ""
    figures = "".join(
        f'<figure><img src="{_data_uri(png)}" alt=""><figcaption>{escape(caption)}</figcaption></figure>'
        for caption, png in shown.thumbs
    )
    title = "Other pages that were looked at" if shown.page_png else "Pages that were looked at"
    return f'<div class="found"><p class="soft">{title}</p><div class="thumbs">{figures}</div></div>'


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


_GROUPS = {
    "accuracy": "accuracy",
    "f1": "F1",
    "answerable": "answerable",
    "unanswerable": "refused rightly",
    "single_page": "on one page",
    "cross_page": "across pages",
}


def _benchmark(scores: Mapping[str, Any]) -> str:
    tiles = [(name, _percent(scores[key])) for key, name in _GROUPS.items()]
    tiles += [(f"page recall@{k}", _percent(scores["retrieval"][f"recall@{k}"])) for k in (1, 5)]
    rows = "\n".join(map(_row, scores["items"]))
    return f"""<h2>The same, measured</h2>
<p class="lead">{escape(str(scores["questions"]))} questions with known answers, scored by the rules of the MMLongBench-Doc
benchmark. Page recall is the share of the evidence pages among the first one or five that were found.</p>
{_tiles(tiles)}
<table>
<thead><tr><th>Question</th><th>Expected</th><th>Given</th><th>Evidence pages</th><th>First pages found</th>
<th class="number">Score</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>"""


def _row(item: Mapping[str, Any]) -> str:
    score = item["score"]
    judged = "" if score is None else " right" if score >= 0.5 else " wrong"
    given = "–" if item["prediction"] is None else str(item["prediction"])
    columns = "".join(
        (
            _cell("Expected", str(item["answer"])),
            _cell("Given", given),
            _cell("Evidence pages", ", ".join(map(str, item["evidence_pages"])) or "none", "pages"),
            _cell("First pages found", ", ".join(map(str, item["ranked_pages"][:5])) or "none", "pages"),
            _cell("Score", "–" if score is None else f"{score:.2f}", f"number{judged}"),
        )
    )
    asked = f'<td class="asked">{escape(item["question"])}<small>{escape(item["doc_id"])}</small></td>'
    return f"<tr>{asked}{columns}</tr>"


def _cell(name: str, text: str, kind: str = "") -> str:
    """A cell that carries its column's name, for screens too narrow to show the head of the table."""
    return f'<td class="{kind}" data-name="{name}">{escape(text)}</td>'


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.0f} %"
