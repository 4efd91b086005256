"""Releases: for each data-use agreement what it lets out, as the bytes that are answered, and how they are found.

Whatever is asked, consent is asked for in the same statement: what is of a person without an active Consent is not
there, from the moment at which the Consent changed. What is remembered is remembered of one count of these changes.
``at`` is a position: answers are as of that state, so that pages fit together while the release goes on.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta, tzinfo

from sqlalchemy import Engine

from fhirbridge.errors import Expired
from fhirbridge.release.cells import Count
from fhirbridge.release.view import View
from fhirbridge.search.query import Query
from fhirbridge.store import database, release_finding, release_including, release_refreshing, release_state
from fhirbridge.store.instants import Clock
from fhirbridge.store.release_answers import Page as Page
from fhirbridge.store.release_answers import Position as Position
from fhirbridge.store.release_answers import Refreshed as Refreshed
from fhirbridge.store.release_answers import Released as Released
from fhirbridge.store.release_answers import Tally as Tally
from fhirbridge.store.release_filters import Asked, Terms
from fhirbridge.store.release_remembering import Remembered
from fhirbridge.store.release_state import Standing
from fhirbridge.store.release_state import digest as digest
from fhirbridge.store.writes import batches

KEPT = timedelta(days=1)
"""How long a position can be asked for after another one took its place."""

COUNTS = TERMS = 4096
"""Counts and values' terms that are remembered."""


Stamp = tuple[int, int, int, int | None]
"""Of a state of a release: its key, the generation of its rules, its position, and how often Consents changed."""


class Releases:
    """The releases of a store; made once for a store and shared by its threads, as it remembers counts and terms."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._counts = Remembered[Count](COUNTS)
        self._terms = Remembered[Terms](TERMS)

    def refresh(self, view: View, zone: tzinfo, *, run: str | None = None, keep: timedelta = KEPT) -> Refreshed:
        """Bring the release of ``view.agreement`` up to date with the store; does nothing where it is.

        Nothing of it shows until it is complete. ``zone`` is the study's time zone. Positions replaced longer than
        ``keep`` ago can be asked for no more.
        """
        return release_refreshing.refresh(self._engine, self._clock, view, zone, run=run, keep=keep)

    def position(self, agreement: str) -> Position | None:
        """Return where the release of an agreement stands; None where nothing was ever released. One statement."""
        return release_state.position(database.look(self._engine, release_state.row, agreement))

    def read(self, agreement: str, type: str, id: str, version: int | None = None) -> Released | None:
        """Return the current version, or that one; None where there is none or its person does not consent.

        ``body`` is None where it was deleted. One statement.
        """
        return database.look(self._engine, release_finding.read, agreement, type, id, version)

    def history(
        self, agreement: str, type: str, id: str | None, *, since: str | None, at: int, after: str | None, count: int
    ) -> Page:
        """Return versions of a resource, or of all of a type, the newest first, up to a position.

        ``since`` is an instant in UTC as ``Released.last_updated`` is written: nothing older than it. Raises Expired.
        """
        with self.state(agreement, at) as state:
            return release_finding.history(state.asked, type, id, since=since, after=after, count=count)

    def search(self, agreement: str, query: Query, *, at: int, after: str | None, count: int) -> Page:
        """Answer as ``State.search`` does at a position. Raises Expired."""
        with self.state(agreement, at) as state:
            return state.search(query, after=after, count=count)

    def count(self, agreement: str, query: Query, *, at: int) -> Count:
        """Answer as ``State.count`` does at a position. Raises Expired."""
        with self.state(agreement, at) as state:
            return state.count(query)

    def included(
        self, agreement: str, query: Query, found: Sequence[Released], *, at: int, limit: int
    ) -> list[Released]:
        """Answer as ``State.included`` does at a position. Raises Expired."""
        with self.state(agreement, at) as state:
            return state.included(query, found, limit=limit)

    def iterate(
        self,
        agreement: str,
        types: Sequence[str],
        *,
        at: int,
        since: str | None = None,
        patients: Collection[str] | None = None,
        queries: Mapping[str, Sequence[Query]] | None = None,
        after: str | None = None,
        page: int = 500,
    ) -> Iterator[Released]:
        """Yield all that is released of these types, type by type, page by page; consent is asked for at every page.

        In the order of ids, but with ``patients`` some hundreds of these after the other. ``since``: only what was
        released at that instant or later, and what was deleted then (``body`` None), unless ``patients`` are named.
        ``patients`` are ids as the registry knows them: only what is of these people. ``queries`` of a type: only what
        matches one of them. ``after`` is an id of the first type to go on behind. Raises Expired.
        """
        for number, kind in enumerate(types):
            chosen = (queries or {}).get(kind)
            for some in [None] if patients is None else batches(sorted(patients)):
                place = None if number else after
                while True:
                    with self.state(agreement, at) as state:
                        people = None if some is None else release_finding.people_of(state.asked, some)
                        found = release_finding.everything(
                            state.asked, kind, chosen, since=since, people=people, after=place, count=page
                        )
                    yield from found
                    if len(found) < page:
                        break
                    place = found[-1].id

    @contextlib.contextmanager
    def state(self, agreement: str, at: int) -> Iterator[State]:
        """Give the state of a release at a position, to be asked several things by one connection.

        Raises Expired where that position is kept no longer.
        """
        with database.looking(self._engine) as connection:
            found = release_state.standing(connection, agreement)
            if found is None or not found.oldest <= at <= found.position:
                raise Expired("this page is of a state of the data that is kept no longer. Begin the search anew.")
            terms = self._terms if found.indexed else None
            asked = Asked(connection, found.key, found.study, at, ruled=found.ruled, remembered=terms)
            yield State(asked, found, self._counts)


class State:
    """A release as it is at a position, within ``Releases.state``."""

    def __init__(self, asked: Asked, standing: Standing, counts: Remembered[Count]) -> None:
        self.asked = asked
        self._standing = standing
        self._counts = counts

    @property
    def stamp(self) -> Stamp | None:
        """What stands for all that answers follow from: as long as it is the same, so is what is found.

        None where that cannot be said: of an earlier position, of which what was let out by mistake may be erased,
        and while the index is made anew.
        """
        now = self._standing
        if not now.indexed or self.asked.at != now.position:
            return None
        return now.key, now.ruled, now.position, now.consents

    def search(self, query: Query, *, after: str | None, count: int) -> Page:
        """Return the next matches in the order asked for, then by id."""
        return release_finding.search(self.asked, query, after=after, count=count)

    def count(self, query: Query) -> Count:
        """Count all matches, and whose they are. To be shown by ``cells.shown`` only.

        A count is remembered: it is the same until the position, the rules or anybody's Consent changes.
        """
        asked = self.asked
        question = asked.release, asked.ruled, asked.at, self._standing.consents, query.type, query.filters
        known = self._counts.get(question)
        if known is None:
            known = release_finding.count(asked, query)
            self._counts.put(question, known)
        return known

    def included(self, query: Query, found: Sequence[Released], *, limit: int) -> list[Released]:
        """Return what the includes of a search add to a page of matches.

        Raises SearchError (too-costly) where that is more than ``limit``.
        """
        return release_including.included(self.asked, query, found, limit)
