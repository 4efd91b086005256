"""Looking before sending: what a hospital's server holds now, held against what is planned.

A plan that a person reads looks at everything it would touch. A push looks only where it must: where the server does
not heed If-Match, where it refused a version, and where an earlier writer may have died between the server's commit
and our note of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from urllib.parse import parse_qsl

from fhirbridge import fhirjson
from fhirbridge.elements import STUDY_TAG
from fhirbridge.errors import FatalHospitalError, Resource
from fhirbridge.hospital import Hospital
from fhirbridge.store import Delivery, Store
from fhirbridge.sync.comparison import compare
from fhirbridge.sync.desired import retracted, settled_content
from fhirbridge.sync.entries import query
from fhirbridge.sync.naming import Name, ids_there, is_tagged, references, rewritten, version_of
from fhirbridge.sync.planning import SENT, Planned
from fhirbridge.sync.strategies import Strategies

_UNKNOWN_TYPE = 404


class Look:
    """Asks one server, and judges what it answers."""

    def __init__(self, store: Store, hospital: Hospital, strategies: Strategies) -> None:
        self._store = store
        self._hospital = hospital
        self._strategies = strategies
        self._server = hospital.server_id

    def check(self, planned: Sequence[Planned], found: Mapping[Name, str] | None = None) -> list[Planned]:
        """Return the same plan in its order, as what the server holds now makes it.

        ``found`` maps to the server's id what was found there by its identifier, and is not noted yet: references
        lead there. Raises HospitalError if the server cannot be asked.
        """
        asked = [one for one in planned if one.change.action in SENT]
        there = {one.name: theirs for one, theirs in self._current(asked)}
        ids = {**(found or {}), **{name: theirs["id"] for name, theirs in there.items() if theirs["id"] != name[1]}}
        return [self._judged(one, there.get(one.name), ids) if one.change.action in SENT else one for one in planned]

    def current(self, one: Planned) -> Resource | None:
        """Return what the server holds of one resource, None if nothing."""
        return next((theirs for _, theirs in self._current([one])), None)

    def holds_none(self, kind: str, study: str) -> bool:
        """Say whether a search by the study's tag finds nothing of a type; False if the server cannot be asked so."""
        try:
            return next(self._hospital.search(kind, [("_tag", f"{STUDY_TAG}|{study}"), ("_count", "1")]), None) is None
        except FatalHospitalError:
            return False

    def in_their_terms(self, content: Resource, server_id: str | None, found: Mapping[Name, str]) -> Resource:
        """Return content of ours with the server's id and references, as it would come back from there."""
        known = {**self.known(references(content)), **found}
        theirs = rewritten(content, known)
        return theirs if server_id is None else {**theirs, "id": server_id}

    def known(self, names: Iterable[Name]) -> Mapping[Name, str]:
        """Return the server's ids of those of these resources that it knows under another id than ours."""
        return ids_there(self._store, self._server, names)

    def _current(self, planned: Sequence[Planned]) -> Iterator[tuple[Planned, Resource]]:
        by_id: dict[str, dict[str, Planned]] = {}
        for one in planned:
            if one.change.server_id is None and self._strategies.of(one.change.type) != "update":
                yield from ((one, theirs) for theirs in self._search(one))
            else:
                by_id.setdefault(one.change.type, {})[one.change.server_id or one.change.id] = one
        for kind, wanted in by_id.items():
            for theirs in self._lookup(kind, list(wanted)):
                if theirs.get("id") in wanted:
                    yield wanted[theirs["id"]], theirs

    def _lookup(self, kind: str, ids: list[str]) -> Iterator[Resource]:
        """Look up by id; of a type that the server does not know it holds nothing, and sending it will say so."""
        try:
            yield from self._hospital.lookup(kind, ids)
        except FatalHospitalError as error:
            if error.status != _UNKNOWN_TYPE:
                raise

    def _search(self, one: Planned) -> list[Resource]:
        """Search by our identifier on a server that chose the id. More than one match cannot be told apart."""
        if one.content is None:
            return []
        found = list(self._hospital.search(one.change.type, parse_qsl(query(one.content, one.change.id))))
        if len(found) > 1:
            raise FatalHospitalError(
                f"search of {one.change.type}: the server holds {len(found)} with the identifier of {one.change.id}. "
                "Have the duplicates merged there, then retry.",
                status=412,
            )
        return found

    def _judged(self, one: Planned, theirs: Resource | None, found: Mapping[Name, str]) -> Planned:
        change, created = one.change, one.change.action == "create"
        if theirs is None:
            if change.action == "delete":
                return one.changed(action="adopt", version=None)
            return one if created else one.changed(action="conflict", why="it was deleted there")
        version = version_of(theirs)
        if not created and version is not None and version == change.version:
            return one
        server_id = None if theirs["id"] == change.id else theirs["id"]
        if created and self._is_the_hospitals(one, theirs):
            return one.changed(action="adopt", version=version, server_id=theirs["id"], owner="hospital")
        if one.content is not None and self._is(one.content, theirs, server_id, found):
            return one.changed(action="adopt", version=version, server_id=server_id)
        if any(self._is(content, theirs, server_id, found) for content in self._ours(one.delivery)):
            action = "update" if created else change.action
            return one.changed(action=action, version=version, server_id=server_id)
        return one.changed(action="conflict", version=version, server_id=server_id, why="it was changed there")

    def _is_the_hospitals(self, one: Planned, theirs: Resource) -> bool:
        """Say whether what was found by identifier was there before us: it lacks our tag, and so is not ours."""
        return self._strategies.of(one.change.type) != "update" and not is_tagged(theirs, one.delivery.stored.study)

    def _is(self, content: Resource, theirs: Resource, server_id: str | None, found: Mapping[Name, str]) -> bool:
        ours = self.in_their_terms(content, server_id, found)
        return compare(ours, theirs, self._server).verdict != "different"

    def _ours(self, delivery: Delivery) -> Iterator[Resource]:
        """Yield what we may have put there at some time, the newest first, each content once."""
        seen: set[str] = set()
        for version in self._store.history(delivery.stored.type, delivery.stored.id):
            content = version.content()
            for put in (content, settled_content(content, delivery.settled), retracted(content)):
                digest = fhirjson.content_hash(put)
                if digest not in seen:
                    seen.add(digest)
                    yield put
