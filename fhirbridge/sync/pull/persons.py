"""The hospital's Patients: found by their numbers, and those that it says are one person taken together.

Only what finds and confirms a person is asked for: identifiers, links, birth date, sex and whether the record is in
use; never a name. Many subjects share one request, and the numbers travel in its body, where no access log has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any

from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import Hospital
from fhirbridge.sync.pull.ahead import side_by_side
from fhirbridge.sync.pull.linked import HospitalIdentifier

AT_A_TIME = 50
"""Numbers in one search: with 200 characters each they stay a small form."""
MOST = 20
"""Records of one person; more is no merge but a mistake."""

_ELEMENTS = ("identifier", "link", "birthDate", "gender", "active")
_FOLLOWED = ("replaced-by", "replaces", "seealso")
"""What says that two records are one person; ``refer`` says only where more is known
(http://hl7.org/fhir/R4/valueset-link-type.html)."""
_NO_POST = (404, 405, 501)
_TOO_MUCH = (400, 413, 414, 422, 431)
"""What a server answers that bears no list of that length, or one number of it."""


@dataclass(frozen=True, slots=True)
class Person:
    """The records that are one person: ``patients`` by id, and the ids ``named`` as such that are not there any more.

    ``fault`` is why they cannot be used, where they cannot.
    """

    patients: dict[str, Resource] = field(repr=False)
    named: frozenset[str] = frozenset()
    fault: str | None = None


class Persons:
    """What one look at the hospital finds of some subjects."""

    def __init__(self, hospital: Hospital) -> None:
        self._hospital = hospital
        self._post = True
        self._there: dict[str, Resource] = {}
        self._absent: set[str] = set()
        self._carriers: dict[tuple[str, str], list[str]] = {}
        self._beside: dict[str, set[str]] = {}
        self.unasked: dict[HospitalIdentifier, FatalHospitalError] = {}
        """The numbers that the server does not let itself be asked for, each by itself."""

    def look(self, identifiers: Iterable[HospitalIdentifier], known: Iterable[str]) -> None:
        """Find all with these numbers, those known from before, and all that they are linked with.

        The first numbers are asked for while further ones are taken, and ``known`` is not begun before all are. Raises
        HospitalError as ``Hospital.search`` does.
        """
        left = iter(identifiers)
        parts = iter(lambda: list(islice(left, AT_A_TIME)), [])
        for found in side_by_side((partial(self._asked, part) for part in parts), self._hospital.connections):
            self._keep(found)
        self._fetch(set(known))
        for _ in range(MOST):
            further = {id for patient in self._there.values() for _, id in self._links(patient) if id is not None}
            if not self._fetch(further):
                break
        for id, patient in self._there.items():
            self._note(id, patient)

    def with_number(self, identifier: HospitalIdentifier) -> list[str]:
        """Return the ids of the Patients that carry a number: what a server finds otherwise is not trusted."""
        return self._carriers.get((identifier.system, identifier.value), [])

    def person(self, matches: Sequence[str]) -> Person:
        """Return the one person that these Patients are, with a fault where they are not one that can be used."""
        together = self._together(matches[0])
        patients = {id: self._there[id] for id in sorted(together)}
        targets = [link for patient in patients.values() for link in self._links(patient)]
        named = frozenset(id for _, id in targets if id is not None and id not in patients)
        return Person(patients, named, self._fault(patients, targets, matches))

    def _fault(
        self, patients: dict[str, Resource], targets: list[tuple[str, str | None]], matches: Sequence[str]
    ) -> str | None:
        if not set(matches) <= patients.keys():
            return "the hospital has several Patients with this number that are not linked with one another"
        if len(patients) > MOST:
            return f"the hospital links more than {MOST} Patients as one person"
        if any(kind == "replaced-by" and (id is None or id not in patients) for kind, id in targets):
            return "the hospital says that its Patient was replaced by one that cannot be read there"
        if all(patient.get("active") is False for patient in patients.values()):
            return "the hospital's Patient is not in use any more, and nothing says what replaced it"
        return None

    def _note(self, id: str, patient: Resource) -> None:
        """Note which numbers a Patient carries, and which others it is connected with."""
        for one in _objects(patient.get("identifier")):
            if _is_text(one.get("system")) and _is_text(one.get("value")):
                carriers = self._carriers.setdefault((one["system"], one["value"]), [])
                carriers += [] if id in carriers else [id]
        for _, other in self._links(patient):
            if other is not None and other in self._there:
                self._beside.setdefault(id, set()).add(other)
                self._beside.setdefault(other, set()).add(id)

    def _together(self, start: str) -> set[str]:
        """Return the ids that are connected with this one, whichever of two records says so."""
        found, waiting = {start}, [start]
        while waiting:
            new = self._beside.get(waiting.pop(), set()) - found
            found |= new
            waiting += new
        return found

    def _links(self, patient: Resource) -> Iterator[tuple[str, str | None]]:
        """Yield kind and id of each link to a Patient that is followed; None for one that cannot be."""
        for link in _objects(patient.get("link")):
            kind, other = link.get("type"), link.get("other")
            if kind not in _FOLLOWED:
                continue
            reference = other.get("reference") if isinstance(other, dict) else None
            text = reference if isinstance(reference, str) else ""
            parts = text.removeprefix(f"{self._hospital.base_url}/").split("/")
            if parts[:1] == ["RelatedPerson"]:
                continue
            here = len(parts) == 2 or (len(parts) == 4 and parts[2] == "_history")
            yield kind, parts[1] if here and parts[0] == "Patient" and parts[1] else None

    def _fetch(self, ids: set[str]) -> bool:
        """Read those of these Patients that were not asked for yet, and say whether there were any."""
        wanted = sorted(ids - self._there.keys() - self._absent)
        self._keep(self._hospital.lookup("Patient", wanted, elements=_ELEMENTS) if wanted else ())
        self._absent |= set(wanted) - self._there.keys()
        return bool(wanted)

    def _asked(self, identifiers: Sequence[HospitalIdentifier]) -> list[Resource]:
        """Search for numbers; where a server does not bear the list it is asked in halves."""
        params = [
            ("identifier", ",".join(one.token for one in identifiers)),
            ("_elements", ",".join(_ELEMENTS)),
            ("_count", str(4 * AT_A_TIME)),
        ]
        try:
            return self._search(params)
        except FatalHospitalError as error:
            if error.status not in _TOO_MUCH:
                raise
            if len(identifiers) == 1:
                self.unasked[identifiers[0]] = error
                return []
            middle = len(identifiers) // 2
            return self._asked(identifiers[:middle]) + self._asked(identifiers[middle:])

    def _search(self, params: list[tuple[str, str]]) -> list[Resource]:
        if self._post:
            try:
                return list(self._hospital.search("Patient", params, post=True))
            except FatalHospitalError as error:
                if error.status not in _NO_POST:
                    raise
                self._post = False  # a server without _search: there is no other way to ask than by URL
        return list(self._hospital.search("Patient", params))

    def _keep(self, found: Iterable[Resource]) -> None:
        for patient in found:
            if patient.get("resourceType") == "Patient" and _is_text(patient.get("id")):
                self._there[patient["id"]] = patient


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
