"""The official accuracy by groups of questions: what was asked, of what document, and where its evidence is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

from docrag.eval.cases import Case
from docrag.eval.figures import Breakdown, Figure
from docrag.eval.measures import Condition, Sample, credit, is_answerable, is_any, is_unanswerable, mean_of
from docrag.eval.scoring import ANSWER_FORMATS

Grouper = Callable[[Case], Iterable[str]]
Rows = tuple[tuple[str, Figure], ...]

UNANSWERABLE = "unanswerable"
NO_EVIDENCE = "none in the document"
SEVERAL_THIRDS = "in several thirds"
ABSENT = "absent"
_THIRDS = ("first third", "middle third", "last third")
TITLES = {
    "pages_needed": "Pages needed",
    "source": "Evidence source",
    "doc_type": "Document type",
    "doc_length": "Document length in pages",
    "position_in_document": "Evidence in the document",
    "position_in_context": "First evidence in the context",
    "answer_format": "Answer format",
}
_NEEDLE_TITLES = {**TITLES, "source": "Depth of the needle's page", "doc_type": "Length of the haystack"}
_NUMBER = re.compile(r"(\d+k?)\b")
_LENGTHS = (20, 40, 80, 160)  # pages: doubling, for documents of 10 to 500


def breakdowns(sample: Sample, titles: Mapping[str, str] = TITLES) -> tuple[Breakdown, ...]:
    """Those that have a group; groups without a question are left out. `titles` are what is shown, by key."""
    made = partial(_breakdown, sample, titles)
    found = (
        made("pages_needed", _pages_needed, (UNANSWERABLE, "1", "2", "3", "4+", NO_EVIDENCE)),
        made("source", lambda case: case.question.evidence_sources),
        made("doc_type", lambda case: filter(None, [case.question.doc_type])),
        made("doc_length", _doc_length, _length_names()),
        made("position_in_document", _in_document, (*_THIRDS, SEVERAL_THIRDS)),
        made("position_in_context", _in_context, (*_THIRDS, ABSENT)),
        made("answer_format", lambda case: [case.question.answer_format], ANSWER_FORMATS),
    )
    return tuple(one for one in found if one.rows)


def titles_of(config: Mapping[str, Any]) -> Mapping[str, str]:
    """Of a run with this config.json: of needles, length and depth stand where else type and source do."""
    return _NEEDLE_TITLES if config.get("benchmark") == "needles" else TITLES


def _breakdown(sample: Sample, titles: Mapping[str, str], key: str, grouper: Grouper, order: Sequence[str] = ()) -> Breakdown:
    """Rows in `order`, or by name where there is none."""
    groups = {case.question.question_id: frozenset(grouper(case)) for case in sample.cases}
    present = frozenset(chain.from_iterable(groups.values()))
    names = [name for name in order or sorted(present, key=_natural) if name in present]

    def rows(counts: Condition) -> Rows:
        def belongs(case: Case, name: str) -> bool:
            return counts(case) and name in groups[case.question.question_id]

        return tuple((name, sample.figure(mean_of(credit, partial(belongs, name=name)))) for name in names)

    if not any(_is_mixed(sample, groups, name) for name in names):
        return Breakdown(key, titles[key], rows(is_any))
    return Breakdown(key, titles[key], rows(is_any), rows(is_answerable), rows(is_unanswerable))


def _natural(name: str) -> list[str | int]:
    """Texts and numbers in turn, by which 4k comes before 16k and 25 % before 100 %."""
    return [_read_number(part) if place % 2 else part for place, part in enumerate(_NUMBER.split(name))]


def _read_number(text: str) -> int:
    return int(text.removesuffix("k")) * (1024 if text.endswith("k") else 1)


def _is_mixed(sample: Sample, groups: dict[str, frozenset[str]], name: str) -> bool:
    return len({case.answerable for case in sample.cases if name in groups[case.question.question_id]}) == 2


def _pages_needed(case: Case) -> tuple[str]:
    if not case.answerable:
        return (UNANSWERABLE,)
    needed = len(case.evidence)
    return (NO_EVIDENCE if not needed else str(needed) if needed < 4 else "4+",)


def _doc_length(case: Case) -> tuple[str, ...]:
    pages = case.document_pages
    return () if pages is None else (_length_names()[sum(pages >= edge for edge in _LENGTHS)],)


def _length_names() -> tuple[str, ...]:
    starts = (1, *_LENGTHS)
    return (*(f"{start} to {end - 1}" for start, end in zip(starts, _LENGTHS, strict=False)), f"{_LENGTHS[-1]} or more")


def _in_document(case: Case) -> tuple[str, ...]:
    """In which third of the document the evidence is; nothing where its length is not known."""
    pages = case.document_pages
    if pages is None or not case.evidence:
        return ()
    thirds = {_third(page - 1, pages) for _, page in case.evidence}
    return (thirds.pop() if len(thirds) == 1 else SEVERAL_THIRDS,)


def _in_context(case: Case) -> tuple[str, ...]:
    """In which third of the pages read the first evidence page comes; nothing where no page was read."""
    if not case.read or not case.evidence:
        return ()
    first = next((place for place, page in enumerate(case.read) if page in case.evidence), None)
    return (ABSENT if first is None else _third(first, len(case.read)),)


def _third(place: int, of: int) -> str:
    """The third that holds the middle of item `place` (from 0) of `of`."""
    return _THIRDS[int(3 * (place + 0.5) / of)]
