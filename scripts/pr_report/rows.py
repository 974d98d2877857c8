"""How many rows of each model differ between two states."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from pathlib import Path

    from pr_report.project import Side


@dataclass(frozen=True)
class Difference:
    """One model in both states."""

    rows_at_base: int
    rows_at_head: int
    gone: int
    """Rows of base that head has not, by the columns that both have with the same type."""
    come: int
    """Rows of head that base has not."""
    columns_gone: tuple[str, ...]
    """Columns that head has not, or has with another type."""
    columns_come: tuple[str, ...]


def compare(base: Side, head: Side, models: list[str], scratch: Path) -> dict[str, Difference]:
    """Compare models that both states have, as bags of rows.

    Args:
        base: built.
        head: built.
        models: unique ids.
        scratch: a DuckDB file that does not exist yet, for the rows of both.
    """
    # views name their catalog, so that neither file can be attached beside the other
    for side in (base, head):
        relations = side.relations
        with closing(duckdb.connect(str(side.duckdb))) as opened:
            opened.execute(f"attach '{_literal(scratch)}' as compared")
            opened.execute(f'create schema compared."{side.name}"')
            for model in models:
                opened.execute(
                    f'create table compared."{side.name}"."{model}" as from {relations[model]}'
                )
    with closing(duckdb.connect(str(scratch))) as opened:
        return {model: _difference(opened, model, base.name, head.name) for model in models}


def _difference(opened: duckdb.DuckDBPyConnection, model: str, base: str, head: str) -> Difference:
    def table(side: str) -> str:
        return f'"{side}"."{model}"'

    def columns(side: str) -> dict[str, str]:
        described = opened.execute(f"describe {table(side)}").fetchall()
        return {str(name): str(kind) for name, kind, *_ in described}

    def count(query: str) -> int:
        ((found,),) = opened.execute(f"select count(*) from ({query})").fetchall()
        return int(found)

    before, after = columns(base), columns(head)
    shared = [name for name, kind in after.items() if before.get(name) == kind]
    listed = ", ".join('"' + name.replace('"', '""') + '"' for name in shared) or "1"
    of_base, of_head = (f"select {listed} from {table(side)}" for side in (base, head))
    return Difference(
        rows_at_base=count(f"from {table(base)}"),
        rows_at_head=count(f"from {table(head)}"),
        gone=count(f"{of_base} except all {of_head}"),
        come=count(f"{of_head} except all {of_base}"),
        columns_gone=tuple(name for name in before if name not in shared),
        columns_come=tuple(name for name in after if name not in shared),
    )


def _literal(path: Path) -> str:
    return str(path).replace("'", "''")
