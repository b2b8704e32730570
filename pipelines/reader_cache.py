"""Completions on disk, so that the same question about the same pages is paid for once.

The key is a hash of everything that the completion depends on: model and server, each word and each image's bytes of the
prompt, how it is sampled, which sample it is. One SQLite file; several processes may use it at once. A cache that can't be
read or written costs a warning, never an answer.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import warnings
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from docrag.errors import EnvironmentFault
from docrag.pipelines.prompts import Prompt
from docrag.pipelines.protocols import Completion, Sampling

_BUSY_S = 30.0  # how long to wait for another process that writes
_TABLE = "CREATE TABLE IF NOT EXISTS completions (key TEXT PRIMARY KEY, completion TEXT NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True, slots=True)
class ReaderCache:
    """The cache in the file `path`, made on first use. Holds no connection: it may be pickled, forked and shared by threads.

    Raises EnvironmentFault where its folder can't be made.
    """

    path: str

    def __post_init__(self) -> None:
        try:
            Path(self.path).expanduser().parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"the readers' cache can't be kept at {self.path}: {error}", "name another file") from None

    def key(self, identity: Mapping[str, str], prompt: Prompt, sampling: Sampling) -> str:
        told = {"identity": dict(identity), "prompt": prompt.sha256, "sampling": asdict(sampling)}
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def get(self, key: str) -> Completion | None:
        """The completion kept under `key`, or None."""
        try:
            with closing(self._connect()) as connection:
                row = connection.execute("SELECT completion FROM completions WHERE key = ?", (key,)).fetchone()
            return _completion(row[0]) if row else None
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            self._warn("read", error)
            return None

    def put(self, key: str, completion: Completion) -> None:
        kept = json.dumps({"text": completion.text, "usage": dict(completion.usage), "cut_off": completion.cut_off})
        try:
            with closing(self._connect()) as connection, connection:
                connection.execute("INSERT OR REPLACE INTO completions VALUES (?, ?)", (key, kept))
        except sqlite3.Error as error:
            self._warn("written", error)

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(Path(self.path).expanduser(), timeout=_BUSY_S)
        try:
            with connection:
                connection.execute(_TABLE)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _warn(self, what: str, error: Exception) -> None:
        warnings.warn(f"the readers' cache {self.path} can't be {what} ({error}); delete it to start anew", stacklevel=3)


def _completion(text: str) -> Completion:
    kept = json.loads(text)
    usage = {str(name): int(count) for name, count in kept["usage"].items()}
    return Completion(str(kept["text"]), usage, bool(kept["cut_off"]))
