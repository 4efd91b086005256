"""The composition root: opens what a command needs, from the settings, and closes it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import fhirbridge
import mappings
from fhirbridge import identity, study
from fhirbridge.errors import ConfigurationError, Resource
from fhirbridge.hospital.client import Hospital, normalised
from fhirbridge.settings import Settings
from fhirbridge.store import Store
from fhirbridge.validation import Validator

ROOT = Path(fhirbridge.__file__).parent.parent
PROFILES = ROOT / "profiles"
STUDIES = Path(mappings.__file__).parent / "studies"


@dataclass(slots=True)
class Run:
    """A run under way: its id, and how it ended once ``end`` has said so."""

    id: str
    outcome: str = "interrupted"
    counts: dict[str, Any] = field(default_factory=dict)

    def end(self, outcome: str, counts: dict[str, Any]) -> None:
        """Say how the run ended and what it counted."""
        self.outcome, self.counts = outcome, counts


class Workplace:
    """Settings and, opened at first use, the study, the identity, the validator and the store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stores: list[Store] = []

    @cached_property
    def study(self) -> study.Study:
        """The study of the settings: a shipped one by name, or a file."""
        chosen = Path(self.settings.study)
        if chosen.suffix == ".toml":
            return study.load(chosen)
        shipped = STUDIES / f"{self.settings.study.lower()}.toml"
        if not shipped.is_file():
            known = ", ".join(sorted(path.stem for path in STUDIES.glob("*.toml")))
            raise ConfigurationError(
                f"no shipped study is called {self.settings.study!r} (there is: {known}). "
                "Name one of these, or the path of a study file ending in .toml."
            )
        return study.load(shipped)

    @cached_property
    def identity(self) -> identity.Identity:
        """Pseudonyms and ids under the key of the settings."""
        return identity.Identity(identity.read_key(self.settings.pseudonym_key), self.study.id)

    @cached_property
    def validator(self) -> Validator:
        """A validator with the shipped profiles and those of the settings."""
        return Validator.load([PROFILES, *self.settings.profiles], definitions=self.settings.definitions)

    @cached_property
    def store(self) -> Store:
        """The store of the settings, created and migrated if need be."""
        opened = Store.open(self.settings.database)
        self._stores.append(opened)
        return opened

    @cached_property
    def bound_store(self) -> Store:
        """The store, after making sure that it was filled under this pseudonym key."""
        self.store.bind(self.identity.fingerprint(), study=self.study.id)
        return self.store

    def map(self, record: Any) -> list[tuple[int, Resource]]:
        """Say a record of this study in FHIR."""
        return mappings.resources(record, self.study, self.identity)

    @property
    def server(self) -> str | None:
        """What sync state calls the hospital of the settings: its normalised base URL."""
        return None if self.settings.hospital is None else normalised(str(self.settings.hospital))

    @contextmanager
    def hospital(self) -> Iterator[Hospital]:
        """Connect to the hospital's server of the settings, and make sure that it is a FHIR R4 server."""
        if self.settings.hospital is None:
            raise ConfigurationError(
                "no hospital is set. Give its FHIR base URL: --hospital URL, FHIRBRIDGE_HOSPITAL or `hospital` in "
                "fhirbridge.toml."
            )
        with Hospital(
            str(self.settings.hospital),
            timeout=(10.0, self.settings.hospital_timeout),
            connections=self.settings.hospital_connections,
        ) as hospital:
            hospital.capabilities()
            yield hospital

    @contextmanager
    def run(self, command: str) -> Iterator[Run]:
        """Note a run of a command in the store, whatever becomes of it."""
        noted = Run(self.store.start_run(command))
        try:
            yield noted
        finally:
            self.store.finish_run(noted.id, noted.outcome, noted.counts)

    def close(self) -> None:
        """Close what was opened."""
        for store in self._stores:
            store.close()
        self._stores.clear()
