"""Counting on all sides: a store, the landing, the models."""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flagmart.ingest.postgres_store import connected
from flagmart.ingest.stores import Bounds, ingest
from flagmart.settings import DataFolder
from flagmart.warehouse import landed
from flagmart.warehouse.landed import Group
from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment
from support.dbt_project import ROOT, build
from support.featbit_postgres import insert, make_events, make_v6
from support.landed import ENV
from support.postgres_server import PostgresServer, postgres_server

DAY = datetime(2026, 5, 1, 12, tzinfo=UTC)
OTHER = "0c0c0c0c-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def database() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        database = server.made("featbit")
        make_events(database)
        make_v6(database)
        insert(database, [(str(uuid.UUID(int=n + 1)), DAY) for n in range(5)], ENV)
        insert(database, [(str(uuid.UUID(int=n + 50)), DAY) for n in range(2)], OTHER)
        late = datetime(1970, 1, 1, tzinfo=UTC)
        insert(database, [(str(uuid.UUID(int=99)), late)], ENV)
        database.run(
            f"insert into experiment_metric_events values ('{uuid.UUID(int=200)}', '{ENV}', 'buy',"
            " 'Click', 'u', 1, null, '2026-05-01 23:59:59.999+00', now()),"
            f" ('{uuid.UUID(int=201)}', '{ENV}', 'buy', 'Other', 'u', 1, null,"
            " '2026-05-02 00:00+00', now())",
            "create table usage_event_stats (env_id uuid, stats_date date, flag_evaluations int,"
            " custom_metrics int, primary key (env_id, stats_date))",
            f"insert into usage_event_stats values ('{ENV}', '2026-05-01', 6, 2)",
        )
        yield database


def reconcile(
    database: PostgresServer, data: Path, *arguments: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "flagmart", "reconcile", "--source", "postgres"),
            *("--project-dir", str(ROOT), *arguments),
        ],
        env=os.environ
        | {
            "FLAGMART_DATA": str(data),
            "FLAGMART_POSTGRES_URL": database.url,
            "DBT_TARGET_PATH": str(data / "target"),
        }
        | env,
        capture_output=True,
        text=True,
        check=False,
    )


def lines(text: str) -> dict[tuple[str, str, str], tuple[int, int, int | None, int]]:
    return {
        (line["env_id"], line["day"], line["event"]): (
            *(line["stored"], line["landed"], line["accepted"], line["missing"]),
        )
        for line in json.loads(text)["lines"]
    }


def test_what_has_not_landed_is_counted_and_mended(
    database: PostgresServer, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FLAGMART_POSTGRES_URL", database.url)
        patched.delenv("DBT_TARGET", raising=False)
        with connected() as store:
            # only one environment, and of that only one day
            bounds = Bounds((ENV,), DAY - timedelta(hours=1), DAY + timedelta(hours=1))
            ingest(store, DataFolder(data), bounds)
    done = reconcile(database, data, "--output", "json")
    assert done.returncode == 3, done.stderr
    assert lines(done.stdout) == {
        (ENV, "2026-05-01", "FlagValue"): (5, 5, None, 0),
        (ENV, "1970-01-01", "FlagValue"): (1, 0, None, 1),
        (ENV, "2026-05-01", "Click"): (1, 0, None, 1),
        (ENV, "2026-05-02", "CustomEvent"): (1, 0, None, 1),
        (OTHER, "2026-05-01", "FlagValue"): (2, 0, None, 2),
    }
    assert json.loads(done.stdout)["usage"] == [
        {"env_id": ENV, "day": "2026-05-01", "evaluations": 6, "metric_events": 2}
    ]
    assert "5 events of " in done.stderr
    chosen = ("--env", OTHER, "--since", "2026-05-01", "--until", "2026-05-02")
    assert len(lines(reconcile(database, data, *chosen, "--output", "json").stdout)) == 1

    mended = reconcile(database, data, "--repair")
    assert mended.returncode == 0, mended.stderr
    assert "a sweep landed 5 events" in mended.stderr

    build("--select", "+base_featbit__events", data=data)
    # events that are cleaned up in the store stay landed
    database.run(f"delete from events where env_id = '{OTHER}'")
    done = reconcile(database, data, "--output", "json")
    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    assert found[(OTHER, "2026-05-01", "FlagValue")][:2] == (0, 2)
    assert found[(ENV, "1970-01-01", "FlagValue")] == (1, 1, 0, 0), "an implausible clock"
    assert found[(ENV, "2026-05-01", "Click")] == (1, 1, 1, 0)
    table = reconcile(database, data).stdout
    assert "BY FEATBIT" in table


def test_wrong_usage_says_what(database: PostgresServer, tmp_path: Path) -> None:
    for arguments, said in (
        (("--since", "2026-05-02", "--until", "2026-05-02"), "is not before --until"),
        (("--env", ""), "--env is empty"),
    ):
        done = reconcile(database, tmp_path / "data", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_the_landing_is_counted_alike_on_both_engines(
    database: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAGMART_POSTGRES_URL", database.url)
    monkeypatch.delenv("DBT_TARGET", raising=False)

    def facts() -> tuple[list[Group], list[Group], list[tuple[str, str]]]:
        data = DataFolder(tmp_path / "data")
        with connected() as store:
            ingest(store, data, Bounds())
        ids = [
            row
            for batch in landed.ids(data, "postgres")
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ]
        assert list(landed.ids(data, "file")) == [] or not sum(
            batch.num_rows for batch in landed.ids(data, "file")
        )
        day = (DAY - datetime(1970, 1, 1, tzinfo=UTC)).days
        return (
            landed.counts(data, (), None, None),
            landed.counts(data, (ENV,), day, None),
            sorted(ids),
        )

    here = facts()
    assert sum(group.rows for group in here[0]) == len(here[2])
    assert len(here[1]) == 3
    with running(tmp_path / "engine") as address, client_of(address):
        for name, value in environment(address, "counted").items():
            monkeypatch.setenv(name, value)
        assert facts() == here


def test_a_store_that_cannot_be_read_is_named(database: PostgresServer, tmp_path: Path) -> None:
    done = reconcile(database, tmp_path / "data", "--source", "redis")
    assert done.returncode == 2
    assert "'redis'" in done.stderr
