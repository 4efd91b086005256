"""What a ResearchStudy says of a registry record: status, dates, phase, arms, text, people, places."""

from __future__ import annotations

import pytest

from fhirbridge.errors import MappingError
from fhirbridge.records.ctgov_record import parse
from mappings.registry_record import bundle
from mappings.registry_terms import STATUS, STILL_OPEN
from tests.mappings.registry_cases import changed, errors, extensions, mapped, raw, study, validator

TABLE = {
    "NOT_YET_RECRUITING": ("approved", "not-yet-recruiting"),
    "RECRUITING": ("active", "recruiting"),
    "ENROLLING_BY_INVITATION": ("active", "enrolling-by-invitation"),
    "ACTIVE_NOT_RECRUITING": ("closed-to-accrual", "active-but-not-recruiting"),
    "SUSPENDED": ("temporarily-closed-to-accrual", "temporarily-closed-to-accrual"),
    "COMPLETED": ("completed", "completed"),
    "TERMINATED": ("administratively-completed", "terminated"),
    "WITHDRAWN": ("withdrawn", "withdrawn"),
    "AVAILABLE": ("active", None),
    "TEMPORARILY_NOT_AVAILABLE": ("temporarily-closed-to-accrual", None),
    "NO_LONGER_AVAILABLE": ("closed-to-accrual", None),
    "APPROVED_FOR_MARKETING": ("closed-to-accrual", None),
}


@pytest.mark.parametrize(("word", "status", "code"), [(word, *said) for word, said in TABLE.items()])
def test_a_status_has_its_r4_word_and_keeps_its_own(word: str, status: str, code: str | None) -> None:
    found = study(changed("statusModule.overallStatus", word))
    current = extensions(found, "progressStatus")[0]["state"]
    assert found["status"] == status
    assert current["text"] == word
    assert [coding["code"] for coding in current.get("coding", [])] == ([code] if code else [])


def test_the_table_of_statuses_has_no_other_word() -> None:
    assert set(STATUS) == set(TABLE)


@pytest.mark.parametrize("word", STILL_OPEN)
def test_an_unknown_status_is_the_last_known_one_and_says_so(word: str) -> None:
    whole = raw()
    whole["protocolSection"]["statusModule"] |= {"overallStatus": "UNKNOWN", "lastKnownStatus": word}
    found = study(parse(whole))
    states = [state["state"]["text"] for state in extensions(found, "progressStatus") if "text" in state["state"]]
    assert found["status"] == TABLE[word][0]
    assert states[:2] == ["UNKNOWN", f"Last known status: {word}"]


@pytest.mark.parametrize("last", ["COMPLETED", "TERMINATED", "WITHDRAWN", "UNKNOWN", None])
def test_an_unknown_status_never_becomes_an_end(last: str | None) -> None:
    whole = raw()
    whole["protocolSection"]["statusModule"] |= {"overallStatus": "UNKNOWN", "lastKnownStatus": last}
    with pytest.raises(MappingError) as refused:
        bundle(parse(whole))
    assert refused.value.finding.field == "protocolSection.statusModule.lastKnownStatus"
    assert refused.value.finding.value == last


@pytest.mark.parametrize("word", ["WITHHELD", "PAUSED_FOR_REPAIRS"])
def test_a_status_that_would_be_a_guess_is_an_error_naming_it(word: str) -> None:
    with pytest.raises(MappingError, match=word) as refused:
        bundle(changed("statusModule.overallStatus", word))
    assert refused.value.finding.record == "NCT00000001"
    assert "http://hl7.org/fhir/R4/valueset-research-study-status.html" in refused.value.finding.rule


def test_why_a_study_stopped_is_kept_with_its_escapes() -> None:
    assert study(parse(raw()))["reasonStopped"] == {"text": "The lamps were recalled (n \\< 20, HR \\> 1)."}


