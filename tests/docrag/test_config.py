from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from docrag.config import Config
from docrag.errors import UsageError


def test_defaults() -> None:
    config = Config.resolve(environ={})
    assert config == Config()
    assert (config.ocr, config.lang, config.ocr_dpi, config.k, config.reader) == ("auto", "eng", 150, 5, "quote")


def test_overrides_come_before_variables_before_what_is_stored() -> None:
    environ = {"DOCRAG_LANG": "deu", "DOCRAG_K": "7", "PATH": "/bin"}
    config = Config.resolve({"k": 9, "workers": None}, {"lang": "fra", "ocr": "never"}, environ)
    assert (config.k, config.lang, config.ocr, config.workers) == (9, "deu", "never", 0)


def test_variables_are_converted() -> None:
    environ = {"DOCRAG_PAGE_TIMEOUT_S": "2.5", "DOCRAG_MAX_PAGES": "10", "DOCRAG_PRECISION": "float32"}
    config = Config.resolve(environ=environ)
    assert (config.page_timeout_s, config.max_pages, config.precision) == (2.5, 10, "float32")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": "5"}, "k must be of type int, got '5'"),
        ({"k": 5.0}, "k must be of type int, got 5.0"),
        ({"k": True}, "k must be of type int, got True"),
        ({"k": 0}, "k must be positive, got 0"),
        ({"k": -3}, "k must be positive, got -3"),
        ({"lang": 3}, "lang must be of type str, got 3"),
        ({"page_timeout_s": "1"}, "page_timeout_s must be of type float, got '1'"),
        ({"page_timeout_s": float("nan")}, "page_timeout_s must be positive, got nan"),
        ({"page_timeout_s": float("inf")}, "page_timeout_s must be positive, got inf"),
        ({"navigate": 1}, "navigate must be of type bool, got 1"),
        ({"samples": 0}, "samples must be positive, got 0"),
        ({"rounds": -1}, "rounds must be 0 or more, got -1"),
        ({"temperature": float("nan")}, "temperature must be 0 or more, got nan"),
        ({"input_price": float("inf")}, "input_price must be 0 or more, got inf"),
        ({"workers": -1}, "workers must be 0 (one for each core) or more, got -1"),
        ({"ocr": "sometimes"}, "ocr is one of auto, never, always, got 'sometimes'"),
        ({"ocr": ["auto"]}, "ocr is one of auto, never, always, got ['auto']"),
        ({"precision": "int8"}, "precision is one of auto, bfloat16, float32, got 'int8'"),
        ({"colour": "red"}, "unknown setting colour; known are ocr, lang, ocr_dpi, workers, precision, visual, device"),
        ({"budget": 3}, "unknown setting budget; did you mean budget_tokens?"),
        ({"oct": "never"}, "unknown setting oct; did you mean ocr?"),
    ],
)
def test_wrong_overrides(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}"):
        Config.resolve(given, environ={})


def test_an_int_is_a_number_of_seconds() -> None:
    assert Config(page_timeout_s=3).page_timeout_s == 3


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("DOCRAG_K", "five", "DOCRAG_K must be of type int, got 'five'"),
        ("DOCRAG_PAGE_TIMEOUT_S", "", "DOCRAG_PAGE_TIMEOUT_S must be of type float, got ''"),
        ("DOCRAG_OCR", "off", "ocr is one of auto, never, always, got 'off'"),
        ("DOCRAG_NAVIGATE", "maybe", "DOCRAG_NAVIGATE must be of type bool, got 'maybe'"),
        ("DOCRAG_K", "0", "k must be positive, got 0"),
    ],
)
def test_wrong_variables(variable: str, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{re.escape(message)}$"):
        Config.resolve(environ={variable: text})


@pytest.mark.parametrize(("text", "value"), [("1", True), ("True", True), ("off", False), ("0", False)])
def test_switches_in_variables(text: str, value: bool) -> None:
    assert Config.resolve(environ={"DOCRAG_NAVIGATE": text}).navigate is value


def test_what_may_be_zero() -> None:
    config = Config(temperature=0, reader_retries=0, rounds=0, input_price=0)
    assert (config.temperature, config.rounds) == (0, 0)


def test_unknown_variables_are_warned_of_with_the_nearest() -> None:
    with pytest.warns(UserWarning, match=r"^unknown setting DOCRAG_MAXPAGES; did you mean DOCRAG_MAX_PAGES\?$"):
        config = Config.resolve(environ={"DOCRAG_MAXPAGES": "3"})
    assert config == Config()


def test_secrets_are_no_settings() -> None:
    keys = {"DOCRAG_READER_API_KEY": "key", "DOCRAG_QDRANT_API_KEY": "key"}
    environ = {"DOCRAG_PASSWORD": "sesame", "DOCRAG_TEST_QDRANT_URL": "http://x", **keys}
    assert Config.resolve(environ=environ) == Config()


def test_a_configuration_is_frozen_and_plain_json() -> None:
    config = Config(k=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.k = 4  # type: ignore[misc]
    assert Config(**config.to_json()) == config
    assert all(isinstance(value, str | int | float) for value in config.to_json().values())
