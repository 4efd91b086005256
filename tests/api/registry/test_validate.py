"""$validate over HTTP: any resource, against any profile that is known, with a token alone and without a trace."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from werkzeug.test import TestResponse

from fhirbridge import fhirjson
from tests.api.registry.exporting import withdraw
from tests.api.registry.serving import Registry, refusal
from tests.mappings.cases import GOLDEN

FHIR = {"Content-Type": "application/fhir+json"}
PROFILE = "https://fhirbridge.github.io/fhir/StructureDefinition"


def patient(**changed: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "gender": "female", "birthDate": "1970-01-01"} | changed


def validated(registry: Registry, path: str, body: Any, status: int = 200, **named: Any) -> list[dict[str, Any]]:
    """Return the issues that are found."""
    answer = registry.ask(path, method="POST", data=fhirjson.dumps(body), headers=FHIR, **named)
    assert answer.status_code == status, answer.text
    assert answer.content_type == "application/fhir+json"
    found = fhirjson.loads(answer.data)
    assert found["resourceType"] == "OperationOutcome"
    return found["issue"]


def errors(issues: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [one for one in issues if one["severity"] in ("error", "fatal")]


def test_a_right_resource_is_right_and_a_wrong_one_is_told_where(registry: Registry) -> None:
    assert not errors(validated(registry, "Patient/$validate", patient()))
    (wrong,) = errors(validated(registry, "Patient/$validate", patient(gender="f")))
    assert "Patient.gender" in wrong["expression"]


@pytest.mark.parametrize("path", ["$validate", "Patient/$validate", "Patient/x1/$validate"])
def test_it_is_asked_of_the_service_a_type_or_one_resource(registry: Registry, path: str) -> None:
    assert not errors(validated(registry, path, patient(id="x1")))
    assert errors(validated(registry, path, patient(id="x1", birthDate="1970-13-01")))


def test_types_that_are_not_served_are_validated_too(registry: Registry) -> None:
    assert errors(validated(registry, "Condition/$validate", {"resourceType": "Condition"}))
    body = b'{"resourceType":"Nonsense"}'
    assert refusal(registry.ask("Nonsense/$validate", method="POST", data=body, headers=FHIR)) == (404, "not-found")


def test_parameters_name_resource_profile_and_mode(registry: Registry) -> None:
    golden = fhirjson.loads((GOLDEN / "patient.json").read_bytes())
    given = [{"name": "resource", "resource": golden}, {"name": "profile", "valueUri": f"{PROFILE}/trial-patient"}]
    body = {"resourceType": "Parameters", "parameter": given}
    by_profile = validated(registry, "Patient/$validate", body)
    assert by_profile == validated(registry, f"Patient/$validate?profile={PROFILE}/trial-patient", golden)
    other = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": patient()}, given[1]]}
    assert errors(validated(registry, "Patient/$validate", other))


def test_a_question_that_cannot_be_answered_is_400(registry: Registry) -> None:
    for path, body in (
        ("Patient/$validate?mode=nonsense", patient()),
        (f"Patient/$validate?profile={PROFILE}/nonsense", patient()),
        ("Patient/$validate", {"resourceType": "Parameters", "parameter": [{"name": "nonsense", "valueCode": "x"}]}),
    ):
        assert validated(registry, path, body, 400)


def test_mode_update_and_delete_know_that_nothing_is_written_here(registry: Registry) -> None:
    assert errors(validated(registry, "Patient/x1/$validate?mode=update", patient(id="x2")))
    (issue,) = validated(registry, "Patient/x1/$validate?mode=delete", patient())
    assert (issue["severity"], issue["code"]) == ("error", "not-supported")


def test_what_is_released_is_held_against_a_profile_if_the_token_may_read_it(registry: Registry) -> None:
    id = registry.one("Patient")["id"]
    path = f"Patient/{id}/$validate?mode=profile&profile={PROFILE}/trial-patient"
    assert not errors(registry.get(path)["issue"])
    assert dict(registry.recorded[-1].people) == {id: 1}
    assert refusal(registry.ask(path, scope="system/Observation.rs")) == (403, "forbidden")
    withdraw(registry, id)
    answers = [registry.ask(path.replace(id, one)) for one in (id, "nobody")]
    assert [answer.status_code for answer in answers] == [400, 400]
    assert answers[0].text.replace(id, "X") == answers[1].text.replace("nobody", "X")


def test_a_token_is_enough_and_needed(registry: Registry) -> None:
    assert not errors(validated(registry, "Patient/$validate", patient(), scope="system/Observation.r"))
    answer = registry.ask("Patient/$validate", method="POST", data=b"{}", headers=FHIR, client=None)
    assert refusal(answer) == (401, "login")


def test_a_key_that_comes_twice_is_an_error(registry: Registry) -> None:
    body = b'{"resourceType":"Patient","gender":"female","gender":"male"}'
    answer = registry.ask("Patient/$validate", method="POST", data=body, headers=FHIR)
    assert errors(fhirjson.loads(answer.data)["issue"])


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/fhir+json", 400),
        (b"", "application/fhir+json", 400),
        (b"\xff", "application/fhir+json", 400),
        (b"[" * 100_000, "application/fhir+json", 400),
        (b"5", "application/fhir+json", 200),
        (b"<Patient/>", "application/fhir+xml", 400),
        (b"a Patient", "text/plain", 415),
        (b" " * 1_100_000, "application/fhir+json", 413),
    ],
    ids=["cut", "nothing", "not UTF-8", "deep", "a number", "XML", "text", "too long"],
)
def test_a_body_that_cannot_be_read_is_told_in_fhir(registry: Registry, body: bytes, kind: str, status: int) -> None:
    answer: TestResponse = registry.ask("Patient/$validate", method="POST", data=body, headers={"Content-Type": kind})
    assert refusal(answer)[0] == status


def test_nothing_of_what_is_validated_is_stored_logged_or_on_record(
    registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    before = registry.store.counts("nct07120750")
    secret = "Zebedee-Quux"
    validated(registry, "Patient/$validate", patient(name=[{"family": secret}], gender=secret))
    assert registry.store.counts("nct07120750") == before
    assert secret not in caplog.text
    access = registry.recorded[-1]
    assert (access.operation, access.status, access.records) == ("validate", 200, 0)
    registry.trail.close()
    trail = b"".join(path.read_bytes() for path in (registry.folder / "audit").iterdir())
    assert secret.encode() not in trail
    assert secret not in access.query
