"""Loads FHIR packages (folder, .tgz, file, dict) and resolves canonical URLs, parsing only what is asked for."""

from __future__ import annotations

import hashlib
import os
import re
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from fhirbridge import fhirjson
from fhirbridge.errors import InputError, ProfileError, Resource

Source = str | Path | Resource

KINDS = ("StructureDefinition", "ValueSet", "CodeSystem", "ImplementationGuide", "Questionnaire", "Measure")
_NAMELESS = frozenset({"Questionnaire", "Measure"})
"""Kinds that may do without a url: then nothing is checked against them."""
_NOT_RESOURCES = ("package.json", ".index.json")


@dataclass(frozen=True, slots=True)
class Entry:
    """One definition in a package: enough to find it, and how to read it."""

    kind: str
    url: str
    version: str | None
    where: str
    read: Callable[[], Resource]
    type: str | None = None


class Definitions:
    """Everything loaded, by canonical URL; what was loaded later wins over what was loaded before.

    ``Definitions(core, sources)`` takes the base definitions' folder or .tgz and any number of packages. Raises
    InputError for a source that cannot be read, ProfileError for a definition without a URL.
    """

    def __init__(self, core: Path, sources: Sequence[Source] = ()) -> None:
        self._entries: dict[tuple[str, str], list[Entry]] = {}
        self._parsed: dict[int, Resource] = {}
        self._resolved: dict[tuple[str, str], Entry] = {}
        self.own: list[Entry] = []
        digest = hashlib.sha256(f"{core.resolve()} {core.stat().st_mtime_ns}".encode())
        for entry in _indexed(core):
            self._add(entry)
        for source in sources:
            for where, resource in _resources(source):
                for entry in _entries_of(resource, where):
                    self._add(entry)
                    self.own.append(entry)
                    digest.update(fhirjson.canonical(entry.read()))
        self.digest = digest.hexdigest()
        """Changes whenever any definition of ours changes."""

    def structure(self, canonical: str) -> Resource | None:
        """Return the StructureDefinition for a canonical URL, with or without ``|version``."""
        return self._find("StructureDefinition", canonical)

    def value_set(self, canonical: str) -> Resource | None:
        """Return the ValueSet for a canonical URL, with or without ``|version``."""
        return self._find("ValueSet", canonical)

    def code_system(self, canonical: str) -> Resource | None:
        """Return the CodeSystem for a canonical URL, with or without ``|version``."""
        return self._find("CodeSystem", canonical)

    def questionnaire(self, canonical: str) -> Resource | None:
        """Return the Questionnaire for a canonical URL, with or without ``|version``."""
        return self._find("Questionnaire", canonical)

    def measure(self, canonical: str) -> Resource | None:
        """Return the Measure for a canonical URL, with or without ``|version``."""
        return self._find("Measure", canonical)

    def where(self, canonical: str) -> str:
        """Return the file (or other place) a StructureDefinition came from, for messages."""
        entry = self._entry("StructureDefinition", canonical)
        return entry.where if entry else canonical

    def urls(self, kind: str = "StructureDefinition") -> list[str]:
        """Return every known canonical URL of a kind."""
        return [url for found, url in self._entries if found == kind]

    @cached_property
    def extensions(self) -> list[str]:
        """The canonical URL of every extension that is known."""
        found = (entries[-1] for (kind, _), entries in self._entries.items() if kind == "StructureDefinition")
        return sorted(entry.url for entry in found if entry.type == "Extension")

    def kinds(self, canonical: str) -> set[str]:
        """Return what kinds of definition a canonical URL leads to; none where it is not loaded."""
        return {kind for kind in KINDS if self._entry(kind, canonical) is not None}

    def everywhere(self, type_: str) -> list[str]:
        """Return the profiles that a loaded ImplementationGuide asks of every resource of a type (its ``global``)."""
        return self._everywhere.get(type_, [])

    @cached_property
    def _everywhere(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for guide in [entry.read() for entry in self.own if entry.kind == "ImplementationGuide"]:
            for rule in guide.get("global", ()):
                if isinstance(rule.get("type"), str) and isinstance(rule.get("profile"), str):
                    found.setdefault(rule["type"], []).append(rule["profile"])
        return found

    def _add(self, entry: Entry) -> None:
        self._entries.setdefault((entry.kind, entry.url), []).append(entry)

    def _find(self, kind: str, canonical: str) -> Resource | None:
        entry = self._entry(kind, canonical)
        if entry is None:
            return None
        key = id(entry)
        if key not in self._parsed:
            self._parsed[key] = entry.read()
        return self._parsed[key]

    def _entry(self, kind: str, canonical: str) -> Entry | None:
        """Find a definition; what is not known is not remembered, or data could fill the memory with names."""
        found = self._resolved.get((kind, canonical))
        if found is None:
            found = self._resolve(kind, canonical)
            if found is not None and "#" not in canonical:
                self._resolved[kind, canonical] = found
        return found

    def _resolve(self, kind: str, canonical: str) -> Entry | None:
        url, _, version = canonical.partition("|")
        found = self._entries.get((kind, url.partition("#")[0]), [])
        if version:
            exact = [e for e in found if e.version == version]
            loose = [e for e in found if (e.version or "").startswith(version + ".")]
            return next(reversed(exact or loose), None)
        return max(reversed(found), key=lambda e: _order(e.version), default=None)


def _order(version: str | None) -> tuple[tuple[int, int | str], ...]:
    """Order versions as people do (10 after 9); a pre-release before its release."""
    core, _, pre = (version or "").partition("-")
    parts = [(1, int(p)) if p.isdigit() else (0, p) for p in re.split(r"[.+]", core) if p]
    return (*parts, (2, 0) if not pre else (-1, pre))


def _entries_of(resource: Any, where: str) -> Iterator[Entry]:
    if not isinstance(resource, dict):
        raise InputError(f"{where}: a definition is a JSON object with a resourceType.")
    kind = resource.get("resourceType")
    if kind == "Bundle":
        for number, entry in enumerate(resource.get("entry", [])):
            yield from _entries_of(entry.get("resource"), f"{where} entry[{number}]")
    elif kind in KINDS:
        url = resource.get("url")
        if not isinstance(url, str) or not url:
            if kind in _NAMELESS:
                return
            raise ProfileError(f"{where}: this {kind} has no url, so nothing can refer to it. Add one.")
        yield Entry(str(kind), url, resource.get("version"), where, lambda: resource, resource.get("type"))


def _resources(source: Source) -> Iterator[tuple[str, Any]]:
    if isinstance(source, dict):
        yield source.get("url", "a dict"), source
        return
    path = Path(source)
    if path.is_dir():
        folder = path / "package" if (path / "package" / "package.json").is_file() else path
        for file in sorted(folder.glob("*.json")):
            if file.name not in _NOT_RESOURCES:
                yield str(file), _parse(file.read_bytes(), str(file))
    elif path.is_file() and path.name.endswith((".tgz", ".tar.gz")):
        for name, read in _members(path):
            yield f"{path}:{name}", _parse(read(), f"{path}:{name}")
    elif path.is_file():
        yield str(path), _parse(path.read_bytes(), str(path))
    else:
        raise InputError(f"no FHIR package at {source}: give a folder, a .tgz, or a JSON file.")


def _parse(content: bytes, where: str) -> Any:
    try:
        return fhirjson.loads(content)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _members(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Read a package's own JSON files into memory; subfolders (openapi, examples) are not definitions."""
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                name = PurePosixPath(member.name)
                wanted = member.isreg() and name.parts[:-1] == ("package",) and name.suffix == ".json"
                if wanted and name.name not in _NOT_RESOURCES:
                    opened = archive.extractfile(member)
                    content = opened.read() if opened else b""
                    yield name.name, lambda content=content: content  # type: ignore[misc]
    except (tarfile.TarError, OSError, EOFError) as error:
        raise InputError(f"{path} is not a FHIR package (.tgz): {error}.") from error


def _indexed(core: Path) -> Iterable[Entry]:
    """List the base definitions by their index, so that none is parsed before it is needed."""
    if core.is_file():
        return _from_archive(core)
    folder = core / "package" if (core / "package").is_dir() else core
    index = folder / ".index.json"
    if index.is_file():
        files = fhirjson.loads(index.read_bytes()).get("files", [])
        named = [f for f in files if f.get("resourceType") in KINDS and f.get("url")]
        if named:
            return [_entry_for(f"{folder}{os.sep}{f['filename']}", f) for f in named]
    return [e for where, r in _resources(folder) for e in _entries_of(r, where)]


def _entry_for(file: str, row: dict[str, Any]) -> Entry:
    def read() -> Resource:
        found: Resource = _parse(Path(file).read_bytes(), file)
        return found

    return Entry(row["resourceType"], row["url"], row.get("version"), file, read, row.get("type"))


def _from_archive(core: Path) -> Iterator[Entry]:
    for name, read in _members(core):
        if name.split("-")[0] in KINDS:
            yield from _entries_of(_parse(read(), name), f"{core}:{name}")
