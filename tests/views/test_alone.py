"""Views that strangers write: run apart, so that none can take the service's time or memory, or see its secrets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from fhirbridge.api.registry import view_process
from fhirbridge.views.faults import ViewError

PEOPLE = [json.dumps({"resourceType": "Patient", "id": f"p{n}", "gender": "female"}).encode() for n in range(3)]


def view(path: str = "id", **more: Any) -> dict[str, Any]:
    column = {"name": "found", "path": path}
    return {
        "resourceType": "ViewDefinition",
        "name": "v",
        "resource": "Patient",
        "select": [{"column": [column]}],
        **more,
    }


def table(source: dict[str, Any], resources: Any = PEOPLE, **more: Any) -> bytes:
    given = {"limit": None, "definitions": None, "seconds": 20} | more
    return b"".join(view_process.run(source, resources, "csv", **given))


def test_a_view_run_apart_gives_the_same_table() -> None:
    assert table(view()) == b"found\r\np0\r\np1\r\np2\r\n"
    assert table(view(), limit=2) == b"found\r\np0\r\np1\r\n"


def test_what_is_wrong_with_a_view_is_told_before_a_row_is_sent() -> None:
    found = view_process.run(view("nonsense"), PEOPLE, "csv", limit=None, definitions=None)
    with pytest.raises(ViewError, match="nonsense") as raised:
        next(found)
    assert raised.value.place.startswith("select[0].column[0]")


@pytest.mark.parametrize(
    "path",
    [
        "'" + "a" * 40 + "b'.matches('(a|aa)+$')",
        "'aaaaaaaaaaaaaaaa'" + ".select($this & $this)" * 40,
        "%resource.descendants()" + ".select(%resource.descendants())" * 30,
    ],
    ids=["a pattern that backtracks", "a text that doubles", "elements times elements"],
)
def test_a_view_that_would_take_everything_ends_by_itself(path: str) -> None:
    with pytest.raises(ViewError) as raised:
        table(view(f"({path}).count()"), seconds=3)
    assert raised.value.rule in ("too-costly", "fhirpath")


def test_what_goes_wrong_while_resources_are_read_is_raised_and_the_table_never_passes_for_complete() -> None:
    def broken() -> Iterator[bytes]:
        yield PEOPLE[0]
        raise OSError("the store went away")

    with pytest.raises(OSError, match="went away"):
        table(view(), broken())


def test_who_stops_reading_ends_the_process() -> None:
    endless = (PEOPLE[0] for _ in iter(int, 1))
    found = view_process.run(view(), endless, "ndjson", limit=None, definitions=None)
    assert next(found) == b""
    assert b"p0" in next(found)
    found.close()


def test_a_view_run_apart_gets_nothing_of_the_services_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRBRIDGE_DATABASE", "postgresql://user:secret@host/db")
    assert "secret" not in str(view_process._environment())
