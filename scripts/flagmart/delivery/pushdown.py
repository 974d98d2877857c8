"""`--pushdown`: ClickHouse writes the files of a day into the bucket, and here they are looked at.

It writes into a hidden folder beside the days. What lies there gets a name that a reader looks for
once its footers are as declared and its rows are as many as they must be.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from flagmart import settings, talk
from flagmart.delivery import signals
from flagmart.delivery.buckets import Bucket, ObjectStore
from flagmart.errors import FlagmartError, UsageError
from flagmart.settings import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from flagmart.delivery.deliveries import Built, Delivery
    from flagmart.delivery.ledger import Partition
    from flagmart.delivery.places import Place
    from flagmart.destinations.layouts import Layout
    from flagmart.warehouse.clickhouse_objects import Objects

BESIDE = ".partial"
"""The folder, in the delivery's own, of files that are not finished."""
_LARGEST_COPY = 5 << 30
"""Bytes of the largest object that S3 copies in one request."""
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.=/-]*")
"""Keys that ClickHouse takes as they are: no pattern, no archive, nothing to be encoded."""


def refuse(delivery: Delivery, place: Place | None) -> None:
    """See that ClickHouse could write this delivery; `place` is that of a delivery of files.

    Raises:
        UsageError: names what is in the way.
    """
    if settings.engine() is not Engine.CLICKHOUSE:
        raise UsageError("--pushdown needs DBT_TARGET=clickhouse: no other engine writes to S3")
    if place is None or signals.is_signals(delivery):
        raise UsageError(
            f"--pushdown is for files of data, and {delivery.name} has none; "
            "name the deliveries it is meant for"
        )
    bucket = place.location
    if not isinstance(bucket, Bucket) or bucket.scheme != "s3":
        raise UsageError(
            f"--pushdown writes to s3:// alone, and {delivery.name} goes to {place.where}"
        )
    key = f"{bucket.name}/{bucket.prefix}/{place.layout.folder.format(day='')}"
    if not _PLAIN_KEY.fullmatch(key):
        raise UsageError(
            f"--pushdown needs a path of letters, digits and _ . = - /, and {delivery.name} goes "
            f"to {place.where}"
        )


@contextmanager
def opened(delivery: Delivery, place: Place, built: Built) -> Iterator[Pushdown]:
    """The server, asked how it would write this delivery.

    Raises:
        FlagmartError: in other columns than the layout has, or it cannot be asked.
    """
    from flagmart.delivery.partitions import ROW_GROUP_ROWS
    from flagmart.warehouse.clickhouse_client import connected
    from flagmart.warehouse.clickhouse_objects import Objects, Rows

    layout = place.layout
    if not layout.columns:
        layout = layout.with_columns(built.warehouse.columns(delivery.relation))
    with connected(settings.clickhouse()) as client:
        rows = Rows(
            delivery.relation,
            [(column.name, column.type, not column.required) for column in layout.columns],
            layout.order,
            layout.day_column,
            ROW_GROUP_ROWS,
        )
        collection = delivery.settings.optional("named_collection")
        objects = Objects(client, rows, f"flagmart export {place.days}", collection)
        pushdown = Pushdown(delivery.name, place, layout, built, objects)
        pushdown.refuse_other_columns()
        yield pushdown


class Pushdown:
    """Brings a day's files to their names by way of a folder beside them."""

    def __init__(
        self, name: str, place: Place, layout: Layout, built: Built, objects: Objects
    ) -> None:
        from flagmart.delivery.partitions import Declared

        assert isinstance(place.location, Bucket)  # noqa: S101 - see refuse
        self._bucket = place.location
        self._store = ObjectStore(place.location)
        self._layout = layout
        self._built = built
        self._objects = objects
        self._declared = Declared(layout)
        self._beside = f"{BESIDE}/{name}"

    def refuse_other_columns(self) -> None:
        """See that the server's files would be as declared; a file without rows tells.

        Raises:
            FlagmartError: names the columns.
        """
        import pyarrow as pa

        file = pa.BufferReader(self._objects.without_rows())
        self._rows_of(file, "a file as ClickHouse writes it")

    def begin(self) -> None:
        """Stop and remove what a killed export left behind."""
        self._objects.stop()
        self._store.remove_folder(self._beside)

    def write(self, partition: Partition) -> Partition:
        """Have the files of a day written beside their place; back comes what they are.

        Raises:
            FlagmartError: the server refuses, what it wrote is not as it must be, or the relation
                was built anew meanwhile. No file of the day's is touched.
        """
        size = self._layout.bytes_per_file
        per_file = self._layout.rows_per_file or partition.rows
        while True:
            files, total = 0, 0
            for first in range(0, partition.rows, per_file):
                rows = min(per_file, partition.rows - first)
                length = self._write_file(partition.day, files, first, rows)
                files, total = files + 1, total + length
                if size is not None and length > size and per_file > 1:
                    break
            else:
                self._built.refuse_another()
                return replace(partition, files=files, bytes=total)
            # known only once it is written; half as many rows are half as large
            per_file = -(-per_file // 2)

    def put(self, day: date, name: str) -> None:
        """Bring a file that was written to its name."""
        self._store.copy(self._beside_of(day, name), self._layout.path_of(day, name))

    def clear(self, day: date) -> None:
        """Remove what `put` copied."""
        self._store.remove_folder(f"{self._beside}/{day.isoformat()}")

    def _beside_of(self, day: date, name: str) -> str:
        return f"{self._beside}/{day.isoformat()}/{name}"

    def _write_file(self, day: date, part: int, first: int, rows: int) -> int:
        """Have one file written, and look at it; its bytes come back."""
        from flagmart.warehouse.clickhouse_client import ServerError

        key = self._beside_of(day, self._layout.file_of(part))
        try:
            self._objects.write(self._url(key), day, first, rows)
        except ServerError as error:
            raise FlagmartError(
                f"{error}; docs/clickhouse.md has what the server needs to write there"
            ) from None
        with self._store.reading(key) as file:
            there = self._rows_of(file, f"{self._bucket}: {key}")
            if there != rows:
                raise FlagmartError(
                    f"{self._bucket}: ClickHouse wrote {talk.plural(there, 'row')} of {rows:,} to "
                    f"{key}; run the export again"
                )
            size = int(file.size())
        if size > _LARGEST_COPY:
            raise FlagmartError(
                f"{self._bucket}: {day} is a file of {size:,} bytes, and S3 copies none above "
                f"{_LARGEST_COPY:,}; export it without --pushdown"
            )
        return size

    def _url(self, key: str) -> str:
        """What ClickHouse calls an object; the bucket in the path, as every store takes it."""
        region = f"{self._bucket.region}." if self._bucket.region else ""
        server = self._bucket.endpoint or f"https://s3.{region}amazonaws.com"
        return "/".join(
            part for part in (server, self._bucket.name, self._bucket.prefix, key) if part
        )

    def _rows_of(self, file: object, what: str) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        from flagmart.delivery.partitions import Unreadable

        try:
            with pq.ParquetFile(file) as opened_file:
                self._declared.require(opened_file, what)
                return int(opened_file.metadata.num_rows)
        except Unreadable as error:
            raise FlagmartError(f"{error}; export it without --pushdown") from error
        except pa.ArrowInvalid as error:
            raise FlagmartError(f"{what}: no parquet file; run the export again") from error
