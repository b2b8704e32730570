"""Answers from running text: the typed value in a sentence that speaks of everything the question names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from docrag.pipelines.extract.candidates import Candidate, support
from docrag.pipelines.extract.page_view import PageView, Sentence
from docrag.pipelines.extract.terms import STOP_TERMS, word_terms
from docrag.pipelines.extract.values import Value, find_values, write_answer
from docrag.pipelines.question_type import Asked

_LONGEST = 80  # words of a sentence; what is longer is a list or a table that lost its lines
_LONGEST_SAID = 12
_ALL_SAID = 0.95  # of the question's terms, before a sentence is taken for its answer, or its yes
_CONTACTS = ("email", "phone", "url")
_PRONOUNS = frozenset(("it", "its", "they", "them", "their", "he", "she", "his", "her"))
_NEGATION = re.compile(r"\b(?:not|no|never|neither|nor|without|cannot)\b|n't\b", re.IGNORECASE)
_SAYS = re.compile(
    r"^\s*(?:\([^)]*\)\s*)?(?::|–|—|-\s|=|\b(?:is|are|was|were|has\s+been|will\s+be|means|stands\s+for|refers\s+to)\b)\s*(.+)$",
    re.IGNORECASE,
)


def sentence_candidates(asked: Asked, weights: Mapping[str, float], view: PageView) -> Iterator[Candidate]:
    """Candidates from sentences that share terms worth a third of the question."""
    total = sum(weights[term] for term in asked.terms if term not in asked.implied) or 1.0
    for at, sentence in enumerate(view.sentences):
        local = view.terms(sentence.start, sentence.end) | _meant(view, at)
        shared = sum(weights[term] for term in asked.terms if term in local)
        if shared < total / 3 or not (asked.kind in _CONTACTS or _is_prose(view, sentence)):
            continue
        met = support(asked, weights, local | asked.implied, _around(view, at), view)
        words = tuple(range(sentence.start, sentence.end))
        if asked.kind == "yes_no" and met.local < _ALL_SAID:
            continue
        for answer, fit in _answers(asked, weights, view, sentence):
            yield Candidate(write_answer(answer, asked), view, words, words, "sentence", met, fit)
        if asked.tells and met.local >= _ALL_SAID:
            yield Candidate(view.text(sentence.start, sentence.end), view, words, words, "sentence", met, 0.6)


def _meant(view: PageView, at: int) -> frozenset[str]:
    """The stems of the sentence before, where this one speaks of it with a pronoun."""
    own = view.sentences[at]
    refers = not _PRONOUNS.isdisjoint(word.casefold() for word in view.words[own.start : own.end])
    if not refers or at == 0 or view.sentences[at - 1].region != own.region:
        return frozenset()
    before = view.sentences[at - 1]
    return view.terms(before.start, before.end)


def _is_prose(view: PageView, sentence: Sentence) -> bool:
    """Whether a sentence may be one, not a table or list that lost its lines."""
    words = view.words[sentence.start : sentence.end]
    wordless = "".join(" " if any(letter.isalpha() for letter in word) else "#" for word in words)
    return len(words) <= _LONGEST and wordless.count("#") <= max(4, len(words) / 3) and "####" not in wordless


def _around(view: PageView, at: int) -> frozenset[str]:
    """The stems of the heading and of the sentences before and after in the same region."""
    own = view.sentences[at]
    near = frozenset(term for word in own.heading.split() for term in word_terms(word))
    for other in view.sentences[max(0, at - 1) : at + 2]:
        if other.region == own.region:
            near |= view.terms(other.start, other.end)
    return near


def _answers(asked: Asked, weights: Mapping[str, float], view: PageView, sentence: Sentence) -> Iterator[tuple[str, float]]:
    """Answers in a sentence with how well each fits, 1 for the only one possible."""
    text = view.text(sentence.start, sentence.end)
    if asked.kind == "yes_no":
        yield ("No" if _NEGATION.search(text) else "Yes"), 1.0
    elif asked.kind == "acronym":
        yield from ((long_form, 1.0) for long_form in _long_forms(asked, text))
    elif asked.kind in ("value", "text"):
        said = list(_said_of(asked, text))
        yield from said or _amounts(asked, weights, text)
    else:
        values = [value for value in find_values(text, asked.kind) if not _repeats(asked, value)]
        values = _of_the_year(asked, text, values) or values
        nearest = max(values, key=lambda value: _closeness(asked, weights, text, value), default=None)
        yield from ((value.text, _fit(asked, text, value, values) * (1.0 if value is nearest else 0.7)) for value in values)


def _of_the_year(asked: Asked, text: str, values: list[Value]) -> list[Value]:
    """'$2.4 million and $3.0 million in 2022 and 2023': the value whose turn is the year's that the question names."""
    years = [year.text for year in find_values(text, "year")]
    if len(years) < 2 or len(set(years)) != len(years) or len(years) != len(values):
        return []
    return [value for year, value in zip(years, values, strict=True) if year in asked.exact]


