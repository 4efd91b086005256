"""Damage by additions: elements, extensions, contained resources, metadata and narratives, some of them fine."""

from __future__ import annotations

from tests.validation.spots import XHTML, Kind, at_root, contain, gain, having, of_type, where

ORG = {"resourceType": "Organization", "id": "o9", "name": "X"}
EXT = "http://example.org/ext"
CORE = "http://hl7.org/fhir/StructureDefinition/"

EXTRA: dict[str, Kind] = {
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
    "element ids": where(of_type(dict), gain({"id": "e 1"}, {"id": "e1"}, {"id": ""}, {"id": 3}, {"id": "x" * 70})),
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
