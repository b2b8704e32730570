"""What a model wrote -> a `Reading`. Tolerant of how it is written; what can't be read is a failed reading, never an answer.

Models wrap JSON in code fences and talk, think aloud before it, leave out braces' company of commas or add one too many. All
that is read. A text without one object of the form that was asked for, or one whose outcome and answer contradict each other,
is `failed`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from docrag.pipelines.citations import Checked, Claim, NumberFound, check_claims, check_numbers
from docrag.types import NOT_ANSWERABLE, Context, Reading

FAILED_ANSWER = "Fail to answer"  # as MMLongBench-Doc writes it
UNSURE = 0.5  # the confidence of a reader that tells none
NEEDS_CHARACTERS = 500
ANSWER_CHARACTERS = 20_000
_TOLD_CHARACTERS = 500
_READ_CHARACTERS = 200_000
_BRACES_TRIED = 200  # so that a text of nothing but braces costs little
_THOUGHT_TAG = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_ANSWER_KEY = re.compile(r'"answer"\s*:\s*"')
_OUTCOMES = {
    "answered": "answered",
    "answerable": "answered",
    "not_answerable": "not_answerable",
    "unanswerable": "not_answerable",
    "needs_more": "needs_more",
    "need_more": "needs_more",
}
_REFUSALS = frozenset({"not answerable", "unanswerable", "not_answerable"})


class Unreadable(Exception):
    """Why a text is not of the form that was asked for."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def parse_reading(text: str, context: Context, usage: Mapping[str, int] | None = None) -> Reading:
    """The reading that `text` is, its citations checked against the pages of `context`.

    Outcome "failed", with the reason under "failed" in its trace, where `text` is not of the form that was asked for.
    """
    try:
        return _reading(find_object(text, ("outcome", "answer")), context, usage or {})
    except Unreadable as error:
        return failed_reading(error.why, usage, wrote=text)


def failed_reading(why: str, usage: Mapping[str, int] | None = None, wrote: str = "") -> Reading:
    """A reading that came to nothing: `why`, and the beginning of what the reader wrote instead."""
    trace = {"failed": why} | ({"wrote": wrote[:_TOLD_CHARACTERS]} if wrote else {})
    return Reading("failed", FAILED_ANSWER, 0.0, usage=usage or {}, trace=trace)


def parse_picks(text: str, listed: int) -> tuple[int, ...]:
    """The page numbers (1 to `listed`) that a navigator's text picks, in its order. Raises Unreadable where it is no list."""
    picked = find_object(text, ("pages",)).get("pages")
    if not isinstance(picked, list):
        raise Unreadable("its pages are not a list")
    numbers = [_whole_number(item) for item in cast("list[Any]", picked)]
    return tuple(dict.fromkeys(number for number in numbers if number is not None and 1 <= number <= listed))


def parse_choice(text: str, readers: int) -> int:
    """The reader (1 to `readers`) that an adjudicator's text chooses, 0 for none. Raises Unreadable on anything else."""
    number = _whole_number(find_object(text, ("choice",)).get("choice"))
    if number is None or not 0 <= number <= readers:
        raise Unreadable(f"its choice is not one of 0 to {readers}")
    return number


class AnswerStream:
    """Takes the pieces of a JSON text as they come, and passes on those of its answer, decoded: what a person may watch."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._text = ""
        self._told = 0

    def __call__(self, piece: str) -> None:
        self._text += piece
        answer = self._answer()
        if len(answer) > self._told:
            self._on_text(answer[self._told :])
            self._told = len(answer)

    def _answer(self) -> str:
        """The answer as far as it has come."""
        begin = _ANSWER_KEY.search(self._text)
        if begin is None:
            return ""
        rest = self._text[begin.end() :]
        body = re.match(r'(?:[^"\\]|\\u[0-9a-fA-F]{4}|\\[^u])*', rest)
        answer = str(json.loads(f'"{body.group() if body else ""}"', strict=False))
        return answer[:-1] if "\ud800" <= answer[-1:] <= "\udbff" else answer  # half a pair: the other is to come


def _reading(found: Mapping[str, Any], context: Context, usage: Mapping[str, int]) -> Reading:
    answer = _answer_text(found.get("answer"))
    outcome = _outcome(found, answer)
    checked = check_claims(_claims(found.get("citations")), context)
    confidence = _confidence(found.get("confidence"))
    trace: dict[str, Any] = {"reasoning": _told(found.get("reasoning"))} | _refused(checked)
    if outcome == "answered":
        numbers = check_numbers(answer, context.evidence)
        return Reading(
            "answered", answer, confidence, checked.citations, usage=usage, trace=trace | {"numbers": numbers_json(numbers)}
        )
    needs = _told(found.get("needs"))[:NEEDS_CHARACTERS] if outcome == "needs_more" else ""
    trace["abstained"] = trace["reasoning"] or (f"it would take: {needs}" if needs else "the reader gave no reason")
    return Reading("not_answerable", NOT_ANSWERABLE, confidence, checked.citations, needs, usage, trace)


def numbers_json(numbers: Sequence[NumberFound]) -> list[dict[str, Any]]:
    return [{"number": n.text, "verified": n.page_number is not None, "page_number": n.page_number} for n in numbers]


def _outcome(found: Mapping[str, Any], answer: str) -> str:
    said = str(found.get("outcome") or "").strip().lower().replace(" ", "_").replace("-", "_")
    if not said and answer:
        said = "answered"
    if said not in _OUTCOMES:
        raise Unreadable(f"its outcome is {said[:40]!r}" if said else "it has neither an outcome nor an answer")
    outcome = _OUTCOMES[said]
    if outcome == "answered" and answer.lower().rstrip(".") in _REFUSALS:
        return "not_answerable"
    if outcome == "answered" and not answer:
        raise Unreadable("it says that it answers, and gives no answer")
    return outcome


def _answer_text(answer: Any) -> str:
    """Text as it stands, numbers as JSON writes them, lists as JSON lists. Raises Unreadable on anything else."""
    if answer is None:
        return ""
    if isinstance(answer, bool):
        return "Yes" if answer else "No"
    if isinstance(answer, dict):
        raise Unreadable("its answer is an object, not a text")
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return text.strip()[:ANSWER_CHARACTERS]


def _confidence(told: Any) -> float:
    """From 0 to 1; percentages too. One that can't be read is that of a reader that tells none."""
    try:
        text = str(told).strip()
        value = float(text.rstrip("% ")) / (100 if text.endswith("%") else 1)
    except ValueError:
        return UNSURE
    if 1 < value <= 100:
        value /= 100
    return value if 0 <= value <= 1 else UNSURE


