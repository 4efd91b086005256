"""Where to look at a hospital's server before sending, so that nobody's change is lost and nothing is made twice.

Looking costs a request, so it is done only where the server does not heed versions, at first contact with a server
that holds some of the study already, and after a writer that did not give back its lease.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

from fhirbridge.errors import FatalHospitalError
from fhirbridge.sync.looking import Look
from fhirbridge.sync.naming import Name
from fhirbridge.sync.planning import SENT, Planned
from fhirbridge.sync.strategies import Strategies


class Caution:
    """Looks where it must. ``first_time`` says that this server never acknowledged anything of the study."""

    def __init__(self, look: Look, strategies: Strategies, study: str, *, first_time: bool) -> None:
        self._look = look
        self._strategies = strategies
        self._study = study
        self._first_time = first_time
        self._empty_types: dict[str, bool] = {}
        self._lock = threading.Lock()

    def looked(self, planned: Sequence[Planned], *, careful: bool) -> list[Planned]:
        """Return the plan of one compartment, changed by what the server holds where that was looked at.

        ``careful``: its last writer may have died before it could note what it did. Raises HospitalError.
        """
        found = self._found(planned) if careful else {}
        asked = [one for one in planned if one.change.action in SENT and self._needs_look(one, careful)]
        if not asked and not found:
            return list(planned)
        ids = {name: one.change.server_id for name, one in found.items() if one.change.server_id is not None}
        checked = found | {one.name: one for one in self._look.check(asked, ids)}
        return [checked.get(one.name, one) for one in planned]

    def _found(self, planned: Sequence[Planned]) -> dict[Name, Planned]:
        """Find what an earlier writer made under ids of the server's choice: others may refer to it already."""
        found, ids = dict[Name, Planned](), dict[Name, str]()
        for one in planned:
            if one.change.action != "create" or self._strategies.of(one.change.type) == "update":
                continue
            try:
                [checked] = self._look.check([one], ids)
            except FatalHospitalError:
                continue  # it is met again, and parked, when it is to be sent
            if checked.change.server_id is not None:
                found[one.name], ids[one.name] = checked, checked.change.server_id
        return found

    def _needs_look(self, one: Planned, careful: bool) -> bool:
        if one.change.action != "create":
            return careful or one.change.version is None or not self._strategies.versioned(one.change.type)
        if self._strategies.of(one.change.type) != "update":
            return False  # it is found, by us or by the server, before it is written
        return careful or (self._first_time and not self._is_empty(one.change.type))

    def _is_empty(self, kind: str) -> bool:
        """Say whether the server holds nothing of this study of a type: then nothing can be overwritten there."""
        with self._lock:
            if kind not in self._empty_types:
                self._empty_types[kind] = self._look.holds_none(kind, self._study)
            return self._empty_types[kind]
