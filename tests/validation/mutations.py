"""Breaks resources on purpose, each kind of damage at a place chosen by a fixed seed: some results stay valid."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from decimal import Decimal

from fhirbridge.errors import Resource
from tests.validation.spots import (
    UCUM,
    XHTML,
    among,
    anything,
    at_root,
    choice,
    contain,
    date,
    drop,
    duplicate,
    exchange,
    gain,
    having,
    named,
    of_type,
    rename_choice,
    retype,
    same_ids,
    swap_neighbours,
    where,
    wrap,
)

ORG = {"resourceType": "Organization", "id": "o9", "name": "X"}
EXT = "http://example.org/ext"
CORE = "http://hl7.org/fhir/StructureDefinition/"
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

KINDS: dict[str, Callable[[Resource, random.Random], bool]] = {
    "drop a property": where(lambda s: isinstance(s.key, str), drop),
    "drop a list item": where(lambda s: isinstance(s.key, int), drop),
    "drop something at the top": lambda r, rng: (
        r.pop(rng.choice([k for k in r if k != "resourceType"]), None) is not None
    ),
    "duplicate an item": where(lambda s: isinstance(s.key, int), duplicate),
    "duplicate a codeable item": where(lambda s: isinstance(s.key, int) and isinstance(s.value, dict), duplicate),
    "reverse a list": where(lambda s: isinstance(s.value, list) and len(s.value) > 1, swap_neighbours),
    "exchange codes between items": exchange,
    "retype": where(anything, retype),
    "retype a number or boolean": where(of_type(int, bool, float, Decimal), retype),
    "single value for list, list for single": where(lambda s: isinstance(s.key, str), wrap),
    "null": where(anything, among(None)),
    "blank": where(of_type(str), among(*[""] * 9, " ")),
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
    "half a code": where(
        having("system", "code"), lambda s, rng: s.value.pop(rng.choice(["system", "system", "code"]), None)
    ),
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
    "unknown property": where(
        of_type(dict), gain({"foo": "x"}, {"Status": "x"}, {"codes": []}, {"resource": {}}, {"fhir_comments": ["x"]})
    ),
    "property of the type or a neighbour": where(
        of_type(dict),
        gain(
            {"note": [{"text": "x"}]},
            {"display": "x"},
            {"text": "x"},
            {"version": "1"},
            {"type": "Patient"},
            {"id": "a.b c"},
            {"identifier": {"value": "x"}},
            {"userSelected": True},
            {"unit": "x"},
            {"use": "usual"},
            {"period": {"start": "2026"}},
        ),
    ),
    "property at the top": at_root(
        lambda r: r.update(note=[{"text": "x"}]),
        lambda r: r.update(status="final"),
        lambda r: r.update(method={"text": "x"}),
        lambda r: r.update(subject={"reference": "Patient/1"}),
        lambda r: r.update(code={"text": "x"}),
        lambda r: r.update(name=[{"text": "x"}]),
        lambda r: r.update(valueString="x"),
        lambda r: r.update(dataAbsentReason={"text": "x"}),
        lambda r: r.update(active=True),
        lambda r: r.update(interpretation=[{"text": "x"}]),
        lambda r: r.update(deceasedBoolean=False),
        lambda r: r.update(language="xx-yy-zz"),
    ),
    "bad date": where(date, among(*BAD_DATES)),
    "other date": where(date, among(*FAIR_DATES)),
    "period backwards": where(
        having("start", "end"), gain({"start": "2026-05", "end": "2026-04"}, {"start": "2026", "end": "2026-05-01"})
    ),
    "bad reference": where(named("reference"), among(*REFERENCES)),
    "type of a reference": where(
        having("reference"), gain({"type": "Patient"}, {"type": "Medication"}, {"type": "Foo"}, {"type": "group"})
    ),
    "reference by identifier": where(
        having("reference"), lambda s, rng: s.put({"identifier": {"value": "x"}, "type": "Group"})
    ),
    "bad id": at_root(
        lambda r: r.update(id="a_b"),
        lambda r: r.update(id="x" * 65),
        lambda r: r.update(id=5),
        lambda r: r.update(id="-"),
        lambda r: r.update(_id={"extension": [{"url": EXT, "valueString": "x"}]}),
    ),
    "element ids": where(of_type(dict), gain({"id": "e 1"}, {"id": "e1"}, {"id": ""}, {"id": 3}, {"id": "x" * 70})),
    "the same element id twice": at_root(same_ids),
    "unknown extension": where(
        having(*("system", "code", "reference", "coding", "value", "text", "start", "family")),
        gain(
            {"extension": [{"url": EXT, "valueString": "x"}]},
            {"extension": [{"url": EXT}]},
            {"extension": [{"valueString": "x"}]},
            {"extension": [{"url": "relative", "valueString": "x"}]},
            {"extension": {"url": EXT, "valueString": "x"}},
            {"extension": [{"url": EXT, "valueString": "x", "extension": [{"url": "a", "valueString": "x"}]}]},
            {"extension": [{"url": EXT, "extension": [{"url": "a", "valueString": "x"}]}]},
            {"extension": []},
            {"extension": [{"url": EXT, "valueString": "x", "valueCode": "y"}]},
            {"extension": [{"url": EXT, "valueFoo": "x"}]},
        ),
    ),
    "known extension": at_root(
        *(
            lambda r, e=e: r.setdefault("extension", []).append(dict(e))
            for e in (
                {"url": CORE + "patient-birthPlace", "valueAddress": {"city": "x"}},
                {"url": CORE + "data-absent-reason", "valueCode": "unknown"},
                {"url": CORE + "data-absent-reason", "valueString": "unknown"},
                {"url": CORE + "observation-bodyPosition", "valueCodeableConcept": {"text": "x"}},
                {"url": CORE + "Patient", "valueString": "x"},
            )
        )
    ),
    "modifier extension": at_root(
        lambda r: r.update(modifierExtension=[{"url": EXT, "valueBoolean": True}]),
        lambda r: r.update(modifierExtension=[{"url": CORE + "data-absent-reason", "valueCode": "unknown"}]),
    ),
    "extension for a value": where(
        lambda s: isinstance(s.key, str) and not s.key.startswith("_") and not isinstance(s.value, (dict, list)),
        lambda s, rng: (
            s.holder.update(
                {"_" + s.key: {"extension": [{"url": CORE + "data-absent-reason", "valueCode": "unknown"}]}}
            ),
            s.holder.pop(s.key) if rng.random() < 0.5 else None,
        ),
    ),
    "damaged primitive sibling": where(
        lambda s: isinstance(s.key, str) and isinstance(s.value, str) and not s.key.startswith("_"),
        lambda s, rng: s.holder.update(
            {"_" + s.key: rng.choice(["x", {}, {"foo": 1}, {"id": "x"}, [None], {"extension": []}, None])}
        ),
    ),
    "other choice": where(choice, rename_choice),
    "contained": at_root(
        contain(ORG),
        contain(ORG, key="o9"),
        contain(ORG, ORG, key="o9"),
        contain({**ORG, "contained": [ORG]}, key="o9"),
        contain({"resourceType": "Organization", "name": "X"}),
        contain({**ORG, "meta": {"versionId": "1"}}, key="o9"),
        contain({**ORG, "name": 5}, key="o9"),
        contain({"resourceType": "Foo", "id": "o9"}, key="o9"),
        contain({**ORG, "meta": {"security": [{"code": "x"}]}}, key="o9"),
        contain({**ORG, "id": "#o9"}, key="o9"),
    ),
    "meta": at_root(
        lambda r: r.update(meta={"profile": ["http://example.org/unknown"]}),
        lambda r: r.update(meta={"profile": [CORE + "bmi"]}),
        lambda r: r.update(meta={"profile": [CORE + "vitalsigns"]}),
        lambda r: r.update(meta={"lastUpdated": "2026-01-31"}),
        lambda r: r.update(meta={"versionId": "a b"}),
        lambda r: r.update(meta={"tag": [{"code": "x"}]}),
        lambda r: r.update(meta={"source": "#x"}),
        lambda r: r.update(meta={"security": [{"code": "R"}, {"code": "R"}]}),
        lambda r: r.update(meta={"versionId": "x" * 65}),
        lambda r: r.update(meta={"lastUpdated": "2026-01-31T08:30:00Z"}),
        lambda r: r.update(meta={}),
        lambda r: r.update(meta={"profile": CORE + "Patient"}),
        lambda r: r.update(meta={"profile": [""]}),
    ),
    "narrative": at_root(
        *(
            lambda r, t=t: r.update(text=t)
            for t in (
                {"status": "generated", "div": f"<div {XHTML}>x</div>"},
                {"status": "generated", "div": "<div>x</div>"},
                {"status": "generated", "div": f"<div {XHTML}><script>x</script></div>"},
                {"status": "generated", "div": f"<div {XHTML}></div>"},
                {"status": "generated", "div": f"<div {XHTML}>x<br></div>"},
                {"status": "generated", "div": "plain"},
                {"status": "generated", "div": f"<div {XHTML}>a &nbsp; &amp; b</div>"},
                {"status": "generated"},
                {"status": "final", "div": f"<div {XHTML}>x</div>"},
                {"status": "empty", "div": f'<div {XHTML} onclick="x()">x</div>'},
                {"status": "empty", "div": f'<div {XHTML}><p style="a" class="b">x</p></div>'},
                {"div": f"<p {XHTML}>x</p>"},
            )
        )
    ),
    "other resource type": at_root(
        *(lambda r, t=t: r.update(resourceType=t) for t in ("Basic", "Foo", "Patient", "Observation"))
    ),
    "bundle type": where(
        named("type"), among("batch", "transaction", "document", "message", "searchset", "history", "collection")
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
    "bundle entry": where(having("resource", "request"), lambda s, rng: s.value.pop(rng.choice(list(s.value)))),
    "bundle request": where(
        having("resource", "request"),
        gain(
            {"request": {"method": "PUT"}},
            {"request": {"method": "GET", "url": "Patient"}},
            {"search": {"mode": "match"}},
            {"response": {"status": "201"}},
            {"request": {"method": "DELETE", "url": "Patient/1"}},
            {"link": [{"relation": "self"}]},
        ),
    ),
}
"""Each kind takes a resource (changed in place) and a random source, and tells whether it found a place."""


USUAL = frozenset(
    {
        "drop a property",
        "drop a list item",
        "duplicate an item",
        "duplicate a codeable item",
        "exchange codes between items",
        "retype",
        "recode",
        "recode an enumeration",
        "swap a system",
        "wrong unit",
        "comparator",
        "unknown property",
        "property of the type or a neighbour",
        "bad date",
        "other date",
        "bad reference",
    }
)
"""What goes wrong in practice; done twice, at another place."""


def mutations(name: str, resource: Resource) -> Iterator[tuple[str, Resource]]:
    """Every kind of damage where it applies and changes something; the name says what was done."""
    for kind, damage in KINDS.items():
        seen = [resource]
        for number in range(2 if kind in USUAL else 1):
            broken = copy.deepcopy(resource)
            if damage(broken, random.Random(f"{name}|{kind}|{number}")) and broken not in seen:
                seen.append(broken)
                yield f"{name}: {kind} {number}", broken