def _repeats(asked: Asked, value: Value) -> bool:
    """Whether a value is in the question already, and so is none of its answers."""
    stems = [term for word in value.text.split() for term in word_terms(word)]
    if asked.kind in ("person", "place") and any(term in asked.terms for term in stems):
        return True
    return bool(stems) and all(term in asked.terms or term in STOP_TERMS for term in stems)


def _fit(asked: Asked, text: str, value: Value, values: list[Value]) -> float:
    if asked.kind in ("email", "url"):
        return 1.0 if len(values) == 1 or any(term in value.text.casefold() for term in asked.terms) else 0.5
    if asked.kind == "person":
        return 1.0 if _beside(asked, text, value, 5) else 0.5
    alone = 1.0 if len(values) == 1 else 0.8
    if asked.kind in ("money", "percent"):
        return 0.9 * alone * (1.0 if _beside(asked, text, value, 8) else 0.6)
    if asked.kind not in ("count", "quantity"):
        return alone
    after = [term for word in text[value.end :].split()[:4] for term in word_terms(word)]
    before = [term for word in text[: value.start].split()[-4:] for term in word_terms(word)]
    if any(term in after[:4] for term in asked.focus):
        return 1.0
    return 0.8 * alone if any(term in before for term in asked.focus) else 0.4 * alone


def _closeness(asked: Asked, weights: Mapping[str, float], text: str, value: Value) -> float:
    """How close the question's terms stand to a value: their weights over the words between, commas and 'and' counted more."""
    closeness: dict[str, float] = {}
    for words in (text[: value.start].split()[::-1], text[value.end :].split()):
        distance = 1
        for word in words:
            distance += 1 + 2 * (word.endswith((",", ";")) or word in ("and", "while", "but"))
            for term in word_terms(word):
                if term in weights:
                    closeness[term] = max(closeness.get(term, 0.0), weights[term] / distance)
    return sum(closeness.values())


def _beside(asked: Asked, text: str, value: Value, words: int) -> bool:
    """Whether a term of the question, no number, stands within so many words of a value."""
    around = text[: value.start].split()[-words:] + text[value.end :].split()[:words]
    return any(term in asked.terms and term not in asked.exact for word in around for term in word_terms(word))


def _long_forms(asked: Asked, text: str) -> Iterator[str]:
    """'Long Form (LF)' and 'LF: Long Form' for an abbreviation that the question names."""
    for term in asked.names or asked.terms:
        match = re.search(rf"\(\s*{re.escape(term)}s?\s*\)", text, re.IGNORECASE)
        if match:
            yield from _initials_before(term, text[: match.start()].split())
        match = re.search(rf"\b{re.escape(term)}\b\s*(?:\(|[:=–—-]|stands\s+for|means)\s*([^).;]+)", text, re.IGNORECASE)
        if match:
            yield from _initials_before(term, match.group(1).split(), first=True)


def _initials_before(term: str, words: list[str], first: bool = False) -> Iterator[str]:
    """The run of words at the end (or start) of `words` whose initials spell `term`, small words not counted."""
    for size in range(len(term), min(len(words), 2 * len(term)) + 1):
        run = words[:size] if first else words[-size:]
        initials = "".join(word[0] for word in run if word[0].isupper()).casefold()
        every = "".join(part[0] for word in run for part in re.split(r"[-/]", word) if part).casefold()
        if term in (initials, every) and run[0][0].casefold() == term[0]:
            yield " ".join(run)
            return


def _amounts(asked: Asked, weights: Mapping[str, float], text: str) -> Iterator[tuple[str, float]]:
    """The sum of money or the share in a sentence that stands closest, for a question that leaves open what it wants."""
    for kind in ("money", "percent"):
        values = [value for value in find_values(text, kind) if not _repeats(asked, value)]
        values = _of_the_year(asked, text, values) or values
        if values:
            nearest = max(values, key=lambda value: _closeness(asked, weights, text, value))
            if _beside(asked, text, nearest, 10):
                yield nearest.text, 0.7 if len(values) == 1 else 0.6
            return


def _said_of(asked: Asked, text: str) -> Iterator[tuple[str, float]]:
    """What comes after the question's own words and a colon, 'is' or the like: 'Operator: X', 'The operator is X'."""
    last = 0
    for match in re.finditer(r"\S+", text):
        stems = word_terms(match.group())
        if any(term in asked.terms for term in stems):
            last = match.end() - (match.group().endswith((":", "=", "–")) or 0)
    said = _SAYS.match(text[last:]) if last else None
    if (
        said
        and (amounts := find_values(said.group(1), "money") or find_values(said.group(1), "percent"))
        and not amounts[0].start
    ):
        yield amounts[0].text, 1.0
        return
    answer = re.split(r"[;.](?:\s|$)|,\s(?:and|but|which|who|while|as)\b", said.group(1))[0].strip() if said else ""
    if answer and len(answer.split()) <= _LONGEST_SAID and not answer.startswith(("as follows", "not ")):
        yield answer, 0.7
