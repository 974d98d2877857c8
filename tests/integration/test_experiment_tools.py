"""Views in the shapes of other experiment tools, as plain Python has them, and the SQL to paste."""

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import flagmart
from support.dbt_project import ROOT, build, copy_project, query
from support.landed import ENV, event, lines
from support.relations import Rows, plain

DATABASE = "tools"
OTHER_ENV = "5f0e6b1c-0000-4000-8000-0000000000de"
AT = datetime(2026, 2, 1, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = datetime(2026, 1, 5, tzinfo=UTC)
FROM, UNTIL = datetime(2026, 1, 7), datetime(2026, 1, 12, 23, 59, 59)  # noqa: DTZ001 as read back
IDENTITIES = {"u1": "d1", "u2": "d2", "u 3": "d2", "nobody": "d9"}
ASSIGNMENTS = {
    "growthbook_assignments": ("user_id", "timestamp", "experiment_id", "variation_id", "env_id"),
    "eppo_assignments": ("subject", "timestamp", "experiment", "variation", "env_id"),
    "statsig_whn_exposures": ("user_id", "timestamp", "experiment_name", "group_name", "env_id"),
}
"""Columns for the user, the moment, the flag, the variation and the environment."""
METRICS = {
    "growthbook_metrics": ("user_id", "timestamp", "event_name", "value", "env_id"),
    "eppo_facts": ("entity_id", "timestamp", "fact_name", "fact_value", "env_id"),
    "statsig_whn_metrics": ("user_id", "timestamp", "event_name", "value", "env_id"),
}
"""Columns for the user, the moment, the event's name, the value and the environment."""
OTEL_LOGS = """
    create table otel_logs (
        Timestamp DateTime64(9),
        TimestampTime DateTime default toDateTime(Timestamp),
        ServiceName LowCardinality(String),
        SeverityText LowCardinality(String),
        Body String,
        ResourceAttributes Map(LowCardinality(String), String),
        LogAttributes Map(LowCardinality(String), String)
    ) engine = MergeTree order by (ServiceName, TimestampTime)
"""
"""The columns that matter of the table that the collector's exporter makes."""


@dataclass(frozen=True)
class Evaluated:
    """An evaluation as it was written."""

    event_id: str
    env_id: str
    flag: str
    user: str
    variation: str
    at: datetime
    counts: bool


@dataclass(frozen=True)
class Measured:
    """A metric event as it was written."""

    env_id: str
    name: str
    user: str
    value: float | None
    at: datetime


@dataclass(frozen=True)
class World:
    """What was written, as lines and as what they mean."""

    lines: list[dict[str, Any]]
    evaluations: list[Evaluated]
    metrics: list[Measured]

    def assignments(self) -> Counter[tuple[Any, ...]]:
        return Counter(
            (one.user, one.at, one.flag, one.variation, one.env_id)
            for one in self.evaluations
            if one.counts and one.env_id == ENV
        )

    def measured(self) -> Counter[tuple[Any, ...]]:
        return Counter(
            (one.user, one.at, one.name, one.value, one.env_id)
            for one in self.metrics
            if one.env_id == ENV
        )

    def exposures(self) -> Counter[tuple[Any, ...]]:
        """Rows of fct_exposures, of both environments."""
        seen: dict[tuple[str, str, str], list[Evaluated]] = {}
        for one in self.evaluations:
            if one.counts:
                seen.setdefault((one.env_id, one.flag, one.user), []).append(one)
        found: Counter[tuple[Any, ...]] = Counter()
        for key, all_of in seen.items():
            first = min(all_of, key=lambda one: (one.at, one.event_id))
            variations = {one.variation for one in all_of}
            found[*key, first.variation, first.at, len(all_of), len(variations)] += 1
        return found


def made_world() -> World:
    """Few users on few moments, so that several evaluations share an instant."""
    chance = random.Random(17)
    world = World([], [], [])
    for number in range(600):
        env_id = chance.choice([ENV, ENV, ENV, OTHER_ENV])
        user = chance.choice(["u1", "u2", "u 3", "Ünï", "u5", "it's"])
        at = FIRST + timedelta(hours=chance.randrange(240), microseconds=chance.choice([0, 123456]))
        common = {
            "env_id": env_id,
            "timestamp": (at - EPOCH) // timedelta(microseconds=1),
        }
        at = at.replace(tzinfo=None)
        properties: dict[str, Any]
        if number % 3:
            flag, variation = chance.choice(["f1", "f-2"]), chance.choice(["a", "b"])
            counts = chance.random() < 0.7
            properties = {
                "featureFlagKey": flag,
                "userKeyId": user,
                "variationId": variation,
                "sendToExperiment": counts,
            }
            written = event(number, **common, properties=json.dumps(properties))
            found = Evaluated(written["uuid"], env_id, flag, user, variation, at, counts)
            world.evaluations.append(found)
        else:
            name = chance.choice(["buy", "see"])
            value = chance.choice([None, 0.0, -1.5, 12.25])
            kind = chance.choice(["CustomEvent", "PageView", "Click"])
            properties = {"eventName": name, "numericValue": value, "user": {"keyId": user}}
            written = event(
                number, **common, event=kind, distinct_id=name, properties=json.dumps(properties)
            )
            world.metrics.append(Measured(env_id, name, user, value, at))
        world.lines.append(written)
    # rejected: in no view
    nobody = json.dumps({"featureFlagKey": "f1", "variationId": "a", "sendToExperiment": True})
    world.lines.append(event(9_000, properties=nobody))
    return world


@dataclass(frozen=True)
class Built:
    """The world, and how each engine on which it was built answers."""

    world: World
    ask: dict[str, Callable[[str], list[Any]]]
    clickhouse: Callable[[str], object]
    """Runs a statement without an answer there."""

    def rows(self, engine: str, sql: str) -> Rows:
        return Counter(tuple(map(plain, row)) for row in self.ask[engine](sql))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    folder = tmp_path_factory.mktemp("tools")
    project = copy_project(folder)
    (project / "seeds/user_identity.csv").write_text(
        "user_key,id_type,unit_id\n"
        + "".join(
            f"{user},{kind},{unit}\n"
            for user, unit in IDENTITIES.items()
            for kind in ("device_id", "company_id")
        )
    )
    world = made_world()
    source = folder / "events.jsonl"
    source.write_text(lines(*world.lines), encoding="utf-8")
    data = folder / "data"
    arguments = (
        *("--vars", json.dumps({"flagmart_experiment_tools": "all", "flagmart_env_ids": [ENV]})),
        "--select",
        *(f"+{name}" for name in (*ASSIGNMENTS, *METRICS)),
        *("+opentelemetry_evaluations", "+fct_exposures", "+int_user_units"),
    )
    with running(folder / "clickhouse") as address, client_of(address) as client:
        env = environment(address, DATABASE)
        for target in (None, env):
            flagmart("ingest", "files", str(source), data=data, at=AT, env=target)
            build(*arguments, data=data, project=project, env=target)
        # as a tool that is connected to that database
        client.database = DATABASE
        ask = {"duckdb": lambda sql: query(data, sql), "clickhouse": lambda sql: rows(client, sql)}
        yield Built(world, ask, client.command)


ENGINES = ("duckdb", "clickhouse")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_tool_gets_each_evaluation_and_metric_event_once(built: Built, engine: str) -> None:
    assert built.world.assignments().total() > 150
    for view, columns in ASSIGNMENTS.items():
        found = built.rows(engine, f"select {', '.join(columns)} from {view}")
        assert found == built.world.assignments(), view
    for view, columns in METRICS.items():
        found = built.rows(engine, f"select {', '.join(columns)} from {view}")
        assert found == built.world.measured(), view


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_tools_see_first_is_our_exposure(built: Built, engine: str) -> None:
    columns = (
        "env_id, flag_key, user_key, variation_id, first_exposed_at, exposures, variations_seen"
    )
    ours = built.rows(engine, f"select {columns} from fct_exposures")
    assert ours == built.world.exposures()
    assert {row[0] for row in ours} == {ENV, OTHER_ENV}
    exported = Counter(
        (env_id, flag, user, first_at, exposures, variations)
        for env_id, flag, user, _, first_at, exposures, variations in ours
        if env_id == ENV
    )
    for view, (user, at, flag, variation, env_id) in ASSIGNMENTS.items():
        grouped = (
            f"select {env_id}, {flag}, {user}, min({at}), count(*), count(distinct {variation}) "
            f"from {view} group by {env_id}, {flag}, {user}"
        )
        assert built.rows(engine, grouped) == exported, view
        # and the variation is one that was seen on that instant
        seen = {
            row[:5]
            for row in built.rows(
                engine, f"select {env_id}, {flag}, {user}, {variation}, {at} from {view}"
            )
        }
        assert {row[:5] for row in ours if row[0] == ENV} <= seen


@pytest.mark.parametrize("engine", ENGINES)
def test_opentelemetry_gets_every_evaluation_by_its_attributes(built: Built, engine: str) -> None:
    found = built.rows(
        engine,
        "select event_id, timestamp, observed_timestamp, event_name, attributes "
        "from opentelemetry_evaluations",
    )
    assert found == Counter(
        (
            one.event_id,
            one.at,
            AT.replace(tzinfo=None),
            "feature_flag.evaluation",
            (
                ("feature_flag.key", one.flag),
                ("feature_flag.result.variant", one.variation),
                ("feature_flag.context.id", one.user),
                ("feature_flag.provider.name", "featbit"),
                ("feature_flag.set.id", ENV),
            ),
        )
        for one in built.world.evaluations
        if one.env_id == ENV
    )


def pasted(tool: str) -> list[str]:
    """The statements of the tool's README, in their order."""
    text = (ROOT / "models/exports" / tool / "README.md").read_text(encoding="utf-8")
    return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)


