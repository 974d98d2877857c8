"""The base model: its parse, its table, its increments and its memory, on both engines."""

from __future__ import annotations

import json
import shutil
import sys
from contextlib import closing
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
from measure import BIN, ROOT, Figures, of_pairs, pairs, run, seconds
from rivals import (
    clickhouse_barest,
    clickhouse_per_field,
    duckdb_barest,
    duckdb_per_field,
)

if TYPE_CHECKING:
    from pathlib import Path

sys.path.insert(0, str(ROOT / "tests"))

MODEL = "base_featbit__events"
PARSED_TO = "\nwith_tags as (\n"
"""Where the model's extraction ends and its rules begin."""
BETWEEN = (
    *("received_properties", "object_text", "fields", "user_text", "user_fields"),
    *("older_user_text", "older_user_fields"),
)
"""What the extraction works with and its reader does not get."""
FIRST_DAY = date(2026, 1, 1)
SLICE = 5_000_000
"""Lines generated at once, so that no more than 4 GB lie around as text."""


def land(
    data: Path,
    events: int,
    seed: int,
    env: dict[str, str] | None = None,
    *,
    flags: int = 20,
    days: int = 30,
    after: int = 0,
    at_once: int = SLICE,
) -> None:
    """Generate clean events and ingest them, in runs of `at_once` lines with flags of their own.

    They are spread over `days` that begin `after` so many from `FIRST_DAY`.
    """
    source = data / "events.jsonl"
    for begun in range(0, events, at_once):
        options = {
            "--events": str(min(at_once, events - begun)),
            "--users": "20000",
            "--flags": str(flags),
            "--seed": str(seed + begun // at_once),
            "--start": (FIRST_DAY + timedelta(days=after)).isoformat(),
            "--days": str(days),
            "--out": str(source),
        }
        run([BIN / "flagmart", "generate", *(part for o in options.items() for part in o)], data)
        run([BIN / "flagmart", "ingest", "files", source], data, env)
        source.unlink()


def compiled(data: Path, env: dict[str, str] | None = None) -> str:
    """The model's SQL for a full refresh."""
    run([BIN / "dbt", "--quiet", "compile", "--full-refresh", "--select", MODEL], data, env)
    found = next((data / "target/compiled").rglob(f"{MODEL}.sql"))
    return found.read_text(encoding="utf-8")


def settings_of_model(data: Path) -> dict[str, Any]:
    """What the compiled model asks of ClickHouse for its own statements."""
    manifest = json.loads((data / "target/manifest.json").read_bytes())
    settings: dict[str, Any] = manifest["nodes"][f"model.flagmart.{MODEL}"]["config"][
        "query_settings"
    ]
    return settings


def extraction(model: str, leaving_out: str) -> str:
    """The model up to where its rules begin: every field of every shape, guard included.

    `leaving_out` is the engine's word for columns that a `select *` has not.
    """
    parsed, found, _ = model.partition(PARSED_TO)
    if not found:
        sys.exit(f"{MODEL} has no step `with_tags` any more; tell benchmarks/base.py where it ends")
    last = parsed.rstrip().rstrip(",")
    return f"{last}\nselect * {leaving_out} ({', '.join(BETWEEN)}) from with_all_names"


def on_duckdb(data: Path, events: int, runs: int) -> dict[str, Figures]:
    """Statements in one process with two threads, on the landing as it lies."""
    land(data, events, 1)
    run([BIN / "dbt", "--quiet", "run", "--select", MODEL, "--empty"], data)
    model = compiled(data)
    landed = '"flagmart"."flagmart_landing"."featbit_events"'
    if landed not in model:
        sys.exit(f"{MODEL} does not read {landed}; tell benchmarks/base.py what it reads")
    with closing(duckdb.connect(str(data / "flagmart.duckdb"))) as engine:
        engine.execute("set threads = 2")
        engine.execute("set preserve_insertion_order = false")
        # plainly in the file, so that unpacking it is no part of what is compared
        engine.execute("set force_compression = 'uncompressed'")
        engine.execute(f"create table landed as from {landed}")
        engine.execute("reset force_compression")
        model = model.replace(landed, "landed")

        def every_column(query: str) -> float:
            """All columns worked out, none kept."""
            names = [row[0] for row in engine.execute(f"describe ({query})").fetchall()]
            counted = ", ".join(f'count("{name}")' for name in names)
            return seconds(lambda: engine.execute(f"select {counted} from ({query})").fetchall())

        def table(query: str) -> float:
            engine.execute("drop table if exists made")
            engine.execute("checkpoint")
            return seconds(lambda: engine.execute(f"create table made as {query}").fetchall())

        per_field, barest = duckdb_per_field("landed"), duckdb_barest("landed")
        fields = extraction(model, "exclude")
        return {
            "DuckDB: extract the fields / a query for each field": pairs(
                lambda: every_column(fields), lambda: every_column(per_field), runs
            ),
            "DuckDB: build base / the barest single pass": pairs(
                lambda: table(model), lambda: table(barest), runs
            ),
            "DuckDB: build base / a query for each field, stored": pairs(
                lambda: table(model), lambda: table(per_field), runs
            ),
        }


def on_clickhouse(data: Path, events: int, runs: int) -> dict[str, Figures]:
    """Statements over HTTP with two threads."""
    import clickhouse_connect

    from support.clickhouse.server import started
    from support.clickhouse_target import environment

    with started(data / "engine") as (address, _):
        env = environment(address, "bench")
        land(data, events, 1, env)
        run([BIN / "dbt", "--quiet", "run", "--select", MODEL, "--empty"], data, env)
        model = compiled(data, env)
        landed = "`bench_landing`.`featbit_events`"
        if landed not in model:
            sys.exit(f"{MODEL} does not read {landed}; tell benchmarks/base.py what it reads")
        with closing(
            clickhouse_connect.get_client(
                host=address.host,
                port=address.port,
                username=address.user,
                password=address.password,
                settings={"max_threads": 2, "session_timezone": "UTC", "join_use_nulls": 1},
                send_receive_timeout=3600,
            )
        ) as client:
            fields, of_model = extraction(model, "except"), settings_of_model(data)

            def every_column(*queries: str, **settings: Any) -> float:
                return sum(
                    seconds(lambda q=q: client.command(f"{q} format Null", settings=settings))
                    for q in queries
                )

            def table(*queries: str, **settings: Any) -> float:
                spent = 0.0
                for query in queries:
                    client.command("drop table if exists default.made sync")
                    spent += seconds(
                        lambda q=query: client.command(
                            "create table default.made engine = MergeTree "
                            f"order by (ingested_at, event_id) as {q}",
                            settings=settings,
                        )
                    )
                return spent

            per_field, barest = clickhouse_per_field(landed), clickhouse_barest(landed)
            return {
                "ClickHouse: extract the fields / a query for each field": pairs(
                    lambda: every_column(fields, **of_model), lambda: every_column(*per_field), runs
                ),
                "ClickHouse: build base / the barest single pass": pairs(
                    lambda: table(model, **of_model), lambda: table(barest), runs
                ),
                "ClickHouse: build base / a query for each field, stored": pairs(
                    lambda: table(model, **of_model), lambda: table(*per_field), runs
                ),
            }


def models_s(data: Path, *arguments: str, env: dict[str, str] | None = None) -> float:
    """Seconds from the start of a dbt run's first model to the end of its last."""
    run([BIN / "dbt", "--quiet", "run", *arguments], data, env)
    results: list[dict[str, Any]] = json.loads((data / "target/run_results.json").read_bytes())[
        "results"
    ]
    steps = [
        datetime.fromisoformat(timing[moment])
        for result in results
        if result["unique_id"].startswith("model.")
        for timing in result["timing"]
        for moment in ("started_at", "completed_at")
    ]
    return (max(steps) - min(steps)).total_seconds()


def all_leave(data: Path) -> tuple[str, str]:
    """What tells dbt that every environment may leave: each seed of `land` has one of its own."""
    landed = duckdb.read_parquet(f"{data}/landing/featbit_events/*.parquet")
    found = landed.project("env_id").distinct().fetchall()
    return "--vars", json.dumps({"flagmart_env_ids": sorted(env_id for (env_id,) in found)})


def increment(data: Path, events: int, runs: int) -> dict[str, Figures]:
    """Models of a run over one in a hundred new events of the next day, against a full run.

    Both as they are, and less a run with nothing new: dbt's own time for each model, which is all
    of that, is there however few events there are.
    """
    shutil.rmtree(data / "landing", ignore_errors=True)
    (data / "flagmart.duckdb").unlink(missing_ok=True)
    land(data, events, 1)
    run([BIN / "dbt", "--quiet", "seed"], data)
    models_s(data, "--full-refresh", *all_leave(data))
    measured = []
    for tomorrow in range(30, 31 + runs):
        land(data, events // 100, tomorrow, days=1, after=tomorrow)
        leave = all_leave(data)
        new, nothing = models_s(data, *leave), models_s(data, *leave)
        measured.append((new, models_s(data, "--full-refresh", *leave), nothing))
    # the first is a warm-up
    whole = [(new, full) for new, full, _ in measured[1:]]
    less = [(new - nothing, full - nothing) for new, full, nothing in measured[1:]]
    return {
        "DuckDB: run with 1 % new events / full run": of_pairs(whole),
        "DuckDB: the same, less a run with nothing new": of_pairs(less),
    }


def little_memory(data: Path, events: int) -> dict[str, Figures]:
    """Time per event of a full run in 1 GB, at four times the events against as many as given."""
    limited = {"FLAGMART_DUCKDB_MEMORY": "1GB"}

    def per_event(rows: int) -> float:
        (data / "flagmart.duckdb").unlink(missing_ok=True)
        run([BIN / "dbt", "--quiet", "seed"], data, limited)
        return models_s(data, env=limited) / rows

    few = per_event(events)
    land(data, 3 * events, 2)
    many = per_event(4 * events)
    return {
        f"DuckDB in 1 GB: time per event, {4 * events:,} events / {events:,}": {
            "ours_s": round(many * 4 * events, 2),
            "rival_s": round(few * events, 2),
            "ratio": round(many / few, 3),
            "runs": 1,
        }
    }
