"""What is put into the page besides its text, so that a strict content security policy lets it in and nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any
from xml.etree import ElementTree

_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&"}


def script_json(value: Any) -> str:
    """`value` as JSON that can stand in a <script>: in ASCII, so U+2028 is escaped too, and nothing in it ends the element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).translate(_ESCAPED)


def content_hash(text: str) -> str:
    """The source expression that allows an inline script or style with exactly this content."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def security_policy(style: str, script: str) -> str:
    """Nothing but this style, this script and pictures that are in the file itself; no address is ever asked."""
    allowed = f"img-src data:; style-src {content_hash(style)}; script-src {content_hash(script)}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


class Styles:
    """Rules in place of the style attributes of drawings, which such a policy forbids; the same one is written once."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def lift(self, svg: str) -> str:
        """`svg` with a class for each style attribute. Raises ValueError where a style is more than declarations."""
        root = ElementTree.fromstring(svg)
        for element in root.iter():
            style = element.attrib.pop("style", None)
            if style is not None:
                element.set("class", " ".join(filter(None, (element.get("class"), self._name(style)))))
            element.tag = element.tag.rpartition("}")[2]
        return ElementTree.tostring(root, encoding="unicode")

    def css(self) -> str:
        return "\n".join(f".{name} {{ {style} }}" for style, name in self._names.items())

    def _name(self, style: str) -> str:
        if any(sign in style for sign in "{}<>@\\"):
            raise ValueError(f"a style is declarations only, got {style!r}")
        return self._names.setdefault(style, f"s{len(self._names)}")
