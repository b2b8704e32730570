"""Intervals that cover: simulated runs whose truth is known, over documents as unequal as a benchmark's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pytest
from numpy.typing import NDArray

from docrag.eval.intervals import Resampling, fraction_bounds, gain_bounds, mean_interval, paired_interval, ratio
from docrag.eval.measures import ANSWER_MEASURES

Array = NDArray[np.float64]
REPETITIONS = 1_000
T_2, T_11 = 4.3027, 2.2010  # Student's t at 97.5 %
AT_ONCE = 100  # repetitions in one go: for the memory's sake
# Questions a document: how many documents have so many. Mean 8, standard deviation 3, as in the benchmark.
FEWER = {3: 3, 4: 3, 5: 5, 6: 6, 7: 6, 8: 6, 9: 5, 10: 4, 11: 3, 12: 2, 13: 1, 14: 1, 15: 1, 17: 1}
MANY = {2: 1, 3: 6, 4: 9, 5: 15, 6: 17, 7: 18, 8: 17, 9: 14, 10: 12, 11: 8, 12: 6, 13: 5, 14: 3, 15: 2, 16: 1, 18: 1}


@pytest.mark.parametrize(("sizes", "documents"), [(FEWER, 47), (MANY, 135)])
def test_the_documents_are_as_unequal_as_a_benchmarks(sizes: dict[int, int], documents: int) -> None:
    each = [size for size, count in sizes.items() for _ in range(count)]
    assert len(each) == documents
    assert (np.mean(each), np.std(each)) == pytest.approx((8, 3), abs=0.2)


def clusters_of(sizes: dict[int, int]) -> list[str]:
    each = [size for size, documents in sizes.items() for _ in range(documents)]
    return [f"{place}.pdf" for place, size in enumerate(each) for _ in range(size)]


@dataclass
class Simulation:
    """Scores of runs over the same documents: [questions, repetitions]. `likely` is what a document's questions share."""

    random: np.random.Generator
    clusters: list[str]
    correlation: float

    def events(self, probability: float) -> Array:
        """0 or 1, by documents whose own probability is Beta around `probability`: correlated inside them as asked."""
        names = list(dict.fromkeys(self.clusters))
        strength = 1 / self.correlation - 1
        shape = (len(names), AT_ONCE)
        own = self.random.beta(probability * strength, (1 - probability) * strength, shape)
        likely = own[[names.index(name) for name in self.clusters]]
        return (self.random.random(likely.shape) < likely).astype(np.float64)

    def credits(self, probability: float) -> Array:
        """As ANLS gives them: one in seven of what is right gets a half to one. The mean is 27/28 of `probability`."""
        right = self.events(probability)
        return right * np.where(self.random.random(right.shape) < 1 / 7, self.random.uniform(0.5, 1, right.shape), 1)

    def plain(self, share: float) -> Array:
        return (self.random.random((len(self.clusters), AT_ONCE)) < share).astype(np.float64)


Case = tuple[Array, float, Callable[[Array], Array]]


def mean(run: Simulation) -> Case:
    credit = run.credits(0.4)
    return np.stack([credit, np.ones_like(credit)], axis=1), 0.4 * 27 / 28, ratio


def subset(run: Simulation) -> Case:
    """One question in five is unanswerable, and half of them are refused."""
    unanswerable = run.plain(0.2)
    return np.stack([run.events(0.5) * unanswerable, unanswerable], axis=1), 0.5, ratio


def rarely_right(run: Simulation) -> Case:
    credit = run.credits(0.1)
    return np.stack([credit, np.ones_like(credit)], axis=1), 0.1 * 27 / 28, ratio


def f1(run: Simulation) -> Case:
    """Four in five are answerable; a third of the rest is answered, and so is what is not wrongly refused."""
    answerable, credit, refused = 1 - run.plain(0.2), run.credits(0.4), run.events(0.3)
    claimed = np.where(answerable > 0, np.maximum(credit > 0, 1 - refused), run.events(1 / 3))
    recall = 0.4 * 27 / 28
    precision = 0.8 * recall / (0.8 * (0.4 + 0.6 * 0.7) + 0.2 / 3)
    truth = 2 * recall * precision / (recall + precision)
    return np.stack([credit * answerable, answerable, claimed], axis=1), truth, ANSWER_MEASURES["f1"].statistic


