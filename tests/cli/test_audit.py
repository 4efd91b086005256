"""`fhirbridge audit` as an auditor runs it: whole or not, and who got what of a subject."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from fhirbridge.audit.event import Access
from fhirbridge.audit.trail import Trail
from fhirbridge.identity import Identity, new_key, read_key
from fhirbridge.release.pseudonyms import Pseudonyms
from tests.cli.conftest import Run

STUDY = "nct07120750"


@pytest.fixture
def number(loaded: Path) -> str:
    """The number of the one subject in the store, beside a release key."""
    new_key(loaded / "release.key")
    return "SZ-0001"


def accessed(folder: Path, number: str, registries: tuple[str, ...] = ("north", "south")) -> None:
    """Have each registry search the subject's results, under its own pseudonym, and another person's."""
    patient = Identity(read_key(folder / "fhirbridge.key"), STUDY).id("Patient", number)
    trail = Trail(folder / "audit", lambda: dt.datetime(2026, 3, 1, 8, 30, tzinfo=dt.UTC))
    for registry in registries:
        seen = Pseudonyms(read_key(folder / "release.key"), registry).id("Patient", patient)
        for query, people in (("GET /Observation", {seen: 7, "other": 2}), ("GET /Patient/other", {"other": 1})):
            trail.record(
                Access(
                    interaction="search-type", status=200, query=query, client=f"{registry}-1", registry=registry,
                    agreement=f"{registry}-2026", purpose="HRESCH", records=sum(people.values()), people=people,
                )
            )  # fmt: skip
    trail.record(Access(interaction="read", status=401, query="GET /Patient/1"))
    trail.close()


def test_a_whole_trail_is_counted_and_gives_its_head(loaded: Path, quick: Run, number: str) -> None:
    accessed(loaded, number)
    told = quick("audit", "verify", "--json")
    assert told.code == 0
    assert {name: told.json[name] for name in ("files", "events", "problems")} == {
        "files": 1,
        "events": 5,
        "problems": [],
    }
    again = quick("audit", "verify", "--head", told.json["head"])
    assert again.code == 0
    assert "Whole." in again.out
    assert told.json["head"] in again.out
    assert "no audit_key is set" in again.err


def test_a_trail_that_was_tampered_with_exits_1_and_names_file_and_line(loaded: Path, quick: Run, number: str) -> None:
    accessed(loaded, number)
    [file] = (path for path in (loaded / "audit").iterdir() if path.name != "anchors.ndjson")
    file.write_bytes(file.read_bytes().replace(b"north-1", b"north-2", 1))
    told = quick("audit", "verify")
    assert told.code == 1
    assert f"{file.name}:2 was changed" in told.out
    assert "Not whole." in told.out
    assert quick("audit", "disclosures", number, FHIRBRIDGE_RELEASE_KEY="release.key").code == 1


def test_disclosures_say_who_got_what_of_a_subject_under_every_pseudonym(loaded: Path, quick: Run, number: str) -> None:
    accessed(loaded, number)
    told = quick("audit", "disclosures", number, "--json", FHIRBRIDGE_RELEASE_KEY="release.key")
    assert told.code == 0
    assert told.json == {
        "doubtful": 0,
        "disclosures": [
            {
                "at": "2026-03-01T08:30:00.000Z",
                "registry": registry,
                "client": f"{registry}-1",
                "agreement": f"{registry}-2026",
                "interaction": "search-type",
                "query": "GET /Observation",
                "records": 7,
            }
            for registry in ("north", "south")
        ],
    }
    shown = quick("audit", "disclosures", number, FHIRBRIDGE_RELEASE_KEY="release.key")
    assert ("north" in shown.out, "south" in shown.out) == (True, True)


def test_a_subject_of_whom_nothing_was_disclosed_is_told_from_a_number_mistyped(
    loaded: Path, quick: Run, number: str
) -> None:
    accessed(loaded, "another")
    told = quick("audit", "disclosures", number, "--json", FHIRBRIDGE_RELEASE_KEY="release.key")
    assert (told.code, told.json["disclosures"]) == (0, [])
    mistyped = quick("audit", "disclosures", "nobody", FHIRBRIDGE_RELEASE_KEY="release.key")
    assert mistyped.code == 2
    assert "no subject of this number" in mistyped.err


def test_a_key_that_is_missing_or_open_to_everybody_is_told(loaded: Path, quick: Run, number: str) -> None:
    accessed(loaded, number)
    told = quick("audit", "disclosures", number)
    assert told.code == 2
    assert "no release key is set" in told.err
    (loaded / "release.key").chmod(0o644)
    told = quick("audit", "disclosures", number, FHIRBRIDGE_RELEASE_KEY="release.key")
    assert told.code == 2
    assert "every user of this machine can use" in told.err


def test_a_trail_under_a_key_is_checked_with_that_key(loaded: Path, quick: Run, number: str) -> None:
    new_key(loaded / "audit.key")
    accessed(loaded, number)
    told = quick("audit", "verify", FHIRBRIDGE_AUDIT_KEY="audit.key")
    assert told.code == 2
    assert "the trail was written without a key" in told.err


def test_no_trail_at_all_is_told(loaded: Path, quick: Run) -> None:
    told = quick("audit", "verify")
    assert told.code == 2
    assert "is no folder" in told.err
