"""Spoilt records: both engines build them, lose none, agree, and say what plain Python says.

20,000 records by default; `FLAGMART_MUTATIONS=1000000` for more, in blocks, each an ingest run, and
`FLAGMART_MUTATIONS_SEED` for others.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from clickhouse_connect.driver.client import Client

from flagmart.settings import DataFolder
from flagmart.warehouse import open_run
from flagmart.warehouse.landing import EVENT_COLUMNS
from support.clickhouse.server import Address, running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment
from support.command import START, flagmart
from support.dbt_project import build
from support.json_text import same
from support.mutations import Mutations, from_lines, samples
from support.oracle import REASONS, Envelope, judge

RECORDS = int(os.environ.get("FLAGMART_MUTATIONS", "20000"))
SEED = int(os.environ.get("FLAGMART_MUTATIONS_SEED", "1"))
BLOCK = 50_000
"""Records of an ingest run, which are built and compared before the next lands."""
BATCH = 1_000
RELATIONS = {
    "evaluation": "stg_featbit__flag_evaluations",
    "metric": "stg_featbit__metric_events",
    "rejected": "stg_featbit__rejected_events",
}
SELECTED = ("base_featbit__events", "stg_featbit__events", *RELATIONS.values())
RECEIVED = ("event", "distinct_id", "properties", "occurred_at")
DATABASE = "flagmart_spoilt"

Row = dict[str, Any]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    with running(tmp_path_factory.mktemp("clickhouse")) as found:
        yield found


def event_id(index: int) -> str:
    """Ids sort as indexes do."""
    return f"00000000-0000-4000-8000-{index:012d}"


def batches(records: Mutations, indexes: range) -> Iterator[pa.RecordBatch]:
    for first in range(indexes.start, indexes.stop, BATCH):
        rows = []
        for index in range(first, min(first + BATCH, indexes.stop)):
            envelope = records.record(index)
            moment = envelope.occurred_at
            rows.append(
                {
                    **asdict(envelope),
                    "occurred_at": moment and moment.replace(tzinfo=None),
                    "event_id": event_id(index),
                    "source_ref": f"mutations:{index}",
                }
            )
        yield pa.RecordBatch.from_pylist(rows, EVENT_COLUMNS)


def land(data: Path, records: Mutations, indexes: range, other: Mapping[str, str]) -> None:
    """An ingest run of these records on DuckDB, and the same one on the engine of `other`."""
    with ExitStack() as runs:
        opened = [runs.enter_context(open_run(DataFolder(data), "file", ("mutations",)))]
        with pytest.MonkeyPatch.context() as patched:
            for name, value in other.items():
                patched.setenv(name, value)
            opened.append(runs.enter_context(open_run(DataFolder(data), "file", ("mutations",))))
        for run in opened:
            run.begin("mutations")
        for batch in batches(records, indexes):
            for run in opened:
                run.append(batch)
        for run in opened:
            run.finish()


def plain(value: Any) -> Any:
    """A value as both clients give it; a float by its digits and sign, so that NaN and -0 show."""
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return repr(value) if isinstance(value, float) else value


def alike(name: str, one: object, other: object) -> bool:
    """Whether a column says the same; what was received, to the last byte."""
    return one == other if name in RECEIVED else same(one, other)


def rows_of_duckdb(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[Row]:
    found = connection.execute(sql)
    names = [column[0] for column in found.description or ()]
    while block := found.fetchmany(BATCH):
        for row in block:
            yield dict(zip(names, map(plain, row), strict=True))


def rows_of_clickhouse(client: Client, sql: str) -> Iterator[Row]:
    with client.query_row_block_stream(sql, settings={"max_block_size": BATCH}) as blocks:
        names = blocks.source.column_names
        for block in blocks:
            for row in block:
                yield dict(zip(names, map(plain, row), strict=True))


@dataclass
class Faults:
    """What was found, by kind; the shortest text of each."""

    found: Counter[str] = field(default_factory=Counter)
    shortest: dict[str, tuple[int, str]] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str | None] = field(default_factory=Counter)

    def add(self, kind: str, envelope: Envelope, index: int, *values: object) -> None:
        self.found[kind] += 1
        length = len(envelope.properties)
        if kind not in self.shortest or length < self.shortest[kind][0]:
            shown = " / ".join(repr(value)[:200] for value in values)
            self.shortest[kind] = (length, f"record {index}: {shown}: {envelope!r:.1500}")

    def __str__(self) -> str:
        return "\n".join(
            f"{count} times {kind}; {self.shortest[kind][1]}"
            for kind, count in self.found.most_common()
        )


def compare(
    records: Mutations, indexes: range, ours: Iterator[Row], theirs: Iterator[Row]
) -> Faults:
    """Both engines' rows of base in order of their ids, against the records they were made of."""
    faults = Faults()
    for index, duck, click in zip_longest(indexes, ours, theirs):
        if index is None or duck is None or click is None:
            raise AssertionError(f"rows lost or doubled from {index} on: {duck} {click}")
        envelope = records.record(index)
        ids = {duck["event_id"], click["event_id"], event_id(index)}
        assert len(ids) == 1, f"rows lost or doubled: {ids}"
        for name, value in duck.items():
            if not alike(name, value, click[name]):
                faults.add(f"engines differ in {name}", envelope, index, value, click[name])
        expected = asdict(envelope) | asdict(judge(envelope, records.ingested_at))
        for name, value in expected.items():
            if not alike(name, duck[name], plain(value)):
                faults.add(f"DuckDB's {name} is wrong", envelope, index, duck[name], value)
            if not alike(name, click[name], plain(value)):
                faults.add(f"ClickHouse's {name} is wrong", envelope, index, click[name], value)
        if (duck["reject_reason"] in REASONS) is not (duck["outcome"] == "rejected"):
            faults.add("not one reason", envelope, index, duck["outcome"], duck["reject_reason"])
        faults.outcomes[duck["outcome"]] += 1
        faults.reasons[duck["reject_reason"]] += 1
    return faults


