"""The same models on ClickHouse's engine: every row equal to DuckDB's, after several builds."""

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver import Client

from support.clickhouse.server import Address, running
from support.command import START, flagmart
from support.dbt_project import build, query, run_dbt

RELATIONS = (
    "base_featbit__events",
    "stg_featbit__flag_evaluations",
    "stg_featbit__metric_events",
    "stg_featbit__rejected_events",
    "fct_evaluation_counts",
    "int_evaluation_charts",
    "fct_evaluation_chart_points",
    "int_exports__environments",
    "statsig_events",
    "hackle_events",
    "segment_tracks",
    "fct_export_exclusions",
)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running(tmp_path_factory.mktemp("clickhouse")) as found:
        yield found


@pytest.fixture(scope="module")
def target(address: Address) -> dict[str, str]:
    """What makes dbt build on that engine."""
    return {
        "DBT_TARGET": "clickhouse",
        "FLAGMART_CLICKHOUSE_HOST": address.host,
        "FLAGMART_CLICKHOUSE_PORT": str(address.port),
        "FLAGMART_CLICKHOUSE_USER": address.user,
        "FLAGMART_CLICKHOUSE_DATABASE": "flagmart_tests",
        "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": address.password,
    }


@pytest.fixture(scope="module")
def client(address: Address) -> Iterator[Client]:
    with closing(
        clickhouse_connect.get_client(
            host=address.host,
            port=address.port,
            username=address.user,
            password=address.password,
        )
    ) as opened:
        yield opened


def plain(value: Any) -> Any:
    """A value as both engines' clients give it."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, dict):
        return tuple(value.items())
    return value


def different(data: Path, client: Client) -> dict[str, Any]:
    """Per relation, rows that one engine has and the other has not."""
    found = {}
    for relation in RELATIONS:
        columns = ", ".join(f'"{row[0]}"' for row in query(data, f"describe {relation}"))
        ours = {tuple(map(plain, row)) for row in query(data, f"select {columns} from {relation}")}
        rows = client.query(f"select {columns} from flagmart_tests.{relation}").result_rows
        theirs = {tuple(map(plain, row)) for row in rows}
        assert len(rows) == query(data, f"select count(*) from {relation}")[0][0], relation
        if ours != theirs:
            found[relation] = (
                sorted(ours - theirs, key=str)[:2],
                sorted(theirs - ours, key=str)[:2],
            )
    return found


@pytest.mark.xdist_group("clickhouse")
def test_both_engines_give_the_same_rows(
    tmp_path: Path, client: Client, target: dict[str, str]
) -> None:
    source = tmp_path / "events.jsonl"
    options = (
        "--events 8000 --users 200 --flags 4 --days 30 --start 2026-01-01 --seed 11 --dirty 0.3"
    )
    flagmart("generate", *options.split(), "--out", str(source), data=tmp_path)
    lines = source.read_bytes().splitlines()
    manifest = tmp_path / "landing/featbit_events/manifest.json"
    landed: set[str] = set()
    for number, part in enumerate((lines[:5000], lines[5000:])):
        slice_ = tmp_path / f"{number}.jsonl"
        slice_.write_bytes(b"\n".join(part) + b"\n")
        at = START + timedelta(minutes=number)
        flagmart("ingest", "files", str(slice_), data=tmp_path, at=at)
        if number == 0:
            # all of dbt's own tests on an empty landing, which also makes the table
            ran = run_dbt("build", data=tmp_path, env=target)
            assert ran.returncode == 0, ran.stdout
        files = {
            f["name"] for run in json.loads(manifest.read_text())["runs"] for f in run["files"]
        }
        for name in sorted(files - landed):
            client.command(
                "insert into flagmart_landing.featbit_events "
                "select * from file({path:String}, Parquet)",
                parameters={"path": str(manifest.parent / name)},
            )
        landed |= files
        build(data=tmp_path)
        build(data=tmp_path, env=target)
    assert different(tmp_path, client) == {}

    ran = run_dbt("build", data=tmp_path, env=target)
    assert ran.returncode == 0, ran.stdout
    assert different(tmp_path, client) == {}
    states = client.query("select state from flagmart_builds.builds").result_rows
    assert list(states) == [("finished",)]
