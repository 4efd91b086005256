"""The enrolment log is held against the study and against itself, and lies in the database so that nobody reads it."""

from __future__ import annotations

import datetime as dt
import itertools
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from fhirbridge.errors import ConfigurationError, StoreError
from fhirbridge.store import Store
from fhirbridge.store.instants import written
from fhirbridge.study import Study, load
from tests.databases import database_url as database_url
from tests.databases import postgresql_server as postgresql_server
from tests.sync.breakable_hospital import BreakableHospital
from tests.sync.pull.links import SUBJECTS, SYSTEM, Ward, link, person

SECRETS = [*itertools.chain.from_iterable(SUBJECTS.values()), *SUBJECTS, SYSTEM, "h-patient-1", "h-patient-2"]
HARMLESS = {"female", "male"}


@pytest.fixture(scope="module")
def study() -> Study:
    return load(Path(__file__).parents[3] / "mappings" / "studies" / "nct07120750.toml")


@pytest.fixture
def ward(store: Store, study: Study, tmp_path: Path) -> Ward:
    return Ward(store, study, tmp_path)


def test_a_log_is_imported_once_and_changes_nothing_the_second_time(ward: Ward) -> None:
    first, second = ward.imports(), ward.imports()
    assert (first.rows, first.new) == (3, 3)
    assert (second.rows, second.unchanged) == (3, 3)
    assert ward.actions("SUBJ-1") == ["imported"]
    one = ward.linked("SUBJ-1")
    assert (one.number, one.birth_date, one.sex, one.identifiers[0].value) == (
        "SUBJ-1",
        *SUBJECTS["SUBJ-1"][1:],
        "MRN-0001",
    )


def test_the_database_holds_no_number_birth_date_or_patient_of_the_hospital_in_the_clear(
    ward: Ward, breakable: BreakableHospital, database_url: str
) -> None:
    ward.imports()
    breakable.put(person("h-patient-1", "SUBJ-1", link=[link("replaces", "h-patient-2")]))
    breakable.put(person("h-patient-2", "SUBJ-1", identifier=[], birthDate=None))
    breakable.put(person("h-patient-3", "SUBJ-2", birthDate="1950-01-01"))
    with breakable.connected() as hospital:
        ward.looks(hospital)
        breakable.put(person("h-patient-1", "SUBJ-1", birthDate="1951-01-01"))
        ward.looks(hospital)
    held = everything(ward, database_url)
    assert ward.id("SUBJ-1").encode() in held, "the dump does hold the links"
    assert [word for word in SECRETS if word not in HARMLESS and word.encode() in held] == []


def everything(ward: Ward, url: str) -> bytes:
    """Return the whole database as bytes; of PostgreSQL the rows of the tables of links."""
    ward.store.close()
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        return b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.connect() as connection:
        rows = [
            *connection.execute(text("SELECT * FROM link")),
            *connection.execute(text("SELECT * FROM link_event")),
        ]
    engine.dispose()
    return b"\n".join(cell if isinstance(cell, bytes) else str(cell).encode() for row in rows for cell in row)


def test_logs_and_reprs_of_a_whole_look_name_nobody(ward: Ward, breakable: BreakableHospital) -> None:
    report = ward.imports(
        *((number, *of_one) for number, of_one in SUBJECTS.items()), ("SUBJ-9", "MRN-0009", "1970", "")
    )
    breakable.put(person("h-patient-1", "SUBJ-1", birthDate="1951-01-01"))
    with breakable.connected() as hospital:
        found = ward.looks(hospital)
    said = str(ward.noted) + str(report.findings) + repr(list(found.values())) + repr(ward.linking.subjects())
    assert ward.id("SUBJ-1") in said
    assert [word for word in [*SECRETS, "MRN-0009", "Secretname"] if word not in HARMLESS and word in said] == []


def test_a_subject_that_the_study_does_not_have_is_refused(ward: Ward) -> None:
    report = ward.imports(("SUBJ-1", "A", "1970-05-03", ""), ("SUBJ-9", "B", "1970-05-03", ""))
    assert (report.new, report.refused) == (1, 1)
    [finding] = report.findings
    assert (finding.rule, finding.line) == ("unknown-subject", 3)
    assert "SUBJ-9" not in str(finding)


@pytest.mark.parametrize("row", [("SUBJ-1", "A", "1971-05-03", ""), ("SUBJ-1", "A", "1970-05-03", "male")])
def test_a_row_that_contradicts_the_study_s_own_record_has_shifted_and_is_refused(
    ward: Ward, row: tuple[str, ...]
) -> None:
    [finding] = ward.imports(row).findings
    assert finding.rule == "contradiction"
    assert ward.linking.subjects() == []


def test_a_row_given_twice_counts_once(ward: Ward) -> None:
    row = ("SUBJ-1", "A", "1970-05-03", "female")
    report = ward.imports(row, row)
    assert (report.new, report.duplicate, report.refused) == (1, 1, 0)


def test_one_hospital_number_for_two_subjects_is_refused_for_both(ward: Ward) -> None:
    report = ward.imports(("SUBJ-1", "A", "1970", ""), ("SUBJ-2", "A", "1981", ""), ("SUBJ-3", "B", "1964", ""))
    assert (report.new, report.refused) == (1, 2)
    assert {finding.rule for finding in report.findings} == {"two-subjects"}
    assert "lines 2, 3" in report.findings[0].message


