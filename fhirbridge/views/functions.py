"""The functions that a view has beside FHIRPath's: the keys that tables are joined by, and its own join().

A key is the logical id. Source: https://sql-on-fhir.org/ig/latest/StructureDefinition-ViewDefinition.html#functions
"""

from __future__ import annotations

import re

from fhirbridge.validation.fhirpath.environment import Body, Env, Run
from fhirbridge.validation.fhirpath.functions import FUNCTIONS
from fhirbridge.validation.fhirpath.values import EvaluationError, Items
from fhirbridge.validation.node import Node

_LITERAL = re.compile(r"(?:^|.*/)([A-Z][A-Za-z]+)/([A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


def _resource_key(env: Env, items: Items) -> Items:
    found: Items = []
    for item in items:
        if not isinstance(item, Node) or not env.model.is_resource(item.type):
            raise EvaluationError("getResourceKey() is for resources")
        found += [item.value["id"]] if isinstance(item.value.get("id"), str) else []
    return found


def _reference_key(env: Env, items: Items, type_: Run | None = None) -> Items:
    wanted = type_(env, items)[0] if type_ else None
    found: Items = []
    for item in items:
        if not isinstance(item, Node) or item.type != "Reference":
            raise EvaluationError("getReferenceKey() is for references")
        literal = item.value.get("reference") if isinstance(item.value, dict) else None
        match = _LITERAL.fullmatch(literal) if isinstance(literal, str) else None
        found += [match[2]] if match and wanted in (None, match[1]) else []
    return found


def _join(env: Env, items: Items, *separator: Run) -> Items:
    """Join as the official suite of views has it: nothing joined is '', where FHIRPath says that it is nothing."""
    joined: Items = FUNCTIONS["join"][2](env, items, *separator)
    return joined or [""]


OWN: dict[str, tuple[int, bool, Body]] = {
    "getResourceKey": (0, False, _resource_key),
    "getReferenceKey": (1, True, _reference_key),
    "join": (1, False, _join),
}
"""Name: most arguments, whether they are types, what it does. A reference within its resource has no key."""
