"""The plan that is read before anything is sent, and the application of exactly that plan."""

from __future__ import annotations

import stat
from decimal import Decimal

import pytest

from fhirbridge.errors import InputError
from fhirbridge.sync.plan import Planner, chooser
from fhirbridge.sync.planfile import Header, SavedPlan, save
from fhirbridge.sync.push import PushOptions
from tests.sync.breakable_hospital import BASE
from tests.sync.pushing import pushed

HEADER = Header(server=BASE, study="trial", withdrawal="stop", made="2026-03-01T00:00:00Z")


@pytest.fixture
def server(breakable):
    breakable.says(versioning="versioned-update")
    return breakable


def planned(store, hospital, path=None, **options):
    planner = Planner(store, hospital, "trial", PushOptions(), **options)
    changes = [one.change for group in planner.groups() for one in group]
    assert planner.counts.balanced, planner.counts.as_dict()
    if path is not None:
        save(path, HEADER, iter(changes), planner.counts)
    return planner.counts, changes


def applied(store, hospital, path):
    """Apply as the command does: check the whole plan first, then do what it says."""
    plan, planner = SavedPlan(path), Planner(store, hospital, "trial", PushOptions())
    moved = [line for name in plan.compartments for line in planner.moved(name, plan.group(name))]
    if moved:
        return moved
    refused: list[str] = []
    report = pushed(store, hospital, compartments=plan.compartments, chosen=chooser(plan.group, refused))
    assert not refused
    return report


def test_a_plan_sends_nothing_and_counts_each_type(store, put, make, server) -> None:
    put(make.cohort(3))
    with server.connected() as hospital:
        counts, changes = planned(store, hospital)
    assert counts.by_type == {"ResearchStudy": {"create": 1}, "Patient": {"create": 3}, "Observation": {"create": 6}}
    assert (len(changes), server.writes, server.kept) == (10, [], {})


def test_an_update_is_shown_field_by_field_from_old_to_new(store, put, make, server) -> None:
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        put([(20, make.observation("trial-p000-0", "trial-p000", "6.10") | {"note": [{"text": "repeated"}]})])
        counts, [change] = planned(store, hospital)
    assert (change.action, change.version, counts.unchanged) == ("update", "1", 3)
    assert [field.as_dict() for field in change.fields] == [
        {"path": "valueQuantity.value", "old": Decimal("5.50"), "new": Decimal("6.10")},
        {"path": "note", "new": [{"text": "repeated"}]},
    ]
    assert str(change.fields[0].old) == "5.50"


def test_a_plan_sees_foreign_edits_and_deletions_before_they_are_met(store, put, make, server) -> None:
    put(make.cohort(1))
    with server.connected() as hospital:
        pushed(store, hospital)
        server.put(make.observation("trial-p000-0", "trial-p000", "9.99"))
        server.remove("Observation/trial-p000-1")
        put([(20, make.observation(f"trial-p000-{of}", "trial-p000", "6.10")) for of in range(2)])
        _, changes = planned(store, hospital)
        assert {(change.id, change.action, change.why) for change in changes} == {
            ("trial-p000-0", "conflict", "it was changed there"),
            ("trial-p000-1", "conflict", "it was deleted there"),
        }
        assert planned(store, hospital, look=False)[0].actions == {"update": 2}


def test_what_waits_for_a_person_is_in_the_plan(store, put, make, server) -> None:
    put(make.cohort(2))
    server.refuse_whole = {"Patient/trial-p000": 422}
    with server.connected() as hospital:
        pushed(store, hospital)
        counts, _ = planned(store, hospital)
    assert counts.actions == {"parked": 1, "held": 2}


def test_a_saved_plan_is_applied_as_it_was_saved_and_what_came_later_is_left_alone(
    store, put, make, server, tmp_path
) -> None:
    put(make.cohort(2))
    path = tmp_path / "plan.ndjson"
    with server.connected() as hospital:
        planned(store, hospital, path)
        put([(20, make.observation("later", "trial-p000"))])
        report = applied(store, hospital, path)
        assert (report.fates["created"], report.fates["not planned"]) == (7, 1)
        assert "Observation/later" not in server.kept


def test_a_plan_remembers_whose_a_patient_is_that_was_found_at_the_hospital(
    store, put, make, breakable, tmp_path
) -> None:
    breakable.assigns_ids = True
    breakable.says(updateCreate=False, conditionalCreate=True)
    name = {"identifier": [{"system": "urn:mrn", "value": "4711"}]}
    theirs = {"resourceType": "Patient", "id": "77", **name, "gender": "male"}
    breakable.put(theirs)
    put([(10, make.patient("p1", **name))])
    with breakable.connected() as hospital:
        assert planned(store, hospital, tmp_path / "plan.ndjson")[0].actions == {"adopt": 1}
        assert applied(store, hospital, tmp_path / "plan.ndjson").complete
        put([(10, make.patient("p1", **name, active=True))])
        assert pushed(store, hospital).requests == 0
    assert breakable.kept["Patient/77"] == theirs


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        ("ours", "Observation/trial-p000-0: our content changed since"),
        ("theirs", "Observation/trial-p000-0: it was to update, now it is to conflict (it was changed there)"),
        ("pushed", "Observation/trial-p000-0: nothing is left to update"),
    ],
)
def test_a_plan_is_refused_whole_if_the_world_moved(store, put, make, server, tmp_path, happens, said) -> None:
    put(make.cohort(1))
    path = tmp_path / "plan.ndjson"
    with server.connected() as hospital:
        pushed(store, hospital)
        put([(20, make.observation(f"trial-p000-{of}", "trial-p000", "6.10")) for of in range(2)])
        planned(store, hospital, path)
        if happens == "ours":
            put([(20, make.observation("trial-p000-0", "trial-p000", "6.20"))])
        elif happens == "theirs":
            server.put(make.observation("trial-p000-0", "trial-p000", "9.99"))
        else:
            pushed(store, hospital)
        server.writes.clear()
        assert said in applied(store, hospital, path)
    assert server.writes == []


def test_a_plan_that_was_cut_short_or_edited_is_refused(store, put, make, server, tmp_path) -> None:
    put(make.cohort(1))
    path = tmp_path / "plan.ndjson"
    with server.connected() as hospital:
        planned(store, hospital, path)
    lines = path.read_bytes().splitlines(keepends=True)
    for wrong in (lines[:-1], [*lines[:2], *lines[3:]], [lines[0], lines[1].replace(b"create", b"update"), *lines[2:]]):
        path.write_bytes(b"".join(wrong))
        with pytest.raises(InputError, match="plan"):
            SavedPlan(path)


def test_a_file_that_is_no_plan_is_refused_with_what_to_do(tmp_path) -> None:
    path = tmp_path / "no-plan"
    with pytest.raises(InputError, match="cannot read the plan"):
        SavedPlan(path)
    for text in ("", "hello", "[1]\n"):
        path.write_text(text)
        with pytest.raises(InputError, match="fhirbridge plan"):
            SavedPlan(path)


def test_a_plan_is_readable_by_its_owner_alone(store, put, make, server, tmp_path) -> None:
    put(make.cohort(1))
    with server.connected() as hospital:
        planned(store, hospital, tmp_path / "plan.ndjson")
    assert stat.S_IMODE((tmp_path / "plan.ndjson").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir() if "plan" in file.name] == ["plan.ndjson"]
