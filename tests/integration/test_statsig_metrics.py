"""Metrics, days and settings of file exports on both engines, as plain Python has them."""

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment
from support.command import flagmart
from support.dbt_project import build, copy_project, query
from support.landed import ENV, event, lines
from support.relations import Rows, different, on_clickhouse, on_duckdb

PACIFIC = ZoneInfo("America/Los_Angeles")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
AT = datetime(2026, 4, 1, 12, tzinfo=UTC)
SEED = """\
metric_name,event_name,id_type,kind,numerator,denominator
daily_active,,user_id,active_day,,
bought,,user_id,sum,,
purchases,purchase,user_id,count,,
revenue,purchase,user_id,sum,,
buyer,purchase,stable_id,active_day,,
searches,search,user_id,count,,
evaluations,featbit_flag_evaluation,user_id,count,,
basket,,user_id,ratio,revenue,purchases
per_euro,,user_id,ratio,searches,revenue
purchases per search,,user_id,ratio,purchases,searches
by_team,purchase,team,count,,
team_active,,team,active_day,,
{faults}"""
IDENTITIES = """\
user_key,id_type,unit_id
u1,team,reds
u2,team,reds
u3,team,blues
u 4,device_id,d4
"""
TEAMS = {"u1": "reds", "u2": "reds", "u3": "blues"}
FAULTS = {
    f"{'n' * 128},purchase,user_id,count,,": "128 characters or more",
    "a|b,purchase,user_id,count,,": "which Statsig drops",
    "of_no_kind,purchase,user_id,median,,": "none of count, sum, active_day, ratio",
    "other_case,purchase,User_ID,count,,": "flagmart_statsig_id_types (case counts)",
    "twice,purchase,user_id,count,,": "more than one row",
    "twice,search,user_id,count,,": "more than one row",
    ",search,user_id,count,,": "metric_name is blank",
    "above,,user_id,ratio,nothing,purchases": "numerator is not",
    "beneath,,user_id,ratio,purchases,basket": "denominator is not",
    "other_unit,,user_id,ratio,buyer,purchases": "numerator is not",
    "named,purchase,user_id,ratio,revenue,purchases": "no event_name of its own",
    "plain,purchase,user_id,count,revenue,": "are for kind ratio",
}
VARS = {
    "flagmart_statsig_timezone": "America/Los_Angeles",
    "flagmart_hackle_timezone": "Asia/Seoul",
    "flagmart_hackle_identifiers": "json",
    "flagmart_hackle_properties": {"Account": "account_id", "ROUTE": "tag_3", "Route": "tag_2"},
    "flagmart_statsig_id_types": ["user_id", "stable_id"],
    "flagmart_statsig_kinds": ["evaluations"],
    "flagmart_statsig_flags": ["it's", "f1"],
    "flagmart_statsig_metadata_characters": 200,
}
RELATIONS = (
    "statsig_events",
    "statsig_metrics",
    "statsig_signals",
    "hackle_events",
    "int_hackle__events",
    "int_statsig__metric_definitions",
    "int_statsig__metric_parts",
    "fct_export_exclusions",
)


