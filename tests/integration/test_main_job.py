"""The main job on real parts: records in, valid FHIR out, into a FHIR server, and proof that it arrived."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhirbridge import fhirjson, settings
from fhirbridge.cli.exchange import run_push
from fhirbridge.cli.loading import Loaded, load_records
from fhirbridge.cli.reconciling import run_reconcile
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.identity import new_key
from tests.studies import own_study

TODAY = dt.date(2026, 6, 1)
SUBJECTS = 6
TYPES = {
    "BodyStructure", "Consent", "DiagnosticReport", "Group", "Location", "Observation", "Organization", "Patient",
    "ResearchStudy", "ResearchSubject",
}  # fmt: skip


@pytest.fixture
def loaded(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    """A workplace whose store holds a small cohort."""
    monkeypatch.chdir(tmp_path)
    yield from _loaded(tmp_path, database_url)


@pytest.fixture
def loaded_into_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workplace]:
    monkeypatch.chdir(tmp_path)
    yield from _loaded(tmp_path, f"sqlite:///{tmp_path / 'store.db'}")


def _loaded(folder: Path, database: str) -> Iterator[Workplace]:
    new_key(folder / "fhirbridge.key")
    place = Workplace(
        settings.read(database=database, pseudonym_key=folder / "fhirbridge.key", study=own_study(folder).as_posix())
    )
    write_cohort(place.study, folder / "cohort", subjects=SUBJECTS)
    report = load_records(place, folder / "cohort", today=TODAY, quiet=True)
    assert (report.refused, report.rows) == (0, report.accepted)
    yield place
    place.close()


def at(place: Workplace, base_url: str) -> Workplace:
    """The same workplace, with this hospital."""
    given = place.settings.model_dump() | {"hospital": base_url}
    return Workplace(settings.read(**given))


def test_every_resource_is_valid_and_passes_the_r4b_models(loaded: Workplace) -> None:
    found = [one.content() for one in loaded.store.iterate(loaded.study.id)]
    assert {resource["resourceType"] for resource in found} == TYPES
    for resource in found:
        get_fhir_model_class(resource["resourceType"]).model_validate_json(fhirjson.dumps(resource))
        errors = [one for one in loaded.validator.validate(resource)["issue"] if one["severity"] == "error"]
        assert errors == []


def test_digits_survive_from_the_csv_file_to_the_store(loaded: Workplace, tmp_path: Path) -> None:
    text = (tmp_path / "cohort" / "laboratory.csv").read_text(encoding="utf-8")
    reported = {line.split(",")[5] for line in text.splitlines()[1:]}
    ending_in_zero = {value for value in reported if "." in value and value.endswith("0")}
    assert ending_in_zero
    bodies = b"".join(one.body for one in loaded.store.iterate(loaded.study.id, types=["Observation"]))
    assert [value for value in sorted(ending_in_zero) if f'"value":{value}'.encode() not in bodies] == []


def test_a_subject_number_or_birth_date_is_nowhere_but_in_research_subject(loaded: Workplace, tmp_path: Path) -> None:
    subjects = [line.split(",") for line in (tmp_path / "cohort" / "subjects.csv").read_text().splitlines()[1:]]
    secrets = [secret.encode() for row in subjects for secret in (row[0], row[3])]
    for one in loaded.store.iterate(loaded.study.id):
        if one.type != "ResearchSubject":
            assert not any(secret in one.body or secret.decode() in one.id for secret in secrets), one.type


def reload(place: Workplace, folder: Path) -> Loaded:
    report = load_records(place, folder / "cohort", today=TODAY, quiet=True)
    assert report.refused == 0
    return report


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_a_result_corrected_to_not_detected_withdraws_its_logarithm(loaded: Workplace, tmp_path: Path) -> None:
    file = tmp_path / "cohort" / "laboratory.csv"
    line = next(line for line in file.read_text().splitlines() if ",HBV-DNA," in line and "[IU]/mL" in line)
    result, value = line.split(",")[0], line.split(",")[5]
    logarithm = loaded.identity.id("Observation", "laboratory-log10", result)
    before = loaded.store.read("Observation", logarithm)
    assert before is not None
    assert before.content()["status"] == "final"
    replace_in(file, line, line.replace(f",{value},[IU]/mL,,final", ",not detected,,,corrected"))
    report = reload(loaded, tmp_path)
    after = loaded.store.read("Observation", logarithm)
    assert after is not None
    assert after.content()["status"] == "entered-in-error"
    assert loaded.validator.is_valid(after.content())
    assert (report.ingested.withdrawn, report.resources["updated"]) == (1, 2)
    assert reload(loaded, tmp_path).resources["updated"] == 0


def test_a_lesion_that_a_corrected_exam_no_longer_has_is_withdrawn_and_can_come_back(
    loaded: Workplace, tmp_path: Path
) -> None:
    file = tmp_path / "cohort" / "lesions.csv"
    line = file.read_text(encoding="utf-8").splitlines()[1]
    exam, lesion = line.split(",")[:2]
    observation = loaded.identity.id("Observation", "lesion", exam, lesion)
    replace_in(file, line + "\n", "")
    assert reload(loaded, tmp_path).ingested.withdrawn == 1
    gone = loaded.store.read("Observation", observation)
    assert gone is not None
    assert gone.content()["status"] == "entered-in-error"
    assert loaded.validator.is_valid(gone.content())
    file.write_text(file.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    assert reload(loaded, tmp_path).ingested.withdrawn == 0
    back = loaded.store.read("Observation", observation)
    assert back is not None
    assert back.content()["status"] == "final"


def test_it_arrives_whole_and_a_second_push_sends_nothing(loaded: Workplace, hospital: str) -> None:
    arrives(at(loaded, hospital))


@pytest.mark.hapi
def test_it_arrives_whole_at_a_hapi_server(loaded_into_sqlite: Workplace, hapi: str) -> None:
    place = at(loaded_into_sqlite, hapi)
    arrives(place)
    assert run_reconcile(place, full=True, quiet=True).total.digits_lost == 0


def arrives(place: Workplace) -> None:
    stored = sum(place.store.counts(place.study.id).values())
    first, second = run_push(place, quiet=True), run_push(place, quiet=True)
    assert first.failures == []
    withheld = first.fates["withheld"]
    assert (first.sent, first.complete) == (stored - withheld, True)
    assert (second.requests, second.fates["unchanged"]) == (0, stored - withheld)
    for full in (False, True):
        report = run_reconcile(place, full=full, quiet=True)
        assert report.in_step, report.as_dict()
        assert report.total.same + report.total.digits_lost == stored - withheld
    place.close()
