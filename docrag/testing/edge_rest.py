# pyright: basic
"""Between the JSON of Qdrant's REST API and Qdrant Edge's values, for the part of the API that docrag uses.

Written from the API's side, and without docrag's own adapters: a mistake in those is to be found here, not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import qdrant_edge as edge  # noqa: TID253 -- this module is only imported to run the stand-in

Json = Mapping[str, Any]

MAX_MULTIVECTOR_NUMBERS = 1_048_576
_CONFIG = "edge_config.json"
_NEVER_KB = 10**9
_DISTANCES = {"Dot": edge.Distance.Dot, "Cosine": edge.Distance.Cosine, "Euclid": edge.Distance.Euclid}
_DATATYPES = {
    "float16": edge.VectorStorageDatatype.Float16,
    "float32": edge.VectorStorageDatatype.Float32,
    "uint8": edge.VectorStorageDatatype.Uint8,
}


class RestError(Exception):
    """A request that is refused: an HTTP status, and the text that stands in the answer as Qdrant words it."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


def unknown(what: str) -> RestError:
    """For what Qdrant may well do, and docrag never asks for."""
    return RestError(501, f"docrag's stand-in for Qdrant does not know {what}")


def stored_params(shard: Path) -> dict[str, Any]:
    """`vectors` and `sparse_vectors` of a collection, as the API shows them, from what Edge keeps beside its data."""
    config = json.loads((shard / _CONFIG).read_text("utf-8"))
    return {
        "vectors": {name: _rest_vector(kept) for name, kept in (config.get("vectors") or {}).items()},
        "sparse_vectors": {name: {"modifier": "idf"} for name in config.get("sparse_vectors") or {}},
        "on_disk_payload": True,
    }


def _rest_vector(kept: Json) -> dict[str, Any]:
    params = {key: kept[key] for key in ("size", "distance", "multivector_config", "datatype") if kept.get(key) is not None}
    if kept.get("memory") == "cold":
        params["on_disk"] = True
    quantization = kept.get("quantization_config") or {}
    if "binary" in quantization:
        params["quantization_config"] = {"binary": {"always_ram": True}}
    if "turbo" in quantization:
        params["quantization_config"] = {"turbo": {"bits": quantization["turbo"].get("bits", "bits4"), "always_ram": True}}
    return params


def shard_config(params: Json) -> Any:
    """A shard's configuration from `vectors` and `sparse_vectors` as a collection is created with them."""
    return edge.EdgeConfig(
        vectors={name: _edge_vector_params(vector) for name, vector in (params.get("vectors") or {}).items()},
        sparse_vectors={
            name: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf) for name in params.get("sparse_vectors") or {}
        },
        payload_memory=edge.Memory.Cold,
        optimizers=edge.EdgeOptimizersConfig(indexing_threshold=_NEVER_KB),
    )


def _edge_vector_params(params: Json) -> Any:
    return edge.EdgeVectorParams(
        size=params["size"],
        distance=_DISTANCES[params["distance"]],
        datatype=_DATATYPES[params.get("datatype") or "float32"],
        multivector_config=_multivector(params),
        hnsw_config=edge.HnswIndexConfig(m=0, ef_construct=100, full_scan_threshold=10_000),
        memory=edge.Memory.Cold if params.get("on_disk") else None,
        quantization_config=_quantization(params.get("quantization_config")),
    )


def _multivector(params: Json) -> Any:
    return edge.MultiVectorConfig(edge.MultiVectorComparator.MaxSim) if params.get("multivector_config") else None


def _quantization(config: Any) -> Any:
    if not config or config == "Disabled":
        return None
    if "binary" in config:
        return edge.BinaryQuantizationConfig(memory=edge.Memory.Cached)
    if config.get("turbo", {}).get("bits") == "bits4":
        return edge.TurboQuantQuantizationConfig(bits=edge.TurboQuantBitSize.Bits4, memory=edge.Memory.Cached)
    raise unknown(f"the quantization {config}")


def new_vector(name: str, config: Json) -> Any:
    """The operation that adds the named vector of a `VectorNameConfig`."""
    params = config.get("dense")
    if not params:
        raise unknown(f"how to add a vector that is not dense: {config}")
    datatype = _DATATYPES[params.get("datatype") or "float32"]
    return edge.UpdateOperation.create_dense_vector(
        name, params["size"], _DISTANCES[params["distance"]], _multivector(params), datatype
    )


def update_operation(kind: str, body: Json) -> Any:
    """One write of points: `kind` as in the API's batch of operations, `body` as under that key."""
    operations = edge.UpdateOperation
    if kind == "upsert":
        return operations.upsert_points(
            [edge.Point(_id(point["id"]), _vectors(point), point.get("payload") or {}) for point in body["points"]]
        )
    if kind == "update_vectors":
        return operations.update_vectors([edge.PointVectors(_id(point["id"]), _vectors(point)) for point in body["points"]])
    ids, where = _chosen(body)
    if kind == "delete":
        return operations.delete_points(ids) if where is None else operations.delete_points_by_filter(where)
    if kind == "set_payload":
        payload = body["payload"]
        return operations.set_payload(ids, payload) if where is None else operations.set_payload_by_filter(where, payload)
    if kind == "delete_payload":
        keys = body["keys"]
        return operations.delete_payload(ids, keys) if where is None else operations.delete_payload_by_filter(where, keys)
    raise unknown(f"the operation {kind!r}")


