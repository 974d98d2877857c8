"""Ingest and file export against the barest like of them: DuckDB by itself, and dlt.

The exports are the two deliveries of events as they are shipped. Their relations are views on the
table of events, and every side reads the same view: ours in one process of `flagmart export` with
its digests, its ledger and its renames, DuckDB as one sorted `COPY … (PARTITION_BY …)`, and dlt's
filesystem destination three times:

- doing the same job: rows in the declared order, a folder for each day (one resource a day);
- with the least it can be asked: Arrow batches as they come, unsorted and without days;
- fed with rows as dicts, which is how its documentation reads a database, unsorted and without
  days. A part of the rows is read and the seconds of all others are worked out from them.

All write snappy at its only level, as we do. Beside them ClickHouse: `--pushdown`, by which the
engine writes the files into a bucket itself, against the ordinary export into the same bucket.
"""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from base import land
from measure import (
    ABSENT,
    BIN,
    RIVALS,
    RIVALS_ENV,
    ROOT,
    Figures,
    Spent,
    extrapolated,
    memory,
    pairs,
    process_pairs,
    run,
    seconds,
    spent,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

sys.path.insert(0, str(ROOT / "tests"))

READ_JSON = """
import duckdb, sys
duckdb.execute("set threads = 2")
duckdb.execute(
    "copy (select * from read_json(?, format = 'newline_delimited', ignore_errors = true, "
    "columns = {uuid: 'varchar', distinct_id: 'varchar', env_id: 'varchar', event: 'varchar', "
    "properties: 'varchar', timestamp: 'bigint'})) to '"
    + sys.argv[2] + "' (format parquet, compression zstd)",
    [sys.argv[1]],
)
"""
PARTITIONED_COPY = """
import duckdb, sys
file, to, relation, order, limit = sys.argv[1:]
config = {"threads": 2, "temp_directory": to + ".spill"}
with duckdb.connect(file, read_only=True, config=config) as connection:
    if limit:
        connection.execute(f"set memory_limit = '{limit}'")
    connection.execute(
        f"copy (select * exclude (ingested_at, occurred_at) from {relation} order by {order}) "
        f"to '{to}' (format parquet, compression snappy, partition_by (partition_on))"
    )
"""
DLT = """
import dlt, duckdb, sys
file, to, relation, order, limit = sys.argv[1:]
dlt.config["normalize.parquet_normalizer.add_dlt_load_id"] = False
dlt.config["data_writer.compression"] = "snappy"
pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=to + ".work",
    destination=dlt.destinations.filesystem(bucket_url="file://" + to),
    dataset_name="bench",
)
connection = duckdb.connect(file, read_only=True, config={"threads": 2})

def resource(rows, name):
    return dlt.resource(rows, name=name, write_disposition="replace", max_table_nesting=0)

def load(resources):
    pipeline.run(resources, loader_file_format="parquet").raise_on_failed_jobs()
"""
DLT_SAME_JOB = (
    DLT
    + """
def of(day):
    def rows():
        # dlt asks several resources in turn
        cursor = connection.cursor()
        found = cursor.sql(
            f"select * exclude (ingested_at, occurred_at, partition_on) from {relation} "
            f"where partition_on = date '{day}' order by {order}"
        )
        yield from found.to_arrow_reader(100_000)
    return rows

days = connection.sql(f"select distinct partition_on from {relation} order by 1").fetchall()
load([resource(of(day), f"day_{day:%Y_%m_%d}") for (day,) in days])
"""
)
DLT_ARROW = (
    DLT
    + """
def rows():
    found = connection.sql(f"select * exclude (ingested_at, occurred_at) from {relation}")
    yield from found.to_arrow_reader(100_000)

load(resource(rows, relation))
"""
)
DLT_ROWS = (
    DLT
    + """
def rows():
    found = connection.execute(
        f"select * exclude (ingested_at, occurred_at) from {relation} limit {limit}"
    )
    names = [column[0] for column in found.description]
    while chunk := found.fetchmany(10_000):
        yield [dict(zip(names, row)) for row in chunk]

load(resource(rows, relation))
"""
)
ORDER = {"hackle_events": "ts, insert_id", "statsig_events": "timestamp, timeuuid"}
"""What each delivery promises of the rows in its files."""
SAME_MEMORY = "900MB"
DLT_ROWS_READ = 100_000
"""From which the seconds of all rows are worked out."""
SMALLER = 4
"""Memory is looked at again with this part of the events."""


def ingest_ratios(data: Path, events: int, runs: int) -> dict[str, Figures]:
    """Whole processes on `events` dirty lines."""
    source = data / "events.jsonl"
    generate = ["generate", "--events", str(events), "--dirty", "0.05", "--out", str(source)]
    run([BIN / "flagmart", *generate], data)

    def ingest() -> float:
        shutil.rmtree(data / "landing", ignore_errors=True)
        return seconds(lambda: run([BIN / "flagmart", "ingest", "files", source], data))

    def read_json() -> float:
        rival = str(data / "rival.parquet")
        return seconds(lambda: run([BIN / "python", "-c", READ_JSON, str(source), rival], data))

    return {"ingest files / DuckDB's read_json to parquet": pairs(ingest, read_json, runs)}


def export_ratios(data: Path, events: int, runs: int) -> dict[str, Figures]:
    """Whole processes on `events` clean events over 30 days, and our memory with a quarter."""
    few, many = data / "few", data / "many"
    results: dict[str, Figures] = {}
    for folder, count in ((few, events // SMALLER), (many, events)):
        folder.mkdir(parents=True)
        # as one landing: each file has an environment of its own, and one of them leaves
        land(folder, count, 1, at_once=count)
        deliveries = [f"+exposure:{name}" for name in ORDER]
        unchecked = ["--exclude-resource-type", "test", "unit_test"]
        run([BIN / "dbt", "--quiet", "build", *unchecked, "--select", *deliveries], folder)
    for name, order in ORDER.items():
        ours = _export(many, name)
        rivals = {
            "DuckDB's sorted, partitioned copy": _copy(many, name, order, ""),
            f"the same copy in {SAME_MEMORY}": _copy(many, name, order, SAME_MEMORY),
        }
        results |= {
            f"export {name} / {what}": process_pairs(ours, rival, runs)
            for what, rival in rivals.items()
        }
        python = os.environ.get(RIVALS)
        for what, by_dlt in _dlt(many, name, order, events, python or "").items():
            results[f"export {name} / {what}"] = (
                process_pairs(ours, by_dlt, runs) if python else ABSENT
            )
        large, small = ours(), _export(few, name)()
        what = f"memory of export {name}: {events:,} events / {events // SMALLER:,}"
        results[what] = memory(large, small)
    return results


def _export(data: Path, name: str) -> Callable[[], Spent]:
    def export() -> Spent:
        (data / "ledger.sqlite").unlink(missing_ok=True)
        shutil.rmtree(data / "exports", ignore_errors=True)
        return spent([BIN / "flagmart", "export", name], data)

    return export


def _copy(data: Path, name: str, order: str, limit: str) -> Callable[[], Spent]:
    def copy() -> Spent:
        to = data / "copied"
        shutil.rmtree(to, ignore_errors=True)
        file = str(data / "flagmart.duckdb")
        command = [BIN / "python", "-c", PARTITIONED_COPY, file, str(to), name, order, limit]
        return spent(command, data)

    return copy


def _dlt(
    data: Path, name: str, order: str, events: int, python: str
) -> dict[str, Callable[[], Spent]]:
    def by_dlt(script: str, rows: int) -> Spent:
        to = data / "by_dlt"
        for folder in (to, data / "by_dlt.work"):
            shutil.rmtree(folder, ignore_errors=True)
        said = [str(data / "flagmart.duckdb"), str(to), name, order, str(rows)]
        return spent([python, "-c", script, *said], data, RIVALS_ENV)

    def all_rows() -> Spent:
        return extrapolated(lambda rows: by_dlt(DLT_ROWS, rows), min(DLT_ROWS_READ, events), events)

    return {
        "dlt, the same job": lambda: by_dlt(DLT_SAME_JOB, events),
        "dlt, Arrow, unsorted and without days": lambda: by_dlt(DLT_ARROW, events),
        f"dlt, rows as dicts, from {DLT_ROWS_READ:,}": all_rows,
    }


def pushdown_ratios(data: Path, events: int, runs: int) -> dict[str, Figures]:
    """Whole exports from ClickHouse into a bucket of this machine; the engine's part counts, too.

    So there is no processor time beside the clock: most of it is the engine's.
    """
    from support import s3_server
    from support.clickhouse.server import started
    from support.clickhouse_target import environment

    # the engine finds them in its own environment, for it is sent none
    os.environ.update(s3_server.CREDENTIALS)
    with s3_server.running() as bucket, started(data / "engine") as (address, _):
        env = {**environment(address, "bench"), **bucket.env}
        land(data, events, 1, env, at_once=events)
        unchecked = ["--exclude-resource-type", "test", "unit_test"]
        chosen = [f"+exposure:{name}" for name in ORDER]
        run([BIN / "dbt", "--quiet", "build", *unchecked, "--select", *chosen], data, env)

        def export(name: str, *how: str) -> float:
            (data / "ledger.sqlite").unlink(missing_ok=True)
            to = f"s3://{s3_server.BUCKET}/{name}{''.join(how)}"
            command = [BIN / "flagmart", "export", name, "--to", to, *how]
            return seconds(lambda: run(command, data, env))

        return {
            f"ClickHouse: export {name} --pushdown / without": pairs(
                lambda name=name: export(name, "--pushdown"), lambda name=name: export(name), runs
            )
            for name in ORDER
        }