def _claims(citations: Any) -> list[Claim]:
    listed = cast("list[Any]", citations) if isinstance(citations, list) else [citations]
    return [_claim(cast("Mapping[str, Any]", item)) for item in listed if isinstance(item, dict)]


def _claim(item: Mapping[str, Any]) -> Claim:
    page = item.get("page", item.get("page_number", ""))
    return Claim(*(_told(value) for value in (item.get("document"), page, item.get("quote"))))


def _refused(checked: Checked) -> dict[str, Any]:
    if not checked.refused:
        return {}
    told = [{"document": claim.document, "page": claim.page, "quote": claim.quote} for claim in checked.refused]
    return {"citations_refused": told}


def _told(value: Any) -> str:
    return "" if value is None else str(value).strip()[:_TOLD_CHARACTERS]


def _whole_number(value: Any) -> int | None:
    if isinstance(value, bool):
        return None
    match = re.fullmatch(r"\D{0,8}(\d{1,6})(?:\.0)?", str(value).strip())
    return int(match.group(1)) if match else None


def without_thought(text: str) -> str:
    """`text` without what a model thinks aloud: between its tags, before an end that nothing began, after a beginning alone."""
    # Tag by tag: a pattern for whole thoughts takes quadratic time where many begin and none ends.
    kept: list[str] = []
    start, thinks = 0, False
    for tag in _THOUGHT_TAG.finditer(text):
        if not tag[1]:
            kept += [] if thinks else [text[start : tag.start()]]
            thinks = True
            continue
        if not thinks:
            kept.clear()
        start, thinks = tag.end(), False
    return "".join(kept if thinks else [*kept, text[start:]])


def find_object(text: str, keys: Sequence[str]) -> Mapping[str, Any]:
    """The last JSON object of a text that has one of `keys`; what a model thinks aloud does not count.

    Raises Unreadable where there is none.
    """
    said = without_thought(text).strip()[-_READ_CHARACTERS:]
    outer = list(_objects(said)) or list(_literal(said))
    inner = [cast("Mapping[str, Any]", value) for item in outer for value in item.values() if isinstance(value, dict)]
    for objects in (outer, inner):
        if found := [item for item in objects if any(key in item for key in keys)]:
            return found[-1]
    raise Unreadable(f"it wrote no JSON object with {' or '.join(keys)}" if said else "it wrote nothing")


def _objects(text: str) -> Iterator[Mapping[str, Any]]:
    """The outermost JSON objects of a text, in order; line breaks inside strings and commas before a bracket are let pass."""
    decoder = json.JSONDecoder(strict=False)
    at = text.find("{")
    for _ in range(_BRACES_TRIED):
        if at < 0:
            return
        end = at + 1
        for candidate in (text[at:], _TRAILING_COMMA.sub(r"\1", text[at:])):
            try:
                value, length = decoder.raw_decode(candidate)
            except (ValueError, RecursionError):
                continue
            yield cast("Mapping[str, Any]", value)
            end = at + length  # in a mended text a little early: what is left there holds no brace
            break
        at = text.find("{", end)


def _literal(text: str) -> Iterator[Mapping[str, Any]]:
    """The one Python dictionary of a text, with its single quotes, where it is one."""
    try:
        value: Any = ast.literal_eval(text[text.index("{") : text.rindex("}") + 1])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return
    if isinstance(value, dict):
        yield cast("Mapping[str, Any]", value)
