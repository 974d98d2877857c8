"""`flagmart chart` on both engines: the points that the models draw, and what is said otherwise."""

import csv
import io
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from flagmart.charts.points import COLUMNS, Asked, draw
from flagmart.delivery.deliveries import read_relations
from flagmart.errors import FlagmartError, UsageError
from flagmart.report import flags, windows
from flagmart.settings import DataFolder
from flagmart.talk import printable
from flagmart.warehouse import open_reader
from support.clickhouse.server import running
from support.clickhouse_target import client, environment, rows
from support.command import flagmart
from support.dbt_project import ROOT, build, copy_project, query
from support.landed import ENV, event, lines

HOSTILE = """o'b\\'"r {{ 1 }} {flag_key:String} {% x %} $1 %s ?; -- /* é"""
OTHER_ENV = "528bbb6d-bfaa-4791-afee-789c5ebd96ec"
CHARTS = {
    "hostile": Asked(
        HOSTILE, ENV, "2023-12-12 01:07", "2023-12-14 00:00", "4h", "America/Chicago", "fixed"
    ),
    "all_envs": Asked("checkout", "", "-3d", "", "1d", "Asia/Kathmandu", "calendar"),
    # its last quarter hour has no evaluation of it
    "months": Asked("checkout", OTHER_ENV, "2023-09-30", "2023-12-13 00:15", "1mo", "", "calendar"),
}
ENGINES = ("duckdb", "clickhouse")
SEEDED = ("env_id", "flag_key", "starts_at", "ends_at", "timezone", "interval", "alignment")


@dataclass(frozen=True)
class Built:
    """One engine with the charts above as rows of the seed, too."""

    engine: str
    data: Path
    env: dict[str, str]

    def points(self, chart: str) -> list[tuple[Any, ...]]:
        """What the model has of it, moments as text."""
        columns = ", ".join(
            f"cast({c} as {'varchar' if self.engine == 'duckdb' else 'String'})"
            if c.endswith("_at")
            else c
            for c in COLUMNS
        )
        statement = (
            f"select {columns} from {{}}fct_evaluation_chart_points "
            f"where chart_name = '{chart}' order by env_id, variation_id, interval_index"
        )
        if self.engine == "duckdb":
            found = query(self.data, statement.format(""))
        else:
            with client(ADDRESS[0]) as opened:
                found = rows(opened, statement.format("chart_command."))
        return [
            tuple(
                str(value)[:19].replace(" ", "T") + "+00:00" if column.endswith("_at") else value
                for column, value in zip(COLUMNS, row, strict=True)
            )
            for row in found
        ]

    def run(self, asked: Asked, *more: str, codes: tuple[int, ...] = (0,)) -> str:
        return flagmart(
            *("chart", "--flag", asked.flag, "--env", asked.env, "--start", asked.start),
            *("--end", asked.end, "--interval", asked.interval, "--timezone", asked.timezone),
            *("--alignment", asked.alignment, *more),
            data=self.data,
            env=self.env,
            codes=codes,
        )


ADDRESS: list[Any] = []


def evaluation(number: int, flag: str, env: str, variation: str) -> dict[str, Any]:
    properties = {
        "envId": env,
        "featureFlagKey": flag,
        "userKeyId": "u",
        "variationId": variation,
    }
    return event(
        number,
        env_id=env,
        distinct_id=f"{env}-{flag}",
        properties=json.dumps(properties),
        # from 2023-12-11 on, every 11 minutes
        timestamp=(1_702_252_800 + number * 660) * 1_000_000,
    )


