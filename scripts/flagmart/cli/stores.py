"""FeatBit's stores by name, for every command that reads one."""

from enum import StrEnum
from typing import TYPE_CHECKING

from flagmart.errors import FlagmartError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Protocol

    from flagmart.ingest.reconcile import CountedStore
    from flagmart.ingest.version_stores import KeepingStore

    class FeatBitStore(CountedStore, KeepingStore, Protocol):
        """All that a command asks of a store."""


class Source(StrEnum):
    """A kind of store that can be read."""

    CLICKHOUSE = "clickhouse"
    POSTGRES = "postgres"
    MONGODB = "mongodb"


def connected(source: Source) -> "AbstractContextManager[FeatBitStore]":
    """The store, as the environment names it; its driver is imported here and nowhere before.

    Raises:
        FlagmartError: the driver is not installed; when opened, what `connected` of the store's
            own module raises.
    """
    package = _DRIVERS[source]
    try:
        if source is Source.CLICKHOUSE:
            from flagmart.ingest.clickhouse_store import connected as clickhouse

            return clickhouse()
        if source is Source.POSTGRES:
            from flagmart.ingest.postgres_store import connected as postgres

            return postgres()
        from flagmart.ingest.mongodb_store import connected as mongodb

        return mongodb()
    except ImportError as error:
        raise FlagmartError(
            f"{source} is read by a driver that is not installed; install it with "
            f".venv/bin/pip install '{package}'"
        ) from error


_DRIVERS = {
    Source.CLICKHOUSE: "dbt-clickhouse>=1.10.3,<1.11",
    Source.POSTGRES: "adbc-driver-postgresql>=1.8",
    Source.MONGODB: "pymongo>=4.15",
}
