"""Profiles may ask for sections by language and for sources in a narrative; textLink joins its parts to elements."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from tests.validation.building import PATIENT, element, profile
from tests.validation.conftest import Judge

CORE = "http://hl7.org/fhir/StructureDefinition/"
TWO = '<div lang="de" xml:lang="de">ja</div><div lang="en" xml:lang="en">yes</div>'
MARKED = '<p class="generated">a</p> <p class="wide original">b</p>'


def told(inside: str, **more: Any) -> Resource:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{inside}</div>'
    return {**PATIENT, "text": {"status": "generated", "div": div}, **more}


def asking(extension: str, code: str) -> Resource:
    wanted = {"url": CORE + extension, "valueCode": code}
    return profile("controlled", "Patient", element("Patient.text", extension=[wanted]))


def found(judge: Judge, resource: Resource, *profiles: Resource, severity: str = "error") -> set[str]:
    return {issue.rule for issue in judge(resource, *profiles) if issue.severity == severity and "txt-" in issue.rule}


@pytest.mark.parametrize(
    ("code", "narrative"),
    [
        ("_no", told("<p lang='de'>ja</p>")),
        ("_yes", told(TWO)),
        ("_resource", told(TWO, language="en")),
        ("_resource", told(TWO)),
        ("_resource", told("ja", language="de")),
        ("de", told(TWO)),
    ],
)
def test_a_narrative_has_the_sections_that_the_profile_wants(judge: Judge, code: str, narrative: Resource) -> None:
    assert found(judge, narrative, asking("narrative-language-control", code)) == set()


@pytest.mark.parametrize(
    ("code", "narrative"),
    [
        ("_no", told(TWO)),
        ("_yes", told("ja")),
        ("_resource", told(TWO, language="fr")),
        ("fr", told(TWO)),
    ],
)
def test_a_narrative_without_the_sections_wanted_is_refused(judge: Judge, code: str, narrative: Resource) -> None:
    assert found(judge, narrative, asking("narrative-language-control", code)) == {"txt-language"}


@pytest.mark.parametrize("inside", ["a", "<p>a</p>", f"{MARKED} b", '<p class="mine">a</p>'])
def test_a_part_without_its_source_breaks_the_rule_at_the_level_it_says(judge: Judge, inside: str) -> None:
    assert found(judge, told(inside), asking("narrative-source-control", "error")) == {"txt-source"}
    lenient = asking("narrative-source-control", "warning")
    assert found(judge, told(inside), lenient) == set()
    assert found(judge, told(inside), lenient, severity="warning") == {"txt-source"}


def test_parts_that_tell_their_source_are_fine(judge: Judge) -> None:
    strict = asking("narrative-source-control", "error")
    assert found(judge, told(f"{MARKED}<div class='boilerplate'><p>c</p></div>"), strict) == set()
    assert found(judge, PATIENT, strict) == set()


def joined(htmlid: str, data: str) -> Resource:
    parts = [{"url": "htmlid", "valueString": htmlid}, {"url": "data", "valueUri": data}]
    resource = told('<p id="shown">x</p>', contact=[{"id": "c1", "name": {"text": "x"}}])
    resource["text"]["extension"] = [{"url": CORE + "textLink", "extension": parts}]
    return resource


def test_a_text_link_joins_what_is_there(judge: Judge) -> None:
    assert found(judge, joined("shown", "#c1")) == set()
    assert found(judge, joined("shown", "Patient/elsewhere#c2")) == set()


@pytest.mark.parametrize(("htmlid", "data"), [("hidden", "#c1"), ("shown", "#c2")])
def test_a_text_link_that_leads_nowhere_is_refused(judge: Judge, htmlid: str, data: str) -> None:
    assert found(judge, joined(htmlid, data)) == {"txt-shown"}
