"""HL7's own validator agrees: what the mappings make is valid, and what the examples break is broken."""

from __future__ import annotations

import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from tests.conftest import HapiValidator
from tests.mappings.cases import GOLDEN_FILES, golden_resource
from tests.profiles.test_package import BROKEN_RULE, EXAMPLES, KEYS, PACKAGE, VALID


def complaints(outcome: Resource) -> list[str]:
    return [issue["diagnostics"] for issue in outcome["issue"] if issue["severity"] in ("error", "fatal")]


@pytest.mark.hapi
def test_hl7_validator_accepts_every_golden_resource_and_tells_every_example_right(
    hapi_validator: HapiValidator,
) -> None:
    """One run for all: the validator takes seconds to start. It does not look at the type in a reference it cannot
    resolve, so the examples that break only that are ours alone to refuse.
    """
    good = {f"golden {file}": golden_resource(file) for file in GOLDEN_FILES}
    good |= {f"valid {path.stem}": fhirjson.loads(path.read_bytes()) for path in VALID}
    bad = {f"invalid {file}": fhirjson.loads((EXAMPLES / "invalid" / file).read_bytes()) for file in BROKEN_RULE}
    asked = good | bad
    outcomes = hapi_validator(sorted(PACKAGE.glob("*-*.json")), [(None, resource) for resource in asked.values()])
    told = {name: complaints(outcome) for name, outcome in zip(asked, outcomes, strict=True)}
    assert {name: told[name] for name in good if told[name]} == {}
    blind = {f"invalid {file}" for file, rule in BROKEN_RULE.items() if rule == "reference-target"}
    assert {name for name in bad if not told[name]} == blind
    for file, rule in BROKEN_RULE.items():
        assert rule not in KEYS or any(rule in text for text in told[f"invalid {file}"]), file
