"""The schemas, the types and the data dictionary say the same."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirbridge.records.columns import TABLES, tables
from fhirbridge.records.dictionary import dictionary
from fhirbridge.records.types import ImagingExam, LaboratoryResult, Lesion, Subject
from fhirbridge.study import Study, load

TYPES = {"subjects": Subject, "laboratory": LaboratoryResult, "imaging": ImagingExam, "lesions": Lesion}
NO_COLUMN = {"laboratory": {"reported", "source"}, "imaging": {"lesions"}}
NO_FIELD = {"lesions": {"exam"}}


@pytest.mark.parametrize("name", TABLES)
def test_every_column_is_a_field_and_every_field_a_column(study: Study, name: str) -> None:
    fields = {field.name for field in dataclasses.fields(TYPES[name])} - NO_COLUMN.get(name, set())
    assert set(tables(study)[name].columns) - NO_FIELD.get(name, set()) == fields


@pytest.mark.parametrize("name", TABLES)
def test_a_column_is_required_where_the_type_has_no_default(study: Study, name: str) -> None:
    required = {f.name for f in dataclasses.fields(TYPES[name]) if f.default is dataclasses.MISSING}
    table = tables(study)[name]
    assert {column.name for column in table.columns.values() if column.required} - NO_FIELD.get(name, set()) == required
    assert set(table.key) <= {column.name for column in table.columns.values() if column.required}


@pytest.mark.parametrize("name", TABLES)
def test_every_schema_is_json_schema_and_its_own_examples_and_defaults_pass(study: Study, name: str) -> None:
    table = tables(study)[name]
    jsonschema.Draft202012Validator.check_schema(table.schema)
    for column in table.columns.values():
        assert column.schema["title"]
        assert column.schema["description"].endswith(".")
        examples = [*column.schema.get("examples", []), *column.schema.get("enum", [])]
        examples += [column.schema["default"]] if "default" in column.schema else []
        if column.schema.get("x-study"):
            examples = column.schema["enum"]
        assert examples
        for example in examples:
            assert [e for e in table.errors({column.name: example}) if e.absolute_path] == []


def test_a_default_of_the_schema_is_the_default_of_the_type(study: Study) -> None:
    for name, table in tables(study).items():
        defaults = {field.name: field.default for field in dataclasses.fields(TYPES[name])}
        for column in table.columns.values():
            if not column.required and column.name in defaults:
                assert column.schema.get("default") == defaults[column.name]


def test_the_dictionary_tells_every_column_with_what_it_may_hold(study: Study) -> None:
    told = dictionary(study)
    for name, table in tables(study).items():
        section = told.split(f"## {name}\n")[1].split("\n## ")[0]
        for column in table.columns.values():
            line = next(line for line in section.splitlines() if line.startswith(f"| `{column.name}` |"))
            assert column.schema["description"].replace("|", "\\|") in line
            assert all(f"`{value}`" in line for value in column.schema.get("enum", []))
            assert ("yes" if column.required else "no") in line
    assert "Never repeated in reports." in told


def test_the_guide_tells_every_rule(study: Study) -> None:
    root = Path(__file__).parents[2]
    guide = (root / "docs" / "records.md").read_text(encoding="utf-8")
    used = {
        "before-consent", "after-withdrawal", "cells", "conflict", "enum", "format", "formula", "future", "held",
        "length", "order", "pattern", "quotes", "range", "required", "type", "unit", "unknown-analyte", "unknown-arm",
        "unknown-assay", "unknown-exam", "unknown-site", "unknown-subject", "unknown-visit", "unsaid-of-assay", "value",
    }  # fmt: skip
    assert [rule for rule in sorted(used) if f"`{rule}`" not in guide] == []


STUDY = load(Path(__file__).parents[2] / "mappings" / "studies" / "nct07120750.toml")
ANY = st.one_of(
    st.text(max_size=12),
    st.dates().map(str),
    st.datetimes().map(str),
    st.sampled_from(["2026-02-30", "2024-02-29", "2026-02-28T08:30:00+08:00", "NA", "W000", "LR-5", "-3", "14", "yes"]),
)


@pytest.mark.parametrize("name", TABLES)
@given(data=st.data())
def test_the_quick_and_the_thorough_validator_give_the_same_answer(name: str, data: Any) -> None:
    table = tables(STUDY)[name]
    cells = data.draw(st.lists(st.none() | ANY, min_size=len(table.order), max_size=len(table.order)))
    row = table.values(cells)
    assert table._quick.is_valid(row) == (not list(table._thorough.iter_errors(row)))
