"""FeatBit's own stores into the landing, against the bare driver and the sample exporter's loop."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from measure import BIN, ROOT, Figures, Spent, pairs, process_pairs, run, seconds, spent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.postgres_server import PostgresServer

sys.path.insert(0, str(ROOT / "tests"))

PAGE = 1_000
"""The sample exporter's page, by default."""


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
        with _named(server):
            read = pairs(
                lambda: seconds(_read_by_store), lambda: seconds(lambda: _read_bare(server)), runs
            )
        number = iter(range(2 * runs + 2))
        landed = process_pairs(
            lambda: _landed(server, folder / f"landed-{next(number)}"),
            lambda: spent(
                [BIN / "python", __file__, "bare"], folder, {"FLAGMART_POSTGRES_URL": server.url}
            ),
            runs,
        )
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


def _read_by_store() -> None:
    from flagmart.ingest.postgres_store import connected
    from flagmart.ingest.stores import Bounds

    with connected() as store:
        for chunk in store.plan(Bounds(), {}).chunks:
            with store.read(chunk, None) as reading:
                got = sum(batch.num_rows for batch, _ in reading.rows)
            if got != reading.expected:
                sys.exit(f"{got} of {reading.expected} rows came")


def _read_bare(server: PostgresServer) -> None:
    with server.connected() as cursor:
        cursor.execute("select * from events")
        for _ in cursor.fetch_record_batch():
            pass


def _landed(server: PostgresServer, data: Path) -> Spent:
    return spent(
        [BIN / "flagmart", "ingest", "postgres"], data, {"FLAGMART_POSTGRES_URL": server.url}
    )


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
    with _named(server):
        ours_s = seconds(_read_by_store)
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
def _named(server: PostgresServer) -> Iterator[None]:
    os.environ["FLAGMART_POSTGRES_URL"] = server.url
    try:
        yield
    finally:
        del os.environ["FLAGMART_POSTGRES_URL"]


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


if __name__ == "__main__":
    # the bare driver as a process, for `process_pairs`
    from adbc_driver_postgresql import dbapi

    with dbapi.connect(os.environ["FLAGMART_POSTGRES_URL"]) as opened, opened.cursor() as rows:
        rows.execute("select * from events")
        for _ in rows.fetch_record_batch():
            pass
