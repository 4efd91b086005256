"""What each primitive type's value may look like (https://hl7.org/fhir/R4/datatypes.html#primitive)."""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_YEAR = r"(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP = r"(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_LONG, _SHORT = r"(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])", r"(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
_FULL_DATE = rf"(?:{_YEAR}-(?:{_LONG}|{_SHORT}|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
_CLOCK = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = r"(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_MONTH = rf"{_YEAR}(?:-(?:0[1-9]|1[0-2]))?"
_BASE64 = r"(?:\s*[A-Za-z0-9+/]){4}"
_BASE64_END = r"(?:(?:\s*[A-Za-z0-9+/]){2}\s*=\s*=|(?:\s*[A-Za-z0-9+/]){3}\s*=)"
_OID = r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
_UUID = r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_URI = rf"(?:{_OID}|{_UUID}|(?!urn:oid:|urn:uuid:|oid:|uuid:)[^\x00-\x20\xa0]+)"
_CANONICAL = rf"(?=#|[A-Za-z][A-Za-z0-9+.\-]*:){_URI}"
_TEXT = r"[^\x00-\x08\x0b\x0c\x0e-\x1f]+"

MAX_STRING = 1024 * 1024
"""Characters a string may hold (R4: 1 MB)."""
_UNLIMITED = ("base64Binary", "xhtml")
_LONG_BASE64 = 100_000
"""Characters from which decoding is the cheaper check: the expression needs a gigabyte for 50 MB."""


@dataclass(frozen=True, slots=True)
class Primitive:
    """One primitive type: the JSON type it is written as, its format, its range, and how to say it rightly."""

    json: str
    regex: str | None = None
    low: int | None = None
    high: int | None = None
    remedy: str = ""


PRIMITIVES: dict[str, Primitive] = {
    "boolean": Primitive("boolean", remedy="Write true or false, without quotes."),
    "integer": Primitive("integer", low=-(2**31), high=2**31 - 1, remedy="Write a whole number without quotes."),
    "unsignedInt": Primitive("integer", low=0, high=2**31 - 1, remedy="Write a whole number, 0 or more."),
    "positiveInt": Primitive("integer", low=1, high=2**31 - 1, remedy="Write a whole number, 1 or more."),
    "decimal": Primitive("number", remedy="Write a number without quotes."),
    "string": Primitive("string", _TEXT, remedy="Write text, or leave the element out."),
    "markdown": Primitive("string", _TEXT, remedy="Write text, or leave the element out."),
    "code": Primitive(
        "string", r"[^\x00-\x20\xa0]+(?: [^\x00-\x20\xa0]+)*", remedy="Remove leading, trailing and double spaces."
    ),
    "id": Primitive("string", r"[A-Za-z0-9\-.]{1,64}", remedy="Use 1 to 64 of A-Z a-z 0-9 - and . only."),
    "uri": Primitive("string", _URI, remedy="Write a URI without spaces; an urn:oid: or urn:uuid: must be complete."),
    "url": Primitive("string", _URI, remedy="Write a URL without spaces."),
    "canonical": Primitive(
        "string", _CANONICAL, remedy="Write an absolute URL (or #id of a contained resource) without spaces."
    ),
    "oid": Primitive("string", _OID, remedy="Write urn:oid: and numbers with dots."),
    "uuid": Primitive("string", _UUID, remedy="Write urn:uuid: and a lower-case UUID."),
    "date": Primitive(
        "string",
        rf"(?:{_MONTH}|{_FULL_DATE})",
        remedy="Write YYYY, YYYY-MM or YYYY-MM-DD, a day that exists.",
    ),
    "dateTime": Primitive(
        "string",
        rf"(?:{_MONTH}|{_FULL_DATE}(?:T{_CLOCK}{_ZONE})?)",
        remedy="Write YYYY, YYYY-MM, YYYY-MM-DD, or with a time, seconds and a zone: 2026-01-31T08:30:00+08:00.",
    ),
    "instant": Primitive(
        "string",
        rf"{_FULL_DATE}T{_CLOCK}{_ZONE}",
        remedy="Write date, time, seconds and zone: 2026-01-31T08:30:00Z.",
    ),
    "time": Primitive("string", _CLOCK, remedy="Write hh:mm:ss without a zone."),
    "base64Binary": Primitive(
        "string",
        rf"(?:(?:{_BASE64})+(?:{_BASE64_END})?|{_BASE64_END})\s*",
        remedy="Write base64 (RFC 4648) with padding.",
    ),
    "xhtml": Primitive("string", _TEXT, remedy="Write one XHTML <div>."),
}

_COMPILED = {name: re.compile(p.regex) for name, p in PRIMITIVES.items() if p.regex}


def problem(kind: str, value: Any) -> str | None:
    """Say what is wrong with a primitive's JSON value, or None if nothing is."""
    rule = PRIMITIVES[kind]
    told = _json_type(value)
    if rule.json == "number":
        return None if told in ("integer", "number") else f"a {kind} is a JSON number, not a {told}"
    if told != rule.json:
        return f"a {kind} is a JSON {rule.json}, not a {told}"
    if rule.json == "integer":
        in_range = (rule.low is None or value >= rule.low) and (rule.high is None or value <= rule.high)
        return None if in_range else f"{value} is outside what a {kind} may be ({rule.low} to {rule.high})"
    if rule.json == "string":
        if len(value) > MAX_STRING and kind not in _UNLIMITED:
            return f"a {kind} of {len(value)} characters is longer than {MAX_STRING}"
        if not _formed(kind, value):
            return f"{shown(value)} is not a valid {kind}"
    return None


def _formed(kind: str, value: str) -> bool:
    if kind != "base64Binary" or len(value) < _LONG_BASE64:
        return _COMPILED[kind].fullmatch(value) is not None
    try:
        binascii.a2b_base64("".join(value.split()), strict_mode=True)
    except ValueError:  # bad base64, and characters that are not even ASCII
        return False
    return True


def shown(value: Any) -> str:
    """Quote a value for a message, cut to a readable length."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "…'"


def _json_type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, (Decimal, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "null" if value is None else "array" if isinstance(value, list) else "object"
