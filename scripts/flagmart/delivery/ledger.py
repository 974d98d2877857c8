"""The ledger: what was delivered and acknowledged. SQLite, one file, no secret ever in it."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from flagmart import settings
from flagmart.errors import FlagmartError
from flagmart.warehouse.protocol import RunFigures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

VERSION = 1
_SCHEMA = """
create table targets (
    id integer primary key,
    delivery text not null,
    destination text not null,
    points_to text not null,      -- a URL, or a folder (relative ones lie in the data folder)
    delivered_at text,            -- when something was last put in place or acknowledged
    unique (delivery, destination, points_to)
) strict;

create table partitions (
    target_id integer not null references targets,
    partition_on text not null,
    rows integer not null,
    newest text not null,         -- max(ingested_at)
    fingerprint text not null,    -- of the models when it was last looked at
    digest text,                  -- of its content; null while it is being replaced
    files integer not null,
    bytes integer not null,
    primary key (target_id, partition_on)
) strict, without rowid;

create table spools (
    id integer primary key,
    target_id integer not null references targets,
    name text not null unique,    -- acknowledged/<delivery>/<name>.parquet holds its message ids
    is_open integer not null      -- being sent
) strict;

create table acknowledged (
    spool_id integer not null references spools,
    first_row integer not null,   -- rows of the spool's file, from 0, both ends included
    last_row integer not null,
    primary key (spool_id, first_row)
) strict, without rowid;

