"""One frozen Settings, read once from a TOML file and ``FHIRBRIDGE_*`` variables, then passed to who needs it."""

from __future__ import annotations

import os
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field, HttpUrl, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from fhirbridge.errors import ConfigurationError

DEFAULT_FILE = Path("fhirbridge.toml")


class Settings(BaseSettings):
    """What an installation may choose. The environment wins over the file, the file over the defaults."""

    model_config = SettingsConfigDict(env_prefix="FHIRBRIDGE_", frozen=True, extra="forbid")
    _file: ClassVar[Path | None] = None

    study: str = Field("nct07120750", description="name of a shipped study file, or the path of one")
    database: str = Field(
        "sqlite:///fhirbridge.db", repr=False, description="SQLAlchemy URL of the store: SQLite or PostgreSQL"
    )
    pseudonym_key: Path = Field(Path("fhirbridge.key"), description="file with the key that pseudonyms are made with")
    hospital: HttpUrl | None = Field(None, description="base URL of the hospital's FHIR R4 server")
    hospital_timeout: float = Field(60.0, gt=0, description="seconds to wait for an answer of the hospital's server")
    hospital_connections: int = Field(2, ge=1, le=32, description="requests to the hospital's server at a time")
    hospital_bundle_entries: int = Field(100, ge=1, le=5000, description="most entries in one Bundle")
    hospital_bundle_bytes: int = Field(2_000_000, ge=10_000, description="most bytes in one Bundle")
    hospital_conditional_entries: int | None = Field(
        None,
        ge=1,
        description="most entries in a Bundle with a conditional one; unset means what is known of the server",
    )
    hospital_mode: Literal["transaction", "batch", "single"] | None = Field(
        None, description="how resources travel; unset means what the CapabilityStatement offers"
    )
    hospital_strategies: dict[str, Literal["update", "conditional-create", "conditional-update", "search", "find"]] = (
        Field({}, description="how a type is written, by type; unset means what the CapabilityStatement offers")
    )
    hospital_attempts: int = Field(
        5, ge=1, description="runs in which one resource may fail by itself before it is parked"
    )
    hospital_rest_after: int = Field(3, ge=1, description="failures of the server in a row until it is left alone")
    hospital_rest_first: float = Field(30.0, ge=0, description="seconds it is left alone then; doubled each time")
    hospital_rest_longest: float = Field(900.0, ge=0, description="most seconds it is left alone")
    withdrawal: Literal["stop", "retract", "delete"] = Field(
        "stop", description="what becomes, at the hospital, of the resources of a subject who withdrew"
    )
    hospital_auth: Literal["none", "basic", "bearer", "client-credentials", "smart"] = Field(
        "none", description="how to prove to the hospital's server who we are"
    )
    hospital_username: str | None = Field(None, description="name for basic authentication")
    hospital_password: SecretStr | None = Field(None, description="password for basic authentication")
    hospital_password_file: Path | None = Field(None, description="file with that password")
    hospital_token_file: Path | None = Field(None, description="file with a bearer token; read again when it changes")
    hospital_client_id: str | None = Field(None, description="id under which the token endpoint knows us")
    hospital_client_secret: SecretStr | None = Field(None, description="secret for client-credentials")
    hospital_client_secret_file: Path | None = Field(None, description="file with that secret")
    hospital_client_secret_method: Literal["basic", "post"] | None = Field(
        None, description="send the secret in the header or in the form; unset means what the server lists, else basic"
    )
    hospital_private_key: Path | None = Field(None, description="PEM, JWK or JWKS file with the key for smart")
    hospital_key_id: str | None = Field(None, description="key id the server knows; unset: the JWK's, else RFC 7638")
    hospital_scopes: str | None = Field(None, description="scopes to ask for; unset means what the study's types need")
    hospital_token_url: str | None = Field(None, description="token endpoint; unset means the one the server names")
    hospital_ca: Path | None = Field(None, description="PEM file of the authorities trusted instead of the usual ones")
    hospital_certificate: Path | None = Field(None, description="PEM file with our certificate for mutual TLS")
    hospital_certificate_key: Path | None = Field(None, description="PEM file with its key, if in another file")
    hospital_proxy: SecretStr | None = Field(None, description="URL of a proxy; unset means what the environment says")
    pull_vendor: Literal["generic", "epic", "oracle", "hapi", "sekmet"] | None = Field(
        None, description="how results are asked for; unset means what the server's software name tells"
    )
    pull_types: tuple[Literal["Observation", "DiagnosticReport"], ...] = Field(
        ("Observation", "DiagnosticReport"), description="types that are asked for"
    )
    pull_select: Literal["category", "code", "everything"] | None = Field(
        None, description="whether results are asked for by category, by the known codes, or all; unset: category"
    )
    pull_category: str = Field("laboratory", description="category that results are asked for by")
    pull_post: bool | None = Field(None, description="whether searches travel by POST; unset: as the server bears")
    pull_patient_parameter: Literal["patient", "subject"] | None = Field(
        None, description="search parameter that names the patient; unset means patient where it is offered"
    )
    pull_incremental: Literal["updated", "date", "whole"] | None = Field(
        None, description="whether the new is asked for by last update, by date taken, or not; unset: as it bears"
    )
    pull_patients: int | None = Field(None, ge=1, le=200, description="most patients in one search; unset: as it bears")
    pull_codes: int | None = Field(None, ge=1, description="most codes in one search; unset: as the server bears")
    pull_page: int | None = Field(None, ge=1, description="results on a page; unset means as many as the server bears")
    pull_from: date | None = Field(None, description="results of specimens taken before this day are not asked for")
    pull_look_back: float = Field(14.0, ge=0, description="days before the last pull that are asked for once more")
    pull_full_every: float = Field(
        7.0, ge=0, description="days after which a pull asks for everything once more; 0 means only with --full"
    )
    pull_skew: float = Field(60.0, ge=0, description="seconds by which the server's clock may be wrong")
    laboratories: tuple[Path, ...] = Field(
        (), description="further CSV files, or folders of them, that say what laboratories' codes mean"
    )
    pull_laboratory: str = Field(
        "", description="laboratory, as its CSV file names it, of results that name none themselves"
    )
    linking_key: Path | None = Field(
        None, description="file with the key that links to hospital numbers are sealed with; unset means no linking"
    )
    linking_system: str | None = Field(
        None, description="system URI of hospital numbers whose row in the enrolment log names none"
    )
    linking_authorities: dict[str, str] = Field(
        {}, description="system URI by the name that HL7 v2 messages give to who assigned a number"
    )
    pull_by: Literal["search", "export"] = Field("search", description="results by searches, or by Bulk Data's $export")
    pull_group: str | None = Field(None, description="id of the hospital's Group of the study's patients, for export")
    pull_export_level: Literal["group", "patient", "system"] | None = Field(
        None, description="what is exported; unset means the group if pull_group is set, else all patients"
    )
    pull_export_folder: Path = Field(Path("exports"), description="folder where exported files lie until they are used")
    pull_export_origins: tuple[str, ...] = Field(
        (), description="other origins that exported files may be fetched from"
    )
    pull_export_wait: float = Field(6.0, gt=0, description="hours to wait for an export before a later run goes on")
    notifications_url: HttpUrl | None = Field(
        None, description="address of our /notifications as the hospital's server reaches it, for Subscriptions"
    )
    notifications_token: Path | None = Field(None, description="file with the secret that notifications bear")
    notifications_settle: float = Field(10.0, ge=0, description="seconds after a notification that a pull waits")
    definitions: Path | None = Field(
        None, description="folder or .tgz with hl7.fhir.r4.core 4.0.1; unset means the shared FHIR package cache"
    )
    profiles: tuple[Path, ...] = Field(
        (), description="further FHIR packages to validate against: folders, .tgz or files, beside the shipped one"
    )
    accepted: Path | None = Field(None, description="TOML or JSON file of findings that are accepted for a time")
    schedule_ingest: str = Field("off", description="when to load what lies in the inbox: a cron expression, or off")
    schedule_pull: str = Field("off", description="when to pull laboratory results: a cron expression, or off")
    schedule_push: str = Field("*/5 * * * *", description="when to push: a cron expression, or off")
    schedule_reconcile: str = Field("17 3 * * *", description="when to reconcile: a cron expression, or off")
    schedule_release: str = Field(
        "off", description="when to bring what registries see up to date: a cron expression, or off"
    )
    inbox: Path | None = Field(None, description="folder where files of records are dropped to be loaded")
    inbox_quiet: float = Field(10.0, ge=0, description="seconds without a change after which a delivery is complete")
    worker_dead_after: float = Field(
        60.0, ge=1, description="seconds without a heartbeat after which a worker is taken for dead"
    )

    hl7_address: str = Field("127.0.0.1", description="address that the HL7 v2 listener is opened on")
    hl7_port: int | None = Field(None, ge=0, le=65535, description="port of the HL7 v2 listener (MLLP)")
    hl7_tls_certificate: Path | None = Field(
        None, description="PEM file with the listener's certificate; unset: no TLS"
    )
    hl7_tls_key: Path | None = Field(None, description="PEM file with its key, if in another file")
    hl7_tls_ca: Path | None = Field(
        None, description="PEM file of the authorities whose certificates senders must show"
    )
    hl7_charset: str | None = Field(None, description="character set of senders who leave MSH-18 empty (table 0211)")
    hl7_laboratories: dict[str, str] = Field(
        {}, description="laboratories by performer (OBX-23, OBX-15), `application^facility`, facility or application"
    )
    hl7_accept_processing: tuple[Literal["P", "T", "D"], ...] = Field(
        ("P",), description="processing ids (MSH-11) that are taken: production, training, debugging"
    )
    hl7_connections: int = Field(32, ge=1, le=1000, description="connections to the listener at a time")
    hl7_frame_seconds: float = Field(30.0, gt=0, description="seconds that one message may take to arrive")
    hl7_idle_seconds: float = Field(600.0, gt=0, description="seconds that a connection may be silent")
    hl7_longest: int = Field(10_485_760, ge=1000, le=10_485_760, description="most bytes of one message")
    hl7_keep_days: float = Field(30.0, ge=0, description="days that messages at fault are kept, sealed")
    hl7_unlinked_days: float = Field(
        0.0, ge=0, description="days that messages of people who are not subjects are kept, sealed; 0 is not at all"
    )

    inbox_tokens: Path | None = Field(
        None, description="file of who may work in the inbox over HTTP; unset means that the API has no inbox"
    )

    agreements: Path | None = Field(None, description="folder with one TOML file for each data-use agreement")
    release_key: Path | None = Field(
        None, description="file with the key that registries' pseudonyms and date shifts are made with"
    )
    audit_folder: Path = Field(Path("audit"), description="folder where the audit trail of registries' access lies")
    audit_key: Path | None = Field(
        None, description="file with the key that the audit trail is chained under; unset means a chain without one"
    )
    api_url: HttpUrl | None = Field(None, description="base URL of our FHIR API as registries reach it")
    api_signing_key: Path | None = Field(
        None, description="file with the key that access tokens are signed with; unset means that nobody gets one"
    )
    api_token_seconds: float = Field(300.0, ge=10, le=3600, description="seconds that an access token lives")
    api_audiences: tuple[str, ...] = Field(
        (), description="what a client's statement may name as aud besides the token endpoint's address, exactly"
    )
    api_jwks_networks: tuple[str, ...] = Field(
        (), description="networks that are not public where clients' keys may be fetched, like 10.20.0.0/16"
    )
    api_address: str = Field("127.0.0.1", description="address that `fhirbridge serve` is opened on")
    api_port: int = Field(8000, ge=0, le=65535, description="port that `fhirbridge serve` is opened on")
    api_threads: int = Field(8, ge=1, le=256, description="requests that `fhirbridge serve` answers at a time")
    api_cors_origins: tuple[str, ...] = Field(
        (), description="origins whose pages may use the API in a browser, like https://app.example.org; * for all"
    )
    api_release_seconds: float = Field(
        5.0, ge=0, description="seconds between two looks for what is to be released; 0 is never by the API itself"
    )
    api_proxies: int = Field(
        0, ge=0, le=10, description="proxies in front of the API whose X-Forwarded-For says who asks"
    )
    api_export_folder: Path = Field(
        Path("released"), description="folder where exports of registries lie until they are fetched"
    )
    api_export_hours: float = Field(24.0, gt=0, description="hours that an export is kept once it is complete")
    api_exports: int = Field(4, ge=1, le=100, description="exports that one client may have under way")
    api_requests_per_minute: int = Field(
        300_000, ge=0, description="requests of one client in a minute, for each process; 0 is no limit"
    )
    api_remembered_mib: int = Field(
        64, ge=0, le=65_536, description="MiB of pages of searches that a process remembers; 0 remembers none"
    )
    api_costly: int = Field(4, ge=1, description="costly requests of one client at a time, for each process")

    log_format: Literal["console", "json"] = Field("console", description="log lines as text or as JSON")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")
    log_file: Path | None = Field(None, description="file that log lines are appended to; unset means standard error")
    metrics: bool = Field(False, description="whether the API answers /metrics")
    metrics_port: int | None = Field(None, ge=0, le=65535, description="port where run and worker serve metrics")
    metrics_address: str = Field("127.0.0.1", description="address that metrics_port is opened on")
    notify_webhook: SecretStr | None = Field(None, description="URL that notifications are POSTed to")
    notify_webhook_secret: Path | None = Field(None, description="file with the key that notifications are signed with")
    notify_mail_to: tuple[str, ...] = Field((), description="addresses that notifications are mailed to")
    notify_mail_from: str = Field("fhirbridge@localhost", description="address that they are mailed from")
    notify_mail_host: str = Field("localhost", description="the mail server (SMTP)")
    notify_mail_port: int = Field(587, ge=1, le=65535, description="its port")
    notify_mail_security: Literal["starttls", "ssl", "none"] = Field("starttls", description="how it is spoken to")
    notify_mail_login: Path | None = Field(None, description="file with user and password for it, on two lines")
    notify_ca: Path | None = Field(None, description="file of certificates that webhook and mail server are trusted by")
    notify_reminder: float = Field(24.0, ge=0, description="hours after which a failure is told again; 0 for never")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # pydantic calls by name
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read what the caller gave, then the environment, then the TOML file."""
        file = (TomlConfigSettingsSource(settings_cls, cls._file),) if cls._file else ()
        return (init_settings, _Environment(settings_cls), *file)


class _Environment(EnvSettingsSource):
    """The environment, where lists and tables are JSON; what is none is told with the variable's name."""

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:
        """Return a list or table. Raises ConfigurationError, which shows no value."""
        kind, form = (dict, '{"NAME": "VALUE"}') if isinstance(field.default, dict) else (list, '["ONE", "TWO"]')
        try:
            found = super().decode_complex_value(field_name, field, value)
        except ValueError:
            found = None
        if not isinstance(found, kind):
            name = f"{self.env_prefix}{field_name}".upper()
            raise ConfigurationError(f"the environment's {name} is no JSON like {form}. See docs/settings.md.")
        return found


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
