"""What dbt compiles for ClickHouse is read by sqlfluff as ClickHouse reads it, and not only run."""

from pathlib import Path

import pytest

from support.clickhouse.server import running
from support.clickhouse_sql import compiled, faults, written_line
from support.clickhouse_target import environment
from support.dbt_project import ROOT


def test_what_is_compiled_for_clickhouse_parses(tmp_path: Path) -> None:
    with running(tmp_path / "clickhouse") as address:
        folder = compiled(tmp_path, environment(address, "flagmart_lint"))
    written = {path.relative_to(ROOT) for path in (ROOT / "models").rglob("*.sql")}
    assert written <= {path.relative_to(folder) for path in folder.rglob("*.sql")}
    counts = folder / "models/marts/evaluations/fct_evaluation_counts.sql"
    made = counts.read_text(encoding="utf-8")
    assert "touched as (" in made
    assert faults(folder) == []

    # a remark stands at the line that was written, whatever macros made of those before it
    source = (ROOT / counts.relative_to(folder)).read_text(encoding="utf-8")
    last = "from counted"
    assert source.splitlines().count(last) == made.splitlines().count(last) == 1
    line = made.splitlines().index(last) + 1
    assert line != source.splitlines().index(last) + 1
    assert written_line(source, made, line) == source.splitlines().index(last) + 1


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
    assert (Path("wrong.sql"), 1, rule) in {(f.path, f.line, f.rule) for f in faults(path)}


@pytest.mark.parametrize(
    ("line", "written"),
    [(1, 1), (2, 2), (3, 2), (4, 2), (5, 3), (6, 4)],
)
def test_a_macros_lines_are_those_of_its_call(line: int, written: int) -> None:
    source = "select\n    {{ call() }},\n    b\nfrom t\n"
    made = "select\n    one(\n        a\n    ),\n    b\nfrom t\n"
    assert written_line(source, made, line) == written
