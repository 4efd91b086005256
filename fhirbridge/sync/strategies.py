"""How resources of each type are written to a server: chosen from its CapabilityStatement, overridden by settings.

    update               PUT Type/id, which may create (http://hl7.org/fhir/R4/http.html#upsert)
    conditional-create   POST with If-None-Exist; the server assigns the id
    conditional-update   PUT Type?identifier=…; the server assigns the id
    search               search by identifier, then POST; the server assigns the id
    find                 search by identifier; it must be there, belongs to the hospital, and is never written

Once a server's id is known, what follows is ``PUT Type/its-id`` under every strategy. CapabilityStatements
understate: where one is silent, update is tried, because most servers take it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, cast, get_args

from fhirbridge.errors import ConfigurationError, FatalHospitalError
from fhirbridge.hospital import Capabilities, Mode

Strategy = Literal["update", "conditional-create", "conditional-update", "search", "find"]
STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
MODES: tuple[Mode, ...] = get_args(Mode)

_MEDPLUM_CONDITIONAL = 8
"""Medplum refuses a transaction with more entries than this once one of them is conditional."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What goes into one Bundle at most; a resource larger than ``size`` bytes goes alone."""

    entries: int = 100
    conditional_entries: int | None = None
    """Most entries of a Bundle in which one is conditional; None for what is known of the server, else ``entries``."""
    size: int = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Strategies:
    """The choices for one server. ``by_type`` and ``mode`` are the settings' own and win."""

    capabilities: Capabilities
    limits: Limits = field(default_factory=Limits)
    by_type: Mapping[str, str] = field(default_factory=dict)
    mode_wanted: str | None = None

    def __post_init__(self) -> None:
        for kind, name in self.by_type.items():
            if name not in STRATEGIES:
                raise ConfigurationError(
                    f"setting 'hospital_strategies': {kind} = {name!r} is none of {', '.join(STRATEGIES)}."
                )
        if self.mode_wanted is not None and self.mode_wanted not in MODES:
            raise ConfigurationError(f"setting 'hospital_mode': {self.mode_wanted!r} is none of {', '.join(MODES)}.")

    @property
    def mode(self) -> Mode:
        """How entries travel: as the settings say, else transaction, batch or single, the first that is offered."""
        if self.mode_wanted is not None:
            return cast(Mode, self.mode_wanted)
        if self.capabilities.transactions is not False:
            return "transaction"
        return "batch" if self.capabilities.batches else "single"

    def of(self, kind: str) -> Strategy:
        """Return the strategy for a type. Raises FatalHospitalError for a type that the server only lets be read."""
        found = self._chosen.get(kind)
        if found is None:
            found = self._chosen[kind] = self._choose(kind)
        return found

    @cached_property
    def _chosen(self) -> dict[str, Strategy]:
        return {}

    def _choose(self, kind: str) -> Strategy:
        if kind in self.by_type:
            return cast(Strategy, self.by_type[kind])
        said = self.capabilities
        if said.read_only(kind):
            raise FatalHospitalError(
                f"the server offers neither create nor update for {kind}: it is read-only to us. "
                "Ask for a server that can be written, or leave the type out."
            )
        if said.creates_by_update(kind) is not False:
            return "update"
        if said.conditional_create(kind):
            return "conditional-create"
        return "conditional-update" if said.conditional_update(kind) else "search"

    def versioned(self, kind: str) -> bool:
        """Say whether the server heeds If-Match on an update; where it does not, its content is compared before."""
        return self.capabilities.versioned_update(kind)

    @property
    def conditional_entries(self) -> int:
        """Most entries of a Bundle in which one is conditional."""
        if self.limits.conditional_entries is not None:
            return min(self.limits.conditional_entries, self.limits.entries)
        medplum = "medplum" in self.capabilities.software.lower()
        return min(_MEDPLUM_CONDITIONAL, self.limits.entries) if medplum else self.limits.entries
