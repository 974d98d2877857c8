"""The ClickHouse that other tests stand on: its HTTP outside, as unmodified clients meet it."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import re
import subprocess
import sys
import time
import zlib
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

import clickhouse_connect
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from urllib3.exceptions import ProtocolError

from support.clickhouse import server
from support.clickhouse.server import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Address, int]]:
    with server.started(tmp_path_factory.mktemp("clickhouse")) as (address, process):
        yield address, process.pid


@pytest.fixture(scope="module")
def address(front: tuple[Address, int]) -> Address:
    return front[0]


def connect(address: Address, **options: Any) -> Client:
    return clickhouse_connect.get_client(
        host=address.host,
        port=address.port,
        username=address.user,
        password=options.pop("password", address.password),
        **options,
    )


@pytest.fixture
def client(address: Address) -> Iterator[Client]:
    made = connect(address)
    yield made
    made.close()


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(
    address: Address,
    body: bytes | Iterator[bytes] = b"",
    method: str = "POST",
    path: str = "/",
    headers: dict[str, str] | None = None,
    **parameters: str | int,
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    token = b64encode(f"{address.user}:{address.password}".encode()).decode()
    try:
        connection.request(
            method,
            f"{path}?{urlencode(parameters)}" if parameters else path,
            body=body,
            headers={"Authorization": f"Basic {token}", **(headers or {})},
            encode_chunked=not isinstance(body, bytes),
        )
        got = connection.getresponse()
        return Answer(got.status, dict(got.headers.items()), got.read())
    finally:
        connection.close()


def resident_bytes(pid: int, name: str) -> int:
    """Memory of a process, by its name in /proc: VmRSS now, VmHWM the most it ever was."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(name)


def test_ping_needs_no_password(address: Address, client: Client) -> None:
    assert client.ping()
    answer = ask(address, method="GET", path="/ping", headers={"Authorization": "Basic no"})
    assert (answer.status, answer.body) == (200, b"Ok.\n")


def test_types_and_parameters(client: Client) -> None:
    values = {
        "text": "it's\ta \\ 'tab'\n",
        "id": UUID("00112233-4455-6677-8899-aabbccddeeff"),
        "at": datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC),
        "amount": Decimal("123456789.000001"),
        "missing": None,
        "list": ["x", "y'z"],
    }
    result = client.query(
        """
        select {text:String}, {id:UUID}, {at:DateTime64(6, 'UTC')}, {amount:Decimal(24, 6)},
            {missing:Nullable(Int32)}, {list:Array(String)}, map('a', '1', 'b', '')
        """,
        parameters=values,
        tz_mode="aware",
    )
    assert list(result.result_rows[0]) == [*values.values(), {"a": "1", "b": ""}]
    assert [kind.name for kind in result.column_types] == [
        "String",
        "UUID",
        "DateTime64(6, 'UTC')",
        "Decimal(24, 6)",
        "Nullable(Int32)",
        "Array(String)",
        "Map(String, String)",
    ]
    # More than fits into an address goes as a form.
    long = "ü" * 20_000
    assert client.query("select {text:String}", parameters={"text": long}).result_rows == [(long,)]


@pytest.mark.parametrize("format_name", ["JSON", "CSVWithNames", "TabSeparated", "Parquet"])
def test_a_format_may_be_named_anywhere(address: Address, format_name: str) -> None:
    named = ask(address, f"select 1 as a format {format_name} settings max_threads = 1".encode())
    chosen = ask(
        address, b"select 1 as a settings max_threads = 1 -- x", default_format=format_name
    )
    for answer in (named, chosen):
        assert answer.status == 200, answer.body
        assert answer.headers["X-ClickHouse-Format"] == format_name
    if format_name == "JSON":
        assert json.loads(named.body)["data"] == json.loads(chosen.body)["data"] == [{"a": 1}]
    else:
        assert named.body == chosen.body != b""


def in_and_outside(session: str) -> list[dict[str, Any]]:
    return [{}, {"session_id": session}]