@pytest.mark.parametrize(
    ("start", "end", "period"),
    [
        ("2025-09", "2030-12-31", {"start": "2025-09", "end": "2030-12-31"}),
        ("2025", "2030", {"start": "2025", "end": "2030"}),
        ("2025-09", "2025-09", {"start": "2025-09", "end": "2025-09"}),
        ("2025-09", "2025-09-30", {"start": "2025-09"}),
        ("2025-09-30", "2025", {"start": "2025-09-30"}),
        ("2025-09", "2025-08", {"start": "2025-09"}),
        (None, "2030-12", {"end": "2030-12"}),
        ("2025-09-01", None, {"start": "2025-09-01"}),
    ],
)
def test_dates_keep_their_precision(start: str | None, end: str | None, period: dict[str, str]) -> None:
    whole = raw()
    module = whole["protocolSection"]["statusModule"]
    module["startDateStruct"] = {"date": start, "type": "ACTUAL"} if start else None
    module["completionDateStruct"] = {"date": end, "type": "ESTIMATED"} if end else None
    found = mapped(parse(whole))
    assert found.resources[-1]["period"] == period
    assert errors(found) == []
    ends = [
        state["period"].get("end") for state in extensions(found.resources[-1], "progressStatus") if "period" in state
    ]
    assert end is None or end in ends


def test_whether_a_date_is_actual_or_estimated_is_kept() -> None:
    states = [state for state in extensions(study(parse(raw())), "progressStatus") if "period" in state]
    assert [(state["actual"], state["period"]) for state in states] == [
        (True, {"start": "2031-02"}),
        (True, {"end": "2033-01-15"}),
        (False, {"end": "2034"}),
    ]


def test_registration_dates_are_activities() -> None:
    steps = {step["activity"]["text"]: step for step in extensions(study(parse(raw())), "studyRegistration")}
    assert steps["First posted"]["actual"] is True
    assert steps["Results first posted"]["actual"] is False
    assert "actual" not in steps["First submitted"]
    assert steps["Record verified"]["period"] == {"start": "2033-05", "end": "2033-05"}


@pytest.mark.parametrize(
    ("phases", "code"),
    [
        (["EARLY_PHASE1"], "early-phase-1"),
        (["PHASE1"], "phase-1"),
        (["PHASE1", "PHASE2"], "phase-1-phase-2"),
        (["PHASE2", "PHASE1"], "phase-1-phase-2"),
        (["PHASE2", "PHASE3"], "phase-2-phase-3"),
        (["PHASE4"], "phase-4"),
        (["NA"], "n-a"),
    ],
)
def test_phases_become_one_phase(phases: list[str], code: str) -> None:
    phase = study(changed("designModule.phases", phases))["phase"]
    assert phase["coding"][0]["code"] == code
    assert phase["text"] == ", ".join(phases)


def test_a_phase_without_a_code_stays_text() -> None:
    assert study(changed("designModule.phases", ["PHASE1", "PHASE4"]))["phase"] == {"text": "PHASE1, PHASE4"}


def test_an_observational_study_has_no_phase_and_the_report_says_so() -> None:
    whole = raw("cohort")
    whole["protocolSection"]["designModule"]["phases"] = ["NA"]
    found = mapped(parse(whole))
    assert "phase" not in found.resources[-1]
    report = {each.path: each.why for each in found.unrepresented}
    assert report["protocolSection.designModule.phases[0]"] == "an observational study has no phase"


@pytest.mark.parametrize(
    ("word", "code"),
    [("SUPPORTIVE_CARE", "supportive-care"), ("TREATMENT", "treatment"), ("ECT", None), ("OTHER", None)],
)
def test_a_purpose_has_its_code_where_r4_has_one(word: str, code: str | None) -> None:
    purpose = study(changed("designModule.designInfo.primaryPurpose", word))["primaryPurposeType"]
    assert purpose["text"] == word
    assert [coding["code"] for coding in purpose.get("coding", [])] == ([code] if code else [])


def test_an_observational_study_without_arms_gets_none() -> None:
    assert "arm" not in study(parse(raw("cohort")))


def test_an_observational_study_keeps_the_cohorts_it_names() -> None:
    whole = raw("cohort")
    whole["protocolSection"]["armsInterventionsModule"] = {
        "armGroups": [{"label": "Upper valley", "description": "Above"}]
    }
    assert study(parse(whole))["arm"] == [{"name": "Upper valley", "description": "Above"}]


