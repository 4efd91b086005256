"""Links and images of narratives lead somewhere."""

from __future__ import annotations

from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from tests.validation.building import PATIENT
from tests.validation.conftest import Judge

SCAN: Resource = {"resourceType": "Binary", "id": "scan", "contentType": "image/png", "data": "aaaa"}


def told(inside: str, **more: Any) -> Resource:
    div = f'<div xmlns="http://www.w3.org/1999/xhtml">{inside}</div>'
    return {**PATIENT, "text": {"status": "generated", "div": div}, **more}


def rules(judge: Judge, resource: Resource) -> set[str]:
    return {issue.rule for issue in judge(resource) if issue.severity == "error"}


@pytest.mark.parametrize(
    "inside",
    [
        '<a href="#here">x</a><p id="here">y</p>',
        '<a href="#here">x</a><a name="here">y</a>',
        "<a href='#here'>x</a><p id='here'>y</p>",
        '<a href="#">x</a>',
        f'<a href="#{PATIENT["id"]}">x</a>',
        '<a href="page.html#there">x</a>',
        '<a href="mailto:a@example.org">x</a>',
        '<img src="cid:1" alt="x"/>',
        "<p>see #here</p>",
    ],
)
def test_a_link_that_can_be_followed_is_fine(judge: Judge, inside: str) -> None:
    assert rules(judge, told(inside)) == set()


@pytest.mark.parametrize(
    "inside",
    [
        '<a href="#here">x</a>',
        "<a href='#here'>x</a>",
        '<img src="#here" alt="x"/>',
        '<a class="y" href="#her&#101;">x</a><p id="elsewhere">y</p>',
        '<a href="">x</a>',
        '<a href="urn:uuid:9b2b7c52-61a5-4a9b-8f8e-1f8a3d8f5c11">x</a>',
        '<a href="cid:1">x</a>',
        '<a href="vbscript:x">x</a>',
    ],
)
def test_a_link_that_leads_nowhere_is_refused(judge: Judge, inside: str) -> None:
    assert rules(judge, told(inside)) == {"txt-links"}


def test_a_link_may_lead_to_an_element_or_to_another_narrative(judge: Judge) -> None:
    name = [{"id": "here", "family": "X"}]
    assert rules(judge, told('<a href="#here">x</a>', name=name)) == set()
    section = {"text": {"status": "generated", "div": told('<p id="here">y</p>')["text"]["div"]}}
    document = {"resourceType": "Composition", "status": "final", "type": {"text": "x"}, "date": "2026", "title": "x"}
    document |= {"author": [{"display": "x"}], "text": told('<a href="#here">x</a>')["text"]}
    assert rules(judge, document) == {"txt-links"}
    assert rules(judge, {**document, "section": [section]}) == set()


@pytest.mark.parametrize("inside", ['<img src="#scan" alt="x"/>', '<a href="#scan">x</a>'])
def test_a_narrative_that_shows_a_contained_resource_refers_to_it(plain: Validator, inside: str) -> None:
    assert plain.is_valid(told(inside, contained=[SCAN]))
    assert not plain.is_valid(told("nothing", contained=[SCAN]))
    assert not plain.is_valid(told(inside))


@pytest.mark.parametrize(
    ("inside", "fine"),
    [
        ("<ul><ul><li>x</li></ul></ul>", False),
        ("<table><div>x</div></table>", False),
        ("<table><tr><p>x</p></tr></table>", False),
        ("<dl><p>x</p></dl>", False),
        ('<a href="x">y<b><a href="z">z</a></b></a>', False),
        ("<span><div>x</div></span>", False),
        ("<ins>x</ins>", False),
        ('<a href="x" target="_blank">y</a>', False),
        ("<table><caption>c</caption><tbody><tr><th>x</th><td>y</td></tr></tbody></table>", True),
        ("<ul><li>x<ul><li>y</li></ul></li></ul>", True),
        ("<p><![CDATA[a < b & c]]></p>", True),
        ("<p><![CDATA[a < b</p>", False),
    ],
)
def test_what_stands_in_what_is_html_s_rule(judge: Judge, inside: str, fine: bool) -> None:
    assert ("txt-1" not in rules(judge, told(inside))) is fine
