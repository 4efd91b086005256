"""Bulk Data Access: asks a server to export, waits until it has, fetches the files and has it remove them.

Source: http://hl7.org/fhir/uv/bulkdata/STU2/export.html (v2.0); a manifest of v3 in several pages is read as well.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode, urljoin

from fhirbridge import fhirjson
from fhirbridge.errors import FatalHospitalError, HospitalError, InputError, Resource, TemporaryHospitalError
from fhirbridge.hospital import downloads, failures
from fhirbridge.hospital.addresses import keeps_secrets, origin, shown
from fhirbridge.hospital.answers import Answer
from fhirbridge.hospital.client import FHIR_JSON, Hospital
from fhirbridge.hospital.export_state import ExportFile, ExportQuestion, Folder, State, listed

__all__ = ["ExportOptions", "ExportQuestion", "Exported", "abandon", "export"]

_GONE = (403, 404, 410)
_PERCENT = re.compile(r"\b([0-9]{1,3}) ?%")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How patiently, in seconds, and from where files may be fetched beside the server itself (origins)."""

    first_pause: float = 1.0
    longest_pause: float = 120.0
    longest_wait: float = 6 * 3600.0
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exported:
    """A finished export, its files on disk until ``remove`` is called."""

    folder: Folder
    state: State

    @property
    def transaction_time(self) -> dt.datetime:
        """Return the server's instant up to which everything is in it."""
        return dt.datetime.fromisoformat(str(self.state.transaction_time))

    def lines(self, part: str) -> Iterator[tuple[ExportFile, int, bytes]]:
        """Yield every line of the ``output``, ``deleted`` or ``error`` files, with its file and number."""
        for file in self.state.files or []:
            if file.part == part:
                for number, line in enumerate(downloads.lines(self.folder.path / file.name), 1):
                    yield file, number, line

    def remove(self) -> None:
        """Remove the files, once all that they say is safe elsewhere."""
        self.folder.remove()


def export(
    hospital: Hospital, question: ExportQuestion, folder: Path, options: ExportOptions | None = None
) -> Exported:
    """Have it exported, or go on with what a killed process left in ``folder``, and return it when all is here.

    Raises ConfigurationError if the folder holds another question's, TemporaryHospitalError where going on later may
    help (what was fetched is kept), FatalHospitalError where it will not. PauseEnded ends a wait (``stopped_by``).
    """
    return _Export(hospital, Folder(folder), options or ExportOptions()).run(question)


def abandon(hospital: Hospital, folder: Path) -> None:
    """Give up an unfinished export: have the server remove it, and remove what was fetched."""
    place = Folder(folder)
    state = place.kept()
    if state is not None:
        _Export(hospital, place, ExportOptions()).release(state)
    place.remove()


