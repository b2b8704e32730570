"""An encoder that waits, in a file that Ray's workers load quickly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from docrag.testing import HashEncoder


class WaitingEncoder(HashEncoder):
    """Encodes two batches of pages, and the third when there is a file `sign`: till then a run can't be done."""

    def __init__(self, sign: Path) -> None:
        self._sign, self._batches = sign, 0

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self._batches += 1
        until = time.monotonic() + 120
        while self._batches > 2 and not self._sign.exists():
            if time.monotonic() > until:
                raise TimeoutError(f"{self._sign} did not come")
            time.sleep(0.05)
        return super().encode(texts)
