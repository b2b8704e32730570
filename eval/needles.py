"""Page needles for any library: a page that alone says something, hidden among others, and asked for; or absent from them.

After MMNeedle (arXiv:2406.11230), which hides an image among n and also asks for images that are not there. Here the needle is
a sentence of a page with a number or a name that few pages of the library have, and no other page of the haystack; the question
is that sentence with a blank: no model makes it. The same needles are asked at every length, in haystacks that grow around
them, so that a difference between two lengths is one of length.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, field

from docrag.errors import UsageError
from docrag.eval.benchmarks.own import infer_format
from docrag.eval.questions import Question, question_ids
from docrag.eval.scoring import AnswerFormat
from docrag.pipelines.extract.page_view import view_page
from docrag.types import NOT_ANSWERABLE, Evidence

DEPTHS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the needle's page among the others, from the first place to the last
BLANK = "____"
NEGATIVE = "no needle"
_FULL = 0.9  # of the length that was asked for, else the library is too small for it
_RARE_PAGES, _RARE = 2, 0.01  # a value stands on so many pages of the library at most, or on this share of a larger one
_SAME = 0.8  # of a sentence's telling words: a page that has so many may say the same
_FEWEST_WORDS, _MOST_WORDS = 8, 40  # of a needle's sentence
_PROSE, _MOST_NUMBERS = 0.6, 3  # of its words are in lower case, and few are numbers: else it is a title, a table or a list
_NUMBER = re.compile(r"([($€£]*)(\d+(?:\.\d+)?)([%).,;:]*)")  # not 1,250: the rules of scoring read no such answer
_NAME = re.compile(r"([(\"“]*)([A-Z][a-z]{3,})([)\"”.,;:]*)")
_SCALES = frozenset(("hundred", "thousand", "million", "millions", "billion", "billions", "trillion", "m", "bn", "k"))
_AROUND = " \t()[]{}\"'“”‘’.,;:!?$€£%"


@dataclass(frozen=True, slots=True, eq=False)
class HayPage:
    """A page of the library with its text, and the `tokens` that it takes in a haystack."""

    item: Evidence
    tokens: int
    words: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", frozenset(map(_plain, self.item.content.text.split())))


@dataclass(frozen=True, slots=True)
class Cloze:
    """A sentence of the page at `place` in the library, with a blank for `value`; `telling` are its other words of weight."""

    place: int
    sentence: str
    value: str
    answer_format: AnswerFormat
    telling: frozenset[str]

    @property
    def question(self) -> str:
        kind = "name" if self.answer_format == "Str" else "number"
        return f'What is the {kind} at {BLANK} in "{self.sentence}"? Write the {kind} alone.'


@dataclass(frozen=True, slots=True)
class NeedlePlan:
    """`count` needles are asked for at each of `lengths` (tokens), balanced over `DEPTHS`; half of them also where absent."""

    lengths: tuple[int, ...]
    count: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1 or not self.lengths or min(self.lengths) < 1:
            raise UsageError(f"needles want a count and lengths of 1 or more, got {self.count} and {list(self.lengths)}")
        if len(set(self.lengths)) != len(self.lengths):
            raise UsageError(f"a length is named twice: {list(self.lengths)}")

    @property
    def negatives(self) -> int:
        """How many questions a length has whose needle is absent."""
        return (self.count + 1) // 2


@dataclass(frozen=True, slots=True)
class NeedleTask:
    """One question and the haystack it is asked of: `pages` are places in the library, in the order in which they are read.

    `depth` is where the needle's page lies, None where it is absent; `document_pages` is how many pages its document has.
    """

    question: Question
    length: int
    depth: float | None
    pages: tuple[int, ...]
    document_pages: int


def draw_tasks(pages: Sequence[HayPage], plan: NeedlePlan) -> tuple[NeedleTask, ...]:
    """The questions of `plan` over a library's pages; the same pages and plan give the same ones.

    Raises UsageError where the pages have too few needles, or too few tokens for a length.
    """
    chance = random.Random(plan.seed)
    clozes = _draw_clozes(pages, plan.count, chance)
    _check_lengths(pages, clozes, plan.lengths)
    depths = [DEPTHS[number % len(DEPTHS)] for number in range(plan.count)]
    orders = [chance.sample(range(len(pages)), len(pages)) for _ in clozes]
    drawn = [
        (cloze, length, depth, _haystack(pages, cloze, order, length, depth))
        for length in plan.lengths
        for sought in (depths, [None] * plan.negatives)
        for cloze, order, depth in zip(clozes, orders, sought, strict=False)
    ]
    ids = question_ids([(pages[task[0].place].item.name, _asked(pages, *task)) for task in drawn])
    return tuple(
        NeedleTask(_question(id_, pages[cloze.place], cloze, length, depth), length, depth, haystack, _pages_of(pages, cloze))
        for id_, (cloze, length, depth, haystack) in zip(ids, drawn, strict=True)
    )


def _asked(pages: Sequence[HayPage], cloze: Cloze, length: int, depth: float | None, haystack: Sequence[int]) -> str:
    """All that an answer depends on: two runs are compared by question_id, and only equal haystacks are the same question."""
    hay = [pages[place].item.content.page.point_id for place in haystack]
    return json.dumps([cloze.question, length, depth, hay])


def _pages_of(pages: Sequence[HayPage], cloze: Cloze) -> int:
    return pages[cloze.place].item.content.page.document.pages


def length_name(tokens: int) -> str:
    """8192 as "8k"; what is no whole number of 1,024 stays as it is."""
    return f"{tokens // 1024}k" if tokens % 1024 == 0 else str(tokens)


def depth_name(depth: float | None) -> str:
    return NEGATIVE if depth is None else f"depth {depth:.0%}"


def _question(question_id: str, page: HayPage, cloze: Cloze, length: int, depth: float | None) -> Question:
    """Length and depth stand where breakdowns are made by them: as document type and evidence source."""
    is_there = depth is not None
    return Question(
        question_id=question_id,
        doc_id=page.item.name,
        doc_type=f"{length_name(length)} tokens",
        question=cloze.question,
        answer=cloze.value if is_there else NOT_ANSWERABLE,
        evidence_pages=(page.item.content.page.page_number,) if is_there else (),
        evidence_sources=(depth_name(depth),),
        answer_format=cloze.answer_format if is_there else "None",
    )


def _draw_clozes(pages: Sequence[HayPage], count: int, chance: random.Random) -> list[Cloze]:
    """Of pages in random order; more than one of a page only where there are not enough pages."""
    frequency = Counter(word for page in pages for word in page.words)
    most = max(_RARE_PAGES, int(_RARE * len(pages)))
    rare = {word for word, count in frequency.items() if count <= most}
    clozes: list[Cloze] = []
    spare: list[Cloze] = []
    for place in chance.sample(range(len(pages)), len(pages)):
        found = list(find_clozes(place, pages[place], rare))
        chance.shuffle(found)
        clozes += found[:1]
        spare += found[1:]
        if len(clozes) == count:
            return clozes
    clozes += spare[: count - len(clozes)]
    if len(clozes) == count:
        return clozes
    raise UsageError(
        f"the library has needles for {len(clozes)} questions, {count} are wanted",
        "a needle is a sentence with a number or a name that few pages have: ask for fewer with --count",
    )


def find_clozes(place: int, page: HayPage, rare: Set[str]) -> Iterator[Cloze]:
    """The needles of a page: sentences with a number or a name that is among the `rare` words of the library."""
    for sentence in (view := view_page(page.item)).sentences:
        words = view.words[sentence.start : sentence.end]
        if not _is_prose(words):
            continue
        for at in range(1, len(words)):
            cut = _cut_number(words, at) or _cut_name(words, at)
            if cut is None or _plain(cut[1]) not in rare:
                continue
            before, value, after = cut
            answer_format, answer = _answer(before, value, after, words[at + 1 : at + 2])
            text = " ".join((*words[:at], f"{before}{BLANK}{after}", *words[at + 1 :]))
            telling = frozenset(plain for word in (*words[:at], *words[at + 1 :]) if len(plain := _plain(word)) > 3)
            yield Cloze(place, text.replace('"', "'"), answer, answer_format, telling)


def _is_prose(words: Sequence[str]) -> bool:
    if not (_FEWEST_WORDS <= len(words) <= _MOST_WORDS and words[0][0].isupper() and words[-1].endswith((".", "!", "?"))):
        return False
    numbers = [any(map(str.isdigit, word)) for word in words]
    if sum(numbers) > _MOST_NUMBERS or any(map(all, itertools.pairwise(numbers))):
        return False
    return sum(word.islower() for word in words) >= _PROSE * len(words)


def _cut_number(words: Sequence[str], at: int) -> tuple[str, str, str] | None:
    """What stands before a number, the number, and what stands after it.

    One digit says too little; and of what is counted in millions, "$1.3 million" is as right an answer as "1.3".
    """
    match = _NUMBER.fullmatch(words[at])
    if match is None or sum(map(str.isdigit, words[at])) < 2 or _plain("".join(words[at + 1 : at + 2])) in _SCALES:
        return None
    return match[1], match[2], match[3]


def _cut_name(words: Sequence[str], at: int) -> tuple[str, str, str] | None:
    """As `_cut_number`, of a name of one word: no part of a longer one, and no first word of a quoted sentence."""
    match = _NAME.fullmatch(words[at])
    beside = (words[at - 1], *words[at + 1 : at + 2])
    if match is None or any(word.strip(_AROUND)[:1].isupper() for word in beside) or words[at - 1][-1] in ".!?:":
        return None
    return match[1], match[2], match[3]


def _answer(before: str, value: str, after: str, following: Sequence[str]) -> tuple[AnswerFormat, str]:
    """A share or a sum of money is a Float, for the rule of Int knows no signs."""
    is_signed = "%" in (after + "".join(following))[:2] or any(sign in before for sign in "$€£")
    answer_format, answer = infer_format(value)
    return ("Float" if is_signed and answer_format == "Int" else answer_format), answer


def _plain(word: str) -> str:
    """A word as it is compared: without signs around it, in one case, numbers without separators."""
    plain = word.strip(_AROUND).casefold()
    return plain.replace(",", "") if plain[:1].isdigit() else plain


def _competes(page: HayPage, cloze: Cloze) -> bool:
    """Whether a page might answer, as the needle's own does: that it can't is not to be seen where its text is not known."""
    shared = len(cloze.telling & page.words)
    return not page.item.content.text or _plain(cloze.value) in page.words or shared >= _SAME * len(cloze.telling)


def _check_lengths(pages: Sequence[HayPage], clozes: Sequence[Cloze], lengths: Sequence[int]) -> None:
    """Raises UsageError where a length has no room for a needle's page and one that it is hidden beside."""
    needed = {cloze: pages[cloze.place].tokens + _smallest_hay(pages, cloze) for cloze in clozes}
    cloze = max(needed, key=needed.__getitem__)
    if (shortest := min(lengths)) < needed[cloze]:
        raise UsageError(
            f"a page of {pages[cloze.place].tokens:,} tokens is no needle among {shortest:,}: no other page has room beside it",
            f"ask for --lengths of {needed[cloze]:,} tokens or more",
        )


