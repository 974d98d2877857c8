"""FeatBit's own stores into the landing, against the bare driver and the sample exporter's loop."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from measure import BIN, ROOT, Figures, Spent, process_pairs, run, seconds, spent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from clickhouse_connect.driver.client import Client as ClickHouse

    from flagmart.ingest.stores import Store
    from support.mongodb_server import Client
    from support.postgres_server import PostgresServer

sys.path.insert(0, str(ROOT / "tests"))

PAGE = 1_000
"""The sample exporter's page, by default."""
PAGES = 10
"""Of its pages that are timed where a server takes too long over all of them."""


def on_postgres(folder: Path, events: int, runs: int) -> dict[str, Figures]:
    """Reading `events` rows of FeatBit's table, and landing them."""
    from support.featbit_postgres import load, make_events
    from support.postgres_server import postgres_server

    source = folder / "events.jsonl"
    options = ("--events", str(events), "--users", "20000", "--flags", "40", "--out", source)
    run([BIN / "flagmart", "generate", *options], folder)
    with postgres_server() as server:
        make_events(server)
        with source.open(encoding="utf-8") as lines:
            load(server, lines)
        source.unlink()
        server.run("vacuum analyze events")
        address = {POSTGRES: server.url}
        read, landed = _against_bare("postgres", folder, address, runs)
        paging = _paged(server)
    cpu = paging["exporter_cpu_s"], paging["ours_cpu_s"]
    return {
        "PostgreSQL: rows into the landing's columns / the bare driver": read,
        "PostgreSQL: all of an ingest, landed / the bare driver": landed,
        "PostgreSQL: rows into the landing's columns / the sample exporter's pages": {
            **paging,
            "cpu_ratio": round(float(cpu[1]) / float(cpu[0]), 4),
        },
    }


def on_mongodb(folder: Path, events: int, runs: int) -> dict[str, Figures]:
    """Reading `events` documents of FeatBit's collection, and landing them.

    The server is FerretDB on SQLite: what a page costs it tells nothing of MongoDB. Processor time
    is the client's alone.
    """
    from support.featbit_mongodb import load
    from support.mongodb_server import INDEX, mongodb_server

    source = folder / "events.jsonl"
    options = ("--events", str(events), "--users", "20000", "--flags", "40", "--out", source)
    run([BIN / "flagmart", "generate", *options], folder)
    with mongodb_server(folder / "server") as client:
        collection = client["featbit"]["Events"]
        collection.create_index(INDEX)
        with source.open(encoding="utf-8") as lines:
            load(collection, lines)
        source.unlink()
        if client.address is None:
            sys.exit("the server has no address")
        address = {MONGODB: "mongodb://{}:{}/featbit".format(*client.address)}
        read, landed = _against_bare("mongodb", folder, address, runs)
        paging = _pages_of_mongodb(client, events, float(read["ours_s"]))
    return {
        "MongoDB: documents into the landing's columns / the bare driver": read,
        "MongoDB: all of an ingest, landed / the bare driver": landed,
        "MongoDB: documents into the landing's columns / the sample exporter's pages": paging,
    }


def on_clickhouse(folder: Path, events: int, runs: int) -> dict[str, Figures]:
    """Reading `events` rows of FeatBit's table, and landing them in a file and on the server."""
    from support.clickhouse.server import started
    from support.clickhouse_target import client as client_of
    from support.featbit_clickhouse import load, make_events

    source = folder / "events.jsonl"
    options = ("--events", str(events), "--users", "20000", "--flags", "40", "--out", source)
    run([BIN / "flagmart", "generate", *options], folder)
    with started(folder / "server") as (server, process), client_of(server) as client:
        client.command("create database featbit")
        make_events(client, "featbit")
        with source.open(encoding="utf-8") as lines:
            while some := list(islice(lines, 20 * LOADED_AT_ONCE)):
                load(client, "featbit", some)
        client.command("optimize table featbit.events final")
        source.unlink()
        address = {
            f"{CLICKHOUSE}_HOST": server.host,
            f"{CLICKHOUSE}_PORT": str(server.port),
            f"{CLICKHOUSE}_USER": server.user,
            CLICKHOUSE_PASSWORD: server.password,
        }
        read, landed = _against_bare("clickhouse", folder, address, runs)
        beside = {
            "DBT_TARGET": "clickhouse",
            "FLAGMART_CLICKHOUSE_HOST": server.host,
            "FLAGMART_CLICKHOUSE_PORT": str(server.port),
            "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": server.password,
        }
        number = iter(range(runs + 1))

        def by_itself() -> Spent:
            database = {"FLAGMART_CLICKHOUSE_DATABASE": f"flagmart_{next(number)}"}
            ingest = [BIN / "flagmart", "ingest", "clickhouse"]
            return spent(ingest, folder / "beside", {**address, **beside, **database})

        on_server = process_pairs(
            by_itself,
            lambda: spent([BIN / "python", __file__, "bare-clickhouse"], folder, address),
            runs,
        )
        paging = _pages_of_clickhouse(client, process.pid, events)
        before = _cpu_s(process.pid)
        read_once = spent([BIN / "python", __file__, "read-clickhouse"], folder, address)
        paging |= {
            "ours_s": round(read_once.wall_s, 2),
            "ratio": round(read_once.wall_s / float(paging["rival_s"]), 4),
            "ours_cpu_s": round(_cpu_s(process.pid) - before, 2),
        }
        paging["cpu_ratio"] = round(
            float(paging["ours_cpu_s"]) / float(paging["exporter_cpu_s"]), 4
        )
    return {
        "ClickHouse: rows into the landing's columns / the bare driver": read,
        "ClickHouse: all of an ingest, landed / the bare driver": landed,
        "ClickHouse: all of an ingest, landed on the same server / the bare driver": on_server,
        "ClickHouse: rows into the landing's columns / the sample exporter's pages": paging,
    }


