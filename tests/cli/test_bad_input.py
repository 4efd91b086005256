"""What `fhirbridge validate` says to input that is broken: file, line and cause, and never a traceback."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.errors import EXIT_DONE, EXIT_REFUSED, EXIT_UNUSABLE
from tests.cli.conftest import Validate
from tests.validation.building import PATIENT, SITE, concept, element, profile

PROFILES = SITE + "StructureDefinition/"


def nested(wrap: Callable[[Any], Any], inside: Any, times: int) -> Any:
    for _ in range(times):
        inside = wrap(inside)
    return inside


DEEP = {
    "extensions": {**PATIENT, "extension": [nested(
        lambda e: {"url": SITE + "x", "extension": [e]}, {"url": SITE + "x", "valueString": "a"}, 200
    )]},
    "items": {"resourceType": "Questionnaire", "status": "draft", "item": [nested(
        lambda i: {"linkId": "1", "type": "group", "item": [i]}, {"linkId": "1", "type": "group"}, 200
    )]},
    "bundles": nested(
        lambda r: {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": r}]}, PATIENT, 200
    ),
    "parameters": nested(
        lambda r: {"resourceType": "Parameters", "parameter": [{"name": "x", "resource": r}]}, PATIENT, 200
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DEEP)
def test_200_levels_are_too_deep(validate: Validate, name: str) -> None:
    Path("deep.json").write_text(json.dumps(DEEP[name]))
    ran = validate("deep.json", "--format", "outcome")
    assert ran.exit_code == EXIT_REFUSED
    [issue] = [i for i in json.loads(ran.stdout)["issue"] if "deep" in i["details"]["text"]]
    assert "Nested more than 100 deep" in issue["details"]["text"]
    assert "deep.json" in issue["diagnostics"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('<Patient xmlns="http://hl7.org/fhir"/>', "x.json:1: not JSON"),
        ('<Patient xmlns="http://hl7.org/fhir"/>', "FHIR's XML is not read here"),
        ('{"resourceType": "Patient",\n "active" true}', "x.json:2: not JSON"),
        ('{"resourceType": "Patient",\n "id": ', "x.json:2: not JSON: Input data was truncated"),
        ('{"resourceType":"Patient","name":' + "[" * 5000 + "]" * 5000 + "}", "nested too deep"),
        ('{"resourceType":"Observation","valueQuantity":{"value":1E+999999999999999999999}}', "exponent"),
        ("[]", "no FHIR resource"),
        ('{"resourceType": 7}', "no FHIR resource"),
        ("", "the file is empty"),
    ],
)
def test_what_is_no_resource_is_unusable_and_says_file_line_and_cause(
    validate: Validate, content: str, told: str
) -> None:
    Path("x.json").write_text(content)
    ran = validate("x.json")
    assert ran.exit_code == EXIT_UNUSABLE
    assert told in ran.stdout
    assert "x.json" in ran.stdout


def test_a_broken_line_in_the_middle_is_named_and_the_rest_is_validated(validate: Validate) -> None:
    lines = [json.dumps(PATIENT)] * 5
    lines[2] = lines[2][:-5]
    Path("x.ndjson").write_text("\n".join(lines))
    ran = validate("x.ndjson")
    assert ran.exit_code == EXIT_UNUSABLE
    assert "x.ndjson:3: not JSON" in ran.stdout
    assert "5 resources, 4 valid, 0 invalid, 1 unusable" in ran.stdout


def test_bad_input_is_told_alike_by_several_processes(validate: Validate) -> None:
    deep, broken = DEEP["items"], {**PATIENT, "meta": {"profile": [PROFILES + "one"]}}
    write_profiles(NO_SUCH_PATH)
    lines = [json.dumps(one) for one in (PATIENT, deep, broken, {"resourceType": "Pateint"}, [])]
    Path("x.ndjson").write_text("\n".join([*lines, "{", "[" * 5000]))
    alone, together = (validate("x.ndjson", "--package", "own", "--jobs", jobs) for jobs in ("1", "2"))
    assert (together.exit_code, together.stdout) == (alone.exit_code, alone.stdout)
    assert "7 resources, 1 valid, 2 invalid, 4 unusable" in together.stdout


def test_contained_resources_by_the_thousand_keep_their_rules(validate: Validate) -> None:
    inside = [{"resourceType": "Organization", "id": f"o{n}", "name": "x"} for n in range(3000)]
    links = [{"reference": f"#o{n}"} for n in range(3000)]
    Path("good.json").write_text(json.dumps({**PATIENT, "contained": inside, "generalPractitioner": links}))
    Path("bad.json").write_text(json.dumps({**PATIENT, "contained": inside[1:], "generalPractitioner": links[:-1]}))
    assert validate("good.json").exit_code == EXIT_DONE
    ran = validate("bad.json")
    assert ran.exit_code == EXIT_REFUSED
    assert "[dom-3]" in ran.stdout
    assert "Patient.generalPractitioner[0]" in ran.stdout


def test_a_compressed_file_that_is_cut_is_unusable(validate: Validate) -> None:
    Path("x.json.gz").write_bytes(gzip.compress(json.dumps(PATIENT).encode())[:-9])
    ran = validate("x.json.gz")
    assert ran.exit_code == EXIT_UNUSABLE
    assert "x.json.gz: not a whole gzip file" in ran.stdout


def test_a_resource_of_unknown_type_is_an_error_with_the_nearest_name(validate: Validate) -> None:
    Path("x.json").write_text('{"resourceType": "Pateint"}')
    ran = validate("x.json")
    assert ran.exit_code == EXIT_REFUSED
    assert "'Pateint' is not a resource type of FHIR R4. Did you mean Patient?" in ran.stdout


def test_a_key_that_comes_twice_is_named_with_its_lines(validate: Validate) -> None:
    Path("x.json").write_text('{"resourceType": "Patient",\n"gender": "male",\n"gender": "female"}')
    ran = validate("x.json", "--errors-only")
    assert ran.exit_code == EXIT_REFUSED
    assert "Patient.gender" in ran.stdout
    assert "in lines 2 and 3" in ran.stdout


def test_a_resource_of_50_mb_is_validated(validate: Validate) -> None:
    data = base64.b64encode(bytes(37_500_000)).decode()
    binary = {"resourceType": "Binary", "contentType": "application/pdf", "data": data}
    Path("good.json").write_text(json.dumps(binary))
    Path("bad.json").write_text(json.dumps({**binary, "data": data[:-1]}))
    Path("long.json").write_text(json.dumps({**PATIENT, "name": [{"family": data}]}))
    assert validate("good.json").exit_code == EXIT_DONE
    ran = validate("bad.json", "long.json")
    assert ran.exit_code == EXIT_REFUSED
    assert "Binary.data: 'AAAA" in ran.stdout
    assert "a string of 50000000 characters is longer than 1048576" in ran.stdout


def test_a_file_larger_than_the_limit_says_what_to_do(validate: Validate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fhirbridge.validation.reading.MAX_BYTES", 1 << 20)
    Path("x.json").write_text(" " * (2 << 20) + json.dumps(PATIENT))
    Path("x.ndjson").write_text(json.dumps(PATIENT) + " " * (2 << 20) + "\n" + json.dumps(PATIENT))
    ran = validate("x.json", "x.ndjson")
    assert ran.exit_code == EXIT_UNUSABLE
    assert "x.json: larger than 1 MiB. Split it, or send NDJSON." in ran.stdout
    assert "x.ndjson:1: the line is larger than 1 MiB" in ran.stdout
    assert "3 resources, 1 valid, 0 invalid, 2 unusable" in ran.stdout


def write_profiles(*definitions: dict[str, Any]) -> None:
    Path("own").mkdir()
    for number, definition in enumerate(definitions):
        Path(f"own/{number}.json").write_text(json.dumps(definition))
    Path("x.json").write_text(json.dumps({**PATIENT, "maritalStatus": concept("red")}))


NO_SUCH_PATH = profile("one", "Patient", element("Patient.nothing", max="0"))
CIRCLE = (profile("one", "Patient", base=PROFILES + "two"), profile("two", "Patient", base=PROFILES + "one"))


@pytest.mark.parametrize(
    ("definitions", "told"), [((NO_SUCH_PATH,), "Patient.nothing does not exist"), (CIRCLE, "is circular")]
)
def test_a_broken_profile_is_refused_naming_file_and_cause(
    validate: Validate, definitions: tuple[dict[str, Any], ...], told: str
) -> None:
    write_profiles(*definitions)
    ran = validate("x.json", "--package", "own", "--profile", PROFILES + "one")
    assert ran.exit_code == EXIT_UNUSABLE
    assert f"own/0.json: {PROFILES}one" in ran.stderr
    assert told in ran.stderr


@pytest.mark.parametrize("definitions", [(NO_SUCH_PATH,), CIRCLE])
def test_a_broken_profile_that_a_resource_names_is_no_silent_pass(
    validate: Validate, definitions: tuple[dict[str, Any], ...]
) -> None:
    write_profiles(*definitions)
    Path("x.json").write_text(json.dumps({**PATIENT, "meta": {"profile": [PROFILES + "one"]}}))
    for more in ([], ["--errors-only"]):
        ran = validate("x.json", "--package", "own", *more)
        assert ran.exit_code == EXIT_UNUSABLE
        assert "x.json: cannot be validated: own/0.json" in ran.stdout


@pytest.mark.parametrize("compose", [None, {"include": [{"valueSet": [SITE + "ValueSet/not-loaded"]}]}])
def test_a_value_set_without_content_is_a_warning_that_names_it(validate: Validate, compose: Any) -> None:
    empty = {"resourceType": "ValueSet", "url": SITE + "ValueSet/empty", "status": "active"}
    bound = element("Patient.maritalStatus", binding={"strength": "required", "valueSet": empty["url"]})
    write_profiles(profile("one", "Patient", bound), {**empty, "compose": compose} if compose else empty)
    assert (
        "1 warnings\n--warnings shows the warnings."
        in validate("x.json", "--package", "own", "--profile", PROFILES + "one").stdout
    )
    ran = validate("x.json", "--package", "own", "--profile", PROFILES + "one", "--warnings")
    assert ran.exit_code == EXIT_DONE
    assert "ValueSet/empty has nothing to expand" in ran.stdout
    assert "Patient.maritalStatus was not checked" in ran.stdout


@pytest.mark.parametrize(
    ("content", "told"), [("<x/>", "own.json:1"), ("[1]", "own.json"), ('{"resourceType": "ValueSet"}', "no url")]
)
def test_a_package_that_cannot_be_read_is_named(validate: Validate, content: str, told: str) -> None:
    Path("x.json").write_text(json.dumps(PATIENT))
    Path("own.json").write_text(content)
    ran = validate("x.json", "--package", "own.json")
    assert ran.exit_code == EXIT_UNUSABLE
    assert told.partition(":")[0] in ran.stderr
