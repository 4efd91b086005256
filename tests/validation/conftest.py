"""A validator with the base definitions, made once; compiled schemas go to a folder of the test run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.errors import Resource
from fhirbridge.validation import Issue, Validator
from tests.validation.building import COLOURS, UNLISTED, WARM

Judge = Callable[..., list[Issue]]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where compiled schemas are kept during the run."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(scope="session")
def plain(compiled: Path) -> Validator:
    """R4 and nothing else."""
    return Validator.load([COLOURS, WARM, UNLISTED], cache=compiled)


@pytest.fixture
def judge(compiled: Path) -> Judge:
    """Validate a resource against profiles; the fast path must not accept what the walker refuses."""

    def run(resource: Resource, *profiles: Resource, also: tuple[Resource, ...] = (), **_: Any) -> list[Issue]:
        validator = Validator.load([COLOURS, WARM, UNLISTED, *also, *profiles], cache=compiled)
        urls = [profile["url"] for profile in profiles]
        issues = validator.issues(resource, urls)
        fine = not any(issue.severity == "error" for issue in issues)
        assert fine or not validator._surely_valid(resource, urls)
        assert validator.is_valid(resource, urls) == fine
        return issues

    return run


def errors(issues: list[Issue]) -> set[tuple[str, str]]:
    """The rule and location of every error."""
    return {(issue.rule, issue.path) for issue in issues if issue.severity == "error"}
