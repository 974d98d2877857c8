"""What may be deleted at the source: events that have landed and that every delivery has brought.

Of each landed event it is asked what became of it in each of the deliveries. Ids wait in DuckDB,
which takes them to the disk where they are many. Nothing is written and nothing deleted here.
"""
# ruff: noqa: S608 - only our own text is put into statements; values go as parameters.

from __future__ import annotations

from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import IntEnum
from itertools import groupby, islice
from threading import Lock
from typing import TYPE_CHECKING, Any

from flagmart import destinations
from flagmart.delivery import files, ledger, outbox, places
from flagmart.delivery.deliveries import read_project
from flagmart.delivery.export import Options, endpoint_of, opener
from flagmart.errors import FlagmartError, UsageError
from flagmart.warehouse import landed, spill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    import duckdb
    import pyarrow as pa

    from flagmart.delivery.deliveries import Delivery, Project
    from flagmart.delivery.ledger import Ledger
    from flagmart.settings import DataFolder
    from flagmart.warehouse.protocol import Relation, Warehouse

REJECTED = "stg_featbit__rejected_events"
EXCLUSIONS = "fct_export_exclusions"

_MEMORY = "512MB"
_NAMED = 5
"""Days that are left out are named one by one up to this many."""
_ALL = -1
"""Stands for every delivery."""


class Fate(IntEnum):
    """What became of an event in one delivery; of several the first counts."""

    DELIVERED = 0
    """Acknowledged, or in a file whose day is as the relation has it now."""
    CHANGED = 1
    """In a day that was delivered and is no longer what was delivered."""
    DEAD = 2
    """Refused by the destination."""
    EXCLUDED = 3
    """Left out, and fct_export_exclusions says why."""
    REJECTED = 4
    """No event by the models' rules."""
    WAITING = 5
    """Not there: not built, not sent yet, or of an environment that is not exported."""


@dataclass(frozen=True)
class Scope:
    """Which landed events are looked at."""

    source: str | None = None
    """Those that came from this kind of store; None for all."""
    table: str | None = None
    """Where they all are; None for the table that each was read from."""
    envs: tuple[str, ...] = ()
    first_day: int | None = None
    """The first day that counts, of the client's clock in UTC, since 1970."""
    end_day: int | None = None
    """The first that does not."""


@dataclass(frozen=True)
class Account:
    """What became of the events in one delivery."""

    delivery: str
    where: str
    counts: dict[Fate, int]
    """Every fate; the sum is what landed in scope."""
    remarks: tuple[str, ...]
    """What was delivered and is left out, and why."""


@dataclass(frozen=True)
class Batch:
    """Events of one table, to be deleted by one statement."""

    table: str
    ids: tuple[str, ...]
    """UUIDs as FeatBit spells them."""
    days: tuple[int, int] | None
    """First and last of the client's clock, since 1970; None where a clock shows none."""


@dataclass(frozen=True)
class Purge:
    """A plan; its ids are there until the block of `plan` ends."""

    landed: int
    """Events in scope."""
    odd: int
    """Those whose id is no UUID as FeatBit spells it; they are left alone and count nowhere else.
    """
    accounts: tuple[Account, ...]
    tables: dict[str, int]
    """What would be deleted, by table."""
    _ids: _Ids

    @property
    def rows(self) -> int:
        """How many events would be deleted."""
        return sum(self.tables.values())

    def batches(self, size: int) -> Iterator[Batch]:
        """What would be deleted, so many at a time, those of a day near each other."""
        rows = self._ids.planned(len(self.accounts))
        for (table, _), group in groupby(rows, lambda row: (row[0], row[1] is None)):
            while some := list(islice(group, size)):
                first, last = some[0][1], some[-1][1]
                days = None if first is None or last is None else (first, last)
                yield Batch(table, tuple(event_id for _, _, event_id in some), days)


