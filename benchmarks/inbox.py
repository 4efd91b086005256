"""What a person waits for in an inbox of a million candidates.

    python benchmarks/inbox.py [--json] [--candidates 1000000] [--times 300] [--sqlite-only]

On SQLite, and on PostgreSQL where its programs are found: the 95th percentile of each operation, each time on other
candidates, against a bound of 50 ms. SQLite syncs every decision to the disk; the PostgreSQL server of this run does
not. Half of the candidates wait, which no study bears, so no operation can hide behind an empty inbox.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Engine, create_engine, text

from fhirbridge.store import INBOX, Store

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.store.postgresql import PostgresqlMissing, running_postgresql

BOUND = 50.0
"""Milliseconds."""
STUDY = "trial"
SUBJECTS = 10_000
ANALYTES = 20

Operation = Callable[[Store, int], object]
"""What is measured; the number is a candidate's key, another one each time."""

NUMBERS = {
    "sqlite": "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :last) SELECT i FROM n)",
    "postgresql": "(SELECT i FROM generate_series(1, :last) AS g(i)) AS n",
}
SUBJECT = f"'patient-' || (i % {SUBJECTS})"
REFERENCE = "'Observation/' || i"
FEED = "'https://fhir.hospital.example/r4'"
STATES = ("waiting",) * 3 + ("reopened", "unreadable", "accepted", "accepted", "rejected", "duplicate", "unmapped")
STATE = f"CASE i % 10 {' '.join(f'WHEN {n} THEN {state!r}' for n, state in enumerate(STATES))} END"
ANALYTE = f"'analyte-' || (i / 10 % {ANALYTES})"
MOMENT = "'2026-03-' || (10 + i % 15) || 'T08:' || (10 + i / 20 % 50) || '\\:00.000Z'"
BODY = json.dumps({"feed": "https://fhir.hospital.example/r4", "codes": ["x" * 30] * 8, "status": "final"})
PROPOSAL = json.dumps({"value": "42", "unit": "U/L", "reported": "42 U/l", "details": {"flags": ["x" * 30] * 8}})


def main() -> None:
    """Measure and print; exits 1 if an operation is out of its bound."""
    arguments = _arguments()
    measured: dict[str, dict[str, float]] = {}
    for database in ("sqlite", *(() if arguments.sqlite_only else ("postgresql",))):
        try:
            with _database(database) as url:
                measured[database] = _measured(url, arguments.candidates, arguments.times)
        except PostgresqlMissing as missing:
            Console(stderr=True).print(str(missing), highlight=False)
    _print(measured, as_json=arguments.json)
    if any(value > BOUND for figures in measured.values() for value in figures.values()):
        raise SystemExit(1)


@contextmanager
def _database(name: str) -> Iterator[str]:
    if name == "postgresql":
        with running_postgresql() as url:
            yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        yield f"sqlite:///{folder}/inbox.db"


def _measured(url: str, candidates: int, times: int) -> dict[str, float]:
    Store.open(url).close()
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    _fill(engine, candidates)
    engine.dispose()
    with Store.open(url) as store:
        return {name: _p95(store, do, candidates, times) for name, do in OPERATIONS.items()}


