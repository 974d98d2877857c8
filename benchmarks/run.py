"""Ratios against the bare engine, both sides measured in one run, turn by turn; `make bench`.

Prints a table on stderr and a JSON document on stdout. A ratio is the time of ours over the time
of the rival's, pair by pair, so that a machine that slows down half-way slows both; the median of
the pairs is what to quote.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = ROOT / ".venv" / "bin"

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


def timed(command: list[str | Path], data: Path) -> float:
    """Seconds of a whole process; 3 (done in part) is what a dirty stream gives."""
    began = time.perf_counter()
    ran = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "FLAGMART_DATA": str(data), "DBT_TARGET_PATH": str(data / "target")},
        capture_output=True,
        text=True,
        check=False,
    )
    if ran.returncode not in (0, 3):
        sys.exit(f"{' '.join(map(str, command))}: {ran.stderr or ran.stdout}")
    return time.perf_counter() - began


def pairs(
    ours: Callable[[], float], rival: Callable[[], float], runs: int
) -> dict[str, float | int]:
    """Both in turn, `runs` times after one warm-up of each."""
    ours(), rival()
    measured = [(ours(), rival()) for _ in range(runs)]
    return {
        "ours_s": round(statistics.median(a for a, _ in measured), 2),
        "rival_s": round(statistics.median(b for _, b in measured), 2),
        "ratio": round(statistics.median(a / b for a, b in measured), 2),
        "ratio_lowest": round(min(a / b for a, b in measured), 2),
        "ratio_highest": round(max(a / b for a, b in measured), 2),
        "runs": runs,
    }


def main() -> None:
    """Generate, then measure each pair."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=500_000)
    options.add_argument("--runs", type=int, default=3)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="flagmart-bench-") as folder:
        data = Path(folder)
        events = data / "events.jsonl"
        timed(
            [
                BIN / "flagmart",
                "generate",
                "--events",
                str(chosen.events),
                "--dirty",
                "0.05",
                "--out",
                events,
            ],
            data,
        )

        def ingest() -> float:
            shutil.rmtree(data / "landing", ignore_errors=True)
            return timed([BIN / "flagmart", "ingest", "files", events], data)

        def read_json() -> float:
            return timed(
                [BIN / "python", "-c", READ_JSON, str(events), str(data / "rival.parquet")], data
            )

        results = {
            "ingest files / DuckDB's read_json to parquet": pairs(ingest, read_json, chosen.runs)
        }
        timed([BIN / "dbt", "build", "--exclude-resource-type", "test", "unit_test"], data)

        def export() -> float:
            (data / "ledger.sqlite").unlink(missing_ok=True)
            shutil.rmtree(data / "exports", ignore_errors=True)
            return timed([BIN / "flagmart", "export", "hackle_events"], data)

        def copy() -> float:
            shutil.rmtree(data / "copied", ignore_errors=True)
            return timed(
                [
                    BIN / "python",
                    "-c",
                    PARTITIONED_COPY,
                    str(data / "flagmart.duckdb"),
                    str(data / "copied"),
                ],
                data,
            )

        results["export hackle_events / DuckDB's partitioned copy"] = pairs(
            export, copy, chosen.runs
        )

    for name, figures in results.items():
        print(
            f"{name}: {figures['ratio']} "
            f"({figures['ratio_lowest']} to {figures['ratio_highest']}), "
            f"{figures['ours_s']} s against {figures['rival_s']} s, {chosen.events:,} events",
            file=sys.stderr,
        )
    print(json.dumps({"events": chosen.events, "results": results}, indent=2))


if __name__ == "__main__":
    main()
