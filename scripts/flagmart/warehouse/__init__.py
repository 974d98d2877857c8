"""Engines behind one small protocol: what is said to an engine is said here and nowhere else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from flagmart.settings import DataFolder
    from flagmart.warehouse.protocol import Warehouse


@contextmanager
def open_reader(
    data: DataFolder, wait_seconds: float, say: Callable[[str], None]
) -> Iterator[Warehouse]:
    """The engine dbt builds in, open for reading until the block ends.

    Args:
        data: the data folder.
        wait_seconds: how long to wait while another process holds the engine's file.
        say: told at once who holds it.

    Raises:
        FlagmartError: it does not exist, cannot be read, or is still held when the wait is over.
    """
    from flagmart.warehouse import duckdb

    with duckdb.reader(data.duckdb, data.spool / "duckdb", wait_seconds, say) as reader:
        yield reader
