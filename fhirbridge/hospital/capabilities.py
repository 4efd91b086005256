"""What a server says it can do: its CapabilityStatement, checked to be that of a FHIR R4 server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirbridge.errors import FatalHospitalError, Resource


@dataclass(frozen=True, slots=True)
class Capabilities:
    """A checked CapabilityStatement (http://hl7.org/fhir/R4/capabilitystatement.html).

    Servers understate: sekmet-fhir does not list ResearchStudy, yet stores it. An absent type means "not said".
    """

    statement: Resource

    @property
    def fhir_version(self) -> str:
        """Return the version, 4.0.something."""
        return str(self.statement["fhirVersion"])

    @property
    def software(self) -> str:
        """Return the server's product and version, as far as it says."""
        software = self.statement.get("software") or {}
        named = f"{software.get('name', '')} {software.get('version', '')}".strip()
        return named or "unnamed software"

    @property
    def transactions(self) -> bool:
        """Say whether the server offers transactions at its base URL."""
        return any(said.get("code") == "transaction" for said in self._rest().get("interaction", []))

    def resource(self, kind: str) -> Resource | None:
        """Return what the server says of a resource type, None where it says nothing."""
        return next((said for said in self._rest().get("resource", []) if said.get("type") == kind), None)

    def creates_by_update(self, kind: str) -> bool | None:
        """Say whether ``PUT Type/id`` may create, None where the server does not say (HAPI, which does it)."""
        said = (self.resource(kind) or {}).get("updateCreate")
        return said if isinstance(said, bool) else None

    def _rest(self) -> dict[str, Any]:
        return next((rest for rest in self.statement.get("rest", []) if rest.get("mode") == "server"), {})


def checked(statement: Resource, base_url: str) -> Capabilities:
    """Return the capabilities of an R4 server. Raises FatalHospitalError for any other resource or version."""
    kind = statement["resourceType"]
    if kind == "Conformance":
        raise FatalHospitalError(f"{base_url} speaks FHIR DSTU2; fhirbridge needs R4 (4.0.1).")
    if kind != "CapabilityStatement":
        raise FatalHospitalError(f"{base_url}/metadata is a {kind} and no CapabilityStatement.")
    version = str(statement.get("fhirVersion", "of no stated version"))
    if not version.startswith("4.0."):
        raise FatalHospitalError(f"{base_url} speaks FHIR {version}; fhirbridge needs R4 (4.0.1).")
    return Capabilities(statement)