def test_settings_last_as_long_as_their_request(address: Address) -> None:
    sql = b"select value, changed from system.settings where name = 'max_block_size'"
    before = ask(address, sql).body
    for extra in in_and_outside("settings"):
        assert ask(address, sql, max_block_size=77, **extra).body == b"77\t1\n"
        assert ask(address, b"select nope", max_block_size=77, **extra).status == 404
        assert ask(address, sql, **extra).body == before
    # What a session sets itself outlives a request's own value; outside it changes nothing.
    ask(address, b"set max_block_size = 55", session_id="settings", max_block_size=66)
    assert ask(address, sql, session_id="settings", max_block_size=77).body == b"77\t1\n"
    assert ask(address, sql, session_id="settings").body == b"55\t1\n"
    ask(address, b"set max_block_size = 44")
    assert ask(address, sql).body == before
    # What cannot be taken back ends with its connection.
    for extra in in_and_outside("read only"):
        for _ in range(2):
            assert ask(address, sql, max_block_size=77, readonly=2, **extra).body == b"77\t1\n"
    unknown = ask(address, sql, no_such_setting=1, max_block_size=77)
    assert unknown.headers["X-ClickHouse-Exception-Code"] == "115"
    assert ask(address, sql).body == before


def test_a_database_lasts_as_long_as_its_request(address: Address) -> None:
    sql = b"select currentDatabase()"
    assert ask(address, b"create database other").status == 200
    for extra in in_and_outside("database"):
        assert ask(address, sql, database="other", **extra).body == b"other\n"
        assert ask(address, sql, **extra).body == b"default\n"
    ask(address, b"use other", session_id="database")
    assert ask(address, sql, session_id="database", database="system").body == b"system\n"
    assert ask(address, sql, session_id="database").body == b"other\n"
    assert ask(address, b"drop database other", database="other").status == 200
    assert ask(address, sql).body == b"default\n"
    gone = ask(address, sql, database="other")
    assert (gone.status, gone.headers["X-ClickHouse-Exception-Code"]) == (404, "81")


def test_temporary_tables_belong_to_their_session(address: Address) -> None:
    made = ask(address, b"create temporary table mine (a Int32)", session_id="a")
    assert made.status == 200, made.body
    ask(address, b"insert into mine values (1), (2)", session_id="a")
    assert ask(address, b"select sum(a) from mine", session_id="a").body == b"3\n"
    ask(address, b"create temporary table nobodys (a Int32)")
    for extra in in_and_outside("b"):
        for sql in (b"select * from mine", b"select * from nobodys"):
            assert ask(address, sql, **extra).headers["X-ClickHouse-Exception-Code"] == "60"


def test_a_session_takes_one_request_at_a_time_and_is_forgotten(address: Address) -> None:
    with ThreadPoolExecutor(1) as pool:
        busy = pool.submit(ask, address, b"select sleep(1)", session_id="busy")
        asleep = b"select count() from system.processes where query like 'select sleep%'"
        while ask(address, asleep).body != b"1\n":
            assert not busy.done()
        refused = ask(address, b"select 1", session_id="busy")
        assert refused.headers["X-ClickHouse-Exception-Code"] == "373"
        assert busy.result().status == 200
    assert ask(address, b"select 1", session_id="busy", session_check=1).status == 200
    ask(address, b"select 1", session_id="short", session_timeout=0)
    time.sleep(0.01)
    forgotten = ask(address, b"select 1", session_id="short", session_check=1)
    assert forgotten.headers["X-ClickHouse-Exception-Code"] == "372"


def test_errors_carry_their_code(address: Address, client: Client) -> None:
    with pytest.raises(DatabaseError) as unknown:
        client.query("select nope")
    assert unknown.value.code == 47
    with pytest.raises(DatabaseError) as syntax:
        client.command("selec 1")
    assert syntax.value.code == 62
    with pytest.raises(DatabaseError) as denied:
        connect(address, password="wrong")
    assert denied.value.code == 516
    answers = {
        62: ask(address, b"select 1; select 2"),
        164: ask(address, method="GET", query="create table x (a Int8) order by a"),
        48: ask(address, b"select 1", decompress=1),
        271: ask(address, b"no gzip", headers={"Content-Encoding": "gzip"}),
        374: ask(address, b"select 1", session_id="a", session_timeout=99999),
    }
    for code, answer in answers.items():
        assert answer.headers["X-ClickHouse-Exception-Code"] == str(code), answer
        assert answer.status >= 400
    by_header = {"X-ClickHouse-User": address.user, "X-ClickHouse-Key": address.password}
    for headers, status in ((by_header, 200), (by_header | {"X-ClickHouse-Key": "no"}, 403)):
        answer = ask(address, b"select 1", headers={"Authorization": "", **headers})
        assert answer.status == status


def test_a_late_error_breaks_the_answer_off(address: Address, client: Client) -> None:
    sql = "select number, throwIf(number = 9_000_000) as bad from numbers(10_000_000)"
    # The engine ends an Arrow stream well even then: only the missing last bytes tell.
    with client.query_arrow_stream(sql) as batches, pytest.raises(ProtocolError):
        for _ in batches:
            pass
    with pytest.raises(http.client.IncompleteRead):
        ask(address, f"{sql} format ArrowStream".encode())
    # A client that waits for the end gets the error itself.
    waited = ask(address, sql.encode(), wait_end_of_query=1)
    assert waited.headers["X-ClickHouse-Exception-Code"] == "395"


