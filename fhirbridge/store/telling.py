"""Candidates, their versions and the decisions on them as plain JSON values: for the command line and the API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import InputError
from fhirbridge.store.arrivals import Arrival
from fhirbridge.store.decisions import INBOX, Decision
from fhirbridge.store.judgements import Candidate

Field = tuple[str, Any, Any]
"""A path within what came, and its value before and after; None where there is none."""


def candidate(one: Candidate) -> dict[str, Any]:
    """Return a candidate; ``seen`` is what a decision on it has to name."""
    return {
        "candidate": one.name,
        "state": one.state,
        "reasons": list(one.reasons),
        "analyte": one.analyte or None,
        "visit": one.visit,
        "offset": one.offset,
        "inside": one.inside,
        "collected": one.collected,
        "subject": one.subject,
        "since": one.changed,
        "seen": one.seen,
        "source": {"feed": one.feed, "reference": one.reference},
        "proposal": _json(one.proposal),
        "recorded": one.recorded is not None,
    }


def counts(found: Mapping[tuple[str, str], int]) -> dict[str, Any]:
    """Return how many candidates there are by state and analyte, and how many wait for a person."""
    rows = [
        {"state": state, "analyte": analyte or None, "candidates": count} for (state, analyte), count in found.items()
    ]
    return {"counts": rows, "inbox": sum(count for (state, _), count in found.items() if state in INBOX)}


def decision(one: Decision) -> dict[str, Any]:
    """Return a decision with what was shown when it was made, and on which arrival."""
    about = {name: getattr(one, name) for name in ("number", "action", "by", "at", "reason")}
    value = None if one.value is None else _json(one.value)
    return about | {"arrival": one.arrival, "value": value, "proposal": _json(one.proposal)}


def versions(came: Sequence[Arrival]) -> list[dict[str, Any]]:
    """Return each version as it came, the oldest first, with what it changed in the one before."""
    told = list[dict[str, Any]]()
    for number, one in enumerate(came):
        before = came[number - 1] if number else None
        changed = [] if before is None else changes(_json(before.body), _json(one.body))
        fields = [{"field": path, "old": old, "new": new} for path, old, new in changed]
        about = {"arrival": one.key, "version": one.version, "arrived": one.at}
        told.append(about | {"content": _json(one.body), "changed": fields})
    return told


def changes(old: Any, new: Any) -> list[Field]:
    """Return the fields in which two JSON values differ, each by its path, in the order of the old, then the new."""
    before, after = dict(leaves(old)), dict(leaves(new))
    paths = dict.fromkeys([*before, *after])
    return [(path, before.get(path), after.get(path)) for path in paths if not _same(before.get(path), after.get(path))]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield path and value of whatever is no object and no list, without what is null."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from leaves(inner, f"{path}[{place}]")
    elif value is not None:
        yield path, value


def _same(one: Any, other: Any) -> bool:
    """Tell whether two values are written alike: 5.5 and 5.50 are not."""
    return fhirjson.dumps(one) == fhirjson.dumps(other)


def _json(body: bytes) -> Any:
    try:
        return fhirjson.loads(body)
    except InputError:  # what a source sent must not keep people from deciding on it
        return None
