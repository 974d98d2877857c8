"""Rows of a landing of versions that say nothing new: found exactly, key by key.

DuckDB does the joins in memory and spills to the run's own folder, like `repeats`, whose positions
these are.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from flagmart.warehouse.repeats import POSITION, STAGED, Dropped, as_patterns, failed, spilling

_CHUNK = 2_000
_KEY = "env_id, event, distinct_id"


def find(
    staged: Sequence[Path], file_rows: int, landed: Sequence[Path], spill: Path
) -> Iterator[Dropped]:
    """Rows of `staged` that do not land, by position; none contradicts another.

    Of each key the row that is newest by `occurred_at`, then the last one, is looked at. It lands
    where its `properties` are another text than those of the key's newest version in `landed`.

    Args:
        staged: files named with a number before `.parquet`; all but the last hold `file_rows` rows.
        file_rows: see there.
        landed: files of the complete runs.
        spill: a folder for what does not fit into memory.

    Raises:
        FlagmartError: a file cannot be read, or there is no room to spill.
    """
    ours = {"staged": as_patterns(staged), "file_rows": file_rows}
    try:
        with spilling(spill) as engine:
            engine.execute(
                f"""
                create table newest as
                select {_KEY}, max_by(position, (moment, position)) as position,
                    max_by(digest, (moment, position)) as digest
                from (
                    select {_KEY}, {POSITION} as position, md5_number(properties) as digest,
                        coalesce(epoch_us(occurred_at), cast(-9e18 as bigint)) as moment
                    from {STAGED}
                )
                group by {_KEY}
                """,  # noqa: S608
                ours,
            )
            engine.execute(f"create table known as select {_KEY}, digest from newest limit 0")  # noqa: S608
            if landed:
                engine.execute(
                    f"""
                    insert into known
                    select {_KEY}, max_by(md5_number(properties), ingested_at)
                    from read_parquet($landed)
                    semi join newest using ({_KEY})
                    group by {_KEY}
                    """,  # noqa: S608
                    {"landed": as_patterns(landed)},
                )
            rows = engine.execute(
                f"""
                select staged.position
                from (select {POSITION} as position from {STAGED}) as staged
                anti join (
                    select newest.position
                    from newest
                    left join known using ({_KEY})
                    where known.digest is distinct from newest.digest
                ) as landing on staged.position = landing.position
                order by staged.position
                """,  # noqa: S608
                ours,
            )
            while chunk := rows.fetchmany(_CHUNK):
                yield from ((position, False) for (position,) in chunk)
    except duckdb.Error as error:
        raise failed(error) from error