def counts(rows: Iterator[Row]) -> dict[str, tuple[int, int]]:
    """Per outcome rows and distinct ids of the three staging relations."""
    return {row["outcome"]: (row["events"], row["ids"]) for row in rows}


COUNTS = " union all ".join(
    f"select '{outcome}' as outcome, count(*) as events, count(distinct event_id) as ids "
    f"from {{database}}{relation}"
    for outcome, relation in RELATIONS.items()
)


def test_spoilt_events_are_accounted_for_and_read_alike(
    tmp_path: Path, address: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = environment(address, DATABASE)
    source = tmp_path / "events.jsonl"
    options = "--events 400 --users 40 --flags 4 --days 9 --start 2026-01-01 --seed 5 --dirty 0.5"
    flagmart("generate", *options.split(), "--out", str(source), data=tmp_path)
    bases = (*samples() * 20, *from_lines(source.read_bytes().splitlines()))
    outcomes: Counter[str] = Counter()
    with client_of(address) as client:
        for number, first in enumerate(range(0, RECORDS, BLOCK)):
            indexes = range(first, min(first + BLOCK, RECORDS))
            at = START + timedelta(hours=number)
            monkeypatch.setenv("FLAGMART_NOW", at.isoformat())
            records = Mutations(SEED, bases, at)
            land(tmp_path, records, indexes, target)
            build("--select", *SELECTED, data=tmp_path)
            build("--select", *SELECTED, data=tmp_path, env=target)
            between = f"event_id between '{event_id(first)}' and '{event_id(indexes[-1])}'"
            sql = f"base_featbit__events where {between} order by event_id"
            with duckdb.connect(str(tmp_path / "flagmart.duckdb"), read_only=True) as connection:
                columns = [
                    row[0] for row in connection.execute("describe base_featbit__events").fetchall()
                ]
                select = "select " + ", ".join(columns) + " from "
                faults = compare(
                    records,
                    indexes,
                    rows_of_duckdb(connection, select + sql),
                    rows_of_clickhouse(client, f"{select}{DATABASE}.{sql}"),
                )
                assert not faults.found, str(faults)
                outcomes += faults.outcomes
                said = {outcome: (events, events) for outcome, events in outcomes.items()}
                assert counts(rows_of_duckdb(connection, COUNTS.format(database=""))) == said
                in_clickhouse = COUNTS.format(database=f"{DATABASE}.")
                assert counts(rows_of_clickhouse(client, in_clickhouse)) == said
            if number == 0:
                assert set(faults.reasons) == {None, *REASONS}
    assert outcomes.total() == RECORDS
