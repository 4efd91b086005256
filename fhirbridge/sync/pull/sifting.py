"""Says of what a server gave whether it was asked for, where the server itself was not to choose."""

from __future__ import annotations

import re

from fhirbridge.errors import Resource
from fhirbridge.sync.pull.questions import Question


def matches(question: Question, resource: Resource) -> bool:
    """Say whether a resource is one that the question asks for: what its search would have found."""
    if resource.get("resourceType") != question.kind:
        return False
    return all(_has(resource, name, value) for name, value in question.params)


def _has(resource: Resource, name: str, wanted: str) -> bool:
    tokens = [re.sub(r"\\(.)", r"\1", token) for token in re.split(r"(?<!\\),", wanted)]
    if name == "status":
        return resource.get("status") in tokens
    if name == "category":
        concepts = resource.get("category") or []
    else:
        parts = (resource.get("component") or []) if name == "combo-code" else []
        concepts = [one.get("code") or {} for one in (resource, *parts)]
    return any(
        coding.get("code") in tokens or f"{coding.get('system', '')}|{coding.get('code')}" in tokens
        for concept in concepts
        for coding in concept.get("coding") or []
    )
