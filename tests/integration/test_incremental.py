"""Incremental models: after any history of runs, late rows, kills and losses, as a full refresh."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import START, flagmart
from support.dbt_project import DBT, ROOT, build, dbt_environment, query
from support.relations import Rows, different, on_clickhouse, on_duckdb

DATABASE = "growing"
COLLAPSE = {"flagmart_collapse_client_retries": True}
SLICES = 6


def micros(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


@dataclass
class Stream:
    """The lines of six ingest runs; what was put in on purpose crosses from one to another."""

    env_id: str
    slices: list[list[bytes]] = field(default_factory=list)

    def event(self, number: int, at: datetime, user: str = "u1", **changes: Any) -> bytes:
        properties = {"featureFlagKey": "late", "userKeyId": user, "variationId": "v1"}
        return json.dumps(
            {
                "uuid": f"{number:08x}-0000-4000-8000-000000000000",
                "distinct_id": f"{self.env_id}-late",
                "env_id": self.env_id,
                "event": "FlagValue",
                "properties": json.dumps(properties),
                "timestamp": micros(at),
                **changes,
            }
        ).encode()


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    out = tmp_path_factory.mktemp("stream") / "events.jsonl"
    options = (
        "--events 3000 --users 100 --flags 3 --days 30 --start 2026-01-15 --seed 5 --dirty 0.3"
    )
    flagmart("generate", *options.split(), "--out", str(out), data=out.parent)
    lines = out.read_bytes().splitlines()
    made = Stream(json.loads(next(line for line in lines if b"FlagValue" in line))["env_id"])
    size = len(lines) // (SLICES - 1) + 1
    made.slices = [lines[n * size : (n + 1) * size] for n in range(SLICES - 1)] + [[]]
    early, january = datetime.fromisoformat("2026-01-01T00:07:00Z"), START - timedelta(days=33)
    too_far = START + timedelta(hours=26, minutes=3)
    put = [
        (0, made.event(0x50, january)),
        # the future that is too far ahead, and has come near enough three runs later
        (0, made.event(0x51, too_far)),
        (4, made.event(0x52, too_far, "u2")),
        # older than anything that has landed, in a bucket of its own, then in that bucket again
        (2, made.event(0x53, early)),
        (4, made.event(0x54, early, "u2")),
        # an equal and a conflicting repeat of what landed in other runs
        (3, made.event(0x50, january)),
        (4, made.event(0x53, early, "u9")),
        # retries: behind and before the first by id, in the same run and in later ones
        (1, made.event(0x61, january, "retry")),
        (1, made.event(0x60, january, "retry")),
        (2, made.event(0x5F, january, "retry")),
        (4, made.event(0x62, january, "retry")),
        # a retry of what was rejected is none
        (2, made.event(0x70, too_far, "u3")),
        (4, made.event(0x71, too_far, "u3")),
        # the last run touches two days of January, and no other
        (5, made.event(0x80, january)),
        (5, made.event(0x81, january + timedelta(days=1), "u2")),
    ]
    for number, line in put:
        made.slices[number].append(line)
    for number in range(1, SLICES - 1):
        # copies of lines of the run before
        made.slices[number] += made.slices[number - 1][:40]
    return made


@dataclass
class Engine:
    """One engine, the data folder of its own, and what both have in common."""

    data: Path
    env: dict[str, str] | None = None
    client: Client | None = None

    def ingest(self, number: int, lines: list[bytes]) -> None:
        source = self.data / f"{number}.jsonl"
        source.write_bytes(b"\n".join(lines) + b"\n")
        at = START + timedelta(minutes=number)
        flagmart("ingest", "files", str(source), data=self.data, at=at, env=self.env)

    def run(self, *arguments: str, **variables: Any) -> None:
        given = json.dumps({**COLLAPSE, **variables})
        build(*arguments, "--vars", given, data=self.data, env=self.env)

    def killed_run(self, when: str) -> None:
        """A run that is killed, with all its processes, as soon as its log says `when`."""
        with subprocess.Popen(
            [DBT, "--no-use-colors", "run", "--vars", json.dumps(COLLAPSE)],
            cwd=ROOT,
            env=dbt_environment(self.data, self.env),
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            assert any(when in line for line in process.stdout), when
            os.killpg(process.pid, signal.SIGKILL)
            process.stdout.read()
        assert process.returncode == -signal.SIGKILL

    def contents(self, columns_from: "Engine") -> dict[str, Rows]:
        if self.client is None:
            return on_duckdb(self.data)
        return on_clickhouse(columns_from.data, self.client, DATABASE)

    def execute(self, statement: str) -> None:
        """A statement on the models' tables, in words that both engines know."""
        if self.client is not None:
            self.client.command(
                statement.format(models=f"`{DATABASE}`", builds=f"`{DATABASE}_builds`")
            )
            return
        import duckdb

        with duckdb.connect(str(self.data / "flagmart.duckdb")) as connection:
            connection.execute(statement.format(models="main", builds="flagmart_builds"))

    def places(self) -> set[tuple[Any, ...]]:
        """Where the counts of days that the last run does not touch physically lie."""
        if self.client is None:
            untouched = "bucket_on not in ('2026-01-27', '2026-01-28')"
            return set(
                query(
                    self.data,
                    f"select rowid, * from fct_evaluation_counts where {untouched}",
                )
            )
        # here tables are kept by the month, and what is in a part is written once
        return set(
            rows(
                self.client,
                "select partition, min_block_number, max_block_number, "
                "hash_of_uncompressed_files from system.parts where active and "
                f"database = '{DATABASE}' and table = 'fct_evaluation_counts' "
                "and partition <> '202601'",
            )
        )


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Engine]]:
    duck, click = tmp_path_factory.mktemp("duck"), tmp_path_factory.mktemp("click")
    with running(click / "engine") as address, client_of(address) as client:
        yield [Engine(duck), Engine(click, environment(address, DATABASE), client)]