@contextmanager
def plan(names: Sequence[str], scope: Scope, options: Options, data: DataFolder) -> Iterator[Purge]:
    """What of the landed events in scope all of these deliveries have brought.

    Raises:
        UsageError: an unknown delivery, or one that does not tell event by event.
        FlagmartError: no manifest, a build that must not go out, or the landing, the ledger, the
            engine or a store cannot be read.
    """
    project = read_project(options.project_dir)
    chosen = [project.chosen([name])[0] for name in dict.fromkeys(names)]
    for delivery in chosen:
        _refuse_other_grains(delivery, project)
    with _opened(data) as ids, ledger.opened(data.ledger, read_only=True) as book:
        for batch in landed.ids(data, scope.source, scope.envs, scope.first_day, scope.end_day):
            ids.land(batch, scope.table)
        said = []
        for number, delivery in enumerate(chosen):
            with opener(delivery, options, data)() as built:
                if number == 0:
                    _left_out(chosen, project, built.warehouse, ids)
                bring = _files if delivery.sink == destinations.FILES else _messages
                said.append(bring(delivery, number, book, built.warehouse, data, ids))
        accounts = tuple(
            Account(delivery.name, where, ids.fates(number), remarks)
            for number, (delivery, (where, remarks)) in enumerate(zip(chosen, said, strict=True))
        )
        yield Purge(ids.landed, ids.odd, accounts, ids.tables(len(chosen)), ids)


def _refuse_other_grains(delivery: Delivery, project: Project) -> None:
    sinks = {destinations.FILES, *destinations.HTTP_SINKS}
    if delivery.event_column is None or delivery.sink not in sinks:
        known = [d.name for d in project.deliveries if d.event_column is not None]
        raise UsageError(
            f"{delivery.name} has no row for each event, so it does not tell which it brought; "
            f"name one that has ({', '.join(known) or 'there is none'}): its model carries the "
            "test accounts_for_every_event"
        )


def _left_out(
    chosen: Sequence[Delivery], project: Project, warehouse: Warehouse, ids: _Ids
) -> None:
    """Note what the models rejected, and what each delivery excludes."""

    def there(name: str) -> Relation | None:
        relation = project.relations.get(name)
        return relation if relation is not None and warehouse.has(relation) else None

    if rejected := there(REJECTED):
        for batch in warehouse.values(rejected, ["event_id"]):
            ids.mark(_ALL, Fate.REJECTED, batch.column(0))
    if exclusions := there(EXCLUSIONS):
        numbers = {delivery.accounted_as: number for number, delivery in enumerate(chosen)}
        for batch in warehouse.values(exclusions, ["delivery", "event_id"]):
            ids.exclude(numbers, batch)


def _messages(
    delivery: Delivery,
    number: int,
    book: Ledger,
    warehouse: Warehouse,
    data: DataFolder,
    ids: _Ids,
) -> tuple[str, tuple[str, ...]]:
    """Note what was acknowledged and what was refused: where, and what there is to say of it."""
    endpoint, _ = endpoint_of(delivery)
    target = book.find(delivery.name, delivery.destination, endpoint.url)
    if target is None:
        return endpoint.url, (f"{delivery.name} was never delivered to {endpoint.url}",)
    runs: list[Any] = [moment for moment, _ in warehouse.counts(delivery.relation, ["ingested_at"])]
    outbox.refuse_repeats(warehouse, delivery.relation, runs)
    spools, folder = book.spools(target), data.acknowledged / delivery.name
    for fate, rows in ((Fate.DELIVERED, outbox.acknowledged), (Fate.DEAD, outbox.dead)):
        known = outbox.id_files(spools, folder, rows)
        for batch in warehouse.values(delivery.relation, [_column(delivery)], known):
            ids.mark(number, fate, batch.column(0))
    return endpoint.url, ()


