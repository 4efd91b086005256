"""Makes exports in a thread, one at a time in each process; which process makes one does not matter."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Collection, Iterator
from typing import Protocol

import msgspec

from fhirbridge import fhirjson
from fhirbridge.api.registry import bulk_request
from fhirbridge.api.registry.bulk_files import LARGEST, Files
from fhirbridge.api.registry.bulk_jobs import ATTEMPTS, Job, Jobs, Made
from fhirbridge.api.registry.people import person_of
from fhirbridge.errors import FhirbridgeError, InputError
from fhirbridge.release.kinds import PUBLIC
from fhirbridge.search.values import Surroundings
from fhirbridge.store.releases import Released, Releases

LOOK_EVERY = 1_000
"""Records after which it is asked whether the export was deleted."""
DELETIONS = 100
"""Entries in one Bundle of what was deleted."""
NOT_MEMBERS = frozenset(("candidate", "potential-candidate", "screening", "ineligible", "not-registered"))
"""States of a ResearchSubject who is not, or not yet, one of those whom the study's Group describes."""

Subset = Callable[[bytes, str, tuple[str, ...]], bytes]
"""A resource, its type and elements' names in; the resource with these elements, tagged as a part, out."""


class Source(Protocol):
    """What exports are made from."""

    @property
    def releases(self) -> Releases:
        """The releases of all agreements."""

    def around(self, now: dt.datetime) -> Surroundings:
        """What searches mean at that moment."""


class Deleted(Exception):
    """The export was deleted while it was made."""


