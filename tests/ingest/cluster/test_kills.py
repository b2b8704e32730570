"""An ingest on a simulated cluster of three nodes, struck twice: `make bench` does it twenty times."""

from __future__ import annotations

from bench.common import python
from bench.ray_cluster import output_of
from bench.ray_kill import KINDS, kinds_of, to_markdown

SEED = 1607  # the node dies when the first pages are written, the driver when two thirds are


def test_a_node_and_the_driver_die_and_nothing_is_lost_or_doubled() -> None:
    result = output_of(python("bench.ray_kill", "--kills", 2, "--seed", SEED, "--json"))
    told = to_markdown(result)
    assert result["differences"] == [], told
    assert [kill["kind"] for kill in result["kills"]] == ["node", "driver"], told
    assert result["kills"][1]["end"] == "killed", told
    assert result["runs"][-1]["exit_code"] == 0, told
    assert result["pages"]["attempted"] == result["pages"]["skipped"] > 0, told


def test_each_kind_of_death_comes_as_often_as_the_others() -> None:
    kinds = kinds_of(20, seed=1)
    assert {kind: kinds.count(kind) for kind in KINDS} == dict.fromkeys(KINDS, 5)