@dataclass
class Day:
    """What a unit did on one day."""

    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    sums: dict[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """The events of the tests, and what must become of them."""

    lines: list[dict[str, Any]]
    days: dict[tuple[str, date], Day]
    beyond: int
    """Events whose value is out of a sum's range."""
    blank: int
    """Events of a unit that is blank."""


def decimal_of(value: float) -> Decimal:
    """To the millionth, as the models round: the whole exactly, then the fraction as a float."""
    whole = int(value)
    fraction = Decimal(abs(value - whole) * 1e6).quantize(Decimal(1), ROUND_HALF_UP)
    return whole + (-1 if value < 0 else 1) * fraction / Decimal(1_000_000)


def made_events() -> Made:
    """Users around the hours in which days and clocks change, with values hard to add up."""
    chance = random.Random(5)
    # midnight by UTC-8 and by California's clocks, the hour that is skipped, the end of a quarter
    moments = [
        datetime(2026, 3, day, hour, minute, second, 999_999, tzinfo=UTC)
        for day in (7, 8, 9, 31)
        for hour in (6, 7, 8, 9, 10)
        for minute, second in ((0, 0), (59, 59))
    ]
    days: dict[tuple[str, date], Day] = defaultdict(Day)
    written, beyond, blank = [], 0, 0
    for number in range(1500):
        at = chance.choice(moments)
        user = chance.choice(["u1", "u2", "u3", "u 4", " "])
        name = chance.choice(["purchase", "purchase", "search", "featbit_flag_evaluation"])
        value: float | None = None
        properties: dict[str, Any] = {"envId": ENV, "accountId": chance.choice(["", "acc"])}
        if name == "featbit_flag_evaluation":
            flag = chance.choice(["f1", "it's", "other", "long-" + 200 * "x"])
            properties |= {"featureFlagKey": flag, "userKeyId": user, "variationId": "v"}
            kind = "FlagValue"
        else:
            value = chance.choice(
                [
                    None,
                    0.1,
                    -0.3,
                    0.0000005,
                    592.9754365,
                    123456789012.345678,
                    9.99999999999999e14,
                    1e15,
                    -1e17,
                    float(chance.randint(-9, 9)),
                ]
            )
            properties |= {
                "eventName": name,
                "numericValue": value,
                "user": {"keyId": user, "name": None},
                "route": chance.choice(["", "/r"]),
                "tag_2": chance.choice(["", "second"]),
                "tag_3": chance.choice(["", "third"]),
            }
            kind = "CustomEvent"
        written.append(
            event(
                number,
                event=kind,
                distinct_id=name,
                timestamp=(at - EPOCH) // timedelta(microseconds=1),
                properties=json.dumps(properties),
            )
        )
        if user == " ":
            blank += 1
            continue
        day = days[user, at.astimezone(PACIFIC).date()]
        for counted in (name, ""):
            day.counts[counted] += 1
            if value is not None and abs(value) < 1e15:
                day.sums[counted] = day.sums.get(counted, Decimal(0)) + decimal_of(value)
        beyond += value is not None and abs(value) >= 1e15
    return Made(written, days, beyond, blank)


def expected_metrics(days: dict[tuple[str, date], Day]) -> set[tuple[Any, ...]]:
    """(unit, id type, date, metric, value, numerator, denominator)."""
    found: set[tuple[Any, ...]] = set()
    for (user, on), day in days.items():
        revenue = day.sums.get("purchase")
        purchases, searches = day.counts["purchase"], day.counts["search"]
        plain = {
            "daily_active": 1,
            "bought": day.sums.get(""),
            "purchases": purchases or None,
            "revenue": revenue,
            "searches": searches or None,
            "evaluations": day.counts["featbit_flag_evaluation"] or None,
        }
        ratios = {
            "basket": (revenue, purchases),
            "per_euro": (searches, revenue),
            "purchases per search": (purchases, searches),
        }
        for name, value in plain.items():
            if value is not None:
                found.add((user, "user_id", on.isoformat(), name, float(value), None, None))
        if purchases:
            found.add((user, "stable_id", on.isoformat(), "buyer", 1.0, None, None))
        for name, (above, beneath) in ratios.items():
            if beneath:
                numbers = (float(above or 0), float(beneath))
                found.add((user, "user_id", on.isoformat(), name, None, *numbers))
    by_team: dict[tuple[str, date], int] = defaultdict(int)
    for (user, on), day in days.items():
        if user in TEAMS:
            by_team[TEAMS[user], on] += day.counts["purchase"]
    for (team, on), purchases in by_team.items():
        found.add((team, "team", on.isoformat(), "team_active", 1.0, None, None))
        if purchases:
            found.add((team, "team", on.isoformat(), "by_team", float(purchases), None, None))
    return found


@pytest.fixture(scope="module")
def made() -> Made:
    return made_events()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, made: Made) -> Path:
    """The data folder, built with every setting away from its default."""
    folder = tmp_path_factory.mktemp("metrics")
    project = copy_project(folder)
    faults = "".join(f"{row}\n" for row in FAULTS)
    (project / "seeds/statsig_metric_definitions.csv").write_text(SEED.format(faults=faults))
    (project / "seeds/user_identity.csv").write_text(IDENTITIES)
    source = folder / "events.jsonl"
    source.write_text(lines(*made.lines), encoding="utf-8")
    data = folder / "data"
    flagmart("ingest", "files", str(source), data=data, at=AT)
    build(*SELECTED, data=data, project=project)
    return data


SELECTED = (
    *("--vars", json.dumps(VARS)),
    *("--select", "+statsig_signals", "+hackle_events", "+fct_export_exclusions"),
)


def test_metrics_are_what_the_events_say(built: Path, made: Made) -> None:
    found = query(
        built,
        "select unit_id, id_type, date, metric_name, metric_value, numerator, denominator "
        "from statsig_metrics",
    )
    assert len(found) == len(set(found))
    assert set(found) == expected_metrics(made.days)
    assert {day.day for _, day in made.days} >= {6, 7, 8, 9}
    out = dict(
        query(
            built,
            "select reason, count(*) from fct_export_exclusions "
            "where delivery = 'statsig_metrics' group by all",
        )
    )
    assert out == {"metric_value_out_of_range": made.beyond, "unit_is_blank": made.blank}
    named = query(built, "select count(*) from int_statsig__metric_definitions where mend is null")
    assert named == [(12,)]


def test_every_bad_row_of_the_seed_has_its_mend(built: Path) -> None:
    mends = query(built, "select metric_name, mend from int_statsig__metric_definitions")
    for row, words in FAULTS.items():
        name = row.partition(",")[0]
        assert all(words in mend for found, mend in mends if found == name), row
    assert len([mend for _, mend in mends if mend is not None]) == len(FAULTS)


