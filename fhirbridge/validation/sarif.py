"""Writes findings as SARIF 2.1.0, which code scanning reads.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from fhirbridge import fhirjson
from fhirbridge.validation.outcome import Issue
from fhirbridge.validation.report import FileOutcome

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {"fatal": "error", "error": "error", "warning": "warning", "information": "note"}
_HOME = "https://fhirbridge.github.io"


def write(outcomes: Iterable[FileOutcome], stream: IO[str], version: str) -> None:
    """Write one run, each result as it is found; the rules follow the results, once they are known."""
    rules: dict[str, tuple[int, str]] = {}
    stream.write(f'{{"$schema": "{SCHEMA}", "version": "2.1.0", "runs": [{{"results": [')
    separator = "\n"
    for one in outcomes:
        for issue in one.issues if one.error is None else [one.unusable()]:
            rules.setdefault(issue.rule, (len(rules), _about(issue)))
            stream.write(separator + fhirjson.dumps(_result(one, issue, rules[issue.rule][0])).decode())
            separator = ",\n"
    stream.write('\n], "columnKind": "unicodeCodePoints", "tool": ' + fhirjson.dumps(_tool(rules, version)).decode())
    stream.write("}]}\n")


def _result(one: FileOutcome, issue: Issue, index: int) -> dict[str, Any]:
    name = one.name_of(issue)
    told = " ".join(part for part in (f"{name}: {issue.text}" if name else issue.text, issue.remedy) if part)
    location: dict[str, Any] = {
        "physicalLocation": {"artifactLocation": {"uri": _uri(one.file)}, "region": {"startLine": one.line_of(issue)}}
    }
    if issue.path:
        location["logicalLocations"] = [{"fullyQualifiedName": issue.path, "kind": "element"}]
    properties = {"profile": issue.profile, "element": issue.element, "resource": name}
    return {
        "ruleId": issue.rule,
        "ruleIndex": index,
        "level": LEVELS[issue.severity],
        "message": {"text": told},
        "locations": [location],
        "properties": {key: value for key, value in properties.items() if value},
    }


def _tool(rules: dict[str, tuple[int, str]], version: str) -> dict[str, Any]:
    listed = [{"id": rule, "shortDescription": {"text": about}} for rule, (_, about) in rules.items()]
    driver = {"name": "fhirbridge", "version": version, "informationUri": _HOME, "rules": listed}
    return {"driver": driver}


def _about(issue: Issue) -> str:
    """Say what a rule is about: an invariant's own words, else the rule's name."""
    if issue.code == "invariant":
        return issue.text.partition(" (accepted by ")[0]
    return f"FHIR R4 validation: {issue.rule}"


def _uri(file: str) -> str:
    if file == "-":
        return "stdin"
    path = Path(file)
    return path.as_uri() if path.is_absolute() else quote(path.as_posix())
