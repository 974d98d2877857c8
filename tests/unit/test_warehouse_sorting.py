from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from flagmart.warehouse import sorting

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

Row = tuple[int, str | None, str]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts and blocks of a few rows."""
    monkeypatch.setattr(sorting, "PART_BYTES", 4_000)
    monkeypatch.setattr(sorting, "BLOCK_BYTES", 300)


def ordered(rows: list[Row], folder: Path, size: int = 7) -> list[Row]:
    def stream() -> Generator[pa.RecordBatch, None, None]:
        for start in range(0, len(rows), size):
            numbers, names, texts = zip(*rows[start : start + size], strict=True)
            yield pa.record_batch(
                {"a": pa.array(numbers), "b": pa.array(names, pa.string()), "text": list(texts)}
            )

    found: list[Row] = []
    for batch in sorting.in_order(stream(), ["a", "b"], folder):
        found += zip(*(column.to_pylist() for column in batch.columns), strict=True)
    return found


def made(count: int, chance: random.Random) -> list[Row]:
    names = [f"{chance.choice('aZé☃😀')}{number:05}" for number in range(count)]
    return [(chance.randint(0, 3), name, "x" * chance.randint(0, 200)) for name in names]


@pytest.mark.parametrize("count", [0, 1, 20, 999, 3_000])
def test_rows_come_in_order_whole_and_once(tmp_path: Path, small: None, count: int) -> None:
    rows = made(count, random.Random(count))
    assert ordered(rows, tmp_path / "spill") == sorted(rows)
    # what was sorted on the disk is gone; what fits into memory never was there
    assert not list(tmp_path.rglob("*.*"))
    assert (tmp_path / "spill").exists() == (count > 100)


@pytest.mark.parametrize("order", [1, -1])
def test_rows_that_are_in_order_stay_so(tmp_path: Path, small: None, order: int) -> None:
    rows = sorted(made(2_000, random.Random(1)))
    assert ordered(rows[::order], tmp_path) == rows


def test_bytes_decide_and_nulls_are_last(tmp_path: Path, small: None) -> None:
    rows: list[Row] = [(1, name, "") for name in ("ﬀ", "😀", None, "a", "Z", "é")] * 40
    found = [name for _, name, _ in ordered(rows, tmp_path)]
    assert found == [name for name in ("Z", "a", "é", "ﬀ", "😀", None) for _ in range(40)]


def test_who_stops_in_the_middle_leaves_nothing(tmp_path: Path, small: None) -> None:
    closed = []

    def stream() -> Generator[pa.RecordBatch, None, None]:
        try:
            for number in range(500):
                yield pa.record_batch({"a": [500 - number], "text": ["x" * 100]})
        finally:
            closed.append(True)

    rows = sorting.in_order(stream(), ["a"], tmp_path)
    assert next(rows).column("a")[0].as_py() == 1
    rows.close()
    assert closed == [True]
    assert not list(tmp_path.iterdir())


def test_no_pandas_is_imported_to_sort(tmp_path: Path) -> None:
    """Arrow looks for it where it is given a Python value, which takes 0.3 s and 40 MB."""
    rows = pa.record_batch({"a": list(range(2_000)), "text": [None, "x" * 99] * 1_000})
    with pa.ipc.new_file(str(tmp_path / "rows.arrow"), rows.schema) as file:
        file.write_table(pa.Table.from_batches([rows]), max_chunksize=100)
    script = """
import sys
from pathlib import Path
import pyarrow as pa
from flagmart.warehouse import sorting
folder = Path(sys.argv[1])
sorting.PART_BYTES = 20_000
file = pa.ipc.open_file(str(folder / "rows.arrow"))
rows = (file.get_batch(number) for number in range(file.num_record_batches))
assert sum(batch.num_rows for batch in sorting.in_order(rows, ["a"], folder)) == 2_000
sys.exit("pandas" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", script, tmp_path]).returncode == 0
