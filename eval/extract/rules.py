"""Extraction by rules, without a model: the answer that a response marks, else what its best sentence adds to the question.

Takes time in proportion to the response, whatever stands in it. English only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

from docrag.eval.extract.extracted import Extracted, Format
from docrag.eval.extract.marks import marked_answer
from docrag.eval.extract.numbers import find_numbers, whole_number
from docrag.eval.extract.phrases import asked_time, best_sentence, find_answer, split_list, write_number
from docrag.eval.extract.refusals import is_failure, is_refusal, without_refusals
from docrag.eval.scoring import read_literal
from docrag.pipelines.extract.terms import STOP, terms
from docrag.pipelines.question_type import Asked, analyse
from docrag.pipelines.reading import without_thought

RULES_VERSION = 2
_READ = 20_000  # characters at either end of a response that are looked at
_SHORT = 80  # characters of an answer that is taken as it stands
_SENTENCES = 100
_AFTERTHOUGHT = 4  # words, from which on what follows a short answer is another sentence
_ONE = frozenset({"count", "percent", "money", "quantity", "date", "place", "person", "phone"})
_ARTICLE = re.compile(r"^(?:the|both)\s", re.IGNORECASE)
_BOLD = re.compile(r"\*\*([^*\n]{1,200})\*\*")
_BULLET = re.compile(r"[ \t]{0,12}(?:[-*•–]|\d{1,2}[.)])[ \t]+(\S.*)")
_BETWEEN = re.compile(r"(?<=[.!?])(?<!\bMr\.)(?<!\bDr\.)(?<![ap]\.m\.)(?<!\bNo\.)\s+(?=[A-Z\"'“(\d*$\\])")
_YES_NO = re.compile(r"\W{0,4}(yes|no)\b\s*(?:[.,:;!–—(-]|\*|$)", re.IGNORECASE)
_YES_NO_LATER = re.compile(r"[,;:]\s(?:so\s|and\s)?(yes|no)\b", re.IGNORECASE)
_POLITE = re.compile(r"\s*(?:can|could|will|would) you\b", re.IGNORECASE)
_NEGATED = re.compile(r"\b(?:not|never|no)\b|n['’]t\b", re.IGNORECASE)
_NONE_OF = re.compile(r"none of\b", re.IGNORECASE)
_NONE_OF_WHAT = re.compile(r"\W{0,4}(?:none of(?: (?:the|these|those|its|all))?|no)\s(\w+)", re.IGNORECASE)
_COUNTED = re.compile(r"\bhow many\s((?:\w+\s){1,4})", re.IGNORECASE)
_SAYS_NOTHING = re.compile(r"\bhow many\b|\b(?:number|information|answer\w*|unanswerable)\b", re.IGNORECASE)
_INITIAL = re.compile(r"(?:^|[\s.(])[A-Z]\.$")
_OPENING = re.compile(
    r"(?:but|no|not|yes|both|each|one|two|three|figure|table|chart|therefore|thus|hence|however|overall|since|because|looking|if)\b",
    re.IGNORECASE,
)
_ABBREVIATED = re.compile(r"\b(?:[ap]\.m|Inc|Ltd|Corp|Co|Jr|Sr|[A-Z]\.[A-Z])\.$")
_ENDED = re.compile(r"(?<![ap]\.m)\.$|=")
_CONCLUDES = re.compile(r"(?:therefore|thus|hence|so|overall|in total|in conclusion|in summary|altogether)\b", re.IGNORECASE)
_SEVERAL = re.compile(
    r"^(?:list|name|enumerate)\b|\b(?:which|what)\s+(?:\w+\s+){0,2}\w+s\s+(?:are|were|do|did|have|fell|show)\b"
    r"|\b(?:which|what|who)\s(?:are|were)\b|\b(?:which|what)\s(?:two|three|four|five|six)\b|\bwhich\s(?:\w+\s)?\w{2,}[^s\W]s\s"
    r"|\blist (?:all|the|of|format)\b|\benumerate\b|\brespectively\b|\bnames of\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RuleExtractor:
    """An `Extractor` that gives the same answer each time and asks nobody."""

    @property
    def name(self) -> str:
        return f"rules {RULES_VERSION}"

    def extract(self, question: str, response: str) -> Extracted:
        text = _shortened(response)
        if not any(map(str.isalnum, text)):
            return Extracted.failure("the response says nothing")
        asked = analyse(question)
        marked = marked_answer(text)
        if marked is not None and not _is_aside(asked, question, text, marked):
            told, how = marked
            return _listed(told, how) if isinstance(told, list) else _settle(asked, question, told, how)
        return _unmarked(asked, question, text)


def _shortened(response: str) -> str:
    text = response if len(response) <= 2 * _READ else f"{response[:_READ]}\n{response[-_READ:]}"
    return without_thought(text).strip()


def _unmarked(asked: Asked, question: str, text: str) -> Extracted:
    sentences = _sentences(text)
    if _is_yes_no(asked, question) and (said := _YES_NO.match(text)):
        return Extracted(said[1].capitalize(), "Str", "yes or no")
    if is_failure(sentences):
        return Extracted.failure("says that it could not be read")
    if _counts_none(asked, question, sentences):
        return Extracted("0", "Int", "none")
    if is_refusal(question, sentences):
        return Extracted.refusal("says that it is not said")
    bullets = [match[1] for match in map(_BULLET.match, text.split("\n")) if match]
    if len(bullets) > 1 and _asks_several(asked, question):
        return _listed([_head(bullet) for bullet in bullets], "bullets")
    if len(text) <= _SHORT and len(sentences) == 1 and not _ENDED.search(text):
        return _settle(asked, question, text, "whole")
    bold = _BOLD.findall(text)
    if len(bold) == 1 and not bold[0].rstrip().endswith(":"):
        return _settle(asked, question, bold[0], "bold")
    told = without_refusals(question, sentences)
    if not told:
        return Extracted.refusal("says that it is not said")
    concluding = [sentence for sentence in told if _CONCLUDES.match(sentence)]
    return _settle(asked, question, concluding[-1] if concluding else best_sentence(question, told), "sentence")


def _settle(asked: Asked, question: str, text: str, how: str) -> Extracted:
    """The answer in a text that holds it: a literal, a few words, or a sentence."""
    is_marked = how != "sentence"
    sentences = _sentences(text, is_marked=is_marked)
    if is_marked and _counts_none(asked, question, sentences):
        return Extracted("0", "Int", how)
    if not sentences or is_refusal(question, sentences):
        return Extracted.refusal(how)
    if text.startswith("[") and (items := _literal_list(text.rstrip(". "))) is not None:
        return _listed(items, how)
    bullets = [match[1] for match in map(_BULLET.match, text.split("\n")) if match]
    if len(bullets) > 1:
        return _listed([_head(bullet) for bullet in bullets], how)
    first = sentences[0] if how == "sentence" else _first(sentences)
    if _is_yes_no(asked, question):
        said = _YES_NO.match(first) or _YES_NO_LATER.search(first)
        if said or how == "sentence":
            stated = "No" if _NEGATED.search(first) else "Yes"
            return Extracted(said[1].capitalize() if said else stated, "Str", how)
    if asked.kind == "count" and _NONE_OF.match(first):
        return Extracted("0", "Int", how)
    if time := asked_time(question, first):
        return Extracted(time, "Str", how)
    plain = _bare(first)
    short = len(plain) <= _SHORT and how != "sentence"
    answer = plain if short else find_answer(asked, question, first.replace("**", ""))
    items = split_list(_ARTICLE.sub("", answer) if how == "sentence" else answer)
    if len(items) > 1 and (_asks_several(asked, question) or (short and asked.kind not in _ONE and len(items) > 2)):
        return _listed(items, how)
    return _written(write_number(asked, answer), how)


def _written(answer: str, how: str) -> Extracted:
    number = whole_number(answer)
    kind: Format = "Str"
    if number is not None and not number.scale:
        kind = "Float" if "." in number.digits else "Int"
    return Extracted(answer, kind, how) if answer else Extracted.refusal(how)


def _listed(items: Sequence[str], how: str) -> Extracted:
    return Extracted(repr(list(items)), "List", how)


def _literal_list(text: str) -> list[str] | None:
    try:
        value = read_literal(text)
    except ValueError:
        return None
    return [str(item) for item in cast("list[Any]", value)] if isinstance(value, list) else None


def _sentences(text: str, *, is_marked: bool = False) -> list[str]:
    lines = (" ".join(line.strip("#> \t").split()) for line in text.split("\n"))
    sentences = [sentence for line in lines for sentence in _split(line, is_marked) if sentence.strip(" *_`-")]
    return sentences if len(sentences) <= 2 * _SENTENCES else sentences[:_SENTENCES] + sentences[-_SENTENCES:]


def _split(line: str, is_marked: bool) -> Iterator[str]:
    """The sentences of a line. The point of an initial ends none, unless the next word begins sentences rather than names.

    What is marked as an answer and is one letter ("B. Option A is wrong") ends there.
    """
    begun: list[str] = []
    for part in _BETWEEN.split(line):
        is_choice = is_marked and len(begun) == 1 and len(begun[0]) == 2
        if begun and (is_choice or not _INITIAL.search(begun[-1]) or not _may_be_a_name(part)):
            yield " ".join(begun)
            begun = []
        begun.append(part)
    yield " ".join(begun)


def _may_be_a_name(text: str) -> bool:
    word = text.split(maxsplit=1)[0]
    return word[0].isupper() and not _OPENING.match(word) and word.strip(".,'").lower() not in STOP


def _first(sentences: Sequence[str]) -> str:
    """The first sentence of a marked answer, or all of its line where a point is merely that of an abbreviation."""
    line = " ".join(sentences[:2])
    return line if len(line) <= _SHORT and len(" ".join(sentences[1:]).split()) < _AFTERTHOUGHT else sentences[0]


def _bare(text: str) -> str:
    text = text.strip(" *_`\"'“”")
    if _ABBREVIATED.search(text[:-1]):  # with the sentence's own point
        return text[:-1]
    return text if _ABBREVIATED.search(text) else text.rstrip(". ")


def _head(bullet: str) -> str:
    """What a bullet names: "**East**: for grain" names East."""
    bold = _BOLD.match(bullet)
    return (bold[1] if bold else bullet.split(": ", 1)[0]).strip(" .,;:*_`")


def _is_yes_no(asked: Asked, question: str) -> bool:
    return asked.kind == "yes_no" and " or " not in question and not _POLITE.match(question)


def _is_aside(asked: Asked, question: str, text: str, marked: tuple[str | list[str], str]) -> bool:
    """A "no" that begins a response goes before "the answer is ..." in the same response, where that is no yes or no."""
    told, how = marked
    leads = how == "label" and _is_yes_no(asked, question) and _YES_NO.match(text) is not None
    return leads and _YES_NO.match(str(told)) is None


def _counts_none(asked: Asked, question: str, sentences: Sequence[str]) -> bool:
    """Whether it says that there are none of what the question counts: "none of the pages mention it" may count pages.

    With a number after that it is no more than the beginning of an answer.
    """
    said = _NONE_OF_WHAT.match(sentences[0]) if asked.kind == "count" and sentences else None
    if said is None or _SAYS_NOTHING.search(sentences[0]) or any(map(find_numbers, sentences[1:])):
        return False
    counted = {stem for phrase in _COUNTED.findall(question) for stem in terms(phrase)}
    return not counted.isdisjoint(terms(said[1]))


def _asks_several(asked: Asked, question: str) -> bool:
    return asked.kind == "list" or _SEVERAL.search(question) is not None
