"""How figures are written in charts and told to those who cannot see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from docrag.eval.figures import Figure

NO_FIGURE = "no figure"
_T = TypeVar("_T")
_MEASURES = {
    "accuracy": "Accuracy, official",
    "strict_accuracy": "Strict accuracy, docrag's own",
    "f1": "F1, official",
    "answerable": "On answerable questions",
    "unanswerable": "On unanswerable questions (UNA)",
    "balanced": "Mean of the two",
    "in_context_all": "All evidence in the context",
}


def percent(value: float) -> str:
    """A fraction as a percentage with one decimal, without its sign."""
    return f"{100 * value:.1f}"


def points(value: float) -> str:
    """A difference of two fractions in percentage points, with its sign: "+1.2", "−0.3", "0.0"."""
    shown = f"{100 * value:+.1f}"
    return "0.0" if float(shown) == 0 else shown.replace("-", "−")


def checked(name: str, figure: Figure, lowest: float = 0.0) -> Figure:
    """`figure`, if its numbers are from `lowest` to 1. Raises ValueError that names it otherwise."""
    for number in (figure.value, figure.low, figure.high):
        if number is not None and not lowest <= number <= 1:  # nor is NaN
            raise ValueError(f"{name}: a figure is a fraction from {lowest:g} to 1, got {number}")
    return figure


def tell(figure: Figure) -> str:
    """As in "45.2 % (95 % interval 40.1 to 50.3; 375 questions)"."""
    if figure.value is None:
        return NO_FIGURE
    return f"{percent(figure.value)} % ({_interval(figure, percent)}; {count(figure.questions, 'question')})"


def tell_gain(figure: Figure) -> str:
    """As in "+1.2 points (95 % interval −0.3 to +2.7; 375 questions)"."""
    if figure.value is None:
        return NO_FIGURE
    return f"{points(figure.value)} points ({_interval(figure, points)}; {count(figure.questions, 'question')})"


def _interval(figure: Figure, write: Callable[[float], str]) -> str:
    if figure.low is None or figure.high is None:
        return "no interval"
    return f"95 % interval {write(figure.low)} to {write(figure.high)}"


def measure_name(key: str) -> str:
    """What people call a measure of a comparison."""
    return _MEASURES.get(key, key.replace("recall@", "Recall at ").replace("_", " "))


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def one_or_two(things: Sequence[_T], what: str) -> Sequence[_T]:
    """`things`, if a chart can show them side by side. Raises ValueError otherwise."""
    if len(things) not in (1, 2):
        raise ValueError(f"a chart shows one or two {what}, got {len(things)}")
    return things