POSTGRES, MONGODB = "FLAGMART_POSTGRES_URL", "FLAGMART_MONGODB_URL"
CLICKHOUSE = "FLAGMART_FEATBIT_CLICKHOUSE"
CLICKHOUSE_PASSWORD = "DBT_ENV_SECRET_FEATBIT_CLICKHOUSE_PASSWORD"
LOADED_AT_ONCE = 5_000


def _against_bare(
    source: str, folder: Path, address: dict[str, str], runs: int
) -> tuple[Figures, Figures]:
    """Reading by the store and a whole ingest, both against the bare driver.

    The first is a rate of rows: in this process, once warm, since what a process takes to start
    would be as much again. The second is as processes, as cron would start them.
    """

    def bare() -> Spent:
        return spent([BIN / "python", __file__, f"bare-{source}"], folder, address)

    number = iter(range(runs + 1))

    def landed() -> Spent:
        data = folder / f"landed-{next(number)}"
        return spent([BIN / "flagmart", "ingest", source], data, address)

    with _environment(address):
        read = process_pairs(
            lambda: _spent_here(_WORK[f"read-{source}"]),
            lambda: _spent_here(_WORK[f"bare-{source}"]),
            runs,
        )
    # one process has one peak
    del read["ours_mb"], read["rival_mb"]
    return read, process_pairs(landed, bare, runs)


def _spent_here(work: Callable[[], None]) -> Spent:
    before = _cpu_s(os.getpid())
    wall = seconds(work)
    return Spent(wall, _cpu_s(os.getpid()) - before, 0)


def _read(store: Store) -> None:
    from flagmart.ingest.stores import Bounds

    for chunk in store.plan(Bounds(), {}).chunks:
        with store.read(chunk, None) as reading:
            got = sum(batch.num_rows for batch, _ in reading.rows)
        if got != reading.expected:
            sys.exit(f"{got} of {reading.expected} rows came")


def _read_postgres() -> None:
    from flagmart.ingest.postgres_store import connected

    with connected() as store:
        _read(store)


def _read_mongodb() -> None:
    from flagmart.ingest.mongodb_store import connected

    with connected() as store:
        _read(store)


def _read_clickhouse() -> None:
    from flagmart.ingest.clickhouse_store import connected

    with connected() as store:
        _read(store)


def _bare_postgres() -> None:
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(os.environ[POSTGRES]) as opened, opened.cursor() as rows:
        rows.execute("select * from events")
        for _ in rows.fetch_record_batch():
            pass


def _bare_mongodb() -> None:
    import pyarrow as pa
    import pymongo

    with pymongo.MongoClient[dict[str, Any]](os.environ[MONGODB]) as client:
        documents = iter(client.get_default_database()["Events"].find())
        while some := list(islice(documents, LOADED_AT_ONCE)):
            pa.Table.from_pylist(some)


def _bare_clickhouse() -> None:
    import clickhouse_connect

    client = clickhouse_connect.get_client(
        host=os.environ[f"{CLICKHOUSE}_HOST"],
        port=int(os.environ[f"{CLICKHOUSE}_PORT"]),
        username=os.environ[f"{CLICKHOUSE}_USER"],
        password=os.environ[CLICKHOUSE_PASSWORD],
        database="featbit",
        compress=False,
    )
    with client.query_arrow_stream("select * from events") as batches:
        for _ in batches:
            pass