@pytest.mark.parametrize("coding", [False, "lz4", "zstd", "gzip"])
def test_native_inserts_in_every_coding(address: Address, coding: bool | str) -> None:
    rows = [(number, None if number % 3 else str(number)) for number in range(20_000)]
    client = connect(address, compress=coding)
    client.command("create or replace table natives (a Int64, b Nullable(String)) order by a")
    summary = client.insert("natives", rows, column_names=["a", "b"])
    assert summary.written_rows == len(rows)
    assert client.query("select * from natives order by a").result_rows == rows
    client.close()


def test_arrow_goes_in_and_comes_out(client: Client) -> None:
    table = pa.table(
        {
            "at": pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
            "tags": pa.array([[("a", "1")]], pa.map_(pa.string(), pa.string())),
            "amount": pa.array([Decimal("1.500000")], pa.decimal128(24, 6)),
        }
    )
    client.command(
        """
        create table arrows (
            at DateTime64(6, 'UTC'), tags Map(String, String), amount Decimal(24, 6)
        ) order by at
        """
    )
    assert client.insert_arrow("arrows", table).written_rows == 1
    got = client.query_arrow("select * from arrows", use_strings=True)
    assert got.to_pylist() == table.to_pylist()


def encoded(content: bytes, coding: str) -> bytes:
    if coding == "deflate":
        return zlib.compress(content)
    if coding == "gzip":
        return gzip.compress(content)
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, coding) as stream:
        stream.write(content)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("coding", ["gzip", "deflate", "lz4", "zstd"])
def test_bodies_and_answers_in_every_coding(address: Address, coding: str) -> None:
    ask(address, b"create or replace table texts (a Int64, b String) order by a")
    text = b"insert into texts (a, b) format CSV\n" + b"".join(
        b"%d,%d\n" % (number, number) for number in range(100_000)
    )
    body = encoded(text, coding)
    # In two frames, one after the other, as clients that compress block by block send it.
    halves = encoded(text[:1000], coding) + encoded(text[1000:], coding)
    sent: list[bytes | Iterator[bytes]] = [
        body,
        (body[at : at + 777] for at in range(0, len(body), 777)),
    ]
    if coding != "deflate":  # which has no frames
        sent.append(halves)
    for content in sent:
        answer = ask(address, content, headers={"Content-Encoding": coding})
        assert answer.status == 200, answer.body
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "100000"
    answer = ask(
        address, b"select a, b from texts order by a", headers={"Accept-Encoding": f"{coding}, x"}
    )
    assert answer.headers["Content-Encoding"] == coding
    if coding == "deflate":
        plain = zlib.decompress(answer.body)
    else:
        plain = pa.CompressedInputStream(pa.BufferReader(answer.body), coding).read()
    assert len(plain.splitlines()) == 100_000 * len(sent)
    cut = ask(address, body[:-100], headers={"Content-Encoding": coding})
    assert cut.headers["X-ClickHouse-Exception-Code"] == "271"


def test_inserts_of_values(address: Address) -> None:
    ask(address, b"create table valued (a Int64, b String) order by a")
    for sql, parameters in (
        (b"insert into valued values (1, 'a'), (2, upper('b;'))", {}),
        (b"(3, 'c')", {"query": "insert into valued (a, b) values"}),
        (b"insert into valued values ({a:Int64}, {b:String})", {"param_a": 4, "param_b": "d\\n"}),
        (b"with 5 as five insert into valued select five, 'e'", {}),
    ):
        answer = ask(address, sql, **parameters)
        assert answer.status == 200, answer.body
    got = ask(address, b"select * from valued order by a").body
    assert got == b"1\ta\n2\tB;\n3\tc\n4\td\\n\n5\te\n"


