"""The forms of English questions that `question_type` tells apart. Where several fit, the first one counts."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal[
    "count", "percent", "money", "quantity", "date", "year", "frequency", "person", "place", "email", "url", "phone",
    "yes_no", "list", "acronym", "title", "value", "text",
]  # fmt: skip


def _any(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


# How the answer is to be written, up to the end of that sentence.
_WRITING = (
    r"answer|directly|give|write|format|return|round|your\s+(?:answer|report)|save|list\s+the\s+answer|"
    r"the\s+(?:answer|output)\s+should|output|e\.g\.|for\s+example|do\s+not|don't|note\s+that|if\s+not"
)
INSTRUCTION = re.compile(rf"(?:^|(?<=[.?!,;])\s+)(?:please\s+)?(?:{_WRITING})\b[^?]*", re.IGNORECASE)
_DOCUMENT = r"(?:document|report|paper|slides?|text|survey|guide\w*|brochure|presentation|deck|book|article|manual)"
PREAMBLE = re.compile(
    rf"^(?:according\s+to|based\s+on|in|from|as\s+per)\s+(?:the|this)\s+(?:\w+\s+)?{_DOCUMENT}\s*,\s*", re.IGNORECASE
)

# Which page is meant is for retrieval to find out; the page itself does not say so.
_NUMBERED = (
    r"(?:\d+|[a-z]+teen|[a-z]+ty(?:-[a-z]+)?|ten|eleven|twelve|one|two|three|four|five|six|seven|eight|nine)\b"
    r"(?:\s*(?:-|–|,|and|to)\s*\d+)*"
)
_ORDINAL = r"(?:\d+(?:st|nd|rd|th)|first|second|third|fourth|fifth|sixth|last)"
_ON_THE = r"\b(?:(?:on|in|at|from|of)\s+)?(?:the\s+)?"
PAGE_PHRASE = _any(
    rf"{_ON_THE}(?:pages?|slides?)\s+(?:no\.?\s*)?{_NUMBERED}",
    rf"{_ON_THE}{_ORDINAL}\s+(?:cover\s+)?(?:page|slide)\b",
    r"\b(?:on|in|at|from|of)\s+the\s+cover(?:\s+page)?\b",
)

KINDS: tuple[tuple[Kind, re.Pattern[str]], ...] = (
    ("email", _any(r"\be-?mail\b")),
    ("phone", _any(r"\b(?:fax|phone|telephone)\b")),
    ("url", _any(r"\b(?:url|web\s?site|web\s?address|link)\b")),
    ("acronym", _any(r"\bstands?\s+for\b", r"\babbreviation\b", r"\bacronym\b", r"\bfull\s+(?:form|name)\s+of\b")),
    (
        "percent",
        _any(
            r"\b(?:what|which|how\s+many|how\s+much)\s+(?:\w+\s+){0,2}(?:percent|percentage|proportion\s+of|share\s+of)\b",
            r"\bpercentages?\s+of\b",
            r"^by\s+what\s+percent",
        ),
    ),
    ("year", _any(r"\b(?:what|which)\s+(?:\w+\s+)?years?\b")),
    (
        "date",
        _any(
            r"^when\b",
            r"\bwhen\s+(?:is|was|were|are|do|does|did|will|must)\b",
            r"\b(?:what|which|on\s+what)\s+(?:\w+\s+){0,2}(?:date|day)s?\b",
            r"\bwhat\s+(?:is|was)\s+the\s+(?:\w+\s+){0,2}date\b",
            r"\bdeadline\b",
        ),
    ),
    ("place", _any(r"^where\b")),
    (
        "person",
        _any(
            r"^(?:by\s+)?who(?:m|se)?\b",
            r"\bwho\s+(?:is|was|are|were|signed|wrote)\b",
            r"\b(?:which|what)\s+(?:person|officer|director|manager|author|judge|scientist)\b",
        ),
    ),
    ("count", _any(r"\bhow\s+many\b", r"\bwhat\s+(?:is|was)\s+the\s+(?:total\s+)?number\s+of\b")),
    (
        "money",
        _any(
            r"\bhow\s+much\s+(?:money|did|does|do|was|is|were|has|have|will)\b",
            r"\b(?:what|how)\s+(?:\w+\s+){0,3}(?:cost|price|fee|salary)s?\b",
        ),
    ),
    ("frequency", _any(r"\bhow\s+(?:often|frequently)\b")),
    ("quantity", _any(r"\bhow\s+(?:long|far|old|fast|large|big|tall|high|deep|heavy|wide|hot|cold|much)\b")),
    ("yes_no", _any(r"^(?:is|are|was|were|do|does|did|can|could|has|have|will|should|must|may)\b")),
    (
        "list",
        _any(
            r"^(?:list|enumerate|mention)\b",
            r"\b(?:what|which|who)\s+are\b",
            r"\blist\s+(?:all|of)\b",
            r"\b(?:what|which)\s+(?:kinds|types|sorts)\s+of\b",
            r"\bwhat\s+\w+s\s+(?:are|were|do|have)\b",
            r"\bwhich\s+(?:two|three|four|five|six|seven|\d+)\b",
        ),
    ),
    ("title", _any(rf"\btitle\s+of\s+(?:the|this)\s+(?:\w+\s+)?{_DOCUMENT}\b")),
    ("text", _any(r"\bwhat\s+(?:type|kind|sort)\s+of\b")),
    ("value", _any(r"\bwhat(?:'s|\s+is|\s+was|\s+were)\b", r"^what\s+(?:\w+\s+){1,4}(?:is|was|does|did)\b")),
)

IMPLIED: dict[Kind, str] = {
    "percent": "percent percentage proportion share value rate",
    "date": "date day time",
    "person": "person",
    "place": "place located location",
    "email": "email mail id address",
    "phone": "number no phone telephone tel",
    "url": "url website link web site address",
    "acronym": "stand abbreviation acronym full form",
    "title": "title",
    "count": "number",
    "money": "cost much amount money",
    "frequency": "often frequently",
    "quantity": "long far old fast large high often much",
    "value": "value amount number",
}

_SEEN = (
    r"colou?rs?|icons?|logos?|photos?|photographs?|pictures?|images?|cartoons?|charts?|graphs?|diagrams?|flowcharts?|maps?|"
    r"figures?|plots?|legends?|bars?|drawn|screenshots?"
)
_PARTS = (
    r"tables?|pages?|slides?|times|sections?|subsections?|chapters?|references?|columns?|rows?|lines?|steps?|examples?|"
    r"quotes?|quotations?|words|types?|kinds?|questions?|signatures?|exhibits?|urls?"
)
_NO_VERB = r"(?!(?:do|does|did|is|are|was|were|has|have|had|can|will|in|of|on|at)\b)"
REFUSALS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("it is about what is drawn, not written", _any(rf"\b(?:{_SEEN})\b")),
    (
        "it asks to count parts of the document",
        _any(rf"\bhow\s+many\s+(?:{_NO_VERB}\w+\s+){{0,3}}(?:{_PARTS})\b", r"\b(?:which\s+pages?|on\s+what\s+page)\b"),
    ),
    (
        "it asks for arithmetic",
        _any(
            r"\b(?:difference|sum\s+of|ratio|average\s+value|gap\s+between|growth\s+rate|turnover)\b",
            r"\bhow\s+(?:much|many)\s+(?:\w+\s+)?(?:more|less|fewer|higher|lower|greater|larger)\b",
            r"\bpercent\w*\s+(?:change|drop|increase|decrease)\b",
            r"\b(?:in\s+total|combined|altogether|collectively)\b",
        ),
    ),
    ("it supposes something", _any(r"\b(?:assume|suppose|if\s+(?:i|we|you|the|a))\b")),
    (
        "it asks for several things at once",
        _any(r"\brespectively\b", r"\?.+\?", r"(?:,|\band)\s+(?:what|which|how\s+m\w+|who|when|where)\b"),
    ),
)

COMPARING = re.compile(
    r"\b(?:more|most|less|least|fewer|fewest|greater|greatest|higher|highest|lower|lowest|larger|largest|smaller|smallest|"
    r"biggest|longest|shortest|best|worst|top|first|second|third|fourth|fifth|tenth|last|latest|oldest|youngest|earliest|only|"
    r"except|not|both|same|common|compared?|comparing|than|between|average|exactly)\b",
    re.IGNORECASE,
)
SCALE = re.compile(
    r"\b(?:in|usd|us\$|\$|how\s+many)\s+(?:usd\s+|us\s+|eur\s+|gbp\s+)?(thousand|million|billion|trillion)s?\b", re.IGNORECASE
)
UNIT_ASIDE = re.compile(
    r",?\s*\(?\bin\s+(?:usd\s+|us\s+|eur\s+|gbp\s+)?(?:thousand|million|billion|trillion)s?(?:\s+of)?"
    r"(?:\s+(?:us\s+)?(?:dollars|euros|pounds|usd|eur|gbp|rupees|yen))?\)?",
    re.IGNORECASE,
)
BARE = _any(r"\b(?:integer|int|float)\b")
DATE_FORM = _any(r"YYYY-MM(?:-DD)?")
ROLE = _any(r"\b(?:position|role|job(?:\s+title)?|profession|occupation)\b")
TELLS = _any(
    r"^(?:how|why)\b(?!\s+(?:many|much|often|long))",
    r"\bwhat\s+(?:will\s+|would\s+)?(?:happens?|if)\b",
    r"\b(?:purpose|reason)\b",
    r"^what\s+does\b",
    r"\bmean(?:t|s|ing)?\b",
)
FOCUS = re.compile(r"\b(?:how\s+many|number\s+of|what|which)\s+((?:[\w-]+\s*){1,3})", re.IGNORECASE)

_BEFORE_PREPOSITION = r"(?=\s+(?:in|on|at|by|for|from|to|as|of|with|during|per|over|under|between|until|since)\b|\s*[?.]?$)"
VERBS = (
    re.compile(rf"\b(?:do|does|did)\s(?:[^?.,]*?\s)?(?P<verb>[a-z]+){_BEFORE_PREPOSITION}"),
    re.compile(r"\b[Hh]ow\s+many\s+(?:[\w-]+\s+)?(?:[a-z]+s|people)\s+(?P<verb>[a-z]{4,})\b"),
)
