"""Applies the elements of a differential, and refuses what contradicts the base (https://hl7.org/fhir/R4/profiling.html)."""

from __future__ import annotations

from typing import Any

from fhirbridge.errors import ProfileError
from fhirbridge.validation import stated
from fhirbridge.validation.tree import Element, bound, type_ref

Steps = list[tuple[str, str | None]]

_ADDED = ("constraint", "condition", "mapping", "alias", "example")
_STRENGTHS = ("example", "preferred", "extensible", "required")
_ANY_RESOURCE = ("Resource", "DomainResource")


def with_steps(differential: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give elements without ids the ids that their order implies (a slice's children follow the slice)."""
    if all(d.get("id") for d in differential):
        return differential
    current: dict[str, str] = {}
    out = []
    for definition in differential:
        path = str(definition.get("path", ""))
        current = {known: sliced for known, sliced in current.items() if path.startswith(known + ".") or path == known}
        if definition.get("sliceName"):
            current[path] = definition["sliceName"]
        else:
            current.pop(path, None)
        names = path.split(".")
        parts = [".".join(names[: n + 1]) for n in range(len(names))]
        id_ = ".".join(n + (f":{current[p]}" if p in current else "") for n, p in zip(names, parts, strict=True))
        out.append({**definition, "id": definition.get("id") or id_})
    return out


def sliceness(steps: Steps) -> int:
    """Return how deep in slices an element stands: slices are begun before what divides them."""
    return sum(1 + sliced.count("/") for _, sliced in steps if sliced)


def merge(url: str, label: str, element: Element, changes: dict[str, Any], problems: list[str]) -> None:
    """Apply one differential element to the tree. Raises ProfileError where it widens what the base allows."""
    merged, before = element.definition, dict(element.definition)
    for key, value in changes.items():
        if key in ("id", "path", "base"):
            continue
        if key in _ADDED:
            fresh = [v for v in value if v not in merged.get(key, [])]
            keys = {v.get("key") for v in fresh if isinstance(v, dict) and key == "constraint"}
            kept = [v for v in merged.get(key, []) if not (keys and isinstance(v, dict) and v.get("key") in keys)]
            merged[key] = kept + fresh
        else:
            merged[key] = value
    if element.slice_name and bound(merged.get("max", "*")) > bound(before.get("max", "*")):
        problems.append(f"{url}: {label} has max {merged['max']}, but only {before['max']} may come at all.")
        merged["max"] = before["max"]
    forget(element)
    _check_cardinality(url, label, before, merged)
    _check_types(url, label, before, merged)
    weaker = _strength(merged) < _strength(before)
    if weaker:
        problems.append(
            f"{url}: {label} weakens its binding from {_STRENGTHS[_strength(before)]}; the base's still counts."
        )
        more = changes.get("binding", {}).get("extension", [])
        merged["binding"] = {**before["binding"], "extension": [*before["binding"].get("extension", []), *more]}


def forget(element: Element) -> None:
    """Drop what was worked out from the definition before it changed."""
    for name in (
        "min",
        "max",
        "is_array",
        "is_choice",
        "types",
        "keys",
        "properties",
        "holders",
        "limits",
        "access",
        "fixed",
        "pattern",
        "constraints",
    ):
        element.__dict__.pop(name, None)


def _strength(definition: dict[str, Any]) -> int:
    strength = definition.get("binding", {}).get("strength", "example")
    return _STRENGTHS.index(strength) if strength in _STRENGTHS else 0


def _check_cardinality(url: str, label: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    low, high = int(after.get("min", 0)), bound(after.get("max", "*"))
    if low < int(before.get("min", 0)):
        raise ProfileError(f"{url}: element {label} has min {low}, but its base demands {before['min']}.")
    if high > bound(before.get("max", "*")):
        raise ProfileError(f"{url}: element {label} has max {after['max']}, but its base allows {before['max']}.")
    if low > high:
        raise ProfileError(f"{url}: element {label} has min {low} above its max {after['max']}.")


def _check_types(url: str, label: str, before: dict[str, Any], after: dict[str, Any]) -> None:
    allowed = {code for t in before.get("type", []) for code in _names_of(t)}
    wanted = {t.get("code") for t in after.get("type", [])}
    if allowed & set(_ANY_RESOURCE) or not allowed:
        return
    for code in sorted(str(c) for c in wanted - allowed):
        raise ProfileError(
            f"{url}: element {label} has type {code}, but its base allows {', '.join(sorted(map(str, allowed)))}."
        )


def _names_of(given: dict[str, Any]) -> set[str | None]:
    """The codes that name one type: ``id`` and ``url`` have FHIRPath types, and people write what is meant."""
    code = given.get("code")
    if str(code).startswith("http://hl7.org/fhirpath/"):
        return {code, type_ref(given).code, "string", "id", "uri"}
    return {code}


def told(element: Element) -> dict[str, Any]:
    """Return an element as a snapshot tells it."""
    base = {"path": element.path, "min": element.min, "max": element.definition.get("max", "*")}
    return {**stated.without(element.definition), "base": element.definition.get("base") or base}


def relabel(element: Element, path: str, id_: str) -> None:
    """Give every element the id and path of the place it has in this profile, wherever it was copied from."""
    element.definition["id"], element.definition["path"] = id_, path
    for name, child in element.children.items():
        relabel(child, f"{path}.{name}", f"{id_}.{name}")
    for name, sliced in element.slices.items():
        relabel(sliced, path, f"{id_}:{name}")
