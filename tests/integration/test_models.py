"""The models on a dirty stream: against plain Python, and what they do where something is wrong."""

import json
import subprocess
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest

from support.clickhouse.server import running as running_clickhouse
from support.clickhouse_target import client as clickhouse_client
from support.clickhouse_target import environment as clickhouse_environment
from support.clickhouse_target import rows
from support.command import FLAGMART, START, environment, flagmart
from support.dbt_project import ROOT, build, copy_project, query, run_dbt
from support.oracle import Expected, expect
from support.segment_server import BATCH_SCHEMA, running


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """6,000 lines of January 2026, a tenth of them with a fault."""
    out = tmp_path_factory.mktemp("stream") / "events.jsonl"
    options = (
        "--events 6000 --users 200 --flags 4 --days 30 --start 2026-01-01 --seed 7 --dirty 0.1"
    )
    flagmart("generate", *options.split(), "--out", str(out), data=out.parent)
    return out.read_bytes().splitlines()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, stream: list[bytes]) -> Path:
    """The stream ingested in one run and built, with all of dbt's own tests."""
    data = tmp_path_factory.mktemp("whole")
    source = data / "events.jsonl"
    source.write_bytes(b"\n".join(stream) + b"\n")
    flagmart("ingest", "files", str(source), data=data)
    ran = run_dbt("build", data=data)
    assert ran.returncode == 0, ran.stdout
    return data


@pytest.fixture(scope="module")
def expected(stream: list[bytes]) -> Expected:
    return expect(stream, START)


def test_every_line_is_accounted_for(whole: Path, expected: Expected) -> None:
    manifest = json.loads((whole / "landing/featbit_events/manifest.json").read_text())
    run = manifest["runs"][0]
    assert run["read"] == expected.read
    assert run["unreadable"] == expected.unreadable > 0
    assert run["equal_repeats"] + run["conflicting_repeats"] == expected.repeats > 0
    assert min(run["equal_repeats"], run["conflicting_repeats"]) > 0
    assert run["landed"] == expected.outcomes.total()


def test_outcomes_and_reasons(whole: Path, expected: Expected) -> None:
    outcomes = query(whole, "select outcome, count(*) from base_featbit__events group by outcome")
    assert dict(outcomes) == dict(expected.outcomes)
    reasons = query(
        whole,
        "select reject_reason, count(*) from stg_featbit__rejected_events group by reject_reason",
    )
    assert dict(reasons) == dict(expected.reasons)
    assert len(reasons) >= 4


def test_a_day_of_many_rejected_events_is_warned_of(whole: Path, expected: Expected) -> None:
    counted = query(
        whole,
        """
        select outcome, reject_reason, cast(sum(events) as bigint)
        from fct_event_quality group by all
        """,
    )
    outcomes: Counter[str] = Counter()
    for outcome, _, events in counted:
        outcomes[outcome] += events
    assert outcomes == expected.outcomes
    assert {why: events for _, why, events in counted if why} == dict(expected.reasons)

    share = expected.outcomes["rejected"] / expected.outcomes.total()
    for limit, status in ((share - 0.001, "warn"), (share + 0.001, "pass")):
        limits = json.dumps(
            {"flagmart_warn_rejected_share": limit, "flagmart_warn_mismatched_share": 1}
        )
        ran = run_dbt("test", "--select", "fct_event_quality", "--vars", limits, data=whole)
        assert ran.returncode == 0, ran.stdout
        results = json.loads((whole / "target/run_results.json").read_text())["results"]
        warned = {r["status"] for r in results if "many_events_were_rejected" in r["unique_id"]}
        assert warned == {status}


def test_counts_per_quarter_hour(whole: Path, expected: Expected) -> None:
    counts = query(
        whole,
        "select flag_key, variation_id, bucket_start_ms, evaluations from fct_evaluation_counts",
    )
    assert {row[:3]: row[3] for row in counts} == dict(expected.buckets)


