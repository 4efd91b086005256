"""One CSV file as rows of cells: streamed, strict about quotes, and losing no more than the line that is wrong."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from pathlib import Path

from fhirbridge.errors import InputError
from fhirbridge.records.columns import Table
from fhirbridge.records.encodings import detect
from fhirbridge.records.headers import Header, fold, match
from fhirbridge.records.refusals import Problem
from fhirbridge.records.sheets import Row, Sheet, ragged

_LONGEST_LINE = 1 << 20
_DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}


class _Lines(Iterator[str]):
    """The lines of a file; those of the record at hand can be given back, so that a stray quote eats one line only."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._read = partial(file.readline, _LONGEST_LINE)
        self._again: deque[str] = deque()
        self.number = 0
        self.taken: list[str] = []

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        if len(line) == _LONGEST_LINE:
            # No row is that long: what is left of it is skipped, and what is kept is refused by its length.
            while (rest := self._read()) and rest[-1] not in "\r\n":
                pass
        self.number += 1
        self.taken.append(line)
        return line

    def keep_first(self) -> str:
        """Give back all lines of this record but its first, which is returned."""
        first, *others = self.taken
        self._again.extendleft(reversed(others))
        self.number -= len(others)
        self.taken = [first]
        return first


@contextmanager
def open_csv(path: Path, table: Table) -> Iterator[Sheet]:
    """Open one CSV file of a table. Raises InputError where it cannot be used as a whole."""
    try:
        encoding = detect(path)
        raw = path.open("rb")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}. Check the path and its permissions.") from error
    with raw, TextIOWrapper(raw, encoding=encoding, newline="") as file:
        lines = _Lines(file)
        header, delimiter = _header(lines, table, path.name)
        yield Sheet(
            path.name, header, _rows(lines, raw.tell, header.width, delimiter), encoding, _DELIMITERS[delimiter]
        )


def _header(lines: _Lines, table: Table, file: str) -> tuple[Header, str]:
    """Read the first line that is not blank, by the delimiter that yields most of the table's columns."""
    line = next((line for line in lines if line.strip("\ufeff\r\n\t ,;")), None)
    if line is None:
        raise InputError(f"{file} is empty: it has not even a header line. Give the header, or leave the file out.")
    best: list[str] = []
    chosen, most = ",", -1
    for delimiter in _DELIMITERS:
        cells = _split(line.lstrip("\ufeff"), delimiter)
        known = sum(fold(cell) in table.columns for cell in cells)
        if known > most:
            best, chosen, most = cells, delimiter, known
    return match(best, table, file), chosen


def _split(line: str, delimiter: str) -> list[str]:
    """Split one line leniently: for the header, and for what can still be told of a line that is wrong."""
    try:
        return next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []


def _rows(lines: _Lines, done: Callable[[], int], width: int, delimiter: str) -> Iterator[tuple[Row, int]]:
    """Yield the rows below the header; blank lines are none."""
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        lines.taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = _split(lines.keep_first(), delimiter)
            yield Row(lines.number, cells, _quotes(error)), done()
            continue
        if len(cells) == width:
            if any(cells):
                yield Row(lines.number - len(lines.taken) + 1, cells), done()
        elif cells:
            problem = ragged(len(cells), width)
            if len(lines.taken) > 1:
                cells = _split(lines.keep_first(), delimiter)
            yield Row(lines.number, cells, problem), done()


def _quotes(error: csv.Error) -> Problem:
    return Problem(
        "quotes",
        None,
        f"the line is not well-formed CSV ({error})",
        'Put text with a quote, delimiter or line break into double quotes, and write a quote within it twice ("").',
    )
