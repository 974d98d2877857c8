"""`flagmart experiments` on both engines, over tables as dbt builds them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from typer.testing import CliRunner, Result

from flagmart.cli import app
from flagmart.errors import Exit, FlagmartError
from support.clickhouse.server import running
from support.clickhouse_target import client, environment
from support.command import environment as command_environment
from support.command import flagmart
from support.dbt_project import ROOT

ENGINES = ("duckdb", "clickhouse")
DATABASE = "experiments_command"
TYPES = {
    "is_baseline": "Bool",
    "expected_share": "Nullable(Float64)",
    "value_sum": "Float64",
    "value_sum_squares": "Float64",
    "users": "Int64",
    "conversions": "Int64",
    "users_in_two_variations": "Int64",
    "users_beyond_range": "Int64",
    "day_on": "Date",
    "mend": "Nullable(String)",
    "ends_at": "Nullable(DateTime64(6, 'UTC'))",
}
"""Of columns that are no text."""
ON_DUCKDB = {
    "Int64": "bigint",
    "Float64": "double",
    "Nullable(Float64)": "double",
    "Nullable(String)": "varchar",
    "String": "varchar",
    "Bool": "boolean",
    "Date": "date",
    "Nullable(DateTime64(6, 'UTC'))": "timestamp",
}
COLUMNS = (
    *("experiment_key", "env_id", "flag_key", "metric_event", "aggregation", "success"),
    *("variation_id", "is_baseline", "expected_share", "users", "conversions", "value_sum"),
    *("value_sum_squares", "users_in_two_variations", "users_beyond_range"),
)
TABLES = {
    "fct_experiment_results": COLUMNS,
    "fct_experiment_daily": (*COLUMNS, "day_on"),
    "int_experiments": ("experiment_key", "mend", "ends_at"),
}


def row(
    key: str, variation: str, users: int, conversions: int, *more: Any, share: float | None = None
) -> tuple[Any, ...]:
    experiment = (key, "production", "checkout", "purchase", "once", "higher")
    value = float(conversions)
    counted = (users, conversions, value, value, 0, 0)
    return (*experiment, variation, variation == "off", share, *counted, *more)


RESULTS = [
    row("split", "off", 5_400, 500, share=0.5),
    row("split", "on", 4_600, 460, share=0.5),
    row("button", "on", 10_012, 1_120),
    row("button", "off", 9_988, 1_000),
    row("three", "off", 2_000, 200),
    row("three", "blue", 2_010, 260),
    row("three", "red", 1_990, 203),
]
DAILY = [
    row("button", variation, users * day, conversions * day, date(2026, 1, day))
    for day in (2, 1)
    for variation, users, conversions in (("on", 500, 60), ("off", 510, 40))
]
DEFINED = [
    *((key, None, datetime.fromisoformat("2026-03-01")) for key in ("button", "split", "nobody")),
    ("three", None, datetime.fromisoformat("2149-01-01")),
    ("mistaken", "ends_at is no UTC time", None),
]
ROWS = {
    "fct_experiment_results": RESULTS,
    "fct_experiment_daily": DAILY,
    "int_experiments": DEFINED,
}


@dataclass(frozen=True)
class Built:
    """One engine with the tables above."""

    data: Path
    env: dict[str, str]

    def run(self, *arguments: str) -> Result:
        """The command in this process, which has loaded scipy once."""
        env = command_environment(self.data) | self.env
        return CliRunner().invoke(app, ["experiments", *arguments], env=env)

    def told(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.exit_code == 0, done.exception
        return done.stdout

    def fails(self, *arguments: str) -> FlagmartError:
        done = self.run(*arguments)
        assert done.stdout == ""
        assert isinstance(done.exception, FlagmartError)
        return done.exception

    def records(self, *arguments: str) -> list[dict[str, Any]]:
        found = json.loads(self.told(*arguments, "--output", "json"))
        assert isinstance(found, list)
        return found


def manifest(
    folder: Path, schema: str, adapter: str, tables: Sequence[str] = tuple(TABLES)
) -> None:
    nodes = {
        f"model.flagmart.{name}": {"resource_type": "model", "name": name, "schema": schema}
        for name in tables
    }
    folder.mkdir(parents=True)
    document = {"metadata": {"adapter_type": adapter}, "nodes": nodes}
    (folder / "manifest.json").write_text(json.dumps(document), encoding="utf-8")


def on_duckdb(data: Path) -> Built:
    data.mkdir()
    with duckdb.connect(str(data / "flagmart.duckdb")) as connection:
        connection.execute("create schema flagmart_builds")
        connection.execute(
            "create table flagmart_builds.builds as "
            "select 'run' as invocation_id, 'finished' as state"
        )
        connection.execute(
            "create table flagmart_builds.node_results (node_id varchar, status varchar)"
        )
        for name, columns in TABLES.items():
            kinds = (f"{c} {ON_DUCKDB[TYPES.get(c, 'String')]}" for c in columns)
            connection.execute(f"create table {name} ({', '.join(kinds)})")
            marks = ", ".join("?" * len(columns))
            connection.executemany(f"insert into {name} values ({marks})", ROWS[name])
    manifest(data / "target", "main", "duckdb")
    return Built(data, {"DBT_TARGET_PATH": str(data / "target")})


def on_clickhouse(data: Path, address: Any) -> Built:
    with client(address) as opened:
        for database in (DATABASE, f"{DATABASE}_builds"):
            opened.command(f"create database {database}")
        made = "engine = MergeTree order by tuple()"
        builds = f"{DATABASE}_builds"
        opened.command(f"create table {builds}.builds (invocation_id String, state String) {made}")
        opened.insert(f"{builds}.builds", [["run", "finished"]])
        opened.command(f"create table {builds}.node_results (node_id String, status String) {made}")
        for name, columns in TABLES.items():
            kinds = (f"{c} {TYPES.get(c, 'String')}" for c in columns)
            opened.command(f"create table {DATABASE}.{name} ({', '.join(kinds)}) {made}")
            opened.insert(f"{DATABASE}.{name}", ROWS[name], column_names=columns)
    manifest(data / "target", DATABASE, "clickhouse")
    env = {**environment(address, DATABASE), "DBT_TARGET_PATH": str(data / "target")}
    return Built(data, env)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Built]]:
    root = tmp_path_factory.mktemp("experiments")
    with running(root / "server") as address:
        yield {
            "duckdb": on_duckdb(root / "duckdb"),
            "clickhouse": on_clickhouse(root / "clickhouse", address),
        }


@pytest.fixture
def one(built: dict[str, Built]) -> Built:
    return built["duckdb"]


def test_both_engines_say_the_same(built: dict[str, Built]) -> None:
    found = {engine: built[engine].records() for engine in ENGINES}
    assert found["duckdb"] == found["clickhouse"]
    assert [(one["experiment_key"], one["is_running"]) for one in found["duckdb"]] == [
        ("button", False),
        ("split", False),
        ("three", True),
    ]
    days = {engine: built[engine].records("--daily") for engine in ENGINES}
    assert days["duckdb"] == days["clickhouse"]
    assert [(day["day_on"], day["variation_id"]) for day in days["duckdb"]] == [
        (f"2026-01-0{day}", variation) for day in (1, 2) for variation in ("off", "on")
    ]


def test_numbers_and_words_stand_beside_each_other(one: Built) -> None:
    arguments = ("experiments", "button", "--effect", "0.1")
    told = flagmart(*arguments, data=one.data, env=one.env, codes=(0,))
    above, table, below = told.split("\n\n")
    assert above.splitlines() == [
        "button: the share of users with purchase, higher is better",
        "flag checkout, environment production",
    ]
    header, baseline, variation = table.splitlines()
    assert header.endswith("P       MDE    POWER AT 10.0%  RESULT")
    assert baseline.split() == ["off", "9,988", "1,000", "10.0%", "baseline"]
    numbers = "10,012 1,120 11.2% +11.7% +2.7% to +20.7% -2.4% to +25.8% 0.0070 12.2% 63.3%"
    assert " ".join(variation.split()) == f"on {numbers} better"
    assert max(map(len, below.splitlines())) <= 100
    assert " ".join(below.split()) == (
        "on: Better: the share of users with purchase is 11.7% higher than the baseline's; "
        "anything from 2.7% to 20.7% higher fits the data. That is for one look, at an end that "
        "was planned; if it was stopped for what was seen along the way, the wider interval counts "
        "(2.4% lower to 25.8% higher), and is not enough. Expect less rather than more: what "
        "passes a test tends to be overstated."
    )


def test_a_wrong_split_is_said_before_any_number(one: Built) -> None:
    told = one.told("split")
    assert told.index("NOT TO BE TRUSTED") < told.index("VARIATION")
    assert told.count("not to be trusted") == 1


def test_an_experiment_runs_until_its_end_is_over(one: Built) -> None:
    earlier = Built(one.data, {**one.env, "FLAGMART_NOW": "2026-02-28T23:59:59.999999Z"})
    [running], [over] = earlier.records("button"), one.records("button")
    assert running["variations"][1]["verdict"] == "not settled yet"
    assert over["variations"][1]["verdict"] == "better"


def test_alpha_moves_intervals_and_verdicts(one: Built) -> None:
    [strict], [loose] = one.records("button", "--alpha", "0.001"), one.records("button")
    verdicts = [found["variations"][1]["verdict"] for found in (strict, loose)]
    assert verdicts == ["no difference shown", "better"]
    widths = [
        found["variations"][1]["difference"]["interval"][1]
        - found["variations"][1]["difference"]["interval"][0]
        for found in (strict, loose)
    ]
    assert widths[0] > widths[1]


def test_keys_choose_and_an_unknown_one_is_told_the_others(one: Built) -> None:
    assert [found["experiment_key"] for found in one.records("three", "button")] == [
        "button",
        "three",
    ]
    error = one.fails("buton")
    assert error.exit_code == Exit.USAGE
    assert str(error) == "'buton' is no experiment; there is button and 4 others"


def test_what_has_no_result_says_why(one: Built) -> None:
    done = one.run("nobody", "mistaken")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        "flagmart: mistaken: ends_at is no UTC time",
        "flagmart: nobody: no user has been in it yet",
    ]


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--alpha=0", "--alpha=0.0 is no share between 0 and 1, like 0.05"),
        ("--alpha=1", "--alpha=1.0 is no share between 0 and 1, like 0.05"),
        ("--alpha=nan", "--alpha=nan is no share between 0 and 1, like 0.05"),
        ("--effect=0", "--effect=0.0 is no effect; 0.05 is 5 %"),
        ("--effect=inf", "--effect=inf is no effect; 0.05 is 5 %"),
    ],
)
def test_an_option_that_makes_no_sense_is_wrong_usage(one: Built, option: str, told: str) -> None:
    error = one.fails(option)
    assert error.exit_code == Exit.USAGE
    assert str(error) == told


def test_days_are_a_table_of_their_own(one: Built) -> None:
    [header, *days] = one.told("--daily", "button").splitlines()
    assert header.split()[:3] == ["EXPERIMENT", "UNTIL", "VARIATION"]
    assert [day.split()[1:5] for day in days] == [
        ["2026-01-01", "off", "510", "40"],
        ["2026-01-01", "on", "500", "60"],
        ["2026-01-02", "off", "1,020", "80"],
        ["2026-01-02", "on", "1,000", "120"],
    ]


def test_a_project_that_was_built_without_the_models_is_told_to_build(
    one: Built, tmp_path: Path
) -> None:
    manifest(tmp_path / "older", "main", "duckdb", ["int_experiments"])
    older = Built(one.data, {"DBT_TARGET_PATH": str(tmp_path / "older")})
    error = older.fails()
    assert error.exit_code == Exit.FAILED
    assert str(error) == (
        "the project was built without flagmart's model fct_experiment_results; run `dbt build`"
    )
    # parsed, and not built
    manifest(tmp_path / "parsed", "elsewhere", "duckdb")
    parsed = Built(one.data, {"DBT_TARGET_PATH": str(tmp_path / "parsed")})
    assert str(parsed.fails()).endswith("run `dbt build` first")


def test_without_scipy_the_command_says_what_to_install(one: Built) -> None:
    code = (
        "import sys; sys.modules['scipy'] = None; sys.argv[1:] = ['experiments'];"
        "from flagmart.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **command_environment(one.data), **one.env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "flagmart: statistics of experiments need scipy; install with "
        ".venv/bin/pip install 'scipy>=1.15' 'statsmodels>=0.14.5'\n"
    )


def test_help_loads_neither_statistics_nor_an_engine() -> None:
    code = (
        "import sys; import flagmart.cli.experiments; "
        "print([m for m in ('scipy', 'numpy', 'duckdb', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[]\n"
