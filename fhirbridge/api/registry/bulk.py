"""``$export`` of the system, of patients and of a group: kick-off, status, files, deletion.

http://hl7.org/fhir/uv/bulkdata/STU2/export.html and http://hl7.org/fhir/R4/async.html
"""

from __future__ import annotations

import datetime as dt
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from email.utils import format_datetime

from flask import Blueprint, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from fhirbridge import fhirjson
from fhirbridge.api.authorising import InsufficientScope
from fhirbridge.api.registry import answers, bulk_request, parameters
from fhirbridge.api.registry.answers import Answer
from fhirbridge.api.registry.bulk_files import content, told
from fhirbridge.api.registry.bulk_jobs import POLL_SECONDS, Asked, Job, Jobs, Level, Made
from fhirbridge.api.registry.bulk_request import KINDS, LONGEST, Handling
from fhirbridge.api.registry.bulk_running import Runner, members
from fhirbridge.api.registry.rates import Streaming
from fhirbridge.api.registry.scoped import scoped
from fhirbridge.api.registry.service import ID, Asking, Service, prefix
from fhirbridge.errors import Expired
from fhirbridge.release import cells
from fhirbridge.search.refused import SearchError
from fhirbridge.store.releases import digest

PLACE = "_export"
"""Where exports lie below the base; no type of resource begins with a ``_``."""
NDJSON = "application/fhir+ndjson"
LOOK_SECONDS = 1.0
"""How long what was read of withdrawals is believed while a file is sent."""


