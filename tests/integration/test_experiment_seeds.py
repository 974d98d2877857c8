"""Faulty rows of the seeds of experiments: dbt names each and its mend, on both engines."""

import json
import re
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.clickhouse.server import running
from support.clickhouse_target import client as client_of
from support.clickhouse_target import environment, rows
from support.command import flagmart
from support.dbt_project import copy_project, query, run_dbt
from support.landed import ENV, event, lines

HEAD = (
    "experiment_key,env_id,flag_key,metric_event,aggregation,success,baseline_variation_id,"
    "starts_at,ends_at,expected_shares,id_type\n"
)
SOUND = {
    "env_id": ENV,
    "flag_key": "f",
    "metric_event": "buy",
    "aggregation": "once",
    "success": "higher",
    "baseline_variation_id": "a",
    "starts_at": "2026-01-01",
    "ends_at": "2026-02-01",
    "expected_shares": "",
    "id_type": "",
}
NO_LIST = (
    "expected_shares is no list like var_a:0.5|var_b:0.5 with shares above 0; blank means equal"
)
NO_TIME = "is no UTC time like 2026-01-31 or 2026-01-31 00:00"
FAULTS: dict[str, tuple[dict[str, str], str]] = {
    "no_env": ({"env_id": ""}, "env_id is blank; name the environment"),
    "no_flag": ({"flag_key": ""}, "flag_key is blank; name the flag"),
    "no_metric": ({"metric_event": ""}, "metric_event is blank; name the metric event"),
    "no_aggregation": ({"aggregation": ""}, "aggregation is none of once, count, sum, average"),
    "median": ({"aggregation": "median"}, "aggregation is none of once, count, sum, average"),
    "upper_case": ({"aggregation": "Once"}, "aggregation is none of once, count, sum, average"),
    "more": ({"success": "more"}, "success is none of higher, lower"),
    "no_baseline": (
        {"baseline_variation_id": ""},
        "baseline_variation_id is blank; name the variation to compare with",
    ),
    "no_start": (
        {"starts_at": ""},
        f"starts_at {NO_TIME}",
    ),
    "no_such_day": (
        {"starts_at": "2026-02-30"},
        f"starts_at {NO_TIME}",
    ),
    "someday": (
        {"ends_at": "soon"},
        f"ends_at {NO_TIME}; blank: still running",
    ),
    "backwards": ({"ends_at": "2025-12-31"}, "starts_at is not before ends_at"),
    "no_window": ({"ends_at": "2026-01-01"}, "starts_at is not before ends_at"),
    "halves": (
        {"expected_shares": "half|half"},
        NO_LIST,
    ),
    "nothing": (
        {"expected_shares": "a:1|b:0"},
        NO_LIST,
    ),
    "nameless": (
        {"expected_shares": "a:0.5|:0.5"},
        NO_LIST,
    ),
    "share_twice": (
        {"expected_shares": "a:0.5|a:0.5"},
        "expected_shares names a variation twice",
    ),
    "stranger": (
        {"expected_shares": "b:0.5|c:0.5"},
        "expected_shares does not name the baseline_variation_id",
    ),
    "too_little": ({"expected_shares": "a:0.5|b:0.4"}, "expected_shares do not add up to 1"),
    "no_such_unit": (
        {"id_type": "Account"},
        "id_type is in no row of the seed user_identity (case counts); mend it, or leave it blank",
    ),
    "twice": ({}, "experiment_key stands in more than one row; give each row a key of its own"),
    "": ({}, "experiment_key is blank; name the experiment"),
}
"""By key: what of a sound row is changed, and the mend."""
IDENTITIES = "user_key,id_type,unit_id\nu1,account,acc2\nu1,account,acc1\nu2,account,acc2\n"


def row(key: str, changes: dict[str, str]) -> str:
    return ",".join((key, *{**SOUND, **changes}.values())) + "\n"


@pytest.mark.parametrize("engine", ["duckdb", "clickhouse"])
def test_each_fault_is_named_with_its_mend_and_spoils_no_other(tmp_path: Path, engine: str) -> None:
    project = copy_project(tmp_path)
    (project / "seeds/experiments.csv").write_text(
        HEAD
        + row("sound", {"expected_shares": "a:0.5|b:0.5"})
        + row("by_account", {"ends_at": "", "id_type": "account"})
        + "".join(row(key, changes) for key, (changes, _) in FAULTS.items())
        + row("twice", {"metric_event": "see"})
    )
    (project / "seeds/user_identity.csv").write_text(IDENTITIES)
    data = tmp_path / "data"
    data.mkdir()
    source = tmp_path / "events.jsonl"
    source.write_text(
        lines(
            *(
                event(
                    number,
                    timestamp=1_767_312_000_000_000,
                    properties=json.dumps(
                        {"featureFlagKey": "f", "userKeyId": user, "variationId": variation}
                    ),
                )
                for number, (user, variation) in enumerate((("u1", "a"), ("u2", "b")))
            )
        )
    )
    select = (
        "select experiment_key, variation_id, users from {}fct_experiment_results order by 1, 2"
    )
    with ExitStack() as stack:
        env = None
        if engine == "clickhouse":
            address = stack.enter_context(running(tmp_path / "clickhouse"))
            env = environment(address, "faults")
        at = datetime(2026, 2, 1, tzinfo=UTC)
        flagmart("ingest", "files", str(source), data=data, at=at, env=env)
        ran = run_dbt(
            # of tests, those of what is built here
            *("build", "--exclude-resource-type", "unit_test", "--indirect-selection", "cautious"),
            *("--select", "+int_user_units", "+fct_experiment_results"),
            data=data,
            project=project,
            env=env,
        )
        if env is None:
            found = query(data, select.format(""))
        else:
            found = rows(stack.enter_context(client_of(address)), select.format("faults."))
    said = {re.sub(r"^[0-9:]+ +", "", line) for line in ran.stdout.splitlines()}
    assert {line for line in said if line.startswith("seed experiments, ")} == {
        f"seed experiments, {key}: {mend}" for key, (_, mend) in FAULTS.items()
    }
    assert {line for line in said if line.startswith("seed user_identity, ")} == {
        "seed user_identity, u1: several units of the type account, of which acc1 counts; "
        "leave one row of them"
    }
    assert ran.returncode == 1
    [failed] = re.findall(r" FAIL ([0-9]+) (\w+)", ran.stdout)
    assert failed[0] == str(len(FAULTS) + 1), ran.stdout
    assert failed[1].startswith("experiments_are_sound")
    [warned] = re.findall(r" WARN 1 (\w+)", ran.stdout)
    assert warned.startswith("each_user_has_one_unit")
    assert " ERROR " not in ran.stdout, ran.stdout
    assert " SKIP " not in ran.stdout, ran.stdout
    assert found == [
        ("by_account", "a", 1),
        ("by_account", "b", 1),
        ("sound", "a", 1),
        ("sound", "b", 1),
    ]