@dataclass(slots=True)
class _Export:
    hospital: Hospital
    folder: Folder
    options: ExportOptions

    def run(self, question: ExportQuestion) -> Exported:
        state = self.folder.load(question)
        resumed = state.status_url is not None
        if resumed:
            self.hospital.note("export_resumed")
        try:
            return self._run(state)
        except downloads.NotAsPromised:
            self.release(state)
            self.folder.remove()  # what the server keeps is wrong, so the next run begins anew
            raise
        except FatalHospitalError as error:
            if error.status not in _GONE:
                raise
            self.folder.remove()  # the server keeps it no more: only a new one can help
            if not resumed:
                raise
        return self._run(State(question=question))

    def _run(self, state: State) -> Exported:
        if state.status_url is None:
            self._kick_off(state)
        if state.files is None:
            self._list(state, self._wait(str(state.status_url)))
        self._fetch(state)
        if not state.released:
            self.release(state)
            self.folder.save(state)
        return Exported(self.folder, state)

    def _kick_off(self, state: State) -> None:
        what = f"$export at {state.question.level} level"
        url = f"{self.hospital.base_url}/{state.question.path}?{urlencode(state.question.params())}"
        headers = {"Accept": FHIR_JSON, "Prefer": "respond-async"}
        answer = self.hospital.answered("GET", url, what, headers, lambda answer: _no_page(answer, what))
        place = answer.headers.get("Content-Location")
        if answer.status_code != 202 or not place:
            raise FatalHospitalError(
                f"{what}: answered {failures.status_text(answer.status_code)} instead of 202 with a Content-Location. "
                "Does the server offer Bulk Data?"
            )
        state.status_url = urljoin(f"{self.hospital.base_url}/", place)
        self._check_here(state.status_url, what)
        self.folder.save(state)
        self.hospital.note("export_started", kind=state.question.level)

    def _wait(self, url: str) -> Resource:
        """Ask until the server is done, as often as it says, and return its manifest."""
        waited, pause = 0.0, self.options.first_pause
        while True:
            answer = self.hospital.answered(
                "GET",
                url,
                "status of the export",
                {"Accept": "application/json"},
                lambda answer: answer if answer.status_code == 202 else _manifest(answer),
            )
            if not isinstance(answer, Answer):
                return answer
            said = failures.retry_after(answer, dt.datetime.now(dt.UTC))
            pause = min(self.options.longest_pause, pause * 2) if said is None else said
            bounded = max(self.options.first_pause, min(pause, self.options.longest_pause))
            if waited + bounded > self.options.longest_wait:
                raise TemporaryHospitalError("status of the export: the server is still at work; go on later.")
            done = _PERCENT.search(answer.headers.get("X-Progress", ""))
            self.hospital.note("export_waiting", percent=int(done[1]) if done else None, seconds=bounded)
            self.hospital.pause(bounded)
            waited += bounded

    def _list(self, state: State, manifest: Resource) -> None:
        """Write down every file of the manifest, and of the pages that follow it (v3)."""
        what, seen = "manifest of the export", {str(state.status_url)}
        state.transaction_time = _instant(manifest.get("transactionTime"), what)
        state.needs_token = manifest.get("requiresAccessToken") is not False
        files: list[ExportFile] = []
        url = str(state.status_url)
        while True:
            files += listed(manifest, len(files))
            link = next((one.get("url") for one in manifest.get("link") or [] if one.get("relation") == "next"), None)
            if link is None:
                break
            url = urljoin(url, str(link))
            self._check_here(url, what)
            if url in seen:
                raise FatalHospitalError(f"{what}: the links to next pages run in a circle after {len(seen)} pages.")
            seen.add(url)
            manifest = self.hospital.answered("GET", url, what, {"Accept": "application/json"}, _manifest)
        for file in files:
            file.url = urljoin(url, file.url)
            self._check_file(file.url)
        state.files = files
        self.folder.save(state)

    def _fetch(self, state: State) -> None:
        """Fetch what is not here yet; a file here counts only in the size that it was written down with."""
        for file in state.files or []:
            path = self.folder.path / file.name
            if file.got is not None and path.exists() and path.stat().st_size == file.got:
                continue
            here = origin(file.url) == origin(self.hospital.base_url)
            signed = state.needs_token and (here or keeps_secrets(file.url))
            file.got = downloads.fetch(
                self.hospital, file.url, path, file.count, elsewhere=self.options.elsewhere, signed=signed
            )
            self.folder.save(state)
            self.hospital.note("export_fetched", type=file.type, kind=file.part, bytes=file.got)

    def release(self, state: State) -> None:
        """Have the server remove the export; one that cannot, or has done so, is none of our trouble."""
        state.released = True
        if state.status_url is None:
            return
        try:
            self.hospital.answered("DELETE", state.status_url, "removal of the export", {"Accept": FHIR_JSON}, bool)
        except HospitalError as error:
            self.hospital.note("export_not_removed", status=error.status)

    def _check_here(self, url: str, what: str) -> None:
        if origin(url) != origin(self.hospital.base_url):
            raise FatalHospitalError(
                f"{what}: it lies on another server ({shown(url)}, not {shown(self.hospital.base_url)}). Nothing is "
                "asked there. Set the base URL as the server itself names it."
            )

    def _check_file(self, url: str) -> None:
        allowed = {origin(one) for one in (self.hospital.base_url, *self.options.elsewhere)}
        if origin(url) not in allowed:
            raise FatalHospitalError(
                f"manifest of the export: a file lies on another server ({shown(url)}). If it is the hospital's, add "
                "that origin to pull_export_origins."
            )


def _no_page(answer: Answer, what: str) -> Answer:
    """Return an answer. Raises TemporaryHospitalError for a web page: a gateway speaks, whatever its status."""
    if "html" in failures.content_type(answer):
        raise TemporaryHospitalError(f"{what}: answered by a web page.", status=answer.status_code)
    return answer


def _manifest(answer: Answer) -> Resource:
    """Return a manifest. Raises TemporaryHospitalError for a body that is none, or cut short."""
    try:
        said = fhirjson.loads(answer.content)
    except InputError:
        said = None
    if not isinstance(said, dict) or not isinstance(said.get("output"), list):
        raise TemporaryHospitalError("status of the export: the answer is no manifest.", status=answer.status_code)
    return said


def _instant(said: object, what: str) -> str:
    try:
        read = dt.datetime.fromisoformat(str(said))
    except ValueError:
        read = None
    if read is None or read.tzinfo is None:
        raise FatalHospitalError(f"{what}: it has no transactionTime, so nobody knows up to when it is complete.")
    return str(said)
