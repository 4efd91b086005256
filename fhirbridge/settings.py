"""One frozen Settings, read once from a TOML file and ``FHIRBRIDGE_*`` variables, then passed to who needs it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

from pydantic import Field, HttpUrl, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from fhirbridge.errors import ConfigurationError

DEFAULT_FILE = Path("fhirbridge.toml")


class Settings(BaseSettings):
    """What an installation may choose. The environment wins over the file, the file over the defaults."""

    model_config = SettingsConfigDict(env_prefix="FHIRBRIDGE_", frozen=True, extra="forbid")
    _file: ClassVar[Path | None] = None

    study: str = Field("nct07120750", description="name of a shipped study file, or the path of one")
    database: str = Field("sqlite:///fhirbridge.db", description="SQLAlchemy URL of the store: SQLite or PostgreSQL")
    pseudonym_key: Path = Field(Path("fhirbridge.key"), description="file with the key that pseudonyms are made with")
    hospital: HttpUrl | None = Field(None, description="base URL of the hospital's FHIR R4 server")
    hospital_timeout: float = Field(60.0, gt=0, description="seconds to wait for an answer of the hospital's server")
    hospital_connections: int = Field(2, ge=1, le=32, description="requests to the hospital's server at a time")
    hospital_bundle_entries: int = Field(100, ge=1, le=5000, description="most entries in one transaction")
    definitions: Path | None = Field(
        None, description="folder or .tgz with hl7.fhir.r4.core 4.0.1; unset means the shared FHIR package cache"
    )
    profiles: tuple[Path, ...] = Field(
        (), description="further FHIR packages to validate against: folders, .tgz or files, beside the shipped one"
    )
    accepted: Path | None = Field(None, description="TOML or JSON file of findings that are accepted for a time")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic calls by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what the caller gave, then the environment, then the TOML file."""
        file = (TomlConfigSettingsSource(settings_cls, cls._file),) if cls._file else ()
        return (init_settings, env_settings, *file)


def read(file: Path | None = None, **given: object) -> Settings:
    """Return the settings of this process.

    ``file`` is a TOML file; None means FHIRBRIDGE_CONFIG, else ``fhirbridge.toml`` in the working directory if it
    is there. ``given`` wins over both. Raises ConfigurationError naming the key; a value is never shown, since it
    may be a password.
    """
    chosen = file or (Path(os.environ["FHIRBRIDGE_CONFIG"]) if "FHIRBRIDGE_CONFIG" in os.environ else None)
    if chosen is None and DEFAULT_FILE.exists():
        chosen = DEFAULT_FILE
    if chosen is not None and not chosen.is_file():
        raise ConfigurationError(f"no settings file at {chosen}. See docs/settings.md for what it may hold.")
    source = type("Settings", (Settings,), {"_file": chosen, "__module__": __name__})
    try:
        return source(**{key: value for key, value in given.items() if value is not None})  # type: ignore[no-any-return]
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"setting {key!r}: {first['msg']}. See docs/settings.md.") from None
    except ValueError as error:  # not TOML
        raise ConfigurationError(f"{chosen}: {error}. See docs/settings.md.") from None