class Bulk:
    """The handlers of exports. ``spawn`` runs a function beside the requests, in a thread if not given."""

    def __init__(self, service: Service, *, spawn: Callable[[Callable[[], None]], None] | None = None) -> None:
        settings = service.settings
        self._service = service
        self._jobs = Jobs(
            settings.api_export_folder,
            service.now,
            running=settings.api_exports,
            seconds=settings.api_export_hours * 3600,
        )
        self._runner = Runner(self._jobs, service, service.subsets.elements, spawn=spawn)

    def begin(self, asking: Asking, level: Level, id: str | None = None) -> Answer:
        """Begin an export: 202, and where to ask how it stands."""
        if request.method == "HEAD":  # which is to begin nothing
            raise MethodNotAllowed(["GET", "POST"], "An export is begun by GET or POST.")
        handling, posted = Handling.of(asking.question.prefer), request.method == "POST"
        given = parameters.from_url(asking.question.query, LONGEST)
        if posted:
            text = parameters.body(LONGEST, self._service.model)
            given += parameters.from_body(text, self._service.base, KINDS)[0]
        allowed = asking.access.types("export")
        if id is not None and not self._is_group(asking, id):
            raise NotFound("There is no such Group here.")
        for type_ in [] if allowed else sorted(asking.agreement.types):
            asking.require("export", type_)
        asked = bulk_request.read(
            given,
            level=level,
            group=id,
            allowed=allowed,
            handling=handling,
            around=self._service.around(),
            by_url=not posted,
            require=lambda type_: asking.require("export", type_),
        )
        self._check_filters(asking, asked)
        position = asking.position
        self._check_patients(asking, asked, position.number)
        job = self._jobs.create(
            client=asking.access.client,
            agreement=asking.agreement.id,
            rules=position.digest,
            request=_url(self._service.base, asking),
            asked=asked,
            at=position.number,
            transaction_time=position.at,
        )
        self._runner.wake()
        where = f"{self._service.base}/{PLACE}/{job.id}"
        said = answers.outcome("informational", f"The export has begun. Ask how it stands at {where}.", "information")
        return Answer(status=202, body=said, headers={"Content-Location": where})

    def status(self, asking: Asking, export: str) -> Answer:
        """Say how an export stands: 202 while it is made, 200 with the manifest, or why it failed."""
        job = self._own(asking, export)
        if job.state == "waiting":
            self._runner.wake()
            done, all_ = len(job.types_done), len(job.asked.types)
            headers = {"Retry-After": str(POLL_SECONDS), "X-Progress": f"{done} of {all_} types are complete"}
            return Answer(status=202, headers=headers)
        if job.state == "failed":
            return Answer(status=500, body=answers.outcome("processing", f"{job.reason} Begin the export again."))
        self._check_rules(asking, job)
        body = fhirjson.dumps(self._manifest(asking, job))
        headers = {"Expires": format_datetime(self._jobs.expires(job), usegmt=True)}
        return Answer(body=body, headers=headers, content_type="application/json")

    def file(self, asking: Asking, export: str, name: str) -> Answer:
        """Send a file of an export, without the records of people who do not consent now."""
        job = self._own(asking, export)
        made = next((one for one in job.files if one.name == name), None)
        if made is None or job.state != "done":
            raise NotFound("There is no such file here.")
        for type_ in job.asked.types if made.type == "Bundle" else (made.type,):
            asking.require("export", type_)
        self._check_rules(asking, job)
        folder, absent = self._jobs.folder(job), _Absent(self._service, asking)
        sent = told(folder, made.name, absent())
        answer = Answer(
            records=sent.resources,
            people={person: count for person, count in sent.people.items() if person},
            headers={"Expires": format_datetime(self._jobs.expires(job), usegmt=True)},
            content_type=NDJSON,
        )
        if request.method == "HEAD":
            answer.stream = iter(())
            return answer
        rates, client = self._service.rates, asking.access.client
        rates.take(client)
        parts = content(folder, made.name, sent, absent)
        if request.accept_encodings.quality("gzip") > 0 and "gzip" in request.headers.get("Accept-Encoding", ""):
            answer.headers["Content-Encoding"] = "gzip"
            parts = _compressed(parts)
        else:
            answer.headers["Content-Length"] = str(sent.bytes)
        answer.stream = Streaming(parts, rates, client)
        return answer

    def delete(self, asking: Asking, export: str) -> Answer:
        """Stop an export, and remove its files."""
        job = self._own(asking, export)
        self._jobs.delete(job)
        return Answer(status=202, body=answers.outcome("informational", "The export is deleted.", "information"))

    def _own(self, asking: Asking, export: str) -> Job:
        """Return an export of this client's; that there is another's is nobody else's business."""
        job = self._jobs.get(export)
        if job is None or job.client != asking.access.client:
            raise NotFound("There is no such export here.")
        asking.access.require_own(job.agreement)
        return job

    def _check_rules(self, asking: Asking, job: Job) -> None:
        """Raise Expired where the agreement lets out less, or in another way, than when the export was made."""
        if digest(self._service.upkeep.view(asking.agreement), self._service.zone) != job.rules:
            raise Expired("The data-use agreement's rules are others than when this was exported. Begin again.")

    def _is_group(self, asking: Asking, id: str) -> bool:
        if not ID.fullmatch(id) or "Group" not in asking.agreement.types:
            return False
        found = self._service.releases.read(asking.agreement.id, "Group", id)
        return found is not None and found.body is not None

    def _check_filters(self, asking: Asking, asked: Asked) -> None:
        """Raise InsufficientScope for a filter that looks into types which the token does not open."""
        for searches in bulk_request.queries(asked, self._service.around()).values():
            for query in searches:
                if scoped(query, asking.access) != query:
                    raise InsufficientScope("_typeFilter follows references to types that this token does not allow.")

    def _check_patients(self, asking: Asking, asked: Asked, at: int) -> None:
        """Raise SearchError for a person who is not there (or no member), whatever the reason is."""
        releases, agreement = self._service.releases, asking.agreement.id
        of_group = members(releases, agreement, asked.group, at) if asked.patients and asked.group else None
        for person in asked.patients:
            found = releases.read(agreement, "Patient", person)
            if found is None or found.body is None or (of_group is not None and person not in of_group):
                rule = "there is no such Patient here, or not in this group"
                raise SearchError("patient", f"Patient/{person}", rule, "Leave it out.")

    def _manifest(self, asking: Asking, job: Job) -> dict[str, object]:
        absent, folder = _Absent(self._service, asking)(), self._jobs.folder(job)
        files = [(made, told(folder, made.name, absent)) for made in job.files]
        people: dict[str, Counter[str]] = {}
        for made, sent in files:
            people.setdefault(made.type, Counter()).update(sent.people)

        def listed(made: Made, resources: int) -> dict[str, object]:
            item: dict[str, object] = {"type": made.type, "url": f"{self._service.base}/{PLACE}/{job.id}/{made.name}"}
            if made.type != "Bundle" and _may_count(asking, people[made.type]):
                item["count"] = resources
            return item

        said: dict[str, object] = {
            "transactionTime": job.transaction_time,
            "request": job.request,
            "requiresAccessToken": True,
            "output": [
                listed(made, sent.resources) for made, sent in files if made.type != "Bundle" and sent.resources
            ],
            "error": [],
        }
        if deleted := [listed(made, sent.resources) for made, sent in files if made.type == "Bundle"]:
            said["deleted"] = deleted
        return said


