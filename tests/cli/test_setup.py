"""The first commands: they teach, and say what is missing in one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fhirbridge.cli import main as _commands  # noqa: F401  # importing adds them
from fhirbridge.cli.app import app
from fhirbridge.cli.contents import PANELS
from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


def every_command() -> list[str]:
    names = [info.name or info.callback.__name__ for info in app.registered_commands if info.callback]
    for group in app.registered_groups:
        assert group.typer_instance is not None
        inner = group.typer_instance.registered_commands
        names += [f"{group.name} {info.name}" for info in inner]
    return names


@pytest.mark.parametrize("command", every_command())
def test_every_command_explains_itself_and_is_documented(command: str, run: Run) -> None:
    ran = run(*command.split(), "--help")
    assert ran.code == 0
    assert len(ran.out.split()) > 15
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")))
    assert f"fhirbridge {command}" in pages


def test_the_help_lists_every_command_in_its_panel_on_one_line_of_a_terminal(run: Run) -> None:
    said = run("--help", COLUMNS="80").out.splitlines()
    assert max(map(len, said)) <= 80
    first = next(number for number, line in enumerate(said) if line.startswith("╭─ Begin"))
    lines = [line.split()[1] for line in said[first:] if line.startswith("│")]
    assert lines == [name for names in PANELS.values() for name in names if name in lines]
    assert {command.split()[0] for command in every_command()} == set(lines)


def test_a_new_key_is_never_written_over_another(run: Run) -> None:
    ran = run("key", "new", "fhirbridge.key")
    assert ran.code == 2
    assert "exists already" in ran.err


def test_without_definitions_a_command_says_one_line_and_what_to_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "subjects.csv").write_text("subject\n")
    ran = run("ingest", "records", HOME=str(tmp_path))
    assert ran.code == 2
    assert "fhirbridge definitions install" in ran.err
    assert len(ran.err.strip().splitlines()) == 1


def test_definitions_install_refuses_a_file_that_is_no_package(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.tgz").write_bytes(b"not a package")
    ran = run("definitions", "install", "--from", "other.tgz", HOME=str(tmp_path))
    assert ran.code == 2
    assert not (tmp_path / ".fhir" / "packages" / "hl7.fhir.r4.core#4.0.1").exists()


def test_a_study_that_is_not_shipped_is_named_with_those_that_are(run: Run) -> None:
    ran = run("dictionary", FHIRBRIDGE_STUDY="nct00000000")
    assert ran.code == 2
    assert "nct07120750" in ran.err


def test_the_dictionary_is_markdown_with_every_table(run: Run) -> None:
    ran = run("dictionary")
    assert ran.code == 0
    assert re.findall(r"^## (\w+)", ran.out, re.M) == ["subjects", "laboratory", "imaging", "lesions"]


def test_study_show_lists_the_arms_visits_and_limits(run: Run) -> None:
    ran = run("study", "show")
    assert ran.code == 0
    assert "NA+PegIFN" in ran.out
    assert "W156" in ran.out
    assert "0.05" in ran.out


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version").out.startswith("fhirbridge ")
