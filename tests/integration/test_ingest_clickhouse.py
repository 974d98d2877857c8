"""FeatBit's own ClickHouse into the landing, from the real engine: what lands, fails, is killed."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from flagmart.errors import FlagmartError, UsageError
from flagmart.ingest import files
from flagmart.ingest.clickhouse_store import connected
from flagmart.ingest.postgres_store import connected as connected_to_postgres
from flagmart.ingest.stores import Bounds, StoreReport, ingest
from flagmart.settings import DataFolder
from support import network
from support.clickhouse import server
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment
from support.clickhouse_target import rows as rows_of
from support.command import START
from support.event_stream import both_halves_are_staged_alike, stream, under_other_ids
from support.featbit_clickhouse import insert, load, make_events, make_v6
from support.featbit_cluster import DATABASE, UNREADABLE, cluster, make_distributed
from support.featbit_postgres import load as load_postgres
from support.featbit_postgres import make_events as make_postgres_events
from support.landed import ENV, ids, rejects, rows, runs
from support.living_store import came_of, killed_ingests
from support.postgres_server import postgres_server
from support.short_answers import short_answers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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
        key = "id" if "_exposure_" in table else "uuid"
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

    # two days of a month and not the one between them
    put(place, day, day + timedelta(days=2))
    report = place.ingest()
    assert (report.looked_at, report.landed_before) == (52, 50)

    late = put(place, day)
    oldest, beyond = put(place, datetime(1970, 1, 1, tzinfo=UTC), datetime(2206, 1, 1, tzinfo=UTC))
    place.run("optimize table {database}.events final")
    report = place.ingest()
    assert (report.looked_at, report.landed_before) == (54, 51)
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
    before_1970 = datetime(1969, 12, 31, 23, tzinfo=UTC)
    put(place, *(before_1970 + timedelta(seconds=n * 7.3) for n in range(100)))
    with connected() as store:
        chunks = store.plan(Bounds(), {}).chunks
        sizes = [store.ids(chunk).num_rows for chunk in chunks]
    assert sum(sizes) == 738
    assert max(sizes) <= 80
    assert len(sizes) < 40
    assert place.ingest().total("landed") == 738
    assert place.landed_ids() == place.source_ids()


def test_rows_that_come_and_go_after_the_plan_are_no_stream_that_broke_off(place: Place) -> None:
    make_events(place.client, place.database)
    day = datetime(2026, 5, 1, 12, tzinfo=UTC)
    gone, *_ = put(place, *[day] * 10)
    with connected() as store:
        [chunk] = store.plan(Bounds(), {}).chunks
        assert came_of(store, chunk) == (10, 10)
        place.run(
            f"alter table {{database}}.events delete where uuid = '{gone}' "
            "settings mutations_sync = 1"
        )
        assert came_of(store, chunk) == (9, 9)
        put(place, *[day] * 3)
        assert came_of(store, chunk) == (12, 12)


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


FACTS = ("event_id", "env_id", "event", "distinct_id", "properties", "occurred_at")


def facts(data: Path, *more: str) -> dict[str, tuple[object, ...]]:
    return {row["event_id"]: tuple(row[name] for name in (*FACTS, *more)) for row in rows(data)}


def test_the_same_stream_gives_the_same_staging_rows_as_from_postgres(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", START.isoformat())
    path = stream(tmp_path, 3_000)
    make_events(place.client, place.database)
    with path.open() as lines:
        load(place.client, place.database, lines, arrived=1_766_000_000)
    assert place.ingest().total("landed") == 3_004
    landed = rows(place.data)
    assert {row["source"] for row in landed} == {"clickhouse"}
    assert {row["source_ref"] for row in landed} == {"events"}
    assert {row["source_ingested_at"] for row in landed} == {
        datetime.fromtimestamp(1_766_000_000, UTC).replace(tzinfo=None)
    }
    # from the file they come as ClickHouse has them: the text itself
    from_file = tmp_path / "from_file"
    files.ingest([path], DataFolder(from_file))
    assert facts(place.data) == facts(from_file)

    with postgres_server() as postgres:
        database = postgres.made("the_same")
        monkeypatch.setenv("FLAGMART_POSTGRES_URL", database.url)
        make_postgres_events(database)
        with under_other_ids(path).open() as lines:
            load_postgres(database, lines)
        with connected_to_postgres() as store:
            ingest(store, DataFolder(place.data), Bounds())
    # which PostgreSQL's table does not keep
    both_halves_are_staged_alike(place.data, without="source_ingested_at")


@pytest.mark.parametrize("draft", ["A", "B", "C"])
def test_v6_lands_as_from_a_dump_whatever_its_draft(
    place: Place, tmp_path: Path, draft: str
) -> None:
    make_v6(place.client, place.database, draft=draft)
    begin = "release_decision" if draft == "A" else "experiment"
    tables = [f"{begin}_exposure_events", f"{begin}_metric_events"]
    own = """'{{"tag_1": "1E+20", "zone": {{"b": 1e20, "a": 0.10}}, "userName": "n"}}'"""
    extra = ", application_type" if draft == "C" else ", user_name, properties"
    more = ", 'web'" if draft == "C" else f", 'ü', {own}"
    key = f"generateUUIDv4(number), '{ENV}'"
    moment = "'2026-10-02 07:51:24.326'"
    of_exposures = "" if draft == "C" else extra
    place.run(
        f"insert into {{database}}.{tables[0]} (id, env_id, flag_key, user_key, variation_id,"
        f" variation_value, exposed_at, created_at{of_exposures}) select {key}, 'f', 'ü\\t1', 'v',"
        f" if(number = 0, '', 'true'), {moment}, {moment}{more if of_exposures else ''}"
        " from numbers(2)"
    )
    place.run(
        f"insert into {{database}}.{tables[1]} (id, env_id, user_key, event_name, event_type,"
        f" numeric_value, occurred_at, created_at{extra}) select {key}, 'u', 'buy',"
        " ['Click', 'Other', 'PageView', 'CustomEvent'][number + 1],"
        f" [0.1, 1e20, nan, 17][number + 1], {moment}, {moment}{more} from numbers(4)"
    )
    assert place.ingest().total("landed") == 6
    dumps = []
    for table in tables:
        dumps.append(tmp_path / f"{table}.csv")
        dumps[-1].write_bytes(
            place.client.raw_query(f"select * from {place.database}.{table}", fmt="CSVWithNames")
        )
    other = tmp_path / "other"
    files.ingest(dumps, DataFolder(other))
    assert facts(place.data, "source_ingested_at") == facts(other, "source_ingested_at")
    assert place.ingest().looked_at == 0
    assert place.ingest(sweep=True).total("read") == 0


def test_a_connection_lost_on_the_way_is_one_line_and_nothing_lands(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(place.client, place.database)
    place.run(
        "insert into {database}.events (uuid, env_id, event, properties, timestamp) select"
        " generateUUIDv4(), 'e', 'FlagValue', hex(randomString(300)), now64(6) from numbers(20000)"
    )
    with network.to(f"http://{place.address.host}:{place.address.port}") as way:
        monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_PORT", way.url.rpartition(":")[2])
        for answers in (100, 100_000, 2_000_000, 9_000_000):
            way.answers = answers
            with pytest.raises(
                FlagmartError, match=f"ClickHouse at {place.address.host}"
            ) as caught:
                place.ingest()
            assert "\n" not in str(caught.value)
            assert place.address.password not in str(caught.value)
            assert not runs(place.data)
            assert not (place.data / "checkpoints").exists()
        way.answers = None
        assert place.ingest().total("landed") == 20_000


@pytest.mark.parametrize(
    ("marker", "everything", "message"),
    [
        (b" as readable", True, "51 of 52 rows of events came, then the stream ended"),
        (b" as readable", False, "49 of 50 rows of events came, then the stream ended"),
        (b" as event_id from", False, "gave 51 of 52 rows"),
    ],
)
def test_a_stream_that_ends_early_without_an_error_is_seen(
    place: Place, monkeypatch: pytest.MonkeyPatch, marker: bytes, everything: bool, message: str
) -> None:
    make_events(place.client, place.database)
    put(place, now(), now())
    before = 0
    if not everything:
        before = place.ingest().total("landed")
    put(place, *[now()] * 50)
    with short_answers(place.address.port, marker) as way:
        monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_PORT", str(way.server_port))
        with pytest.raises(FlagmartError, match=message):
            place.ingest()
        assert way.shortened == 1
    assert len(ids(place.data)) == before
    monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_PORT", str(place.address.port))
    place.ingest()
    assert place.landed_ids() == place.source_ids()


def test_what_a_server_says_after_the_rows_is_an_error(place: Place) -> None:
    """A server that fails late ends the rows well, and only then says so."""
    make_events(place.client, place.database)
    with connected() as store:
        statement = "select throwIf(number = 3000000, 'late') from numbers(4000000)"
        with pytest.raises(FlagmartError) as caught:
            for _ in store._client.batches(statement):
                pass
    assert "\n" not in str(caught.value)


def test_a_wrong_password_or_address_is_one_line_without_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(place.client, place.database)
    at = f"ClickHouse at {place.address.host}:{place.address.port}"
    done = place.command(DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD="not-this-one")
    assert done.returncode == 1
    assert done.stderr == (
        f"flagmart: {at}: user '{place.address.user}' or the password is wrong; set "
        "FLAGMART_FEATBIT_CLICKHOUSE_USER and DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD\n"
    )
    monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_PORT", "1")
    with pytest.raises(
        FlagmartError, match="FLAGMART_FEATBIT_CLICKHOUSE_HOST, _PORT and"
    ) as caught:
        place.ingest()
    assert place.address.password not in str(caught.value)
    monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_PORT", "http")
    with pytest.raises(UsageError, match="FLAGMART_FEATBIT_CLICKHOUSE_PORT='http' is no port"):
        place.ingest()


@pytest.fixture(scope="module")
def three_shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with cluster(tmp_path_factory.mktemp("cluster"), "only reads") as address:
        with client_of(address) as client:
            make_distributed(client)
        yield address


@pytest.fixture
def in_cluster(
    three_shards: Address, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    for variable, value in source_environment(three_shards, DATABASE).items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("DBT_TARGET", raising=False)
    with client_of(three_shards) as client:
        yield Place(client, three_shards, DATABASE, tmp_path / "data")
        client.command(f"truncate table {DATABASE}.events")


def scattered(place: Place, count: int) -> None:
    """Events whose shards differ."""
    place.run(
        "insert into {database}.events (uuid, distinct_id, env_id, event, properties, timestamp)"
        " select generateUUIDv4(), toString(number), 'e', 'FlagValue', '{{}}',"
        f" now64(3) - number * 3600 from numbers({count})"
    )


def test_of_a_cluster_all_shards_are_read(in_cluster: Place) -> None:
    scattered(in_cluster, 300)
    assert 0 < len(in_cluster.source_ids()) < 300
    report = in_cluster.ingest()
    assert (report.looked_at, report.total("landed")) == (0, 300)
    assert {row["source_ref"] for row in rows(in_cluster.data)} == {"events"}
    assert in_cluster.ingest().looked_at == 0
    scattered(in_cluster, 5)
    in_cluster.run("optimize table {database}.events final")
    report = in_cluster.ingest()
    assert report.total("landed") == 5
    assert 0 < report.landed_before < 60
    assert in_cluster.landed_ids() == in_cluster.source_ids("distributed_events")
    assert in_cluster.ingest(sweep=True).total("read") == 0


def test_who_may_only_read_reads_and_can_do_nothing_else(
    in_cluster: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    scattered(in_cluster, 30)
    monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_USER", "reader")
    monkeypatch.setenv("DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD", "only reads")
    assert in_cluster.ingest().total("landed") == 30
    scattered(in_cluster, 5)
    assert in_cluster.ingest().total("landed") == 5
    reader = replace(in_cluster.address, user="reader", password="only reads")
    with client_of(reader) as client, pytest.raises(DatabaseError, match="readonly"):
        client.command(f"truncate table {DATABASE}.events")


def test_who_may_not_read_is_told_so(
    in_cluster: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    in_cluster.run(f"create database if not exists {UNREADABLE}")
    make_events(in_cluster.client, UNREADABLE)
    monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_DATABASE", UNREADABLE)
    with pytest.raises(FlagmartError, match=r"grant SELECT.* ON .*events.*; grant it to") as caught:
        in_cluster.ingest()
    assert "docs/sources.md" in str(caught.value)
    assert "\n" not in str(caught.value)

    # without the right to see the parts of all replicas, all days are compared
    monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_DATABASE", DATABASE)
    in_cluster.run(
        f"create table {UNREADABLE}.parts (active UInt8, database String, table String,"
        " partition_id String, max_block_number Int64, rows UInt64) engine = Log"
    )
    scattered(in_cluster, 30)
    for read in (30, 0, 5):
        with connected() as store:
            store._sources = [replace(one, parts=f"{UNREADABLE}.parts") for one in store._sources]
            assert ingest(store, DataFolder(in_cluster.data), Bounds()).total("read") == read
        if not read:
            scattered(in_cluster, 5)
    assert "no right to read" in capsys.readouterr().err


@dataclass
class Beside:
    """A place whose landing is on the same server."""

    place: Place
    database: str

    def rows(self) -> list[tuple[object, ...]]:
        return rows_of(
            self.place.client,
            f"select {', '.join(FACTS)}, source, source_ref, source_ingested_at"
            f" from {self.database}_landing.landed_events order by event_id",
        )

    def ids(self) -> list[object]:
        return [row[0] for row in self.rows()]


@pytest.fixture
def beside(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beside]:
    database = f"flagmart_{uuid.uuid4().hex[:8]}"
    for variable, value in environment(place.address, database).items():
        monkeypatch.setenv(variable, value)
    yield Beside(place, database)
    place.client.command(f"drop database if exists {database}_landing sync")


def test_a_landing_on_the_same_server_takes_the_rows_by_itself(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = beside.place
    make_events(place.client, place.database)
    place.run(
        "insert into {database}.events (uuid, distinct_id, env_id, event, properties, timestamp,"
        " _timestamp) select generateUUIDv4(), 'd', 'e', 'FlagValue', hex(randomString(300)),"
        " now64(3) - number * 60, 1766000000 from numbers(20000)"
    )
    with network.to(f"http://{place.address.host}:{place.address.port}") as way:
        port = way.url.rpartition(":")[2]
        monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_PORT", port)
        monkeypatch.setenv("FLAGMART_CLICKHOUSE_PORT", port)
        # of 12 MB of events
        way.answers = 3_000_000
        assert place.ingest().total("landed") == 20_000
        assert way.answers > 0
        assert len(way.carried) < 1_000_000
        put(place, *[now()] * 10)
        report = place.ingest()
        assert (report.total("landed"), report.looked_at < 2_000) == (10, True)
        report = place.ingest(sweep=True)
        assert (report.looked_at, report.landed_before, report.total("read")) == (20_010, 20_010, 0)
    assert beside.ids() == place.source_ids()
    monkeypatch.delenv("DBT_TARGET")
    other = replace(place, data=place.data.parent / "on_duckdb")
    monkeypatch.setenv("FLAGMART_FEATBIT_CLICKHOUSE_PORT", str(place.address.port))
    other.ingest()
    names = (*FACTS, "source", "source_ref", "source_ingested_at")
    there = sorted(tuple(row[name] for name in names) for row in rows(other.data))
    assert beside.rows() == there


def test_what_is_no_event_and_what_v6_has_come_by_the_common_way(beside: Beside) -> None:
    place = beside.place
    make_events(place.client, place.database)
    make_v6(place.client, place.database)
    good = put(place, now(), now())
    place.run(
        "insert into {database}.events (uuid, env_id, event, properties, timestamp)"
        " values (generateUUIDv4(), 'e', 'FlagValue', unhex('7b80ff7d'), '2026-05-01')"
    )
    place.run(
        "insert into {database}.experiment_exposure_events (id, env_id, flag_key, user_key,"
        f" variation_id, exposed_at) values (generateUUIDv4(), '{ENV}', 'f', 'u', 'v', now())"
    )
    report = place.ingest()
    assert (report.total("landed"), report.total("unreadable")) == (3, 1)
    assert beside.ids() == sorted(good + place.source_ids("experiment_exposure_events"))
    put(place, datetime(2026, 5, 1, tzinfo=UTC))
    report = place.ingest()
    assert (report.total("landed"), report.total("unreadable")) == (1, 0)
    report = place.ingest(sweep=True)
    assert (report.total("read"), report.looked_at) == (0, 5)


class Exporter:
    """The loop of today's sample exporter: what it has seen so far."""

    def __init__(self, place: Place, page: int) -> None:
        self._place = place
        self._page = page
        self._after = "2000-01-01 00:00:00.000"
        self.seen: set[str] = set()

    def step(self) -> bool:
        """Take a page; whether there was one."""
        page = rows_of(
            self._place.client,
            f"select toString(uuid), toString(timestamp) from {self._place.database}.events"
            f" where timestamp > '{self._after}' order by timestamp limit {self._page}",
        )
        self.seen |= {event_id for event_id, _ in page}
        if page:
            self._after = page[-1][1][: len(self._after)]
        return bool(page)


