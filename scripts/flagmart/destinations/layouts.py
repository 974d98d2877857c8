"""File layouts: columns with their exact types, order of rows, names of folders and files."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from flagmart.destinations import days
from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    import pyarrow as pa

    from flagmart.destinations.settings import Settings


_ANY = (
    *("destination", "sink", "layout", "path", "days", "timezone"),
    *("endpoint", "region", "named_collection"),
)
"""Settings of every layout; `endpoint`, `region` and `named_collection` are those of a bucket."""
_OF_DAYS = ("days", "timezone")
"""Those of them that are for layouts whose days are a destination's."""


_MOMENT = "occurred_at"


@dataclass(frozen=True)
class Column:
    """A column of the file."""

    name: str
    type: str
    """One of `string`, `bool`, `int32`, `int64`, `uint64`, `float64`, `date`, `timestamp_us`,
    `timestamp_ms_utc`, `decimal_P_S`, `string_map`."""
    required: bool = True
    """Whether parquet says so; a required one is never null."""


@dataclass(frozen=True)
class Layout:
    """How one destination wants its files."""

    columns: tuple[Column, ...]
    """None where the relation's own are taken: see `with_columns`."""
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
    bytes_per_file: int | None = None
    """A file ends with the row group that reaches it, too."""
    complete_days: bool = False
    """Only days before the one on which the newest of the relation's rows landed."""
    zone: tzinfo = UTC
    """Where its days end."""
    day_column: str | None = "partition_on"
    """Tells the day of a row; None: all rows are one part, without a day."""
    newest_column: str | None = "ingested_at"
    """Grows with what lands; None: nothing but its rows tells whether a day changed."""
    moment_column: str | None = None
    """A time by which an engine finds a day's rows, and parts of them; a relation may lack it."""
    reloads: bool = False
    """Whether a day is taken up once and a change of it by a rule: destinations/statsig.py."""

    def folder_of(self, day: date) -> str:
        """The folder of one day, below the delivery's path."""
        return self.folder.format(day=day.isoformat())

    def path_of(self, day: date, name: str) -> str:
        """One of its files, below the delivery's path."""
        return f"{self.folder_of(day)}/{name}".lstrip("/")

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
        """The Arrow schema of the file."""
        import pyarrow as pa

        types = {
            "string": pa.string(),
            "bool": pa.bool_(),
            "int32": pa.int32(),
            "int64": pa.int64(),
            "uint64": pa.uint64(),
            "float64": pa.float64(),
            "date": pa.date32(),
            "timestamp_us": pa.timestamp("us"),
            "timestamp_ms_utc": pa.timestamp("ms", tz="UTC"),
            "string_map": pa.map_(pa.string(), pa.field("value", pa.string(), nullable=False)),
        }
        fields = []
        for column in self.columns:
            kind, *figures = column.type.split("_")
            fields.append(
                pa.field(
                    column.name,
                    pa.decimal128(*map(int, figures)) if kind == "decimal" else types[column.type],
                    nullable=not column.required,
                )
            )
        return pa.schema(fields)

    def with_columns(self, columns: Iterable[tuple[str, str]]) -> Layout:
        """The layout of a relation with these columns (name, type), for one that declares none.

        Rows are ordered by all of them but maps: those that are equal in all may change places.
        """
        found = tuple(Column(name, kind, required=kind == "string_map") for name, kind in columns)
        order = tuple(column.name for column in found if column.type != "string_map")
        return replace(self, columns=found, order=order)


_STATSIG_EVENTS = (
    Column("timestamp", "int64"),
    Column("event_name", "string"),
    Column("event_value", "string"),
    Column("event_metadata", "string"),
    Column("user", "string"),
    Column("timeuuid", "string"),
    Column("user_id", "string"),
)
_STATSIG_METRICS = (
    Column("unit_id", "string"),
    Column("id_type", "string"),
    Column("date", "string"),
    Column("metric_name", "string"),
    # in every file, also where all are null: a metric has a value, a ratio the two others
    Column("metric_value", "float64", required=False),
    Column("numerator", "float64", required=False),
    Column("denominator", "float64", required=False),
)


