"""A study with some subjects, their enrolment log, and a hospital that knows them: where tests of linking begin."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital
from fhirbridge.identity import Identity
from fhirbridge.sealing import Seal
from fhirbridge.store import Store
from fhirbridge.study import Study
from fhirbridge.sync.pull.enrolling import Enrolment
from fhirbridge.sync.pull.linked import Linked
from fhirbridge.sync.pull.linking import Linking, Resolved
from tests.store.making import Make

SYSTEM = "urn:oid:1.2.3"
KEY = bytes(range(32))
NOW = dt.datetime(2026, 11, 22, 12, tzinfo=dt.UTC)
SUBJECTS = {
    "SUBJ-1": ("MRN-0001", "1970-05-03", "female"),
    "SUBJ-2": ("MRN-0002", "1981-12-24", "male"),
    "SUBJ-3": ("MRN-0003", "1964-02-29", "female"),
}


@dataclass
class Ward:
    """The study's side; ``noted`` are the events that would be logged."""

    store: Store
    study: Study
    folder: Path
    keys: list[bytes] = field(default_factory=lambda: [KEY])
    noted: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    authorities: dict[str, str] = field(default_factory=dict)
    now: dt.datetime = NOW

    def __post_init__(self) -> None:
        self.identity = Identity(bytes(32), self.study.id)
        for number, (_, birth_date, sex) in SUBJECTS.items():
            self.put(self.make.patient(self.id(number), birthDate=birth_date[:4], gender=sex))
            self.consent(number)

    @property
    def make(self) -> Make:
        return Make(self.study.id)

    @property
    def linking(self) -> Linking:
        return Linking(
            self.store,
            Seal(self.keys),
            self.study,
            self.identity,
            authorities=self.authorities,
            clock=lambda: self.now,
            note=lambda event, /, **facts: self.noted.append((event, facts)),
        )

    def id(self, number: str) -> str:
        return self.identity.id("Patient", number)

    def put(self, *resources: Resource) -> None:
        with self.store.transaction() as transaction:
            transaction.put([(1, one) for one in resources], run="run-1")

    def consent(self, number: str, status: str = "active", **period: str) -> None:
        made = self.make.consent(f"c-{self.id(number)}", self.id(number), status)
        self.put(made | ({"provision": {"period": period}} if period else {}))

    def imports(self, *rows: tuple[Any, ...], replace: bool = False) -> Enrolment:
        """Import rows of subject, identifier, birth date and sex; the whole ``SUBJECTS`` where none are given."""
        given = rows or tuple((number, *of_one) for number, of_one in SUBJECTS.items())
        lines = ["subject,identifier,birth_date,sex,system"]
        lines += [",".join([*(str(cell or "") for cell in row), ""][:5] + [""] * (4 - len(row))) for row in given]
        file = self.folder / "log.csv"
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        report = self.linking.import_log(file, system=SYSTEM, by="ann", replace=replace)
        assert report.balanced, report.counts
        return report

    def linked(self, number: str) -> Linked:
        [one] = self.linking.subjects(self.id(number))
        return one

    def looks(self, hospital: Hospital) -> dict[str, Resolved]:
        """Look for all subjects, and return what became of each by its number."""
        links = self.linking
        return {one.linked.number: one for one in links.resolve_all(links.subjects(), hospital, "run-1")}

    def actions(self, number: str) -> list[str]:
        return [one.action for one in self.store.links.history(self.study.id, self.id(number))]


def person(id: str, number: str, **elements: Any) -> Resource:
    """A Patient of the hospital that fits a subject, but for the elements given; None leaves one out."""
    identifier, birth_date, sex = SUBJECTS[number]
    made = {
        "resourceType": "Patient",
        "id": id,
        "identifier": [{"system": SYSTEM, "value": identifier}],
        "birthDate": birth_date,
        "gender": sex,
        "name": [{"family": "Secretname", "given": ["Ann"]}],
        **elements,
    }
    return {name: value for name, value in made.items() if value is not None}


def link(kind: str, id: str) -> Resource:
    return {"type": kind, "other": {"reference": id if "/" in id else f"Patient/{id}"}}
