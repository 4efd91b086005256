"""Settings: what wins over what, and that nothing secret is shown."""

from pathlib import Path

import pytest

from fhirbridge import settings
from fhirbridge.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FHIRBRIDGE_CONFIG", raising=False)


def test_the_command_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("fhirbridge.toml").write_text('study = "file"\ndatabase = "sqlite:///file.db"\nhospital_connections = 7\n')
    monkeypatch.setenv("FHIRBRIDGE_STUDY", "environment")
    monkeypatch.setenv("FHIRBRIDGE_DATABASE", "sqlite:///environment.db")
    found = settings.read(study="command")
    assert (found.study, found.database, found.hospital_connections) == ("command", "sqlite:///environment.db", 7)


def test_a_misspelt_setting_is_named() -> None:
    Path("fhirbridge.toml").write_text('hospitle = "https://fhir.test"\n')
    with pytest.raises(ConfigurationError, match="hospitle"):
        settings.read()


def test_a_wrong_value_is_not_shown_since_it_may_be_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRBRIDGE_HOSPITAL", "hunter2")
    with pytest.raises(ConfigurationError, match="hospital") as error:
        settings.read()
    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("text", ["x.csv", '"x.csv"', "", '{"x": "y"}', "[x.csv]"])
def test_a_list_in_the_environment_that_is_none_is_told_by_its_variable_and_not_by_the_file(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    Path("fhirbridge.toml").write_text('study = "file"\n')
    monkeypatch.setenv("FHIRBRIDGE_LABORATORIES", text)
    with pytest.raises(ConfigurationError) as error:
        settings.read()
    assert 'FHIRBRIDGE_LABORATORIES is no JSON like ["ONE", "TWO"]' in str(error.value)
    assert "toml" not in str(error.value)
    assert "x.csv" not in str(error.value)


def test_a_table_in_the_environment_that_is_none_is_shown_how_one_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRBRIDGE_HL7_LABORATORIES", "LAB=North Hospital")
    with pytest.raises(ConfigurationError, match=r'FHIRBRIDGE_HL7_LABORATORIES is no JSON like \{"NAME": "VALUE"\}'):
        settings.read()


def test_lists_and_tables_in_the_environment_are_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRBRIDGE_LABORATORIES", '["x.csv", "y"]')
    monkeypatch.setenv("FHIRBRIDGE_HL7_LABORATORIES", '{"LAB": "North Hospital"}')
    found = settings.read()
    assert (found.laboratories, found.hl7_laboratories) == ((Path("x.csv"), Path("y")), {"LAB": "North Hospital"})


def test_a_settings_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no settings file"):
        settings.read(tmp_path / "none.toml")


def test_a_settings_file_that_is_not_toml_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "broken.toml"
    file.write_text("study = ")
    with pytest.raises(ConfigurationError, match=r"broken\.toml"):
        settings.read(file)


def test_settings_cannot_change_after_they_are_read() -> None:
    found = settings.read()
    with pytest.raises(ValueError, match="frozen"):
        found.study = "another"  # type: ignore[misc]
