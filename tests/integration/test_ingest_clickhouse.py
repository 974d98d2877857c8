"""FeatBit's own ClickHouse into the landing, from the real engine: what lands, fails, is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from flagmart.errors import FlagmartError, UsageError
from flagmart.ingest.clickhouse_store import connected
from flagmart.ingest.stores import Bounds, StoreReport, ingest
from flagmart.settings import DataFolder
from support.clickhouse import server
from support.clickhouse_target import client as client_of
from support.clickhouse_target import rows as rows_of
from support.featbit_clickhouse import insert, make_events, make_v6
from support.landed import ENV, ids, rejects, rows, runs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from clickhouse_connect.driver.client import Client

    from support.clickhouse.server import Address


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with server.running(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@dataclass
class Place:
    """A database of the test's own, and a data folder."""

    client: Client
    address: Address
    database: str
    data: Path

    def ingest(self, *, sweep: bool = False, bounds: Bounds | None = None) -> StoreReport:
        with connected() as store:
            return ingest(store, DataFolder(self.data), bounds or Bounds(), sweep=sweep)

    def run(self, statement: str) -> None:
        self.client.command(statement.format(database=self.database))

    def source_ids(self, table: str = "events") -> list[str]:
        key = "uuid" if table == "events" else "id"
        return [
            row[0]
            for row in rows_of(
                self.client,
                f"select distinct toString({key}) as i from {self.database}.{table} order by i",
            )
        ]

    def landed_ids(self) -> list[str]:
        return sorted(ids(self.data))

    def command(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flagmart", "ingest", "clickhouse", *arguments],
            env=os.environ | {"FLAGMART_DATA": str(self.data)} | env,
            capture_output=True,
            text=True,
            check=False,
        )


def source_environment(address: Address, database: str) -> dict[str, str]:
    """The variables that name FeatBit's ClickHouse."""
    return {
        "FLAGMART_FEATBIT_CLICKHOUSE_HOST": address.host,
        "FLAGMART_FEATBIT_CLICKHOUSE_PORT": str(address.port),
        "FLAGMART_FEATBIT_CLICKHOUSE_USER": address.user,
        "FLAGMART_FEATBIT_CLICKHOUSE_DATABASE": database,
        "DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD": address.password,
    }


