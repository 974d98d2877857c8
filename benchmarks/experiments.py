"""Results of experiments, against the bare query by hand, and another day of them against all."""

from __future__ import annotations

import csv
import os
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import duckdb
from measure import BIN, ROOT, Figures, pairs, run

if TYPE_CHECKING:
    from pathlib import Path

sys.path.insert(0, str(ROOT / "tests"))

EXPERIMENTS, DAYS = 20, 30
EVALUATIONS_OF_A_USER = 200
"""Over all experiments: ten of each, so a run of fewer events has as many users fewer."""
ENV = "5f0e6b1c-0000-4000-8000-000000000000"
MODELS = ("int_experiment_exposures", "int_experiment_changes")
AGGREGATIONS = ("once", "count", "sum", "average")
EVENTS = """
    insert into base_featbit__events by name
    select
        uuid()::varchar as event_id, '{env}' as env_id, 'evaluation' as outcome,
        'FlagValue' as event, 'flag-' || hash(n * 3 + {salt}) % {experiments} as flag_key,
        'user-' || hash(n * 7 + {salt}) % {users} as user_key,
        -- one in 500 is of the other variation, so of users with ten about one in 50 sees both
        'variation-' || (
            hash(flag_key || user_key) % 2 + (hash(n * 17 + {salt}) % 500 = 0)::ubigint
        ) % 2 as variation_id,
        true as send_to_experiment,
        moment as occurred_at, moment::date as occurred_on, timestamp '{landed}' as ingested_at
    from (
        select n, timestamp '{start}' + to_milliseconds(n * {days} * 86400000 // {evaluations})
            as moment
        from range({evaluations}) as t(n)
    )
    union all by name
    select
        uuid()::varchar as event_id, '{env}' as env_id, 'metric' as outcome,
        'CustomEvent' as event, 'metric-' || hash(n * 5 + {salt}) % {experiments} as event_name,
        'user-' || hash(n * 11 + {salt}) % {users} as user_key,
        hash(n * 13) % 10000 / 100.0 as numeric_value,
        moment as occurred_at, moment::date as occurred_on, timestamp '{landed}' as ingested_at
    from (
        select n, timestamp '{start}' + to_milliseconds(n * {days} * 86400000 // {metrics})
            as moment
        from range({metrics}) as t(n)
    )
"""
RIVAL = """
    with exposed as (
        select
            experiment_key, metric_event, aggregation, ends_at, user_key,
            min({'at': occurred_at, 'id': event_id, 'variation': variation_id}) as first_sight,
            min(variation_id) <> max(variation_id) as in_two
        from base_featbit__events as e
        inner join int_experiments as x on e.env_id = x.env_id and e.flag_key = x.flag_key
        where outcome = 'evaluation' and send_to_experiment
            and occurred_at >= starts_at and occurred_at < ends_at
        group by all
    ),
    contributed as (
        select
            experiment_key, m.user_key,
            case any_value(aggregation)
                when 'once' then 1 when 'count' then count(*)
                when 'sum' then coalesce(sum(numeric_value), 0)
                else coalesce(avg(numeric_value), 0)
            end as value
        from base_featbit__events as m
        inner join exposed as x on m.event_name = metric_event and m.user_key = x.user_key
        where outcome = 'metric' and occurred_at >= first_sight.at and occurred_at < ends_at
        group by all
    )
    select
        experiment_key, first_sight.variation as variation,
        count(*) as users, count(value) as conversions,
        coalesce(sum(value), 0) as value_sum, coalesce(sum(value * value), 0) as squares,
        count_if(in_two) as in_two
    from exposed
    left join contributed using (experiment_key, user_key)
    group by all
"""
"""What one would write by hand, in floats; it has to give the same rows as ours (`_agree`).

So of evaluations in one instant the smallest id is the first here, too.
"""


def _events(evaluations: int, users: int, *, start: str, days: int, landed: str, salt: int) -> str:
    return EVENTS.format(
        env=ENV,
        experiments=EXPERIMENTS,
        users=users,
        evaluations=evaluations,
        metrics=evaluations // 10,
        start=start,
        days=days,
        landed=landed,
        salt=salt,
    )


