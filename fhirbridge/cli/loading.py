"""Loading records: the ingest line put together from the study's reader, mappings, validator and store."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from fhirbridge.cli import console
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import Finding, RecordError, Resource
from fhirbridge.records.tables import Batch, SubjectGroup, TableReport, read
from fhirbridge.records.types import ImagingExam, LaboratoryResult, StudyRecord, Subject, SubjectFacts
from fhirbridge.sync.ingest import Ingest, IngestReport, Sourced
from mappings import research_subject


@dataclass(frozen=True, slots=True)
class Loaded:
    """One loading: what became of every row, then of every record and resource."""

    run: str
    source: str
    tables: tuple[TableReport, ...]
    notes: tuple[str, ...]
    ingested: IngestReport

    @property
    def rows(self) -> int:
        """Rows read."""
        return sum(table.rows for table in self.tables)

    @property
    def accepted(self) -> int:
        """Rows whose record is stored."""
        return sum(table.accepted for table in self.tables) - self.ingested.refused_rows

    @property
    def duplicate(self) -> int:
        """Rows that say again what another row says."""
        return sum(table.duplicate for table in self.tables)

    @property
    def refused(self) -> int:
        """Rows refused by themselves, held because of another row, or refused by mapping or profile."""
        return sum(table.refused + table.held for table in self.tables) + self.ingested.refused_rows

    @property
    def unusable(self) -> list[str]:
        """Why tables could not be read at all."""
        return [str(table.error) for table in self.tables if table.error]

    @property
    def resources(self) -> Counter[str]:
        """Resources created, updated and unchanged."""
        return self.ingested.resources

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        tables = [{**asdict(table), "error": str(table.error) if table.error else None} for table in self.tables]
        totals = {"rows": self.rows, "accepted": self.accepted, "duplicate": self.duplicate, "refused": self.refused}
        return {
            "run": self.run,
            "source": self.source,
            **totals,
            "tables": tables,
            "notes": self.notes,
            "ingested": self.ingested.as_dict(),
        }


def load_records(
    place: Workplace, source: Path, *, today: dt.date, moved: Collection[str] = (), quiet: bool = False
) -> Loaded:
    """Load a folder or workbook into the store: the study itself first, then subject after subject.

    ``today`` is the civil date after which nothing can have happened; ``moved`` are subjects whose arm may differ
    from the one stored. A run is noted whatever becomes of it; what was refused is kept with it. Raises InputError
    where the source holds no table at all.
    """
    store, validator = place.bound_store, place.validator
    known = lru_cache(maxsize=4096)(lambda subject: _facts(place, subject))
    with (
        console.progress("read", quiet=quiet) as reading,
        read(
            source,
            place.study,
            today=today,
            known_subjects=known,
            progress=lambda done, total, _: reading(done, total),
        ) as batch,
        place.run("ingest") as run,
    ):
        store.quarantine(run.id, batch.findings())
        line = Ingest(
            store,
            lambda record: _mapped(place, record, known, moved),
            validator,
            lambda finding: store.quarantine(run.id, [finding]),
            run.id,
        )
        report = _ingest(line, place, batch, quiet)
        loaded = Loaded(run.id, str(source), tuple(batch.tables.values()), batch.notes, report)
        run.end("refused" if loaded.refused else "done", loaded.as_dict())
    return loaded


def _ingest(line: Ingest, place: Workplace, batch: Batch, quiet: bool) -> IngestReport:
    line.study(place.study)
    total = sum(batch.tables[name].accepted for name in ("subjects", "laboratory", "imaging"))
    with console.progress("map, validate, store", quiet=quiet) as advance:
        for done in line.subjects(map(_sourced, batch.subjects())):
            advance(done, total)
    return line.report


def _mapped(
    place: Workplace, record: Any, known: Callable[[str], SubjectFacts | None], moved: Collection[str]
) -> list[tuple[int, Resource]]:
    """Map a record; a subject whose arm is another than stored is refused, since an endpoint hangs on it."""
    if isinstance(record, Subject) and record.subject not in moved:
        before = known(record.subject)
        if before is not None and before.arm is not None and before.arm != record.arm:
            raise RecordError(
                Finding(
                    record=f"subjects {record.subject}",
                    field="arm",
                    value=record.arm,
                    rule="arm-change",
                    message=f"an earlier loading put this subject into arm {before.arm!r}",
                    remedy=f"If that was wrong, load again with --move {record.subject}.",
                )
            )
    return place.map(record)


def _sourced(group: SubjectGroup) -> Iterator[Sourced]:
    for record, places in zip(group.records, group.sources, strict=True):
        yield Sourced(record, _name(record), places[0].file, places[0].line, len(places))


def _name(record: StudyRecord) -> str:
    if isinstance(record, LaboratoryResult):
        return f"laboratory {record.result}"
    return f"imaging {record.exam}" if isinstance(record, ImagingExam) else f"subjects {record.subject}"


def _facts(place: Workplace, subject: str) -> SubjectFacts | None:
    """Read back what an earlier loading stored of a subject."""
    person = place.store.read("ResearchSubject", place.identity.id("ResearchSubject", subject))
    consent = place.store.read("Consent", place.identity.id("Consent", subject))
    if person is None or consent is None:
        return None
    return research_subject.subject_facts(person.content(), consent.content())