def _fill(engine: Engine, candidates: int) -> None:
    with engine.begin() as connection:
        for statement in _statements(engine.dialect.name):
            connection.execute(text(statement), {"last": candidates, "body": BODY, "proposal": PROPOSAL})
        _tally(connection)
    if engine.dialect.name == "postgresql":
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def _statements(dialect: str) -> Iterator[str]:
    numbers = NUMBERS[dialect]
    blob = "CAST({} AS BLOB)" if dialect == "sqlite" else "convert_to({}, 'UTF8')"
    body, proposal, hashed = (blob.format(f"CAST({what} AS TEXT)") for what in (":body", ":proposal", "i"))
    yield f"""INSERT INTO arrival (key, study, subject, feed, reference, version, hash, body, at, run)
        SELECT i, '{STUDY}', {SUBJECT}, {FEED}, {REFERENCE}, '1', {hashed}, {body}, {MOMENT}, 'run' FROM {numbers}"""  # noqa: S608  # of this file's own constants
    yield f"""INSERT INTO candidate (key, study, subject, feed, reference, arrival, state, reasons, analyte, visit,
        "offset", inside, collected, proposal, changed, decision, recorded, due)
        SELECT i, '{STUDY}', {SUBJECT}, {FEED}, {REFERENCE}, i, {STATE}, '["out of window"]', {ANALYTE}, 'W012', 3,
        i % 2 = 0, '2026-03-01', {proposal}, {MOMENT}, CASE WHEN i % 10 IN (5, 6, 7) THEN 1 END,
        CASE WHEN i % 10 IN (5, 6) THEN {hashed} END, i % 1000 = 5 FROM {numbers}"""  # noqa: S608
    yield f"""INSERT INTO decision (candidate, number, arrival, action, "by", at, reason, proposal)
        SELECT i, 1, i, CASE WHEN i % 10 = 7 THEN 'reject' ELSE 'accept' END, 'kim', {MOMENT}, 'plausible',
        {proposal} FROM {numbers} WHERE i % 10 IN (5, 6, 7)"""  # noqa: S608


def _tally(connection: Connection) -> None:
    connection.execute(
        text(
            "INSERT INTO candidate_tally (study, state, analyte, candidates) "
            "SELECT study, state, analyte, count(*) FROM candidate GROUP BY study, state, analyte"
        )
    )


def _p95(store: Store, do: Operation, candidates: int, times: int) -> float:
    """Return milliseconds."""
    keys = random.Random(7).sample(range(10, candidates - 10, 10), times + 10)
    taken = []
    for place, key in enumerate(keys):
        began = time.perf_counter()
        do(store, key)
        if place >= 10:  # the first ones open connections and compile statements
            taken.append((time.perf_counter() - began) * 1000)
    return sorted(taken)[int(len(taken) * 0.95)]


def _analyte(key: int) -> str:
    return f"analyte-{key // 10 % ANALYTES}"


def _moment(key: int) -> str:
    """Return since when a candidate stands as it does: what ``MOMENT`` makes of its key."""
    return f"2026-03-{10 + key % 15}T08:{10 + key // 20 % 50}:00.000Z"


def _show(store: Store, key: int) -> object:
    return store.candidates.get(key), store.candidates.versions(key)


OPERATIONS: dict[str, Operation] = {
    "list": lambda store, _: store.candidates.page(STUDY, INBOX),
    "list, a page far behind": lambda store, key: store.candidates.page(STUDY, INBOX, after=(_moment(key), key)),
    "list of an analyte": lambda store, key: store.candidates.page(STUDY, INBOX, analyte=_analyte(key)),
    "list of a subject": lambda store, key: store.candidates.page(STUDY, INBOX, subject=f"patient-{key % SUBJECTS}"),
    "list of an analyte of a subject": lambda store, key: store.candidates.page(
        STUDY, INBOX, analyte=_analyte(key), subject=f"patient-{key % SUBJECTS}"
    ),
    "counts": lambda store, _: store.candidates.counts(STUDY),
    "show": _show,
    "unrecorded of a subject": lambda store, key: list(
        store.candidates.unrecorded(STUDY, f"patient-{(key + 5) % SUBJECTS}")
    ),
    "a subject's results": lambda store, key: store.candidates.of_subject(STUDY, f"patient-{key % SUBJECTS}"),
    "accept": lambda store, key: store.candidates.decide(key, "accept", by="kim", reason="", seen=key),
    "reject": lambda store, key: store.candidates.decide(key + 1, "reject", by="kim", reason="no", seen=key + 1),
}


def _print(measured: dict[str, dict[str, float]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"bound": BOUND, "p95": measured}, indent=2) + "\n")
        return
    table = Table("p95 in ms", *measured)
    for name in OPERATIONS:
        table.add_row(name, *(f"{figures[name]:,.1f}" for figures in measured.values()))
    Console().print(table, f"(at most {BOUND:.0f})")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--candidates", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=300, help="how often each operation is measured")
    parser.add_argument("--sqlite-only", action="store_true", help="leave PostgreSQL out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
