"""In which form an answer goes: JSON or XML by ``_format`` or else by Accept, pretty or not, compressed or not.

Source: http://hl7.org/fhir/R4/http.html#mime-type. ``_format`` wins; without a wish it is JSON; a generic media type
that was asked for is the one that is answered with.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from werkzeug.exceptions import NotAcceptable
from werkzeug.http import parse_accept_header, parse_options_header

from fhirbridge.search.splitting import pairs

FHIR_JSON = "application/fhir+json"
FHIR_XML = "application/fhir+xml"

_NAMES: dict[str, tuple[Literal["json", "xml"], str]] = {
    "json": ("json", FHIR_JSON),
    FHIR_JSON: ("json", FHIR_JSON),
    "application/json+fhir": ("json", FHIR_JSON),
    "application/json": ("json", "application/json"),
    "text/json": ("json", "application/json"),
    "xml": ("xml", FHIR_XML),
    FHIR_XML: ("xml", FHIR_XML),
    "application/xml+fhir": ("xml", FHIR_XML),
    "application/xml": ("xml", "application/xml"),
    "text/xml": ("xml", "text/xml; charset=utf-8"),
    "*/*": ("json", FHIR_JSON),
    "application/*": ("json", FHIR_JSON),
}
"""What a client may ask for, and what it gets."""
_LONGEST = 1000
"""Characters of a wish that are looked at."""
_SMALL = 1024
"""Bytes that are not worth compressing."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of an answer."""

    format: Literal["json", "xml"] = "json"
    media_type: str = FHIR_JSON
    pretty: bool = False


def chosen(accept: str, *queries: bytes) -> Form:
    """Return the form that a request asks for by its Accept, query and form. Raises NotAcceptable, SearchError."""
    wish, pretty = None, False
    for query in queries:
        if b"_format" in query or b"_pretty" in query or b"%" in query:
            for name, value in pairs(query):
                if name == "_format" and value:
                    wish = value
                elif name == "_pretty":
                    pretty = value == "true"
    form = _by_format(wish[:_LONGEST]) if wish is not None else _by_accept(accept[:_LONGEST])
    if form is None:
        raise NotAcceptable("This service answers application/fhir+json and application/fhir+xml, of FHIR 4.0.")
    return Form(form.format, form.media_type, True) if pretty else form


@lru_cache(maxsize=256)
def _by_format(wish: str) -> Form | None:
    return _form(wish.replace(" ", "+") if wish.count(" ") == 1 and ";" not in wish else wish)


@lru_cache(maxsize=256)
def _by_accept(accept: str) -> Form | None:
    if not accept.strip():
        return Form()
    ranked = sorted(parse_accept_header(accept), key=lambda one: -one[1])
    return next((form for value, quality in ranked if quality > 0 and (form := _form(value))), None)


def _form(text: str) -> Form | None:
    name, options = parse_options_header(text)
    found = _NAMES.get(name.strip().lower())
    if found is None or options.get("fhirversion", options.get("fhirVersion", "4.0")) not in ("4.0", "4.0.1"):
        return None
    return Form(*found)


def compressed(body: bytes, accepted: str) -> bytes | None:
    """Return a body compressed, None where that is not wanted (``accepted`` is Accept-Encoding) or not worth it."""
    if len(body) < _SMALL or "gzip" not in accepted:
        return None
    for coding in accepted.split(","):
        name, _, quality = coding.partition(";")
        if name.strip().lower() == "gzip" and quality.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            return gzip.compress(body, 1, mtime=0)
    return None
