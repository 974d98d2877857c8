"""Ingest and file export against DuckDB doing the barest like of it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from measure import BIN, Figures, pairs, run, seconds

if TYPE_CHECKING:
    from pathlib import Path

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
with duckdb.connect(sys.argv[1], read_only=True, config={"threads": 2}) as connection:
    connection.execute(
        "copy (select * exclude (ingested_at) from hackle_events order by ts, insert_id) to '"
        + sys.argv[2] + "' (format parquet, compression snappy, partition_by (partition_on))"
    )
"""


def ratios(data: Path, events: int, runs: int) -> dict[str, Figures]:
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

    found = {"ingest files / DuckDB's read_json to parquet": pairs(ingest, read_json, runs)}
    run([BIN / "dbt", "build", "--exclude-resource-type", "test", "unit_test"], data)

    def export() -> float:
        (data / "ledger.sqlite").unlink(missing_ok=True)
        shutil.rmtree(data / "exports", ignore_errors=True)
        return seconds(lambda: run([BIN / "flagmart", "export", "hackle_events"], data))

    def copy() -> float:
        to = data / "copied"
        shutil.rmtree(to, ignore_errors=True)
        engine = str(data / "flagmart.duckdb")
        return seconds(lambda: run([BIN / "python", "-c", PARTITIONED_COPY, engine, str(to)], data))

    found["export hackle_events / DuckDB's partitioned copy"] = pairs(export, copy, runs)
    return found
