"""One writer at a time to a landing on ClickHouse: a lock that lives in the server.

The lock is a table: making it fails where it is there. Its comment names the holder, its rows are
the holder's heartbeats, by the server's clock. A lock is taken over when its holder is a process of
this host that is gone, or its heartbeat has stopped. A holder that lost its lock (a machine that
slept) finds out before it makes anything visible.
"""
# ruff: noqa: S608 - only identifiers are put into statements, quoted by `name`; values go as parameters.

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from flagmart import locks
from flagmart.errors import FlagmartError
from flagmart.warehouse.clickhouse_client import (
    TABLE_EXISTS,
    UNKNOWN_TABLE,
    Client,
    ServerError,
    literal,
    name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE = "landing_lock"
BEAT_SECONDS = 20.0
DEAD_SECONDS = 120
"""Without a heartbeat for so long a holder counts as gone."""
_LOOK_AFTER_SECONDS = (0.0, 0.1, 0.4, 1.5)
"""Before each look for a missing lock: who took it for a dead holder's gives it back."""


class Lock:
    """A lock that is held."""

    def __init__(self, client: Client, database: str, token: str) -> None:
        self._client = client
        self._database = database
        self._token = token

    def confirm(self) -> None:
        """See that it is still held.

        Raises:
            FlagmartError: another writer took it over, because no heartbeat reached the server.
        """
        for pause in _LOOK_AFTER_SECONDS:
            time.sleep(pause)
            held = _holder(self._client, self._database)
            if held is not None:
                break
        if held is None or _facts(held[0]).get("token") != self._token:
            raise FlagmartError(
                f"this run had no contact with {self._client.server} for too long and another "
                "writer took its place; nothing landed, run it again"
            )

    def beat(self) -> None:
        """Tell the server that the holder lives."""
        self._client.run(
            f"insert into {_table(self._database)} (token) select {{token:String}}",
            {"token": self._token},
        )

    def release(self) -> None:
        """Free it, if it is still ours."""
        self.confirm()
        self._client.run(f"drop table if exists {_table(self._database)} sync")


@contextmanager
def held(client: Client, database: str) -> Iterator[Lock]:
    """Hold the lock of the landing in `database` until the block ends.

    Raises:
        FlagmartError: another process holds it; names that process and since when.
    """
    lock = _take(client, database)
    over = threading.Event()

    def beat() -> None:
        while True:
            with suppress(FlagmartError):  # the next one may come through; `confirm` has the say
                lock.beat()
            if over.wait(BEAT_SECONDS):
                return

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield lock
    finally:
        over.set()
        thread.join()
        with suppress(FlagmartError):  # it will be found dead
            lock.release()


def _take(client: Client, database: str) -> Lock:
    token = uuid.uuid4().hex
    facts = json.dumps({**locks.this_process(), "token": token}, ensure_ascii=False)
    while not _made(client, database, facts):
        found = _holder(client, database)
        if found is None:
            continue  # freed in between
        comment, silent_seconds = found
        if not _is_dead(_facts(comment), silent_seconds):
            raise FlagmartError(
                f"the landing {database} on {client.server} is in use by "
                f"{locks.describe(comment)}; try again when it is done"
            )
        _take_away(client, database, comment)
    return Lock(client, database, token)


def _made(client: Client, database: str, facts: str) -> bool:
    try:
        client.run(
            f"create table {_table(database)} (token String, at DateTime default now()) "
            f"engine = MergeTree order by at comment {literal(facts)}"
        )
    except ServerError as error:
        if error.code == TABLE_EXISTS:
            return False
        raise
    return True


def _holder(client: Client, database: str) -> tuple[str, int] | None:
    """What the lock says of its holder, and for how many seconds the server has not heard of it."""
    made = client.rows(
        "select comment, dateDiff('second', metadata_modification_time, now()) from system.tables "
        "where database = {database:String} and name = {table:String}",
        {"database": database, "table": TABLE},
    )
    if not made:
        return None
    [(comment, age)] = made
    token = str(_facts(comment).get("token", ""))
    try:
        beats = client.rows(
            f"select dateDiff('second', max(at), now()) from {_table(database)} "
            "where token = {token:String} having count() > 0",
            {"token": token},
        )
    except ServerError as error:
        if error.code != UNKNOWN_TABLE:
            raise
        return None  # freed, or taken over, in between
    return comment, int(beats[0][0]) if beats else int(age)


def _is_dead(holder: dict[str, Any], silent_seconds: int) -> bool:
    if silent_seconds > DEAD_SECONDS:
        return True
    if holder.get("host") != socket.gethostname() or not isinstance(holder.get("pid"), int):
        return False
    try:
        os.kill(holder["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def _take_away(client: Client, database: str, comment: str) -> None:
    """Take a dead holder's lock out of the way; of several that try, one does."""
    aside = f"{TABLE}_{uuid.uuid4().hex}"
    if not _renamed(client, _table(database), _table(database, aside)):
        return  # another one was quicker
    [(renamed,)] = client.rows(
        "select comment from system.tables "
        "where database = {database:String} and name = {table:String}",
        {"database": database, "table": aside},
    )
    # another one was quicker still if this is its own new lock: it gets it back, and where a third
    # has made one meanwhile its run ends with an error before anything of it is visible
    if renamed != comment and _renamed(client, _table(database, aside), _table(database)):
        return
    client.run(f"drop table {_table(database, aside)} sync")


def _renamed(client: Client, table: str, to: str) -> bool:
    try:
        client.run(f"rename table {table} to {to}")
    except ServerError as error:
        if error.code not in (UNKNOWN_TABLE, TABLE_EXISTS):
            raise
        return False
    return True


def _facts(comment: str) -> dict[str, Any]:
    try:
        facts = json.loads(comment)
    except ValueError:
        return {}
    return facts if isinstance(facts, dict) else {}


def _table(database: str, table: str = TABLE) -> str:
    return f"{name(database)}.{name(table)}"
