"""Statements that delete what is delivered: run against the stores, they delete nothing else."""

from __future__ import annotations

import json
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from bson import ObjectId

from flagmart.ingest import mongodb_store, postgres_store
from flagmart.ingest.stores import Bounds, ingest
from flagmart.settings import DataFolder
from flagmart.warehouse import manifest
from support.clickhouse.server import running as clickhouse_running
from support.clickhouse_project import ClickHouseProject
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import flagmart
from support.export_project import KEY, META, ExportProject
from support.featbit_postgres import insert, make_events
from support.landed import ENV, event, ids, lines
from support.mongodb_server import INDEX, mongodb_server
from support.postgres_server import PostgresServer, postgres_server
from support.segment_server import Answer, Request, SegmentServer, running, split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

DAY = datetime(2026, 3, 1, tzinfo=UTC)
OTHER = "0c0c0c0c-0000-4000-8000-000000000000"
SEGMENT, STATSIG = "segment_tracks", "statsig_events"
BOTH = ("--delivered-to", SEGMENT, "--delivered-to", STATSIG)


def event_id(number: int) -> str:
    return str(uuid.UUID(int=number + 1))


REJECTED = {event_id(number) for number in range(5)}
EXCLUDED = {event_id(number) for number in range(5, 12)}
"""Of Segment's delivery alone."""
POISON = {event_id(number) for number in (20, 150, 299)}


class Project(ExportProject):
    """A project whose relations hold what has landed, without dbt."""

    def build_landing(self, columns: str = "event_id, occurred_at, ingested_at") -> None:
        """What `dbt build` would make of the landing."""
        folder = DataFolder(self.data).landing / "featbit_events"
        files = [str(folder / file.name) for file in manifest.read(folder).files]
        self.sql(
            (
                f"create or replace table events as select {columns}, 'user' as user_key, "
                "'on' as variation from read_parquet($files) "
                "where not list_contains($rejected, event_id)",
                {"files": files, "rejected": sorted(REJECTED)},
            ),
            (
                "create or replace table stg_featbit__rejected_events as "
                "select unnest($rejected) as event_id",
                {"rejected": sorted(REJECTED)},
            ),
            (
                "create or replace table fct_export_exclusions as "
                "select 'segment_tracks' as delivery, unnest($excluded) as event_id, 'x' as reason",
                {"excluded": sorted(EXCLUDED)},
            ),
        )

    def plan(self, *arguments: str) -> dict[str, Any]:
        """The counts, with those of each delivery by its name."""
        done = self.call("purge-plan", "--output", "json", *arguments)
        assert done.returncode == 0, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        document["deliveries"] = {one["delivery"]: one for one in document["deliveries"]}
        return document

    def statements(self, *arguments: str) -> list[str]:
        done = self.call("purge-plan", *arguments)
        assert done.returncode == 0, done.stderr
        assert KEY not in done.stdout + done.stderr
        return done.stdout.splitlines()


@pytest.fixture
def segment() -> Iterator[SegmentServer]:
    with running(KEY) as server:
        yield server


@pytest.fixture
def project(tmp_path: Path, segment: SegmentServer) -> Project:
    made = Project(tmp_path)
    made.env["SEGMENT_HOST"] = segment.url
    made.data.mkdir()
    return made


def made(project: Project) -> None:
    """The relations of a project whose landing is built, as `ExportProject.build` has them."""
    from support import export_project

    excluded = "where event_id not in (select event_id from fct_export_exclusions)"
    project.sql(
        f"create or replace view statsig_events as {export_project._STATSIG}",
        f"create or replace view hackle_events as {export_project._HACKLE}",
        f"create or replace view segment_tracks as {export_project._SEGMENT} {excluded}",
    )
    project.dbt_build()


def refuse_poison(request: Request) -> Answer:
    found = {message_id.split(":")[2] for message_id, _ in split(request.body)}
    return Answer(413, body="poison") if found & POISON else Answer(200)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as found:
        yield found


