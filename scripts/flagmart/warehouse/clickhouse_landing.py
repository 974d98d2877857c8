"""ClickHouse's landing: a table of rows, and a table with a row for each run that is complete.

A run stages what it reads in tables of its own, finds repeats where they lie, moves the rest into
the landing and then adds its row to `ingest_runs`, in one insert: with that it is there, as a
whole. Readers look at runs that have their row. What a killed run leaves has none, and the next
writer removes it under the same lock.
"""
# ruff: noqa: S608 - only identifiers are put into statements, quoted by `name`; values go as parameters.

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from flagmart.errors import FlagmartError
from flagmart.warehouse import clickhouse_lock
from flagmart.warehouse.clickhouse_client import (
    READING,
    SPILLED_JOIN,
    UNKNOWN_DATABASE,
    UNKNOWN_TABLE,
    Client,
    Parameters,
    ServerError,
    connected,
    many,
    name,
)
from flagmart.warehouse.landing import (
    EVENT_COLUMNS,
    FEATBIT,
    GROUP_ROWS,
    LANDINGS,
    InputCounts,
    Landing,
    Rejects,
    Run,
    RunResult,
    Selection,
    Taken,
    next_moment,
    record,
    run_id,
)
from flagmart.warehouse.manifest import LandedRun
from flagmart.warehouse.repeats import same_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from flagmart.settings import ClickHouse, DataFolder

_STAGE = "stage_"
_EPOCH = datetime.fromtimestamp(0, UTC)

_EVENT_TYPES = """
    event_id String, env_id String, event String, distinct_id String, properties String,
    occurred_at Nullable(DateTime64(6, 'UTC'))
"""
# Incremental models ask for the newest runs, which is the beginning of the order. Within a run ids
# stand in order, too, so that looking for a few of them reads a few granules of each run. A
# partition key would only cut into more parts what the order finds already. What a complete run
# says is there has to outlive a power cut, like the files of a landing on DuckDB.
_MAKE_EVENTS = f"""
    create table if not exists {{table}} (
        {_EVENT_TYPES}, ingested_at DateTime64(6, 'UTC'), run_id String,
        source LowCardinality(String), source_ref String,
        source_ingested_at Nullable(DateTime64(6, 'UTC'))
    ) engine = MergeTree order by (ingested_at, event_id)
    settings fsync_after_insert = 1, fsync_part_directory = 1
"""
_MAKE_RUNS = """
    create table if not exists {table} (
        run_id String, source String, ingested_at DateTime64(6, 'UTC'), read Int64, landed Int64,
        equal_repeats Int64, conflicting_repeats Int64, unreadable Int64, inputs Array(String)
    ) engine = MergeTree order by ingested_at
    settings fsync_after_insert = 1, fsync_part_directory = 1
"""
_DROPPED = "position Int64, input Int64, conflicting Bool"
_RUN_COLUMNS: pa.Schema = pa.schema(
    [
        ("run_id", pa.string()),
        ("source", pa.string()),
        ("ingested_at", pa.timestamp("us")),
        *((count, pa.int64()) for count in ("read", "landed", "equal_repeats")),
        *((count, pa.int64()) for count in ("conflicting_repeats", "unreadable")),
        ("inputs", pa.list_(pa.string())),
    ]
)


