"""Everything that is served is right by its profile: resources, Bundles of every kind, exports, and /metadata."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fhirbridge.elements import CANONICAL
from fhirbridge.errors import Resource
from fhirbridge.release.agreement import ViewRules
from fhirbridge.search.table import SERVED
from tests.api.registry.conftest import Serve
from tests.api.registry.exporting import exported, lines
from tests.api.registry.serving import AGREEMENT, IDENTITY, ROOT, STUDY, Registry, validator
from tests.conftest import HapiValidator
from tests.mappings.cases import BELOW_LLOQ, PULLED, SUBJECT, resources

PACKAGE = sorted((ROOT / "profiles").glob("*-*.json"))


@pytest.fixture
def whole(serve: Serve) -> Registry:
    """A registry that holds something of every type, results with a limit and with a Provenance among it."""
    return filled(serve())


def filled(registry: Registry) -> Registry:
    for record in (SUBJECT, BELOW_LLOQ, PULLED):
        with registry.store.transaction() as transaction:
            transaction.put(resources(record, STUDY, IDENTITY), run="change")
    registry.clock.turn(1)
    registry.refresh()
    return registry


def wrong(resource: Resource, profiles: list[str] | None = None) -> list[Any]:
    outcome = validator().validate(resource, profiles) if profiles else validator().validate(resource)
    return [one for one in outcome["issue"] if one["severity"] in ("error", "fatal")]


@pytest.mark.parametrize("type", SERVED)
def test_every_resource_follows_the_profiles_that_metadata_names(whole: Registry, type: str) -> None:
    found = whole.every(f"{type}?_count=1000")
    statement = whole.get("metadata", client=None)
    about = next(one for one in statement["rest"][0]["resource"] if one["type"] == type)
    assert found
    for one in found:
        stated = one["meta"]["profile"]
        assert set(stated) <= set(about["supportedProfile"])
        assert all(url.startswith(f"{CANONICAL}/StructureDefinition/") for url in stated)
        assert wrong(one) == [], f"{type}/{one['id']}"


@pytest.mark.parametrize(
    "rules",
    [
        ViewRules(shift_days=0, birth_date="five-years", texts=("value",)),
        ViewRules(partial_dates="hide", deceased="hide"),
    ],
)
def test_every_resource_is_right_under_other_rules_too(serve: Serve, rules: ViewRules) -> None:
    registry = filled(serve(agreements=(msgspec.structs.replace(AGREEMENT, view=rules),)))
    for type in SERVED:
        for one in registry.every(f"{type}?_count=1000"):
            assert wrong(one) == [], f"{type}/{one['id']}"


def test_every_bundle_is_right(whole: Registry) -> None:
    person = whole.one("Patient")["id"]
    for path in ("Observation?_count=20&_include=Observation:patient", "Observation?_summary=count",
                 "Observation?_summary=true&_count=20", "Patient/_history?_count=5", f"Patient/{person}/_history",
                 f"Patient/{person}/$everything?_count=50"):  # fmt: skip
        assert wrong(whole.get(path)) == [], path


def test_every_line_of_an_export_is_right(whole: Registry) -> None:
    found = lines(whole, exported(whole))
    assert set(found) == set(SERVED)
    for type, records in found.items():
        for one in records:
            assert wrong(one) == [], f"{type}/{one['id']}"


@pytest.mark.hapi
def test_hl7s_validator_says_the_same_of_it_and_of_metadata(whole: Registry, hapi_validator: HapiValidator) -> None:
    asked = [(None, whole.get("metadata", client=None))]
    for type in SERVED:
        asked += [(None, one) for one in whole.every(f"{type}?_count=1000")[:12]]
    asked += [(None, whole.get(path)) for path in ("Observation?_count=5", "Patient/_history?_count=3")]
    complaints = [
        f"{resource['resourceType']}/{resource.get('id')}: {issue['diagnostics']}"
        for (_, resource), outcome in zip(asked, hapi_validator(PACKAGE, asked), strict=True)
        for issue in outcome["issue"]
        if issue["severity"] in ("error", "fatal")
    ]
    assert complaints == []