def of_window(rows_: Counter[tuple[Any, ...]], at: int) -> Counter[tuple[Any, ...]]:
    return Counter({row: n for row, n in rows_.items() if FROM <= row[at] <= UNTIL})


def picked(rows_: Counter[tuple[Any, ...]], *places: int) -> Counter[tuple[Any, ...]]:
    found: Counter[tuple[Any, ...]] = Counter()
    for row, times in rows_.items():
        found[tuple(row[place] for place in places)] += times
    return found


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_pasted_into_growthbook(built: Built, engine: str) -> None:
    assignments, metrics, join = pasted("growthbook")
    assert assignments.count("'{{startDate}}' and '{{endDate}}'") == 1

    def asked(sql: str) -> Rows:
        window = {"{{startDate}}": f"{FROM}", "{{endDate}}": f"{UNTIL}"}
        for name, moment in window.items():
            sql = sql.replace(name, moment)
        return built.rows(engine, sql)

    right = of_window(built.world.assignments(), 1)
    assert 0 < right.total() < built.world.assignments().total()
    assert asked(assignments) == picked(right, 0, 1, 2, 3)
    assert asked(metrics) == picked(of_window(built.world.measured(), 1), 0, 1, 2, 3)
    assert asked(join) == Counter(IDENTITIES.items())


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_pasted_into_eppo(built: Built, engine: str) -> None:
    assignments, facts = pasted("eppo")
    assert built.rows(engine, assignments) == built.world.assignments()
    assert built.rows(engine, facts) == picked(built.world.measured(), 0, 1, 2, 3, 4)


