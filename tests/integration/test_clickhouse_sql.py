"""What dbt compiles for ClickHouse is read by sqlfluff as ClickHouse reads it, and not only run."""

import subprocess
from pathlib import Path

import pytest

from support.clickhouse.server import running
from support.dbt_project import ROOT, build, run_dbt

SQLFLUFF = ROOT / ".venv" / "bin" / "sqlfluff"


def lint(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(SQLFLUFF, "lint", "--nocolor", "--disable-progress-bar", "--ignore-local-config"),
            *("--config", ROOT / ".sqlfluff-clickhouse", path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_compiled_for_clickhouse_parses(tmp_path: Path) -> None:
    with running(tmp_path / "clickhouse") as address:
        target = {
            "DBT_TARGET": "clickhouse",
            "FLAGMART_CLICKHOUSE_HOST": address.host,
            "FLAGMART_CLICKHOUSE_PORT": str(address.port),
            "FLAGMART_CLICKHOUSE_USER": address.user,
            "FLAGMART_CLICKHOUSE_DATABASE": "flagmart_lint",
            "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": address.password,
        }
        # incremental models compile to their second run, which has more to it, once they are there
        every = ("--vars", "{flagmart_further_deliveries: all, flagmart_experiment_tools: all}")
        chosen = ("--select", "+config.materialized:incremental")
        build(*chosen, *every, data=tmp_path, env=target)
        ran = run_dbt("compile", "--exclude", "test_type:unit", *every, data=tmp_path, env=target)
        assert ran.returncode == 0, ran.stdout + ran.stderr
    compiled = tmp_path / "target-other/compiled/flagmart"
    written = {path.relative_to(ROOT) for path in (ROOT / "models").rglob("*.sql")}
    assert written <= {path.relative_to(compiled) for path in compiled.rglob("*.sql")}
    counts = compiled / "models/marts/evaluations/fct_evaluation_counts.sql"
    assert "touched as (" in counts.read_text(encoding="utf-8")
    found = lint(compiled)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("select toUInt8(1 as broken from numbers(1)\n", "PRS"),
        # DuckDB reads it, ClickHouse does not
        ("from numbers(1)\n", "PRS"),
        ("with unused as (select 1 as a) select 2 as b\n", "structure.unused_cte"),
        ("select other.a from t as some\n", "references.from"),
    ],
)
def test_sql_that_is_wrong_is_found(tmp_path: Path, sql: str, rule: str) -> None:
    path = tmp_path / "wrong.sql"
    path.write_text(sql, encoding="utf-8")
    found = lint(path)
    assert found.returncode == 1
    assert rule in found.stdout
