from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pymupdf
import pytest

from docrag.config import Config
from docrag.errors import EnvironmentFault, PdfPassword, PdfUnreadable, UsageError
from docrag.ingest.guard import GuardedPool
from docrag.ingest.ocr import tesseract_available
from docrag.ingest.read import (
    CHUNK_PAGES,
    PageChunk,
    ReadSettings,
    chunks_of,
    open_facts,
    read_chunks,
    read_pages,
)
from docrag.types import DocumentRef, Failure, PageContent
from tests.ingest import hostile

SHA = "ab" * 32
AUTO = ReadSettings("auto", "eng", dpi=150, max_pixels=40_000_000, tesseract=True)
NEVER = ReadSettings("never", "eng", dpi=150, max_pixels=40_000_000, tesseract=False)
needs_tesseract = pytest.mark.skipif(not tesseract_available(), reason="Tesseract is not installed")


@pytest.fixture(scope="module")
def pool() -> Iterator[GuardedPool]:
    with GuardedPool(2, timeout_s=4.0, memory_mib=500) as pool:
        yield pool


def read(path: Path, settings: ReadSettings = NEVER, password: str | None = None) -> list[PageContent | Failure]:
    pages = open_facts(str(path), password).pages
    return read_pages(PageChunk(str(path), DocumentRef(SHA, pages), tuple(range(pages)), settings, password))


def read_one(path: Path, settings: ReadSettings = NEVER, password: str | None = None) -> PageContent:
    [page] = read(path, settings, password)
    assert isinstance(page, PageContent), page
    return page


def guarded(pool: GuardedPool, path: Path, pages: int, settings: ReadSettings = NEVER) -> list[PageContent | Failure]:
    chunks = read_chunks(pool, chunks_of(str(path), DocumentRef(SHA, pages), range(pages), settings))
    return sorted((page for _, found in chunks for page in found), key=page_number)


def page_number(page: PageContent | Failure) -> int:
    number = page.page_number if isinstance(page, Failure) else page.page.page_number
    assert number is not None
    return number


def test_text_words_and_boxes(tmp_path: Path) -> None:
    page = read_one(hostile.text_pdf(tmp_path / "a.pdf", ["one two\nthree"]))
    assert page.text == "one two\nthree"
    assert page.word_boxes.shape == (3, 4)
    assert (page.width_pt, page.height_pt, page.text_source, page.unread) == (595, 842, "layer", False)
    one, two, three = page.word_boxes
    assert 39 < one[0] < one[2] < two[0] < 100
    assert three[1] > one[1]
    assert three[0] == one[0]


def test_hyphenated_words_are_joined_at_their_first_half(tmp_path: Path) -> None:
    page = read_one(
        hostile.text_pdf(
            tmp_path / "a.pdf", ["All the infor-\nmation is well-\nknown, and it is well-known that\n2018-\n2019 is not"]
        )
    )
    expected = "All the information is well-known, and it is well-known that 2018- 2019 is not"
    assert page.text.split() == expected.split()
    assert page.word_boxes[2][3] < page.word_boxes[3][1] + 20
    assert page.word_boxes[2][1] == page.word_boxes[0][1]