def test_a_large_answer_and_a_large_insert_leave_memory_flat(
    front: tuple[Address, int], client: Client
) -> None:
    address, pid = front
    rows = 5_000_000
    client.command("create table large (a Int64, b String) engine = Null")
    # Settles the engine's own caches, which are no part of the question.
    client.query("select number, repeat('x', 60) from numbers(200_000)")
    Path(f"/proc/{pid}/clear_refs").write_text("5")  # the highest mark starts again from here
    before = resident_bytes(pid, "VmRSS")
    count = 0
    sql = f"select number, repeat('x', 60) from numbers({rows})"
    with client.query_column_block_stream(sql, settings={"max_threads": 2}) as blocks:
        for numbers, _ in blocks:
            count += len(numbers)
    assert count == rows
    # Of an answer of 345 MB.
    assert resident_bytes(pid, "VmHWM") - before < 120_000_000

    line = b"1," + b"x" * 1000 + b"\n"
    # By default the engine itself gathers blocks of 256 MB before it writes.
    answer = ask(
        address,
        (line * 1000 for _ in range(300)),
        query="insert into large format CSV",
        max_insert_block_size=10_000,
        min_insert_block_size_rows=10_000,
        min_insert_block_size_bytes=1_000_000,
    )
    assert json.loads(answer.headers["X-ClickHouse-Summary"])["written_rows"] == "300000"
    assert resident_bytes(pid, "VmHWM") - before < 200_000_000


