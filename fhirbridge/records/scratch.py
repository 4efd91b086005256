"""The rows of one run, staged in a private database on disk, so that memory stays flat however large the source."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from fhirbridge.errors import Finding

GOOD, DUPLICATE, REFUSED, HELD = range(4)
"""What becomes of a row."""

_BATCH = 2000
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -4000;
PRAGMA temp_store = FILE;
CREATE TABLE row
  (seq INTEGER PRIMARY KEY, tab INT, key TEXT, parent TEXT, moment TEXT, line INT, cells BLOB, state INT);
CREATE TABLE verdict (seq INTEGER PRIMARY KEY);
CREATE TABLE fact (subject TEXT PRIMARY KEY, consent TEXT, withdrawn TEXT) WITHOUT ROWID;
CREATE TABLE finding (tab INT, line INT, content BLOB);
"""


class Staged(NamedTuple):
    """A row as staged: ``parent`` is the subject it belongs to (of a lesion: the exam), ``moment`` its date or time.

    ``cells`` is the JSON of its cells in the order of the table's columns: rows with equal cells are the same.
    """

    tab: int
    key: str | None
    parent: str | None
    moment: str | None
    line: int
    cells: bytes
    state: int


_decoder = msgspec.json.Decoder(list[str | None])


def pack(cells: Sequence[str | None]) -> bytes:
    """Return a row's cells as they are staged."""
    return msgspec.json.encode(cells)


def unpack(cells: bytes) -> list[str | None]:
    """Return the cells of a staged row."""
    return _decoder.decode(cells)


class Scratch:
    """The database. SQLite keeps it in an unlinked temporary file: nothing is left behind, not even by kill -9."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(_SCHEMA)
        self._db.execute("BEGIN")
        self._rows: list[Staged] = []
        self._findings: list[tuple[int, int, bytes]] = []

    def close(self) -> None:
        """Throw everything away."""
        self._db.close()

    def add(self, row: Staged) -> None:
        """Stage one row."""
        self._rows.append(row)
        if len(self._rows) >= _BATCH:
            self._flush()

    def report(self, tab: int, findings: Sequence[Finding]) -> None:
        """Keep findings for the end."""
        self._findings += ((tab, finding.line or 0, msgspec.json.encode(finding)) for finding in findings)
        if len(self._findings) >= _BATCH:
            self._flush()

    def _flush(self) -> None:
        insert = "INSERT INTO row (tab, key, parent, moment, line, cells, state) VALUES (?, ?, ?, ?, ?, ?, ?)"
        self._db.executemany(insert, self._rows)
        self._db.executemany("INSERT INTO finding VALUES (?, ?, ?)", self._findings)
        self._rows.clear()
        self._findings.clear()

    def discard(self, tab: int) -> None:
        """Forget the rows and findings of a table that turned out to be unusable."""
        self._flush()
        self._db.execute("DELETE FROM row WHERE tab = ?", (tab,))
        self._db.execute("DELETE FROM finding WHERE tab = ?", (tab,))

    def index(self) -> None:
        """Make lookups by key and parent fast, once all rows are staged."""
        self._flush()
        self._db.execute("CREATE INDEX row_key ON row (tab, key)")
        self._db.execute("CREATE INDEX row_parent ON row (tab, parent, key)")

    def query(self, sql: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
        """Stream what a statement selects."""
        self._flush()
        return iter(self._db.execute(sql, parameters))

    def run(self, sql: str, *parameters: object) -> None:
        """Run a statement that changes something."""
        self._flush()
        self._db.execute(sql, parameters)

    def judge(self, state: int, sql: str, finding: Callable[..., Finding], *parameters: object) -> None:
        """Give every row that ``sql`` selects a new state, and a finding.

        ``sql`` selects seq, tab and line first; ``finding`` is called with tab, line and whatever follows.
        """
        for seq, tab, line, *rest in self.query(sql, *parameters):
            self._db.execute("INSERT OR IGNORE INTO verdict VALUES (?)", (seq,))
            self.report(tab, [finding(tab, line, *rest)])
        self.run("UPDATE row SET state = ? WHERE seq IN (SELECT seq FROM verdict)", state)
        self.run("DELETE FROM verdict")

    def counts(self, tab: int) -> dict[int, int]:
        """Return how many rows of a table are in each state."""
        return dict(self.query("SELECT state, count(*) FROM row WHERE tab = ? GROUP BY state", tab))

    def findings(self) -> Iterator[Finding]:
        """Stream all findings, table by table, in the order of their lines."""
        for (content,) in self.query("SELECT content FROM finding ORDER BY tab, line, rowid"):
            yield msgspec.json.decode(content, type=Finding)
