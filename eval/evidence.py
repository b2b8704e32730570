"""Whether the reader was shown the pages that hold the evidence, and what it made of them."""

from __future__ import annotations

from functools import partial

from docrag.eval.cases import Case
from docrag.eval.figures import Figure
from docrag.eval.measures import Condition, Sample, credit, has_evidence, is_any, mean_of, share_of
from docrag.eval.retrieval import page_overlap


def evidence_figures(sample: Sample) -> dict[str, Figure]:
    """See `Analysis.evidence`. Over the answerable questions with evidence in their document; None where no page was read."""
    was_read = any(case.read for case in sample.cases)

    def counts(case: Case, which: Condition = is_any) -> bool:
        return was_read and has_evidence(case) and which(case)

    measures = {
        **{name: share_of(is_so, counts) for name, is_so in (("in_context_all", has_all), ("in_context_any", _has_any))},
        "read_precision": mean_of(lambda case: page_overlap(case.read, case.evidence)[0], counts),
        "read_recall": mean_of(lambda case: page_overlap(case.read, case.evidence)[1], counts),
        "read_f1": mean_of(lambda case: page_overlap(case.read, case.evidence)[2], counts),
        **{f"answer_given_{name}": mean_of(credit, partial(counts, which=which)) for name, which in _GIVEN.items()},
    }
    return {name: sample.figure(measure) for name, measure in measures.items()}


def has_all(case: Case) -> bool:
    """Whether every evidence page was among those that were read."""
    return case.evidence <= frozenset(case.read)


def _has_any(case: Case) -> bool:
    return not case.evidence.isdisjoint(case.read)


_GIVEN: dict[str, Condition] = {
    "all": has_all,
    "some": lambda case: _has_any(case) and not has_all(case),
    "none": lambda case: not _has_any(case),
}
