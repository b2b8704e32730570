"""The visual lane's pass, with a real model of random weights: what it writes, what it owes after trouble, what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from docrag.cli import main
from docrag.errors import EnvironmentFault
from docrag.index.library_index import LibraryIndex, of_document
from docrag.index.verify import verify
from docrag.index.visual_encoder import ImageFailure, ImageVectors, QuestionVectors, VisualEncoder
from docrag.index.visual_models import open_visual
from docrag.ingest.ledger import IngestOptions
from docrag.ingest.render import render_pixels
from docrag.ingest.run_local import Encoders, ingest
from docrag.ingest.run_visual import CPU_BATCH_VECTORS
from docrag.testing import HashEncoder
from docrag.types import IngestReport
from tests.ingest import hostile
from tests.libraries import QUICK, bring, check_same, check_sums, open_index, snapshot

WAYS = {"pooling": "hierarchical", "quantization": "none"}


@pytest.fixture(scope="module")
def encoder(colqwen: Path) -> VisualEncoder:
    torch.set_num_threads(1)  # so small a model is slower on two, and far slower where they are busy
    return open_visual(str(colqwen), "cpu", "float32")


class Troubled:
    """An encoder with `trouble`: it sees each image's number, from 0, and may raise or answer in the encoder's place."""

    def __init__(self, encoder: VisualEncoder, trouble: Callable[[int], ImageFailure | None]) -> None:
        self._encoder, self._trouble, self.seen = encoder, trouble, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def count_vectors(self, image_size_px: tuple[int, int]) -> int:
        return CPU_BATCH_VECTORS // 2  # two pages a batch

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> list[ImageVectors | ImageFailure]:
        found: list[ImageVectors | ImageFailure] = []
        for image in images:
            trouble = self._trouble(self.seen)
            self.seen += 1
            found += [trouble] if trouble else self._encoder.encode_images([image])
        return found

    def encode_question(self, question: str) -> QuestionVectors:
        return self._encoder.encode_question(question)


def no_trouble(number: int) -> None: ...


def look(folder: Path, encoder: VisualEncoder, *names: Path, **options: Any) -> IngestReport:
    """Ingest with the visual lane, which is added where it is missing."""
    with open_index(folder) as index:
        lane = replace(encoder.fingerprint, settings={**encoder.fingerprint.settings, **WAYS})
        if index.visual is None:
            index.add_visual(lane, encoder.source, encoder.dim, encoder.max_vectors)
        report = ingest(
            index, Encoders(HashEncoder, lambda: encoder), [str(name) for name in names], QUICK, IngestOptions(**options)
        )
        check_sums(report)
        return report


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """An index of two documents, of five pages and of one turned page, without a visual lane."""
    pages = [f"page {number} speaks of whales and their weight in tonnes" for number in range(5)]
    files = [hostile.text_pdf(tmp_path / "whales.pdf", pages), hostile.text_pdf(tmp_path / "sideways.pdf", ["x"], rotation=90)]
    bring(tmp_path / "index", *files)
    return tmp_path / "index"


def test_the_lane_is_added_to_what_is_there_and_nothing_else_changes(library: Path, encoder: VisualEncoder) -> None:
    before = snapshot(library)
    report = look(library, encoder)
    assert (report.documents.ok, report.pages.ok, report.visual, report.failures) == (2, 6, 6, ())
    assert report.encoder == f"{encoder.fingerprint.encoder} on cpu in float32"
    with open_index(library) as index:
        assert verify(index).damages == ()
        assert {record.visual for record in index.documents()} == {index.visual_mark}
        index.remove_visual()
    check_same(snapshot(library), before)


def test_vectors_are_those_of_the_drawn_page(library: Path, encoder: VisualEncoder) -> None:
    look(library, encoder)
    with open_index(library) as index:
        for record in index.documents():
            page = next(
                iter(index.store.scroll("pages", of_document(record.document.sha256), lanes=("visual", "visual_pooled")))
            )
            size = encoder.image_size_px(page.payload["width_pt"], page.payload["height_pt"])
            pixels = render_pixels(str(index.blobs.path(record.document.sha256)), page.payload["page_index"], size)
            (wanted,) = encoder.encode_images([pixels])
            assert isinstance(wanted, ImageVectors)
            found = np.asarray(page.vectors["visual"], np.float32)
            cosines = (found * wanted.vectors.astype(np.float32)).sum(axis=1)
            assert found.shape == wanted.vectors.shape
            assert cosines.min() > 0.999
            layout = index.visual_layout([page.id])[page.id]
            assert (layout.image_size_px, layout.blocks) == (size, wanted.blocks)
            assert layout.pixels_per_pt == pytest.approx(size[0] / page.payload["width_pt"])
            assert 0 < len(page.vectors["visual_pooled"]) < len(found)  # type: ignore[arg-type]


def test_a_rerun_loads_no_model(library: Path, encoder: VisualEncoder) -> None:
    look(library, encoder)

    def never() -> VisualEncoder:
        raise AssertionError("nothing owes its vectors")

    with open_index(library) as index:
        report = ingest(index, Encoders(HashEncoder, never), [], QUICK, IngestOptions())
    assert (report.visual, report.documents.attempted) == (0, 0)


def test_after_a_crash_only_what_is_owed_is_embedded(library: Path, encoder: VisualEncoder) -> None:
    def crash(number: int) -> None:
        if number == 3:
            raise EnvironmentFault("the cable is out")

    broken = Troubled(encoder, crash)
    with pytest.raises(EnvironmentFault, match="the cable is out"):
        look(library, broken)
    with open_index(library) as index:
        assert verify(index).damages == ()
        owed = sum(len(index.visual_owed(record.document.sha256, lambda failure: False)) for record in index.documents())
    assert owed == 4  # one batch of two pages was written
    sound = Troubled(encoder, no_trouble)
    report = look(library, sound)
    assert (sound.seen, report.visual, report.pages.failed) == (4, 4, 0)
    with open_index(library) as index:
        assert verify(index).damages == ()


def test_a_page_that_fails_keeps_its_text_and_is_tried_again_on_request(library: Path, encoder: VisualEncoder) -> None:
    bad = ImageFailure("NotFinite", "the model gave NaN", "try float32", "nothing")
    report = look(library, Troubled(encoder, lambda number: bad if number == 2 else None))
    assert (report.pages.ok, report.pages.failed, report.documents.ok) == (5, 1, 2)
    (failure,) = report.failures
    assert (failure.stage, failure.error, failure.message) == ("look", "NotFinite", "the model gave NaN")
    with open_index(library) as index:
        assert sorted(record.status for record in index.documents()) == ["complete", "partial"]
        assert sum(len(content.text.split()) for content in contents(index)) > 40
        assert verify(index).damages == ()
    again = Troubled(encoder, no_trouble)
    assert look(library, again).visual == 0  # the same page would fail again
    report = look(library, again, checksum=True)
    assert (again.seen, report.visual, report.pages.failed) == (1, 1, 0)


def contents(index: LibraryIndex) -> list[Any]:
    ids = [page.id for page in index.store.scroll("pages", keys=())]
    return index.page_contents(ids)


def test_an_encrypted_document_wants_its_password_again(tmp_path: Path, encoder: VisualEncoder) -> None:
    secret = hostile.encrypted_pdf(tmp_path / "secret.pdf", "the vault is green", "key")
    bring(tmp_path / "index", secret, password="key")
    report = look(tmp_path / "index", encoder)
    assert [(failure.stage, failure.lacked) for failure in report.failures] == [("draw", "password")]
    report = look(tmp_path / "index", encoder, secret, password="key")
    assert (report.visual, report.failures) == (1, ())


def test_a_new_document_gets_both(library: Path, encoder: VisualEncoder, tmp_path: Path) -> None:
    look(library, encoder)
    new = hostile.text_pdf(tmp_path / "new.pdf", ["one", "two"])
    report = look(library, encoder, new)
    assert (report.documents.ok, report.pages.ok, report.visual) == (1, 2, 2)
    with open_index(library) as index:
        assert index.visual_progress().pages_owing == 0


def test_command_line(library: Path, colqwen: Path, colidefics: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def here(*arguments: object) -> tuple[int, str, str]:
        """In this process, which has the libraries loaded: exit code, stdout, stderr."""
        code = main([*map(str, arguments), "--index", str(library)])
        return code, *capsys.readouterr()

    code, output, errors = here("ingest", "--visual", colqwen, "--device", "cpu", "--json")
    assert (code, json.loads(output)["pages"]["visual"]) == (0, 6), errors
    code, _, errors = here("ingest", "--visual", colidefics)
    assert code == 2
    assert "was made with another model" in errors
    assert "docrag delete --visual" in errors
    code, _, errors = here("ingest", "--visual", colqwen, "--pooling", "rows_columns")
    assert code == 2
    assert "pooling is 'hierarchical' in the index, asked for was 'rows_columns'" in errors
    assert here("delete", "--visual")[:2] == (0, "deleted the visual lane\n")
    assert here("delete")[0] == 2
