"""Fixtures that every test may use: real servers, and a loud word at the end about tests that could not run."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fhirbridge.demo.hospital import running_hospital
from fhirbridge.errors import Resource
from tests.api.clients.node import node_missing
from tests.real_servers import HapiBuild, build_hapi, hapi_outcomes, java_missing, running_hapi

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # what a shell gives to commands in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).parent.parent.parent / "shared"

HapiValidator = Callable[[Iterable[Path], Iterable[tuple[str | None, Resource]]], list[Resource]]


def _shared_missing() -> str | None:
    return None if SHARED.is_dir() else "no directory ../shared beside the project"


def _need(item: pytest.Item, marker: str, missing: Callable[[], str | None], required_by: str) -> None:
    """Skip a test whose marker's need is not met, or fail it where the environment says that it must be."""
    if item.get_closest_marker(marker) is None or (reason := missing()) is None:
        return
    if os.environ.get(required_by) == "1":
        pytest.fail(f"{required_by}=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def pytest_runtest_setup(item: pytest.Item) -> None:
    _need(item, "hapi", java_missing, "FHIRBRIDGE_REQUIRE_JAVA")
    _need(item, "node", node_missing, "FHIRBRIDGE_REQUIRE_NODE")
    _need(item, "shared", _shared_missing, "FHIRBRIDGE_REQUIRE_SHARED")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together, in one process, the tests that share an expensive server, and else those of one file."""
    for item in items:
        group = "hapi" if item.get_closest_marker("hapi") else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> Generator[None, None, None]:
    """Say in the last lines, after everything that pytest says, which kinds of test did not run, and why."""
    yield
    skipped: Counter[tuple[str, str]] = Counter()
    for report in terminalreporter.stats.get("skipped", []):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        for marker in ("hapi", "node", "postgresql", "shared"):
            if marker in report.keywords:
                skipped[marker, reason.removeprefix("Skipped: ")] += 1
    for (marker, reason), count in sorted(skipped.items()):
        terminalreporter.write_line(f"{count} {marker.upper()} TESTS DID NOT RUN: {reason}", yellow=True, bold=True)


@pytest.fixture
def shared() -> Path:
    """The directory of real inputs beside the project; for tests marked ``shared``."""
    return SHARED


@pytest.fixture
def hospital(tmp_path: Path) -> Iterator[str]:
    """The base URL of an empty sekmet-fhir server of this test's own (a second to start)."""
    with running_hospital(tmp_path / "hospital", port=0) as base_url:
        yield base_url


@pytest.fixture(scope="session")
def lasting_hospital(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a sekmet-fhir server for the whole run: for tests that bring ids and tags of their own."""
    with running_hospital(tmp_path_factory.mktemp("hospital"), port=0) as base_url:
        yield base_url


@pytest.fixture(scope="session")
def hapi_build() -> HapiBuild:
    """HAPI, compiled; for tests marked ``hapi``, like all that stands on it."""
    return build_hapi()


@pytest.fixture(scope="session")
def hapi(hapi_build: HapiBuild, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a HAPI JPA server for the whole run: for tests that bring ids and tags of their own."""
    with running_hapi(hapi_build, tmp_path_factory.mktemp("hapi")) as base_url:
        yield base_url


@pytest.fixture(scope="session")
def hapi_validator(hapi_build: HapiBuild) -> HapiValidator:
    """HL7's validator: definitions' files and (profile, resource) pairs in, one OperationOutcome each out."""
    return partial(hapi_outcomes, hapi_build)
