"""The loop over a real library: pages found, laid out, drawn and read; one that is deleted meanwhile; an empty one."""

import json
from dataclasses import replace

import pymupdf
import pytest

from docrag.ingest.guard import GuardedPool
from docrag.pipelines.loop import LoopSettings, ask
from docrag.pipelines.model_reader import ModelReader
from docrag.pipelines.protocols import ReaderSettings
from docrag.pipelines.retrieve import rank_pages
from docrag.pipelines.stages import Shelf, library_stages, pages_to_list
from docrag.pipelines.tokens import QWEN2_VL, TokenRule
from docrag.testing import HashEncoder, ScriptedChat, ScriptedReader
from docrag.types import Citation, Reading
from tests.libraries import bring, open_index
from tests.pipelines.looking import Shelf as Looking
from tests.pipelines.looking import WordsInPatches

SETTINGS = LoopSettings("scripted", 8_000)
SAID = json.dumps({"outcome": "answered", "answer": "Oslo", "citations": [{"page": 2, "quote": "The board met in Oslo"}]})


@pytest.fixture
def folder(tmp_path):
    for name, place in (("one", "Oslo"), ("two", "Bergen")):
        with pymupdf.open() as document:
            for text in ("Sales rose to 1,234 units.", f"The board met in {place}.", f"Costs of {name} fell."):
                document.new_page().insert_text((72, 90), text)
            document.save(tmp_path / f"{name}.pdf")
    bring(tmp_path / "library", tmp_path / "one.pdf", tmp_path / "two.pdf")
    return tmp_path / "library"


def model(*texts):
    chat = ScriptedChat(texts, rule=TokenRule(QWEN2_VL, len))
    return chat, ModelReader(chat, ReaderSettings())


def test_pages_are_found_drawn_and_read(folder):
    chat, reader = model(SAID)
    with open_index(folder) as index, GuardedPool(1, 60.0, 2048) as pool:
        [one] = index.resolve_documents(["one.pdf"])
        stages = library_stages(Shelf(index, HashEncoder(), pool), [one])
        answer = ask(stages, reader, "Where did the board meet?", SETTINGS)
    assert (answer.text, answer.outcome) == ("Oslo", "answered")
    [citation] = answer.citations
    assert (citation.page_number, citation.verified) == (2, True)
    assert chat.prompts[0].images == sum(part.kind == "image" for part in answer.context.parts) >= 1
    assert {hit.page.document.sha256 for hit in answer.hits} == {one}


@pytest.mark.parametrize("stage", ["retrieve", "assemble"])
def test_a_document_deleted_before_its_pages_are_laid_out_or_drawn(folder, stage):
    _, reader = model(SAID)
    with open_index(folder) as index, GuardedPool(1, 60.0, 2048) as pool:
        stages = library_stages(Shelf(index, HashEncoder(), pool))
        [one] = index.resolve_documents(["one.pdf"])

        def then_delete(*arguments):
            made = getattr(stages, stage)(*arguments)
            if index.document(one) is not None:
                index.delete_document(one, force=True)
            return made

        answer = ask(replace(stages, **{stage: then_delete}), reader, "Where did the board meet?", SETTINGS)
    assert [item.name.endswith("two.pdf") for item in answer.context.evidence] == [True] * 3
    assert any("all was looked for again" in note for note in answer.trace["notes"]) == (stage == "assemble")


def test_an_empty_library_asks_nobody(tmp_path):
    chat, reader = model(SAID)
    (tmp_path / "nothing").mkdir()
    bring(tmp_path / "library", tmp_path / "nothing")
    with open_index(tmp_path / "library") as index, GuardedPool(1, 60.0, 2048) as pool:
        answer = ask(library_stages(Shelf(index, HashEncoder(), pool)), reader, "Where?", SETTINGS)
    assert (answer.outcome, answer.trace["abstained"]) == ("not_answerable", "there is no page to read")
    assert chat.prompts == []


def test_a_navigator_is_shown_all_pages_of_the_documents_found(folder):
    with open_index(folder) as index, GuardedPool(1, 60.0, 2048) as pool:
        stages = library_stages(Shelf(index, HashEncoder(), pool), candidates=1)
        found = stages.retrieve("Where did the board meet in Bergen?")
        listed = pages_to_list(index, found)
        assert [item.content.page.page_number for item in listed] == [1, 2, 3]
        assert {item.name for item in listed} == {found[0][1].name}
        assert len(pages_to_list(index, found, index.resolve_documents(["*.pdf"]))) == 6


PAGES = (("The harbour is old.", "harbour ."), ("", "red chart"), ("", "boats boats"))


@pytest.fixture(scope="module")
def looking(tmp_path_factory):
    made = Looking(":memory:", tmp_path_factory.mktemp("blobs"))
    with made.index:
        document = made.put("harbour.pdf", PAGES)
        made.add_lane()
        made.see(document, PAGES)
        yield made.index


def cited(page_number, document="harbour.pdf", box=None):
    return Citation(document, page_number, None, "a chart", box, False)


def answer_citing(index, visual, *citations):
    reader = ScriptedReader([Reading("answered", "a chart", 1.0, citations)])
    with GuardedPool(1, 60.0, 2048) as pool:
        stages = library_stages(Shelf(index, HashEncoder(), pool, visual), candidates=3)
        return ask(stages, reader, "What is on the chart on page 2?", SETTINGS)


def test_a_citation_of_a_page_without_text_gets_the_box_of_its_best_patches(looking):
    citations = (cited(2), cited(1), cited(3), cited(2, "elsewhere.pdf"), cited(2, box=(1, 2, 3, 4)))
    answer = answer_citing(looking, WordsInPatches(), *citations)
    assert [citation.box for citation in answer.citations] == [(300, 0, 600, 800), None, None, None, (1, 2, 3, 4)]
    assert not any(citation.verified for citation in answer.citations)


def test_without_the_visual_lane_there_is_no_box_to_give(looking):
    assert answer_citing(looking, None, cited(2)).citations == (cited(2),)


def test_what_was_ranked_is_not_searched_again(folder, monkeypatch):
    with open_index(folder) as index, GuardedPool(1, 60.0, 2048) as pool:
        ranking = rank_pages(index, HashEncoder(), "Where did the board meet?")
        searches = []
        search = index.search
        monkeypatch.setattr(index, "search", lambda queries: searches.append(queries) or search(queries))
        stages = library_stages(Shelf(index, HashEncoder(), pool), candidates=2, ranking=ranking)
        found = stages.retrieve("Where did the board meet?")
        assert [hit.page.point_id for hit, _ in found] == [page.id for page in ranking.pages[:2]]
        assert searches == []
        assert len(stages.retrieve("What are the costs?")) == 2
        assert len(searches) == 1
