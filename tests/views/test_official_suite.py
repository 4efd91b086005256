"""The official SQL-on-FHIR v2 test suite, every case (../shared/data/8_sql_on_fhir, Apache-2.0)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from fhirbridge import fhirjson
from fhirbridge.validation.node import Model
from fhirbridge.views.faults import ViewError
from fhirbridge.views.view import View
from tests.conftest import SHARED

SUITE = SHARED / "data" / "8_sql_on_fhir"


def _cases() -> Iterator[Any]:
    names = json.loads((SUITE / "manifest.json").read_bytes()) if SUITE.is_dir() else []
    for name in names:
        told = fhirjson.loads((SUITE / name).read_bytes())
        for number, case in enumerate(told["tests"]):
            yield pytest.param(told["resources"], case, id=f"{name.removesuffix('.json')}-{number}-{case['title']}")


def _in_order(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(json.dumps(row, sort_keys=True, default=_digits) for row in rows)


def _digits(value: Decimal) -> str:
    return f"{value:f}"


@pytest.mark.shared
@pytest.mark.parametrize(("resources", "case"), list(_cases()))
def test_the_official_case_passes(resources: list[Any], case: dict[str, Any], model: Model) -> None:
    if case.get("expectError"):
        with pytest.raises(ViewError):
            list(View.of(case["view"], model).table(resources))
        return
    view = View.of(case["view"], model)
    names = [field.name for field in view.fields]
    rows = [dict(zip(names, row, strict=True)) for row in view.table(resources)]
    assert names == case.get("expectColumns", names)
    assert _in_order(rows) == _in_order(case["expect"])


@pytest.mark.shared
def test_the_suite_is_there_whole() -> None:
    files = {path.name for path in SUITE.glob("*.json")} - {"manifest.json"}
    assert files == set(json.loads((SUITE / "manifest.json").read_bytes()))
    assert sum(1 for _ in _cases()) >= 100