def statsig(settings: Settings) -> Layout:
    """Statsig's import from a bucket: `<dataset>/YYYY-MM-DD/*.parquet`, one schema a dataset.

    The dataset `metrics` has the columns of metrics, any other those of events.

    Source: Statsig's documentation, data-warehouse-ingestion/s3 (folders) and
    integrations/data-imports (columns of events and metrics).

    Raises:
        FlagmartError: the setting `dataset` is missing.
    """
    settings.only(*_ANY, "dataset")
    dataset = settings.need("dataset")
    metrics = dataset == "metrics"
    return Layout(
        columns=_STATSIG_METRICS if metrics else _STATSIG_EVENTS,
        order=("metric_name", "id_type", "unit_id") if metrics else ("timestamp", "timeuuid"),
        folder=dataset.replace("{", "{{").replace("}", "}}") + "/{day}",
        file="part-{part:05d}.parquet",
        # one file a day: it is replaced by one rename, so a reader never sees half a day
        rows_per_file=None,
        success=None,
        complete_days=settings.choice("days", "all", "complete") == "complete",
        moment_column=_MOMENT,
        zone=days.zone(settings, "UTC-8"),
        reloads=True,
    )


def statsig_signals(settings: Settings) -> Layout:
    """Statsig's `signals/YYYY-MM-DD/part-00000.parquet`: the one column `finished_date`, one row.

    Source: Statsig's documentation, data-imports/redshift, "Scheduling". It names the folder and
    the column; the folders of days in it are those of the two datasets.
    """
    settings.only(*[name for name in _ANY if name not in _OF_DAYS])
    return Layout(
        columns=(Column("finished_date", "string"),),
        order=("finished_date",),
        folder="signals/{day}",
        file="part-{part:05d}.parquet",
        rows_per_file=None,
        success=None,
    )


_IDENTIFIERS = {"map": "string_map", "json": "string"}


def hackle(settings: Settings) -> Layout:
    """Hackle's data import: `dt=YYYY-MM-DD/000000000000.parquet`, …001, then an empty `_SUCCESS`.

    Source: https://docs-en.hackle.io/docs/data-integration-data-import

    Raises:
        FlagmartError: the setting `identifiers` is neither `map` (the default) nor `json`.
    """
    settings.only(*_ANY, "identifiers")
    identifiers = str(settings.values.get("identifiers", "map"))
    if identifiers not in _IDENTIFIERS:
        raise FlagmartError(
            f"exposure {settings.exposure}: meta.flagmart.identifiers is {identifiers!r}; "
            "it may be map or json"
        )
    return Layout(
        columns=(
            Column("insert_id", "string"),
            Column("event_key", "string"),
            Column("ts", "timestamp_ms_utc"),
            Column("metric_value", "decimal_24_6"),
            Column("identifiers", _IDENTIFIERS[identifiers]),
            Column("event_properties", "string_map"),
            Column("user_properties", "string_map"),
            Column("platform_properties", "string_map"),
        ),
        order=("ts", "insert_id"),
        folder="dt={day}",
        file="{part:012d}.parquet",
        # a whole number of row groups, near a million, or fewer large ones; Hackle names no size
        rows_per_file=16 * 65_536,
        bytes_per_file=256_000_000,
        success="_SUCCESS",
        # "Data processing includes D-1 data": it takes a day up once
        complete_days=settings.choice("days", "complete", "all") == "complete",
        zone=days.zone(settings, "UTC"),
        moment_column=_MOMENT,
    )


def plain(settings: Settings) -> Layout:
    """Any relation as it is: `YYYY-MM-DD/part-00000.parquet` by its date column `partition_by`.

    Without `partition_by` all of it is one file. Every column may be null, and a timestamp is UTC
    without a zone, as in the table.

    Raises:
        FlagmartError: `days` is set; a mart does not say when its rows landed.
    """
    settings.only(*[name for name in _ANY if name not in _OF_DAYS], "partition_by")
    day_column = settings.optional("partition_by") or None
    return Layout(
        columns=(),
        order=(),
        folder="{day}" if day_column else "",
        file="part-{part:05d}.parquet",
        rows_per_file=None,
        success=None,
        day_column=day_column,
        newest_column=None,
    )
