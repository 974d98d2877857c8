"""Ids that would land twice: found exactly, among a run's own rows and all that landed before.

DuckDB does the joins in memory and spills to the run's own folder, so memory stays flat. A row's
position is its number in the run, counted over the staged files, which are filled to the same size.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from flagmart.errors import FlagmartError

# What does not fit is spilled. Half of it was enough, at the same speed, for three million repeats
# against three million landed rows; the rest is room for more.
_MEMORY = "256MB"
_CHUNK = 2_000

Dropped = tuple[int, bool]
"""The position of a row that does not land, and whether it contradicts the one that did."""

STAGED = """
    read_parquet($staged, filename = true, file_row_number = true)
"""
"""A run's own rows; `$staged` are its files, by `as_patterns`."""
POSITION = """
    (
        cast(regexp_extract(filename, '([0-9]+)\\.parquet$', 1) as bigint) * $file_rows
        + file_row_number
    )
"""
"""The position of a row of `STAGED`; `$file_rows` is how many a file has."""
_FACTS = """
    event_id, env_id, event, distinct_id,
    epoch_us(occurred_at) // 1000 as occurred_ms, md5_number(properties) as properties_digest
"""


def find(
    staged: Sequence[Path], file_rows: int, landed: Sequence[Path], spill: Path
) -> Iterator[Dropped]:
    """Rows of `staged` whose id landed before or stands earlier in `staged`, by position.

    Two rows with one id are equal when env_id, event and distinct_id are, when the client's clock
    is to the millisecond (all that PostgreSQL and MongoDB keep), and when `properties` are the same
    text or, as JSON, the same value.

    Args:
        staged: files named with a number before `.parquet`; all but the last hold `file_rows` rows.
        file_rows: see there.
        landed: files of the complete runs.
        spill: a folder for what does not fit into memory.

    Raises:
        FlagmartError: a file cannot be read, or there is no room to spill.
    """
    try:
        yield from _find(staged, file_rows, landed, spill)
    except duckdb.Error as error:
        raise failed(error) from error


def among(ids: pa.Array, landed: Sequence[Path], spill: Path) -> pa.Array:
    """Which of `ids` stand in the files `landed`: one boolean for each.

    Raises:
        FlagmartError: a file cannot be read, or there is no room to spill.
    """
    known = pa.array([], pa.string())
    if landed:
        try:
            with spilling(spill) as engine:
                engine.register("looked_for", pa.table({"event_id": ids}))
                found = engine.sql(
                    """
                    select distinct event_id
                    from read_parquet($landed)
                    where event_id in (select event_id from looked_for)
                    """,
                    params={"landed": as_patterns(landed)},
                )
                known = found.to_arrow_table().column(0).combine_chunks()
        except duckdb.Error as error:
            raise failed(error) from error
    return pc.is_in(ids, known)


