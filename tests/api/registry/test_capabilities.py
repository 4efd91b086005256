"""What /metadata says, and that all that it says is so."""

from __future__ import annotations

import re
from typing import Any

import pytest

import fhirbridge
from fhirbridge.search.table import CATALOGUE, SERVED
from tests.api.registering import BASE
from tests.api.registry.serving import ROOT, Registry, refusal, validator


@pytest.fixture
def statement(registry: Registry) -> dict[str, Any]:
    found: dict[str, Any] = registry.get("metadata", client=None)
    return found


def of(statement: dict[str, Any], type: str) -> dict[str, Any]:
    return next(one for one in statement["rest"][0]["resource"] if one["type"] == type)


def test_it_needs_no_token_and_is_valid(statement: dict[str, Any]) -> None:
    assert statement["fhirVersion"] == "4.0.1"
    assert statement["kind"] == "instance"
    assert statement["implementation"]["url"] == BASE
    assert statement["software"] == {"name": "fhirbridge", "version": fhirbridge.__version__}
    assert [one for one in validator().validate(statement)["issue"] if one["severity"] in ("error", "fatal")] == []


def test_it_says_bulk_data_in_the_words_that_clients_look_for(statement: dict[str, Any]) -> None:
    assert statement["instantiates"] == ["http://hl7.org/fhir/uv/bulkdata/CapabilityStatement/bulk-data"]
    assert "export" in {one["name"] for one in statement["rest"][0]["operation"]}
    for type in ("Patient", "Group"):
        assert "export" in {one["name"] for one in of(statement, type)["operation"]}


def test_it_says_where_tokens_are_to_be_had(registry: Registry, statement: dict[str, Any]) -> None:
    security = statement["rest"][0]["security"]
    [uris] = [one for one in security["extension"] if one["url"].endswith("/oauth-uris")]
    assert {"url": "token", "valueUri": f"{BASE}/auth/token"} in uris["extension"]
    assert security["service"][0]["coding"][0]["code"] == "SMART-on-FHIR"
    assert refusal(registry.ask("auth/authorize", client=None))[0] == 404
    for path in ("/fhir/.well-known/smart-configuration", "/.well-known/smart-configuration"):
        assert registry.http.get(path).json["token_endpoint"] == f"{BASE}/auth/token"


@pytest.mark.parametrize("type", SERVED)
def test_every_parameter_it_names_is_taken_even_in_strict_handling(
    registry: Registry, statement: dict[str, Any], type: str
) -> None:
    values = {
        "token": "x",
        "date": "2026",
        "string": "x",
        "reference": "Patient/x",
        "quantity": "1",
        "uri": "urn:x",
        "number": "1",
    }
    named = {one["name"]: one["type"] for one in of(statement, type)["searchParam"]}
    assert set(named) == {one.code for one in CATALOGUE.of(type)}
    for name in named:
        parameter = CATALOGUE.find(type, name)
        assert parameter is not None
        kinds = [CATALOGUE.find(type, part) for part in parameter.parts] or [parameter]
        value = "$".join("true" if one.boolean else values[one.kind] for one in kinds if one)
        answer = registry.ask(f"{type}?{name}={value}&_count=0", headers={"Prefer": "handling=strict"})
        assert answer.status_code == 200, (name, answer.text)


@pytest.mark.parametrize("type", SERVED)
def test_every_include_and_interaction_it_names_is_there(
    registry: Registry, statement: dict[str, Any], type: str
) -> None:
    about = of(statement, type)
    for name, included in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
        for one in about.get(included, ()):
            assert registry.ask(f"{type}?{name}={one}&_count=1").status_code == 200, one
    interactions = {one["code"] for one in about["interaction"]}
    assert interactions == {"read", "vread", "history-instance", "history-type", "search-type"}
    assert registry.ask(f"{type}/_history?_count=1").status_code == 200


def test_another_mode_is_not_kept(registry: Registry) -> None:
    assert registry.ask("metadata?mode=full", client=None).status_code == 200
    assert refusal(registry.ask("metadata?mode=terminology", client=None)) == (400, "not-supported")


@pytest.mark.parametrize("name", ["capabilities", "read", "vread", "history", "search_type", "batch"])
def test_every_interaction_has_its_source_and_its_page(name: str) -> None:
    code = (ROOT / "fhirbridge" / "api" / "registry" / f"{name}.py").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "api" / f"{name}.md").read_text(encoding="utf-8")
    source = re.search(r"http://hl7.org/fhir/R4/http.html#\w+", code)
    assert source is not None
    assert source[0] in page
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page):
        assert (ROOT / "docs" / "api" / target).exists(), target
