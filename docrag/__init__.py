"""docrag: ask questions of long, visual PDFs.

>>> import docrag
>>> with docrag.open("./library") as library:  # doctest: +SKIP
...     library.ingest(["reports/"])
...     print(library.ask("What was the revenue in 2023?").text)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from docrag.version import __version__

if TYPE_CHECKING:
    from docrag.client import Library, open
    from docrag.config import Config
    from docrag.errors import DocragError

__all__ = ["Config", "DocragError", "Library", "__version__", "open"]

_HOMES = {"Library": "docrag.client", "open": "docrag.client", "Config": "docrag.config", "DocragError": "docrag.errors"}


def __getattr__(name: str) -> Any:
    # Loaded on first use: `import docrag` and `docrag --help` must not wait for numpy, torch or Qdrant.
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'docrag' has no attribute {name!r}")
