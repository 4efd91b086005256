"""`fhirbridge registry release` and the job of that name: what registries see is brought up to date."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhirbridge.identity import new_key
from fhirbridge.store import Store
from tests.cli.conftest import Ran, Run
from tests.store.releasing import consent, observation, put, subject

AGREEMENT = """
id = "{id}"
registry = "{id}"
study = "nct07120750"
purpose = "HRESCH"
types = ["Patient", "Observation"]
expires = {expires}
"""


@pytest.fixture
def site(quick: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store of a site with two agreements in force and one that ended."""
    (tmp_path / "agreements").mkdir()
    for id, expires in (("north", "2999-01-01"), ("south", "2999-01-01"), ("old", "2020-01-01")):
        (tmp_path / "agreements" / f"{id}.toml").write_text(AGREEMENT.format(id=id, expires=expires))
    new_key(tmp_path / "release.key")
    monkeypatch.setenv("FHIRBRIDGE_AGREEMENTS", "agreements")
    monkeypatch.setenv("FHIRBRIDGE_RELEASE_KEY", "release.key")
    with Store.open(f"sqlite:///{tmp_path / 'fhirbridge.db'}") as store:
        put(store, *subject("p1", 3))
        yield store


def told(ran: Ran) -> dict[str, dict[str, dict[str, int]]]:
    assert ran.code == 0, ran.err
    return {one["agreement"]: one["counts"] for one in json.loads(ran.out)["agreements"]}


def test_all_agreements_in_force_are_released_and_then_only_what_changed(quick: Run, site: Store) -> None:
    none = {"unchanged": 0, "deleted": 0, "hidden": 0}
    first = told(quick("registry", "release", "--json"))
    assert set(first) == {"north", "south"}
    assert first["north"] == first["south"]
    assert {kind: one["released"] > 0 for kind, one in first["north"].items()} == {"Observation": True, "Patient": True}
    assert told(quick("registry", "release", "--json")) == {"north": {}, "south": {}}
    put(site, observation("p1-o0", "p1", status="amended"))
    assert told(quick("registry", "release", "south", "--json")) == {"south": {"Observation": {"released": 1, **none}}}
    put(site, consent("p1-c", "p1", "inactive"))
    ran = quick("registry", "release")
    assert ran.code == 0
    assert "north: up to date, at position 2" in ran.out + ran.err
    assert site.last_run("release").counts["deleted"] == 8  # type: ignore[union-attr,index]


def test_an_agreement_that_is_not_there_is_refused(quick: Run, site: Store) -> None:
    ran = quick("registry", "release", "west")
    assert ran.code == 2
    assert "west" in ran.err
    assert "north, old, south" in ran.err


def test_an_agreement_that_cannot_be_released_keeps_no_other_back(quick: Run, site: Store, tmp_path: Path) -> None:
    elsewhere = AGREEMENT.format(id="east", expires="2999-01-01").replace("nct07120750", "nct00000000")
    (tmp_path / "agreements" / "east.toml").write_text(elsewhere)
    ran = quick("registry", "release", "--json")
    found = {one["agreement"]: one for one in json.loads(ran.out)["agreements"]}
    assert ran.code == 2
    assert "nct00000000" in found["east"]["error"]
    assert found["north"]["position"] == found["south"]["position"] == 1
    assert site.last_run("release").outcome == "failed"  # type: ignore[union-attr]


def test_the_schedule_releases_too(quick: Run, site: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, when in (("RELEASE", "* * * * *"), ("PUSH", "off"), ("RECONCILE", "off")):
        monkeypatch.setenv(f"FHIRBRIDGE_SCHEDULE_{name}", when)
    ran = quick("run", "--once")
    assert ran.code == 0, ran.err
    assert site.releases.position("north") is not None
    assert site.last_run("release").outcome == "done"  # type: ignore[union-attr]
