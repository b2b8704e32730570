"""What `docrag plan` knows of a visual model without loading it: its family, by its configuration or by its name."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from docrag.errors import UsageError
from docrag.index.library_index import LibraryIndex
from docrag.index.store import VISUAL, VISUAL_POOLED
from docrag.plan.constants import FAMILIES, UNKNOWN, Family, Figure
from docrag.sampling import spread_pages
from docrag.types import page_point_id

_MEASURED_PAGES = 32


@dataclass(frozen=True, slots=True)
class Model:
    """A visual model as far as a plan needs it; `known_by` says how its family was told."""

    name: str
    family: Family
    dim: int
    known_by: str

    @property
    def numbers(self) -> float:
        """Of a page's vectors, full and pooled."""
        return (self.family.vectors.value + self.family.pooled.value) * self.dim


def describe_model(model: str) -> Model:
    """What a plan needs to know of a model, from its folder's configuration or from its name.

    Raises UsageError where a path leads nowhere or its configuration can't be read.
    """
    folder = Path(model)
    if folder.is_dir():
        return _from_folder(model, folder)
    if model.startswith((".", "/", "~")) or len(model.partition("@")[0].split("/")) != 2 or not model.strip():
        raise UsageError(f"there is no folder {model!r}", "name a folder with a model, or a model of the hub as in owner/name")
    family = _family_by_name(model)
    return Model(model, family, family.dim, "its name" if family is not UNKNOWN else "nothing: its name says no family")


def model_of_index(index: LibraryIndex, source: str) -> Model | None:
    """The model of an index's visual lane, with as many vectors as pages of it have; None where it has no such lane."""
    lane = index.visual
    if lane is None:
        return None
    family = _family_by_name(str(lane.settings.get("family")))
    dim = lane.settings.get("dim")
    ids = [page_point_id(*place) for place in spread_pages(index.documents(), _MEASURED_PAGES)]
    vectors, pooled = index.lane_vectors(ids, VISUAL), index.lane_vectors(ids, VISUAL_POOLED)
    if vectors and pooled:
        counts, few = [len(rows) for rows in vectors.values()], [len(rows) for rows in pooled.values()]
        told = f"{source}: {len(counts)} of them"
        family = replace(
            family,
            vectors=Figure("visual vectors", _mean(counts), "vectors a page", "measured", told, min(counts), max(counts)),
            pooled=Figure("pooled vectors", _mean(few), "vectors a page", "measured", told, min(few), max(few)),
        )
    return Model(index.visual_model, family, dim if isinstance(dim, int) else family.dim, "the index")


def _mean(counts: list[int]) -> float:
    return sum(counts) / len(counts)


def _from_folder(model: str, folder: Path) -> Model:
    adapter = _read_json(folder / "adapter_config.json")
    config = _read_json(folder / "config.json")
    if adapter is None and config is None:
        raise UsageError(f"the folder {model} holds no model: it has no config.json", "name a folder that a model was saved to")
    types = {str((config or {}).get("model_type", "")).lower()}
    family = next((family for family in FAMILIES if family.model_types & types), None)
    if family is None:
        told = (adapter or {}).get("base_model_name_or_path"), (config or {}).get("architectures"), folder.resolve().name
        family = _family_by_name(str(told))
    dim = (config or {}).get("dim")
    known_by = "its configuration" if family is not UNKNOWN else "nothing: its configuration names no known family"
    return Model(model, family, dim if isinstance(dim, int) and 0 < dim <= 65_536 else family.dim, known_by)


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None where there is no file."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f"can't read {path}: {error}", "the model's folder is damaged: copy or download it again") from error
    if not isinstance(value, dict):
        raise UsageError(f"{path} holds no object", "the model's folder is damaged: copy or download it again")
    return cast(dict[str, Any], value)


def _family_by_name(name: str) -> Family:
    folded = name.lower()
    return next((family for family in FAMILIES if family.pattern.search(folded)), UNKNOWN)
