"""Engines behind small protocols: what is said to an engine is said here and nowhere else.

`DBT_TARGET` chooses the engine, as it does for dbt. An engine's modules are imported where it is
chosen: ClickHouse's client need not be installed for DuckDB.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flagmart import settings
from flagmart.settings import Engine
from flagmart.warehouse.landing import FEATBIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from flagmart.settings import DataFolder
    from flagmart.warehouse.landing import Landing, Run
    from flagmart.warehouse.manifest import LandedRun
    from flagmart.warehouse.protocol import Warehouse


@contextmanager
def open_reader(
    data: DataFolder,
    wait_seconds: float,
    say: Callable[[str], None],
    *,
    of_messages: bool = False,
) -> Iterator[Warehouse]:
    """The engine dbt builds in, open for reading until the block ends.

    Args:
        data: the data folder.
        wait_seconds: how long to wait while another process holds DuckDB's file.
        say: told at once who holds it.
        of_messages: whether it is for messages; DuckDB takes less memory then.

    Raises:
        UsageError: the environment names no engine.
        FlagmartError: it does not exist, cannot be read, or is still held when the wait is over.
    """
    if settings.engine() is Engine.CLICKHOUSE:
        from flagmart.warehouse.clickhouse import reader as on_clickhouse

        with on_clickhouse(settings.clickhouse(), data.spill) as opened:
            yield opened
    else:
        from flagmart.warehouse.duckdb import reader as on_duckdb

        with on_duckdb(
            data.duckdb, data.spill, wait_seconds, say, of_messages=of_messages
        ) as found:
            yield found


def open_run(
    data: DataFolder, source: str, inputs: tuple[str, ...], landing: Landing = FEATBIT
) -> AbstractContextManager[Run]:
    """An ingest run, abandoned without a trace unless it is finished before the block ends.

    Args:
        data: the data folder; on ClickHouse only the reject file goes there.
        source: clickhouse, postgres, mongodb, file or prefab.
        inputs: what was asked to be read, to be noted with the run.
        landing: where it lands.

    Raises:
        UsageError: the environment names no engine.
        FlagmartError: another process writes to this landing, or it is unusable.
    """
    if settings.engine() is Engine.CLICKHOUSE:
        from flagmart.warehouse import clickhouse_landing

        return clickhouse_landing.open_run(settings.clickhouse(), data, source, inputs, landing)
    from flagmart.warehouse.parquet_landing import ParquetLanding

    return ParquetLanding(data, landing).open_run(source, inputs)


def landed_runs(data: DataFolder, landing: Landing = FEATBIT) -> Iterable[LandedRun]:
    """The complete ingest runs, in order of `ingested_at`; one pass over them.

    Raises:
        UsageError: the environment names no engine.
        FlagmartError: the landing cannot be read.
    """
    if settings.engine() is Engine.CLICKHOUSE:
        from flagmart.warehouse import clickhouse_landing

        return clickhouse_landing.runs(settings.clickhouse(), landing)
    from flagmart.warehouse import manifest

    return manifest.all_runs(data.landing / landing.name)


def newest_run(data: DataFolder, landing: Landing = FEATBIT) -> str | None:
    """The id of the complete ingest run that landed last; None where none has.

    Raises:
        UsageError: the environment names no engine.
        FlagmartError: the landing cannot be read.
    """
    if settings.engine() is Engine.CLICKHOUSE:
        runs = deque(landed_runs(data, landing), maxlen=1)
        return runs[0].run_id if runs else None
    from flagmart.warehouse import manifest

    newest = manifest.read(data.landing / landing.name).newest
    return newest.run_id if newest else None
