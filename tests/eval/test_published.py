"""The table of published systems, and what may be set beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from docrag.eval.published import PublishedSystem, comparable_to, published_systems

WHOLE: dict[str, Any] = {"benchmark": "mmlongbench-doc", "questions": 1082, "settings": {"reader": "openai:gpt-4o"}}
MODEL = "openai:gpt-4o prompt 0123"


def row(name: str) -> PublishedSystem:
    return next(system for system in published_systems() if system.system == name)


def test_the_table() -> None:
    systems = published_systems()
    assert len({system.system for system in systems}) == len(systems) >= 15
    assert [system.accuracy for system in systems] == sorted((system.accuracy for system in systems), reverse=True)
    assert (row("GPT-4o").accuracy, row("GPT-4o").f1, row("GPT-4o").una) == (0.428, 0.449, 0.202)
    assert row("DocAtlas").una is None
    assert published_systems() is systems
    assert row("GPT-4o").to_json()["year"] == 2024


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"accuracy": 42.8}, "accuracy is a fraction"),
        ({"una": -0.1}, "una is a fraction"),
        ({"setting": "magic"}, "setting is one of"),
        ({"protocol": "magic"}, "protocol is one of"),
        ({"source": " "}, "source says something"),
        ({"protocol": "unknown"}, "an unknown protocol is not comparable"),
    ],
)
def test_a_row_is_checked(change: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        replace(row("GPT-4o"), **change)


def test_every_row_has_a_source_or_says_that_it_has_none_and_what_was_not_checked() -> None:
    for system in published_systems():
        identified = "arXiv:" in system.source or "OpenIXCLab" in system.source or "counted over" in system.source
        assert identified or system.source.startswith("no source found; as cited in"), system
    confirmed = ("MAGE-RAG (8B)", "GPT-4.1", "Kimi-VL")
    assert not any("not checked" in row(name).source for name in confirmed)
    assert (row("MAGE-RAG (8B)").accuracy, row("MAGE-RAG (8B)").f1) == (0.5326, 0.5119)
    assert (row("GPT-4.1").accuracy, row("GPT-4.1").f1, row("GPT-4.1").una) == (0.4974, 0.5142, 0.2601)


def test_a_whole_run_by_the_protocol_is_comparable_with_what_is_known_to_go_by_it() -> None:
    beside = comparable_to(WHOLE, MODEL)
    assert {one.system.protocol for one in beside if not one.comparable} == {"unknown"}
    assert {one.system.system for one in beside if one.comparable} >= {"GPT-4.1", "GPT-4o"}
    assert all(one.why_not == "" for one in beside if one.comparable)


@pytest.mark.parametrize(
    ("change", "extracted_by", "why"),
    [
        ({"questions": 375}, MODEL, "Not comparable: 375 of 1,082 questions."),
        ({"questions": None}, MODEL, "Not comparable: an unknown number of 1,082 questions."),
        ({"retrieval_only": True}, MODEL, "Not comparable: a run without answers."),
        ({"settings": {"reader": "quote"}}, MODEL, "Not comparable: an extractive reader without a model."),
        ({"benchmark": "needles"}, MODEL, "Not comparable: the run is of needles, not of MMLongBench-Doc."),
        ({}, "", "Not comparable: no three-stage extraction: the answers are scored as the reader gave them."),
        ({}, "rules 1", "Not comparable: answers extracted by rules, where the three-stage protocol asks a model."),
    ],
)
def test_why_not(change: dict[str, Any], extracted_by: str, why: str) -> None:
    (told,) = [one.why_not for one in comparable_to({**WHOLE, **change}, extracted_by) if one.system.system == "GPT-4o"]
    assert told == why


def test_the_two_forms_of_the_benchmark_differ() -> None:
    beside = {one.system.setting: one for one in comparable_to({**WHOLE, "questions": 1091}, MODEL)}
    assert beside["whole document in context"].comparable
    assert beside["always abstaining"].why_not == "Not comparable: 1,091 questions, where it was asked 1,082."


def test_abstaining_needs_no_extraction() -> None:
    (told,) = [one for one in comparable_to(WHOLE) if one.system.setting == "always abstaining"]
    assert told.comparable
