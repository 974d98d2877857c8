"""What makes the command and dbt work on a test's ClickHouse, and a look at what lies there."""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import clickhouse_connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from clickhouse_connect.driver.client import Client

    from support.clickhouse.server import Address


def environment(address: Address, database: str) -> dict[str, str]:
    """The variables for an installation of its own in `database`."""
    return {
        "DBT_TARGET": "clickhouse",
        "FLAGMART_CLICKHOUSE_HOST": address.host,
        "FLAGMART_CLICKHOUSE_PORT": str(address.port),
        "FLAGMART_CLICKHOUSE_USER": address.user,
        "FLAGMART_CLICKHOUSE_DATABASE": database,
        "DBT_ENV_SECRET_CLICKHOUSE_PASSWORD": address.password,
    }


@contextmanager
def client(address: Address) -> Iterator[Client]:
    with closing(
        clickhouse_connect.get_client(
            host=address.host,
            port=address.port,
            username=address.user,
            password=address.password,
            autogenerate_session_id=False,
        )
    ) as opened:
        yield opened


def rows(opened: Client, statement: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in opened.query(statement).result_rows]