def coverage(make: Callable[[Simulation], Case], sizes: dict[int, int], correlation: float) -> float:
    """The share of repetitions whose interval holds the truth."""
    clusters = clusters_of(sizes)
    resampling, run = Resampling(clusters), Simulation(np.random.default_rng(1), clusters, correlation)
    inside: list[NDArray[np.bool_]] = []
    for _ in range(REPETITIONS // AT_ONCE):
        rows, truth, statistic = make(run)
        _, low, high = fraction_bounds(resampling.spread(rows, statistic))
        inside.append((low <= truth) & (high >= truth))
    return float(np.concatenate(inside).mean())


@pytest.mark.parametrize("correlation", [0.1, 0.2, 0.3])
@pytest.mark.parametrize("sizes", [FEWER, MANY], ids=["47 documents", "135 documents"])
@pytest.mark.parametrize("make", [mean, subset, f1])
def test_the_interval_covers_the_truth(make: Callable[[Simulation], Case], sizes: dict[int, int], correlation: float) -> None:
    assert 0.93 <= coverage(make, sizes, correlation) <= 0.97


@pytest.mark.parametrize("sizes", [FEWER, MANY], ids=["47 documents", "135 documents"])
def test_it_holds_near_the_ends_too(sizes: dict[int, int]) -> None:
    assert 0.92 <= coverage(rarely_right, sizes, 0.2) <= 0.97


@pytest.mark.parametrize("documents", [2, 3, 5, 10])
@pytest.mark.parametrize("make", [mean, rarely_right])
def test_few_documents_make_it_wide_rather_than_wrong(make: Callable[[Simulation], Case], documents: int) -> None:
    assert coverage(make, {8: documents}, 0.2) >= 0.93


def test_the_interval_of_a_gain_covers_the_truth() -> None:
    clusters = clusters_of(FEWER)
    resampling, run = Resampling(clusters), Simulation(np.random.default_rng(2), clusters, 0.2)
    inside: list[NDArray[np.bool_]] = []
    for _ in range(REPETITIONS // AT_ONCE):
        base, lost, won = run.events(0.4), run.events(0.1), run.events(0.2)
        gain = (1 - base) * won - base * lost
        _, low, high = gain_bounds(resampling.spread(np.stack([gain, np.ones_like(gain)], axis=1), ratio))
        inside.append((low <= 0.08) & (high >= 0.08))
    assert 0.93 <= np.concatenate(inside).mean() <= 0.97


def test_percentiles_of_the_draws_would_cover_less() -> None:
    """Why the interval is what it is: of ten documents the usual percentile bootstrap holds the truth too seldom."""
    clusters = clusters_of({8: 10})
    run = Simulation(np.random.default_rng(3), clusters, 0.2)
    drawn = np.random.default_rng(4).multinomial(10, np.full(10, 0.1), size=2_000)
    rows, truth, _ = mean(run)
    means = drawn @ rows[:, 0].reshape(10, 8, AT_ONCE).mean(axis=1) / 10
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    assert ((low <= truth) & (high >= truth)).mean() < 0.92


def example(n: int = 120) -> tuple[list[float], list[str]]:
    random = np.random.default_rng(5)
    places = random.integers(12, size=n)
    return [float(random.random() < 0.3 + 0.05 * place) for place in places], [f"{place}.pdf" for place in places]


def test_the_interval_is_that_of_a_slow_bootstrap() -> None:
    values, clusters = example()
    interval = mean_interval(values, clusters)
    assert interval is not None
    random, names, means = np.random.default_rng(6), sorted(set(clusters)), list[float]()
    for _ in range(2_000):
        drawn = [
            value
            for name in random.choice(names, len(names))
            for value, own in zip(values, clusters, strict=True)
            if own == name
        ]
        means.append(sum(drawn) / len(drawn))
    estimate = sum(values) / len(values)
    reach = np.std(means) * np.sqrt(12 / 11) * T_11 / (estimate * (1 - estimate))
    centre = np.log(estimate / (1 - estimate))
    assert interval.estimate == pytest.approx(estimate)
    assert (interval.low, interval.high) == pytest.approx(1 / (1 + np.exp([reach - centre, -reach - centre])), abs=0.01)
    assert mean_interval(values, clusters) == interval


def test_where_all_documents_agree_each_counts_as_one_trial() -> None:
    clusters = [f"{place % 20}.pdf" for place in range(160)]
    nothing, everything = (mean_interval([value] * 160, clusters) for value in (0.0, 1.0))
    assert nothing is not None
    assert everything is not None
    assert (nothing.low, nothing.high) == pytest.approx((0, 1 - 0.025 ** (1 / 20)))
    assert (everything.low, everything.high) == pytest.approx((0.025 ** (1 / 20), 1))
    halves = mean_interval([0.0, 1.0] * 20, [f"{place // 2}.pdf" for place in range(40)])
    assert halves is not None
    assert (halves.low, halves.high) == pytest.approx((0.2720, 0.7280), abs=1e-4)  # Clopper and Pearson's of 10 in 20


def test_an_interval_stays_between_nothing_and_everything() -> None:
    rare = [1.0] + [0.0] * 159
    interval = mean_interval(rare, [f"{place // 8}.pdf" for place in range(160)])
    assert interval is not None
    assert 0 < interval.low < interval.estimate < interval.high < 0.1


def test_a_group_without_some_documents_counts_those_it_has() -> None:
    """Zeros of a document that has no question of the group say nothing about it."""
    values, clusters = example()
    rows = np.array([(value, 1.0) for value in values])
    padded = np.vstack([rows, np.zeros((80, 2))])
    alone = Resampling(clusters).fraction(rows, ratio)
    among = Resampling([*clusters, *(f"other {place // 8}.pdf" for place in range(80))]).fraction(padded, ratio)
    assert alone is not None
    assert among is not None
    assert among.estimate == alone.estimate
    assert (among.low, among.high) == pytest.approx((alone.low, alone.high), abs=0.02)


def test_a_paired_interval_sees_a_gain_that_two_intervals_hide() -> None:
    values, clusters = example()
    better = [min(1.0, value + 0.1) for value in values]
    gain = paired_interval(better, values, clusters)
    assert gain is not None
    assert 0 < gain.low < gain.estimate < gain.high < 0.1
    loss = paired_interval(values, better, clusters)
    assert loss is not None
    assert (loss.low, loss.high) == pytest.approx((-gain.high, -gain.low))
    # Where every document gains the same nothing tells how others would differ: no interval, not one of no width.
    assert paired_interval(values, values, clusters) is None
    assert paired_interval([1.0, 1.0], [0.0, 0.0], ["a.pdf", "b.pdf"]) is None


def test_its_width_is_that_of_t_and_not_of_the_normal() -> None:
    values, clusters = [0.2, 0.4, 0.6], ["a", "b", "c"]
    gain = paired_interval(values, [0.0, 0.0, 0.0], clusters)
    assert gain is not None
    error = np.std(values) / np.sqrt(2)
    assert gain.high - gain.estimate == pytest.approx(error * T_2, rel=0.05)
    assert gain.high - gain.estimate > 2 * error * NormalDist().inv_cdf(0.975)


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 0.0]])
def test_one_document_has_no_interval(values: list[float]) -> None:
    assert mean_interval(values, ["d.pdf"] * len(values)) is None
    assert paired_interval(values, values, ["d.pdf"] * len(values)) is None


def test_lengths_that_differ_are_an_error() -> None:
    with pytest.raises(ValueError, match="got 2 and 1"):
        paired_interval([1.0, 0.0], [1.0], ["a", "b"])
    with pytest.raises(ValueError, match="2 rows and 1 clusters"):
        mean_interval([1.0, 0.0], ["a"])
