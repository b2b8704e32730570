# pyright: basic
"""Between docrag's values and qdrant-client's models: configurations, points, queries and filters, there and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

import numpy as np
from qdrant_client import models  # noqa: TID253 -- this module is only imported to open such an index

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

_MAX_SIM = models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM)
_NO_HNSW = models.HnswConfigDiff(m=0)


def dense_vector(lane: LaneSchema) -> models.VectorParams:
    return models.VectorParams(
        size=lane.dim or 0,
        distance=models.Distance.DOT,
        datatype=models.Datatype.FLOAT16,
        multivector_config=_MAX_SIM,
        hnsw_config=_NO_HNSW,
        on_disk=lane.on_disk or None,
        quantization_config=_quantization(lane.quantization),
    )


def new_vector(lane: LaneSchema) -> models.DenseVectorNameConfig:
    config = models.DenseVectorConfig(
        size=lane.dim or 0,
        distance=models.Distance.DOT,
        multivector_config=_MAX_SIM,
        datatype=models.VectorStorageDatatype.FLOAT16,
    )
    return models.DenseVectorNameConfig(dense=config)


def settled_vector(lane: LaneSchema) -> models.VectorParamsDiff:
    quantization = _quantization(lane.quantization) or models.Disabled.DISABLED
    return models.VectorParamsDiff(hnsw_config=_NO_HNSW, on_disk=lane.on_disk, quantization_config=quantization)


def _quantization(quantization: Quantization) -> Any:
    if quantization == "binary":
        return models.BinaryQuantization(binary=models.BinaryQuantizationConfig(always_ram=True))
    if quantization == "turbo":
        config = models.TurboQuantQuantizationConfig(bits=models.TurboQuantBitSize.BITS4, always_ram=True)
        return models.TurboQuantization(turbo=config)
    return None


def stored_quantization(params: models.VectorParams) -> Quantization:
    if isinstance(params.quantization_config, models.BinaryQuantization):
        return "binary"
    return "turbo" if isinstance(params.quantization_config, models.TurboQuantization) else "none"


def update_operations(batch: Sequence[Point]) -> list[Any]:
    vectors = [models.PointVectors(id=point.id, vector=_vectors(point)) for point in batch if point.vectors]
    payloads = [
        models.SetPayloadOperation(set_payload=models.SetPayload(payload=dict(point.payload), points=[point.id]))
        for point in batch
        if point.payload
    ]
    update = models.UpdateVectorsOperation(update_vectors=models.UpdateVectors(points=vectors))
    return [update, *payloads] if vectors else list(payloads)


def point_struct(point: Point) -> models.PointStruct:
    return models.PointStruct(id=point.id, vector=_vectors(point), payload=dict(point.payload))


def _vectors(point: Point) -> Any:
    return {name: _model_vector(vector) for name, vector in point.vectors.items()}


def _model_vector(vector: Vector) -> Any:
    if isinstance(vector, SparseVector):
        return models.SparseVector(indices=list(vector.indices), values=list(vector.values))
    return to_lists(vector)


def query_request(query: LaneQuery, keys: Keys, quantized: Set[str]) -> models.QueryRequest:
    return models.QueryRequest(
        query=_model_vector(query.vector),
        using=query.lane,
        prefetch=None if query.prefetch is None else _prefetch(query, query.prefetch, quantized),
        limit=query.limit,
        filter=model_filter(query.where),
        with_payload=selector(keys if query.prefetch is None else ()),
        params=_params(query, quantized),
    )


def _prefetch(query: LaneQuery, prefetch: LaneQuery, quantized: Set[str]) -> models.Prefetch:
    coarse = models.SearchParams(quantization=models.QuantizationSearchParams(rescore=False))
    return models.Prefetch(
        query=_model_vector(prefetch.vector),
        using=prefetch.lane,
        limit=prefetch.limit,
        filter=model_filter(replace(query.where, lanes=(*query.where.lanes, query.lane))),
        params=coarse if prefetch.lane in quantized else _idf(prefetch),
    )


def _params(query: LaneQuery, quantized: Set[str]) -> models.SearchParams | None:
    if query.lane not in quantized:
        return _idf(query)
    if query.prefetch is not None:  # few enough to be scored with the vectors themselves
        return models.SearchParams(quantization=models.QuantizationSearchParams(ignore=True))
    quantization = models.QuantizationSearchParams(rescore=True, oversampling=OVERSAMPLING)
    return models.SearchParams(quantization=quantization)


def _idf(query: LaneQuery) -> models.SearchParams | None:
    if not isinstance(query.vector, SparseVector):
        return None
    # Counted over live points: the server's default statistics go on counting deleted ones.
    return models.SearchParams(idf=models.IdfCorpusParams(corpus=model_filter(query.idf_over) or models.Filter()))


def selector(keys: Keys) -> Any:
    if keys is None:
        return True
    return list(keys) or False


def model_filter(where: Where) -> models.Filter | None:
    if where == ANY:
        return None
    must = [*_conditions(where.must), *(models.HasVectorCondition(has_vector=lane) for lane in where.lanes)]
    if where.ids is not None:
        must.append(models.HasIdCondition(has_id=list(where.ids)))
    return models.Filter(must=must, must_not=_conditions(where.must_not))


def _conditions(wanted: Mapping[str, tuple[Any, ...]]) -> list[Any]:
    return [models.FieldCondition(key=key, match=models.MatchAny(any=list(values))) for key, values in wanted.items()]


def stored_point(record: Any) -> StoredPoint:
    vectors = {name: _read_vector(vector) for name, vector in (record.vector or {}).items()}
    return StoredPoint(str(record.id), record.payload or {}, vectors)


def _read_vector(vector: Any) -> Vector:
    if isinstance(vector, models.SparseVector):
        return SparseVector(tuple(vector.indices), tuple(vector.values))
    return np.asarray(vector, dtype=np.float16)
