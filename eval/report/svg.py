"""matplotlib's SVG made fit to stand in a page beside others: own ids, the page's font and colours, figures in words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

_NAMESPACE = "http://www.w3.org/2000/svg"
_REFERENCE = re.compile(r"(?<=#)[\w.-]+")
_FONT_FAMILY = re.compile(r"font-family:[^;]*;?\s*")
_PREFIX = re.compile(r"[A-Za-z][\w-]*")


def finish_svg(
    drawn: bytes, id_prefix: str, *, title: str, description: str, colours: Mapping[str, str], full_texts: Mapping[str, str]
) -> str:
    """The `<svg>` element alone, to be written into HTML or a file.

    Sizes come from the viewBox alone, so that it scales; text takes the page's font; `colours` maps what was drawn (as
    "#a1b2c3") to what it becomes; `full_texts` names, by the id of a group, what an elided text says in full. Ids that are
    referred to begin with `id_prefix`, all others go. Raises ValueError where the prefix is no name.
    """
    if not _PREFIX.fullmatch(id_prefix):
        raise ValueError(f"an id prefix is a letter, then letters, digits, - or _; got {id_prefix!r}")
    root = ElementTree.fromstring(drawn)
    for element in list(root.iter()):
        element.tag = str(element.tag).rpartition("}")[2]
        element.text, element.tail = _unless_blank(element.text), None
        element.attrib = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    _drop_matplotlibs_own(root)
    for group in root.iter("g"):
        if (full := full_texts.get(group.get("id", ""))) is not None:
            group.insert(0, _element("title", full))
    _rename_ids(root, id_prefix)
    for element in root.iter():
        _repaint(element, colours)
    _name(root, id_prefix, title, description)
    return ElementTree.tostring(root, encoding="unicode")


def _unless_blank(text: str | None) -> str | None:
    return text if text and text.strip() else None


def _drop_matplotlibs_own(root: ElementTree.Element) -> None:
    """Its metadata, and a style sheet whose one rule would hold for the whole page."""
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag in ("metadata", "style")]:
            parent.remove(child)


def _references(element: ElementTree.Element) -> Iterator[str]:
    for name, value in element.attrib.items():
        if name == "href" or "url(#" in value:
            yield from _REFERENCE.findall(value)


def _rename_ids(root: ElementTree.Element, id_prefix: str) -> None:
    used = {name for element in root.iter() for name in _references(element)}
    names: dict[str, str] = {}
    for element in root.iter():
        if (old := element.attrib.pop("id", None)) in used:
            names[old] = f"{id_prefix}-{len(names) + 1}"
            element.set("id", names[old])
    for element in root.iter():
        for name, value in element.attrib.items():
            if name == "href" or "url(#" in value:
                element.set(name, _REFERENCE.sub(lambda found: names.get(found[0], found[0]), value))


def _repaint(element: ElementTree.Element, colours: Mapping[str, str]) -> None:
    """Colours go into the style: as an attribute of its own a CSS variable is not understood everywhere."""
    parts = [f"{name}: {element.attrib.pop(name)}" for name in ("fill", "stroke") if name in element.attrib]
    parts.append(_FONT_FAMILY.sub("", element.attrib.pop("style", "")))
    style = "; ".join(filter(None, parts))
    for drawn, wanted in colours.items():
        style = style.replace(drawn, wanted)
    if style:
        element.set("style", style)


def _name(root: ElementTree.Element, id_prefix: str, title: str, description: str) -> None:
    view_box = root.get("viewBox", "")
    labels = {"title": title, "desc": description}
    root.attrib = {"xmlns": _NAMESPACE, "class": "chart", "viewBox": view_box, "width": "100%", "role": "img"}
    root.set("aria-labelledby", " ".join(f"{id_prefix}-{tag}" for tag in labels))
    for place, (tag, text) in enumerate(labels.items()):
        root.insert(place, _element(tag, text, id=f"{id_prefix}-{tag}"))


def _element(tag: str, text: str, **attributes: str) -> ElementTree.Element:
    element = ElementTree.Element(tag, attributes)
    element.text = text
    return element
