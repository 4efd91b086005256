"""What an operation is asked, from a URL or from a Parameters resource: http://hl7.org/fhir/R4/parameters.html."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from fhirbridge import fhirjson
from fhirbridge.api.registry import fhirxml_reading
from fhirbridge.errors import Resource
from fhirbridge.search.refused import SearchError
from fhirbridge.search.splitting import pairs
from fhirbridge.validation.node import Model

JSON = ("application/fhir+json", "application/json", "application/json+fhir", "text/json")
XML = ("application/fhir+xml", "application/xml", "application/xml+fhir", "text/xml")

Given = list[tuple[str, str]]
"""Names and values, in their order."""


def body(longest: int, model: Callable[[], Model] | None = None) -> bytes:
    """Return the JSON that a POST brings, b'' for none; with a ``model``, what it brings as XML is made JSON.

    Raises UnsupportedMediaType, RequestEntityTooLarge (413), InputError for XML that is no resource.
    """
    request.max_content_length = longest
    found = request.get_data(cache=False)
    if found and model is not None and request.mimetype in XML:
        return fhirjson.dumps(fhirxml_reading.read(found, model()))
    if found and request.mimetype not in JSON:
        raise UnsupportedMediaType(f"Send application/fhir+json{'' if model is None else ' or application/fhir+xml'}.")
    return found


def from_url(raw: bytes, longest: int) -> Given:
    """Return the parameters in a query string. Raises SearchError."""
    if len(raw) > longest:
        raise SearchError("the query", None, f"it is longer than {longest} characters", "Ask by POST.", "too-costly")
    return list(pairs(raw))


def from_body(posted: bytes, base: str, kinds: Mapping[str, tuple[str, ...]]) -> tuple[Given, dict[str, Resource]]:
    """Return what stands in Parameters: values as text, references relative to the base; and resources by name.

    ``kinds`` says in which properties the value of a parameter may stand; one that is not there may be of any kind.
    Raises SearchError, InputError for what is no JSON.
    """
    given = fhirjson.loads(posted) if posted else {"resourceType": "Parameters"}
    found = given.get("parameter", []) if isinstance(given, dict) else None
    if found is None or given.get("resourceType") != "Parameters" or not isinstance(found, list):
        raise _wrong("the body", "it is no Parameters resource", "Send Parameters as application/fhir+json.")
    values, resources = Given(), dict[str, Resource]()
    for one in found:
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str) or not name:
            raise _wrong("parameter", "one of them has no name", "Name every parameter.")
        if isinstance(one.get("resource"), dict) and kinds.get(name, ("resource",)) == ("resource",):
            resources[name] = one["resource"]
            continue
        text = _text(one, kinds.get(name))
        if text is not None:
            values.append((name, text.removeprefix(f"{base}/")))
        elif name in kinds:
            raise _wrong(name, f"it is to have a {kinds[name][0]}", "Give it one.")
    return values, resources


def _text(one: dict[str, Any], kinds: tuple[str, ...] | None) -> str | None:
    """Return the value of a parameter, None for one that has none of these kinds."""
    for kind in kinds or [key for key in one if key.startswith("value")]:
        value = one.get(kind)
        if isinstance(value, dict) and kind == "valueReference":
            value = value.get("reference")
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int):
            return str(value)
    return None


def _wrong(name: str, rule: str, remedy: str) -> SearchError:
    return SearchError(name, None, rule, remedy, "invalid")
