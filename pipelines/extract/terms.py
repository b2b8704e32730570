"""Words as the offline reader compares them: folded, stemmed a little, and with the words that ask left out."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_WORD = re.compile(r"\d[\d.,]*\d|\w+", re.UNICODE)

# A possessive 's, and the FY of FY2023, which means the year.
_SUFFIX_OR_FISCAL = re.compile(r"'s\b|\bfy(?=\d)")

# The number of a footnote at the end of a word: margins3.
_FOOTNOTE = re.compile(r"(?<=[^\W\d_]{4})\d{1,2}\b")

# Words without a subject of their own, and those with which a question speaks of its document.
_STOP = """a about above according all also am an and any are as at author authors be been being below between brief
    by can could did directly do document does done during each for from get give given got guidebook had has have
    having he her here his how i if in inside into is it its itself kind list many me mean mentioned much must my name
    named names of on one or our page pages paper per please presentation publication regarding report said section
    shall she should show showed shown shows slide slides so some such state stated states tell than that the their
    them then there these they this those to type under up upon us use used was we were what when where which while
    who whom whose will with within would year years you your"""
STOP = frozenset(_STOP.split())

_IRREGULAR_FORMS = """people:person men:man women:woman children:child took:take taken:take paid:pay built:build
    held:hold made:make sold:sell spent:spend won:win wrote:write written:write led:lead sent:send bought:buy
    grew:grow grown:grow rose:rise risen:rise fell:fall fallen:fall began:begin begun:begin gave:give chose:choose
    chosen:choose drove:drive driven:drive lost:lose met:meet ran:run taught:teach"""
_IRREGULAR: dict[str, str] = {pair.split(":")[0]: pair.split(":")[1] for pair in _IRREGULAR_FORMS.split()}
_PLURALS = (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x"))


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """`word`, in lower case, without its plural or verb ending: what it shares with its other forms, not always a word."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    word = _singular(word)
    for ending in ("ing", "ed"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return _undouble(word.removesuffix(ending))
    return word.removesuffix("e") if len(word) > 4 else word


def _singular(word: str) -> str:
    for ending, instead in _PLURALS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + instead
    return word.removesuffix("s") if word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def _undouble(root: str) -> str:
    if len(root) > 3 and root[-1] == root[-2] and root[-1] not in "lsz":
        root = root[:-1]
    return root.removesuffix("e") if len(root) > 4 else root


@lru_cache(maxsize=65_536)
def word_terms(word: str) -> tuple[str, ...]:
    """The stems of one printed word: none for punctuation, several for 'follow-up'. '1,914' and '1914' are the same."""
    folded = unicodedata.normalize("NFKC", word).casefold().replace("’", "'")
    folded = _SUFFIX_OR_FISCAL.sub("", folded)
    folded = _FOOTNOTE.sub("", folded)
    return tuple(stem(part.replace(",", "") if part[0].isdigit() else part) for part in _WORD.findall(folded))


def terms(text: str) -> list[str]:
    """The stems of a text, in order, stop words included."""
    return [term for word in text.split() for term in word_terms(word)]


STOP_TERMS = frozenset(stem(word) for word in STOP)


def content_terms(text: str) -> list[str]:
    """The stems of a text that carry its subject, in order."""
    return [term for term in terms(text) if term not in STOP_TERMS]


# Words of a question that a page rarely repeats: their absence says little.
_VAGUE = """amount company consist contain cost different firm following found happen have include introduce locate
    mentioned occur offer organisation organization own present provide say spend specific take talk total used using
    value various one two three four five six seven eight nine ten"""
VAGUE_TERMS = frozenset(stem(word) for word in _VAGUE.split())
