"""Agreement files: what a good one says, and how a bad one is told."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from fhirbridge.errors import ConfigurationError
from fhirbridge.release import agreement
from fhirbridge.release.agreement import ViewRules

GOOD = """
id = "north-2026"
registry = "north"
study = "nct07120750"
purpose = "HRESCH"
types = ["Patient", "Observation"]
expires = 2029-12-31
"""


def written(folder: Path, text: str, name: str = "north.toml") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def test_an_agreement_says_who_may_see_what_and_hides_by_default(tmp_path: Path) -> None:
    read = agreement.load(written(tmp_path, GOOD))
    assert (read.id, read.registry, read.types) == ("north-2026", "north", ("Patient", "Observation"))
    assert read.scopes == ("system/*.rs",)
    assert read.view == ViewRules(shift_days=180, birth_date="year", deceased="day", texts=())
    assert (read.counts.threshold, read.counts.small) == (5, "hide")


def test_every_rule_can_be_given(tmp_path: Path) -> None:
    rules = """
scopes = ["system/Observation.rs", "system/*.read", "system/Patient.s"]
release_every_days = 7
[view]
shift_days = 0
partial_dates = "hide"
birth_date = "five-years"
deceased = "year"
texts = ["note"]
[counts]
threshold = 10
small = "round"
"""
    read = agreement.load(written(tmp_path, GOOD + rules))
    assert read.view.texts == ("note",)
    assert (read.counts.threshold, read.counts.small, read.release_every_days) == (10, "round", 7)


def test_an_agreement_holds_through_its_last_day_in_utc(tmp_path: Path) -> None:
    read = agreement.load(written(tmp_path, GOOD))
    shanghai = dt.timezone(dt.timedelta(hours=8))
    assert read.holds(dt.datetime(2029, 12, 31, 23, 59, 59, tzinfo=dt.UTC))
    assert read.holds(dt.datetime(2030, 1, 1, 7, 59, tzinfo=shanghai))
    assert not read.holds(dt.datetime(2030, 1, 1, tzinfo=dt.UTC))


def test_a_release_waits_for_its_day(tmp_path: Path) -> None:
    read = agreement.load(written(tmp_path, GOOD + "release_every_days = 7\n"))
    first = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    assert read.due(None, first)
    assert not read.due(first, first + dt.timedelta(days=6, hours=23))
    assert read.due(first, first + dt.timedelta(days=7))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("purpose", "purposes"), "unknown field `purposes`"),
        (('"HRESCH"', '"TREAT"'), "purpose 'TREAT' is none of these codes"),
        (('id = "north-2026"', ""), "missing required field `id`"),
        (('"north-2026"', '"North 2026"'), "id 'North 2026' may hold lower-case letters"),
        (('"north"', '"../north"'), "registry '../north' may hold"),
        (('"Observation"]', '"Practitioner"]'), "types 'Practitioner' is never released"),
        (('["Patient", "Observation"]', "[]"), "types must name at least one"),
        (("2029-12-31", '"soon"'), r"Expected `date`|Invalid RFC3339|\$\.expires"),
        (("expires", 'scopes = ["system/*.write"]\nexpires'), r"scopes 'system/\*\.write' is no scope to read"),
        (("expires", 'scopes = ["system/Consent.rs"]\nexpires'), "scopes 'system/Consent.rs' is of a type"),
        (("expires", "scopes = []\nexpires"), "scopes must name at least one"),
        (("2029-12-31", "2029-12-31\n[view]\nshift_days = 3"), "view.shift_days must be 0 or from 7 to 3650"),
        (
            ("2029-12-31", '2029-12-31\n[view]\nbirth_date = "day"'),
            r"value 'day' - at `\$\.view\.birth_date`",
        ),
        (("2029-12-31", '2029-12-31\n[view]\ntexts = ["note"]'), "view.texts lets free text out, which may hold dates"),
        (("2029-12-31", "2029-12-31\n[counts]\nthreshold = 0"), "counts.threshold must be from 1 to 1000"),
        (("expires", "release_every_days = -1\nexpires"), "release_every_days must not be negative"),
        (('"north"', '"north'), "at line 3"),
    ],
)
def test_a_bad_file_is_told_with_its_name_the_key_and_the_rule(
    change: tuple[str, str], told: str, tmp_path: Path
) -> None:
    file = written(tmp_path, GOOD.replace(*change))
    with pytest.raises(ConfigurationError, match=told) as error:
        agreement.load(file)
    assert str(error.value).startswith(f"{file}: ")
    assert str(error.value).endswith("See docs/release.md for the keys of an agreement file.")


def test_a_folder_of_agreements_is_read_by_their_ids(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, GOOD.replace("north", "south"), "south.toml")
    assert sorted(agreement.load_all(tmp_path)) == ["north-2026", "south-2026"]


def test_two_files_cannot_have_one_id(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    written(tmp_path, GOOD, "other.toml")
    with pytest.raises(ConfigurationError, match=r"other\.toml: id 'north-2026' is that of another file"):
        agreement.load_all(tmp_path)


def test_one_registry_cannot_have_two_shifts_to_compare(tmp_path: Path) -> None:
    written(tmp_path, GOOD)
    other = GOOD.replace("north-2026", "north-2027") + "[view]\nshift_days = 0\n"
    written(tmp_path, other, "other.toml")
    with pytest.raises(ConfigurationError, match="would learn every shift from the difference"):
        agreement.load_all(tmp_path)


def test_a_folder_or_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no folder"):
        agreement.load_all(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        agreement.load(tmp_path / "none.toml")
