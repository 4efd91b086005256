"""The types of R4, loaded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Validator
from fhirbridge.validation.node import Model
from fhirbridge.views.view import View

Table = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="session")
def model() -> Model:
    """R4 and nothing else."""
    return Validator.load().model


@pytest.fixture(scope="session")
def table(model: Model) -> Table:
    """Run a ViewDefinition over resources; each row as a dict."""

    def run(view: Any, *resources: Resource) -> list[dict[str, Any]]:
        made = View.of(view, model)
        names = [field.name for field in made.fields]
        return [dict(zip(names, row, strict=True)) for row in made.table(resources)]

    return run
