"""The benchmark of the visual search at a tiny size: its data, its store, its figures."""

from __future__ import annotations

import dataclasses
import json
import uuid
from pathlib import Path

import numpy as np
import pytest

from bench import visual_search
from bench.visual_data import DIM, VisualData, grid_shape, patch_vectors, unit_rows
from bench.visual_search import WAYS, build_store, measure, search_store, to_markdown
from docrag.index.pooling import maxsim
from docrag.index.store import VISUAL
from docrag.types import DocumentRef, PageContent, PageRef

PAGES, REAL = 24, 9


def made_data() -> VisualData:
    """Nine pages of 6 x 4 patches, four documents; each question is made of patches of one page."""
    rng = np.random.default_rng(5)
    vectors = unit_rows(rng.normal(size=(REAL * 24, DIM))).astype(np.float16)
    sought = (1, 4, 8)
    return VisualData(
        vectors=vectors,
        shapes=np.asarray([[6, 4]] * REAL),
        documents=np.arange(REAL) // 3,
        queries=tuple(vectors[24 * page + np.arange(3)].astype(np.float32) for page in sought),
        asked=tuple(page // 3 for page in sought),
        evidence=tuple((page,) for page in sought),
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = build_store(made_data(), PAGES, tmp_path / "made")
    np.savez(folder / "queries.npz", *made_data().queries)
    return folder


def test_the_exact_search_is_maxsim_over_all_pages(store: Path) -> None:
    data = made_data()
    found = [row[0]["found"] for row in search_store(store, VISUAL, (10,))["questions"]]
    for query, ranked in zip(data.queries, found, strict=True):
        scores = [maxsim(query, data.page(number)[0]) for number in range(PAGES)]
        assert ranked == sorted(range(PAGES), key=lambda number: (-scores[number], str(uuid.UUID(int=number))))[:10]


def test_two_stages_that_prefetch_every_page_find_what_exact_search_finds(store: Path) -> None:
    for way in (WAYS[0], WAYS[1]):
        rows = search_store(store, way.lane, (0, 3, PAGES))["questions"]
        assert all(exact["found"] == staged["found"] for exact, _, staged in rows)
        assert [len(few["found"]) for _, few, _ in rows] == [3, 3, 3]


def test_a_store_that_is_made_is_kept_and_a_half_made_one_is_not(store: Path) -> None:
    before = (store / "made").stat().st_mtime_ns
    assert build_store(made_data(), PAGES, store) == store
    assert (store / "made").stat().st_mtime_ns == before
    (store / "made").unlink()
    build_store(made_data(), 3, store)
    np.savez(store / "queries.npz", *made_data().queries)
    assert [len(row[0]["found"]) for row in search_store(store, VISUAL, (10,))["questions"]] == [3, 3, 3]


def test_the_figures_of_a_whole_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes of their own, as it is run, for two ways."""
    monkeypatch.setattr(visual_search, "WAYS", (WAYS[0], WAYS[-1]))
    made_data().save(tmp_path / "data.npz")
    result = measure(tmp_path / "data.npz", PAGES, tmp_path)
    assert (result["pages"], result["questions"], result["vectors_a_page"]) == (PAGES, 3, 24.0)
    assert result["raw_mib"] == round(PAGES * 24 * DIM * 2 / 2**20, 1)
    assert result["evidence_found"] == 1.0
    assert [way["lane"] for way in result["ways"]] == ["hierarchical-none", "one mean-none"]
    assert all(way["anonymous_mib"] > 1 and way["lane_mib"] > 0 for way in result["ways"])
    assert {tried["recall"] for way in result["ways"] for tried in way["prefetch"]} == {1.0}
    assert result["best"]["lane"] == "hierarchical-none"
    assert (result["own"]["lane"], result["own"]["races"], result["own"]["recall"]) == ("hierarchical-none", 3, 1.0)
    text = to_markdown(json.loads(json.dumps({"sizes": [result]})))
    assert "### 24 pages" in text
    assert text.count("\n| ") == 1 + 2 * 3


def test_data_are_the_same_when_read_back_and_copies_are_others(tmp_path: Path) -> None:
    data = dataclasses.replace(made_data(), evidence=((1, 2), (), (8,)))
    data.save(tmp_path / "data.npz")
    again = VisualData.load(tmp_path / "data.npz")
    assert (again.asked, again.evidence) == (data.asked, data.evidence)
    for number in (0, 8, REAL, 2 * REAL + 3):
        np.testing.assert_array_equal(again.page(number)[0], data.page(number)[0])
    likeness = (data.page(REAL)[0].astype(np.float32) * data.page(0)[0].astype(np.float32)).sum(axis=1)
    assert 0.5 < likeness.mean() < 0.95
    np.testing.assert_allclose(np.linalg.norm(data.page(REAL)[0].astype(np.float32), axis=1), 1.0, atol=2e-3)


def test_a_patch_holds_the_words_in_its_middle_and_blank_paper_the_pages_mean() -> None:
    states = np.eye(2, DIM, dtype=np.float32)
    patches = patch_vectors(states, np.asarray([[0.05, 0.05], [0.95, 0.05]], np.float32), (10, 10))
    assert patches.shape == (100, DIM)
    assert patches[0] @ states[0] > 0.98
    assert patches[9] @ states[1] > 0.98
    np.testing.assert_allclose(patches[-1], unit_rows(states.mean(axis=0, keepdims=True))[0], atol=1e-4)


@pytest.mark.parametrize(("size", "shape"), [((612, 792), (30, 23)), ((792, 612), (23, 30)), ((10, 9000), (700, 1))])
def test_a_grid_has_the_proportions_of_its_page(size: tuple[float, float], shape: tuple[int, int]) -> None:
    page = PageContent(PageRef(DocumentRef("0" * 64, 1), 0), *size, "", np.zeros((0, 4), np.float32), "none")
    assert grid_shape(page) == shape
