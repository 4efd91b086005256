"""Opening a store: creating, migrating, refusing, and saying so in one line."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from fhirbridge.errors import StoreError
from fhirbridge.store import Store, schema
from tests.store.raw import connected


def test_a_new_store_is_empty(store: Store) -> None:
    assert store.studies() == []
    assert store.counts("trial") == {}


def test_what_was_stored_is_there_when_the_store_is_opened_again(database_url: str, make) -> None:
    with Store.open(database_url) as store, store.transaction() as transaction:
        transaction.put([(1, make.patient("p1"))], run="run-1")
    with Store.open(database_url) as store:
        assert store.read("Patient", "p1").content() == make.patient("p1")


def test_the_migrations_make_the_tables_that_the_code_uses(database_url: str) -> None:
    Store.open(database_url).close()
    with connected(database_url) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": schema.REVISION_TABLE})
        assert compare_metadata(context, schema.metadata) == []
        assert context.get_current_revision() == schema.REVISION


def test_a_store_of_a_newer_fhirbridge_is_refused(database_url: str) -> None:
    Store.open(database_url).close()
    with connected(database_url) as connection:
        connection.execute(text(f"UPDATE {schema.REVISION_TABLE} SET version_num = '9001'"))
    with pytest.raises(StoreError, match=r"newer fhirbridge \(schema 9001.*Update fhirbridge"):
        Store.open(database_url)


def test_several_processes_may_open_a_new_store_at_once(database_url: str) -> None:
    script = "import sys; from fhirbridge.store import Store; Store.open(sys.argv[1]).close()"
    processes = [subprocess.Popen([sys.executable, "-c", script, database_url]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0, 0, 0, 0]


def test_the_key_that_a_study_began_with_is_accepted_again(store: Store) -> None:
    store.bind("aaaa", study="trial")
    store.bind("aaaa", study="trial")


def test_another_pseudonym_key_is_refused(store: Store) -> None:
    store.bind("aaaa", study="trial")
    with pytest.raises(StoreError, match="another pseudonym key"):
        store.bind("bbbb", study="trial")
    store.bind("aaaa", study="trial")


def test_each_study_has_a_fingerprint_of_its_own(store: Store) -> None:
    store.bind("aaaa", study="trial")
    store.bind("bbbb", study="another trial")


def test_the_sqlite_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path / 'folder' / 'store.db'}").close()
    assert stat.S_IMODE((tmp_path / "folder" / "store.db").stat().st_mode) == 0o600


def test_the_sqlite_file_is_in_wal_mode(tmp_path: Path) -> None:
    Store.open(f"sqlite:///{tmp_path / 'store.db'}").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_path_that_cannot_be_written_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot open the SQLite file .*store\.db: .*Give a path"):
        Store.open(f"sqlite:///{tmp_path / 'file' / 'store.db'}")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot open the SQLite file"):
        Store.open(f"sqlite:///{tmp_path}")


def test_a_file_of_another_kind_is_no_store_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear investigator, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store.open(f"sqlite:///{tmp_path / 'letter.txt'}")
    assert (tmp_path / "letter.txt").read_text().startswith("Dear investigator")


def test_a_server_that_is_not_there_is_one_clear_error_without_the_password() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        url = f"postgresql://someone:s3cret-word@127.0.0.1:{taken.getsockname()[1]}/trial"
        with pytest.raises(StoreError, match=r"cannot open the PostgreSQL database trial at 127\.0\.0\.1") as raised:
            Store.open(url)
    assert "s3cret-word" not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.mark.parametrize(
    "url", ["", "store.db", "sqlite://", "sqlite:///:memory:", "mysql://u:s3cret@host/db", "nonsense://x"]
)
def test_a_url_of_no_supported_database_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StoreError, match="must be like sqlite:///") as raised:
        Store.open(url)
    assert "s3cret" not in str(raised.value)


@pytest.mark.postgresql
def test_a_connection_that_the_server_dropped_is_made_anew_before_it_is_used(
    postgresql_schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fhirbridge.store.database.IDLE_SECONDS", 0.0)
    with Store.open(f"{postgresql_schema}&application_name=dropped") as store:
        assert store.counts("trial") == {}
        with connected(postgresql_schema) as other:
            dropped = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dropped'"
            assert other.execute(text(dropped)).scalars().all() == [True]
        assert store.counts("trial") == {}
