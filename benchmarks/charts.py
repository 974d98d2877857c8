"""Charts from the 15-minute counts, against the same from the evaluations themselves."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
from base import land, models_s
from measure import BIN, ROOT, Figures, pairs, run, seconds, spent

if TYPE_CHECKING:
    from pathlib import Path

sys.path.insert(0, str(ROOT / "tests"))

FLAGS, DAYS = 50, 90
START, END = "2026-01-01", "2026-04-01"
HOUR_MS = 3_600_000
RIVAL = """
with charted as (
    select epoch_ms(timestamp '{start}') as start_ms, epoch_ms(timestamp '{end}') as end_ms
),
counted as (
    select env_id, flag_key, variation_id,
        (epoch_ms(occurred_at) - start_ms) // {step} as interval_index, count(*) as evaluations
    from stg_featbit__flag_evaluations, charted
    where occurred_at >= timestamp '{start}' and occurred_at < timestamp '{end}' {of_flag}
    group by all
),
series as (select distinct env_id, flag_key, variation_id from counted),
spine as (
    select series.*, unnest(range((end_ms - start_ms) // {step})) as interval_index
    from series, charted
)
select spine.*, make_timestamp((start_ms + interval_index * {step}) * 1000) as interval_start_at,
    interval_start_at + to_milliseconds({step}) as interval_end_at,
    strftime(interval_start_at, '%Y-%m-%dT%H:%M:%S+00:00') as interval_start_local,
    false as is_partial, coalesce(evaluations, 0) as evaluations
from spine
left join counted using (env_id, flag_key, variation_id, interval_index), charted
"""
"""Prefab's method on the evaluations: integer division, and zeros from a spine."""


def _compiled(data: Path, chart: str) -> str:
    command = [str(BIN / "dbt"), "--quiet", "compile", "--inline", chart]
    places = {"FLAGMART_DATA": data, "DBT_TARGET_PATH": data / "target", "DBT_LOG_PATH": data}
    env = {**os.environ, **{name: str(place) for name, place in places.items()}}
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=True
    ).stdout


def _drawn(engine: duckdb.DuckDBPyConnection, query: str) -> float:
    """All columns of the points worked out, none kept."""
    names = [row[0] for row in engine.execute(f"describe ({query})").fetchall()]
    counted = ", ".join(f'count("{name}")' for name in names)
    return seconds(lambda: engine.execute(f"select {counted} from ({query})").fetchall())


def _many(data: Path, project: Path, count: int) -> float:
    """Seconds of the models of charts when there are `count`, each of one flag, by the hour."""
    with (project / "seeds/evaluation_charts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = ("chart_name", "env_id", "flag_key", "starts_at", "ends_at", "timezone")
        writer.writerow([*names, "interval", "alignment"])
        with closing(duckdb.connect(str(data / "flagmart.duckdb"), read_only=True)) as engine:
            flags = engine.execute(
                "select distinct flag_key from fct_evaluation_counts order by flag_key"
            ).fetchall()
        for number in range(count):
            flag = flags[number % len(flags)][0]
            zone = ("UTC", "Asia/Kathmandu", "America/St_Johns")[number % 3]
            writer.writerow([f"chart-{number}", "", flag, "-7d", "", zone, "1h", "fixed"])
    at = ["--project-dir", project, "--profiles-dir", project]
    run([BIN / "dbt", "--quiet", "seed", *at, "--select", "evaluation_charts"], data)
    chosen = ["int_evaluation_charts", "int_evaluation_chart_edges", "fct_evaluation_chart_points"]
    return models_s(data, *at, "--select", *chosen)


def ratios(data: Path, events: int, runs: int) -> dict[str, Figures]:
    """On `events` of `FLAGS` flags over `DAYS` days, two threads."""
    from support.dbt_project import copy_project

    land(data, events, 1, flags=FLAGS, days=DAYS, at_once=events)
    run([BIN / "dbt", "--quiet", "build", "--exclude-resource-type", "test", "unit_test"], data)
    with closing(duckdb.connect(str(data / "flagmart.duckdb"), read_only=True)) as engine:
        found = engine.execute(
            "select flag_key from fct_evaluation_counts group by all order by sum(evaluations) desc"
        ).fetchall()
    flag = found[len(found) // 2][0]
    window = f"start='{START}', end='{END}', interval='1h'"
    one = _compiled(data, f"{{{{ flagmart.evaluation_chart(flag='{flag}', {window}) }}}}")
    every = _compiled(data, f"{{{{ flagmart.evaluation_chart({window}) }}}}")
    of_flag = f"and flag_key = '{flag}'"
    rival_one = RIVAL.format(start=START, end=END, step=HOUR_MS, of_flag=of_flag)
    rival_every = RIVAL.format(start=START, end=END, step=HOUR_MS, of_flag="")
    with closing(duckdb.connect(str(data / "flagmart.duckdb"), read_only=True)) as engine:
        engine.execute("set threads = 2")
        for ours, theirs in ((one, rival_one), (every, rival_every)):
            totals = [
                engine.execute(f"select count(*), sum(evaluations) from ({q})").fetchall()
                for q in (ours, theirs)
            ]
            if totals[0] != totals[1]:
                sys.exit(f"the charts differ: {totals}")
        results = {
            "DuckDB: a flag's hourly chart from the counts / from the evaluations": pairs(
                lambda: _drawn(engine, one), lambda: _drawn(engine, rival_one), runs
            ),
            "DuckDB: all flags' hourly chart from the counts / from the evaluations": pairs(
                lambda: _drawn(engine, every), lambda: _drawn(engine, rival_every), runs
            ),
        }
    asked = [BIN / "flagmart", "chart", "--flag", flag, "--start", START, "--end", END]
    asked += ["--timezone", "UTC", "--output", "json"]
    # 4 h as the counts have it, 7 h from a start that only the evaluations can answer
    stored, odd = (
        [spent([*asked, *more], data) for _ in range(runs)]
        for more in (["--interval", "4h"], ["--interval", "7h", "--start", f"{START}T10:07"])
    )
    results[f"DuckDB: flagmart chart of {events:,} events (an odd start)"] = {
        "ours_s": round(max(one.wall_s for one in stored), 2),
        "rival_s": round(max(one.wall_s for one in odd), 2),
        "runs": runs,
    }
    project = data / "project"
    project.mkdir()
    copy_project(project)
    few, hundred, many = (_many(data, project, count) for count in (10, 100, 1000))
    results["DuckDB: models of 1,000 charts / of 10 (a hundredfold)"] = {
        "ours_s": round(many, 2),
        "rival_s": round(few, 2),
        "hundred_s": round(hundred, 2),
        "ratio": round(many / few, 3),
        "runs": 1,
    }
    return results
