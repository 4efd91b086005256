"""Findings, and the OperationOutcome (http://hl7.org/fhir/R4/operationoutcome.html) that carries them to a client."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from fhirbridge.errors import Resource

RULES = "https://fhirbridge.github.io/fhir/CodeSystem/validation-rule"
"""System of the rule keys in ``issue.details.coding``: an invariant's key (``obs-6``) or one of ours (``min``)."""
URIS = "urn:ietf:rfc:3986"
"""FHIR's system for codes that are URIs: marks the coding that names the profile."""

_ORDER = {"fatal": 0, "error": 1, "warning": 2, "information": 3}


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: where (FHIRPath), which rule of which profile, in words, and what to do about it."""

    severity: str
    code: str
    rule: str
    text: str
    path: str
    profile: str = ""
    remedy: str = ""


def outcome(issues: Iterable[Issue]) -> Resource:
    """Return the OperationOutcome: errors first, then in the order found.

    Where there is neither error nor warning, the first issue is the information "All OK".
    """
    listed = sorted(dict.fromkeys(issues), key=lambda issue: _ORDER[issue.severity])
    found = [_issue(issue) for issue in listed]
    fine = {"severity": "information", "code": "informational", "details": {"text": "All OK"}}
    clean = all(issue.severity == "information" for issue in listed)
    return {"resourceType": "OperationOutcome", "issue": [fine, *found] if clean else found}


def _issue(issue: Issue) -> dict[str, Any]:
    coding = [{"system": RULES, "code": issue.rule}]
    if issue.profile:
        coding.append({"system": URIS, "code": issue.profile})
    told: dict[str, Any] = {
        "severity": issue.severity,
        "code": issue.code,
        "details": {"coding": coding, "text": issue.text},
    }
    if issue.remedy:
        told["diagnostics"] = issue.remedy
    if issue.path:
        told["expression"] = [issue.path]
    return told


def has_errors(outcome: Resource) -> bool:
    """Tell whether an OperationOutcome says that something is wrong."""
    return any(issue["severity"] in ("fatal", "error") for issue in outcome["issue"])