def _files(
    delivery: Delivery,
    number: int,
    book: Ledger,
    warehouse: Warehouse,
    data: DataFolder,
    ids: _Ids,
) -> tuple[str, tuple[str, ...]]:
    """Note what lies in files that are as the relation is; likewise."""
    place, column = places.place(delivery, data), _column(delivery)
    target = book.find(delivery.name, delivery.destination, place.points_to(data))
    if target is None:
        return place.where, (f"{delivery.name} was never delivered to {place.where}",)
    layout = place.layout
    if not layout.columns:
        layout = layout.with_columns(warehouse.columns(delivery.relation))
    if column not in [one.name for one in layout.columns]:
        raise FlagmartError(
            f"{delivery.name}: its files have no column {column}, so they do not tell which events "
            "they hold; name another delivery"
        )
    known = book.partitions(target)
    standing = place.standing(known)
    found = files.figures_of(delivery, layout, warehouse)
    days = tuple(f for f in found if f.day in standing and standing[f.day].digest is not None)
    with ids.staged(number) as (see, settle):
        equal = [
            seen.day
            for seen, written in files.look(
                delivery,
                layout,
                warehouse,
                days,
                None,
                lambda batch: see(batch.column(0), batch.column(column)),
            )
            if written.digest == standing[seen.day].digest
        ]
        settle(equal)
    return place.where, _days_left_out(delivery, known, standing, equal, place.where)


def _days_left_out(
    delivery: Delivery,
    known: Mapping[date, Any],
    standing: Mapping[date, Any],
    equal: Sequence[date],
    where: str,
) -> tuple[str, ...]:
    gone = [day for day in known if day not in standing]
    changed = [day for day in standing if day not in equal]
    return (
        *([f"{delivery.name}: {_listed(gone)} no longer lies in {where}"] if gone else []),
        *(
            [
                f"{delivery.name}: {_listed(changed)} changed since it was delivered and is left "
                f"out; run `flagmart export {delivery.name}`"
            ]
            if changed
            else []
        ),
    )


def _listed(days: Sequence[date]) -> str:
    more = len(days) - _NAMED
    return ", ".join(map(str, days[:_NAMED])) + (f" and {more:,} more" if more > 0 else "")


def _column(delivery: Delivery) -> str:
    assert delivery.event_column is not None  # noqa: S101 - see _refuse_other_grains
    return delivery.event_column


@contextmanager
def _opened(data: DataFolder) -> Iterator[_Ids]:
    import duckdb

    with closing(
        duckdb.connect(":memory:", config=spill.spilling_into(_MEMORY, data.spill))
    ) as connection:
        try:
            yield _Ids(connection)
        except duckdb.Error as error:
            reason = str(error).strip().partition("\n")[0]
            raise FlagmartError(f"looking for what is delivered failed: {reason}") from error


_UUID = "try_cast({0} as uuid)"
_IS_UUID = "{0} = try_cast({0} as uuid)::varchar"
"""Exactly as it is printed, in lower case and with its hyphens."""


