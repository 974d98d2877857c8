from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from flagmart.delivery import partitions
from flagmart.delivery.partitions import Written, write_days
from flagmart.destinations.layouts import Column, Layout
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from pathlib import Path

LAYOUT = Layout(
    columns=(Column("n", "int64"), Column("text", "string"), Column("map", "string_map")),
    order=("n",),
    folder="{day}",
    file="{part}.parquet",
    rows_per_file=2_000,
    success=None,
)


@pytest.fixture(autouse=True)
def _small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "ROW_GROUP_ROWS", 1_000)


def rows(count: int = 6_000, days: int = 2) -> pa.Table:
    first = date(2026, 3, 1)
    # over a megabyte of text a row group: pages end inside it, and its dictionary overflows
    texts = [f"{i * 7919 % 100_003}".rjust(1_500 + i % 7, "x") for i in range(count)]
    maps = [[("k", str(i % 3))] for i in range(count)]
    return pa.table(
        {
            "partition_on": [first + timedelta(days=i * days // count) for i in range(count)],
            "n": pa.array(range(count), pa.int64()),
            "text": texts,
            "map": pa.array(maps, pa.map_("string", "string")),
        }
    )


def written(table: pa.Table, batch_rows: int, spool: Path | None) -> list[Written]:
    # slices of one table share its memory, copies do not: where a batch comes from must not matter
    batches = [
        pa.RecordBatch.from_pylist(batch.to_pylist(), schema=table.schema)
        for batch in table.to_batches(max_chunksize=batch_rows)
    ]
    return list(write_days(batches, LAYOUT, spool, "r"))


@pytest.mark.parametrize("batch_rows", [333, 1_000, 2_048])
def test_bytes_and_digest_do_not_depend_on_batches(tmp_path: Path, batch_rows: int) -> None:
    whole = written(rows(), 6_000, tmp_path / "whole")
    cut = written(rows(), batch_rows, tmp_path / "cut")
    assert [(w.day, w.rows, w.digest) for w in cut] == [(w.day, w.rows, w.digest) for w in whole]
    assert [[f.name for f in w.files] for w in cut] == [["0.parquet", "1.parquet"]] * 2
    for one, other in zip(cut, whole, strict=True):
        assert [f.read_bytes() for f in one.files] == [f.read_bytes() for f in other.files]


def test_a_digest_alone_writes_nothing(tmp_path: Path) -> None:
    spooled = written(rows(), 500, tmp_path)
    alone = written(rows(), 500, None)
    assert [w.digest for w in alone] == [w.digest for w in spooled]
    assert all(w.files == () for w in alone)


def test_an_empty_value_in_a_map_is_refused() -> None:
    table = pa.table(
        {
            "partition_on": [date(2026, 3, 1)] * 2,
            "n": pa.array([1, 2], pa.int64()),
            "text": ["", ""],
            "map": pa.array([[("k", "v")], [("k", None)]], pa.map_("string", "string")),
        }
    )
    with pytest.raises(FlagmartError, match="r has 1 empty values of map on 2026-03-01"):
        written(table, 10, None)
