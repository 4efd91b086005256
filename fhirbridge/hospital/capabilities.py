"""What a server says it can do: its CapabilityStatement, checked to be that of a FHIR R4 server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fhirbridge.errors import FatalHospitalError, Resource


@dataclass(frozen=True)
class Capabilities:
    """A checked CapabilityStatement (http://hl7.org/fhir/R4/capabilitystatement.html).

    Servers understate: sekmet-fhir does not list ResearchStudy, yet stores it. An absent type means "not said", and
    so does None as an answer.
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
    def transactions(self) -> bool | None:
        """Say whether the server offers transactions at its base URL, None where it lists no system interaction."""
        return _offers(self._rest, "transaction")

    @property
    def batches(self) -> bool | None:
        """Say whether the server offers batches at its base URL, None where it lists no system interaction."""
        return _offers(self._rest, "batch")

    def resource(self, kind: str) -> Resource | None:
        """Return what the server says of a resource type, None where it says nothing."""
        return self._by_type.get(kind)

    def creates(self, kind: str) -> bool | None:
        """Say whether ``POST Type`` is listed, None where no interaction of the type is."""
        return _offers(self.resource(kind), "create")

    def updates(self, kind: str) -> bool | None:
        """Say whether ``PUT Type/id`` is listed, None where no interaction of the type is."""
        return _offers(self.resource(kind), "update")

    def deletes(self, kind: str) -> bool | None:
        """Say whether ``DELETE Type/id`` is listed, None where no interaction of the type is."""
        return _offers(self.resource(kind), "delete")

    def searches(self, kind: str) -> bool | None:
        """Say whether ``GET Type?…`` is listed; False where types are listed and this is none of them, None else."""
        listed = self._rest.get("resource") or []
        return _offers(self.resource(kind), "search-type") if self.resource(kind) or not listed else False

    @property
    def operations(self) -> frozenset[str]:
        """Return the names of the operations it lists, of whatever type, without the ``$``."""
        rest = self._rest
        said = [
            *(rest.get("operation") or []),
            *(one for kind in rest.get("resource") or [] for one in kind.get("operation") or []),
        ]
        return frozenset(str(one.get("name", "")).removeprefix("$") for one in said)

    def read_only(self, kind: str) -> bool:
        """Say whether the server lists interactions for the type, and neither create nor update among them."""
        return self.creates(kind) is False and self.updates(kind) is False

    def creates_by_update(self, kind: str) -> bool | None:
        """Say whether ``PUT Type/id`` may create, None where the server does not say (HAPI, which does it)."""
        return self._flag(kind, "updateCreate")

    def conditional_create(self, kind: str) -> bool | None:
        """Say whether a POST heeds ``If-None-Exist``."""
        return self._flag(kind, "conditionalCreate")

    def conditional_update(self, kind: str) -> bool | None:
        """Say whether ``PUT Type?…`` is taken."""
        return self._flag(kind, "conditionalUpdate")

    def versioned_update(self, kind: str) -> bool:
        """Say whether the server promises to refuse an update whose ``If-Match`` is not the current version."""
        return (self.resource(kind) or {}).get("versioning") == "versioned-update"

    def searchable(self, kind: str, parameter: str) -> bool | None:
        """Say whether a search parameter is listed, None where none is listed for the type.

        Parameters of every type (``_id``, ``_tag``) may stand in a list of their own or in none, so of these only
        True and None are said.
        """
        of_type = _names((self.resource(kind) or {}).get("searchParam"))
        if parameter in of_type | _names(self._rest.get("searchParam")):
            return True
        return False if of_type and not parameter.startswith("_") else None

    def _flag(self, kind: str, name: str) -> bool | None:
        said = (self.resource(kind) or {}).get(name)
        return said if isinstance(said, bool) else None

    @cached_property
    def _rest(self) -> dict[str, Any]:
        return next((rest for rest in self.statement.get("rest", []) if rest.get("mode") == "server"), {})

    @cached_property
    def _by_type(self) -> dict[str, Resource]:
        """Each type's first entry: HAPI lists 150 types, and a push asks for one with every resource."""
        listed: list[Resource] = self._rest.get("resource") or []
        return {str(said.get("type")): said for said in reversed(listed)}


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


def check_writable(found: Capabilities, kinds: Iterable[str], base_url: str) -> None:
    """Raise FatalHospitalError for a server that lists some of these types, and create or update for none of them."""
    read_only = sorted(kind for kind in set(kinds) if found.read_only(kind))
    if read_only and not any(found.creates(kind) or found.updates(kind) for kind in kinds):
        raise FatalHospitalError(
            f"{base_url} is read-only: its CapabilityStatement lists no way to write {', '.join(read_only)}. "
            "Ask its operator for one that takes writes."
        )


def _offers(said: dict[str, Any] | None, interaction: str) -> bool | None:
    listed = {one.get("code") for one in (said or {}).get("interaction") or []}
    return interaction in listed if listed else None


def _names(parameters: list[dict[str, Any]] | None) -> set[str]:
    return {str(one.get("name")) for one in parameters or []}
