"""Incremental models: after any history of runs, late rows, kills and losses, as a full refresh."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from flagmart.generate import Options, truth
from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import START, flagmart
from support.dbt_project import build, copy_project, dbt_environment, query
from support.dbt_server import killed_dbt
from support.relations import RELATIONS, Rows, different, on_clickhouse, on_duckdb
from support.versions import write_exports

DATABASE = "growing"
COLLAPSE = {"flagmart_collapse_client_retries": True}
SLICES = 6
OPTIONS = Options(
    events=3000, users=100, flags=3, days=30, start=date(2026, 1, 15), seed=5, dirty=0.3
)
DEFINITIONS = """\
metric_name,event_name,id_type,kind,numerator,denominator
daily_active,,user_id,active_day,,
credits,credit,user_id,sum,,
debits,debit,user_id,sum,,
searches,search.performed,user_id,count,,
checkouts,checkout-completed,user_id,count,,
debit_per_credit,,user_id,ratio,debits,credits
checkouts_per_search,,user_id,ratio,checkouts,searches
"""
SEED = "seeds/statsig_metric_definitions.csv"
EXPERIMENTS = """\
experiment_key,env_id,flag_key,metric_event,aggregation,success,baseline_variation_id,starts_at,ends_at,expected_shares,id_type
whole,{env},{flag},{metric},once,higher,{baseline},2026-01-15,2026-02-14,,
within,{env},{flag},{metric},count,higher,{baseline},2026-01-20 12:00,2026-02-05,,
late_sum,{env},late,credit,sum,higher,v1,2026-01-01,,v1:0.5|v2:0.5,
late_average,{env},late,credit,average,lower,v2,2026-02-08,2026-02-10,,
late_by_account,{env},late,debit,sum,lower,v1,2026-01-01,,,account
unsound,{env},late,debit,median,lower,v1,2026-01-01,,,
"""
IDENTITIES = """\
user_key,id_type,unit_id
m1,account,acc1
m2,account,acc1
m3,account,acc2
m3,account,acc0
u1,account,acc0
"""
METRICS = ("statsig_metrics",)


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

    def exposure(self, number: int, at: datetime, user: str, variation: str) -> bytes:
        properties = {"featureFlagKey": "late", "userKeyId": user, "variationId": variation}
        return self.event(
            number,
            at,
            uuid=f"{number:08x}-0000-4000-8000-00000000000e",
            properties=json.dumps(properties),
        )

    def metric(
        self, number: int, at: datetime, user: str, name: str, value: float, **changes: Any
    ) -> bytes:
        properties = {"eventName": name, "numericValue": value, "user": {"keyId": user}}
        return self.event(
            number,
            at,
            event="CustomEvent",
            distinct_id=name,
            properties=json.dumps(properties),
            **changes,
        )


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Stream:
    out = tmp_path_factory.mktemp("stream") / "events.jsonl"
    options = [
        part for f in fields(OPTIONS) for part in (f"--{f.name}", str(getattr(OPTIONS, f.name)))
    ]
    flagmart("generate", *options, "--out", str(out), data=out.parent)
    lines = out.read_bytes().splitlines()
    made = Stream(json.loads(next(line for line in lines if b"FlagValue" in line))["env_id"])
    size = len(lines) // (SLICES - 1) + 1
    made.slices = [lines[n * size : (n + 1) * size] for n in range(SLICES - 1)] + [[]]
    early, january = datetime.fromisoformat("2026-01-01T00:07:00Z"), START - timedelta(days=33)
    too_far = START + timedelta(hours=26, minutes=3)
    february = START - timedelta(days=20)
    minute = timedelta(minutes=1)
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
        # both numbers of a ratio, and its denominator becomes 0
        (0, made.metric(0x90, february, "m1", "credit", 10)),
        (2, made.metric(0x91, february + timedelta(hours=1), "m1", "debit", 4)),
        (0, made.metric(0x92, february, "m2", "credit", 10)),
        (1, made.metric(0x93, february, "m2", "debit", 1)),
        (4, made.metric(0x94, february, "m2", "credit", -10)),
        (3, made.metric(0x95, february, "m3", "debit", 3)),
        (4, made.metric(0x96, february, "m3", "credit", 5)),
        (3, made.metric(0x97, february, "m4", "credit", 7)),
        # seen in one variation, then known to have seen the other before, and to have acted since
        (1, made.exposure(0xB0, february - minute, "m1", "v1")),
        (3, made.exposure(0xB1, february - 2 * minute, "m1", "v2")),
        # seen only after it acted, then known to have been seen before
        (1, made.exposure(0xB2, february + minute, "m2", "v2")),
        (2, made.exposure(0xB3, february - 5000 * minute, "m2", "v2")),
        # two variations in one instant: the smaller id came later
        (2, made.exposure(0xB5, february, "m3", "v1")),
        (4, made.exposure(0xB4, february, "m3", "v2")),
        (4, made.exposure(0xB6, february, "m4", "v1")),
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


KEPT = {
    "fct_evaluation_counts": "bucket_on not in ('2026-01-27', '2026-01-28')",
    # by Statsig's days; the event of the first one is a retry
    "statsig_metrics": "partition_on <> '2026-01-27'",
}
"""Tables of which days are left alone, and those that the last run does not touch."""


@dataclass
class Engine:
    """One engine, the data folder of its own, and what both have in common."""

    data: Path
    project: Path
    env: dict[str, str] | None = None
    client: Client | None = None

    def ingest(self, number: int, lines: list[bytes]) -> None:
        source = self.data / f"{number}.jsonl"
        source.write_bytes(b"\n".join(lines) + b"\n")
        at = START + timedelta(minutes=number)
        flagmart("ingest", "files", str(source), data=self.data, at=at, env=self.env)
        for kind, path in zip(
            ("flags", "users"), write_exports(lines, number, self.data), strict=True
        ):
            flagmart("ingest", kind, str(path), data=self.data, at=at, env=self.env)

    def run(self, *arguments: str, **variables: Any) -> None:
        given = json.dumps({**COLLAPSE, **variables})
        build(*arguments, "--vars", given, data=self.data, project=self.project, env=self.env)

    def killed_run(self, when: str) -> None:
        """A run that is killed as soon as its log says `when`."""
        arguments = ["--no-use-colors", "run", "--vars", json.dumps(COLLAPSE)]
        killed_dbt(arguments, self.project, dbt_environment(self.data, self.env), when)

    def contents(
        self, columns_from: "Engine", relations: Sequence[str] = RELATIONS
    ) -> dict[str, Rows]:
        if self.client is None:
            return on_duckdb(self.data, relations)
        return on_clickhouse(columns_from.data, self.client, DATABASE, relations)

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
        """Where the counts and metrics of days that the last run does not touch physically lie."""
        if self.client is None:
            # the engine numbers rows anew where it closes gaps, and leaves their order
            return {
                (table, *row)
                for table, untouched in KEPT.items()
                for row in query(
                    self.data,
                    f"select row_number() over (order by rowid), * from {table} where {untouched}",
                )
            }
        # here tables are kept by the month, and what is in a part is written once
        return set(
            rows(
                self.client,
                "select table, partition, min_block_number, max_block_number, "
                "hash_of_uncompressed_files from system.parts where active and "
                f"database = '{DATABASE}' and table in {tuple(KEPT)} "
                "and partition <> '202601'",
            )
        )


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Engine]]:
    duck, click = tmp_path_factory.mktemp("duck"), tmp_path_factory.mktemp("click")
    project = copy_project(tmp_path_factory.mktemp("project"))
    (project / SEED).write_text(DEFINITIONS, encoding="utf-8")
    experiment = truth(OPTIONS).experiments[0]
    (project / "seeds/experiments.csv").write_text(
        EXPERIMENTS.format(
            env=experiment.env_id,
            flag=experiment.flag_key,
            metric=experiment.metric_event,
            baseline=experiment.baseline_variation_id,
        ),
        encoding="utf-8",
    )
    (project / "seeds/user_identity.csv").write_text(IDENTITIES, encoding="utf-8")
    with running(click / "engine") as address, client_of(address) as client:
        env = environment(address, DATABASE)
        yield [Engine(duck, project), Engine(click, project, env, client)]


KILLED_AT = {
    1: ["START sql incremental model"],
    2: ["OK created sql incremental model", "int_experiment_exposures"],
    3: ["fct_evaluation_counts", "int_experiment_changes"],
    4: ["START sql table model", "statsig_metrics"],
}
"""What dbt has just said when the runs before a good one are killed, by slice."""


@pytest.fixture(scope="module")
def grown(stream: Stream, engines: list[Engine]) -> list[dict[str, Rows]]:
    """Six ingest runs, each followed by a run of dbt, four of them by killed ones first."""
    found = []
    for engine in engines:
        for number, lines in enumerate(stream.slices):
            engine.ingest(number, lines)
            if engine.client is None and number == 3:
                # a run in the middle finds what it had not yet read in a merged file
                flagmart("compact", data=engine.data)
            for when in KILLED_AT.get(number, []):
                engine.killed_run(when)
            before: set[tuple[Any, ...]] = set()
            if number == SLICES - 1:
                if engine.client is None:
                    # what the manifest does not name does not exist
                    landing = engine.data / "landing/featbit_events"
                    named = next(landing.glob("*.parquet"))
                    (landing / "left-over.parquet").write_bytes(named.read_bytes())
                else:
                    for table in KEPT:
                        engine.execute(f"optimize table {{models}}.{table} final")
                before = engine.places()
                assert {place[0] for place in before} == set(KEPT)
            if number:
                engine.run()
            else:
                engine.run("--full-refresh")
            # what no new row touches is not written again
            assert before <= engine.places()
            if before and engine.client is None:
                # and what one touches lies behind it, as nothing would that was made in one go
                untouched = KEPT["statsig_metrics"]
                ends = f"select max(rowid) from statsig_metrics where {untouched}"
                begins = f"select min(rowid) from statsig_metrics where not ({untouched})"
                assert query(engine.data, ends) < query(engine.data, begins)
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
        "where event_id like '%-0000-4000-8000-000000000000' and event = 'FlagValue'",
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
    ratios = query(
        engines[0].data,
        "select unit_id, numerator, denominator from statsig_metrics "
        "where metric_name = 'debit_per_credit' and date = '2026-02-08' order by unit_id",
    )
    assert ratios == [("m1", 4, 10), ("m3", 3, 5), ("m4", 0, 7)]
    results = query(
        engines[0].data,
        "select experiment_key, variation_id, users, conversions, value_sum, value_sum_squares, "
        "users_in_two_variations from fct_experiment_results "
        "where experiment_key like 'late%' order by all",
    )
    assert results == [
        # m2 is seen before the window, and in it only behind the credit
        ("late_average", "v1", 1, 1, 7, 49, 0),
        ("late_average", "v2", 3, 2, 15, 125, 2),
        # acc1, of m1 and m2, saw v2 on the 5th and v1 on the 9th; acc0, of m3 and u1, began in v1
        ("late_by_account", "v1", 1, 1, 3, 9, 1),
        ("late_by_account", "v2", 1, 1, 5, 25, 1),
        # v1: u1, u2, u3, retry, m4; v2: m1 and m3, who then saw v1, and m2, whose credits are 0
        ("late_sum", "v1", 5, 1, 7, 49, 0),
        ("late_sum", "v2", 3, 3, 15, 125, 2),
    ]


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
    "insert into {builds}.finished_runs select "
    "'model.flagmart.fct_evaluation_counts where source = ''featbit''', "
    f"cast({run_of(2)} as timestamp)",
    "delete from {models}.fct_exposures where user_key = 'm1'",
    "delete from {builds}.finished_runs where node_id = 'model.flagmart.fct_exposures'",
    # two experiments of which a part came
    "delete from {models}.int_experiment_exposures "
    "where experiment_key = 'whole' and unit_id < 'user-5'",
    "delete from {models}.int_experiment_changes "
    "where experiment_key = 'late_sum' and variation_id = 'v2'",
    # days that were to be worked out anew, of which a part came
    "delete from {builds}.finished_days where day_on > '2026-02-01'",
    "delete from {models}.statsig_metrics where partition_on > '2026-02-01' and unit_id <> 'm1'",
)
OLDER_COPY = (
    "delete from {models}.base_featbit__events where ingested_at > " + run_of(3),
    "delete from {models}.fct_event_quality where last_ingested_at > " + run_of(3),
    "delete from {models}.statsig_metrics where ingested_at > " + run_of(3),
    "delete from {models}.fct_exposures where last_ingested_at > " + run_of(3),
    "delete from {models}.int_experiment_exposures where ingested_at > " + run_of(3),
)
LOST_NOTES = (
    "delete from {builds}.finished_runs where 1 = 1",
    "delete from {builds}.finished_days where 1 = 1",
    "delete from {builds}.finished_experiments where 1 = 1",
)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(CUT_OFF, id="an insert that was cut off halfway"),
        pytest.param(OLDER_COPY, id="an older copy put back"),
        pytest.param(LOST_NOTES, id="lost notes"),
    ],
)
def test_a_good_run_mends_what_was_lost(
    damage: tuple[str, ...], grown: list[dict[str, Rows]], engines: list[Engine]
) -> None:
    for engine, contents in zip(engines, grown, strict=True):
        for statement in damage:
            engine.execute(statement)
        assert damage is LOST_NOTES or different(contents, engine.contents(engines[0]))
        engine.run()
        assert different(contents, engine.contents(engines[0])) == {}


@dataclass
class Change:
    """What days of metrics are worked out from, other than the events that land."""

    variables: dict[str, Any] = field(default_factory=dict)
    definitions: str = DEFINITIONS
    of_base: bool = False
    """Whether base is made anew for it."""
    rows: int | None = None
    """How many metrics are left; unknown where None."""


@pytest.mark.parametrize(
    "change",
    [
        # the first, so that what it changes is no definition
        pytest.param(
            Change(
                {"flagmart_collapse_client_retries": False, "flagmart_max_clock_lead_hours": 720},
                of_base=True,
            ),
            id="what is rejected",
        ),
        pytest.param(Change({"flagmart_statsig_timezone": "Asia/Kolkata"}), id="a zone"),
        pytest.param(
            Change(definitions=DEFINITIONS.replace("debit,user_id,sum", "debit,user_id,count")),
            id="a definition",
        ),
        pytest.param(
            Change(definitions=DEFINITIONS.replace("daily_active,,", "daily_active,credit,")),
            id="a definition that leaves few days",
        ),
        pytest.param(Change({"flagmart_statsig_id_types": ["stable_id"]}, rows=0), id="id types"),
    ],
)
def test_metrics_follow_whatever_they_are_worked_out_from(
    change: Change, grown: list[dict[str, Rows]], engines: list[Engine]
) -> None:
    (engines[0].project / SEED).write_text(change.definitions, encoding="utf-8")
    assert grown
    for engine in engines:
        before = engine.contents(engines[0], METRICS)
        if change.of_base:
            engine.run("--full-refresh", "--select", "base_featbit__events", **change.variables)
        engine.run("--select", "+statsig_metrics", **change.variables)
        changed = engine.contents(engines[0], METRICS)
        assert different(before, changed)
        if change.rows is not None:
            assert len(changed["statsig_metrics"]) == change.rows
        engine.run("--full-refresh", "--select", "statsig_metrics", **change.variables)
        assert different(changed, engine.contents(engines[0], METRICS)) == {}


def test_metrics_come_back_with_what_they_are_worked_out_from(
    grown: list[dict[str, Rows]], engines: list[Engine]
) -> None:
    (engines[0].project / SEED).write_text(DEFINITIONS, encoding="utf-8")
    for engine, contents in zip(engines, grown, strict=True):
        engine.run("--full-refresh", "--select", "base_featbit__events")
        engine.run("--select", "+statsig_metrics")
        before = {name: contents[name] for name in METRICS}
        assert different(before, engine.contents(engines[0], METRICS)) == {}


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


def test_metrics_follow_an_environment_that_lands(
    stream: Stream, grown: list[dict[str, Rows]], engines: list[Engine]
) -> None:
    for engine, contents in zip(engines, grown, strict=True):
        # an event like one of the first environment, but for its id and place
        late = START - timedelta(days=20)
        engine.ingest(SLICES, [stream.metric(0xA0, late, "m4", "credit", 7, env_id="other")])
        before = {name: contents[name] for name in METRICS}
        # none may leave until one is chosen
        engine.run("--select", "+statsig_metrics")
        assert not engine.contents(engines[0], METRICS)["statsig_metrics"]
        engine.run("--select", "+statsig_metrics", flagmart_env_ids=["other"])
        other = engine.contents(engines[0], METRICS)["statsig_metrics"]
        assert sorted(row[3] for row in other) == ["credits", "daily_active", "debit_per_credit"]
        both = {"flagmart_env_ids": [stream.env_id, "other"]}
        engine.run("--select", "+statsig_metrics", **both)
        together = engine.contents(engines[0], METRICS)
        assert different(before, together)
        engine.run("--full-refresh", "--select", "statsig_metrics", **both)
        assert different(together, engine.contents(engines[0], METRICS)) == {}
        engine.run("--select", "+statsig_metrics", flagmart_env_ids=[stream.env_id])
        assert different(before, engine.contents(engines[0], METRICS)) == {}
