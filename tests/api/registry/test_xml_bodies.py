"""What is sent as XML is taken as the same in JSON is; hostile XML is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.api.registry import fhirxml, fhirxml_reading
from fhirbridge.errors import InputError
from tests.api.registry.serving import Registry, refusal, validator
from tests.mappings.cases import GOLDEN

XML = "application/fhir+xml"
FHIR = 'xmlns="http://hl7.org/fhir"'

STRANGE = f"""<?xml version="1.0" encoding="UTF-8"?>
<!-- what a client may write, all at once -->
<f:Observation xmlns:f="http://hl7.org/fhir">
  <f:id value="o1"/>
  <f:text><f:status value="generated"/><h:div xmlns:h="http://www.w3.org/1999/xhtml">a <h:b title="&quot;1 &lt; 2&quot;"
    >b</h:b> &amp; c</h:div></f:text>
  <f:contained><Patient {FHIR}><id value="p"/><active value="true"/></Patient></f:contained>
  <f:extension url="http://example.org/x"><f:valueInteger value="7"/></f:extension>
  <f:status value="final"><f:extension url="http://example.org/y"><f:valueCode value="z"/></f:extension></f:status>
  <f:code id="c"><f:coding><f:code value="1"/></f:coding><f:coding><f:code value="2"/></f:coding></f:code>
  <f:subject><f:reference value="#p"/></f:subject>
  <f:valueQuantity><f:value value="5.50"/></f:valueQuantity>
  <f:mood value="blue"/>
  <f:component><f:code/><f:valueSampledData><f:origin><f:value value="1E3"/></f:origin><f:period value="ten"/>
  </f:valueSampledData></f:component>
</f:Observation>"""
READ = (
    '{"resourceType":"Observation","id":"o1","text":{"status":"generated","div":"<div xmlns=\\"http://www.w3.org/1999/'
    'xhtml\\">a <b title=\'\\"1 &lt; 2\\"\'>b</b> &amp; c</div>"},'
    '"contained":[{"resourceType":"Patient","id":"p","active":true}],'
    '"extension":[{"url":"http://example.org/x","valueInteger":7}],'
    '"status":"final","_status":{"extension":[{"url":"http://example.org/y","valueCode":"z"}]},'
    '"code":{"id":"c","coding":[{"code":"1"},{"code":"2"}]},"subject":{"reference":"#p"},'
    '"valueQuantity":{"value":5.50},"mood":"blue",'
    '"component":[{"code":{},"valueSampledData":{"origin":{"value":1E+3},"period":"ten"}}]}'
)


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.json")), ids=lambda path: path.stem)
def test_what_is_written_as_xml_is_read_as_what_it_was(path: Path) -> None:
    resource = fhirjson.loads(path.read_bytes())
    written = fhirxml.written(resource, validator().model)
    assert fhirjson.canonical(fhirxml_reading.read(written, validator().model)) == fhirjson.canonical(resource)


def test_each_way_of_writing_a_value_is_read() -> None:
    assert fhirjson.dumps(fhirxml_reading.read(STRANGE.encode(), validator().model)).decode() == READ


def test_lists_with_values_and_extensions_keep_their_places() -> None:
    beside = '<extension url="http://example.org/x"><valueCode value="y"/></extension>'
    text = f'<Patient {FHIR}><name><given value="A"/><given>{beside}</given><given value="C"/></name></Patient>'
    (name,) = fhirxml_reading.read(text.encode(), validator().model)["name"]
    assert name["given"] == ["A", None, "C"]
    assert [one is not None for one in name["_given"]] == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"<Patient",
        b"\xff\xfe<",
        b"<Patient/>",
        f"<Nothing {FHIR}/>".encode(),
        f"<Patient {FHIR}>Jo</Patient>".encode(),
        f'<Patient {FHIR}><gender xmlns="http://example.org" value="male"/></Patient>'.encode(),
        f"<Bundle {FHIR}><entry><resource/></entry></Bundle>".encode(),
        b'<div xmlns="http://www.w3.org/1999/xhtml"/>',
        f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Patient {FHIR}><id value="&e;"/></Patient>'.encode(),
        f"<Patient {FHIR}>{'<contact>' * 10_000}{'</contact>' * 10_000}</Patient>".encode(),
    ],
    ids=range(12),
)
def test_what_is_no_resource_in_xml_is_refused(registry: Registry, text: bytes) -> None:
    with pytest.raises(InputError):
        fhirxml_reading.read(text, validator().model)
    for path in ("", "Patient/$validate"):
        answer = registry.ask(path, method="POST", data=text, content_type=XML)
        assert refusal(answer)[0] == 400, path


def test_a_batch_may_be_xml(registry: Registry) -> None:
    id = registry.one("Patient")["id"]
    batch = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": f"Patient/{id}", "ifNoneMatch": 'W/"1"'}}],
    }
    for kind in (XML, "application/xml", "text/xml; charset=utf-8"):
        sent = fhirxml.written(batch, validator().model)
        answer = fhirjson.loads(registry.ask("", method="POST", data=sent, content_type=kind).data)
        assert [one["response"]["status"] for one in answer["entry"]] == ["304 Not Modified"]


def parameters(**values: Any) -> bytes:
    made = {"resourceType": "Parameters", "parameter": [{"name": name, **value} for name, value in values.items()]}
    return fhirxml.written(made, validator().model)


def test_an_operations_parameters_may_be_xml(registry: Registry) -> None:
    path = f"Patient/{registry.one('Patient')['id']}/$everything"
    sent = parameters(_count={"valueInteger": 3}, _type={"valueCode": "Observation"})
    answer = registry.ask(path, method="POST", data=sent, content_type=XML)
    found = fhirjson.loads(answer.data)
    assert [one["resource"]["resourceType"] for one in found["entry"]] == ["Observation"] * 3
    begun = registry.ask(
        "$export", method="POST", data=parameters(_type={"valueString": "Patient"}), content_type=XML,
        headers={"Prefer": "respond-async"},
    )  # fmt: skip
    assert begun.status_code == 202


def test_a_resource_in_xml_is_judged_as_in_json(registry: Registry) -> None:
    patient = registry.one("Patient")
    for change in ({}, {"gender": "mail"}, {"birthDate": "2026-99"}, {"active": "maybe"}):
        resource = patient | change
        outcomes = [
            fhirjson.loads(registry.ask("Patient/$validate", method="POST", data=data, content_type=kind).data)
            for data, kind in (
                (fhirxml.written(resource, validator().model), XML),
                (fhirjson.dumps(resource), "application/fhir+json"),
            )
        ]
        assert outcomes[0]["issue"] == outcomes[1]["issue"]
