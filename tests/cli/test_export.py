"""`fhirbridge export`: tables of what is stored, without those who withdrew, all or nothing."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from fhirbridge import settings
from fhirbridge.cli.export import VIEWS, Format, run_export
from fhirbridge.cli.workplace import Workplace
from fhirbridge.errors import Refused
from fhirbridge.store import Store
from fhirbridge.views import library
from tests.cli.conftest import Run

STUDY = "nct07120750"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def withdraw(store: Store) -> None:
    """Make every Consent of the study inactive, as a withdrawal does."""
    found = [one.content() for one in Store.iterate(store, STUDY, types=["Consent"])]
    with store.transaction() as transaction:
        transaction.put([(0, consent | {"status": "inactive"}) for consent in found], run="r")


def withdrawn(folder: Path) -> None:
    with Store.open(f"sqlite:///{folder / 'fhirbridge.db'}") as store:
        withdraw(store)


def test_every_shipped_view_becomes_a_csv_file_whose_rows_join(quick: Run, loaded: Path) -> None:
    ran = quick("export")
    assert ran.code == 0
    assert {path.name for path in (loaded / "export").iterdir()} == {f"{name}.csv" for name in library.names(VIEWS)}
    (subject,) = rows(loaded / "export" / "subject.csv")
    for name in library.names(VIEWS):
        assert f" {name}.csv " in ran.out
        assert {row["subject_key"] for row in rows(loaded / "export" / f"{name}.csv")} <= {subject["subject_key"]}
    assert max(map(len, ran.out.splitlines())) <= 80


def test_the_numbers_of_the_report_are_those_of_the_files(quick: Run, loaded: Path) -> None:
    ran = quick("export", "--json", "--format", "ndjson", "--output", "deep/er")
    told = ran.json
    assert (ran.code, told["study"], told["format"], told["withdrawn_left_out"]) == (0, STUDY, "ndjson", 0)
    for table in told["tables"]:
        lines = (loaded / table["path"]).read_bytes().splitlines()
        assert (len(lines), table["bytes"]) == (table["rows"], (loaded / table["path"]).stat().st_size)
        assert all(json.loads(line)["subject_key"] for line in lines)
    with Store.open(f"sqlite:///{loaded / 'fhirbridge.db'}") as store:
        last = store.last_run("export")
        assert last is not None
        assert (last.outcome, last.counts["rows"]) == ("done", {one["view"]: one["rows"] for one in told["tables"]})


def test_one_view_and_one_of_your_own_as_parquet(quick: Run, loaded: Path) -> None:
    own = {"resource": "ResearchStudy", "select": [{"column": [{"name": "title", "path": "title"}]}]}
    (loaded / "studies.json").write_text(json.dumps(own), encoding="utf-8")
    assert quick("export", "--format", "parquet", "--view", "laboratory", "--view", "studies.json").code == 0
    assert sorted(path.name for path in (loaded / "export").iterdir()) == ["laboratory.parquet", "studies.parquet"]
    table = pyarrow.parquet.read_table(loaded / "export" / "laboratory.parquet")
    assert table.num_rows > 0
    assert str(table.schema.field("value").type) == "decimal128(38, 15)"
    assert pyarrow.parquet.read_table(loaded / "export" / "studies.parquet").num_rows == 1


def test_who_withdrew_is_left_out_and_counted_unless_the_site_wants_them(quick: Run, loaded: Path) -> None:
    withdrawn(loaded)
    ran = quick("export", "--view", "subject", "--view", "patient", "--view", "laboratory")
    assert ran.code == 0
    assert "Left out, as consent is withdrawn: 1 subject." in ran.out
    assert [rows(loaded / "export" / f"{name}.csv") for name in ("subject", "patient", "laboratory")] == [[], [], []]
    assert (loaded / "export" / "patient.csv").read_bytes() == b"subject_key,sex,birth_date,deceased_date\r\n"
    again = quick("export", "--include-withdrawn", "--json")
    assert again.json["withdrawn_left_out"] == 0
    assert len(rows(loaded / "export" / "subject.csv")) == 1


class Withdrawing(Store):
    """A store whose subject withdraws while resources are read."""

    def iterate(self, *args: Any, **named: Any) -> Iterator[Any]:
        yield from super().iterate(*args, **named)
        withdraw(self)


def test_who_withdraws_while_files_are_written_stops_the_export(loaded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(loaded)
    place = Workplace(settings.read(None))
    with Withdrawing.open(f"sqlite:///{loaded / 'fhirbridge.db'}") as store:
        vars(place)["store"] = store
        with pytest.raises(Refused, match="withdrew consent while this was written"):
            run_export(place, Format.csv, ["subject"], Path("out"), quiet=True)
        assert list(Path("out").iterdir()) == []
        run_export(place, Format.csv, ["subject"], Path("out"), quiet=True)
        assert rows(Path("out") / "subject.csv") == []


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (
            {"resource": "Patient", "select": [{"column": [{"name": "a", "path": "gendr"}]}]},
            "Patient has no gendr. [fhirpath]",
        ),
        ({"select": []}, "[structure]"),
    ],
)
def test_a_view_that_is_wrong_is_told_and_nothing_is_written(view: Any, says: str, quick: Run, loaded: Path) -> None:
    (loaded / "mine.json").write_text(json.dumps(view), encoding="utf-8")
    ran = quick("export", "--view", "mine.json", "--view", "subject")
    assert ran.code == 2
    assert "view mine, " in ran.err
    assert says in ran.err
    assert not (loaded / "export").exists()
    assert quick("export", "--view", "mine.json", "--json").json["error"]["code"] == "invalid"


def test_a_view_that_is_not_there_is_told_with_those_that_are(quick: Run) -> None:
    ran = quick("export", "--view", "lesions")
    assert (ran.code, "Name one of imaging, laboratory, lesion" in ran.err) == (2, True)


def test_a_store_without_resources_makes_empty_tables(quick: Run, loaded: Path) -> None:
    (loaded / "fhirbridge.db").unlink()
    assert quick("export", "--view", "subject").code == 0
    assert rows(loaded / "export" / "subject.csv") == []
