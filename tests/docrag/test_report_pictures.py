"""The report's files, and its pictures: drawn from a library, or left out with the reason."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from docrag.client import Library
from docrag.errors import EnvironmentFault, UsageError
from docrag.index.library_index import LibraryIndex
from docrag.ingest.stages import lane_fingerprints
from docrag.pictures import draw_pages
from docrag.report import write_run_report
from tests.ingest import hostile
from tests.libraries import bring
from tests.report_runs import fruit_run, question, said, write_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """library/ holds fruit.pdf in two pages, and vault.pdf, which is encrypted."""
    folder = tmp_path_factory.mktemp("pictures")
    hostile.text_pdf(folder / "fruit.pdf", ["Apples are red.", "Bananas are yellow."])
    hostile.encrypted_pdf(folder / "vault.pdf", "Nine coins.", "sesame")
    bring(folder / "library", folder / "fruit.pdf")
    bring(folder / "library", folder / "vault.pdf", password="sesame")
    return folder


def small_run(folder: Path, doc_id: str = "fruit.pdf", **config: object) -> Path:
    one = question(1, doc_id, "red", [1])
    return write_run(folder, [one], [said(one, "red", (1,), document_pages=2)], **config)


def pictures_in(html: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="pictures">(.*?)</script>', html, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_pages_are_small_webp_files_of_the_page(folder: Path) -> None:
    with Library(str(folder / "library")) as library:
        pictures = draw_pages(library, [("fruit.pdf", 1), ("fruit.pdf", 2)])
    assert pictures.note == ""
    picture = pictures.drawn["fruit.pdf", 2]
    image = Image.open(io.BytesIO(picture.webp))
    assert (image.format, image.width) == ("WEBP", 240)
    assert image.height == round(240 * picture.height_pt / picture.width_pt)
    assert min(image.convert("L").tobytes()) < 128  # there is ink on it


def test_what_can_t_be_drawn_is_named_with_the_reason(folder: Path) -> None:
    wanted = [("fruit.pdf", 1), ("fruit.pdf", 99), ("vault.pdf", 1), ("gone.pdf", 1)]
    with Library(str(folder / "library")) as library:
        pictures = draw_pages(library, wanted)
        opened = draw_pages(library, [("vault.pdf", 1)], password="sesame")
    assert pictures.drawn.keys() == {("fruit.pdf", 1)}
    assert "no such page" in pictures.missing["fruit.pdf", 99]
    assert "encrypted" in pictures.missing["vault.pdf", 1]
    assert "gone.pdf" in pictures.missing["gone.pdf", 1]
    assert opened.drawn.keys() == {("vault.pdf", 1)}


def test_the_place_in_the_data_tells_two_documents_of_one_name_apart(tmp_path: Path) -> None:
    for name, text in (("a", "Apples."), ("b", "Bananas.")):
        (tmp_path / name).mkdir()
        hostile.text_pdf(tmp_path / name / "same.pdf", [text])
        bring(tmp_path / "library", tmp_path / name / "same.pdf")
    with Library(str(tmp_path / "library")) as library:
        assert draw_pages(library, [("same.pdf", 1)]).note
        drawn = [draw_pages(library, [("same.pdf", 1)], {"same.pdf": tmp_path / name / "same.pdf"}).drawn for name in "ab"]
    assert drawn[0]["same.pdf", 1] != drawn[1]["same.pdf", 1]


def test_a_report_is_written_beside_its_run_with_summary_and_charts(folder: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run = small_run(tmp_path / "run", index=str(folder / "library"))
    written = write_run_report([run], progress=lambda done, total: seen.append((done, total)))
    assert written.html == run / "report" / "report.html"
    assert written.without_pictures == ""
    assert seen == [(1, 1)]
    assert written.summary.read_text(encoding="utf-8").startswith("#")
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written.charts)
    assert sorted((run / "report" / "charts").iterdir()) == sorted(written.charts)
    assert list(pictures_in(written.html.read_text(encoding="utf-8"))["drawn"]) == ["fruit.pdf"]  # type: ignore[call-overload]


def test_another_index_may_be_named(folder: Path, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", index=str(tmp_path / "gone"))
    assert write_run_report([run], tmp_path / "out", index=str(folder / "library")).without_pictures == ""


@pytest.mark.parametrize(("config", "reason"), [({}, "don't say which index"), ({"index": "/no/such/index"}, "/no/such/index")])
def test_without_an_index_there_are_no_pictures_and_a_reason(tmp_path: Path, config: dict[str, str], reason: str) -> None:
    written = write_run_report([small_run(tmp_path / "run", **config)])
    assert reason in written.without_pictures
    assert "none of these pages" not in written.without_pictures
    assert written.without_pictures in written.html.read_text(encoding="utf-8").replace("&#39;", "'")


def test_an_index_in_use_costs_the_pictures_only(folder: Path, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", index=str(folder / "library"))
    with LibraryIndex.open(str(folder / "library"), lane_fingerprints("float32")):
        written = write_run_report([run])
    assert "open in another process" in written.without_pictures


def test_an_index_of_other_documents_costs_the_pictures_only(folder: Path, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", "tools.pdf", index=str(folder / "library"))
    assert "has none of these pages" in write_run_report([run]).without_pictures


def test_a_report_loads_no_model_library(folder: Path, tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", index=str(folder / "library"))
    code = (
        "import sys; from pathlib import Path; from docrag.report import write_run_report\n"
        "assert not {'matplotlib', 'jinja2'} & sys.modules.keys()\n"
        f"assert not write_run_report([Path({str(run)!r})]).without_pictures\n"
        "print(*{'torch', 'transformers', 'ray', 'langchain', 'qdrant_client', 'pymupdf'} & sys.modules.keys())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert (ran.stdout.strip(), ran.stderr) == ("", "")


def test_pictures_may_be_left_out(tmp_path: Path) -> None:
    assert write_run_report([fruit_run(tmp_path / "run")], pictures=False).without_pictures == "they were left out on request"


def test_what_is_no_run_or_no_place_to_write_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no run is named"):
        write_run_report([])
    with pytest.raises(UsageError, match="no run folder"):
        write_run_report([tmp_path])
    run = small_run(tmp_path / "run")
    (tmp_path / "file").write_text("here", encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="can't write the report"):
        write_run_report([run], tmp_path / "file", pictures=False)