@contextmanager
def spilling(spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An engine in memory that spills what does not fit to the folder `spill`."""
    with duckdb.connect(":memory:") as engine:
        engine.execute("set memory_limit = $limit", {"limit": _MEMORY})
        engine.execute("set temp_directory = $folder", {"folder": str(spill)})
        engine.execute("set threads = $threads", {"threads": min(4, os.cpu_count() or 1)})
        engine.execute("set preserve_insertion_order = false")
        yield engine


def failed(error: duckdb.Error) -> FlagmartError:
    """What to raise where a search fails."""
    reason = str(error).partition("\n")[0]
    return FlagmartError(f"looking for ids that landed before failed: {reason}")


def _find(
    staged: Sequence[Path], file_rows: int, landed: Sequence[Path], spill: Path
) -> Iterator[Dropped]:
    with spilling(spill) as engine:
        ours: dict[str, Any] = {"staged": as_patterns(staged), "file_rows": file_rows}
        _find_kept(engine, ours, as_patterns(landed))
        if engine.execute("select count(*) from kept").fetchall() == [(0,)]:
            return
        engine.execute(
            f"""
            create table repeats as
            select
                staged.position, staged.event_id,
                staged.env_id = kept.env_id and staged.event = kept.event
                and staged.distinct_id = kept.distinct_id
                and staged.occurred_ms is not distinct from kept.occurred_ms as same_facts,
                staged.properties_digest = kept.properties_digest as same_text
            from (select {_FACTS}, {POSITION} as position from {STAGED}) as staged
            inner join kept on staged.event_id = kept.event_id
            where kept.position is null or staged.position > kept.position
            """,  # noqa: S608
            ours,
        )
        engine.execute("create table same_value (position bigint)")
        _compare_as_json(engine, ours)
        rows = engine.execute(
            """
            select
                repeats.position,
                not (same_facts and (same_text or same_value.position is not null))
            from repeats
            left join same_value on repeats.position = same_value.position
            order by repeats.position
            """
        )
        while chunk := rows.fetchmany(_CHUNK):
            yield from chunk


def _find_kept(engine: duckdb.DuckDBPyConnection, ours: dict[str, Any], landed: list[str]) -> None:
    """Table `kept`: the row that stays of each id that repeats; no position if it landed before."""
    # only ids are read here, so that a run without repeats, the common one, costs little
    engine.execute(
        f"""
        create table repeated as
        select event_id, min({POSITION}) as position
        from {STAGED}
        group by event_id
        having count(*) > 1
        """,  # noqa: S608
        ours,
    )
    engine.execute("create table landed_before (event_id varchar, filename varchar)")
    if landed:
        engine.execute(
            """
            insert into landed_before
            select event_id, filename
            from read_parquet($landed, filename = true)
            where event_id in (select event_id from read_parquet($staged))
            """,
            {"landed": landed, "staged": ours["staged"]},
        )
    engine.execute(
        f"""
        create table kept as
        select {_FACTS}, position, cast(null as varchar) as filename
        from (select *, {POSITION} as position from {STAGED}) as staged
        where position in (select position from repeated)
            and event_id not in (select event_id from landed_before)
        """,  # noqa: S608
        ours,
    )
    files = [
        name for (name,) in engine.execute("select distinct filename from landed_before").fetchall()
    ]
    if files:
        engine.execute(
            f"""
            insert into kept
            select {_FACTS}, cast(null as bigint), filename
            from read_parquet($files, filename = true)
            where event_id in (select event_id from landed_before)
            """,  # noqa: S608
            {"files": as_patterns(files)},
        )


def _compare_as_json(engine: duckdb.DuckDBPyConnection, ours: dict[str, Any]) -> None:
    """Fill table `same_value` with repeats whose properties differ as text and not as JSON."""
    engine.execute(
        """
        create table doubtful as
        select repeats.position, event_id, kept.position as kept_position, kept.filename
        from repeats
        inner join kept using (event_id)
        where same_facts and not same_text
        """
    )
    files = [
        name
        for (name,) in engine.execute(
            "select distinct filename from doubtful where filename is not null"
        ).fetchall()
    ]
    before = (
        """
        union all
        select doubtful.position, properties
        from read_parquet($files, filename = true) as landed
        inner join doubtful
            on landed.event_id = doubtful.event_id and landed.filename = doubtful.filename
        """
        if files
        else ""
    )
    pairs = engine.cursor().execute(
        f"""
        with staged as (select {POSITION} as place, properties from {STAGED}),
        theirs as (
            select doubtful.position, properties
            from staged
            inner join doubtful on place = kept_position
            {before}
        )
        select theirs.position, staged.properties, theirs.properties
        from theirs
        inner join staged on place = theirs.position
        """,  # noqa: S608
        {**ours, **({"files": as_patterns(files)} if files else {})},
    )
    while chunk := pairs.fetchmany(_CHUNK):
        same = [position for position, ours_, theirs in chunk if same_json(ours_, theirs)]
        found = pa.table({"position": pa.array(same, pa.int64())})
        engine.register("found", found)
        engine.execute("insert into same_value select position from found")
        engine.unregister("found")


def as_patterns(paths: Sequence[Path | str]) -> list[str]:
    """Paths as patterns that match only themselves, since DuckDB takes paths for patterns."""
    return [re.sub(r"[\[*?]", r"[\g<0>]", str(path)) for path in paths]


def same_json(one: str, other: str) -> bool:
    """Whether two texts are one JSON value, whatever their blanks and key order."""
    try:
        return _same(json.loads(one), json.loads(other))
    except (ValueError, RecursionError):
        return False


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    # for Python, true equals 1
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)
