"""What the breakable hospital holds: resources with versions, written and found under the rules of RESTful FHIR."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from fhirbridge.errors import Resource

ORDER = {"DELETE": 0, "POST": 1, "PUT": 2, "GET": 3}
"""In which order the entries of a transaction are carried out (http://hl7.org/fhir/R4/http.html#trules)."""

_PREFIXES: dict[str, Callable[[datetime, datetime], bool]] = {
    "ge": lambda there, asked: there >= asked,
    "gt": lambda there, asked: there > asked,
    "le": lambda there, asked: there <= asked,
    "lt": lambda there, asked: there < asked,
}


class Refused(Exception):
    """A request, or an entry of a Bundle, that is answered with a status of 400 or more."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Contents:
    """The resources, and how writing and searching them behaves.

    ``kept``: "Type/id" to the resource as it came. ``versions``: "Type/id" to the number of its last version, which
    grows on by a deletion. ``stale``: the status for an ``If-Match`` that is not the current version: 412; 409, and
    on an id that does not exist it is not looked at, both like HAPI; None, it is ignored. ``assigns_ids``: it chooses
    the ids, and a PUT of an id that it does not know is answered ``unknown_put``. ``deletes_nothing``: the status for
    deleting what is not there. ``heeds_if_none_exist``, ``needs_targets`` (a reference to what it does not hold is
    400), ``keeps_version_of_identical``: as they say. ``unwritable``: types that may only be read. ``ignores``:
    search parameters that it does not heed. ``clock``: what ``meta.lastUpdated`` is taken from.
    """

    def __init__(self) -> None:
        self.kept: dict[str, Resource] = {}
        self.versions: dict[str, int] = {}
        self.updated: dict[str, datetime] = {}
        self.stale: int | None = 412
        self.assigns_ids = False
        self.unknown_put = 405
        self.deletes_nothing = 204
        self.heeds_if_none_exist = True
        self.needs_targets = False
        self.keeps_version_of_identical = False
        self.unwritable: set[str] = set()
        self.ignores: set[str] = set()
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.lock = threading.RLock()
        self._next_id = 1000

    def put(self, resource: Resource) -> None:
        """Put a resource there by other ways than ours."""
        with self.lock:
            self._write(f"{resource['resourceType']}/{resource['id']}", resource)

    def remove(self, url: str) -> None:
        """Delete "Type/id" by other ways than ours."""
        with self.lock:
            self._touch(url)
            del self.kept[url]

    def seen(self, url: str) -> Resource:
        """Return "Type/id" as a client reads it: with the server's version and time. Raises Refused: 404, 410."""
        if url not in self.kept:
            raise Refused(410 if url in self.versions else 404, f"{url} is not here")
        resource = self.kept[url]
        meta = {"versionId": str(self.version(url)), "lastUpdated": _instant(self.updated.get(url, self.clock()))}
        return resource | {"meta": resource.get("meta", {}) | meta}

    def version(self, url: str) -> int:
        return self.versions.get(url, 1)

    def find(self, kind: str, params: dict[str, str]) -> list[Resource]:
        """Return the matches of a search as a client sees them, in the order asked for."""
        found = [self.seen(url) for url in self.kept if url.startswith(f"{kind}/")]
        for name, value in params.items():
            found = [resource for resource in found if name in self.ignores or _matches(resource, name, value)]
        sort = params.get("_sort", "")
        if sort.lstrip("-") in ("_id", "_lastUpdated") and "_sort" not in self.ignores:
            found.sort(key=lambda one: one["id"] if "_id" in sort else one["meta"]["lastUpdated"])
            found = found[::-1] if sort.startswith("-") else found
        return found

    def targets(self, entries: list[Resource]) -> dict[str, str]:
        """Return what each fullUrl of a transaction will be: "Type/id", found by its condition or chosen now."""
        chosen = {}
        for entry in entries:
            request, kind = entry["request"], entry["request"]["url"].split("?")[0]
            if request["method"] in ("POST", "PUT") and "/" not in kind and entry.get("fullUrl"):
                chosen[entry["fullUrl"]] = self._match(request) or f"{kind}/{self._new_id()}"
        return chosen

    def carry_out(self, entry: Resource, targets: dict[str, str]) -> tuple[int, str]:
        """Do what an entry asks and return its status and "Type/id". Raises Refused."""
        request, resource = entry["request"], rewritten(entry.get("resource"), targets)
        method, (path, _, query) = request["method"], request["url"].partition("?")
        kind = path.split("/")[0]
        if kind in self.unwritable:
            raise Refused(405, f"{kind} may not be written")
        chosen = targets.get(entry.get("fullUrl", ""))
        if method == "DELETE":
            return self._delete(path, request.get("ifMatch")), path
        if method == "POST" or query:
            found = self._match(request)
            url = found or chosen or f"{kind}/{self._new_id()}"
            if found and method == "POST":
                return 200, url
            return self._write(url, {**resource, "id": url.split("/")[1]}), url
        if self.assigns_ids and path not in self.kept:
            raise Refused(self.unknown_put, "this server assigns the ids")
        self._check_version(path, request.get("ifMatch"))
        return self._write(path, resource), path

    def check_targets(self, urls: list[str]) -> None:
        """Refuse what was just written if it refers to what is not here, as HAPI does."""
        for url in urls if self.needs_targets else ():
            if absent := [one for one in references(self.kept.get(url)) if one not in self.kept]:
                raise Refused(400, f"{absent[0]} is not here")

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        """Undo everything done inside the block if it is refused."""
        before = dict(self.kept), dict(self.versions), dict(self.updated)
        try:
            yield
        except Refused:
            self.kept, self.versions, self.updated = before
            raise

    def _match(self, request: Resource) -> str | None:
        kind, _, query = request["url"].partition("?")
        if request["method"] == "POST":
            query = request.get("ifNoneExist", "") if self.heeds_if_none_exist else ""
        found = self.find(kind, dict(parse_qsl(query))) if query else []
        if len(found) > 1:
            raise Refused(412, f"{len(found)} match the condition")
        return f"{kind}/{found[0]['id']}" if found else None

    def _check_version(self, url: str, if_match: str | None) -> None:
        if if_match is None or self.stale is None or (url not in self.kept and self.stale == 409):
            return
        if url not in self.kept or if_match != f'W/"{self.version(url)}"':
            raise Refused(self.stale, f"{url} is not of the version {if_match}")

    def _delete(self, url: str, if_match: str | None) -> int:
        if url not in self.kept:
            if self.deletes_nothing >= 400:
                raise Refused(self.deletes_nothing, f"{url} is not here")
            return self.deletes_nothing
        self._check_version(url, if_match)
        self.remove(url)
        return 204

    def _write(self, url: str, resource: Resource) -> int:
        there = url in self.kept
        if not (there and self.keeps_version_of_identical and self.kept[url] == resource):
            self._touch(url)
            self.kept[url] = resource
        return 200 if there else 201

    def _touch(self, url: str) -> None:
        self.versions[url] = self.versions.get(url, 1 if url in self.kept else 0) + 1
        self.updated[url] = self.clock()

    def _new_id(self) -> str:
        self._next_id += 1
        return str(self._next_id)


def references(value: Any) -> Iterator[str]:
    """Yield every relative literal reference, "Type/id"."""
    if isinstance(value, dict):
        named = value.get("reference")
        if isinstance(named, str) and re.fullmatch(r"[A-Z]\w+/[\w.-]+", named):
            yield named
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from references(child)


def rewritten(value: Any, targets: dict[str, str]) -> Any:
    """Return a resource with "Type/id" for each fullUrl that it refers to."""
    if isinstance(value, list):
        return [rewritten(one, targets) for one in value]
    if isinstance(value, dict):
        return {
            name: targets.get(one, one) if name == "reference" and isinstance(one, str) else rewritten(one, targets)
            for name, one in value.items()
        }
    return value


def _matches(resource: Resource, name: str, value: str) -> bool:
    """Say whether one search parameter matches; parameters about the result, and unknown ones, match everything."""
    if name == "_id":
        return resource["id"] in value.split(",")
    if name == "_tag":
        return _has_token(resource["meta"].get("tag"), "code", value)
    if name == "identifier":
        return _has_token(resource.get("identifier"), "value", value)
    if name in ("patient", "subject"):
        subject = str((resource.get("subject") or {}).get("reference", ""))
        return subject in [f"Patient/{one.removeprefix('Patient/')}" for one in value.split(",")]
    if name == "status":
        return resource.get("status") in value.split(",")
    if name in ("category", "code"):
        there = resource.get(name) or []
        concepts = there if isinstance(there, list) else [there]
        return any(_has_token(concept.get("coding"), "code", value) for concept in concepts)
    if name == "date":
        return bool(resource.get("effectiveDateTime", "") >= value[2:])
    if name == "_lastUpdated":
        asked = datetime.fromisoformat(value[2:])
        return _PREFIXES[value[:2]](datetime.fromisoformat(resource["meta"]["lastUpdated"]), asked)
    return True


def _has_token(there: Any, name: str, wanted: str) -> bool:
    """Match ``system|value`` or ``value``, several of them with commas, with FHIR's escapes by backslash."""
    for token in re.split(r"(?<!\\),", wanted):
        *system, value = (re.sub(r"\\(.)", r"\1", part) for part in re.split(r"(?<!\\)\|", token))
        for one in there if isinstance(there, list) else [there] if there else []:
            if one.get(name) == value and (not system or one.get("system", "") == system[0]):
                return True
    return False


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")
