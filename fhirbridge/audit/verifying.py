"""Checks a whole trail: every line of every file, every file against the anchors, and the anchors themselves."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from fhirbridge import fhirjson
from fhirbridge.audit.anchors import NAME, Anchor, anchor_of, lock
from fhirbridge.audit.chain import START, Chain, Fault, Link, walk
from fhirbridge.audit.trail import EVENT, HEADER, SUFFIX, Header
from fhirbridge.errors import ConfigurationError, InputError


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, in which file, at which line (from 1; None where it is the file as a whole)."""

    file: str
    line: int | None
    text: str

    def __str__(self) -> str:
        return f"{self.file}{f':{self.line}' if self.line else ''} {self.text}"


@dataclass(slots=True)
class Verdict:
    """What a check found: ``problems`` need somebody, ``remarks`` are what crashes leave behind."""

    keyed: bool
    files: int = 0
    events: int = 0
    anchors: int = 0
    head: str = START
    problems: list[Finding] = field(default_factory=list)
    remarks: list[Finding] = field(default_factory=list)

    def tell(self, file: str, faults: list[Fault]) -> None:
        """Sort faults of a file into problems and remarks."""
        for fault in faults:
            (self.remarks if fault.torn else self.problems).append(Finding(file, fault.line, fault.text))


@dataclass(slots=True)
class _Anchored:
    """What the anchor file says: the hash of every anchor, and the anchors of each file."""

    hashes: set[str] = field(default_factory=set)
    by_file: dict[str, list[Anchor]] = field(default_factory=lambda: defaultdict(list))


def verify(folder: Path, key: bytes | None = None, head: str | None = None) -> Verdict:
    """Check the trail in a folder; it may be written to meanwhile.

    ``head`` is the head of an earlier check, kept elsewhere: that the trail still holds it shows that nothing before it
    was taken away. Raises InputError for a folder without a trail, ConfigurationError for another key than it was
    written with.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder. Name the one that the setting audit_folder names.")
    chain, verdict = Chain(key), Verdict(keyed=key is not None)
    with _anchors_held(folder):
        names = sorted(path.name for path in folder.glob(f"*{SUFFIX}") if path.name != NAME)
        anchored = _anchors(folder, chain, verdict)
    for name in names:
        _file(folder / name, chain, anchored, verdict)
    for name in sorted(set(anchored.by_file) - set(names)):
        verdict.problems.append(Finding(name, None, "is missing: the anchor file knows it"))
    if head is not None and head != START and head not in anchored.hashes:
        verdict.problems.append(
            Finding(NAME, None, "does not hold the head that was given: the trail was cut or written anew")
        )
    return verdict


def _anchors(folder: Path, chain: Chain, verdict: Verdict) -> _Anchored:
    found, faults = _Anchored(), list[Fault]()
    for link in walk(_lines(folder / NAME), chain, faults, START):
        anchor = anchor_of(link.content) if link.kind == "anchor" else None
        if anchor is None:
            verdict.problems.append(Finding(NAME, link.number + 1, "is no anchor"))
            continue
        if link.number == 0:
            _same_key(anchor, chain)
        found.hashes.add(link.hash)
        found.by_file[anchor.file].append(anchor)
        verdict.anchors, verdict.head = verdict.anchors + 1, link.hash
    verdict.tell(NAME, faults)
    return found


def _file(path: Path, chain: Chain, anchored: _Anchored, verdict: Verdict) -> None:
    """Check one file of events: its header, its chain, and that it goes as far as it was ever known to."""
    known = anchored.by_file.get(path.name, [])
    wanted = {anchor.events: anchor.head for anchor in known}
    faults, events, first = list[Fault](), 0, True
    told = verdict.problems.append
    for link in walk(_lines(path), chain, faults):
        if first and link.number == 0:
            _header(link, path, anchored, verdict)
        elif link.kind != EVENT:
            told(Finding(path.name, link.number + 1, "is no event"))
        first, events = False, max(events, link.number)
        if link.number in wanted and wanted.pop(link.number) != link.hash:
            told(Finding(path.name, link.number + 1, "is not the line that the anchor file knows"))
    verdict.tell(path.name, faults)
    verdict.files, verdict.events = verdict.files + 1, verdict.events + events
    if first and not known:
        verdict.remarks.append(Finding(path.name, None, "holds nothing: a crash came before its first line"))
    elif not known and events == 0:
        verdict.remarks.append(Finding(path.name, None, "holds no event and is not anchored: a crash came first"))
    elif not known:
        told(Finding(path.name, None, "is not known to the anchor file: it was put there, or the anchors were cut"))
    elif wanted and max(wanted) > events:
        told(Finding(path.name, None, f"ends after {events} events, and had {max(wanted)}: its end was cut off"))
    closed = [anchor.events for anchor in known if anchor.what == "closed"]
    if closed and events > closed[-1]:
        told(Finding(path.name, closed[-1] + 2, "was added after the file was closed"))


def _header(link: Link, path: Path, anchored: _Anchored, verdict: Verdict) -> None:
    try:
        header = msgspec.convert(fhirjson.loads(link.content), Header)
    except (msgspec.ValidationError, InputError):
        header = None
    if link.kind != HEADER or header is None:
        verdict.problems.append(Finding(path.name, 1, "is no header"))
        return
    if header.file != path.name:
        verdict.problems.append(Finding(path.name, 1, f"is the header of another file, {header.file}"))
    if link.previous != START and link.previous not in anchored.hashes:
        verdict.problems.append(Finding(path.name, 1, "names an anchor that is not there: anchors were taken away"))


def _same_key(anchor: Anchor, chain: Chain) -> None:
    """Tell a wrong key at the very first anchor; elsewhere a line of another key is a line that was changed."""
    if anchor.key != chain.fingerprint:
        how = "without a key" if anchor.key == "none" else "under another key"
        raise ConfigurationError(
            f"audit_key: the trail was written {how}, so it cannot be checked with what is set now. Name the key that "
            "it was written with, or none; a new key goes with a new folder."
        )


@contextmanager
def _anchors_held(folder: Path) -> Iterator[None]:
    """Hold the anchor file, so that no file is opened between listing them and reading the anchors."""
    try:
        file = (folder / NAME).open("rb")
    except FileNotFoundError:
        yield
        return
    with file:
        lock(file.fileno())
        yield


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return