def _seed(project: Path) -> None:
    with (project / "seeds/experiments.csv").open("r+", encoding="utf-8", newline="") as file:
        names = next(csv.reader(file))
        file.seek(0)
        file.truncate()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for number in range(EXPERIMENTS):
            of = AGGREGATIONS[number % len(AGGREGATIONS)]
            row = [f"experiment-{number}", ENV, f"flag-{number}", f"metric-{number}", of]
            # none begins or ends as the next does
            window = [f"2026-{month}-0{1 + number % 3} 0{number % 10}:30" for month in ("01", "03")]
            writer.writerow([*row, "higher", "variation-0", *window, "", ""])


def _cpu_s(engine: duckdb.DuckDBPyConnection, statements: list[str]) -> float:
    """Processor time of the statements, of which nothing is left."""
    began = os.times()
    engine.execute("begin")
    for statement in statements:
        engine.execute(statement).fetchall()
    engine.execute("rollback")
    ended = os.times()
    return ended.user + ended.system - began.user - began.system


def ratios(data: Path, evaluations: int, runs: int) -> dict[str, Figures]:
    """On `evaluations` and a tenth as many metric events, in processor seconds of two threads."""
    from support.dbt_project import copy_project

    users = max(1, evaluations // EVALUATIONS_OF_A_USER)
    project = data / "project"
    project.mkdir()
    copy_project(project)
    _seed(project)
    at = ["--project-dir", project, "--profiles-dir", project]
    dbt = [BIN / "dbt", "--quiet"]
    run([*dbt, "seed", *at], data)
    run([*dbt, "run", *at, "--empty", "--select", "+fct_experiment_results"], data)
    file = str(data / "flagmart.duckdb")
    with closing(duckdb.connect(file)) as engine:
        engine.execute("set threads = 2")
        engine.execute("set preserve_insertion_order = false")
        engine.execute(
            _events(evaluations, users, start="2026-01-01", days=DAYS, landed="2026-01-31", salt=0)
        )
    # the views as well, which --empty made over nothing
    chosen = ["--select", "+fct_experiment_results", "--exclude", "base_featbit__events"]
    run([*dbt, "run", *at, "--full-refresh", *chosen], data)
    full = _compiled(data, [*dbt, "compile", *at, "--full-refresh", *chosen])
    incremental = _compiled(data, [*dbt, "compile", *at, *chosen])
    with closing(duckdb.connect(file)) as engine:
        engine.execute("set threads = 2")
        engine.execute("set preserve_insertion_order = false")
        _agree(engine)
        ours = [f"create or replace table {name} as {sql}" for name, sql in full.items()]
        ours.append("from fct_experiment_results")
        by_hand = pairs(lambda: _cpu_s(engine, ours), lambda: _cpu_s(engine, [RIVAL]), runs)
        engine.execute(
            _events(
                evaluations // DAYS,
                users,
                start="2026-01-31",
                days=1,
                landed="2026-02-01",
                salt=12345,
            )
        )
        more = [f"insert into {name} by name {sql}" for name, sql in incremental.items()]
        another_day = pairs(lambda: _cpu_s(engine, more), lambda: _cpu_s(engine, ours), runs)
    return {
        f"DuckDB: results of {EXPERIMENTS} experiments / the bare query": by_hand,
        "DuckDB: another day of experiments / all of them": another_day,
    }


def _compiled(data: Path, command: list[str | Path]) -> dict[str, str]:
    run(command, data)
    folder = data / "target/compiled"
    return {name: next(folder.rglob(f"{name}.sql")).read_text("utf-8") for name in MODELS}


def _agree(engine: duckdb.DuckDBPyConnection) -> None:
    differ = engine.execute(
        f"select count(*) from ({RIVAL}) as theirs full join fct_experiment_results as ours "
        "on theirs.experiment_key = ours.experiment_key and variation = variation_id "
        "where theirs.users is distinct from ours.users "
        "or theirs.conversions is distinct from ours.conversions "
        "or theirs.in_two is distinct from ours.users_in_two_variations "
        "or abs(theirs.value_sum - ours.value_sum) > 1e-6 "
        "or abs(theirs.squares / ours.value_sum_squares - 1) > 1e-9"
    ).fetchall()
    if differ != [(0,)]:
        sys.exit(f"the results differ in {differ[0][0]} variations")
