"""What a registry sees of each resource, and above all what it does not."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import ConfigurationError, Resource
from fhirbridge.release.agreement import TYPES, Agreement
from fhirbridge.release.kinds import PUBLIC
from fhirbridge.release.letting import LET_OUT
from fhirbridge.release.view import View, patient_of, stamped
from fhirbridge.validation import Validator
from tests.mappings.cases import GOLDEN_FILES, ROOT, STUDY
from tests.release.conftest import KEY, MakeView, leaves, released

HIDDEN = {
    "Observation": {"code.coding.display", "note.text"},
    "DiagnosticReport": {"conclusion"},
    "Provenance": {"reason.text"},
}
"""Elements of our own resources that no registry sees by default; everything else is let out, as the view has it.

The display of an Observation's code is that of a laboratory's file (``measured``), unless the view is given its words.
"""

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@pytest.fixture(scope="module")
def validator() -> Validator:
    return Validator.load([ROOT / "profiles"])


def test_every_type_that_can_be_agreed_upon_has_a_table_of_what_is_let_out() -> None:
    assert set(LET_OUT) == set(TYPES)


def test_which_elements_of_our_resources_are_hidden(view: MakeView, goldens: dict[str, Resource]) -> None:
    hidden: dict[str, set[str]] = {}
    for resource in goldens.values():
        seen = released(view(), resource)
        gone = {path for path, _ in leaves(resource)} - {path for path, _ in leaves(seen)}
        gone -= {"meta.versionId", "meta.lastUpdated", "meta.source"}
        if gone:
            hidden.setdefault(resource["resourceType"], set()).update(gone)
    assert hidden == HIDDEN


@pytest.mark.parametrize("file", GOLDEN_FILES)
@pytest.mark.parametrize("rules", [{}, {"birth_date": "five-years", "deceased": "year"}, {"deceased": "hide"}])
def test_what_is_released_still_follows_its_profile(
    file: str, rules: dict[str, str], view: MakeView, goldens: dict[str, Resource], validator: Validator
) -> None:
    seen = released(view(**rules), goldens[file])
    assert seen["meta"]["profile"] == goldens[file]["meta"]["profile"]
    outcome = validator.validate(stamped(seen, 1, "2026-03-01T00:00:00Z"))
    assert [issue for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")] == []


def test_no_id_date_number_name_or_address_of_a_person_survives(view: MakeView, goldens: dict[str, Resource]) -> None:
    secrets: set[str] = set()
    for resource in goldens.values():
        if resource["resourceType"] in PUBLIC:
            continue
        secrets |= {resource["id"], "SZ-0001", "SZ-0002", "SZ-0003", "li.wei", "hospital.example", "08:15:30.123"}
        for path, value in leaves(resource):
            if isinstance(value, str) and (
                path.startswith(("identifier.value", "note", "conclusion", "reason")) and "Code" not in path
            ):
                secrets.add(value)
            if isinstance(value, str) and "/" in value and path.endswith(".reference"):
                secrets |= {value.split("/")[-1]} if value.split("/")[0] not in PUBLIC else set()
    for file, resource in goldens.items():
        if resource["resourceType"] in PUBLIC:
            continue
        text = fhirjson.dumps(released(view(), resource)).decode()
        assert [secret for secret in secrets if secret in text] == [], file
        dates = {found for _, value in leaves(resource) if isinstance(value, str) for found in _DATE.findall(value)}
        moved = {found for _, value in leaves(released(view(), resource)) if isinstance(value, str)
                   for found in _DATE.findall(value)}  # fmt: skip
        assert not dates & moved, file


def test_references_between_released_resources_lead_to_each_other(view: MakeView, goldens: dict[str, Resource]) -> None:
    north = view()
    patient, subject, consent, result, report, lesion, looked_at = (
        released(north, goldens[file])
        for file in ("patient", "research-subject", "consent", "hbv-dna", "mri-report", "liver-lesion", "lirads-lesion")
    )
    assert subject["individual"] == {"reference": f"Patient/{patient['id']}"}
    assert consent["patient"] == result["subject"] == report["subject"] == lesion["patient"] == subject["individual"]
    assert subject["consent"] == {"reference": f"Consent/{consent['id']}"}
    assert looked_at["focus"] == [{"reference": f"BodyStructure/{lesion['id']}"}]
    assert {"reference": f"Observation/{looked_at['id']}"} in report["result"]
    assert subject["study"] == {"reference": f"ResearchStudy/{STUDY.id}"}
    assert patient_of(result) == patient["id"] == north.patient(goldens["patient"]["id"])


def test_two_registries_have_no_name_in_common_and_not_one_shift(view: MakeView, goldens: dict[str, Resource]) -> None:
    north, south = view(), view(registry="south")
    ids = {file for file in goldens if goldens[file]["resourceType"] not in PUBLIC}
    for file in ids:
        one, other = released(north, goldens[file]), released(south, goldens[file])
        names = [
            {value for path, value in leaves(seen) if path == "id" or path.endswith(("identifier.value", ".reference"))}
            for seen in (one, other)
        ]
        assert {name for name in names[0] & names[1] if name.split("/")[0] not in PUBLIC} == set()
    patients = [f"p{number}" for number in range(50)]
    assert [north.names.days(one, 180) for one in patients] != [south.names.days(one, 180) for one in patients]


def test_two_agreements_of_one_registry_share_its_pseudonyms(view: MakeView, goldens: dict[str, Resource]) -> None:
    one, other = (released(view(id=id), goldens["hbv-dna"]) for id in ("north-a", "north-b"))
    assert one == other


def test_another_release_key_gives_other_names(view: MakeView, goldens: dict[str, Resource]) -> None:
    one, other = (released(view(key=key), goldens["patient"]) for key in (KEY, bytes(range(32))))
    assert one["id"] != other["id"]


def test_released_again_a_resource_is_the_same(view: MakeView, goldens: dict[str, Resource]) -> None:
    for resource in goldens.values():
        before = fhirjson.dumps(resource)
        assert fhirjson.dumps(released(view(), resource)) == fhirjson.dumps(released(view(), resource))
        assert fhirjson.dumps(resource) == before


def test_each_label_stands_once_and_says_what_was_done(view: MakeView, goldens: dict[str, Resource]) -> None:
    def said(resource: Resource, **rules: Any) -> list[str]:
        seen = released(view(**rules), resource)
        return [label["code"] for label in seen["meta"].get("security", ())]

    assert said(goldens["hbv-dna"]) == ["PSEUDED", "CRYTOHASH", "ABSTRED", "REDACTED", "R"]
    assert said(goldens["liver-lesion"]) == ["PSEUDED", "CRYTOHASH", "R"]
    assert said(goldens["consent"], shift_days=0) == ["PSEUDED", "CRYTOHASH", "R"]
    assert said(goldens["patient"]) == ["PSEUDED", "CRYTOHASH", "ABSTRED", "R"]
    assert said(goldens["organization"]) == []
    again = released(view(), goldens["hbv-dna"])
    twice = {**goldens["hbv-dna"], "meta": again["meta"]}
    assert Counter(said(twice)) == Counter(said(goldens["hbv-dna"]))


def test_an_element_that_nobody_let_out_is_hidden_and_labelled(view: MakeView, goldens: dict[str, Resource]) -> None:
    for name, value in (
        ("performer", [{"reference": "Practitioner/7", "display": "Li Wei"}]),
        ("text", {"status": "generated", "div": "<div>Li Wei</div>"}),
        ("contained", [{"resourceType": "Patient", "name": [{"family": "Li"}]}]),
        ("language", "zh"),
        ("_status", {"extension": [{"url": "x", "valueString": "Li Wei"}]}),
        ("modifierExtension", [{"url": "https://hospital.example/x", "valueString": "Li Wei"}]),
        ("extension", [{"url": "https://hospital.example/ward", "valueString": "Ward 7"}]),
        ("valueAttachment", {"url": "https://hospital.example/scan.dcm"}),
    ):
        seen = released(view(), {**goldens["consent"], name: value})
        assert name not in seen
        assert "REDACTED" in [label["code"] for label in seen["meta"]["security"]]


def test_codes_of_the_hospital_and_free_text_beside_codes_are_hidden(
    view: MakeView, goldens: dict[str, Resource]
) -> None:
    code = {
        "coding": [
            {"system": "http://loinc.org", "code": "42595-9", "display": "HBV DNA of Li Wei"},
            {"system": "https://hospital.example/codes", "code": "17", "display": "HBV DNA"},
        ],
        "text": "HBV DNA of Li Wei",
    }
    seen = released(view(), {**goldens["hbv-dna"], "code": code, "specimen": {"display": "tube of Li Wei"}})
    assert seen["code"] == {"coding": [{"system": "http://loinc.org", "code": "42595-9"}]}
    assert "specimen" not in seen


def test_a_value_in_words_is_masked_and_not_missing(
    view: MakeView, goldens: dict[str, Resource], validator: Validator
) -> None:
    rest = {name: value for name, value in goldens["hbv-dna"].items() if name != "valueQuantity"}
    told = {
        **rest,
        "meta": {**rest["meta"], "profile": [rest["meta"]["profile"][0].replace("hbv-dna", "laboratory-result")]},
    }
    told["valueString"] = "haemolytic, drawn by Li Wei"
    seen = released(view(), told)
    assert "valueString" not in seen
    assert seen["dataAbsentReason"]["coding"][0]["code"] == "masked"
    assert [one for one in validator.validate(seen)["issue"] if one["severity"] in ("error", "fatal")] == []


def test_free_text_is_let_out_where_the_agreement_lists_it(view: MakeView, goldens: dict[str, Resource]) -> None:
    seen = released(view(shift_days=0, texts=("note",)), goldens["hbv-dna"])
    report = released(view(shift_days=0, texts=("note",)), goldens["mri-report"])
    assert seen["note"] == goldens["hbv-dna"]["note"]
    assert "conclusion" not in report


def test_a_provenance_tells_neither_the_hospital_nor_who_nor_which_run(
    view: MakeView, goldens: dict[str, Resource]
) -> None:
    policies = {f"{STUDY.system('mapping')}", f"{STUDY.system('policy')}"}
    for file in (file for file in goldens if file.startswith("result-provenance")):
        seen = released(view(), goldens[file])
        assert set(seen["policy"]) <= policies
        assert {agent["who"]["display"] for agent in seen["agent"]} <= {"policy", "study staff", "fhirbridge"}
        source = seen["entity"][0]["what"]["identifier"]
        assert source["system"] == STUDY.system("source")
        assert re.fullmatch("[a-z2-7]{32}", source["value"])


def test_versions_of_one_source_stay_apart(view: MakeView, goldens: dict[str, Resource]) -> None:
    sources = {}
    for file in ("result-provenance", "result-provenance-taken-back"):
        seen = released(view(), goldens[file])
        sources[goldens[file]["entity"][0]["what"]["identifier"]["value"]] = seen["entity"][0]["what"]["identifier"][
            "value"
        ]
    assert len(set(sources.values())) == len(sources)


def test_what_is_of_nobody_of_another_study_or_not_agreed_upon_is_not_released(
    view: MakeView, goldens: dict[str, Resource]
) -> None:
    result = goldens["hbv-dna"]
    assert view().release({**result, "subject": {"reference": "Group/g1"}}) is None
    assert view().release({**result, "subject": {"reference": "https://hospital.example/Patient/17"}}) is None
    assert view().release({**result, "meta": {**result["meta"], "tag": []}}) is None
    other = [{**result["meta"]["tag"][0], "code": "other"}]
    assert view().release({**result, "meta": {**result["meta"], "tag": other}}) is None
    assert view(types=("Patient",), scopes=("system/Patient.rs",)).release(result) is None
    assert view().release({"resourceType": "Practitioner", "id": "1", "meta": result["meta"]}) is None
    assert view().release({"resourceType": "Bundle"}) is None


def test_an_agreement_of_another_study_makes_no_view(view: MakeView) -> None:
    with pytest.raises(ConfigurationError, match="study is 'other', but this is 'nct07120750'"):
        view(study="other")


def test_a_birth_date_is_coarsened_whatever_the_store_holds(view: MakeView, goldens: dict[str, Resource]) -> None:
    born = {**goldens["patient"], "birthDate": "1974-03-14"}
    year, band = released(view(), born), released(view(birth_date="five-years"), born)
    assert (year["birthDate"], band["birthDate"]) == ("1974", "1970")


def test_a_death_is_told_as_the_agreement_says(view: MakeView, goldens: dict[str, Resource]) -> None:
    died = goldens["patient-deceased"]
    day, year, hidden = (released(view(deceased=rule), died) for rule in ("day", "year", "hide"))
    moved = dt.date.fromisoformat(day["deceasedDateTime"]) - dt.date(2028, 2, 29)
    assert 0 < abs(moved.days) <= 180
    assert year["deceasedDateTime"] == day["deceasedDateTime"][:4]
    assert "deceasedDateTime" not in hidden


def test_the_version_and_last_update_are_those_of_the_release(view: MakeView, goldens: dict[str, Resource]) -> None:
    seen = released(view(), goldens["hbv-dna"])
    assert {"versionId", "lastUpdated", "source"} & seen["meta"].keys() == set()
    meta = stamped(seen, 2, "2026-04-01T00:00:00Z")["meta"]
    assert (meta["versionId"], meta["lastUpdated"]) == ("2", "2026-04-01T00:00:00Z")
    assert meta["profile"] == goldens["hbv-dna"]["meta"]["profile"]


def test_decimals_keep_their_digits(view: MakeView, goldens: dict[str, Resource]) -> None:
    assert b"5.50E+3" in fhirjson.dumps(released(view(), goldens["hbv-dna"]))


def test_a_damaged_resource_is_hidden_where_it_is_damaged(view: MakeView, goldens: dict[str, Resource]) -> None:
    assert view().release({"resourceType": "Patient", "id": 5, "meta": []}) is None
    seen = released(view(), {**goldens["patient"], "identifier": "x", "gender": 3, "birthDate": ["1971", 7]})
    assert "identifier" not in seen
    assert "gender" not in seen
    assert seen["birthDate"] == ["1971"]


def test_words_of_the_laboratories_files_can_be_let_out(agreement: Agreement, goldens: dict[str, Resource]) -> None:
    display = goldens["hbv-dna-in-copies"]["code"]["coding"][0]["display"]
    for words, seen in ((), None), ((display,), display):
        result = released(View(agreement, STUDY, KEY, words), goldens["hbv-dna-in-copies"])
        assert result["code"]["coding"][0].get("display") == seen


def test_every_date_of_a_person_moves_by_the_same_days_in_every_resource(
    view: MakeView, goldens: dict[str, Resource]
) -> None:
    moves = set()
    for resource in goldens.values():
        if patient_of(resource) != goldens["patient"]["id"]:
            continue
        before, after = dict(leaves(resource)), dict(leaves(released(view(), resource)))
        for path, value in before.items():
            if path in after and isinstance(value, str) and _DATE.match(value):
                moves.add(dt.date.fromisoformat(after[path][:10]) - dt.date.fromisoformat(value[:10]))
                assert after[path][10:] == value[10:]
    assert len(moves) == 1
    assert 0 < abs(moves.pop().days) <= 180


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("effectiveInstant", "2026-02-25T10:00:00.5+08:00"),
        ("effectivePeriod", {"start": "2026-02-25", "end": "2026-03-01T09:00:00Z"}),
        ("effectiveTiming", {"event": ["2026-02-25"], "repeat": {"boundsPeriod": {"start": "2026-02-25"}}}),
        ("valueDateTime", "2026-02-25"),
        ("valuePeriod", {"end": "2026-02-25T00:00:00Z"}),
        ("issued", "2026-02-25T10:00:00Z"),
    ],
)
def test_dates_of_every_type_are_moved(name: str, value: Any, view: MakeView, goldens: dict[str, Resource]) -> None:
    seen = released(view(), {**goldens["hbv-dna"], name: value})
    before, after = dict(leaves(value)), dict(leaves(seen[name]))
    assert before.keys() == after.keys()
    for path in before:
        assert before[path][:10] != after[path][:10]
        assert before[path][10:] == after[path][10:]
    assert "2026-02-25" not in fhirjson.dumps(seen).decode()
