"""Whether a response says that the documents don't answer, or that they could not be read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from docrag.pipelines.extract.terms import content_terms

_SAID = (
    r"(?:mentioned|stated|specified|given|provided|available|disclosed|listed|reported|shown|included|found|indicated|"
    r"described|discussed|named|present|identified|contained|addressed|known|clear|possible|visible|supplied|applicable)"
)
_KNOW = (
    r"(?:determine[sd]?|answer(?:ed)?|tell|say|find|identif(?:y|ied)|know|infer(?:red)?|establish(?:ed)?|derive[d]?|"
    r"conclude[d]?|calculate[d]?|compute[d]?|provide|ascertain(?:ed)?|be found|see any|locate)"
)
_NOT = r"(?:not|n't|n’t|never)"
_SAYS = (
    r"(?:mention|state|specify|give|provide|contain|include|say|tell|disclose|list|report|show|indicate|describe|discuss|"
    r"name|identify|cover|address|reveal|offer|have|see|find)"
)
_WHAT = r"(?:information|details?|data|mention|indication|reference|answer|evidence|record|figures?|way)"
_REFUSAL = re.compile(
    rf"\b(?:is|are|was|were|be|been)\s?{_NOT}\s(?:\w+\s){{0,2}}{_SAID}\b"
    rf"|\b(?:can\s?|could\s?|ca){_NOT}\s(?:\w+\s){{0,2}}{_KNOW}\b|\bcannot\s(?:\w+\s){{0,2}}{_KNOW}\b"
    rf"|\b(?:unable|impossible|not able|not possible)\s(?:\w+\s){{0,2}}to\s(?:\w+\s)?{_KNOW}\b"
    rf"|\b(?:do|does|did)\s?{_NOT}\s(?:\w+\s){{0,2}}{_SAYS}\b"
    rf"|\b(?:no|without(?: any)?|lacks?(?: any)?|insufficient|not enough)\s(?:\w+\s){{0,2}}{_WHAT}\b"
    rf"|\bnone of (?:the |these |them |those )?(?:\w+\s){{0,3}}{_SAYS}s?\b|\bnone of them\b.{{0,20}}\b{_SAYS}s\b"
    rf"|\b(?:nothing|nowhere)\b.{{0,40}}\b(?:{_SAYS}s?|{_SAID})\b|\bsays nothing\b"
    r"|\b(?:not|un)[\s-]?answerable\b|\bno answer\b",
    re.IGNORECASE,
)
_PLAIN = re.compile(
    r"(?:n/?a|none|unknown|not (?:known|sure|applicable|available|answerable|mentioned|given|specified|stated|provided|found)"
    r"|unanswerable|cannot (?:be )?(?:answered?|determined?)|i don'?t know|no answer|null)",
    re.IGNORECASE,
)
_VERDICT = re.compile(r"\b(?:not|un)[\s-]?answerable\b|\b(?:cannot|can't|can’t|can not) be answered\b", re.IGNORECASE)
_CONTRAST = re.compile(r"[,;]?\s\b(?:but|however|although|though|yet|whereas)\b,?\s|;\s", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"\b(?:only|mentions?|lists?|discuss\w*|covers?|describes?|focus\w*|refers?|contains?|talks?|please|let me)\b",
    re.IGNORECASE,
)
_WORKED_OUT = re.compile(
    r"\b(?:add(?:ing|ed)|sum(?:s|ming)?|gives|calculat\w+|comput\w+|infer\w*|deduc\w+|therefore|thus|hence|count(?:ing|ed)?)\b",
    re.IGNORECASE,
)
_ASIDE = re.compile(r"\b(?:why|reasons?|how(?! (?:many|much|long|often|old|far))|what for)\b", re.IGNORECASE)
_PRONOUN = re.compile(r"\W*(?:it|this|that|they|these)\b", re.IGNORECASE)

_CANNOT = r"\b(?:cannot|can't|can’t|can not|could not|couldn't|couldn’t|unable to|not able to|failed to|do not have access to)"
_OPEN = r"(?:directly\s|currently\s)?(?:view|access|open|read|load|process|see|display|analy[sz]e|retrieve|interpret)"
_FILLER = r"(?:(?:the|any|these|this|those|your|attached|provided|actual|uploaded|external|contents?|text|of|in)\s)"
_THING = r"(?:images?|pictures?|documents?|files?|pdfs?|pages?|attachments?|slides?|figures?|links?|it|them)"
_FAILURE = re.compile(
    rf"{_CANNOT}\s(?:{_OPEN}\s)?{_FILLER}{{0,5}}{_THING}\b(?!\s(?:that|which|of|with|where|mention|anywhere))"
    rf"|\b{_THING}\s(?:has |have )?(?:failed|did not|didn't|could not|couldn't|cannot|can't) (?:to )?(?:be )?"
    r"(?:load|open|read|render|display|process)(?:ed)?\b"
    r"|\bcorrupt(?:ed)?\b.{0,40}\b(?:unreadable|not read|illegible)\b"
    rf"|\bno {_THING} (?:was|were|has been|have been) (?:provided|attached|uploaded|given)\b"
    rf"|\bplease (?:upload|attach|re-?upload) (?:\w+\s){{0,2}}{_THING}\b|\bfail(?:ed)? to (?:answer|read)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Part:
    text: str
    refuses: bool
    contrasted: bool


def is_refusal(question: str, sentences: Sequence[str]) -> bool:
    """Whether the sentences of a response come to this: the documents don't say.

    A refusal that something else follows which was worked out after all ("... not stated; adding the rows gives 45"), or that
    is of something which was not asked for, is none.
    """
    if len(sentences) == 1 and _PLAIN.fullmatch(sentences[0].strip(" .*_`\"'")):
        return True
    parts = [part for sentence in sentences for part in _parts(question, sentence)]
    if any(part.refuses and _VERDICT.search(part.text) for part in parts):
        return True
    asked = frozenset(content_terms(question))
    most = 0
    for at, part in enumerate(parts):
        met = len(asked & frozenset(content_terms(part.text)))
        if part.refuses and at and not parts[at - 1].refuses and _ASIDE.search(part.text) and not _ASIDE.search(question):
            continue
        if part.refuses and (met >= most or _PRONOUN.match(part.text)):
            return not any(map(_answers_after_all, parts[at + 1 :]))
        most = max(most, met)
    return False


def without_refusals(question: str, sentences: Sequence[str]) -> list[str]:
    """What is left to look for an answer in."""
    return [part.text for sentence in sentences for part in _parts(question, sentence) if not part.refuses]


def is_failure(sentences: Sequence[str]) -> bool:
    """Whether the response says that what it was to be read from was not there, or could not be read."""
    return any(_FAILURE.search(sentence) for sentence in sentences)


def _parts(question: str, sentence: str) -> list[_Part]:
    if not _refuses(question, sentence):
        return [_Part(sentence, False, False)]
    clauses = [clause for clause in _CONTRAST.split(sentence) if clause.strip()]
    return [_Part(clause, _refuses(question, clause), number > 0) for number, clause in enumerate(clauses)]


def _refuses(question: str, text: str) -> bool:
    """A phrase that the question itself has is its subject: "Which dock is not mentioned?"."""
    asks = question.lower()
    return any(match.group().lower() not in asks for match in _REFUSAL.finditer(text))


def _answers_after_all(part: _Part) -> bool:
    if part.refuses or _ELSEWHERE.search(part.text):
        return False
    return part.contrasted or _WORKED_OUT.search(part.text) is not None
