"""Push after a subject withdrew: what is stopped, retracted or deleted, by the policy of the settings."""

from __future__ import annotations

import pytest

from fhirbridge.errors import Resource
from fhirbridge.sync.desired import retracted
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed


def consent(make, patient: str, status: str) -> tuple[int, Resource]:
    return 15, {
        "resourceType": "Consent",
        "id": f"{patient}-consent",
        "meta": make.meta(),
        "status": status,
        "patient": {"reference": f"Patient/{patient}"},
    }


@pytest.fixture
def server(breakable):
    breakable.says(versioning="versioned-update", kinds=("Patient", "Observation", "ResearchStudy", "Consent"))
    return breakable


@pytest.fixture
def withdraw(store, put, make, server):
    """Two subjects pushed; then the first withdraws, and new results come for both."""

    def after(**options) -> dict[str, int]:
        put(make.cohort(2))
        put([consent(make, f"trial-p00{number}", "active") for number in range(2)])
        with server.connected() as hospital:
            assert pushed(store, hospital).complete
            put([consent(make, "trial-p000", "inactive")])
            put([(20, make.observation(f"new-{number}", f"trial-p00{number}")) for number in range(2)])
            report = pushed(store, hospital, **options)
            assert report.complete, report.as_dict()
            assert pushed(store, hospital, **options).requests == 0
        return dict(report.fates)

    return after


def test_stop_tells_of_the_withdrawal_and_sends_nothing_more_of_the_subject(withdraw, server) -> None:
    assert withdraw(withdrawal="stop") == {"unchanged": 8, "updated": 1, "created": 1, "withheld": 1}
    assert server.kept["Consent/trial-p000-consent"]["status"] == "inactive"
    assert server.kept["Observation/trial-p000-0"]["status"] == "final"
    assert "Observation/new-0" not in server.kept
    assert "Observation/new-1" in server.kept


def test_retract_marks_what_was_sent_as_entered_in_error_and_keeps_the_others_subjects(withdraw, server) -> None:
    fates = withdraw(withdrawal="retract")
    assert fates == {"unchanged": 6, "updated": 1, "created": 1, "retracted": 2, "withheld": 1}
    assert {server.kept[f"Observation/trial-p000-{of}"]["status"] for of in range(2)} == {"entered-in-error"}
    assert server.kept["Observation/trial-p001-0"]["status"] == "final"
    assert "Observation/new-0" not in server.kept


def test_delete_takes_everything_of_the_subject_away_the_patient_last(withdraw, server) -> None:
    fates = withdraw(withdrawal="delete")
    assert fates == {"unchanged": 5, "created": 1, "deleted": 4, "withheld": 1}
    assert not [url for url in server.kept if "p000" in url]
    deleted = [write["url"] for write in server.writes if write["method"] == "DELETE"]
    assert deleted[-1] == "Patient/trial-p000"


@pytest.mark.parametrize("policy", ["stop", "retract", "delete"])
def test_of_a_subject_who_withdrew_before_anything_was_sent_nothing_is_sent(store, put, make, server, policy) -> None:
    """Not even the Consent, which would refer to a Patient that is not there."""
    server.needs_targets = True
    put(make.cohort(2))
    put([consent(make, "trial-p000", "inactive")])
    with server.connected() as hospital:
        report = pushed(store, hospital, withdrawal=policy)
    assert report.complete
    assert dict(report.fates) == {"created": 4, "withheld": 4}
    assert not [url for url in server.kept if "p000" in url]


def test_a_consent_given_again_brings_everything_back(withdraw, store, put, make, server) -> None:
    withdraw(withdrawal="retract")
    put([consent(make, "trial-p000", "active")])
    with server.connected() as hospital:
        report = pushed(store, hospital, withdrawal="retract")
    assert report.complete
    assert {server.kept[f"Observation/trial-p000-{of}"]["status"] for of in range(2)} == {"final"}
    assert "Observation/new-0" in server.kept


def test_a_foreign_edit_is_not_retracted_over(store, put, make, server) -> None:
    put(make.cohort(1))
    put([consent(make, "trial-p000", "active")])
    with server.connected() as hospital:
        pushed(store, hospital)
        server.put(make.observation("trial-p000-0", "trial-p000", "9.99"))
        put([consent(make, "trial-p000", "inactive")])
        report = pushed(store, hospital, withdrawal="delete")
        assert report.fates["conflict"] == 1
    assert "Observation/trial-p000-0" in server.kept
    assert store.conflict(BASE, "Observation", "trial-p000-0").kind == "edited"


def test_a_condition_entered_in_error_has_no_clinical_status() -> None:
    condition = {"resourceType": "Condition", "id": "c", "clinicalStatus": {"coding": [{"code": "active"}]}}
    assert "clinicalStatus" not in retracted(condition)
    assert retracted(condition)["verificationStatus"]["coding"][0]["code"] == "entered-in-error"


def test_a_type_that_cannot_say_so_is_left_as_it_is() -> None:
    provenance = {"resourceType": "Provenance", "id": "p"}
    assert retracted(provenance) == provenance
