"""Small StructureDefinitions and resources for the validator's tests, written here and nowhere copied from."""

from __future__ import annotations

from typing import Any

from fhirbridge.errors import Resource

SITE = "https://example.org/fhir/"
CODES = SITE + "CodeSystem/colour"
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"


def profile(name: str, type_: str, *elements: dict[str, Any], base: str | None = None, **more: Any) -> Resource:
    """A StructureDefinition with a differential; element ids are worked out from path and sliceName by the loader."""
    return {
        "resourceType": "StructureDefinition",
        "url": SITE + "StructureDefinition/" + name,
        "version": "1.0.0",
        "name": name,
        "status": "active",
        "fhirVersion": "4.0.1",
        "kind": "complex-type" if type_ == "Extension" else "resource",
        "abstract": False,
        "type": type_,
        "baseDefinition": base or "http://hl7.org/fhir/StructureDefinition/" + type_,
        "derivation": "constraint",
        "differential": {"element": list(elements)},
        **more,
    }


def element(id_: str, **rules: Any) -> dict[str, Any]:
    """One differential element; ``Observation.component:a.code`` says path and slice at once."""
    path = ".".join(step.partition(":")[0] for step in id_.split("."))
    sliced = id_.rpartition(".")[2].partition(":")[2]
    return {"id": id_, "path": path, **({"sliceName": sliced} if sliced else {}), **rules}


def by(kind: str, path: str, rules: str = "open", *, ordered: bool = False) -> dict[str, Any]:
    """A slicing."""
    return {"discriminator": [{"type": kind, "path": path}], "ordered": ordered, "rules": rules}


def concept(code: str, system: str = CODES) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


COLOURS: Resource = {
    "resourceType": "CodeSystem",
    "url": CODES,
    "status": "active",
    "content": "complete",
    "caseSensitive": True,
    "concept": [
        {"code": "warm", "concept": [{"code": "red"}, {"code": "orange"}]},
        {"code": "cold", "concept": [{"code": "blue"}]},
        {"code": "a"},
    ],
}

WARM: Resource = {
    "resourceType": "ValueSet",
    "url": SITE + "ValueSet/warm",
    "status": "active",
    "compose": {
        "include": [{"system": CODES, "filter": [{"property": "concept", "op": "descendent-of", "value": "warm"}]}]
    },
}

UNLISTED: Resource = {
    "resourceType": "ValueSet",
    "url": SITE + "ValueSet/unlisted",
    "status": "active",
    "compose": {"include": [{"system": "https://example.org/not-loaded"}]},
}

OBSERVATION: Resource = {
    "resourceType": "Observation",
    "id": "o-1",
    "status": "final",
    "code": concept("red"),
    "subject": {"reference": "Patient/p-1"},
    "effectiveDateTime": "2026-01-31T08:30:00+08:00",
    "valueQuantity": {"value": 5, "unit": "mg", "system": UCUM, "code": "mg"},
}

PATIENT: Resource = {
    "resourceType": "Patient",
    "id": "p-1",
    "identifier": [{"system": SITE + "number", "value": "0001"}],
    "gender": "female",
}
