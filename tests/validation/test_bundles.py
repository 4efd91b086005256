"""Bundles: where entries live, what a document must hold, and which entry a reference means."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from fhirbridge.validation.references import surroundings
from tests.validation.conftest import errors
from tests.validation.specimens import (
    COMPOSITION,
    MESSAGE_HEADER,
    OBSERVATION,
    ONE,
    PLAIN_PATIENT,
    PRACTITIONER,
    SITE,
    SPECIMENS,
    bundle,
    entry,
)

KINDS = [name for name, resource in SPECIMENS.items() if resource["resourceType"] == "Bundle"]
PUT = {"request": {"method": "PUT", "url": "Patient/p1"}}
DATED = {"identifier": {"system": "urn:ietf:rfc:3986", "value": ONE}, "timestamp": "2026-01-31T08:30:00Z"}


def document(*entries: dict[str, Any], **composition: Any) -> Resource:
    return bundle("document", entry({**COMPOSITION, **composition}), *entries, **DATED)


COMPLETE = [entry(PLAIN_PATIENT), entry(PRACTITIONER), entry(OBSERVATION)]


def rules(validator: Validator, resource: Resource) -> set[tuple[str, str]]:
    return errors(validator.issues(resource))


@pytest.mark.parametrize("name", SPECIMENS)
def test_specimens_are_valid(plain: Validator, name: str) -> None:
    assert rules(plain, SPECIMENS[name]) == set()


@pytest.mark.parametrize(
    "url", ["https://example.org/fhir/Patient/p2", "http://a.org/Group/p1", "Patient/p1", "https://a.org/x/Patient/p2"]
)
@pytest.mark.parametrize("kind", ["collection", "transaction"])
def test_a_full_url_that_is_restful_ends_in_type_and_id(plain: Validator, kind: str, url: str) -> None:
    found = rules(plain, bundle(kind, entry(PLAIN_PATIENT, url, **(PUT if kind == "transaction" else {}))))
    assert found == {("entry-full-url", "Bundle.entry[0].fullUrl")}


@pytest.mark.parametrize("url", [ONE, "urn:oid:1.2.3", "https://example.org/p2", "https://example.org/Foo/p2"])
def test_a_full_url_of_another_form_says_nothing_of_the_id(plain: Validator, url: str) -> None:
    assert rules(plain, bundle("collection", entry(PLAIN_PATIENT, url))) == set()


def test_only_batches_and_transactions_do_without_full_urls(plain: Validator) -> None:
    assert rules(plain, bundle("collection", {"resource": PLAIN_PATIENT})) == {("entry-full-url", "Bundle.entry[0]")}
    assert rules(plain, bundle("batch", {"resource": PLAIN_PATIENT, **PUT})) == set()
    assert rules(plain, bundle("batch-response", {"response": {"status": "200"}})) == set()


def test_full_urls_are_unique_and_requests_are_there_where_they_are_due(plain: Validator) -> None:
    twice = bundle("collection", entry(PLAIN_PATIENT), entry(copy.deepcopy(PLAIN_PATIENT)))
    assert rules(plain, twice) == {("bdl-7", "Bundle")}
    assert rules(plain, bundle("transaction", entry(PLAIN_PATIENT))) == {("bdl-3", "Bundle")}


def test_a_document_starts_with_its_composition(plain: Validator) -> None:
    swapped = bundle("document", entry(PLAIN_PATIENT), entry(COMPOSITION), *COMPLETE[1:], **DATED)
    assert ("bdl-11", "Bundle") in rules(plain, swapped)


@pytest.mark.parametrize(("missing", "place"), [(0, "subject"), (1, "author[0]"), (2, "section[0].entry[0]")])
def test_a_document_holds_what_its_composition_refers_to(plain: Validator, missing: int, place: str) -> None:
    there = [one for number, one in enumerate(COMPLETE) if number != missing]
    if missing == 0:
        there = [COMPLETE[1], entry({k: v for k, v in OBSERVATION.items() if k != "subject"})]
    assert rules(plain, document(*there)) == {("entry-missing", f"Bundle.entry[0].resource.{place}")}


def test_sections_in_sections_are_looked_into(plain: Validator) -> None:
    deep = [{"title": "a", "section": [{"title": "b", "entry": [{"reference": "Observation/o9"}]}]}]
    found = rules(plain, document(*COMPLETE[:2], section=deep))
    assert found == {("entry-missing", "Bundle.entry[0].resource.section[0].section[0].entry[0]")}


def test_a_document_holds_nothing_that_no_reference_joins_to_it(plain: Validator) -> None:
    stray = entry({"resourceType": "Practitioner", "id": "d2"})
    assert rules(plain, document(*COMPLETE, stray)) == {("entry-unreachable", "Bundle.entry[4]")}
    backward = entry({**OBSERVATION, "id": "o2"})
    assert rules(plain, document(*COMPLETE, backward)) == set()


def test_a_message_holds_its_focus(plain: Validator) -> None:
    found = rules(plain, bundle("message", entry(MESSAGE_HEADER)))
    assert found == {("entry-missing", "Bundle.entry[0].resource.focus[0]")}


@pytest.mark.parametrize(
    ("from_", "reference", "found"),
    [
        (f"{SITE}Observation/o1", "Patient/p1", True),
        (f"{SITE}Observation/o1", f"{SITE}Patient/p1", True),
        (f"{SITE}Observation/o1", "Patient/p1/_history/7", True),
        (f"{SITE}Observation/o1", "Patient/p1/_history/8", False),
        ("https://elsewhere.org/Observation/o1", "Patient/p1", False),
        ("https://elsewhere.org/Observation/o1", f"{SITE}Patient/p1", True),
        (ONE, "Patient/p1", False),
        (None, "Patient/p1", True),
    ],
)
def test_a_relative_reference_means_the_server_its_entry_lives_on(
    from_: str | None, reference: str, found: bool
) -> None:
    patient = {**PLAIN_PATIENT, "meta": {"versionId": "7"}}
    observation = {**OBSERVATION, "subject": {"reference": reference}}
    told = {"resource": observation} | ({"fullUrl": from_} if from_ else {})
    around = surroundings(bundle("collection", entry(patient), told)).within(observation)
    assert (around.resolve(reference) is patient) is found


@pytest.mark.parametrize(
    ("reference", "kind", "fine"),
    [
        ("Patient/p1", "collection", True),
        ("Patient/p1/_history/1", "collection", True),
        ("https://example.org/elsewhere", "collection", True),
        ("urn:oid:1.2.3.4", "collection", True),
        ("p1", "collection", False),
        ("/Patient/p1", "collection", False),
        ("p1", "transaction", False),
        ("Patient?identifier=x", "collection", False),
        ("Patient?identifier=x", "transaction", True),
        ("Patient?identifier=x", "batch", True),
    ],
)
def test_a_reference_in_a_bundle_says_type_and_id_or_what_a_server_is_to_search(
    plain: Validator, reference: str, kind: str, fine: bool
) -> None:
    referring = {**OBSERVATION, "subject": {"reference": reference}}
    request = {"request": {"method": "PUT", "url": "Observation/o1"}} if kind != "collection" else {}
    found = rules(plain, bundle(kind, entry(referring, **request)))
    place = "Bundle.entry[0].resource.subject.reference"
    assert found == (set() if fine else {("reference-format", place)})
    assert rules(plain, referring) == set()
