"""JUnit and SARIF: what the programs that read them insist on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from fhirbridge import fhirjson
from fhirbridge.validation import Validator, junit, sarif
from fhirbridge.validation.report import FileOutcome, validate_paths
from tests.validation.building import OBSERVATION, PATIENT


@pytest.fixture
def outcomes(plain: Validator, tmp_path: Path) -> Callable[[], list[FileOutcome]]:
    wrong = {**OBSERVATION, "id": "o-2", "status": "do\u0001ne", "note": [{"text": "x "}]}
    lines = [fhirjson.dumps(PATIENT), b"{broken", fhirjson.dumps(wrong)]
    (tmp_path / "a b.ndjson").write_bytes(b"\n".join(lines))
    entries = [{"fullUrl": f"https://x.test/{r['resourceType']}/{r['id']}", "resource": r} for r in (PATIENT, wrong)]
    bundle = {"resourceType": "Bundle", "id": "b", "type": "collection", "entry": entries}
    (tmp_path / "c.json").write_text(json.dumps(bundle, indent=1))
    return lambda: list(validate_paths(plain, [tmp_path]))


def test_junit_has_a_suite_for_each_file_and_a_case_for_each_resource(outcomes: Callable[[], Any]) -> None:
    stream = io.StringIO()
    junit.write(outcomes(), stream)
    root = ElementTree.fromstring(stream.getvalue())
    assert root.tag == "testsuites"
    lines, bundle = root
    assert [suite.tag for suite in root] == ["testsuite", "testsuite"]
    assert lines.get("name", "").endswith("a b.ndjson")
    assert {key: lines.get(key) for key in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
    }
    assert [case.get("name") for case in lines] == ["line 1 Patient/p-1", "line 2 input", "line 3 Observation/o-2"]
    assert [case.get("name") for case in bundle] == [
        "Bundle/b",
        "Bundle/b entry[0] Patient/p-1",
        "Bundle/b entry[1] Observation/o-2",
    ]
    assert [case.find("failure") is not None for case in bundle] == [False, False, True]


def test_a_junit_failure_says_place_rule_and_remedy(outcomes: Callable[[], Any]) -> None:
    stream = io.StringIO()
    junit.write(outcomes(), stream)
    root = ElementTree.fromstring(stream.getvalue())
    failures = root.findall(".//failure")
    assert all(failure.get("message") and failure.get("type") for failure in failures)
    assert "Observation.status" in (failures[0].text or "")
    assert all(case.get("classname") and case.get("name") and case.get("time") for case in root.iter("testcase"))
    assert "[whitespace]" in "".join(out.text or "" for out in root.iter("system-out"))


def test_sarif_has_what_the_standard_requires(outcomes: Callable[[], Any]) -> None:
    stream = io.StringIO()
    sarif.write(outcomes(), stream, "1.2.3")
    log = json.loads(stream.getvalue())
    assert (log["version"], len(log["runs"])) == ("2.1.0", 1)
    run = log["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert run["tool"]["driver"]["name"] == "fhirbridge"
    assert len({rule["id"] for rule in rules}) == len(rules)
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert result["message"]["text"]
        physical = result["locations"][0]["physicalLocation"]
        assert " " not in physical["artifactLocation"]["uri"]
        assert physical["region"]["startLine"] >= 1


def test_sarif_gives_the_line_of_the_resource_or_of_the_element(outcomes: Callable[[], Any], tmp_path: Path) -> None:
    stream = io.StringIO()
    sarif.write(outcomes(), stream, "1.2.3")
    places = {
        (found["physicalLocation"]["artifactLocation"]["uri"].rpartition("/")[2], result["ruleId"]): (
            found["physicalLocation"]["region"]["startLine"]
        )
        for result in json.loads(stream.getvalue())["runs"][0]["results"]
        for found in result["locations"]
    }
    text = (tmp_path / "c.json").read_text().splitlines()
    assert places["a%20b.ndjson", "input"] == 2
    assert places["a%20b.ndjson", "whitespace"] == 3
    assert '"text": "x "' in text[places["c.json", "whitespace"] - 1]


def test_nothing_found_is_still_a_whole_report() -> None:
    one, two = io.StringIO(), io.StringIO()
    junit.write([], one)
    sarif.write([], two, "1")
    assert len(ElementTree.fromstring(one.getvalue())) == 0
    assert json.loads(two.getvalue())["runs"][0]["results"] == []