class Runner:
    """Makes whatever export waits and is nobody's at the moment, once woken. ``spawn`` runs a function elsewhere."""

    def __init__(
        self,
        jobs: Jobs,
        source: Source,
        subset: Subset,
        *,
        largest: int = LARGEST,
        spawn: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        self._jobs = jobs
        self._source = source
        self._subset = subset
        self._largest = largest
        self._spawn = spawn or _in_thread
        self._lock = threading.Lock()
        self._running = self._again = False

    def wake(self) -> None:
        """Have a thread look for exports to make, if none is looking."""
        with self._lock:
            self._again = True
            if self._running:
                return
            self._running = True
        self._spawn(self._run)

    def make_all(self) -> None:
        """Make every export that waits and that nobody else works on, one after the other."""
        for waiting in self._jobs.all():
            if waiting.state != "waiting":
                continue
            with self._jobs.lease(waiting) as job:
                if job is not None:
                    self._make(job)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._running = again = self._again
                self._again = False
            if not again:
                return
            try:
                self.make_all()
            except (FhirbridgeError, OSError):
                continue  # whoever asks next how an export stands wakes somebody again
            except Exception:
                with self._lock:
                    self._running = False
                raise

    def _make(self, job: Job) -> None:
        job = msgspec.structs.replace(job, attempts=job.attempts + 1)
        try:
            self._jobs.save(job)
            members = self._members(job)
            for type_ in job.asked.types:
                if type_ not in job.types_done:
                    job = self._type(job, type_, members)
            self._jobs.save(self._jobs.ended(job, "done"))
        except (Deleted, FileNotFoundError):
            if self._jobs.exists(job):
                self._failed(job, "A file of the export is gone.", final=False)
        except InputError as error:
            self._failed(job, str(error), final=True)
        except FhirbridgeError as error:
            self._failed(job, str(error), final=False)
        except OSError as error:
            self._failed(job, f"The files cannot be written ({error.strerror}).", final=False)
        except Exception:
            self._failed(job, "The export met an error of this service.", final=True)
            raise

    def _failed(self, job: Job, reason: str, *, final: bool) -> None:
        """Note what went wrong; the next one who asks has it tried again, unless that would be in vain."""
        if final or job.attempts >= ATTEMPTS:
            job = self._jobs.ended(msgspec.structs.replace(job, files=()), "failed", reason)
        try:
            self._jobs.save(job)
        except OSError:
            return  # deleted, or the disk is full: it goes on waiting, and is tried again

    def _type(self, job: Job, type_: str, members: Collection[str] | None) -> Job:
        """Make the files of one type, and note that they are complete."""
        folder, asked = self._jobs.folder(job), job.asked
        elements = bulk_request.elements_of(asked, type_)
        records = Files(folder, type_, type_, largest=self._largest)
        deleted = Files(folder, "Bundle", f"deleted-{type_}", largest=self._largest)
        gone = list[str]()
        try:
            for number, one in enumerate(self._found(job, type_)):
                if number % LOOK_EVERY == 0 and not self._jobs.exists(job):
                    raise Deleted
                person = person_of(one)
                if one.body is None:
                    gone.append(f"{type_}/{one.id}")
                    if len(gone) == DELETIONS:
                        deleted.add("", _deletions(gone))
                        gone.clear()
                elif members is None or type_ in PUBLIC or person in members:
                    records.add(person or "", self._subset(one.body, type_, elements) if elements else one.body)
            if gone:
                deleted.add("", _deletions(gone))
            made: list[Made] = [*records.complete(), *deleted.complete()]
        finally:
            records.drop()
            deleted.drop()
        done = msgspec.structs.replace(
            job, files=(*job.files, *made), types_done=(*job.types_done, type_), attempts=min(job.attempts, 1)
        )
        self._jobs.save(done)
        return done

    def _found(self, job: Job, type_: str) -> Iterator[Released]:
        """Yield what is released of a type, and with ``_since`` and no choice of people what is no longer."""
        asked, everybody = job.asked, not job.asked.patients and job.asked.level != "Group"
        queries = bulk_request.queries(asked, self._source.around(dt.datetime.fromtimestamp(job.created, dt.UTC)))
        named = asked.patients if type_ not in PUBLIC else ()
        found = self._source.releases.iterate(
            job.agreement,
            [type_],
            at=job.at,
            since=_after(asked.since) if asked.since else None,
            patients=named or None,
            queries={type_: queries[type_]} if type_ in queries else None,
        )
        deletions = asked.since is not None and everybody and type_ not in queries
        return (one for one in found if one.body is not None or deletions)

    def _members(self, job: Job) -> Collection[str] | None:
        """Return the people whose data are asked for, None for all."""
        chosen = frozenset(job.asked.patients) or None
        if job.asked.group is None:
            return chosen
        group = members(self._source.releases, job.agreement, job.asked.group, job.at)
        return group if chosen is None else chosen if group is None else chosen & group


def members(releases: Releases, agreement: str, group: str, at: int) -> frozenset[str] | None:
    """Return the members of a study's Group, by the ids that the registry knows; None where all of the agreement are.

    The Group describes who is eligible; its members are the subjects of the study that it is the enrollment of, apart
    from those who were not found eligible (yet). Where the agreement lets out no ResearchSubject, who is a member is
    not told apart.
    """
    studies = {
        f"ResearchStudy/{one.id}"
        for one in releases.iterate(agreement, ["ResearchStudy"], at=at)
        if one.body and f"Group/{group}" in _references(fhirjson.loads(one.body).get("enrollment", ()))
    }
    found, any_ = set[str](), False
    for one in releases.iterate(agreement, ["ResearchSubject"], at=at):
        if one.body is None:
            continue
        any_, subject, person = True, fhirjson.loads(one.body), person_of(one)
        of_it = not studies or subject.get("study", {}).get("reference") in studies
        if person and of_it and subject.get("status") not in NOT_MEMBERS:
            found.add(person)
    return frozenset(found) if any_ else None


def _references(given: object) -> set[object]:
    return {one.get("reference") for one in given if isinstance(one, dict)} if isinstance(given, list) else set()


def _deletions(names: list[str]) -> bytes:
    """Return a Bundle by which a client can delete these: http://hl7.org/fhir/uv/bulkdata/STU2/export.html."""
    entries = [{"request": {"method": "DELETE", "url": name}} for name in names]
    return fhirjson.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})


def _after(since: str) -> str:
    """Return the first instant that counts as after ``_since``: of a release of that very instant nothing is new."""
    later = dt.datetime.fromisoformat(since) + dt.timedelta(milliseconds=1)
    return later.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _in_thread(do: Callable[[], None]) -> None:
    threading.Thread(target=do, name="exports", daemon=True).start()