class _Absent:
    """Who does not consent now, by the ids that one registry knows; asked again at most once in a second."""

    def __init__(self, service: Service, asking: Asking) -> None:
        self._service = service
        self._view = service.upkeep.view(asking.agreement)
        self._at: dt.datetime | None = None
        self._held: frozenset[str] = frozenset()

    def __call__(self) -> frozenset[str]:
        now = self._service.now()
        if self._at is None or (now - self._at).total_seconds() >= LOOK_SECONDS:
            withdrawn = self._service.withdrawn(self._view.agreement.study)
            self._held = frozenset(self._view.patient(one.removeprefix("Patient/")) for one in withdrawn)
            self._at = now
        return self._held


def routes(service: Service, *, spawn: Callable[[Callable[[], None]], None] | None = None) -> Blueprint:
    """Return the routes of exports."""
    made, handlers, base = Blueprint("bulk", __name__), Bulk(service, spawn=spawn), prefix(service.base)

    def kick_off(path: str, level: Level) -> None:
        def begin(asking: Asking, id: str | None = None) -> Answer:
            return handlers.begin(asking, level, id)

        view = service.view("operation", begin, operation="export", open=True)
        made.add_url_rule(f"{base}/{path}$export", f"export-{level}", view, methods=["GET", "POST"])

    kick_off("", "system")
    kick_off("Patient/", "Patient")
    kick_off("Group/<id>/", "Group")
    at = f"{base}/{PLACE}/<export>"
    for name, path, handler, method in (
        ("status", at, handlers.status, "GET"),
        ("delete", at, handlers.delete, "DELETE"),
        ("file", f"{at}/<name>", handlers.file, "GET"),
    ):
        view = service.view("operation", handler, operation=f"export-{name}", open=True)
        made.add_url_rule(path, f"export-{name}", view, methods=[method])
    return made


def _may_count(asking: Asking, people: Counter[str]) -> bool:
    """Tell whether the agreement gives the number of these records exactly: a false one would be an error."""
    of_people = [person for person in people if person]
    count = cells.Count(people.total(), len(of_people) if of_people else None)
    return cells.shown([count], asking.agreement.counts) == [count.resources]


def _url(base: str, asking: Asking) -> str:
    """Return the full URL of the kick-off, below the base of the settings whatever host was named."""
    query = asking.question.query.decode("ascii", "replace")
    return f"{base}/{asking.question.path}" + (f"?{query}" if query else "")


def _compressed(parts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield parts as one gzip stream, whose end is missing where reading them fails."""
    made = zlib.compressobj(1, wbits=31)
    for part in parts:
        if out := made.compress(part):
            yield out
    yield made.flush()