create table runs (
    target_id integer not null references targets,
    ingested_at text not null,
    rows integer not null,
    digest text not null,
    primary key (target_id, ingested_at)
) strict, without rowid;
"""


@dataclass(frozen=True)
class Partition:
    """A partition as it was last delivered."""

    day: date
    rows: int
    newest: datetime
    fingerprint: str
    digest: str | None
    files: int
    bytes: int


@dataclass(frozen=True)
class Spool:
    """Messages taken out for sending, and which of them were acknowledged."""

    id: int
    name: str
    is_open: bool
    ranges: tuple[tuple[int, int], ...]

    @property
    def acknowledged(self) -> int:
        """How many messages."""
        return sum(last - first + 1 for first, last in self.ranges)


@dataclass(frozen=True)
class Target:
    """A delivery to one place."""

    id: int
    delivery: str
    destination: str
    points_to: str
    delivered_at: str | None


def without_userinfo(address: str) -> str:
    """A URL without user and password, which never enter the ledger; a folder as it is."""
    if "://" not in address:
        return address
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


@contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[Ledger]:
    """The ledger at `path`; made where it is missing. Read-only, a missing one is as an empty one.

    Raises:
        FlagmartError: it cannot be opened, or another version of flagmart wrote it.
    """
    try:
        if not read_only:
            # one thread at a time uses it, though not always the one that opened it
            connection = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False
            )
        elif path.exists():
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60)
        else:
            connection = sqlite3.connect(":memory:")
        try:
            _prepare(connection, path, read_only=read_only and path.exists())
            yield Ledger(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise FlagmartError(
            f"the ledger {path}: {error}; put it back from a backup if it is damaged"
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    connection.execute("pragma foreign_keys = on")
    if not read_only:
        # an acknowledgement is on the disk before the next step is taken
        connection.execute("pragma journal_mode = wal")
        connection.execute("pragma synchronous = full")
        connection.execute("begin immediate")
    version = connection.execute("pragma user_version").fetchone()[0]
    if version == 0 and not read_only:
        for statement in _SCHEMA.split(";\n"):
            connection.execute(statement)
        connection.execute(f"pragma user_version = {VERSION}")
    elif version != VERSION:
        raise FlagmartError(
            f"the ledger {path} has version {version}, this flagmart writes {VERSION}; "
            "use the flagmart that wrote it"
        )
    if not read_only:
        connection.execute("commit")


class Ledger:
    """An open ledger. Each method that writes is one transaction, on the disk when it returns."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._db.execute("rollback")
            raise
        self._db.execute("commit")

    # deliveries and where they point

    def target(self, delivery: str, destination: str, points_to: str) -> Target:
        """The entry of this delivery to this place; made where it is new."""
        place = without_userinfo(points_to)
        found = self.find(delivery, destination, place)
        if found is None:
            with self._transaction():
                self._db.execute(
                    "insert or ignore into targets (delivery, destination, points_to) "
                    "values (?, ?, ?)",
                    (delivery, destination, place),
                )
            found = self.find(delivery, destination, place)
        if found is None:
            raise FlagmartError(f"the ledger did not keep {delivery}")
        return found

    def find(self, delivery: str, destination: str, points_to: str) -> Target | None:
        """The entry of this delivery to this place, if there is one."""
        row = self._db.execute(
            "select id, delivery, destination, points_to, delivered_at from targets "
            "where delivery = ? and destination = ? and points_to = ?",
            (delivery, destination, without_userinfo(points_to)),
        ).fetchone()
        return Target(*row) if row else None

    def targets(self) -> list[Target]:
        """All entries."""
        rows = self._db.execute(
            "select id, delivery, destination, points_to, delivered_at from targets "
            "order by delivery, destination, points_to"
        )
        return [Target(*row) for row in rows]

    # files

    def partitions(self, target: Target) -> dict[date, Partition]:
        """Partitions in place, by day."""
        rows = self._db.execute(
            "select partition_on, rows, newest, fingerprint, digest, files, bytes from partitions "
            "where target_id = ? order by partition_on",
            (target.id,),
        )
        return {
            date.fromisoformat(day): Partition(
                date.fromisoformat(day), count, datetime.fromisoformat(newest), *others
            )
            for day, count, newest, *others in rows
        }

    def replacing(self, target: Target, day: date) -> None:
        """Say, before a file is touched, that the partition's content is not to be relied on."""
        with self._transaction():
            self._db.execute(
                "update partitions set digest = null where target_id = ? and partition_on = ?",
                (target.id, day.isoformat()),
            )

    def in_place(self, target: Target, partition: Partition, *, delivered: bool) -> None:
        """Record a partition: just put in place, or looked at and found as it was."""
        with self._transaction():
            self._db.execute(
                "insert or replace into partitions "
                "(target_id, partition_on, rows, newest, fingerprint, digest, files, bytes) "
                "values (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    target.id,
                    partition.day.isoformat(),
                    partition.rows,
                    _text(partition.newest),
                    partition.fingerprint,
                    partition.digest,
                    partition.files,
                    partition.bytes,
                ),
            )
            if delivered:
                self._touch(target.id)

    def gone(self, target: Target, day: date) -> None:
        """Record that a partition's files were removed."""
        with self._transaction():
            self._db.execute(
                "delete from partitions where target_id = ? and partition_on = ?",
                (target.id, day.isoformat()),
            )
            self._touch(target.id)

    # messages

    def runs(self, target: Target) -> dict[datetime, RunFigures]:
        """Ingest runs of which every message is acknowledged, with their figures at that time."""
        rows = self._db.execute(
            "select ingested_at, rows, digest from runs where target_id = ?", (target.id,)
        )
        return {
            (moment := datetime.fromisoformat(text)): RunFigures(moment, count, digest)
            for text, count, digest in rows
        }

    def record_runs(self, target: Target, runs: Iterable[RunFigures]) -> None:
        """Record that every message of these runs is acknowledged."""
        with self._transaction():
            self._db.executemany(
                "insert or replace into runs (target_id, ingested_at, rows, digest) "
                "values (?, ?, ?, ?)",
                [(target.id, _text(run.ingested_at), run.rows, run.digest) for run in runs],
            )

    def spools(self, target: Target) -> list[Spool]:
        """All spools of this target, oldest first, with their acknowledged ranges."""
        ranges: dict[int, list[tuple[int, int]]] = {}
        for spool_id, first, last in self._db.execute(
            "select spool_id, first_row, last_row from acknowledged "
            "inner join spools on spools.id = spool_id "
            "where target_id = ? order by spool_id, first_row",
            (target.id,),
        ):
            ranges.setdefault(spool_id, []).append((first, last))
        rows = self._db.execute(
            "select id, name, is_open from spools where target_id = ? order by id", (target.id,)
        )
        return [
            Spool(spool_id, name, bool(is_open), tuple(ranges.get(spool_id, ())))
            for spool_id, name, is_open in rows
        ]

    def spool_names(self, delivery: str) -> set[str]:
        """Names of all spools of a delivery, wherever it points."""
        rows = self._db.execute(
            "select name from spools inner join targets on targets.id = target_id "
            "where delivery = ?",
            (delivery,),
        )
        return {name for (name,) in rows}

    def open_spool(self, target: Target) -> Spool:
        """A new spool; its name is known here before its file exists."""
        with self._transaction():
            number = self._db.execute("select coalesce(max(id), 0) + 1 from spools").fetchone()[0]
            name = f"{number:06d}"
            self._db.execute(
                "insert into spools (id, target_id, name, is_open) values (?, ?, ?, 1)",
                (number, target.id, name),
            )
        return Spool(number, name, is_open=True, ranges=())

    def acknowledge(self, target: Target, spool_id: int, spans: Iterable[tuple[int, int]]) -> None:
        """Record that these rows (first, last) arrived; ranges that touch become one."""
        with self._transaction():
            for first, last in spans:
                self._join(spool_id, first, last)
            self._touch(target.id)

    def _join(self, spool_id: int, first: int, last: int) -> None:
        touching = self._db.execute(
            "select first_row, last_row from acknowledged "
            "where spool_id = ? and first_row <= ? and last_row >= ?",
            (spool_id, last + 1, first - 1),
        ).fetchall()
        for old_first, old_last in touching:
            first, last = min(first, old_first), max(last, old_last)
            self._db.execute(
                "delete from acknowledged where spool_id = ? and first_row = ?",
                (spool_id, old_first),
            )
        self._db.execute("insert into acknowledged values (?, ?, ?)", (spool_id, first, last))

    def close_spool(self, spool_id: int) -> None:
        """Nothing more will be sent from this spool; what it has acknowledged stays."""
        with self._transaction():
            self._db.execute("update spools set is_open = 0 where id = ?", (spool_id,))

    def drop_spool(self, spool_id: int) -> None:
        """Forget a spool of which nothing was acknowledged."""
        with self._transaction():
            self._db.execute("delete from spools where id = ?", (spool_id,))

    def _touch(self, target_id: int) -> None:
        self._db.execute(
            "update targets set delivered_at = ? where id = ?",
            (settings.now().isoformat(timespec="seconds"), target_id),
        )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
