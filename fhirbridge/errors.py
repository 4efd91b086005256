"""The error tree: what can go wrong, and how each kind is told to FHIR clients, HTTP clients and scripts.

    FhirbridgeError                     issue code   HTTP  exit
      ConfigurationError                exception     500     2    settings, keys, study files
        DefinitionsMissing              not-found     500     2    no hl7.fhir.r4.core package here
      InputError                        structure     400     2    a file or body that cannot be used at all
        ProfileError                    invalid       422     2    a StructureDefinition that is itself wrong
        Expired                         expired       410     2    a page of a state that is kept no longer
      Refused                           invalid       422     1    data that breaks a rule; the rest goes on
        RecordError                     invalid       422     1    one field of one study record
        MappingError                    not-supported 422     1    a record that FHIR R4 cannot express
        ResourceInvalid                 invariant     422     1    a mapped resource its profile rejects
      StoreError                        exception     500     2    the database
      HospitalError                     exception     502     3    the hospital's server
        TemporaryHospitalError          transient     503     3    worth trying again
        FatalHospitalError              processing    502     3    will fail again until someone acts

Issue codes are those of http://hl7.org/fhir/R4/valueset-issue-type.html.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

Resource = dict[str, Any]

EXIT_DONE = 0
EXIT_REFUSED = 1
EXIT_UNUSABLE = 2
EXIT_SERVER = 3
EXIT_BUG = 70
EXIT_INTERRUPTED = 130


class FhirbridgeError(Exception):
    """The root: anything fhirbridge raises on purpose. Its text is one sentence that says what to do."""

    issue_code: ClassVar[str] = "exception"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = EXIT_UNUSABLE


class ConfigurationError(FhirbridgeError):
    """Settings, a key or a study file that cannot be used."""


class DefinitionsMissing(ConfigurationError):
    """The FHIR base definitions are not on this machine."""

    issue_code = "not-found"


class InputError(FhirbridgeError):
    """A file or body that cannot be used at all: missing, empty, unreadable, not what it should be."""

    issue_code = "structure"
    http_status = 400


class ProfileError(InputError):
    """A StructureDefinition, ValueSet or package that is itself wrong; the text names the element at fault."""

    issue_code = "invalid"
    http_status = 422


class Expired(InputError):
    """A page is asked for of a state of a release that is kept no longer; the search is to be made anew."""

    issue_code = "expired"
    http_status = 410


class Refused(FhirbridgeError):
    """Data that breaks a rule and was set aside, while everything else went on."""

    issue_code = "invalid"
    http_status = 422
    exit_code = EXIT_REFUSED


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Why one row or record was refused, in the words its owner needs to mend it.

    ``value`` is what stood there, or None where there was none or where the field is sensitive (a birth date
    never travels into a report). ``line`` counts from 1 with the header as line 1; a workbook gives its row.
    """

    record: str
    rule: str
    message: str
    remedy: str
    field: str | None = None
    value: str | None = None
    file: str | None = None
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)
        field = f" {self.field}" if self.field else ""
        value = f" = {self.value!r}" if self.value is not None else ""
        return (
            f"{place + ': ' if place else ''}{self.record}{field}{value}: {self.message} [{self.rule}]. {self.remedy}"
        )


class RecordError(Refused):
    """One study record, or one field of it, that breaks a rule; ``finding`` says which and what to do."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(str(finding))
        self.finding = finding


class MappingError(RecordError):
    """A record that FHIR R4 has no way to say."""

    issue_code = "not-supported"


class ResourceInvalid(Refused):
    """A resource that its profile rejects; ``outcome`` is the OperationOutcome that says why."""

    issue_code = "invariant"

    def __init__(self, message: str, outcome: Resource) -> None:
        super().__init__(message)
        self.outcome = outcome


class StoreError(FhirbridgeError):
    """The database cannot be opened, is of another version, or belongs to another pseudonym key."""


class HospitalError(FhirbridgeError):
    """The hospital's FHIR server failed or refused; ``outcome`` is its OperationOutcome if it sent one."""

    http_status = 502
    exit_code = EXIT_SERVER

    def __init__(self, message: str, *, status: int | None = None, outcome: Resource | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.outcome = outcome


class TemporaryHospitalError(HospitalError):
    """Worth trying again: unreachable, overloaded, or an answer cut short."""

    issue_code = "transient"
    http_status = 503

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        outcome: Resource | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, status=status, outcome=outcome)
        self.retry_after = retry_after


class FatalHospitalError(HospitalError):
    """Will fail again until someone changes the request, the settings or the server."""

    issue_code = "processing"
