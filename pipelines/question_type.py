"""What a question asks for: the kind of answer, the terms that evidence must speak of, and what no extract can tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from docrag.pipelines.terms import STOP_TERMS, content_terms, terms

Kind = Literal[
    "count", "percent", "money", "quantity", "date", "year", "person", "place", "email", "url", "phone",
    "yes_no", "list", "acronym", "title", "value", "text",
]  # fmt: skip
DateFormat = Literal["", "YYYY-MM", "YYYY-MM-DD"]

MAX_CHARS = 2_000  # of a question; what comes after can't be a question any more


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, taken apart. All terms are stems, without stop words.

    `terms`: what the evidence must speak of, each once. `focus`: what is counted or asked for ("how many *offices*").
    `implied`: words of the question that the kind of its answer says already ("date", where a date is found).
    `exact`: numbers and years, which nothing else can stand for. `names`: words with a capital inside the sentence.
    `stated`: comparing words ("highest"), which only a sentence that says so can answer. `scale`: "million" and the like,
    where the answer is to be counted in it; `bare` where it is to be a number and nothing else; `tells`
    where a sentence is an answer ("how do they...", "why", "what happens"); `asks_role`: the words that ask for somebody's position, if any. `refusal`: why no extract can answer, "" where one may.
    """

    kind: Kind
    terms: tuple[str, ...]
    focus: tuple[str, ...]
    implied: frozenset[str]
    exact: tuple[str, ...]
    names: tuple[str, ...]
    stated: tuple[str, ...]
    scale: str
    bare: bool
    tells: bool
    asks_role: frozenset[str]
    date_format: DateFormat
    refusal: str


_INSTRUCTION = re.compile(
    r"(?:^|(?<=[.?!,;])\s+|\n+)(?:please\s+)?(?:answer|directly|give|write|format|return|round|your\s+(?:answer|report)|save|list\s+the\s+answer"
    r"|the\s+(?:answer|output)\s+should|output|e\.g\.|for\s+example|do\s+not|don't|note\s+that|if\s+not)\b[^?]*",
    re.IGNORECASE,
)
_PREAMBLE = re.compile(r"^\s*(?:according\s+to|based\s+on|in|from|as\s+per)\s+(?:the|this)\s+(?:\w+\s+)?(?:report|document|paper|slides?|text|survey|guide\w*|brochure|presentation)\s*,\s*", re.IGNORECASE)

# Which page is meant is for retrieval to resolve; on the page itself the words don't stand.
_NUMBERED = r"(?:\d+|[a-z]+teen|[a-z]+ty(?:-[a-z]+)?|ten|eleven|twelve|one|two|three|four|five|six|seven|eight|nine)"
_PAGE_PHRASE = re.compile(
    rf"\b(?:(?:on|in|at|from|of)\s+)?(?:the\s+)?(?:pages?|slides?)\s+(?:no\.?\s*)?{_NUMBERED}\b(?:\s*(?:-|–|,|and|to)\s*\d+)*"
    r"|\b(?:(?:on|in|at|from|of)\s+)?(?:the\s+)?(?:\d+(?:st|nd|rd|th)|first|second|third|fourth|fifth|sixth|last)\s+(?:cover\s+)?(?:page|slide)\b"
    r"|\b(?:on|in|at|from|of)\s+the\s+cover(?:\s+page)?\b",
    re.IGNORECASE,
)

