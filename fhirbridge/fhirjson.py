"""The one JSON codec: decimals keep their digits (5.50 stays 5.50), and equal content has one hash.

FHIR's decimals carry their precision (http://hl7.org/fhir/R4/datatypes.html#decimal), so a number with a
fraction or an exponent is read as ``Decimal`` and written with the digits it came with.
"""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from fhirbridge.errors import InputError

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_encoder = msgspec.json.Encoder(decimal_format="number")
_sorted = msgspec.json.Encoder(decimal_format="number", order="sorted")

SERVER_META = frozenset({"versionId", "lastUpdated", "source"})
"""Elements of ``meta`` that a server writes; they are no part of what we mean to say."""


def loads(text: bytes | str) -> Any:
    """Parse JSON; fractions become ``Decimal`` with their digits. Raises InputError naming the byte offset.

    Of a key that comes twice the last value is kept, as msgspec does; ``repeats_keys`` tells where that matters.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"not JSON: {error}. Send UTF-8 JSON (RFC 8259).") from error
    except InvalidOperation as error:
        raise InputError("not usable JSON: a number's exponent is out of all range. Write it without one.") from error
    except RecursionError as error:
        raise InputError("not usable JSON: nested too deep to be read. FHIR has no use for that.") from error


def repeats_keys(text: bytes, value: Any) -> bool:
    """Tell whether an object in a JSON text may have a key twice, given what ``loads`` made of it.

    Written again, a value lacks the two quotes of every key that was dropped; only ``\\u`` escapes can blur that
    count, and then the text is read once more. Costs half of ``loads`` where the text is compact, else as much.
    """
    written = _encoder.encode(value)
    if written == text.rstrip():
        return False
    if b"\\u" not in text:
        return text.count(b'"') != written.count(b'"')
    try:
        json.loads(text, object_pairs_hook=_once, parse_float=str, parse_int=str)
    except (KeyError, RecursionError):
        return True
    return False


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) != len({key for key, _ in pairs}):
        raise KeyError


def dumps(value: Any) -> bytes:
    """Write compact UTF-8 JSON; a ``Decimal`` keeps its digits."""
    return _encoder.encode(value)


def pretty(value: Any) -> str:
    """Write JSON for people: two-space indent, order kept, digits kept."""
    return msgspec.json.format(_encoder.encode(value), indent=2).decode()


def indented(text: bytes) -> bytes:
    """Return JSON as it is but for its layout: two-space indent, order and digits kept."""
    return msgspec.json.format(text, indent=2)


def canonical(value: Any) -> bytes:
    """Write JSON with sorted keys, so that equal content gives equal bytes."""
    return _sorted.encode(value)


def content(resource: dict[str, Any]) -> dict[str, Any]:
    """Return the resource without what a server adds (``meta.versionId``, ``lastUpdated``, ``source``)."""
    meta = resource.get("meta")
    if not isinstance(meta, dict) or not SERVER_META & meta.keys():
        return resource
    kept = {key: value for key, value in meta.items() if key not in SERVER_META}
    rest = {key: value for key, value in resource.items() if key != "meta"}
    return {**rest, "meta": kept} if kept else rest


def content_hash(resource: dict[str, Any]) -> str:
    """Return 64 hex digits (SHA-256) of the content; 5.50 and 5.5 differ, the order of keys does not count."""
    return hashlib.sha256(canonical(content(resource))).hexdigest()