def test_arms_have_their_names_exactly_and_the_code_of_their_type() -> None:
    arms = study(parse(raw()))["arm"]
    assert [(arm["name"], arm["type"]["coding"][0]["code"], arm["type"]["text"]) for arm in arms] == [
        ("Amber", "experimental", "EXPERIMENTAL"),
        ("Dim", "sham-comparator", "SHAM_COMPARATOR"),
    ]


def test_an_intervention_that_only_its_arm_names_is_reported() -> None:
    whole = raw()
    del whole["protocolSection"]["armsInterventionsModule"]["interventions"][1]["armGroupLabels"]
    path = "protocolSection.armsInterventionsModule.armGroups[0].interventionNames[1]"
    assert [each.value for each in mapped(parse(whole)).unrepresented if each.path == path] == [
        "Dietary Supplement: Warm milk"
    ]


@pytest.mark.parametrize(
    ("kind", "url"), [("ESTIMATED", "recruitment.targetNumber"), ("ACTUAL", "recruitment.actualNumber")]
)
def test_enrollment_is_planned_or_reached(kind: str, url: str) -> None:
    found = study(changed("designModule.enrollmentInfo", {"count": 7, "type": kind}))
    numbers = [each for each in found["extension"] if "recruitment" in each["url"]]
    assert [(each["url"].rpartition("ResearchStudy.")[2], each["valueUnsignedInt"]) for each in numbers] == [(url, 7)]


def test_an_enrollment_of_neither_kind_is_reported() -> None:
    found = mapped(changed("designModule.enrollmentInfo", {"count": 7}))
    assert not [each for each in found.resources[-1]["extension"] if "recruitment" in each["url"]]
    assert "protocolSection.designModule.enrollmentInfo.count" in {each.path for each in found.unrepresented}


def test_outcomes_have_their_kind_and_their_time_frame() -> None:
    outcomes = extensions(study(parse(raw())), "outcomeMeasure")
    assert [(o["name"], o["type"].get("coding", [{"code": None}])[0]["code"], o["description"]) for o in outcomes] == [
        ("Hours slept", "primary", "By actigraph\n\nTime frame: First 7 nights"),
        ("Days in hospital", "secondary", "Counted at discharge\n\nTime frame: Up to 60 days"),
        ("Bulbs broken", None, "As found\n\nTime frame: Throughout the study"),
    ]


def test_text_is_kept_byte_for_byte() -> None:
    found = study(parse(raw()))
    given = raw()["protocolSection"]["descriptionModule"]
    assert found["description"] == given["detailedDescription"]
    assert [e["valueMarkdown"] for e in extensions(found, "descriptionSummary")] == [given["briefSummary"]]
    assert "R&amp;D &lt;1 year" in given["briefSummary"]


def test_without_a_detailed_description_the_summary_is_the_description() -> None:
    found = study(parse(raw("cohort")))
    assert found["description"] == "Who sleeps well in the valley?"
    assert extensions(found, "descriptionSummary") == []


def test_the_official_title_is_the_title_and_others_are_labels() -> None:
    found = study(parse(raw()))
    labels = {label["type"]["coding"][0]["code"]: label["value"] for label in extensions(found, "label")}
    assert found["title"].startswith("Amber Light Against Dim Light")
    assert labels == {"short-title": "Amber Light After Liver Surgery", "acronym": "AMBER"}
    assert study(parse(raw("cohort")))["title"] == "Sleep in Quiet Valley"


def test_identifiers_keep_their_kind_and_issuer() -> None:
    found = study(parse(raw()))["identifier"]
    assert [(each["use"], each["value"]) for each in found] == [
        ("official", "NCT00000001"),
        ("old", "NCT00000009"),
        ("secondary", "LANTERN-7"),
        ("secondary", "2031-000123-45"),
        ("secondary", "2031-512345-12-00"),
        ("secondary", "U01-778"),
        ("secondary", "JX-2031-04"),
    ]
    assert found[0]["system"] == "https://clinicaltrials.gov/nctid"
    assert found[3]["type"] == {"text": "EUDRACT_NUMBER"}
    assert found[5]["assigner"] == {"display": "Lantern Fund"}
    assert len({each["system"] for each in found[2:]}) == 5


