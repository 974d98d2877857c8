"""Run this repository's dbt project on a data folder of the test's own."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from support.dbt_server import dbt_process

ROOT = Path(__file__).resolve().parents[2]
DBT = ROOT / ".venv" / "bin" / "dbt"


# every warning is an error but that of a test whose severity says warn
_WARNINGS = '{"error": "all", "warn": ["LogTestResult"]}'


def run_dbt(
    *arguments: str, data: Path, project: Path = ROOT, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`dbt ARGUMENTS` in `project`; `data` is the data folder and holds dbt's target folder."""
    return dbt_process(
        ["--warn-error-options", _WARNINGS, *arguments], project, dbt_environment(data, env)
    )


def dbt_environment(data: Path, env: Mapping[str, str] | None) -> dict[str, str]:
    """Where dbt finds and leaves everything; `env` names another engine than DuckDB."""
    return {
        **os.environ,
        **(env or {}),
        "FLAGMART_DATA": str(data),
        "FLAGMART_DUCKDB_MEMORY": "1GB",  # what we say is enough
        "DBT_TARGET_PATH": str(data / ("target" if env is None else "target-other")),
        "DBT_LOG_PATH": str(data / "logs"),
        "DBT_LOG_LEVEL_FILE": "info",  # a log of every step takes a tenth of the time
    }


def build(
    *arguments: str, data: Path, project: Path = ROOT, env: Mapping[str, str] | None = None
) -> None:
    """Build every model, without the tests; fails the calling test where dbt fails."""
    ran = run_dbt(
        "build",
        "--exclude-resource-type",
        "test",
        "unit_test",
        *arguments,
        data=data,
        project=project,
        env=env,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def copy_project(to: Path) -> Path:
    """A copy of the dbt project in `to`, for a test that edits it."""
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(ROOT / name, to / name)
    for name in ("models", "macros", "seeds", "tests/generic", "tests/singular"):
        shutil.copytree(ROOT / name, to / name)
    return to


def query(data: Path, sql: str, *parameters: object) -> list[Any]:
    """Rows of a query on the DuckDB file of `data`."""
    with duckdb.connect(str(data / "flagmart.duckdb"), read_only=True) as connection:
        return connection.execute(sql, parameters).fetchall()