def test_signals_name_every_day_that_is_over(built: Path) -> None:
    found = query(
        built, "select finished_date, events, metrics from statsig_signals order by finished_date"
    )
    first = min(date.fromisoformat(row[0]) for row in found)
    assert [row[0] for row in found] == [
        (first + timedelta(days=n)).isoformat() for n in range((date(2026, 4, 1) - first).days)
    ]
    for relation, place in (("statsig_events", 1), ("statsig_metrics", 2)):
        counted = query(
            built, f"select partition_on::varchar, count(*) from {relation} group by all"
        )
        assert {row[0]: row[place] for row in found if row[place]} == dict(counted)
    assert [row[1:] for row in found if row[0] == "2026-03-20"] == [(0, 0)]
    for day, ends_at in query(built, "select partition_on, ends_at from statsig_signals"):
        midnight = datetime.combine(day + timedelta(days=1), datetime.min.time(), PACIFIC)
        assert ends_at == midnight.timestamp()


def test_exposures_hand_on_where_their_days_end(built: Path) -> None:
    manifest = json.loads((built / "target/manifest.json").read_text(encoding="utf-8"))
    zones = {
        exposure["name"]: exposure["config"]["meta"]["flagmart"].get("timezone")
        for exposure in manifest["exposures"].values()
    }
    assert {name: zone for name, zone in zones.items() if zone} == {
        "hackle_events": VARS["flagmart_hackle_timezone"],
        "statsig_events": VARS["flagmart_statsig_timezone"],
        "statsig_metrics": VARS["flagmart_statsig_timezone"],
    }


def test_settings_choose_what_leaves_and_in_what_form(built: Path) -> None:
    flags = query(built, "select distinct event_metadata->>'flag_key' from statsig_events")
    assert sorted(flags) == [("f1",), ("it's",)]
    reasons = query(
        built,
        "select distinct reason from fct_export_exclusions where delivery = 'statsig_events'",
    )
    assert sorted(reasons) == [("flag_not_chosen",), ("kind_not_chosen",), ("unit_is_blank",)]
    for wrong in query(
        built,
        "select ts, partition_on from hackle_events "
        "where partition_on <> (ts + interval 9 hour)::date",
    ):
        raise AssertionError(wrong)
    identifiers = query(built, "select distinct identifiers from hackle_events order by 1 limit 1")
    assert identifiers == [('{"id":"u 4","device_id":"d4","user_id":"u 4"}',)]


def test_keys_that_collide_keep_the_first_and_count_the_rest(built: Path) -> None:
    found = query(
        built,
        "select shaped.event_properties['route'], shaped.event_properties['account'], "
        "shaped.key_collisions, events.route, events.tag_3, events.tag_2, events.account_id "
        "from int_hackle__events as shaped "
        "inner join int_exports__events as events using (event_id)",
    )
    assert {row[2] for row in found} == {0, 1, 2}
    for route, account, collisions, *given, account_id in found:
        filled = [text for text in given if text]
        assert route == (filled[0] if filled else None)
        assert collisions == max(len(filled) - 1, 0)
        assert account == (account_id or None)


def test_the_files_have_every_declared_column(built: Path) -> None:
    names = ("statsig_metrics", "hackle_events")
    flagmart("export", *names, "--project-dir", str(built.parent), data=built)
    for file in (built / "exports/statsig/metrics").glob("*/*.parquet"):
        schema = pq.read_schema(file)
        assert [(f.name, str(f.type), f.nullable) for f in schema] == [
            *((name, "string", False) for name in ("unit_id", "id_type", "date", "metric_name")),
            *((name, "double", True) for name in ("metric_value", "numerator", "denominator")),
        ]
        assert set(pq.read_table(file)["date"].to_pylist()) == {file.parent.name}
    assert sum(
        pq.read_metadata(file).num_rows
        for file in (built / "exports/statsig/metrics").glob("*/*.parquet")
    ) == sum(on_duckdb(built, ["statsig_metrics"])["statsig_metrics"].values())
    files = list((built / "exports/hackle").glob("dt=*/*.parquet"))
    assert files
    assert {str(pq.read_schema(file).field("identifiers").type) for file in files} == {"string"}
    again = json.loads(
        flagmart(
            *("export", *names, "--project-dir", str(built.parent), "--output", "json"), data=built
        )
    )
    assert [report["outcome"] for report in again] == ["nothing new", "nothing new"]


def test_both_engines_give_the_same(built: Path, tmp_path: Path) -> None:
    with running(tmp_path / "clickhouse") as address, client_of(address) as client:
        env = environment(address, "metrics")
        source = built.parent / "events.jsonl"
        flagmart("ingest", "files", str(source), data=built, at=AT, env=env)
        build(*SELECTED, data=built, project=built.parent, env=env)
        ours: dict[str, Rows] = on_duckdb(built, RELATIONS)
        assert different(ours, on_clickhouse(built, client, "metrics", RELATIONS)) == {}
        assert all(ours.values())
