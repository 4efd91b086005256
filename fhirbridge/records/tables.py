"""Read study records from a folder of CSV files or one Excel workbook: good rows come out, bad ones are explained."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from fhirbridge.errors import Finding, InputError
from fhirbridge.records import build
from fhirbridge.records.checks import check
from fhirbridge.records.columns import TABLES, Table, Values, tables
from fhirbridge.records.crossings import IMAGING, LABORATORY, LESIONS, SUBJECTS, Crossings
from fhirbridge.records.refusals import Place, explain, findings
from fhirbridge.records.scratch import DUPLICATE, GOOD, HELD, REFUSED, Scratch, Staged, pack, unpack
from fhirbridge.records.sheets import Row, Sheet
from fhirbridge.records.sources import Source, locate
from fhirbridge.records.types import StudyRecord, SubjectFacts
from fhirbridge.study import Study

LARGEST_GROUP = 5000
"""Records after which a subject's group is cut, so that a file about one subject does not fill memory either."""

_TICK = 1000

Progress = Callable[[int, int, int], None]
"""Called now and then while rows are read with bytes done, bytes in all, and rows read."""


@dataclass(frozen=True, slots=True)
class SubjectGroup:
    """A subject's records: itself first if its row is in the source, then results, then exams, each by date.

    ``sources`` gives for each record the places of its rows: one, or for an exam its own and those of its lesions.
    A subject with more than LARGEST_GROUP records comes as several groups, one after the other.
    """

    subject: str
    records: tuple[StudyRecord, ...]
    sources: tuple[tuple[Place, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReport:
    """What became of one table; rows = accepted + duplicate + refused + held, always.

    ``error`` says why nothing was read from it, None where it was read or is not there. ``notes`` are sentences on
    what was not read: unknown columns.
    """

    table: str
    file: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    rows: int = 0
    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    held: int = 0
    unknown_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    error: InputError | None = None


@dataclass
class Batch:
    """What one source holds, checked through and through; everything is decided before the first group is asked for."""

    tables: dict[str, TableReport]
    notes: tuple[str, ...]
    """Sentences on the source as a whole: files or sheets that no table claims."""
    _scratch: Scratch
    _columns: dict[str, Table]
    _study: Study

    @property
    def unusable(self) -> tuple[InputError, ...]:
        """Why tables could not be used at all, for those that could not."""
        return tuple(report.error for report in self.tables.values() if report.error)

    def findings(self) -> Iterator[Finding]:
        """Stream why rows were refused or held, table by table, line by line."""
        return self._scratch.findings()

    def subjects(self) -> Iterator[SubjectGroup]:
        """Stream the records that are good, one subject after the other."""
        rows = self._scratch.query(
            "SELECT parent, tab, key, line, cells FROM row WHERE tab < ? AND state = ? "
            "ORDER BY parent, tab, moment, seq",
            LESIONS,
            GOOD,
        )
        for subject, own in groupby(rows, key=lambda row: str(row[0])):
            while chunk := [self._record(*row[1:]) for row in islice(own, LARGEST_GROUP)]:
                records, sources = zip(*chunk, strict=True)
                yield SubjectGroup(subject, records, sources)

    def _record(self, tab: int, key: str, line: int, cells: bytes) -> tuple[StudyRecord, tuple[Place, ...]]:
        row, place = self._values(tab, cells), self._place(tab, line)
        if tab == SUBJECTS:
            return build.subject(row), (place,)
        if tab == LABORATORY:
            return build.laboratory(row, self._study), (place,)
        sql = (
            "SELECT line, cells FROM row INDEXED BY row_parent WHERE tab = ? AND parent = ? AND state = ? ORDER BY key"
        )
        found = list(self._scratch.query(sql, LESIONS, key, GOOD))
        lesions = [build.lesion(self._values(LESIONS, cells)) for _, cells in found]
        places = (place, *(self._place(LESIONS, line) for line, _ in found))
        return build.exam(row, self._study, lesions), places

    def _values(self, tab: int, cells: bytes) -> Values:
        return self._columns[TABLES[tab]].values(unpack(cells))

    def _place(self, tab: int, line: int) -> Place:
        return Place(self.tables[TABLES[tab]].file or "", line)


@contextmanager
def read(
    source: Path,
    study: Study,
    *,
    today: dt.date,
    known_subjects: Callable[[str], SubjectFacts | None] = lambda _: None,
    progress: Progress = lambda *_: None,
) -> Iterator[Batch]:
    """Read a folder with ``subjects.csv``, ``laboratory.csv``, ``imaging.csv`` and ``lesions.csv``, or a workbook.

    ``today`` is the civil date after which nothing can have happened; ``known_subjects`` answers for subjects that the
    source has no row of. Raises InputError where the source holds no table at all; a table that cannot be used is told
    in its report, and the others go on.
    """
    columns = tables(study)
    with ExitStack() as stack:
        found = stack.enter_context(locate(source))
        scratch = Scratch()
        stack.callback(scratch.close)
        reading = _Reading(study, today, columns, scratch, found, progress)
        for name in TABLES:
            reading.table(name)
        scratch.index()
        reading.settle(known_subjects)
        yield Batch(reading.reports, found.notes, scratch, columns, study)


@dataclass
class _Reading:
    """One run: the tables read so far."""

    study: Study
    today: dt.date
    columns: dict[str, Table]
    scratch: Scratch
    source: Source
    progress: Progress
    reports: dict[str, TableReport] = field(default_factory=dict)
    at: dict[str, dict[str, int]] = field(default_factory=dict)
    rows: int = 0

    def table(self, name: str) -> None:
        """Read one table into the scratch database."""
        self.reports[name] = TableReport(
            table=name, file=self.source.files.get(name), error=self.source.errors.get(name)
        )
        self.at[name] = {}
        if name not in self.source.open:
            return
        opening: Callable[[Table], AbstractContextManager[Sheet]] = self.source.open[name]
        tab, before = TABLES.index(name), self.rows
        try:
            with opening(self.columns[name]) as sheet:
                self.at[name] = sheet.header.at
                self.reports[name] = replace(
                    self.reports[name],
                    encoding=sheet.encoding,
                    delimiter=sheet.delimiter,
                    unknown_columns=sheet.header.unknown,
                    notes=sheet.header.notes,
                )
                stage = partial(self._stage, self.columns[name], tab, sheet)
                for row, done in sheet.rows:
                    stage(row)
                    self.rows += 1
                    if self.rows % _TICK == 0:
                        self.progress(self.source.before[name] + done, self.source.size, self.rows)
        except InputError as error:
            self.scratch.discard(tab)
            self.rows = before
            self.reports[name] = replace(self.reports[name], error=error)
        self.reports[name] = replace(self.reports[name], rows=self.rows - before)
        self.progress(self.source.before[name] + self.source.sizes[name], self.source.size, self.rows)

    def _stage(self, table: Table, tab: int, sheet: Sheet, row: Row) -> None:
        """Check one row by itself and stage it, good or not: what was refused still has a say about its key."""
        width = len(row.cells)
        numbers = map(sheet.header.at.get, table.order)
        cells = [(row.cells[n - 1].strip() or None) if n and n <= width else None for n in numbers]
        values = table.values(cells)
        if row.problem:
            problems, texts = [row.problem], {}
        else:
            errors = table.errors(values)
            problems = explain(table, values, errors) if errors else check(table.name, values, self.study, self.today)
            texts = {name: cell for name, cell in zip(table.order, cells, strict=True) if cell} if problems else {}
        if problems:
            place = Place(sheet.file, row.line)
            self.scratch.report(tab, findings(table, values, texts, problems, place, sheet.header.at))
        key = [values.get(part) for part in table.key]
        self.scratch.add(
            Staged(
                tab=tab,
                key="/".join(map(str, key)) if all(key) else None,
                parent=values.get("exam" if tab == LESIONS else "subject"),
                moment=None if problems else self._moment(tab, values),
                line=row.line,
                cells=pack(cells),
                state=REFUSED if problems else GOOD,
            )
        )

    def _moment(self, tab: int, values: Values) -> str | None:
        name = {LABORATORY: "collected", IMAGING: "performed"}.get(tab)
        return build.moment(values[name], self.study).isoformat() if name else None

    def settle(self, known: Callable[[str], SubjectFacts | None]) -> None:
        """Check the rows against each other, and count."""
        unusable = frozenset(name for name, report in self.reports.items() if report.error)
        missing = frozenset(name for name, report in self.reports.items() if report.file is None)
        files = {name: report.file or name for name, report in self.reports.items()}
        Crossings(self.scratch, self.columns, files, self.at, unusable, missing).settle(self.study, known)
        for tab, name in enumerate(TABLES):
            counts = self.scratch.counts(tab)
            self.reports[name] = replace(
                self.reports[name],
                accepted=counts.get(GOOD, 0),
                duplicate=counts.get(DUPLICATE, 0),
                refused=counts.get(REFUSED, 0),
                held=counts.get(HELD, 0),
            )
