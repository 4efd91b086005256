"""The composition root: opens what a command needs, from the settings, and closes it again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fhirbridge
import mappings
from fhirbridge import identity, study
from fhirbridge.audit.trail import Trail
from fhirbridge.automation.jobs import PART
from fhirbridge.automation.runs import Run as Run
from fhirbridge.automation.runs import Watch
from fhirbridge.errors import ConfigurationError, Resource
from fhirbridge.hospital import Hospital, secret_files
from fhirbridge.hospital.access import access
from fhirbridge.hospital.addresses import normalised
from fhirbridge.release import pseudonyms
from fhirbridge.release.agreement import Agreement
from fhirbridge.release.view import View
from fhirbridge.sealing import Seal, read_keys
from fhirbridge.settings import Settings
from fhirbridge.store import Store, instants, requests
from fhirbridge.study import Study
from fhirbridge.sync.breaker import Rest
from fhirbridge.sync.contact import contact
from fhirbridge.sync.notes import Note, silent
from fhirbridge.sync.pull.linking import Linking
from fhirbridge.sync.pull.recognising import LaboratoryNames
from fhirbridge.sync.push import PushOptions
from fhirbridge.sync.strategies import Limits
from fhirbridge.terminology import laboratory_files
from fhirbridge.terminology.analytes import with_laboratories
from fhirbridge.terminology.laboratories import Laboratories
from fhirbridge.validation import Validator

ROOT = Path(fhirbridge.__file__).parent.parent
PROFILES = ROOT / "profiles"
STUDIES = Path(mappings.__file__).parent / "studies"
LABORATORIES = Path(mappings.__file__).parent / "laboratories"


if TYPE_CHECKING:
    from flask import Blueprint

    from fhirbridge.automation.metrics import Metrics
    from fhirbridge.automation.notify import Notifier
    from fhirbridge.automation.standing import Lookout


class Workplace:
    """Settings and, opened at first use, the study, the identity, the validator and the store."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._stores: list[Store] = []
        self._trail: Trail | None = None

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
    def laboratories(self) -> Laboratories:
        """What each laboratory's codes mean, by the shipped files and those of the settings."""
        return laboratory_files.load([LABORATORIES, *self.settings.laboratories])

    @property
    def laboratory_names(self) -> LaboratoryNames:
        """How a laboratory is told from what a result says of its performer, with the one of the settings else."""
        return LaboratoryNames(self.laboratories, self.settings.pull_laboratory)

    @cached_property
    def mapping_digest(self) -> str:
        """Digest of the laboratories' rows: what was mapped by them is told apart from what others would give."""
        return laboratory_files.digest(self.laboratories)

    @cached_property
    def pulled_study(self) -> Study:
        """The study with the analytes and assays that the laboratories' files add to it."""
        return with_laboratories(self.study, self.laboratories)

    @property
    def today(self) -> date:
        """This day in the study's time zone: nothing that a study is told can have happened after it."""
        return instants.utc_now().astimezone(self.study.schedule.zone).date()

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

    @cached_property
    def seal(self) -> Seal:
        """What opens the sealed parts of the store. Raises ConfigurationError without a key that only we can read."""
        path = self.settings.linking_key
        if path is None:
            raise ConfigurationError(
                "no linking key is set, so nobody here may know who the subjects are at the hospital. Make one with "
                "`fhirbridge linking key FILE` and name it in the setting linking_key, or FHIRBRIDGE_LINKING_KEY."
            )
        return Seal(read_keys(secret_files.read_bytes(path, "linking_key"), path))

    @cached_property
    def release_key(self) -> bytes:
        """The key of registries' pseudonyms and date shifts. Raises ConfigurationError without one that is private."""
        path = self.settings.release_key
        if path is None:
            raise ConfigurationError(
                "no release key is set, so no registry's pseudonyms can be made. Make one with "
                "`fhirbridge key new FILE` and name it in the setting release_key, or FHIRBRIDGE_RELEASE_KEY."
            )
        return pseudonyms.read_key(secret_files.read_bytes(path, "release_key"), path)

    def release_view(self, agreement: Agreement) -> View:
        """What an agreement shows; names that laboratories' files give to codes are no free text."""
        names = (row.loinc_name for row in self.laboratories.rows if row.loinc_name)
        return View(agreement, self.pulled_study, self.release_key, names)

    @cached_property
    def audit_key(self) -> bytes | None:
        """The key that the audit trail is chained under, None where it has none. Raises ConfigurationError."""
        path = self.settings.audit_key
        if path is None:
            return None
        return pseudonyms.read_key(secret_files.read_bytes(path, "audit_key"), path, "audit_key")

    @cached_property
    def trail(self) -> Trail:
        """The audit trail of registries' access; closing the workplace ends its file."""
        self._trail = Trail(self.settings.audit_folder, instants.utc_now, key=self.audit_key)
        return self._trail

    def linking(self, note: Note = silent) -> Linking:
        """The links of the study's subjects to the hospital's patients."""
        seal = self.seal  # first: without it nothing else is worth opening
        authorities = self.settings.linking_authorities
        return Linking(self.bound_store, seal, self.study, self.identity, authorities=authorities, note=note)

    def map(self, record: Any) -> list[tuple[int, Resource]]:
        """Say a record of this study in FHIR."""
        return mappings.resources(record, self.study, self.identity)

    def standing(self) -> dict[str, Any]:
        """How things stand, as plain JSON values. Raises StoreError."""
        return self.lookout.standing().as_dict()

    @property
    def server(self) -> str | None:
        """What sync state calls the hospital of the settings: its normalised base URL."""
        return None if self.settings.hospital is None else normalised(self.hospital_url)

    @property
    def hospital_url(self) -> str:
        """The hospital's FHIR base URL as the settings have it. Raises ConfigurationError if none is set."""
        if self.settings.hospital is None:
            raise ConfigurationError(
                "no hospital is set. Give its FHIR base URL: --hospital URL, FHIRBRIDGE_HOSPITAL or `hospital` in "
                "fhirbridge.toml."
            )
        return str(self.settings.hospital)

    @contextmanager
    def hospital(self, *, ask_first: bool = True) -> Iterator[Hospital]:
        """Open the hospital's server of the settings, after checking all that they say of access to it.

        ``ask_first`` makes sure that it is a FHIR R4 server, unless it said so within the hour; a push does so itself,
        and only if there is something to send.
        """
        url = self.hospital_url
        kinds = sorted({mapping.resource_type for mapping in mappings.MAPPINGS})
        granted = access(self.settings, kinds)
        with Hospital(
            url,
            timeout=(10.0, self.settings.hospital_timeout),
            connections=self.settings.hospital_connections,
            auth=granted.auth,
            tls=granted.tls,
            proxy=granted.proxy,
        ) as hospital:
            if self.metrics:
                hospital.traffic = self.metrics.traffic()
            if ask_first:
                contact(self.store, hospital)
            yield hospital

    @cached_property
    def lookout(self) -> Lookout:
        """How things stand with the study and its hospital, for health endpoints and metrics."""
        from fhirbridge.automation.standing import Lookout, look

        policy = self.settings.withdrawal
        return Lookout(lambda: look(self.store, study=self.study.id, server=self.server, policy=policy))

    @cached_property
    def metrics(self) -> Metrics | None:
        """What this process counts, if a setting lets somebody ask for it."""
        if not self.settings.metrics and self.settings.metrics_port is None:
            return None
        from fhirbridge.automation.metrics import Metrics

        made = Metrics()
        made.watch(lambda: self.lookout.standing())
        return made

    @cached_property
    def notifier(self) -> Notifier | None:
        """Who tells people that a command failed or works again, None where nobody is to be told."""
        if self.settings.notify_webhook is None and not self.settings.notify_mail_to:
            return None
        from fhirbridge.automation import channels
        from fhirbridge.automation.notify import Notifier

        return Notifier(
            channels.from_settings(self.settings),
            reminder=timedelta(hours=self.settings.notify_reminder),
            counted=self.metrics.notified if self.metrics else None,
        )

    @property
    def inbox_routes(self) -> tuple[Blueprint, ...]:
        """The inbox over HTTP, if a setting says who may use it. Raises ConfigurationError for a file that is none."""
        tokens = self.settings.inbox_tokens
        if tokens is None:
            return ()
        from fhirbridge.api import bearers
        from fhirbridge.api.inbox import inbox

        bearers.read(tokens)  # a mistake in it is told at the start, not to who comes first
        return (inbox(lambda: self.bound_store, lambda: self.pulled_study, tokens, instants.utc_now),)

    @property
    def notified_routes(self) -> tuple[Blueprint, ...]:
        """What the hospital's Subscriptions call, if they have a secret. Raises ConfigurationError for a bad one."""
        chosen, server = self.settings, self.server
        if chosen.notifications_token is None or server is None:
            return ()
        from fhirbridge.api.notifications import notifications

        token = secret_files.read_line(chosen.notifications_token, "notifications_token")
        settle, study = timedelta(seconds=chosen.notifications_settle), self.study.id
        return (
            notifications(
                token, lambda: requests.request(self.store, study, server, instants.utc_now(), settle=settle)
            ),
        )

    @property
    def push_options(self) -> PushOptions:
        """How the settings say to push. Raises ConfigurationError for a strategy of a type that is never sent."""
        chosen = self.settings
        kinds = {mapping.resource_type for mapping in mappings.MAPPINGS}
        if unknown := sorted(set(chosen.hospital_strategies) - kinds):
            raise ConfigurationError(
                f"setting 'hospital_strategies' names {unknown[0]!r}, a type that is never sent. These are: "
                f"{', '.join(sorted(kinds))}."
            )
        return PushOptions(
            connections=chosen.hospital_connections,
            limits=Limits(
                entries=chosen.hospital_bundle_entries,
                conditional_entries=chosen.hospital_conditional_entries,
                size=chosen.hospital_bundle_bytes,
            ),
            mode=chosen.hospital_mode,
            strategies=chosen.hospital_strategies,
            withdrawal=chosen.withdrawal,
            attempts=chosen.hospital_attempts,
            rest=Rest(
                after=chosen.hospital_rest_after,
                first=chosen.hospital_rest_first,
                longest=chosen.hospital_rest_longest,
            ),
        )

    @contextmanager
    def run(self, command: str) -> Iterator[Run]:
        """Note a run of a command, in the store, the log and the metrics, and tell people; whatever becomes of it."""
        watch = Watch(
            store=self.store,
            command=command,
            study=self.study.id,
            server=self.server,
            metrics=self.metrics,
            notifier=None if command == PART else self.notifier,
        )
        with watch.run() as run:
            yield run

    def close(self) -> None:
        """Close what was opened."""
        for store in self._stores:
            store.close()
        self._stores.clear()
        if self._trail is not None:
            self._trail.close()
