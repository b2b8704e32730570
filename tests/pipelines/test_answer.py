"""One pass of retrieval and reading: what a citation's box is, and what the time is of."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from docrag.pipelines.answer import AskSettings, answer_from
from docrag.pipelines.retrieve import Ranking, rank_pages
from docrag.testing import HashEncoder
from docrag.types import Answer, Citation, Context, Reading
from tests.pipelines.looking import Shelf, WordsInPatches

TEXT, VISION = HashEncoder(), WordsInPatches()
PAGES = (("The harbour is old.", "harbour ."), ("", "red chart"), ("", "boats boats"))


@dataclass(frozen=True)
class Citing:
    """A reader that answers with these citations, whatever it reads."""

    citations: tuple[Citation, ...]

    def read(self, question: str, context: Context) -> Reading:
        return Reading("answered", question, 1.0, self.citations)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    shelf = Shelf(":memory:", Path(tmp_path_factory.mktemp("blobs")))
    with shelf.index:
        document = shelf.put("harbour.pdf", PAGES)
        shelf.add_lane()
        shelf.see(document, PAGES)
        yield shelf


def _answer(shelf: Shelf, ranking: Ranking, *citations: Citation) -> Answer:
    return answer_from(shelf.index, ranking, Citing(citations), AskSettings("citing", 3, 1000), TEXT.count_tokens)


def _cite(page_number: int, document: str = "harbour.pdf") -> Citation:
    return Citation(document, page_number, None, "a chart", None, False)


def test_a_citation_of_a_page_without_text_gets_the_box_of_its_best_patches(shelf: Shelf) -> None:
    ranking = rank_pages(shelf.index, TEXT, "What is on the chart?", visual=VISION)
    citations = _answer(shelf, ranking, _cite(2), _cite(1), _cite(3), _cite(2, "elsewhere.pdf")).citations
    assert [citation.box for citation in citations] == [(300, 0, 600, 800), None, None, None]
    assert not any(citation.verified for citation in citations)


def test_a_box_that_the_reader_gives_stays(shelf: Shelf) -> None:
    ranking = rank_pages(shelf.index, TEXT, "What is on the chart?", visual=VISION)
    given = replace(_cite(2), box=(1, 2, 3, 4))
    assert _answer(shelf, ranking, given).citations == (given,)


def test_without_the_visual_lane_there_is_no_box_to_give(shelf: Shelf) -> None:
    assert _answer(shelf, rank_pages(shelf.index, TEXT, "What is on page 2?"), _cite(2)).citations == (_cite(2),)


def test_the_time_is_that_of_ranking_and_reading_and_not_of_the_wait_between(shelf: Shelf) -> None:
    ranking = replace(rank_pages(shelf.index, TEXT, "harbour"), seconds=100.0)
    time.sleep(0.2)
    begin = time.perf_counter()
    answer = _answer(shelf, ranking)
    assert 100_000 < answer.milliseconds <= 100_000 + 1000 * (time.perf_counter() - begin)
    assert (answer.text, answer.reader) == ("harbour", "citing")