def _smallest_hay(pages: Sequence[HayPage], cloze: Cloze) -> int:
    """The tokens of the smallest page that may stand beside a needle. Raises UsageError where there is none."""
    tokens = [page.tokens for page in pages if not _competes(page, cloze)]
    if not tokens:
        raise UsageError("the library has no other page to hide a needle's beside", "add documents")
    return min(tokens)


def _haystack(
    pages: Sequence[HayPage], cloze: Cloze, order: Sequence[int], length: int, depth: float | None
) -> tuple[int, ...]:
    """As many pages in `order` as `length` holds, none of which answers; the needle's page goes in at `depth`."""
    left = length - (pages[cloze.place].tokens if depth is not None else 0)
    hay = [place for place in order if not _competes(pages[place], cloze)]
    chosen: list[int] = []
    for place in hay:
        if pages[place].tokens <= left:
            chosen.append(place)
            left -= pages[place].tokens
    if len(chosen) == len(hay) and left > (1 - _FULL) * length:
        raise UsageError(
            f"the library holds {length - left:,} tokens for a haystack of {length:,}",
            "ask for shorter --lengths, or add documents",
        )
    at = len(chosen) if depth is None else round(depth * len(chosen))
    return (*chosen[:at], *([] if depth is None else [cloze.place]), *chosen[at:])
