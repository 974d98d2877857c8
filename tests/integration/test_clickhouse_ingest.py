"""The landing on ClickHouse: the same rows, counts and rejects as on DuckDB, whoever is killed."""

import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from flagmart import settings
from flagmart.errors import FlagmartError
from flagmart.ingest.files import ingest
from flagmart.ingest.landed_files import Report
from flagmart.settings import DataFolder
from flagmart.warehouse import clickhouse_landing, clickhouse_lock, landed_runs
from flagmart.warehouse.clickhouse_client import connected
from flagmart.warehouse.landing import SCHEMA, Rejects
from support.clickhouse.server import Address, running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import FLAGMART, START, flagmart
from support.dbt_project import run_dbt
from support.landed import event, lines, rejects
from support.landed import rows as parquet_rows
from support.landed import runs as parquet_runs


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running(tmp_path_factory.mktemp("clickhouse")) as found:
        yield found


@pytest.fixture(scope="module")
def client(address: Address) -> Iterator[Client]:
    with client_of(address) as opened:
        yield opened


@dataclass
class Place:
    """A landing of the test's own on the module's server."""

    data: Path
    env: dict[str, str]
    client: Client

    @property
    def database(self) -> str:
        return f"{self.env['FLAGMART_CLICKHOUSE_DATABASE']}_landing"

    def land(self, *texts: str) -> Report:
        """Land texts, a file each."""
        paths = []
        for number, text in enumerate(texts):
            paths.append(self.data.parent / f"{number}.jsonl")
            paths[-1].write_text(text)
        return ingest(paths, DataFolder(self.data))

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Rows of a statement, in which `landing` is the database."""
        return rows(self.client, statement.replace("landing.", f"`{self.database}`."))

    def ids(self) -> list[str]:
        """Ids of the complete runs."""
        return [
            event_id
            for (event_id,) in self.rows(
                "select event_id from landing.landed_events where ingested_at in "
                "(select ingested_at from landing.ingest_runs) order by event_id"
            )
        ]

    def tables(self) -> list[str]:
        return [
            table
            for (table,) in self.rows(
                f"select name from system.tables where database = '{self.database}' order by name"
            )
        ]

    def rejects(self) -> list[tuple[int, str]]:
        return [
            (fact["line"], fact["reason"])
            for path in sorted((self.data / "rejects" / self.database).glob("*.jsonl"))
            for fact in map(json.loads, path.read_text(encoding="utf-8").splitlines())
        ]

    def command(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [FLAGMART, *arguments],
            env={**os.environ, **self.env, "FLAGMART_DATA": str(self.data), **changes},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def place(
    address: Address, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Place:
    env = environment(address, f"t_{uuid.uuid4().hex}")
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return Place(tmp_path / "data", env, client)


def counts(report: Report) -> tuple[int, ...]:
    kinds = ("read", "landed", "equal_repeats", "conflicting_repeats", "unreadable")
    return tuple(report.result.total(name) for name in kinds)


EPOCH = datetime.fromtimestamp(0, UTC).replace(tzinfo=None)


def micros(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // timedelta(microseconds=1)


def test_both_engines_land_the_same(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAGMART_NOW", START.isoformat())
    source = place.data.parent / "events.jsonl"
    options = "--events 4000 --users 50 --flags 3 --days 9 --start 2026-01-01 --seed 3 --dirty 0.3"
    flagmart("generate", *options.split(), "--out", str(source), data=place.data)
    with source.open("a") as file:
        # far from what a clock can be, and at the ends of what ClickHouse can show
        file.write(lines(event(1, timestamp=-30_000_000_000_000_000), event(2, timestamp=None)))
    theirs = replace(place, data=place.data.parent / "duck")
    for _ in range(2):
        ours = ingest([source], DataFolder(place.data))
        monkeypatch.setenv("DBT_TARGET", "duckdb")
        duck = ingest([source], DataFolder(theirs.data))
        assert parquet_runs(theirs.data) == tuple(landed_runs(DataFolder(theirs.data)))
        monkeypatch.setenv("DBT_TARGET", "clickhouse")
        assert ours.result.inputs == duck.result.inputs
        assert ours.result.rejects
        assert duck.result.rejects
        assert ours.result.rejects.read_bytes() == duck.result.rejects.read_bytes()
    assert ours.result.total("landed") == 0
    assert ours.result.total("conflicting_repeats") > 0
    found = tuple(landed_runs(DataFolder(place.data)))
    assert found == tuple(replace(run, files=()) for run in parquet_runs(theirs.data))
    assert [run.run_id for run in found] == ["20260301T000000000000Z", "20260301T000000000001Z"]
    times = {"occurred_at", "ingested_at", "source_ingested_at"}
    selected = (f"toUnixTimestamp64Micro({c})" if c in times else c for c in SCHEMA.names)
    landed = place.rows(f"select {', '.join(selected)} from landing.landed_events")
    expected = [
        tuple(micros(row[name]) if name in times else row[name] for name in SCHEMA.names)
        for row in parquet_rows(theirs.data)
    ]
    assert sorted(landed, key=str) == sorted(expected, key=str)


def test_repeats_are_told_apart_as_on_duckdb(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    base = event(1)
    properties = json.loads(base["properties"])
    respelled = json.dumps(dict(reversed(properties.items())), indent=1)
    bare = event(5, timestamp=None)
    first = (lines(base, base, event(1, properties=respelled), event(1, env_id="other"), bare),)
    again = (
        lines(
            event(2),
            event(1, uuid=base["uuid"].upper()),
            event(1, timestamp=base["timestamp"] + 999),  # the same millisecond
            event(1, timestamp=base["timestamp"] + 1_000),
            event(1, timestamp=None),
            event(1, properties=respelled),
            event(1, properties="{"),
            event(1, properties='{"flagId": true}'),
            event(1, event="CustomEvent"),
            event(1, distinct_id="other"),
            bare,
            event(5),
        ),
        lines(event(2), event(2, env_id="x"), event(3), "{"),
    )
    one = place.land(*first)
    assert counts(one) == (5, 2, 2, 1, 0)
    two = place.land(*again)
    assert counts(two) == (16, 2, 5, 8, 1)
    kept = place.rejects()
    assert place.ids() == [event(n)["uuid"] for n in (1, 2, 3, 5)]
    monkeypatch.setenv("DBT_TARGET", "duckdb")
    duck = replace(place, data=place.data.parent / "duck")
    assert duck.land(*first).result.inputs == one.result.inputs
    assert duck.land(*again).result.inputs == two.result.inputs
    assert kept == rejects(duck.data)


def test_repeats_are_found_across_blocks(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_landing, "GROUP_ROWS", 10)
    monkeypatch.setattr("flagmart.ingest.batches.ROWS", 7)
    numbers = [n * 7 % 60 for n in range(150)]
    report = place.land(
        lines(*(event(n) for n in numbers[:90])), lines(*(event(n) for n in numbers[90:]))
    )
    assert counts(report) == (150, 60, 90, 0, 0)
    assert [c.landed for c in report.result.inputs] == [60, 0]
    kept = place.rows("select event_id, source_ref from landing.landed_events")
    assert {row[0]: int(row[1].rpartition(":")[2]) for row in kept} == {
        event(n)["uuid"]: place + 1 for place, n in enumerate(numbers[:60])
    }, "the first of each"
    assert counts(place.land(lines(*(event(n) for n in range(50, 75))))) == (25, 15, 10, 0, 0)


def test_what_was_asked_for_is_noted_as_it_was(place: Place) -> None:
    odd = place.data.parent / "it's \\n {a:String} ✓.jsonl"
    odd.write_text(lines(event(1)))
    ingest([odd], DataFolder(place.data))
    (run,) = landed_runs(DataFolder(place.data))
    assert run.inputs == (str(odd),)
    assert place.rows("select source_ref from landing.landed_events") == [(f"{odd}:1",)]


def test_a_run_that_reads_nothing_is_none(place: Place) -> None:
    assert landed_runs(DataFolder(place.data)) == ()
    assert place.land("", "\n").result.recorded is None
    assert landed_runs(DataFolder(place.data)) == ()
    assert place.tables() == ["ingest_runs", "landed_events"]


# where a run is killed: as it calls this, the n-th time
KILLS = [
    ("Client.insert", 2),
    ("_ClickHouseRun._find_kept", 1),
    ("_ClickHouseRun._keep_contradictions", 1),
    ("_ClickHouseRun._move", 1),
    ("Rejects.publish", 1),
    ("record", 1),
    ("_as_row", 1),
    ("_ClickHouseRun.close", 1),
]
KILLED_RUN = """
import os, signal, sys
from pathlib import Path
from flagmart.ingest import batches, files
from flagmart.settings import DataFolder
from flagmart.warehouse import clickhouse_landing
clickhouse_landing.GROUP_ROWS, batches.ROWS = 10, 7
target, times, data, path = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
owner = clickhouse_landing
*parts, last = target.split(".")
for part in parts:
    owner = getattr(owner, part)