def runs(server: ClickHouse, landing: Landing = FEATBIT) -> tuple[LandedRun, ...]:
    """The complete runs of a landing, in order of `ingested_at`.

    Raises:
        FlagmartError: the server cannot be reached or refuses.
    """
    table = f"{name(server.landing)}.{name(landing.runs_table)}"
    with connected(server) as client:
        try:
            rows = client.rows(
                f"select {', '.join(_RUN_COLUMNS.names)} from {table} order by ingested_at"
            )
        except ServerError as error:
            if error.code in (UNKNOWN_TABLE, UNKNOWN_DATABASE):
                return ()
            raise
    found = []
    for row in rows:
        facts = dict(zip(_RUN_COLUMNS.names, row, strict=True))
        facts["ingested_at"] = facts["ingested_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        found.append(LandedRun(**{**facts, "files": (), "inputs": tuple(facts["inputs"])}))
    return tuple(found)


@contextmanager
def open_run(
    server: ClickHouse,
    data: DataFolder,
    source: str,
    inputs: tuple[str, ...],
    landing: Landing = FEATBIT,
) -> Iterator[Run]:
    """A run that is abandoned, without a trace, unless it is finished before the block ends.

    Args:
        server: where to.
        data: the folder for what does not land.
        source: clickhouse, postgres, mongodb, file or prefab.
        inputs: what was asked to be read, to be noted with the run.
        landing: which one.

    Raises:
        FlagmartError: another process writes to this landing, the server cannot be reached, or a
            right is missing.
    """
    # not in one folder with those of a landing on DuckDB, which removes what it does not know
    folder = data.rejects / server.landing
    # runs of two landings may have one name
    rejects = data.ensure(folder if landing == FEATBIT else folder / landing.name)
    with connected(server) as client:
        tables = _Tables(client, landing)
        tables.ensure_database()
        with clickhouse_lock.held(client, server.landing) as lock:
            tables.ensure_tables()
            last = tables.remove_leftovers()
            for path in rejects.glob(".staging-*"):
                path.unlink()
            run = _ClickHouseRun(tables, lock, rejects, last, source, inputs)
            try:
                yield run
            finally:
                run.close()


class _Tables:
    """The database of the landings, and in it the tables of one."""

    def __init__(self, client: Client, landing: Landing) -> None:
        self.client = client
        self.landing = landing
        self.database = client.server.landing
        self.events = self.table(landing.rows_table)
        self.runs = self.table(landing.runs_table)

    def table(self, table: str) -> str:
        return f"{name(self.database)}.{name(table)}"

    def ensure_database(self) -> None:
        # asked first, for who may fill the landing need not have the right to make databases
        if not self.client.rows(
            "select 1 from system.databases where name = {database:String}",
            {"database": self.database},
        ):
            self.client.run(f"create database if not exists {name(self.database)}")

    def ensure_tables(self) -> None:
        # rows first: where there are runs, there is a table to look for their rows
        self.client.run(_MAKE_EVENTS.format(table=self.events))
        self.client.run(_MAKE_RUNS.format(table=self.runs))

    def drop_stages(self, begin: str) -> None:
        """Drop the tables whose names begin so."""
        for (table,) in self.client.rows(
            "select name from system.tables "
            "where database = {database:String} and startsWith(name, {begin:String})",
            {"database": self.database, "begin": begin},
        ):
            self.client.run(f"drop table if exists {self.table(table)} sync")

    def remove_leftovers(self) -> datetime | None:
        """Remove what killed runs left; the newest moment that is taken, UTC, comes back."""
        # the server goes on with a statement whose client was killed
        begins = [_move_into(self.table(landing.rows_table)) for landing in LANDINGS]
        # since the tables that they read from and fill are dropped next
        for begin in (*begins, _move_into(self.table(_STAGE)).rstrip("` ")):
            self.client.rows(
                "kill query where startsWith(query, {begin:String}) sync", {"begin": begin}
            )
        self.drop_stages(_STAGE)
        self.drop_stages(f"{clickhouse_lock.TABLE}_")
        left = [
            moment
            for (moment,) in self.client.rows(
                f"select distinct toUnixTimestamp64Micro(ingested_at) from {self.events} "
                f"where ingested_at not in (select ingested_at from {self.runs})"
            )
        ]
        if left:
            moments, parameters = many("left", left, "Int64")
            self.client.run(
                f"alter table {self.events} delete where ingested_at in "
                f"arrayMap(micros -> fromUnixTimestamp64Micro(micros, 'UTC'), {moments})",
                parameters,
                {"mutations_sync": 2},
            )
        taken = max([self._newest(), *left])
        return _EPOCH + timedelta(microseconds=taken) if taken else None

    def _newest(self) -> int:
        """When the newest complete run of any landing was, microseconds since 1970; 0 for none."""
        names, parameters = many("names", [landing.runs_table for landing in LANDINGS], "String")
        there = self.client.rows(
            "select name from system.tables "
            f"where database = {{database:String}} and name in {names}",
            {"database": self.database, **parameters},
        )
        return max(
            self.client.number(
                f"select toUnixTimestamp64Micro(max(ingested_at)) from {self.table(table)}"
            )
            for (table,) in there
        )

    @property
    def move(self) -> str:
        """How the statement begins that moves rows into the landing."""
        return _move_into(self.events)


def _move_into(table: str) -> str:
    return f"insert into {table} "


class _ClickHouseRun:
    def __init__(
        self,
        landing: _Tables,
        lock: clickhouse_lock.Lock,
        rejects: Path,
        last: datetime | None,
        source: str,
        inputs: tuple[str, ...],
    ) -> None:
        self._landing = landing
        self._client = landing.client
        self._lock = lock
        self._source = source
        self._asked = inputs
        self._moment = next_moment(last)
        self.run_id = run_id(self._moment)
        self._rejects = Rejects(rejects, self.run_id)
        self._inputs: list[InputCounts] = []
        self._tables = f"{_STAGE}{self.run_id}_"
        self._stage = _Stage(self._client, landing.table(f"{self._tables}rows"))
        self._seen, self._kept, self._repeats, self._same, self._dropped = (
            landing.table(f"{self._tables}{what}")
            for what in ("seen", "kept", "repeats", "same", "dropped")
        )

    def begin(self, label: str) -> None:
        self._inputs.append(InputCounts(label))

    def append(self, events: pa.RecordBatch) -> None:
        self._inputs[-1].landed += events.num_rows
        self._stage.write(events, len(self._inputs) - 1)

    def reject(self, line: int | None, reason: str, text: str) -> None:
        self._rejects.unreadable(self._inputs[-1], line, reason, text)

    def landed_before(self, ids: pa.Array) -> pa.Array:
        landing, table = self._landing, self._landing.table(f"{self._tables}looked_for")
        self._make(table, "event_id String")
        try:
            self._client.insert(table, pa.table({"event_id": ids}))
            found = f"""
                from {landing.events}
                where ingested_at in (select ingested_at from {landing.runs})
                    and event_id in (select event_id from {table})
            """
            batches = list(
                self._client.stream(
                    f"select distinct event_id {found}",
                    expected=self._client.number(f"select count(distinct event_id) {found}"),
                )
            )
        finally:
            self._client.run(f"drop table if exists {table} sync")
        known = pa.chunked_array([batch.column(0) for batch in batches], pa.string())
        return pc.is_in(ids, known.combine_chunks())

    def take(self, selections: Sequence[Selection], *, everything: bool) -> list[Taken]:
        known = None if everything else self._known(selections)
        taken = []
        for selection in selections:
            if not self._inputs or self._inputs[-1].label != selection.label:
                self.begin(selection.label)
            asked = f"({selection.ids})"
            ids = self._client.number(f"select count() from {asked}", selection.values, READING)
            before, condition = 0, ""
            if known is not None:
                condition = f" where event_id not in (select event_id from {known})"
                before = self._client.number(
                    f"select count() from {asked} where event_id in (select event_id from {known})",
                    selection.values,
                    READING,
                )
            rows = 0
            if before < ids:
                rows = self._stage.take(
                    f"select * from ({selection.rows}){condition}",
                    selection.values,
                    len(self._inputs) - 1,
                )
            self._inputs[-1].landed += rows
            taken.append(Taken(ids, before, rows))
            self._account(selection, taken[-1])
        return taken

    def _account(self, selection: Selection, taken: Taken) -> None:
        """See that what was not taken is no event."""
        if not taken.left:
            return
        odd = self._client.number(
            f"select count() from ({selection.odd})", selection.values, READING
        )
        if taken.left > odd:
            raise FlagmartError(
                f"{self._client.server}: {taken.taken:,} rows of {selection.label} came where "
                f"{taken.taken + taken.left - odd:,} are; nothing of this run landed, run it again"
            )

    def _known(self, selections: Sequence[Selection]) -> str:
        """A table of those ids that landed before; each run has one at most."""
        landing = self._landing
        known, asked = (landing.table(f"{self._tables}{what}") for what in ("known", "asked_for"))
        self._make(asked, "event_id String")
        for selection in selections:
            self._client.run(
                f"insert into {asked} select event_id from ({selection.ids})",
                selection.values,
                READING,
            )
        self._make(
            known,
            "event_id String",
            f"""
            select distinct event_id from {landing.events}
            where ingested_at in (select ingested_at from {landing.runs})
                and event_id in (select event_id from {asked})
            """,
        )
        return known

    def finish(self) -> RunResult:
        self._stage.close()
        if self._stage.rows:
            self._drop_repeats()
        result = RunResult(self._inputs)
        if not result.total("read"):
            return result
        landed = result.total("landed")
        if landed:
            self._move(landed)
        rejects = self._rejects.publish()
        recorded = record(self._moment, self._source, self._asked, result)
        self._lock.confirm()
        self._client.insert(self._landing.runs, _as_row(recorded, self._moment))
        return RunResult(self._inputs, recorded, rejects)

    def close(self) -> None:
        """Remove what was staged."""
        self._stage.abandon()
        self._rejects.abandon()
        with suppress(FlagmartError):  # the next writer removes it
            self._landing.drop_stages(self._tables)

    def _drop_repeats(self) -> None:
        """Table `dropped`: the rows that do not land; they are counted, contradictions kept.

        Two rows with one id are equal by the same rule as on DuckDB, see `repeats.find`.
        """
        if self._landing.landing.versioned:
            self._find_unchanged()
        elif self._find_kept():
            self._find_repeats()
            self._compare_as_json()
            self._make(
                self._dropped,
                _DROPPED,
                f"""
                select repeats.position, repeats.input, not (is_equal or isNotNull(same.position))
                from {self._repeats} as repeats
                left join {self._same} as same on repeats.position = same.position
                """,
            )
        else:
            return
        for number, equal, conflicting in self._client.rows(
            f"select input, countIf(not conflicting), countIf(conflicting) from {self._dropped} "
            "group by input"
        ):
            counts = self._inputs[number]
            counts.landed -= equal + conflicting
            counts.equal_repeats += equal
            counts.conflicting_repeats += conflicting
        self._keep_contradictions()

    def _find_unchanged(self) -> None:
        """Table `dropped` of versions: see `unchanged.find`."""
        landing = self._landing
        key = "env_id, event, distinct_id"
        self._make(
            self._kept,
            "env_id String, event String, distinct_id String, place Int64, digest FixedString(16)",
            f"""
            select {key}, tupleElement(newest, 1), tupleElement(newest, 2) from (
                select
                    {key},
                    argMax(
                        (position, MD5(properties)),
                        (ifNull(toUnixTimestamp64Micro(occurred_at), toInt64(-9e18)), position)
                    ) as newest
                from {self._stage.table}
                group by {key}
            )
            """,
        )
        self._make(
            self._seen,
            "env_id String, event String, distinct_id String, digest FixedString(16)",
            f"""
            select {key}, argMax(landed.digest, landed.ingested_at)
            from (
                select {key}, MD5(properties) as digest, ingested_at
                from {landing.events}
                where ingested_at in (select ingested_at from {landing.runs})
            ) as landed
            inner join {self._kept} as kept using ({key})
            group by {key}
            """,
        )
        self._make(
            self._dropped,
            _DROPPED,
            f"""
            select position, input, false
            from {self._stage.table} as staged
            left join (
                select kept.place as place
                from {self._kept} as kept
                left join {self._seen} as seen
                    on kept.env_id = seen.env_id and kept.event = seen.event
                    and kept.distinct_id = seen.distinct_id
                where isNull(seen.digest) or seen.digest <> kept.digest
            ) as landing on staged.position = landing.place
            where isNull(landing.place)
            """,
        )

    def _find_kept(self) -> bool:
        """Table `kept`: the row that stays of each id that repeats; whether there is any."""
        landing = self._landing
        complete = f"ingested_at in (select ingested_at from {landing.runs})"
        # only ids are read here, so that a run without repeats, the common one, costs little
        self._make(
            self._seen,
            "event_id String, place Int64, landed_at DateTime64(6, 'UTC')",
            f"""
            select event_id, min(place), max(at) from (
                select event_id, position as place, fromUnixTimestamp64Micro(0, 'UTC') as at
                from {self._stage.table}
                union all
                select landed.event_id as event_id, toInt64(-1) as place, landed.ingested_at as at
                from (select event_id, ingested_at from {landing.events} where {complete}) as landed
                inner join (select distinct event_id from {self._stage.table}) as staged
                    on landed.event_id = staged.event_id
            )
            group by event_id
            having count() > 1
            """,
        )
        if not self._client.number(f"select count() from {self._seen}"):
            return False
        facts = """
            event_id, env_id, event, distinct_id,
            intDiv(toUnixTimestamp64Micro(occurred_at), 1000), properties, MD5(properties)
        """
        self._make(
            self._kept,
            """
            event_id String, env_id String, event String, distinct_id String,
            occurred_ms Nullable(Int64), properties String, digest FixedString(16), place Int64
            """,
            f"""
            select {facts}, seen.place
            from {self._stage.table} as staged
            inner join (select event_id, place from {self._seen} where place >= 0) as seen
                on staged.event_id = seen.event_id
            where staged.position = seen.place
            union all
            select {facts}, seen.place
            from (
                select * from {landing.events}
                where ingested_at in (select landed_at from {self._seen} where place = -1)
            ) as landed
            inner join (
                select event_id, place, landed_at from {self._seen} where place = -1
            ) as seen on landed.event_id = seen.event_id and landed.ingested_at = seen.landed_at
            """,
        )
        return True

    def _find_repeats(self) -> None:
        self._make(
            self._repeats,
            "position Int64, input Int64, event_id String, same_facts Bool, is_equal Bool",
            f"""
            select position, input, event_id, same_facts, same_facts and same_text
            from (
                select
                    staged.position as position, staged.input as input,
                    staged.event_id as event_id,
                    staged.env_id = kept.env_id and staged.event = kept.event
                    and staged.distinct_id = kept.distinct_id
                    and ifNull(
                        staged.occurred_ms = kept.occurred_ms,
                        isNull(staged.occurred_ms) and isNull(kept.occurred_ms)
                    ) as same_facts,
                    staged.digest = kept.digest as same_text
                from (
                    select
                        position, input, event_id, env_id, event, distinct_id,
                        intDiv(toUnixTimestamp64Micro(occurred_at), 1000) as occurred_ms,
                        MD5(properties) as digest
                    from {self._stage.table}
                ) as staged
                inner join (
                    select event_id, env_id, event, distinct_id, occurred_ms, digest, place
                    from {self._kept}
                ) as kept on staged.event_id = kept.event_id
                where staged.position > kept.place
            )
            """,
        )

    def _compare_as_json(self) -> None:
        """Table `same`: repeats whose properties differ as text and not as JSON."""
        self._make(self._same, "position Int64")
        doubtful = f"(select position from {self._repeats} where same_facts and not is_equal)"
        pairs = self._client.stream(
            f"""
            select staged.position as position, staged.properties as ours, kept.properties as theirs
            from (
                select position, event_id, properties from {self._stage.table}
            ) as staged
            inner join {doubtful} as doubtful on staged.position = doubtful.position
            inner join (select event_id, properties from {self._kept}) as kept
                on staged.event_id = kept.event_id
            """,
            expected=self._client.number(f"select count() from {doubtful}"),
            settings=SPILLED_JOIN,
        )
        for batch in pairs:
            same = [
                position
                for position, ours, theirs in zip(
                    *(column.to_pylist() for column in batch.columns), strict=True
                )
                if same_json(ours, theirs)
            ]
            if same:
                self._client.insert(self._same, pa.table({"position": pa.array(same, pa.int64())}))

    def _keep_contradictions(self) -> None:
        conflicting = f"(select position from {self._dropped} where conflicting)"
        rows = self._client.stream(
            f"""
            select {", ".join(EVENT_COLUMNS.names)}, input
            from {self._stage.table} as staged
            inner join {conflicting} as conflicting on staged.position = conflicting.position
            order by staged.position
            """,
            expected=sum(counts.conflicting_repeats for counts in self._inputs),
            settings=SPILLED_JOIN,
        )
        for batch in rows:
            for row in range(batch.num_rows):
                repeat = batch.slice(row, 1)
                self._rejects.conflicting(self._inputs[repeat.column("input")[0].as_py()], repeat)

    def _move(self, landed: int) -> None:
        """Put what does not repeat into the landing, where no one sees it yet."""
        without_repeats = ""
        if landed < self._stage.rows:
            without_repeats = f"""
                left join (select position from {self._dropped}) as dropped
                    on staged.position = dropped.position
                where isNull(dropped.position)
            """
        micros = _micros(self._moment)
        self._client.run(
            f"""{self._landing.move}(
                event_id, env_id, event, distinct_id, properties, occurred_at,
                ingested_at, run_id, source, source_ref, source_ingested_at
            )
            select
                event_id, env_id, event, distinct_id, properties, occurred_at,
                fromUnixTimestamp64Micro({{moment:Int64}}, 'UTC'), {{run_id:String}},
                {{source:String}}, source_ref, source_ingested_at
            from {self._stage.table} as staged
            {without_repeats}
            """,
            {"moment": micros, "run_id": self.run_id, "source": self._source},
            SPILLED_JOIN,
        )
        there = self._client.number(
            f"select count() from {self._landing.events} "
            "where ingested_at = fromUnixTimestamp64Micro({moment:Int64}, 'UTC')",
            {"moment": micros},
        )
        if there != landed:
            raise FlagmartError(
                f"{self._client.server}: {there:,} rows are in {self._landing.events} where "
                f"{landed:,} were put; nothing landed, run it again"
            )

    def _make(self, table: str, columns: str, select: str | None = None) -> None:
        self._client.run(f"create table {table} ({columns}) engine = MergeTree order by tuple()")
        if select is not None:
            self._client.run(f"insert into {table} {select}", settings=SPILLED_JOIN)


class _Stage:
    """The table a run's rows are gathered in; inserted by a thread while the next are read."""

    def __init__(self, client: Client, table: str) -> None:
        self.table = table
        self.rows = 0
        self._client = client
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._is_made = False
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._writing: Future[None] | None = None

    def write(self, events: pa.RecordBatch, number: int) -> None:
        """Take a batch of the input of that number."""
        column = dict(zip(events.schema.names, events.columns, strict=True))
        column["event_id"] = pa.compute.ascii_lower(column["event_id"])
        column["position"] = pa.array(range(self.rows, self.rows + events.num_rows), pa.int64())
        column["input"] = pa.repeat(pa.scalar(number, pa.int64()), events.num_rows)
        self._waiting.append(pa.table(column))
        self._waiting_rows += events.num_rows
        self.rows += events.num_rows
        if self._waiting_rows >= GROUP_ROWS:
            self._hand_over()

    def take(self, select: str, values: Parameters, number: int) -> int:
        """Have the server put rows into the table by itself; how many there were."""
        self.flush()
        self._ensure()
        columns = ", ".join(EVENT_COLUMNS.names)
        self._client.run(
            f"insert into {self.table} ({columns}, position, input) "
            f"select {columns}, {self.rows} + rowNumberInAllBlocks(), {number} from ({select})",
            values,
            READING,
        )
        taken = self._client.number(f"select count() from {self.table}") - self.rows
        self.rows += taken
        return taken

    def close(self) -> None:
        """Insert what waits, and see that all of it is there."""
        self.flush()
        self.abandon()
        if not self.rows:
            return
        there = self._client.number(f"select count() from {self.table}")
        if there != self.rows:
            raise FlagmartError(
                f"{self._client.server}: {there:,} of {self.rows:,} rows arrived in {self.table}; "
                "nothing landed, run it again"
            )

    def flush(self) -> None:
        """Insert what waits."""
        if self._waiting:
            self._hand_over()
        self._wait()

    def abandon(self) -> None:
        """Stop, whatever is written or not."""
        self._thread.shutdown(wait=True)

    def _ensure(self) -> None:
        if not self._is_made:
            self._is_made = True
            self._client.run(
                f"create table {self.table} ({_EVENT_TYPES}, source_ref String, "
                "source_ingested_at Nullable(DateTime64(6, 'UTC')), position Int64, input Int64) "
                "engine = MergeTree order by position"
            )

    def _hand_over(self) -> None:
        rows = pa.concat_tables(self._waiting)
        self._waiting, self._waiting_rows = [], 0
        self._ensure()
        self._wait()
        self._writing = self._thread.submit(self._client.insert, self.table, rows)

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()


def _micros(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _as_row(run: LandedRun, moment: datetime) -> pa.Table:
    facts = {**vars(run), "ingested_at": moment.replace(tzinfo=None), "inputs": list(run.inputs)}
    return pa.Table.from_pylist([facts], schema=_RUN_COLUMNS)
