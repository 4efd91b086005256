"""Snapshots from differentials, and broken profiles refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import ProfileError, Resource
from fhirbridge.validation import Validator
from tests.validation.building import SITE, by, concept, element, profile

E = element


def ids(snapshot: Resource) -> list[str]:
    return [e["id"] for e in snapshot["snapshot"]["element"]]


def one(snapshot: Resource, id_: str) -> dict[str, Any]:
    return next(e for e in snapshot["snapshot"]["element"] if e["id"] == id_)


def test_slices_stand_after_their_element_with_all_its_children() -> None:
    made = profile(
        "p",
        "Observation",
        E("Observation.component", slicing=by("value", "code")),
        E("Observation.component:a", min=1),
        E("Observation.component:a.code", patternCodeableConcept=concept("red")),
    )
    snapshot = Validator.load([made]).snapshot(made["url"])
    found = ids(snapshot)
    assert found.index("Observation.component:a") == found.index("Observation.component.referenceRange") + 1
    assert "Observation.component:a.value[x]" in found
    assert one(snapshot, "Observation.component:a.code")["path"] == "Observation.component.code"
    assert one(snapshot, "Observation.component:a")["min"] == 1
    assert len(found) == len(set(found))


def test_what_all_slices_share_may_be_said_after_them() -> None:
    made = profile(
        "p",
        "Observation",
        E("Observation.component", slicing=by("value", "code")),
        E("Observation.component:a", max="1"),
        E("Observation.component.interpretation", max="0"),
    )
    snapshot = Validator.load([made]).snapshot(made["url"])
    assert one(snapshot, "Observation.component:a.interpretation")["max"] == "0"


def test_a_typed_name_becomes_a_type_slice() -> None:
    made = profile("p", "Observation", {"path": "Observation.valueQuantity", "min": 1})
    snapshot = Validator.load([made]).snapshot(made["url"])
    sliced = one(snapshot, "Observation.value[x]:valueQuantity")
    assert (sliced["path"], [t["code"] for t in sliced["type"]], sliced["min"]) == (
        "Observation.value[x]",
        ["Quantity"],
        1,
    )
    assert one(snapshot, "Observation.value[x]")["slicing"]["discriminator"] == [{"type": "type", "path": "$this"}]


def test_a_profile_on_a_profile_keeps_both() -> None:
    lower = profile("lower", "Observation", E("Observation.note", min=1))
    upper = profile("upper", "Observation", E("Observation.note", max="2"), base=lower["url"])
    note = one(Validator.load([upper, lower]).snapshot(upper["url"]), "Observation.note")
    assert (note["min"], note["max"], note["base"]) == (1, "2", {"path": "Observation.note", "min": 0, "max": "*"})


def test_constraints_add_up_and_a_key_counts_once() -> None:
    rule = {"key": "x-1", "severity": "error", "human": "x", "expression": "true"}
    lower = profile("lower", "Observation", E("Observation", constraint=[rule]))
    upper = profile("upper", "Observation", E("Observation", constraint=[{**rule, "human": "y"}]), base=lower["url"])
    root = one(Validator.load([upper, lower]).snapshot(upper["url"]), "Observation")
    assert [c["human"] for c in root["constraint"] if c["key"] == "x-1"] == ["y"]
    assert "obs-6" in {c["key"] for c in root["constraint"]}


BROKEN: list[tuple[str, Resource, str]] = [
    ("a path that does not exist", profile("p", "Observation", E("Observation.colour", min=1)), "Observation.colour"),
    ("a path inside a type", profile("p", "Observation", E("Observation.code.coding.colour", min=1)), "colour"),
    ("another type's path", profile("p", "Observation", E("Patient.name", min=1)), "Patient.name"),
    ("min lowered", profile("p", "Observation", E("Observation.status", min=0)), "Observation.status has min 0"),
    ("max raised", profile("p", "Observation", E("Observation.status", max="*")), "Observation.status has max"),
    ("min above max", profile("p", "Observation", E("Observation.note", min=2, max="1")), "above its max"),
    (
        "a type not allowed",
        profile("p", "Observation", E("Observation.value[x]", type=[{"code": "Money"}])),
        "type Money",
    ),
    (
        "a base that is not there",
        profile("p", "Observation", E("Observation.note", min=1), base=SITE + "none"),
        "none is not loaded",
    ),
    (
        "a base of another type",
        profile(
            "p", "Observation", E("Observation.note", min=1), base="http://hl7.org/fhir/StructureDefinition/Patient"
        ),
        "differs",
    ),
    (
        "a base that is itself",
        profile("p", "Observation", E("Observation.note", min=1), base=SITE + "StructureDefinition/p"),
        "circular",
    ),
    (
        "a slice of what is not sliced",
        profile("p", "Observation", E("Observation.component:a", min=1)),
        "has no slicing",
    ),
]


@pytest.mark.parametrize(("made", "said"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_a_broken_profile_is_refused_and_the_element_named(made: Resource, said: str) -> None:
    validator = Validator.load([made])
    with pytest.raises(ProfileError, match=r"(?s)" + said.replace(".", r"\.")) as caught:
        validator.snapshot(made["url"])
    assert made["url"] in str(caught.value)


def test_an_order_that_hapi_would_lose_is_flagged_and_still_obeyed() -> None:
    made = profile("p", "Observation", E("Observation.note", min=1), E("Observation.status", fixedCode="final"))
    validator = Validator.load([made])
    snapshot = validator.snapshot(made["url"])
    assert one(snapshot, "Observation.status")["fixedCode"] == "final"
    (problem,) = validator.problems
    assert "Observation.status" in problem


def test_a_binding_cannot_be_weakened() -> None:
    weak = {"strength": "preferred", "valueSet": SITE + "ValueSet/warm"}
    made = profile("p", "Observation", E("Observation.status", binding=weak))
    validator = Validator.load([made])
    assert one(validator.snapshot(made["url"]), "Observation.status")["binding"]["strength"] == "required"
    assert validator.problems


@pytest.mark.shared
def test_snapshots_agree_with_those_recorded(shared: Path) -> None:
    known = fhirjson.loads((shared / "validation" / "probes.json").read_bytes())
    validator = Validator.load(known["sds"] + known["terminology"])
    for expected in known["snapshots"]:
        found = validator.snapshot(expected["url"])
        assert ids(found) == ids(expected)
        for id_ in ids(expected):
            for key in ("min", "max", "base", "path"):
                assert one(found, id_).get(key) == one(expected, id_).get(key), (id_, key)