original = getattr(owner, last)
def killing(*given, **named):
    global times
    times -= 1
    if times == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*given, **named)
setattr(owner, last, killing)
files.ingest([path], DataFolder(data))
"""


@pytest.mark.parametrize(("target", "times"), KILLS)
@pytest.mark.parametrize("clock", ["", START.isoformat()])
def test_a_killed_run_is_made_good_by_the_next(
    place: Place, target: str, times: int, clock: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", clock)
    path = place.data.parent / "x.jsonl"
    place.land(lines(*(event(n) for n in range(5))))
    path.write_text(lines("{", *(event(n) for n in range(100)), event(7, env_id="x")))
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_RUN, target, str(times), str(place.data), str(path)],
        capture_output=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    complete = target == "_ClickHouseRun.close"
    assert len(list(landed_runs(DataFolder(place.data)))) == (2 if complete else 1)
    assert len(place.ids()) == (100 if complete else 5), "readers never see a part"
    report = ingest([path], DataFolder(place.data))
    new = 0 if complete else 95
    assert counts(report) == (102, new, 100 - new, 1, 1)
    assert place.ids() == [event(n)["uuid"] for n in range(100)]
    assert place.rows("select count() from landing.landed_events") == [(100,)], "no leftovers"
    assert place.tables() == ["ingest_runs", "landed_events"]
    assert not list((place.data / "rejects").glob("*/.staging-*"))


def test_what_a_dead_client_still_has_running_is_stopped(place: Place, address: Address) -> None:
    place.land(lines(event(1)))
    zombie = f"""
        insert into `{place.database}`.`landed_events` (event_id, ingested_at)
        select toString(number), toDateTime64('2020-01-01', 6, 'UTC')
        from numbers(100) where sleepEachRow(0.2) = 0
        settings max_block_size = 1, min_insert_block_size_rows = 1, min_insert_block_size_bytes = 1
    """.strip()
    ended: list[str] = []

    def run() -> None:
        with client_of(address) as other:
            try:
                other.command(zombie)
            except DatabaseError as error:
                ended.append(str(error))

    thread = threading.Thread(target=run)
    thread.start()
    until = time.monotonic() + 20
    while place.rows("select count() from landing.landed_events") < [(3,)]:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert place.ids() == [event(1)["uuid"]]
    place.land(lines(event(2)))
    thread.join(2)
    assert not thread.is_alive()
    assert "QUERY_WAS_CANCELLED" in ended[0]
    assert place.rows("select count() from landing.landed_events") == [(2,)]


HOLDER = """
import sys, time
from pathlib import Path
from flagmart.settings import DataFolder
from flagmart.warehouse import open_run
with open_run(DataFolder(Path(sys.argv[1])), "file", ()):
    print("held", flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(place: Place) -> Iterator[subprocess.Popen[str]]:
    """A process that has a run open."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(place.data)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_one_writer_at_a_time(place: Place) -> None:
    with holder(place) as process:
        message = f"the landing {place.database} on ClickHouse .* in use by .*process {process.pid}"
        with pytest.raises(FlagmartError, match=message):
            place.land(lines(event(1)))
        process.kill()
        process.wait()
        assert counts(place.land(lines(event(1)))) == (1, 1, 0, 0, 0)
    assert counts(place.land(lines(event(1)))) == (1, 0, 1, 0, 0)


def test_many_writers_at_once_all_end_and_none_lands_twice(place: Place) -> None:
    path = place.data.parent / "x.jsonl"
    path.write_text(lines(*(event(n) for n in range(50))))
    command = [str(FLAGMART), "ingest", "files", str(path)]
    env = {**os.environ, "FLAGMART_DATA": str(place.data)}
    with holder(place) as process:
        process.kill()
        process.wait()
    # all of them find a dead holder
    started = [
        subprocess.Popen(command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL)
        for _ in range(4)
    ]
    ended = [(process.communicate()[1].decode(), process.returncode) for process in started]
    assert any(code == 0 for _, code in ended), ended
    assert all(code == 0 or "in use by" in said for said, code in ended), ended
    assert place.ids() == [event(n)["uuid"] for n in range(50)]
    assert place.tables() == ["ingest_runs", "landed_events"]


@pytest.mark.parametrize(("age", "free"), [(10, False), (600, True)])
def test_a_writer_elsewhere_lives_while_its_heart_beats(place: Place, age: int, free: bool) -> None:
    place.land(lines(event(1)))
    facts = json.dumps({"pid": 1, "host": "else'where", "command": "flagmart", "since": "x"})
    quoted = json.dumps({**json.loads(facts), "token": "t"}).replace("'", "\\'")
    lock = f"`{place.database}`.landing_lock"
    place.client.command(
        f"create table {lock} (token String, at DateTime default now()) "
        f"engine = MergeTree order by at comment '{quoted}'"
    )
    place.client.command(f"insert into {lock} select 't', now() - {age}")
    if free:
        place.land(lines(event(2)))
        assert "landing_lock" not in place.tables()
    else:
        with pytest.raises(FlagmartError, match=r"in use by flagmart .process 1 on else'where"):
            place.land(lines(event(2)))


def test_a_heart_beats_while_a_run_is_open(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clickhouse_lock, "BEAT_SECONDS", 0.05)
    server = settings.clickhouse()
    place.land(lines(event(1)))
    with connected(server) as opened, clickhouse_lock.held(opened, server.landing):
        until = time.monotonic() + 20
        while place.rows("select count() from landing.landing_lock") < [(3,)]:
            assert time.monotonic() < until
            time.sleep(0.02)
    assert "landing_lock" not in place.tables()


def test_a_lock_that_was_taken_for_a_dead_ones_is_given_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.land(lines(event(1)))
    publish = Rejects.publish
    lock, aside = (f"`{place.database}`.landing_lock{end}" for end in ("", "_aside"))

    def give_back() -> None:
        time.sleep(0.3)
        place.client.command(f"rename table {aside} to {lock}")

    def taken(of: Rejects) -> Path | None:
        place.client.command(f"rename table {lock} to {aside}")
        threading.Thread(target=give_back).start()
        return publish(of)

    monkeypatch.setattr(Rejects, "publish", taken)
    place.land(lines(event(2)))
    assert place.ids() == [event(n)["uuid"] for n in (1, 2)]
    assert "landing_lock" not in place.tables()


def test_who_lost_the_lock_lands_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.land(lines(event(1)))
    publish = Rejects.publish

    def robbed(of: Rejects) -> Path | None:
        place.client.command(f"drop table `{place.database}`.landing_lock sync")
        return publish(of)

    monkeypatch.setattr(Rejects, "publish", robbed)
    with pytest.raises(FlagmartError, match="another writer took its place; nothing landed"):
        place.land(lines(event(2)))
    assert place.ids() == [event(1)["uuid"]]


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": "wrong-secret"}, 1, "the password is wrong; set"),
        ({"FLAGMART_CLICKHOUSE_USER": "nobody"}, 1, "user 'nobody' or the password is wrong"),
        ({"FLAGMART_CLICKHOUSE_PORT": "1"}, 1, "ClickHouse at 127.0.0.1:1: "),
        ({"FLAGMART_CLICKHOUSE_PORT": "1"}, 1, "refused; see that it is running"),
        ({"FLAGMART_CLICKHOUSE_HOST": "nowhere.invalid"}, 1, "ClickHouse at nowhere.invalid:"),
        ({"FLAGMART_CLICKHOUSE_PORT": "x"}, 2, "FLAGMART_CLICKHOUSE_PORT='x' is no port"),
        ({"FLAGMART_CLICKHOUSE_SECURE": "yes"}, 2, "='yes' is neither true nor false"),
        ({"DBT_TARGET": "postgres"}, 2, "DBT_TARGET='postgres' is no engine; say duckdb or click"),
    ],
)
def test_what_is_wrong_is_named(
    place: Place, changes: dict[str, str], code: int, said: str
) -> None:
    path = place.data.parent / "x.jsonl"
    path.write_text(lines(event(1)))
    ran = place.command("ingest", "files", str(path), **changes)
    assert ran.returncode == code, ran.stderr
    assert said in ran.stderr
    assert len(ran.stderr.splitlines()) == 1, ran.stderr
    secrets = (place.env["DBT_ENV_SECRET_CLICKHOUSE_PASSWORD"], "wrong-secret")
    assert not any(secret in ran.stderr + ran.stdout for secret in secrets)


def test_a_password_shows_nowhere(place: Place) -> None:
    server = settings.clickhouse()
    assert server.password
    assert server.password not in f"{server} {server!r}"


def test_a_client_that_is_not_installed_is_named(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "clickhouse_connect", None)
    with pytest.raises(FlagmartError, match=r"client that is not installed; install it with .*pip"):
        place.land(lines(event(1)))


def test_duckdb_needs_no_clickhouse(place: Place) -> None:
    program = (
        "import sys; sys.modules['clickhouse_connect'] = None; "
        "from flagmart.cli import main; main()"
    )
    path = place.data.parent / "x.jsonl"
    path.write_text(lines(event(1)))
    ran = subprocess.run(
        [sys.executable, "-c", program, "ingest", "files", str(path)],
        env={**os.environ, "DBT_TARGET": "duckdb", "FLAGMART_DATA": str(place.data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


@contextmanager
def tls(folder: Path, port: int) -> Iterator[tuple[int, Path]]:
    """HTTPS in front of a port, and the certificate of the authority that vouches for it."""
    openssl = shutil.which("openssl")
    assert openssl, "this test makes certificates with openssl"
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", key, "-out", certificate),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        over = threading.Event()

        def copy(source: socket.socket, to: socket.socket) -> None:
            with suppress(OSError):
                while piece := source.recv(1 << 16):
                    to.sendall(piece)
            for end in (source, to):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

        def serve(raw: socket.socket) -> None:
            with (
                suppress(OSError),
                context.wrap_socket(raw, server_side=True) as theirs,
                socket.create_connection(("127.0.0.1", port)) as ours,
            ):
                back = threading.Thread(target=copy, args=(ours, theirs), daemon=True)
                back.start()
                copy(theirs, ours)
                back.join()

        def accept() -> None:
            while not over.is_set():
                with suppress(TimeoutError):
                    raw, _ = listener.accept()
                    raw.settimeout(None)
                    threading.Thread(target=serve, args=(raw,), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1], certificate
        finally:
            over.set()
            thread.join()


def test_https_is_verified_by_the_command_and_by_dbt(place: Place, address: Address) -> None:
    path = place.data.parent / "x.jsonl"
    path.write_text(lines(event(1)))
    with tls(place.data.parent, address.port) as (port, certificate):
        secure = {
            "FLAGMART_CLICKHOUSE_HOST": "localhost",
            "FLAGMART_CLICKHOUSE_PORT": str(port),
            "FLAGMART_CLICKHOUSE_SECURE": "true",
        }
        refused = place.command("ingest", "files", str(path), **secure)
        assert refused.returncode == 1
        assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
        known = {**secure, "SSL_CERT_FILE": str(certificate)}
        ran = place.command("ingest", "files", str(path), **known)
        assert ran.returncode == 0, ran.stderr
        assert place.ids() == [event(1)["uuid"]]
        other_name = {**known, "FLAGMART_CLICKHOUSE_HOST": "127.0.0.1"}
        assert place.command("ingest", "files", str(path), **other_name).returncode == 1
        for env, code in ((known, 0), (secure, 1)):
            ran = run_dbt("debug", "--connection", data=place.data, env={**place.env, **env})
            assert ran.returncode == code, ran.stdout
    assert address.password not in ran.stdout + ran.stderr
