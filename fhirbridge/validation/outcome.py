"""Findings, and the OperationOutcome (http://hl7.org/fhir/R4/operationoutcome.html) that carries them to a client."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fhirbridge.errors import Resource

RULES = "https://fhirbridge.github.io/fhir/CodeSystem/validation-rule"
"""System of the rule keys in ``issue.details.coding``: an invariant's key (``obs-6``) or one of ours (``min``)."""
URIS = "urn:ietf:rfc:3986"
"""FHIR's system for codes that are URIs: marks the coding that names the profile."""
ELEMENTS = "https://fhirbridge.github.io/fhir/CodeSystem/element-id"
"""System of the element's id in its profile, slices named: ``Observation.component:dna.value[x]``."""

SEVERITIES = ("fatal", "error", "warning", "information")
ERRORS = frozenset({"fatal", "error"})
PLACES = 5
"""How many places a group names."""
MAX_GROUPS = 5000
"""Different findings a tally tells apart, so that its memory has a limit whatever the input is."""

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: where (FHIRPath), which rule of which profile's element, in words, and what to do about it."""

    severity: str
    code: str
    rule: str
    text: str
    path: str
    profile: str = ""
    remedy: str = ""
    element: str = field(default="", compare=False)


@dataclass(slots=True)
class Group:
    """The same rule of the same profile at the same element: the first finding, how many, and the first places."""

    issue: Issue
    count: int = 0
    places: list[str] = field(default_factory=list)

    def add(self, place: str) -> None:
        self.count += 1
        if len(self.places) < PLACES and place not in self.places:
            self.places.append(place)


class Tally:
    """Groups findings of any number of resources in limited memory; ``uncounted`` are those past MAX_GROUPS groups."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], Group] = {}
        self.uncounted = 0

    def add(self, issue: Issue, place: str = "") -> None:
        """Count a finding; ``place`` says where, if its path is not enough."""
        key = (issue.severity, issue.rule, issue.profile, issue.element, _INDEX.sub("[*]", issue.path))
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= MAX_GROUPS:
                self.uncounted += 1
                return
            group = self._groups[key] = Group(issue)
        group.add(place or issue.path)

    def groups(self) -> list[Group]:
        """Return the groups: errors first, then the most frequent."""
        return sorted(self._groups.values(), key=lambda g: (SEVERITIES.index(g.issue.severity), -g.count))


def outcome(issues: Iterable[Issue], *, group: bool = False, limit: int | None = None) -> Resource:
    """Return the OperationOutcome: errors first, then in the order found.

    ``group`` makes one issue of the same rule of the same profile at the same element, whatever the indexes: it
    says how often and names the first places. ``limit`` is the most issues told; a last one counts the rest. Where
    there is neither error nor warning, the first issue is the information "All OK".
    """
    listed = sorted(dict.fromkeys(issues), key=lambda issue: SEVERITIES.index(issue.severity))
    if group:
        tally = Tally()
        for issue in listed:
            tally.add(issue)
        found = [told_group(one) for one in tally.groups()]
    else:
        found = [told(issue) for issue in listed]
    if not any(issue.severity != "information" for issue in listed):
        found.insert(0, information("All OK"))
    return {"resourceType": "OperationOutcome", "issue": capped(found, limit)}


def capped(found: list[dict[str, Any]], limit: int | None) -> list[dict[str, Any]]:
    """Return the first issues, and one more that counts what was left out."""
    if limit is None or len(found) <= limit:
        return found
    rest = found[limit:]
    counts = ", ".join(
        f"{number} {severity}" for severity in SEVERITIES if (number := sum(i["severity"] == severity for i in rest))
    )
    return [*found[:limit], information(f"… and {len(rest)} more that are not listed: {counts}.")]


def information(text: str) -> dict[str, Any]:
    """Return an issue that only tells something."""
    return {"severity": "information", "code": "informational", "details": {"text": text}}


def told(issue: Issue) -> dict[str, Any]:
    """Return a finding as ``OperationOutcome.issue``."""
    coding = [{"system": RULES, "code": issue.rule}]
    if issue.profile:
        coding.append({"system": URIS, "code": issue.profile})
    if issue.element:
        coding.append({"system": ELEMENTS, "code": issue.element})
    written: dict[str, Any] = {
        "severity": issue.severity,
        "code": issue.code,
        "details": {"coding": coding, "text": issue.text},
    }
    if issue.remedy:
        written["diagnostics"] = issue.remedy
    if issue.path:
        written["expression"] = [issue.path]
    return written


def told_group(group: Group) -> dict[str, Any]:
    """Return a group as ``OperationOutcome.issue``: the first finding's text, the count, the first places."""
    written = told(group.issue)
    if group.count > 1:
        written["details"]["text"] = f"{group.issue.text} ({group.count} times)"
        written["expression"] = group.places
    return written


def has_errors(outcome: Resource) -> bool:
    """Tell whether an OperationOutcome says that something is wrong."""
    return any(issue["severity"] in ERRORS for issue in outcome["issue"])
