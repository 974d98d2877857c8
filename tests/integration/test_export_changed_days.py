"""Days of Statsig that change after it took them up: what it does, and what a person must."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from flagmart.destinations import LAYOUTS, statsig
from flagmart.destinations.days import day_in
from flagmart.destinations.settings import Settings
from flagmart.destinations.statsig import Does
from support.export_project import META
from support.statsig_project import DATASETS, EVENTS, StatsigProject

if TYPE_CHECKING:
    from pathlib import Path

NOON = "2026-03-{}T20:00:00+00:00"
"""Noon at Statsig."""


@pytest.fixture
def project(tmp_path: Path) -> StatsigProject:
    """All is delivered, and the 1st to the 4th are finished, on the 5th."""
    made = StatsigProject(tmp_path).made()
    made.land()
    made.env["FLAGMART_NOW"] = NOON.format("05")
    made.export()
    return made


def changed(project: StatsigProject) -> list[dict[str, Any]]:
    done = project.call("status", "--output", "json", *DATASETS)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["changed"]
    return [day for day in found if day["delivery"] == "statsig_events"]


def verdicts(project: StatsigProject) -> dict[str, str]:
    return {day["day"]: day["statsig"] for day in changed(project)}


@pytest.mark.parametrize(
    ("day", "before", "rows", "at", "does"),
    [
        (1, 100, 106, "04", Does.RELOADS),
        (1, 100, 105, "04", Does.TOO_SMALL),
        (1, 100, 100, "04", Does.TOO_SMALL),
        (1, 100, 50, "04", Does.TOO_SMALL),
        (1, 0, 1, "04", Does.RELOADS),
        (1, 100, 200, "05", Does.TOO_OLD),
        (1, 0, 1, "05", Does.TOO_OLD),
    ],
)
def test_the_rule(day: int, before: int, rows: int, at: str, does: Does) -> None:
    on = date(2026, 3, int(at))
    assert statsig.judge(date(2026, 3, day), before, rows, on).does is does


@pytest.mark.parametrize(
    ("timezone", "ends"),
    [
        (None, {1: 8, 7: 8}),
        ("UTC-8", {1: 8, 7: 8}),
        ("America/Los_Angeles", {1: 8, 7: 7}),
        ("UTC", {1: 0, 7: 0}),
    ],
)
def test_statsig_days_end_at_eight_utc_all_year_or_where_the_zone_says(
    timezone: str | None, ends: dict[int, int]
) -> None:
    said = {} if timezone is None else {"timezone": timezone}
    where = LAYOUTS["statsig"](Settings("x", {"dataset": "events", **said})).zone
    for month, hour in ends.items():
        end = datetime(2026, month, 5, hour, tzinfo=UTC)
        assert day_in(where, end - timedelta(minutes=1)) == date(2026, month, 4)
        assert day_in(where, end) == date(2026, month, 5)


def test_todays_day_is_that_of_the_zone(project: StatsigProject) -> None:
    """At seven in the morning UTC, UTC-8 is still at the day before."""
    project.add(rows=50, first_day="2026-03-01", prefix="late")
    project.env["FLAGMART_NOW"] = "2026-03-05T07:00:00+00:00"
    assert verdicts(project) == {"2026-03-01": "reloads it by itself"}
    zoned = {**EVENTS, "timezone": "Europe/Lisbon"}
    project.built({"statsig_events": zoned})
    assert verdicts(project) == {"2026-03-01": "leaves it: too old"}
    # and so it is judged as it comes there, and kept
    project.export("statsig_events")
    assert verdicts(project) == {"2026-03-01": "leaves it: too old"}


def test_each_changed_day_has_its_verdict_before_and_after_it_is_delivered(
    project: StatsigProject,
) -> None:
    assert changed(project) == []
    for day, rows in ((1, 50), (2, 5), (3, 6)):
        project.add(rows=rows, first_day=f"2026-03-0{day}", prefix=f"late{day}")
    expected = {
        "2026-03-01": "leaves it: too old",
        "2026-03-02": "leaves it: too small a change",
        "2026-03-03": "reloads it by itself",
    }
    assert verdicts(project) == expected
    assert {(day["delivered"], day["billed"]) for day in changed(project)} == {(False, True)}
    assert project.export(*DATASETS)[0]["parts"] == 3
    assert verdicts(project) == expected
    # what counts is when the change came there
    project.env["FLAGMART_NOW"] = NOON.format("06")
    assert verdicts(project) == expected
    first, second, third = changed(project)
    assert (first["taken"], first["rows"], first["delivered"]) == (100, 150, True)
    assert first["rule"] == "grew by 50.0 % when 4 days old; it looks back 3 days"
    assert second["rule"] == "grew by 5.0 %; it reloads above 5 % more rows"
    assert second["you"].startswith("export it with --backfill 2026-03-02..2026-03-02")
    assert third["rule"] == "grew by 6.0 %, more than 5 %, within 3 days"
    assert third["you"] == ""
    table = project.call("status", "statsig_events").stdout
    assert "leaves it: too old" in table
    assert "(billed)" in table
    # by then it has reloaded; the others wait for a person
    project.env["FLAGMART_NOW"] = NOON.format("07")
    assert list(verdicts(project)) == ["2026-03-01", "2026-03-02"]


def test_small_changes_add_up_until_one_is_reloaded(project: StatsigProject) -> None:
    for number, verdict in ((1, "small"), (2, "reloads"), (3, "small")):
        project.add(rows=4, first_day="2026-03-03", prefix=f"late{number}")
        project.export("statsig_events")
        assert verdict in verdicts(project)["2026-03-03"]


def test_a_day_that_is_not_finished_comes_as_it_is(project: StatsigProject) -> None:
    project.add(rows=10, first_day="2026-03-05", prefix="next", run="2026-03-06 00:00:00")
    project.export(*DATASETS)
    project.env["FLAGMART_NOW"] = NOON.format("06")
    project.add(rows=1, first_day="2026-03-05", prefix="late", run="2026-03-06 00:00:01")
    project.export(*DATASETS)
    (day,) = changed(project)
    assert (day["statsig"], day["rule"], day["billed"]) == (
        "takes it up as it is once it is finished",
        "finished days end with 2026-03-04",
        False,
    )
    project.export("statsig_signals")
    assert changed(project) == []


def test_the_first_rows_of_a_finished_day_are_a_change(project: StatsigProject) -> None:
    project.add(rows=3, first_day="2026-03-04", prefix="late")
    project.add(rows=3, first_day="2026-02-20", prefix="late-too")
    project.export(*DATASETS)
    found = [(day["day"], day["taken"], day["statsig"]) for day in changed(project)]
    assert found == [
        ("2026-02-20", 0, "leaves it: too old"),
        ("2026-03-04", 0, "reloads it by itself"),
    ]


def test_a_backfill_delivers_its_days_anew_and_no_other(project: StatsigProject) -> None:
    project.env["FLAGMART_NOW"] = NOON.format("20")
    for day in (1, 2, 3):
        project.add(rows=1, first_day=f"2026-03-0{day}", prefix=f"late{day}")
    folder = project.data / "exports/statsig/events"
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    backfill = ["statsig_events", "--backfill", "2026-03-01..2026-03-02"]
    rehearsed = project.export(*backfill, "--dry-run")
    assert rehearsed[0]["detail"]["written"] == {"2026-03-01": 101, "2026-03-02": 101}
    (report,) = project.export(*backfill)
    assert (report["outcome"], report["parts"], report["rows"]) == ("delivered", 2, 202)
    assert report["remarks"] == [
        "Statsig does not reload them by itself: trigger its backfill of 2026-03-01..2026-03-02 "
        "now; reloads are billed"
    ]
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert {path.parent.name for path in after if after[path] != before[path]} == {
        "2026-03-01",
        "2026-03-02",
    }
    assert list(verdicts(project)) == ["2026-03-03"]
    # also one that has not changed: what lies there may not be what was delivered
    path = folder / "2026-03-02/part-00000.parquet"
    path.write_bytes(b"spoilt")
    assert project.export("statsig_events", "--backfill", "2026-03-02..2026-03-02")[0]["parts"] == 1
    assert pq.ParquetFile(path).metadata.num_rows == 101
    (report,) = project.export("statsig_events", "--backfill", "2025-01-01..2025-01-31")
    assert (report["outcome"], report["remarks"]) == (
        "nothing new",
        ["no day to deliver lies in 2025-01-01..2025-01-31"],
    )


def test_a_backfill_leaves_shrunken_days_alone(project: StatsigProject) -> None:
    project.sql("delete from events where occurred_at < '2026-03-02' and event_id > 'a-00000009'")
    backfill = ["statsig_events", "--backfill", "2026-03-01..2026-03-02"]
    (report,) = project.export(*backfill, code=3)
    assert (report["parts"], report["remarks"][0].partition(" ")[0]) == (1, "2026-03-01")
    assert project.export(*backfill, "--allow-shrink")[0]["parts"] == 2


def test_a_wrong_backfill(project: StatsigProject) -> None:
    some, one = "2026-03-01..2026-03-02", "needs the name of one file delivery"
    for arguments, said in (
        (["statsig_events", "--backfill", "2026-03-02"], "names no days"),
        (["statsig_events", "--backfill", "2026-03-02..2026-03-01"], "names no days"),
        (["statsig_events", "--backfill", "2026-03-02..2026-03-41"], "names no days"),
        (["--backfill", some], one),
        (["statsig_signals", "--backfill", some], one),
    ):
        done = project.call("export", *arguments)
        assert done.returncode == 2
        assert said in done.stderr


def test_other_destinations_are_filled_again_without_a_word(project: StatsigProject) -> None:
    project.built({"hackle_events": META["hackle_events"]})
    project.export("hackle_events")
    (report,) = project.export("hackle_events", "--backfill", "2026-03-01..2026-03-01")
    assert (report["parts"], report["remarks"]) == (1, [])