def test_eight_clients_at_once(address: Address) -> None:
    connect(address).command("create table shared (who Int32, a Int64) order by (who, a)")

    def work(who: int) -> int:
        client = connect(address)
        client.command("create temporary table mine (a Int64)")
        for turn in range(5):
            client.insert("mine", [[who], [turn]], column_names=["a"])
            client.command(
                "insert into shared select {who:Int32}, number from numbers(1000)",
                parameters={"who": who},
                settings={"max_block_size": 100 + who},
            )
            seen = client.query(
                "select sum(a), getSetting('max_block_size') from mine",
                settings={"max_block_size": 100 + who},
            ).result_rows
            assert seen == [(who * (turn + 1) + turn * (turn + 1) // 2, 100 + who)]
        ((count,),) = client.query(
            "select count() from shared where who = {who:Int32}", parameters={"who": who}
        ).result_rows
        client.close()
        return int(count)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [5000] * 8


def hang_up_after(address: Address, request: bytes) -> None:
    """Send what begins a request and close the connection."""
    connection = http.client.HTTPConnection(address.host, address.port, timeout=30)
    token = b64encode(f"{address.user}:{address.password}".encode())
    connection.connect()
    connection.sock.sendall(
        request.replace(b"\r\n", b"\r\nAuthorization: Basic " + token + b"\r\n", 1)
    )
    time.sleep(0.3)
    connection.close()


@pytest.mark.parametrize(
    "sql", [b"select count() from numbers(1e15)", b"select number from numbers(1e15)"]
)
def test_a_client_that_hangs_up_ends_its_query(address: Address, sql: bytes) -> None:
    length = str(len(sql)).encode()
    hang_up_after(
        address, b"POST /?session_id=left HTTP/1.1\r\nContent-Length: " + length + b"\r\n\r\n" + sql
    )
    until = time.monotonic() + 20
    while ask(address, b"select 1", session_id="left").status != 200:
        assert time.monotonic() < until, "the query outlives its client"
        time.sleep(0.05)
    running = ask(address, b"select query from system.processes where query like '%1e15%'")
    assert b"1e15)\\nINTO" not in running.body


def test_a_client_that_hangs_up_while_it_inserts_leaves_nothing(address: Address) -> None:
    ask(address, b"create table halves (a Int64) order by a")
    sql = b"insert into halves format CSV\n" + b"1\n" * 1000
    hang_up_after(address, b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n" + sql)
    chunked = b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    hang_up_after(address, chunked + b"%x\r\n" % len(sql) + sql + b"\r\n")
    assert ask(address, b"select count() from halves").body == b"0\n"
    assert ask(address, b"insert into halves values (1)").status == 200
    assert ask(address, b"select count() from halves").body == b"1\n"


def test_data_outlives_the_front_and_only_one_front_has_it(tmp_path: Path) -> None:
    with server.started(tmp_path) as (address, process):
        ask(address, b"create table kept (a Int64) order by a")
        ask(address, b"insert into kept values (1)")
        with (
            pytest.raises(RuntimeError, match="another front is running"),
            server.started(tmp_path),
        ):
            pass
        process.kill()
    with server.started(tmp_path) as (address, _):
        assert ask(address, b"select a from kept").body == b"1\n"


def test_a_front_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys, os; from pathlib import Path; from support.clickhouse import server\n"
        "with server.started(Path(sys.argv[1])) as (_, process):\n"
        "    print(process.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, tmp_path],
        env={**os.environ, "PYTHONPATH": str(server.TESTS)},
        stdout=subprocess.PIPE,
        check=False,
    )
    pid = int(ran.stdout)
    until = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < until, "the front outlives its parent"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def test_a_given_server_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLAGMART_TEST_CLICKHOUSE_HOST", "ch.example")
    monkeypatch.setenv("FLAGMART_TEST_CLICKHOUSE_PORT", "8124")
    monkeypatch.setenv("FLAGMART_TEST_CLICKHOUSE_USER", "me")
    monkeypatch.setenv("FLAGMART_TEST_CLICKHOUSE_PASSWORD", "secret")
    with server.running(tmp_path) as address:
        assert address == Address("ch.example", 8124, "me", "secret", "default")


def test_what_is_missing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLAGMART_TEST_CLICKHOUSE_HOST", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with (
        pytest.raises(RuntimeError, match=r"make setup.*FLAGMART_TEST_CLICKHOUSE_HOST"),
        server.running(tmp_path),
    ):
        pass


PROJECT = {
    "dbt_project.yml": """
        name: tiny
        version: "1.0"
        profile: tiny
        flags: {send_anonymous_usage_stats: false}
        seeds: {tiny: {+column_types: {note: Nullable(String)}}}
        """,
    "profiles.yml": """
        tiny:
          target: clickhouse
          outputs:
            clickhouse:
              type: clickhouse
              driver: http
              host: "{{ env_var('HOST') }}"
              port: "{{ env_var('PORT') | int }}"
              user: "{{ env_var('USER') }}"
              password: "{{ env_var('PASSWORD') }}"
              schema: tiny
              threads: 8
              custom_settings: {session_timezone: UTC, join_use_nulls: 1}
        """,
    "seeds/events.csv": "id,day,note\n1,2026-01-01,a\n2,2026-01-01,\n3,2026-01-02,\"b, 'c'\"\n",
    "models/viewed.sql": "select id, day, note from {{ ref('events') }}",
    "models/counted.sql": """
        {{ config(materialized='table', engine='MergeTree()', order_by='day') }}
        select day, count(*)::Int64 as events, countIf(note is null)::Int64 as silent
        from {{ ref('viewed') }} group by day
        """,
    "models/daily.sql": """
        {{ config(
            materialized='incremental', incremental_strategy='delete+insert', unique_key='day',
            order_by='day', on_schema_change='fail',
        ) }}
        select day, events * {{ var('factor') }} as events from {{ ref('counted') }}
        {% if is_incremental() %}where day > '2026-01-01'{% endif %}
        """,
    "models/refused.sql": """
        {{ config(enabled=var('type', '') != '', materialized='table', order_by='a') }}
        select 1::{{ var('type', '') }} as a
        """,
    "models/schema.yml": """
        models:
          - name: refused
            config: {contract: {enforced: true}}
            columns: [{name: a, data_type: Int64}]
          - name: counted
            config: {contract: {enforced: true}}
            columns:
              - {name: day, data_type: Date, data_tests: [unique, not_null]}
              - {name: events, data_type: Int64}
              - {name: silent, data_type: Int64}
        unit_tests:
          - name: silence_is_counted
            model: counted
            given:
              - input: ref('viewed')
                rows:
                  - {id: 1, day: 2026-01-01, note: null}
                  - {id: 2, day: 2026-01-01, note: x}
            expect:
              rows: [{day: 2026-01-01, events: 2, silent: 1}]
        """,
}


def test_dbt_clickhouse_runs_unmodified(tmp_path: Path, address: Address, client: Client) -> None:
    for name, text in PROJECT.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(dedent(text).lstrip())

    runs = [
        ["build", "--vars", "{factor: 1}"],
        # Only the later day is computed again: the earlier keeps what the first run wrote.
        ["run", "--select", "daily", "refused", "--vars", "{factor: 10, type: Int32}"],
    ]
    # One process for both, because loading dbt takes longer than either.
    program = (
        "import json, sys; from dbt.cli.main import dbtRunner\n"
        "for run in json.loads(sys.argv[1]): dbtRunner().invoke(['--no-use-colors', *run])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, json.dumps(runs)],
        cwd=tmp_path,
        env={
            **os.environ,
            "HOST": address.host,
            "PORT": str(address.port),
            "USER": address.user,
            "PASSWORD": address.password,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert re.findall(r"PASS=\d+ WARN=\d+ ERROR=\d+", ran.stdout) == [
        "PASS=7 WARN=0 ERROR=0",
        "PASS=1 WARN=0 ERROR=1",
    ], ran.stdout + ran.stderr
    assert "This model has an enforced contract that failed" in ran.stdout
    assert client.query("select * from tiny.daily order by day").result_columns[1] == [2, 10]
    assert client.query("select note from tiny.events order by id").result_columns == [
        ["a", None, "b, 'c'"]
    ]
