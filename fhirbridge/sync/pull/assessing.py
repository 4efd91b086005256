"""Judges the results of one subject as the store holds them, writes what was judged, and accounts for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fhirbridge.protocol.slots import FollowUp
from fhirbridge.store import Store
from fhirbridge.store.candidates import Known
from fhirbridge.store.judgements import Judgement
from fhirbridge.store.pulls import Pulled
from fhirbridge.sync.pull import incoming as incomings
from fhirbridge.sync.pull.cases import Context, Held, Picture
from fhirbridge.sync.pull.funnel import Funnel, end_of
from fhirbridge.sync.pull.judging import judge
from fhirbridge.sync.pull.taking import GONE

TRIES = 5
"""How often a subject is judged again because somebody decided in between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessing:
    """What is needed to judge subjects of one study; ``server`` is the feed that links follow, None without one."""

    store: Store
    context: Context
    follow_up: Callable[[str], FollowUp]
    server: str | None
    run: str

    def assess(self, subject: str, relinked: str | None, funnel: Funnel) -> None:
        """Judge all results of a subject, and count those that came in this run and those that moved by them.

        ``relinked`` is when the hospital's person last became another one.
        """
        study = self.context.study.id
        for _ in range(TRIES):
            known = self.store.candidates.of_subject(study, subject)
            judged = judge(self._picture(subject, known, relinked), self.context)
            if not self.store.candidates.judge(study, subject, judged, self.run):
                break
        self._account(subject, known, judged, funnel)

    def _picture(self, subject: str, known: list[Known], relinked: str | None) -> Picture:
        elsewhere = self.store.candidates.moved(self.context.study.id, subject)
        results = []
        for _, last, decisions in known:
            of_another = relinked is not None and last.feed == self.server and last.at < relinked
            held = Held(
                arrival=last.key,
                incoming=incomings.read_back(last.body),
                decisions=decisions,
                relinked=of_another or (last.feed, last.reference) in elsewhere,
                gone=last.version.startswith(GONE),
            )
            results.append(held)
        return Picture(follow_up=self.follow_up(subject), results=tuple(results))

    def _account(self, subject: str, known: list[Known], judged: list[Judgement], funnel: Funnel) -> None:
        before = {(last.feed, last.reference): candidate for candidate, last, _ in known}
        now = {(one.feed, one.reference): one for one in judged}
        came = self.store.candidates.came(self.context.study.id, subject, self.run)
        pulled: list[Pulled] = []
        for key, feed, reference, novelty in came:
            one = now[feed, reference]
            funnel.fate(subject, novelty, one.analyte)
            funnel.ended(subject, one)
            pulled.append(Pulled(arrival=key, novelty=novelty, fate=end_of(one)))
        self.store.pulls.note(self.run, pulled)
        stayed = now.keys() - {(feed, reference) for _, feed, reference, _ in came}
        for name in sorted(stayed):
            candidate = before[name]
            if candidate is None or candidate.state != now[name].state:
                funnel.shifted(subject, now[name])
