"""Each mapping against its golden file, byte for byte; FHIRBRIDGE_WRITE_GOLDEN=1 writes the files anew."""

from __future__ import annotations

import os
import warnings

import pytest
from fhir.resources.R4B import get_fhir_model_class

from fhirbridge import fhirjson
from mappings import MAPPINGS
from mappings.meta import profile
from tests.mappings.cases import GOLDEN, GOLDEN_FILES, golden_resource


@pytest.mark.parametrize("file", GOLDEN_FILES)
def test_a_mapping_gives_exactly_its_golden_file(file: str) -> None:
    text = fhirjson.pretty(golden_resource(file)) + "\n"
    path = GOLDEN / f"{file}.json"
    if os.environ.get("FHIRBRIDGE_WRITE_GOLDEN") == "1":
        path.write_text(text, encoding="utf-8")
        warnings.warn(f"wrote {path}", stacklevel=1)
    assert path.read_text(encoding="utf-8") == text


@pytest.mark.parametrize("file", GOLDEN_FILES)
def test_every_golden_resource_passes_the_r4b_models(file: str) -> None:
    resource = golden_resource(file)
    model = get_fhir_model_class(resource["resourceType"])
    model.model_validate(fhirjson.loads(fhirjson.dumps(resource)))


def test_every_mapping_has_a_golden_file() -> None:
    made = {golden_resource(file)["resourceType"] for file in GOLDEN_FILES}
    assert made == {mapping.resource_type for mapping in MAPPINGS}


def test_no_golden_file_is_left_over() -> None:
    """Registry records keep their golden files in a folder of their own."""
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(GOLDEN_FILES)


def test_every_golden_resource_names_a_profile_of_this_project() -> None:
    for file, (_, name, _) in GOLDEN_FILES.items():
        assert golden_resource(file)["meta"]["profile"] == [profile(name)]
