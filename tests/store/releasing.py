"""A small study of invented people in a store, what a registry is let see of it, and the index of that by the book."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from fhirbridge import fhirjson
from fhirbridge.elements import CANONICAL, STUDY_TAG
from fhirbridge.errors import Resource
from fhirbridge.release.agreement import TYPES, Agreement, ViewRules
from fhirbridge.release.view import View
from fhirbridge.search.extract import Indexer
from fhirbridge.search.matching import Key
from fhirbridge.search.query import Query, parse
from fhirbridge.search.rows import Rows
from fhirbridge.search.values import Surroundings
from fhirbridge.store import Store
from fhirbridge.store.releases import Released
from tests.mappings.cases import STUDY
from tests.release.agreements import NORTH
from tests.release.agreements import RELEASE_KEY as KEY

ZONE = ZoneInfo("Asia/Shanghai")
LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"
CODES = ("42595-9", "63557-3", "1742-6", "1751-7")
WORDS = ("HBV DNA", "Hépatite B, antigène", "Albumin", "IU/mL", "Ikteric", "Clear")
VIRAL = "http://example.org/fhir/ValueSet/viral"
VALUE_SETS = {VIRAL: frozenset({(LOINC, "42595-9"), (LOINC, "63557-3")})}
AROUND = Surroundings(
    zone=ZONE,
    now=dt.datetime(2026, 11, 22, 14, tzinfo=dt.UTC),
    base="https://r.example/fhir",
    value_sets=VALUE_SETS.get,
)
AGREEMENT = msgspec.structs.replace(NORTH, view=ViewRules(shift_days=0, texts=("value",)))
RANKS = {kind: number for number, kind in enumerate(TYPES)}

INDEXER = Indexer(ZONE)


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = dt.datetime(2026, 11, 22, 6, tzinfo=dt.UTC)

    def __call__(self) -> dt.datetime:
        return self.now

    def go(self, **time: float) -> None:
        self.now += dt.timedelta(**time)


def view(agreement: Agreement = AGREEMENT, key: bytes = KEY, **changed: Any) -> View:
    """The view of the agreement with some of it changed; names of view rules and of the agreement alike."""
    rules = {name: changed.pop(name) for name in ViewRules.__struct_fields__ if name in changed}
    seen = msgspec.structs.replace(agreement.view, **rules)
    return View(msgspec.structs.replace(agreement, view=seen, **changed), STUDY, key, WORDS)


def of_study(type_: str, id: str, **elements: Any) -> Resource:
    return {
        "resourceType": type_,
        "id": id,
        "meta": {
            "profile": [f"{CANONICAL}/StructureDefinition/{type_.lower()}"],
            "tag": [{"system": STUDY_TAG, "code": STUDY.id}],
        },
        **elements,
    }


def to(type_: str, id: str) -> Resource:
    return {"reference": f"{type_}/{id}"}


def patient(id: str, **elements: Any) -> Resource:
    return of_study("Patient", id, **elements)


def consent(id: str, person: str, status: str = "active") -> Resource:
    return of_study("Consent", id, status=status, patient=to("Patient", person), dateTime="2026-01-02")


def observation(id: str, person: str, **elements: Any) -> Resource:
    given = {"status": "final", "code": coded(CODES[0], "HBV DNA")} | elements
    return of_study("Observation", id, subject=to("Patient", person), **given)


def coded(code: str, display: str | None = None) -> Resource:
    coding = {"system": LOINC, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]}


def measured(value: str, unit: str = "mg", **more: Any) -> Resource:
    return {"value": Decimal(value), "system": UCUM, "code": unit} | more


def subject(id: str, observations: int = 2) -> list[Resource]:
    """A consenting person p with so many Observations."""
    made = [
        observation(f"{id}-o{number}", id, valueQuantity=measured(f"{number}.50")) for number in range(observations)
    ]
    return [patient(id, gender="female"), consent(f"{id}-c", id), *made]


def put(store: Store, *resources: Resource) -> None:
    """Put resources in one transaction."""
    with store.transaction() as transaction:
        transaction.put([(RANKS[one["resourceType"]], one) for one in resources], run="run-1")


def everything(store: Store, agreement: str = AGREEMENT.id, **options: Any) -> list[Released]:
    """All that is released at this moment."""
    at = store.releases.position(agreement)
    assert at is not None
    return list(store.releases.iterate(agreement, TYPES, at=at.number, **options))


def names(found: Iterable[Released]) -> list[str]:
    return [f"{one.type}/{one.id}" for one in found]


def read(asked: str) -> Query:
    """Read ``Type?query``."""
    type_, _, raw = asked.partition("?")
    return parse(type_, raw.encode(), AROUND)


def searched(store: Store, asked: str, *, count: int = 1000, at: int | None = None) -> list[Released]:
    """All that a search finds, page after page."""
    where = at if at is not None else position(store)
    found, after = list[Released](), None
    while True:
        page = store.releases.search(AGREEMENT.id, read(asked), at=where, after=after, count=count)
        found += page.matches
        after = page.after
        if after is None:
            return found
        assert len(page.matches) == count


def position(store: Store) -> int:
    at = store.releases.position(AGREEMENT.id)
    assert at is not None
    return at.number


def by_the_book(found: Iterable[Released]) -> dict[Key, Rows]:
    """The index of all that is released, made from the bytes that are answered."""
    return {(one.type, one.id): INDEXER.rows(fhirjson.loads(one.body or b"{}")) for one in found}


def world(seed: int, people: int = 7, observations: int = 7) -> list[Resource]:
    """A study with people of all sorts; the same for the same seed."""
    return list(_world(random.Random(seed), people, observations))


def _world(chance: random.Random, people: int, observations: int) -> Iterator[Resource]:
    yield of_study("Organization", "org-1", name="Shenzhen Third", active=True, address=[{"city": "Shenzhen"}])
    yield of_study(
        "Organization", "org-2", name="Sponsör AG", alias=["The sponsor"], partOf=to("Organization", "org-1")
    )
    yield of_study(
        "Location", "loc-1", name="Ward 1", status="active", managingOrganization=to("Organization", "org-1")
    )
    yield of_study(
        "ResearchStudy", STUDY.id, title="Peginterferon", status="active", period={"start": "2025-01"},
        sponsor=to("Organization", "org-2"), site=[to("Location", "loc-1")],
    )  # fmt: skip
    for number in range(people):
        yield from _person(chance, f"p{number}", observations)


def _person(chance: random.Random, id: str, observations: int) -> Iterator[Resource]:
    status = chance.choice(["active"] * 5 + ["inactive"])
    dead = {"deceasedDateTime": f"2026-0{chance.randint(1, 9)}"} if chance.random() < 0.3 else {}
    born = f"{chance.choice([1955, 1971, 1971, 1984])}-03-14"
    known = [{"system": STUDY.system("pseudonym"), "value": id}]
    yield patient(id, gender=chance.choice(["male", "female"]), birthDate=born, identifier=known, **dead)
    yield consent(f"{id}-c", id, status)
    yield of_study(
        "ResearchSubject", f"{id}-s", status=chance.choice(["on-study", "withdrawn"]),
        study=to("ResearchStudy", STUDY.id), individual=to("Patient", id),
        assignedArm=chance.choice([arm.name for arm in STUDY.arms]),
        period={"start": _day(chance)}, consent=to("Consent", f"{id}-c"),
    )  # fmt: skip
    yield of_study(
        "BodyStructure", f"{id}-b", patient=to("Patient", id),
        location={"coding": [{"system": "http://snomed.info/sct", "code": "10200004"}]},
    )  # fmt: skip
    for number in range(observations):
        yield _result(chance, f"{id}-o{number}", id, number)
    for number in range(2):
        results = [to("Observation", f"{id}-o{chance.randrange(observations)}") for _ in range(2)]
        yield of_study(
            "DiagnosticReport", f"{id}-d{number}", status="final", code=coded("24557-1"), subject=to("Patient", id),
            effectiveDateTime=_day(chance), result=results,
        )  # fmt: skip


def _day(chance: random.Random) -> str:
    day = dt.date(2026, 1, 1) + dt.timedelta(chance.randrange(40))
    return chance.choice([str(day), str(day), f"{day:%Y-%m}", f"{day}T08:30:00+08:00", f"{day}T23:45:00Z"])


def _result(chance: random.Random, id: str, person: str, number: int) -> Resource:
    elements: dict[str, Any] = {"status": chance.choice(["final", "final", "amended"])}
    elements["code"] = coded(chance.choice(CODES), chance.choice([None, *WORDS[:3]]))
    if chance.random() < 0.8:
        elements["effectiveDateTime"] = _day(chance)
    elif chance.random() < 0.5:
        elements["effectivePeriod"] = {"start": "2026-01-03", "end": f"2026-0{chance.randint(2, 6)}-04"}
    if chance.random() < 0.7:
        visit = chance.choice([one.name for one in STUDY.schedule.visits[:3]])
        elements["extension"] = [{"url": f"{CANONICAL}/StructureDefinition/study-visit", "valueString": visit}]
    if number and chance.random() < 0.4:
        elements["derivedFrom"] = [to("Observation", f"{person}-o{number - 1}")]
    if chance.random() < 0.3:
        elements["focus"] = [to("BodyStructure", f"{person}-b")]
    elements |= _value(chance)
    if chance.random() < 0.4:
        elements["component"] = [{"code": coded(chance.choice(CODES)), **_value(chance)} for _ in range(2)]
    return observation(id, person, **elements)


def _value(chance: random.Random) -> Resource:
    match chance.randrange(6):
        case 0 | 1 | 2:
            value = f"{chance.randint(1, 12)}.{chance.choice(['0', '5', '50'])}"
            limit = {"comparator": chance.choice(["<", ">", "<=", ">="])} if chance.random() < 0.3 else {}
            return {"valueQuantity": measured(value, chance.choice(["mg", "g", "[IU]/mL", "k[IU]/L"]), **limit)}
        case 3:
            return {"valueCodeableConcept": coded(chance.choice(CODES), chance.choice(WORDS))}
        case 4:
            return {"valueString": chance.choice(WORDS)}
    return {}