def _chosen(body: Json) -> tuple[list[Any], Any]:
    """Which points an operation is for: their ids, or the filter that they pass."""
    if body.get("points") is not None:
        return [_id(id_) for id_ in body["points"]], None
    if body.get("filter") is None:
        raise RestError(400, "Wrong input: either points or filter is required")
    return [], read_filter(body["filter"]) or edge.Filter()


def _id(id_: Any) -> Any:
    try:
        return id_ if isinstance(id_, int) else str(UUID(id_))
    except (ValueError, AttributeError, TypeError):
        text = f"value {id_} is not a valid point ID, valid values are either an unsigned integer or a UUID"
        raise RestError(400, f"Format error in JSON body: {text}") from None


def _vectors(point: Json) -> dict[str, Any]:
    return {name: _checked_vector(vector) for name, vector in (point.get("vector") or {}).items()}


def _checked_vector(vector: Any) -> Any:
    """A vector to store, if it passes what a server checks of it and Edge does not."""
    if isinstance(vector, Mapping):
        if len(set(vector["indices"])) != len(vector["indices"]):
            raise RestError(422, "Validation error in JSON body: [vector.indices: must be unique]")
    elif not vector or (isinstance(vector[0], list) and sum(map(len, vector)) > MAX_MULTIVECTOR_NUMBERS):
        raise RestError(422, f"Validation error in JSON body: [vector: takes 1 to {MAX_MULTIVECTOR_NUMBERS} numbers]")
    return _vector(vector)


def _vector(vector: Any) -> Any:
    return edge.SparseVector(vector["indices"], vector["values"]) if isinstance(vector, Mapping) else vector


def read_filter(body: Any) -> Any:
    """A filter; None where it lets everything pass."""
    if not body:
        return None
    if set(body) - {"must", "must_not"}:
        raise unknown(f"a filter with {sorted(body)}")
    return edge.Filter(must=_conditions(body.get("must")), must_not=_conditions(body.get("must_not")))


def _conditions(clause: Any) -> list[Any]:
    return [_condition(condition) for condition in _list(clause or [])]


def _list(clause: Any) -> list[Any]:
    return clause if isinstance(clause, list) else [clause]


def _condition(condition: Json) -> Any:
    if "has_vector" in condition:
        return edge.HasVectorCondition(condition["has_vector"])
    if "has_id" in condition:
        return edge.HasIdCondition({_id(id_) for id_ in condition["has_id"]})
    match = condition.get("match") or {}
    if "key" in condition and "any" in match:
        return edge.FieldCondition(condition["key"], match=edge.MatchAny(match["any"]))
    if "key" in condition and "value" in match:
        return edge.FieldCondition(condition["key"], match=edge.MatchValue(match["value"]))
    raise unknown(f"the condition {condition}")


def read_query(body: Json) -> Any:
    """One search of the API's `query` or `query/batch`: nearest neighbours, in one stage or more."""
    return edge.QueryRequest(
        limit=body.get("limit") or 10,
        query=_nearest(body),
        prefetches=[_prefetch(stage) for stage in _list(body.get("prefetch") or [])],
        filter=read_filter(body.get("filter")),
        params=_params(body.get("params")),
        with_payload=body.get("with_payload") or False,
        with_vector=body.get("with_vector") or False,
    )


def _prefetch(body: Json) -> Any:
    return edge.Prefetch(
        limit=body.get("limit") or 10,
        query=_nearest(body),
        prefetches=[_prefetch(stage) for stage in _list(body.get("prefetch") or [])],
        filter=read_filter(body.get("filter")),
        params=_params(body.get("params")),
    )


def _nearest(body: Json) -> Any:
    query = body.get("query")
    if isinstance(query, Mapping) and "nearest" in query:
        query = query["nearest"]
    if not isinstance(query, list) and not (isinstance(query, Mapping) and "indices" in query):
        raise unknown(f"a query by {query!r:.100}")
    return edge.Query.Nearest(_vector(query), using=body.get("using"))


def _params(body: Json | None) -> Any:
    if not body:
        return None
    quantization = body.get("quantization")
    idf = body.get("idf")
    return edge.SearchParams(
        exact=body.get("exact") or False,
        quantization=edge.QuantizationSearchParams(**quantization) if quantization else None,
        idf=edge.IdfParams(read_filter(idf["corpus"]) or edge.Filter()) if isinstance(idf, Mapping) else None,
    )


def rest_point(point: Any) -> dict[str, Any]:
    """A record or a hit as the API shows it."""
    shown: dict[str, Any] = {"id": rest_id(point.id), "payload": point.payload}
    if point.vector is not None:
        shown["vector"] = {name: _rest_value(vector) for name, vector in point.vector.items()}
    if isinstance(point, edge.ScoredPoint):
        shown |= {"version": point.version, "score": point.score}
    return shown


def rest_id(id_: Any) -> Any:
    return str(id_) if isinstance(id_, UUID) else id_


def _rest_value(vector: Any) -> Any:
    if isinstance(vector, edge.SparseVector):
        return {"indices": vector.indices, "values": vector.values}
    return vector if isinstance(vector, Sequence) else list(vector)
