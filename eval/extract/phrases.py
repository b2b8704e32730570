"""The few words of a sentence that answer its question: what the question does not say already."""

from __future__ import annotations

import re
from collections.abc import Iterable

from docrag.eval.extract.numbers import Number, find_numbers, whole_number
from docrag.pipelines.extract.terms import STOP_TERMS, content_terms, word_terms
from docrag.pipelines.extract.values import find_values
from docrag.pipelines.question_type import Asked

COUNTED = frozenset({"count", "percent", "money"})
_PRINTED = frozenset({"person", "date", "year", "email", "url", "phone", "quantity"})
_LEAD = re.compile(
    r"(?:(?:based on|according to|as (?:shown|seen|stated|given)|looking at|from|reading|in|on|per) [^,]{1,120},"
    r"|(?:therefore|thus|hence|so|overall|in (?:total|summary|conclusion|short)|however|finally|then|yes|no),?)\s",
    re.IGNORECASE,
)
_VERB = re.compile(
    r"(?:\s(?:is|are|was|were|has|have|had|by|equals?|shows?|called|titled|named|stood at|amount(?:s|ed)? to|stands? for)\b"
    r"|:|=)\s*(?:(?:therefore|thus|hence|also|as follows)\b:?\s*)?",
    re.IGNORECASE,
)
_TAIL = re.compile(
    r",\s(?:which|who|as|according|\w+ed|up|down|compared|followed|while|with|after|before|based|making)\b"
    r"|\s(?:according to|as (?:shown|stated|seen|indicated)|based on|\((?:page|p\.|figure|table))",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:pages?|slides?|figures?|fig\.|tables?|sections?|chapters?|step|q)\s?$", re.IGNORECASE)
_SPLITS = 12  # verbs of a sentence that are tried
_SENTENCE = 1_000  # characters of a sentence that are looked at
_QUOTED = re.compile(r'["“]([^"“”]{1,200})["”]')
_SEPARATOR = re.compile(r",\s+(?:and\s+|or\s+|as well as\s+)?|;\s+|\s+and\s+|\s*&\s*")
_ARTICLE = re.compile(r"^(?:the|both|an?)\s")
_ITEM_WORDS = 8
_SO = re.compile(r"\b(?:so|therefore|thus|hence|in total|altogether)\b", re.IGNORECASE)
_YEAR = re.compile(r"(?:FY)?(?:1[5-9]|20)\d\d|fiscal|financial|calendar", re.IGNORECASE)  # a word of it
_OF_WHEN_OR_WHERE = re.compile(r"\s(?:in|during|for|on|at|by|as of)\s", re.IGNORECASE)
_HOUR = (
    r"(?:\d{1,2}(?:[:.]\d\d)?\s?(?:[ap]\.m\.|[ap]m\b|o['’]clock)"
    r"|(?<![\d:.])(?:[01]?\d|2[0-3]):[0-5]\d(?![\d:])|\b(?:noon|midnight)\b)"
)
_TIME = re.compile(rf"{_HOUR}(?:\s?(?:to|until|till|and|-|–|—)\s?{_HOUR})?", re.IGNORECASE)
_ASKS_TIME = re.compile(r"\b(?:what|which) (?:time|hour)\b|^when\b", re.IGNORECASE)
_ARTICLES = frozenset({"a", "an", "the"})
_ROUGHLY = {"about", "approximately", "around", "roughly", "nearly", "almost", "exactly"}
_INTRODUCING = frozenset({"in", "for", "by", "at", "on", "of", "to", *_ROUGHLY})


def find_answer(asked: Asked, question: str, sentence: str) -> str:
    """The answer in one sentence, as it is printed there, or as digits where a number is asked for."""
    sentence = _without_lead(sentence[:_SENTENCE])
    if "=" in sentence and (computed := find_numbers(sentence.rpartition("=")[2])):
        return _digits(computed[0])
    if asked.kind in COUNTED and (number := _asked_number(question, sentence)) is not None:
        return number
    if (quoted := _QUOTED.findall(sentence)) and len(quoted) == 1 and quoted[0] not in question:
        return quoted[0]
    answer = _without_setting(_other_side(question, sentence), question)
    values = find_values(answer, asked.kind) if asked.kind in _PRINTED else []
    return values[0].text if values else answer


def asked_time(question: str, text: str) -> str:
    """The one time of day, or the one span of time, in `text`, where that is asked for; "" where there is none, or a date."""
    if not _ASKS_TIME.search(question) or find_values(text[:_SENTENCE], "date"):
        return ""
    times = _TIME.findall(text[:_SENTENCE])
    return times[0] if len(times) == 1 else ""


