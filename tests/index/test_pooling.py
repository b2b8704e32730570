"""Pooling against loops written out, and MaxSim against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from docrag.index.pooling import cluster_means, maxsim, pool_page
from docrag.visual import PatchBlock

WHOLE = (0.0, 0.0, 1.0, 1.0)


def page(vectors: int, dim: int = 8, seed: int = 0) -> NDArray[np.float16]:
    drawn = np.random.default_rng(seed).normal(size=(vectors, dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float16)


def unit(vector: NDArray[np.floating]) -> NDArray[np.float32]:
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def test_rows_then_columns_then_the_prompt_as_it_was() -> None:
    vectors = page(2 + 3 * 4 + 1)
    pooled = pool_page(vectors, [PatchBlock(2, 3, 4, WHOLE)], "rows_columns")
    patches = vectors[2:14].astype(np.float32).tolist()
    rows = [unit(np.mean([patches[4 * row + column] for column in range(4)], axis=0)) for row in range(3)]
    columns = [unit(np.mean([patches[4 * row + column] for row in range(3)], axis=0)) for column in range(4)]
    assert pooled.dtype == np.float16
    np.testing.assert_allclose(pooled[:7], np.asarray([*rows, *columns]), atol=1e-3)
    np.testing.assert_array_equal(pooled[7:], vectors[[0, 1, 14]])


def test_tiles_of_one_look_are_put_together_and_the_overview_is_a_grid_of_its_own() -> None:
    """Two by two tiles of 2 x 3 patches make a grid of 4 x 6; then comes an overview of 2 x 3."""
    vectors = page(5 * 6)
    tiles = [
        PatchBlock(6 * number, 2, 3, (x, y, x + 0.5, y + 0.5))
        for number, (y, x) in enumerate([(0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5)])
    ]
    pooled = pool_page(vectors, [*tiles, PatchBlock(24, 2, 3, WHOLE)], "rows_columns")
    assert len(pooled) == (4 + 6) + (2 + 3)
    top_line = unit(np.concatenate([vectors[0:3], vectors[6:9]]).astype(np.float32).mean(axis=0))
    left_column = unit(vectors[[0, 3, 12, 15]].astype(np.float32).mean(axis=0))
    np.testing.assert_allclose(pooled[0], top_line, atol=1e-3)
    np.testing.assert_allclose(pooled[4], left_column, atol=1e-3)
    np.testing.assert_allclose(pooled[10], unit(vectors[24:27].astype(np.float32).mean(axis=0)), atol=1e-3)


def test_tiles_that_make_no_rectangle_are_pooled_one_by_one() -> None:
    corners = [(0.0, 0.0), (0.0, 0.5), (0.5, 0.0)]
    tiles = [PatchBlock(4 * number, 2, 2, (x, y, x + 0.5, y + 0.5)) for number, (y, x) in enumerate(corners)]
    assert len(pool_page(page(12), tiles, "rows_columns")) == 3 * 4


def test_ward_finds_the_clusters_that_are_there_wherever_they_lie() -> None:
    centers = np.eye(4, 16)
    owners = np.random.default_rng(1).permutation(np.repeat(np.arange(4), 10))
    noise = np.random.default_rng(2).normal(scale=0.01, size=(40, 16))
    vectors = (centers[owners] + noise).astype(np.float16)
    pooled = pool_page(vectors, [PatchBlock(0, 5, 8, WHOLE)], "hierarchical", factor=10)
    expected = [unit(vectors[owners == owner].astype(np.float32).mean(axis=0)) for owner in range(4)]
    assert pooled.shape == (4, 16)
    order = np.argmax(pooled.astype(np.float32) @ np.eye(16, 4), axis=1)
    assert sorted(order) == [0, 1, 2, 3]
    np.testing.assert_allclose(pooled, np.asarray(expected)[order], atol=1e-3)


@pytest.mark.parametrize(("vectors", "factor", "expected"), [(700, 10, 70), (700, 3, 233), (9, 10, 1), (1, 10, 1), (5, 1, 5)])
def test_the_factor_says_how_many_are_left(vectors: int, factor: int, expected: int) -> None:
    assert cluster_means(page(vectors, 32).astype(np.float32), factor).shape == (expected, 32)


@pytest.mark.parametrize("method", ["rows_columns", "hierarchical"])
def test_rows_have_length_one_whatever_the_page(method: str) -> None:
    """A white page has patches all alike, a page of one pixel a single one; nothing there is not a number."""
    white = np.repeat(page(1), 600, axis=0)
    for vectors, block in [(white, (20, 30)), (page(1), (1, 1)), (page(30), (1, 30)), (page(7), (7, 1))]:
        pooled = pool_page(vectors, [PatchBlock(0, *block, WHOLE)], method)  # type: ignore[arg-type]
        np.testing.assert_allclose(np.linalg.norm(pooled.astype(np.float32), axis=1), 1.0, atol=2e-3)
    assert np.isfinite(pool_page(np.zeros((6, 8), np.float16), [PatchBlock(0, 2, 3, WHOLE)], method)).all()  # type: ignore[arg-type]


def test_a_page_without_blocks_is_kept_whole() -> None:
    vectors = page(3)
    for method in ("rows_columns", "hierarchical"):
        np.testing.assert_array_equal(pool_page(vectors, [], method), vectors)


def test_a_block_that_ends_after_the_vectors_is_refused() -> None:
    with pytest.raises(ValueError, match="ends after the page's 11 visual vectors"):
        pool_page(page(11), [PatchBlock(0, 3, 4, WHOLE)], "rows_columns")


def test_maxsim_is_the_sum_of_each_rows_best() -> None:
    query, stored = page(5, seed=3).astype(np.float32), page(50, seed=4)
    expected = sum(max(float(np.dot(row, other.astype(np.float32))) for other in stored) for row in query)
    assert maxsim(query, stored) == pytest.approx(expected, abs=1e-4)
    assert maxsim(-stored[:1].astype(np.float32), stored[:1]) == pytest.approx(-1.0, abs=2e-3)