@pytest.mark.parametrize("landing", ["duckdb", "the same server"])
def test_killed_again_and_again_it_loses_nothing_where_the_sample_exporter_does(
    place: Place,
    landing: str,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    beside: Beside | None = None
    if landing != "duckdb":
        beside = request.getfixturevalue("beside")
    chance = random.Random(5)
    make_events(place.client, place.database)
    exporter = Exporter(place, page=50)
    with client_of(place.address) as writer:

        def arrive(moments: Sequence[datetime]) -> None:
            some = list(zip(new_ids(len(moments)), moments, strict=True))
            if chance.random() < 0.2:  # as Kafka does
                some += some[:3]
            insert(writer, place.database, some, ENV)
            if chance.random() < 0.1:
                writer.command(f"optimize table {place.database}.events final")

        killed = 0
        seconds = 10 if beside is None else 5
        for killed in killed_ingests("clickhouse", place.data, arrive, chance, seconds):  # noqa: B007
            while beside is None and exporter.step():
                pass
    # no sweep is needed: neither a late row nor one of 1970 is missed
    report = place.ingest()
    landed = place.landed_ids() if beside is None else beside.ids()
    stored = place.source_ids()
    assert landed == stored
    report = place.ingest(sweep=True)
    assert (report.total("landed"), report.total("conflicting_repeats")) == (0, 0)
    told = f"{len(stored):,} events, {killed} kills, landing on {landing}: ingest lost 0"
    if beside is None:
        while exporter.step():
            pass
        lost = len(set(stored) - exporter.seen)
        assert lost > 0
        told += f", the sample exporter's loop lost {lost:,}"
    with capsys.disabled():
        print(f"\n{told}")


def test_reconcile_counts_the_store_beside_the_landing_and_mends_it(place: Place) -> None:
    make_events(place.client, place.database)
    make_v6(place.client, place.database)
    day = datetime(2026, 5, 1, 12, tzinfo=UTC)
    put(place, *[day] * 3, datetime(1970, 1, 1, tzinfo=UTC))
    twice = [(event_id, day) for event_id in new_ids(2)]
    for _ in range(2):
        insert(place.client, place.database, twice, ENV)
    put(place, *[datetime(1969, 12, 31, 23, tzinfo=UTC)] * 2, env="other")
    place.data.mkdir()
    place.run(
        "insert into {database}.experiment_metric_events (id, env_id, user_key, event_name,"
        " event_type, numeric_value, occurred_at) select generateUUIDv4(number),"
        f" '{ENV}', 'u', 'buy', ['Click', 'Other'][number + 1], 1, '2026-05-01' from numbers(2)"
    )

    def reconcile(*arguments: str) -> tuple[int, dict[tuple[str, str, str], tuple[int, int]]]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "flagmart", "reconcile", "--source", "clickhouse"),
                *("--output", "json", "--project-dir", str(place.data), *arguments),
            ],
            env=os.environ | {"FLAGMART_DATA": str(place.data)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 3), done.stderr
        lines = json.loads(done.stdout)["lines"]
        return done.returncode, {
            (line["env_id"], line["day"], line["event"]): (line["stored"], line["landed"])
            for line in lines
        }

    code, counted = reconcile()
    assert code == 3
    assert counted == {
        (ENV, "1970-01-01", "FlagValue"): (1, 0),
        (ENV, "2026-05-01", "FlagValue"): (5, 0),
        (ENV, "2026-05-01", "Click"): (1, 0),
        (ENV, "2026-05-01", "CustomEvent"): (1, 0),
        ("other", "1969-12-31", "FlagValue"): (2, 0),
    }
    scope = ("--env", ENV, "--since", "2026-05-01", "--until", "2026-05-02")
    assert sum(stored for stored, _ in reconcile(*scope)[1].values()) == 7
    code, counted = reconcile("--repair")
    assert code == 0
    assert all(stored == landed for stored, landed in counted.values())
    assert place.landed_ids() == sorted(
        place.source_ids()
        + [
            str(row[0])
            for row in rows_of(
                place.client, f"select id from {place.database}.experiment_metric_events"
            )
        ]
    )
