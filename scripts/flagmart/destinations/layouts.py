"""File layouts: columns with their exact types, order of rows, names of folders and files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

    import pyarrow as pa

    from flagmart.destinations.settings import Settings


@dataclass(frozen=True)
class Column:
    """A column of the file; none may be null."""

    name: str
    type: str
    """One of `string`, `int64`, `timestamp_ms_utc`, `decimal_24_6`, `string_map`."""


@dataclass(frozen=True)
class Layout:
    """How one destination wants its files."""

    columns: tuple[Column, ...]
    order: tuple[str, ...]
    """A total order of the rows, so that equal data gives equal bytes."""
    folder: str
    """Of one day, below the delivery's path; `{day}` is YYYY-MM-DD."""
    file: str
    """Name of a file in it; `{part}` counts from 0."""
    rows_per_file: int | None
    """None: one file a day."""
    success: str | None
    """Name of an empty file that says the day is whole: removed before a change, written last."""

    def folder_of(self, day: date) -> str:
        """The folder of one day, below the delivery's path."""
        return self.folder.format(day=day.isoformat())

    def file_of(self, part: int) -> str:
        """The name of one of its files."""
        return self.file.format(part=part)

    def makes(self, name: str) -> bool:
        """Whether a day's folder can have a file of this name from us: part or success mark."""
        number = re.search(r"\d+", name[len(self.file.partition("{part")[0]) :])
        return name == self.success or (
            number is not None and name == self.file_of(int(number.group()))
        )

    def schema(self) -> pa.Schema:
        """The Arrow schema of the file: every column required."""
        import pyarrow as pa

        types = {
            "string": pa.string(),
            "int64": pa.int64(),
            "timestamp_ms_utc": pa.timestamp("ms", tz="UTC"),
            "decimal_24_6": pa.decimal128(24, 6),
            "string_map": pa.map_(pa.string(), pa.field("value", pa.string(), nullable=False)),
        }
        return pa.schema([pa.field(c.name, types[c.type], nullable=False) for c in self.columns])


def statsig(settings: Settings) -> Layout:
    """Statsig's import from a bucket: `<dataset>/YYYY-MM-DD/*.parquet`, one schema a dataset.

    Source: Statsig's documentation, data-warehouse-ingestion/s3 (folders) and
    integrations/data-imports (columns of events).

    Raises:
        FlagmartError: the setting `dataset` is missing.
    """
    settings.only("destination", "sink", "layout", "path", "dataset")
    return Layout(
        columns=(
            Column("timestamp", "int64"),
            Column("event_name", "string"),
            Column("event_value", "string"),
            Column("event_metadata", "string"),
            Column("user", "string"),
            Column("timeuuid", "string"),
            Column("user_id", "string"),
        ),
        order=("timestamp", "timeuuid"),
        folder=settings.need("dataset").replace("{", "{{").replace("}", "}}") + "/{day}",
        file="part-{part:05d}.parquet",
        # one file a day: it is replaced by one rename, so a reader never sees half a day
        rows_per_file=None,
        success=None,
    )


def hackle(settings: Settings) -> Layout:
    """Hackle's data import: `dt=YYYY-MM-DD/000000000000.parquet`, …001, then an empty `_SUCCESS`.

    Source: https://docs-en.hackle.io/docs/data-integration-data-import
    """
    settings.only("destination", "sink", "layout", "path")
    return Layout(
        columns=(
            Column("insert_id", "string"),
            Column("event_key", "string"),
            Column("ts", "timestamp_ms_utc"),
            Column("metric_value", "decimal_24_6"),
            Column("identifiers", "string_map"),
            Column("event_properties", "string_map"),
            Column("user_properties", "string_map"),
            Column("platform_properties", "string_map"),
        ),
        order=("ts", "insert_id"),
        folder="dt={day}",
        file="{part:012d}.parquet",
        # a whole number of row groups, near a million; Hackle names no size
        rows_per_file=16 * 65_536,
        success="_SUCCESS",
    )
