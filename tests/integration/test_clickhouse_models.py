"""The same models on ClickHouse's engine: every row equal to DuckDB's, and every test of dbt's."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from clickhouse_connect.driver.client import Client

from support.clickhouse.server import Address, running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import flagmart
from support.dbt_project import build, query, run_dbt
from support.relations import different, on_clickhouse, on_duckdb
from support.versions import write_exports


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running(tmp_path_factory.mktemp("clickhouse")) as found:
        yield found


@pytest.fixture(scope="module")
def target(address: Address) -> dict[str, str]:
    """What makes dbt build on that engine; a name that only works in quotes."""
    return environment(address, "flagmart-tests")


@pytest.fixture(scope="module")
def client(address: Address) -> Iterator[Client]:
    with client_of(address) as opened:
        yield opened


def test_both_engines_give_the_same_rows(
    tmp_path: Path, client: Client, target: dict[str, str]
) -> None:
    source = tmp_path / "events.jsonl"
    options = (
        "--events 8000 --users 200 --flags 4 --days 30 --start 2026-01-01 --seed 11 --dirty 0.3"
    )
    flagmart("generate", *options.split(), "--out", str(source), data=tmp_path)
    lines = source.read_bytes().splitlines()
    # all of dbt's own tests where nothing has landed, nor made the landing
    ran = run_dbt("build", data=tmp_path, env=target)
    assert ran.returncode == 0, ran.stdout
    columns = rows(client, "describe `flagmart-tests_landing`.featbit_events")
    for env in (None, target):
        flagmart("ingest", "files", str(source), data=tmp_path, env=env)
        for kind, path in zip(("flags", "users"), write_exports(lines, 0, tmp_path), strict=True):
            flagmart("ingest", kind, str(path), data=tmp_path, env=env)
    build(data=tmp_path)
    # what dbt's tests ask of models that hold something; its unit tests ask nothing of them
    ran = run_dbt("build", "--exclude-resource-type", "unit_test", data=tmp_path, env=target)
    assert ran.returncode == 0, ran.stdout
    assert different(on_duckdb(tmp_path), on_clickhouse(tmp_path, client, "flagmart-tests")) == {}
    known = "variation_label <> variation_id"
    assert query(tmp_path, f"select count(*) from fct_evaluation_chart_points where {known}") > [
        (100,)
    ]
    for table in ("dim_flags", "dim_variations", "dim_users"):
        assert query(tmp_path, f"select count(*) from {table}") > [(3,)]
    assert rows(client, "describe `flagmart-tests_landing`.featbit_events") == columns
    assert columns == rows(client, "describe `flagmart-tests_landing`.landed_events")
    assert rows(client, "select state from `flagmart-tests_builds`.builds") == [("finished",)]
    # a comparison with a dictionary is of a type that no table may have
    dictionaries = dict(
        rows(
            client,
            "select table, count() from system.columns where database = 'flagmart-tests' "
            "and type like '%LowCardinality%' group by table",
        )
    )
    assert dictionaries.pop("base_featbit__events") == 17
    assert [table for table in dictionaries if not table.startswith("base_")] == []


def test_an_ingest_during_a_build_changes_nothing_under_it(
    tmp_path: Path, client: Client, address: Address
) -> None:
    env = environment(address, "pinned")
    for number in range(2):
        source = tmp_path / f"{number}.jsonl"
        options = f"--events 100 --users 5 --flags 1 --days 2 --start 2026-01-01 --seed {number}"
        flagmart("generate", *options.split(), "--out", str(source), data=tmp_path)
    view = "select count() from pinned_landing.featbit_events"
    flagmart("ingest", "files", str(tmp_path / "0.jsonl"), data=tmp_path, env=env)
    open_landing = ("run-operation", "open_landing")
    assert run_dbt(*open_landing, data=tmp_path, env=env).returncode == 0
    assert rows(client, view) == [(100,)]
    flagmart("ingest", "files", str(tmp_path / "1.jsonl"), data=tmp_path, env=env)
    assert rows(client, view) == [(100,)]
    assert run_dbt(*open_landing, data=tmp_path, env=env).returncode == 0
    assert rows(client, view) == [(200,)]