def flag(key: str, **names: str) -> dict[str, Any]:
    variations = [{"id": each, "name": name, "value": "x"} for each, name in names.items()]
    return {"envId": ENV, "key": key, "variations": variations}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Built]]:
    root = tmp_path_factory.mktemp("chart")
    project = root / "project"
    project.mkdir()
    copy_project(project)
    with (project / "seeds/evaluation_charts.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("chart_name", *SEEDED))
        for name, a in CHARTS.items():
            cells = (a.env, a.flag, a.start, a.end, a.timezone, a.interval, a.alignment)
            writer.writerow((name, *cells))
    source = root / "events.jsonl"
    evaluations = (
        evaluation(n, (HOSTILE, "checkout")[n % 2], (ENV, OTHER_ENV)[n % 3 // 2], f"v{n % 5 % 2}")
        for n in range(600)
    )
    source.write_text(lines(*evaluations), encoding="utf-8")
    known = root / "flags.jsonl"
    known.write_text(lines(flag("checkout", v0="off", v1="on"), flag(HOSTILE, v0=HOSTILE)))
    with running(root / "clickhouse") as address, ThreadPoolExecutor() as both:
        ADDRESS[:] = [address]

        def build_on(engine: str) -> Built:
            env = environment(address, "chart_command") if engine == "clickhouse" else None
            target = {"DBT_TARGET_PATH": str(root / ("target" if env is None else "target-other"))}
            flagmart("ingest", "files", str(source), data=root, env=env)
            flagmart("ingest", "flags", str(known), data=root, env=env)
            build(
                *("--select", "+fct_evaluation_chart_points", "int_asked_evaluation_chart"),
                *("int_asked_evaluation_chart_points", "int_asked_evaluation_chart_users"),
                "fct_served_variations",
                data=root,
                project=project,
                env=env,
            )
            return Built(engine, root, {**(env or {}), **target})

        yield {made.engine: made for made in both.map(build_on, ENGINES)}


@pytest.fixture(params=ENGINES)
def one(
    request: pytest.FixtureRequest, built: dict[str, Built], monkeypatch: pytest.MonkeyPatch
) -> Built:
    found = built[request.param]
    for name, value in found.env.items():
        monkeypatch.setenv(name, value)
    return found


def test_points_are_those_of_the_model(one: Built) -> None:
    for name, asked in CHARTS.items():
        right = one.points(name)
        assert sum(row[-1] for row in right) > 40
        found = json.loads(one.run(asked, "--output", "json"))
        assert [tuple(point.values()) for point in found] == right
        assert list(found[0]) == list(COLUMNS)


def test_the_same_as_text(built: dict[str, Built]) -> None:
    one, asked = built["duckdb"], CHARTS["hostile"]
    right = one.points("hostile")
    assert any(row[-2] for row in right)
    [header, *found] = csv.reader(io.StringIO(one.run(asked, "--output", "csv")))
    assert header == list(COLUMNS)
    assert [row[-2:] for row in found] == [
        ["true" if partial else "false", str(count)] for *_, partial, count in right
    ]
    # a T between date and time spares the quotes
    told = one.run(replace(asked, start="2023-12-12T01:07"))
    [_, *table] = told.splitlines()
    assert len(table) == len(right)
    assert table[0].split()[0] == "2023-12-12T01:07:00-06:00"
    assert sum(line.endswith("partial") for line in table) == 2
    # of the two variations only one has landed with the flag
    called = {HOSTILE, "v1"}
    assert {
        point["variation_label"] for point in json.loads(one.run(asked, "--output", "json"))
    } == called
    assert all(any(f"  {printable(name)}  " in line for line in table) for name in called)
    picture = one.run(asked, "--output", "bars")
    # names may be of any length
    named = [line for line in picture.splitlines() if "evaluations, at most" in line]
    assert {line.rpartition(": ")[0] for line in named} == {printable(name) for name in called}
    assert max(len(line) for line in picture.splitlines() if line not in named) <= 80
    assert picture.splitlines()[-1] == "12 intervals; the last is cut short by the end"


REFUSED: tuple[tuple[dict[str, str], str], ...] = (
    ({"timezone": HOSTILE}, "--timezone is a name of the IANA tz database like"),
    ({"interval": "'"}, "--interval is <n> and one of m, h, d, w, mo"),
    ({"start": "\\"}, "--start is a time in the chart's zone (2026-01-31 00:00)"),
    ({"end": "'; --"}, "--end is a time in the chart's zone"),
    ({"flag": "chekout"}, "--flag='chekout' was never evaluated; there is checkout"),
    ({"env": "nope"}, "--env='nope' has no evaluation of o'b"),
    ({"interval": "0h"}, "--interval is <n> and one of m, h, d, w, mo"),
    ({"start": "2023-12-15"}, "--start='2023-12-15': --start lies after --end"),
    ({"start": "-1mo"}, "--start goes back by months only with --alignment calendar"),
    ({"alignment": "calendar"}, "--alignment calendar is for an --interval of d, w or mo"),
    ({"interval": "1mo"}, "an --interval of months needs --alignment calendar"),
    ({"interval": "1m", "start": "2001-01-01"}, "at most 100000 intervals; make --interval"),
    ({"flag": ""}, "--flag is blank"),
    ({"flag": "a\udcff"}, "is no UTF-8 text"),
)


def test_a_chart_that_cannot_be_drawn_says_why_and_the_mend(one: Built) -> None:
    good = CHARTS["hostile"]
    data = DataFolder(one.data)
    # what the engine says of a text is asked of both, the rest is one SQL
    for changes, told in REFUSED[: 6 if one.engine == "clickhouse" else None]:
        with pytest.raises(UsageError) as raised:
            draw(replace(good, **changes), ROOT, data, 0)
        assert told in str(raised.value)


def test_a_report_reads_the_same_on_both(
    built: dict[str, Built], monkeypatch: pytest.MonkeyPatch
) -> None:
    # ClickHouse plans each statement for seconds, so one range in one zone
    monkeypatch.setattr(windows, "RANGES", windows.RANGES[2:3])
    found = []
    for one in built.values():
        for name, value in {"DBT_TARGET": one.engine, **one.env}.items():
            monkeypatch.setenv(name, value)
        with open_reader(DataFolder(one.data), 0, print) as reader:
            found.append(flags.read(reader, read_relations(ROOT), ["America/Chicago"]))
    assert found[0] == found[1]
    drawn = found[0].drawn["America/Chicago"]["30d"]
    everyone = drawn.users[ENV, HOSTILE, flags.ANY]
    # there is one user only, in whatever variation
    assert max(everyone) == 1
    assert drawn.new_users[ENV, HOSTILE, flags.ANY] == 1
    assert sum(map(sum, drawn.evaluations.values())) == 600


def test_a_window_without_evaluations_is_an_empty_table(one: Built) -> None:
    empty = replace(CHARTS["hostile"], start="2001-01-01", end="2001-02-01")
    found = draw(empty, ROOT, DataFolder(one.data), 0)
    assert found.points == []
    assert found.remarks == [f"{HOSTILE}: no evaluations in this window"]


def test_an_empty_window_ends_well(built: dict[str, Built]) -> None:
    empty = replace(CHARTS["all_envs"], start="2023-12-12", end="2023-12-12")
    for form, told in (
        ("table", "START  ENVIRONMENT  VARIATION  EVALUATIONS\n"),
        ("bars", ""),
        ("csv", ",".join(COLUMNS) + "\n"),
        ("json", "[]\n"),
    ):
        assert built["duckdb"].run(empty, "--output", form) == told


def test_what_was_never_built_is_said(
    built: dict[str, Built], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = CHARTS["all_envs"]
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path))
    with pytest.raises(FlagmartError, match=r"manifest\.json does not exist; run `dbt build`"):
        draw(asked, tmp_path, DataFolder(tmp_path), 0)
    for name, value in built["duckdb"].env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(FlagmartError, match=r"flagmart\.duckdb does not exist; run `dbt build`"):
        draw(asked, tmp_path, DataFolder(tmp_path), 0)
    for name, value in built["clickhouse"].env.items():
        monkeypatch.setenv(name, value)
    # parsed, and built by none
    with client(ADDRESS[0]) as opened:
        opened.command("drop view chart_command.int_asked_evaluation_chart_points")
    with pytest.raises(FlagmartError, match="int_asked_evaluation_chart_points is not on Click"):
        draw(asked, tmp_path, DataFolder(built["clickhouse"].data), 0)
