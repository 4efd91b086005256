"""An agreement with everything in it, the golden resources, and what a registry sees of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fhirbridge import fhirjson
from fhirbridge.errors import Resource
from fhirbridge.release.agreement import Agreement, ViewRules
from fhirbridge.release.view import View
from tests.mappings.cases import GOLDEN, GOLDEN_FILES, STUDY
from tests.release.agreements import NORTH
from tests.release.agreements import RELEASE_KEY as KEY

MakeView = Callable[..., View]


@pytest.fixture(scope="session")
def agreement() -> Agreement:
    return NORTH


@pytest.fixture(scope="session")
def view(agreement: Agreement) -> MakeView:
    """Make a view: ``view(registry="south", shift_days=0)``; names of agreement and rules alike."""

    def made(key: bytes = KEY, **changed: Any) -> View:
        rules = {name: changed.pop(name) for name in ViewRules.__struct_fields__ if name in changed}
        other = msgspec.structs.replace(agreement, view=ViewRules(**rules), **changed)
        return View(other, STUDY, key)

    return made


def golden(file: str) -> Resource:
    """Read a golden resource as it lies in the store."""
    read: Resource = fhirjson.loads((GOLDEN / f"{file}.json").read_bytes())
    about = {"versionId": "7", "lastUpdated": "2026-03-01T08:15:30.123Z", "source": "https://hospital.example#x1"}
    return {**read, "meta": about | read["meta"]}


@pytest.fixture(scope="session")
def goldens() -> dict[str, Resource]:
    return {file: golden(file) for file in GOLDEN_FILES}


def leaves(value: Any, *path: str) -> Iterator[tuple[str, Any]]:
    """Yield every primitive of a resource with its path, without indexes."""
    if isinstance(value, dict):
        for name, part in value.items():
            yield from leaves(part, *path, name)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part, *path)
    else:
        yield ".".join(path), value


def released(view: View, resource: Resource) -> Resource:
    """Release a resource that is certainly released."""
    seen = view.release(resource)
    assert seen is not None
    return seen


FOLDER = Path(__file__).parent