@pytest.fixture
def place(address: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    database = f"featbit_{uuid.uuid4().hex[:8]}"
    for variable, value in source_environment(address, database).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("DBT_TARGET", raising=False)
    with client_of(address) as client:
        client.command(f"create database {database}")
        yield Place(client, address, database, tmp_path / "data")
        client.command(f"drop database {database} sync")


def new_ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def now() -> datetime:
    return datetime.now(UTC)


def put(place: Place, *moments: datetime, env: str = ENV) -> list[str]:
    """Evaluations with these clocks in one insert; their ids."""
    names = new_ids(len(moments))
    insert(place.client, place.database, zip(names, moments, strict=True), env)
    return names


def test_only_what_is_new_is_looked_at_whatever_its_clock_shows(place: Place) -> None:
    make_events(place.client, place.database)
    day = datetime(2026, 5, 1, 12, tzinfo=UTC)
    put(place, *[day] * 50, *[day + timedelta(days=1)] * 50, *[day - timedelta(days=60)] * 50)
    first = place.ingest()
    assert (first.looked_at, first.total("landed")) == (0, 150)
    assert place.ingest().looked_at == 0
    # merging what was merged already makes new parts, and no row is new
    for _ in range(2):
        place.run("optimize table {database}.events final")
    assert place.ingest().looked_at == 0

    late = put(place, day)
    oldest, beyond = put(place, datetime(1970, 1, 1, tzinfo=UTC), datetime(2206, 1, 1, tzinfo=UTC))
    place.run("optimize table {database}.events final")
    report = place.ingest()
    assert (report.looked_at, report.landed_before) == (53, 50)
    assert {*late, oldest, beyond} <= set(ids(place.data))
    assert place.landed_ids() == place.source_ids()
    assert not report.swept
    assert place.ingest(sweep=True).total("read") == 0


def test_a_day_and_a_minute_of_any_size_are_read_in_bounded_chunks(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flagmart.ingest.clickhouse_store.CHUNK_ROWS", 40)
    make_events(place.client, place.database)
    day = datetime(2026, 5, 1, tzinfo=UTC)
    put(place, *(day + timedelta(minutes=n) for n in range(200)))
    put(place, *[day + timedelta(hours=20)] * 400)
    put(place, *(day + timedelta(days=n) for n in range(2, 40)))
    put(place, *[datetime(1969, 12, 31, 23, tzinfo=UTC)] * 100)
    with connected() as store:
        chunks = store.plan(Bounds(), {}).chunks
        sizes = [store.ids(chunk).num_rows for chunk in chunks]
    assert sum(sizes) == 738
    assert max(sizes) <= 80
    assert len(sizes) < 40
    assert place.ingest().total("landed") == 738
    assert place.landed_ids() == place.source_ids()


def test_an_event_that_stands_there_twice_lands_once(place: Place) -> None:
    make_events(place.client, place.database)
    rows_ = [(event_id, now()) for event_id in new_ids(5)]
    insert(place.client, place.database, rows_, ENV)
    insert(place.client, place.database, rows_, ENV)
    report = place.ingest()
    assert (report.total("landed"), report.total("equal_repeats")) == (5, 5)
    insert(place.client, place.database, rows_[:1], ENV)
    report = place.ingest()
    assert (report.looked_at, report.landed_before) == (11, 11)
    assert report.is_complete


def test_only_what_is_within_the_bounds_is_read(place: Place) -> None:
    make_events(place.client, place.database)
    day = datetime(2026, 5, 1, tzinfo=UTC)
    here = put(place, *(day + timedelta(hours=n) for n in range(6)))
    put(place, *(day + timedelta(hours=n) for n in range(6)), env="elsewhere")
    bounds = Bounds.parsed([ENV], "2026-05-01T02:00", "2026-05-01T04:00Z")
    report = place.ingest(bounds=bounds)
    assert sorted(ids(place.data)) == sorted(here[2:4])
    assert not (place.data / "checkpoints").exists()
    assert place.ingest(bounds=bounds).looked_at == 2
    assert report.total("read") == 2


HOSTILE = ("x'; drop table events; --", '"] \\ } {', "{envs_0:String}", "' or 1=1", "\t\n\\N", "ü")


@pytest.mark.parametrize("table", ["events", "v6"])
def test_an_environment_is_a_value_whatever_it_says(place: Place, table: str) -> None:
    if table == "v6":
        make_v6(place.client, place.database)
        assert all(place.ingest(bounds=Bounds((env,))).total("read") == 0 for env in HOSTILE)
        return
    make_events(place.client, place.database)
    put(place, now(), now())
    for number, env in enumerate(HOSTILE, 1):
        put(place, now(), env=env)
        assert place.ingest(bounds=Bounds((env,))).total("landed") == 1
        assert {row["env_id"] for row in rows(place.data)} == set(HOSTILE[:number])
    assert len(place.source_ids()) == 2 + len(HOSTILE)


def test_rows_that_are_no_events_go_to_the_rejects_once(place: Place) -> None:
    make_events(place.client, place.database)
    (good,) = put(place, now())
    place.run(
        "insert into {database}.events (uuid, env_id, event, properties, timestamp)"
        " values (generateUUIDv4(), 'e', 'FlagValue', unhex('7b80ff7d'), '2026-05-01')"
    )
    place.run(
        "insert into {database}.events (uuid, env_id, event, properties, timestamp)"
        " select generateUUIDv4(), 'e', 'FlagValue', '{{}}',"
        " fromUnixTimestamp64Micro(300000000000000000)"
    )
    done = place.command()
    assert done.returncode == 3, done.stderr
    assert sorted(reason for _, reason in rejects(place.data)) == [
        "not UTF-8",
        "timestamp outside the years 0001 to 9999",
    ]
    assert ids(place.data) == [good]
    assert place.command("--sweep", "--detailed-exitcode").returncode == 4
    assert len(rejects(place.data)) == 2


def test_the_command_says_what_it_would_do_and_did(place: Place) -> None:
    make_events(place.client, place.database)
    put(place, *[now()] * 4)
    label = f"{place.address.host}:{place.address.port}/{place.database}"
    planned = place.command("--dry-run", "--output", "json")
    assert json.loads(planned.stdout) == {
        "store": label,
        "dry_run": True,
        "tables": [{"table": "events", "chunks": 1, "estimated_rows": 4}],
        "estimated_rows": 4,
    }
    assert not place.data.exists()

    done = place.command("--output", "json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["run_ids"] == [run.run_id for run in runs(place.data)]
    assert (document["read"], document["landed"]) == (4, 4)
    assert f"{label}: 4 rows read, 4 landed" in done.stderr
    assert place.command("--env", " ").returncode == 2
    (checkpoint,) = (place.data / "checkpoints").iterdir()
    for text in (done.stdout, done.stderr, checkpoint.read_text(), checkpoint.name):
        assert place.address.password not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("rename table {database}.events to {database}.other", "has no table events"),
        (
            "alter table {database}.events rename column event to kind",
            "table events has no column event; it has uuid, distinct_id, env_id, kind",
        ),
        (
            "alter table {database}.events modify column properties UInt64",
            "column properties of table events is UInt64, not String or UUID",
        ),
    ],
)
def test_a_schema_that_is_not_known_is_named(place: Place, change: str, message: str) -> None:
    place.run(
        "create table {database}.events (uuid UUID, distinct_id String, env_id String,"
        " event String, properties String, timestamp DateTime64(6)) engine = MergeTree"
        " order by uuid"
    )
    place.run(change)
    with pytest.raises(FlagmartError, match=message) as caught:
        place.ingest()
    assert place.database in str(caught.value)


def test_where_the_server_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    make_events(place.client, place.database)
    monkeypatch.delenv("FLAGMART_FEATBIT_CLICKHOUSE_HOST")
    with pytest.raises(UsageError, match="no ClickHouse is named; set FLAGMART_FEATBIT_CLICKHOUSE"):
        place.ingest()
    # the server of flagmart's own tables, and another user there
    monkeypatch.setenv("FLAGMART_CLICKHOUSE_HOST", place.address.host)
    monkeypatch.setenv("FLAGMART_CLICKHOUSE_PORT", str(place.address.port))
    monkeypatch.setenv("DBT_ENV_SECRET_CLICKHOUSE_PASSWORD", "of another user")
    assert place.ingest().label.endswith(place.database)
    monkeypatch.delenv("FLAGMART_FEATBIT_CLICKHOUSE_USER")
    monkeypatch.setenv("DBT_ENV_SECRET_CLICKHOUSE_PASSWORD", place.address.password)
    assert place.ingest().label.endswith(place.database)
    # what is said of one server is not sent to another
    monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_HOST", "localhost")
    monkeypatch.delenv("DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD")
    with pytest.raises(FlagmartError, match="password is wrong; set FLAGMART_FEATBIT_CLICKHOUSE"):
        place.ingest()
