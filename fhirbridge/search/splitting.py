"""Takes query strings and their values apart: percent-encoding, and the marks ``,`` ``$`` ``|`` with their escapes.

Sources: http://hl7.org/fhir/R4/search.html#escaping; the form encoding of https://url.spec.whatwg.org/#urlencoded-parsing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import quote, unquote_to_bytes

from fhirbridge.search.refused import SearchError

_BROKEN = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ESCAPED = re.compile(r"\\([\\,$|])")
_UNSAFE = re.compile("[\x00-\x1f\x7f]")


def pairs(raw: bytes) -> Iterator[tuple[str, str]]:
    """Yield names and values of a query string or form, in their order. Raises SearchError for what is not UTF-8."""
    for piece in raw.split(b"&"):
        if piece:
            name, _, value = piece.partition(b"=")
            told = _decoded(name, "the query")
            yield told, _decoded(value, told)


def _decoded(raw: bytes, name: str) -> str:
    if _BROKEN.search(raw):
        raise SearchError(name, None, "a % without two hexadecimal digits", "Write a % itself as %25.", "invalid")
    try:
        text = unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise SearchError(name, None, "this is not UTF-8", "Percent-encode UTF-8.", "invalid") from None
    if _UNSAFE.search(text):
        raise SearchError(name, None, "there is a control character in it", "Leave it out.", "invalid")
    return text


def encoded(name: str, value: str) -> str:
    """Return ``name=value`` as it stands in a URL; what a query may hold unencoded stays readable."""
    return f"{quote(name, safe=':_')}={quote(value, safe=':/|,$*@')}"


def split(text: str, mark: str) -> list[str]:
    """Split at a mark that no backslash escapes; the pieces keep their escapes."""
    if "\\" not in text:
        return text.split(mark)
    pieces, start, at = [], 0, 0
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == mark:
            pieces.append(text[start:at])
            start = at + 1
        at += 1
    return [*pieces, text[start:]]


def plain(text: str) -> str:
    """Return a value without its escapes; a backslash before anything else is itself."""
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text
