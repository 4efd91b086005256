"""Invented registry records, and an accounting of their values that shares no code with the mapping's own."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from fhir.resources.R4B import get_fhir_model_class

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.records.ctgov_record import RegistryRecord, parse
from fhirbridge.validation.validator import Validator
from mappings.registry_record import RegistryBundle, bundle

ROOT = Path(__file__).parent.parent.parent
GOLDEN = ROOT / "tests" / "golden" / "registry"
NAMES = ("interventional", "cohort")
"""``interventional`` fills every field of API v2; ``cohort`` is observational and has no arms."""


def raw(name: str = "interventional") -> dict[str, Any]:
    """Return a fresh copy of an invented record."""
    return copy.deepcopy(_loaded(name))


@cache
def _loaded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = fhirjson.loads((GOLDEN / f"{name}.record.json").read_bytes())
    return found


def changed(path: str, value: object, name: str = "interventional") -> RegistryRecord:
    """Return an invented record with one value of its protocolSection set: ``statusModule.overallStatus``."""
    whole = raw(name)
    *steps, last = path.split(".")
    module = whole["protocolSection"]
    for step in steps:
        module = module.setdefault(step, {})
    module[last] = value
    return parse(whole)


def mapped(record: RegistryRecord) -> RegistryBundle:
    """Map a record and check every resource against the R4B models."""
    found = bundle(record)
    for resource in found.resources:
        get_fhir_model_class(resource["resourceType"]).model_validate(fhirjson.loads(fhirjson.dumps(resource)))
    return found


def study(record: RegistryRecord) -> Resource:
    """Return the ResearchStudy of a record."""
    return mapped(record).resources[-1]


def extensions(resource: Resource, name: str) -> list[dict[str, Any]]:
    """Return the extensions whose URL ends with ``name``: simple ones as they are, complex ones as a dict of values."""
    found = [each for each in resource.get("extension", []) if each["url"].endswith(name)]
    return [
        {part["url"]: _value(part) for part in each["extension"]} if "extension" in each else each for each in found
    ]


def _value(part: dict[str, Any]) -> Any:
    return next(value for key, value in part.items() if key.startswith("value"))


@cache
def validator() -> Validator:
    """Return the validator with this project's profiles."""
    return Validator.load([ROOT / "profiles"])


def errors(found: RegistryBundle) -> list[str]:
    """Return the errors that the profiles find."""
    issues = [(r["resourceType"], issue) for r in found.resources for issue in validator().issues(r)]
    return [f"{kind}: {issue}" for kind, issue in issues if issue.severity in ("error", "fatal")]


def values(node: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Yield every value with its path."""
    if isinstance(node, dict):
        for key, inner in node.items():
            yield from values(inner, f"{path}.{key}".lstrip("."))
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from values(inner, f"{path}[{index}]")
    else:
        yield path, node


SAID_OTHERWISE = (
    r"\.(startDateStruct|primaryCompletionDateStruct|completionDateStruct|\w+PostDateStruct)\.type$",
    r"\.enrollmentInfo\.type$",
    r"\.centralContacts\[\d+\]\.role$",
    r"\.(healthyVolunteers|genderBased)$",
    r"\.(minimumAge|maximumAge)$",
)
"""Values that become something else than themselves; each has a test of its own."""


def lost(record: RegistryRecord, found: RegistryBundle) -> list[str]:
    """Return the values of the record that stand in no resource and in no line of the report."""
    told = {str(value) for resource in found.resources for _, value in values(resource)}
    reported = [each.path for each in found.unrepresented]
    return [
        f"{path} = {value!r}"
        for path, value in values(dict(record.raw))
        if value is not None
        and not any(_under(path, above) for above in reported)
        and not any(re.search(pattern, path) for pattern in SAID_OTHERWISE)
        and not (isinstance(value, str) and value in told)
        and not any(_told(path, value, text) for text in told)
    ]


def _under(path: str, above: str) -> bool:
    plain = path if "[" in above else re.sub(r"\[\d+\]", "", path)
    return plain == above or plain.startswith((f"{above}.", f"{above}["))


def _told(path: str, value: object, text: str) -> bool:
    if isinstance(value, str):
        return value in text
    noted = f"{path.rpartition('.')[2]}: {str(value).lower() if isinstance(value, bool) else value}"
    return noted in text.splitlines() or (str(value) == text and not isinstance(value, bool))