KILLED_AT = {
    1: "START sql incremental model",
    2: "OK created sql incremental model",
    3: "fct_evaluation_counts",
    4: "START sql table model",
}
"""What dbt has just said when the run before a good one is killed, by slice."""


@pytest.fixture(scope="module")
def grown(stream: Stream, engines: list[Engine]) -> list[dict[str, Rows]]:
    """Six ingest runs, each followed by a run of dbt, four of them by one that was killed first."""
    found = []
    for engine in engines:
        for number, lines in enumerate(stream.slices):
            engine.ingest(number, lines)
            if number in KILLED_AT:
                engine.killed_run(KILLED_AT[number])
            before: set[tuple[Any, ...]] = set()
            if number == SLICES - 1:
                if engine.client is None:
                    # what the manifest does not name does not exist
                    landing = engine.data / "landing/featbit_events"
                    named = next(landing.glob("*.parquet"))
                    (landing / "left-over.parquet").write_bytes(named.read_bytes())
                else:
                    engine.execute("optimize table {models}.fct_evaluation_counts final")
                before = engine.places()
                assert before
            if number:
                engine.run()
            else:
                engine.run("--full-refresh")
            # what no new row touches is not written again
            assert before <= engine.places()
        found.append(engine.contents(engines[0]))
    return found


def test_six_runs_end_like_a_full_refresh(
    grown: list[dict[str, Rows]], engines: list[Engine]
) -> None:
    assert different(*grown) == {}
    for engine, contents in zip(engines, grown, strict=True):
        engine.run("--full-refresh")
        assert different(contents, engine.contents(engines[0])) == {}
    reasons = dict(
        query(
            engines[0].data,
            "select reject_reason, count(*) from base_featbit__events group by reject_reason",
        )
    )
    assert reasons["client_retry"] >= 4
    late = query(
        engines[0].data,
        "select left(event_id, 8), reject_reason from base_featbit__events "
        "where event_id like '%-0000-4000-8000-000000000000' order by event_id",
    )
    assert dict(late) == {
        "00000050": None,
        "00000051": "implausible_timestamp",
        "00000052": None,
        "00000053": None,
        "00000054": None,
        "0000005f": "client_retry",
        "00000060": None,
        "00000061": "client_retry",
        "00000062": "client_retry",
        "00000070": "implausible_timestamp",
        "00000071": None,
        "00000080": "client_retry",
        "00000081": None,
    }


def run_of(number: int) -> str:
    return f"'{(START + timedelta(minutes=number)).strftime('%Y-%m-%d %H:%M:%S')}'"


CUT_OFF = (
    # the third run is the last that was finished; of those behind it, rows of the newest came first
    "delete from {models}.base_featbit__events where ingested_at > "
    + run_of(2)
    + " and (ingested_at < "
    + run_of(5)
    + " or event_id like '%81-0000-4000-8000-000000000000')",
    "delete from {models}.fct_evaluation_counts where last_ingested_at > "
    + run_of(2)
    + " and variation_id <> 'v1'",
    "delete from {builds}.finished_runs where 1 = 1",
    "insert into {builds}.finished_runs select 'model.flagmart.base_featbit__events', "
    f"cast({run_of(2)} as timestamp)",
    "insert into {builds}.finished_runs select 'model.flagmart.fct_evaluation_counts', "
    f"cast({run_of(2)} as timestamp)",
)
OLDER_COPY = (
    "delete from {models}.base_featbit__events where ingested_at > " + run_of(3),
    "delete from {models}.fct_event_quality where last_ingested_at > " + run_of(3),
)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(CUT_OFF, id="an insert that was cut off halfway"),
        pytest.param(OLDER_COPY, id="an older copy put back"),
        pytest.param(("delete from {builds}.finished_runs where 1 = 1",), id="lost notes"),
    ],
)
def test_a_good_run_mends_what_was_lost(
    damage: tuple[str, ...], grown: list[dict[str, Rows]], engines: list[Engine]
) -> None:
    for engine, contents in zip(engines, grown, strict=True):
        for statement in damage:
            engine.execute(statement)
        assert len(damage) == 1 or different(contents, engine.contents(engines[0]))
        engine.run()
        assert different(contents, engine.contents(engines[0])) == {}


def test_a_mended_rule_brings_rejected_events_back(
    grown: list[dict[str, Rows]], engines: list[Engine]
) -> None:
    duck = engines[0]
    before = dict(query(duck.data, "select event_id, properties from stg_featbit__rejected_events"))
    duck.run("--full-refresh", flagmart_max_clock_lead_hours=720)
    back = query(
        duck.data,
        "select left(event_id, 8) from stg_featbit__flag_evaluations where event_id in "
        "('00000051-0000-4000-8000-000000000000', '00000070-0000-4000-8000-000000000000')",
    )
    assert sorted(back) == [("00000051",), ("00000070",)]
    assert all(
        '"userKeyId"' in before[f"{number}-0000-4000-8000-000000000000"] for (number,) in back
    )
    duck.run("--full-refresh")
    assert different(grown[0], duck.contents(duck)) == {}
