# pyright: basic
# pyarrow comes without types
"""Questions kept as a table: the rows of a Parquet file, as the entries that JSON files give."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from docrag.errors import UsageError
from docrag.eval.entries import Entry


def read_rows(path: Path, columns: Sequence[str]) -> tuple[Entry, ...]:
    """The rows of a Parquet file, of these columns only. A null is a field that holds None.

    Raises UsageError where the file is missing, torn, empty or holds text that is no UTF-8, or lacks a column.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            missing = [column for column in columns if column not in file.schema_arrow.names]
            if missing:
                raise UsageError(f"{path} has no column {', '.join(missing)}: it has {', '.join(file.schema_arrow.names)}")
            rows = file.read(columns=list(columns)).to_pylist()
    except (pyarrow.ArrowException, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is no Parquet file, or torn: {str(error).splitlines()[0]}") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {os.strerror(error.errno) if error.errno else error}") from None
    if not rows:
        raise UsageError(f"{path} is empty: expected at least one row")
    return tuple(Entry(f"{path}, row {number}", row) for number, row in enumerate(rows, 1))
