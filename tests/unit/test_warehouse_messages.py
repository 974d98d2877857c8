"""Messages out of DuckDB: in order and complete, however many parts they are sorted in."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flagmart.warehouse import duckdb as engine
from flagmart.warehouse import sorting
from flagmart.warehouse.protocol import NO_DAY, IdFile, Relation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGES = Relation("main", "messages")
FIRST = datetime(2026, 1, 1)  # noqa: DTZ001 - UTC without zone, as relations have it
RUNS = [FIRST, FIRST + timedelta(microseconds=1), FIRST + timedelta(days=1)]


@contextmanager
def made(folder: Path, rows: str, kind: str = "table") -> Iterator[engine.DuckDB]:
    path = folder / "messages.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create {kind} messages as {rows}")
    with engine.reader(path, folder / "spill", 0.0, print) as warehouse:
        yield warehouse


SMALL = """
    select
        timestamp '2026-01-01' + case i % 7 when 0 then interval 1 microsecond
            when 1 then interval 1 day else interval 0 second end as ingested_at,
        -- two messages of most events
        md5((i // 2)::varchar) as event_id,
        md5((i // 2)::varchar) || ':' || i % 2 as message_id,
        case when i % 11 < 5 then 'one' else (i % 11)::varchar end as partition_key,
        repeat('x', (hash(i) % 900)::int) as payload
    from range(40_000) as r(i)
"""


@pytest.mark.parametrize("key", [None, "partition_key"])
@pytest.mark.parametrize("acknowledged", [False, True])
def test_messages_sorted_in_parts_are_those_of_one_sort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None, acknowledged: bool
) -> None:
    monkeypatch.setattr(sorting, "PART_BYTES", 500_000)
    order = f"ingested_at, {'partition_key, ' if key else ''}event_id, message_id"
    with made(tmp_path, SMALL) as warehouse:
        files = []
        rest = "true"
        if acknowledged:
            ids = warehouse._rows("select message_id from messages where event_id < '8' order by 1")
            table = pa.table({"message_id": [message_id for (message_id,) in ids]})
            pq.write_table(table, tmp_path / "ids.parquet")
            files = [IdFile(tmp_path / "ids.parquet", ((0, len(ids) - 1),))]
            rest = "event_id >= '8'"
        found = [
            row
            for batch in warehouse.unsent(MESSAGES, RUNS[:2], files, key)
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True)
        ]
        columns = f"ingested_at, event_id, message_id, payload{', partition_key' if key else ''}"
        assert found == warehouse._rows(
            f"select {columns} from messages "
            f"where ingested_at < timestamp '2026-01-02' and {rest} order by {order}"
        )


@pytest.mark.parametrize(("every", "kept"), [(1, False), (1_000, True)])
def test_what_was_read_of_the_table_is_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, kept: bool
) -> None:
    monkeypatch.setattr(engine, "FORGOTTEN_BATCHES", every)
    monkeypatch.setattr(sorting, "PART_BYTES", 500_000)
    put_in_order = sorting._sorted
    blocks: list[int] = []
    # texts that no compression makes short
    text = " || ".join(f"md5((i + {n})::varchar)" for n in range(0, 1_000_000, 100_000))

    with made(tmp_path, SMALL.replace("repeat('x', (hash(i) % 900)::int)", text)) as warehouse:

        def ask(statement: str) -> Any:
            return warehouse._rows(statement)[0][0]

        def seen(*arguments: Any) -> Any:
            blocks.append(
                ask("select memory_usage_bytes from duckdb_memory() where tag = 'BASE_TABLE'")
            )
            return put_in_order(*arguments)

        monkeypatch.setattr(sorting, "_sorted", seen)
        limit = ask("select current_setting('memory_limit')")
        rows = sum(batch.num_rows for batch in warehouse.unsent(MESSAGES, RUNS, []))
        assert rows == 40_000
        # the last part is sorted when all is read, and then they are merged
        assert (max(blocks) > 8_000_000) == kept
        assert blocks[-1] == 0
        assert ask("select current_setting('memory_limit')") == limit


def test_messages_are_sorted_within_the_limit_with_more_processors_than_here(
    tmp_path: Path,
) -> None:
    rows = """
        select
            timestamp '2026-01-01' as ingested_at, md5(i::varchar) as event_id,
            event_id as message_id, repeat(event_id, 32) as payload
        from range(450_000) as r(i)
    """
    with made(tmp_path, rows, "view") as warehouse:
        warehouse._rows("set threads = 8")
        last, sent = "", 0
        for batch in warehouse.unsent(MESSAGES, RUNS[:1], []):
            ids = batch.column("message_id")
            assert last < ids[0].as_py()
            last, sent = ids[-1].as_py(), sent + batch.num_rows
    assert sent == 450_000


@pytest.mark.parametrize(("run", "repeated"), [(0, True), (1, True), (2, False)])
def test_an_id_is_repeated_if_one_of_its_rows_is_of_these_runs(
    tmp_path: Path, run: int, repeated: bool
) -> None:
    rows = """
        select timestamp '2026-01-01' + to_microseconds(i) as ingested_at, 'twice' as message_id
        from range(2) as r(i)
        union all select timestamp '2026-01-02', 'once'
    """
    with made(tmp_path, rows) as warehouse:
        assert warehouse.repeated_message_ids(MESSAGES, [RUNS[run]]) == ["twice"] * repeated


def test_where_nothing_was_ever_delivered_it_spills_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "flagmart.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(
            "create table t as select md5(i::varchar) as a from range(2_000_000) as r(i)"
        )
    monkeypatch.setattr(engine, "MEMORY_LIMIT", "48MB")
    with engine.reader(path, tmp_path / "spill", 0.0, print) as warehouse:
        rows = warehouse.rows_of_days(Relation("main", "t"), ["a"], ["a"], [NO_DAY], None)
        found = [a for batch in rows for a in batch.column("a").to_pylist()]
    assert len(found) == 2_000_000
    assert found == sorted(found)
    assert not (tmp_path / "spill").exists()
