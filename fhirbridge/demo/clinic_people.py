"""The patients of the synthetic clinic: the subjects under hospital numbers, and the log that links the two."""

from __future__ import annotations

import csv
import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from fhirbridge.elements import Element, identifier
from fhirbridge.errors import Resource
from fhirbridge.records.types import Sex, Subject

HOSPITAL_NUMBERS = "https://fhirbridge.github.io/sid/synthetic/north-hospital/patient"
"""System of the hospital's own patient numbers; in HL7 v2 their authority is ``AUTHORITY``."""
AUTHORITY = "NORTH"
LOG_COLUMNS = ("subject", "system", "identifier", "birth_date", "sex")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicPatient:
    """One patient as the hospital knows it. ``repr`` shows the resource's id only, as no log shall hold the rest."""

    id: str
    """Logical id of the Patient, made of nothing that we know the subject by."""
    number: str = field(repr=False)
    birth_date: dt.date = field(repr=False)
    sex: Sex = field(repr=False)


def patient_of(subject: Subject, seed: int) -> ClinicPatient:
    """Return the hospital's patient for a subject of the cohort; the same arguments give the same number."""
    return ClinicPatient(
        id=clinic_id(seed, "Patient", subject.subject),
        number=_number(seed, subject.subject),
        birth_date=subject.birth_date,
        sex=subject.sex,
    )


def stranger(number: int, like: ClinicPatient, seed: int) -> ClinicPatient:
    """Return a patient of the hospital who is in no study, of the birth date and sex of another one."""
    name = f"stranger-{number}"
    return ClinicPatient(
        id=clinic_id(seed, "Patient", name), number=_number(seed, name), birth_date=like.birth_date, sex=like.sex
    )


def patient_resource(
    who: ClinicPatient, *, active: bool = True, replaced_by: str | None = None, replaces: str | None = None
) -> Resource:
    """Return the hospital's Patient. Its name says that it is nobody; ``replaced_by`` and ``replaces`` are ids."""
    merged = (("replaced-by", replaced_by), ("replaces", replaces))
    links: list[Element] = [{"other": {"reference": f"Patient/{id}"}, "type": kind} for kind, id in merged if id]
    return {
        "resourceType": "Patient",
        "id": who.id,
        "identifier": [identifier(HOSPITAL_NUMBERS, who.number, use="official")],
        "active": active,
        "name": [{"use": "official", "family": "合成", "given": ["病人"], "text": f"Synthetic Patient {who.number}"}],
        "gender": who.sex,
        "birthDate": who.birth_date.isoformat(),
    } | ({"link": links} if links else {})


def write_log(path: Path, linked: Iterable[tuple[str, ClinicPatient]]) -> int:
    """Write the enrolment log, one line for each (subject number, patient), and return how many it has."""
    lines = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(LOG_COLUMNS)
        for subject, who in linked:
            table.writerow((subject, HOSPITAL_NUMBERS, who.number, who.birth_date.isoformat(), who.sex))
            lines += 1
    return lines


def clinic_id(seed: int, kind: str, *parts: str) -> str:
    """Return an id as a hospital's system might give one: 20 characters that tell nothing."""
    text = "/".join((str(seed), kind, *parts))
    return "h" + hashlib.sha256(text.encode()).hexdigest()[:19]


def _number(seed: int, name: str) -> str:
    """Return a hospital number: ``H`` and ten digits, so many that no two of a cohort are alike."""
    digest = hashlib.sha256(f"{seed}/number/{name}".encode()).digest()
    return f"H{int.from_bytes(digest[:8], 'big') % 10**10:010d}"
