"""The storm: a study is pushed and changed while requests fail, pushers are killed and the hospital edits too.

    with running_hospital(directory / "server", port=0) as target:
        outcome = storm(Weather(subjects=8, kills=4), directory, database, target)
        assert outcome.faults == []

First everything is created, by several pushers at once that are killed with -9 and go on, through a proxy that makes
faults. Then we change many resources and the hospital changes a few of the same ones, and it storms again. In the end
the air is clear, the conflicts are settled, and the server must hold each resource once, with the right content.
"""

from __future__ import annotations

import datetime as dt
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from fhirbridge import identity, settings
from fhirbridge.cli.exchange import run_push
from fhirbridge.cli.loading import load_records
from fhirbridge.cli.reconciling import run_reconcile
from fhirbridge.cli.workplace import Workplace
from fhirbridge.demo.cohort import write_cohort
from fhirbridge.errors import Resource
from fhirbridge.hospital import Hospital, put_entry
from fhirbridge.store import Stored
from fhirbridge.sync.leasing import Leases
from fhirbridge.sync.settling import dispute, settle
from tests.faults import FaultyProxy
from tests.faulty_proxy import faulty_proxy
from tests.store.raw import connected
from tests.storm.audit import Audit, audit
from tests.storm.pushers import Pushers, kill_points
from tests.studies import own_study

TODAY = dt.date(2026, 6, 1)
OURS, THEIRS = {"text": "read again for the study"}, {"text": "seen by the hospital"}


def _silent(_line: str) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class Weather:
    """What is stormed and how hard. ``changed`` is the share of Observations that we change between the two storms."""

    subjects: int = 332
    rate: float = 0.2
    kills: int = 20
    workers: int = 2
    seed: int = 7
    entries: int = 25
    edits: int = 5
    changed: float = 0.3
    strategies: dict[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """What came of it; ``faults`` says in words what should not be, [] if all is well."""

    kills: Counter[str] = field(default_factory=Counter)
    ends: Counter[int] = field(default_factory=Counter)
    made: Counter[str] = field(default_factory=Counter)
    writes: int = 0
    conflicts: int = 0
    audit: Audit = field(default_factory=Audit)
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)


def storm(
    weather: Weather, directory: Path, database: str, target: str, tell: Callable[[str], None] = _silent
) -> Outcome:
    """Let it storm over an empty database and a server, in an empty directory."""
    started = time.monotonic()
    kinds = {"seed": weather.seed, "rate": weather.rate, "retry_after": 0, "pause": 0.01}
    with faulty_proxy(target, **kinds) as proxy:
        place = _place(weather, directory, database, proxy.base_url)
        try:
            _Storm(weather, directory, target, proxy, place, outcome := Outcome(), tell).run()
        finally:
            place.close()
    outcome.seconds = time.monotonic() - started
    return outcome


def _place(weather: Weather, directory: Path, database: str, hospital: str) -> Workplace:
    """Write the settings that the pushers read, and open the workplace they describe."""
    key = directory / "fhirbridge.key"
    identity.new_key(key)
    lines: dict[str, object] = {
        "study": own_study(directory).as_posix(),
        "hospital": hospital,
        "database": database,
        "pseudonym_key": key.as_posix(),
        "hospital_bundle_entries": weather.entries,
        "hospital_rest_first": 0.0,
    }
    text = "".join(f"{name} = {value!r}\n".replace("'", '"') for name, value in lines.items())
    text += "[hospital_strategies]\n" + "".join(f'{kind} = "{name}"\n' for kind, name in weather.strategies.items())
    (directory / "fhirbridge.toml").write_text(text, encoding="utf-8")
    return Workplace(settings.read(directory / "fhirbridge.toml"))


