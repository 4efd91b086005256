"""Which mustSupport elements no resource had."""

from __future__ import annotations

from pathlib import Path

from fhirbridge.validation import Validator
from fhirbridge.validation.mustsupport import MustSupport
from tests.validation.building import OBSERVATION, by, concept, element, profile

MARKED = profile(
    "marked",
    "Observation",
    element("Observation.status", mustSupport=True),
    element("Observation.method", mustSupport=True),
    element("Observation.component", slicing=by("pattern", "code")),
    element("Observation.component:red", mustSupport=True),
    element("Observation.component:red.code", patternCodeableConcept=concept("red")),
    element("Observation.component:red.interpretation", mustSupport=True),
    element("Observation.component:blue", mustSupport=True),
    element("Observation.component:blue.code", patternCodeableConcept=concept("blue")),
)
RED = {"code": concept("red"), "valueString": "x"}


def seen(compiled: Path, *resources: dict[str, object]) -> list[dict[str, object]]:
    found = MustSupport(Validator.load([MARKED], cache=compiled))
    for resource in resources:
        found.look(resource)
    return found.as_dict()


def test_what_was_never_there_is_listed_slices_included(compiled: Path) -> None:
    mine = {**OBSERVATION, "meta": {"profile": [MARKED["url"]]}, "component": [RED]}
    [told] = seen(compiled, mine, mine)
    assert (told["profile"], told["resources"]) == (MARKED["url"], 2)
    assert set(told["neverPresent"]) == {  # type: ignore[call-overload]
        "Observation.method",
        "Observation.component:red.interpretation",
        "Observation.component:blue",
    }


def test_one_resource_that_has_it_is_enough_in_a_bundle_too(compiled: Path) -> None:
    mine = {**OBSERVATION, "meta": {"profile": [MARKED["url"]]}}
    other = {**mine, "method": concept("a"), "component": [{**RED, "interpretation": [concept("a")]}]}
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": mine}, {"resource": other}, None]}
    [told] = seen(compiled, bundle)
    assert (told["resources"], told["neverPresent"]) == (2, ["Observation.component:blue"])


def test_what_is_malformed_or_of_no_profile_is_passed_over(compiled: Path) -> None:
    odd = {"resourceType": "Observation", "meta": {"profile": [MARKED["url"], 5]}, "component": 7, "status": []}
    [told] = seen(compiled, odd, OBSERVATION, {"resourceType": "Bundle", "entry": 5}, {"resourceType": "Nope"})
    assert told["resources"] == 1
