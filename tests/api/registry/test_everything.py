"""$everything of a patient, a subject and the study: complete, in pages that fit together, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.release.agreement import TYPES
from tests.api.registry.conftest import Serve
from tests.api.registry.exporting import withdraw
from tests.api.registry.serving import Registry, refusal
from tests.mappings.cases import GOLDEN

OF_PEOPLE = ("Patient", "Consent", "ResearchSubject", "BodyStructure", "Observation", "DiagnosticReport", "Provenance")


def pages(registry: Registry, path: str, **named: Any) -> list[dict[str, Any]]:
    found = []
    while path:
        bundle = registry.get(path, **named)
        assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "searchset")
        found.append(bundle)
        path = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
    return found


def entries(registry: Registry, path: str, **named: Any) -> dict[str, set[str]]:
    """Return the names of what is found, by mode."""
    found: dict[str, list[str]] = {"match": [], "include": []}
    for bundle in pages(registry, path, **named):
        for entry in bundle.get("entry", ()):
            name = f"{entry['resource']['resourceType']}/{entry['resource']['id']}"
            assert entry["fullUrl"].endswith(name)
            found[entry["search"]["mode"]].append(name)
    assert all(len(names) == len(set(names)) for names in found.values()), "nothing comes twice"
    return {mode: set(names) for mode, names in found.items()}


def with_provenances(registry: Registry) -> None:
    """Say of every Observation where it came from, as results that were pulled have it."""
    golden = fhirjson.loads((GOLDEN / "result-provenance.json").read_bytes())
    patient = golden["extension"][0] | {}
    made = []
    for number, stored in enumerate(registry.store.iterate("nct07120750", types=["Observation"])):
        who = patient | {"valueReference": {"reference": f"Patient/{stored.compartment}"}}
        about = {"id": f"prov-{number}", "extension": [who], "target": [{"reference": f"Observation/{stored.id}"}]}
        made.append(golden | about)
    registry.put(*made, rank=90)


def of(registry: Registry, patient: str) -> set[str]:
    """Return the names of all that is of a patient, found one by one."""
    found = {f"Patient/{patient}"}
    for type_ in ("Consent", "ResearchSubject", "BodyStructure", "Observation", "DiagnosticReport"):
        found |= {f"{type_}/{one['id']}" for one in registry.every(f"{type_}?patient=Patient/{patient}&_count=1000")}
    about = registry.every("Provenance?_count=1000")
    return found | {f"Provenance/{one['id']}" for one in about if {part["reference"] for part in one["target"]} & found}


def test_everything_of_a_patient_is_all_that_searches_find_of_it_and_of_nobody_else(registry: Registry) -> None:
    with_provenances(registry)
    for patient in [one["id"] for one in registry.every("Patient")][:3]:
        found = entries(registry, f"Patient/{patient}/$everything?_count=7")
        assert found["match"] == of(registry, patient)
        assert {name.split("/")[0] for name in found["include"]} == {
            "Organization",
            "Location",
            "Group",
            "ResearchStudy",
        }


def test_the_patient_comes_first(registry: Registry) -> None:
    patient = registry.one("Patient")["id"]
    bundle = registry.get(f"Patient/{patient}/$everything?_count=1")
    assert bundle["entry"][0]["resource"]["id"] == patient
    assert bundle["link"][0]["url"].endswith(f"/Patient/{patient}/$everything?_count=1")


def test_a_subject_has_what_its_patient_has(registry: Registry) -> None:
    subject = registry.one("ResearchSubject")
    patient = subject["individual"]["reference"]
    by_subject = entries(registry, f"ResearchSubject/{subject['id']}/$everything")
    assert by_subject == entries(registry, f"{patient}/$everything")
    first = registry.get(f"ResearchSubject/{subject['id']}/$everything?_count=1")
    assert first["entry"][0]["resource"]["id"] == subject["id"]


def test_everything_of_the_study_is_everything_there_is(registry: Registry) -> None:
    found = entries(registry, f"ResearchStudy/{registry.one('ResearchStudy')['id']}/$everything?_count=1000")
    every = {f"{type_}/{one['id']}" for type_ in TYPES for one in registry.every(f"{type_}?_count=1000")}
    assert found == {"match": every, "include": set()}


def test_pages_hold_what_is_asked_for_and_go_on_in_one_state_while_data_change(registry: Registry) -> None:
    patient = registry.one("Patient")["id"]
    whole = entries(registry, f"Patient/{patient}/$everything?_count=1000")
    first = registry.get(f"Patient/{patient}/$everything?_count=10")
    assert len(first["entry"]) == 10
    changed = [one.resource() for one in registry.store.iterate("nct07120750", types=["Observation"])]
    registry.put(*(one | {"status": "amended"} for one in changed))
    rest = entries(registry, next(link["url"] for link in first["link"] if link["relation"] == "next"))
    names = {f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in first["entry"]}
    assert names | rest["match"] == whole["match"]


def test_types_and_since_and_dates_choose(registry: Registry) -> None:
    with_provenances(registry)
    patient = registry.one("Patient")["id"]
    path = f"Patient/{patient}/$everything"
    by_type = entries(registry, f"{path}?_type=Patient,Observation")
    assert {name.split("/")[0] for name in by_type["match"] | by_type["include"]} == {"Patient", "Observation"}
    later = entries(registry, f"{path}?_since=2026-03-01T12:00:00.001Z")
    assert {name.split("/")[0] for name in later["match"] | later["include"]} == {"Provenance"}
    assert entries(registry, f"{path}?_since=2026-03-01")["match"] == of(registry, patient)

    dates = sorted(
        one["effectiveDateTime"][:10] for one in registry.every(f"Observation?patient={patient}&_count=1000")
    )
    start, end = dates[len(dates) // 3], dates[len(dates) // 2]
    found = entries(registry, f"{path}?start={start}&end={end}")["match"]
    observations = {name for name in found if name.startswith("Observation/")}
    expected = registry.every(f"Observation?patient={patient}&date=ge{start}&date=le{end}&_count=1000")
    assert observations == {f"Observation/{one['id']}" for one in expected}
    assert 0 < len(observations) < len(dates)
    assert f"Patient/{patient}" in found
    for one in registry.every("Provenance?_count=1000"):
        about = {target["reference"] for target in one["target"]}
        assert (f"Provenance/{one['id']}" in found) == bool(about & observations)
    assert len([name for name in found if name.startswith("Provenance/")]) == len(observations)


def test_post_asks_the_same_by_parameters(registry: Registry) -> None:
    path = f"Patient/{registry.one('Patient')['id']}/$everything"
    given = [{"name": "_type", "valueCode": "Observation"}, {"name": "_count", "valueInteger": 3}]
    headers = {"Content-Type": "application/fhir+json"}
    posted = registry.get(path, method="POST", json={"resourceType": "Parameters", "parameter": given}, headers=headers)
    got = registry.get(f"{path}?_type=Observation&_count=3")
    assert posted["entry"] == got["entry"]
    assert len(posted["entry"]) == 3
    following = next(link["url"] for link in posted["link"] if link["relation"] == "next")
    assert len(registry.get(following)["entry"]) == 3


def test_a_token_gets_only_what_it_may_read_and_search(registry: Registry) -> None:
    path = f"Patient/{registry.one('Patient')['id']}/$everything"
    found = entries(registry, path, scope="system/Patient.rs system/Observation.rs system/Consent.r")
    assert {name.split("/")[0] for name in found["match"] | found["include"]} == {"Patient", "Observation"}
    assert refusal(registry.ask(path, scope="system/Observation.rs")) == (403, "forbidden")
    assert refusal(registry.ask(f"{path}?_type=Consent", scope="system/Patient.rs")) == (403, "forbidden")


def test_who_is_unknown_of_another_registry_or_withdrew_is_equally_not_there(registry: Registry) -> None:
    mine, theirs = registry.one("Patient")["id"], registry.one("Patient", client="c2")["id"]
    withdraw(registry, mine)
    answers = [registry.ask(f"Patient/{id}/$everything") for id in ("nobody", theirs, mine, "a" * 64, "..")]
    assert {refusal(answer) for answer in answers[:4]} == {(404, "not-found")}
    assert len({answer.text for answer in answers[:4]}) == 1
    assert answers[4].status_code in (400, 404, 405)


def test_who_withdraws_between_two_pages_is_on_no_later_one(registry: Registry) -> None:
    patient = registry.one("Patient")["id"]
    first = registry.get(f"Patient/{patient}/$everything?_count=5")
    withdraw(registry, patient)
    following = next(link["url"] for link in first["link"] if link["relation"] == "next")
    assert refusal(registry.ask(following))[0] == 404
    study = f"ResearchStudy/{registry.one('ResearchStudy')['id']}/$everything?_count=1000"
    assert patient not in str(pages(registry, study))


@pytest.mark.parametrize(
    "query",
    [
        "_since=2026-99",
        "_count=x",
        "_count=1&_count=2",
        "_type=Condition",
        "start=yesterday",
        "_page=nonsense",
        "_page=WzEsIngiXQ",
    ],
)
def test_what_makes_no_sense_is_refused(registry: Registry, query: str) -> None:
    assert refusal(registry.ask(f"Patient/{registry.one('Patient')['id']}/$everything?{query}"))[0] == 400


def test_a_total_is_given_as_the_agreement_shows_it(serve: Serve) -> None:
    registry = serve()
    patient = registry.one("Patient")["id"]
    bundle = registry.get(f"Patient/{patient}/$everything?_count=1")
    assert bundle["total"] == len(of(registry, patient))
    study = registry.get(f"ResearchStudy/{registry.one('ResearchStudy')['id']}/$everything?_count=1")
    assert study["total"] == sum(len(registry.every(f"{type_}?_count=1000")) for type_ in TYPES)


def test_every_page_is_on_record_with_whose_records_it_gave(registry: Registry) -> None:
    patient = registry.one("Patient")["id"]
    registry.get(f"Patient/{patient}/$everything?_count=10")
    last = registry.recorded[-1]
    assert (last.interaction, last.operation, last.records, dict(last.people)) == (
        "operation",
        "everything",
        10,
        {patient: 10},
    )