_KINDS: tuple[tuple[Kind, str], ...] = (
    ("email", r"\be-?mail\b"),
    ("phone", r"\b(?:fax|phone|telephone)\b"),
    ("url", r"\b(?:url|web\s?site|web\s?address|link)\b"),
    ("acronym", r"\bstands?\s+for\b|\babbreviation\b|\bacronym\b|\bfull\s+(?:form|name)\s+of\b"),
    ("percent", r"\b(?:what|which|how\s+many|how\s+much)\s+(?:\w+\s+){0,2}(?:percent|percentage|proportion\s+of|share\s+of)\b|\bpercentages?\s+of\b|^by\s+what\s+percent"),
    ("year", r"\b(?:what|which)\s+(?:\w+\s+)?years?\b"),
    ("date", r"^when\b|\bwhen\s+(?:is|was|were|are|do|does|did|will|must)\b|\b(?:what|which|on\s+what)\s+(?:\w+\s+){0,2}(?:date|day)s?\b|\bwhat\s+(?:is|was)\s+the\s+(?:\w+\s+){0,2}date\b|\bdeadline\b"),
    ("place", r"^where\b"),
    ("person", r"^(?:by\s+)?who(?:m|se)?\b|\bwho\s+(?:is|was|are|were|signed|wrote)\b|\b(?:which|what)\s+(?:person|officer|director|manager|author|judge|scientist)\b"),
    ("count", r"\bhow\s+(?:many|steps)\b|\bwhat\s+(?:is|was)\s+the\s+(?:total\s+)?number\s+of\b"),
    ("money", r"\bhow\s+much\s+(?:money|did|does|do|was|is|were|has|have|will)\b|\b(?:what|how)\s+(?:\w+\s+){0,3}(?:cost|price|fee|salary)s?\b"),
    ("quantity", r"\bhow\s+(?:long|far|old|fast|large|big|tall|high|deep|heavy|wide|often|hot|cold|much)\b"),
    ("yes_no", r"^(?:is|are|was|were|do|does|did|can|could|has|have|will|should|must|may)\b"),
    ("list", r"^(?:list|enumerate|mention)\b|\b(?:what|which|who)\s+are\b|\blist\s+(?:all|of)\b|\b(?:what|which)\s+(?:kinds|types|sorts)\s+of\b|\bwhat\s+\w+s\s+(?:are|were|do|have)\b|\bwhich\s+(?:two|three|four|five|six|seven|\d+)\b"),
    ("title", r"\btitle\s+of\s+(?:the|this)\s+(?:\w+\s+)?(?:document|report|paper|slides?|presentation|deck|book|article|brochure|manual|guide\w*)\b"),
    ("value", r"\bwhat(?:'s|\s+is|\s+was|\s+were)\b|^what\s+(?:\w+\s+){1,4}(?:is|was|does|did)\b"),
)  # fmt: skip

_SEEN = r"colou?rs?|icons?|logos?|photos?|photographs?|pictures?|images?|cartoons?|charts?|graphs?|diagrams?|flowcharts?|maps?|figures?|plots?|legends?|bars?|drawn|screenshots?"
_REFUSALS: tuple[tuple[str, str], ...] = (
    ("it is about what is drawn, not written", rf"\b(?:{_SEEN})\b(?!\s+(?:out|of\s+speech))"),
    ("it asks to count parts of the document", r"\bhow\s+many\s+(?:\w+\s+){0,3}(?:tables?|pages?|slides?|times|sections?|subsections?|references?|columns?|rows?|lines?|steps?|examples?|quotes?|quotations?|words|types?|kinds?|questions?|signatures?|exhibits?|url\w*|items)\b|\bwhich\s+pages?\b|\bon\s+what\s+page\b"),
    ("it asks for arithmetic", r"\b(?:difference|sum\s+of|ratio|average\s+value|gap\s+between|how\s+(?:much|many)\s+(?:\w+\s+)?(?:more|less|fewer|higher|lower|greater|larger)|percent\w*\s+(?:change|drop|increase|decrease)|growth\s+rate|in\s+total|combined|altogether|collectively|turnover)\b"),
    ("it supposes something", r"\b(?:assume|suppose|if\s+(?:i|we|you|the|a))\b"),
    ("it asks for several things at once", r"\brespectively\b|\?.+\?|(?:,|\band)\s+(?:what|which|how\s+m\w+|who|when|where)\b"),
)  # fmt: skip
_COMPARING = re.compile(
    r"\b(?:more|most|less|least|fewer|fewest|greater|greatest|higher|highest|lower|lowest|larger|largest|smaller|smallest|biggest|"
    r"longest|shortest|best|worst|top|second|third|fourth|fifth|tenth|last|lastest|latest|first|oldest|youngest|earliest|only|except|not|"
    r"both|same|common|compared?|comparing|than|between|average|exactly)\b",
    re.IGNORECASE,
)
_SCALE = re.compile(r"\b(?:in|usd|us\$|\$|how\s+many)\s+(?:usd\s+|us\s+|eur\s+|gbp\s+)?(thousand|million|billion|trillion)s?\b", re.IGNORECASE)
_TELLS = re.compile(r"^(?:how|why)\b(?!\s+(?:many|much))|\bwhat\s+(?:will\s+|would\s+)?(?:happens?|if)\b|\bpurpose\b|\breason\b|^what\s+does\b|\bmean(?:t|s|ing)?\b", re.IGNORECASE)
_ROLE = re.compile(r"\b(?:position|role|job(?:\s+title)?|profession|occupation)\b", re.IGNORECASE)
_BARE = re.compile(r"\b(?:integer|int|float)\b", re.IGNORECASE)
_DATE_FORM = re.compile(r"YYYY-MM(?:-DD)?", re.IGNORECASE)
_FOCUS = re.compile(r"\b(?:how\s+many|number\s+of|what|which)\s+((?:[\w-]+\s*){1,3})", re.IGNORECASE)
_IMPLIED: dict[Kind, str] = {
    "percent": "percent percentage proportion share value rate",
    "date": "date day time",
    "person": "person",
    "place": "place located location",
    "email": "email mail id address",
    "phone": "number no",
    "url": "url website link web site address",
    "title": "title",
    "acronym": "stand abbreviation acronym full form",
    "count": "number",
    "money": "cost much amount money",
    "quantity": "long far old fast large high often much",
    "value": "value amount number",
}


