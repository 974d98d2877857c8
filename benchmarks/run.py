"""Ratios against named rivals and the bare engines, both sides measured in one run; `make bench`.

Prints a table on stderr and a JSON document on stdout.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import base
import delivery

if TYPE_CHECKING:
    from measure import Figures

AT_MOST = {
    "DuckDB: extract the fields / a query for each field": 1 / 4.5,
    "DuckDB: build base / the barest single pass": 1.5,
    "DuckDB: build base / a query for each field, stored": 1 / 1.5,
    "ClickHouse: extract the fields / a query for each field": 1 / 2,
    "ClickHouse: build base / the barest single pass": 1.5,
    "ClickHouse: build base / a query for each field, stored": 1 / 1.5,
    "DuckDB: run with 1 % new events / full run": 0.1,
}
"""What we hold ourselves to; printed beside what was measured, and never a reason to fail."""


def main() -> None:
    """Measure what was asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=500_000, help="for ingest and export")
    options.add_argument("--base-events", type=int, default=5_000_000, help="for the models")
    options.add_argument("--runs", type=int, default=3)
    options.add_argument(
        "--only", choices=("delivery", "duckdb", "clickhouse", "increment", "memory"), nargs="*"
    )
    chosen = options.parse_args()
    wanted = chosen.only or ("delivery", "duckdb", "clickhouse", "increment", "memory")
    results: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="flagmart-bench-") as folder:
        root = Path(folder)

        def room(name: str) -> Path:
            (root / name).mkdir(exist_ok=True)
            return root / name

        many, runs = chosen.base_events, chosen.runs
        if "delivery" in wanted:
            results |= delivery.ratios(room("delivery"), chosen.events, runs)
        if "duckdb" in wanted:
            results |= base.on_duckdb(room("duckdb"), many, runs)
            shutil.rmtree(room("duckdb"))
        if "clickhouse" in wanted:
            results |= base.on_clickhouse(room("clickhouse"), many, runs)
            shutil.rmtree(room("clickhouse"))
        if "increment" in wanted:
            results |= base.increment(room("increment"), many, runs)
            shutil.rmtree(room("increment"))
        if "memory" in wanted:
            base.land(room("memory"), many, 1)
            results |= base.little_memory(room("memory"), many)

    for name, figures in results.items():
        bound = AT_MOST.get(name, 1.5 if "1 GB" in name else None)
        print(
            f"{name}: {figures['ratio']}"
            + (
                f" ({figures['ratio_lowest']} to {figures['ratio_highest']})"
                if "ratio_lowest" in figures
                else ""
            )
            + (f", at most {bound:.3g} wanted" if bound else "")
            + f"; {figures['ours_s']} s against {figures['rival_s']} s",
            file=sys.stderr,
        )
    print(json.dumps({"events": chosen.events, "base_events": many, "results": results}, indent=2))


if __name__ == "__main__":
    main()
