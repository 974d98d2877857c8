"""What has landed, counted and listed: the landing of either engine, without dbt."""
# ruff: noqa: S608 - only identifiers are put into statements, quoted by `name`; values go as parameters.

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flagmart import settings
from flagmart.errors import FlagmartError
from flagmart.settings import Engine
from flagmart.warehouse import manifest, spill
from flagmart.warehouse.landing import FEATBIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from flagmart.settings import DataFolder

_DAY_US = 86_400_000_000
_DUCKDB_DAY = f"cast(floor(epoch_us(occurred_at) / {_DAY_US}) as bigint)"
_CLICKHOUSE_DAY = f"toInt64OrNull(toString(floor(toUnixTimestamp64Micro(occurred_at) / {_DAY_US})))"
_MEMORY = "512MB"


@dataclass(frozen=True)
class Group:
    """Events of one environment, day and kind."""

    env_id: str
    day: int | None
    """Of the client's clock in UTC, days since 1970; None where it has none."""
    event: str
    rows: int


def counts(
    data: DataFolder, envs: Sequence[str], first_day: int | None, end_day: int | None
) -> list[Group]:
    """Landed events by environment, day and event.

    Args:
        data: the data folder.
        envs: only these; all where empty.
        first_day: days since 1970, the first that counts.
        end_day: the first that does not.

    Raises:
        FlagmartError: the landing cannot be read.
    """
    if settings.engine() is Engine.CLICKHOUSE:
        rows = _clickhouse_counts(envs, first_day, end_day)
    else:
        rows = _duckdb_counts(data, envs, first_day, end_day)
    return [Group(*row) for row in rows]


def ids(
    data: DataFolder,
    source: str | None = None,
    envs: Sequence[str] = (),
    first_day: int | None = None,
    end_day: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Ids of what landed: `event_id`, `source_ref`, and `day` as Group has it.

    Args:
        data: the data folder.
        source: only from this kind of source; None for all.
        envs: only of these environments; of all where empty.
        first_day: days since 1970, the first that counts; what has no day is left out then.
        end_day: the first that does not; likewise.

    Raises:
        FlagmartError: the landing cannot be read.
    """
    if settings.engine() is Engine.CLICKHOUSE:
        from flagmart.warehouse.clickhouse_client import connected, many

        with connected(settings.clickhouse()) as client:
            names, values = many("envs", list(envs), "String")
            conditions = [
                *(["source = {source:String}"] if source is not None else []),
                *([f"env_id in {names}"] if envs else []),
                *([f"{_CLICKHOUSE_DAY} >= {int(first_day)}"] if first_day is not None else []),
                *([f"{_CLICKHOUSE_DAY} < {int(end_day)}"] if end_day is not None else []),
            ]
            chosen = " and ".join([_complete(client), *conditions])
            values = {**values, "source": source or ""}
            yield from client.stream(
                f"select event_id, source_ref, {_CLICKHOUSE_DAY} as day {chosen}",
                values,
                expected=client.number(f"select count() {chosen}", values),
            )
        return
    files = _files(data)
    if not files:
        return
    import duckdb

    asked = {
        "source": source,
        "envs": list(envs),
        "first_day": first_day,
        "end_day": end_day,
        "files": files,
    }
    with closing(_in_memory(data)) as connection:
        try:
            for name, value in asked.items():
                connection.execute(f"set variable {name} = ?", [value])
            yield from connection.sql(
                f"""
                select event_id, source_ref, {_DUCKDB_DAY} as day
                from read_parquet(getvariable('files'))
                where (getvariable('source') is null or source = getvariable('source'))
                    and (
                        len(getvariable('envs')) = 0 or list_contains(getvariable('envs'), env_id)
                    )
                    and (getvariable('first_day') is null or day >= getvariable('first_day'))
                    and (getvariable('end_day') is null or day < getvariable('end_day'))
                """
            ).to_arrow_reader(100_000)
        except duckdb.Error as error:
            raise _unreadable(data, error) from error


def _duckdb_counts(
    data: DataFolder, envs: Sequence[str], first_day: int | None, end_day: int | None
) -> list[Any]:
    files = _files(data)
    if not files:
        return []
    import duckdb

    with closing(_in_memory(data)) as connection:
        try:
            return list(
                connection.execute(
                    f"""
                    select * from (
                        select
                            env_id,
                            {_DUCKDB_DAY} as day,
                            event,
                            count(*)
                        from read_parquet($files)
                        where len($envs) = 0 or list_contains($envs, env_id)
                        group by all
                    )
                    where ($first is null or day >= $first) and ($end is null or day < $end)
                    order by all
                    """,
                    {"files": files, "envs": list(envs), "first": first_day, "end": end_day},
                ).fetchall()
            )
        except duckdb.Error as error:
            raise _unreadable(data, error) from error


def _clickhouse_counts(
    envs: Sequence[str], first_day: int | None, end_day: int | None
) -> list[Any]:
    from flagmart.warehouse.clickhouse_client import connected, many

    with connected(settings.clickhouse()) as client:
        names, values = many("envs", list(envs), "String")
        conditions = f" and env_id in {names}" if envs else ""
        bounds = [
            *([f"day >= {int(first_day)}"] if first_day is not None else []),
            *([f"day < {int(end_day)}"] if end_day is not None else []),
        ]
        return list(
            client.rows(
                f"""
                select * from (
                    select
                        env_id,
                        {_CLICKHOUSE_DAY} as day,
                        event,
                        count() as found
                    {_complete(client)}{conditions}
                    group by all
                )
                {"where " + " and ".join(bounds) if bounds else ""}
                order by all
                """,
                values,
            )
        )


def _complete(client: Any) -> str:
    """FROM and WHERE of the rows of complete runs."""
    from flagmart.warehouse.clickhouse_client import name

    schema = name(client.server.landing)
    if not client.number(
        "select count() from system.tables "
        "where database = {database:String} and name = {table:String}",
        {"database": client.server.landing, "table": FEATBIT.runs_table},
    ):
        raise FlagmartError(
            f"nothing has landed on {client.server} yet; run `flagmart ingest` first"
        )
    return (
        f"from {schema}.{name(FEATBIT.rows_table)} where ingested_at in "
        f"(select ingested_at from {schema}.{name(FEATBIT.runs_table)})"
    )


def _files(data: DataFolder) -> list[str]:
    folder = data.landing / FEATBIT.name
    return [str(folder / file.name) for file in manifest.read(folder).files]


def _in_memory(data: DataFolder) -> Any:
    import duckdb

    return duckdb.connect(":memory:", config=spill.spilling_into(_MEMORY, data.spill))


def _unreadable(data: DataFolder, error: Exception) -> FlagmartError:
    reason = str(error).strip().partition("\n")[0]
    return FlagmartError(f"the landing of {data.root} cannot be read: {reason}")