def test_chart_points_have_no_gaps_and_add_up(whole: Path, expected: Expected) -> None:
    newest = max(bucket for _, _, bucket in expected.buckets) + 900_000
    since = newest - 30 * 86_400_000
    drawn: Counter[tuple[str, str, int]] = Counter()
    for (flag, variation, bucket), evaluations in expected.buckets.items():
        if bucket >= since:
            drawn[flag, variation, (bucket - since) // 86_400_000] += evaluations
    series = {(flag, variation) for flag, variation, _ in drawn}
    points = query(
        whole,
        """select flag_key, variation_id, interval_index, evaluations
        from fct_evaluation_chart_points where chart_name = 'last_month_by_day'""",
    )
    assert len(points) == len(series) * 30
    assert {row[:3]: row[3] for row in points} == {
        (flag, variation, day): drawn[flag, variation, day]
        for flag, variation in series
        for day in range(30)
    }


def test_every_accepted_event_reaches_every_destination_once_or_is_excluded(whole: Path) -> None:
    with running("key") as server:
        segment = {"SEGMENT_HOST": server.url, "SEGMENT_WRITE_KEY": "key"}
        flagmart("export", data=whole, env=segment)
        again = json.loads(flagmart("export", "--output", "json", data=whole, env=segment))
    assert {report["outcome"] for report in again} == {"nothing new"}

    accepted = dict(
        query(
            whole, "select event_id, env_id from base_featbit__events where outcome <> 'rejected'"
        )
    )
    excluded: dict[str, set[str]] = {"statsig_events": set(), "hackle_events": set()}
    for delivery, event_id in query(whole, "select delivery, event_id from fct_export_exclusions"):
        excluded[delivery].add(event_id)
    assert all(excluded.values())

    for request in server.requests:
        jsonschema.validate(json.loads(request.body), BATCH_SCHEMA)
    assert server.ids() == Counter(
        f"featbit:{env_id}:{event_id}:track" for event_id, env_id in accepted.items()
    )
    for delivery, files, column in (
        ("statsig_events", "statsig/events/*/*.parquet", "timeuuid"),
        ("hackle_events", "hackle/dt=*/*.parquet", "insert_id"),
    ):
        written = Counter(
            event_id
            for file in (whole / "exports").glob(files)
            for event_id in pq.read_table(file, columns=[column], partitioning=None)
            .column(column)
            .to_pylist()
        )
        assert written == Counter(accepted.keys() - excluded[delivery])
    maps = ("identifiers", "event_properties", "user_properties", "platform_properties")
    hackle = pq.read_table(next((whole / "exports").glob("hackle/dt=2026-01-1*/*.parquet")))
    for row in hackle.select(maps).to_pylist(maps_as_pydicts="strict"):
        assert row["identifiers"].keys() == {"id", "device_id", "user_id"}
        assert len(set(row["identifiers"].values())) == 1
        evaluation = {"env_id", "flag_key", "variation_id", "send_to_experiment"}
        metric = {"env_id", "type", "application_type", "route"}
        assert row["event_properties"].keys() in (evaluation, metric)
        assert row["user_properties"].keys() <= {"name"}
        assert row["platform_properties"] == {
            "osname": row["platform_properties"]["osname"],
            "version": "0.0.0",
            "versionname": "0.0.0",
            "appversion": "0.0.0",
        }
    accounts = json.loads(flagmart("status", "--output", "json", data=whole))["accounts"]
    assert len(accounts) == 6
    assert all(account["holds"] for account in accounts)


def test_a_second_environment_stops_the_exports_until_chosen(
    tmp_path: Path, stream: list[bytes]
) -> None:
    first = next(line for line in stream if b'"FlagValue"' in line)
    event = json.loads(first)
    event["properties"] = json.dumps(
        {**json.loads(event["properties"]), "variationId": "v", "userKeyId": "u"}
    )
    for number, env_id in enumerate(("production", "o'dev")):
        event |= {"uuid": f"00000000-0000-4000-8000-00000000000{number}", "env_id": env_id}
        event["timestamp"] = 1767225600000000
        source = tmp_path / f"{number}.jsonl"
        source.write_text(json.dumps(event) + "\n")
        flagmart("ingest", "files", str(source), data=tmp_path)
    ran = run_dbt("build", "--exclude-resource-type", "unit_test", data=tmp_path)
    assert ran.returncode == 1
    assert "set_the_var_flagmart_env_ids_to_environments_that_have_landed" in ran.stdout
    assert query(tmp_path, "select count(*) from int_exports__environments where is_exported") == [
        (0,)
    ]
    run_dbt("compile", data=tmp_path)  # writes dbt's artifacts anew, as if nothing had failed
    exported = subprocess.run(
        [FLAGMART, "export", "statsig_events"],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert exported.returncode == 1
    assert "set_the_var_flagmart_env_ids_to_environments_that_have_landed" in exported.stderr

    for wrong, said in (
        (["prodcution"], "set_the_var_flagmart_env_ids_to_environments_that_have_landed"),
        ("production", "the var flagmart_env_ids is a list, for example [production]"),
    ):
        chosen = json.dumps({"flagmart_env_ids": wrong})
        ran = run_dbt(
            "build", "--select", "int_exports__environments", "--vars", chosen, data=tmp_path
        )
        assert ran.returncode != 0
        assert said in ran.stdout
    chosen = json.dumps({"flagmart_env_ids": ["o'dev"]})
    ran = run_dbt("build", "--exclude-resource-type", "unit_test", "--vars", chosen, data=tmp_path)
    assert ran.returncode == 0, ran.stdout
    for relation, column in (
        ("statsig_events", "timeuuid"),
        ("hackle_events", "insert_id"),
        ("segment_tracks", "event_id"),
    ):
        assert query(tmp_path, f"select {column} from {relation}") == [
            ("00000000-0000-4000-8000-000000000001",)
        ]


BAD_CHARTS = {
    "no_zone": ("2026-01-01,2026-01-02,Mars/Olympus,1h,fixed", "timezone"),
    "no_unit": ("2026-01-01,2026-01-02,,60,", "interval is"),
    "negative": ("2026-01-01,2026-01-02,,-1h,", "interval is"),
    "zero": ("2026-01-01,2026-01-02,,0h,", "interval is"),
    "no_interval": ("2026-01-01,2026-01-02,,,", "interval is"),
    "backwards": ("2026-01-02,2026-01-01,,1h,", "starts_at lies after"),
    "no_time": ("yesterday,2026-01-01,,1h,", "starts_at is a time"),
    "no_such_day": ("2026-02-30,2026-04-01,,1h,", "starts_at is a time"),
    "no_start": (",2026-01-01,,1h,", "starts_at is a time"),
    "no_end": ("2026-01-01,soon,,1h,", "ends_at is a time"),
    "no_way_back": ("-30x,2026-01-01,,1h,", "starts_at goes back"),
    "months_back": ("-1mo,2026-01-01,,1d,fixed", "starts_at goes back by months"),
    "hours_back": ("-24h,2026-01-01,,1d,calendar", "starts_at goes back by d, w or mo"),
    "far_back": ("-99999999mo,2026-01-01,,1mo,calendar", "not before 2000"),
    "no_alignment": ("2026-01-01,2026-01-02,,1h,loose", "alignment is"),
    "calendar_hours": ("2026-01-01,2026-01-02,,1h,calendar", "alignment calendar"),
    "calendar_minutes": ("2026-01-01,2026-01-02,,15m,calendar", "alignment calendar"),
    "fixed_months": ("2026-01-01,2026-04-01,,1mo,fixed", "alignment calendar"),
    "too_early": ("1999-12-31,2026-01-01,,1d,", "not before 2000"),
    "year_one": ("0001-01-01,2026-01-01,,1d,calendar", "starts_at"),
    "too_late": ("2026-01-01,2038-01-02,,1d,", "not after 2038"),
    "year_9999": ("2026-01-01,9999-12-31 23:59:59,,1mo,calendar", "ends_at"),
    "endless": ("2000-01-01,2037-01-01,,1m,", "at most 100000 intervals"),
    "twice": ("2026-01-01,2026-01-02,,1h,", "one row only"),
}
"""The rest of its row, and what the mend must say."""


@pytest.mark.parametrize("engine", ["duckdb", "clickhouse"])
def test_charts_that_cannot_be_drawn_are_named_and_spoil_no_other(
    tmp_path: Path, engine: str
) -> None:
    project = copy_project(tmp_path)
    fine = "fine,,,2026-01-01 00:00,2026-01-02 00:00,Asia/Kathmandu,99999999w,calendar\n"
    bad = "".join(f"{name},,,{row}\n" for name, (row, _) in BAD_CHARTS.items())
    (project / "seeds/evaluation_charts.csv").write_text(
        "chart_name,env_id,flag_key,starts_at,ends_at,timezone,interval,alignment\n"
        f"{fine}{bad}twice,,,2026-01-01,2026-01-02,,1h,\n,,,2026-01-01,2026-01-02,,1h,\n"
    )
    data = tmp_path / "data"
    data.mkdir()
    with ExitStack() as stack:
        env = None
        if engine == "clickhouse":
            address = stack.enter_context(running_clickhouse(tmp_path / "clickhouse"))
            env = clickhouse_environment(address, "bad_charts")
        ran = run_dbt(
            *("build", "--exclude-resource-type", "unit_test"), data=data, project=project, env=env
        )
        assert ran.returncode == 1
        assert ran.stdout.count(" FAIL ") == 1, ran.stdout
        assert "charts_can_be_drawn" in ran.stdout
        assert " ERROR " not in ran.stdout, ran.stdout
        assert " SKIP " not in ran.stdout, ran.stdout
        wanted = "select chart_name, mend from {}int_evaluation_charts where mend is not null"
        edges = "select chart_name, is_partial from {}int_evaluation_chart_edges"
        if env is None:
            named, drawn = query(data, wanted.format("")), query(data, edges.format(""))
        else:
            client = stack.enter_context(clickhouse_client(address))
            named = rows(client, wanted.format("bad_charts."))
            drawn = rows(client, edges.format("bad_charts."))
    assert {name for name, _ in named} == {*BAD_CHARTS, ""}
    for name, mend in named:
        assert BAD_CHARTS.get(name, ("", "chart_name is blank"))[1] in mend, name
    assert drawn == [("fine", True)]


BREAKS = {
    # a row lost on the way to a delivery
    "models/exports/segment/segment_tracks.sql": (
        "where exclusion_reason is null",
        "where exclusion_reason is null and event_id not like 'a%'",
    ),
    # a value that is promised and not there
    "models/exports/statsig/statsig_events.sql": (
        "event_value,",
        "nullif(event_value, '1') as event_value,",
    ),
    # a character for which Statsig drops the event
    "macros/exports/statsig_forbids.sql": ("\"'|'\",", ""),
    # a metric of an id type that the project does not have, and one with two numbers too many
    "seeds/statsig_metric_definitions.csv": (
        "daily_active,,user_id,active_day,,\n",
        "daily_active,,User_id,active_day,,\nevents,,user_id,count,,\n",
    ),
    "models/exports/statsig/statsig_metrics.sql": (
        '("denominator_sum") }} as denominator',
        '("metric_value_sum") }} as denominator',
    ),
    # a zone that nobody knows
    "models/exports/hackle/hackle_events.yml": (
        "var_name: flagmart_hackle_timezone",
        "var_name: flagmart_hackle_identifiers",
    ),
    # a row that stands there twice
    "models/marts/evaluations/fct_evaluation_counts.sql": (
        "from counted\norder by",
        "from (select * from counted union all select * from counted)\norder by",
    ),
    # a rejected event without a reason
    "models/staging/featbit/base/base_featbit__events.sql": (
        'few_values("found_reject_reason")',
        """few_values("nullif(found_reject_reason, 'missing_user_key')")""",
    ),
    # accepted events that no view shows
    "models/staging/featbit/stg_featbit__metric_events.sql": (
        "where outcome = 'metric'",
        "where outcome = 'metric' and event = 'CustomEvent'",
    ),
}


def test_every_kind_of_dbt_test_fails_on_the_fault_it_is_there_for(
    whole: Path, tmp_path: Path
) -> None:
    project = copy_project(tmp_path)
    for name, (right, wrong) in BREAKS.items():
        model = project / name
        assert model.read_text().count(right) == 1
        model.write_text(model.read_text().replace(right, wrong))
    data = tmp_path / "data"
    (data / "landing").mkdir(parents=True)
    (data / "landing/featbit_events").symlink_to(whole / "landing/featbit_events")
    build(data=data, project=project)
    ran = run_dbt("test", "--exclude-resource-type", "unit_test", data=data, project=project)
    results = json.loads((data / "target/run_results.json").read_text())["results"]
    failed = {result["unique_id"].split(".")[2] for result in results if result["status"] == "fail"}
    assert ran.returncode == 1
    assert {name.partition("_statsig_events")[0] for name in failed} == {
        "accepted_events_are_exported_or_excluded_segment_tracks",
        "assert_chart_points_add_up",
        "assert_every_evaluation_is_counted",
        "assert_landed_events_are_all_judged",
        "flagmart_hackle_timezone_is_known",
        "statsig_metrics_are_sound_statsig_metrics_ref_int_statsig__metric_definitions_",
        "statsig_takes_events",
        "statsig_takes_metrics_statsig_metrics_",
        "never_null",
        "never_null_stg_featbit__rejected_events_event_id__env_id__reject_reason",
        "one_reason_for_each_rejected_event_base_featbit__events_",
        "unique_together_fct_evaluation_counts_source__env_id__flag_key__variation_id"
        "__bucket_start_ms",
    }
