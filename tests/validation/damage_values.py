"""Damage to values: codes, quantities, dates, references, and what JSON can write but FHIR cannot mean."""

from __future__ import annotations

from decimal import Decimal

from tests.validation.spots import (
    UCUM,
    Kind,
    among,
    anything,
    at_root,
    date,
    gain,
    having,
    named,
    of_type,
    where,
)

EXT = "http://example.org/ext"
BAD_DATES = (
    "2026-02-30",
    "2026-13-01",
    "26-01-01",
    "2026-1-1",
    "2026-01-31T08:30:00",
    "2026-01-31T25:00:00Z",
    "today",
    "2026-01-31 08:30:00Z",
    "2026-01-31T08:30Z",
    "2026-01-31T08:30:00+15:00",
    "0000",
    "2026-00",
    "31.01.2026",
)
FAIR_DATES = (
    "2024-02-29",
    "2024",
    "2024-02",
    "2026-01-31T08:30:00.123456Z",
    "2026-01-31T23:59:60Z",
    "1900-01-01",
    "2026-01-31T08:30:00-12:00",
    "9999-12-31",
    "0001-01-01",
    "2026-12-31T00:00:00+14:00",
)
REFERENCES = (
    "Patient/x y",
    "Patient/",
    "Foo/1",
    "Medication/1",
    "Patient/1",
    "Observation/1/_history/2",
    "#nowhere",
    "#",
    "urn:uuid:123",
    "urn:uuid:00000000-0000-0000-0000-000000000001",
    "https://example.org/fhir/Device/1",
    "https://example.org/fhir/Patient/1/_history/3",
    "Patient?identifier=x",
    "not a reference",
    "patient/1",
    "urn:oid:1.2.3",
    "Patient/" + "a" * 65,
    "https://example.org/other",
    "/Patient/1",
    "Group/g1",
)

RECODE: dict[str, Kind] = {
    "recode": where(named("code"), among("nonsense", "M", "final", "FINAL", "two  spaces", "42595-9", "mg", "a b")),
    "recode an enumeration": where(
        named("status", "gender", "use", "type", "intent", "mode", "method", "comparator", "language", "contentType"),
        among("nonsense", "Final", "final", "active", "male", "draft", "de-CH", "POST"),
    ),
    "swap a system": where(
        named("system"),
        among(
            "http://loinc.org",
            UCUM,
            "http://snomed.info/sct",
            "http://example.org/codes",
            "loinc",
            "http://hl7.org/fhir",
            "http://terminology.hl7.org/CodeSystem/v3-NullFlavor",
            "urn:oid:1.02.3.4",
            "urn:oid:2.16.840.1.113883.6.1",
        ),
    ),
    "bundle type": where(
        named("type"), among("batch", "transaction", "document", "message", "searchset", "history", "collection")
    ),
}
WRONG_UNIT: dict[str, Kind] = {
    "wrong unit": where(
        having("value"),
        gain(
            {"system": UCUM, "code": "mmol/L"},
            {"code": "g"},
            {"unit": "x"},
            {"system": UCUM, "code": "[IU]/mL", "unit": "IU"},
        ),
    ),
    "comparator": where(
        having("value"), gain({"comparator": "<"}, {"comparator": ">="}, {"comparator": "=="}, {"comparator": "ad"})
    ),
    "negative or huge number": where(of_type(int, float, Decimal), among(-1, 0, 2**31, 10**12, -0.5, 101, 99.999)),
}
BAD_DATE: dict[str, Kind] = {
    "bad date": where(date, among(*BAD_DATES)),
    "other date": where(date, among(*FAIR_DATES)),
    "period backwards": where(
        having("start", "end"), gain({"start": "2026-05", "end": "2026-04"}, {"start": "2026", "end": "2026-05-01"})
    ),
}
BAD_REFERENCE: dict[str, Kind] = {
    "bad reference": where(named("reference"), among(*REFERENCES)),
    "type of a reference": where(
        having("reference"), gain({"type": "Patient"}, {"type": "Medication"}, {"type": "Foo"}, {"type": "group"})
    ),
    "reference by identifier": where(
        having("reference"), lambda s, rng: s.put({"identifier": {"value": "x"}, "type": "Group"})
    ),
    "bundle fullUrl": where(
        named("fullUrl"),
        among(
            "https://example.org/fhir/Patient/other",
            "https://example.org/fhir/Patient/p1",
            "Patient/p1",
            "urn:uuid:1",
            "https://example.org/fhir/Patient/p1/_history/1",
            "urn:uuid:3fdc72f4-a11d-4a9d-9260-a9f745779e1d",
            "urn:oid:1.2.3",
        ),
    ),
}
MALFORMED: dict[str, Kind] = {
    "null": where(anything, among(None)),
    "blank": where(of_type(str), among("", " ")),
    "spaces around": where(
        of_type(str), lambda s, rng: s.put(rng.choice([f" {s.value}", f"{s.value} ", f"{s.value}\n"]))
    ),
    "odd character": where(
        of_type(str),
        lambda s, rng: s.put(
            s.value + rng.choice(["\x01", "\u0080", "\u200b", "\u00e9", "\U0001f600", "\t", "\r\n"]) + "x"
        ),
    ),
    "empty object or list": where(of_type(dict, list), lambda s, rng: s.put(type(s.value)())),
    "empty what was a value": where(anything, among({}, [])),
    "damaged primitive sibling": where(
        lambda s: isinstance(s.key, str) and isinstance(s.value, str) and not s.key.startswith("_"),
        lambda s, rng: s.holder.update(
            {"_" + s.key: rng.choice(["x", {}, {"foo": 1}, {"id": "x"}, [None], {"extension": []}, None])}
        ),
    ),
    "bad id": at_root(
        lambda r: r.update(id="a_b"),
        lambda r: r.update(id="x" * 65),
        lambda r: r.update(id=5),
        lambda r: r.update(id="-"),
        lambda r: r.update(_id={"extension": [{"url": EXT, "valueString": "x"}]}),
    ),
}
