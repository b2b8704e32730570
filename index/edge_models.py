# pyright: basic
"""Between docrag's values and Qdrant Edge's: configurations, points, queries and filters, there and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge  # noqa: TID253 -- this module is only imported to open an embedded index

from docrag.errors import IndexDamaged
from docrag.index.payload import RESTORE_HINT
from docrag.index.store import (
    ANY,
    OVERSAMPLING,
    Keys,
    LaneQuery,
    LaneSchema,
    Point,
    Quantization,
    StoredPoint,
    Vector,
    Where,
    to_lists,
)
from docrag.types import SparseVector

CONFIG = "edge_config.json"
_NEVER_KB = 10**9
MAX_SIM = edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim)


def stored_lanes(path: Path) -> dict[str, LaneSchema]:
    """The lanes of the shard at `path`, from the configuration that Edge keeps beside it: it tells them in no other way."""
    try:
        config = json.loads((path / CONFIG).read_text("utf-8"))
        dense = [
            LaneSchema(name, params["size"], _stored_quantization(params), params.get("memory") == "cold")
            for name, params in (config.get("vectors") or {}).items()
        ]
        sparse = [LaneSchema(name) for name in config.get("sparse_vectors") or {}]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexDamaged(f"the index at {path} can't be read or written: {CONFIG}: {error!r}", RESTORE_HINT) from error
    return {lane.name: lane for lane in [*dense, *sparse]}


def _stored_quantization(params: Mapping[str, Any]) -> Quantization:
    kept = params.get("quantization_config") or {}
    return "binary" if "binary" in kept else "turbo" if "turbo" in kept else "none"


def shard_config(lanes: Iterable[LaneSchema]) -> Any:
    lanes = list(lanes)
    return edge.EdgeConfig(
        vectors={lane.name: _dense(lane) for lane in lanes if lane.dim is not None},
        sparse_vectors={
            lane.name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf) for lane in lanes if lane.dim is None
        },
        payload_memory=edge.Memory.Cold,
        # A segment that may be written to serves a scan as well as a finished one; a finished one is copied page by page when
        # a lane is added to it.
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=_NEVER_KB),
    )


def _dense(lane: LaneSchema) -> Any:
    return edge.EdgeVectorParams(
        size=lane.dim or 0,
        distance=edge.Distance.Dot,
        datatype=edge.VectorStorageDatatype.Float16,
        multivector_config=MAX_SIM,
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
        memory=edge.Memory.Cold if lane.on_disk else None,
        quantization_config=_quantization(lane.quantization),
    )


def _quantization(quantization: Quantization) -> Any:
    if quantization == "binary":
        return edge.BinaryQuantizationConfig(memory=edge.Memory.Cached)
    if quantization == "turbo":
        return edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4, memory=edge.Memory.Cached)
    return None


def edge_point(point: Point) -> Any:
    return edge.Point(point.id, edge_vectors(point), dict(point.payload))


def edge_vectors(point: Point) -> dict[str, Any]:
    return {name: _edge_vector(vector) for name, vector in point.vectors.items()}


def _edge_vector(vector: Vector) -> Any:
    if isinstance(vector, SparseVector):
        return edge.SparseVector(list(vector.indices), list(vector.values))
    return to_lists(vector)


def edge_query(query: LaneQuery, keys: Keys, lanes: Mapping[str, LaneSchema]) -> Any:
    stages = [] if query.prefetch is None else [_edge_prefetch(query, query.prefetch, lanes)]
    return edge.QueryRequest(
        limit=query.limit,
        query=edge.Query.Nearest(_edge_vector(query.vector), using=query.lane),
        prefetches=stages,
        filter=edge_filter(query.where),
        with_payload=selector(keys if query.prefetch is None else ()),
        params=_params(query, lanes),
    )


def _edge_prefetch(query: LaneQuery, prefetch: LaneQuery, lanes: Mapping[str, LaneSchema]) -> Any:
    quantization = edge.QuantizationSearchParams(rescore=False) if _is_quantized(prefetch, lanes) else None
    return edge.Prefetch(
        limit=prefetch.limit,
        query=edge.Query.Nearest(_edge_vector(prefetch.vector), using=prefetch.lane),
        filter=edge_filter(replace(query.where, lanes=(*query.where.lanes, query.lane))),
        params=_idf(prefetch) or (quantization and edge.SearchParams(quantization=quantization)),
    )


def _params(query: LaneQuery, lanes: Mapping[str, LaneSchema]) -> Any:
    if not _is_quantized(query, lanes):
        return _idf(query)
    if query.prefetch is not None:  # few enough to be scored with the vectors themselves
        return edge.SearchParams(quantization=edge.QuantizationSearchParams(ignore=True))
    return edge.SearchParams(quantization=edge.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING))


def _is_quantized(query: LaneQuery, lanes: Mapping[str, LaneSchema]) -> bool:
    return lanes[query.lane].quantization != "none"


def _idf(query: LaneQuery) -> Any:
    # Without a corpus Edge reads document frequencies off the inverted index, which goes on counting deleted and
    # overwritten points: scores would depend on the index's history.
    sparse = isinstance(query.vector, SparseVector)
    return edge.SearchParams(idf=edge.IdfParams(edge_filter(query.idf_over) or edge.Filter())) if sparse else None


def selector(keys: Keys) -> Any:
    if keys is None:
        return True
    return list(keys) or False


def edge_filter(where: Where) -> Any:
    if where == ANY:
        return None
    must = [*_conditions(where.must), *map(edge.HasVectorCondition, where.lanes)]
    if where.ids is not None:
        must.append(edge.HasIdCondition(set(where.ids)))
    return edge.Filter(must=must, must_not=_conditions(where.must_not))


def _conditions(wanted: Mapping[str, tuple[Any, ...]]) -> list[Any]:
    return [edge.FieldCondition(key, match=edge.MatchAny(list(values))) for key, values in wanted.items()]


def stored_point(record: Any) -> StoredPoint:
    vectors = {name: _read_vector(vector) for name, vector in (record.vector or {}).items()}
    return StoredPoint(str(record.id), record.payload or {}, vectors)


def _read_vector(vector: Any) -> Vector:
    if isinstance(vector, edge.SparseVector):
        return SparseVector(tuple(vector.indices), tuple(vector.values))
    return np.asarray(vector, dtype=np.float16)