def test_two_columns_are_read_one_after_the_other(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page()
    for x, side in ((40, "left"), (320, "right")):
        page.insert_textbox((x, 40, x + 240, 400), " ".join(f"{side}{number}" for number in range(60)))
    document.save(tmp_path / "a.pdf")
    words = read_one(tmp_path / "a.pdf").text.split()
    assert words == [f"left{number}" for number in range(60)] + [f"right{number}" for number in range(60)]


def test_cells_of_a_row_are_on_one_line(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page()
    for row, cells in enumerate([("Revenue", "5,363", "4,869"), ("Costs", "1,488", "1,544"), ("Profit", "3,875", "3,325")]):
        for column, cell in enumerate(cells):
            page.insert_text((72 + 150 * column, 100 + 14 * row), cell)
    document.save(tmp_path / "a.pdf")
    content = read_one(tmp_path / "a.pdf")
    assert content.text == "Revenue 5,363 4,869\nCosts 1,488 1,544\nProfit 3,875 3,325"
    assert [region.kind for region in content.passages] == ["table"]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_boxes_are_after_rotation(tmp_path: Path, rotation: int) -> None:
    document = pymupdf.open()
    page = document.new_page(width=400, height=600)
    page.set_rotation(rotation)
    where = pymupdf.Point(50, 80) * page.derotation_matrix
    page.insert_text(where, "upright words", rotate=rotation)
    document.save(tmp_path / "a.pdf")
    content = read_one(tmp_path / "a.pdf")
    assert (content.width_pt, content.height_pt) == ((600, 400) if rotation != 180 else (400, 600))
    assert content.text == "upright words"
    x0, y0, x1, y1 = content.word_boxes[0]
    assert x0 == pytest.approx(50, abs=1)
    assert y0 < 80 < y1 + 1
    assert x1 - x0 > y1 - y0


def test_boxes_start_at_the_crop_box(tmp_path: Path) -> None:
    content = read_one(hostile.raw_pdf(tmp_path / "a.pdf", ["/MediaBox [0 0 612 792]/CropBox [60 60 360 260]"]))
    assert (content.width_pt, content.height_pt) == (300, 200)
    assert content.word_boxes[0][0] == pytest.approx(12, abs=0.5)


def test_page_labels(tmp_path: Path) -> None:
    path = hostile.text_pdf(tmp_path / "a.pdf", ["a", "b", "c"])
    document = pymupdf.open(path)
    document.set_page_labels(
        [{"startpage": 0, "style": "r", "firstpagenum": 4}, {"startpage": 1, "style": "D", "firstpagenum": 1}]
    )
    document.save(tmp_path / "b.pdf")
    assert [page.page.page_label for page in read(tmp_path / "b.pdf") if isinstance(page, PageContent)] == ["iv", "1", "2"]
    assert [page.page.page_label for page in read(path) if isinstance(page, PageContent)] == [None, None, None]


def test_facts(tmp_path: Path) -> None:
    path = hostile.text_pdf(tmp_path / "a.pdf", ["a", "b"])
    document = pymupdf.open(path)
    document.set_metadata({"title": " Annual\u200b  report\n2031 "})
    document.save(tmp_path / "b.pdf")
    facts = open_facts(str(tmp_path / "b.pdf"))
    assert (facts.pages, facts.title, facts.encrypted, facts.repaired) == (2, "Annual report 2031", False, False)
    assert open_facts((tmp_path / "b.pdf").read_bytes()) == facts


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty (0 bytes)"),
        (b"just some text " * 50, "it is not a PDF: it starts with b'just som'"),
        (b"%PDF-1.7\n", "it is damaged beyond MuPDF's repair"),
    ],
)
def test_what_is_no_pdf(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(content)
    with pytest.raises(PdfUnreadable) as caught:
        open_facts(str(path))
    assert caught.value.message == message


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(PdfUnreadable, match="No such file"):
        open_facts(str(tmp_path / "nowhere.pdf"))


def test_no_pages(tmp_path: Path) -> None:
    with pytest.raises(PdfUnreadable, match="no pages"):
        open_facts(str(hostile.no_pages_pdf(tmp_path / "a.pdf")))


def test_truncated_after_its_trailer_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = hostile.truncated_pdf(tmp_path / "a.pdf", pages=5, whole=3, trailer_first=True)
    assert open_facts(str(path)).repaired
    pages = read(path)
    assert [isinstance(page, PageContent) for page in pages] == [True, True, True, False, False]
    failure = pages[3]
    assert isinstance(failure, Failure)
    assert (failure.page_number, failure.stage, failure.error, failure.document) == (4, "read", "PdfUnreadable", SHA)
    assert "nothing of the page can be shown" in failure.message


def test_truncated_before_its_trailer_is_unreadable(tmp_path: Path) -> None:
    with pytest.raises(PdfUnreadable, match="damaged") as caught:
        open_facts(str(hostile.truncated_pdf(tmp_path / "a.pdf", pages=5, whole=3, trailer_first=False)))
    assert "complete" in caught.value.hint


def test_encrypted(tmp_path: Path) -> None:
    path = hostile.encrypted_pdf(tmp_path / "a.pdf", "secret words", "swordfish")
    with pytest.raises(PdfPassword, match="it is encrypted") as caught:
        open_facts(str(path))
    assert caught.value.lacked == "password"
    with pytest.raises(PdfPassword, match="does not open it"):
        open_facts(str(path), "trout")
    assert open_facts(str(path), "swordfish").encrypted
    assert read_one(path, password="swordfish").text == "secret words"


def test_broken_page_is_a_failure_and_the_others_are_read(tmp_path: Path) -> None:
    first, second, third = read(hostile.broken_page_pdf(tmp_path / "a.pdf"))
    assert isinstance(first, PageContent)
    assert isinstance(second, Failure)
    assert isinstance(third, PageContent)
    assert third.text == "third page"


def test_page_without_size_gets_the_default_one(tmp_path: Path) -> None:
    sizes = ["/MediaBox [0 0 0 0]", "", "/MediaBox [0 0 1e30 1e30]", "/MediaBox [(what)]"]
    for page in read(hostile.raw_pdf(tmp_path / "a.pdf", sizes)):
        assert isinstance(page, PageContent)
        assert (page.width_pt, page.height_pt, page.text) == (612, 792, "hello there")


def test_million_paths_are_read_or_refused_by_the_memory_there_is(tmp_path: Path) -> None:
    path = hostile.many_paths_pdf(tmp_path / "a.pdf", 1_000_000)
    for memory_mib, error in ((1000, ""), (140, "PdfTooLarge")):
        with GuardedPool(1, timeout_s=30, memory_mib=memory_mib) as pool:
            [page] = guarded(pool, path, 1)
        if isinstance(page, Failure):
            assert (page.error, page.lacked) == (error, "memory")
        else:
            assert (page.text, error) == ("after all the paths", "")


def test_endless_page_costs_only_itself(tmp_path: Path, pool: GuardedPool) -> None:
    first, second, third = guarded(pool, hostile.slow_pdf(tmp_path / "a.pdf"), 3)
    assert isinstance(first, PageContent)
    assert isinstance(third, PageContent)
    assert isinstance(second, Failure)
    assert (second.page_number, second.error, second.message) == (2, "PdfCrash", "took longer than 4 s")


def test_chunks_of_several_documents(tmp_path: Path, pool: GuardedPool) -> None:
    counts = {"a": 2 * CHUNK_PAGES + 1, "b": 1, "c": CHUNK_PAGES}
    paths = {
        name: hostile.text_pdf(tmp_path / name, [f"{name}{number}" for number in range(count)])
        for name, count in counts.items()
    }
    chunks = [
        chunk
        for name, path in paths.items()
        for chunk in chunks_of(str(path), DocumentRef(SHA, counts[name]), range(counts[name]), NEVER)
    ]
    found = [page.text for _, pages in read_chunks(pool, chunks) for page in pages if isinstance(page, PageContent)]
    assert sorted(found) == sorted(f"{name}{number}" for name, count in counts.items() for number in range(count))
    assert [len(chunk.page_indices) for chunk in chunks] == [CHUNK_PAGES, CHUNK_PAGES, 1, 1, CHUNK_PAGES]


def test_document_that_vanished_gives_a_failure_for_each_page(tmp_path: Path, pool: GuardedPool) -> None:
    failures = guarded(pool, tmp_path / "gone.pdf", 3)
    assert [page_number(failure) for failure in failures] == [1, 2, 3]
    assert all(isinstance(failure, Failure) and failure.error == "PdfUnreadable" for failure in failures)


def test_blank_page_is_not_unread(tmp_path: Path) -> None:
    page = read_one(hostile.text_pdf(tmp_path / "a.pdf", [""]))
    assert (page.text, page.text_source, page.unread, page.passages) == ("", "none", False, ())


def test_scan_is_left_unread_without_ocr(tmp_path: Path) -> None:
    path = hostile.scanned_pdf(tmp_path / "a.pdf", "Quarterly revenue")
    for settings in (NEVER, ReadSettings("auto", "eng", 150, 40_000_000, tesseract=False)):
        page = read_one(path, settings)
        assert (page.text, page.text_source, page.unread) == ("", "none", True)


def test_garbled_layer_is_left_unread_without_ocr(tmp_path: Path) -> None:
    page = read_one(hostile.text_pdf(tmp_path / "a.pdf", [hostile.GARBLED * 5]))
    assert (page.text, page.text_source, page.unread) == ("", "none", True)


@needs_tesseract
def test_scan_is_read_by_ocr(tmp_path: Path) -> None:
    page = read_one(hostile.scanned_pdf(tmp_path / "a.pdf", "Quarterly revenue was 4.2 million euros"), AUTO)
    assert page.text == "Quarterly revenue was 4.2 million euros"
    assert (page.text_source, page.unread) == ("ocr", False)
    assert (page.word_boxes[:, 0] >= 15).all()
    assert (page.word_boxes[:, 2] <= page.width_pt).all()
    assert (page.word_boxes[:, 3] <= 60).all()


@needs_tesseract
def test_garbled_layer_is_read_by_ocr(tmp_path: Path) -> None:
    assert read_one(hostile.text_pdf(tmp_path / "a.pdf", [hostile.GARBLED * 5]), AUTO).text_source == "ocr"


@needs_tesseract
def test_ocr_always_passes_the_layer_over(tmp_path: Path) -> None:
    path = hostile.text_pdf(tmp_path / "a.pdf", ["Plain words of a layer"])
    page = read_one(path, ReadSettings("always", "eng", 150, 40_000_000, tesseract=True))
    assert (page.text, page.text_source) == ("Plain words of a layer", "ocr")


@needs_tesseract
def test_large_picture_beside_a_layer_is_read_as_well(tmp_path: Path) -> None:
    document = pymupdf.open()
    page = document.new_page()
    page.insert_textbox((40, 40, 555, 300), "The layer says plenty of words about the chart below. " * 8)
    page.insert_image((40, 320, 555, 800), stream=hostile.picture_of("Sales in Norway doubled", (1000, 930), 60))
    document.save(tmp_path / "a.pdf")
    content = read_one(tmp_path / "a.pdf", AUTO)
    assert content.text.startswith("The layer says plenty")
    assert content.text.endswith("\n\nSales in Norway doubled")
    assert (content.text_source, content.unread) == ("layer", False)
    assert content.word_boxes[-1][1] > 320


def test_settings_tell_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert not ReadSettings.from_config(Config()).tesseract
    assert not ReadSettings.from_config(Config(ocr="never")).tesseract
    with pytest.raises(EnvironmentFault, match="Tesseract is not installed"):
        ReadSettings.from_config(Config(ocr="always"))


@needs_tesseract
def test_language_that_is_not_installed() -> None:
    with pytest.raises(UsageError, match=r"no language xyz; installed are .*eng") as caught:
        ReadSettings.from_config(Config(lang="eng+xyz"))
    assert caught.value.hint == "Debian: apt-get install tesseract-ocr-xyz"