def test_two_numbers_of_one_system_for_a_subject_are_refused(ward: Ward) -> None:
    report = ward.imports(("SUBJ-1", "A", "1970", ""), ("SUBJ-1", "B", "1970", ""))
    assert [finding.rule for finding in report.findings] == ["two-numbers", "two-numbers"]


def test_a_number_of_another_hospital_is_kept_beside_the_first(ward: Ward) -> None:
    report = ward.imports(("SUBJ-1", "A", "1970", ""), ("SUBJ-1", "A", "1970", "", "urn:other"))
    assert report.new == 2
    assert [one.system for one in ward.linked("SUBJ-1").identifiers] == [SYSTEM, "urn:other"]


def test_a_number_linked_to_another_subject_is_refused_even_with_replace(ward: Ward) -> None:
    ward.imports()
    for replace in (False, True):
        report = ward.imports(("SUBJ-2", "MRN-0001", "1981-12-24", "male"), replace=replace)
        assert report.refused == 1
    assert report.findings[0].rule == "taken"
    assert ward.linked("SUBJ-2").identifiers[0].value == "MRN-0002"


@pytest.mark.parametrize(
    ("row", "fate"),
    [
        (("SUBJ-1", "MRN-0001", "1970-05-04", "female"), "corrected"),
        (("SUBJ-1", "MRN-7", "1970-05-03", "female"), "replaced"),
    ],
)
def test_what_is_linked_changes_only_with_replace_and_on_record(ward: Ward, row: tuple[str, ...], fate: str) -> None:
    ward.imports()
    refused = ward.imports(row)
    assert (refused.refused, refused.findings[0].rule) == (1, "changed")
    assert "--replace" in refused.findings[0].remedy
    assert ward.linked("SUBJ-1").identifiers[0].value == "MRN-0001"
    assert ward.imports(row, replace=True).counts[fate] == 1
    one = ward.linked("SUBJ-1")
    assert (one.identifiers[0].value, one.birth_date, one.state) == (row[1], row[2], "imported")
    assert ward.actions("SUBJ-1") == ["imported", fate]


def test_two_swapped_numbers_are_put_right_in_one_import(ward: Ward) -> None:
    ward.imports()
    swapped = [("SUBJ-1", "MRN-0003", *SUBJECTS["SUBJ-1"][1:]), ("SUBJ-3", "MRN-0001", *SUBJECTS["SUBJ-3"][1:])]
    assert ward.imports(*swapped, replace=True).replaced == 2
    assert ward.linked("SUBJ-1").identifiers[0].value == "MRN-0003"
    assert ward.linked("SUBJ-3").identifiers[0].value == "MRN-0001"


def test_half_a_swap_is_refused_with_all_that_hangs_on_it(ward: Ward) -> None:
    ward.imports()
    report = ward.imports(
        ("SUBJ-1", "MRN-0003", *SUBJECTS["SUBJ-1"][1:]), ("SUBJ-3", "MRN-0002", *SUBJECTS["SUBJ-3"][1:]), replace=True
    )
    assert report.refused == 2
    assert ward.linked("SUBJ-1").identifiers[0].value == "MRN-0001"


def test_another_birth_date_under_another_system_is_refused(ward: Ward) -> None:
    ward.imports(("SUBJ-1", "A", "1970-05-03", ""))
    [finding] = ward.imports(("SUBJ-1", "B", "1970-05-04", "", "urn:other"), replace=True).findings
    assert finding.rule == "contradiction"


def test_a_number_replaced_by_that_of_another_person_is_relinked_at_the_next_look(
    ward: Ward, breakable: BreakableHospital
) -> None:
    ward.imports()
    breakable.put(person("h-patient-1", "SUBJ-1"))
    breakable.put(person("h-patient-2", "SUBJ-1", identifier=[{"system": SYSTEM, "value": "MRN-7"}]))
    with breakable.connected() as hospital:
        ward.looks(hospital)
        ward.imports(("SUBJ-1", "MRN-7", *SUBJECTS["SUBJ-1"][1:]), replace=True)
        ward.now += dt.timedelta(minutes=1)
        found = ward.looks(hospital)["SUBJ-1"]
    assert found.patients == ("h-patient-2",)
    assert found.relinked == written(ward.now)
    assert ward.actions("SUBJ-1") == ["imported", "linked", "replaced", "relinked"]


def test_a_log_cannot_be_imported_under_another_key(ward: Ward) -> None:
    ward.imports()
    ward.keys = [bytes(range(64, 96))]
    with pytest.raises(ConfigurationError, match="does not open"):
        ward.imports()


def test_sealed_bytes_swapped_between_two_subjects_are_noticed(ward: Ward, database_url: str) -> None:
    ward.imports()
    first, second, _ = ward.store.links.all(ward.study.id)
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    with engine.begin() as connection:
        swap = text("UPDATE link SET sealed = :sealed WHERE key = :key")
        connection.execute(swap, {"sealed": first.sealed, "key": second.key})
    engine.dispose()
    with pytest.raises(StoreError, match="not made for"):
        ward.linking.subjects()
