"""The ledger: what was delivered and acknowledged. SQLite, one file, no secret ever in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from flagmart import settings
from flagmart.delivery.dead import DeadLetter, Refused
from flagmart.errors import FlagmartError
from flagmart.warehouse.protocol import RunFigures

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

VERSION = 3
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
_SINCE_2 = """
create table calls (
    target_id integer not null references targets,
    dataset text not null,
    day text,                     -- the last that the server took as finished
    called_at text,               -- when a call began that the server may have counted
    primary key (target_id, dataset)
) strict, without rowid;

create table loads (
    target_id integer not null references targets,
    partition_on text not null,
    rows integer not null,        -- that the destination has taken, as far as can be known
    changed_at text,              -- when the partition was replaced since
    primary key (target_id, partition_on)
) strict, without rowid;
"""
_SINCE_3 = """
create table dead (
    spool_id integer not null references spools,
    row integer not null,         -- of the spool's file, from 0
    message_id text not null,
    status integer,               -- of the answer; null where no request could carry it
    reason text not null,
    answer text not null,         -- its beginning, masked
    payload text not null,        -- as it was refused
    died_at text not null,
    primary key (spool_id, row)
) strict;

create index dead_ids on dead (message_id);
"""
_STEPS = (_SCHEMA, _SINCE_2, _SINCE_3)
"""What each version added to the one before."""


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
    """Rows that were acknowledged: first and last, in order."""
    dead: tuple[tuple[int, int], ...] = ()
    """Rows that were refused, likewise."""

    @property
    def acknowledged(self) -> int:
        """How many messages."""
        return _count(self.ranges)

    @property
    def refused(self) -> int:
        """How many are dead letters."""
        return _count(self.dead)

    @property
    def settled(self) -> tuple[tuple[int, int], ...]:
        """Rows that no plain export sends again; ranges that touch are one."""
        return joined([*self.ranges, *self.dead])


def _count(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)


def joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Ranges in order, those that touch as one; none of them overlap."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and found[-1][1] == first - 1:
            found[-1] = (found[-1][0], last)
        else:
            found.append((first, last))
    return tuple(found)


@dataclass(frozen=True)
class Called:
    """What calls about one dataset came to."""

    day: date | None
    """The last that the server took as finished."""
    at: datetime | None
    """When the last call began that the server may have counted."""


@dataclass(frozen=True)
class Load:
    """A day as its destination has taken it."""

    rows: int
    changed_at: datetime | None
    """When it was replaced since."""


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
    if parts.scheme == "abfs" and ":" not in parts.netloc:
        return address  # what stands before the @ is Azure's container
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
            is_file = path.exists()
            if read_only and is_file and 0 < _version(connection) < VERSION:
                # what this version adds is made in a copy, the file stays as it is
                with closing(connection) as on_disk:
                    connection = sqlite3.connect(":memory:", isolation_level=None)
                    on_disk.backup(connection)
                is_file = False
            _prepare(connection, path, read_only=read_only and is_file)
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
    version = _version(connection)
    if version < VERSION and not read_only:
        for statement in "".join(_STEPS[version:]).split(";\n"):
            connection.execute(statement)
        connection.execute(f"pragma user_version = {VERSION}")
    elif version != VERSION:
        raise FlagmartError(
            f"the ledger {path} has version {version}, this flagmart writes {VERSION}; "
            "use the flagmart that wrote it"
        )
    if not read_only:
        connection.execute("commit")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("pragma user_version").fetchone()[0])


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

    def in_place(
        self,
        target: Target,
        partition: Partition,
        *,
        delivered: bool,
        load: Load | None = None,
    ) -> None:
        """Record a partition: just put in place, or looked at and found as it was.

        With `load`, also what its destination has of it.
        """
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
            if load is not None:
                self._db.execute(
                    "insert or replace into loads (target_id, partition_on, rows, changed_at) "
                    "values (?, ?, ?, ?)",
                    (
                        target.id,
                        partition.day.isoformat(),
                        load.rows,
                        load.changed_at and _text(load.changed_at),
                    ),
                )
            if delivered:
                self._touch(target.id)

    def gone(self, target: Target, day: date) -> None:
        """Record that a partition's files were removed."""
        with self._transaction():
            for table in ("partitions", "loads"):
                self._db.execute(
                    f"delete from {table} where target_id = ? and partition_on = ?",  # noqa: S608
                    (target.id, day.isoformat()),
                )
            self._touch(target.id)

    # what a destination does with files

    def loads(self, target: Target) -> dict[date, Load]:
        """What the destination has of each day, as far as can be known."""
        rows = self._db.execute(
            "select partition_on, rows, changed_at from loads where target_id = ?", (target.id,)
        )
        return {
            date.fromisoformat(day): Load(count, at and datetime.fromisoformat(at))
            for day, count, at in rows
        }

    def taken(self, target: Target, days: Iterable[date]) -> None:
        """Record that the destination takes up these days as they are in place."""
        with self._transaction():
            self._db.executemany(
                "insert or replace into loads (target_id, partition_on, rows, changed_at) "
                "select target_id, partition_on, rows, null from partitions "
                "where target_id = ? and partition_on = ?",
                [(target.id, day.isoformat()) for day in days],
            )

    def calls(self, target: Target) -> dict[str, Called]:
        """What calls about finished days came to, by dataset."""
        rows = self._db.execute(
            "select dataset, day, called_at from calls where target_id = ?", (target.id,)
        )
        return {
            dataset: Called(day and date.fromisoformat(day), at and datetime.fromisoformat(at))
            for dataset, day, at in rows
        }

    def calling(self, target: Target, dataset: str, at: datetime | None) -> None:
        """Say, before a call goes out, that it does; None that it does not count after all."""
        with self._transaction():
            self._db.execute(
                "insert into calls (target_id, dataset, called_at) values (?, ?, ?) "
                "on conflict (target_id, dataset) do update set called_at = excluded.called_at",
                (target.id, dataset, at and _text(at)),
            )

    def called(self, target: Target, dataset: str, day: date) -> None:
        """Record that the server took the day as finished."""
        with self._transaction():
            self._db.execute(
                "update calls set day = ? where target_id = ? and dataset = ?",
                (day.isoformat(), target.id, dataset),
            )
            self._touch(target.id)

    # messages

    def runs(self, target: Target) -> dict[datetime, RunFigures]:
        """Ingest runs of which no message is unsent, with their figures at that time."""
        rows = self._db.execute(
            "select ingested_at, rows, digest from runs where target_id = ?", (target.id,)
        )
        return {
            (moment := datetime.fromisoformat(text)): RunFigures(moment, count, digest)
            for text, count, digest in rows
        }

    def record_runs(self, target: Target, runs: Iterable[RunFigures]) -> None:
        """Record that every message of these runs is acknowledged or dead."""
        with self._transaction():
            self._db.executemany(
                "insert or replace into runs (target_id, ingested_at, rows, digest) "
                "values (?, ?, ?, ?)",
                [(target.id, _text(run.ingested_at), run.rows, run.digest) for run in runs],
            )

    def spools(self, target: Target) -> list[Spool]:
        """All spools of this target, oldest first, with what became of their rows."""
        ranges: dict[int, list[tuple[int, int]]] = {}
        dead: dict[int, list[tuple[int, int]]] = {}
        for spool_id, first, last in self._db.execute(
            "select spool_id, first_row, last_row from acknowledged "
            "inner join spools on spools.id = spool_id "
            "where target_id = ? order by spool_id, first_row",
            (target.id,),
        ):
            ranges.setdefault(spool_id, []).append((first, last))
        # rows that follow each other have one number less their rank
        for spool_id, first, last in self._db.execute(
            "select spool_id, min(row), max(row) from ("
            "select spool_id, row, "
            "row - row_number() over (partition by spool_id order by row) as stretch "
            "from dead inner join spools on spools.id = spool_id where target_id = ?"
            ") group by spool_id, stretch order by spool_id, 2",
            (target.id,),
        ):
            dead.setdefault(spool_id, []).append((first, last))
        rows = self._db.execute(
            "select id, name, is_open from spools where target_id = ? order by id", (target.id,)
        )
        return [
            Spool(
                spool_id,
                name,
                bool(is_open),
                tuple(ranges.get(spool_id, ())),
                tuple(dead.get(spool_id, ())),
            )
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

    def acknowledge(
        self,
        target: Target,
        spool_id: int,
        spans: Iterable[tuple[int, int]],
        dead: Iterable[DeadLetter] = (),
        replayed: Iterable[str] = (),
    ) -> None:
        """Record what became of rows that were sent.

        Args:
            target: where to.
            spool_id: what the rows are counted in.
            spans: rows (first, last) that arrived; ranges that touch become one.
            dead: those that were refused.
            replayed: ids of all of them, where they were dead letters before.
        """
        with self._transaction():
            self._db.executemany(
                "delete from dead where message_id = ? "
                "and spool_id in (select id from spools where target_id = ?)",
                [(message_id, target.id) for message_id in replayed],
            )
            for first, last in spans:
                self._join(spool_id, first, last)
            self._db.executemany(
                "insert into dead values (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        spool_id,
                        letter.row,
                        letter.message_id,
                        letter.refused.status,
                        letter.refused.reason,
                        letter.refused.answer,
                        letter.payload,
                        letter.died_at,
                    )
                    for letter in dead
                ],
            )
            self._touch(target.id)

    def dead_letters(
        self, target: Target, spool_id: int | None = None, at_most: int = -1
    ) -> Iterator[DeadLetter]:
        """Dead letters of this target, oldest first; of one spool where it is given."""
        rows = self._db.execute(
            "select row, message_id, status, reason, answer, payload, died_at from dead "
            "inner join spools on spools.id = spool_id "
            "where target_id = ? and spool_id = coalesce(?, spool_id) "
            "order by spool_id, row limit ?",
            (target.id, spool_id, at_most),
        )
        for row, message_id, status, reason, answer, payload, died_at in rows:
            refused = Refused(status, reason, answer)
            yield DeadLetter(row, message_id, refused, payload, died_at)

    def drop_dead(self, target: Target, living: Iterable[str]) -> int:
        """Forget the dead letters whose message the relation no longer holds.

        Args:
            target: whose.
            living: ids of dead letters that it does hold.

        Returns:
            How many were forgotten. Runs are looked at anew then: a message that comes back is new.
        """
        with self._transaction():
            self._db.execute("create temporary table living (message_id text primary key) strict")
            self._db.executemany(
                "insert or ignore into living values (?)", ((name,) for name in living)
            )
            dropped = self._db.execute(
                "delete from dead where spool_id in (select id from spools where target_id = ?) "
                "and message_id not in (select message_id from living)",
                (target.id,),
            ).rowcount
            self._db.execute("drop table living")
            if dropped:
                self._db.execute("delete from runs where target_id = ?", (target.id,))
        return dropped

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
        """Forget a spool of which nothing was acknowledged, and nothing refused."""
        with self._transaction():
            self._db.execute("delete from spools where id = ?", (spool_id,))

    def _touch(self, target_id: int) -> None:
        self._db.execute(
            "update targets set delivered_at = ? where id = ?",
            (settings.now().isoformat(timespec="seconds"), target_id),
        )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
