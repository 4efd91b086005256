"""Real messages that lie beside the project: each of their results, its value and how that is read."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import pytest

from fhirbridge.records.hl7v2.files import read_file
from fhirbridge.records.hl7v2.reader import Reading
from fhirbridge.sync.pull.from_messages import REFLEX, Senders, results
from fhirbridge.sync.pull.incoming import Incoming
from fhirbridge.sync.pull.reading import read
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.terminology.laboratories import Laboratories

pytestmark = pytest.mark.shared

FOLDERS = {"HEP": "cdc_nndss", "LAB": "ms_fhir_converter", "Sam": "nist_elr"}
NOBODY = Senders(names={}, laboratories=LaboratoryNames(Laboratories(())))


@cache
def expected() -> dict[str, list[dict[str, str]]]:
    """The rows of ``real_messages.csv`` by message; no value is in them where none can be read."""
    found: dict[str, list[dict[str, str]]] = {}
    with (Path(__file__).parent / "real_messages.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row.pop("message"), []).append(row)
    return found


def message(shared: Path, name: str) -> Reading:
    (reading,) = read_file(shared / "data" / "4_hl7v2" / FOLDERS[name[:3]] / f"{name}.hl7").readings
    return reading


def incoming(shared: Path, name: str) -> list[tuple[int, Incoming]]:
    reading = message(shared, name)
    assert reading.message is not None
    (patient,) = reading.message.patients
    found = []
    for one in results(reading.message, patient, NOBODY):
        assert isinstance(one.result, Incoming)
        found.append((one.line, one.result))
    return found


def row(line: int, one: Incoming) -> dict[str, str]:
    reading = read(one, None)
    told = "unreadable" if reading.kind == "unreadable" else reading.canonical
    value = "~".join("^".join(parts) for parts in one.value["repetitions"]) if one.value else ""
    return {
        "line": str(line), "status": one.status, "code": one.codes[0].code,
        "type": one.value["hl7v2"] if one.value else "",
        "value": "" if told == "unreadable" else value, "unit": one.unit or "", "collected": one.collected or "",
        "reading": told,
    }  # fmt: skip


def test_there_is_a_row_for_every_result_of_every_message(shared: Path) -> None:
    files = {file.stem for file in (shared / "data" / "4_hl7v2").rglob("*.hl7")}
    assert files == set(expected())


@pytest.mark.parametrize("name", sorted(expected()))
def test_every_result_is_what_its_message_says(shared: Path, name: str) -> None:
    assert [row(line, one) for line, one in incoming(shared, name)] == expected()[name]


def test_a_hepatitis_notification_says_which_result_came_from_a_reflex_order(shared: Path) -> None:
    *_, core, reflex = [one for _, one in incoming(shared, "HEP_B_ACUTE_TC02")]
    assert (core.notes, reflex.notes) == ((), (REFLEX,))
    assert (core.method, core.interpretation, core.feed) == (
        "Immunoassay", ("POS",), "hl7v2 SendAppName^Sending-Facility",
    )  # fmt: skip


def test_a_correction_has_the_name_of_what_it_corrects(shared: Path) -> None:
    names = [one.reference for case in (1, 2, 3) for _, one in incoming(shared, f"SampleTestCase{case}")]
    assert len(names) == 3
    assert len(set(names)) == 1


def test_preliminary_and_final_messages_about_one_order_name_their_results_alike(shared: Path) -> None:
    first, final = ({one.reference for _, one in incoming(shared, f"LAB-ORU-{number}")} for number in (1, 2))
    assert first == final