class _Storm:
    def __init__(
        self,
        weather: Weather,
        directory: Path,
        target: str,
        proxy: FaultyProxy,
        place: Workplace,
        outcome: Outcome,
        tell: Callable[[str], None],
    ) -> None:
        self._weather = weather
        self._config = directory / "fhirbridge.toml"
        self._records = directory / "cohort"
        self._target = target
        self._proxy = proxy
        self._place = place
        self._store = place.bound_store
        self._study = place.study.id
        self._outcome = outcome
        self._tell = tell
        self._chance = random.Random(weather.seed)

    def run(self) -> None:
        self._load()
        first = self._weather.kills - self._weather.kills // 3
        self._push("everything is created", first)
        self._expect("the first storm", not self._outcome.faults and self._pending() == 0, "something is left to send")
        edited = self._edit()
        self._push("what changed is updated", self._weather.kills - first)
        self._conflicts(edited)
        self._clear()

    def _load(self) -> None:
        write_cohort(self._place.study, self._records, subjects=self._weather.subjects)
        loaded = load_records(self._place, self._records, today=TODAY, quiet=True)
        self._tell(f"{sum(loaded.resources.values()):,} resources of {self._weather.subjects} subjects are stored")

    def _push(self, what: str, kills: int) -> None:
        """Let the pushers go until each of them has nothing left to do, and kill so many of them on the way."""
        bundles = sum(1 for _ in self._bundles())
        points = kill_points(self._chance, kills, round(bundles * 0.9))
        pushers = Pushers(self._config, points, seed=self._weather.seed)
        self._proxy.watch = pushers.watch
        pushers.work(self._weather.workers)
        self._proxy.watch = lambda moment, port: None
        self._outcome.kills += pushers.kills
        self._outcome.ends += pushers.ends
        self._expect(what, pushers.kills.total() == kills, f"only {pushers.kills.total()} of {kills} kills befell")
        unknown = {code: times for code, times in pushers.ends.items() if code not in (0, 1, 3, -9)}
        self._expect(what, not unknown, f"pushers ended with {unknown}: {pushers.errors[-1:]}")
        parked = [failure for failure in self._store.failures(self._place.server or "", self._study) if failure.parked]
        for failure in parked[:3]:
            self._expect(what, False, f"{failure.type}/{failure.id} is parked: {failure.message}")
        self._tell(f"{what}: {self._said(pushers)}")

    def _bundles(self) -> list[int]:
        """Count the Bundles that are to be sent, compartment by compartment, in each a number of entries."""
        server = self._place.server or ""
        waiting = [
            len(self._store.deliveries(server, self._study, name))
            for name in self._store.outstanding(server, self._study)
        ]
        return [one for size in waiting for one in range(0, size, self._weather.entries)]

    def _said(self, pushers: Pushers) -> str:
        ends = ", ".join(f"{times} with {code}" for code, times in sorted(pushers.ends.items()))
        return f"{pushers.requests:,} writing requests reached the server; pushers ended {ends}"

    def _edit(self) -> dict[tuple[str, str], Resource]:
        """Change many Observations in the store, and a few of them at the hospital too; return what it holds now."""
        every = sorted(self._store.iterate(self._study, types=["Observation"]), key=lambda one: one.id)
        changed = self._chance.sample(every, max(self._weather.edits, round(len(every) * self._weather.changed)))
        with self._store.transaction() as transaction:
            transaction.put([(one.rank, _noted(one.content(), OURS)) for one in changed], run="changed")
        server = self._place.server or ""
        with Hospital(self._target) as hospital:
            return dict(self._edited(hospital, server, one) for one in changed[: self._weather.edits])

    def _edited(self, hospital: Hospital, server: str, one: Stored) -> tuple[tuple[str, str], Resource]:
        name = one.type, one.id
        id = self._store.crosswalk(server, [name]).get(name, one.id)
        theirs = _noted(hospital.read(one.type, id), THEIRS)
        [written] = hospital.send([put_entry(theirs, base_url=self._target)], "single")
        self._expect("the hospital's edit", written.ok, f"the server refused it with {written.status}")
        return name, hospital.read(one.type, id)

    def _conflicts(self, edited: dict[tuple[str, str], Resource]) -> None:
        """Check that each edit of the hospital's stands and waits for a decision, and decide for ours."""
        server = self._place.server or ""
        found = {(one.type, one.id) for one in self._store.conflicts(server, self._study)}
        self._outcome.conflicts = len(found)
        self._expect("conflicts", found == set(edited), f"{len(found)} found, {len(edited)} were made")
        with Hospital(self._target) as hospital:
            overwritten = [theirs for theirs in edited.values() if hospital.read("Observation", theirs["id"]) != theirs]
        self._expect("conflicts", not overwritten, f"{len(overwritten)} edits of the hospital were overwritten")
        for name in found:
            disputed = dispute(self._store, server, name, "stop")
            settle(self._store, server, disputed, "ours", by="storm", reason="", run="settled")

    def _clear(self) -> None:
        """Push without faults, and check that the server is as it should be and that nothing is left to do."""
        self._proxy.rate = 0.0
        last = run_push(self._place, quiet=True, impatient=True)
        self._expect("the last push", last.complete, f"it ended with {dict(last.fates)}, {last.stopped}")
        report = self._proxy.report()
        self._outcome.made, self._outcome.writes = report.counts, sum(report.entries.values())
        again = run_push(self._place, quiet=True)
        sent = self._proxy.report().requests - report.requests
        self._expect("a push with nothing to do", again.complete and sent == 0, f"{sent} requests, {again.fates}")
        server = self._place.server or ""
        self._outcome.audit = audit(self._store, server, self._target, self._study)
        self._outcome.faults += self._outcome.audit.faults
        full = run_reconcile(self._place, full=True, quiet=True)
        self._expect("reconcile", full.in_step and not full.unreadable, f"it found {full.discrepancies[:3]}")
        self._store_is_clean(server)

    def _store_is_clean(self, server: str) -> None:
        left = asdict(self._store.backlog(server, self._study)) | {"desired": 0, "withheld": 0}
        self._expect("the store", not any(left.values()), f"something is left: {left}")
        with connected(self._place.settings.database) as connection:
            for table in ("failure", "conflict"):
                rows = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()
                self._expect("the store", rows == 0, f"{rows} rows in {table}")
            names = connection.exec_driver_sql("SELECT name FROM lease").scalars().all()
        with Leases(self._store) as leases:
            held = [name for name in names if leases.take(name) is None]
        self._expect("the store", not held, f"somebody still holds the leases of {held}")

    def _pending(self) -> int:
        return self._store.backlog(self._place.server or "", self._study).pending

    def _expect(self, what: str, holds: bool, otherwise: str) -> None:
        if not holds:
            self._outcome.faults.append(f"{what}: {otherwise}")


def _noted(content: Resource, note: Resource) -> Resource:
    return {**content, "note": [*content.get("note", ()), note]}
