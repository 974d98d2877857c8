"""ClickHouse writing parquet files of a relation into a bucket, with credentials of its own."""
# ruff: noqa: S608 - only identifiers and types of our own are put into statements.

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flagmart.warehouse.clickhouse_client import name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from flagmart.warehouse.clickhouse_client import Client
    from flagmart.warehouse.protocol import Relation

_TYPES = {
    "string": "String",
    "bool": "Bool",
    "int32": "Int32",
    "int64": "Int64",
    "uint64": "UInt64",
    "float64": "Float64",
    "date": "Date32",
    "timestamp_us": "DateTime64(6, 'UTC')",
    "timestamp_ms_utc": "DateTime64(3, 'UTC')",
    "string_map": "Map(String, String)",
}
_PARQUET: dict[str, Any] = {
    "output_format_parquet_compression_method": "snappy",
    "output_format_parquet_version": "2.6",
    "output_format_parquet_string_as_string": 1,
    "output_format_parquet_datetime_as_uint32": 0,
    "output_format_parquet_date_as_uint16": 0,
    # a quarter of a megabyte a column
    "output_format_parquet_write_bloom_filter": 0,
}
_INTO_S3: dict[str, Any] = {"s3_truncate_on_insert": 1, "s3_create_new_file_on_insert": 0}


@dataclass(frozen=True)
class Rows:
    """What to write of a relation, and how."""

    relation: Relation
    columns: Sequence[tuple[str, str, bool]]
    """Name, type as destinations.layouts names it, whether it may be null."""
    order: Sequence[str]
    day: str | None
    """The column that tells the day; None: all rows are one part."""
    rows_per_group: int


class Objects:
    """A server that writes objects.

    Every method raises ServerError where it refuses.
    """

    def __init__(self, client: Client, rows: Rows, mark: str, collection: str) -> None:
        """Take what is to be written.

        Args:
            client: of the server.
            rows: what to write.
            mark: a text by which its statements are found again when who sent them is gone.
            collection: the server's named collection that holds its credentials; '' for those the
                server has of itself, by its configuration or the role of its machine.
        """
        self._client = client
        self._rows = rows
        self._mark = mark
        self._collection = collection
        self._settings: Mapping[str, Any] = {
            **_PARQUET,
            "output_format_parquet_row_group_size": rows.rows_per_group,
            "max_block_size": rows.rows_per_group,  # a group ends with a block
        }

    def without_rows(self) -> bytes:
        """A file as the server would write it, but without a row; nothing is written anywhere."""
        return self._client.file(f"{self._select()} limit 0", "Parquet", self._settings)

    def write(self, url: str, day: date, first: int, rows: int) -> None:
        """Write `rows` of a day's rows to an object, from the one numbered `first` on.

        The object has its old content, or none, until all of the new one has arrived.
        """
        rows_of = self._rows
        where = f"where source.{name(rows_of.day)} = {{day:Date}}" if rows_of.day else ""
        order = ", ".join(f"source.{name(column)}" for column in rows_of.order)
        place = "{url:String}, 'Parquet'"
        if self._collection:
            place = f"{name(self._collection)}, url = {{url:String}}, format = 'Parquet'"
        self._client.run(
            f"insert into function s3({place}) {self._select()} {where} order by {order} "
            "limit {rows:UInt64} offset {first:UInt64}",
            {"url": url, "day": day.isoformat(), "rows": rows, "first": first},
            {**self._settings, **_INTO_S3, "log_comment": self._mark},
        )

    def stop(self) -> None:
        """Stop what was left running: a server goes on with an insert whose client was killed."""
        self._client.rows(
            "kill query where Settings['log_comment'] = {mark:String} sync", {"mark": self._mark}
        )

    def _select(self) -> str:
        columns = ", ".join(
            f"cast(source.{name(column)} as {_type(kind, nullable=nullable)}) as {name(column)}"
            for column, kind, nullable in self._rows.columns
        )
        relation = self._rows.relation
        return f"select {columns} from {name(relation.schema)}.{name(relation.name)} as source"


def _type(kind: str, *, nullable: bool) -> str:
    word, *figures = kind.split("_")
    known = f"Decimal({', '.join(figures)})" if word == "decimal" else _TYPES[kind]
    return f"Nullable({known})" if nullable else known
