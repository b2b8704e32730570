from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from docrag import errors
from docrag.types import (
    NOT_ANSWERABLE,
    Citation,
    Context,
    ContextPart,
    DocumentOutline,
    DocumentRef,
    Failure,
    Hit,
    IngestReport,
    PageContent,
    PageRef,
    PageVectors,
    Reading,
    Region,
    Source,
    SparseVector,
    Tally,
    check_box,
    page_point_id,
)

SHA = "0123456789abcdef" * 4
DOCUMENT = DocumentRef(SHA, 3, "A title")
PAGE = PageRef(DOCUMENT, 1, "ii")
BOX = (0.0, 0.0, 1.0, 1.0)
FAILURE = Failure("/a.pdf", "open", "PdfPassword", "it is encrypted", "give it", lacked="password")


def content(text: str = "one two", boxes: int = 2, **more: Any) -> PageContent:
    return PageContent(PAGE, 612.0, 792.0, text, np.zeros((boxes, 4), np.float32), "layer", **more)


def part(tokens: int) -> ContextPart:
    return ContextPart("text", "a.pdf", 1, tokens, "words")


def test_point_ids_never_change() -> None:
    # An index made today must be found by tomorrow's code.
    assert PAGE.point_id == page_point_id(SHA, 1) == "957ff77c-40c2-5da5-8c75-fecb5e443e1c"
    assert PAGE.page_number == 2


def test_a_passage_is_its_words() -> None:
    page = content("one two\n\nthree", 3, passages=(Region(0, 1, "title", BOX), Region(1, 3, "text", BOX, "one")))
    assert [page.passage_text(region) for region in page.passages] == ["one", "two three"]


def test_boxes_are_floats() -> None:
    assert check_box((0, 1, 2, 3)) == (0.0, 1.0, 2.0, 3.0)
    assert Region(0, 1, "text", (0, 0, 1, 1)).box == BOX


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DocumentRef("abc", 1), "sha256 is 64 lower-case hexadecimal digits, got 'abc'"),
        (lambda: DocumentRef(SHA.upper(), 1), "sha256 is 64 lower-case"),
        (lambda: DocumentRef(SHA, 0), "a document has at least one page, got 0"),
        (lambda: PageRef(DOCUMENT, 3), r"page_index is in 0\.\.2, got 3"),
        (lambda: PageRef(DOCUMENT, -1), r"page_index is in 0\.\.2, got -1"),
        (lambda: PageRef(DOCUMENT, 0, ""), "page_label is None where a page has none, not ''"),
        (lambda: check_box((0, 0, 1)), "a box is four finite numbers"),  # type: ignore[arg-type]
        (lambda: check_box((0, 0, float("nan"), 1)), "four finite numbers .* got .0, 0, nan, 1."),
        (lambda: check_box((2, 0, 1, 1)), "a box runs from its top left"),
        (lambda: Region(1, 1, "text", BOX), r"a region holds at least one word, got 1\.\.1"),
        (lambda: content("one", 2), r"expected \(1, 4\), got \(2, 4\)"),
        (lambda: content(passages=(Region(0, 3, "text", BOX),)), "a passage ends after the page's 2 words"),
        (
            lambda: PageContent(PAGE, 0, 5, "", np.zeros((0, 4), np.float32), "none"),
            "a width and a height in points, got 0 x 5",
        ),
        (lambda: SparseVector((1, 2), (1.0,)), "one value an index: got 2 indices and 1 values"),
        (lambda: SparseVector((1,), (float("inf"),)), "finite numbers only"),
        (lambda: DocumentOutline((None,), (), {}), "1 labels, 0 printed numbers"),
        (lambda: PageVectors(PAGE, np.zeros((1, 384), np.float32)), r"passages of page 2 is float16 .* got float32 \(1, 384\)"),  # type: ignore[arg-type]
        (lambda: PageVectors(PAGE, np.zeros((0, 384), np.float16)), r"got float16 \(0, 384\)"),
        (lambda: PageVectors(PAGE, np.full((1, 2), np.nan, np.float16)), "passages of page 2 holds NaN or infinity"),
        (lambda: Source("a", 1, "1"), "a source leads to a document or to a failure, not both or neither: 'a'"),
        (lambda: Source("a", 1, "1", SHA, FAILURE), "not both or neither"),
        (lambda: Hit(PAGE, "a", 1.5, {}), r"score is a fraction from 0 to 1, got 1\.5"),
        (lambda: Hit(PAGE, "a", float("nan"), {}), "score is a fraction"),
        (lambda: Reading("answered", "x", -0.1), "confidence is a fraction"),
        (lambda: Reading("answered", NOT_ANSWERABLE, 0.5), "'answered' does not go with the answer 'Not answerable'"),
        (lambda: Reading("not_answerable", "7", 0.5), "'not_answerable' does not go with the answer '7'"),
        (lambda: Context((part(5), part(6)), (), 10), "a context of 11 tokens is over its budget of 10"),
    ],
)
def test_what_makes_no_sense_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_report_adds_up() -> None:
    report = IngestReport(Tally(1, 2, 3), Tally(10, 1, 0), ocr=4, unread=2, failures=(FAILURE,), seconds=2.0)
    told = report.to_json()
    assert told["documents"] == {"attempted": 6, "ok": 1, "failed": 2, "skipped": 3}
    assert told["pages"] == {"attempted": 11, "ok": 10, "failed": 1, "skipped": 0, "ocr": 4, "unread": 2, "visual": 0}
    assert (told["seconds"], told["pages_per_second"]) == (2.0, 5.5)
    assert IngestReport(Tally(), Tally(ok=1), 0, 0, (), 0.0).pages_per_second == 0.0


VALUES = [
    DOCUMENT,
    PAGE,
    Region(0, 1, "text", BOX),
    FAILURE,
    Source("a", 1, "1", SHA),
    SparseVector((1,), (0.5,)),
    Citation("a.pdf", 1, None, "words", BOX, verified=True),
    Tally(1, 2, 3),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_values_pickle(value: object) -> None:
    assert pickle.loads(pickle.dumps(value)) == value


ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.DocragError)]


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_errors_pickle_and_say_what_to_do(kind: type[errors.DocragError]) -> None:
    error = pickle.loads(pickle.dumps(kind("what happened", "what to do")))
    assert (type(error), error.message, error.hint) == (kind, "what happened", "what to do")
    assert str(error) == "what happened\n  what to do"
    assert str(kind("what happened")) == "what happened"
