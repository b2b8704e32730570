"""The readers' cache: keyed by everything, safe for several processes, never the end of an answer."""

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from docrag.errors import EnvironmentFault
from docrag.pipelines.prompts import Prompt
from docrag.pipelines.protocols import Completion, Sampling
from docrag.pipelines.reader_cache import ReaderCache

PROMPT = Prompt("system", ("text", b"\x89PNG", "question"), "abc")
IDENTITY = {"provider": "openai", "model": "m", "base_url": "http://a"}
DONE = Completion("said", {"input_tokens": 5}, cut_off=True)


def test_what_was_put_is_got(tmp_path):
    cache = ReaderCache(str(tmp_path / "deep" / "readings.sqlite"))
    key = cache.key(IDENTITY, PROMPT, Sampling())
    assert cache.get(key) is None
    cache.put(key, DONE)
    assert ReaderCache(cache.path).get(key) == DONE


def test_the_key_holds_everything_that_matters(tmp_path):
    cache = ReaderCache(str(tmp_path / "readings.sqlite"))
    variants = [
        (IDENTITY, PROMPT, Sampling()),
        *[({**IDENTITY, name: "other"}, PROMPT, Sampling()) for name in IDENTITY],
        (IDENTITY, replace(PROMPT, system="other"), Sampling()),
        (IDENTITY, replace(PROMPT, blocks=("text", b"\x89PNH", "question")), Sampling()),
        (IDENTITY, replace(PROMPT, blocks=("text", "\x89PNG", "question")), Sampling()),
        (IDENTITY, replace(PROMPT, blocks=(b"\x89PNG", "text", "question")), Sampling()),
        (IDENTITY, PROMPT, Sampling(temperature=0.7)),
        (IDENTITY, PROMPT, Sampling(max_tokens=7)),
        (IDENTITY, PROMPT, Sampling(number=1)),
    ]
    assert len({cache.key(*variant) for variant in variants}) == len(variants)


def test_several_processes_write_at_once(tmp_path):
    path = str(tmp_path / "readings.sqlite")
    program = (
        "import sys; from docrag.pipelines.reader_cache import ReaderCache; from docrag.pipelines.protocols import Completion\n"
        "cache = ReaderCache(sys.argv[1])\n"
        "for n in range(25): cache.put(f'{sys.argv[2]} {n}', Completion(f'said {n}'))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-W", "error", "-c", program, path, str(name)]) for name in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    cache = ReaderCache(path)
    assert all(cache.get(f"{name} {n}") == Completion(f"said {n}") for name in range(3) for n in range(25))


def test_several_threads_share_one(tmp_path):
    cache = ReaderCache(str(tmp_path / "readings.sqlite"))

    def put_and_get(number):
        cache.put(f"key {number}", Completion(f"said {number}"))
        return cache.get(f"key {number}")

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(put_and_get, range(40))) == [Completion(f"said {number}") for number in range(40)]


def test_a_damaged_cache_costs_a_warning(tmp_path):
    path = tmp_path / "readings.sqlite"
    path.write_bytes(b"no database at all, but long enough to look like one " * 20)
    cache = ReaderCache(str(path))
    with pytest.warns(UserWarning, match="can't be read"):
        assert cache.get("key") is None
    with pytest.warns(UserWarning, match="can't be written"):
        cache.put("key", DONE)


def test_a_damaged_entry_costs_a_warning(tmp_path):
    cache = ReaderCache(str(tmp_path / "readings.sqlite"))
    cache.put("key", DONE)
    connection = sqlite3.connect(cache.path)
    with connection:
        connection.execute("UPDATE completions SET completion = '{}'")
    connection.close()
    with pytest.warns(UserWarning, match="can't be read"):
        assert cache.get("key") is None


def test_a_place_that_cannot_be_made_is_told_at_once(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EnvironmentFault, match="can't be kept at"):
        ReaderCache(str(tmp_path / "file" / "readings.sqlite"))