def write_number(asked: Asked, answer: str) -> str:
    """`answer` in digits alone where it is a number, or a number that a count is asked for; else as it is."""
    number = whole_number(answer)
    if number is None and asked.kind == "count" and len(found := find_numbers(answer[:_SENTENCE])) == 1:
        number = found[0]
    if number is None:
        return answer
    return number.digits if not number.scale or asked.scale else answer


def split_list(text: str) -> list[str]:
    """What "East, the West and the Old Dock" lists; one item where it lists nothing."""
    items = [_ARTICLE.sub("", item.strip(" *_`")) for item in _SEPARATOR.split(text[: 4 * _SENTENCE])]
    items = [item for item in items if item]
    return items if all(len(item.split()) <= _ITEM_WORDS for item in items) else [text]


def best_sentence(question: str, sentences: Iterable[str]) -> str:
    """The sentence that speaks most of what the question asks; the last one of equals."""
    asked = frozenset(content_terms(question))
    return max(enumerate(sentences), key=lambda pair: (len(asked & frozenset(content_terms(pair[1]))), pair[0]))[1]


def _asked_number(question: str, sentence: str) -> str | None:
    """The number that a sentence gives as its answer: the first that the question does not name."""
    named = {number.digits for number in find_numbers(question)}
    found = [number for number in find_numbers(sentence) if not _PLACE.search(sentence[: number.start])]
    new = [number for number in found if number.digits not in named]
    concluded = [number for number in new if (so := _SO.search(sentence)) and number.start >= so.end()]
    chosen = [number for number in concluded or new if not number.is_year] or new
    return _digits(chosen[0]) if chosen else None


def _digits(number: Number) -> str:
    return f"{number.digits} {number.scale}" if number.scale else number.digits


def _without_lead(sentence: str) -> str:
    for _ in range(3):
        lead = _LEAD.match(sentence)
        if lead is None or not sentence[lead.end() :].strip():
            break
        sentence = sentence[lead.end() :]
    return sentence.strip()


def _other_side(question: str, sentence: str) -> str:
    """Of the two sides of a verb, the one that repeats less of the question; the verb that tells them apart best."""
    asked = frozenset(content_terms(question))
    splits = [(sentence[: verb.start()], sentence[verb.end() :]) for verb in list(_VERB.finditer(sentence))[:_SPLITS]]
    ranked = [(abs(_known(left, asked) - _known(right, asked)), left, right) for left, right in splits if left and right]
    if not ranked:
        return _without_end(_trim(sentence, asked), asked)
    gap, left, right = max(ranked, key=lambda split: split[0])
    if gap == 0:
        return _trim(ranked[0][1] if " or " in question else sentence, asked)
    return _trim(left if _known(left, asked) < _known(right, asked) else right, asked)


def _known(text: str, asked: frozenset[str]) -> float:
    """The share of a text's terms that the question has; a text without terms says nothing new."""
    said = content_terms(text)
    return sum(term in asked for term in said) / len(said) if said else 1.0


def _without_setting(answer: str, question: str) -> str:
    """ "$1.2 billion in 2020" -> "$1.2 billion": after a number no year, and nothing that the question has."""
    numbers = find_numbers(answer)
    if not numbers or numbers[0].start or not _OF_WHEN_OR_WHERE.match(rest := answer[numbers[0].end :]):
        return answer
    asked = frozenset(content_terms(question))
    is_known = all(_YEAR.fullmatch(word.strip(".,")) or _says_nothing_new(word, asked) for word in rest.split())
    return answer[: numbers[0].end] if is_known else answer


def _says_nothing_new(word: str, asked: frozenset[str]) -> bool:
    return all(term in asked or term in STOP_TERMS for term in word_terms(word))


def _trim(text: str, asked: frozenset[str]) -> str:
    """Without an afterthought, and without the question's own words at its beginning."""
    tail = _TAIL.search(text)
    kept = (text[: tail.start()] if tail and tail.start() else text).strip(" .,:;*_`")
    words = kept.split()
    dropped = 0
    for place, word in enumerate(words[:-1], 1):
        said = word_terms(word)
        if word.lower() in _INTRODUCING or (said and all(term in asked for term in said)):
            dropped = place
        elif word.lower() not in _ARTICLES:
            break
    return " ".join(words[dropped:]).strip("\"'“”")


def _without_end(text: str, asked: frozenset[str]) -> str:
    """ "Peru exports the most tin" -> "Peru", where the question has the rest."""
    words = text.split()
    while len(words) > 1 and _says_nothing_new(words[-1], asked):
        words = words[:-1]
    return " ".join(words)
