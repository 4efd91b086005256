"""Where the tables are: the CSV files of a folder, or the sheets of a workbook."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fhirbridge.errors import InputError
from fhirbridge.records.columns import TABLES, Table
from fhirbridge.records.csvfile import open_csv
from fhirbridge.records.headers import fold, nearest
from fhirbridge.records.sheets import Sheet
from fhirbridge.records.workbook import open_sheet, open_workbook

Opening = Callable[[Table], AbstractContextManager[Sheet]]


@dataclass
class Source:
    """What was found: for each table its file and how to open it, or why it cannot be told which file it is."""

    files: dict[str, str] = field(default_factory=dict)
    open: dict[str, Opening] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    errors: dict[str, InputError] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.sizes.values())

    @property
    def before(self) -> dict[str, int]:
        """Bytes that come before each table."""
        return {
            name: sum(size for other, size in self.sizes.items() if TABLES.index(other) < TABLES.index(name))
            for name in self.sizes
        }


@contextmanager
def locate(path: Path) -> Iterator[Source]:
    """Find the tables of a folder or workbook. Raises InputError where there is none."""
    if path.is_dir():
        yield _folder(path)
    elif not path.exists():
        raise InputError(f"there is nothing at {path}. Give a folder of CSV files, or an Excel workbook (.xlsx).")
    elif path.suffix.lower() in (".xlsx", ".xlsm"):
        with open_workbook(path) as book:
            yield _workbook(path, book)
    else:
        hint = (
            "the folder that holds it"
            if path.suffix.lower() == ".csv"
            else "a folder of CSV files, or an .xlsx workbook"
        )
        raise InputError(f"{path} is neither a folder nor an .xlsx workbook. Give {hint}.")


def _folder(path: Path) -> Source:
    try:
        files = sorted(found for found in path.iterdir() if found.suffix.lower() == ".csv" and found.is_file())
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the path and its permissions.") from error
    source = Source()
    claims = _claim([file.stem for file in files], f"folder {path}", "file", source)
    for name, number in claims.items():
        file = files[number]
        source.files[name] = file.name
        source.open[name] = partial(open_csv, file)
        source.sizes[name] = file.stat().st_size
    return source


def _workbook(path: Path, book: Any) -> Source:
    source = Source()
    claims = _claim(book.sheetnames, f"workbook {path}", "sheet", source)
    for name, number in claims.items():
        title, file = book.sheetnames[number], f"{path.name}:{book.sheetnames[number]}"
        source.files[name] = file
        source.open[name] = partial(open_sheet, book, title, file)
        # How far a workbook is read cannot be told by bytes; its tables share it evenly.
        source.sizes[name] = path.stat().st_size // len(claims)
    return source


def _claim(names: Sequence[str], where: str, what: str, source: Source) -> dict[str, int]:
    """Return for each table the number of the name that is its; note names that are no table's."""
    claims: dict[str, int] = {}
    notes = []
    for number, name in enumerate(names):
        table = fold(name)
        if table not in TABLES:
            near = nearest(name, TABLES)
            notes.append(f"{what} {name!r} is no table and is not read{f'; did you mean {near!r}?' if near else '.'}")
        elif table in claims or table in source.errors:
            first = names[claims.pop(table)] if table in claims else name
            source.files[table] = first
            source.errors[table] = InputError(f"{where}: {first!r} and {name!r} are both the table {table}. Keep one.")
        else:
            claims[table] = number
    if not claims and not source.errors:
        found = f"; it has {', '.join(map(repr, names[:8]))}" if names else ""
        raise InputError(f"{where} has no {what} named {', '.join(TABLES[:-1])} or {TABLES[-1]}{found}. Name them so.")
    source.notes = tuple(notes)
    return claims