def analyse(question: str) -> Asked:
    """Take a question apart; any text will do, and what is over `MAX_CHARS` is not looked at."""
    whole = " ".join(question[:MAX_CHARS].split())
    asks = _PREAMBLE.sub("", _INSTRUCTION.sub(" ", whole)).strip() or whole
    asks = " ".join(_PAGE_PHRASE.sub(" ", asks).split()) or asks
    kind = _kind(asks)
    wanted = tuple(dict.fromkeys(content_terms(asks)))
    form = _DATE_FORM.search(whole)
    scale = _SCALE.search(whole)
    if scale and kind in ("value", "text", "count"):
        kind = "money"
    return Asked(
        kind=kind,
        terms=wanted,
        focus=_focus(asks, wanted),
        implied=frozenset(terms(_IMPLIED.get(kind, ""))),
        exact=tuple(term for term in wanted if term[0].isdigit()),
        names=_names(asks, wanted),
        stated=tuple(dict.fromkeys(term for match in _COMPARING.findall(asks) for term in terms(match))),
        scale=scale.group(1).lower() if scale else "",
        bare=_BARE.search(whole) is not None,
        tells=_TELLS.search(asks) is not None,
        asks_role=frozenset(term for word in _ROLE.findall(asks) for term in terms(word)),
        date_format=("YYYY-MM-DD" if len(form.group()) > 7 else "YYYY-MM") if form else "",
        refusal=next((why for why, pattern in _REFUSALS if re.search(pattern, asks, re.IGNORECASE)), ""),
    )


def _kind(asks: str) -> Kind:
    return next((kind for kind, pattern in _KINDS if re.search(pattern, asks, re.IGNORECASE)), "text")


def _focus(asks: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    match = _FOCUS.search(asks)
    return tuple(term for term in terms(match.group(1)) if term in wanted) if match else ()


def _names(asks: str, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """Stems of words with a capital, the sentence's first word aside; none where the whole question is in capitals."""
    if asks.isupper():
        return ()
    capital = [word for word in asks.split()[1:] if word[:1].isupper() or word[:2].lstrip("\"'“‘(")[:1].isupper()]
    found = dict.fromkeys(term for word in capital for term in terms(word) if term not in STOP_TERMS)
    return tuple(term for term in found if term in wanted)
