"""A few of many, evenly apart: the same each time while the many are the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from docrag.index.records import DocumentRecord

Item = TypeVar("Item")


def spread(items: Sequence[Item], count: int) -> list[Item]:
    """`count` of `items`, evenly apart and in order, or all of them where they are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[(2 * number + 1) * len(items) // (2 * count)] for number in range(count)]


def spread_pages(records: Sequence[DocumentRecord], count: int) -> list[tuple[str, int]]:
    """Up to `count` pages (sha256, page_index), evenly apart over all pages of all documents."""
    ends = np.cumsum([record.document.pages for record in records])
    total = int(ends[-1]) if len(ends) else 0
    places: list[tuple[str, int]] = []
    for position in spread(range(total), count):
        number = int(np.searchsorted(ends, position, side="right"))
        document = records[number].document
        places.append((document.sha256, position - int(ends[number]) + document.pages))
    return places
