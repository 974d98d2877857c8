"""FeatBit's PostgreSQL into the landing, from a real server: what lands, fails and is killed."""

import json
import os
import random
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flagmart.errors import FlagmartError, UsageError
from flagmart.ingest import files
from flagmart.ingest.postgres_store import connected
from flagmart.ingest.stores import Bounds, StoreReport, ingest
from flagmart.settings import DataFolder
from support import network
from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment
from support.clickhouse_target import rows as clickhouse_rows
from support.command import START
from support.event_stream import both_halves_are_staged_alike, stream, under_other_ids
from support.featbit_postgres import insert, load, make_events, make_v6
from support.landed import ENV, ids, rejects, rows, runs
from support.living_store import killed_ingests
from support.postgres_server import PASSWORD, PostgresServer, binaries, postgres_server

FACTS = ("event_id", "env_id", "event", "distinct_id", "occurred_at", "source_ingested_at")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        yield started


@dataclass
class Place:
    """A database of the test's own, and a data folder."""

    database: PostgresServer
    data: Path

    def ingest(self, *, sweep: bool = False, bounds: Bounds | None = None) -> StoreReport:
        with connected() as store:
            return ingest(store, DataFolder(self.data), bounds or Bounds(), sweep=sweep)

    def source_ids(self, table: str = "events") -> list[str]:
        return sorted(row[0] for row in self.database.rows(f"select id::text from {table}"))

    def landed_ids(self) -> list[str]:
        return sorted(ids(self.data))

    def command(self, *arguments: str, url: str | None = None) -> subprocess.CompletedProcess[str]:
        given = {
            "FLAGMART_DATA": str(self.data),
            "FLAGMART_POSTGRES_URL": url or self.database.url,
        }
        return subprocess.run(
            [sys.executable, "-m", "flagmart", "ingest", "postgres", *arguments],
            env=os.environ | given,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def place(
    server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    name = f"featbit {uuid.uuid4().hex[:8]}"
    database = server.made(name)
    monkeypatch.setenv("FLAGMART_POSTGRES_URL", database.url)
    yield Place(database, tmp_path / "data")
    server.run(f'drop database "{name}" with (force)')


def new_ids(count: int) -> list[str]:
    return [str(uuid.uuid4()) for _ in range(count)]


def now() -> datetime:
    return datetime.now(UTC)


def dumped(database: PostgresServer, table: str, to: Path) -> Path:
    """The table as PostgreSQL's own COPY writes it."""
    to.write_bytes(
        subprocess.run(
            [binaries() / "psql", "-c", f"copy {table} to stdout (format csv, header)"],
            env={
                "PGHOST": database.host,
                "PGPORT": str(database.port),
                "PGUSER": database.user,
                "PGPASSWORD": database.password,
                "PGDATABASE": database.database,
                "PGTZ": "UTC",
            },
            check=True,
            capture_output=True,
        ).stdout
    )
    return to


def by_id(data: Path, *more: str) -> dict[str, tuple[Any, ...]]:
    return {row["event_id"]: tuple(row[name] for name in (*FACTS, *more)) for row in rows(data)}


def test_what_lands_is_what_lands_from_files(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", START.isoformat())
    path = stream(tmp_path, 3_000)
    make_events(place.database)
    with path.open() as lines:
        load(place.database, lines)
    report = place.ingest()
    assert report.is_complete
    assert report.total("landed") == 3_004
    assert {row["source"] for row in rows(place.data)} == {"postgres"}
    assert {row["source_ref"] for row in rows(place.data)} == {"events"}
    from_dump = tmp_path / "from_dump"
    files.ingest([dumped(place.database, "events", tmp_path / "e.csv")], DataFolder(from_dump))
    assert by_id(place.data, "properties") == by_id(from_dump, "properties")

    files.ingest([under_other_ids(path)], DataFolder(place.data))
    both_halves_are_staged_alike(place.data)


@pytest.mark.parametrize("properties", ["jsonb", "text", None])
def test_v6_lands_as_from_a_dump_whatever_its_draft(
    place: Place, tmp_path: Path, properties: str | None
) -> None:
    make_v6(place.database)
    moment = "'2026-10-02 07:51:24.326+00'"
    place.database.run(
        f"insert into experiment_exposure_events values (gen_random_uuid(), '{ENV}', 'f',"
        f" 'ü\t1', 'v', null, {moment}, '2026-10-02 07:51:26.004512+00')",
        f"insert into experiment_metric_events values (gen_random_uuid(), '{ENV}', 'buy', 'Click',"
        f" 'u', 0.1, 'web', {moment}, {moment}), (gen_random_uuid(), '{ENV}', 'buy', 'PageView',"
        f" 'u', 1e20, null, {moment}, {moment}), (gen_random_uuid(), '{ENV}', 'buy', 'Click',"
        f" 'u', 'nan', null, {moment}, {moment})",
    )
    tables = ["experiment_exposure_events", "experiment_metric_events"]
    if properties is not None:
        own = '{"tag_1": "1E+20", "zone": {"b": 1e20, "a": 0.10}, "userName": "n"}'
        for table in tables:
            new = table.replace("experiment", "release_decision")
            place.database.run(
                f"alter table {table} rename to {new}",
                f"alter table {new} add user_name varchar(256) default 'name'",
                f"alter table {new} add properties {properties} default '{own}'",
            )
        tables = [table.replace("experiment", "release_decision") for table in tables]
    assert place.ingest().total("landed") == 4
    dumps = [dumped(place.database, table, tmp_path / f"{table}.csv") for table in tables]
    other = tmp_path / "other"
    files.ingest(dumps, DataFolder(other))
    assert by_id(place.data, "properties") == by_id(other, "properties")
    assert {row["source_ingested_at"] for row in rows(place.data)} != {None}


def test_after_the_migration_both_the_old_table_and_the_new_ones_are_read(place: Place) -> None:
    make_events(place.database)
    insert(place.database, [(event_id, now()) for event_id in new_ids(3)], ENV)
    place.ingest()
    place.database.run("alter table events rename to events_legacy")
    make_v6(place.database)
    place.database.run(
        f"insert into experiment_exposure_events values (gen_random_uuid(), '{ENV}', 'f', 'u',"
        " 'v', 'true', now(), now())"
    )
    report = place.ingest()
    assert (report.total("read"), report.total("landed"), report.landed_before) == (1, 1, 3)


def test_late_rows_are_found_within_the_look_back_and_the_others_by_a_sweep(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # however small the table
    monkeypatch.setattr("flagmart.ingest.postgres_store._MOST_BY_INDEX", 1_000)
    make_events(place.database)
    insert(place.database, [(event_id, now()) for event_id in new_ids(100)], ENV)
    place.ingest()
    late, later, oldest, future = new_ids(4)
    insert(
        place.database,
        [
            (late, now() - timedelta(hours=2)),
            (later, now() - timedelta(days=3)),
            (oldest, datetime(1970, 1, 1, tzinfo=UTC)),
            (future, now() + timedelta(days=400)),
        ],
        ENV,
    )
    # without an environment the index is no way to it
    place.database.run(
        "insert into events values (gen_random_uuid(), 'd', null, null, null, now()::timestamp)"
    )
    before = set(ids(place.data))
    place.ingest()
    assert set(ids(place.data)) - before == {late, future}
    monkeypatch.setenv("FLAGMART_LOOK_BACK_HOURS", "100")
    place.ingest()
    assert set(ids(place.data)) - before == {late, future, later}
    report = place.ingest(sweep=True)
    assert report.total("landed") == 2
    assert report.landed_before == 103
    assert place.landed_ids() == place.source_ids()


def test_v6_finds_late_rows_at_once_by_its_own_arrival_time(place: Place) -> None:
    make_v6(place.database)
    row = f"(gen_random_uuid(), '{ENV}', 'f', 'u', 'v', 'true', timestamptz '1970-01-01 00:00+00', "
    table = "insert into experiment_exposure_events values "
    place.database.run(table + row + "now() - interval '3 hours')")
    place.ingest()
    # committed later than the run began, with a time of before
    place.database.run(table + row + "now() - interval '30 minutes')", table + row + "now())")
    report = place.ingest()
    assert (report.looked_at, report.total("landed")) == (2, 2)
    assert place.landed_ids() == place.source_ids("experiment_exposure_events")


def test_only_what_is_within_the_bounds_is_read(place: Place) -> None:
    make_events(place.database)
    moments = [datetime(2026, 5, 1, hour, tzinfo=UTC) for hour in range(6)]
    here = list(zip(new_ids(6), moments, strict=True))
    insert(place.database, here, ENV)
    insert(place.database, [(new_ids(1)[0], moments[2])], "elsewhere")
    bounds = Bounds.parsed([ENV], "2026-05-01T02:00", "2026-05-01T04:00Z")
    report = place.ingest(bounds=bounds)
    assert sorted(ids(place.data)) == sorted(event_id for event_id, _ in here[2:4])
    assert not (place.data / "checkpoints").exists()
    assert place.ingest(bounds=bounds).looked_at == 2
    assert report.total("read") == 2


HOSTILE = (
    "x'; drop table events; --",
    '"] \\ } {',
    "$1",
    "\u0027\uff07 or 1=1",
    "',true); drop table events; --",
)


def test_an_environment_is_a_value_whatever_it_says(place: Place) -> None:
    make_events(place.database)
    insert(place.database, [(event_id, now()) for event_id in new_ids(2)], ENV)
    for number, env in enumerate(HOSTILE, 1):
        insert(place.database, [(new_ids(1)[0], now())], env)
        assert place.ingest(bounds=Bounds((env,))).total("landed") == 1
        assert {row["env_id"] for row in rows(place.data)} == set(HOSTILE[:number])
    assert len(place.source_ids()) == 2 + len(HOSTILE)


def test_a_table_is_read_in_ranges_and_what_is_new_by_the_index(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flagmart.ingest.postgres_store.BLOCKS", 50)
    monkeypatch.setattr("flagmart.ingest.postgres_store._WINDOW_ROWS", 20)
    make_events(place.database)
    place.database.run(
        "insert into events select gen_random_uuid(), 'd' || i % 7, 'e' || i % 2, 'FlagValue',"
        " jsonb_build_object('i', i), now() at time zone 'UTC' - i * interval '1 minute'"
        " from generate_series(1, 20000) as i",
        "analyze events",
    )
    read_at = (now() - timedelta(hours=1) + timedelta(hours=24)).replace(tzinfo=None).isoformat()
    with connected() as store:
        whole = store.plan(Bounds(), {}).chunks
        newest = store.plan(Bounds(), {"events": read_at}).chunks
        assert sum(store.ids(chunk).num_rows for chunk in whole) == 20_000
        found = [store.ids(chunk).num_rows for chunk in newest]
        assert found == [chunk.rows for chunk in newest]
    assert len(whole) > 3
    assert len(newest) == 3
    assert sum(found) == 59

    def explained(chunk: Any) -> str:
        with place.database.connected() as cursor:
            for name, value in chunk.key.values.items():
                cursor.execute("select set_config($1, $2, false)", (f"flagmart.{name}", value))
                cursor.fetchall()
            cursor.adbc_statement.set_options(**{"adbc.postgresql.use_copy": "false"})
            cursor.execute("explain " + chunk.key.select("count(*)"))
            return "\n".join(line for (line,) in cursor.fetchall())

    assert "Tid Range Scan" in explained(whole[1])
    assert "idx_events_combined" in explained(newest[1])
    assert "Seq Scan" not in explained(newest[1])


def test_a_table_without_the_index_is_read_in_ranges(place: Place) -> None:
    make_events(place.database)
    place.database.run("drop index idx_events_combined")
    insert(place.database, [(event_id, now()) for event_id in new_ids(5)], ENV)
    place.ingest()
    (recent,) = new_ids(1)
    insert(place.database, [(recent, now())], ENV)
    assert place.ingest().total("landed") == 1
    assert recent in ids(place.data)


def test_a_clock_beyond_all_calendars_goes_to_the_rejects_once(place: Place) -> None:
    make_events(place.database)
    place.database.run(
        "insert into events values"
        f" ('{uuid.UUID(int=1)}', 'd', 'e', 'FlagValue', '{{}}', 'infinity'),"
        f" ('{uuid.UUID(int=2)}', 'd', 'e', 'FlagValue', '{{}}', '20000-01-01'),"
        f" ('{uuid.UUID(int=3)}', 'd', 'e', 'FlagValue', '{{}}', '0044-03-15 BC'),"
        f" ('{uuid.UUID(int=4)}', 'd', 'e', 'FlagValue', '{{}}', '9999-12-31 23:59:59.999999')"
    )
    done = place.command()
    assert done.returncode == 3
    assert "events: 3 rows unreadable: 3 timestamp outside the years 0001 to 9999" in done.stderr
    assert rejects(place.data) == [(None, "timestamp outside the years 0001 to 9999")] * 3
    assert ids(place.data) == [str(uuid.UUID(int=4))]
    assert place.command("--sweep", "--detailed-exitcode").returncode == 4
    assert len(rejects(place.data)) == 3


def test_the_command_says_what_it_would_do_and_did(place: Place) -> None:
    make_events(place.database)
    insert(place.database, [(event_id, now()) for event_id in new_ids(4)], ENV)
    place.database.run("analyze events")
    label = f"{place.database.host}:{place.database.port}/{place.database.database}"
    planned = place.command("--dry-run", "--output", "json")
    assert json.loads(planned.stdout) == {
        "store": label,
        "dry_run": True,
        "tables": [{"table": "events", "chunks": 1, "estimated_rows": 4}],
        "estimated_rows": 4,
    }
    assert "about 4 rows" in planned.stderr
    assert not place.data.exists()

    done = place.command("--output", "json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["run_ids"] == [run.run_id for run in runs(place.data)]
    assert [document[name] for name in ("sweep", "read", "landed", "unreadable")] == [
        True,
        4,
        4,
        0,
    ]
    assert f"{label}: 4 rows read, 4 landed" in done.stderr
    assert place.command("--env", " ").returncode == 2
    (checkpoint,) = (place.data / "checkpoints").iterdir()
    for text in (done.stdout, done.stderr, checkpoint.read_text(), checkpoint.name):
        assert PASSWORD not in text
        assert place.database.url.partition("@")[0].rpartition(":")[2] not in text


def test_libpqs_own_variables_name_the_server(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(place.database)
    database = place.database
    secrets = tmp_path / "pgpass"
    password = database.password.replace("\\", "\\\\").replace(":", "\\:")
    secrets.write_text(f"*:*:*:{database.user}:{password}\n")
    secrets.chmod(0o600)
    service = tmp_path / "services.conf"
    service.write_text(
        f"[featbit]\nhost={database.host}\nport={database.port}\nuser={database.user}\n"
        f"dbname={database.database}\n"
    )
    monkeypatch.delenv("FLAGMART_POSTGRES_URL")
    for name in (name for name in os.environ if name.startswith("PG")):
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match="no PostgreSQL is named; set FLAGMART_POSTGRES_URL"):
        place.ingest()
    monkeypatch.setenv("PGPASSFILE", str(secrets))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGHOST", database.host)
        patch.setenv("PGPORT", str(database.port))
        patch.setenv("PGUSER", database.user)
        patch.setenv("PGDATABASE", database.database)
        assert place.ingest().label == f"{database.host}:{database.port}/{database.database}"
    monkeypatch.setenv("PGSERVICE", "featbit")
    monkeypatch.setenv("PGSERVICEFILE", str(service))
    assert place.ingest().label == f"service featbit/{database.database}"


def test_who_may_only_read_reads_and_who_may_not_is_told_so(
    place: Place, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(place.database)
    insert(place.database, [(event_id, now()) for event_id in new_ids(3)], ENV)
    user = f"reader_{uuid.uuid4().hex[:8]}"
    server.run(f"create role {user} login password 'only reads'")
    reader = PostgresServer(server.host, server.port, user, "only reads", place.database.database)
    monkeypatch.setenv("FLAGMART_POSTGRES_URL", reader.url)
    with pytest.raises(FlagmartError, match=r"no right to read table events; grant select on ev"):
        place.ingest()
    place.database.run(f"grant select on events to {user}")
    server.run(f"alter role {user} set default_transaction_read_only = on")
    assert place.ingest().total("landed") == 3
    place.database.run(f"drop owned by {user}", f"drop role {user}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("alter table events rename to other", "has no table events, and none of FeatBit v6"),
        (
            "alter table events rename properties to props",
            r"table events has no column properties; it has id, distinct_id, env_id, event, props",
        ),
        (
            "alter table events alter timestamp type text",
            "column timestamp of table events is text, not timestamp",
        ),
    ],
)
def test_a_schema_that_is_not_known_is_named(place: Place, change: str, message: str) -> None:
    make_events(place.database)
    place.database.run(change)
    with pytest.raises(FlagmartError, match=message) as caught:
        place.ingest()
    assert place.database.database in str(caught.value)


def test_a_connection_lost_on_the_way_is_one_line_and_nothing_lands(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_events(place.database)
    place.database.run(
        "insert into events select gen_random_uuid(), 'd', 'e', 'FlagValue',"
        " jsonb_build_object('i', i, 'text', repeat('x', 300)), now()::timestamp"
        " from generate_series(1, 5000) as i"
    )
    with network.to(f"http://{place.database.host}:{place.database.port}") as way:
        port = int(way.url.rpartition(":")[2])
        monkeypatch.setenv(
            "FLAGMART_POSTGRES_URL",
            place.database.url.replace(f":{place.database.port}/", f":{port}/"),
        )
        for answers in (100, 1_500, 20_000, 1_000_000):
            way.answers = answers
            with pytest.raises(FlagmartError, match="the connection was lost") as caught:
                place.ingest()
            assert "\n" not in str(caught.value)
            assert not runs(place.data)
            assert not (place.data / "checkpoints").exists()
        way.answers = None
        assert place.ingest().total("landed") == 5_000


def test_a_wrong_password_or_address_is_one_line_without_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"{place.database.host}:{place.database.port}"
    done = place.command(url=f"postgresql://featbit:not-this-one@{address}/postgres")
    assert done.returncode == 1
    assert done.stderr == f"flagmart: PostgreSQL at {address}: wrong user or password\n"

    def said(url: str, kind: type[FlagmartError] = FlagmartError) -> str:
        monkeypatch.setenv("FLAGMART_POSTGRES_URL", url)
        with pytest.raises(kind) as caught:
            place.ingest()
        assert "hid" not in str(caught.value)
        assert PASSWORD not in str(caught.value)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "a password is wanted" in said(f"postgresql://featbit@{address}/postgres")
    assert "connection refused" in said("postgresql://featbit:hidden@127.0.0.1:1/postgres")
    assert 'database "none" does not exist' in said(place.database.within("none").url)
    for url in ("postgresql://featbit:hid/den@x:1/d", "host=x password=hidden", "http://hidden"):
        assert "FLAGMART_POSTGRES_URL is no address" in said(url, UsageError)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("FLAGMART_LOOK_BACK_HOURS", "a day", "is no number of hours; write it like 24"),
        ("FLAGMART_SWEEP_EVERY", "0", "is no number of runs; write it like 100"),
    ],
)
def test_a_setting_that_is_none_is_wrong_usage(
    place: Place, monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    make_events(place.database)
    place.ingest()
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message):
        place.ingest()


class Exporter:
    """The loop of today's sample exporter: what it has seen so far."""

    def __init__(self, database: PostgresServer, page: int) -> None:
        self._database = database
        self._page = page
        self._after = "2000-01-01 00:00:00.000"
        self.seen: set[str] = set()

    def step(self) -> bool:
        """Take a page; whether there was one."""
        with self._database.connected() as cursor:
            cursor.execute(
                "select id::text, timestamp::text from events "
                f"where timestamp > '{self._after}' order by timestamp limit {self._page}"
            )
            page = cursor.fetchall()
        self.seen |= {event_id for event_id, _ in page}
        if page:
            moment = datetime.fromisoformat(page[-1][1])
            self._after = moment.isoformat(" ", timespec="milliseconds")
        return bool(page)


def test_killed_again_and_again_it_loses_nothing_where_the_sample_exporter_does(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    chance = random.Random(5)
    make_events(place.database)
    exporter = Exporter(place.database, page=50)

    def put(moments: Sequence[datetime]) -> None:
        insert(place.database, zip(new_ids(len(moments)), moments, strict=True), ENV)

    killed = 0
    for killed in killed_ingests("postgres", place.data, put, chance, 10):  # noqa: B007 - told below
        while exporter.step():
            pass
    before_the_sweep = len(set(ids(place.data)))
    place.ingest()
    place.ingest(sweep=True)
    while exporter.step():
        pass
    stored = place.source_ids()
    assert place.landed_ids() == stored
    lost = len(set(stored) - exporter.seen)
    assert lost > 0
    assert place.ingest(sweep=True).total("read") == 0
    with capsys.disabled():
        print(
            f"\n{len(stored):,} events, {killed} kills: ingest lost 0 ({before_the_sweep:,} had "
            f"landed before the last run and the sweep), the sample exporter's loop lost {lost:,}"
        )


def test_a_landing_on_clickhouse_takes_the_same_rows(
    place: Place,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_events(place.database)
    insert(place.database, [(event_id, now()) for event_id in new_ids(500)], ENV)
    place.ingest()
    with running(tmp_path_factory.mktemp("clickhouse")) as address, client_of(address) as client:
        for name, value in environment(address, "from_postgres").items():
            monkeypatch.setenv(name, value)
        other = Place(place.database, place.data.parent / "clickhouse")
        assert other.ingest().total("landed") == 500
        insert(place.database, [(event_id, now()) for event_id in new_ids(7)], ENV)
        report = other.ingest()
        assert (report.looked_at, report.landed_before, report.total("read")) == (507, 500, 7)
        assert other.ingest(sweep=True).total("read") == 0
        landed = clickhouse_rows(
            client,
            "select event_id, env_id, event, distinct_id, properties, source, source_ref "
            "from from_postgres_landing.landed_events",
        )
    assert sorted(row[0] for row in landed) == place.source_ids()
    names = ("event_id", "env_id", "event", "distinct_id", "properties", "source", "source_ref")
    assert {tuple(row[name] for name in names) for row in rows(place.data)} <= set(landed)
