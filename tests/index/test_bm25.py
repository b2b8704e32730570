"""The sparse lane: which terms a page and a question have, and how they weigh."""

import numpy as np
import pytest

from docrag.index.bm25 import AVERAGE_TERMS, K1, B, encode_page, encode_question, page_terms
from docrag.types import DocumentRef, PageContent, PageRef, Region, SparseVector

DOCUMENT = DocumentRef("0" * 64, 3)


def page(text: str, passages: tuple[Region, ...] = (), label: str | None = None, printed: str | None = None) -> PageContent:
    boxes = np.zeros((len(text.split()), 4), np.float32)
    return PageContent(PageRef(DOCUMENT, 0, label), 595, 842, text, boxes, "layer", passages, (), printed)


def terms(text: str) -> set[int]:
    vector = encode_question(text)
    return set(vector.indices) if vector else set()


def score(question: str, content: PageContent) -> float:
    asked, held = encode_question(question), encode_page(content)
    if asked is None or held is None:
        return 0.0
    weights = dict(zip(held.indices, held.values, strict=True))
    return sum(value * weights.get(term, 0.0) for term, value in zip(asked.indices, asked.values, strict=True))


def test_words_are_folded_and_stemmed() -> None:
    assert terms("Cafés") == terms("cafe")
    assert terms("boats sailing") == terms("BOAT sail")
    assert terms("ﬁnance") == terms("finance")


def test_numbers_are_terms() -> None:
    assert terms("2018") <= terms("in 2018, 3.5%")
    assert len(terms("1,234")) == 3  # 1, 234 and the pair


def test_only_stop_words_give_no_vector() -> None:
    assert encode_question("What is the of and?") is None
    assert encode_question("") is None
    assert encode_question("?!") is None
    assert encode_page(page("")) is None
    assert encode_page(page("the of and")) is None


def test_words_about_the_document_count_only_where_there_are_no_others() -> None:
    assert terms("According to the report, how many boats?") == terms("boats")
    assert len(terms("Which page?")) == 1


def test_a_question_counts_each_term_once() -> None:
    vector = encode_question("boat boat boat")
    assert vector is not None
    assert len(vector.indices) == 2  # the word, and "boat boat"
    assert set(vector.values) == {1.0}


def test_a_page_with_the_phrase_beats_one_with_the_words_apart() -> None:
    phrase = page("harbour dues rose while light remained green along every quay")
    apart = page("dues rose while light remained green along every quay harbour")
    assert score("harbour dues", phrase) > score("harbour dues", apart) > 0


def test_weights_are_bm25s() -> None:
    vector = encode_page(page("boat boat quay"))
    assert vector is not None
    length = K1 * (1 - B + B * 5 / AVERAGE_TERMS)  # three words and two pairs
    once, twice = (count * (K1 + 1) / (count + length) for count in (1, 2))
    assert sorted(vector.values) == pytest.approx([once, once, once, twice])
    assert dict(zip(vector.indices, vector.values, strict=True))[min(terms("boat"))] == pytest.approx(twice)


def test_headings_weigh_more_than_text() -> None:
    text = "Harbour dues\n\nboats pay by length"
    plain = page(text)
    headed = page(text, (Region(0, 2, "title", (0, 0, 1, 1)), Region(2, 6, "text", (0, 2, 1, 3), heading="Harbour dues")))
    assert score("harbour dues", headed) > score("harbour dues", plain)
    assert len(page_terms(headed)) == len(page_terms(plain)) + 3  # once more: two words and a pair, not twice


def test_title_and_labels_are_found() -> None:
    content = page("boats", label="xii", printed="14")
    found = set(page_terms(content, title="Harbour log"))
    assert terms("harbour") | terms("xii") | terms("14") <= found


def test_vectors_are_sorted_whole_and_the_same_each_time() -> None:
    vector = encode_page(page("one harbour, two quays and three boats"))
    assert vector is not None
    assert isinstance(vector, SparseVector)
    assert list(vector.indices) == sorted(set(vector.indices))
    assert all(0 <= term < 2**32 for term in vector.indices)
    assert vector == encode_page(page("one harbour, two quays and three boats"))


@pytest.mark.parametrize(
    ("question", "text"),
    [
        ("東京の港", "2018年、東京の港に船が来た"),
        ("2018年", "2018年、東京の港に船が来た"),
        ("부산항", "한국 부산항에 배가 왔다"),
        ("ท่าเรือ", "เรือเข้าท่าเรือแล้ว"),
    ],
)
def test_scripts_without_blanks_are_found_inside_their_sentences(question: str, text: str) -> None:
    assert terms(question) <= set(page_terms(page(text)))


def test_wide_and_plain_forms_are_the_same() -> None:
    assert terms("ＡＢＣ１２３") == terms("abc123")


def test_words_have_the_numbers_that_qdrants_own_model_gives_them() -> None:
    from qdrant_edge import Bm25, Bm25Config

    own = Bm25(Bm25Config(language="english", ascii_folding=True)).embed_query("boats sailing")
    assert set(own.indices) < terms("boats sailing")
