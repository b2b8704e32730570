"""A page's visual vectors pooled to a few dozen, for the first stage of the search, and MaxSim in plain numpy.

`hierarchical`: the means of Ward's clusters of like vectors, wherever on the page they lie (Clavie, Chaffin and Adams 2024,
https://arxiv.org/abs/2409.14683). It is the default: `bench/visual_search.py` finds more with it than with the other at every
size of library, at the price of 8 ms a page when it is ingested. (colpali-engine's `HierarchicalTokenPooler` clusters the rows
of the similarity matrix instead of the vectors, which takes several times as long.)

`rows_columns`: the mean of each row and of each column of the page's grid of patches. Means of rows alone are Qdrant's recipe
for ColPali (https://qdrant.tech/blog/colpali-qdrant-optimization, 2024: 1,030 vectors to 38, recall@20 0.92, where the maximum
of each row keeps 0.76), with columns as well in https://qdrant.tech/documentation/advanced-tutorials/pdf-retrieval-at-scale.

Means are brought to length 1: unscaled they find less, both ways. Vectors that belong to no patch (the prompt's tokens) are
kept as they are, as in Qdrant's recipe: the exact search sees them too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from docrag.config import Pooling
from docrag.visual import PatchBlock

DEFAULT: Pooling = "hierarchical"
FACTOR = 14  # hierarchical: about as many vectors as rows and columns are, at 700 patches a page
_DECIMALS = 6  # to which corners of blocks agree
_TINY = 1e-12

Array = NDArray[np.float16] | NDArray[np.float32]


def pool_page(
    vectors: Array, blocks: Sequence[PatchBlock], method: Pooling = DEFAULT, factor: int = FACTOR
) -> NDArray[np.float16]:
    """[n, dim] to float16 [m, dim] with 1 <= m <= about n, rows of length 1 (a mean of zero stays zero).

    `factor` is for `hierarchical` alone: how many patches become one. Raises ValueError where a block ends after the vectors.
    """
    if any(block.stop > len(vectors) for block in blocks):
        raise ValueError(f"a block of patches ends after the page's {len(vectors)} visual vectors")
    wide = vectors.astype(np.float32)
    prompt = np.ones(len(wide), bool)
    for block in blocks:
        prompt[block.start : block.stop] = False
    if method == "rows_columns":
        means = [mean for grid in _grids(wide, blocks) for mean in (grid.mean(axis=1), grid.mean(axis=0))]
    else:
        means = [cluster_means(wide[~prompt], factor)]
    return np.concatenate([*(_unit_rows(mean) for mean in means), wide[prompt]]).astype(np.float16)


def maxsim(query: NDArray[np.float32], page: Array) -> float:
    """The sum over the rows of `query` [q, dim] of each one's largest dot product with a row of `page` [n, dim]
    (Khattab and Zaharia 2020, https://arxiv.org/abs/2004.12832)."""
    return float((query @ page.astype(np.float32).T).max(axis=1).sum())


def cluster_means(vectors: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """The means of Ward's clusters: [n, dim] to [about n / factor, dim]. 8 ms for 700 vectors of 128 numbers."""
    if len(vectors) <= max(factor, 1):
        return vectors.mean(axis=0, keepdims=True) if len(vectors) else vectors
    owners = _ward_owners(vectors, len(vectors) // factor)
    sums = np.zeros((int(owners.max()) + 1, vectors.shape[1]), np.float32)
    np.add.at(sums, owners, vectors)
    return sums / np.bincount(owners)[:, None].astype(np.float32)


def _ward_owners(vectors: NDArray[np.float32], clusters: int) -> NDArray[np.intp]:
    """The cluster, from 0 on, of each vector; ties may leave a few clusters less."""
    from scipy.cluster import hierarchy

    tree: Any = hierarchy.linkage(_distances(vectors), "ward")  # pyright: ignore[reportUnknownVariableType]
    owners: Any = hierarchy.fcluster(tree, t=clusters, criterion="maxclust")  # pyright: ignore[reportUnknownVariableType]
    return np.asarray(owners, np.intp) - 1


def _distances(vectors: NDArray[np.float32]) -> Any:
    """Euclidean, in the order that scipy calls condensed. By one matrix product: an eighth of the time of scipy's `pdist`."""
    from scipy.spatial.distance import squareform

    squares = np.einsum("nd,nd->n", vectors, vectors)
    distances = np.sqrt(np.maximum(squares[:, None] + squares - 2 * (vectors @ vectors.T), 0))
    return squareform(distances, checks=False)


def _grids(vectors: NDArray[np.float32], blocks: Sequence[PatchBlock]) -> list[NDArray[np.float32]]:
    """[rows, columns, dim] for each look at the page: tiles that make up one are put together first."""
    grids: list[NDArray[np.float32]] = []
    for look in _looks(blocks):
        lines: dict[float, list[PatchBlock]] = {}
        for block in sorted(look, key=lambda block: (block.area[1], block.area[0])):
            lines.setdefault(round(block.area[1], _DECIMALS), []).append(block)
        parts = [[_grid(vectors, block) for block in line] for line in lines.values()]
        if len({len(line) for line in parts}) == 1:
            grids.append(np.concatenate([np.concatenate(line, axis=1) for line in parts]))
        else:
            grids.extend(grid for line in parts for grid in line)
    return grids


def _looks(blocks: Iterable[PatchBlock]) -> list[list[PatchBlock]]:
    """The blocks by the size of what they cover and by their numbers of rows and columns."""
    looks: dict[tuple[float, ...], list[PatchBlock]] = {}
    for block in blocks:
        x0, y0, x1, y1 = block.area
        key = (round(x1 - x0, _DECIMALS), round(y1 - y0, _DECIMALS), block.rows, block.columns)
        looks.setdefault(key, []).append(block)
    return list(looks.values())


def _grid(vectors: NDArray[np.float32], block: PatchBlock) -> NDArray[np.float32]:
    return vectors[block.start : block.stop].reshape(block.rows, block.columns, -1)


def _unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)
