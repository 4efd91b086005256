"""Importing registry records: read, map, validate, then store or write, going on after a bad one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import Finding, InputError, RecordError, Resource
from fhirbridge.records import ctgov
from fhirbridge.records.ctgov_record import RegistryRecord
from fhirbridge.sync.ingest import Sourced, check
from mappings import registry_record

Keep = Callable[[list[tuple[int, Resource]]], None]
"""Takes one record's resources, each with its rank."""


@dataclass(slots=True)
class Imported:
    """What became of every record, and why what R4 cannot hold was left out."""

    records: int = 0
    imported: int = 0
    refused: int = 0
    resources: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain JSON values."""
        counts = {"records": self.records, "imported": self.imported, "refused": self.refused}
        return {**counts, "resources": dict(self.resources), "left_out": dict(self.left_out.most_common())}


def import_records(
    place: Workplace, sources: list[Path], keep: Keep, report: Imported
) -> Iterator[dict[str, Any] | Finding]:
    """Yield for each record its summary, or the Finding that says why it was refused.

    A record whose resources are not all valid is refused whole. ``keep`` gets those that are. Raises InputError for
    a source that is not there.
    """
    for found in ctgov.read(*sources):
        report.records += 1
        try:
            if isinstance(found, Finding):
                raise RecordError(found)
            made = _valid(place, found)
        except RecordError as error:
            report.refused += 1
            yield error.finding
            continue
        keep([(registry_record.ORDER.index(one["resourceType"]), one) for one in made.resources])
        report.imported += 1
        report.resources.update(one["resourceType"] for one in made.resources)
        for value in made.unrepresented:
            report.left_out[value.why] += value.count
        yield {**made.summary(), "file": found.file, "line": found.line}


def _valid(place: Workplace, record: RegistryRecord) -> registry_record.RegistryBundle:
    if record.nct_id.lower() == place.study.id:
        raise RecordError(
            Finding(
                record=record.nct_id,
                rule="own-study",
                message="this study is described by its study file, and two descriptions would replace each other",
                remedy="Correct the study file instead, or import the record under another `study` setting.",
                file=record.file,
                line=record.line,
            )
        )
    made = registry_record.bundle(record)
    sourced = Sourced(record, record.nct_id, record.file, record.line)
    for resource in made.resources:
        check(place.validator, sourced, resource)
    return made


def into_store(place: Workplace, run: str) -> Keep:
    """Return a ``keep`` that stores each record's resources."""

    def keep(ranked: list[tuple[int, Resource]]) -> None:
        with place.store.transaction() as transaction:
            transaction.put(ranked, run=run)

    return keep


@contextmanager
def into_file(path: Path) -> Iterator[Keep]:
    """Give a ``keep`` that writes each resource as a line of NDJSON; the file appears whole or not at all."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            yield lambda ranked: file.writelines(fhirjson.dumps(resource) + b"\n" for _, resource in ranked)
        unfinished.replace(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}. Check the folder and its permissions."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)
