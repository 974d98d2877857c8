"""Ratios against named rivals and the bare engines, both sides measured in one run; `make bench`.

Prints a table on stderr and a JSON document on stdout.
"""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import base
import charts
import delivery
import experiments
import ingest
import messages
from measure import Figures

PARTS = (
    "stores",
    "delivery",
    "pushdown",
    "messages",
    "duckdb",
    "clickhouse",
    "increment",
    "memory",
    "charts",
    "experiments",
)
AT_MOST = {
    "PostgreSQL: rows into the landing's columns / the bare driver": 1 / 0.7,
    "MongoDB: documents into the landing's columns / the bare driver": 1 / 0.7,
    "ClickHouse: rows into the landing's columns / the bare driver": 1 / 0.7,
    "DuckDB: extract the fields / a query for each field": 1 / 4.5,
    "DuckDB: build base / the barest single pass": 1.5,
    "DuckDB: build base / a query for each field, stored": 1 / 1.5,
    "ClickHouse: extract the fields / a query for each field": 1 / 2,
    "ClickHouse: build base / the barest single pass": 1.5,
    "ClickHouse: build base / a query for each field, stored": 1 / 1.5,
    "DuckDB: the same, less a run with nothing new": 0.1,
    "DuckDB: a flag's hourly chart from the counts / from the evaluations": 1 / 6,
    "DuckDB: all flags' hourly chart from the counts / from the evaluations": 1 / 4,
    "DuckDB: results of 20 experiments / the bare query": 1.3,
    "DuckDB: another day of experiments / all of them": 0.1,
    **{
        f"export {name} / {rival}": 1.0
        for name in delivery.ORDER
        for rival in ("DuckDB's sorted, partitioned copy", "dlt, the same job")
    },
    "export segment_tracks, ready / segment-analytics-python": 1 / 8,
    "export segment_tracks, ready / dlt, fed with rows": 1 / 3,
    f"export segment_tracks, ready / one call per event, from {messages.SINGLE_CALLS:,}": 1 / 100,
    "send a spool of segment_tracks / ready bodies by the bare client": 1 / 0.6,
}
"""What we hold ourselves to; printed beside what was measured, and never a reason to fail."""


def tell(name: str, figures: Figures) -> None:
    """One line of the table, as soon as its part is measured: all parts take hours."""
    if "absent" in figures:
        print(f"{name}: not measured, there is no {figures['absent']}", file=sys.stderr)
        return
    bound = AT_MOST.get(name, 1.5 if "1 GB" in name else None)
    print(
        f"{name}: {figures.get('ratio', 'no ratio')}"
        + (
            f" ({figures['ratio_lowest']} to {figures['ratio_highest']})"
            if "ratio_lowest" in figures
            else ""
        )
        + (f", at most {bound:.3g} wanted" if bound else "")
        + (f"; {figures['ours_s']} s against {figures['rival_s']} s" if "ours_s" in figures else "")
        + (f"; processor time {figures['cpu_ratio']}" if "cpu_ratio" in figures else "")
        + (
            f"; {figures['ours_mb']} MB against {figures['rival_mb']} MB"
            if "ours_mb" in figures
            else ""
        ),
        file=sys.stderr,
        flush=True,
    )


def main() -> None:
    """Measure what was asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=500_000, help="for ingest")
    options.add_argument(
        "--store-events", type=int, default=200_000, help="for PostgreSQL and MongoDB"
    )
    options.add_argument(
        "--server-events", type=int, default=2_000_000, help="for the store that is ClickHouse"
    )
    options.add_argument("--export-events", type=int, default=20_000_000, help="for the exports")
    options.add_argument("--base-events", type=int, default=5_000_000, help="for the models")
    options.add_argument("--chart-events", type=int, default=20_000_000, help="for the charts")
    options.add_argument("--pushdown-events", type=int, default=2_000_000, help="on ClickHouse")
    options.add_argument("--messages", type=int, default=1_000_000, help="for HTTP exports")
    options.add_argument("--most-messages", type=int, default=2_000_000, help="for their memory")
    options.add_argument(
        "--experiment-events", type=int, default=20_000_000, help="evaluations of experiments"
    )
    options.add_argument("--runs", type=int, default=3)
    options.add_argument("--only", choices=PARTS, nargs="*")
    chosen = options.parse_args()
    wanted = chosen.only or PARTS
    results: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory(prefix="flagmart-bench-") as folder:
        root = Path(folder)

        def room(name: str) -> Path:
            (root / name).mkdir(exist_ok=True)
            return root / name

        def take(measured: dict[str, Figures]) -> None:
            results.update(measured)
            for name, figures in measured.items():
                tell(name, figures)

        many, runs = chosen.base_events, chosen.runs
        if "stores" in wanted:
            take(ingest.on_postgres(room("postgres"), chosen.store_events, runs))
            shutil.rmtree(room("postgres"))
            take(ingest.on_mongodb(room("mongodb"), chosen.store_events, runs))
            shutil.rmtree(room("mongodb"))
            take(ingest.on_clickhouse(room("featbit"), chosen.server_events, runs))
            shutil.rmtree(room("featbit"))
        if "delivery" in wanted:
            take(delivery.ingest_ratios(room("ingest"), chosen.events, runs))
            take(delivery.export_ratios(room("delivery"), chosen.export_events, runs))
            shutil.rmtree(room("delivery"))
        if "pushdown" in wanted:
            take(delivery.pushdown_ratios(room("pushdown"), chosen.pushdown_events, runs))
            shutil.rmtree(room("pushdown"))
        if "messages" in wanted:
            sizes = chosen.messages, chosen.most_messages
            take(messages.ratios(room("messages"), *sizes, runs))
            shutil.rmtree(room("messages"))
        if "duckdb" in wanted:
            take(base.on_duckdb(room("duckdb"), many, runs))
            shutil.rmtree(room("duckdb"))
        if "clickhouse" in wanted:
            take(base.on_clickhouse(room("clickhouse"), many, runs))
            shutil.rmtree(room("clickhouse"))
        if "increment" in wanted:
            take(base.increment(room("increment"), many, runs))
            shutil.rmtree(room("increment"))
        if "memory" in wanted:
            base.land(room("memory"), many, 1)
            take(base.little_memory(room("memory"), many))
            shutil.rmtree(room("memory"))
        if "charts" in wanted:
            take(charts.ratios(room("charts"), chosen.chart_events, runs))
            shutil.rmtree(room("charts"))
        if "experiments" in wanted:
            take(experiments.ratios(room("experiments"), chosen.experiment_events, runs))

    document = {
        "events": chosen.events,
        "store_events": chosen.store_events,
        "server_events": chosen.server_events,
        "export_events": chosen.export_events,
        "pushdown_events": chosen.pushdown_events,
        "messages": chosen.messages,
        "most_messages": chosen.most_messages,
        "base_events": many,
        "chart_events": chosen.chart_events,
        "experiment_events": chosen.experiment_events,
    }
    print(json.dumps({**document, "results": results}, indent=2))


if __name__ == "__main__":
    main()
