"""`dbt source freshness` judges the landing by `ingested_at`, and is no build."""

import json
from datetime import UTC, datetime
from pathlib import Path

from support.clickhouse.server import running
from support.clickhouse_target import client, environment, rows
from support.command import START, flagmart
from support.dbt_project import build, query, run_dbt
from support.landed import event, lines

LATER = datetime(2200, 1, 1, tzinfo=UTC)
"""Never over when a test runs; `START` always is, by more than three days."""


def land(data: Path, env: dict[str, str] | None, number: int, at: datetime) -> None:
    source = data / f"{number}.jsonl"
    source.write_text(lines(event(number)), encoding="utf-8")
    flagmart("ingest", "files", str(source), data=data, at=at, env=env)


def freshness(data: Path, env: dict[str, str] | None, code: int) -> dict[str, str]:
    """Status by source."""
    ran = run_dbt("source", "freshness", data=data, env=env)
    assert ran.returncode == code, ran.stdout + ran.stderr
    target = data / ("target" if env is None else "target-other")
    written = json.loads((target / "sources.json").read_text(encoding="utf-8"))
    return {result["unique_id"]: result["status"] for result in written["results"]}


def test_an_old_landing_is_said(tmp_path: Path) -> None:
    land(tmp_path, None, 1, START)
    build("--select", "base_featbit__events", data=tmp_path)
    notes = [
        query(tmp_path, f"select * from flagmart_builds.{table} order by all")
        for table in ("builds", "node_results")
    ]
    # Prefab's landing is judged by who has one
    assert freshness(tmp_path, None, 1) == {"source.flagmart.featbit.featbit_events": "error"}
    # what landed after the build counts
    land(tmp_path, None, 2, LATER)
    assert freshness(tmp_path, None, 0) == {"source.flagmart.featbit.featbit_events": "pass"}
    # no build: an old landing refuses no delivery, and what was built is as it was
    assert notes == [
        query(tmp_path, f"select * from flagmart_builds.{table} order by all")
        for table in ("builds", "node_results")
    ]


def test_an_old_landing_is_said_on_clickhouse(tmp_path: Path) -> None:
    with running(tmp_path / "clickhouse") as address, client(address) as opened:
        env = environment(address, "flagmart")
        land(tmp_path, env, 1, START)
        assert freshness(tmp_path, env, 1) == {"source.flagmart.featbit.featbit_events": "error"}
        land(tmp_path, env, 2, LATER)
        assert freshness(tmp_path, env, 0) == {"source.flagmart.featbit.featbit_events": "pass"}
        assert rows(opened, "exists database flagmart_builds") == [(0,)]