@pytest.mark.parametrize("engine", ENGINES)
def test_what_is_pasted_into_statsig(built: Built, engine: str) -> None:
    exposures, metrics, with_company = pasted("statsig_whn")
    assert built.rows(engine, exposures) == picked(built.world.assignments(), 1, 0, 2, 3)
    assert built.rows(engine, metrics) == picked(built.world.measured(), 1, 0, 2, 3)
    units = Counter(
        {
            (at, user, IDENTITIES.get(user), flag, variation): times
            for (user, at, flag, variation, _), times in built.world.assignments().items()
        }
    )
    assert built.rows(engine, with_company) == units


def evaluations(world: World) -> Sequence[Evaluated]:
    return [one for one in world.evaluations if one.env_id == ENV]


@pytest.mark.parametrize("engine", ENGINES)
def test_attributes_of_opentelemetry_are_columns(built: Built, engine: str) -> None:
    _, by_column = pasted("opentelemetry")
    assert built.rows(engine, by_column) == Counter(
        (one.at, one.flag, one.variation) for one in evaluations(built.world)
    )


def test_evaluations_join_the_logs_of_a_collector_once(built: Built) -> None:
    insert, _ = pasted("opentelemetry")
    built.clickhouse(OTEL_LOGS)
    for _ in range(2):
        built.clickhouse(insert)
    found = built.rows(
        "clickhouse",
        "select Timestamp, ServiceName, Body, LogAttributes['event.name'], "
        "LogAttributes['log.record.uid'], LogAttributes['feature_flag.key'] from otel_logs",
    )
    named = "feature_flag.evaluation"
    assert found == Counter(
        (one.at, "featbit", named, named, one.event_id, one.flag)
        for one in evaluations(built.world)
    )
