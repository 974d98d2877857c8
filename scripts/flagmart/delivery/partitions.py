"""Rows of a file export, written day by day into the spool with the exact declared schema."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from flagmart.delivery.digest import ContentDigest
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import date
    from pathlib import Path

    from flagmart.destinations.layouts import Layout

ROW_GROUP_ROWS = 65_536
"""Fixed, and filled exactly, so that equal rows give equal bytes; about 40 MB of rows in memory."""


@dataclass(frozen=True)
class Written:
    """One day as it was written into the spool."""

    day: date
    rows: int
    digest: str
    files: tuple[Path, ...]
    """In order of their numbers; none where only the digest was asked for."""


def write_days(
    batches: Iterable[pa.RecordBatch], layout: Layout, spool: Path | None, what: str
) -> Iterator[Written]:
    """Split rows at the days' edges and write each day's files.

    Args:
        batches: the day, then the layout's columns, ordered by day.
        layout: columns, types, rows a file.
        spool: folder for the files; None to compute digests only.
        what: the relation, for messages.

    Raises:
        FlagmartError: a required value is null, or a value does not fit its declared type.
    """
    day: date | None = None
    writer: _Day | None = None
    for batch in batches:
        for this_day, rows in _by_day(batch):
            if writer is None or day != this_day:
                if writer is not None:
                    yield writer.finish()
                day, writer = this_day, _Day(this_day, layout, spool, what)
            writer.add(rows)
    if writer is not None:
        yield writer.finish()


def _by_day(batch: pa.RecordBatch) -> Iterator[tuple[date, pa.RecordBatch]]:
    days, rows = batch.column(0), batch.select(batch.schema.names[1:])
    start = 0
    while start < batch.num_rows:
        same = pc.equal(days.slice(start), days[start])
        length = pc.sum(same).as_py()  # ordered by day, so those that are equal stand together
        yield days[start].as_py(), rows.slice(start, length)
        start += length


class _Day:
    """The files of one day, being written."""

    def __init__(self, day: date, layout: Layout, spool: Path | None, what: str) -> None:
        self._day = day
        self._layout = layout
        self._schema = layout.schema()
        self._folder = None if spool is None else spool / day.isoformat()
        self._what = what
        self._digest = ContentDigest(self._schema)
        self._waiting: list[pa.Table] = []
        self._rows = 0
        self._files: list[Path] = []
        self._writer: Any = None
        self._file: Any = None
        self._rows_in_file = 0

    def add(self, batch: pa.RecordBatch) -> None:
        table = self._as_declared(pa.Table.from_batches([batch]))
        self._digest.add(table)
        self._rows += table.num_rows
        if self._folder is None:
            return
        self._waiting.append(table)
        while sum(t.num_rows for t in self._waiting) >= ROW_GROUP_ROWS:
            together = pa.concat_tables(self._waiting)
            self._write(together.slice(0, ROW_GROUP_ROWS))
            rest = together.slice(ROW_GROUP_ROWS)
            self._waiting = [rest] if rest.num_rows else []

    def finish(self) -> Written:
        if self._waiting:
            self._write(pa.concat_tables(self._waiting))
        self._close()
        return Written(self._day, self._rows, self._digest.hexdigest(), tuple(self._files))

    def _as_declared(self, table: pa.Table) -> pa.Table:
        for field in self._schema:
            if field.nullable:
                continue
            name, column = field.name, table.column(field.name)
            nulls = column.null_count
            if pa.types.is_map(column.type):
                nulls += sum(_null_entries(chunk) for chunk in column.chunks)
            if nulls:
                raise FlagmartError(
                    f"{self._what} has {nulls} empty values of {name} on {self._day} "
                    "(or in its maps), where the destination requires one; mend the model"
                )
        try:
            return table.cast(self._schema)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
            raise FlagmartError(
                f"{self._what} does not fit the declared types on {self._day}: "
                f"{str(error).splitlines()[0]}; mend the model"
            ) from error

    def _write(self, rows: pa.Table) -> None:
        if self._writer is not None and self._is_full():
            self._close()
        if self._writer is None:
            assert self._folder is not None  # noqa: S101 - for the type checker; add() returned before
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / self._layout.file_of(len(self._files))
            self._files.append(path)
            self._rows_in_file = 0
            self._file = pa.OSFile(str(path), "wb")
            self._writer = pq.ParquetWriter(
                self._file,
                self._schema,
                # every Spark, Athena and BigQuery reads snappy; zstd needs newer ones
                compression="snappy",
                version="2.6",
                # no copy of Arrow's own schema in the footer: parquet's types say all there is
                store_schema=False,
            )
        # one chunk: where pyarrow ends a page depends on where chunks end
        self._writer.write_table(rows.combine_chunks(), row_group_size=ROW_GROUP_ROWS)
        self._rows_in_file += rows.num_rows

    def _is_full(self) -> bool:
        rows, size = self._layout.rows_per_file, self._layout.bytes_per_file
        return (rows is not None and self._rows_in_file >= rows) or (
            size is not None and self._file.tell() >= size
        )

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._file.close()
            self._writer = None


_AS_OLD = re.compile(r", is_from_converted_type=\w+, force_set_converted_type=\w+")
"""What pyarrow adds of a type about how older readers see it."""


class Unreadable(Exception):  # noqa: N818 - it is what the file is
    """A file that is not as its layout has it; the message says which and how."""


class Declared:
    """The columns of a layout's files as parquet has them: names, types, units, what is required.

    Not how many bytes a decimal takes, which each writer chooses and every reader is told.
    """

    def __init__(self, layout: Layout) -> None:
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, layout.schema(), version="2.6", store_schema=False):
            pass
        self._columns = _columns(pq.ParquetFile(pa.BufferReader(sink.getvalue())))

    def require(self, file: pq.ParquetFile, what: str) -> None:
        """See that a file has exactly these, in their order.

        Raises:
            Unreadable: it has others; `what` is its name.
        """
        there = _columns(file)
        if there == self._columns:
            return
        said = [
            *(f"lacks {column}" for column in self._columns if column not in there),
            *(f"has {column}" for column in there if column not in self._columns),
        ]
        raise Unreadable(f"{what} has other columns: {', '.join(said[:4]) or 'in another order'}")


def _columns(file: pq.ParquetFile) -> list[str]:
    """A line for each column, those inside of maps, too."""
    schema = file.schema
    columns = (schema.column(number) for number in range(len(schema.names)))
    return [
        f"{column.path} {column.physical_type} {_AS_OLD.sub('', str(column.logical_type))} "
        # an entry of a map that is there counts as one level of each
        f"{'optional' if column.max_definition_level > column.max_repetition_level else 'required'}"
        for column in columns
    ]


class ReadBack:
    """Rows and digest of the files of a day, in their order, which must be exactly as declared."""

    def __init__(self, layout: Layout) -> None:
        self.rows = 0
        self._schema = layout.schema()
        self._digest = ContentDigest(self._schema)
        self._declared = Declared(layout)

    def add(self, path: Path) -> None:
        """Take in the next file, a row group at a time.

        Raises:
            Unreadable: it is no whole parquet file, or of another schema.
        """
        try:
            with pq.ParquetFile(path) as file:
                self._declared.require(file, path.name)
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group).cast(self._schema)
                    self._digest.add(table)
                    self.rows += table.num_rows
        except (pa.ArrowException, OSError, ValueError) as error:
            raise Unreadable(f"{path.name} cannot be read: {str(error).splitlines()[0]}") from error

    def hexdigest(self) -> str:
        """As partitions are recorded with."""
        return self._digest.hexdigest()


def _null_entries(array: Any) -> int:
    offsets = array.offsets
    first = offsets[0].as_py()
    return int(array.items.slice(first, offsets[-1].as_py() - first).null_count)
