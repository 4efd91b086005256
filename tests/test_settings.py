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
