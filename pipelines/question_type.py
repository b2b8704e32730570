"""What a question asks for: the kind of answer, the terms that evidence must speak of, and what no extract can tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from docrag.pipelines import question_patterns as patterns
from docrag.pipelines.extract.terms import STOP_TERMS, VAGUE_TERMS, content_terms, terms
from docrag.pipelines.question_patterns import Kind

DateFormat = Literal["", "YYYY-MM", "YYYY-MM-DD"]

MAX_CHARS = 2_000  # of a question; what comes after is no part of one


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, taken apart. All terms are stems, without stop words."""

    kind: Kind
    terms: tuple[str, ...]
    """What the evidence must speak of, each once, in the question's order."""
    focus: tuple[str, ...]
    """What is counted or asked for: 'how many *offices*', 'which *director*'."""
    implied: frozenset[str]
    """Words that the kind of the answer says already: 'date', where a date is found."""
    exact: tuple[str, ...]
    """Numbers and years, which nothing else can stand for."""
    names: tuple[str, ...]
    """Words with a capital inside the sentence."""
    stated: tuple[str, ...]
    """Comparing words ('highest'), which only a text that says so can answer."""
    vague: frozenset[str]
    """Verbs and general words, whose absence from a page says little."""
    asks_role: frozenset[str]
    """The words that ask for somebody's position, if any."""
    tells: bool
    """Whether a sentence is an answer: 'how do they...', 'why', 'what happens'."""
    bare: bool
    """Whether the answer is to be a number and nothing else."""
    scale: str
    """'million' or the like, where the answer is to be counted in it, else ''."""
    date_format: DateFormat
    refusal: str
    """Why no extract can answer, '' where one may."""


def analyse(question: str) -> Asked:
    """Take a question apart; any text will do, and what is over `MAX_CHARS` is not looked at."""
    whole = " ".join(question[:MAX_CHARS].split())
    asks = _without_asides(whole)
    kind = _kind(asks)
    scale = patterns.SCALE.search(whole)
    if scale and kind in ("value", "text"):
        kind = "money"
    wanted = tuple(dict.fromkeys(content_terms(asks)))
    return Asked(
        kind=kind,
        terms=wanted,
        focus=_focus(asks, wanted),
        implied=frozenset(terms(patterns.IMPLIED.get(kind, ""))),
        exact=tuple(term for term in wanted if term[0].isdigit()),
        names=_names(asks, wanted),
        stated=tuple(dict.fromkeys(term for word in patterns.COMPARING.findall(asks) for term in terms(word))),
        vague=VAGUE_TERMS | frozenset(term for verb in _verbs(asks) for term in terms(verb)),
        asks_role=frozenset(term for word in patterns.ROLE.findall(asks) for term in terms(word)),
        tells=patterns.TELLS.search(asks) is not None,
        bare=patterns.BARE.search(whole) is not None,
        scale=scale.group(1).lower() if scale else "",
        date_format=_date_format(whole),
        refusal=next((why for why, pattern in patterns.REFUSALS if pattern.search(asks)), ""),
    )


def _without_asides(whole: str) -> str:
    """The question itself, without how and in what unit to answer, 'according to the report', and which page is meant."""
    asks = patterns.PREAMBLE.sub("", patterns.INSTRUCTION.sub(" ", whole)).strip() or whole
    bare = patterns.UNIT_ASIDE.sub(" ", patterns.PAGE_PHRASE.sub(" ", asks))
    return " ".join(bare.split()) or asks


def _kind(asks: str) -> Kind:
    for kind, pattern in patterns.KINDS:
        if pattern.search(asks):
            return kind
    return "text"


def _date_format(whole: str) -> DateFormat:
    form = patterns.DATE_FORM.search(whole)
    if not form:
        return ""
    return "YYYY-MM-DD" if len(form.group()) > len("YYYY-MM") else "YYYY-MM"


def _verbs(asks: str) -> list[str]:
    """The words that are likely the question's verb: 'did the line *carry* in 2022', 'how many people *work* in'."""
    return [match.group("verb") for pattern in patterns.VERBS for match in pattern.finditer(asks)]


def _focus(asks: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    match = patterns.FOCUS.search(asks)
    return tuple(term for term in terms(match.group(1)) if term in wanted) if match else ()


def _names(asks: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Stems of words with a capital, the sentence's first word aside; none where the whole question is in capitals."""
    if asks.isupper():
        return ()
    capital = [word for word in asks.split()[1:] if re.match(r"[\"'“‘(]?[^\W\d_]", word) and word.lstrip("\"'“‘(")[0].isupper()]
    found = dict.fromkeys(term for word in capital for term in terms(word) if term not in STOP_TERMS)
    return tuple(term for term in found if term in wanted and not term[0].isdigit())
