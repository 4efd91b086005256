"""An export is waited for, fetched whole and removed, whatever happens on the way; a killed one goes on."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fhirbridge.errors import ConfigurationError, FatalHospitalError, TemporaryHospitalError
from fhirbridge.hospital import Hospital, Retries, put_entry
from fhirbridge.hospital.auth import Bearer, TokenFile
from fhirbridge.hospital.export import Exported, ExportOptions, ExportQuestion, abandon, export
from fhirbridge.hospital.retries import PauseEnded
from tests.hospital.bulk_server import BulkServer, ndjson, running_bulk_server

PATIENTS = [{"resourceType": "Patient", "id": f"p{number}"} for number in range(40)]
QUESTION = ExportQuestion(types=("Patient",))


class Exporting:
    """A server, a client whose pauses are written down, and the folder."""

    def __init__(self, server: BulkServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        self.pauses: list[float] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.sleep = self.pauses.append
        self.auth: Bearer | None = None

    def run(self, question: ExportQuestion = QUESTION, **options: Any) -> Exported:
        with self.client() as hospital:
            return export(hospital, question, self.folder, ExportOptions(**options))

    def client(self) -> Hospital:
        hospital = Hospital(
            self.server.base_url, retries=Retries(attempts=3, jitter=0), sleep=lambda s: self.sleep(s), auth=self.auth
        )
        hospital.note = lambda event, **facts: self.notes.append((event, facts))
        return hospital


@pytest.fixture
def exporting(tmp_path: Path) -> Iterator[Exporting]:
    with running_bulk_server() as server:
        server.files["patients"] = ("output", "Patient", ndjson(*PATIENTS))
        yield Exporting(server, tmp_path / "exports")


def _ids(exported: Exported, part: str = "output") -> list[str]:
    return [json.loads(line)["id"] for _, _, line in exported.lines(part)]


def test_an_export_is_fetched_whole_the_server_told_and_the_files_removed_after_use(exporting: Exporting) -> None:
    exported = exporting.run()
    assert _ids(exported) == [one["id"] for one in PATIENTS]
    assert exported.transaction_time == dt.datetime(2026, 3, 20, 12, tzinfo=dt.UTC)
    assert exporting.server.asked[-1].startswith("DELETE")
    assert exporting.folder.stat().st_mode & 0o777 == 0o700
    exported.remove()
    assert not exporting.folder.exists()


@pytest.mark.parametrize(
    ("question", "path"),
    [
        (ExportQuestion(level="group", group="g1"), "/fhir/Group/g1/$export?"),
        (ExportQuestion(level="patient"), "/fhir/Patient/$export?"),
        (ExportQuestion(level="system"), "/fhir/$export?"),
    ],
)
def test_each_level_is_asked_at_its_own_address_and_without_waiting(
    exporting: Exporting, question: ExportQuestion, path: str
) -> None:
    exporting.run(question)
    assert path in exporting.server.asked[0]
    assert exporting.server.sent[0]["Prefer"] == "respond-async"


def test_what_is_wanted_is_said_in_the_parameters(exporting: Exporting) -> None:
    since = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    filters = ("Observation?category=laboratory", "Patient?active=true")
    exporting.run(ExportQuestion(types=("Observation", "Patient"), since=since, type_filters=filters))
    assert exporting.server.params == [
        [
            ("_outputFormat", "application/fhir+ndjson"),
            ("_type", "Observation,Patient"),
            ("_since", "2026-03-01T00:00:00.000Z"),
            ("_typeFilter", filters[0]),
            ("_typeFilter", filters[1]),
        ]
    ]


def test_a_server_at_work_is_looked_after_when_it_says(exporting: Exporting) -> None:
    exporting.server.pending, exporting.server.patience = 3, "7"
    exporting.run()
    assert exporting.pauses == [7, 7, 7]
    assert ("export_waiting", {"percent": 50, "seconds": 7.0}) in exporting.notes


def test_without_a_word_it_is_looked_after_less_and_less_often(exporting: Exporting) -> None:
    exporting.server.pending, exporting.server.patience = 5, None
    exporting.run(longest_pause=10)
    assert exporting.pauses == [2, 4, 8, 10, 10]


def test_a_date_to_come_back_at_is_understood(exporting: Exporting) -> None:
    exporting.server.pending, exporting.server.patience = 1, "Thu, 01 Jan 2099 00:00:00 GMT"
    exporting.run(longest_pause=60)
    assert exporting.pauses == [60]


def test_a_wait_that_is_too_long_is_left_to_a_later_run(exporting: Exporting) -> None:
    exporting.server.pending = 3
    with pytest.raises(TemporaryHospitalError, match="still at work"):
        exporting.run(longest_wait=1.5)
    assert len(_ids(exporting.run())) == 40
    assert exporting.server.jobs == 1


def test_a_wait_ends_when_told_to_and_the_next_run_goes_on(exporting: Exporting) -> None:
    exporting.server.pending = 3
    stop = threading.Event()
    exporting.sleep = lambda _: stop.set()
    with exporting.client() as hospital, hospital.stopped_by(stop), pytest.raises(PauseEnded):
        export(hospital, QUESTION, exporting.folder)
    exporting.sleep = exporting.pauses.append
    assert len(_ids(exporting.run())) == 40
    assert exporting.server.jobs == 1


@pytest.mark.parametrize("status", [429, 503])
def test_kick_off_status_and_files_are_tried_again(exporting: Exporting, status: int) -> None:
    exporting.server.fail = [(where, status) for where in ("$export", "jobs", "files", "files")]
    assert len(_ids(exporting.run())) == 40


def test_a_manifest_that_is_no_json_is_asked_for_again(exporting: Exporting) -> None:
    exporting.server.fail = [("jobs", 200)]
    assert len(_ids(exporting.run())) == 40


def test_an_export_that_failed_at_the_server_is_told_in_its_words(exporting: Exporting) -> None:
    exporting.server.fail = [("jobs", 500)] * 3
    with pytest.raises(TemporaryHospitalError, match="status of the export: 500"):
        exporting.run()


def test_a_server_without_bulk_data_is_told_as_one(exporting: Exporting) -> None:
    exporting.server.fail = [("$export", 404)]
    with pytest.raises(FatalHospitalError, match="404"):
        exporting.run()
    exporting.server.files.clear()


def test_a_cut_file_is_gone_on_with_where_it_was_cut(exporting: Exporting) -> None:
    exporting.server.cut = [100, 200]
    assert len(_ids(exporting.run())) == 40
    ranges = [headers["Range"] for headers in exporting.server.sent if "Range" in headers]
    assert ranges == ["bytes=100-", "bytes=300-"]


@pytest.mark.parametrize("also", [{"ranges": False}, {"packed": True}])
def test_a_cut_file_that_cannot_be_gone_on_with_is_fetched_anew(exporting: Exporting, also: dict[str, Any]) -> None:
    for name, value in also.items():
        setattr(exporting.server, name, value)
    exporting.server.cut = [100]
    assert len(_ids(exporting.run())) == 40


def test_a_file_that_is_itself_compressed_is_read(exporting: Exporting) -> None:
    exporting.server.files["patients"] = ("output", "Patient", gzip.compress(ndjson(*PATIENTS)))
    exporting.server.counts["patients"] = 40
    assert len(_ids(exporting.run())) == 40


def test_a_file_of_another_length_than_promised_is_not_taken(exporting: Exporting) -> None:
    exporting.server.counts["patients"] = 41
    with pytest.raises(TemporaryHospitalError, match="holds 40 resources, and the server promised 41"):
        exporting.run()
    assert exporting.server.count("files/patients") == 3
    exporting.server.counts["patients"] = None
    assert len(_ids(exporting.run())) == 40


def test_a_killed_download_goes_on_and_what_is_here_is_not_fetched_again(exporting: Exporting) -> None:
    exporting.server.files["more"] = ("output", "Patient", ndjson(*PATIENTS))
    exporting.server.fail = [("files/more", 503)] * 3
    with pytest.raises(TemporaryHospitalError):
        exporting.run()
    assert len(_ids(exporting.run())) == 80
    assert exporting.server.jobs == 1
    assert exporting.server.count("files/patients") == 1


def test_a_file_that_was_spoilt_meanwhile_is_fetched_again(exporting: Exporting) -> None:
    exported = exporting.run()
    file = next(exporting.folder.glob("*.ndjson"))
    file.write_bytes(file.read_bytes()[:50])
    assert len(_ids(exporting.run())) == 40
    assert exported.state.question == QUESTION


def test_another_question_is_refused_until_the_unfinished_one_is_abandoned(exporting: Exporting) -> None:
    exporting.server.pending = 1
    with pytest.raises(TemporaryHospitalError):
        exporting.run(longest_wait=0.5)
    other = ExportQuestion(types=("Observation",))
    with pytest.raises(ConfigurationError, match="unfinished export of another question"):
        exporting.run(other)
    with exporting.client() as hospital:
        abandon(hospital, exporting.folder)
    assert exporting.server.count("DELETE") == 1
    assert len(_ids(exporting.run(other))) == 40


def test_an_export_that_the_server_forgot_is_begun_anew(exporting: Exporting) -> None:
    exporting.server.pending = 1
    with pytest.raises(TemporaryHospitalError):
        exporting.run(longest_wait=0.5)
    exporting.server.known = False
    assert len(_ids(exporting.run())) == 40
    assert exporting.server.jobs == 2


def test_the_pages_of_a_manifest_are_read_to_the_end(exporting: Exporting) -> None:
    for number in range(3):
        exporting.server.files[f"more{number}"] = ("output", "Patient", ndjson(PATIENTS[number]))
    exporting.server.files["gone"] = ("deleted", "Bundle", ndjson({"resourceType": "Bundle", "id": "d"}))
    exporting.server.pages = 2
    exported = exporting.run()
    assert len(_ids(exported)) == 43
    assert _ids(exported, "deleted") == ["d"]


@pytest.mark.parametrize("manifest", [{"transactionTime": None}, {"transactionTime": "2026-03-20"}])
def test_a_manifest_that_does_not_say_up_to_when_is_refused(exporting: Exporting, manifest: dict[str, Any]) -> None:
    exporting.server.manifest = manifest
    with pytest.raises(FatalHospitalError, match="no transactionTime"):
        exporting.run()


def test_a_file_on_another_server_is_asked_for_only_if_a_setting_says_so(exporting: Exporting) -> None:
    with running_bulk_server() as files:
        files.files = exporting.server.files
        exporting.server.elsewhere = files.base_url
        with pytest.raises(FatalHospitalError, match="a file lies on another server"):
            exporting.run()
        assert files.asked == []
        assert len(_ids(exporting.run(elsewhere=(files.base_url,)))) == 40


def test_files_get_the_token_where_they_need_it_and_only_there(exporting: Exporting, tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("t-1")
    secret.chmod(0o600)
    exporting.auth = Bearer(TokenFile(secret))
    exporting.run().remove()
    fetched = [
        headers
        for asked, headers in zip(exporting.server.asked, exporting.server.sent, strict=True)
        if "files" in asked
    ]
    assert "Authorization" not in fetched[0]
    exporting.server.token = "t-2"
    secret.write_text("t-2")
    assert len(_ids(exporting.run())) == 40


def test_a_real_server_exports_what_was_written(hospital: str, tmp_path: Path) -> None:
    with Hospital(hospital, sleep=lambda _: threading.Event().wait(0.05)) as client:
        client.send([put_entry(one, base_url=client.base_url) for one in PATIENTS], "transaction")
        exported = export(client, QUESTION, tmp_path / "exports")
        assert sorted(_ids(exported)) == sorted(one["id"] for one in PATIENTS)
