"""What there is to choose is documented, and what is documented is there."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from fhirbridge import study
from fhirbridge.automation.facts import EVENTS
from fhirbridge.cli.main import app
from fhirbridge.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")


def test_every_documented_setting_exists() -> None:
    table = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.M)) == set(Settings.model_fields)


def _commands(group: Any, name: str) -> Iterator[str]:
    for command, found in getattr(group, "commands", {}).items():
        yield from _commands(found, f"{name} {command}")
    if not hasattr(group, "commands"):
        yield name


def test_every_command_is_documented_and_every_documented_one_exists() -> None:
    table = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(fhirbridge [a-z ]+)` \|", table, re.M)) == set(
        _commands(get_command(app), "fhirbridge")
    )


def test_every_event_of_the_log_is_noted_somewhere() -> None:
    code = "".join(
        file.read_text(encoding="utf-8") for file in (ROOT / "fhirbridge").rglob("*.py") if file.name != "facts.py"
    )
    assert [event for event in EVENTS if f'"{event}"' not in code] == []


@pytest.mark.parametrize(
    "part", [study.Study, study.Schedule, study.Visit, study.Arm, study.Criterion, study.Analyte, study.Assay]
)
def test_every_key_of_a_study_file_is_documented(part: type) -> None:
    page = (ROOT / "docs" / "study-file.md").read_text(encoding="utf-8")
    for key in part.__struct_fields__:  # type: ignore[attr-defined]
        assert f"`{key}`" in page or f"[{key}]" in page or f"[[{key}]]" in page or f".{key}`" in page, key


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = [
        *project["dependencies"],
        *(one for extra in project["optional-dependencies"].values() for one in extra),
    ]
    why = (ROOT / "docs" / "why.md").read_text(encoding="utf-8").lower()
    names = {re.match(r"[A-Za-z0-9_.-]+", one)[0] for one in declared}  # type: ignore[index]
    packages = {name for name in names if not name.startswith(("types-", "fhirbridge"))}
    assert packages
    assert [name for name in sorted(packages) if name.lower() not in why] == []


def test_pins_name_no_place_they_come_from() -> None:
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    assert pins
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.+!-]+", pin) for pin in pins)