class _Ids:
    """Events in scope, and what became of them; 16 bytes an id."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._db = connection
        self._one_at_a_time = Lock()
        self.odd = 0
        self._db.execute(
            """
            create table landed (id uuid, source_table varchar, day bigint);
            create table fates (delivery smallint, fate utinyint, id uuid);
            """
        )

    @property
    def landed(self) -> int:
        """How many events are in scope."""
        return self.odd + self._number("select count(*) from landed")

    def land(self, batch: pa.RecordBatch, table: str | None) -> None:
        """Take in events: `event_id`, `source_ref`, `day`; of this table, or of `source_ref`."""
        taken = self._take(
            f"insert into landed select {_UUID.format('event_id')}, "
            "coalesce($table, source_ref), day from given "
            f"where {_IS_UUID.format('event_id')}",
            batch,
            {"table": table},
        )
        self.odd += batch.num_rows - taken

    def mark(self, delivery: int, fate: Fate, ids: pa.Array) -> None:
        """Note what became of some events."""
        self._take(
            f"insert into fates select $delivery, $fate, {_UUID.format('id')} from given "
            f"where {_IS_UUID.format('id')}",
            _batch(id=ids),
            {"delivery": delivery, "fate": int(fate)},
        )

    def exclude(self, numbers: Mapping[str | None, int], batch: pa.RecordBatch) -> None:
        """Note what is excluded of deliveries by these names: `delivery`, `event_id`."""
        self._take(
            f"""
            insert into fates
            select numbers.number, $fate, {_UUID.format("event_id")}
            from given
            inner join (
                select unnest($names::varchar[]) as name, unnest($numbers::smallint[]) as number
            ) as numbers on numbers.name = given.delivery
            where {_IS_UUID.format("event_id")}
            """,
            batch,
            {
                "fate": int(Fate.EXCLUDED),
                "names": [name or "" for name in numbers],
                "numbers": list(numbers.values()),
            },
        )

    @contextmanager
    def staged(
        self, delivery: int
    ) -> Iterator[tuple[Callable[[pa.Array, pa.Array], None], Callable[[Iterable[date]], None]]]:
        """What notes days and ids of a file delivery, and what says which days are delivered."""
        self._db.execute("create table staged (day date, id uuid)")

        def see(days: pa.Array, ids: pa.Array) -> None:
            self._take(
                f"insert into staged select day, {_UUID.format('id')} from given "
                f"where {_IS_UUID.format('id')}",
                _batch(day=days, id=ids),
            )

        def settle(delivered: Iterable[date]) -> None:
            self._db.execute(
                """
                insert into fates
                select
                    $delivery,
                    case when list_contains($days::date[], day) then $good else $bad end,
                    id
                from staged
                """,
                {
                    "delivery": delivery,
                    "days": list(delivered),
                    "good": int(Fate.DELIVERED),
                    "bad": int(Fate.CHANGED),
                },
            )

        yield see, settle
        self._db.execute("drop table staged")

    def fates(self, delivery: int) -> dict[Fate, int]:
        """How many events of each fate a delivery has."""
        rows = self._db.execute(
            """
            select coalesce(fate, $waiting), count(*)
            from landed
            left join (
                select id, min(fate) as fate from fates
                where delivery in ($delivery, $all) group by id
            ) as known on landed.id = known.id
            group by 1
            """,
            {"delivery": delivery, "all": _ALL, "waiting": int(Fate.WAITING)},
        ).fetchall()
        return dict.fromkeys(Fate, 0) | {Fate(fate): count for fate, count in rows}

    def tables(self, deliveries: int) -> dict[str, int]:
        """What would be deleted, by table."""
        return dict(
            self._db.execute(
                f"select source_table, count(*) {_planned(deliveries)} group by 1 order by 1"
            ).fetchall()
        )

    def planned(self, deliveries: int) -> Iterator[tuple[str, int | None, str]]:
        """Table, day and id of what would be deleted; in order, without a day last."""
        rows = self._db.sql(
            f"select source_table, day, id::varchar {_planned(deliveries)} "
            "order by source_table, day nulls last, id"
        )
        for batch in rows.to_arrow_reader(100_000):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def _number(self, statement: str) -> int:
        (row,) = self._db.execute(statement).fetchall()
        return int(row[0])

    def _take(
        self, statement: str, batch: pa.RecordBatch, parameters: Mapping[str, Any] | None = None
    ) -> int:
        import pyarrow as pa

        with self._one_at_a_time:
            self._db.register("given", pa.Table.from_batches([batch]))
            (row,) = self._db.execute(statement, parameters).fetchall()
            self._db.unregister("given")
        return int(row[0])


def _planned(deliveries: int) -> str:
    """FROM and WHERE of what each of so many deliveries has brought."""
    conditions = [
        f"id in (select id from fates where delivery = {number} and fate = {int(Fate.DELIVERED)})"
        for number in range(deliveries)
    ]
    return f"from landed where {' and '.join(conditions)}"


def _batch(**columns: pa.Array) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))
