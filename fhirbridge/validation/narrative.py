"""Checks a narrative's XHTML: well-formed, and only what R4 allows (http://hl7.org/fhir/R4/narrative.html#xhtml)."""

from __future__ import annotations

import re

_TOKEN = re.compile(
    r"<!--(?:(?!--).)*-->|<!\[CDATA\[(?P<data>.*?)\]\]>|<\?(?!xml\b)[A-Za-z][^?]*\?>|<(?P<close>/)?(?P<tag>[A-Za-z][\w:.-]*)(?P<attrs>(?:\s+[\w:.-]+\s*=\s*(?:\"[^\"<]*\"|'[^'<]*'))*)\s*(?P<empty>/)?>|(?P<text>[^<]+)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')")
_STRAY_AMPERSAND = re.compile(r"&(?!#[0-9]+;|#x[0-9A-Fa-f]+;|(?:amp|lt|gt|quot|apos);)")
"""XML knows five entities by name; HTML's others (``&nbsp;``) need a DTD, which FHIR's fragments have not."""
_NO_URI = re.compile(r"[\s<>{}|\\^`\"]|^\s*javascript:", re.IGNORECASE)
_XHTML = "http://www.w3.org/1999/xhtml"
_BLOCKS = frozenset(
    ["p", "div", "ul", "ol", "dl", "table", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "hr", "blockquote", "address"]
)
_CHILDREN = {
    "ul": ("li",),
    "ol": ("li",),
    "dl": ("dt", "dd"),
    "table": ("caption", "col", "colgroup", "thead", "tbody", "tfoot", "tr"),
    "tr": ("td", "th"),
}
"""What may only stand in an element."""
_PARENTS = {
    "tr": ("table", "thead", "tbody", "tfoot"),
    "td": ("tr",),
    "th": ("tr",),
    "li": ("ul", "ol"),
    "dt": ("dl",),
    "dd": ("dl",),
}
"""What an element may only stand in."""

TAGS = frozenset(
    [
        "p",
        "br",
        "div",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "a",
        "span",
        "b",
        "em",
        "i",
        "strong",
        "small",
        "big",
        "tt",
        "dfn",
        "q",
        "var",
        "abbr",
        "acronym",
        "cite",
        "blockquote",
        "hr",
        "address",
        "bdo",
        "kbd",
        "ul",
        "ol",
        "li",
        "dl",
        "dt",
        "dd",
        "pre",
        "table",
        "caption",
        "colgroup",
        "col",
        "thead",
        "tr",
        "tfoot",
        "tbody",
        "th",
        "td",
        "code",
        "samp",
        "img",
        "map",
        "area",
        "sub",
        "sup",
    ]
)
_EVERYWHERE = frozenset(["title", "style", "class", "id", "lang", "xml:lang", "dir", "accesskey", "tabindex", "xmlns"])
_ATTRIBUTES = {
    "a": {"href", "name", "rel", "rev", "charset", "type", "hreflang"},
    "img": {"src", "alt", "height", "width", "longdesc", "usemap", "ismap", "border"},
    "table": {"border", "cellpadding", "cellspacing", "summary", "width", "frame", "rules"},
    "col": {"span", "width", "align", "valign"},
    "colgroup": {"span", "width", "align", "valign"},
    "q": {"cite"},
    "blockquote": {"cite"},
    "bdo": {"dir"},
    "map": {"name"},
    "area": {"shape", "coords", "href", "alt", "nohref"},
    "ol": {"type", "start"},
    "ul": {"type"},
    "li": {"value", "type"},
    "pre": {"space", "xml:space", "width"},
    "hr": {"size", "width", "align"},
    "p": {"align"},
    "div": {"align"},
}
_CELL = frozenset(
    [
        "abbr",
        "axis",
        "headers",
        "scope",
        "rowspan",
        "colspan",
        "align",
        "valign",
        "char",
        "charoff",
        "nowrap",
        "width",
        "height",
        "bgcolor",
    ]
)


def is_allowed(div: str) -> bool:
    """Tell whether a narrative's div is well-formed and uses only R4's XHTML subset (invariants txt-1 and txt-2)."""
    stack: list[str] = []
    seen = shown = False
    at, text = 0, div.strip()
    while at < len(text):
        token = _TOKEN.match(text, at)
        if token is None:
            return False
        at = token.end()
        if token["data"] is not None:
            if not stack:
                return False
            shown = shown or bool(token["data"].strip())
        elif token["text"] is not None:
            if _STRAY_AMPERSAND.search(token["text"]) or (not stack and token["text"].strip()):
                return False
            shown = shown or bool(token["text"].strip())
        elif token["tag"] and token["close"]:
            if not stack or stack.pop() != token["tag"] or token["attrs"] or token["empty"]:
                return False
        elif token["tag"]:
            tag = token["tag"]
            if (not stack and (seen or tag != "div")) or not _fine(tag, token["attrs"], root=not stack):
                return False
            if stack and not _may_stand(tag, stack):
                return False
            seen = True
            shown = shown or tag == "img"
            if not token["empty"]:
                stack.append(tag)
    return seen and shown and not stack


def _may_stand(tag: str, stack: list[str]) -> bool:
    """Tell whether an element may stand in those that are open."""
    above = stack[-1]
    if tag not in _CHILDREN.get(above, (tag,)) or above not in _PARENTS.get(tag, (above,)):
        return False
    return not (above in ("p", "span") and tag in _BLOCKS) and not (tag == "a" and "a" in stack)


def _fine(tag: str, attributes: str, *, root: bool) -> bool:
    if tag not in TAGS:
        return False
    found = [(name, one or two) for name, one, two in _ATTRIBUTE.findall(attributes)]
    names = [name for name, _ in found]
    allowed = (
        _EVERYWHERE
        | _ATTRIBUTES.get(tag, set())
        | (_CELL if tag in ("td", "th", "tr", "thead", "tbody", "tfoot") else set())
    )
    if len(set(names)) != len(names) or not all(name in allowed or name.startswith("xmlns:") for name in names):
        return False
    if any(name in ("href", "src") and _NO_URI.search(value) for name, value in found if not value.startswith("data:")):
        return False
    if any(_STRAY_AMPERSAND.search(value) for _, value in found) or (root and ("xmlns", _XHTML) not in found):
        return False
    return not any(name == "xmlns" and value != _XHTML for name, value in found)