def test_a_mesh_term_codes_only_what_has_the_same_words() -> None:
    found = study(parse(raw()))
    condition, other = found["condition"]
    assert condition["text"] == "Hepatocellular Carcinoma"
    assert condition["coding"][0]["code"] == "D006528"
    assert "coding" not in other
    assert [k["text"] for k in found["keyword"] if "coding" in k] == ["Sleep Wake Disorders", "Milk"]


def test_sponsor_collaborators_and_officials_have_their_parts() -> None:
    resources = mapped(parse(raw())).resources
    found = resources[-1]
    by_id = {f"{r['resourceType']}/{r['id']}": r for r in resources}
    assert by_id[found["sponsor"]["reference"]]["name"] == "Lantern Hospital"
    investigator = by_id[found["principalInvestigator"]["reference"]]
    assert by_id[investigator["practitioner"]["reference"]]["name"] == [{"text": "Bela Novak, MD"}]
    parties = [
        (p["role"].get("coding", [{}])[0].get("code"), p["party"]["reference"]) for p in extensions(found, "Party")
    ]
    assert [role for role, _ in parties] == ["collaborator", "collaborator", "sponsor-investigator", "study-director"]
    assert by_id[parties[2][1]]["code"][1] == {"text": "Head of Surgery"}


def test_a_site_is_a_location_of_its_facility_with_its_contacts() -> None:
    resources = mapped(parse(raw())).resources
    site = next(r for r in resources if r["resourceType"] == "Location")
    assert site["description"] == "Recruitment at this site: SUSPENDED"
    assert [str(site["position"][axis]) for axis in ("latitude", "longitude")] == ["49.8346", "18.2820"]
    contact = next(r for r in resources if r.get("location") and r["resourceType"] == "PractitionerRole")
    assert contact["location"] == [{"reference": f"Location/{site['id']}"}]
    assert contact["telecom"][0]["extension"][0]["valueString"] == "5"
    assert resources[-1]["site"][0] == {"reference": f"Location/{site['id']}"}


def test_a_site_listed_twice_is_one_location_with_both_states() -> None:
    whole = raw()
    sites = whole["protocolSection"]["contactsLocationsModule"]["locations"]
    sites.append({**sites[0], "facility": "LANTERN  hospital", "status": "RECRUITING"})
    found = mapped(parse(whole))
    locations = [r for r in found.resources if r["resourceType"] == "Location"]
    assert len(locations) == 2
    assert locations[0]["description"] == "Recruitment at this site: SUSPENDED, RECRUITING"
    hospital = next(r for r in found.resources if r.get("name") == "Lantern Hospital")
    assert hospital["alias"] == ["LANTERN  hospital"]


def test_the_contact_of_a_study_keeps_its_telephone_extension() -> None:
    [contact] = study(parse(raw()))["contact"]
    assert contact["name"] == "Trial desk"
    assert contact["telecom"][0]["value"] == "+420 555 0100"
    assert contact["telecom"][0]["extension"][0]["valueString"] == "77"


def test_a_contact_of_whom_only_the_role_is_known_is_left_out() -> None:
    assert "contact" not in study(changed("contactsLocationsModule.centralContacts", [{"role": "CONTACT"}]))


def test_what_is_false_and_what_is_not_said_are_told_apart() -> None:
    note = study(parse(raw()))["note"][-1]["text"]
    assert "isFdaRegulatedDevice: false" in note.splitlines()
    codes = [
        each["valueCodeableConcept"]["coding"][0]["code"] for each in extensions(study(parse(raw())), "classifier")
    ]
    assert codes == ["fda-regulated-drug"]
    assert "isFda" not in study(parse(raw("cohort")))["note"][-1]["text"]


def test_a_link_with_a_space_in_it_is_shown_and_no_url() -> None:
    found = mapped(changed("referencesModule.seeAlsoLinks", [{"label": "Page", "url": "see our page"}]))
    link = next(a for a in found.resources[-1]["relatedArtifact"] if a.get("label") == "Page")
    assert link == {"type": "documentation", "label": "Page", "citation": "see our page"}
    assert errors(found) == []


def test_the_profile_demands_the_registry_number() -> None:
    found = study(parse(raw()))
    found["identifier"] = [each for each in found["identifier"] if each["use"] != "official"]
    assert not validator().is_valid(found)