@pytest.fixture
def database(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> PostgresServer:
    found = server.made(f"featbit_{uuid.uuid5(uuid.NAMESPACE_OID, request.node.nodeid).hex[:8]}")
    make_events(found)
    moments = [DAY + timedelta(days=n % 3, seconds=n) for n in range(300)]
    insert(found, [(event_id(n), moments[n]) for n in range(0, 300, 2)], ENV)
    insert(found, [(event_id(n), moments[n]) for n in range(1, 300, 2)], OTHER)
    monkeypatch.setenv("FLAGMART_POSTGRES_URL", found.url)
    monkeypatch.delenv("DBT_TARGET", raising=False)
    return found


def ingest_postgres(project: Project) -> int:
    with postgres_store.connected() as store:
        return ingest(store, DataFolder(project.data), Bounds(), sweep=True).total("landed")


def stored(database: PostgresServer) -> set[str]:
    return {row for (row,) in database.rows("select id::text from events")}


def test_exactly_what_landed_and_is_delivered_is_deleted(
    database: PostgresServer, project: Project, segment: SegmentServer
) -> None:
    everything = {event_id(number) for number in range(300)}
    assert ingest_postgres(project) == 300
    project.build_landing()
    made(project)
    # not in the landing, so that nobody may delete it
    insert(database, [(event_id(900), DAY)], ENV)

    # nothing delivered, nothing planned
    done = project.call("purge-plan", *BOTH, "--store", "postgres", "--detailed-exitcode")
    assert (done.returncode, done.stdout) == (4, ""), done.stderr
    assert f"{SEGMENT} was never delivered to {segment.url}/v1/batch" in done.stderr
    assert f"{STATSIG} was never delivered to " in done.stderr

    # a delivery that is not finished, by its bound and then by a server that is down
    project.export(SEGMENT, "--max-rows", "100")
    segment.always = Answer(503)
    project.export(SEGMENT, code=1)
    segment.always = None
    (one,) = project.plan("--delivered-to", SEGMENT, "--store", "postgres")["deliveries"].values()
    assert (one["delivered"], one["waiting"], one["excluded"], one["rejected"]) == (
        *(100, 188),
        *(7, 5),
    )

    segment.judge = lambda request: _keeping(segment, request)
    project.export(SEGMENT, code=3)
    plan = project.plan(*BOTH, "--store", "postgres")
    assert plan["deliveries"][SEGMENT]["delivered"] > 200
    assert plan["planned"] == 0, "one of them has brought nothing"
    project.export(STATSIG)
    plan = project.plan(*BOTH, "--store", "postgres")
    sent = plan["deliveries"][SEGMENT]
    dead = sent["dead"]
    assert dead == len(POISON - {m.split(":")[2] for m in segment.ids()}) > 0
    assert {name: sent[name] for name in ("delivered", "changed", "waiting")} == {
        "delivered": 288 - dead,
        "changed": 0,
        "waiting": 0,
    }
    assert plan["deliveries"][STATSIG]["delivered"] == 295
    assert (plan["landed"], plan["planned"], plan["tables"]) == (
        *(300, 288 - dead),
        {"events": 288 - dead},
    )

    # only one environment, and of that only a day
    of_one = project.statements(
        *(*BOTH, "--store", "postgres", "--env", OTHER),
        *("--since", "2026-03-02", "--until", "2026-03-03"),
    )
    wanted = {event_id(n) for n in range(1, 300, 2) if n % 3 == 1}
    assert ids_in(of_one) <= wanted
    assert wanted - ids_in(of_one) <= REJECTED | EXCLUDED | POISON

    statements = project.statements(*BOTH, "--store", "postgres", "--batch", "100")
    assert len(statements) == 3
    database.run(*statements)
    acknowledged = {message_id.split(":")[2] for message_id in segment.ids()}
    assert stored(database) == (everything - acknowledged) | {event_id(900)}
    assert stored(database) >= REJECTED | EXCLUDED

    # a later ingest lands what is new, an export sends it, and nothing twice
    landed_before = sorted(ids(project.data))
    assert ingest_postgres(project) == 1
    project.build_landing()
    assert sorted([*landed_before, event_id(900)]) == sorted(ids(project.data))
    project.export(SEGMENT)
    project.export(STATSIG)
    assert set(segment.ids().values()) == {1}
    assert project.export(SEGMENT)[0]["outcome"] == "nothing new"
    database.run(*project.statements(*BOTH, "--store", "postgres"))
    assert stored(database) == everything - acknowledged


def _keeping(segment: SegmentServer, request: Request) -> Answer:
    answer = refuse_poison(request)
    if answer.status == 200:
        segment.taken.append(request.body)
    return answer


def ids_in(statements: Iterable[str]) -> set[str]:
    return set(re.findall(r"[0-9a-f]{8}-[0-9a-f-]{27}", "\n".join(statements)))


def test_a_day_that_changed_since_is_left_out_and_named(
    database: PostgresServer, project: Project
) -> None:
    ingest_postgres(project)
    project.build_landing()
    made(project)
    project.export(STATSIG)
    before = project.plan("--delivered-to", STATSIG, "--store", "postgres")
    assert before["planned"] == 295

    # a late row, of a day that is delivered already
    insert(database, [(event_id(901), DAY + timedelta(days=1, hours=9))], ENV)
    ingest_postgres(project)
    project.build_landing()
    done = project.call("purge-plan", "--delivered-to", STATSIG, "--store", "postgres")
    assert "2026-03-02 changed since it was delivered and is left out; run `flagmart export" in (
        done.stderr
    )
    of_that_day = {event_id(n) for n in range(300) if n % 3 == 1} - REJECTED
    assert ids_in(done.stdout.splitlines()) == (
        {event_id(n) for n in range(300)} - REJECTED - of_that_day
    )
    changed = project.plan("--delivered-to", STATSIG, "--store", "postgres")
    (one,) = changed["deliveries"].values()
    assert (one["changed"], one["waiting"]) == (len(of_that_day) + 1, 0)

    # a value that changed in as many rows is a change, too
    project.export(STATSIG)
    project.sql("update events set user_key = 'other' where event_id = '" + event_id(30) + "'")
    (one,) = project.plan("--delivered-to", STATSIG, "--store", "postgres")["deliveries"].values()
    assert one["changed"] == 100 - len([n for n in range(5) if n % 3 == 0])

    # and files that lie there no more are no delivery
    for path in (project.data / "exports").rglob("*.parquet"):
        path.unlink()
    done = project.call("purge-plan", "--delivered-to", STATSIG, "--store", "postgres")
    assert done.stdout == ""
    assert "2026-03-01, 2026-03-02, 2026-03-03 no longer lies in " in done.stderr


def test_hackle_tells_by_its_own_column(database: PostgresServer, project: Project) -> None:
    ingest_postgres(project)
    project.build_landing()
    made(project)
    project.export("hackle_events")
    plan = project.plan("--delivered-to", "hackle_events", "--store", "postgres")
    (one,) = plan["deliveries"].values()
    assert one["delivered"] == plan["planned"] > 0
    assert one["delivered"] + one["waiting"] == 295


def test_ids_of_other_forms_are_never_printed(project: Project) -> None:
    source = project.root / "events.jsonl"
    odd = [
        "'); drop table events; --",
        "a-1",
        "{" + event_id(1) + "x}",
        event_id(7).replace("-", ""),
    ]
    source.write_text(
        lines(*(event(n, uuid=name) for n, name in enumerate([*odd, event_id(40)]))),
        encoding="utf-8",
    )
    flagmart("ingest", "files", str(source), data=project.data)
    project.build_landing()
    made(project)
    project.export(STATSIG)
    whole = ("--delivered-to", STATSIG, "--store", "postgres", "--table", 'of "theirs".events')
    # the one without hyphens has landed as FeatBit spells it
    assert project.statements(*whole) == [
        'delete from "of ""theirs"""."events" where id = any('
        f"'{{{event_id(7)},{event_id(40)}}}');"
    ]
    assert project.plan(*whole)["odd_ids"] == 3
    done = project.call("purge-plan", *whole[:4])
    assert done.stdout == ""
    assert "name the table with --table for events that landed from files" in done.stderr


def test_wrong_usage_says_what(project: Project) -> None:
    project.write_artifacts({**META, "statsig_metrics": {**META[STATSIG], "dataset": "metrics"}})
    for arguments, said in (
        (("--delivered-to", "statsig_metrics"), "statsig_metrics has no row for each event"),
        (("--delivered-to", "nothing"), "'nothing' is no delivery of this project"),
        (("--delivered-to", STATSIG, "--env", ""), "--env is empty"),
        (("--delivered-to", STATSIG, "--table", " "), "--table is empty"),
        (("--delivered-to", STATSIG, "--cluster", "c"), "--cluster is for ClickHouse"),
        (("--delivered-to", STATSIG, "--id-field", "id"), "--id-field is for MongoDB"),
        (
            ("--delivered-to", STATSIG, "--since", "2026-03-02", "--until", "2026-03-01"),
            "--since 2026-03-02 is not before --until 2026-03-01",
        ),
    ):
        done = project.call("purge-plan", "--store", "postgres", *arguments)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert said in done.stderr


def test_a_build_that_must_not_go_out_plans_nothing(
    database: PostgresServer, project: Project
) -> None:
    ingest_postgres(project)
    project.build_landing()
    made(project)
    project.export(STATSIG)
    project.dbt_build(results={"model.flagmart.statsig_events": "error"})
    done = project.call("purge-plan", "--delivered-to", STATSIG, "--store", "postgres")
    assert (done.returncode, done.stdout) == (1, "")
    assert "statsig_events ended with 'error'" in done.stderr


def test_mongodb_deletes_by_either_kind_of_id(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DBT_TARGET", raising=False)
    with mongodb_server(tmp_path / "mongodb") as client:
        collection = client["purged"]["Events"]
        collection.create_index(INDEX)
        assert client.address
        url = "mongodb://{}:{}/purged".format(*client.address)
        monkeypatch.setenv("FLAGMART_MONGODB_URL", url)

        def document(number: int, **changes: object) -> dict[str, Any]:
            return {
                "_id": event_id(number),
                "distinct_id": f"{ENV}-f",
                "env_id": ENV,
                "event": "FlagValue",
                "properties": {"flagId": f"{ENV}-f", "userKeyId": "u"},
                "timestamp": DAY + timedelta(minutes=number),
                **changes,
            }

        collection.insert_many([document(n) for n in range(40)])
        collection.insert_many([document(n, _id=ObjectId(), id=event_id(n)) for n in range(40, 45)])

        def land() -> int:
            with mongodb_store.connected() as store:
                return ingest(store, DataFolder(project.data), Bounds(), sweep=True).total("landed")

        assert land() == 45
        project.build_landing()
        made(project)
        project.export(STATSIG)
        asked = ("--delivered-to", STATSIG, "--store", "mongodb", "--batch", "30")

        def run(*more: str) -> int:
            deleted = 0
            for statement in project.statements(*asked, *more):
                shape = r'db\.getCollection\("Events"\)\.deleteMany\((\{.*\})\);'
                found = re.fullmatch(shape, statement)
                assert found, statement
                deleted += collection.delete_many(json.loads(found[1])).deleted_count
            return deleted

        assert run() == 35
        left = {document["_id"] for document in collection.find() if "id" not in document}
        assert left == REJECTED
        assert run("--id-field", "id") == 5
        assert {document["_id"] for document in collection.find()} == REJECTED
        # and back again: nothing lands twice
        assert land() == 0


class OnClickHouse(ClickHouseProject, Project):
    """The same on ClickHouse."""


def test_clickhouse_deletes_every_copy_and_nothing_else(
    tmp_path: Path, segment: SegmentServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = OnClickHouse(tmp_path)
    with clickhouse_running(tmp_path / "engine") as address, client_of(address) as client:
        project.env = {**environment(address, "main"), "SEGMENT_HOST": segment.url}
        source = tmp_path / "events.jsonl"
        number_of = 5_300
        moments = [
            (DAY + timedelta(days=n % 40, seconds=n)).replace(tzinfo=UTC) for n in range(number_of)
        ]
        source.write_text(
            lines(
                *(
                    event(
                        n,
                        uuid=event_id(n),
                        timestamp=round(moments[n].timestamp() * 1_000_000),
                    )
                    for n in range(number_of)
                )
            ),
            encoding="utf-8",
        )
        project.on(client, {})
        project.do(
            "create database featbit",
            """
            create table featbit.events (
                uuid UUID, distinct_id String, env_id String, event String, properties String,
                timestamp DateTime64(6, 'UTC'), _timestamp DateTime, _offset UInt64
            )
            engine = MergeTree partition by (env_id, toYYYYMM(timestamp))
            order by (env_id, toDate(timestamp), event, cityHash64(distinct_id))
            """,
        )
        flagmart("ingest", "files", str(source), data=project.data, env=project.environment())
        # each event twice, since nothing there drops repeats; and one that never landed
        copy = (
            "insert into featbit.events select toUUID(event_id), distinct_id, env_id, event, "
            "properties, occurred_at, now(), 0 from main_landing.landed_events"
        )
        project.do(
            copy,
            copy,
            f"insert into featbit.events (uuid, env_id, timestamp) values "
            f"('{event_id(99_999)}', '{ENV}', '2026-03-01 00:00:00')",
            "truncate table main.events",
            "insert into main.events select event_id, 'user', 'on', occurred_at, ingested_at "
            "from main_landing.landed_events "
            f"where event_id not in ({', '.join(repr(one) for one in sorted(REJECTED))})",
            "create table main.stg_featbit__rejected_events engine = MergeTree order by () as "
            f"select arrayJoin({sorted(REJECTED)}) as event_id",
        )
        project.do(
            "create or replace view main.segment_tracks as select *, "
            "concat('featbit:env:', event_id, ':evaluation') as message_id, "
            "user_key as partition_key, concat('{\"messageId\":\"', message_id, '\"}') as payload "
            "from main.events"
        )
        segment.judge = lambda request: _keeping(segment, request)
        project.export(SEGMENT, code=3)
        project.export(STATSIG)
        asked = (*BOTH, "--store", "clickhouse", "--table", "featbit.events")
        plan = project.plan(*asked)
        counts = plan["deliveries"][SEGMENT]
        assert (counts["delivered"], counts["dead"], counts["rejected"]) == (
            *(number_of - 8, 3),
            5,
        )
        statements = project.statements(*asked)
        assert [len(ids_in([statement])) for statement in statements] == [5_000, 292]
        assert all(len(statement) < 256 * 1024 for statement in statements)
        for statement in statements:
            client.command(statement.rstrip(";"))
        left = rows(client, "select toString(uuid), count() from featbit.events group by 1")
        assert dict(left) == {
            event_id(99_999): 1,
            **dict.fromkeys(REJECTED | POISON, 2),
        }
        # one that is distributed holds nothing itself
        done = project.call("purge-plan", *asked[:6], "--table", "distributed_events")
        assert done.returncode == 2
        assert "name its cluster with --cluster" in done.stderr
        (statement, *_) = project.statements(
            *(*asked[:6], "--table", "distributed_events", "--cluster", "featbit_ch_cluster")
        )
        ((shown,),) = rows(client, f"select formatQuerySingleLine($${statement.rstrip(';')}$$)")
        assert shown.startswith("DELETE FROM events ON CLUSTER featbit_ch_cluster WHERE")
