"""Charts in zones whose clocks change: every point, on both engines, as plain Python draws it.

2,000 charts, and by `make soak` 50,000 in builds of 10,000; `FLAGMART_CHARTS_SEED` for others.
"""

import csv
import json
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from flagmart.settings import DataFolder
from flagmart.warehouse import open_run
from flagmart.warehouse.landing import EVENT_COLUMNS
from flagmart.zones import LAST
from support.chart_oracle import (
    EPOCH,
    Chart,
    Evaluation,
    Point,
    changes,
    edges,
    points,
    shown,
    zone,
)
from support.clickhouse.server import Address, running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import flagmart
from support.dbt_project import build, copy_project, query

SEED = int(os.environ.get("FLAGMART_CHARTS_SEED", "1"))
BLOCK = 10_000
"""Charts of a build."""
AT = datetime(2037, 12, 31, tzinfo=UTC)
"""When events are ingested: after every one of them."""
YEARS = (2001, 2004, 2007, 2011, 2014, 2018, 2022, 2026, 2031, 2036)
"""More than the 100 months that ClickHouse takes in one insert unless it is told otherwise."""
ZONES = (
    "America/Chicago",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Europe/Lisbon",
    "UTC",
)
UNITS = {"m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000, "mo": 2_629_800_000}
COLUMNS = (
    "chart_name, env_id, flag_key, variation_id, interval_index, {}, {}, "
    "interval_start_local, is_partial, evaluations"
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running(tmp_path_factory.mktemp("clickhouse")) as found:
        yield found


def a_chart(chance: random.Random, name: str, env: str, flag: str) -> Chart:
    """A chart that begins near a change of its zone's clocks, or where there is none, anywhere."""
    timezone = chance.choice(ZONES)
    at = zone(timezone)
    near = [ms for ms in changes(at) if shown(ms, at).year in YEARS]
    year = chance.choice(YEARS)
    day = datetime(year, chance.choice((1, 3, 8)), chance.choice((1, 15, 29, 31)), tzinfo=UTC)
    change = chance.choice(near) if near else int(day.timestamp()) * 1000
    start = shown(change + chance.choice((0, -1)), at).replace(tzinfo=None, second=0, microsecond=0)
    start += timedelta(minutes=chance.choice((0, 0, 15, 30, chance.randint(-90, 90))))
    alignment = chance.choice(("fixed", "calendar"))
    if alignment == "fixed":
        interval = chance.choice(
            [
                "1m",
                "5m",
                "7m",
                "15m",
                "20m",
                "45m",
                "90m",
                "1h",
                "2h",
                "4h",
                "5h",
                "24h",
                "1d",
                "2d",
                "1w",
            ]
        )
        start -= timedelta(minutes=chance.choice((0, 15, 45, 60, chance.randint(0, 300))))
    else:
        interval = chance.choice(["1d", "1d", "2d", "3d", "1w", "2w", "1mo", "1mo", "2mo", "5mo"])
        back = {"d": 3, "w": 15, "mo": 40}[interval.lstrip("0123456789")]
        start -= timedelta(days=chance.randint(0, back))
        if interval.endswith("mo") and chance.random() < 0.5:
            start = start.replace(month=1, day=chance.choice((28, 29, 30, 31)))
    if chance.random() < 0.1:
        start += timedelta(seconds=chance.randint(1, 59))
    unit = interval.lstrip("0123456789")
    step = int(interval.removesuffix(unit)) * UNITS[unit]
    length = timedelta(milliseconds=step) * chance.choice((0, 0.4, 1, 2, 7.5, 12, 25))
    end = start + timedelta(minutes=length // timedelta(minutes=1))
    written = start.isoformat(" ")
    if chance.random() < 0.15:
        units = chance.randint(1, 9)
        if alignment == "calendar":
            written = f"-{units}{chance.choice(('d', 'w', 'mo'))}"
        else:
            written = f"-{units}{chance.choice(('h', 'd'))}"
    return Chart(name, env, flag, written, end.isoformat(" "), timezone, interval, alignment)


def some_evaluations(chance: random.Random, chart: Chart) -> Iterator[Evaluation]:
    """On edges, a millisecond before them, and anywhere about."""
    found, end_ms = edges(chart, 0)
    moments = [*chance.sample(found, min(4, len(found))), found[0], end_ms]
    moments += [chance.randint(found[0], max(found[-1], end_ms)) for _ in range(4)]
    for moment in moments:
        at_ms = moment - chance.choice((0, 0, 1))
        if shown(at_ms, zone("UTC")).year in YEARS:
            yield Evaluation(chart.env, chart.flag, chance.choice("vw"), at_ms)


def drawn_at_random(chance: random.Random, count: int) -> tuple[list[Chart], list[Evaluation]]:
    charts: list[Chart] = []
    evaluations: list[Evaluation] = []
    while len(charts) < count:
        number = len(charts)
        env, flag = f"env-{number // 60}", f"flag-{number // 3}"
        chart = a_chart(chance, f"chart-{number}", env, flag)
        found, end_ms = edges(chart, 0)
        # refused as charts: the end before the start, or behind the zone data
        if found[0] > end_ms or end_ms > LAST * 1000:
            continue
        evaluations += some_evaluations(chance, chart)
        # some look at all flags or environments; one has no events
        change = chance.random()
        if change < 0.05:
            chart = Chart(chart.name, env, "", *astuple(chart)[3:])
        elif change < 0.3:
            chart = Chart(chart.name, "", flag, *astuple(chart)[3:])
        elif change < 0.32:
            chart = Chart(chart.name, env, "flag-of-none", *astuple(chart)[3:])
        charts.append(chart)
    return charts, evaluations


def land(data: Path, evaluations: list[Evaluation], other: dict[str, str]) -> None:
    """An ingest run of these on DuckDB, and the same one on the engine of `other`."""
    batch = pa.RecordBatch.from_pylist(
        [
            {
                "event_id": f"00000000-0000-4000-8000-{number:012d}",
                "env_id": one.env,
                "event": "FlagValue",
                "distinct_id": f"{one.env}-{one.flag}",
                "properties": json.dumps(
                    {
                        "envId": one.env,
                        "featureFlagKey": one.flag,
                        "userKeyId": "u",
                        "variationId": one.variation,
                    }
                ),
                "occurred_at": EPOCH + timedelta(milliseconds=one.at_ms),
                "source_ref": f"charts:{number}",
            }
            for number, one in enumerate(evaluations)
        ],
        EVENT_COLUMNS,
    )
    with ExitStack() as runs:
        opened = [runs.enter_context(open_run(DataFolder(data), "file", ("charts",)))]
        with pytest.MonkeyPatch.context() as patched:
            for name, value in other.items():
                patched.setenv(name, value)
            opened.append(runs.enter_context(open_run(DataFolder(data), "file", ("charts",))))
        for run in opened:
            run.begin("charts")
            run.append(batch)
            run.finish()


def write_seed(project: Path, charts: list[Chart]) -> None:
    with (project / "seeds/evaluation_charts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                "chart_name",
                "env_id",
                "flag_key",
                "starts_at",
                "ends_at",
                "timezone",
                "interval",
                "alignment",
            ]
        )
        writer.writerows(astuple(chart) for chart in charts)


def differences(name: str, found: Counter[Point], right: Counter[Point]) -> str:
    """Nothing, or what an engine has and what would be right."""
    wrong, missing = found - right, right - found
    if not wrong and not missing:
        return ""
    some = f"wrong {sorted(wrong)[:4]}, missing {sorted(missing)[:4]}"
    return f"{name}: {len(wrong)} wrong, {len(missing)} missing; {some}"


@pytest.mark.parametrize("count", [2_000, pytest.param(50_000, marks=pytest.mark.soak)])
def test_every_point_is_what_plain_python_draws(
    count: int, tmp_path: Path, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_NOW", AT.isoformat())
    project = tmp_path / "project"
    project.mkdir()
    copy_project(project)
    chance = random.Random(SEED)
    for number, first in enumerate(range(0, count, BLOCK)):
        data = tmp_path / f"data-{number}"
        data.mkdir()
        database = f"charts_{number}"
        other = environment(address, database)
        charts, evaluations = drawn_at_random(chance, min(BLOCK, count - first))
        land(data, evaluations, other)
        write_seed(project, charts)
        for env in (None, other):
            build("--select", "+fct_evaluation_chart_points", data=data, project=project, env=env)
        newest = max(one.at_ms for one in evaluations) // 900_000 * 900_000 + 900_000
        by_flag: dict[str, list[Evaluation]] = {}
        by_env: dict[str, list[Evaluation]] = {}
        for one in evaluations:
            by_flag.setdefault(one.flag, []).append(one)
            by_env.setdefault(one.env, []).append(one)
        right: Counter[Point] = Counter()
        for chart in charts:
            among = by_flag.get(chart.flag, []) if chart.flag else by_env[chart.env]
            right.update(points(chart, among, newest))
        columns = COLUMNS.format("epoch_ms(interval_start_at)", "epoch_ms(interval_end_at)")
        ours = query(data, f"select {columns} from fct_evaluation_chart_points")
        columns = COLUMNS.format(
            "toUnixTimestamp64Milli(interval_start_at)", "toUnixTimestamp64Milli(interval_end_at)"
        )
        with client_of(address) as client:
            theirs = rows(client, f"select {columns} from {database}.fct_evaluation_chart_points")
        assert len(right) > len(charts)
        wrong = [
            differences("DuckDB", Counter(ours), right),
            differences("ClickHouse", Counter(theirs), right),
        ]
        assert wrong == ["", ""]


def test_quarter_hours_and_evaluations_give_the_same_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a chart of single minutes every quarter hour is cut, and no count is read any more."""
    monkeypatch.setenv("FLAGMART_NOW", AT.isoformat())
    source = tmp_path / "events.jsonl"
    options = "--events 3000 --users 100 --flags 3 --days 20 --start 2026-03-01 --seed 3"
    flagmart("generate", *options.split(), "--out", str(source), data=tmp_path, at=AT)
    flagmart("ingest", "files", str(source), data=tmp_path, at=AT)
    project = tmp_path / "project"
    project.mkdir()
    copy_project(project)
    window = ("2026-03-05 00:00", "2026-03-12 00:00", "Australia/Lord_Howe")
    charts = [
        Chart("hours", "", "", *window, "1h", "fixed"),
        Chart("days", "", "", *window, "1d", "calendar"),
    ]
    minutes = Chart("minutes", "", "", *window, "1m", "fixed")
    wanted = "select * from fct_evaluation_chart_points where chart_name <> 'minutes' order by all"
    drawn = []
    for among in (charts, [*charts, minutes]):
        write_seed(project, among)
        build("--select", "+fct_evaluation_chart_points", data=tmp_path, project=project)
        drawn.append(query(tmp_path, wanted))
    assert drawn[0] == drawn[1]
    assert len(drawn[0]) > 7 * 24
    assert sum(row[-1] for row in drawn[0]) > 1000