def _pages_of_clickhouse(client: ClickHouse, server: int, events: int) -> Figures:
    """What the sample exporter's loop would take, from pages all over the time there is."""
    [(first, last)] = client.query(
        "select min(toUnixTimestamp64Milli(timestamp)), max(toUnixTimestamp64Milli(timestamp))"
        " from featbit.events where event = 'FlagValue' and timestamp > '2000-01-01'"
    ).result_rows
    before, began = _cpu_s(server), time.perf_counter()
    for number in range(PAGES):
        after = first + (last - first) * number // PAGES
        client.query(
            "select * from featbit.events where event in ('FlagValue', 'CustomEvent') "
            f"and timestamp > fromUnixTimestamp64Milli({after}) order by timestamp limit {PAGE}"
        )
    times = events / PAGE / PAGES
    return {
        "rival_s": round((time.perf_counter() - began) * times, 2),
        "exporter_cpu_s": round((_cpu_s(server) - before) * times, 2),
        "page": PAGE,
        "pages_timed": PAGES,
    }


def _pages_of_mongodb(client: Client, events: int, ours_s: float) -> Figures:
    """What the sample exporter's loop would take, from its first pages: each costs the same."""
    collection = client["featbit"]["Events"]
    kinds = {"$in": ["FlagValue", "CustomEvent"]}
    after = datetime(2000, 1, 1, tzinfo=UTC)
    pages = min(PAGES, events // PAGE)
    began = time.perf_counter()
    for _ in range(pages):
        asked = {"event": kinds, "timestamp": {"$gt": after}}
        page = list(collection.find(asked).sort("timestamp", 1).limit(PAGE))
        if not page:
            sys.exit(f"fewer than {pages} pages came")
        after = page[-1]["timestamp"]
    pages_s = (time.perf_counter() - began) / pages * (events / PAGE)
    return {
        "ours_s": ours_s,
        "rival_s": round(pages_s, 2),
        "ratio": round(ours_s / pages_s, 4),
        "page": PAGE,
        "pages_timed": pages,
    }


def _paged(server: PostgresServer) -> Figures:
    """One pass of the sample exporter's loop over all rows, and one ingest; server's time, too.

    The loop asks for the next page after the last time it saw, in order of time.
    """
    (stored,) = server.rows(
        "select count(*) from events where event in ('FlagValue', 'CustomEvent')"
    )
    postmaster = _postmaster(server)
    before = _children_cpu_s(postmaster)
    seen = 0

    def loop() -> None:
        nonlocal seen
        after = "2000-01-01 00:00:00.000"
        with server.connected() as cursor:
            while True:
                cursor.execute(
                    "select * from events where event in ('FlagValue', 'CustomEvent') "
                    f"and timestamp > '{after}' order by timestamp limit {PAGE}"
                )
                page = cursor.fetch_arrow_table()
                if not page.num_rows:
                    return
                seen += page.num_rows
                last = page.column("timestamp")[-1].as_py()
                after = last.isoformat(" ", timespec="milliseconds")

    exporter_s = seconds(loop)
    between = _children_cpu_s(postmaster)
    (stored,) = server.rows(
        "select count(*) from events where event in ('FlagValue', 'CustomEvent')"
    )
    with _environment({POSTGRES: server.url}):
        ours_s = seconds(_read_postgres)
    after = _children_cpu_s(postmaster)
    return {
        "ours_s": round(ours_s, 2),
        "rival_s": round(exporter_s, 2),
        "ratio": round(ours_s / exporter_s, 4),
        "ours_cpu_s": round(after - between, 2),
        "exporter_cpu_s": round(between - before, 2),
        "exporter_lost_rows": stored[0] - seen,
        "page": PAGE,
    }


@contextmanager
def _environment(address: dict[str, str]) -> Iterator[None]:
    os.environ.update(address)
    try:
        yield
    finally:
        for name in address:
            del os.environ[name]


def _postmaster(server: PostgresServer) -> int:
    with server.connected() as cursor:
        cursor.execute("select pg_backend_pid()")
        (backend,) = cursor.fetchone()
        return int(Path(f"/proc/{backend}/stat").read_text().rpartition(")")[2].split()[1])


def _children_cpu_s(pid: int) -> float:
    """Processor seconds of the sessions that have ended."""
    time.sleep(1)  # a session ends a moment after its client has left
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def _cpu_s(pid: int) -> float:
    """Processor seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


_WORK: dict[str, Callable[[], None]] = {
    "read-postgres": _read_postgres,
    "read-mongodb": _read_mongodb,
    "read-clickhouse": _read_clickhouse,
    "bare-postgres": _bare_postgres,
    "bare-mongodb": _bare_mongodb,
    "bare-clickhouse": _bare_clickhouse,
}

if __name__ == "__main__":
    # one piece of work as a process, for `process_pairs`
    _WORK[sys.argv[1]]()
